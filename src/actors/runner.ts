/**
 * The runner: takes a ready run, executes its command, publishes what it made.
 *
 * Receives  `ready.<lane>.<day>.<run>.<generation>` keys of the ledger, one at a time.
 * Keeps     `run.…`: which try is under way, how it ended, what it made. Log and manifest go to the object bucket
 *           `orrery-runs`, under the run's name and the generation.
 * Emits     the outputs, as objects of their buckets, and an arrival for each.
 * Fails     as the command says (docs of `verdictOf`): due again with backoff, or parked. NATS, storage or disk away: the
 *           claim is given back and nothing is recorded. Interrupted: the command is ended and the claim given back.
 *
 * A try publishes in four steps, each safe to repeat: the record still names this try (else it stops); the objects are
 * written; the record says so, expecting its revision; arrivals are announced. After the third step the command is
 * never run again, and a try that lost its claim cannot reach it. What no check can close is a pause of the whole process
 * between the first step and the second: storage knows no fencing.
 */
import { createReadStream } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import type { ReadableStream } from "node:stream/web";
import * as Effect from "effect/Effect";
import * as Schedule from "effect/Schedule";
import type { JobSettings, Site } from "../config/Site.ts";
import type { RunDriver, RunEnd } from "../drivers/RunDriver.ts";
import { getRecordUnsafe, getSlotUnsafe } from "../jetstream/ledger.ts";
import type { ObjectBucket } from "../jetstream/objects.ts";
import { commitUnsafe, ledgerPut } from "../jetstream/transaction.ts";
import { jobLogBytesMax, runStorageTriesMax } from "../limits.ts";
import type { Arrival } from "../protocol/arrival.ts";
import type { Place } from "../protocol/keys.ts";
import { claimKey, decodeKeyPart, encodeToken, runMailbox } from "../protocol/keys.ts";
import type { Outcome } from "../protocol/lifecycle.ts";
import type { LedgerRecord } from "../protocol/records.ts";
import { encodeJson } from "../protocol/records.ts";
import type { RunBody, RunOutput, RunResult } from "../protocol/runs.ts";
import { partitionName, verdictOf } from "../protocol/runs.ts";
import { claimsWorker, SystemFailure } from "./claims.ts";
import type { ClaimInfo, Item } from "./claimSource.ts";
import type { NodeContextService } from "./NodeContext.ts";
import type { Scratch, StorageOf } from "./runFiles.ts";
import { runSource } from "./runSource.ts";
import {
  makeScratch,
  missingOutputs,
  publishOutputs,
  RunFailed,
  stageInputs,
  stillStand,
} from "./runFiles.ts";

/** An output that stands in its bucket and is to be known. Generation 0: it comes in like any other file. */
export type OutputArrival = Omit<Arrival, "v" | "generation" | "receivedAt">;

/**
 * Commits the arrivals to the lanes of their buckets, under `arrivalId(bucket, key, etag, …)`, and returns when they are on
 * disk. The same output may be announced again. Fails when NATS is away.
 */
export type Announce = (arrivals: ReadonlyArray<OutputArrival>) => Effect.Effect<void, SystemFailure>;

export interface RunnerDeps {
  readonly driver: RunDriver;
  readonly storageOf: StorageOf;
  /** The bucket {@link runsBucket}. */
  readonly objects: ObjectBucket;
  readonly announce: Announce;
}

type Jobs = Pick<Site, "jobs">;

