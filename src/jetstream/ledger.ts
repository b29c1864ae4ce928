/**
 * Reading the site's buckets. Reads that decide something go through the stream's leader; listings and followers may lag.
 * Writing is `transaction.ts`: there is no other way in.
 */
import { DeliverPolicy, JetStreamApiError } from "@nats-io/jetstream";
import type { Msg } from "@nats-io/transport-node";
import * as Effect from "effect/Effect";
import { requestDeadlineMs } from "../limits.ts";
import { JetStreamRejected } from "../protocol/errors.ts";
import type { NatsUnavailable } from "../protocol/errors.ts";
import { kvStream, kvSubject, ledgerBucket } from "../protocol/keys.ts";
import { decodeRecord, slotOrIdle } from "../protocol/records.ts";
import type { ClaimSlot, LedgerRecord } from "../protocol/records.ts";
import { listUnsafe } from "./listing.ts";
import type { NatsService } from "./Nats.ts";
import { errorOfCode, headerOf, unavailable } from "./wire.ts";

/** One key's last value. `ended`: a delete marker stands there, whose revision a new value must expect. */
export interface Entry {
  readonly key: string;
  readonly revision: number;
  readonly data: Uint8Array;
  readonly ended: boolean;
  /** Epoch milliseconds, by the server's clock. */
  readonly at: number;
}

interface StoredReply {
  readonly message?: {
    readonly subject: string;
    readonly seq: number;
    readonly data?: string;
    readonly hdrs?: string;
    readonly time: string;
  };
  readonly error?: { readonly err_code?: number; readonly description?: string };
}

const noMessageFound = 10037;
const decoder = new TextDecoder();
const nothing = new Uint8Array();

function isMarker(headers: string): boolean {
  return headers.includes("KV-Operation:") || headers.includes("Nats-Marker-Reason:");
}

/** Reads one stored message through the leader; null when there is none. Rejects with a typed error. */
async function readStored(
  nats: NatsService,
  stream: string,
  query: { readonly last_by_subj: string } | { readonly seq: number },
): Promise<(Entry & { readonly subject: string }) | null> {
  const operation = `read from ${stream}`;
  let reply: StoredReply;
  try {
    const answer = await nats.ask(
      `${nats.apiPrefix}.STREAM.MSG.GET.${stream}`,
      JSON.stringify(query),
      requestDeadlineMs,
    );
    reply = JSON.parse(decoder.decode(answer.data)) as StoredReply;
  } catch (cause) {
    throw unavailable(operation)(cause);
  }
  if (reply.error !== undefined) {
    if (reply.error.err_code === noMessageFound) return null;
    throw errorOfCode(operation, reply.error.err_code ?? 0, reply.error.description ?? "");
  }
  const message = reply.message;
  if (message === undefined) return null;
  const headers = message.hdrs === undefined ? "" : Buffer.from(message.hdrs, "base64").toString("latin1");
  return {
    subject: message.subject,
    key: message.subject,
    revision: message.seq,
    data: message.data === undefined ? nothing : Buffer.from(message.data, "base64"),
    ended: isMarker(headers),
    at: Date.parse(message.time),
  };
}

const isMarkerMessage = (message: Msg): boolean =>
  headerOf(message, "KV-Operation") !== "" || headerOf(message, "Nats-Marker-Reason") !== "";

type ReadError = NatsUnavailable | JetStreamRejected;

const streamNotFound = 10059;

const asReadError = (cause: unknown): ReadError => {
  const tagged = cause as { readonly _tag?: string };
  if (cause instanceof JetStreamApiError && cause.code === streamNotFound)
    return new JetStreamRejected({ operation: "read", code: cause.code, detail: cause.message });
  return tagged._tag === "NatsUnavailable" || tagged._tag === "JetStreamRejected"
    ? (cause as ReadError)
    : unavailable("read")(cause);
};

/** A key's last value through the leader, markers included; null when the key never was (or its day was purged). */
export async function getUnsafe(nats: NatsService, bucket: string, key: string): Promise<Entry | null> {
  const stored = await readStored(nats, kvStream(bucket), { last_by_subj: kvSubject(bucket, key) });
  return stored === null ? null : { ...stored, key };
}

export const get = (nats: NatsService, bucket: string, key: string): Effect.Effect<Entry | null, ReadError> =>
  Effect.tryPromise({ try: () => getUnsafe(nats, bucket, key), catch: asReadError });

