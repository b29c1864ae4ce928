/**
 * Which exposures are observed as one visit. Pure.
 *
 * A visit's record is what all of its files add up to, each by itself: adding is commutative, associative and idempotent, so neither
 * the order in which files come, nor how often, nor on which node can matter. There is no time in it for that reason.
 */
import * as Schema from "effect/Schema";
import { visitKey } from "./keys.ts";
import type { FileBody, LedgerRecord } from "./records.ts";
import { LedgerCorrupt, recordVersion } from "./records.ts";

/**
 * `one-to-one`: each exposure is a visit. `by-group`: the exposures of a group (two snaps are one visit).
 * `by-counter`: the exposures that one sequence counts, from the first of it to the last.
 */
export type VisitSystem = "one-to-one" | "by-group" | "by-counter";

/** What one known file says of its visit. */
export interface VisitFact {
  readonly system: VisitSystem;
  readonly instrument: string;
  readonly day: string;
  readonly visit: string;
  readonly exposure: string;
  readonly group: string | null;
  readonly detector: string | null;
  /** How many exposures the header says that the visit has; null where it does not say. */
  readonly promised: number | null;
}

/** `visit.<instrument>.<day>.<visit>` */
export interface VisitRecord {
  readonly v: number;
  readonly visit: string;
  readonly system: VisitSystem;
  readonly instrument: string;
  readonly day: string;
  readonly group: string | null;
  /** In order of name, which is the order of taking. */
  readonly exposures: ReadonlyArray<string>;
  /** Of each exposure, those of which a file is known, in order. */
  readonly detectors: Readonly<Record<string, ReadonlyArray<string>>>;
  readonly promised: number | null;
  /** Whether each exposure that the headers promise has come; null where none does. Says nothing of detectors. */
  readonly complete: boolean | null;
}

/**
 * First exposure of a sequence: the name with its number counted back, where the name ends in it.
 * `MC_O_20251121_000157`, number 157, second of its sequence → `MC_O_20251121_000156`.
 */
function firstOfSequence(exposure: string, seq: number | null, snap: number | null): string | null {
  if (seq === null || snap === null || snap < 0 || snap > seq) return null;
  const digits = /\d+$/.exec(exposure)?.[0];
  if (digits === undefined || Number(digits) !== seq) return null;
  return exposure.slice(0, -digits.length) + String(seq - snap).padStart(digits.length, "0");
}

function nameOf(system: VisitSystem, exposure: string, group: string | null, first: string | null): string {
  if (system === "by-group") return group ?? exposure;
  if (system === "by-counter") return first ?? exposure;
  return exposure;
}

/**
 * The fact that a file record stands for; null unless the file is known and of an exposure that makes visits.
 * @param observationTypes that make visits; empty: all. A file that names no type is taken.
 */
export function visitFactOf(
  system: VisitSystem,
  observationTypes: ReadonlyArray<string>,
  file: LedgerRecord<FileBody>,
): VisitFact | null {
  const { identity, metadata } = file.body;
  if (file.state !== "known" || identity === null || identity.exposure === null || identity.exposure === "") {
    return null;
  }
  const type = metadata?.["observationType"];
  if (observationTypes.length > 0 && typeof type === "string" && !observationTypes.includes(type))
    return null;
  const { exposure, seq, snap } = identity;
  const group = identity.group === "" ? null : identity.group;
  const promised = metadata?.["groupSize"];
  return {
    system,
    instrument: identity.instrument ?? "-",
    day: identity.day ?? "-",
    visit: nameOf(system, exposure, group, firstOfSequence(exposure, seq, snap)),
    exposure,
    group,
    detector: identity.detector,
    promised: system === "one-to-one" ? 1 : typeof promised === "number" ? promised : null,
  };
}

export const visitKeyOf = (fact: VisitFact): string => visitKey(fact.instrument, fact.day, fact.visit);

const least = (a: string | null, b: string | null): string | null =>
  a === null || (b !== null && b < a) ? b : a;
const most = (a: number | null, b: number | null): number | null =>
  a === null || (b !== null && b > a) ? b : a;

/** The same array where it holds the name already. */
function added(sorted: ReadonlyArray<string>, name: string): ReadonlyArray<string> {
  let place = 0;
  for (let end = sorted.length; place < end;) {
    const middle = (place + end) >>> 1;
    if ((sorted[middle] ?? "") < name) place = middle + 1;
    else end = middle;
  }
  return sorted[place] === name ? sorted : sorted.toSpliced(place, 0, name);
}

/** An exposure may be called anything, `constructor` too. */
const ownOf = (of: VisitRecord["detectors"], exposure: string): ReadonlyArray<string> =>
  Object.hasOwn(of, exposure) ? (of[exposure] ?? []) : [];

/** The visit with one more file; the same object where the file adds nothing. */
export function withFact(before: VisitRecord | null, fact: VisitFact): VisitRecord {
  const group = least(before?.group ?? null, fact.group);
  const exposures = added(before?.exposures ?? [], fact.exposure);
  const known = before === null ? [] : ownOf(before.detectors, fact.exposure);
  const detectors = fact.detector === null ? known : added(known, fact.detector);
  const promised = most(before?.promised ?? null, fact.promised);
  if (
    before !== null &&
    group === before.group &&
    exposures === before.exposures &&
    detectors === known &&
    promised === before.promised
  ) {
    return before;
  }
  const all = Object.entries({ ...before?.detectors, [fact.exposure]: detectors });
  return {
    // With what another version says of it.
    ...before,
    v: recordVersion,
    visit: fact.visit,
    system: before?.system ?? fact.system,
    instrument: fact.instrument,
    day: fact.day,
    group,
    exposures,
    detectors: Object.fromEntries(all.sort(([a], [b]) => (a < b ? -1 : 1))),
    promised,
    complete: promised === null ? null : exposures.length >= promised,
  };
}

const isVisit = Schema.is(
  Schema.Struct({
    v: Schema.Number,
    visit: Schema.String,
    system: Schema.Literals(["one-to-one", "by-group", "by-counter"]),
    group: Schema.NullOr(Schema.String),
    exposures: Schema.Array(Schema.String),
    detectors: Schema.Record(Schema.String, Schema.Array(Schema.String)),
    promised: Schema.NullOr(Schema.Number),
  }),
);

export function decodeVisit(key: string, data: Uint8Array): VisitRecord {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(data));
  } catch {
    throw new LedgerCorrupt(key, "a visit");
  }
  if (!isVisit(value)) throw new LedgerCorrupt(key, "a visit");
  return value as unknown as VisitRecord;
}
