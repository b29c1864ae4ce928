/** The mission's way to say which files beside those of the partition itself an input takes: `["-3p", "3p"]`, `["8np"]`. */
import { rangeUnitsMax } from "../limits.ts";
import type { InputRange } from "./catalogue.ts";

export type ParsedRange =
  | { readonly ok: true; readonly range: InputRange }
  | { readonly ok: false; readonly message: string; readonly fix: string };

const spanUnits = { p: "pointing", h: "hour", d: "day" } as const;
const forms = '["-3p", "3p"], ["-1l"], ["8np"] or ["6nd"]; units p, h, d, l, np, nd';

const refuse = (message: string, fix = `write one of these forms: ${forms}`): ParsedRange => ({
  ok: false,
  message,
  fix,
});

interface Part {
  readonly text: string;
  readonly amount: number;
  readonly unit: string;
}

function partOf(value: unknown): Part | null {
  const found = typeof value === "string" ? /^([+-]?\d{1,9})(p|h|d|l|nd|np)$/.exec(value.trim()) : null;
  return found === null ? null : { text: found[0], amount: Number(found[1]) + 0, unit: found[2] ?? "" };
}

/** Never throws: what is no date range is said to be none, with the reason. */
export function parseDateRange(value: unknown): ParsedRange {
  if (!Array.isArray(value) || value.length === 0 || value.length > 2) {
    return refuse("a date range is a list of one or two texts");
  }
  const parts: Array<Part> = [];
  for (const each of value as ReadonlyArray<unknown>) {
    const part = partOf(each);
    if (part === null) {
      return refuse(
        `${JSON.stringify(each)} is no part of a date range: a whole number and p, h, d, l, nd or np`,
      );
    }
    if (Math.abs(part.amount) > rangeUnitsMax) {
      return refuse(`${part.text} reaches too far`, `write a number up to ${rangeUnitsMax}`);
    }
    parts.push(part);
  }
  const [first, second] = parts;
  if (first === undefined) return refuse("a date range is a list of one or two texts");
  return second === undefined ? single(first) : span(first, second);
}

function single(part: Part): ParsedRange {
  const { text, amount, unit } = part;
  if (unit === "np" || unit === "nd") {
    if (amount <= 0) return refuse(`${text}: at least one of the nearest has to be taken`, 'write ["8np"]');
    return { ok: true, range: { type: "nearest", count: amount, unit: unit === "np" ? "pointing" : "day" } };
  }
  if (unit === "l") {
    if (amount >= 0) return refuse(`${text}: the last ones lie in the past`, 'write ["-1l"]');
    return { ok: true, range: { type: "last", count: -amount } };
  }
  if (amount === 0) return refuse(`${text} is the partition itself`, "remove the date range");
  return span(amount < 0 ? part : { ...part, amount: 0 }, amount < 0 ? { ...part, amount: 0 } : part);
}

function span(past: Part, future: Part): ParsedRange {
  if (past.unit !== future.unit)
    return refuse(`${past.text} and ${future.text} have two units`, "write both in one unit");
  const unit = spanUnits[past.unit as keyof typeof spanUnits];
  if (unit === undefined)
    return refuse(`${past.unit} has no past and future`, `write one text: ["8np"], ["-1l"]`);
  if (past.amount > 0) return refuse(`${past.text}: the first is the past, at most 0`, 'write ["-3p", "3p"]');
  if (future.amount < 0)
    return refuse(`${future.text}: the second is the future, at least 0`, 'write ["-3p", "3p"]');
  // Number("-0") is -0, which is no other number to anybody but a comparison of objects.
  return { ok: true, range: { type: "span", past: past.amount + 0, future: future.amount + 0, unit } };
}

/** As {@link parseDateRange} reads it back. */
export function formatDateRange(range: InputRange): ReadonlyArray<string> {
  if (range.type === "nearest") return [`${range.count}n${range.unit === "pointing" ? "p" : "d"}`];
  if (range.type === "last") return [`-${range.count}l`];
  const unit = range.unit === "pointing" ? "p" : range.unit === "hour" ? "h" : "d";
  return [`${range.past}${unit}`, `${range.future}${unit}`];
}
