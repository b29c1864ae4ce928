/** The job catalogue, decoded: what can be made, of what, for which stretches of time. */
import type { DatasetId } from "./dataset.ts";
import type { Range } from "./instant.ts";

/** Where in which file a thing was declared: what lint and the importer name. */
export interface Place {
  readonly file: string;
  /** From 1. */
  readonly line: number;
}

/**
 * Into which stretches a job's time is cut.
 *
 * - `day`       a UTC day, `20260310`
 * - `pointing`  `repoint00209`: from the end of that repoint to the start of the next; exists once it is closed
 * - `days`      consecutive N days from 1 January, the last of a year shorter; `20260101-20260111`, end exclusive
 * - `windows`   windows of a table; names as above
 * - `calendar`  windows between fixed days of the year (`["0117", "0718"]`); names as above
 * - `open`      one partition from the mission's start to now, made anew as it grows; `all`
 */
export type PartitionScheme =
  | { readonly type: "day" }
  | { readonly type: "pointing" }
  | { readonly type: "days"; readonly days: number }
  | { readonly type: "windows"; readonly table: string; readonly windows: ReadonlyArray<Range> }
  | { readonly type: "calendar"; readonly name: string; readonly boundaries: ReadonlyArray<string> }
  | { readonly type: "open" };

/**
 * Which files beside those of the partition itself an input takes.
 *
 * `nearest`: the partition's own pointing and the `count` nearest by number. `span`: from `past` units before the partition to
 * `future` units after it; units p (pointings), h (hours), d (days), l (the last N there are before), nd (the N nearest days).
 */
export type InputRange =
  | { readonly type: "nearest"; readonly count: number; readonly unit: "pointing" | "day" }
  | { readonly type: "last"; readonly count: number }
  | {
      readonly type: "span";
      /** ≤ 0. */
      readonly past: number;
      /** ≥ 0. */
      readonly future: number;
      readonly unit: "pointing" | "hour" | "day";
    };

export interface CatalogueInput {
  readonly dataset: DatasetId;
  /** Name of the dataset's kind. */
  readonly kind: string;
  readonly required: boolean;
  /** True: a change of the chosen files makes a done partition stale. It never decides whether a blocked one wakes up. */
  readonly triggers: boolean;
  readonly range: InputRange | null;
  /** The chosen files must leave no gap in the partition. */
  readonly coverage: boolean;
  readonly at: Place;
}

export interface CatalogueOutput {
  readonly dataset: DatasetId;
  readonly kind: string;
  /** Major version of its files; 1 where the mission says none. The minor one is counted for each partition. */
  readonly major: number;
  readonly at: Place;
}

/** When a window is made: never before its end; at once when complete; else at its deadline, if `coverage` of it is there. */
export interface WindowPolicy {
  /** Days after the window's end. */
  readonly deadlineDays: number;
  /** 0 to 1: of the pointings (or days) that overlap the window. */
  readonly coverage: number;
  /** `any`: at the window's end with what is there. */
  readonly unit: "pointing" | "day" | "any";
}

export interface CatalogueJob {
  /** `<source>/<level>/<descriptor>`: `swe/l1a/all`. */
  readonly name: string;
  /** Raised when the program changes: part of the run's hash. */
  readonly version: string;
  readonly instrument: string;
  /** Who is told of it. */
  readonly team: string | null;
  readonly partition: PartitionScheme;
  readonly inputs: ReadonlyArray<CatalogueInput>;
  readonly outputs: ReadonlyArray<CatalogueOutput>;
  readonly policy: WindowPolicy | null;
  /** Five-field cron expression, UTC; null: it runs when its inputs say so. */
  readonly schedule: string | null;
  /** Runs of one lane share its workers. */
  readonly lane: string;
  /** Higher starts first. */
  readonly priority: number;
  /** Names of runner profiles stand in the catalogue's `drivers:`. */
  readonly driver: string;
  readonly timeLimitMs: number;
  readonly attemptsMax: number;
  readonly at: Place;
}

export interface Catalogue {
  readonly jobs: ReadonlyMap<string, CatalogueJob>;
  /** Who makes a dataset; lint refuses two. */
  readonly producerOf: ReadonlyMap<DatasetId, CatalogueJob>;
}
