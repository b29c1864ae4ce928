/**
 * What can be asked of the resolver, by request on NATS: `orrery.jobs.<question>` with a JSON object, answered by any node that has the
 * role. The answer is a JSON object: `{"error": true, "message": …}`, or what the question gives.
 */
import type { Redo } from "./orders.ts";

export const jobsSubject = "orrery.jobs";
export const jobsQueue = "jobs";

/** `orrery.jobs.redo`: what a reprocessing would do, in the order of levels. */
export interface RedoQuestion {
  readonly jobs: ReadonlyArray<string>;
  /** Days, both inclusive. */
  readonly from: string;
  readonly to: string;
  /** Jobs that are made of these as well. */
  readonly downstream: boolean;
}

export interface RedoPlan {
  readonly jobs: ReadonlyArray<{
    readonly job: string;
    /** 0: nothing that it takes is made by a job. */
    readonly level: number;
    readonly partitions: number;
    /** Of these, made before: their products are superseded by ones of the next minor version. */
    readonly made: number;
    readonly outputs: number;
    readonly first: string | null;
    readonly last: string | null;
  }>;
  readonly partitions: number;
}

/** `orrery.jobs.redo-progress`, of `{id}`: how far a reprocessing is. */
export interface RedoProgress {
  readonly redo: Redo;
  /** In the order of levels. `waiting`: for what is above it, for a worker, or for somebody to resume it. */
  readonly jobs: ReadonlyArray<{
    readonly job: string;
    readonly level: number;
    readonly waiting: number;
    readonly running: number;
    readonly done: number;
    readonly failed: number;
  }>;
}
