/**
 * Ledger keys and stream subjects: words a person can read, reversible for any name the outside world invents.
 *
 * A KV key may hold `A-Z a-z 0-9 - _ / = .`; everything else, and `=` itself, is written as `=HH` for each
 * UTF-8 byte. A *token* also escapes the dot, because dots separate tokens. A *tail* is the last part of a key and keeps its
 * dots (`R22_S11.fits` stays readable) except where one would make an empty token.
 */

import { subjectBytesMax } from "../limits.ts";

const encoder = new TextEncoder();
// Without ignoreBOM a name that begins with U+FEFF would come back without it.
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const plainToken = /^[A-Za-z0-9_/-]+$/;
const plainTail = /^[A-Za-z0-9_/-]+(?:\.[A-Za-z0-9_/-]+)*$/;
/** Stands for the empty string, which no token may be. */
const emptyToken = "=_";
/** Stands where a lane's pattern names no day. */
export const noDay = "-";

function hex(byte: number): string {
  return `=${byte.toString(16).toUpperCase().padStart(2, "0")}`;
}

function isPlain(byte: number): boolean {
  return (
    (byte >= 0x61 && byte <= 0x7a) ||
    (byte >= 0x41 && byte <= 0x5a) ||
    (byte >= 0x30 && byte <= 0x39) ||
    byte === 0x2d ||
    byte === 0x5f ||
    byte === 0x2f
  );
}

/** Encodes any well-formed string as one subject token. Lone surrogates are not well-formed: see {@link isEncodable}. */
export function encodeToken(text: string): string {
  if (plainToken.test(text)) return text;
  if (text === "") return emptyToken;
  let out = "";
  for (const byte of encoder.encode(text)) out += isPlain(byte) ? String.fromCharCode(byte) : hex(byte);
  return out;
}

/** Encodes any well-formed string as the tail of a key: like a token, but with its dots kept where they may stand. */
export function encodeTail(text: string): string {
  if (plainTail.test(text)) return text;
  if (text === "") return emptyToken;
  const bytes = encoder.encode(text);
  let out = "";
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i] ?? 0;
    const dotMayStand = byte === 0x2e && i > 0 && i < bytes.length - 1 && bytes[i - 1] !== 0x2e;
    out += isPlain(byte) || dotMayStand ? String.fromCharCode(byte) : hex(byte);
  }
  return out;
}

/** Reverses {@link encodeToken} and {@link encodeTail}; null for text that neither wrote. */
export function decodeKeyPart(encoded: string): string | null {
  if (!encoded.includes("=")) return encoded;
  if (encoded === emptyToken) return "";
  const bytes: Array<number> = [];
  for (let i = 0; i < encoded.length; i++) {
    if (encoded[i] !== "=") {
      bytes.push(encoded.charCodeAt(i));
      continue;
    }
    const digits = encoded.slice(i + 1, i + 3);
    if (!/^[0-9A-F]{2}$/.test(digits)) return null;
    bytes.push(Number.parseInt(digits, 16));
    i += 2;
  }
  try {
    return decoder.decode(Uint8Array.from(bytes));
  } catch {
    // Not UTF-8, so not something this module wrote: the caller is told by the null.
    return null;
  }
}

/** False for text with lone surrogates, which UTF-8 cannot carry and which therefore has no reversible key. */
export function isEncodable(text: string): boolean {
  return text.isWellFormed();
}

/**
 * A mailbox is what a claims actor reads: a lane's arrivals (`lsstcam`), a lane's runs (`run-quicklook`) or a user
 * actor's items (`item-thumbnails`). Lane names may not begin with `run-` or `item-`, so the name alone says which.
 */
export type MailboxKind = "file" | "run" | "item";

export function mailboxKind(mailbox: string): MailboxKind {
  if (mailbox.startsWith("run-")) return "run";
  if (mailbox.startsWith("item-")) return "item";
  return "file";
}

export const runMailbox = (lane: string): string => `run-${lane}`;
export const itemMailbox = (actor: string): string => `item-${actor}`;

function mailboxName(mailbox: string): string {
  const kind = mailboxKind(mailbox);
  return kind === "file" ? mailbox : mailbox.slice(kind.length + 1);
}

/** Where one thing stands: its mailbox, its day, and its own name, encoded as the tail of every key about it. */
export interface Place {
  readonly mailbox: string;
  readonly day: string;
  readonly tail: string;
}

export const objectTail = (bucket: string, key: string): string => encodeTail(`${bucket}/${key}`);

/** Reverses {@link objectTail}; a bucket's name holds no slash, an object's key may. */
export function objectOfTail(tail: string): { readonly bucket: string; readonly key: string } | null {
  const text = decodeKeyPart(tail);
  if (text === null) return null;
  const slash = text.indexOf("/");
  return slash < 1 ? null : { bucket: text.slice(0, slash), key: text.slice(slash + 1) };
}

/** `file.<lane>.<day>.<object>`, `run.<lane>.<day>.<run>` or `item.<actor>.<day>.<id>`: the one record. */
export function recordKey(place: Place): string {
  return `${mailboxKind(place.mailbox)}.${mailboxName(place.mailbox)}.${place.day}.${place.tail}`;
}

/** Reverses {@link recordKey}; null for a key that is no record. */
export function placeOfRecordKey(key: string): Place | null {
  const parts = splitKey(key, 3);
  if (parts === null) return null;
  const [kind, name, day, tail] = parts;
  switch (kind) {
    case "file":
      return { mailbox: name, day, tail };
    case "run":
      return { mailbox: runMailbox(name), day, tail };
    case "item":
      return { mailbox: itemMailbox(name), day, tail };
    default:
      return null;
  }
}

