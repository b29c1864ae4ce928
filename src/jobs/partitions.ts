/** Partitions of a job's time: which a range touches, and their names. */
import type { Calendar } from "./calendar.ts";
import { pointingName } from "./calendar.ts";
import type { PartitionScheme } from "./catalogue.ts";
import type { Instant, Range } from "./instant.ts";
import { dayOf, dayUs, overlap, startOfDay } from "./instant.ts";

/** One partition of a scheme. */
export interface Slice {
  /** Tells it apart within its scheme: the day's number, the pointing's number, a window's start, 0 of an open one. */
  readonly ordinal: number;
  readonly name: string;
  readonly range: Range;
  readonly pointing: number | null;
}

export const allTime: Range = { start: Number.NEGATIVE_INFINITY, end: Number.POSITIVE_INFINITY };

const day = (number: number): Slice => ({
  ordinal: number,
  name: dayOf(number * dayUs),
  range: { start: number * dayUs, end: (number + 1) * dayUs },
  pointing: null,
});

const window = (range: Range): Slice => ({
  ordinal: range.start,
  name: `${dayOf(range.start)}-${dayOf(range.end)}`,
  range,
  pointing: null,
});

const open: Slice = { ordinal: 0, name: "all", range: allTime, pointing: null };

const isFinite = (range: Range): boolean => Number.isFinite(range.start) && Number.isFinite(range.end);

/** Partitions that overlap a range, in order; pointings only where they are closed. Of an endless range only what the calendar or a table bounds. */
export function slicesOver(scheme: PartitionScheme, range: Range, calendar: Calendar): ReadonlyArray<Slice> {
  if (range.end <= range.start) return [];
  switch (scheme.type) {
    case "day": {
      if (!isFinite(range)) return [];
      const first = Math.floor(range.start / dayUs);
      const last = Math.ceil(range.end / dayUs) - 1;
      return Array.from({ length: last - first + 1 }, (_, index) => day(first + index));
    }
    case "pointing":
      return calendar.overlapping(range).map((one) => ({
        ordinal: one.number,
        name: pointingName(one.number),
        range: one.range,
        pointing: one.number,
      }));
    case "windows":
      return scheme.windows.filter((one) => overlap(one, range)).map(window);
    case "days":
    case "calendar":
      return isFinite(range) ? windowsOver(scheme, range) : [];
    case "open":
      return [open];
  }
}

function windowsOver(
  scheme: Extract<PartitionScheme, { readonly type: "days" | "calendar" }>,
  range: Range,
): ReadonlyArray<Slice> {
  const found: Array<Slice> = [];
  const lastYear = yearOf(range.end);
  // The window that began the year before may reach into this one.
  for (let year = yearOf(range.start) - 1; year <= lastYear; year++) {
    for (const one of windowsFrom(scheme, year)) if (overlap(one, range)) found.push(window(one));
  }
  return found;
}

const yearOf = (at: Instant): number => new Date(at / 1_000).getUTCFullYear();
const newYear = (year: number): Instant => Date.UTC(year, 0, 1) * 1_000;

/** Windows that begin in a year. */
function windowsFrom(
  scheme: Extract<PartitionScheme, { readonly type: "days" | "calendar" }>,
  year: number,
): ReadonlyArray<Range> {
  const next = newYear(year + 1);
  if (scheme.type === "days") {
    const windows: Array<Range> = [];
    const length = scheme.days * dayUs;
    for (let start = newYear(year); start < next; start += length) {
      windows.push({ start, end: Math.min(start + length, next) });
    }
    return windows;
  }
  const starts = scheme.boundaries.map((boundary) => startOfDay(`${year}${boundary}`) ?? Number.NaN);
  const first = startOfDay(`${year + 1}${scheme.boundaries[0] ?? ""}`) ?? Number.NaN;
  return starts.map((start, index) => ({ start, end: starts[index + 1] ?? first }));
}

/**
 * The partition of a name; null for one that the scheme does not have. Of a pointing that is not closed the range is null: it is no
 * partition yet.
 */
export function sliceNamed(
  scheme: PartitionScheme,
  name: string,
  calendar: Calendar,
): (Omit<Slice, "range"> & { readonly range: Range | null }) | null {
  switch (scheme.type) {
    case "day": {
      const start = startOfDay(name);
      return start === null ? null : day(start / dayUs);
    }
    case "pointing": {
      const found = /^repoint(\d{5,})$/.exec(name);
      if (found === null) return null;
      const pointing = Number(found[1]);
      return { ordinal: pointing, name, range: calendar.pointing(pointing)?.range ?? null, pointing };
    }
    case "open":
      return name === "all" ? open : null;
    default: {
      const [from = "", to = ""] = name.split("-");
      const start = startOfDay(from);
      const end = startOfDay(to);
      if (start === null || end === null || end <= start) return null;
      return slicesOver(scheme, { start, end }, calendar).find((one) => one.name === name) ?? null;
    }
  }
}
