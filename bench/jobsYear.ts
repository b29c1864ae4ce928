/**
 * A year of the IMAP mission as facts: every raw file, table and kernel of each day, and what its 289 jobs made of them with a
 * stand-in that always succeeds. Deterministic; nothing is read but the catalogue.
 */
import path from "node:path";
import { loadCatalogue } from "../src/config/catalogue.ts";
import type { JobCatalogue } from "../src/config/JobCatalogue.ts";
import type { Repoint } from "../src/jobs/calendar.ts";
import type { Decision, Fact, RunFact, Start } from "../src/jobs/fact.ts";
import type { IndexedFile } from "../src/jobs/indexed.ts";
import type { Instant, Range } from "../src/jobs/instant.ts";
import { dayOf, dayUs, formatInstant, parseInstant, secondUs } from "../src/jobs/instant.ts";
import { Resolver } from "../src/jobs/Resolver.ts";

export const yearStart: Instant = parseInstant("2026-01-01") ?? 0;
export const yearDays = 365;
const yearEnd = yearStart + yearDays * dayUs;
/** Well past the last window's deadline. */
export const afterwards = yearEnd + 60 * dayUs;
const firstPointing = 100;

const timeless = [
  "naif0012.tls",
  "imap_sclk_0183.tsc",
  "de440.bsp",
  "pck00011.tpc",
  "imap_130.tf",
  "imap_science_0001.tf",
  "imap_2026_365_01.repoint.csv",
  "imap_recon_20251201_20270228_v01.bsp",
  "imap_pred_od025_20251201_20270301_v01.bsp",
  "imap_dps_2025_300_2027_050_01.ah.bc",
];

export interface Year {
  readonly catalogue: JobCatalogue;
  readonly facts: ReadonlyArray<Fact>;
  /** Evaluations and time that deciding all of it took, from nothing. */
  readonly evaluated: number;
  readonly madeMs: number;
}

export function loadMission(): JobCatalogue {
  const file = path.resolve(import.meta.dirname, "../config/imap/catalogue.yaml");
  const { catalogue, faults } = loadCatalogue(file, { env: {} });
  if (catalogue === null) throw new Error(faults[0]?.message ?? "no catalogue");
  return catalogue;
}

export const emptyResolver = (catalogue: JobCatalogue): Resolver =>
  new Resolver({
    kinds: catalogue.recogniser.kinds,
    jobs: [...catalogue.jobs.values()],
    missionStart: yearStart,
  });

function named(catalogue: JobCatalogue, name: string, range: Range | null = null): Fact {
  const found = catalogue.recogniser.recognise(name);
  if (!found.ok) throw new Error(`${name}: ${found.reason}`);
  const { kind, dataset, pointing, version } = found.file;
  return {
    type: "file",
    file: {
      name,
      content: `e-${name}`,
      kind,
      dataset,
      range: pointing === null ? (range ?? found.file.range) : null,
      pointing,
      version,
    },
  };
}

const yearDay = (day: number): string => `2026_${String(day + 1).padStart(3, "0")}`;
const dayText = (day: number): string => dayOf(yearStart + day * dayUs);

