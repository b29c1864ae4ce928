/** Runs of the job catalogue: what their commands are told, what becomes of them, which one starts first, and which wait. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as Effect from "effect/Effect";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { RunBell } from "../../src/actors/RunBell.ts";
import { cancelRun } from "../../src/actors/runCancel.ts";
import { standingHolder } from "../../src/actors/runLock.ts";
import { UnknownJobs } from "../../src/actors/UnknownJobs.ts";
import { reclaimSlot } from "../../src/jetstream/claims.ts";
import { apply, topologyOf } from "../../src/jetstream/topology.ts";
import { getManyUnsafe, getSlotUnsafe } from "../../src/jetstream/ledger.ts";
import {
  claimKey,
  dueKey,
  ledgerBucket,
  parkedKey,
  placeOfRecordKey,
  readyKey,
  runMailbox,
} from "../../src/protocol/keys.ts";
import type { StretchPartition } from "../../src/protocol/runs.ts";
import { lockKey, queueOf } from "../../src/protocol/runQueue.ts";
import { dayOf, planOf, RunStage, scriptJob } from "../support/catalogueRuns.ts";
import { patienceMs } from "../support/testSite.ts";

const codice = Array.from({ length: 14 }, (_, i) => `imap_codice_l1a_p${i}_20260310_v001.0001.cdf`);
const makesAll = `"$NODE" -e '
  const fs = require("fs");
  for (const { path, name } of JSON.parse(fs.readFileSync(process.env.ORRERY_EXPECTED, "utf8")))
    if (!name.includes(process.env.LEAVE_OUT || "-")) fs.writeFileSync(path, name);'`;
const env = { NODE: process.execPath };
const sh = (script: string, more: Readonly<Record<string, string>> = {}) => ({
  type: "process" as const,
  command: ["/bin/sh", "-ec", script],
  cwd: null,
  env: { ...env, ...more },
});

let folder = "";
const inFolder = (name: string): string => join(folder, name);
const lines = (name: string): ReadonlyArray<string> => {
  try {
    return readFileSync(inFolder(name), "utf8").split("\n").slice(0, -1);
  } catch {
    // Nobody has written it yet.
    return [];
  }
};
/** Notes its beginning and its end, and runs until the file of its name is there. */
const noted = `echo "begin $ORRERY_PARTITION" >> "$FOLDER/order"
  while ! test -e "$FOLDER/go-$ORRERY_PARTITION"; do sleep 0.02; done
  echo "end $ORRERY_PARTITION" >> "$FOLDER/order"`;

let stage: RunStage;
const one = { priority: 0, exclusive: "mag" };

beforeAll(async () => {
  const jobs = [
    scriptJob(
      "tell",
      'env | grep ^ORRERY_ | sort > "$ORRERY_OUTPUTS/env"; cat "$ORRERY_INPUTS" > "$ORRERY_OUTPUTS/in"',
    ),
    scriptJob("codice", "", { driver: sh(makesAll) }),
    scriptJob("forgetful", "", { driver: sh(makesAll, { LEAVE_OUT: "_p11_" }) }),
    scriptJob("no-data", "echo nothing today; exit 66"),
    scriptJob("not-yet", "echo the moon is not up; exit 69"),
    scriptJob("spin", "i=0; while test $i -lt 200000; do i=$((i+1)); done"),
    scriptJob("talks", "echo step one; while :; do sleep 0.05; done"),
    scriptJob("noted", "", { driver: sh(noted, { FOLDER: "{folder}" }), queueing: one }),
    scriptJob("urgent", "", {
      driver: sh(noted, { FOLDER: "{folder}" }),
      queueing: { priority: 5, exclusive: null },
    }),
    scriptJob("wide", "", { driver: sh(noted, { FOLDER: "{folder}" }), lane: "wide", workers: 2 }),
    scriptJob("plain", "", { driver: sh(noted, { FOLDER: "{folder}" }) }),
  ];
  stage = await RunStage.start(jobs);
  folder = stage.folder;
  for (const job of jobs) {
    const vars = job.driver.env as Record<string, string>;
    if (vars["FOLDER"] === "{folder}") vars["FOLDER"] = folder;
  }
});
afterEach(() => stage.stopAll());
afterAll(() => stage.end());

