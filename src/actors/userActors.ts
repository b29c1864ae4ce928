/** Runs the actors that people define: each behaviour of {@link Actor} on the machinery that Orrery's own actors use. */
import { createHash } from "node:crypto";
import * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import { claimItemsMax } from "../limits.ts";
import { followsConsumer, itemsConsumer } from "../jetstream/topology.ts";
import { getUnsafe } from "../jetstream/ledger.ts";
import type { Delivery } from "../jetstream/mailbox.ts";
import { Mailbox } from "../jetstream/mailbox.ts";
import type { Write } from "../jetstream/transaction.ts";
import { publishUnsafe } from "../jetstream/transaction.ts";
import { pack, unpack } from "../protocol/arrival.ts";
import {
  encodeTail,
  itemMailbox,
  itemsStream,
  itemSubject,
  kvStream,
  ledgerBucket,
  decodeKeyPart,
} from "../protocol/keys.ts";
import type { Place } from "../protocol/keys.ts";
import type { Outcome } from "../protocol/lifecycle.ts";
import type { LedgerRecord } from "../protocol/records.ts";
import { encodeJson, recordVersion } from "../protocol/records.ts";
import type {
  ActorContext,
  ActorItem,
  ActorOutcome,
  ClaimsOptions,
  FollowsOptions,
  RepliesOptions,
  TicksOptions,
} from "./Actor.ts";
import { fromAnswer, valueOf } from "./Actor.ts";
import { claimsWorker } from "./claims.ts";
import type { ClaimedWork, ClaimSource, Decoded } from "./claimSource.ts";
import type { NodeContextService } from "./NodeContext.ts";
import type { PutBackRule } from "./putBack.ts";
import { dayText } from "./retention.ts";

interface ItemMessage {
  readonly v: number;
  readonly id: string;
  readonly day: string;
  readonly etag: string;
  readonly generation: number;
  readonly body: unknown;
}

export interface ItemBody {
  readonly id: string;
  readonly item: unknown;
  readonly result?: unknown;
}

function itemWrite(actor: string, message: ItemMessage): Write & { readonly messageId: string } {
  const id = message.id.replaceAll(/[^\x21-\x7e]/g, (c) => encodeURIComponent(c));
  return {
    subject: itemSubject(actor, message.day),
    messageId: `${actor}/${message.day}/${id}@${message.etag}#${message.generation}`,
    data: pack(message),
  };
}

/** Sends one item; rejects with the typed error when it is not on disk. */
export async function sendItem(
  node: Pick<NodeContextService, "nats">,
  actor: string,
  id: string,
  body: unknown,
): Promise<void> {
  if (!id.isWellFormed()) throw new TypeError(`item id ${JSON.stringify(id)} is no well-formed Unicode`);
  const packed = pack(body);
  const etag = createHash("sha256").update(packed).digest("hex").slice(0, 16);
  const write = itemWrite(actor, {
    v: recordVersion,
    id,
    day: dayText(node.nats.now()),
    etag,
    generation: 0,
    body,
  });
  const answer = await publishUnsafe(node.nats, `send to actor ${actor}`, write, 5_000);
  if ("_tag" in answer) throw answer;
}

export function actorContext(node: NodeContextService): ActorContext {
  return {
    site: node.site,
    node: node.name,
    send: (actor, id, body) => sendItem(node, actor, id, body),
    read: async (key) => {
      const entry = await getUnsafe(node.nats, ledgerBucket, key);
      return entry === null || entry.ended ? null : valueOf(entry.data);
    },
    log: node.log,
  };
}

function isItemMessage(value: unknown): value is ItemMessage {
  return (
    typeof value === "object" &&
    value !== null &&
    "id" in value &&
    typeof value.id === "string" &&
    "day" in value &&
    typeof value.day === "string" &&
    "etag" in value &&
    typeof value.etag === "string" &&
    "generation" in value &&
    typeof value.generation === "number"
  );
}