function splitKey(key: string, dots: 3): readonly [string, string, string, string] | null {
  const parts: Array<string> = [];
  let from = 0;
  for (let i = 0; i < dots; i++) {
    const dot = key.indexOf(".", from);
    if (dot < 0) return null;
    parts.push(key.slice(from, dot));
    from = dot + 1;
  }
  const [a, b, c] = parts;
  if (a === undefined || b === undefined || c === undefined || from >= key.length) return null;
  return [a, b, c, key.slice(from)];
}

export const claimKey = (mailbox: string, node: string, worker: number): string =>
  `claim.${mailbox}.${encodeToken(node)}.${worker}`;

/** Reverses {@link claimKey}. */
export function claimOfKey(
  key: string,
): { readonly mailbox: string; readonly node: string; readonly worker: number } | null {
  const parts = splitKey(key, 3);
  if (parts === null || parts[0] !== "claim") return null;
  const node = decodeKeyPart(parts[2]);
  const worker = Number(parts[3]);
  return node === null || !Number.isInteger(worker) ? null : { mailbox: parts[1], node, worker };
}

export type IndexName = "due" | "parked" | "waiting";

export const dueKey = (place: Place): string => `due.${place.mailbox}.${place.day}.${place.tail}`;
export const parkedKey = (place: Place): string => `parked.${place.mailbox}.${place.day}.${place.tail}`;
/** `waiting.<needed key, as one token>.<mailbox>.<day>.<tail>`: everything that waits for one key shares a prefix. */
export const waitingKey = (needed: string, place: Place): string =>
  `waiting.${encodeToken(needed)}.${place.mailbox}.${place.day}.${place.tail}`;

/**
 * Whether every key about the thing, and what else is named, can be a subject. Object names fit as S3 grants them; what does not is
 * a key of the outermost length in another script of which a lane's pattern takes much into the day.
 */
export function namesFit(place: Place, ...subjects: ReadonlyArray<string>): boolean {
  // The longest of the three keys that share the place's end.
  const keys = [kvSubject(ledgerBucket, parkedKey(place)), ...subjects];
  return keys.every((key) => key.length <= subjectBytesMax);
}

/** Reverses {@link dueKey} and {@link parkedKey}. */
export function placeOfIndexKey(key: string): Place | null {
  const parts = splitKey(key, 3);
  if (parts === null || (parts[0] !== "due" && parts[0] !== "parked")) return null;
  return { mailbox: parts[1], day: parts[2], tail: parts[3] };
}

/** Reverses {@link waitingKey}. */
export function placeOfWaitingKey(key: string): { readonly needed: string; readonly place: Place } | null {
  const parts = splitKey(key, 3);
  if (parts === null || parts[0] !== "waiting") return null;
  const needed = decodeKeyPart(parts[1]);
  const dot = parts[3].indexOf(".");
  if (needed === null || dot < 1) return null;
  return {
    needed,
    place: { mailbox: parts[2], day: parts[3].slice(0, dot), tail: parts[3].slice(dot + 1) },
  };
}

export const exposureKey = (instrument: string, day: string, exposure: string): string =>
  `exposure.${encodeToken(instrument)}.${encodeToken(day)}.${encodeTail(exposure)}`;

/** @param queue of the lane; left out: the lane's ordinary one */
export const readyKey = (
  place: Place,
  generation: number,
  queue: string = mailboxName(place.mailbox),
): string => `ready.${queue}.${place.day}.${place.tail}.${generation}`;

export const jobKey = (job: string, day: string, partition: string): string =>
  `job.${job}.${encodeToken(day)}.${encodeTail(partition)}`;

/** What one receiver of webhooks was told of an exposure. */
export const notifiedKey = (receiver: string, day: string, instrument: string, exposure: string): string =>
  `notified.${receiver}.${encodeToken(day)}.${encodeTail(`${instrument}/${exposure}`)}`;

export const visitKey = (instrument: string, day: string, visit: string): string =>
  `visit.${encodeToken(instrument)}.${encodeToken(day)}.${encodeTail(visit)}`;

export const presenceKey = (instrument: string, group: string, snap: number, detector: string): string =>
  `${encodeToken(instrument)}.${encodeToken(group)}.${snap}.${encodeToken(detector)}`;

export const ledgerBucket = "ledger";
export const nodesBucket = "nodes";
export const presenceBucket = "presence";
/** Marks of the files of purged days. */
export const seenBucket = "seen";
export const kvStream = (bucket: string): string => `KV_${bucket}`;
export const kvSubject = (bucket: string, key: string): string => `$KV.${bucket}.${key}`;

export const arrivalsStream = "ARRIVALS";
/** Stands while a restore has begun and not ended: no node starts, and nothing takes the site for a whole one. */
export const unfinishedStream = "RESTORE_UNFINISHED";
export const itemsStream = "ITEMS";

/** `arrive.<lane>.<instrument>.<day>`: subject counts are the statistics of what was received. */
export const arrivalSubject = (lane: string, instrument: string, day: string): string =>
  `arrive.${lane}.${encodeToken(instrument)}.${encodeToken(day)}`;
/** `replay.<lane>.<instrument>.<day>`, in the same stream: taken only while nothing of `arrive.<lane>` waits. */
export const replaySubject = (lane: string, instrument: string, day: string): string =>
  `replay.${lane}.${encodeToken(instrument)}.${encodeToken(day)}`;
/** `items.<actor>.<day>`: what is sent to a user's own claims actor. */
export const itemSubject = (actor: string, day: string): string => `items.${actor}.${encodeToken(day)}`;

/** Announces each group as it comes, on core NATS: `orrery.present.<instrument>.<group>.<snap>.<detector>`. */
export const presentSubject = (key: string): string => `orrery.present.${key}`;
export const presenceRequestSubject = "orrery.presence";
