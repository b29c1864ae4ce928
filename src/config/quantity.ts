/**
 * Durations and sizes as a site file writes them: a number and its unit, `5 s`, `250 millis`, `1.5 hours`, `8 MiB`.
 * A bare number is refused: it does not say whether seconds or milliseconds were meant.
 */

const millisecond = 1;
const second = 1_000 * millisecond;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;
const week = 7 * day;

const durationUnits: ReadonlyMap<string, number> = new Map([
  ...["ms", "milli", "millis", "millisecond", "milliseconds"].map((unit) => [unit, millisecond] as const),
  ...["s", "sec", "second", "seconds"].map((unit) => [unit, second] as const),
  ...["min", "minute", "minutes"].map((unit) => [unit, minute] as const),
  ...["h", "hour", "hours"].map((unit) => [unit, hour] as const),
  ...["d", "day", "days"].map((unit) => [unit, day] as const),
  ...["w", "week", "weeks"].map((unit) => [unit, week] as const),
]);

const sizeUnits: ReadonlyMap<string, number> = new Map([
  ["B", 1],
  ["kB", 1e3],
  ["KB", 1e3],
  ["MB", 1e6],
  ["GB", 1e9],
  ["KiB", 2 ** 10],
  ["MiB", 2 ** 20],
  ["GiB", 2 ** 30],
]);

export const msPerDay = day;
export const msPerMinute = minute;

/** Milliseconds, rounded to whole ones; null for text that is no duration. */
export function parseDuration(text: string): number | null {
  return parseQuantity(text, durationUnits);
}

/** Bytes, rounded to whole ones; null for text that is no size. */
export function parseSize(text: string): number | null {
  return parseQuantity(text, sizeUnits);
}

function parseQuantity(text: string, units: ReadonlyMap<string, number>): number | null {
  const match = /^(\d{1,15}(?:\.\d{1,9})?)\s*([A-Za-z]{1,12})$/.exec(text.trim());
  const scale = units.get(match?.[2] ?? "");
  if (match === null || scale === undefined) return null;
  const value = Math.round(Number(match[1]) * scale);
  return Number.isSafeInteger(value) ? value : null;
}

/** In the largest unit that leaves a whole number: `90 s`, `1 day`, `250 ms`. {@link parseDuration} reads it back. */
export function formatDuration(ms: number): string {
  if (ms > 0 && ms % day === 0) return ms === day ? "1 day" : `${ms / day} days`;
  if (ms > 0 && ms % hour === 0) return `${ms / hour} h`;
  if (ms > 0 && ms % minute === 0) return `${ms / minute} min`;
  if (ms % second === 0) return `${ms / second} s`;
  return `${ms} ms`;
}

/** In the largest binary unit that leaves a whole number: `8 MiB`. {@link parseSize} reads it back. */
export function formatSize(bytes: number): string {
  for (const unit of ["GiB", "MiB", "KiB"]) {
    const scale = sizeUnits.get(unit) ?? 1;
    if (bytes > 0 && bytes % scale === 0) return `${bytes / scale} ${unit}`;
  }
  return `${bytes} B`;
}