/** Null for bytes that are no item. */
function decodeMessage(data: Uint8Array): ItemMessage | null {
  try {
    const message = unpack(data);
    return isItemMessage(message) ? message : null;
  } catch {
    // No MessagePack: parked by whoever asked, like anything else that is no item.
    return null;
  }
}

function decodeItem(actor: string, delivery: Delivery): Decoded<ItemBody> | null {
  const message = decodeMessage(delivery.data);
  const mailbox = itemMailbox(actor);
  if (message === null) {
    return {
      place: { mailbox, day: "-", tail: encodeTail(`undecodable/${delivery.sequence}`) },
      etag: "",
      generation: 0,
      body: { id: "", item: Buffer.from(delivery.data.subarray(0, 512)).toString("base64") },
    };
  }
  return {
    place: { mailbox, day: message.day, tail: encodeTail(message.id) },
    etag: message.etag,
    generation: message.generation,
    body: { id: message.id, item: message.body },
  };
}

export function itemSource(options: ClaimsOptions): ClaimSource<ItemBody> {
  return {
    mailbox: itemMailbox(options.name),
    stream: itemsStream,
    consumer: itemsConsumer(options.name),
    batchMax: options.batchMax ?? claimItemsMax,
    rules: itemRules(options),
    onContentChange: "supersede",
    good: "done",
    reads: "doubtful",
    keepsDone: options.records !== "failures",
    decode: (delivery) => decodeItem(options.name, delivery),
  };
}

export function itemRules(options: ClaimsOptions) {
  return {
    attemptsMax: options.attemptsMax ?? 3,
    crashesAloneMax: 3,
    backoffBaseMs: options.backoffBaseMs ?? 1_000,
    backoffMaxMs: options.backoffMaxMs ?? 60_000,
  };
}

/** How a user actor's items go back into its mailbox. */
export function itemPutBack(actor: string): PutBackRule {
  return {
    stream: itemsStream,
    consumer: itemsConsumer(actor),
    message: (place: Place, record: LedgerRecord) => {
      const body = record.body as Partial<ItemBody>;
      if (typeof body.id !== "string") return null;
      return itemWrite(actor, {
        v: recordVersion,
        id: body.id,
        day: place.day,
        etag: record.etag,
        generation: record.generation,
        body: body.item,
      });
    },
  };
}

/** Body of an item of which only the claim is known; `message` is null once it has aged out of the stream. */
export function itemBodyOf(place: Place, message: Uint8Array | null): ItemBody {
  const decoded = message === null ? null : decodeMessage(message);
  return { id: decodeKeyPart(place.tail) ?? place.tail, item: decoded?.body ?? null };
}

function outcomeOf(body: ItemBody, outcome: ActorOutcome): Outcome<ItemBody> {
  return outcome.type === "done"
    ? { type: "done", body: outcome.result === undefined ? body : { ...body, result: outcome.result } }
    : { ...outcome, body };
}

const itemWork =
  (options: ClaimsOptions, context: ActorContext): ClaimedWork<ItemBody, never> =>
  (items) => {
    const good = items.filter((item) => item.body.id !== "");
    const given: ReadonlyArray<ActorItem> = good.map((item) => ({
      id: item.body.id,
      body: item.body.item,
      attempts: item.held?.record.attempts ?? 0,
    }));
    return Effect.map(
      fromAnswer(() => options.work(given, context)),
      (outcomes) => {
        if (outcomes.length !== given.length) {
          throw new Error(`actor ${options.name} gave ${outcomes.length} outcomes for ${given.length} items`);
        }
        const byItem = new Map(good.map((item, i) => [item, outcomes[i]]));
        return items.map((item): Outcome<ItemBody> => {
          const outcome = byItem.get(item);
          return outcome === undefined
            ? { type: "permanent", reason: "UndecodableItem", detail: "the message is no item" }
            : outcomeOf(item.body, outcome);
        });
      },
    );
  };

