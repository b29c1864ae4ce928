/**
 * `npm start -- --site config/imap.yaml`: some days of a mission, on the site's own server. Files come as they would in flight, the jobs
 * of the catalogue run as their inputs are there, and at the end it is said what was made, of what, and why what is open is open.
 */
import { join } from "node:path";
import * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import * as Scope from "effect/Scope";
import type { Site } from "../config/Site.ts";
import { follow } from "../jetstream/follower.ts";
import { ledgerBucket } from "../protocol/keys.ts";
import type { JobRecord } from "../protocol/jobs.ts";
import { partitionName } from "../protocol/runs.ts";
import { nearPath } from "./demoSite.ts";
import type { MissionAccount } from "./missionAccount.ts";
import { missionAccount } from "./missionAccount.ts";
import { deliver } from "./missionDelivery.ts";
import type { Delivery } from "./missionDelivery.ts";
import { MissionPicture, missionKeys } from "./missionPicture.ts";
import type { SampleFile } from "./missionSample.ts";
import { missionSample, sampleStages } from "./missionSample.ts";
import { openMissionScreen } from "./missionScreen.ts";
import type { MissionParts } from "./missionParts.ts";
import type { MissionStage } from "./missionStage.ts";
import { raiseMission } from "./missionStage.ts";
import { missionSteps, missionSummary } from "./missionSummary.ts";
import { progressOf } from "./missionView.ts";
import type { Line } from "./paint.ts";
import { cut, piece } from "./paint.ts";
import type { Output } from "./screen.ts";
import { lineText } from "./screen.ts";
import { fallOf } from "./stage.ts";

export interface MissionOptions {
  readonly site: Site;
  readonly parts: MissionParts;
  /** As the user would write it. */
  readonly siteFile: string;
  readonly once: boolean;
  readonly plain: boolean;
  /** Days that are played, where the site has not been played before. */
  readonly days: number;
}

const pollMs = 100;
/** Nothing happens for this long: then the account is made. */
const quietMs = 2_000;
/** And for so long, where the account is not as it should be. */
const patienceMs = 8_000;
const playMsMax = 600_000;
const tellEveryMs = 500;
/** Where it is no terminal. */
const lineColumns = 200;
const interruptedCode = 130;

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** @returns exit code: 0 everything is made that can be, and what is open was held back; 1 not; 130 stopped before */
export async function playMission(
  options: MissionOptions,
  output: Output,
  scope: Scope.Closeable,
  signal: AbortSignal,
): Promise<number> {
  const print = (line: Line): void => output.write(`${lineText(output, line)}\n`);
  const stage = await raiseMission(options.site, options.parts, options.days, print, scope);
  const fallen = fallOf(stage.running);
  const play = new Play(stage, options, signal);
  await play.watch(scope);
  const account = await Promise.race([play.run(output), fallen]);
  if (account === null) {
    output.write("Stopped before it was over. What has arrived is kept; the next start goes on with it.\n");
    return interruptedCode;
  }
  output.write("\n");
  const facts = { days: stage.days, ms: play.picture.now(), durability: stage.running.durability };
  for (const line of missionSummary(account, facts)) print(line);
  const code = account.faults.length === 0 ? 0 : 1;
  if (options.once) return code;
  output.write("\n");
  for (const line of missionSteps(play.steps(account))) print(line);
  const untold = play.tell((text) => print(cut([piece(text)], output.size()?.columns ?? lineColumns)));
  await Promise.race([new Promise<void>((resolve) => onAbort(signal, resolve)), fallen]).finally(untold);
  return code;
}

function onAbort(signal: AbortSignal, then: () => void): void {
  if (signal.aborted) then();
  else signal.addEventListener("abort", then, { once: true });
}

class Play {
  readonly picture = new MissionPicture();
  readonly #stage: MissionStage;
  readonly #options: MissionOptions;
  readonly #signal: AbortSignal;
  readonly #sample: ReadonlyArray<SampleFile>;
  readonly #delivery: Delivery;
  #phase = "begins";

