/**
 * What a receiver of webhooks is told, and what is kept of it: pure functions and the record `notified.<receiver>.…`.
 *
 * A file record is rewritten after it became known (other content is refused under its name, somebody discards that), and
 * each rewrite wakes whoever follows it. What was told is therefore remembered by content: a file's ledger key and etag make one
 * mark, and a mark that stands in the exposure's record is never told again.
 */
import { createHash } from "node:crypto";
import * as Schema from "effect/Schema";
import { notifiedMarksMax, notifiedNamesBytesMax, notifiedRefusalsMax } from "../limits.ts";
import type { FileBody, LedgerRecord } from "./records.ts";
import { clipText, encodeJson, LedgerCorrupt, recordVersion } from "./records.ts";

/** One known file that a receiver is to be told of. */
export interface Told {
  readonly instrument: string;
  readonly day: string;
  readonly exposure: string;
  readonly filename: string;
  readonly mark: string;
}

/** 72 bits of the file's key and content. */
export const markOf = (recordKey: string, etag: string): string =>
  createHash("sha256").update(`${recordKey}\n${etag}`).digest("base64url").slice(0, 12);

/** What is to be told of a file record; null where nothing is: not known, of no exposure, or a duplicate of the catalog. */
export function toldOf(recordKey: string, record: LedgerRecord<FileBody>): Told | null {
  const { identity, key, catalogHadIt } = record.body;
  if (record.state !== "known" || catalogHadIt === true) return null;
  if (identity == null || identity.exposure === null || identity.exposure === "") return null;
  return {
    instrument: identity.instrument ?? "-",
    day: identity.day ?? "-",
    exposure: identity.exposure,
    filename: key.slice(key.lastIndexOf("/") + 1),
    mark: markOf(recordKey, record.etag),
  };
}

/** The body of one webhook, as its receivers have always got it. */
export const webhookBody = (exposure: string, files: ReadonlyArray<Told>): string =>
  JSON.stringify({ exp_id: exposure, filenames: files.map((file) => file.filename) });

/** The same for each try of the same request, on whichever node; other files are another key. */
export const idempotencyKey = (receiver: string, exposure: string, files: ReadonlyArray<Told>): string =>
  createHash("sha256")
    .update(JSON.stringify([receiver, exposure, files.map((file) => file.mark).sort()]))
    .digest("hex")
    .slice(0, 32);

/** A request that the receiver will not take, or that was given up. */
export interface Refusal {
  /** ISO 8601, UTC. */
  readonly at: string;
  readonly reason: string;
  readonly filenames: ReadonlyArray<string>;
}

/** `notified.<receiver>.<day>.<instrument>/<exposure>`: what the receiver was told of the exposure. */
export interface NotifiedRecord {
  readonly v: number;
  readonly exposure: string;
  /** Requests accepted. */
  readonly accepted: number;
  /** When the last one was. */
  readonly at: string | null;
  /** Marks of files that need not be told any more: accepted or refused. */
  readonly told: ReadonlyArray<string>;
  /** The latest requests that were not taken, in order. */
  readonly refused: ReadonlyArray<Refusal>;
}

export const nothingNotified = (exposure: string): NotifiedRecord => ({
  v: recordVersion,
  exposure,
  accepted: 0,
  at: null,
  told: [],
  refused: [],
});

function withMarks(before: NotifiedRecord, files: ReadonlyArray<Told>): ReadonlyArray<string> {
  return [...new Set([...before.told, ...files.map((file) => file.mark)])].slice(-notifiedMarksMax);
}

export const accepted = (
  before: NotifiedRecord,
  files: ReadonlyArray<Told>,
  now: number,
): NotifiedRecord => ({
  ...before,
  accepted: before.accepted + 1,
  at: new Date(now).toISOString(),
  told: withMarks(before, files),
});

/** As many names as a refusal may hold, and how many more there are: the record is one message, whatever files are called. */
function namesOf(files: ReadonlyArray<Told>): ReadonlyArray<string> {
  const named: Array<string> = [];
  let bytes = 0;
  for (const { filename } of files) {
    const name = clipText(filename);
    bytes += encodeJson(name).length + 1;
    if (bytes > notifiedNamesBytesMax) return [...named, `… and ${files.length - named.length} more`];
    named.push(name);
  }
  return named;
}

export const refusedBy = (
  before: NotifiedRecord,
  files: ReadonlyArray<Told>,
  reason: string,
  now: number,
): NotifiedRecord => {
  const refusal: Refusal = {
    at: new Date(now).toISOString(),
    reason: clipText(reason),
    filenames: namesOf(files),
  };
  return {
    ...before,
    told: withMarks(before, files),
    refused: [...before.refused, refusal].slice(-notifiedRefusalsMax),
  };
};

const isNotified = Schema.is(
  Schema.Struct({
    v: Schema.Number,
    exposure: Schema.String,
    accepted: Schema.Number,
    told: Schema.Array(Schema.String),
    refused: Schema.Array(
      Schema.Struct({ at: Schema.String, reason: Schema.String, filenames: Schema.Array(Schema.String) }),
    ),
  }),
);

export function decodeNotified(key: string, data: Uint8Array): NotifiedRecord {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(data));
  } catch {
    throw new LedgerCorrupt(key, "what a receiver was told");
  }
  if (!isNotified(value)) throw new LedgerCorrupt(key, "what a receiver was told");
  return value as unknown as NotifiedRecord;
}

export type WebhookVerdict =
  | { readonly type: "accepted" }
  /** Tried again. `afterMs`: not sooner, the receiver says. */
  | { readonly type: "again"; readonly reason: string; readonly afterMs: number }
  /** The receiver understood it and will not have it. */
  | { readonly type: "refused"; readonly reason: string };

/**
 * Statuses of 4xx that speak of the door and not of this request: credentials, the address, haste. An exposure is not given up for
 * a password that has changed.
 */
const aboutTheDoor = new Set([401, 403, 404, 405, 407, 408, 421, 423, 425, 426, 429]);

/** Seconds of `Retry-After`; 0 for none. A date there is left to the backoff. */
function retryAfterMs(header: string | undefined): number {
  return header !== undefined && /^\d{1,6}$/.test(header.trim()) ? Number(header) * 1_000 : 0;
}

/** @param excerpt beginning of the answer's body */
export function judgeStatus(status: number, retryAfter: string | undefined, excerpt: string): WebhookVerdict {
  if (status >= 200 && status < 300) return { type: "accepted" };
  const words = excerpt.trim().replaceAll(/\s+/g, " ").slice(0, 200);
  const reason = `HTTP ${status}${words === "" ? "" : `: ${words}`}`;
  if (status >= 400 && status < 500 && !aboutTheDoor.has(status)) return { type: "refused", reason };
  return { type: "again", reason, afterMs: retryAfterMs(retryAfter) };
}
