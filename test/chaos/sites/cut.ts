/**
 * One site cut off for minutes under load, and what else may happen meanwhile: the supernode's leader is killed, keys end and a day is
 * purged at the cut site, and another site is lost and rebuilt. In the end the supernode holds what the sites hold, and nothing else.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { dayText } from "../../../src/actors/retention.ts";
import { givenUp } from "../arena.ts";
import { unfinished, violations } from "../checker.ts";
import { until } from "../../support/testSite.ts";
import { lane } from "../sender.ts";
import { lookUntilEqual } from "./equal.ts";
import { askAll } from "./groups.ts";
import type { SiteWorld } from "./world.ts";
import { World } from "./world.ts";
import { slack } from "../slack.ts";

export interface CutSettings {
  /** How long the site is cut off. */
  readonly seconds: number;
}

/** While it is cut off a site settles at least so much of what it settled before; or of what another site, which is not, still does. */
export const fullRate = 0.9;
/** Of a site that is cut off its name is said within this. */
export const namedMsMax = 60_000 * slack;
/** After the heal all that the site held by then is at the supernode within this. */
export const healMsMax = 30_000 * slack;
/** After the load is over everything is settled, and then equal, within these. */
const restMsMax = 60_000;
const equalMsMax = 30_000 * slack;

const cutSite = "summit";
const rebuiltSite = "archive";
const controlSite = "base";
const warmMs = 3_000;
const retentionDays = 30;
const dayMs = 86_400_000;
const agedFiles = 40;
const endedKeys = 20;
const leaderDownMs = 4_000;
const words = "a site is not heard of";

export interface CutReport {
  readonly seconds: number;
  /** Files settled a second at the site before and while it was cut off. */
  readonly before: number;
  readonly during: number;
  /** What a site that was not cut off settled meanwhile, of what it had settled before: what the machine had to do besides. */
  readonly control: number;
  /** From the cut until the supernode's node named the site; null: the cut was over before it had to. */
  readonly namedMs: number | null;
  /** From the heal until all that the site held by then was at the supernode. */
  readonly healMs: number | null;
  /** From rest until the supernode held exactly what the sites hold. */
  readonly equalMs: number | null;
  readonly files: number;
  readonly wrong: ReadonlyArray<string>;
  readonly timeline: ReadonlyArray<string>;
}

class Run {
  readonly world: World;
  readonly timeline: Array<string> = [];
  readonly wrong: Array<string> = [];
  readonly #loads = new Map<string, { readonly over: AbortController; readonly done: Promise<void> }>();

  constructor(world: World) {
    this.world = world;
  }

  at(line: string): void {
    this.timeline.push(`${new Date().toISOString()}  ${line}`);
  }

  begin(site: SiteWorld): void {
    const over = new AbortController();
    const done = site.load(over.signal);
    done.catch(() => undefined);
    this.#loads.set(site.name, { over, done });
  }

  async stop(name: string): Promise<void> {
    const load = this.#loads.get(name);
    load?.over.abort();
    await load?.done;
  }

  async judge({ name, cluster }: SiteWorld): Promise<void> {
    const evidence = await cluster.evidence();
    const found = [...violations(evidence), ...unfinished(evidence), ...givenUp(evidence.ledger)];
    this.wrong.push(...found.map((each) => `${each} (${name})`));
  }

  /** Keys end, and a node that is started anew purges the day that is past its retention. */
  async endsAndPurges(site: SiteWorld, day: string): Promise<void> {
    const ended = await site.facts.end(endedKeys);
    this.at(`${ended.length} keys of ${site.name} ended`);
    const node = site.nodes[0] ?? "";
    site.mayEnd(node);
    await site.cluster.nodes.get(node)?.term();
    await site.startNode(node);
    const left = async (): Promise<number> =>
      (await site.cluster.history.scan([`file.${lane}.${day}.>`])).length;
    await until(left, (count) => count === 0, restMsMax * slack);
    this.at(`day ${day} of ${site.name} was purged`);
  }

  async leaderKilled(): Promise<void> {
    const { hub } = this.world;
    const leader = await hub.leader(restMsMax * slack);
    await hub.kill9(leader);
    this.at(`${hub.servers[leader] ?? ""}, which led, was killed`);
    await sleep(leaderDownMs);
    await hub.start(leader);
    await hub.healthy(restMsMax * slack);
    this.at(`${hub.servers[leader] ?? ""} is back`);
  }

  async rebuilds(name: string): Promise<void> {
    await this.stop(name);
    const former = this.world.site(name);
    await former.cluster.rest(restMsMax);
    await this.judge(former);
    const epoch = await this.world.rebuild(name);
    this.at(`${name} was lost with epoch ${epoch} and is rebuilt with ${this.world.site(name).epoch}`);
    this.begin(this.world.site(name));
  }

  /** Milliseconds from the cut until the site's name was said; null when the cut ended before. */
  async named(from: number, heal: AbortSignal): Promise<number | null> {
    const before = this.world.keeper.log().length;
    while (!heal.aborted) {
      const said = this.world.keeper.log().slice(before);
      if (said.split("\n").some((line) => line.includes(words) && line.includes(cutSite))) {
        this.at(`the supernode's node says that ${cutSite} is not heard of`);
        return Date.now() - from;
      }
      await sleep(200);
    }
    return null;
  }

