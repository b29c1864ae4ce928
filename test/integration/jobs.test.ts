import { mkdtempSync, rmSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { PutBackRule } from "../../src/actors/putBack.ts";
import { putBackDue } from "../../src/actors/putBack.ts";
import { resolverActor } from "../../src/actors/resolver.ts";
import type { Announce, OutputArrival } from "../../src/actors/runner.ts";
import { RunsInHand } from "../../src/actors/RunsInHand.ts";
import { UnknownJobs } from "../../src/actors/UnknownJobs.ts";
import { RunBell } from "../../src/actors/RunBell.ts";
import { runnerWorker } from "../../src/actors/runner.ts";
import { putBackRun, runReclaimRules } from "../../src/actors/runSource.ts";
import type { JobSettings } from "../../src/config/Site.ts";
import { makeProcessDriver } from "../../src/drivers/process.ts";
import { reclaimSlot } from "../../src/jetstream/claims.ts";
import type { Change } from "../../src/jetstream/follower.ts";
import { follow } from "../../src/jetstream/follower.ts";
import type { ObjectBucket } from "../../src/jetstream/objects.ts";
import { openObjects } from "../../src/jetstream/objects.ts";
import { apply, topologyOf } from "../../src/jetstream/topology.ts";
import { runsConsumer } from "../../src/protocol/runQueue.ts";
import { commit, ledgerPut } from "../../src/jetstream/transaction.ts";
import type { JobRecord } from "../../src/protocol/jobs.ts";
import { decodeJob, partitionKey } from "../../src/protocol/jobs.ts";
import {
  claimKey,
  dueKey,
  objectTail,
  placeOfRecordKey,
  readyKey,
  recordKey,
} from "../../src/protocol/keys.ts";
import type { ClaimSlot, LedgerRecord } from "../../src/protocol/records.ts";
import { decodeDue, decodeSlot, encodeJson } from "../../src/protocol/records.ts";
import type { RunBody } from "../../src/protocol/runs.ts";
import { decodeRun } from "../../src/protocol/runs.ts";
import { makeMemoryStorage } from "../../src/storage/memory.ts";
import type { StorageDriver } from "../../src/storage/Storage.ts";
import type { TestNats } from "../support/nats.ts";
import { startNats } from "../support/nats.ts";
import { testNode } from "../support/testNode.ts";
import { plainRecord } from "../support/records.ts";

const day = "20251121";
const topology = {
  lanes: [],
  runLanes: ["quick"],
  items: [],
  follows: [],
  replicas: 1,
  duplicateWindowMs: 120_000,
};
const detectors = ["A", "B", "C"];
const script = `
  echo "attempt $ORRERY_ATTEMPT of $ORRERY_JOB for $ORRERY_EXPOSURE"
  echo run >> "$SHARED/ran"
  cat "$ORRERY_INPUTS" > "$ORRERY_OUTPUTS/inputs.json"
  "$NODE" -e 'for (const i of JSON.parse(require("fs").readFileSync(process.env.ORRERY_INPUTS, "utf8"))) process.stdout.write(i.detector + require("fs").readFileSync(i.path, "utf8"))' > "$ORRERY_OUTPUTS/sum.txt"
`;

/** Its exposures have names that begin with its own: jobs of one test do not see another's files. */
function quick(name: string, command: string, more: Partial<JobSettings> = {}): JobSettings {
  return {
    name,
    version: "1",
    partition: "exposure",
    lane: "quick",
    inputs: [{ lane: "raw", match: new RegExp(`^${name}`), required: true, count: null, detectors }],
    outputs: [
      { name: "sum.txt", bucket: "products", key: "{day}/{exposure}/sum.txt" },
      { name: "inputs.json", bucket: "products", key: "{day}/{exposure}/{instrument}-inputs.json" },
    ],
    driver: { type: "process", command: ["/bin/sh", "-ec", command], cwd: null, env: {} },
    timeLimitMs: 30_000,
    attemptsMax: 3,
    workers: 1,
    ...more,
  };
}

/** Everything of one site, and the test's own eyes on its ledger. */
interface Stage {
  readonly server: TestNats;
  readonly follower: Fiber.Fiber<unknown, unknown>;
  readonly shared: string;
  readonly storage: StorageDriver;
  readonly objects: ObjectBucket;
  readonly seen: Map<string, Change>;
  readonly watchers: Set<() => void>;
}

let stage: Stage;
const fibers = new Set<Fiber.Fiber<unknown, unknown>>();

beforeAll(async () => {
  const server = await startNats({ topology });
  const shared = mkdtempSync(join(tmpdir(), "orrery-jobs-"));
  const seen = new Map<string, Change>();
  const watchers = new Set<() => void>();
  const follower = Effect.runFork(
    follow(server.nats, {
      bucket: "ledger",
      keys: [">"],
      each: (change) => {
        seen.set(change.key, change);
        for (const watcher of watchers) watcher();
      },
    }),
  );
  stage = {
    server,
    follower,
    shared,
    storage: makeMemoryStorage(["raw", "products"]),
    objects: await Effect.runPromise(openObjects(server.nats, "orrery-runs", 1)),
    seen,
    watchers,
  };
});

afterEach(async () => {
  for (const fiber of fibers) await stop(fiber);
});

afterAll(async () => {
  await Effect.runPromise(Fiber.interrupt(stage.follower));
  await stage.server.stop();
  rmSync(stage.shared, { recursive: true, force: true });
});

function start<A, E>(effect: Effect.Effect<A, E>): Fiber.Fiber<A, E> {
  const fiber = Effect.runFork(effect);
  fibers.add(fiber);
  return fiber;
}

async function stop(fiber: Fiber.Fiber<unknown, unknown>): Promise<void> {
  fibers.delete(fiber);
  await Effect.runPromise(Fiber.interrupt(fiber));
}

/** Waits until the ledger shows what is looked for. */
function until<A>(look: () => A | undefined): Promise<A> {
  return new Promise((resolve) => {
    const watcher = (): void => {
      const found = look();
      if (found === undefined) return;
      stage.watchers.delete(watcher);
      resolve(found);
    };
    stage.watchers.add(watcher);
    watcher();
  });
}

function stands<A>(key: string, decode: (key: string, data: Uint8Array) => A): A | undefined {
  const change = stage.seen.get(key);
  return change === undefined || change.ended ? undefined : decode(key, change.data);
}

const under = (prefix: string): ReadonlyArray<Change> =>
  [...stage.seen.values()].filter((change) => change.key.startsWith(prefix) && !change.ended);

const at = (exposure: string) => ({ instrument: "LSSTCam", day, exposure });

const jobIs = (job: JobSettings, exposure: string, state: JobRecord["state"]): Promise<JobRecord> =>
  until(() => {
    const record = stands(partitionKey(job.name, at(exposure)), decodeJob);
    return record?.state === state ? record : undefined;
  });

const runOf = (record: JobRecord): LedgerRecord<RunBody> => {
  const run = stands(record.run ?? "", decodeRun);
  if (run === undefined) throw new Error(`no run of ${record.job}`);
  return run;
};

/** A file becomes known, or is told again. */
async function known(exposure: string, detector: string): Promise<void> {
  const key = `${exposure}/${detector}.fits`;
  const { etag } = await Effect.runPromise(stage.storage.write("raw", key, Buffer.from(`<${detector}>`)));
  const body = {
    bucket: "raw",
    key,
    size: 3,
    uri: stage.storage.uri("raw", key),
    identity: { ...at(exposure), detector, group: null, snap: null, seq: null },
    metadata: null,
    via: "test",
    receivedAt: "",
    sequence: 1,
  };
  const record = plainRecord("known", body, { etag });
  const place = { mailbox: "raw", day, tail: objectTail("raw", key) };
  await Effect.runPromise(
    commit(stage.server.nats, "test", [ledgerPut(recordKey(place), encodeJson(record))]),
  );
}

const nodeOf = async (name: string, job: JobSettings) => ({
  ...testNode(await stage.server.connect(name), name),
  reclaimRules: () => runReclaimRules({ jobs: new Map([[job.name, job]]) }, job.lane),
});

const siteOf = (job: JobSettings) => ({ jobs: new Map([[job.name, job]]), dataDir: stage.shared });

interface Runner {
  readonly name: string;
  readonly node: Awaited<ReturnType<typeof nodeOf>>;
  readonly fiber: Fiber.Fiber<never>;
  readonly announced: Array<OutputArrival>;
}

async function runner(
  name: string,
  job: JobSettings,
  announce?: Announce,
  storage: StorageDriver = stage.storage,
  objects: ObjectBucket = stage.objects,
): Promise<Runner> {
  const node = await nodeOf(name, job);
  const announced: Array<OutputArrival> = [];
  const deps = {
    driverOf: () => makeProcessDriver({ termMs: 300, interruptMs: 300 }),
    bell: new RunBell(node.nats),
    runs: new RunsInHand(),
    unknown: new UnknownJobs(),
    storageOf: () => storage,
    objects,
    announce: announce ?? ((arrivals) => Effect.sync(() => void announced.push(...arrivals))),
  };
  const fiber = start(runnerWorker(node, siteOf(job), job.lane, 0, deps, Effect.void));
  return { name, node, fiber, announced };
}

async function withEnv(job: JobSettings, folder: string): Promise<JobSettings> {
  const shared = mkdtempSync(join(stage.shared, folder));
  return { ...job, driver: { ...job.driver, env: { SHARED: shared, NODE: process.execPath } } };
}

const sharedOf = (job: JobSettings): string => job.driver.env["SHARED"] ?? "";

const read = async (key: string): Promise<string> => {
  const { bytes } = await Effect.runPromise(stage.storage.readAll("products", key, 100_000));
  return Buffer.from(bytes).toString();
};

/** What the reclaimer does with a run that is due. */
async function putBack(run: Runner, job: JobSettings, runKey: string, generation: number): Promise<void> {
  const place = placeOfRecordKey(runKey);
  if (place === null) throw new Error("no place");
  const key = dueKey(place);
  const due = await until(() => {
    const record = stands(key, decodeDue);
    return record?.generation === generation ? record : undefined;
  });
  const revision = stage.seen.get(key)?.revision ?? 0;
  const rule: PutBackRule = {
    stream: "KV_ledger",
    consumer: runsConsumer(job.lane),
    message: (of, record) => putBackRun(of, record),
  };
  await Effect.runPromise(putBackDue(run.node, () => rule, [{ key, record: due, revision }]));
}

/** Waits until a settle of this runner was refused, which it counts. */
async function refused(run: Runner): Promise<void> {
  while ((run.node.counters.totals()["refused.run-quick"] ?? 0) === 0) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

const slotOf = (run: Runner): ClaimSlot | undefined => stands(claimKey("run-quick", run.name, 0), decodeSlot);

describe("two resolvers at once", () => {
  it("make one run of each exposure, however often and in whatever order its files are told", async () => {
    const job = quick("twice", "exit 0", { lane: "nobody" });
    for (const name of ["resolver-1", "resolver-2"]) {
      start(resolverActor(await nodeOf(name, job), siteOf(job), Effect.void));
    }
    const exposures = Array.from({ length: 20 }, (_, i) => `twice-${i}`);
    const told = exposures.flatMap((exposure) =>
      detectors.flatMap((detector) => [detector, detector].map((d) => [exposure, d] as const)),
    );
    const shuffled = told
      .map((one, i) => [(i * 7_919) % told.length, one] as const)
      .sort((a, b) => a[0] - b[0]);
    await Promise.all(shuffled.map(([, [exposure, detector]]) => known(exposure, detector)));
    const records = await Promise.all(exposures.map((exposure) => jobIs(job, exposure, "ready")));
    await until(() => (under("ready.nobody.").length >= 20 ? true : undefined));
    expect(under("run.nobody.")).toHaveLength(20);
    expect(new Set(records.map((record) => record.run)).size).toBe(20);
    // Told again, and one more exposure behind them: when that is ready, they have been looked at.
    await Promise.all(exposures.map((exposure) => known(exposure, "A")));
    for (const detector of detectors) await known("twice-last", detector);
    await jobIs(job, "twice-last", "ready");
    await until(() => (under("ready.nobody.").length >= 21 ? true : undefined));
    expect(under("run.nobody.")).toHaveLength(21);
    expect(under("ready.nobody.")).toHaveLength(21);
    for (const record of records)
      expect(stands(partitionKey(job.name, record.partition), decodeJob)).toEqual(record);
  });

  it("say what an exposure is blocked on", async () => {
    const job = quick("blocked", "exit 0", { lane: "nobody" });
    for (const name of ["blocked-1", "blocked-2"]) {
      start(resolverActor(await nodeOf(name, job), siteOf(job), Effect.void));
    }
    await known("blocked", "B");
    const record = await jobIs(job, "blocked", "blocked");
    expect(record).toMatchObject({ blockedOn: ["raw: A, C"], run: null, inputs: null });
  });
});

describe("a run", () => {
  it("gets its inputs, publishes its outputs, and leaves a log, a result and an ended ready key", async () => {
    const job = await withEnv(quick("good", script), "good");
    const one = await runner("good-1", job);
    start(resolverActor(one.node, siteOf(job), Effect.void));
    for (const detector of detectors) await known("good #1", detector);
    const record = await jobIs(job, "good #1", "done");
    const run = runOf(record);
    expect(run).toMatchObject({ state: "done", generation: 0, attempts: 0, crashes: 0 });
    expect(await read(`${day}/good #1/sum.txt`)).toBe("A<A>B<B>C<C>");
    const manifest = JSON.parse(await read(`${day}/good #1/LSSTCam-inputs.json`)) as ReadonlyArray<object>;
    expect(manifest).toHaveLength(3);
    expect(manifest[0]).toMatchObject({ bucket: "raw", key: "good #1/A.fits", detector: "A" });
    const outputs = run.body.outputs ?? [];
    expect(outputs.map((output) => output.name)).toEqual(["sum.txt", "inputs.json"]);
    expect(one.announced).toEqual(
      outputs.map(({ bucket, key, etag, size }) => ({
        bucket,
        key,
        etag,
        size,
        instrument: "LSSTCam",
        day,
        via: `job:good/LSSTCam/good #1/${record.inputs}`,
      })),
    );
    expect(run.body.result).toMatchObject({ exit: 0, timedOut: false, version: "1", node: "good-1" });
    const log = await Effect.runPromise(stage.objects.get(run.body.result?.log ?? ""));
    expect(await new Response(log?.data).text()).toBe("attempt 1 of good for good #1\n");
    const place = placeOfRecordKey(record.run ?? "");
    if (place === null) throw new Error("no place");
    await until(() => (stage.seen.get(readyKey(place, 0))?.ended === true ? true : undefined));
    await until(() => {
      const slot = slotOf(one);
      return slot?.state === "idle" && slot.how === "settled" ? true : undefined;
    });
    await stop(one.fiber);
  });

  it("is tried again as its failure says, and parked with the reason after its last attempt", async () => {
    const failing = `[ "$ORRERY_ATTEMPT" -lt 3 ] || { ${script}
      exit 0; }; echo broken; exit 3`;
    for (const [name, attemptsMax, end] of [
      ["heals", 3, "done"],
      ["gives-up", 2, "failed"],
    ] as const) {
      const job = await withEnv(quick(name, failing, { attemptsMax }), name);
      const one = await runner(name, job);
      start(resolverActor(one.node, siteOf(job), Effect.void));
      for (const detector of detectors) await known(name, detector);
      const { run } = await until(() => {
        const record = stands(partitionKey(name, at(name)), decodeJob);
        return record !== undefined && record.run !== null ? record : undefined;
      });
      for (let attempt = 1; attempt < attemptsMax; attempt++) {
        await putBack(one, job, run ?? "", attempt);
      }
      const record = await jobIs(job, name, end);
      if (end === "failed") {
        expect(record.blockedOn.join()).toMatch(
          /^CommandFailed: exit 3; its last words: broken .attempt 2 of 2/,
        );
        expect(runOf(record).body.result?.exit).toBe(3);
        expect(one.announced).toEqual([]);
      } else expect(await read(`${day}/${name}/sum.txt`)).toBe("A<A>B<B>C<C>");
      await stop(one.fiber);
    }
  });

  it("publishes nothing where one output is missing, and is parked", async () => {
    const job = await withEnv(quick("half", 'echo x > "$ORRERY_OUTPUTS/sum.txt"'), "half");
    const one = await runner("half-1", job);
    start(resolverActor(one.node, siteOf(job), Effect.void));
    for (const detector of detectors) await known("half", detector);
    const record = await jobIs(job, "half", "failed");
    expect(record.blockedOn.join()).toMatch(/^OutputMissing: .*inputs\.json/);
    await expect(read(`${day}/half/sum.txt`)).rejects.toThrow(/does not exist/);
    expect(one.announced).toEqual([]);
    await stop(one.fiber);
  });
});

/** Says that it has begun, and goes on when the test lets this attempt go on. */
const held = `
  echo up > "$SHARED/up-$ORRERY_ATTEMPT-$ORRERY_NODE"
  while ! test -s "$SHARED/go"; do sleep 0.02; done
  ${script}
  printf %s "$(cat "$SHARED/go")" > "$ORRERY_OUTPUTS/sum.txt"
`;

describe("a runner that goes", () => {
  it("ends its command and gives the claim back when it is interrupted; another one makes the one good version", async () => {
    const job = await withEnv(quick("drain", held), "drain");
    const first = await runner("drain-1", job);
    start(resolverActor(first.node, siteOf(job), Effect.void));
    for (const detector of detectors) await known("drain", detector);
    const running = await jobIs(job, "drain", "running");
    await stop(first.fiber);
    const slot = await until(() => {
      const now = slotOf(first);
      return now?.state === "idle" && now.how !== "new" ? now : undefined;
    });
    expect(slot.how).toBe("released");
    expect(runOf(running)).toMatchObject({ state: "ready", generation: 0, attempts: 0, crashes: 0 });
    await writeFile(join(sharedOf(job), "go"), "second");
    const second = await runner("drain-2", job);
    await jobIs(job, "drain", "done");
    expect(await read(`${day}/drain/sum.txt`)).toBe("second");
    expect(first.announced).toEqual([]);
    expect(second.announced).toHaveLength(2);
    expect(await readFile(join(sharedOf(job), "ran"), "utf8")).toBe("run\n");
    await stop(second.fiber);
  });

  it("not, but whose delivery comes to another one as well: that one leaves it alone", async () => {
    const job = await withEnv(quick("twofold", held), "twofold");
    const first = await runner("twofold-1", job);
    start(resolverActor(first.node, siteOf(job), Effect.void));
    for (const detector of detectors) await known("twofold", detector);
    await jobIs(job, "twofold", "running");
    // A new consumer has delivered nothing to nobody: as after a long absence of the server.
    await stage.server.nats.jsm.consumers.delete("KV_ledger", runsConsumer(job.lane));
    await Effect.runPromise(apply(stage.server.nats, topologyOf(topology)));
    const second = await runner("twofold-2", job);
    await until(() => {
      const slot = slotOf(second);
      return slot?.state === "idle" && slot.how === "released" ? slot : undefined;
    });
    // Nothing is away, and nobody is to be told that something is.
    expect(second.node.troubles.present()).toEqual([]);
    expect(second.node.lines.filter((line) => line.level === "warn")).toEqual([]);
    await writeFile(join(sharedOf(job), "go"), "first");
    const done = await jobIs(job, "twofold", "done");
    expect(runOf(done)).toMatchObject({ attempts: 0, crashes: 0, generation: 0 });
    expect(await readFile(join(sharedOf(job), "ran"), "utf8")).toBe("run\n");
    expect(second.announced).toEqual([]);
    expect(first.announced).toHaveLength(2);
  });

  it("is told that its claim was taken: its command is ended, and publishes nothing", async () => {
    const base = await withEnv(quick("zombie", held), "zombie");
    const first = await runner("zombie-1", base);
    const resolver = start(resolverActor(first.node, siteOf(base), Effect.void));
    for (const detector of detectors) await known("zombie", detector);
    const { run } = await jobIs(base, "zombie", "running");
    const quicker = quick("zombie", `${script} printf %s good > "$ORRERY_OUTPUTS/sum.txt"`);
    const job = { ...quicker, driver: { ...quicker.driver, env: base.driver.env } };
    const second = await runner("zombie-2", job);
    const slot = claimKey("run-quick", first.name, 0);
    const taken = await reclaimSlot(second.node.nats, slot, second.name, "test", second.node.reclaimRules);
    expect(taken).toMatchObject({ type: "reclaimed", items: 1 });
    await refused(first);
    await stop(first.fiber);
    await putBack(second, job, run ?? "", 1);
    const done = await jobIs(job, "zombie", "done");
    expect(runOf(done)).toMatchObject({ generation: 1, crashes: 1, crashesAlone: 1 });
    expect(await readFile(join(sharedOf(job), "ran"), "utf8")).toBe("run\n");
    expect(first.announced).toEqual([]);
    expect(second.announced).toHaveLength(2);
    expect(await read(`${day}/zombie/sum.txt`)).toBe("good");
    expect(runOf(done).body.result?.node).toBe("zombie-2");
    for (const fiber of [second.fiber, resolver]) await stop(fiber);
  });

  it("and comes back late, after its command has ended and its claim was taken, publishes nothing", async () => {
    const job = await withEnv(
      quick("late", `${script} printf %s "$ORRERY_ATTEMPT" > "$ORRERY_OUTPUTS/sum.txt"`),
      "late",
    );
    let reached = (): void => undefined;
    let goOn = (): void => undefined;
    const keeping = new Promise<void>((resolve) => (reached = resolve));
    const onward = new Promise<void>((resolve) => (goOn = resolve));
    const slow: ObjectBucket = {
      ...stage.objects,
      put: (name, data) =>
        Effect.andThen(
          Effect.promise(() => {
            reached();
            return onward;
          }),
          stage.objects.put(name, data),
        ),
    };
    const written: Array<string> = [];
    const watched: StorageDriver = {
      ...stage.storage,
      write: (bucket, key, body) => {
        written.push(key);
        return stage.storage.write(bucket, key, body);
      },
    };
    const first = await runner("late-1", job, undefined, watched, slow);
    start(resolverActor(first.node, siteOf(job), Effect.void));
    for (const detector of detectors) await known("late", detector);
    await keeping;
    const second = await runner("late-2", job);
    const slot = claimKey("run-quick", first.name, 0);
    await reclaimSlot(second.node.nats, slot, second.name, "test", second.node.reclaimRules);
    const { run } = await until(() => stands(partitionKey("late", at("late")), decodeJob));
    await putBack(second, job, run ?? "", 1);
    const done = await jobIs(job, "late", "done");
    goOn();
    await refused(first);
    expect(await readFile(join(sharedOf(job), "ran"), "utf8")).toBe("run\nrun\n");
    expect(written).toEqual([]);
    expect(first.announced).toEqual([]);
    expect(second.announced).toHaveLength(2);
    expect(runOf(done).body.result?.node).toBe("late-2");
  });

  it("and loses its claim while it publishes, announces nothing", async () => {
    const job = await withEnv(quick("slow", script), "slow");
    let writes = (): void => undefined;
    let goOn = (): void => undefined;
    const writing = new Promise<void>((resolve) => (writes = resolve));
    const onward = new Promise<void>((resolve) => (goOn = resolve));
    const slow: StorageDriver = {
      ...stage.storage,
      write: (bucket, key, body) =>
        Effect.tap(stage.storage.write(bucket, key, body), () => {
          writes();
          return Effect.promise(() => onward);
        }),
    };
    const first = await runner("slow-1", job, undefined, slow);
    start(resolverActor(first.node, siteOf(job), Effect.void));
    for (const detector of detectors) await known("slow", detector);
    await writing;
    const second = await runner("slow-2", job);
    const slot = claimKey("run-quick", first.name, 0);
    await reclaimSlot(second.node.nats, slot, second.name, "test", second.node.reclaimRules);
    const { run } = await until(() => stands(partitionKey("slow", at("slow")), decodeJob));
    await putBack(second, job, run ?? "", 1);
    await jobIs(job, "slow", "done");
    goOn();
    await refused(first);
    expect(first.announced).toEqual([]);
    expect(second.announced).toHaveLength(2);
  });

  it("after its outputs stand and before its settle: they are announced, and the command is not run again", async () => {
    const job = await withEnv(quick("told", script), "told");
    let stands = (): void => undefined;
    const published = new Promise<void>((resolve) => (stands = resolve));
    const first = await runner("told-1", job, () => Effect.andThen(Effect.sync(stands), Effect.never));
    start(resolverActor(first.node, siteOf(job), Effect.void));
    for (const detector of detectors) await known("told", detector);
    await published;
    await stop(first.fiber);
    const second = await runner("told-2", job);
    const done = await jobIs(job, "told", "done");
    expect(second.announced.map((arrival) => arrival.etag)).toEqual(
      runOf(done).body.outputs?.map((output) => output.etag),
    );
    expect(await readFile(join(sharedOf(job), "ran"), "utf8")).toBe("run\n");
    expect(runOf(done).history.at(-1)?.detail).toBe("published by an earlier try");
    await stop(second.fiber);
  });
});