const done = (run: string) => stage.until(run, "done", (record) => record.state === "done");
const parked = (run: string) => stage.until(run, "parked", (record) => record.state === "parked");
const began = (run: string) =>
  stage.until(run, "begun", ({ body, generation }) => body.started?.generation === generation);
const go = (partition: string): void => writeFileSync(inFolder(`go-${partition}`), "");
const until = async (what: string, is: () => boolean | Promise<boolean>): Promise<void> => {
  const end = performance.now() + patienceMs;
  while (!(await is())) {
    if (performance.now() > end) throw new Error(`never: ${what}; ${lines("order").join(", ")}`);
    await new Promise((resolve) => setTimeout(resolve, 15));
  }
};
const partitions = (prefix: string, count: number): ReadonlyArray<StretchPartition> =>
  Array.from({ length: count }, (_, i) => ({ ...dayOf("20260310"), name: `${prefix}${i}` }));

describe("a run of the catalogue", () => {
  it("is left to the nodes that know its job while a catalogue is rolled out", async () => {
    const known = stage.jobs.jobs.get("plain");
    if (known === undefined) throw new Error("no such job");
    const ignorant = await stage.runner("ignorant", 0, {}, "l1", { jobs: new Map([["plain", known]]) });
    // However long it waited in its queue before.
    const run = await stage.begin("no-data", planOf([]), dayOf("20260310"));
    const slot = claimKey(runMailbox("l1"), "ignorant", 0);
    await until("taken and given back", async () => {
      const found = await getSlotUnsafe(stage.server.nats, slot);
      return found?.slot.state === "idle" && found.slot.last !== null;
    });
    await ignorant.stop();
    await stage.runner("knowing");
    const record = await done(run);
    expect(record).toMatchObject({ attempts: 0, errors: [], body: { ended: { how: "no-data" } } });

    await stage.stopAll();
    const unknown = new UnknownJobs(0);
    await stage.runner("ignorant", 0, { unknown }, "l1", { jobs: new Map([["plain", known]]) });
    const old = await stage.begin("no-data", planOf([]), dayOf("20260311"));
    const failing = await stage.until(old, "tried", ({ errors }) => errors.length > 0);
    expect(failing.errors[0]?.reason).toBe("JobUnknown");
  });

  it("tells its command of its partition, its inputs and its version, and announces what it is of", async () => {
    const runner = await stage.runner("tell");
    const { etag } = await Effect.runPromise(
      stage.storage.write("inputs", "l0/a.pkts", Buffer.from("packets")),
    );
    const input = {
      record: "file.l0.20260310.inputs/l0/a.pkts",
      bucket: "inputs",
      key: "l0/a.pkts",
      etag,
      uri: "memory://inputs/l0/a.pkts",
      detector: null,
      dataset: "mag/l0/raw",
      kind: "science",
      name: "a.pkts",
    };
    const partition: StretchPartition = {
      kind: "pointing",
      instrument: "mag",
      day: "20260407",
      name: "repoint00209",
      range: { start: "2026-04-07T19:55:29.642514", end: "2026-04-08T20:15:00" },
      pointing: 209,
    };
    const plan = planOf(["env", "in"], { minor: 7, incomplete: true, origin: "reprocessing" });
    const run = await stage.begin("tell", plan, partition, [input]);
    const record = await done(run);
    const told = new Map(
      (await stage.text("mag/env"))
        .trim()
        .split("\n")
        .map((line) => line.split("=") as [string, string]),
    );
    expect(Object.fromEntries(told)).toMatchObject({
      ORRERY_JOB: "tell",
      ORRERY_PARTITION: "repoint00209",
      ORRERY_PARTITION_KIND: "pointing",
      ORRERY_START: "2026-04-07T19:55:29.642514",
      ORRERY_END: "2026-04-08T20:15:00",
      ORRERY_POINTING: "209",
      ORRERY_MINOR: "7",
      ORRERY_INCOMPLETE: "1",
      ORRERY_ORIGIN: "reprocessing",
      ORRERY_ATTEMPT: "1",
    });
    expect(told.has("ORRERY_EXPOSURE")).toBe(false);
    expect(JSON.parse(await stage.text("mag/in"))).toMatchObject([
      { dataset: "mag/l0/raw", kind: "science", name: "a.pkts", etag },
    ]);
    expect(runner.announced).toMatchObject([
      { key: "mag/env", pointing: 209 },
      { key: "mag/in", pointing: 209 },
    ]);
    expect(record.body.result?.cpuMs).toBeGreaterThanOrEqual(0);
    await done(await stage.begin("tell", planOf(["env", "in"]), dayOf("20260311")));
    expect(runner.announced).toHaveLength(4);
    expect(runner.announced[2]?.range).toEqual(["2026-03-11T00:00:00", "2026-12-31T00:00:00"]);
    await runner.stop();
  });

  it("publishes all of 14 outputs, or names the one that is missing and publishes none", async () => {
    const runner = await stage.runner("outputs");
    const bad = await stage.begin("forgetful", planOf(codice));
    const failed = await parked(bad);
    const reason = failed.errors.at(-1);
    expect(reason).toMatchObject({ class: "permanent", reason: "OutputMissing" });
    expect(reason?.detail).toMatch(/did not write imap_codice_l1a_p11_20260310_v001\.0001\.cdf$/);
    for (const name of codice) await expect(stage.text(`mag/${name}`)).rejects.toThrow(/does not exist/);
    expect(runner.announced).toEqual([]);
    const good = await stage.begin("codice", planOf(codice));
    expect((await done(good)).body.outputs).toHaveLength(14);
    expect(await stage.text(`mag/${codice[11]}`)).toBe(codice[11]);
    expect(runner.announced).toHaveLength(14);
    await runner.stop();
  });

  it("may find that there is nothing to make, or not yet: neither is a failure, and neither burns an attempt", async () => {
    const runner = await stage.runner("nothing");
    const empty = await done(await stage.begin("no-data", planOf(["a.cdf"])));
    const early = await done(await stage.begin("not-yet", planOf(["a.cdf"])));
    expect(empty).toMatchObject({
      attempts: 0,
      errors: [],
      body: { outputs: [], ended: { how: "no-data" } },
    });
    expect(empty.body.ended?.detail).toBe("exit 66, EX_NOINPUT; its last words: nothing today");
    expect(early).toMatchObject({
      attempts: 0,
      errors: [],
      body: { outputs: [], ended: { how: "not-yet" } },
    });
    expect(runner.announced).toEqual([]);
    await runner.stop();
  });

  it("keeps what it used of the processor", async () => {
    const runner = await stage.runner("spin");
    const { body } = await done(await stage.begin("spin", planOf([])));
    expect(body.result?.cpuMs).toBeGreaterThan(20);
    await runner.stop();
  });

  it("shows that it is alive, with its last line, as long as its command runs", async () => {
    const runner = await stage.runner("talks");
    const run = await stage.begin("talks", planOf([]));
    await until("its line is told", () => runner.runs.present()[0]?.line === "step one");
    expect(runner.runs.present()).toMatchObject([{ run, line: "step one" }]);
    await runner.stop();
    expect(runner.runs.present()).toEqual([]);
    // What was given back is nobody's business here.
    expect(await cancelRun(stage.server.nats, run, "test", "")).toEqual({ type: "parked" });
  });
});

