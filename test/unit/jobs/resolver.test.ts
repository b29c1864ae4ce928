import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { CatalogueJob } from "../../../src/jobs/catalogue.ts";
import type { Decision, Fact, Start, Status } from "../../../src/jobs/fact.ts";
import type { IndexedFile } from "../../../src/jobs/indexed.ts";
import { dayUs } from "../../../src/jobs/instant.ts";
import { allTime, slicesOver } from "../../../src/jobs/partitions.ts";
import { Resolver } from "../../../src/jobs/Resolver.ts";
import type { Happening } from "../../support/jobTales.ts";
import {
  dayCount,
  firstDay,
  happeningArb,
  otherJobs,
  repoints,
  taleJobs,
  taleKinds,
} from "../../support/jobTales.ts";
import { runFactOf } from "../../support/jobWorld.ts";

const wholeTale = { start: firstDay - 40 * dayUs, end: firstDay + (dayCount + 60) * dayUs };
const keyOf = ({ job, partition }: { readonly job: string; readonly partition: string }): string =>
  `${job}|${partition}`;

/** Facts that stand, by key: what a ledger would have. */
class Ledger {
  readonly facts = new Map<string, Fact>();

  write(fact: Fact): void {
    switch (fact.type) {
      case "file":
        this.facts.set(`file ${fact.file.name}`, fact);
        break;
      case "withdrawn":
        this.facts.delete(`file ${fact.name}`);
        break;
      case "table":
        this.facts.set(`table ${fact.name}`, fact);
        break;
      case "run":
        this.facts.set(`run ${keyOf(fact.run)} ${fact.run.hash}`, fact);
        break;
      case "hold":
        this.facts.set(`hold ${fact.job}|${fact.partition ?? ""}`, fact);
        break;
      case "again":
      case "never":
        this.facts.set(`again ${keyOf(fact)}`, fact);
        break;
      default:
        this.facts.set(fact.type, fact);
    }
  }
}

class Tale {
  readonly ledger = new Ledger();
  jobs = taleJobs;
  readonly resolver = new Resolver({ kinds: taleKinds, jobs: this.jobs, missionStart: firstDay });
  readonly #open = new Map<string, Start>();
  readonly #seen = new Map<string, Status>();
  #orders = 0;
  /** `job|partition|hash` of every run that began. */
  readonly began = new Set<string>();

  tell(fact: Fact): void {
    if (this.resolver.apply(fact) === "applied") this.ledger.write(fact);
  }

  live(happening: Happening): void {
    switch (happening.type) {
      case "file":
        this.tell({ type: "file", file: happening.file });
        break;
      case "withdraw": {
        const names = [...this.ledger.facts.values()].flatMap((fact) =>
          fact.type === "file" ? [fact.file.name] : [],
        );
        const name = names[happening.pick % Math.max(1, names.length)];
        if (name !== undefined) this.tell({ type: "withdrawn", name });
        break;
      }
      case "table":
        this.tell({
          type: "table",
          name: `t${happening.count}`,
          start: happening.count,
          version: { legacy: true, major: 1, minor: 0 },
          repoints: repoints(happening.count, happening.shift),
        });
        break;
      case "hours": {
        const now = Math.max(this.resolver.now, firstDay) + (happening.hours * dayUs) / 24;
        this.tell({ type: "clock", now });
        break;
      }
      case "run":
        this.#run(happening);
        break;
      case "decide":
        this.take(this.resolver.decide(happening.most));
        break;
      case "catalogue":
        this.jobs = happening.other ? otherJobs : taleJobs;
        this.tell({ type: "catalogue", jobs: this.jobs });
        break;
      default:
        this.#order(happening);
    }
  }

  #run({ pick, state }: Extract<Happening, { readonly type: "run" }>): void {
    const keys = [...this.#open.keys()];
    const key = keys[pick % Math.max(1, keys.length)] ?? "";
    const start = this.#open.get(key);
    if (start === undefined) return;
    if (state !== "ready" && state !== "running") this.#open.delete(key);
    if (state === "done") for (const file of productsOf(start)) this.tell({ type: "file", file });
    this.tell(runFactOf(start, state));
  }

