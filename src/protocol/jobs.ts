/**
 * When a job's partition is ready, and what the ledger says of it: pure functions from facts to records.
 *
 * Level-triggered: everything is recomputed from the facts that stand now, never from the memory of a trigger, so
 * that the order in which files come, and how often they are told, cannot matter.
 *
 * Invariant: a partition's run, its ready key and the job record that names it begin in one transaction which expects
 * the job record's revision. Nodes that saw different files would name different runs; the job record lets one through.
 */
import { createHash } from "node:crypto";
import * as Schema from "effect/Schema";
import { subjectBytesMax } from "../limits.ts";
import type { Place } from "./keys.ts";
import { isEncodable, jobKey, noDay, recordKey } from "./keys.ts";
import type { FileBody, Identity, LedgerRecord } from "./records.ts";
import { LedgerCorrupt, recordVersion } from "./records.ts";
import type { ExposurePartition, Partition, RunBody, RunInput } from "./runs.ts";
import { newRun, partitionName, PartitionShape, placeOfRun } from "./runs.ts";

export interface InputRule {
  readonly lane: string;
  /** Another site whose lane it is. */
  readonly site?: string;
  readonly match: RegExp | null;
  readonly required: boolean;
  readonly count: number | null;
  readonly detectors: ReadonlyArray<string>;
}

/** What of a job decides when it runs; the site file's jobs have this shape. */
export interface JobRule {
  readonly name: string;
  readonly version: string;
  readonly lane: string;
  readonly inputs: ReadonlyArray<InputRule>;
}

/** One known file of a partition. */
export interface FileFact {
  /** Its key in the ledger, of its own site. */
  readonly record: string;
  readonly lane: string;
  /** Another site that has it. */
  readonly site?: string;
  readonly bucket: string;
  readonly key: string;
  readonly etag: string;
  readonly uri: string;
  readonly detector: string | null;
}

/** `stale`: made, and since then what it is made of has changed, or somebody asked for it anew. */
export type JobState = "blocked" | "ready" | "running" | "done" | "failed" | "stale";

/** `job.<job>.<day>.<instrument>/<partition>`: how one job stands with one partition. */
export interface JobRecord {
  readonly v: number;
  readonly job: string;
  readonly version: string;
  readonly partition: Partition;
  readonly state: JobState;
  /** In words, one entry an input that is not there yet; of a failed run, its last error. */
  readonly blockedOn: ReadonlyArray<string>;
  /** Hash of the run's inputs and of the job's version; null before there is a run. */
  readonly inputs: string | null;
  /** Ledger key of the run; null before there is one. */
  readonly run: string | null;
  /** Of a job of the catalogue. */
  readonly catalogue?: CatalogueStanding;
}

/** What the record of a catalogue's job says besides. */
export interface CatalogueStanding {
  /** `blockedOn`, for programs: one entry of jobs/blockedOn.ts each. */
  readonly on: ReadonlyArray<unknown>;
  /** Of a window that was made without all that belongs to it: what there is now. */
  readonly incomplete: { readonly have: number; readonly of: number } | null;
  /** Since when it stands so, ISO 8601, UTC, by the site's clock. */
  readonly since: string;
  /** Highest minor version of its runs that have begun; whoever has not seen that run yet begins none. */
  readonly minor?: number;
}

/** What a run's record says about its job. */
export interface RunFact {
  /** Its key in the ledger. */
  readonly record: string;
  readonly hash: string;
  readonly state: Exclude<JobState, "blocked" | "stale">;
  /** Last error of a failed run. */
  readonly error: string | null;
}

const detectorsNamedMax = 12;
/** Leaves room in a subject for the names of job and lane, the hash and the generation. */
const partitionKeyMax = subjectBytesMax - 1_024;

/** The partition of a file, or null: of no exposure, or with a name that no key can carry. */
export function partitionOf(identity: Identity | null): ExposurePartition | null {
  if (identity === null || identity.exposure === null || identity.exposure === "") return null;
  const partition = {
    instrument: identity.instrument ?? noDay,
    day: identity.day ?? noDay,
    exposure: identity.exposure,
  };
  // The job's key joins instrument and exposure by a slash: of two, the first must be the joint.
  if (partition.instrument.includes("/") || !Object.values(partition).every(isEncodable)) return null;
  return partitionKey("", partition).length <= partitionKeyMax ? partition : null;
}