describe("a run that is cancelled", () => {
  it("while its command runs is ended, with its log, and parked as cancelled; nothing is tried again", async () => {
    const runner = await stage.runner("cancel");
    const run = await stage.begin("talks", planOf(["a.cdf"]));
    await until("it runs", () => runner.runs.present()[0]?.line === "step one");
    expect(await cancelRun(stage.server.nats, run, "operator a@b", "wrong calibration")).toEqual({
      type: "asked",
      node: "cancel",
    });
    const record = await parked(run);
    expect(record).toMatchObject({ attempts: 0, body: { outputs: null, started: null } });
    expect(record.body).not.toHaveProperty("cancel");
    expect(record.errors.at(-1)).toMatchObject({
      reason: "Cancelled",
      detail: "by operator a@b: wrong calibration",
    });
    const log = await Effect.runPromise(stage.objects.get(record.body.result?.log ?? ""));
    expect(await new Response(log?.data).text()).toBe("step one\n");
    const place = placeOfRecordKey(run);
    if (place === null) throw new Error("no place");
    const [due, index] = await getManyUnsafe(stage.server.nats, ledgerBucket, [
      dueKey(place),
      parkedKey(place),
    ]);
    expect(due?.ended ?? true).toBe(true);
    expect(index?.ended).toBe(false);
    await runner.stop();
  });

  it("before anybody has it is parked at once, and its place in the queue ends", async () => {
    const run = await stage.begin("codice", planOf(codice, { minor: 2 }));
    expect(await cancelRun(stage.server.nats, run, "test", "")).toEqual({ type: "parked" });
    const runner = await stage.runner("late");
    const next = await stage.begin("codice", planOf(codice, { minor: 3 }), dayOf("20260312"));
    await done(next);
    expect(await stage.record(run)).toMatchObject({ state: "parked", body: { started: null } });
    expect(await cancelRun(stage.server.nats, run, "test", "")).toEqual({ type: "over", state: "parked" });
    await runner.stop();
  });
});

