/** One try at making something: its name, its record's body, its ready key, and what the end of its command means. */
import * as Schema from "effect/Schema";
import type { Place } from "./keys.ts";
import { decodeKeyPart, encodeTail, encodeToken, kvSubject, ledgerBucket, runMailbox } from "./keys.ts";
import { laneOfQueue } from "./runQueue.ts";
import type { Given, LedgerRecord } from "./records.ts";
import { decodeRecord, LedgerCorrupt, recordVersion } from "./records.ts";

/** Object bucket for the logs, manifests and results of runs. */
export const runsBucket = "orrery-runs";

/** An exposure: what the jobs of a site file are made for. */
export interface ExposurePartition {
  readonly instrument: string;
  readonly day: string;
  readonly exposure: string;
}

export type StretchKind = "day" | "pointing" | "window" | "open";

/** A stretch of time: what the jobs of the catalogue are made for. */
export interface StretchPartition {
  readonly kind: StretchKind;
  readonly instrument: string;
  /** Under which its records stand: the UTC day of its start, `-` for an open one. */
  readonly day: string;
  /** `20260310`, `repoint00209`, `20260101-20260111` (end exclusive) or `all`. */
  readonly name: string;
  /** ISO 8601, UTC, end exclusive; null for an open one. */
  readonly range: { readonly start: string; readonly end: string } | null;
  /** Number of the pointing; null for every other kind. */
  readonly pointing: number | null;
}

/** What one run is for. Told apart by their fields: an exposure's stands in ledgers as it always has. */
export type Partition = ExposurePartition | StretchPartition;

export const partitionName = (of: Partition): string => ("exposure" in of ? of.exposure : of.name);
export const partitionKind = (of: Partition): StretchKind | "exposure" =>
  "exposure" in of ? "exposure" : of.kind;

/** What the files that a run makes are told of their range: its partition's. */
export function givenByRun(of: Partition): Given {
  if ("exposure" in of) return {};
  return {
    ...(of.range === null ? {} : { range: [of.range.start, of.range.end] }),
    ...(of.pointing === null ? {} : { pointing: of.pointing }),
  };
}

/** Schema of what stands in the ledger. */
export const PartitionShape = Schema.Union([
  Schema.Struct({ instrument: Schema.String, day: Schema.String, exposure: Schema.String }),
  Schema.Struct({
    kind: Schema.Literals(["day", "pointing", "window", "open"]),
    instrument: Schema.String,
    day: Schema.String,
    name: Schema.String,
    range: Schema.NullOr(Schema.Struct({ start: Schema.String, end: Schema.String })),
    pointing: Schema.NullOr(Schema.Number),
  }),
]);

export interface RunInput {
  /** Ledger key of the file. */
  readonly record: string;
  readonly bucket: string;
  readonly key: string;
  readonly etag: string;
  readonly uri: string;
  readonly detector: string | null;
  /** Of a file that the catalogue names: its data set, its kind, and its name without folders. */
  readonly dataset?: string;
  readonly kind?: string;
  readonly name?: string;
  /** From where it was to be read, where that is another site; `record` is in that one's ledger then. */
  readonly site?: string;
  /** Of its content, at a site that takes other sites' files: bytes, and SHA-256. */
  readonly size?: number;
  readonly digest?: string;
}

export interface RunOutput {
  /** As the job declares it: the file's name in the folder of outputs. */
  readonly name: string;
  readonly bucket: string;
  readonly key: string;
  readonly etag: string;
  /** Bytes. */
  readonly size: number;
}

export interface RunResult {
  /** Exit code; null when the command was ended before it had one. */
  readonly exit: number | null;
  readonly timedOut: boolean;
  /** ISO 8601, UTC. */
  readonly startedAt: string;
  readonly endedAt: string;
  /** Largest resident size seen of the command's own process, bytes; null where the system does not say. */
  readonly peakRssBytes: number | null;
  /** Processor time of the command and all it waited for, ms; null where the system does not say. Absent in older records. */
  readonly cpuMs?: number | null;
  /** Names of the log and of the manifest of inputs in the object bucket {@link runsBucket}. */
  readonly log: string;
  readonly manifest: string;
  /** Version of the job that ran: the site file may have moved on since the run was made ready. */
  readonly version: string;
  readonly node: string;
}

/** One file that a run of the catalogue must leave behind. */
export interface PlannedOutput {
  readonly dataset: string;
  /** With its version, which a run that is done again writes again: `imap_swe_l1a_sci_20260310_v001.0001.cdf`. */
  readonly name: string;
  readonly bucket: string;
  readonly key: string;
}

