/**
 * What operators ask of the resolver's memory, by request on NATS: `orrery.jobs.<question>` as in jobQuestions.ts. Times are ISO 8601,
 * UTC; a side that is open is null. Each answer is of a bounded size and says where it is cut.
 */
import type { PlaceTold } from "./placesQuestion.ts";
import type { JobState } from "./jobs.ts";

export interface Stretch {
  readonly start: string | null;
  /** Exclusive. */
  readonly end: string | null;
}

/** How a run stands; `no-data` and `not-yet` are the ends of runs.ts. */
export type RunStanding = "ready" | "running" | "done" | "no-data" | "not-yet" | "failed";

/** `none`: there is no such partition yet. */
export type Standing = JobState | "none";

/** What is known of files that come from outside, up to where one is missing. */
export interface Arrivals {
  /** The last one before; null: none has come. */
  readonly newest: string | null;
  /** To where that reaches. */
  readonly reaches: string | null;
  /** From when the next one is, if it is as those before it; null where it is here, or nobody can tell. */
  readonly next: string | null;
  /** `daily`, `weekly`, `every 10 days`. */
  readonly every: string | null;
}

/**
 * - `arrival`   files that come from outside and have not
 * - `failed`    a run that failed
 * - `waiting`   runs that are under way, or about to be
 * - `time`      nothing but time
 * - `operator`  held
 * - `nothing`   what makes it has no such partition: nothing of what it is made of has come
 */
export type RootType = "arrival" | "failed" | "waiting" | "time" | "operator" | "nothing";

export interface RootCause {
  readonly type: RootType;
  readonly dataset: string | null;
  /** A short word for the data set: `spin`, `swe/l0/raw`. */
  readonly what: string | null;
  readonly range: Stretch | null;
  readonly words: string;
  /** Of `arrival` only, where anything is known. */
  readonly arrivals: Arrivals | null;
}

/** One partition, what it waits for, and why that is not there. */
export interface CauseTree {
  readonly job: string;
  readonly partition: string;
  readonly state: Standing;
  readonly team: string | null;
  readonly lacks: ReadonlyArray<LackTree>;
}

export interface LackTree {
  /** One entry of jobs/blockedOn.ts. */
  readonly on: unknown;
  readonly words: string;
  /** Null where `by` goes on. */
  readonly root: RootCause | null;
  /** Partitions that would bring it. */
  readonly by: ReadonlyArray<CauseTree>;
}

/** `orrery.jobs.why`, of `{job, partition}`. */
export interface WhyAnswer {
  /** Ledger key of its record; null while the partition is not closed. */
  readonly record: string | null;
  readonly cause: CauseTree;
  /** Each once, the partition's own first. */
  readonly roots: ReadonlyArray<RootCause>;
  readonly range: Stretch | null;
  readonly contact: string | null;
  readonly incomplete: { readonly have: number; readonly of: number } | null;
  /** Asked to be made anew and not yet; `now`: past what it waits for. */
  readonly order: { readonly id: string; readonly now: boolean } | null;
  /** Oldest first; the newest are told where there are many. */
  readonly runs: ReadonlyArray<RunOfPartition>;
}

export interface RunOfPartition {
  /** Ledger key. */
  readonly key: string;
  readonly hash: string;
  readonly state: RunStanding;
  readonly minor: number;
  readonly at: string;
  /** The request to make it anew that it answers. */
  readonly again: string | null;
  readonly inputs: number;
}

/** `orrery.jobs.expected`, of `{day?, limit?, team?}`: outputs of partitions that exist and are not done. */
export interface ExpectedAnswer {
  /** The one that is oldest first. Causes that differ only in when are told together. */
  readonly groups: ReadonlyArray<ExpectedGroup>;
  /** Partitions in all. */
  readonly partitions: number;
  /** Of these, those in groups that are told of. */
  readonly told: number;
  readonly products: number;
  readonly aged: ReadonlyArray<AgedKind>;
}

export interface ExpectedGroup {
  readonly root: RootCause | null;
  /** False: it waits for time alone, or is being made. */
  readonly late: boolean;
  /** Null where it is nobody's, or several teams'. */
  readonly team: string | null;
  readonly contact: string | null;
  /** Whose products are missing, the most first. */
  readonly teams: ReadonlyArray<{
    readonly team: string | null;
    readonly contact: string | null;
    readonly partitions: number;
    readonly products: number;
  }>;
  /** When the oldest was due. */
  readonly since: string | null;
  /** Stretches in which what is at the root of it is missing, touching ones together; the first of many. */
  readonly ranges: ReadonlyArray<Stretch>;
  readonly rangesMore: number;
  readonly partitions: number;
  readonly products: number;
  /** The oldest of many. */
  readonly missing: ReadonlyArray<{
    readonly job: string;
    readonly partition: string;
    readonly state: Standing;
    readonly outputs: ReadonlyArray<string>;
  }>;
}

/** A kind of file whose newest is older than the catalogue lets it be. */
export interface AgedKind {
  readonly kind: string;
  readonly dataset: string;
  readonly newest: string;
  /** To where it reaches; of a kind that has no dates, when it came. */
  readonly at: string;
  readonly of: "end" | "arrival";
  readonly days: number;
  readonly daysMax: number;
}