  constructor(stage: MissionStage, options: MissionOptions, signal: AbortSignal) {
    this.#stage = stage;
    this.#options = options;
    this.#signal = signal;
    const { parts, site, days } = stage;
    this.#sample = missionSample(parts.catalogue, days);
    this.#delivery = {
      folder: parts.delivered,
      heldBack: join(site.dataDir, "held-back"),
      sidecar: parts.lane.sidecar,
    };
  }

  /** Resolves when what stands in the ledger has been seen. */
  async watch(scope: Scope.Closeable): Promise<void> {
    const { nats } = this.#stage.running.context;
    const caughtUp = Deferred.makeUnsafe<void>();
    const keys = missionKeys(this.#stage.parts.lane.name);
    const fiber = Effect.runFork(
      follow(nats, { bucket: ledgerBucket, keys, each: (change) => this.picture.learn(change) }, caughtUp),
    );
    await Effect.runPromise(Scope.addFinalizer(scope, Fiber.interrupt(fiber)));
    await Effect.runPromise(Deferred.await(caughtUp));
  }

  /** Null: it was stopped. */
  async run(output: Output): Promise<MissionAccount | null> {
    const end = openMissionScreen(output, () => this.#scene(), this.#options.plain);
    try {
      for (const stage of sampleStages) {
        this.#phase = stage;
        const files = this.#sample.filter((file) => file.stage === stage);
        await deliver(this.#delivery, files);
        const coming = files.filter(({ heldBack }) => heldBack === null);
        await this.#until(() => coming.every(({ name }) => this.picture.isSettled(name)), playMsMax);
      }
      this.#phase = "processing";
      return await this.#settled();
    } finally {
      end();
    }
  }

  /** Until nothing happens any more, and what is seen is as it should be, or was not for a while. */
  async #settled(): Promise<MissionAccount | null> {
    const until = performance.now() + playMsMax;
    for (;;) {
      const quiet = (): boolean => this.picture.quietFor() >= quietMs && !this.picture.isActive();
      await this.#until(quiet, until - performance.now());
      if (this.#signal.aborted) return null;
      const { parts, running, days } = this.#stage;
      const account = await missionAccount({
        catalogue: parts.catalogue,
        picture: this.picture,
        sample: this.#sample,
        nats: running.context.nats,
        since: days[0] ?? 0,
        root: parts.root,
      });
      // A busy machine may be long about it: only what stands still is as it will be.
      const isLate = this.picture.quietFor() > patienceMs || performance.now() > until;
      if (account.faults.length === 0 || isLate) return account;
      await sleep(quietMs);
    }
  }

  /** Says what becomes of partitions from now on. @returns ends it */
  tell(write: (text: string) => void): () => void {
    const { jobs } = this.picture;
    const sayingOf = ({ state, run }: JobRecord): string => `${state} ${run ?? ""}`;
    const told = new Map([...jobs].map(([key, record]) => [key, sayingOf(record)]));
    const timer = setInterval(() => {
      for (const [key, record] of jobs) {
        const saying = sayingOf(record);
        if (told.get(key) === saying) continue;
        told.set(key, saying);
        const { state, blockedOn } = record;
        if (state === "ready" || state === "running") continue;
        const why = blockedOn.length === 0 ? "" : `  ${blockedOn.join("; ")}`;
        write(`${state.padEnd(8)} ${record.job} ${partitionName(record.partition)}${why}`);
      }
    }, tellEveryMs);
    return () => clearInterval(timer);
  }

  async #until(holds: () => boolean, msMax: number): Promise<void> {
    const until = performance.now() + msMax;
    while (!holds() && performance.now() < until && !this.#signal.aborted) await sleep(pollMs);
  }

  #scene() {
    const files = [...this.picture.files.values()].filter(({ state }) => state === "known").length;
    return { progress: progressOf(this.picture), ms: this.picture.now(), phase: this.#phase, files };
  }

  steps({ roots }: MissionAccount) {
    const cwd = process.cwd();
    const root = roots.find(({ heldBack }) => heldBack !== null);
    const [waiting] = root?.partitions ?? [];
    const name = root?.heldBack?.name;
    const { producerOf } = this.#stage.parts.catalogue;
    // What runs by the clock is made of a table alone: of the others more is to be seen.
    const products = [...this.picture.files.values()].filter(
      ({ state, facts }) =>
        state === "known" &&
        facts !== null &&
        /^[^/]+\/l3/.test(facts.dataset) &&
        producerOf.get(facts.dataset)?.schedule === null,
    );
    return {
      site: this.#options.siteFile,
      held:
        waiting === undefined || name === undefined
          ? null
          : {
              from: nearPath(cwd, join(this.#delivery.heldBack, name)),
              to: `${nearPath(cwd, this.#delivery.folder)}/`,
              job: waiting.record.job,
              partition: partitionName(waiting.record.partition),
            },
      product: products[0]?.facts?.name ?? null,
      log: nearPath(cwd, this.#stage.log),
    };
  }
}
