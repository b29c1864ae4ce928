/** How long it took until all went on again, for each kind of fault. Pure. */
import { claimOfKey } from "../../src/protocol/keys.ts";
import type { ClaimSlot } from "../../src/protocol/records.ts";
import type { Revision } from "./checker.ts";
import type { Fault, Kind } from "./draw.ts";
import { rawLane } from "./exposures.ts";
import type { Injected } from "./inject.ts";

export interface Done extends Injected {
  readonly fault: Fault;
}

export interface KindRow {
  readonly kind: Kind;
  readonly count: number;
  /** Aimed at a moment that did not come. */
  readonly missed: number;
  /** From heal to next settle (of a receiver: to the next request that it accepts), in ms; null: never. */
  readonly recoveryMs: ReadonlyArray<number | null>;
  /** From kill to re-claim of each item that the killed node had in hand, in ms; null: settled without a claim that was seen. */
  readonly reclaimMs: ReadonlyArray<number | null>;
}

export interface RecoveryEvidence {
  /** In order. */
  readonly history: ReadonlyArray<Revision>;
  /** Epoch milliseconds, in order, of requests that the receiver has accepted. */
  readonly toldAt: ReadonlyArray<number>;
}

interface Settle {
  readonly at: number;
  readonly node: string;
  readonly lane: string;
}

/** By record: when it was claimed, and by whom. */
type Claims = ReadonlyMap<string, ReadonlyArray<number>>;

function read(history: ReadonlyArray<Revision>): { settles: ReadonlyArray<Settle>; claims: Claims } {
  const settles: Array<Settle> = [];
  const claims = new Map<string, Array<number>>();
  for (const { key, value, at, ended } of history) {
    const owner = ended ? null : claimOfKey(key);
    if (owner === null) continue;
    const slot = value as ClaimSlot;
    if (slot.state === "claimed") {
      for (const { record } of slot.items) {
        const of = claims.get(record);
        if (of === undefined) claims.set(record, [at]);
        else of.push(at);
      }
    } else if (slot.how === "settled") settles.push({ at, node: owner.node, lane: owner.mailbox });
  }
  return { settles, claims };
}

/** What must settle again for a fault to be over. */
function concerns({ kind, whom }: Fault): (settle: Settle) => boolean {
  if (kind.startsWith("bridge")) return ({ node, lane }) => node === whom && lane === rawLane;
  if (kind.startsWith("S3")) return ({ lane }) => lane === rawLane;
  if (kind.startsWith("server")) return () => true;
  return ({ node }) => node === whom;
}

/** One row for each kind that occurred, in the order of their names. */
export function recoveries(
  done: ReadonlyArray<Done>,
  { history, toldAt }: RecoveryEvidence,
): ReadonlyArray<KindRow> {
  const { settles, claims } = read(history);
  const kinds = [...new Set(done.map(({ fault }) => fault.kind))].sort();
  return kinds.map((kind) => {
    const of = done.filter(({ fault }) => fault.kind === kind);
    return {
      kind,
      count: of.length,
      missed: of.filter(({ missed }) => missed === true).length,
      recoveryMs: of.map(({ fault, healedAt }) => {
        const at = kind.startsWith("receiver")
          ? toldAt.find((one) => one >= healedAt)
          : settles.find((settle) => settle.at >= healedAt && concerns(fault)(settle))?.at;
        return at === undefined ? null : at - healedAt;
      }),
      reclaimMs: of.flatMap(({ hitAt, held = [] }) =>
        held.map((record) => {
          const at = claims.get(record)?.find((one) => one > hitAt);
          return at === undefined ? null : at - hitAt;
        }),
      ),
    };
  });
}

/** The rows of several runs as those of one. */
export function merged(rows: ReadonlyArray<KindRow>): ReadonlyArray<KindRow> {
  const byKind = new Map<Kind, KindRow>();
  for (const row of rows) {
    const before = byKind.get(row.kind);
    if (before === undefined) byKind.set(row.kind, row);
    else
      byKind.set(row.kind, {
        kind: row.kind,
        count: before.count + row.count,
        missed: before.missed + row.missed,
        recoveryMs: [...before.recoveryMs, ...row.recoveryMs],
        reclaimMs: [...before.reclaimMs, ...row.reclaimMs],
      });
  }
  return [...byKind.values()].sort((a, b) => (a.kind < b.kind ? -1 : 1));
}

/** The value that this share of them does not exceed; null of none. */
export function percentile(values: ReadonlyArray<number>, share: number): number | null {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? null;
}

const isNumber = (value: number | null): value is number => value !== null;
const seconds = (ms: number | null): string => (ms === null ? "-" : (ms / 1_000).toFixed(2));

/** The rows as a table for people; times in seconds. */
export function recoveryTable(rows: ReadonlyArray<KindRow>): ReadonlyArray<string> {
  const head = [
    "fault",
    "count",
    "missed",
    "heal → next settle p50",
    "p99",
    "items",
    "kill → re-claimed p50",
    "p99",
  ];
  const line = (name: string, of: ReadonlyArray<KindRow>): ReadonlyArray<string> => {
    const recovery = of.flatMap(({ recoveryMs }) => recoveryMs).filter(isNumber);
    const reclaim = of.flatMap(({ reclaimMs }) => reclaimMs).filter(isNumber);
    const sum = (pick: (row: KindRow) => number): string =>
      String(of.reduce((total, row) => total + pick(row), 0));
    return [
      name,
      sum(({ count }) => count),
      sum(({ missed }) => missed),
      seconds(percentile(recovery, 0.5)),
      seconds(percentile(recovery, 0.99)),
      String(reclaim.length),
      seconds(percentile(reclaim, 0.5)),
      seconds(percentile(reclaim, 0.99)),
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
