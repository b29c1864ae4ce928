/** Random faults over three sites, their supernode and the links between, under load: what is done when comes from the seed alone. */
import { setTimeout as sleep } from "node:timers/promises";
import { claimOfKey } from "../../../src/protocol/keys.ts";
import { givenUp, isSettle } from "../arena.ts";
import type { Evidence } from "../checker.ts";
import { unfinished, violations } from "../checker.ts";
import type { Fault } from "./draw.ts";
import { faultsOf } from "./draw.ts";
import { lookUntilEqual } from "./equal.ts";
import { askAll } from "./groups.ts";
import { inject, involves } from "./inject.ts";
import type { Done, KindRow } from "./recovery.ts";
import { rowsOf } from "./recovery.ts";
import type { SiteWorld } from "./world.ts";
import { siteNames, World } from "./world.ts";
import { slack } from "../slack.ts";

export interface SitesSettings {
  readonly faults: number;
  readonly seed: number;
  readonly brisk: boolean;
}

/** After the last fault is over each node settles something within this, the load going on. */
export const worksAgainMsMax = 30_000;
/** After the last fault is over the supernode has all that each site held at any heal within this, the load going on. */
export const caughtUpMsMax = 60_000 * slack;
/** After the load is over everything is settled within this. */
export const restMsMax = 60_000;
/** After everything is settled the supernode holds exactly what the sites hold within this. */
export const equalMsMax = 15_000 * slack;
/** And its node answers within this that each announced group is there. */
export const presentMsMax = 15_000 * slack;
/** What is not there by then is lost, and not late. */
const lostMsMax = 180_000 * slack;
const lookEveryMs = 200;

export interface SitesReport {
  readonly settings: SitesSettings;
  readonly done: ReadonlyArray<Done>;
  readonly rows: ReadonlyArray<KindRow>;
  readonly lost: ReadonlyArray<string>;
  readonly twice: ReadonlyArray<string>;
  readonly stuck: ReadonlyArray<string>;
  /** Every other violation, and why the run did not end as it should. */
  readonly wrong: ReadonlyArray<string>;
  readonly timeline: ReadonlyArray<string>;
  /** The last errors of the nodes' logs. */
  readonly errors: ReadonlyArray<string>;
  /** Accepted at all sites together. */
  readonly files: number;
  /** Keys of all sites at the supernode at the end. */
  readonly keys: number;
  /** Announced at all sites together, and asked about at the supernode. */
  readonly groups: number;
  readonly seconds: number;
  /** From the end of the last fault until all was there that the sites had held at any heal; null: not within the bound. */
  readonly caughtUpMs: number | null;
  /** From rest until the supernode held exactly what the sites hold; null: not within the bound. */
  readonly equalMs: number | null;
}

export const isGood = ({ lost, twice, stuck, wrong }: SitesReport): boolean =>
  lost.length + twice.length + stuck.length + wrong.length === 0;

class Run {
  readonly world: World;
  readonly timeline: Array<string> = [];
  readonly done: Array<Done> = [];
  readonly failures: Array<string> = [];
  /** What has yet to come to the supernode, by its mark. */
  readonly #marks = new Map<string, Promise<void>>();
  readonly #over = new AbortController();
  caughtUpMs: number | null = null;
  equalMs: number | null = null;
  keys = 0;
  groups = 0;

  constructor(world: World) {
    this.world = world;
  }

  at(line: string): void {
    this.timeline.push(`${new Date().toISOString()}  ${line}`);
  }

  async one(fault: Fault): Promise<void> {
    this.at(`${fault.kind}, ${fault.whom}, for ${fault.downMs} ms`);
    try {
      const injected = await inject(this.world, fault);
      const done: Done = { fault, ...injected, settleMs: null, equalMs: null };
      this.done.push(done);
      this.at(
        `  over: ${fault.kind}, ${fault.whom}${injected.note === undefined ? "" : `; ${injected.note}`}`,
      );
      for (const name of done.away) this.#follow(done, name);
    } catch (cause) {
      this.failures.push(`${fault.kind}, ${fault.whom}: ${String(cause)}`);
      this.at(`  failed: ${fault.kind}, ${fault.whom}: ${String(cause)}`);
    }
  }

