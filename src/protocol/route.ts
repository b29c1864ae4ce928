/** From an object's name to its lane and what its key says of it. Pure; the lane's pattern is the site's. */
import type { Place } from "./keys.ts";
import { encodeTail, encodeToken, noDay, objectTail } from "./keys.ts";
import type { Identity } from "./records.ts";

/** A mission's reading of file names; jobs/names.ts makes one. */
export interface NameReader {
  readonly recognise: (
    name: string,
  ) => { readonly ok: true; readonly file: { readonly dataset: string } } | { readonly ok: false };
}

export interface LaneRoute {
  readonly name: string;
  readonly kind: "exposure" | "object";
  readonly buckets: ReadonlyArray<string>;
  readonly accept: RegExp;
  readonly pattern: RegExp | null;
  /** Where names say what the files are: then there is no pattern. */
  readonly names?: NameReader | null;
}

/** What the named groups of a lane's pattern say. */
export interface KeyFacts {
  /** False where the lane has a pattern and the key misses it. */
  readonly understood: boolean;
  readonly instrument: string;
  readonly day: string;
  readonly identity: Identity;
}

const nobody: Identity = {
  instrument: null,
  day: null,
  exposure: null,
  group: null,
  snap: null,
  detector: null,
  seq: null,
};

function integer(text: string | undefined): number | null {
  if (text === undefined || !/^\d{1,15}$/.test(text)) return null;
  return Number(text);
}

/** `2025/04/16` and `2025-04-16` are the day 20250416; other texts stay as they are. */
function dayOf(text: string): string {
  const digits = text.replaceAll(/[/-]/g, "");
  return /^\d{8}$/.test(digits) ? digits : text;
}

export function keyFacts(pattern: RegExp | null, key: string): KeyFacts {
  if (pattern === null) return { understood: true, instrument: "-", day: noDay, identity: nobody };
  const groups = pattern.exec(key)?.groups;
  if (groups === undefined) return { understood: false, instrument: "-", day: noDay, identity: nobody };
  const day = groups["day"] === undefined ? null : dayOf(groups["day"]);
  return {
    understood: true,
    instrument: groups["instrument"] ?? "-",
    day: day ?? noDay,
    identity: {
      instrument: groups["instrument"] ?? null,
      day,
      exposure: groups["exposure"] ?? null,
      group: groups["group"] ?? null,
      snap: integer(groups["snap"]),
      detector: groups["detector"] ?? null,
      seq: integer(groups["seq"]),
    },
  };
}

/** The name alone of an object's key. */
export const fileName = (key: string): string => key.slice(key.lastIndexOf("/") + 1);

const datesInNames = /(?<!\d)(?:([1-9]\d{3})(\d{2})(\d{2})|([1-9]\d{3})_(\d{3}))(?!\d)/g;

/**
 * The first day in a name, be it written 20260310 or 2026_069. Not by the mission's declaration, though that would say it as well: the
 * day is a part of the record's key, and once a declaration is mended it must find what it refused before under the same key.
 */
export function dayInName(name: string): string {
  for (const [, year, month, day, yearOfDay, ordinal] of name.matchAll(datesInNames)) {
    const ms = Date.UTC(
      Number(year ?? yearOfDay),
      month === undefined ? 0 : Number(month) - 1,
      Number(day ?? ordinal),
    );
    const text = new Date(ms).toISOString().slice(0, 10).replaceAll("-", "");
    // 20260230 and 2025_366 would be another day.
    if (
      month === undefined
        ? Number(ordinal) > 0 && text.startsWith(yearOfDay ?? "")
        : text === `${year}${month}${day}`
    ) {
      return text;
    }
  }
  return noDay;
}

/** What a lane reads of an object's key. */
export function laneFacts(lane: Pick<LaneRoute, "pattern" | "names">, key: string): KeyFacts {
  const { names } = lane;
  if (names === null || names === undefined) return keyFacts(lane.pattern, key);
  const name = fileName(key);
  const day = dayInName(name);
  const found = names.recognise(name);
  if (!found.ok) return { understood: false, instrument: "-", day, identity: nobody };
  const instrument = found.file.dataset.slice(0, found.file.dataset.indexOf("/"));
  const identity = { ...nobody, instrument, day: day === noDay ? null : day };
  return { understood: true, instrument, day, identity };
}

/**
 * Where the record of an object stands. In a lane with names that is under the name alone: within a mission one name is one file,
 * whichever folder or bucket it comes by, so a second one of other content meets the first one's record and is refused there. Bucket and
 * key of the file that is known stand in its record. A path made from the name was rejected: it would say nothing that the name does not.
 *
 * @param day as {@link laneFacts} says it
 */
export const lanePlace = (
  lane: Pick<LaneRoute, "name" | "names">,
  bucket: string,
  key: string,
  day: string,
): Place => ({
  mailbox: lane.name,
  day: encodeToken(day),
  tail: lane.names === null || lane.names === undefined ? objectTail(bucket, key) : encodeTail(fileName(key)),
});

export type Routed<L extends LaneRoute> =
  | { readonly type: "lane"; readonly lane: L; readonly facts: KeyFacts }
  | { readonly type: "skipped" }
  | { readonly type: "unknown-bucket" };

/** Finds lanes by bucket; the first whose `accept` is found in the key takes it. */
export class Router<L extends LaneRoute> {
  readonly #lanes = new Map<string, Array<L>>();

  constructor(lanes: Iterable<L>) {
    for (const lane of lanes) {
      for (const bucket of lane.buckets) {
        const known = this.#lanes.get(bucket);
        if (known === undefined) this.#lanes.set(bucket, [lane]);
        else known.push(lane);
      }
    }
  }

  route(bucket: string, key: string): Routed<L> {
    const lanes = this.#lanes.get(bucket);
    if (lanes === undefined) return { type: "unknown-bucket" };
    const lane = lanes.find((candidate) => candidate.accept.test(key));
    return lane === undefined ? { type: "skipped" } : { type: "lane", lane, facts: laneFacts(lane, key) };
  }
}

/** The day that a file's exposure names, where it is another than that of its path; null where they agree, or one names none. */
export function otherDay(kind: "exposure" | "object", facts: KeyFacts): string | null {
  if (kind !== "exposure" || facts.identity.exposure === null || facts.day === noDay) return null;
  const day = facts.identity.exposure.split("_", 3)[2];
  return day === undefined || day === facts.day || !/^\d{8}$/.test(day) ? null : day;
}

/** A bucket as its readers want it named; one that has a prefix keeps it. */
export const profiled = (profile: string | null, bucket: string): string =>
  profile === null || /[@:]/.test(bucket) ? bucket : `${profile}@${bucket}`;

/** One record of the answer that today's callers of `/notify` get. */
export function queuedRecord(
  kind: "exposure" | "object",
  bucket: string,
  key: string,
  facts: KeyFacts,
): Readonly<Record<string, string>> {
  const filename = key.slice(key.lastIndexOf("/") + 1);
  const common = {
    bucket,
    filename,
    instrument: facts.instrument,
    obs_day: facts.day,
    path: `${bucket}/${key}`,
  };
  if (kind === "object" || facts.identity.exposure === null) return common;
  const [code = "", controller = "", , seq = ""] = facts.identity.exposure.split("_");
  return {
    ...common,
    exp_id: facts.identity.exposure,
    instrument_code: code,
    controller,
    seq_num: seq,
  };
}
