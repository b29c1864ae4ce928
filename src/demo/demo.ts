/**
 * `npm start`: the demonstration site on its embedded server, and a short night on it. Two nodes, of which one is killed on
 * the way; a live view; at the end an account of every item, read from the ledger.
 */
import { join, resolve } from "node:path";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Scope from "effect/Scope";
import { loadSite } from "../config/loadSite.ts";
import type { RunningNode } from "../node.ts";
import type { Account } from "./account.ts";
import type { Cast } from "./cast.ts";
import { engageCast, settleAccount } from "./cast.ts";
import { nearPath, secondName } from "./demoSite.ts";
import { nameOfRecord, picturePath } from "./evidence.ts";
import type { MissionOptions } from "./missionPlay.ts";
import { playMission } from "./missionPlay.ts";
import { catalogueFor, missionParts } from "./missionParts.ts";
import { nextSteps } from "./nextSteps.ts";
import type { NextStepsFacts } from "./nextSteps.ts";
import type { NightScript } from "./night.ts";
import { nightIsOver, pause, playNight, scriptOf } from "./night.ts";
import { nightBucket } from "./nightPlan.ts";
import type { Line } from "./paint.ts";
import { showsUnicode } from "./paint.ts";
import { sceneOf } from "./scene.ts";
import type { Output } from "./screen.ts";
import { lineText, openScreen } from "./screen.ts";
import type { Stage } from "./stage.ts";
import { fallOf, raiseStage } from "./stage.ts";
import { summaryLines } from "./summary.ts";

export interface DemoOptions {
  /** Path of a site file with the parts of config/demo.yaml or config/imap.yaml. Default: the first of them. */
  readonly site?: string;
  /** Ends with the night: 0 when every item is accounted for, else 1. Otherwise it stays up until ^C. */
  readonly once: boolean;
  readonly seed?: number;
  /** Lines instead of the live view, on a terminal too. */
  readonly plain?: boolean;
  /** Exposures of the night, at least 8; default 30. */
  readonly exposures?: number;
  /** Milliseconds from one exposure to the next, default 600. */
  readonly everyMs?: number;
  /** Days of a mission, default 3. */
  readonly days?: number;
  /** Instruments of a mission; default all. */
  readonly instruments?: ReadonlyArray<string>;
  /** Default: stdout. */
  readonly output?: Output;
  /** Stops it cleanly, as SIGINT and SIGTERM do. */
  readonly signal?: AbortSignal;
}

const exposuresDefault = 30;
const exposuresMin = 8;
const everyMsDefault = 600;
const daysDefault = 3;
const interruptedCode = 130;
const restartsEveryMs = 500;

function terminal(): Output {
  const { stdout } = process;
  return {
    write: (text) => void stdout.write(text),
    size: () => (stdout.isTTY ? { columns: stdout.columns || 80, rows: stdout.rows || 24 } : null),
    color: stdout.isTTY && (process.env["NO_COLOR"] ?? "") === "" && process.env["TERM"] !== "dumb",
    unicode: showsUnicode(process.env),
  };
}

/**
 * Plays the night, or the days of a mission where the site is one. Hears SIGINT and SIGTERM: both stop it cleanly; who calls it must wait for it all the same.
 * @returns exit code: 0 every item is accounted for; 1 not, or it could not start; 130 stopped before the night was over
 */
export async function runDemo(options: DemoOptions): Promise<number> {
  const output = options.output ?? terminal();
  const stop = new AbortController();
  const onSignal = (): void => stop.abort();
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  const scope = Scope.makeUnsafe();
  const signal = options.signal === undefined ? stop.signal : AbortSignal.any([stop.signal, options.signal]);
  try {
    return await playAndShow(options, output, scope, signal);
  } catch (cause) {
    if (signal.aborted) return interruptedCode;
    output.write(`${cause instanceof Error ? cause.message : String(cause)}\n`);
    return 1;
  } finally {
    await Effect.runPromise(Scope.close(scope, Exit.void));
    process.off("SIGINT", onSignal);
    process.off("SIGTERM", onSignal);
  }
}