export const partitionKey = (job: string, partition: Partition): string =>
  jobKey(job, partition.day, `${partition.instrument}/${partitionName(partition)}`);

export const runPlace = (rule: JobRule, partition: Partition, hash: string): Place =>
  placeOfRun(rule.lane, rule.name, partition, hash);

/** The fact that a file record stands for; null unless the file is known. */
export function factOf(
  lane: string,
  record: string,
  file: LedgerRecord<FileBody>,
  site?: string,
): FileFact | null {
  if (file.state !== "known") return null;
  const { bucket, key, uri, identity } = file.body;
  const at = { record, lane, bucket, key, etag: file.etag, uri, detector: identity?.detector ?? null };
  return site === undefined ? at : { ...at, site };
}

export function takes(input: InputRule, file: Pick<FileFact, "lane" | "site" | "key" | "detector">): boolean {
  if (input.site !== file.site || input.lane !== file.lane) return false;
  if (input.match !== null && !input.match.test(file.key)) return false;
  return input.detectors.length === 0 || (file.detector !== null && input.detectors.includes(file.detector));
}

export type Evaluation =
  | { readonly type: "blocked"; readonly on: ReadonlyArray<string> }
  | { readonly type: "ready"; readonly inputs: ReadonlyArray<RunInput>; readonly hash: string };

/** Whether everything that the job needs is known. An input that is not required is taken when it is there. */
export function evaluate(rule: JobRule, partition: Partition, files: ReadonlyArray<FileFact>): Evaluation {
  const on: Array<string> = [];
  const taken = new Map<string, FileFact>();
  for (const input of rule.inputs) {
    const found = files.filter((file) => takes(input, file));
    const lacks = input.required ? lackOf(input, found) : null;
    if (lacks !== null) on.push(lacks);
    for (const file of found) taken.set(`${file.site ?? ""} ${file.record}`, file);
  }
  if (on.length > 0) return { type: "blocked", on };
  const inputs = [...taken.values()]
    .map(({ record, bucket, key, etag, uri, detector, site }): RunInput => ({
      record,
      bucket,
      key,
      etag,
      uri,
      detector,
      ...(site === undefined ? {} : { site }),
    }))
    .sort((a, b) => (placeOf(a) < placeOf(b) ? -1 : 1));
  return { type: "ready", inputs, hash: hashOf(rule, partition, inputs) };
}

const placeOf = ({ record, site = "" }: RunInput): string => `${record} ${site}`;

const laneWords = ({ lane, site }: InputRule): string => (site === undefined ? lane : `${site}/${lane}`);

/** What an input waits for, in words; null when it is complete. */
function lackOf(input: InputRule, found: ReadonlyArray<FileFact>): string | null {
  if (input.detectors.length > 0) {
    const there = new Set(found.map((file) => file.detector));
    const missing = input.detectors.filter((detector) => !there.has(detector));
    if (missing.length === 0) return null;
    const named = missing.slice(0, detectorsNamedMax).join(", ");
    const more = missing.length > detectorsNamedMax ? ` and ${missing.length - detectorsNamedMax} more` : "";
    return `${laneWords(input)}: ${named}${more}`;
  }
  const wanted = input.count ?? 1;
  if (found.length >= wanted) return null;
  const which = input.match === null ? "files" : `files like ${input.match.source}`;
  return `${laneWords(input)}: ${found.length} of ${wanted} ${which}`;
}

/** Hash of what the run is made of: content, not the order or time of its coming. 16 hex digits. */
function hashOf(rule: JobRule, partition: Partition, inputs: ReadonlyArray<RunInput>): string {
  const { instrument, day } = partition;
  const content = inputs.map(({ bucket, key, etag }) => [bucket, key, etag]);
  const text = JSON.stringify([rule.name, rule.version, instrument, day, partitionName(partition), content]);
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}

/** What is known of one job and one partition. */
export interface PartitionFacts {
  readonly files: Iterable<FileFact>;
  /** The job record as it stands. */
  readonly record: JobRecord | null;
  /** The run that the job record names, else any run of the partition. */
  readonly run: RunFact | null;
}

export type Decision =
  /** The job record says what is so. */
  | { readonly type: "nothing" }
  /** Write this job record. */
  | { readonly type: "tell"; readonly record: JobRecord }
  /** Write this job record, the run's record and its ready key together. */
  | {
      readonly type: "start";
      readonly record: JobRecord;
      readonly place: Place;
      readonly run: LedgerRecord<RunBody>;
    };