/** What was decided of a run of the catalogue when it became ready. Nothing of it changes from try to try. */
export interface RunPlan {
  readonly outputs: ReadonlyArray<PlannedOutput>;
  /** Minor version of its outputs, from 1. */
  readonly minor: number;
  /** Made of what is there, not of all that could be. */
  readonly incomplete: boolean;
  /** Higher starts first. */
  readonly priority: number;
  /** Whatever is live starts before what is reprocessed. */
  readonly origin: "live" | "reprocessing";
  /** Of the runs that name the same instrument one runs at a time; null: as many as there are workers. */
  readonly exclusive: string | null;
  /** Of an incomplete one: how much of it was there. */
  readonly share?: { readonly have: number; readonly of: number };
  /** The request to make it anew that it answers. */
  readonly again?: string;
}

export interface RunBody {
  readonly job: string;
  readonly version: string;
  readonly partition: Partition;
  /** Of the inputs' content and the job's version; the record's etag. */
  readonly hash: string;
  readonly inputs: ReadonlyArray<RunInput>;
  /** ISO 8601, UTC. */
  readonly createdAt: string;
  /** The try that has it in hand. Of another generation than the record's: it is over. */
  readonly started: {
    readonly generation: number;
    readonly node: string;
    /** Key of the claim slot, and the claim that stands there while the command runs. */
    readonly slot: string;
    readonly claim: string;
    readonly at: string;
  } | null;
  /** All of them stand in their buckets: from here on the command is not run again. */
  readonly outputs: ReadonlyArray<RunOutput> | null;
  readonly result: RunResult | null;
  /** Of a run of the catalogue; absent where the site file's job says what its outputs are. */
  readonly plan?: RunPlan;
  /** Of a run that is done without outputs, or not done after all: why. Absent where it made them. */
  readonly ended?: RunEnded;
  /** Somebody wants it ended. Honoured by whoever has it in hand, or begins it; cleared when it is. */
  readonly cancel?: RunCancel;
}

/**
 * A record in state `done` whose run made nothing:
 *
 * - `no-data`  there was nothing to make
 * - `not-yet`  its program says that something is not there yet. This run is over; the partition is blocked again
 */
export interface RunEnded {
  readonly how: "no-data" | "not-yet";
  /** The program's last words. */
  readonly detail: string;
}

export interface RunCancel {
  /** ISO 8601, UTC. */
  readonly at: string;
  readonly by: string;
  readonly note: string;
}

/** Of a run that somebody cancelled: the reason under which it is parked. */
export const cancelledReason = "Cancelled";

const isRunBody = Schema.is(
  Schema.Struct({
    job: Schema.String,
    version: Schema.String,
    partition: PartitionShape,
    hash: Schema.String,
    inputs: Schema.Array(
      Schema.Struct({ record: Schema.String, bucket: Schema.String, key: Schema.String, uri: Schema.String }),
    ),
    started: Schema.NullOr(
      Schema.Struct({ generation: Schema.Number, slot: Schema.String, claim: Schema.String }),
    ),
    outputs: Schema.NullOr(Schema.Array(Schema.Struct({ bucket: Schema.String, key: Schema.String }))),
    plan: Schema.optional(
      Schema.Struct({
        outputs: Schema.Array(
          Schema.Struct({
            dataset: Schema.String,
            name: Schema.String,
            bucket: Schema.String,
            key: Schema.String,
          }),
        ),
        minor: Schema.Number,
        incomplete: Schema.Boolean,
        priority: Schema.Number,
        origin: Schema.Literals(["live", "reprocessing"]),
        exclusive: Schema.NullOr(Schema.String),
        share: Schema.optionalKey(Schema.Struct({ have: Schema.Number, of: Schema.Number })),
        again: Schema.optionalKey(Schema.String),
      }),
    ),
    ended: Schema.optional(
      Schema.Struct({ how: Schema.Literals(["no-data", "not-yet"]), detail: Schema.String }),
    ),
    cancel: Schema.optional(Schema.Struct({ at: Schema.String, by: Schema.String, note: Schema.String })),
  }),
);

/** Throws `LedgerCorrupt` for what is no run. */
export function decodeRun(key: string, data: Uint8Array): LedgerRecord<RunBody> {
  const record = decodeRecord<unknown>(key, data);
  if (!isRunBody(record.body)) throw new LedgerCorrupt(key, "a run");
  return record as LedgerRecord<RunBody>;
}

/** `<job>/<instrument>/<partition>/<hash>`: the same however many events, workers and nodes come to it. */
export const runName = (job: string, partition: Partition, hash: string): string =>
  `${job}/${partition.instrument}/${partitionName(partition)}/${hash}`;

export const placeOfRun = (lane: string, job: string, partition: Partition, hash: string): Place => ({
  mailbox: runMailbox(lane),
  day: encodeToken(partition.day),
  tail: encodeTail(runName(job, partition, hash)),
});