/** Reads many keys at once, pipelined; the answers stand in the order of the keys. */
export async function getManyUnsafe(
  nats: NatsService,
  bucket: string,
  keys: ReadonlyArray<string>,
): Promise<Array<Entry | null>> {
  return Promise.all(keys.map((key) => getUnsafe(nats, bucket, key)));
}

/** A message by its place in a stream; null when it is gone. */
export async function getSequenceUnsafe(
  nats: NatsService,
  stream: string,
  sequence: number,
): Promise<(Entry & { readonly subject: string }) | null> {
  if (sequence <= 0) return null;
  return readStored(nats, stream, { seq: sequence });
}

/** Sequence of a subject's last message in a stream; 0 where it has none. */
export async function lastSequenceUnsafe(
  nats: NatsService,
  stream: string,
  subject: string,
): Promise<number> {
  return (await readStored(nats, stream, { last_by_subj: subject }))?.revision ?? 0;
}

/** Revision of whatever was written last into a bucket; 0 where nothing was. */
export async function lastRevisionUnsafe(nats: NatsService, bucket: string): Promise<number> {
  const info = await nats.jsm.streams.info(kvStream(bucket));
  return info.state.last_seq;
}

/** A record of the ledger with the revision that the next write of it must expect. */
export interface Held<Body> {
  readonly key: string;
  readonly revision: number;
  readonly record: LedgerRecord<Body>;
}

export async function getRecordUnsafe<Body>(nats: NatsService, key: string): Promise<Held<Body> | null> {
  const entry = await getUnsafe(nats, ledgerBucket, key);
  if (entry === null || entry.ended) return null;
  return { key, revision: entry.revision, record: decodeRecord<Body>(key, entry.data) };
}

export async function getSlotUnsafe(
  nats: NatsService,
  key: string,
): Promise<{ readonly revision: number; readonly slot: ClaimSlot } | null> {
  const entry = await getUnsafe(nats, ledgerBucket, key);
  // A slot is never ended by us; one that somebody ended by hand is empty, and the next claim expects the marker's revision.
  return entry === null ? null : { revision: entry.revision, slot: slotOrIdle(key, entry.data) };
}

/**
 * Calls `each` with the last value of every key that matches, in order of last change. Markers are passed over.
 * @param filters key patterns with NATS wildcards, e.g. `due.>`
 * @param since only what was written since then: epoch milliseconds, by the server's clock; null: all
 * @returns the number of keys seen
 */
export async function scanUnsafe(
  nats: NatsService,
  bucket: string,
  filters: ReadonlyArray<string>,
  each: (entry: Entry) => void,
  since: number | null = null,
): Promise<number> {
  const prefix = kvSubject(bucket, "");
  let seen = 0;
  await listUnsafe(
    nats,
    kvStream(bucket),
    {
      // A bucket of history 1 holds each key's last value alone.
      ...(since === null
        ? { deliver_policy: DeliverPolicy.LastPerSubject }
        : { deliver_policy: DeliverPolicy.StartTime, opt_start_time: new Date(since).toISOString() }),
      filter_subjects: filters.map((f) => prefix + f),
    },
    ({ message, sequence, at }) => {
      // A marker has no body; reading headers costs more than all else about a message.
      if (message.data.length === 0 && isMarkerMessage(message)) return;
      seen++;
      each({
        key: message.subject.slice(prefix.length),
        revision: sequence,
        data: message.data,
        ended: false,
        get at() {
          return at();
        },
      });
    },
  );
  return seen;
}

export const scan = (
  nats: NatsService,
  bucket: string,
  filters: ReadonlyArray<string>,
  each: (entry: Entry) => void,
  since: number | null = null,
): Effect.Effect<number, ReadError> =>
  Effect.tryPromise({ try: () => scanUnsafe(nats, bucket, filters, each, since), catch: asReadError });

export interface StreamMessage {
  readonly subject: string;
  readonly seq: number;
  readonly data: Uint8Array;
  /** Epoch milliseconds, by the server's clock. */
  readonly at: number;
}

/** Every message of a stream that matches, oldest first. For people's questions, not for actors. */
export async function readStreamUnsafe(
  nats: NatsService,
  stream: string,
  filter: string,
  each: (message: StreamMessage) => void,
): Promise<void> {
  await listUnsafe(
    nats,
    stream,
    { deliver_policy: DeliverPolicy.All, filter_subject: filter },
    ({ message, sequence, at }) =>
      each({
        subject: message.subject,
        seq: sequence,
        data: message.data,
        get at() {
          return at();
        },
      }),
  );
}