describe("runs of one instrument that go one at a time", () => {
  /** Hears nothing of locks: then there is only the lock itself. */
  class DeafBell extends RunBell {
    override isHeld(): boolean {
      return false;
    }
  }

  it.each([
    ["told of the lock", RunBell],
    ["that hear nothing", DeafBell],
  ])("never overlap on two nodes %s, whatever their queues; others run meanwhile", async (how, Bell) => {
    writeFileSync(inFolder("order"), "");
    const started = async (name: string) =>
      stage.runner(name, 0, { bell: new Bell(await stage.server.connect(`${name}-bell`)) });
    const runners = [await started(`mag-1-${how.length}`), await started(`mag-2-${how.length}`)];
    const all = partitions(`one-${how.length}-`, 3);
    const runs: Array<string> = [];
    const ready: Array<string> = [];
    for (const [i, partition] of all.entries()) {
      const plan = planOf([], { exclusive: "mag", origin: i % 2 === 0 ? "live" : "reprocessing" });
      const run = await stage.begin("noted", plan, partition);
      const place = placeOfRecordKey(run);
      if (place === null) throw new Error("no place");
      runs.push(run);
      ready.push(readyKey(place, 0, queueOf("l1", plan).name));
    }
    await until("one has begun", () => lines("order").length === 1);
    const other = partitions(`beside-${how.length}-`, 1)[0] ?? dayOf("20260310");
    const beside = await stage.begin("plain", planOf([]), other);
    go(other.name);
    await done(beside);
    expect(lines("order").filter((line) => line.startsWith("begin one-"))).toHaveLength(1);
    for (const { name } of all) go(name);
    const records = await Promise.all(runs.map(done));
    const order = lines("order").filter((line) => line.includes("one-"));
    expect(order).toHaveLength(6);
    for (let i = 0; i < 6; i += 2) expect(order[i + 1]).toBe(order[i]?.replace("begin", "end"));
    // Who had to wait has been neither failed nor put back for it.
    for (const record of records) expect(record).toMatchObject({ attempts: 0, crashes: 0, generation: 0 });
    for (const entry of await getManyUnsafe(stage.server.nats, ledgerBucket, ready))
      expect(entry?.ended).toBe(true);
    await until(
      "the lock is free",
      async () => (await standingHolder(stage.server.nats, lockKey("mag"))) === null,
    );
    for (const runner of runners) await runner.stop();
  });

  it("are not held up by a holder whose claim was taken back", async () => {
    writeFileSync(inFolder("order"), "");
    const [first, second] = partitions("dead-", 2);
    if (first === undefined || second === undefined) throw new Error("no partitions");
    const held = await stage.runner("mag-dead");
    const run = await stage.begin("noted", planOf([], { exclusive: "mag" }), first);
    await began(run);
    const holder = await standingHolder(stage.server.nats, lockKey("mag"));
    expect(holder).toMatchObject({ run, node: "mag-dead" });
    // As the reclaimer does when the node has died; the command itself is let go on, as of a node that is only cut off.
    const taken = await reclaimSlot(
      stage.server.nats,
      claimKey("run-l1", "mag-dead", 0),
      "test",
      "test",
      held.node.reclaimRules,
    );
    expect(taken).toMatchObject({ type: "reclaimed" });
    expect(await standingHolder(stage.server.nats, lockKey("mag"))).toBeNull();
    await held.stop();
    const alive = await stage.runner("mag-alive");
    const next = await stage.begin("noted", planOf([], { exclusive: "mag" }), second);
    go(second.name);
    await done(next);
    await alive.stop();
  });
});

