/** Some days of a mission as files, and what the resolver makes of them: without a server, a job's products come as soon as it may run. */
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { outputsOf } from "../../../src/actors/catalogueRuns.ts";
import { loadCatalogue } from "../../../src/config/catalogue.ts";
import type { JobCatalogue } from "../../../src/config/JobCatalogue.ts";
import { pointingOfDay } from "../../../src/demo/missionContent.ts";
import { catalogueFor } from "../../../src/demo/missionStage.ts";
import type { SampleFile } from "../../../src/demo/missionSample.ts";
import { missionSample, sampleStages } from "../../../src/demo/missionSample.ts";
import { parseRepointTable } from "../../../src/jobs/calendar.ts";
import type { Start } from "../../../src/jobs/fact.ts";
import type { IndexedFile } from "../../../src/jobs/indexed.ts";
import { readRange } from "../../../src/jobs/indexed.ts";
import { dayUs, parseInstant } from "../../../src/jobs/instant.ts";
import { Resolver } from "../../../src/jobs/Resolver.ts";

const root = join(import.meta.dirname, "..", "..", "..");
const at = (text: string): number => parseInstant(text) ?? Number.NaN;
const days = [at("2026-11-18"), at("2026-11-19"), at("2026-11-20")];
const now = at("2026-11-21T12:00:00");

let catalogue: JobCatalogue;
beforeAll(() => {
  const loaded = loadCatalogue(join(root, "config/imap/catalogue.yaml")).catalogue;
  if (loaded === null) throw new Error("the catalogue has errors");
  catalogue = loaded;
});

function indexed({ name, content, range }: Pick<SampleFile, "name" | "content" | "range">): IndexedFile {
  const found = catalogue.recogniser.recognise(name);
  if (!found.ok) throw new Error(`${name}: ${found.reason}`);
  const given = range === null ? found.file.range : readRange(range);
  if (typeof given === "string") throw new Error(given);
  const { kind, dataset, pointing, version } = found.file;
  return { name, content, kind, dataset, pointing, version, range: given };
}

/** What the runs of a whole play are, and how each job stands with each partition in the end. */
class Played {
  readonly core: Resolver;
  readonly starts: Array<Start> = [];
  readonly states = new Map<string, string>();
  readonly waitsFor = new Map<string, ReadonlyArray<string>>();

  constructor() {
    this.core = new Resolver({
      kinds: catalogue.recogniser.kinds,
      jobs: [...catalogue.jobs.values()],
      missionStart: days[0] ?? 0,
    });
    this.core.apply({ type: "clock", now });
  }

  take(files: ReadonlyArray<SampleFile>): void {
    for (const sample of files) {
      const file = indexed(sample);
      this.core.apply({ type: "file", file });
      if (sample.kind !== "repoint") continue;
      const table = parseRepointTable(sample.content);
      if (!table.ok) throw new Error(JSON.stringify(table.faults));
      const { name, version, range } = file;
      this.core.apply({ type: "table", name, version, start: range?.start ?? 0, repoints: table.repoints });
    }
    this.#untilQuiet();
  }

  #untilQuiet(): void {
    for (;;) {
      const { changed, starts, left } = this.core.decide();
      for (const { job, partition, status } of changed) {
        this.states.set(`${job} ${partition}`, status.state);
        this.waitsFor.set(
          `${job} ${partition}`,
          status.on.map((on) => `${on.type} ${"dataset" in on ? on.dataset : ""}`),
        );
      }
      for (const start of starts) this.#run(start);
      if (left === 0 && starts.length === 0) return;
    }
  }

  #run(start: Start): void {
    this.starts.push(start);
    const outputs = outputsOf(start, catalogue, { bucket: "imap", key: "{name}" });
    if ("reason" in outputs) throw new Error(`${start.job}: ${outputs.reason}`);
    const isOpen = start.definition.partition.type === "open";
    for (const { name } of outputs) {
      const file = indexed({ name, content: start.hash, range: null });
      // As a run gives it: its partition's range, unless a pointing or nothing is its time key.
      const range = isOpen || file.pointing !== null ? file.range : start.range;
      this.core.apply({ type: "file", file: { ...file, range, pointing: start.pointing ?? file.pointing } });
    }
    this.core.apply({
      type: "run",
      run: {
        job: start.job,
        partition: start.partition,
        hash: start.hash,
        state: "done",
        minor: start.minor,
        inputs: start.inputs.map(({ dataset, file }) => ({
          dataset,
          name: file.name,
          content: file.content,
        })),
        incomplete: start.incomplete,
        at: start.at,
        again: start.again,
      },
    });
  }

  play(sample: ReadonlyArray<SampleFile>): void {
    for (const stage of sampleStages) {
      this.take(sample.filter((file) => file.stage === stage && file.heldBack === null));
    }
  }

  readonly open = (): ReadonlyArray<string> =>
    [...this.states].filter(([, state]) => state !== "done" && state !== "none").map(([name]) => name);
}