/** One worker of a lane's runs. Runs until interrupted; its command has then ended and its claim is given back. */
export const runnerWorker = (
  node: NodeContextService,
  site: Pick<Site, "jobs" | "dataDir">,
  lane: string,
  worker: number,
  deps: RunnerDeps,
  ready: Effect.Effect<void>,
): Effect.Effect<never> => {
  // Its own by name: a former life's folders may go, and two nodes on one disk do not meet.
  const folder = join(site.dataDir, "runs", fileSafe(node.name), `${lane}-${worker}`);
  const sweep = Effect.promise(() =>
    rm(folder, { recursive: true, force: true, maxRetries: 3 }).catch((cause: unknown) =>
      node.log("warn", "scratch folders of a former life could not be removed", {
        folder,
        cause: String(cause),
      }),
    ),
  );
  const slot = claimKey(runMailbox(lane), node.name, worker);
  const work = (items: ReadonlyArray<Item<RunBody>>, claim: ClaimInfo) =>
    Effect.forEach(items, (item) => oneRun({ node, site, deps, folder, slot, item, claim }));
  return Effect.andThen(sweep, claimsWorker(node, runSource(site, lane), worker, work, ready));
};

const fileSafe = (name: string): string => encodeToken(name).replaceAll("/", "=2F");

/** Everything about the try in hand. */
interface Try {
  readonly node: NodeContextService;
  readonly site: Jobs;
  readonly deps: RunnerDeps;
  readonly folder: string;
  /** Key of this worker's claim slot. */
  readonly slot: string;
  readonly item: Item<RunBody>;
  readonly claim: ClaimInfo;
}

const oneRun = (of: Try): Effect.Effect<Outcome<RunBody>, SystemFailure> =>
  Effect.gen(function* () {
    const record = of.item.held?.record;
    if (record === undefined) {
      return failure(of.item.body, "permanent", "RunUnknown", "the ledger has no record of this run");
    }
    const job = of.site.jobs.get(record.body.job);
    if (job === undefined) {
      const detail = `this node's site file has no job ${record.body.job}`;
      return failure(record.body, "transient", "JobUnknown", detail);
    }
    const outcome = yield* execute(of, job, record).pipe(
      Effect.catchTag("RunFailed", (error) =>
        Effect.succeed(failure(record.body, error.class, error.reason, error.detail)),
      ),
    );
    return limited(job, record, outcome);
  });

function failure(
  body: RunBody,
  type: "transient" | "permanent",
  reason: string,
  detail: string,
): Outcome<RunBody> {
  return { type, reason, detail, body: { ...body, started: null } };
}

/** A job may allow fewer attempts than its lane. */
function limited(
  job: JobSettings,
  record: LedgerRecord<RunBody>,
  outcome: Outcome<RunBody>,
): Outcome<RunBody> {
  const attempt = record.attempts + 1;
  if (outcome.type !== "transient" || attempt < job.attemptsMax) return outcome;
  const detail = `${outcome.detail} (attempt ${attempt} of ${job.attemptsMax})`;
  return { ...outcome, type: "permanent", detail };
}

const execute = Effect.fnUntraced(function* (of: Try, job: JobSettings, record: LedgerRecord<RunBody>) {
  const { body } = record;
  const { storageOf } = of.deps;
  if (body.outputs !== null && (yield* stillStand(body.outputs, storageOf))) {
    yield* of.deps.announce(arrivalsOf(of, body.outputs));
    return done({ ...body, started: null }, "published by an earlier try");
  }
  yield* notInHand(of, record);
  const started = {
    generation: record.generation,
    node: of.node.name,
    slot: of.slot,
    claim: of.claim.claim,
    at: new Date().toISOString(),
  };
  yield* mark(of, { ...body, started, outputs: null, result: null });
  return yield* Effect.acquireUseRelease(
    makeScratch(join(of.folder, fileSafe(of.claim.claim))),
    (scratch) => inScratch(of, job, { ...body, started, outputs: null }, record.attempts + 1, scratch),
    (scratch) =>
      // What cannot be removed now is removed when this worker starts anew.
      Effect.promise(() =>
        rm(scratch.root, { recursive: true, force: true, maxRetries: 3 }).catch(() => undefined),
      ),
  );
});

const done = (body: RunBody, note: string): Outcome<RunBody> => ({ type: "done", body, note });

