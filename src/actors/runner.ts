/**
 * The runner: takes a ready run, executes its command, publishes what it made.
 *
 * Receives  `ready.<queue>.<day>.<run>.<generation>` keys of the ledger, one at a time, the most urgent queue first.
 * Keeps     `run.…`: which try is under way, how it ended, what it made. `lock.<instrument>`, where runs of an instrument go
 *           one at a time. Log and manifest go to the object bucket `orrery-runs`, under the run's name and the generation.
 *           That the command is alive, and its last line, is part of the node's lease.
 * Emits     the outputs, as objects of their buckets, and an arrival for each.
 * Fails     as the command says (docs of `verdictOf`): due again with backoff, or parked. NATS, storage or disk away: the
 *           claim is given back and nothing is recorded. Interrupted: the command is ended and the claim given back. The record
 *           changed by somebody else: the command is ended, and parked where that was to cancel it.
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
import type { JobDriver } from "../config/JobCatalogue.ts";
import type { RunDriver, RunEnd } from "../drivers/RunDriver.ts";
import type { NatsService } from "../jetstream/Nats.ts";
import type { ObjectBucket } from "../jetstream/objects.ts";
import { consumerFilters } from "../jetstream/survey.ts";
import { jobLogBytesMax, runStorageTriesMax, runWatchEveryMs } from "../limits.ts";
import type { Arrival } from "../protocol/arrival.ts";
import type { Place } from "../protocol/keys.ts";
import {
  claimKey,
  decodeKeyPart,
  encodeToken,
  kvStream,
  ledgerBucket,
  runMailbox,
} from "../protocol/keys.ts";
import type { Outcome } from "../protocol/lifecycle.ts";
import type { LedgerRecord } from "../protocol/records.ts";
import { encodeJson } from "../protocol/records.ts";
import type { RunBody, RunEnded, RunOutput, RunResult } from "../protocol/runs.ts";
import { cancelledReason, givenByRun, verdictOf } from "../protocol/runs.ts";
import type { RunQueue } from "../protocol/runQueue.ts";
import { byUrgency, laneOfQueue, queueOfFilter } from "../protocol/runQueue.ts";
import { NotNow } from "./NotNow.ts";
import { claimsWorker, SystemFailure } from "./claims.ts";
import type { ClaimInfo, Item } from "./claimSource.ts";
import type { NodeContextService } from "./NodeContext.ts";
import type { RunBell } from "./RunBell.ts";
import type { RunsInHand } from "./RunsInHand.ts";
import { environmentOf } from "./runEnvironment.ts";
import type { Scratch, StorageOf } from "./runFiles.ts";
import type { ExpectedOutput, RunnerJob, RunnerJobs } from "./runJob.ts";
import { outputsOf, queuesOfLane } from "./runJob.ts";
import { freeLockOf, takeLock } from "./runLock.ts";
import { RunQueues } from "./RunQueues.ts";
import { runLanes, runSource } from "./runSource.ts";
import type { TryRecord } from "./runTry.ts";
import type { UnknownJobs } from "./UnknownJobs.ts";
import { cancelOf, mark, notInHand, stillOurs, untilChanged } from "./runTry.ts";
import type { RunFailed } from "./runFiles.ts";
import { makeScratch, missingOutputs, publishOutputs, stageInputs, stillStand } from "./runFiles.ts";

/** An output that stands in its bucket and is to be known. Generation 0: it comes in like any other file. */
export type OutputArrival = Omit<Arrival, "v" | "generation" | "receivedAt">;

/**
 * Commits the arrivals to the lanes of their buckets, under `arrivalId(bucket, key, etag, …)`, and returns when they are on
 * disk. The same output may be announced again. Fails when NATS is away.
 */
export type Announce = (arrivals: ReadonlyArray<OutputArrival>) => Effect.Effect<void, SystemFailure>;

export interface RunnerDeps {
  /** The same for drivers that are the same. */
  readonly driverOf: (driver: JobDriver) => RunDriver;
  readonly storageOf: StorageOf;
  /** The bucket {@link runsBucket}. */
  readonly objects: ObjectBucket;
  readonly announce: Announce;
  /** One each for all workers of the node. */
  readonly bell: RunBell;
  readonly runs: RunsInHand;
  readonly unknown: UnknownJobs;
}