async function playAndShow(
  options: DemoOptions,
  output: Output,
  scope: Scope.Closeable,
  signal: AbortSignal,
): Promise<number> {
  const mission = options.site === undefined ? null : await missionOf(options, options.site);
  if (mission !== null) return playMission(mission, output, scope, signal);
  const print = (line: Line): void => output.write(`${lineText(output, line)}\n`);
  const stage = await raiseStage(options.site, print, scope);
  const fallen = fallOf(stage.running);
  const asking = new AbortController();
  const cast = await engageCast(stage, options.seed ?? 1, scope, AbortSignal.any([signal, asking.signal]));
  const script = scriptOf(
    Math.max(exposuresMin, options.exposures ?? exposuresDefault),
    options.everyMs ?? everyMsDefault,
  );
  const account = await Promise.race([
    underView(options, output, stage, cast, script, signal).finally(() => asking.abort()),
    fallen,
  ]);
  if (account === null) {
    output.write(
      "Stopped before the night was over. What was accepted is kept; the next start plays the next night.\n",
    );
    return interruptedCode;
  }
  output.write("\n");
  const { kill } = cast.kill;
  const summary = summaryLines(account, {
    day: cast.night.day,
    ms: cast.picture.now(),
    kill,
    victim: secondName,
    lookups: cast.lookups.answered,
    p50: cast.lookups.latency(0.5),
    durability: stage.running.durability,
  });
  for (const line of summary) print(line);
  const code = account.faults.length === 0 ? 0 : 1;
  if (options.once) return code;
  output.write("\n");
  for (const line of nextSteps(stepsOf(options, stage, cast))) print(line);
  await Promise.race([new Promise<void>((resolve) => onAbort(signal, resolve)), fallen]);
  return code;
}

/** Null: it is a night's site. */
async function missionOf(options: DemoOptions, siteFile: string): Promise<MissionOptions | null> {
  const site = await Effect.runPromise(loadSite(resolve(siteFile)));
  const parts = missionParts(site);
  if (parts === null) return null;
  const { once, plain = false, days = daysDefault, instruments = [] } = options;
  const catalogue = catalogueFor(parts.catalogue, instruments);
  return { site, parts: { ...parts, catalogue }, siteFile, once, plain, days };
}

function onAbort(signal: AbortSignal, then: () => void): void {
  if (signal.aborted) then();
  else signal.addEventListener("abort", then, { once: true });
}

/** Plays and settles the account under the live view. Null: it was stopped before the night was over. */
async function underView(
  options: DemoOptions,
  output: Output,
  stage: Stage,
  cast: Cast,
  script: NightScript,
  signal: AbortSignal,
): Promise<Account | null> {
  const { picture, lookups, night, faults } = cast;
  const status = { phase: "the night goes on", planned: script.exposures, restarts: 0 };
  const screen = openScreen(output, () => sceneOf({ stage, ...cast, status }), options.plain ?? false);
  picture.onEvent = screen.event;
  process.on("exit", screen.end);
  const restarts = watchRestarts(stage.running, (count) => void (status.restarts = count));
  const needs = {
    ...cast,
    script,
    signal,
    planned: (exposures: number): void => void (status.planned = exposures),
  };
  try {
    picture.say("note", `the night of ${night.day} begins: two nodes, ${script.exposures} exposures`);
    void lookups.poll();
    await playNight(needs);
    status.phase = "the last files come in";
    const over = await nightIsOver(needs);
    if (signal.aborted) return null;
    if (!over) faults.push("the night was not over within its time");
    status.phase = "the account";
    // One more frame with everything in its place, before the summary takes over.
    await pause(options.once ? 0 : 1_000, signal);
    return await settleAccount(stage, cast);
  } finally {
    clearInterval(restarts);
    picture.onEvent = () => undefined;
    process.off("exit", screen.end);
    screen.end();
  }
}

function watchRestarts(running: RunningNode, told: (restarts: number) => void): NodeJS.Timeout {
  type Node = Effect.Success<RunningNode["tree"]>;
  const count = (node: Node): number =>
    node.restarts + node.children.reduce((sum, child) => sum + count(child), 0);
  return setInterval(() => {
    void Effect.runPromise(running.tree).then((tree) => told(count(tree)));
  }, restartsEveryMs);
}

function stepsOf(options: DemoOptions, stage: Stage, { sender, kill, night }: Cast): NextStepsFacts {
  const { running, parts, site } = stage;
  const all = [...sender.sent.values()];
  const parked = all.find(
    ({ object }) => object.expected.state === "parked" && object.bucket === nightBucket,
  );
  const snapped = all.find(({ object }) => object.expected.state === "known" && object.group?.snap === 1);
  const looked = sender.exposures.find(({ complete }) => complete);
  const [caught] = kill.kill?.items ?? [];
  const near = (path: string): string => nearPath(process.cwd(), path);
  const products = parts.products.buckets[0] ?? "";
  return {
    natsUrl: running.natsUrl,
    httpUrl: stage.httpUrl,
    // The command finds the demonstration's own site file by itself.
    site: options.site === undefined ? null : near(stage.file),
    killed: caught === undefined ? null : nameOfRecord(caught.record),
    parked: parked === undefined ? null : nameOfRecord(parked.record),
    group: snapped?.object.group ?? null,
    record: snapped?.record ?? null,
    picture: looked === undefined ? null : near(picturePath(parts.root, products, night.day, looked.name)),
    logs: [stage.log, join(site.dataDir, "log", `${secondName}.log`)].map(near),
  };
}
