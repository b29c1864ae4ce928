/** For tests of your own actors: runs one without NATS, beside a context that remembers what it was asked to do. */
import * as Effect from "effect/Effect";
import type { Actor, ActorContext, ActorItem, ActorOutcome } from "./actors/Actor.ts";
import { fromAnswer } from "./actors/Actor.ts";

export interface FakeContext extends ActorContext {
  /** What was sent, in order. */
  readonly sent: ReadonlyArray<{ readonly actor: string; readonly id: string; readonly body: unknown }>;
  readonly logged: ReadonlyArray<{ readonly level: string; readonly message: string }>;
}

/** @param ledger keys and values that `read` finds */
export function fakeContext(ledger: Readonly<Record<string, unknown>> = {}): FakeContext {
  const sent: Array<{ actor: string; id: string; body: unknown }> = [];
  const logged: Array<{ level: string; message: string }> = [];
  return {
    site: "test",
    node: "test-1",
    sent,
    logged,
    send: (actor, id, body) => {
      sent.push({ actor, id, body });
      return Promise.resolve();
    },
    read: (key) => Promise.resolve(ledger[key] ?? null),
    log: (level, message) => void logged.push({ level, message }),
  };
}

type Of<B extends Actor["behaviour"]> = Extract<Actor, { readonly behaviour: B }>;

function checked<B extends Actor["behaviour"]>(actor: Actor, behaviour: B): Of<B> {
  if (actor.behaviour !== behaviour) {
    throw new TypeError(`actor ${actor.options.name} is of behaviour ${actor.behaviour}, not ${behaviour}`);
  }
  return actor as Of<B>;
}

/** Gives a claims actor items, as one claim. Rejects when it throws, or gives another number of outcomes. */
export async function work(
  actor: Actor,
  items: ReadonlyArray<Pick<ActorItem, "id" | "body"> & { readonly attempts?: number }>,
  context: ActorContext = fakeContext(),
): Promise<ReadonlyArray<ActorOutcome>> {
  const { options } = checked(actor, "claims");
  const given = items.map((item) => ({ attempts: 0, ...item }));
  const outcomes = await Effect.runPromise(fromAnswer(() => options.work(given, context)));
  if (outcomes.length !== items.length) {
    throw new Error(`actor ${options.name} gave ${outcomes.length} outcomes for ${items.length} items`);
  }
  return outcomes;
}

/** Asks a replies actor. */
export async function ask(
  actor: Actor,
  request: unknown,
  context: ActorContext = fakeContext(),
): Promise<unknown> {
  const { options } = checked(actor, "replies");
  return Effect.runPromise(fromAnswer(() => options.reply(request, context, options.subject)));
}

/** Shows a follows actor the latest states of keys. */
export async function show(
  actor: Actor,
  values: Readonly<Record<string, unknown>>,
  context: ActorContext = fakeContext(values),
): Promise<void> {
  const { options } = checked(actor, "follows");
  const changes = Object.entries(values).map(([key, value], i) => ({ key, revision: i + 1, value }));
  await Effect.runPromise(fromAnswer(() => options.follow(changes, context)));
}

/** Lets a ticks actor tick once. */
export async function tick(actor: Actor, context: ActorContext = fakeContext()): Promise<void> {
  const { options } = checked(actor, "ticks");
  await Effect.runPromise(fromAnswer(() => options.tick(context)));
}
