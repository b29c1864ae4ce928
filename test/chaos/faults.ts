/** Random faults over a site under load: what is done when comes from the seed alone. */
import { setTimeout as sleep } from "node:timers/promises";
import { Arena, givenUp } from "./arena.ts";
import { unfinished, violations } from "./checker.ts";
import type { Fault } from "./draw.ts";
import { faultsOf, randomOf } from "./draw.ts";
import { inject, involves } from "./inject.ts";
import type { Done, KindRow } from "./recovery.ts";
import { recoveries } from "./recovery.ts";
import { outOfOrder, toldWrongly } from "./told.ts";

export interface FaultSettings {
  readonly faults: number;
  readonly seed: number;
  readonly nodes: number;
  readonly brisk: boolean;
}

/** After the last fault is over each node settles something of each lane within this, the load going on. */
export const worksAgainMsMax = 30_000;
/** After the load is over everything is settled and told within this. */
export const restMsMax = 60_000;

export interface FaultReport {
  readonly settings: FaultSettings;
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
  readonly files: number;
  readonly told: number;
  readonly lookUps: number;
  readonly seconds: number;
  /** From the end of the load until all was settled and told; null: not within the bound. */
  readonly restedMs: number | null;
  readonly disk: boolean;
}

export const isGood = ({ lost, twice, stuck, wrong }: FaultReport): boolean =>
  lost.length + twice.length + stuck.length + wrong.length === 0;

class Run {
  readonly arena: Arena;
  readonly timeline: Array<string> = [];
  readonly done: Array<Done> = [];
  readonly failures: Array<string> = [];
  restedMs: number | null = null;

  constructor(arena: Arena) {
    this.arena = arena;
  }

  at(line: string): void {
    this.timeline.push(`${new Date().toISOString()}  ${line}`);
  }

  async one(fault: Fault): Promise<void> {
    this.at(`${fault.kind}, ${fault.whom}, for ${fault.downMs} ms`);
    try {
      const done = { fault, ...(await inject(this.arena, fault)) };
      this.done.push(done);
      const notes = [done.missed === true ? "its moment did not come" : "", done.note ?? ""].filter(Boolean);
      this.at(`  over: ${fault.kind}, ${fault.whom}${notes.map((note) => `; ${note}`).join("")}`);
    } catch (cause) {
      this.failures.push(`${fault.kind}, ${fault.whom}: ${String(cause)}`);
      this.at(`  failed: ${fault.kind}, ${fault.whom}: ${String(cause)}`);
    }
  }

  /** Faults of different things overlap; one thing has one at a time. */
  async all(faults: ReadonlyArray<Fault>, progress: (begun: number) => void): Promise<void> {
    const under = new Map<string, Promise<unknown>>();
    let begun = 0;
    for (const fault of faults) {
      await sleep(fault.afterMs);
      const whom = involves(fault, this.arena.nodes);
      for (const one of whom) await under.get(one);
      const over = this.one(fault);
      for (const one of whom) under.set(one, over);
      progress(++begun);
    }
    await Promise.all(under.values());
  }

  /** The load goes on until every node works again; then all comes to rest. */
  async settleDown(over: AbortController, loading: Promise<void>): Promise<void> {
    const healed = Date.now();
    this.at("the faults are over");
    await this.arena.allWork(healed, worksAgainMsMax);
    this.at("each node works again");
    over.abort();
    await loading;
    const ended = Date.now();
    await this.arena.rest(restMsMax);
    this.restedMs = Date.now() - ended;
    this.at("everything is at rest");
  }
}

/** Runs the faults of the seed, and judges what came of them. */
export async function runFaults(settings: FaultSettings, say: (line: string) => void): Promise<FaultReport> {
  const nodes = Array.from({ length: settings.nodes }, (_, i) => `n${i}`);
  const arena = await Arena.start({ nodes, seed: settings.seed });
  const began = performance.now();
  const run = new Run(arena);
  const disk = arena.cluster.server.disk !== null;
  say(
    `seed ${settings.seed}, ${settings.faults} faults, ${settings.nodes} nodes${disk ? "" : "; no disk can be mounted here, so none is filled"}`,
  );
  try {
    const over = new AbortController();
    const loading = arena.load(over.signal);
    // Told by whoever awaits it; a load that fails ends the run.
    loading.catch(() => undefined);
    try {
      const { cluster, receiver } = arena;
      await run.all(faultsOf({ ...settings, disk }), (begun) => {
        if (begun % 10 !== 0) return;
        say(
          `${begun} faults, ${cluster.sender.accepted.length} files accepted, ${receiver.accepted.length} requests told`,
        );
      });
      await run.settleDown(over, loading);
    } finally {
      over.abort();
      await loading;
    }
    await arena.exposures.askAll(randomOf(settings.seed));
  } catch (cause) {
    run.failures.push(String(cause));
  }
  try {
    return await judged(run, settings, performance.now() - began);
  } finally {
    await arena.end();
  }
}

async function judged(run: Run, settings: FaultSettings, tookMs: number): Promise<FaultReport> {
  const { arena } = run;
  const evidence = await arena.cluster.evidence();
  const outside = arena.outside(evidence);
  const broken = violations(evidence);
  const told = run.restedMs === null ? [] : [...toldWrongly(outside), ...outOfOrder(outside)];
  const isStuck = (words: string): boolean => /\bstuck\b|not within/.test(words);
  const isLost = (words: string): boolean => /^(?:lost|untold)\b/.test(words);
  const all = [...broken, ...givenUp(evidence.ledger), ...told, ...run.failures, ...arena.ownEnds];
  const isTwice = (words: string): boolean => /\btwice\b/.test(words) && !isLost(words);
  const errors = arena.nodes.flatMap((name) =>
    arena.cluster
      .log(name)
      .filter(({ level }) => level === "error")
      .slice(-10)
      .map(
        ({ at, message, fields }) =>
          `${new Date(at).toISOString()}  ${name}: ${message} ${JSON.stringify(fields)}`,
      ),
  );
  return {
    settings,
    done: run.done,
    rows: recoveries(run.done, {
      history: evidence.history,
      toldAt: arena.receiver.accepted.map(({ at }) => at),
    }),
    lost: all.filter(isLost),
    twice: all.filter(isTwice),
    stuck: [...all.filter(isStuck), ...unfinished(evidence)],
    wrong: all.filter((words) => !isLost(words) && !isTwice(words) && !isStuck(words)),
    timeline: run.timeline,
    errors,
    files: evidence.accepted.length,
    told: arena.receiver.accepted.length,
    lookUps: arena.exposures.lookUps.length,
    seconds: tookMs / 1_000,
    restedMs: run.restedMs,
    disk: arena.cluster.server.disk !== null,
  };
}