/** One worker of a lane's runs. Runs until interrupted; its command has then ended and its claim is given back. */
export const runnerWorker = (
  node: NodeContextService,
  site: RunnerJobs & { readonly dataDir: string },
  lane: string,
  worker: number,
  deps: RunnerDeps,
  ready: Effect.Effect<void>,
): Effect.Effect<never> => {
  // Its own by name: a former life's folders may go, and two nodes on one disk do not meet.
  const folder = join(site.dataDir, "runs", fileSafe(node.name), `${lane}-${worker}`);
  const slot = claimKey(runMailbox(lane), node.name, worker);
  const work = (items: ReadonlyArray<Item<RunBody>>, claim: ClaimInfo) =>
    Effect.forEach(items, (item) => oneRun({ node, site, deps, folder, slot, item, claim }));
  // Of several workers one leaves what is reprocessed to the others.
  const liveOnly = worker === 0 && (runLanes(site).get(lane) ?? 1) > 1;
  const sourceOf = (left: ReadonlyArray<RunQueue>) =>
    runSource(site, lane, (nats) => {
      const known = queuesOfLane(site, lane);
      const names = new Set(known.map(({ name }) => name));
      const queues = [...known, ...left.filter(({ name }) => !names.has(name))].sort(byUrgency);
      return new RunQueues(nats, deps.bell, lane, queues, liveOnly);
    });
  const drivers = new Set([...site.jobs.values()].map((job) => deps.driverOf(job.driver)));
  const sweep = Effect.forEach([...drivers], (driver) =>
    driver
      .sweep(fileSafe(slot))
      .pipe(
        Effect.catch((error) =>
          Effect.sync(() =>
            node.log("warn", "what a former life left running could not be looked for", { error }),
          ),
        ),
      ),
  );
  return Effect.gen(function* () {
    yield* sweep;
    yield* Effect.promise(() =>
      rm(folder, { recursive: true, force: true, maxRetries: 3 }).catch((cause: unknown) =>
        node.log("warn", "scratch folders of a former life could not be removed", {
          folder,
          cause: String(cause),
        }),
      ),
    );
    const left = yield* queuesOnServer(node.nats, lane).pipe(
      Effect.catch((error) =>
        Effect.sync(() => {
          node.log("warn", "queues of an earlier catalogue could not be looked for", { error });
          return [];
        }),
      ),
    );
    return yield* claimsWorker(node, sourceOf(left), worker, work, ready);
  });
};

/** Those that have a consumer: of a catalogue of before something may wait in a queue that this one has not. */
const queuesOnServer = (nats: NatsService, lane: string) =>
  Effect.map(consumerFilters(nats, kvStream(ledgerBucket)), (filters) =>
    filters.flatMap((filter) => {
      const found = queueOfFilter(filter);
      return found !== null && laneOfQueue(found.name) === lane ? [found] : [];
    }),
  );

const fileSafe = (name: string): string => encodeToken(name).replaceAll("/", "=2F");

/** Everything about the try in hand. */
interface Try extends TryRecord {
  readonly site: RunnerJobs;
  readonly deps: RunnerDeps;
  readonly folder: string;
}

const oneRun = (of: Try): Effect.Effect<Outcome<RunBody>, SystemFailure | NotNow> =>
  Effect.gen(function* () {
    const record = of.item.held?.record;
    if (record === undefined) {
      return failure(of.item.body, "permanent", "RunUnknown", "the ledger has no record of this run");
    }
    const cancelled = cancelOf(record.body);
    if (cancelled !== null) return failure(record.body, "permanent", cancelled.reason, cancelled.detail);
    const job = of.site.jobs.get(record.body.job);
    if (job === undefined) {
      const detail = `this node knows no job ${record.body.job}`;
      // While a catalogue is rolled out over the nodes another may know it, and runs of it are no failures.
      if (!of.deps.unknown.isOver(of.item.key, performance.now()))
        yield* new NotNow({ detail, againMs: runWatchEveryMs });
      return failure(record.body, "transient", "JobUnknown", detail);
    }
    const outcome = yield* alone(of, record, execute(of, job, record)).pipe(
      Effect.catchTag("RunFailed", (error) => Effect.succeed(failedTry(record.body, error))),
    );
    return limited(job, record, outcome);
  });