  /** Notes how long it takes until all that the site holds now is at the supernode. */
  #follow(done: Done, name: string): void {
    const site = this.world.site(name);
    const what = `${done.fault.kind} at ${new Date(done.healedAt).toISOString()}, ${name}`;
    const arrives = this.#arrives(site).then((there) => {
      if (!there) return;
      this.#marks.delete(what);
      const ms = Date.now() - done.healedAt;
      done.equalMs = Math.max(done.equalMs ?? 0, ms);
    });
    this.#marks.set(what, arrives);
  }

  async #arrives({ facts, prefix }: SiteWorld): Promise<boolean> {
    const { signal } = this.#over;
    const mark = await facts.mark(signal);
    if (mark === null) return false;
    while (!signal.aborted) {
      if (await this.world.hub.has(prefix + mark)) return true;
      await sleep(lookEveryMs);
    }
    return false;
  }

  /** Faults of different things overlap; one thing has one at a time. */
  async all(faults: ReadonlyArray<Fault>, progress: (begun: number) => void): Promise<void> {
    const under = new Map<string, Promise<unknown>>();
    let begun = 0;
    for (const fault of faults) {
      await sleep(fault.afterMs);
      const whom = involves(fault, this.world.hub.servers);
      for (const one of whom) await under.get(one);
      const over = this.one(fault);
      for (const one of whom) under.set(one, over);
      progress(++begun);
    }
    await Promise.all(under.values());
  }

  /** The load goes on until every node works and the supernode has caught up; then all comes to rest, and is compared. */
  async settleDown(load: AbortController, loading: Promise<unknown>): Promise<void> {
    const healed = Date.now();
    const sites = [...this.world.sites.values()];
    this.at("the faults are over");
    await Promise.all([...sites.map((site) => site.works(healed, worksAgainMsMax)), this.#caughtUp(healed)]);
    this.at("each node works again");
    load.abort();
    await loading;
    await Promise.all(sites.map(({ cluster }) => cluster.rest(restMsMax)));
    this.at("everything is at rest");
    await this.#equal();
  }

  async #caughtUp(healed: number): Promise<void> {
    const late = sleep(caughtUpMsMax, "late", { signal: this.#over.signal, ref: false }).catch(() => "over");
    if ((await Promise.race([Promise.all(this.#marks.values()), late])) !== "late") {
      this.caughtUpMs = Date.now() - healed;
      this.at("the supernode has what the sites held at each heal");
      return;
    }
    for (const what of this.#marks.keys())
      this.failures.push(
        `stuck: what was held after ${what} is not at the supernode within ${caughtUpMsMax} ms`,
      );
  }

  async #equal(): Promise<void> {
    const sites = [...this.world.sites.values()];
    const { words, keys, ms } = await lookUntilEqual(this.world.hub, sites, lostMsMax);
    this.keys = keys;
    this.failures.push(...words);
    this.failures.push(...(await askAll(() => this.world.keeper.url, sites, presentMsMax)));
    this.groups = sites.reduce((sum, { groups }) => sum + groups.announced.length, 0);
    if (words.length > 0) return;
    this.at("the supernode holds what the sites hold");
    if (ms <= equalMsMax) this.equalMs = ms;
    else
      this.failures.push(`stuck: the supernode was equal to its sites only ${Math.round(ms)} ms after rest`);
  }

  end(): void {
    this.#over.abort();
  }
}

/** Runs the faults of the seed, and judges what came of them. */
export async function runSites(settings: SitesSettings, say: (line: string) => void): Promise<SitesReport> {
  const began = performance.now();
  const world = await World.start({ day: "20260101", retentionDays: null });
  const run = new Run(world);
  say(
    `seed ${settings.seed}, ${settings.faults} faults, ${siteNames.length} sites, ${world.hub.servers.length} servers of the supernode`,
  );
  try {
    try {
      const over = new AbortController();
      const loading = Promise.all([...world.sites.values()].map((site) => site.load(over.signal)));
      // Told by whoever awaits it; a load that fails ends the run.
      loading.catch(() => undefined);
      try {
        const whom = { sites: siteNames, nodes: world.nodes, servers: world.hub.servers };
        await run.all(faultsOf({ ...settings, ...whom }), (begun) => {
          if (begun % 10 === 0) say(`${begun} faults, ${accepted(world)} files accepted`);
        });
        await run.settleDown(over, loading);
      } finally {
        over.abort();
        await loading;
      }
    } catch (cause) {
      run.failures.push(String(cause));
    }
    return await judged(run, settings, performance.now() - began);
  } finally {
    run.end();
    await world.end();
  }
}

const accepted = (world: World): number =>
  [...world.sites.values()].reduce((sum, { cluster }) => sum + cluster.sender.accepted.length, 0);

/** From the heal until each of the nodes has settled something; null when one never did. */
function settledAfter(done: Done, histories: ReadonlyArray<Evidence>): number | null {
  if (done.idle.length === 0) return null;
  const times = done.idle.map((node) => {
    for (const { history } of histories) {
      const found = history.find(
        ({ key, at, value }) => at >= done.healedAt && claimOfKey(key)?.node === node && isSettle(value),
      );
      if (found !== undefined) return found.at - done.healedAt;
    }
    return null;
  });
  return times.includes(null) ? null : Math.max(...times.map((ms) => ms ?? 0));
}

function errorsOf({ name, nodes, cluster }: SiteWorld): ReadonlyArray<string> {
  return nodes.flatMap((node) =>
    cluster
      .log(node)
      .filter(({ level }) => level === "error")
      .slice(-10)
      .map(
        ({ at, message, fields }) =>
          `${new Date(at).toISOString()}  ${name}, ${node}: ${message} ${JSON.stringify(fields)}`,
      ),
  );
}

async function judged(run: Run, settings: SitesSettings, tookMs: number): Promise<SitesReport> {
  const { world } = run;
  const evidences: Array<Evidence> = [];
  const broken: Array<string> = [];
  const open: Array<string> = [];
  for (const { name, cluster } of world.sites.values()) {
    const evidence = await cluster.evidence();
    evidences.push(evidence);
    const found = [...violations(evidence), ...givenUp(evidence.ledger)];
    broken.push(...found.map((words) => `${words} (${name})`));
    open.push(...unfinished(evidence).map((words) => `${words} (${name})`));
  }
  for (const done of run.done) done.settleMs = settledAfter(done, evidences);
  const isStuck = (words: string): boolean => /\bstuck\b|not within/.test(words);
  const isLost = (words: string): boolean => /^lost\b|are not at the supernode:/.test(words);
  const isTwice = (words: string): boolean => /\btwice\b/.test(words) && !isLost(words);
  const all = [...broken, ...run.failures, ...world.ownEnds];
  return {
    settings,
    done: run.done,
    rows: rowsOf(run.done),
    lost: all.filter(isLost),
    twice: all.filter(isTwice),
    stuck: [...all.filter((words) => isStuck(words) && !isLost(words) && !isTwice(words)), ...open],
    wrong: all.filter((words) => !isLost(words) && !isTwice(words) && !isStuck(words)),
    timeline: run.timeline,
    errors: [...world.sites.values()].flatMap(errorsOf),
    files: accepted(world),
    keys: run.keys,
    groups: run.groups,
    seconds: tookMs / 1_000,
    caughtUpMs: run.caughtUpMs,
    equalMs: run.equalMs,
  };
}
