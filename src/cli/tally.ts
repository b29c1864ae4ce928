/** Counts of one lane, instrument and obs day, from its arrivals and its records. Pure. */
import type { Arrival } from "../protocol/arrival.ts";
import type { FileBody, LedgerRecord } from "../protocol/records.ts";
import { standingOf } from "./standing.ts";
import type { Range } from "./words.ts";
import { timeOf } from "./words.ts";

export interface Latency {
  readonly count: number;
  /** Milliseconds from received to known. */
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
}

export interface Sequence {
  readonly first: number;
  readonly last: number;
  /** How many between them are not there, and which. */
  readonly missing: number;
  readonly gaps: ReadonlyArray<Range>;
}

export interface Incomplete {
  readonly exposure: string;
  /** How many it has. */
  readonly detectors: number;
  readonly missing: ReadonlyArray<string>;
}

export interface DaySummary {
  readonly lane: string;
  readonly instrument: string;
  readonly day: string;
  /** Announcements that were accepted; what was put back by ourselves is not among them. */
  readonly received: number;
  /** Announced again with the same content. */
  readonly duplicates: number;
  readonly putBack: number;
  /** Accepted, and not yet in the ledger. */
  readonly open: number;
  readonly known: number;
  readonly failing: number;
  readonly waiting: number;
  readonly parked: number;
  readonly discarded: number;
  /** Known files with content that was refused. */
  readonly refused: number;
  readonly exposures: number;
  /** Sequence numbers of the day's known files. */
  readonly seq: Sequence | null;
  /** How many exposures have that many detectors; most detectors first. */
  readonly detectors: ReadonlyArray<{ readonly detectors: number; readonly exposures: number }>;
  /** Exposures without some of the detectors that most of the day's exposures have, and which they lack. */
  readonly incomplete: ReadonlyArray<Incomplete>;
  readonly latencyMs: Latency | null;
}

/** Numbers between the lowest and highest that are not there. */
export function gapsIn(numbers: ReadonlySet<number>): Sequence | null {
  const sorted = [...numbers].sort((a, b) => a - b);
  const [first] = sorted;
  const last = sorted.at(-1);
  if (first === undefined || last === undefined) return null;
  const gaps: Array<Range> = [];
  let missing = 0;
  for (let i = 1; i < sorted.length; i++) {
    const from = (sorted[i - 1] ?? 0) + 1;
    const to = (sorted[i] ?? 0) - 1;
    if (to < from) continue;
    gaps.push({ from, to });
    missing += to - from + 1;
  }
  return { first, last, missing, gaps };
}

/** The value below which this part of all lies; nearest rank. */
export function percentile(sorted: ReadonlyArray<number>, part: number): number {
  return sorted[Math.max(0, Math.ceil(part * sorted.length) - 1)] ?? 0;
}

export function latencyOf(values: ReadonlyArray<number>): Latency | null {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  return {
    count: sorted.length,
    p50: percentile(sorted, 0.5),
    p90: percentile(sorted, 0.9),
    p99: percentile(sorted, 0.99),
    max: sorted.at(-1) ?? 0,
  };
}

/** From received to its first being known; null for what is not, or with clocks that disagree. */
export function knownAfterMs(record: LedgerRecord<FileBody>): number | null {
  const received = timeOf(record.body.receivedAt);
  const known = timeOf(record.history.find((entry) => entry.event === "known")?.at);
  return received === null || known === null || known < received ? null : known - received;
}

export class Tally {
  readonly lane: string;
  readonly instrument: string;
  readonly day: string;
  #received = 0;
  #repeated = 0;
  #putBack = 0;
  readonly #contents = new Set<string>();
  readonly #objects = new Set<string>();
  readonly #recorded = new Set<string>();
  readonly #states = new Map<string, number>();
  #refused = 0;
  readonly #seqs = new Set<number>();
  readonly #detectors = new Map<string, Set<string>>();
  readonly #latencies: Array<number> = [];

  constructor(lane: string, instrument: string, day: string) {
    this.lane = lane;
    this.instrument = instrument;
    this.day = day;
  }

  arrival({ bucket, key, etag, generation }: Arrival): void {
    const object = `${bucket}/${key}`;
    this.#objects.add(object);
    if (generation > 0) {
      this.#putBack++;
      return;
    }
    this.#received++;
    this.#contents.add(`${object}\n${etag}`);
  }

  /** Accepted and not stored a second time. */
  repeated(count: number): void {
    this.#repeated += count;
  }

  record(record: LedgerRecord<FileBody>): void {
    const { bucket, key, identity } = record.body;
    this.#recorded.add(`${bucket}/${key}`);
    const standing = standingOf(record);
    this.#states.set(standing, (this.#states.get(standing) ?? 0) + 1);
    if ((record.refused?.length ?? 0) > 0) this.#refused++;
    const latency = knownAfterMs(record);
    if (latency !== null) this.#latencies.push(latency);
    if (identity === null || record.state !== "known") return;
    if (identity.seq !== null) this.#seqs.add(identity.seq);
    if (identity.exposure !== null && identity.detector !== null) {
      const known = this.#detectors.get(identity.exposure) ?? new Set<string>();
      this.#detectors.set(identity.exposure, known.add(identity.detector));
    }
  }

  summary(): DaySummary {
    const state = (name: string): number => this.#states.get(name) ?? 0;
    let open = 0;
    for (const object of this.#objects) if (!this.#recorded.has(object)) open++;
    const { counts, incomplete } = this.#exposures();
    return {
      lane: this.lane,
      instrument: this.instrument,
      day: this.day,
      received: this.#received + this.#repeated,
      duplicates: this.#received - this.#contents.size + this.#repeated,
      putBack: this.#putBack,
      open,
      known: state("known"),
      failing: state("failing"),
      waiting: state("waiting"),
      parked: state("parked"),
      discarded: state("discarded"),
      refused: this.#refused,
      exposures: this.#detectors.size,
      seq: gapsIn(this.#seqs),
      detectors: counts,
      incomplete,
      latencyMs: latencyOf(this.#latencies),
    };
  }

  #exposures(): {
    readonly counts: DaySummary["detectors"];
    readonly incomplete: DaySummary["incomplete"];
  } {
    const byCount = new Map<number, number>();
    for (const { size } of this.#detectors.values()) byCount.set(size, (byCount.get(size) ?? 0) + 1);
    const counts = [...byCount]
      .map(([detectors, exposures]) => ({ detectors, exposures }))
      .sort((a, b) => b.detectors - a.detectors);
    const usual = this.#usualDetectors();
    const incomplete: Array<Incomplete> = [];
    for (const [exposure, known] of this.#detectors) {
      const missing = usual.filter((detector) => !known.has(detector));
      if (missing.length > 0) incomplete.push({ exposure, detectors: known.size, missing });
    }
    incomplete.sort((a, b) => a.exposure.localeCompare(b.exposure));
    return { counts, incomplete };
  }

  /** Detectors that more than half of the exposures have, by name: a camera's own, whatever of it was switched off. */
  #usualDetectors(): ReadonlyArray<string> {
    const having = new Map<string, number>();
    for (const known of this.#detectors.values()) {
      for (const detector of known) having.set(detector, (having.get(detector) ?? 0) + 1);
    }
    return [...having]
      .filter(([, exposures]) => exposures * 2 > this.#detectors.size)
      .map(([detector]) => detector)
      .sort();
  }
}