const inScratch = Effect.fnUntraced(function* (
  of: Try,
  job: JobSettings,
  body: RunBody,
  attempt: number,
  scratch: Scratch,
) {
  const { driver, storageOf } = of.deps;
  const manifest = yield* stageInputs(scratch, body.inputs, storageOf);
  const end = yield* driver
    .run({
      id: fileSafe(of.claim.claim),
      command: job.driver.command,
      cwd: job.driver.cwd ?? scratch.work,
      env: { ...job.driver.env, ...environment(of, job, body, attempt, scratch) },
      scratch: scratch.root,
      logFile: scratch.log,
      logBytesMax: jobLogBytesMax,
      timeLimitMs: job.timeLimitMs,
    })
    .pipe(Effect.mapError((error) => new SystemFailure({ what: "a command", detail: error.message })));
  const result = yield* keep(of, job, end, scratch, manifest);
  const verdict = verdictOf(end, yield* missingOutputs(scratch, job.outputs), job.timeLimitMs);
  if (verdict.type !== "done") {
    return failure({ ...body, result }, verdict.type, verdict.reason, verdict.detail);
  }
  return yield* publish(of, job, { ...body, result }, scratch, end).pipe(
    Effect.catchTag("RunFailed", (error) =>
      Effect.succeed(failure({ ...body, result }, error.class, error.reason, error.detail)),
    ),
  );
});

const publish = Effect.fnUntraced(function* (
  of: Try,
  job: JobSettings,
  body: RunBody,
  scratch: Scratch,
  end: RunEnd,
) {
  yield* stillOurs(of);
  const run = nameOf(of.item.place);
  const outputs = yield* publishOutputs(scratch, job.outputs, body.partition, run, of.deps.storageOf);
  yield* mark(of, { ...body, outputs });
  yield* of.deps.announce(arrivalsOf(of, outputs));
  const seconds = ((end.endedAt - end.startedAt) / 1_000).toFixed(1);
  return done({ ...body, started: null, outputs }, `${outputs.length} outputs in ${seconds} s`);
});

const nameOf = (place: Place): string => decodeKeyPart(place.tail) ?? place.tail;

function environment(
  of: Try,
  job: JobSettings,
  body: RunBody,
  attempt: number,
  scratch: Scratch,
): Readonly<Record<string, string>> {
  return {
    TMPDIR: scratch.temporary,
    ORRERY_RUN: nameOf(of.item.place),
    ORRERY_JOB: job.name,
    ORRERY_JOB_VERSION: job.version,
    ORRERY_INSTRUMENT: body.partition.instrument,
    ORRERY_DAY: body.partition.day,
    ORRERY_EXPOSURE: partitionName(body.partition),
    ORRERY_ATTEMPT: String(attempt),
    ORRERY_SCRATCH: scratch.root,
    ORRERY_INPUTS: scratch.manifest,
    ORRERY_OUTPUTS: scratch.outputs,
  };
}

function arrivalsOf(of: Try, outputs: ReadonlyArray<RunOutput>): ReadonlyArray<OutputArrival> {
  const { instrument, day } = (of.item.held?.record.body ?? of.item.body).partition;
  const via = `job:${nameOf(of.item.place)}`;
  return outputs.map(({ bucket, key, etag, size }) => ({ bucket, key, etag, size, instrument, day, via }));
}

const patience = { times: runStorageTriesMax - 1, schedule: Schedule.exponential("500 millis") };