/** Runs it while it has its instrument's lock, where runs of the instrument go one at a time. */
function alone<A, E>(
  of: Try,
  { body }: LedgerRecord<RunBody>,
  run: Effect.Effect<A, E>,
): Effect.Effect<A, E | NotNow | SystemFailure> {
  const exclusive = body.plan?.exclusive ?? null;
  if (exclusive === null) return run;
  const { node, slot, claim, item, deps } = of;
  const holder = {
    slot,
    claim: claim.claim,
    run: item.key,
    node: node.name,
    since: new Date(node.nats.now()).toISOString(),
  };
  return Effect.acquireUseRelease(
    takeLock(node.nats, exclusive, holder).pipe(
      Effect.tapErrorTag("NotNow", () => Effect.sync(() => deps.bell.seenHeld(exclusive))),
    ),
    () => run,
    () => freeLockOf(node.nats, exclusive, claim.claim),
  );
}

function failure(
  { cancel: _honoured, ...body }: RunBody,
  type: "transient" | "permanent",
  reason: string,
  detail: string,
): Outcome<RunBody> {
  return { type, reason, detail, body: { ...body, started: null } };
}

/** As {@link failure}. Where nobody decides anew what to do with the partition, what is not there yet is tried for again. */
function failedTry(body: RunBody, error: RunFailed): Outcome<RunBody> {
  if (error.class !== "not-yet") return failure(body, error.class, error.reason, error.detail);
  if (body.plan === undefined) return failure(body, "transient", error.reason, error.detail);
  return over(body, { how: "not-yet", detail: error.detail });
}

/** A job may allow fewer attempts than its lane. */
function limited(job: RunnerJob, record: LedgerRecord<RunBody>, outcome: Outcome<RunBody>): Outcome<RunBody> {
  const attempt = record.attempts + 1;
  if (outcome.type !== "transient" || attempt < job.attemptsMax) return outcome;
  const detail = `${outcome.detail} (attempt ${attempt} of ${job.attemptsMax})`;
  return { ...outcome, type: "permanent", detail };
}

const execute = Effect.fnUntraced(function* (of: Try, job: RunnerJob, record: LedgerRecord<RunBody>) {
  const { body } = record;
  const { storageOf } = of.deps;
  yield* notInHand(of, record);
  if (body.outputs !== null && (yield* stillStand(body.outputs, storageOf))) {
    yield* of.deps.announce(arrivalsOf(of, body.outputs));
    return done({ ...body, started: null }, "published by an earlier try");
  }
  const started = {
    generation: record.generation,
    node: of.node.name,
    slot: of.slot,
    claim: of.claim.claim,
    at: new Date(of.node.nats.now()).toISOString(),
  };
  yield* mark(of, { ...body, started, outputs: null, result: null });
  const leftovers = body.started === null ? [] : [fileSafe(body.started.claim)];
  return yield* Effect.acquireUseRelease(
    makeScratch(join(of.folder, fileSafe(of.claim.claim))),
    (scratch) =>
      inScratch(
        { of, job, scratch, leftovers, attempt: record.attempts + 1 },
        {
          ...body,
          started,
          outputs: null,
        },
      ),
    (scratch) =>
      // What cannot be removed now is removed when this worker starts anew.
      Effect.promise(() =>
        rm(scratch.root, { recursive: true, force: true, maxRetries: 3 }).catch(() => undefined),
      ),
  );
});

const done = (body: RunBody, note: string): Outcome<RunBody> => ({ type: "done", body, note });

/** A try with all that it needs to begin. */
interface Begun {
  readonly of: Try;
  readonly job: RunnerJob;
  readonly scratch: Scratch;
  readonly leftovers: ReadonlyArray<string>;
  readonly attempt: number;
}

const inScratch = Effect.fnUntraced(function* (begun: Begun, body: RunBody) {
  const { of, job, scratch } = begun;
  const outputs = outputsOf(job, body, nameOf(of.item.place));
  const staged = yield* stageInputs(scratch, body.inputs, outputs, of.deps.storageOf).pipe(
    Effect.tapErrorTag("NotNow", ({ detail }) =>
      Effect.sync(() => of.node.troubles.met(runMailbox(job.lane), "another site's storage", detail)),
    ),
  );
  const startedAt = Date.now();
  const ended = yield* command(begun, body, staged.reads).pipe(
    Effect.catchTag("RunFailed", (error) =>
      error.reason === cancelledReason ? Effect.succeed(error) : Effect.fail(error),
    ),
  );
  if ("_tag" in ended) {
    const result = yield* keep(
      begun,
      { ...endedFromOutside, startedAt, endedAt: Date.now() },
      staged.manifest,
    );
    return failedTry({ ...body, result }, ended);
  }
  const result = yield* keep(begun, ended, staged.manifest);
  const after = { ...body, result };
  const verdict = verdictOf(ended, yield* missingOutputs(scratch, outputs), job.timeLimitMs);
  switch (verdict.type) {
    case "done":
      return yield* publish(of, outputs, after, scratch, ended).pipe(
        Effect.catchTag("RunFailed", (error) => Effect.succeed(failedTry(after, error))),
      );
    case "no-data":
      return over(after, { how: "no-data", detail: verdict.detail });
    case "not-yet":
      // Where nobody decides anew what to do with the partition, it is tried again.
      if (body.plan === undefined) return failure(after, "transient", "NotYet", verdict.detail);
      return over(after, { how: "not-yet", detail: verdict.detail });
    default:
      return failure(after, verdict.type, verdict.reason, verdict.detail);
  }
});

