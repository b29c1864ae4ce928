/** One try at making something: its name, its record's body, its ready key, and what the end of its command means. */
import * as Schema from "effect/Schema";
import type { Place } from "./keys.ts";
import { decodeKeyPart, kvSubject, ledgerBucket, runMailbox } from "./keys.ts";
import type { LedgerRecord } from "./records.ts";
import { decodeRecord, LedgerCorrupt } from "./records.ts";

/** Object bucket for the logs, manifests and results of runs. */
export const runsBucket = "orrery-runs";

/** What one run is for. Other kinds (day, pointing, window) become further shapes of this. */
export interface Partition {
  readonly instrument: string;
  readonly day: string;
  readonly exposure: string;
}

export interface RunInput {
  /** Ledger key of the file. */
  readonly record: string;
  readonly bucket: string;
  readonly key: string;
  readonly etag: string;
  readonly uri: string;
  readonly detector: string | null;
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
  /** Names of the log and of the manifest of inputs in the object bucket {@link runsBucket}. */
  readonly log: string;
  readonly manifest: string;
  /** Version of the job that ran: the site file may have moved on since the run was made ready. */
  readonly version: string;
  readonly node: string;
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
}

const isRunBody = Schema.is(
  Schema.Struct({
    job: Schema.String,
    version: Schema.String,
    partition: Schema.Struct({ instrument: Schema.String, day: Schema.String, exposure: Schema.String }),
    hash: Schema.String,
    inputs: Schema.Array(
      Schema.Struct({ record: Schema.String, bucket: Schema.String, key: Schema.String, uri: Schema.String }),
    ),
    started: Schema.NullOr(
      Schema.Struct({ generation: Schema.Number, slot: Schema.String, claim: Schema.String }),
    ),
    outputs: Schema.NullOr(Schema.Array(Schema.Struct({ bucket: Schema.String, key: Schema.String }))),
  }),
);

/** Throws `LedgerCorrupt` for what is no run. */
export function decodeRun(key: string, data: Uint8Array): LedgerRecord<RunBody> {
  const record = decodeRecord<unknown>(key, data);
  if (!isRunBody(record.body)) throw new LedgerCorrupt(key, "a run");
  return record as LedgerRecord<RunBody>;
}

interface RunName {
  readonly job: string;
  readonly instrument: string;
  readonly exposure: string;
  readonly hash: string;
}

/** `<job>/<instrument>/<exposure>/<hash>`: the same however many events, workers and nodes come to it. */
export const runName = (of: RunName): string => `${of.job}/${of.instrument}/${of.exposure}/${of.hash}`;

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
  const prefix = kvSubject(ledgerBucket, `ready.${lane}.`);
  if (!subject.startsWith(prefix)) return null;
  const rest = subject.slice(prefix.length);
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
  const values: Readonly<Record<string, string>> = { ...partition, run };
  return template.replaceAll(
    /\{(exposure|day|instrument|run)\}/g,
    (whole, word: string) => values[word] ?? whole,
  );
}

/** sysexits.h: the words by which a command says whose fault it is. */
export const exitTemporary = 75;
export const exitBadInput = 65;

export type RunVerdict =
  | { readonly type: "done" }
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
  if (exit === exitBadInput)
    return { type: "permanent", reason: "BadInput", detail: `exit ${exit}, EX_DATAERR${said}` };
  if (exit === exitTemporary) return transient("TemporaryFailure", `exit ${exit}, EX_TEMPFAIL`);
  if (exit === 126 || exit === 127) return transient("CommandNotFound", `exit ${exit}, it cannot be run`);
  if (exit > 128) return transient("CommandKilled", `ended by signal ${exit - 128}`);
  return transient("CommandFailed", `exit ${exit}`);
}