  #order(happening: Extract<Happening, { readonly type: "hold" | "again" | "never" }>): void {
    const known = [...this.#seen.keys()];
    const [job = "", partition = ""] = (
      known[happening.pick % Math.max(1, known.length)] ?? "A|20260301"
    ).split("|");
    if (happening.type === "hold") {
      this.tell({ type: "hold", job, partition: happening.whole ? null : partition, held: happening.held });
    } else if (happening.type === "again") {
      this.tell({ type: "again", job, partition, id: `order${this.#orders++}`, now: happening.now });
    } else {
      const id = `order${this.#orders - 1}`;
      const standing = this.ledger.facts.get(`again ${job}|${partition}`);
      // Of another one it says nothing.
      if (standing?.type === "again" && standing.id === id) this.tell({ type: "never", job, partition, id });
    }
  }

  take({ changed, starts }: Decision): void {
    for (const change of changed) this.#seen.set(keyOf(change), change.status);
    for (const start of starts) {
      // What was begun once is never begun again.
      expect(this.ledger.facts.has(`run ${keyOf(start)} ${start.hash}`)).toBe(false);
      this.#open.set(`${keyOf(start)}|${start.hash}`, start);
      this.began.add(`${keyOf(start)}|${start.hash}`);
    }
  }

  finish(): void {
    this.take(this.resolver.decide());
    expect(this.resolver.left).toBe(0);
  }

  /** What was told of each partition, less those of which the last word is that they are none. */
  get told(): Readonly<Record<string, Status>> {
    return ofSome(this.#seen);
  }
}

const productsOf = (start: Start): ReadonlyArray<IndexedFile> =>
  start.definition.outputs.map(({ dataset, kind }) => ({
    name: `${dataset}_${start.partition}_m${start.minor}`,
    content: start.hash,
    kind,
    dataset,
    range: start.pointing === null ? start.range : null,
    pointing: start.pointing,
    version: { legacy: false, major: 1, minor: start.minor },
  }));

const ofSome = (all: ReadonlyMap<string, Status>): Readonly<Record<string, Status>> =>
  Object.fromEntries(
    [...all].filter(([, status]) => status.state !== "none").toSorted(([a], [b]) => (a < b ? -1 : 1)),
  );

/** From nothing, every partition that there could be is looked at, with all that stands told in another order. */
function fromScratch(
  jobs: ReadonlyArray<CatalogueJob>,
  facts: ReadonlyArray<Fact>,
): ReadonlyMap<string, Status> {
  const resolver = new Resolver({ kinds: taleKinds, jobs, missionStart: firstDay });
  for (const fact of facts) if (fact.type !== "catalogue") resolver.apply(fact);
  for (const job of jobs) {
    const schemeRange = job.partition.type === "open" ? allTime : wholeTale;
    for (const { name } of slicesOver(job.partition, schemeRange, resolver.index.calendar)) {
      const id = { job: job.name, partition: name, id: "look" };
      if (facts.some((fact) => fact.type === "again" && keyOf(fact) === keyOf(id))) continue;
      resolver.apply({ type: "again", now: false, ...id });
      resolver.apply({ type: "never", ...id });
    }
  }
  const all = new Map<string, Status>();
  for (const change of resolver.decide().changed) all.set(keyOf(change), change.status);
  return all;
}

const taleArb = fc.array(happeningArb, { minLength: 20, maxLength: 160, size: "max" });

describe("the resolver", () => {
  it("says after any tale what it would say from scratch, in whatever order the facts are told", () => {
    const states: Record<string, number> = {};
    fc.assert(
      fc.property(taleArb, fc.infiniteStream(fc.nat()), (happenings, random) => {
        const tale = new Tale();
        for (const happening of happenings) tale.live(happening);
        tale.finish();
        const facts = [...tale.ledger.facts.values()]
          .map((fact) => [random.next().value, fact] as const)
          .toSorted(([a], [b]) => a - b)
          .map(([, fact]) => fact);
        const scratch = ofSome(fromScratch(tale.jobs, facts));
        expect(tale.told).toEqual(scratch);
        for (const { state } of Object.values(scratch)) states[state] = (states[state] ?? 0) + 1;
      }),
      {
        numRuns: Number(process.env["ORRERY_TALES"] ?? 150),
        // Shrinking tells little more than a seed, and takes minutes.
        ...(process.env["ORRERY_SHRINK"] === undefined ? { endOnFailure: true } : {}),
      },
    );
    // A tale in which nothing comes about proves nothing.
    for (const state of ["blocked", "ready", "running", "done", "failed", "stale"]) {
      expect(states[state] ?? 0, `${state} in ${JSON.stringify(states)}`).toBeGreaterThan(5);
    }
  });
});
