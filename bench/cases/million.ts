/**
 * `million`: a ledger of a million files (with --quick, 100,000), five nights of a large camera. Settle rate beside an empty one, a
 * node's start, memory, and how long the commands take that people ask a site with.
 */
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { arrivalsConsumer } from "../../src/jetstream/topology.ts";
import type { Write } from "../../src/jetstream/transaction.ts";
import { encodeArrival } from "../../src/protocol/arrival.ts";
import { arrivalsStream, arrivalSubject } from "../../src/protocol/keys.ts";
import { etagOf, store } from "../arrivals.ts";
import { compare } from "../compare.ts";
import type { Turn } from "../compare.ts";
import { drain, pause } from "../drain.ts";
import type { Filled } from "../millionSite.ts";
import { fill, siteText } from "../millionSite.ts";
import type { Case, CaseOptions, Result } from "../result.ts";
import { median, round } from "../result.ts";
import type { Program, Stage } from "../stage.ts";
import { bucket, lane, withStage } from "../stage.ts";

const batchMax = 300;
const startMsMax = 5_000;
/** Seconds, not minutes. */
const commandMsMax = 20_000;
const today = (): string => new Date().toISOString().slice(0, 10).replaceAll("-", "");

/** The n-th file of tonight. */
function arrivalOf(n: number): Write {
  const day = today();
  const exposure = `MC_T_${day}_${String(Math.floor(n / 189)).padStart(6, "0")}`;
  const d = n % 189;
  const detector = `R${String(Math.floor(d / 9)).padStart(2, "0")}_S${Math.floor((d % 9) / 3)}${d % 3}`;
  const key = `LSSTCam/${day}/${exposure}/${exposure}_${detector}.fits`;
  return {
    subject: arrivalSubject(lane, "LSSTCam", day),
    data: encodeArrival({
      bucket,
      key,
      etag: etagOf(n),
      size: 8_388_608,
      instrument: "LSSTCam",
      day,
      generation: 0,
      via: "webhook",
      receivedAt: new Date().toISOString(),
    }),
  };
}

async function siteFile(stage: Stage, name: string, roles: ReadonlyArray<string> | null): Promise<string> {
  const folder = join(stage.folder, name);
  await mkdir(folder, { recursive: true });
  const file = join(folder, "site.yaml");
  const site = JSON.parse(siteText(stage.natsUrl, folder)) as Record<string, unknown>;
  const all = [
    "enqueuer",
    "ingester",
    "reclaimer",
    "presence",
    "resolver",
    "runner",
    "watcher",
    "notifier",
    "visits",
  ];
  const node =
    roles === null ? {} : { node: { roles, elsewhere: all.filter((role) => !roles.includes(role)) } };
  await writeFile(file, JSON.stringify({ ...site, ...node }));
  return file;
}

const startNode = async (stage: Stage, name: string, roles: ReadonlyArray<string> | null): Promise<Program> =>
  stage.start("node", [await siteFile(stage, name, roles), name, ""]);

function residentMb(pid: number): number | null {
  try {
    const kb = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    return kb === undefined ? null : round(Number(kb) / 1_024);
  } catch {
    // Another system, or the process is gone.
    return null;
  }
}

type Told = Pick<Result, "name" | "unit" | "ours" | "raw" | "goal" | "goal_met" | "note">;

const single = (told: Told): Result => ({
  ratio: null,
  p50_ms: null,
  p99_ms: null,
  raw_p50_ms: null,
  raw_p99_ms: null,
  cpu_us: null,
  raw_cpu_us: null,
  rounds: [{ ours: told.ours, raw: told.raw }],
  ...told,
});

/** The same node and load on both, round by round. */
async function settleRates(empty: Stage, full: Stage, options: CaseOptions, files: number): Promise<Result> {
  const items = batchMax * (options.quick ? 30 : 60);
  let stored = 0;
  const turnOn = async (stage: Stage): Promise<Turn> => {
    await pause(stage.nats, arrivalsStream, arrivalsConsumer(lane));
    await store(
      stage.nats,
      Array.from({ length: items }, () => arrivalOf(stored++)),
    );
    return { value: await drain(stage.nats, arrivalsStream, arrivalsConsumer(lane)), done: items };
  };
  const raw = await startNode(empty, "settles", ["ingester"]);
  const ours = await startNode(full, "settles", ["ingester"]);
  const compared = await compare(
    "million-settle",
    options,
    options.quick ? 3 : 5,
    { program: raw, turn: () => turnOn(empty) },
    { program: ours, turn: () => turnOn(full) },
  );
  await Promise.all([raw.stop(), ours.stop()]);
  return {
    ...single({
      name: "million-settle",
      unit: "items/s",
      ours: 0,
      raw: 0,
      goal: "",
      goal_met: false,
      note: "",
    }),
    ...compared,
    goal: "≥ 80 % of raw",
    goal_met: (compared.ratio ?? 0) >= 0.8,
    note: `${items} arrivals a round. ours: into a ledger of ${files} files; raw: the same node, on a ledger that begins empty`,
  };
}

interface Start {
  readonly readyMs: number;
  readonly presentMs: number;
  readonly nodeMb: number | null;
}