/**
 * What is to be written. A partition that has a run gets no other one, whatever comes later: the place where
 * reprocessing will compare {@link Evaluation}'s hash with the run's, and say `stale`.
 */
export function decide(
  rule: JobRule,
  partition: Partition,
  facts: PartitionFacts,
  at: { readonly now: number; readonly node: string },
): Decision {
  const { record, run } = facts;
  const base = { v: recordVersion, job: rule.name, partition };
  if (run !== null) {
    return tellIfNew(record, {
      ...base,
      version: record?.version ?? rule.version,
      state: run.state,
      blockedOn: run.error === null ? [] : [run.error],
      inputs: run.hash,
      run: run.record,
    });
  }
  // It has a run, whose record is on its way to us (or is past its retention).
  if (record !== null && record.run !== null) return { type: "nothing" };
  const { version } = rule;
  const files = [...facts.files];
  // It lost its only file before anything was said of it.
  if (files.length === 0 && record === null) return { type: "nothing" };
  const evaluation = evaluate(rule, partition, files);
  if (evaluation.type === "blocked") {
    return tellIfNew(record, {
      ...base,
      version,
      state: "blocked",
      blockedOn: evaluation.on,
      inputs: null,
      run: null,
    });
  }
  const { inputs, hash } = evaluation;
  const place = runPlace(rule, partition, hash);
  return {
    type: "start",
    record: { ...base, version, state: "ready", blockedOn: [], inputs: hash, run: recordKey(place) },
    place,
    run: newRun({ job: rule.name, version, partition, hash, inputs }, at),
  };
}

function tellIfNew(before: JobRecord | null, record: JobRecord): Decision {
  return before !== null && sameJob(before, record) ? { type: "nothing" } : { type: "tell", record };
}

/** Whether two job records say the same: then nobody writes, and several resolvers do not fight. */
export function sameJob(a: JobRecord, b: JobRecord): boolean {
  return (
    a.state === b.state &&
    a.run === b.run &&
    a.inputs === b.inputs &&
    a.version === b.version &&
    a.blockedOn.length === b.blockedOn.length &&
    a.blockedOn.every((words, i) => words === b.blockedOn[i])
  );
}

/** What a run's record means for its job. */
export function runFactOf(record: string, run: LedgerRecord<RunBody>): RunFact {
  const base = { record, hash: run.body.hash, error: null };
  if (run.state === "done" || run.state === "known") return { ...base, state: "done" };
  if (run.state === "parked") {
    const last = run.errors.at(-1);
    return {
      ...base,
      state: "failed",
      error: last === undefined ? "parked" : `${last.reason}: ${last.detail}`,
    };
  }
  const running = run.body.started !== null && run.body.started.generation === run.generation;
  return { ...base, state: running ? "running" : "ready" };
}

const isJobRecord = Schema.is(
  Schema.Struct({
    v: Schema.Number,
    job: Schema.String,
    version: Schema.String,
    partition: PartitionShape,
    state: Schema.Literals(["blocked", "ready", "running", "done", "failed", "stale"]),
    blockedOn: Schema.Array(Schema.String),
    inputs: Schema.NullOr(Schema.String),
    run: Schema.NullOr(Schema.String),
    catalogue: Schema.optionalKey(
      Schema.Struct({
        on: Schema.Array(Schema.Unknown),
        incomplete: Schema.NullOr(Schema.Struct({ have: Schema.Number, of: Schema.Number })),
        since: Schema.String,
        minor: Schema.optionalKey(Schema.Number),
      }),
    ),
  }),
);

const text = new TextDecoder();

/** Throws `LedgerCorrupt` for what is no job record. */
export function decodeJob(key: string, data: Uint8Array): JobRecord {
  let value: unknown;
  try {
    value = JSON.parse(text.decode(data));
  } catch {
    throw new LedgerCorrupt(key, "a job record");
  }
  if (!isJobRecord(value)) throw new LedgerCorrupt(key, "a job record");
  return value;
}

/** As {@link decodeJob}, for whoever must go on: null for what is no job record. */
export function jobOrNull(key: string, data: Uint8Array): JobRecord | null {
  try {
    return decodeJob(key, data);
  } catch (cause) {
    if (cause instanceof LedgerCorrupt) return null;
    throw cause;
  }
}
