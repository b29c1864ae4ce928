/**
 * `purged.<kind>.<lane>`: which days a site purges, written before it does. A filtered purge is not a message, so it does not come to
 * the supernode by itself; this key does, behind everything that it speaks of, however long a link was cut.
 *
 * One key a rule, written again and again: no clock but the site's decides, and whoever reads it needs no other.
 */
import { encodeJson, recordVersion } from "./records.ts";

export interface PurgedDays {
  /** Revision of the site's ledger: what was written after it was not purged, whatever its day. */
  readonly upTo: number;
  /** The first day and the last, `YYYYMMDD`, both purged. */
  readonly from: string;
  readonly through: string;
  /** Days between these that were not: something of theirs is due, waits or is parked. */
  readonly held: ReadonlyArray<string>;
}

/** @param lane null: what belongs to no lane */
export const purgedKey = (lane: string | null): string =>
  lane === null ? "purged.exposure" : `purged.file.${lane}`;

/** What the supernode has of a purged day, as key patterns. Null for a key that is none of these. */
export function purgedFilters(key: string): ((day: string) => ReadonlyArray<string>) | null {
  const [kind, of, lane, ...more] = key.split(".");
  if (kind !== "purged" || more.length > 0 || /[*>]/.test(key)) return null;
  if (of === "exposure" && lane === undefined)
    return (day) => ["exposure", "visit", "job", "run"].map((each) => `${each}.*.${day}.>`);
  return of === "file" && lane !== undefined ? (day) => [`file.${lane}.${day}.>`] : null;
}

export const encodePurged = (days: PurgedDays): Uint8Array => encodeJson({ v: recordVersion, ...days });

const isDay = (value: unknown): value is string => typeof value === "string" && /^\d{8}$/.test(value);

/** Null for what is no such record: nothing is purged for it. */
export function decodePurged(data: Uint8Array): PurgedDays | null {
  try {
    const { upTo, from, through, held } = JSON.parse(Buffer.from(data).toString()) as Partial<PurgedDays>;
    if (!Number.isSafeInteger(upTo) || !isDay(from) || !isDay(through) || !Array.isArray(held)) return null;
    return { upTo: Number(upTo), from, through, held: held.filter(isDay) };
  } catch {
    // Not JSON: the null says so.
    return null;
  }
}

const dayMs = 86_400_000;
const msOf = (day: string): number =>
  Date.UTC(Number(day.slice(0, 4)), Number(day.slice(4, 6)) - 1, Number(day.slice(6)));

/** The days that were purged, oldest first; at most `max`, the newest of them. */
export function daysPurged({ from, through, held }: PurgedDays, max: number): ReadonlyArray<string> {
  const days: Array<string> = [];
  for (let ms = msOf(through); ms >= msOf(from) && days.length < max; ms -= dayMs)
    days.push(new Date(ms).toISOString().slice(0, 10).replaceAll("-", ""));
  return days.filter((day) => !held.includes(day)).toReversed();
}
