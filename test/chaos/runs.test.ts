/** Runners that are killed with a run in hand, at each point of its life: one good version, once, and nothing that stands still. */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Scope from "effect/Scope";
import { afterEach, describe, expect, it } from "vitest";
import { queuesOf } from "../../src/actors/runJob.ts";
import { standingHolder } from "../../src/actors/runLock.ts";
import { beginRun } from "../../src/actors/runSource.ts";
import { getManyUnsafe, getRecordUnsafe, getSlotUnsafe } from "../../src/jetstream/ledger.ts";
import type { NatsService } from "../../src/jetstream/Nats.ts";
import { connectNats } from "../../src/jetstream/Nats.ts";
import { apply, topologyOf } from "../../src/jetstream/topology.ts";
import { commit } from "../../src/jetstream/transaction.ts";
import { believeAfterMs, nodeLeaseMs } from "../../src/limits.ts";
import { claimKey, dueKey, ledgerBucket, recordKey } from "../../src/protocol/keys.ts";
import type { RunBody } from "../../src/protocol/runs.ts";
import { newRun, placeOfRun } from "../../src/protocol/runs.ts";
import { lockKey } from "../../src/protocol/runQueue.ts";
import { dayOf, planOf } from "../support/catalogueRuns.ts";
import { promptly } from "../support/promptly.ts";
import type { RunnerPlan } from "../support/runnerPlan.ts";
import { jobOf, killPoints } from "../support/runnerPlan.ts";
import { ServerProcess } from "../support/server.ts";
import { until } from "../support/testSite.ts";

const program = fileURLToPath(new URL("../support/runnerMain.ts", import.meta.url));
const names = [
  "imap_mag_l1a_norm-mago_20260310_v001.0001.cdf",
  "imap_mag_l1a_norm-magi_20260310_v001.0001.cdf",
];
const processes = new Set<ChildProcess>();
let server: ServerProcess | null = null;
let scope = Scope.makeUnsafe();

async function end(child: ChildProcess): Promise<void> {
  processes.delete(child);
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill("SIGKILL");
  await gone;
}

afterEach(async () => {
  for (const child of processes) await end(child);
  await Effect.runPromise(Scope.close(scope, Exit.void));
  scope = Scope.makeUnsafe();
  await server?.end();
  server = null;
});

interface Site {
  readonly nats: NatsService;
  readonly folder: string;
  readonly plan: Omit<RunnerPlan, "node" | "killAt">;
}

async function startSite(): Promise<Site> {
  server = await ServerProcess.start();
  const { folder, url } = server;
  const plan = {
    server: url,
    storage: join(folder, "store"),
    scratch: join(folder, "scratch"),
    announced: join(folder, "announced.jsonl"),
    notes: folder,
    outputs: names.length,
  };
  mkdirSync(join(plan.storage, "products"), { recursive: true });
  const run = <A, E>(effect: Effect.Effect<A, E, Scope.Scope>): Promise<A> =>
    Effect.runPromise(Scope.provide(effect, scope));
  const nats = await run(connectNats({ servers: [url], name: "test" }, { firstMs: 60_000 }));
  const job = jobOf({ ...plan, killAt: null }, 0);
  const queues = queuesOf({ jobs: new Map([[job.name, job]]) });
  const none = { lanes: [], items: [], follows: [], replicas: 1, duplicateWindowMs: 120_000 };
  await run(apply(nats, topologyOf({ ...none, ...queues })));
  return { nats, folder, plan };
}

async function runner(site: Site, node: string, killAt: RunnerPlan["killAt"]): Promise<ChildProcess> {
  const file = join(site.folder, `plan-${node}.json`);
  writeFileSync(file, JSON.stringify({ ...site.plan, node, killAt } satisfies RunnerPlan));
  const child = spawn(process.execPath, [program, file], { stdio: ["pipe", "pipe", "inherit"] });
  processes.add(child);
  if (child.stdout === null) throw new Error("no pipe to the runner");
  await once(child.stdout, "data");
  return child;
}

const lines = (file: string): ReadonlyArray<string> =>
  existsSync(file) ? readFileSync(file, "utf8").split("\n").slice(0, -1) : [];

/** How often the command runs in all, by the point at which its first runner dies. */
const lives = { claimed: 1, running: 2, uploaded: 2, marked: 1, settled: 1 } as const;

describe("a runner that is killed -9", () => {
  it.each(killPoints)(
    "when a run is %s leaves one good version, and nothing stuck beyond its lease",
    async (point) => {
      const site = await startSite();
      const { nats } = site;
      const first = await runner(site, "a", point);
      const partition = dayOf("20260310");
      const hash = "00112233aabbccdd";
      const job = "mag/l1a/all";
      const place = placeOfRun("l1", job, partition, hash);
      const plan = planOf(names, { exclusive: "mag" });
      const run = newRun({ job, version: "1", partition, hash, inputs: [], plan }, { now: 0, node: "test" });
      await Effect.runPromise(commit(nats, "test", beginRun(place, run)));
      await once(first, "exit");
      expect(first.signalCode).toBe("SIGKILL");
      await runner(site, "b", null);
      const slot = claimKey("run-l1", "a", 0);
      const key = recordKey(place);
      const rest = async (): Promise<boolean> =>
        (await getRecordUnsafe<RunBody>(nats, key))?.record.state === "done" &&
        (await getSlotUnsafe(nats, slot))?.slot.state === "idle" &&
        (await standingHolder(nats, lockKey("mag"))) === null;
      // Its lease, the time for which the other must have been steady itself, and one look of the reclaimer and of the queue each.
      const mostMs = nodeLeaseMs + believeAfterMs + 5_000;
      await promptly("taking the run back", mostMs, () => until(rest, (there) => there));
      const record = (await getRecordUnsafe<RunBody>(nats, key))?.record;
      expect(record?.crashes).toBe(point === "settled" ? 0 : 1);
      expect(record?.body.outputs?.map(({ name }) => name)).toEqual(names);
      const made = join(site.plan.storage, "products", "mag");
      expect(readdirSync(made).sort()).toEqual([...names].sort());
      for (const name of names) expect(readFileSync(join(made, name), "utf8")).toBe(name);
      const told = lines(site.plan.announced).map(
        (line) => JSON.parse(line) as { key: string; etag: string },
      );
      expect(new Set(told.map((one) => `${one.key} ${one.etag}`)).size).toBe(names.length);
      expect(record?.body.outputs?.map(({ etag }) => etag).sort()).toEqual(
        [...new Set(told.map(({ etag }) => etag))].sort(),
      );
      expect(lines(join(site.folder, "ran"))).toHaveLength(lives[point]);
      const [due] = await getManyUnsafe(nats, ledgerBucket, [dueKey(place)]);
      expect(due?.ended ?? true).toBe(true);
    },
  );
});