/** The record of a run as it begins, with nothing tried yet. `hash`: 16 hex digits, of the inputs' content and the job's version. */
export const newRun = (
  of: Omit<RunBody, "createdAt" | "started" | "outputs" | "result">,
  at: { readonly now: number; readonly node: string },
): LedgerRecord<RunBody> => {
  const time = new Date(at.now).toISOString();
  return {
    v: recordVersion,
    state: "ready",
    generation: 0,
    etag: of.hash,
    claim: null,
    attempts: 0,
    crashes: 0,
    crashesAlone: 0,
    errors: [],
    history: [{ at: time, event: "ready", node: at.node, detail: `${of.inputs.length} inputs` }],
    body: { ...of, createdAt: time, started: null, outputs: null, result: null },
  };
};

/** The hash at the end of a run's name; null for a tail that is no run's. */
export function hashOfRun(tail: string): string | null {
  const name = decodeKeyPart(tail);
  return name === null ? null : (/\/([0-9a-f]{16})$/.exec(name)?.[1] ?? null);
}

/** Reverses `readyKey` from the subject of a delivery; null for a subject that is no ready key of this lane. */
export function readyOfSubject(
  lane: string,
  subject: string,
): { readonly place: Place; readonly generation: number } | null {
  const prefix = kvSubject(ledgerBucket, "ready.");
  const queueEnd = subject.indexOf(".", prefix.length);
  if (!subject.startsWith(prefix) || queueEnd < 0) return null;
  if (laneOfQueue(subject.slice(prefix.length, queueEnd)) !== lane) return null;
  const rest = subject.slice(queueEnd + 1);
  const day = rest.indexOf(".");
  const last = rest.lastIndexOf(".");
  if (day < 1 || last <= day + 1 || !/^\d{1,15}$/.test(rest.slice(last + 1))) return null;
  return {
    place: { mailbox: runMailbox(lane), day: rest.slice(0, day), tail: rest.slice(day + 1, last) },
    generation: Number(rest.slice(last + 1)),
  };
}

/** Fills `{exposure}`, `{day}`, `{instrument}` and `{run}` in; other words in braces stay as they are. */
export function fillKey(template: string, partition: Partition, run: string): string {
  const { day, instrument } = partition;
  const values: Readonly<Record<string, string>> = {
    day,
    instrument,
    exposure: partitionName(partition),
    run,
  };
  return template.replaceAll(
    /\{(exposure|day|instrument|run)\}/g,
    (whole, word: string) => values[word] ?? whole,
  );
}

/** sysexits.h: the words by which a command says whose fault it is. */
export const exitBadInput = 65;
export const exitNoData = 66;
export const exitNotYet = 69;
export const exitTemporary = 75;

export type RunVerdict =
  | { readonly type: "done" }
  | { readonly type: "no-data" | "not-yet"; readonly detail: string }
  | { readonly type: "transient" | "permanent"; readonly reason: string; readonly detail: string };

/** What the end of a command means. 0 is good only with every declared output there. */
export function verdictOf(
  end: { readonly exit: number | null; readonly timedOut: boolean; readonly lastLine: string },
  missing: ReadonlyArray<string>,
  timeLimitMs: number,
): RunVerdict {
  const said = end.lastLine === "" ? "" : `; its last words: ${end.lastLine}`;
  const transient = (reason: string, detail: string): RunVerdict => ({
    type: "transient",
    reason,
    detail: detail + said,
  });
  if (end.timedOut) return transient("TimeLimit", `ended after its time limit of ${timeLimitMs / 1_000} s`);
  const { exit } = end;
  if (exit === 0) {
    if (missing.length === 0) return { type: "done" };
    const detail = `exit 0, but it did not write ${missing.join(", ")}${said}`;
    return { type: "permanent", reason: "OutputMissing", detail };
  }
  if (exit === null) return transient("CommandKilled", "it was ended from outside");
  if (exit === exitNoData) return { type: "no-data", detail: `exit ${exit}, EX_NOINPUT${said}` };
  if (exit === exitNotYet) return { type: "not-yet", detail: `exit ${exit}, EX_UNAVAILABLE${said}` };
  if (exit === exitBadInput)
    return { type: "permanent", reason: "BadInput", detail: `exit ${exit}, EX_DATAERR${said}` };
  if (exit === exitTemporary) return transient("TemporaryFailure", `exit ${exit}, EX_TEMPFAIL`);
  if (exit === 126 || exit === 127) return transient("CommandNotFound", `exit ${exit}, it cannot be run`);
  if (exit > 128) return transient("CommandKilled", `ended by signal ${exit - 128}`);
  return transient("CommandFailed", `exit ${exit}`);
}