export const claimsActor = (
  node: NodeContextService,
  options: ClaimsOptions,
  worker: number,
  ready: Effect.Effect<void>,
): Effect.Effect<never> =>
  claimsWorker(node, itemSource(options), worker, itemWork(options, actorContext(node)), ready);

export const ticksActor = (
  node: NodeContextService,
  options: TicksOptions,
  ready: Effect.Effect<void>,
): Effect.Effect<never> =>
  Effect.andThen(
    ready,
    fromAnswer(() => options.tick(actorContext(node))).pipe(
      Effect.andThen(Effect.sleep(options.everyMs)),
      Effect.forever,
    ),
  );

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const repliesInFlightMax = 1_000;

function parseRequest(data: Uint8Array): unknown {
  if (data.length === 0) return null;
  const text = decoder.decode(data);
  try {
    return JSON.parse(text) as unknown;
  } catch {
    // Not JSON: the actor is given the text as it came.
    return text;
  }
}

export const repliesActor = (
  node: NodeContextService,
  options: RepliesOptions,
  ready: Effect.Effect<void>,
): Effect.Effect<never, never, Scope.Scope> =>
  Effect.gen(function* () {
    const context = actorContext(node);
    const running = { count: 0 };
    yield* Effect.acquireRelease(
      Effect.sync(() =>
        node.nats.connection.subscribe(options.subject, {
          queue: options.name,
          callback: (error, message) => {
            if (error !== null) return;
            if (running.count >= repliesInFlightMax) {
              message.respond(encoder.encode('{"error":"busy","fix":"try again"}'));
              return;
            }
            running.count++;
            // A request's failure is its own: it is answered and logged, and the actor goes on.
            void Effect.runPromise(
              fromAnswer(() => options.reply(parseRequest(message.data), context, message.subject)),
            )
              .then((answer) => message.respond(encodeJson(answer ?? null)))
              .catch((cause: unknown) => {
                node.log("error", `actor ${options.name} failed on a request`, { cause: String(cause) });
                message.respond(
                  encodeJson({ error: "the actor failed on this request", actor: options.name }),
                );
              })
              .finally(() => running.count--);
          },
        }),
      ),
      (subscription) => Effect.sync(() => subscription.unsubscribe()),
    );
    yield* ready;
    return yield* Effect.never;
  });

/** Batches from a durable cursor, shared by the nodes that run the actor; acknowledged after the actor is through. */
export const followsActor = (
  node: NodeContextService,
  options: FollowsOptions,
  ready: Effect.Effect<void>,
): Effect.Effect<never, never, Scope.Scope> =>
  Effect.gen(function* () {
    const context = actorContext(node);
    const prefix = `$KV.${ledgerBucket}.`;
    const mailbox = yield* Effect.acquireRelease(
      Effect.sync(() => new Mailbox(node.nats, kvStream(ledgerBucket), followsConsumer(options.name))),
      (box) => Effect.sync(() => box.close()),
    );
    yield* ready;
    return yield* Effect.forever(
      Effect.gen(function* () {
        const deliveries = yield* Effect.promise((signal) =>
          mailbox.take(500, 5_000, signal).catch((cause: unknown) => {
            node.log("warn", `actor ${options.name} cannot read its mailbox`, { cause: String(cause) });
            return null;
          }),
        );
        if (deliveries === null) return yield* Effect.sleep(1_000);
        const changes = deliveries
          .filter((delivery) => delivery.operation === "")
          .map((delivery) => ({
            key: delivery.subject.slice(prefix.length),
            revision: delivery.sequence,
            value: valueOf(delivery.data),
          }));
        if (changes.length > 0) yield* fromAnswer(() => options.follow(changes, context));
        for (const delivery of deliveries) mailbox.ack(delivery.reply);
      }),
    );
  });
