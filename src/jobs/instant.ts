/**
 * Times of data. An instant is a whole number of microseconds since 1970-01-01T00:00:00 UTC: repoint tables are written to the
 * microsecond, and a double holds such numbers exactly until the year 2255. Ranges are half-open: touching is no overlap.
 */

export type Instant = number;

export interface Range {
  readonly start: Instant;
  /** Exclusive; `Infinity` where it is open. */
  readonly end: Instant;
}

export const secondUs = 1_000_000;
export const dayUs = 86_400 * secondUs;

export const overlap = (a: Range, b: Range): boolean => a.start < b.end && a.end > b.start;
export const covers = (outer: Range, inner: Range): boolean =>
  outer.start <= inner.start && outer.end >= inner.end;

/** Beyond the year 9999, where "for ever" often ends, a year has a sign and six digits. */
const isoForm = /^(\d{4}|\+\d{6})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,6}))?)?)?Z?$/;

/** Reads `2026-04-07`, `2026-04-07T19:55:29.642514` and forms between, all UTC; null for anything else, and for no real date. */
export function parseInstant(text: string): Instant | null {
  const found = isoForm.exec(text);
  if (found === null) return null;
  const [, year, month, day, hour = "0", minute = "0", second = "0", fraction = ""] = found;
  const ms = Date.UTC(Number(year), Number(month) - 1, Number(day));
  const date = new Date(ms);
  if (date.getUTCMonth() !== Number(month) - 1 || date.getUTCDate() !== Number(day)) return null;
  // A year below 100 would be taken for one of the twentieth century, one too large for none at all.
  if (date.getUTCFullYear() !== Number(year)) return null;
  // A leap second is counted as the second after it.
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 60) return null;
  const seconds = Number(hour) * 3_600 + Number(minute) * 60 + Number(second);
  return ms * 1_000 + seconds * secondUs + Number(fraction.padEnd(6, "0"));
}

/** `2026-04-07T19:55:29.642514`; without a fraction where there is none. `-` for an open end. */
export function formatInstant(at: Instant): string {
  if (!Number.isFinite(at)) return "-";
  const fraction = ((at % secondUs) + secondUs) % secondUs;
  const whole = new Date((at - fraction) / 1_000).toISOString().slice(0, -".000Z".length);
  return fraction === 0 ? whole : `${whole}.${String(fraction).padStart(6, "0")}`;
}

/** The first instant of `20260407`; null for what is no day of the calendar. */
export function startOfDay(day: string): Instant | null {
  if (!/^\d{8}$/.test(day)) return null;
  return parseInstant(`${day.slice(0, 4)}-${day.slice(4, 6)}-${day.slice(6, 8)}`);
}

/** The first instant of day `doy` (1 is 1 January) of a year; null beyond the year's end. */
export function startOfYearDay(year: number, doy: number): Instant | null {
  const start = Date.UTC(year, 0, 1) * 1_000;
  const next = Date.UTC(year + 1, 0, 1) * 1_000;
  const at = start + (doy - 1) * dayUs;
  return Number.isInteger(doy) && doy >= 1 && at < next ? at : null;
}

/** `20260407`: the UTC day that the instant falls into. */
export const dayOf = (at: Instant): string => formatInstant(at).slice(0, 10).replaceAll("-", "");

export const dayRange = (start: Instant): Range => ({ start, end: start + dayUs });
