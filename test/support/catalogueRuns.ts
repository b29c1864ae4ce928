/** Runs of a catalogue without a catalogue: written into the ledger as a resolver would, and run by real runners. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import { RunBell } from "../../src/actors/RunBell.ts";
import type { RunnerJob, RunnerJobs } from "../../src/actors/runJob.ts";
import { queuesOf } from "../../src/actors/runJob.ts";
import type { OutputArrival, RunnerDeps } from "../../src/actors/runner.ts";
import { runnerWorker } from "../../src/actors/runner.ts";
import { RunsInHand } from "../../src/actors/RunsInHand.ts";
import { UnknownJobs } from "../../src/actors/UnknownJobs.ts";
import { beginRun, runReclaimRules } from "../../src/actors/runSource.ts";
import { makeProcessDriver } from "../../src/drivers/process.ts";
import { getRecordUnsafe } from "../../src/jetstream/ledger.ts";
import type { ObjectBucket } from "../../src/jetstream/objects.ts";
import { openObjects } from "../../src/jetstream/objects.ts";
import { commit } from "../../src/jetstream/transaction.ts";
import type { Place } from "../../src/protocol/keys.ts";
import { recordKey, runMailbox } from "../../src/protocol/keys.ts";
import type { LedgerRecord } from "../../src/protocol/records.ts";
import type { RunBody, RunInput, RunPlan, StretchPartition } from "../../src/protocol/runs.ts";
import { newRun, placeOfRun, runsBucket } from "../../src/protocol/runs.ts";
import { makeMemoryStorage } from "../../src/storage/memory.ts";
import type { StorageDriver } from "../../src/storage/Storage.ts";
import type { TestNats } from "./nats.ts";
import { startNats } from "./nats.ts";
import type { TestNode } from "./testNode.ts";
import { testNode } from "./testNode.ts";
import { patienceMs } from "./testSite.ts";

export const dayOf = (day: string): StretchPartition => ({
  kind: "day",
  instrument: "mag",
  day,
  name: day,
  range: {
    start: `${day.slice(0, 4)}-${day.slice(4, 6)}-${day.slice(6)}T00:00:00`,
    end: "2026-12-31T00:00:00",
  },
  pointing: null,
});

export const planOf = (names: ReadonlyArray<string>, more: Partial<RunPlan> = {}): RunPlan => ({
  outputs: names.map((name) => ({
    dataset: "mag/l1a/norm-mago",
    name,
    bucket: "products",
    key: `mag/${name}`,
  })),
  minor: 1,
  incomplete: false,
  priority: 0,
  origin: "live",
  exclusive: null,
  ...more,
});

/** A job whose command is this script, run by sh. */
export const scriptJob = (name: string, script: string, more: Partial<RunnerJob> = {}): RunnerJob => ({
  name,
  version: "1",
  lane: "l1",
  workers: 1,
  driver: { type: "process", command: ["/bin/sh", "-ec", script], cwd: null, env: {} },
  timeLimitMs: 30_000,
  attemptsMax: 3,
  outputs: [],
  queueing: { priority: 0, exclusive: null },
  ...more,
});

export interface StartedRunner {
  readonly node: TestNode;
  readonly runs: RunsInHand;
  readonly announced: Array<OutputArrival>;
  /** Interrupts it; resolves when its command has ended and its claim is given back. */
  readonly stop: () => Promise<void>;
}

let hashes = 0;

export class RunStage {
  readonly server: TestNats;
  readonly folder: string;
  readonly storage: StorageDriver;
  readonly objects: ObjectBucket;
  readonly jobs: RunnerJobs;
  readonly #runners = new Set<StartedRunner>();

  private constructor(server: TestNats, folder: string, objects: ObjectBucket, jobs: RunnerJobs) {
    this.server = server;
    this.folder = folder;
    this.objects = objects;
    this.jobs = jobs;
    this.storage = makeMemoryStorage(["inputs", "products"]);
  }