/** Log and manifest into the object store. */
const keep = Effect.fnUntraced(function* (
  of: Try,
  job: JobSettings,
  end: RunEnd,
  scratch: Scratch,
  manifest: string,
) {
  const under = `${of.item.place.tail}/${of.item.generation}`;
  const result: RunResult = {
    exit: end.exit,
    timedOut: end.timedOut,
    startedAt: new Date(end.startedAt).toISOString(),
    endedAt: new Date(end.endedAt).toISOString(),
    peakRssBytes: end.peakRssBytes,
    log: `${under}/log`,
    manifest: `${under}/inputs.json`,
    version: job.version,
    node: of.node.name,
  };
  const { objects } = of.deps;
  const put = (name: string, data: () => Uint8Array | ReadableStream<Uint8Array>) =>
    Effect.suspend(() => objects.put(name, data())).pipe(
      Effect.retry(patience),
      Effect.mapError((error) => new SystemFailure({ what: "the object store", detail: error.message })),
    );
  yield* put(result.log, () => Readable.toWeb(createReadStream(scratch.log)) as ReadableStream<Uint8Array>);
  yield* put(result.manifest, () => Buffer.from(manifest));
  yield* put(`${under}/result.json`, () => encodeJson(result));
  return result;
});

/**
 * A delivery can come twice while its run is going (the server was away longer than a delivery is kept waiting for): whoever
 * has it in hand keeps it, and this delivery is given back until it is settled, or its claim taken.
 */
const notInHand = Effect.fnUntraced(function* (of: Try, record: LedgerRecord<RunBody>) {
  const { started } = record.body;
  if (started === null || started.generation !== record.generation || started.slot === of.slot) return;
  const found = yield* Effect.tryPromise({
    try: () => getSlotUnsafe(of.node.nats, started.slot),
    catch: (cause) => new SystemFailure({ what: "the ledger", detail: String(cause) }),
  });
  if (found?.slot.state === "claimed" && found.slot.id === started.claim) {
    yield* new SystemFailure({ what: "this run", detail: `node ${started.node} has it in hand` });
  }
});

const claimLost = (detail: string): RunFailed =>
  new RunFailed({ class: "transient", reason: "ClaimLost", detail });

/** Fails where another try may have begun meanwhile. The settle is refused then, too: nothing of this try is recorded. */
const stillOurs = (of: Try): Effect.Effect<void, RunFailed | SystemFailure> =>
  Effect.flatMap(readRun(of), (held) =>
    held?.revision === of.item.expected
      ? Effect.void
      : Effect.fail(claimLost("the run's record changed while its command ran; nothing was published")),
  );

const readRun = (of: Try) =>
  Effect.tryPromise({
    try: () => getRecordUnsafe<RunBody>(of.node.nats, of.item.key),
    catch: (cause) => new SystemFailure({ what: "the ledger", detail: String(cause) }),
  }).pipe(Effect.retry(patience));

/** Writes the run's record in the middle of a try, expecting the revision that this try knows. */
const mark = Effect.fnUntraced(function* (of: Try, body: RunBody) {
  const { item, node } = of;
  const before = item.held;
  if (before === null) return yield* claimLost("the run has no record");
  const record: LedgerRecord<RunBody> = { ...before.record, claim: of.claim.claim, body };
  const data = encodeJson(record);
  const write = Effect.suspend(() =>
    Effect.promise(() =>
      commitUnsafe(node.nats, "run record", [ledgerPut(item.key, data, item.expected)], 5_000),
    ),
  ).pipe(
    Effect.flatMap((answer) =>
      "_tag" in answer && answer._tag !== "TransactionConflict"
        ? Effect.fail(new SystemFailure({ what: "the ledger", detail: answer.message }))
        : Effect.succeed(answer),
    ),
    Effect.retry(patience),
  );
  const answer = yield* write;
  const stored = { key: item.key, revision: "_tag" in answer ? 0 : (answer[0] ?? 0), record };
  // After a conflict: an earlier send may have got through, and its answer been lost.
  const now = "_tag" in answer ? yield* readRun(of) : stored;
  if (now === null || JSON.stringify(now.record) !== JSON.stringify(record)) {
    return yield* claimLost("the run's record was changed by somebody else");
  }
  item.expected = now.revision;
  item.held = now;
  return undefined;
});