/** What comes from outside in a year. */
export function* arrivals(catalogue: JobCatalogue): Generator<Fact> {
  const repoints: ReadonlyArray<Repoint> = Array.from({ length: yearDays + 2 }, (_, k) => {
    const end = yearStart + (k - 1) * dayUs + 36_180 * secondUs;
    return { number: firstPointing + k, start: end - 180 * secondUs, end: k === yearDays + 1 ? null : end };
  });
  yield {
    type: "table",
    name: "table",
    start: yearStart,
    version: { legacy: true, major: 1, minor: 0 },
    repoints,
  };
  yield { type: "clock", now: afterwards };
  for (const name of timeless) {
    yield named(catalogue, name);
  }
  // The attitude's history grows by a day a day.
  for (let day = 1; day < yearDays; day++) yield named(catalogue, `imap_2025_330_${yearDay(day)}_01.ah.bc`);
  yield named(catalogue, "imap_2025_330_2027_050_01.ah.bc");
  const jobs = [...catalogue.jobs.values()];
  const outside = new Map(
    jobs.flatMap((job) =>
      job.inputs.flatMap((input) =>
        catalogue.producerOf.has(input.dataset) ? [] : [[input.dataset, { input, job }] as const],
      ),
    ),
  );
  for (const [dataset, { input, job }] of outside) {
    const [source = "", level = "", descriptor = ""] = dataset.split("/");
    if (input.kind === "ancillary") yield named(catalogue, `imap_${source}_${descriptor}_20250101_v001.csv`);
    if (input.kind !== "science") continue;
    const isPointing = job.partition.type === "pointing";
    for (let day = 0; day < yearDays; day++) {
      const repoint = isPointing ? `-repoint${String(firstPointing + 1 + day).padStart(5, "0")}` : "";
      const extension = level === "l0" ? "pkts" : "cdf";
      yield named(
        catalogue,
        `imap_${source}_${level}_${descriptor}_${dayText(day)}${repoint}_v001.${extension}`,
      );
    }
  }
  for (let day = -1; day <= yearDays; day++) {
    const start = yearStart + day * dayUs;
    const name = `imap_${yearDayAt(start)}_${yearDayAt(start)}_01.spin.csv`;
    yield named(catalogue, name);
  }
}

function yearDayAt(at: Instant): string {
  const year = formatInstant(at).slice(0, 4);
  const first = parseInstant(`${year}-01-01`) ?? 0;
  return `${year}_${String(Math.floor((at - first) / dayUs) + 1).padStart(3, "0")}`;
}

/** @param content tells one making of it from another */
export function outputs(catalogue: JobCatalogue, start: Start): ReadonlyArray<IndexedFile> {
  return start.definition.outputs.map(({ dataset, kind, major }) => {
    const { range, pointing, minor } = start;
    const version = { legacy: false, major, minor };
    const found = catalogue.recogniser.nameOf({ kind, dataset, range, pointing, version });
    if (!found.ok) throw new Error(`${dataset}: ${found.reason}`);
    const { name } = found.file;
    return {
      name,
      content: `e-${start.hash}`,
      kind,
      dataset,
      range: pointing === null ? range : null,
      pointing,
      version: found.file.version,
    };
  });
}

export const runOf = (start: Start, state: RunFact["state"]): Fact => ({
  type: "run",
  run: {
    job: start.job,
    partition: start.partition,
    hash: start.hash,
    state,
    minor: start.minor,
    inputs: start.inputs.map(({ dataset, file: { name, content } }) => ({ dataset, name, content })),
    incomplete: start.incomplete,
    at: start.at,
    again: start.again,
  },
});

/** Decides, and lets every run succeed at once, until nothing is left. @returns evaluations */
export function settle(resolver: Resolver, catalogue: JobCatalogue, wrote: (fact: Fact) => void): number {
  let evaluated = 0;
  for (;;) {
    const decision: Decision = resolver.decide();
    evaluated += decision.evaluated;
    for (const start of decision.starts) {
      for (const file of outputs(catalogue, start)) {
        const fact: Fact = { type: "file", file };
        resolver.apply(fact);
        wrote(fact);
      }
      const fact = runOf(start, "done");
      resolver.apply(fact);
      wrote(fact);
    }
    if (decision.starts.length === 0 && decision.left === 0) return evaluated;
  }
}

export function makeYear(): Year {
  const catalogue = loadMission();
  const facts: Array<Fact> = [];
  const resolver = emptyResolver(catalogue);
  const begun = performance.now();
  for (const fact of arrivals(catalogue)) {
    facts.push(fact);
    resolver.apply(fact);
  }
  const evaluated = settle(resolver, catalogue, (fact) => void facts.push(fact));
  return { catalogue, facts, evaluated, madeMs: performance.now() - begun };
}
