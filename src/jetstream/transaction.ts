/**
 * One atomic batch on one stream: all of its messages are stored, next to each other, or none is.
 *
 * Messages 1..n-1 are sent without a reply and only the commit is a request: one round trip, and the server's full error. The
 * client's own `Batch.commit()` hides the error's code, which is what tells a conflict from a server that is away.
 */
import type { Msg } from "@nats-io/transport-node";
import * as Effect from "effect/Effect";
import { commitBatchFrom, messageBytesMax, sentSubjectBytesMax, transactionMessagesMax } from "../limits.ts";
import { JetStreamRejected } from "../protocol/errors.ts";
import type { JetStreamError } from "../protocol/errors.ts";
import { kvSubject, ledgerBucket } from "../protocol/keys.ts";
import type { NatsService } from "./Nats.ts";
import { readPubAck, unavailable, wireHeaders } from "./wire.ts";

export interface Write {
  readonly subject: string;
  readonly data: Uint8Array;
  /** Revision the subject's last message must have: 0 for "none yet"; absent: whatever it is. */
  readonly expected?: number;
  readonly messageId?: string;
  /** Seconds. Never on a ledger key: what a displaced value's successor takes with it comes back (see docs). */
  readonly ttlSeconds?: number;
  /** A KV delete marker, which stays for ever. */
  readonly marker?: boolean;
  /** Of a message that is stored again as it was. */
  readonly headers?: Readonly<Record<string, string>>;
}

const nothing = new Uint8Array();

export const ledgerPut = (key: string, data: Uint8Array, expected?: number): Write =>
  expected === undefined
    ? { subject: kvSubject(ledgerBucket, key), data }
    : { subject: kvSubject(ledgerBucket, key), data, expected };

/** Ends a key: an empty marker that stays. A purge or a TTL would let the displaced value revive. */
export const ledgerEnd = (key: string): Write => ({
  subject: kvSubject(ledgerBucket, key),
  data: nothing,
  marker: true,
});

/** For a message's headers beside its payload. */
const headerRoom = 1_024;
const tooLarge = 10054;

/**
 * What is refused here is refused again however often it is sent: it must not pass for a server that does not answer. For a subject without
 * end the server would even end the connection, and with it everything that the node has under way.
 */
function unsendable(
  { connection }: NatsService,
  operation: string,
  writes: ReadonlyArray<Write>,
): JetStreamRejected | null {
  const bytesMax = (connection.info?.max_payload ?? messageBytesMax) - headerRoom;
  const fault = writes.find(
    ({ subject, data }) => subject.length > sentSubjectBytesMax || data.length > bytesMax,
  );
  if (fault === undefined) return null;
  const { subject, data } = fault;
  const what =
    data.length > bytesMax
      ? `a message of ${data.length} bytes, at most ${bytesMax}`
      : `a subject of ${subject.length} characters, at most ${sentSubjectBytesMax}`;
  return new JetStreamRejected({ operation, code: tooLarge, detail: `${what}: ${subject.slice(0, 200)}` });
}

let batches = 0;
const batchPrefix = Math.random().toString(36).slice(2, 10);

function lines(write: Write): string {
  let out = "";
  if (write.expected !== undefined) out += `Nats-Expected-Last-Subject-Sequence: ${write.expected}\r\n`;
  if (write.messageId !== undefined) out += `Nats-Msg-Id: ${write.messageId}\r\n`;
  if (write.ttlSeconds !== undefined) out += `Nats-TTL: ${write.ttlSeconds}s\r\n`;
  if (write.marker === true) out += "KV-Operation: DEL\r\n";
  if (write.headers !== undefined)
    for (const [name, value] of Object.entries(write.headers)) out += `${name}: ${value}\r\n`;
  return out;
}

/**
 * Sends the batch from plain code, for hot paths that hold their own promises.
 * @returns the stream sequence of each write, in order, or the error as a value.
 */
