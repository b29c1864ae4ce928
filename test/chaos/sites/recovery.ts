/** How long it took until all went on again, for each kind of fault of sites and their supernode. Pure. */
import { percentile } from "../recovery.ts";
import type { Fault, Kind } from "./draw.ts";
import type { Injected } from "./inject.ts";

export interface Done extends Injected {
  readonly fault: Fault;
  /** From the heal until each node that could not work settled something, in ms; null: never, or none was idle. */
  settleMs: number | null;
  /** From the heal until all that the sites held at it was at the supernode, in ms; null: never, or no site was away. */
  equalMs: number | null;
}

export interface KindRow {
  readonly kind: Kind;
  readonly count: number;
  readonly settleMs: ReadonlyArray<number>;
  readonly equalMs: ReadonlyArray<number>;
}

const isNumber = (value: number | null): value is number => value !== null;

/** One row for each kind that occurred, in the order of their names. */
export function rowsOf(done: ReadonlyArray<Done>): ReadonlyArray<KindRow> {
  const kinds = [...new Set(done.map(({ fault }) => fault.kind))].toSorted();
  return kinds.map((kind) => {
    const of = done.filter(({ fault }) => fault.kind === kind);
    return {
      kind,
      count: of.length,
      settleMs: of.map(({ settleMs }) => settleMs).filter(isNumber),
      equalMs: of.map(({ equalMs }) => equalMs).filter(isNumber),
    };
  });
}

/** The rows of several runs as those of one. */
export function merged(rows: ReadonlyArray<KindRow>): ReadonlyArray<KindRow> {
  const kinds = [...new Set(rows.map(({ kind }) => kind))].toSorted();
  return kinds.map((kind) => {
    const of = rows.filter((row) => row.kind === kind);
    return {
      kind,
      count: of.reduce((sum, { count }) => sum + count, 0),
      settleMs: of.flatMap(({ settleMs }) => settleMs),
      equalMs: of.flatMap(({ equalMs }) => equalMs),
    };
  });
}

const seconds = (ms: number | null): string => (ms === null ? "-" : (ms / 1_000).toFixed(2));

/** The rows as a table for people; times in seconds. */
export function recoveryTable(rows: ReadonlyArray<KindRow>): ReadonlyArray<string> {
  const head = ["fault", "count", "heal → settles p50", "p99", "heal → at the supernode p50", "p99"];
  const line = (name: string, of: ReadonlyArray<KindRow>): ReadonlyArray<string> => {
    const [settle, equal] = [of.flatMap(({ settleMs }) => settleMs), of.flatMap(({ equalMs }) => equalMs)];
    return [
      name,
      String(of.reduce((sum, { count }) => sum + count, 0)),
      ...[settle, equal].flatMap((times) => [0.5, 0.99].map((share) => seconds(percentile(times, share)))),
    ];
  };
  const table = [head, ...rows.map((row) => line(row.kind, [row])), line("all", rows)];
  const widths = head.map((_, i) => Math.max(...table.map((cells) => (cells[i] ?? "").length)));
  return table.map((cells) =>
    cells
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
      .join("  "),
  );
}