/** From the start of the process until every actor is ready, and until presence has answered. */
async function timeStart(stage: Stage, name: string, filled: Filled | null): Promise<Start> {
  const file = await siteFile(stage, name, null);
  const began = performance.now();
  const node = await stage.start("node", [file, name, ""]);
  const readyMs = performance.now() - began;
  const group = filled?.group ?? { name: "2025-11-21T07:03:14.565Z", detector: "R22_S11" };
  const path = `/presence/LSSTCam/${encodeURIComponent(group.name)}/0/${group.detector}`;
  const answer = (await (await fetch(node.ready.http + path)).json()) as { readonly present?: boolean };
  if (answer.present !== (filled !== null)) throw new Error(`presence says ${JSON.stringify(answer)}`);
  const presentMs = performance.now() - began;
  // What it goes on reading after it is ready belongs to what a start costs.
  await new Promise((resolve) => setTimeout(resolve, filled === null ? 1_000 : 15_000));
  const nodeMb = residentMb(node.pid);
  await node.stop();
  return { readyMs, presentMs, nodeMb };
}

const cli = join(import.meta.dirname, "..", "..", "src", "cli.ts");

/** Wall time of the command as people run it, its own start included. */
async function command(stage: Stage, site: string, argv: ReadonlyArray<string>): Promise<number> {
  const began = performance.now();
  const child = spawn(process.execPath, [cli, ...argv], {
    cwd: stage.folder,
    env: { ...process.env, ORRERY_SITE: site },
    stdio: ["ignore", "ignore", "pipe"],
  });
  let said = "";
  child.stderr.on("data", (chunk: Buffer) => (said += chunk.toString()));
  const exit = await new Promise<number | null>((resolve) => child.once("exit", resolve));
  if (exit !== 0) throw new Error(`orrery ${argv.join(" ")}: exit ${exit}: ${said}`);
  return performance.now() - began;
}

async function commands(stage: Stage, filled: Filled, options: CaseOptions): Promise<ReadonlyArray<Result>> {
  const site = await siteFile(stage, "asks", null);
  const end = filled.someKey.slice(filled.someKey.lastIndexOf("/") + 1);
  const asked: ReadonlyArray<readonly [string, ReadonlyArray<string>]> = [
    ["status", ["status"]],
    ["parked", ["parked", "ls"]],
    ["why-key", ["why", `${bucket}/${filled.someKey}`]],
    ["why-end", ["why", end]],
    ["stats", ["stats", filled.lastDay]],
    ["file-ls", ["file", "ls", "--day", filled.lastDay]],
  ];
  const results: Array<Result> = [];
  for (const [name, argv] of asked) {
    const ms = round(await command(stage, site, argv));
    options.say(`  orrery ${argv.join(" ")}: ${ms} ms`);
    results.push(
      single({
        name: `million-${name}`,
        unit: "ms",
        ours: ms,
        raw: null,
        goal: `< ${commandMsMax} ms`,
        goal_met: ms < commandMsMax,
        note: `orrery ${argv.join(" ")}, from the shell`,
      }),
    );
  }
  return results;
}

async function starts(
  empty: Stage,
  full: Stage,
  filled: Filled,
  options: CaseOptions,
): Promise<ReadonlyArray<Result>> {
  const onEmpty: Array<Start> = [];
  const onFull: Array<Start> = [];
  for (let i = 0; i < (options.quick ? 1 : 2); i++) {
    onEmpty.push(await timeStart(empty, "starts", null));
    onFull.push(await timeStart(full, "starts", filled));
    const last = onFull.at(-1);
    options.say(
      `  ready in ${round(last?.readyMs ?? 0)} ms, presence answers after ${round(last?.presentMs ?? 0)} ms`,
    );
  }
  const of = (all: ReadonlyArray<Start>, pick: (one: Start) => number): number =>
    round(median(all.map(pick)));
  const rows: ReadonlyArray<readonly [string, string, (one: Start) => number, number | null]> = [
    ["million-start", "ms", (one) => one.readyMs, startMsMax],
    ["million-presence", "ms", (one) => one.presentMs, startMsMax],
    ["million-node-mb", "MB", (one) => one.nodeMb ?? 0, null],
  ];
  return rows.map(([name, unit, pick, max]) => {
    const ours = of(onFull, pick);
    return single({
      name,
      unit,
      ours,
      raw: of(onEmpty, pick),
      goal: max === null ? "" : `< ${max} ms`,
      goal_met: max === null || ours < max,
      note: `a node of every role, with a job, visits and a receiver of webhooks; raw: the same on an empty ledger`,
    });
  });
}

export const million: Case = {
  name: "million",
  run: (options) =>
    withStage((empty) =>
      withStage(async (full) => {
        const filled = await fill(
          full.nats,
          full.natsUrl,
          full.folder,
          options.quick ? 100_000 : 1_000_000,
          options.say,
        );
        const serverMb = residentMb(full.serverPid) ?? 0;
        const begun = await starts(empty, full, filled, options);
        const asked = await commands(full, filled, options);
        const settled = await settleRates(empty, full, options, filled.files);
        return [
          settled,
          ...begun,
          single({
            name: "million-server-mb",
            unit: "MB",
            ours: serverMb,
            raw: residentMb(empty.serverPid),
            goal: "",
            goal_met: true,
            note: `nats-server with ${filled.files} files, ${filled.exposures} exposures; raw: the other one`,
          }),
          ...asked,
        ];
      }),
    ),
};