export async function commitUnsafe(
  nats: NatsService,
  operation: string,
  writes: ReadonlyArray<Write>,
  deadlineMs: number,
): Promise<ReadonlyArray<number> | JetStreamError> {
  const count = writes.length;
  if (count > transactionMessagesMax) {
    return new JetStreamRejected({
      operation,
      code: 10199,
      detail: `${count} writes, at most ${transactionMessagesMax}`,
    });
  }
  const refused = unsendable(nats, operation, writes);
  if (refused !== null) return refused;
  const nc = nats.connection;
  let answer: Msg;
  try {
    if (count === 1) {
      const only = writes[0];
      if (only === undefined) return [];
      answer = await nats.ask(only.subject, only.data, deadlineMs, wireHeaders(lines(only)));
    } else {
      const id = `${batchPrefix}-${(batches++).toString(36)}`;
      for (let i = 0; i < count - 1; i++) {
        const write = writes[i];
        if (write === undefined) continue;
        nc.publish(write.subject, write.data, {
          headers: wireHeaders(`Nats-Batch-Id: ${id}\r\nNats-Batch-Sequence: ${i + 1}\r\n${lines(write)}`),
        });
      }
      const last = writes[count - 1];
      if (last === undefined) return [];
      answer = await nats.ask(
        last.subject,
        last.data,
        deadlineMs,
        wireHeaders(
          `Nats-Batch-Id: ${id}\r\nNats-Batch-Sequence: ${count}\r\nNats-Batch-Commit: 1\r\n${lines(last)}`,
        ),
      );
    }
    // Within: what is no acknowledgement at all (somebody else answers there) is no answer.
    const ack = readPubAck(operation, answer);
    if ("_tag" in ack) return ack;
    return writes.map((_, i) => ack.seq - (count - 1 - i));
  } catch (cause) {
    return unavailable(operation)(cause);
  }
}

/**
 * Commits the writes together. All of them must belong to one stream.
 *
 * Fails with `TransactionConflict` (an expected revision has changed), `TransactionDuplicate` (a message id is stored already),
 * `TransactionBusy` (try again), `JetStreamRejected` (a person must look), or `NatsUnavailable`, after which the batch
 * may or may not be stored: read a key that only this batch can have written.
 */
export const commit = (
  nats: NatsService,
  operation: string,
  writes: ReadonlyArray<Write>,
  deadlineMs = 5_000,
): Effect.Effect<ReadonlyArray<number>, JetStreamError> =>
  Effect.flatMap(
    Effect.promise(() => commitUnsafe(nats, operation, writes, deadlineMs)),
    (result) => ("_tag" in result ? Effect.fail(result) : Effect.succeed(result)),
  );

/** One message, acknowledged; `duplicate` when its message id is stored already. */
export async function publishUnsafe(
  nats: NatsService,
  operation: string,
  write: Write,
  deadlineMs: number,
): Promise<{ readonly seq: number; readonly duplicate: boolean } | JetStreamError> {
  const refused = unsendable(nats, operation, [write]);
  if (refused !== null) return refused;
  try {
    const answer = await nats.ask(write.subject, write.data, deadlineMs, wireHeaders(lines(write)));
    return readPubAck(operation, answer);
  } catch (cause) {
    return unavailable(operation)(cause);
  }
}

export const publish = (
  nats: NatsService,
  operation: string,
  write: Write,
  deadlineMs = 5_000,
): Effect.Effect<{ readonly seq: number; readonly duplicate: boolean }, JetStreamError> =>
  Effect.flatMap(
    Effect.promise(() => publishUnsafe(nats, operation, write, deadlineMs)),
    (result) => ("_tag" in result ? Effect.fail(result) : Effect.succeed(result)),
  );

/**
 * Stores writes that need not stand or fall together: a few singly, side by side, which is sooner on disk (see
 * {@link commitBatchFrom}), more in one batch. After an error any of them may be stored.
 */
export const storeEach = (
  nats: NatsService,
  operation: string,
  writes: ReadonlyArray<Write>,
  deadlineMs = 5_000,
): Effect.Effect<void, JetStreamError> =>
  writes.length >= commitBatchFrom
    ? Effect.asVoid(commit(nats, operation, writes, deadlineMs))
    : Effect.flatMap(
        Effect.promise(() =>
          Promise.all(writes.map((write) => publishUnsafe(nats, operation, write, deadlineMs))),
        ),
        (answers) => {
          const failed = answers.find((answer) => "_tag" in answer);
          return failed !== undefined && "_tag" in failed ? Effect.fail(failed) : Effect.void;
        },
      );