  /** From now until all that the site holds now is at the supernode; null: not within the bound. */
  async healed({ facts, prefix }: SiteWorld, from: number): Promise<number | null> {
    const late = AbortSignal.timeout(healMsMax);
    const mark = await facts.mark(late);
    while (!late.aborted) {
      if (mark !== null && (await this.world.hub.has(prefix + mark))) return Date.now() - from;
      await sleep(100);
    }
    this.wrong.push(`stuck: what ${cutSite} held at the heal is not at the supernode within ${healMsMax} ms`);
    return null;
  }
}

/** Cuts, heals and judges. */
export async function runCut({ seconds }: CutSettings, say: (line: string) => void): Promise<CutReport> {
  const day = dayText(Date.now());
  const aged = dayText(Date.now() - (retentionDays + 10) * dayMs);
  const world = await World.start({ day, retentionDays });
  const run = new Run(world);
  try {
    return await play(run, seconds, aged, say);
  } finally {
    await world.end();
  }
}

async function play(
  run: Run,
  seconds: number,
  aged: string,
  say: (line: string) => void,
): Promise<CutReport> {
  const { world } = run;
  const site = world.site(cutSite);
  for (const each of world.sites.values()) run.begin(each);
  const records = await site.sendAged(aged, agedFiles);
  await until(
    async () => (await Promise.all(records.map((key) => world.hub.has(site.prefix + key)))).every(Boolean),
    (all) => all,
    restMsMax * slack,
  );
  await sleep(warmMs);
  const windowMs = Math.min(30_000, seconds * 1_000);
  const beganAt = Date.now();
  say(`${windowMs / 1_000} s under load, and ${seconds} s of it without a link for ${cutSite}`);
  await sleep(windowMs);
  const cutAt = Date.now();
  const heal = new AbortController();
  world.link(cutSite).cut();
  run.at(`${cutSite} is cut off`);
  const names = run.named(cutAt, heal.signal);
  const meanwhile = async (): Promise<void> => {
    await run.endsAndPurges(site, aged);
    await run.leaderKilled();
    await run.rebuilds(rebuiltSite);
  };
  await Promise.all([meanwhile(), sleep(seconds * 1_000)]);
  const healAt = Date.now();
  world.link(cutSite).heal();
  heal.abort();
  run.at(`the link of ${cutSite} is back`);
  const healMs = await run.healed(site, healAt);
  run.at(`what ${cutSite} held at the heal is at the supernode`);
  const namedMs = await names;
  if (namedMs === null ? healAt - cutAt > namedMsMax : namedMs > namedMsMax)
    run.wrong.push(`${cutSite} was cut off for ${healAt - cutAt} ms and not named within ${namedMsMax} ms`);
  const rates = judgeRates(run, beganAt, cutAt, healAt);
  const equalMs = await comesToRest(run);
  const files = [...world.sites.values()].reduce(
    (sum, { cluster }) => sum + cluster.sender.accepted.length,
    0,
  );
  const { wrong, timeline } = run;
  return {
    seconds,
    ...rates,
    namedMs,
    healMs,
    equalMs,
    files,
    wrong: [...wrong, ...world.ownEnds],
    timeline,
  };
}

/** Of the time from `beganAt` to `cutAt`, and from there to `healAt`. */
function judgeRates(
  { world, wrong }: Run,
  beganAt: number,
  cutAt: number,
  healAt: number,
): Pick<CutReport, "before" | "during" | "control"> {
  const perSecond = (name: string, from: number, to: number): number =>
    (world.site(name).settled(from, to) * 1_000) / (to - from);
  const [before, during] = [perSecond(cutSite, beganAt, cutAt), perSecond(cutSite, cutAt, healAt)];
  const control = perSecond(controlSite, cutAt, healAt) / perSecond(controlSite, beganAt, cutAt);
  if (during * slack < before * fullRate * Math.min(1, control))
    wrong.push(
      `${cutSite} settled ${during.toFixed(1)} files/s while it was cut off, and ${before.toFixed(1)} before; ${controlSite} meanwhile ${control.toFixed(2)} of before`,
    );
  return { before, during, control };
}

/** @returns milliseconds from rest until the supernode was equal to its sites; null: not within the bound */
async function comesToRest(run: Run): Promise<number | null> {
  const { world } = run;
  const sites = [...world.sites.values()];
  for (const { name } of sites) await run.stop(name);
  await Promise.all(sites.map(({ cluster }) => cluster.rest(restMsMax)));
  const { words: left, ms } = await lookUntilEqual(world.hub, sites, equalMsMax);
  run.wrong.push(...left);
  run.wrong.push(...(await askAll(() => world.keeper.url, sites, equalMsMax)));
  run.at(
    left.length === 0 ? "the supernode holds what the sites hold" : "the supernode differs from its sites",
  );
  for (const each of sites) await run.judge(each);
  return left.length === 0 ? ms : null;
}
