/** Numbers, times and names as people read them. */

const units: ReadonlyArray<readonly [number, string]> = [
  [86_400_000, "d"],
  [3_600_000, "h"],
  [60_000, "min"],
  [1_000, "s"],
];

/** `41 ms`, `3.2 s`, `4 min 10 s`, `2 h 5 min`, `3 d 4 h`. */
export function duration(ms: number): string {
  const whole = Math.max(0, Math.round(ms));
  if (whole < 1_000) return `${whole} ms`;
  if (whole < 10_000) return `${(whole / 1_000).toFixed(1)} s`;
  if (whole < 60_000) return `${Math.round(whole / 1_000)} s`;
  for (let i = 0; i < units.length - 1; i++) {
    const [size, unit] = units[i] ?? [1, "ms"];
    if (whole < size) continue;
    const [smaller, small] = units[i + 1] ?? [1, "ms"];
    const rest = Math.floor((whole % size) / smaller);
    return `${Math.floor(whole / size)} ${unit}${rest === 0 ? "" : ` ${rest} ${small}`}`;
  }
  return `${Math.round(whole / 1_000)} s`;
}

/** `12,345` */
export const count = (n: number): string => n.toLocaleString("en-US");

export const plural = (n: number, one: string, many = `${one}s`): string =>
  `${count(n)} ${n === 1 ? one : many}`;

/** `once`, `twice`, `3 times` */
export const times = (n: number): string => (n === 1 ? "once" : n === 2 ? "twice" : `${count(n)} times`);

/** `14.2 KiB` */
export function bytes(n: number): string {
  if (n < 1_024) return `${n} B`;
  let value = n;
  let unit = "B";
  for (const next of ["KiB", "MiB", "GiB", "TiB"]) {
    if (value < 1_024) break;
    value /= 1_024;
    unit = next;
  }
  return `${value < 100 ? value.toFixed(1) : Math.round(value)} ${unit}`;
}

const iso = (ms: number): string => new Date(ms).toISOString();
/** `2025-11-21` */
export const date = (ms: number): string => iso(ms).slice(0, 10);
/** `10:31:27.123`, UTC. */
export const clock = (ms: number): string => iso(ms).slice(11, 23);
/** `2025-11-21 10:31:27`, UTC. */
export const moment = (ms: number): string => `${date(ms)} ${clock(ms).slice(0, 8)}`;

/** Epoch milliseconds of an ISO time; null for text that is none. */
export function timeOf(text: string | undefined): number | null {
  const ms = text === undefined ? Number.NaN : Date.parse(text);
  return Number.isNaN(ms) ? null : ms;
}

export interface Range {
  readonly from: number;
  readonly to: number;
}

/** `3, 7-9, 12`; a long list ends in `and N more`. */
export function ranges(all: ReadonlyArray<Range>, max = 12): string {
  const parts = all.slice(0, max).map(({ from, to }) => (from === to ? `${from}` : `${from}-${to}`));
  return all.length <= max ? parts.join(", ") : `${parts.join(", ")} and ${all.length - max} more`;
}

/** What came from outside must not move the cursor or colour the terminal. */
export const harmless = (text: string): string => text.replaceAll(/[\p{Cc}\u2028\u2029]/gu, "␣");

/** The same for text of several lines: newlines and tabs stay. */
export const harmlessLines = (text: string): string =>
  text.replaceAll(/\r\n/g, "\n").replaceAll(/[^\P{Cc}\n\t]/gu, "␣");

/** The same for text that this program has painted: colours stay, and nothing else that a terminal obeys. */
export const harmlessPainted = (text: string): string =>
  text
    // oxlint-disable-next-line no-control-regex
    .split(/(\u001b\[\d{1,2}m)/)
    .map((part, i) => (i % 2 === 1 ? part : harmlessLines(part)))
    .join("");

const stopWords = /[.!?]$/;
/** Joined to a sentence of its own. */
export const sentence = (text: string): string => (stopWords.test(text) ? text : `${text}.`);
