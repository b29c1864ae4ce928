/** A day's counts for the eyes. */
import type { Cell, Style, TableOptions } from "./table.ts";
import { paint, table } from "./table.ts";
import type { DaySummary, Incomplete } from "./tally.ts";
import { count, duration, harmless, plural, ranges, times } from "./words.ts";

export const placeKey = (lane: string, instrument: string, day: string): string =>
  [lane, instrument, day].join("\n");

const incompleteShownMax = 5;
const missingShownMax = 6;

const number = (n: number, style?: Style): Cell =>
  n === 0
    ? { text: "0", style: "dim" }
    : style === undefined
      ? { text: count(n) }
      : { text: count(n), style };

function countsTable(days: ReadonlyArray<DaySummary>, options: TableOptions): string {
  const refused = days.some((day) => day.refused > 0);
  const discarded = days.some((day) => day.discarded > 0);
  const optional = (shown: boolean, title: string) => (shown ? [{ title, right: true }] : []);
  return table(
    [
      { title: "DAY" },
      { title: "LANE", give: 8 },
      { title: "INSTRUMENT", give: 8 },
      { title: "RECEIVED", right: true },
      { title: "DUPLICATES", right: true },
      { title: "OPEN", right: true },
      { title: "KNOWN", right: true },
      { title: "FAILING", right: true },
      { title: "WAITING", right: true },
      { title: "PARKED", right: true },
      ...optional(refused, "REFUSED"),
      ...optional(discarded, "DISCARDED"),
    ],
    days.map((day) => [
      day.day,
      day.lane,
      day.instrument,
      number(day.received),
      number(day.duplicates),
      number(day.open, "cyan"),
      number(day.known, "green"),
      number(day.failing, "yellow"),
      number(day.waiting, "cyan"),
      number(day.parked, "red"),
      ...(refused ? [number(day.refused, "red")] : []),
      ...(discarded ? [number(day.discarded)] : []),
    ]),
    options,
  );
}

function detectorWords(day: DaySummary): string {
  const shown = day.detectors.slice(0, 6).map((one) => `${one.detectors} × ${count(one.exposures)}`);
  return shown.join(", ") + (day.detectors.length > 6 ? ", …" : "");
}

function missingWords({ missing }: Incomplete): string {
  const shown = missing.slice(0, missingShownMax).map(harmless).join(", ");
  const more = missing.length - missingShownMax;
  return more > 0 ? `${shown} and ${count(more)} more` : shown;
}

/** What the counts do not say: gaps, detectors, latency. */
function detailLines(day: DaySummary, color: boolean): ReadonlyArray<string> {
  const lines: Array<string> = [];
  const { seq, latencyMs, incomplete } = day;
  if (seq !== null) {
    const gaps =
      seq.missing === 0
        ? paint(color, "green", "no gaps")
        : paint(color, "yellow", `${count(seq.missing)} missing: ${ranges(seq.gaps)}`);
    lines.push(`sequence   ${seq.first} to ${seq.last}, ${gaps}`);
  }
  if (day.exposures > 0) {
    lines.push(`exposures  ${count(day.exposures)}; detectors × exposures: ${detectorWords(day)}`);
    for (const one of incomplete.slice(0, incompleteShownMax)) {
      lines.push(
        `           ${one.exposure} has ${plural(one.detectors, "detector")}, without ${missingWords(one)}`,
      );
    }
    const more = incomplete.length - incompleteShownMax;
    if (more > 0) lines.push(`           and ${count(more)} more without some (--json lists them)`);
  }
  if (latencyMs !== null) {
    const { p50, p90, p99, max } = latencyMs;
    const [half, most, nearly, slowest] = [p50, p90, p99, max].map(duration);
    lines.push(
      `known in   p50 ${half}, p90 ${most}, p99 ${nearly}, at most ${slowest} after it was received`,
    );
  }
  if (day.putBack > 0) lines.push(`put back   ${times(day.putBack)} (retries, and claims of lost workers)`);
  return lines;
}

export function renderStats(days: ReadonlyArray<DaySummary>, options: TableOptions): string {
  const parts = [countsTable(days, options)];
  for (const day of days) {
    const lines = detailLines(day, options.color);
    if (lines.length === 0) continue;
    const title = [day.lane, day.instrument, day.day].filter((word) => word !== "-").join(" ");
    parts.push(`\n${paint(options.color, "bold", harmless(title))}\n`);
    for (const line of lines) parts.push(`  ${line}\n`);
  }
  return parts.join("");
}
