/**
 * What the resolver is told, and what it says. Facts are what the ledger and the clock say; each stands until a later one of the same
 * key replaces it, so that the order of facts of different keys does not matter.
 */
import type { BlockedOn, PartitionId } from "./blockedOn.ts";
import type { Repoint } from "./calendar.ts";
import type { CatalogueJob } from "./catalogue.ts";
import type { DatasetFile, DatasetId } from "./dataset.ts";
import type { IndexedFile } from "./indexed.ts";
import type { Instant, Range } from "./instant.ts";
import type { Version } from "./version.ts";

/** An input as a run recorded it. */
export interface RecordedInput {
  readonly dataset: DatasetId;
  readonly name: string;
  readonly content: string;
}

/** How far a window was filled when it was made without all of it. */
export interface Share {
  readonly have: number;
  readonly of: number;
}

/**
 * - `ready`    written, waits for a worker
 * - `running`
 * - `done`     its outputs are there
 * - `no-data`  done, and there was nothing to make
 * - `not-yet`  its program said that something is missing: the partition is blocked until an input is another
 * - `failed`   for good: until an input is another, or an operator asks again
 */
export type RunState = "ready" | "running" | "done" | "no-data" | "not-yet" | "failed";

export interface RunFact extends PartitionId {
  readonly hash: string;
  readonly state: RunState;
  /** Minor version of its outputs. */
  readonly minor: number;
  readonly inputs: ReadonlyArray<RecordedInput>;
  /** Null: of all that belongs to it. */
  readonly incomplete: Share | null;
  /** When it was decided on. */
  readonly at: Instant;
  /** The `again` that it answers; null where none was asked. */
  readonly again: string | null;
}

/**
 * What an operator asked. `hold` and `release` of one job or partition replace each other. `again` makes a partition anew, once for
 * each `id`, however done or failed it is; with `now`, past what is upstream, its window, its schedule and a hold. `at`: when it was
 * asked; whatever was decided on since and is done answers it too, so that of several that were asked one run is enough.
 */
export type OrderFact =
  | { readonly type: "hold"; readonly job: string; readonly partition: string | null; readonly held: boolean }
  | ({
      readonly type: "again";
      readonly id: string;
      readonly now: boolean;
      readonly at?: Instant;
      /** A reprocessing asks; left out: an operator does. Each replaces what it asked before, and nothing of the other's. */
      readonly by?: "reprocessing";
    } & PartitionId)
  /** Takes an `again` back: a reprocessing was cancelled. Without `id`: whatever an operator asked. */
  | ({ readonly type: "never"; readonly id: string | null } & PartitionId);

export type Fact =
  /** A known file. The range that a pointing has is the calendar's: such a file's own is null. */
  | { readonly type: "file"; readonly file: IndexedFile }
  | { readonly type: "withdrawn"; readonly name: string }
  /** Rows of a repoint table. Of two tables the later counts, by start, then version, then name. Null: the table is gone. */
  | {
      readonly type: "table";
      readonly name: string;
      readonly start: Instant;
      readonly version: Version;
      readonly repoints: ReadonlyArray<Repoint> | null;
    }
  | { readonly type: "run"; readonly run: RunFact }
  | { readonly type: "clock"; readonly now: Instant }
  | OrderFact
  /** The whole catalogue as it is now. */
  | { readonly type: "catalogue"; readonly jobs: ReadonlyArray<CatalogueJob> };

/**
 * - `duplicate`  the file is known by this name with this content
 * - `refused`    it is known by this name with other content, which stays
 */
export type Applied = "applied" | "duplicate" | "refused";

/** `none`: no such partition yet. */
export type PartitionState = "none" | "blocked" | "ready" | "running" | "done" | "failed" | "stale";

export interface Status {
  readonly state: PartitionState;
  /** What it waits for: of blocked ones always something, of stale ones unless it is about to be made. */
  readonly on: ReadonlyArray<BlockedOn>;
  /** Of a done window that was made without all of it, as it stands now. */
  readonly incomplete: Share | null;
  /** Hash of the run that the state is of (ready, running, done, failed) or that is to be started; null where there is none. */
  readonly hash: string | null;
}

export interface ChosenInput {
  readonly dataset: DatasetId;
  readonly file: DatasetFile;
}

/** A run that is to begin. */
export interface Start extends PartitionId {
  readonly definition: CatalogueJob;
  /** Of its data: the partition's, and of an open one from the mission's start to where its inputs reach. */
  readonly range: Range;
  readonly pointing: number | null;
  readonly hash: string;
  /** Minor version of its outputs. */
  readonly minor: number;
  /** By data set, then name. */
  readonly inputs: ReadonlyArray<ChosenInput>;
  readonly incomplete: Share | null;
  readonly again: string | null;
  readonly at: Instant;
}

export interface Change extends PartitionId {
  readonly status: Status;
}

export interface Decision {
  readonly changed: ReadonlyArray<Change>;
  readonly starts: ReadonlyArray<Start>;
  /** Partitions that are still to be looked at: 0, or `decide` is to be called again. */
  readonly left: number;
  /** How many were looked at. */
  readonly evaluated: number;
}
