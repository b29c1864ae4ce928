/** The resolver's core with a stand-in for everything around it: files by their names, runs that finish at once. */
import path from "node:path";
import { loadCatalogue } from "../../src/config/catalogue.ts";
import { blockedWords } from "../../src/jobs/blockedOn.ts";
import type { Repoint } from "../../src/jobs/calendar.ts";
import type { CatalogueJob } from "../../src/jobs/catalogue.ts";
import type { Applied, Fact, RunFact, Start, Status } from "../../src/jobs/fact.ts";
import type { IndexedFile } from "../../src/jobs/indexed.ts";
import type { Instant, Range } from "../../src/jobs/instant.ts";
import { parseInstant, secondUs } from "../../src/jobs/instant.ts";
import type { Recogniser } from "../../src/jobs/names.ts";
import { Resolver } from "../../src/jobs/Resolver.ts";

export const repository = path.resolve(import.meta.dirname, "../..");

export interface Mission {
  readonly jobs: ReadonlyMap<string, CatalogueJob>;
  readonly recogniser: Recogniser;
}

/** The catalogue that the project ships for the mission. */
export function loadMission(): Mission {
  const { catalogue, faults } = loadCatalogue(path.join(repository, "config/imap/catalogue.yaml"), {
    env: {},
  });
  if (catalogue === null) throw new Error(JSON.stringify(faults.slice(0, 5), null, 1));
  return catalogue;
}

export const at = (text: string): Instant => {
  const found = parseInstant(text);
  if (found === null) throw new Error(`${text} is no instant`);
  return found;
};

export const missionStart = at("2025-09-24");

export interface FileGiven {
  readonly n: string;
  readonly h?: string;
  readonly range?: readonly [string, string];
}

/** Null for a name that nothing is called. */
export function fileOf({ recogniser }: Mission, given: string | FileGiven): IndexedFile | null {
  const { n, h, range } = typeof given === "string" ? { n: given, h: undefined, range: undefined } : given;
  const found = recogniser.recognise(n);
  if (!found.ok) return null;
  const { kind, dataset, pointing, version } = found.file;
  const told: Range | null = range === undefined ? null : { start: at(range[0]), end: at(range[1]) };
  return {
    name: n,
    content: h ?? n,
    kind,
    dataset,
    range: pointing === null ? (told ?? found.file.range) : null,
    pointing,
    version,
  };
}

/** As {@link fileOf}, of a name that must be a good one. */
export function goodFile(mission: Mission, given: string | FileGiven): IndexedFile {
  const found = fileOf(mission, given);
  if (found === null) throw new Error(JSON.stringify(given));
  return found;
}

/** Jobs of the mission, which must be there. */
export const jobsOf = (
  { jobs }: Pick<Mission, "jobs">,
  ...names: ReadonlyArray<string>
): ReadonlyArray<CatalogueJob> =>
  names.map((name) => {
    const job = jobs.get(name);
    if (job === undefined) throw new Error(name);
    return job;
  });

/** Tells a world of files. */
export function arrive(world: JobWorld, ...given: ReadonlyArray<string | FileGiven>): void {
  for (const one of given) world.tell({ type: "file", file: goodFile(world.mission, one) });
}

/** What a run leaves behind. */
export function outputsOf({ recogniser }: Mission, start: Start): ReadonlyArray<IndexedFile> {
  return start.definition.outputs.map(({ dataset, kind, major }) => {
    const { range, pointing, minor } = start;
    const version = { legacy: false, major, minor };
    const named = recogniser.nameOf({ kind, dataset, range, pointing, version });
    if (!named.ok) throw new Error(`${dataset}: ${named.reason}`);
    const { name } = named.file;
    return {
      name,
      content: `${name} of ${start.hash}`,
      kind,
      dataset,
      range: pointing === null ? range : null,
      pointing,
      version: named.file.version,
    };
  });
}

export const runFactOf = (
  start: Start,
  state: RunFact["state"],
): Extract<Fact, { readonly type: "run" }> => ({
  type: "run",
  run: {
    job: start.job,
    partition: start.partition,
    hash: start.hash,
    state,
    minor: start.minor,
    inputs: start.inputs.map(({ file }) => ({
      dataset: file.dataset,
      name: file.name,
      content: file.content,
    })),
    incomplete: start.incomplete,
    at: start.at,
    again: start.again,
  },
});

/** Pointings one after the other, each after a manoeuvre of `gapMinutes`; the repoint after the last one is still going on. */
export function repointsFrom(
  first: number,
  start: Instant,
  count: number,
  lengthMinutes: number,
  gapMinutes: number,
): ReadonlyArray<Repoint> {
  const minuteUs = 60 * secondUs;
  return Array.from({ length: count + 1 }, (_, k) => {
    const end = start + k * (lengthMinutes + gapMinutes) * minuteUs;
    return { number: first + k, start: end - gapMinutes * minuteUs, end: k === count ? null : end };
  });
}

export class JobWorld {
  readonly mission: Mission;
  readonly resolver: Resolver;
  /** `job|partition` of runs that do not finish. */
  readonly running = new Set<string>();
  /** Every fact that was told, in its order. */
  readonly facts: Array<Fact> = [];

  constructor(mission: Mission, jobs: ReadonlyArray<CatalogueJob>) {
    this.mission = mission;
    this.resolver = new Resolver({ kinds: mission.recogniser.kinds, jobs, missionStart });
  }

  tell(fact: Fact): Applied {
    this.facts.push(fact);
    return this.resolver.apply(fact);
  }

  /** Decides, and lets every run that begins finish at once, until nothing is left. */
  settle(): ReadonlyArray<Start> {
    const all: Array<Start> = [];
    for (;;) {
      const { starts, left } = this.resolver.decide();
      for (const start of starts) {
        all.push(start);
        if (this.running.has(`${start.job}|${start.partition}`)) {
          this.tell(runFactOf(start, "running"));
          continue;
        }
        for (const file of outputsOf(this.mission, start)) this.tell({ type: "file", file });
        this.tell(runFactOf(start, "done"));
      }
      if (starts.length === 0 && left === 0) return all;
    }
  }

  status(job: string, partition: string): Status {
    return this.resolver.status({ job, partition });
  }

  words(job: string, partition: string): ReadonlyArray<string> {
    return this.status(job, partition).on.map(blockedWords);
  }
}