describe("some days of a mission", () => {
  it("hold everything that the catalogue's jobs take and none of them makes, under names that are recognised", () => {
    const sample = missionSample(catalogue, days);
    const outside = new Set(
      [...catalogue.jobs.values()].flatMap((job) =>
        job.inputs.map(({ dataset }) => dataset).filter((dataset) => !catalogue.producerOf.has(dataset)),
      ),
    );
    expect(new Set(sample.map(({ dataset }) => dataset))).toEqual(outside);
    for (const file of sample)
      expect(indexed(file)).toMatchObject({ dataset: file.dataset, kind: file.kind });
    expect(new Set(sample.map(({ name }) => name)).size).toBe(sample.length);
    expect(sample.filter(({ stage }) => stage === "raw packets")).toHaveLength(11 * days.length);
  });

  it("are the same files whenever they are made, and a few instruments need fewer", () => {
    const magOnly = catalogueFor(catalogue, ["mag"]);
    const sample = missionSample(magOnly, days);
    expect(missionSample(magOnly, days)).toEqual(sample);
    const raw = sample.filter(({ stage }) => stage === "raw packets").map(({ dataset }) => dataset);
    expect(new Set(raw)).toEqual(new Set(["mag/l0/raw"]));
    expect(sample.some(({ kind }) => kind === "attitude_history")).toBe(true);
  });

  it("have a table in which each day has one pointing, closed, within it", () => {
    const table = missionSample(catalogue, days).find(({ kind }) => kind === "repoint");
    const played = new Played();
    played.take(table === undefined ? [] : [table]);
    const { pointings } = played.core.index.calendar;
    expect(pointings.map(({ number }) => number)).toEqual(days.map(pointingOfDay));
    pointings.forEach(({ range }, i) => {
      const day = days[i] ?? 0;
      expect(range.start > day && range.end < day + dayUs).toBe(true);
    });
  });

  it("run through all levels but for what is held back, and through the rest when that comes", () => {
    const sample = missionSample(catalogue, days);
    const held = sample.filter(({ heldBack }) => heldBack !== null);
    expect(held.map(({ kind }) => kind).toSorted()).toEqual(["ancillary", "ancillary", "spin"]);
    const played = new Played();
    played.play(sample);
    // No job twice for the same partition: whatever it takes is there when it begins.
    const runs = played.starts.map(({ job, partition }) => `${job} ${partition}`);
    expect(runs.filter((run, i) => runs.indexOf(run) !== i)).toEqual([]);
    const levels = new Set(
      played.starts.flatMap(({ definition }) => definition.outputs.map((o) => o.dataset.split("/")[1])),
    );
    for (const level of ["l1a", "l1b", "l1c", "l2", "l3", "l3a"]) expect(levels).toContain(level);

    const lacks = new Set(held.map(({ dataset }) => dataset));
    const isTimed = (words: string): boolean =>
      /^(?:windowOpen|windowShare|schedule|neighbours) /.test(words);
    const wanting = played.open().filter((name) => !(played.waitsFor.get(name) ?? []).some(isTimed));
    const named = wanting.flatMap((name) => played.waitsFor.get(name) ?? []);
    for (const dataset of lacks)
      expect(
        named.some((words) => words.endsWith(` ${dataset}`)),
        dataset,
      ).toBe(true);

    played.take(held.map((file) => ({ ...file, heldBack: null })));
    const left = played.open().filter((name) => !(played.waitsFor.get(name) ?? []).some(isTimed));
    expect(left.filter((name) => /^(?:mag|swe|swapi|codice)\//.test(name))).toEqual([]);
  });
});