const over = (body: RunBody, ended: RunEnded): Outcome<RunBody> =>
  done({ ...body, started: null, outputs: [], ended }, `${ended.how}: ${ended.detail}`);

const endedFromOutside = {
  exit: null,
  timedOut: false,
  peakRssBytes: null,
  cpuMs: null,
  logBytes: 0,
  lastLine: "",
} as const;

/** Runs the command, unless its run is taken away or cancelled before it has ended. */
const command = (
  { of, job, scratch, leftovers, attempt }: Begun,
  body: RunBody,
  reads: ReadonlyArray<string>,
) => {
  const { driver } = job;
  const { runs } = of.deps;
  const run = of.deps.driverOf(driver).run({
    id: fileSafe(of.claim.claim),
    leftovers,
    owner: fileSafe(of.slot),
    command: driver.command,
    image: driver.type === "docker" ? driver.image : null,
    cwd: (driver.type === "process" ? driver.cwd : null) ?? scratch.work,
    env: { ...driver.env, ...environmentOf({ job, body, scratch, attempt, run: nameOf(of.item.place) }) },
    reads,
    scratch: scratch.root,
    logFile: scratch.log,
    logBytesMax: jobLogBytesMax,
    timeLimitMs: job.timeLimitMs,
    onProgress: (progress) => runs.progressed(of.item.key, progress),
  });
  return Effect.raceFirst(
    run.pipe(Effect.mapError((error) => new SystemFailure({ what: "a command", detail: error.message }))),
    untilChanged(of),
  ).pipe(
    (running) =>
      Effect.andThen(
        Effect.sync(() => runs.began(of.item.key)),
        running,
      ),
    Effect.ensuring(Effect.sync(() => runs.ended(of.item.key))),
  );
};

const publish = Effect.fnUntraced(function* (
  of: Try,
  expected: ReadonlyArray<ExpectedOutput>,
  body: RunBody,
  scratch: Scratch,
  end: RunEnd,
) {
  yield* stillOurs(of);
  const outputs = yield* publishOutputs(scratch, expected, of.deps.storageOf);
  yield* mark(of, { ...body, outputs });
  yield* of.deps.announce(arrivalsOf(of, outputs));
  const seconds = ((end.endedAt - end.startedAt) / 1_000).toFixed(1);
  return done({ ...body, started: null, outputs }, `${outputs.length} outputs in ${seconds} s`);
});

const nameOf = (place: Place): string => decodeKeyPart(place.tail) ?? place.tail;

function arrivalsOf(of: Try, outputs: ReadonlyArray<RunOutput>): ReadonlyArray<OutputArrival> {
  const { partition } = of.item.held?.record.body ?? of.item.body;
  const { instrument, day } = partition;
  const via = `job:${nameOf(of.item.place)}`;
  const given = givenByRun(partition);
  return outputs.map(({ bucket, key, etag, size }) => ({
    bucket,
    key,
    etag,
    size,
    instrument,
    day,
    via,
    ...given,
  }));
}

const patience = { times: runStorageTriesMax - 1, schedule: Schedule.exponential("500 millis") };

/** Log and manifest into the object store. */
const keep = Effect.fnUntraced(function* ({ of, job, scratch }: Begun, end: RunEnd, manifest: string) {
  const under = `${of.item.place.tail}/${of.item.generation}`;
  const result: RunResult = {
    exit: end.exit,
    timedOut: end.timedOut,
    startedAt: new Date(end.startedAt).toISOString(),
    endedAt: new Date(end.endedAt).toISOString(),
    peakRssBytes: end.peakRssBytes,
    cpuMs: end.cpuMs,
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
