/**
 * A runner and a reclaimer as a process of their own: `node runnerMain.ts PLAN.json`. It kills itself, as kill -9 does, at the point of
 * a run's life that its plan names.
 */
import { appendFileSync, readFileSync } from "node:fs";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Scope from "effect/Scope";
import { reclaimerActor } from "../../src/actors/reclaimer.ts";
import { RunBell } from "../../src/actors/RunBell.ts";
import { RunsInHand } from "../../src/actors/RunsInHand.ts";
import { UnknownJobs } from "../../src/actors/UnknownJobs.ts";
import { runnerWorker } from "../../src/actors/runner.ts";
import { putBackRun, queueOfRun, runReclaimRules } from "../../src/actors/runSource.ts";
import type { RunDriver } from "../../src/drivers/RunDriver.ts";
import { makeProcessDriver } from "../../src/drivers/process.ts";
import { acquireLease } from "../../src/jetstream/lease.ts";
import { connectNats } from "../../src/jetstream/Nats.ts";
import { openObjects } from "../../src/jetstream/objects.ts";
import { claimKey, kvStream, ledgerBucket, runMailbox } from "../../src/protocol/keys.ts";
import { recordVersion } from "../../src/protocol/records.ts";
import { runsConsumer } from "../../src/protocol/runQueue.ts";
import { runsBucket } from "../../src/protocol/runs.ts";
import { makeFileStorage } from "../../src/storage/file.ts";
import type { StorageDriver } from "../../src/storage/Storage.ts";
import type { RunnerPlan } from "./runnerPlan.ts";
import { jobOf } from "./runnerPlan.ts";
import { testNode } from "./testNode.ts";

const plan = JSON.parse(readFileSync(process.argv[2] ?? "", "utf8")) as RunnerPlan;
const die = (): void => void process.kill(process.pid, "SIGKILL");
const dieAt = (point: RunnerPlan["killAt"]): void => (plan.killAt === point ? die() : undefined);

const job = jobOf(plan, process.pid);
const jobs = { jobs: new Map([[job.name, job]]) };

const inner = makeProcessDriver();
const driver: RunDriver = {
  ...inner,
  run: (task) =>
    Effect.andThen(
      Effect.sync(() => dieAt("claimed")),
      inner.run(task),
    ),
};

const files = makeFileStorage({ root: plan.storage });
let written = 0;
const storage: StorageDriver = {
  ...files,
  write: (bucket, key, body) =>
    Effect.tap(files.write(bucket, key, body), () =>
      Effect.sync(() => (++written === plan.outputs ? dieAt("uploaded") : undefined)),
    ),
};

const program = Effect.gen(function* () {
  const nats = yield* connectNats({ servers: [plan.server], name: plan.node }, { firstMs: 60_000 });
  let announced = false;
  const publish = nats.connection.publish.bind(nats.connection);
  nats.connection.publish = (subject, data, options) => {
    // The first acknowledgement behind the settle: it never leaves.
    if (announced && subject.startsWith("$JS.ACK.") && data?.length === 0) dieAt("settled");
    publish(subject, data, options);
  };
  const rules = runReclaimRules(jobs, job.lane);
  const node = {
    ...testNode(nats, plan.node),
    epoch: `${plan.node}-${process.pid}`,
    reclaimRules: () => rules,
  };
  const lease = yield* acquireLease(nats, plan.node, node.epoch, () => ({
    v: recordVersion,
    epoch: node.epoch,
    startedAt: "",
    // Not this machine: that its process is gone is not to be seen, its lease has to run out.
    host: plan.node,
    pid: process.pid,
    version: "test",
    site: "test",
    actors: [],
    http: null,
    durability: "",
  }));
  yield* Effect.forkScoped(lease.renew);
  const objects = yield* openObjects(nats, runsBucket, 1);
  const needs = {
    lease,
    ownSlots: new Set([claimKey(runMailbox(job.lane), plan.node, 0)]),
    putBack: () => ({
      stream: kvStream(ledgerBucket),
      consumer: runsConsumer(job.lane),
      consumerOf: (record: Parameters<typeof putBackRun>[1]) => runsConsumer(queueOfRun(job.lane, record)),
      message: putBackRun,
    }),
    retention: [],
  };
  yield* Effect.forkScoped(reclaimerActor(node, needs, Effect.void));
  const deps = {
    driverOf: () => driver,
    storageOf: () => storage,
    objects,
    announce: (arrivals: ReadonlyArray<object>) =>
      Effect.sync(() => {
        dieAt("marked");
        for (const arrival of arrivals)
          appendFileSync(plan.announced, `${JSON.stringify({ node: plan.node, ...arrival })}\n`);
        announced = true;
      }),
    bell: new RunBell(nats),
    runs: new RunsInHand(),
    unknown: new UnknownJobs(),
  };
  const ready = Effect.sync(() => void process.stdout.write("ready\n"));
  const site = { ...jobs, dataDir: plan.scratch };
  return yield* runnerWorker(node, site, job.lane, 0, deps, ready);
});

// Whoever started it holds the other end: a test that dies takes its nodes with it.
process.stdin.on("end", () => process.exit(3)).resume();
const scope = Scope.makeUnsafe();
await Effect.runPromise(Scope.provide(program, scope)).catch(async (cause: unknown) => {
  process.stderr.write(`${String(cause)}\n`);
  await Effect.runPromise(Scope.close(scope, Exit.void));
  process.exit(2);
});