  static async start(jobs: ReadonlyArray<RunnerJob>): Promise<RunStage> {
    const all = { jobs: new Map(jobs.map((job) => [job.name, job])) };
    const server = await startNats({
      topology: {
        lanes: [],
        ...queuesOf(all),
        items: [],
        follows: [],
        replicas: 1,
        duplicateWindowMs: 120_000,
      },
    });
    const objects = await Effect.runPromise(openObjects(server.nats, runsBucket, 1));
    return new RunStage(server, mkdtempSync(join(tmpdir(), "orrery-runs-")), objects, all);
  }

  /** After each test: what one left running must not take the runs of the next. */
  async stopAll(): Promise<void> {
    for (const runner of this.#runners) await runner.stop();
  }

  async end(): Promise<void> {
    await this.stopAll();
    await this.server.stop();
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 3 });
  }

  async runner(
    name: string,
    worker = 0,
    deps: Partial<RunnerDeps> = {},
    lane = "l1",
    jobs: RunnerJobs = this.jobs,
  ): Promise<StartedRunner> {
    const nats = await this.server.connect(name);
    const rules = (mailbox: string) => runReclaimRules(this.jobs, mailbox.slice(runMailbox("").length));
    const node = { ...testNode(nats, name), reclaimRules: rules };
    const announced: Array<OutputArrival> = [];
    const runs = new RunsInHand();
    const all: RunnerDeps = {
      driverOf: () => makeProcessDriver({ termMs: 300, interruptMs: 300 }),
      storageOf: () => this.storage,
      objects: this.objects,
      announce: (arrivals) => Effect.sync(() => void announced.push(...arrivals)),
      bell: new RunBell(nats),
      runs,
      unknown: new UnknownJobs(),
      ...deps,
    };
    const site = { ...jobs, dataDir: this.folder };
    const fiber = Effect.runFork(runnerWorker(node, site, lane, worker, all, Effect.void));
    const runner: StartedRunner = {
      node,
      runs,
      announced,
      stop: async () => {
        this.#runners.delete(runner);
        await Effect.runPromise(Fiber.interrupt(fiber));
      },
    };
    this.#runners.add(runner);
    return runner;
  }

  /** @returns the run's ledger key */
  async begin(
    job: string,
    plan: RunPlan,
    partition: StretchPartition = dayOf("20260310"),
    inputs: ReadonlyArray<RunInput> = [],
    now = 0,
  ): Promise<string> {
    const place = this.place(job, partition);
    const { etag: hash } = place;
    const run = newRun({ job, version: "1", partition, hash, inputs, plan }, { now, node: "test" });
    await Effect.runPromise(commit(this.server.nats, "test", beginRun(place.place, run)));
    return recordKey(place.place);
  }

  place(job: string, partition: StretchPartition): { readonly place: Place; readonly etag: string } {
    const etag = (hashes++).toString(16).padStart(16, "0");
    const lane = this.jobs.jobs.get(job)?.lane ?? "l1";
    return { place: placeOfRun(lane, job, partition, etag), etag };
  }

  async record(run: string): Promise<LedgerRecord<RunBody>> {
    const held = await getRecordUnsafe<RunBody>(this.server.nats, run);
    if (held === null) throw new Error(`no run ${run}`);
    return held.record;
  }

  /** Waits until the run's record is as asked for. */
  async until(
    run: string,
    what: string,
    is: (record: LedgerRecord<RunBody>) => boolean,
    withinMs = patienceMs,
  ): Promise<LedgerRecord<RunBody>> {
    const end = performance.now() + withinMs;
    for (;;) {
      const record = await this.record(run);
      if (is(record)) return record;
      if (performance.now() > end) throw new Error(`${run} is not ${what}: ${JSON.stringify(record)}`);
      await new Promise((resolve) => setTimeout(resolve, 15));
    }
  }

  async text(key: string): Promise<string> {
    const { bytes } = await Effect.runPromise(this.storage.readAll("products", key, 100_000));
    return Buffer.from(bytes).toString();
  }
}
