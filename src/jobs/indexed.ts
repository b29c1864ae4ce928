/** The index of a mission's files: from what a name says, and what is known better, to what a record keeps; and back. Pure. */
import type { DatasetFacts, FileBody, Given, RangeSource } from "../protocol/records.ts";
import type { Calendar } from "./calendar.ts";
import type { DatasetFile } from "./dataset.ts";
import type { Instant, Range } from "./instant.ts";
import { formatInstant, parseInstant } from "./instant.ts";
import type { Recognised } from "./names.ts";
import { formatVersion, parseVersion } from "./version.ts";

/** Written where a side is open: before all time, or without end. */
const open = "-";

/**
 * Reads a range that was given: `[start, end]`, or `start/end` as one text; ISO 8601, UTC, the end exclusive, `-` or null for an open
 * side. A text says what is wrong with it.
 */
export function readRange(value: unknown): Range | string {
  const parts: unknown = typeof value === "string" ? value.split("/").map((part) => part.trim()) : value;
  if (!Array.isArray(parts) || parts.length !== 2) return `${shown(value)} is no range: write [start, end]`;
  const start = side(parts[0], Number.NEGATIVE_INFINITY);
  const end = side(parts[1], Number.POSITIVE_INFINITY);
  if (start === null) return `start ${shown(parts[0])} is no UTC time: write 2026-03-10T12:00:00`;
  if (end === null) return `end ${shown(parts[1])} is no UTC time: write 2026-03-10T12:00:00`;
  return start < end ? { start, end } : `${shown(value)} ends before it starts`;
}

function side(value: unknown, absent: number): Instant | null {
  if (value === null || value === open) return absent;
  return typeof value === "string" ? parseInstant(value) : null;
}

const shown = (value: unknown): string => (JSON.stringify(value) ?? "nothing").slice(0, 80);

const isoOrNull = (at: Instant): string | null => (Number.isFinite(at) ? formatInstant(at) : null);

/** As an arrival carries it: what announces a product of a run says its partition's range by this. */
export const givenRange = ({ start, end }: Range): NonNullable<Given["range"]> => [
  isoOrNull(start) ?? open,
  isoOrNull(end) ?? open,
];

export interface RangeFact {
  readonly range: Range;
  readonly from: Exclude<RangeSource, "name">;
}

/**
 * What a record keeps of a file. A fact of its range comes before its name, but not before the calendar: the range that a run gives
 * to a file of a pointing is the calendar's of that day, which a later table may correct.
 */
export function factsOf(file: Recognised, fact: RangeFact | null, pointing: number | null): DatasetFacts {
  const key = file.pointing ?? pointing;
  const better = fact !== null && fact.from === "arrival" && key !== null ? null : fact;
  const range = better?.range ?? (key === null ? file.range : null);
  return {
    name: file.name,
    kind: file.kind,
    dataset: file.dataset,
    range:
      range === null
        ? null
        : { start: isoOrNull(range.start), end: isoOrNull(range.end), from: better?.from ?? "name" },
    pointing: key,
    version: formatVersion(file.version),
  };
}

/** A file as the index has it: its range is null where the calendar has it. */
export interface IndexedFile extends Omit<DatasetFile, "range"> {
  readonly range: Range | null;
}

/** What stands in the record of a known file; null for a file of a lane without names, and for what nobody of us wrote. */
export function indexedFile(body: Pick<FileBody, "dataset">, content: string): IndexedFile | null {
  const { dataset: facts } = body;
  if (facts === undefined) return null;
  const version = parseVersion(facts.version);
  const range = facts.range === null ? null : readRange([facts.range.start, facts.range.end]);
  if (version === null || typeof range === "string" || (range === null && facts.pointing === null))
    return null;
  const { name, kind, dataset, pointing } = facts;
  return { name, content, kind, dataset, range, pointing, version };
}

/** Null while the calendar does not know the pointing. */
export function placed(file: IndexedFile, calendar: Calendar): DatasetFile | null {
  const range =
    file.range ?? (file.pointing === null ? null : (calendar.pointing(file.pointing)?.range ?? null));
  return range === null ? null : { ...file, range };
}
