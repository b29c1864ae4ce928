/** What the files that came from outside tell of those that have not: to where they reach, how often they come, which is next. */
import type { DatasetFile } from "./dataset.ts";
import type { DatasetFiles } from "./FileIndex.ts";
import type { Instant } from "./instant.ts";
import { dayUs } from "./instant.ts";

export interface ArrivalPattern {
  /** The one before which nothing is missing: the last that begins before `at`. */
  readonly newest: DatasetFile | null;
  /** From when the next one is; null where it is here already, or nobody can tell. */
  readonly next: Instant | null;
  /** Time between two of them, µs; null where they do not come again and again, or too few have. */
  readonly every: number | null;
}

const nothing: ArrivalPattern = { newest: null, next: null, every: null };
/** So many of the latest tell how often they come. */
const lookedAtMax = 32;
const enough = 3;

/** @param at where a file is missing; Infinity: after all of them */
export function arrivalPattern(files: DatasetFiles, at: Instant): ArrivalPattern {
  switch (files.selection) {
    case "timeless":
    case "calibration":
      // They come when they come.
      return { ...nothing, newest: files.files.best ?? null };
    case "covering": {
      // They grow: what they add begins where the former ended.
      const { before, every } = pattern(files.files.all, at, (file) => file.range.end);
      const newest = before.at(-1) ?? null;
      return { newest, every, next: newest === null || every === null ? null : newest.range.end };
    }
    default: {
      const all = files.selection === "product" ? bestOf(files.files.identities) : files.files.all;
      const startOf = (file: DatasetFile): Instant => file.range.start;
      const { before, after, every } = pattern(all, at, startOf);
      const newest = before.at(-1) ?? null;
      const next = newest === null || every === null ? null : newest.range.start + every;
      const isHere =
        next !== null && after.some((file) => Math.abs(file.range.start - next) < (every ?? 0) / 2);
      return { newest, every, next: isHere ? null : next };
    }
  }
}

const bestOf = (
  identities: ReadonlyArray<{ readonly files: ReadonlyArray<DatasetFile> }>,
): ReadonlyArray<DatasetFile> => identities.flatMap(({ files }) => files.slice(0, 1));

function pattern(
  files: ReadonlyArray<DatasetFile>,
  at: Instant,
  by: (file: DatasetFile) => Instant,
): {
  readonly before: ReadonlyArray<DatasetFile>;
  readonly after: ReadonlyArray<DatasetFile>;
  readonly every: number | null;
} {
  const dated = files
    .filter((file) => Number.isFinite(by(file)) && Number.isFinite(file.range.start))
    .sort((a, b) => by(a) - by(b));
  const before = dated.filter((file) => file.range.start <= at);
  const marks = [...new Set(before.slice(-lookedAtMax).map(by))];
  const steps = marks.slice(1).map((mark, i) => mark - (marks[i] ?? 0));
  const middle = steps.toSorted((a, b) => a - b)[Math.floor(steps.length / 2)];
  return {
    before,
    after: dated.filter((file) => file.range.start > at),
    every: marks.length < enough || middle === undefined ? null : middle,
  };
}

/** `daily`, `weekly`, `monthly`, `every 10 days`, `every 6 h`. */
export function everyWords(every: number): string {
  const days = Math.round(every / dayUs);
  if (days < 1) return `every ${Math.max(1, Math.round((every / dayUs) * 24))} h`;
  if (days === 1) return "daily";
  if (days === 7) return "weekly";
  return days >= 28 && days <= 31 ? "monthly" : `every ${days} days`;
}
