/**
 * The public API: an actor is a value. Five behaviours, each with a mailbox of its kind; whoever defines one gets
 * durability, fencing, supervision, back-pressure, parked items and metrics without writing them.
 *
 * @example
 * ```ts
 * import { Actor } from "orrery";
 *
 * export default Actor.claims({
 *   name: "thumbnails",
 *   work: (items) => items.map((item) => Actor.done()),
 * });
 * ```
 */
import * as Effect from "effect/Effect";
import { claimItemsMax } from "../limits.ts";
import type { Route } from "./listens.ts";

/** What a claims actor is given: one thing sent to it with `orrery send`, {@link ActorContext.send} or by another program. */
export interface ActorItem {
  /** Unique a day; sending it again with the same content changes nothing. */
  readonly id: string;
  /** What was sent: any JSON, as its sender wrote it. Check it: whoever may publish may send anything. */
  readonly body: unknown;
  /** How often it was tried before and failed by its own fault. */
  readonly attempts: number;
}

export type ActorOutcome =
  | { readonly type: "done"; readonly result?: unknown }
  | { readonly type: "transient"; readonly reason: string; readonly detail: string }
  | { readonly type: "permanent"; readonly reason: string; readonly detail: string };

/** What an actor may do besides its own work. */
export interface ActorContext {
  readonly site: string;
  readonly node: string;
  /** Sends an item to a claims actor. Resolves once it is on disk. */
  readonly send: (actor: string, id: string, body: unknown) => Promise<void>;
  /** A ledger key's JSON value; null where there is none. */
  readonly read: (key: string) => Promise<unknown>;
  readonly log: (
    level: "debug" | "info" | "warn" | "error",
    message: string,
    fields?: Readonly<Record<string, unknown>>,
  ) => void;
}

/** Plain values, promises and effects are all welcome. A throw or a failed effect is a defect: the supervisor sees it. */
export type Answer<A> = A | Promise<A> | Effect.Effect<A, unknown>;

interface Common {
  /** A word of `a-z 0-9 - _`; unique on the site. */
  readonly name: string;
  /** Time that a stop may take, ms. Default 1000. */
  readonly shutdownMs?: number;
}

export interface ClaimsOptions extends Common {
  /** Exactly one outcome an item, in order. */
  readonly work: (
    items: ReadonlyArray<ActorItem>,
    context: ActorContext,
  ) => Answer<ReadonlyArray<ActorOutcome>>;
  /** Most items in one claim. Default and limit 330. */
  readonly batchMax?: number;
  /** Workers on each node. Default 1. */
  readonly workers?: number;
  /** Transient failures after which an item is parked. Default 3. */
  readonly attemptsMax?: number;
  readonly backoffBaseMs?: number;
  readonly backoffMaxMs?: number;
  /**
   * `all`: each item gets its ledger record, and an item sent twice is done once. `failures`: items that are done leave no record:
   * several times faster, and an item sent twice outside of the duplicate window is done twice. Default `all`.
   */
  readonly records?: "all" | "failures";
}

export interface RepliesOptions extends Common {
  /** NATS subject; instances on several nodes share its requests. */
  readonly subject: string;
  /** The answer, sent as JSON. */
  readonly reply: (request: unknown, context: ActorContext, subject: string) => Answer<unknown>;
}

export interface FollowsOptions extends Common {
  /** Ledger key patterns, e.g. `exposure.>`. */
  readonly keys: ReadonlyArray<string>;
  /**
   * Latest states of keys, in order of last change. Not a log: values that were overwritten are never seen, and one may be
   * seen again. Wake, read, recompute.
   */
  readonly follow: (
    changes: ReadonlyArray<{ readonly key: string; readonly revision: number; readonly value: unknown }>,
    context: ActorContext,
  ) => Answer<void>;
}

export interface TicksOptions extends Common {
  readonly everyMs: number;
  readonly tick: (context: ActorContext) => Answer<void>;
}

export interface ListensOptions extends Common {
  /** Routes on the node's HTTP port. */
  readonly routes: ReadonlyArray<Route>;
}

export type Actor =
  | { readonly behaviour: "claims"; readonly options: ClaimsOptions }
  | { readonly behaviour: "replies"; readonly options: RepliesOptions }
  | { readonly behaviour: "follows"; readonly options: FollowsOptions }
  | { readonly behaviour: "ticks"; readonly options: TicksOptions }
  | { readonly behaviour: "listens"; readonly options: ListensOptions };

export class InvalidActor extends Error {
  override readonly name = "InvalidActor";
}

function named<A extends Common>(options: A): A {
  if (!/^[a-z0-9][a-z0-9_-]*$/.test(options.name)) {
    throw new InvalidActor(`actor name ${JSON.stringify(options.name)}: use a-z, 0-9, - and _`);
  }
  return options;
}

export const Actor = {
  claims(options: ClaimsOptions): Actor {
    const { batchMax = claimItemsMax } = options;
    if (!Number.isInteger(batchMax) || batchMax < 1 || batchMax > claimItemsMax) {
      throw new InvalidActor(
        `actor ${options.name}: batchMax is ${batchMax}, it may be 1 to ${claimItemsMax}`,
      );
    }
    return { behaviour: "claims", options: named(options) };
  },
  replies: (options: RepliesOptions): Actor => ({ behaviour: "replies", options: named(options) }),
  follows: (options: FollowsOptions): Actor => ({ behaviour: "follows", options: named(options) }),
  ticks: (options: TicksOptions): Actor => ({ behaviour: "ticks", options: named(options) }),
  listens: (options: ListensOptions): Actor => ({ behaviour: "listens", options: named(options) }),
  /** The item is done; `result` is kept in its record. */
  done: (result?: unknown): ActorOutcome => ({ type: "done", ...(result === undefined ? {} : { result }) }),
  /** Try again later, with backoff, at most `attemptsMax` times. */
  again: (reason: string, detail: string): ActorOutcome => ({ type: "transient", reason, detail }),
  /** Give up on it: it is parked with the reason until somebody replays it. */
  park: (reason: string, detail: string): ActorOutcome => ({ type: "permanent", reason, detail }),
};

/** Makes an effect of whatever an actor's function gave back. A failure becomes a defect. */
export function fromAnswer<A>(run: () => Answer<A>): Effect.Effect<A> {
  return Effect.suspend(() => {
    const answer = run();
    if (Effect.isEffect(answer)) return Effect.orDie(answer);
    return Effect.promise(() => Promise.resolve(answer));
  });
}

const decoder = new TextDecoder();

/** A ledger value as an actor sees it; undefined for bytes that are no JSON. */
export function valueOf(data: Uint8Array): unknown {
  try {
    return JSON.parse(decoder.decode(data)) as unknown;
  } catch {
    // Not something Orrery wrote; the actor is told by the undefined.
    return undefined;
  }
}