/** Known files that no job takes and none makes. */
export interface UntakenFiles {
  readonly files: number;
  /** Of so many data sets. */
  readonly count: number;
  /** Those with the most files. */
  readonly datasets: ReadonlyArray<{
    readonly dataset: string;
    readonly kind: string;
    readonly files: number;
    readonly example: string;
    /** A data set that jobs take and that is called almost the same. */
    readonly nearest: string | null;
  }>;
}

/** `orrery.jobs.aged`, of `{}`: what of the files should be looked after. */
export interface AgedAnswer {
  readonly aged: ReadonlyArray<AgedKind>;
  readonly untaken: UntakenFiles;
}

/** `orrery.jobs.preview`, of `{added, withdrawn}`: names of files, those of `added` need not exist. */
export interface PreviewAnswer {
  readonly changes: ReadonlyArray<{
    readonly job: string;
    readonly partition: string;
    readonly before: Standing;
    readonly after: Standing;
    /** What it waits for then. */
    readonly words: ReadonlyArray<string>;
  }>;
  /** Partitions that change, by what they become: of all that were looked at, also those that are not listed. */
  readonly counts: ReadonlyArray<{
    readonly job: string;
    readonly before: Standing;
    readonly after: Standing;
    readonly partitions: number;
  }>;
  /** Jobs whose done partitions may follow. */
  readonly downstream: ReadonlyArray<{ readonly job: string; readonly partitions: number }>;
  /** Partitions that these files can touch. */
  readonly touched: number;
  /** Of these, how many were looked at. */
  readonly looked: number;
  /** Partitions that were still being decided on when it was asked: not 0, and a change told here may be theirs. */
  readonly undecided: number;
  /** Files that were left out, and why: known already (of `added`), not known (of `withdrawn`). */
  readonly leftOut: ReadonlyArray<{ readonly name: string; readonly why: string }>;
}

/** `orrery.jobs.needs`, of `{file}` or `{job, partition}`: what it is made of, and whether that is there. */
export interface NeedsAnswer {
  /** Null for a file that no job makes. */
  readonly job: string | null;
  readonly partition: string | null;
  readonly range: Stretch | null;
  readonly state: Standing;
  /** The file that was asked for; null where a partition was. */
  readonly file: {
    readonly name: string;
    readonly dataset: string;
    readonly kind: string;
    readonly known: boolean;
  } | null;
  /** Whether everything that is required is there. */
  readonly complete: boolean;
  readonly inputs: ReadonlyArray<NeededInput>;
  /** What it waits for besides: time, an operator, what is upstream. */
  readonly waits: ReadonlyArray<string>;
}

export interface NeededInput {
  readonly dataset: string;
  readonly kind: string;
  readonly required: boolean;
  readonly triggers: boolean;
  /** Job that makes it; null: it comes from outside. */
  readonly producer: string | null;
  readonly there: boolean;
  /** What is missing; null where it is there. */
  readonly lack: string | null;
  /** The word of several inputs of which one is enough. */
  readonly alternatives: string | null;
  readonly files: ReadonlyArray<{ readonly name: string; readonly content: string }>;
  readonly filesMore: number;
}

/** `orrery.jobs.lineage`, of `{name, up, down, limit}`: a graph. `up` and `down` are depths, in runs. */
export interface LineageAnswer {
  readonly file: string;
  readonly files: ReadonlyArray<LineageFile>;
  readonly runs: ReadonlyArray<LineageRun>;
  /** Runs that are further away or beyond the limit, and so are not told: whether there are any. */
  readonly cut: { readonly up: boolean; readonly down: boolean };
}

export interface LineageFile {
  readonly name: string;
  readonly dataset: string;
  /** Tag of its content as it stands, or as it was taken where it does not stand any more. */
  readonly content: string;
  /** Key of its record; null where it is not known (any more). */
  readonly record: string | null;
  /** The run that made it; null: it came from outside, or that is not told. */
  readonly madeBy: string | null;
  /** Where it lies; only of files that are at other sites. The first is the one from which runs read it. */
  readonly places?: ReadonlyArray<PlaceTold>;
}

export interface LineageRun {
  /** Ledger key. */
  readonly key: string;
  readonly job: string;
  readonly partition: string;
  readonly hash: string;
  readonly minor: number;
  readonly state: RunStanding;
  readonly at: string;
  readonly inputs: ReadonlyArray<{
    readonly name: string;
    readonly dataset: string;
    /** As it was taken. */
    readonly content: string;
  }>;
  /** Inputs that are not told. */
  readonly inputsMore: number;
  /** Names of files. */
  readonly outputs: ReadonlyArray<string>;
  readonly outputsMore: number;
}

/** `orrery.jobs.ls`, of `{state?, job?, day?, limit?}`. */
export interface PartitionsAnswer {
  /** Of all that fit job and day, whatever their state. */
  readonly counts: Readonly<Record<JobState, number>>;
  /** How many fit. */
  readonly total: number;
  /** By time, then job. */
  readonly partitions: ReadonlyArray<{
    readonly job: string;
    readonly partition: string;
    readonly state: JobState;
    readonly words: ReadonlyArray<string>;
  }>;
}
