/** A root cause as operators say it: "needs spin to 24:00, has to 12:00; the file of 2026-03-11 has not arrived; expected daily". */
import type { AgedKind, RootCause, Stretch } from "../protocol/operatorQuestions.ts";
import { plural } from "./words.ts";

const dayMs = 86_400_000;
const msOf = (iso: string): number => Date.parse(`${iso}Z`);

const isWholeDay = ({ start, end }: Stretch): boolean =>
  start !== null && end !== null && start.endsWith("T00:00:00") && msOf(end) - msOf(start) === dayMs;

/** `12:00`, and `24:00` for its end, of a time within the one day that is spoken of; else `2026-03-10 12:00`. */
export function timeWithin(iso: string, of: Stretch | null): string {
  const clock = iso.slice(11).replace(/^(\d\d:\d\d):00$/, "$1");
  if (of !== null && isWholeDay(of) && of.start !== null && of.end !== null) {
    if (iso === of.end) return "24:00";
    if (iso >= of.start && iso < of.end) return clock;
  }
  return `${iso.slice(0, 10)} ${clock}`;
}

/** `2026-03-10`; `2026-03-10 to 2026-03-14`, both inclusive, of whole days; else with times. */
export function stretchWords({ start, end }: Stretch): string {
  if (start === null || end === null) {
    return start === null ? (end === null ? "all time" : `before ${end}`) : `since ${start}`;
  }
  if (!start.endsWith("T00:00:00") || !end.endsWith("T00:00:00")) {
    return `${timeWithin(start, null)} to ${timeWithin(end, null)}`;
  }
  const last = new Date(msOf(end) - dayMs).toISOString().slice(0, 10);
  const first = start.slice(0, 10);
  return first === last ? first : `${first} to ${last}`;
}

/** @param of the partition that is spoken of; null: none in particular */
export function rootWords(root: RootCause, of: Stretch | null): string {
  const { type, what, range, arrivals } = root;
  if (type !== "arrival" || what === null) return root.words;
  if (arrivals === null || range === null) return `${what} has not arrived`;
  const isTimed = range.start !== null && range.end !== null;
  const parts: Array<string> = [];
  const reachesInto = arrivals.reaches !== null && range.start !== null && arrivals.reaches === range.start;
  const isPart = of?.start !== null && of?.start !== undefined && range.start !== of.start;
  if (isTimed && range.start !== null && range.end !== null && (isPart || reachesInto)) {
    parts.push(`needs ${what} to ${timeWithin(range.end, of)}, has to ${timeWithin(range.start, of)}`);
  } else {
    const none = arrivals.newest === null ? "" : ", has none";
    parts.push(`needs ${what}${isTimed ? ` for ${stretchWords(range)}` : ""}${none}`);
  }
  if (arrivals.next !== null) {
    const day = arrivals.next.endsWith("T00:00:00")
      ? arrivals.next.slice(0, 10)
      : timeWithin(arrivals.next, null);
    parts.push(`the file of ${day} has not arrived`);
  } else if (arrivals.newest === null) parts.push("none is known up to then");
  else parts.push(`the last one before is ${arrivals.newest}`);
  if (arrivals.every !== null) parts.push(`expected ${arrivals.every}`);
  return parts.join("; ");
}

export const agedWords = ({ kind, newest, at, of, days, daysMax }: AgedKind): string =>
  `${kind} is ${plural(days, "day")} old (at most ${daysMax}): ${newest} ${of === "end" ? "ends" : "came"} ${timeWithin(at, null)}`;
