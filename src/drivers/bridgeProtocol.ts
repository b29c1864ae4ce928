/**
 * What is said between a site's node and a bridge: one JSON object a line. Pure; docs/driver-protocol.md is its text for
 * those who write bridges.
 */
import { clipText } from "../protocol/records.ts";
import type { IngestItem, IngestResult } from "./Driver.ts";

/** `reason` of items whose answer was missing, contradictory or not understood. */
export const protocolReason = "DriverProtocol";
/** `reason` of an item that fits into no request. */
export const tooLongReason = "DriverLineTooLong";

/** What a line of a bridge says. */
export type BridgeMessage =
  | { readonly type: "ready"; readonly about: Readonly<Record<string, unknown>> }
  /** The bridge cannot go on as a whole. */
  | { readonly type: "fatal"; readonly fatal: string; readonly detail: string }
  | { readonly type: "answer"; readonly batch: string; readonly items: ReadonlyArray<unknown> }
  | { readonly type: "garbage"; readonly why: string };

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const textOr = (value: unknown, otherwise: string): string =>
  typeof value === "string" && value !== "" ? clipText(value) : otherwise;

/** Reads one line. Never throws. */
export function readBridgeLine(line: string): BridgeMessage {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return { type: "garbage", why: `not JSON: ${JSON.stringify(line.slice(0, 200))}` };
  }
  if (!isObject(value)) return { type: "garbage", why: "a line is one JSON object" };
  const { ready, fatal, batch, items } = value;
  if (fatal !== undefined) {
    return {
      type: "fatal",
      fatal: textOr(fatal, "fatal"),
      detail: textOr(value["detail"], "it gave no detail"),
    };
  }
  if (ready === true) return { type: "ready", about: value };
  if (typeof batch !== "string")
    return { type: "garbage", why: "neither ready, nor fatal, nor the answer to a batch" };
  if (!Array.isArray(items))
    return { type: "garbage", why: `the answer to ${clipText(batch)} has no "items" array` };
  return { type: "answer", batch, items };
}

/** Days, nanoseconds and the like may be larger than a double holds: such integers travel as strings. */
const bigAsText = (_: string, value: unknown): unknown => (typeof value === "bigint" ? String(value) : value);

/**
 * Nothing but ASCII: many a reader of lines takes U+2028, U+0085 and others for the end of one, and many a bridge's locale is C.
 */
const asAscii = (json: string): string =>
  json.replaceAll(/[\x7f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);

/** One item as it stands in a request, in ASCII. */
export function encodeItem(item: IngestItem): string {
  const kind = item.dependent ? "guider" : item.identity?.exposure == null ? "object" : "raw";
  const json = JSON.stringify(
    {
      key: item.record,
      uri: item.uri,
      kind,
      bucket: item.bucket,
      object: item.key,
      etag: item.etag,
      size: item.size,
      identity: item.identity,
      header: item.header,
    },
    bigAsText,
  );
  return asAscii(json);
}

/** @param items as {@link encodeItem} gave them */
export function encodeRequest(batch: string, deadlineMs: number, items: ReadonlyArray<string>): string {
  return `{"batch":${JSON.stringify(batch)},"deadline_ms":${deadlineMs},"items":[${items.join(",")}]}\n`;
}

/** Bytes of a request beside its items; each item costs one more, for its comma. */
const frameBytes = 256;

export interface Request {
  /** Places in the batch of the items that it carries. */
  readonly places: ReadonlyArray<number>;
  readonly items: ReadonlyArray<string>;
}

/** Cuts a batch into as few requests as keep within `lineBytesMax`, in order. `tooLong` fit into none. */
export function cutRequests(
  items: ReadonlyArray<IngestItem>,
  lineBytesMax: number,
): { readonly requests: ReadonlyArray<Request>; readonly tooLong: ReadonlyArray<number> } {
  const requests: Array<{ places: Array<number>; items: Array<string> }> = [];
  const tooLong: Array<number> = [];
  let bytes = Number.POSITIVE_INFINITY;
  items.forEach((item, place) => {
    const text = encodeItem(item);
    const cost = text.length + 1;
    if (frameBytes + cost > lineBytesMax) {
      tooLong.push(place);
      return;
    }
    if (bytes + cost > lineBytesMax) {
      requests.push({ places: [], items: [] });
      bytes = frameBytes;
    }
    const last = requests.at(-1);
    last?.places.push(place);
    last?.items.push(text);
    bytes += cost;
  });
  return { requests, tooLong };
}

export interface JudgedAnswer {
  /** One an item, in the items' order. */
  readonly results: ReadonlyArray<IngestResult>;
  /** What was wrong with the answer, in words: its bridge is not to be trusted any more. Null: nothing. */
  readonly breach: string | null;
}

/** A word that groups equal failures; anything else goes into the detail. */
const reasonPattern = /^[A-Za-z][\w.-]{0,63}$/;

function failure(status: "permanent" | "retry", answer: Readonly<Record<string, unknown>>): IngestResult {
  const said = answer["class"];
  const detail = textOr(answer["detail"], "the bridge gave no detail");
  if (typeof said === "string" && reasonPattern.test(said)) return { status, reason: said, detail };
  const reason = status === "permanent" ? "CatalogRefused" : "CatalogRetry";
  return {
    status,
    reason,
    detail: said === undefined ? detail : clipText(`${JSON.stringify(said)}: ${detail}`),
  };
}

function readAnswer(answer: Readonly<Record<string, unknown>>): IngestResult | null {
  const { status, detail } = answer;
  switch (status) {
    case "ingested":
    case "duplicate":
      return typeof detail === "string" && detail !== "" ? { status, detail: clipText(detail) } : { status };
    case "permanent":
    case "retry":
      return failure(status, answer);
    default:
      return null;
  }
}

const unclear = (detail: string): IngestResult => ({ status: "retry", reason: protocolReason, detail });

/**
 * What an answer says of each item that was asked. An item whose answer is missing, not understood or contradicted is to be
 * tried again; the others keep theirs, whatever else is wrong: what the bridge has ingested it has ingested.
 */
export function judgeAnswer(keys: ReadonlyArray<string>, answers: ReadonlyArray<unknown>): JudgedAnswer {
  const asked = new Set(keys);
  const results = new Map<string, IngestResult>();
  const faults: Array<string> = [];
  for (const answer of answers) {
    const key = isObject(answer) ? answer["key"] : undefined;
    if (!isObject(answer) || typeof key !== "string") {
      faults.push("an answer without a key");
      continue;
    }
    if (!asked.has(key)) {
      faults.push(`an answer for ${clipText(key)}, which was not asked`);
      continue;
    }
    const before = results.get(key);
    const said = readAnswer(answer) ?? unclear(clipText(`its status is ${JSON.stringify(answer["status"])}`));
    if (before === undefined) {
      results.set(key, said);
      if (said.status === "retry" && said.reason === protocolReason) faults.push(`${key}: ${said.detail}`);
      continue;
    }
    faults.push(`two answers for ${key}`);
    if (before.status !== said.status)
      results.set(key, unclear(`answered ${before.status} and ${said.status}`));
  }
  const missing = keys.filter((key) => !results.has(key)).length;
  if (missing > 0) faults.push(`no answer for ${missing} of ${keys.length} items`);
  return {
    results: keys.map((key) => results.get(key) ?? unclear("the answer to its batch does not name it")),
    breach:
      faults[0] === undefined
        ? null
        : `${faults[0]}${faults.length > 1 ? ` and ${faults.length - 1} more` : ""}`,
  };
}
