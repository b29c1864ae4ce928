/** What stands in a sample file: tables as the mission's own look, and for the rest a line that says that it is a sample. */
import type { Instant, Range } from "../jobs/instant.ts";
import { dayUs, formatInstant, parseInstant, secondUs } from "../jobs/instant.ts";

const spinUs = 15 * secondUs;
/** Repoints are a few minutes around midnight, so that each day has one pointing, wholly within it. */
const beforeMidnightUs = 6 * 60 * secondUs;
const afterMidnightUs = 2 * 60 * secondUs + 642_338;
/** Repoint 181 began the pointing of this day. */
const knownPointing = { day: parseInstant("2026-03-10") ?? 0, number: 181 };
/** The spacecraft's clock counts from here. */
const clockStart = parseInstant("2010-01-01") ?? 0;

/** Number of the pointing that lies within a day. */
export const pointingOfDay = (day: Instant): number =>
  knownPointing.number + Math.round((day - knownPointing.day) / dayUs);

const utc = (at: Instant): string => formatInstant(at).replace("T", " ");
const clock = (at: Instant): string => `${Math.floor((at - clockStart) / secondUs)},0`;

/** The repoints at the beginning of each day and at the end of the last. @param days first instants, in order */
export function repointTable(days: ReadonlyArray<Instant>): string {
  const last = days.at(-1) ?? 0;
  const rows = [...days, last + dayUs].map((day) => {
    const [start, end] = [day - beforeMidnightUs, day + afterMidnightUs];
    return [clock(start), clock(end), utc(start), utc(end), pointingOfDay(day)].join(",");
  });
  const header =
    "repoint_start_sec_sclk,repoint_start_subsec_sclk,repoint_end_sec_sclk,repoint_end_subsec_sclk,repoint_start_utc,repoint_end_utc,repoint_id";
  return `${[header, ...rows].join("\n")}\n`;
}

/** A spin every 15 seconds. */
export function spinTable({ start, end }: Range): string {
  const rows = ["spin_number,spin_start_sec_sclk,spin_start_subsec_sclk,spin_start_utc,spin_period_sec"];
  for (let at = start; at < end; at += spinUs) {
    rows.push(`${Math.round((at - clockStart) / spinUs)},${clock(at)},${utc(at)},15.0`);
  }
  return `${rows.join("\n")}\n`;
}

export const plainContent = (name: string, dataset: string): string =>
  `A sample file of Orrery: it stands for ${name} (${dataset}), and holds nothing that the instrument has seen.\n`;
