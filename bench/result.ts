/** What a benchmark says: one result, its JSON and its line in the table. */
import { cpus, totalmem } from "node:os";

export interface Result {
  readonly name: string;
  readonly unit: string;
  /** Orrery; the median of the rounds. */
  readonly ours: number;
  /** The plain program doing the same; null where JetStream alone has nothing of the kind. */
  readonly raw: number | null;
  /** Ours over raw, the median of the rounds' own ratios: each round runs both, one after the other. */
  readonly ratio: number | null;
  readonly goal: string;
  readonly goal_met: boolean;
  readonly p50_ms: number | null;
  readonly p99_ms: number | null;
  readonly raw_p50_ms: number | null;
  readonly raw_p99_ms: number | null;
  /** Processor time of the program for one unit of work, µs, the server's not counted; null where it is not known. */
  readonly cpu_us: number | null;
  readonly raw_cpu_us: number | null;
  readonly rounds: ReadonlyArray<{ readonly ours: number; readonly raw: number | null }>;
  /** What the load was, and what the plain program does. */
  readonly note: string;
}

export interface Case {
  /** As it is asked for on the command line. */
  readonly name: string;
  readonly run: (options: CaseOptions) => Promise<ReadonlyArray<Result>>;
}

export interface CaseOptions {
  readonly quick: boolean;
  readonly say: (line: string) => void;
}

export function median(values: ReadonlyArray<number>): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2;
}

/** @param share in [0, 1]; null where nothing was measured */
export function percentile(values: ReadonlyArray<number>, share: number): number | null {
  const sorted = [...values].sort((a, b) => a - b);
  const at = Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1);
  const found = sorted[Math.max(0, at)];
  return found === undefined ? null : round(found, 2);
}

export function round(value: number, digits = 0): number {
  const factor = 10 ** digits;
  return Math.round(value * factor) / factor;
}

export interface Round {
  readonly ours: number;
  readonly raw: number | null;
}

/** The part of a result that its rounds decide. */
export function ofRounds(rounds: ReadonlyArray<Round>): Pick<Result, "ours" | "raw" | "ratio" | "rounds"> {
  const raws = rounds.flatMap(({ raw }) => (raw === null ? [] : [raw]));
  const ratios = rounds.flatMap(({ ours, raw }) => (raw === null ? [] : [ours / raw]));
  return {
    ours: round(median(rounds.map(({ ours }) => ours)), 1),
    raw: raws.length === 0 ? null : round(median(raws), 1),
    ratio: ratios.length === 0 ? null : round(median(ratios), 3),
    rounds: rounds.map(({ ours, raw }) => ({
      ours: round(ours, 1),
      raw: raw === null ? null : round(raw, 1),
    })),
  };
}

/**
 * Results of a case that was measured once, with nothing of the kind to hold it against.
 *
 * @returns its `times`, ms, give the percentiles; none where there is one time only
 */
export const aloneOf =
  (ofCase: string) =>
  (
    name: string,
    unit: string,
    ours: number,
    goal: string,
    isMet: boolean,
    note: string,
    times: ReadonlyArray<number> = [],
  ): Result => ({
    name: `${ofCase}: ${name}`,
    unit,
    ours: round(ours, 2),
    raw: null,
    ratio: null,
    goal,
    goal_met: isMet,
    p50_ms: times.length === 0 ? null : percentile(times, 0.5),
    p99_ms: times.length === 0 ? null : percentile(times, 0.99),
    raw_p50_ms: null,
    raw_p99_ms: null,
    cpu_us: null,
    raw_cpu_us: null,
    rounds: [{ ours: round(ours, 2), raw: null }],
    note,
  });

export function machine(): Readonly<Record<string, string | number>> {
  const all = cpus();
  return {
    cores: all.length,
    cpu: all[0]?.model.trim() ?? "unknown",
    memory_gb: round(totalmem() / 2 ** 30, 1),
    platform: `${process.platform} ${process.arch}`,
    node: process.version,
  };
}

const number = (value: number | null): string =>
  value === null
    ? ""
    : value >= 1_000
      ? value.toLocaleString("en-US", { maximumFractionDigits: 0 })
      : String(value);

export function table(results: ReadonlyArray<Result>): string {
  const rows = [
    ["", "ours", "raw", "ours/raw", "p50 ms", "p99 ms", "unit", "goal", ""],
    ...results.map((r) => [
      r.name,
      number(r.ours),
      number(r.raw),
      r.ratio === null ? "" : r.ratio.toFixed(2),
      number(r.p50_ms),
      number(r.p99_ms),
      r.unit,
      r.goal,
      r.goal === "" ? "" : r.goal_met ? "reached" : "missed",
    ]),
  ];
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  const right = new Set([1, 2, 3, 4, 5]);
  return rows
    .map((row) =>
      row
        .map((cell, i) => (right.has(i) ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0)))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
