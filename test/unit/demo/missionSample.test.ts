/** Some days of a mission as files, and what the resolver makes of them: without a server, a job's products come as soon as it may run. */
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { jobRecordOf, outputsOf, partitionOf } from "../../../src/actors/catalogueRuns.ts";
import { loadCatalogue } from "../../../src/config/catalogue.ts";
import type { JobCatalogue } from "../../../src/config/JobCatalogue.ts";
import { openPartitions } from "../../../src/demo/missionCauses.ts";
import { pointingOfDay } from "../../../src/demo/missionContent.ts";
import { catalogueFor } from "../../../src/demo/missionParts.ts";
import type { SampleFile } from "../../../src/demo/missionSample.ts";
import { missionSample, sampleStages } from "../../../src/demo/missionSample.ts";
import { parseRepointTable } from "../../../src/jobs/calendar.ts";
import type { Start } from "../../../src/jobs/fact.ts";
import type { IndexedFile } from "../../../src/jobs/indexed.ts";
import { readRange } from "../../../src/jobs/indexed.ts";
import { dayUs, parseInstant } from "../../../src/jobs/instant.ts";
import { Resolver } from "../../../src/jobs/Resolver.ts";
import type { JobRecord } from "../../../src/protocol/jobs.ts";

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
  readonly records = new Map<string, JobRecord>();

  constructor(start = days[0] ?? 0, at = now) {
    this.core = new Resolver({
      kinds: catalogue.recogniser.kinds,
      jobs: [...catalogue.jobs.values()],
      missionStart: start,
    });
    this.core.apply({ type: "clock", now: at });
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
        const definition = catalogue.jobs.get(job);
        const of =
          definition === undefined ? null : partitionOf(definition, partition, this.core.index.calendar);
        if (definition === undefined || of === null) throw new Error(`${job} ${partition} is none`);
        this.records.set(`${job} ${partition}`, jobRecordOf(definition, of, status, null, 0));
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

  /** What from outside is missing in the end, for whatever is open. Throws for what is open and should not be. */
  lacks(since: number): ReadonlySet<string> {
    const jobs = [...this.records.values()];
    const causes = openPartitions(catalogue, jobs, since).flatMap((one) => one.causes);
    const faults = causes.filter(({ type }) => type === "fault");
    if (faults.length > 0) throw new Error(faults.map(({ words }) => words).join("\n"));
    return new Set(
      causes.flatMap(({ type, dataset }) => (type === "file" && dataset !== null ? [dataset] : [])),
    );
  }
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
    const raw = sample.filter(({ stage }) => stage === "raw packets");
    expect(raw).toHaveLength(11 * days.length);
    const ofPointings = raw.filter(({ name }) => /-repoint\d{5}_/.test(name));
    expect(new Set(ofPointings.map(({ dataset }) => dataset))).toEqual(
      new Set(["glows/l0/raw", "hi/l0/raw", "lo/l0/raw", "ultra/l0/raw"]),
    );
  });

  it("come as they are needed: kernels, then the table that the first run waits for, then packets", () => {
    const sample = missionSample(catalogue, days);
    const stageOf = (kind: string): ReadonlyArray<string> => [
      ...new Set(sample.filter((file) => file.kind === kind).map(({ stage }) => stage)),
    ];
    expect(stageOf("repoint")).toEqual([sampleStages[1]]);
    expect(stageOf("science")).toEqual([sampleStages[2]]);
    for (const kind of ["attitude_history", "spin", "ancillary", "leapseconds"]) {
      expect(stageOf(kind)).toEqual([sampleStages[0]]);
    }
    expect(sample.filter(({ kind }) => kind === "attitude_history")).toHaveLength(days.length);
  });

  it("are the same files whenever they are made, and a few instruments need fewer", () => {
    const magOnly = catalogueFor(catalogue, ["mag"]);
    const sample = missionSample(magOnly, days);
    expect(missionSample(magOnly, days)).toEqual(sample);
    const raw = sample.filter(({ stage }) => stage === "raw packets").map(({ dataset }) => dataset);
    expect(new Set(raw)).toEqual(new Set(["mag/l0/raw"]));
    expect([...magOnly.jobs.keys()].filter((name) => !name.startsWith("mag/"))).toEqual([
      "spacecraft/l1a/pointing-attitude",
    ]);
    expect(magOnly.producerOf.has("swe/l1a/sci")).toBe(false);
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

  it.each([
    ["at noon", "2026-11-18", 12],
    ["just after midnight, before anything that runs by the clock", "2026-11-18", 0.01],
    ["over a new year", "2026-12-30", 12],
    ["over the end of quarters", "2027-01-15", 12],
  ])(
    "run through all levels but for what is held back, and through the rest when that comes: %s",
    (_, first, hour) => {
      const played3 = [0, 1, 2].map((day) => at(first) + day * dayUs);
      const sample = missionSample(catalogue, played3);
      const held = sample.filter(({ heldBack }) => heldBack !== null);
      expect(held.map(({ kind }) => kind).toSorted()).toEqual(["ancillary", "ancillary", "spin"]);
      const played = new Played(played3[0], at(first) + (3 + hour / 24) * dayUs);
      played.play(sample);
      // No job twice for the same partition: whatever it takes is there when it begins.
      const runs = played.starts.map(({ job, partition }) => `${job} ${partition}`);
      expect(runs.filter((run, i) => runs.indexOf(run) !== i)).toEqual([]);
      const levels = new Set(
        played.starts.flatMap(({ definition }) => definition.outputs.map((o) => o.dataset.split("/")[1])),
      );
      for (const level of ["l1a", "l1b", "l1c", "l2", "l3", "l3a"]) expect(levels).toContain(level);
      expect(played.lacks(at(first))).toEqual(new Set(held.map(({ dataset }) => dataset)));

      played.take(held.map((file) => ({ ...file, heldBack: null })));
      expect(played.lacks(at(first))).toEqual(new Set());
    },
  );
});
