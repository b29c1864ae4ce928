/** The one way back into a queue: what is due is published again, and what waited becomes due. */
import * as Effect from "effect/Effect";
import * as Result from "effect/Result";
import { claimItemsMax } from "../limits.ts";
import { writesOf } from "../jetstream/claims.ts";
import { getManyUnsafe, lastSequenceUnsafe } from "../jetstream/ledger.ts";
import type { Entry } from "../jetstream/ledger.ts";
import { managed } from "../jetstream/Nats.ts";
import type { Write } from "../jetstream/transaction.ts";
import { commitUnsafe, ledgerPut, publishUnsafe } from "../jetstream/transaction.ts";
import type { JetStreamError } from "../protocol/errors.ts";
import type { Place } from "../protocol/keys.ts";
import {
  decodeKeyPart,
  ledgerBucket,
  placeOfIndexKey,
  placeOfWaitingKey,
  recordKey,
} from "../protocol/keys.ts";
import { freed } from "../protocol/lifecycle.ts";
import { recordOrNull, encodeJson } from "../protocol/records.ts";
import type { DueRecord, LedgerRecord } from "../protocol/records.ts";
import type { NodeContextService } from "./NodeContext.ts";

/** How the items of one mailbox are put back. */
export interface PutBackRule {
  /** Stream and consumer whose ack floor says that a put-back message was dealt with. */
  readonly stream: string;
  readonly consumer: string;
  /** Of a mailbox with several queues: the consumer of that by which the record goes back; undefined: `consumer`. */
  readonly consumerOf?: (record: LedgerRecord) => string | undefined;
  /**
   * The message that stands for the record; null where the record does not say enough. Putting it back twice must be harmless: by
   * its message id, or because it expects that its subject has no message yet.
   */
  readonly message: (place: Place, record: LedgerRecord) => Write | null;
}

export type PutBackRules = (mailbox: string) => PutBackRule | null;

interface Ripe {
  readonly key: string;
  readonly record: DueRecord;
  readonly revision: number;
}

const isError = (value: object): value is JetStreamError => "_tag" in value;

const attempt = <A>(run: () => Promise<A>): Effect.Effect<A, Error> =>
  Effect.tryPromise({
    try: run,
    catch: (cause) => (cause instanceof Error ? cause : new Error(String(cause))),
  });

function byMailbox(ripe: ReadonlyArray<Ripe>): Map<string, Array<Ripe & { readonly place: Place }>> {
  const groups = new Map<string, Array<Ripe & { readonly place: Place }>>();
  for (const due of ripe) {
    const place = placeOfIndexKey(due.key);
    if (place === null) continue;
    const group = groups.get(place.mailbox) ?? [];
    group.push({ ...due, place });
    groups.set(place.mailbox, group);
  }
  return groups;
}

/**
 * Publishes what is due and notes under which sequence. What was put back already is published again only when the
 * mailbox's ack floor has passed it and the record is still due: a slow lane must not be flooded with its own items.
 *
 * A mailbox that cannot be looked at, or that refuses, keeps its own from coming back and no other's. Fails with the first such error.
 */
export const putBackDue = (
  node: NodeContextService,
  rules: PutBackRules,
  ripe: ReadonlyArray<Ripe>,
): Effect.Effect<void, Error> =>
  Effect.gen(function* () {
    let failed: Error | null = null;
    for (const [mailbox, group] of byMailbox(ripe)) {
      const rule = rules(mailbox);
      if (rule === null) continue;
      const done = yield* Effect.result(putBackGroup(node, rule, group));
      if (Result.isSuccess(done)) continue;
      failed ??= done.failure;
      if (!node.nats.link().connected) break;
    }
    if (failed !== null) return yield* Effect.fail(failed);
  });

const putBackGroup = (
  node: NodeContextService,
  rule: PutBackRule,
  group: ReadonlyArray<Ripe & { readonly place: Place }>,
): Effect.Effect<void, Error> =>
  Effect.gen(function* () {
    const floors = new Map<string, number>();
    for (const { record } of group) {
      const consumer = record.consumer ?? rule.consumer;
      if (record.putBack === null || floors.has(consumer)) continue;
      floors.set(consumer, yield* dealtWithUpTo(node, rule.stream, consumer));
    }
    const wanted = group.filter(
      ({ record }) =>
        record.putBack === null || record.putBack <= (floors.get(record.consumer ?? rule.consumer) ?? 0),
    );
    for (let at = 0; at < wanted.length; at += claimItemsMax) {
      yield* attempt(() => putBackBatch(node, rule, wanted.slice(at, at + claimItemsMax)));
    }
  });

/**
 * Of a consumer with nothing to give and nothing in hand: everything, whatever its ack floor says. What was put back has aged out unread
 * then, or went with a stream that was made anew and has not come as far.
 */
const dealtWithUpTo = (
  node: NodeContextService,
  stream: string,
  consumer: string,
): Effect.Effect<number, Error> =>
  Effect.map(
    managed("look at the ack floor", () => node.nats.jsm.consumers.info(stream, consumer)),
    (info) =>
      info.num_pending + info.num_ack_pending === 0 ? Number.POSITIVE_INFINITY : info.ack_floor.stream_seq,
  );