describe("what starts first", () => {
  it("is live before reprocessed, and by priority; but what is reprocessed is not starved", async () => {
    writeFileSync(inFolder("order"), "");
    const redo = partitions("redo-", 3);
    const live = partitions("live-", 12);
    const high = partitions("high-", 2);
    for (const { name } of [...redo, ...live, ...high]) go(name);
    const runs = [];
    for (const p of redo) runs.push(await stage.begin("plain", planOf([], { origin: "reprocessing" }), p));
    for (const p of live) runs.push(await stage.begin("plain", planOf([]), p));
    for (const p of high) runs.push(await stage.begin("urgent", planOf([], { priority: 5 }), p));
    const runner = await stage.runner("order");
    await Promise.all(runs.map(done));
    const order = lines("order")
      .filter((line) => line.startsWith("begin"))
      .map((line) => line.slice("begin ".length).replace(/-\d+$/, ""));
    expect(order).toHaveLength(17);
    expect(order.slice(0, 2)).toEqual(["high", "high"]);
    expect(order[2]).toBe("live");
    const firstRedo = order.indexOf("redo");
    expect(firstRedo).toBeGreaterThan(2);
    expect(firstRedo).toBeLessThan(order.lastIndexOf("live"));
    // Of four looks one begins with what is reprocessed.
    expect(order.lastIndexOf("redo")).toBeGreaterThan(firstRedo + 2);
    await runner.stop();
  });

  it("finds a worker that takes live runs only, where a node has several", async () => {
    writeFileSync(inFolder("order"), "");
    const [redo] = partitions("wide-redo-", 1);
    if (redo === undefined) throw new Error("no partition");
    const later = await stage.begin("wide", planOf([], { origin: "reprocessing" }), redo);
    await stage.runner("wide", 0, {}, "wide");
    // Between them it is idle, and after three live ones it would be the other's turn.
    for (const live of partitions("wide-live-", 6)) {
      go(live.name);
      await done(await stage.begin("wide", planOf([]), live));
    }
    expect(lines("order").filter((line) => line.includes("wide-redo"))).toEqual([]);
    go(redo.name);
    await stage.runner("wide-too", 1, {}, "wide");
    await done(later);
  });

  it("is not only what today's catalogue names: what waits in a queue of an earlier one is taken too", async () => {
    const none = { lanes: [], items: [], follows: [], replicas: 1, duplicateWindowMs: 120_000 };
    const topology = topologyOf({ ...none, runLanes: ["l1/live-p9"] });
    await Effect.runPromise(apply(stage.server.nats, topology));
    const [partition] = partitions("earlier-", 1);
    if (partition === undefined) throw new Error("no partition");
    go(partition.name);
    const run = await stage.begin("plain", planOf([], { priority: 9 }), partition);
    await stage.runner("heir");
    await done(run);
  });
});