async function putBackBatch(
  node: NodeContextService,
  rule: PutBackRule,
  dues: ReadonlyArray<Ripe & { readonly place: Place }>,
): Promise<void> {
  const keys = dues.map((due) => recordKey(due.place));
  const entries = await getManyUnsafe(node.nats, ledgerBucket, keys);
  const sent: Array<{ readonly due: Ripe; readonly write: Write; readonly consumer: string | undefined }> =
    [];
  dues.forEach((due, i) => {
    const entry = entries[i] ?? null;
    if (entry === null || entry.ended) return;
    const record = recordOrNull(keys[i] ?? "", entry.data);
    if (record === null) return;
    // The follower may lag behind the ledger: only what the record itself says is due goes back.
    if (record.state !== "failing" || record.generation !== due.record.generation) return;
    const write = rule.message(due.place, record);
    if (write === null) return;
    // The stream still remembers the id of the one that was dealt with.
    const again =
      due.record.putBack === null || write.messageId === undefined
        ? {}
        : { messageId: `${write.messageId}+${due.record.putBack}` };
    const consumer = rule.consumerOf?.(record);
    sent.push({ due, write: { ...write, ...again }, consumer });
  });
  if (sent.length === 0) return;
  const sequences = await publishAll(
    node,
    rule.stream,
    sent.map((s) => s.write),
  );
  const notes: Array<Write> = [];
  sent.forEach(({ due, consumer }, i) => {
    const sequence = sequences[i] ?? 0;
    if (sequence > 0) {
      const noted = { ...due.record, putBack: sequence, ...(consumer === undefined ? {} : { consumer }) };
      notes.push(ledgerPut(due.key, encodeJson(noted), due.revision));
    }
  });
  const mailbox = dues[0]?.place.mailbox ?? "";
  node.counters.putBack(mailbox, notes.length);
  const noted = await commitUnsafe(node.nats, "note what was put back", notes, 5_000);
  if (!isError(noted) || noted._tag !== "TransactionConflict") return;
  // Some are settled already: singly, the conflict of one is not the others'.
  await Promise.all(notes.map((note) => commitUnsafe(node.nats, "note what was put back", [note], 5_000)));
}

/** One batch; a message stored before makes the server refuse it whole, then singly. 0 for what could not be sent. */
async function publishAll(
  node: NodeContextService,
  stream: string,
  writes: ReadonlyArray<Write>,
): Promise<ReadonlyArray<number>> {
  const answer = await commitUnsafe(node.nats, "put back", writes, 5_000);
  if (!isError(answer)) return answer;
  if (answer._tag === "NatsUnavailable" || answer._tag === "JetStreamRejected") throw answer;
  return Promise.all(
    writes.map(async (write) => {
      const single = await publishUnsafe(node.nats, "put back", write, 5_000);
      if (!isError(single)) return single.seq;
      // It stands there already: put back by another node, or by a former tick whose note was lost.
      return single._tag === "TransactionConflict" ? lastSequenceUnsafe(node.nats, stream, write.subject) : 0;
    }),
  );
}

interface Wait {
  /** The needed key, as one token. */
  readonly needed: string;
  readonly key: string;
  /** Looked at by the sweep: nothing said that what it needs has come. */
  readonly swept: boolean;
}

/** Makes due again what waited: what it needs has come, or its time is up and it is judged a last time. */
export const freeWaiting = (
  node: NodeContextService,
  rules: PutBackRules,
  waits: ReadonlyArray<Wait>,
): Effect.Effect<void, Error> =>
  attempt(async () => {
    const neededKeys = [...new Set(waits.map((wait) => wait.needed))];
    const neededNow = await getManyUnsafe(
      node.nats,
      ledgerBucket,
      neededKeys.map((token) => decodeKeyPart(token) ?? token),
    );
    const here = new Set(neededKeys.filter((_, i) => neededNow[i] != null && !neededNow[i]?.ended));
    const places = waits.flatMap((wait) => {
      const parsed = placeOfWaitingKey(wait.key);
      return parsed === null || rules(parsed.place.mailbox) === null ? [] : [{ wait, place: parsed.place }];
    });
    for (let at = 0; at < places.length; at += claimItemsMax) {
      const some = places.slice(at, at + claimItemsMax);
      const entries = await getManyUnsafe(
        node.nats,
        ledgerBucket,
        some.map(({ place }) => recordKey(place)),
      );
      const groups = some.flatMap(({ wait, place }, i) => {
        const writes = freeOne(node, place, entries[i] ?? null, here.has(wait.needed), wait.swept);
        return writes === null ? [] : [writes];
      });
      if (groups.length === 0) continue;
      const answer = await commitUnsafe(node.nats, "free what waited", groups.flat(), 5_000);
      if (!isError(answer)) continue;
      if (answer._tag !== "TransactionConflict") throw answer;
      // Somebody else frees them too: each alone, so that one conflict does not hold the others.
      await Promise.all(groups.map((writes) => commitUnsafe(node.nats, "free what waited", writes, 5_000)));
    }
  });

function freeOne(
  node: NodeContextService,
  place: Place,
  entry: Entry | null,
  here: boolean,
  swept: boolean,
): ReadonlyArray<Write> | null {
  if (entry === null || entry.ended) return null;
  const key = recordKey(place);
  const record = recordOrNull(key, entry.data);
  if (record === null) return null;
  const now = node.nats.now();
  if (record.state !== "waiting") return null;
  const late = record.waitUntil !== undefined && now >= record.waitUntil;
  if (!here && !late) return null;
  const settlement = freed(
    place,
    record,
    { now, random: 0, node: node.name, claim: record.claim },
    here
      ? `${record.waitingFor ?? "what it needs"} has come${swept ? ", as the sweep found" : ""}`
      : "its time is up; it is judged a last time",
  );
  return writesOf(key, entry.revision, settlement);
}
