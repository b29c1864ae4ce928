/** What operators are told of files: which is to come next, which grow old, what one is made of and was made of. */
import { describe, expect, it } from "vitest";
import { expectedAnswer } from "../../../src/actors/causeAnswers.ts";
import type { Known } from "../../../src/actors/answering.ts";
import { AgeAlarm } from "../../../src/actors/ageAlarm.ts";
import { lineageAnswer } from "../../../src/actors/lineageAnswer.ts";
import { listAnswer } from "../../../src/actors/fileAnswers.ts";
import { whose } from "../../../src/cli/expected.ts";
import { fileAges, isAged } from "../../../src/jobs/ageing.ts";
import { arrivalPattern, everyWords } from "../../../src/jobs/arrivals.ts";
import type { CatalogueJob } from "../../../src/jobs/catalogue.ts";
import type { DatasetFiles } from "../../../src/jobs/FileIndex.ts";
import type { IndexedFile } from "../../../src/jobs/indexed.ts";
import { dayUs, formatInstant } from "../../../src/jobs/instant.ts";
import type { Lineage } from "../../../src/jobs/lineage.ts";
import { lineage } from "../../../src/jobs/lineage.ts";
import { needsOf } from "../../../src/jobs/needs.ts";
import { sliceNamed } from "../../../src/jobs/partitions.ts";
import { firstRootOf, rootsOf, why } from "../../../src/jobs/why.ts";
import { messageBytesMax } from "../../../src/limits.ts";
import type { FileGiven } from "../../support/jobWorld.ts";
import {
  arrive,
  at,
  fileOf,
  goodFile,
  jobsOf as jobsIn,
  JobWorld,
  loadMission,
} from "../../support/jobWorld.ts";

const mission = loadMission();
const jobsOf = (...names: ReadonlyArray<string>): ReadonlyArray<CatalogueJob> => jobsIn(mission, ...names);
const file = (given: string | FileGiven): IndexedFile => goodFile(mission, given);

const swe = ["swe/l1a/all", "swe/l1b/sci", "swe/l2/sci"];
const tables = [
  "naif0012.tls",
  "imap_sclk_0183.tsc",
  "imap_swe_l1b-in-flight-cal_20250101_v001.csv",
  "imap_swe_esa-lut_20250101_v001.csv",
  "imap_swe_eu-conversion_20250101_v001.csv",
];
const raw = (day: string): string => `imap_swe_l0_raw_${day}_v001.pkts`;
const spin = (day: number): string => {
  const of = `2026_${String(day).padStart(3, "0")}`;
  return `imap_${of}_${of}_01.spin.csv`;
};
const spins = "spin/spin/historical";

function world(...given: ReadonlyArray<string | FileGiven>): JobWorld {
  const made = new JobWorld(mission, jobsOf(...swe));
  arrive(made, ...given);
  made.settle();
  return made;
}

const filesOf = ({ resolver }: JobWorld, dataset: string, kind: string): DatasetFiles => {
  const files = resolver.index.dataset(dataset, kind);
  if (files === null) throw new Error(dataset);
  return files;
};

describe("what is to come next", () => {
  const pattern = (days: ReadonlyArray<number>, from: string) => {
    const { newest, next, every } = arrivalPattern(
      filesOf(world(...days.map(spin)), spins, "spin"),
      at(from),
    );
    return [
      newest?.name ?? null,
      next === null ? null : formatInstant(next),
      every === null ? null : everyWords(every),
    ];
  };

  it("is told by those before the gap: the last, how often, and when the next is due", () => {
    expect(pattern([66, 67, 68, 69], "2026-03-10T12:00:00")).toEqual([
      spin(69),
      "2026-03-11T00:00:00",
      "daily",
    ]);
    // Of days 67 and 68 nothing came: it is the middle of the distances that counts.
    expect(pattern([60, 61, 62, 63, 66], "2026-03-08")[2]).toBe("daily");
    expect(pattern([60, 67, 74], "2026-03-16")).toEqual([spin(74), "2026-03-22T00:00:00", "weekly"]);
  });

  it("is not told where two files are all that came, or the next is here", () => {
    expect(pattern([68, 69], "2026-03-10T12:00:00")).toEqual([spin(69), null, null]);
    expect(pattern([67, 68, 69, 70], "2026-03-10T12:00:00")).toEqual([spin(69), null, "daily"]);
    expect(pattern([71, 72, 73], "2026-03-10T12:00:00")).toEqual([null, null, null]);
  });

  it("of kernels that grow begins where the last one ends; calibrations come when they come", () => {
    const grown = world(...[67, 68, 69].map((day) => `imap_2026_060_2026_0${day}_01.ah.bc`));
    const history = "attitude_history/spice/historical";
    const { next, every } = arrivalPattern(filesOf(grown, history, "attitude_history"), at("2026-03-11"));
    expect([formatInstant(next ?? 0), everyWords(every ?? 0)]).toEqual(["2026-03-11T00:00:00", "daily"]);
    const lut = filesOf(world(...tables), "swe/ancillary/esa-lut", "ancillary");
    expect(arrivalPattern(lut, at("2026-03-11"))).toMatchObject({
      newest: { name: tables[3] },
      next: null,
      every: null,
    });
    expect([6 * dayUs, 30 * dayUs, dayUs / 4].map(everyWords)).toEqual([
      "every 6 days",
      "monthly",
      "every 6 h",
    ]);
  });
});

describe("files that grow old", () => {
  const agesMax = new Map([
    ["spin", 7 * dayUs],
    ["spacecraft_clock", 7 * dayUs],
  ]);
  const came = (name: string) => (name === "imap_sclk_0183.tsc" ? at("2026-03-12") : null);
  const ages = (now: string) => {
    const of = world(...tables, spin(68), spin(69));
    of.tell({ type: "clock", now: at(now) });
    return fileAges(of.resolver, agesMax, came);
  };

  it("are old by where the newest ends, or, for all time, by when it came", () => {
    expect(ages("2026-03-18")).toMatchObject([
      { kind: "spin", newest: spin(69), of: "end", age: 7 * dayUs, ageMax: 7 * dayUs },
      { kind: "spacecraft_clock", newest: "imap_sclk_0183.tsc", of: "arrival", age: 6 * dayUs },
    ]);
    expect(ages("2026-03-18").map(isAged)).toEqual([false, false]);
    expect(ages("2026-03-18T00:01:00").map(isAged)).toEqual([true, false]);
    // Leap seconds are as old as they like, and of what never came nobody knows.
    expect(ages("2027-03-18").map((one) => one.kind)).toEqual(["spin", "spacecraft_clock"]);
  });

  it("are said once, again each day, and when they are fresh again", () => {
    const of = world(...tables, spin(69));
    const said: Array<string> = [];
    const gauges: Array<string> = [];
    const node = {
      log: (level: string, _: string, fields?: Record<string, unknown>) =>
        void said.push(`${level} ${String(fields?.["kind"])}`),
      counters: {
        fileAge: (dataset: string, days: number, aged: boolean) =>
          void gauges.push(`${dataset} ${days} ${aged}`),
      },
    };
    const known = knownOf(of, new Map([["spin", 7 * 86_400_000]]));
    const alarm = new AgeAlarm();
    const look = (now: string): ReadonlyArray<string> => {
      of.tell({ type: "clock", now: at(now) });
      said.length = 0;
      alarm.look(known, node as never);
      return [...said];
    };
    expect(look("2026-03-17")).toEqual([]);
    expect(look("2026-03-19")).toEqual(["error spin"]);
    expect(look("2026-03-19T06:00:00")).toEqual([]);
    expect(look("2026-03-20T00:00:01")).toEqual(["error spin"]);
    arrive(of, spin(77));
    expect(look("2026-03-20T01:00:00")).toEqual(["info spin"]);
    expect(look("2026-03-20T02:00:00")).toEqual([]);
    expect(gauges.filter((one) => one.endsWith("true"))).toHaveLength(3);
    // Of the clock's beats one a minute is enough.
    const before = gauges.length;
    look("2026-03-20T02:00:30");
    expect(gauges).toHaveLength(before);
    expect(gauges.at(-1)).toMatch(/false$/);
  });
});

const knownOf = (of: JobWorld, ages: ReadonlyMap<string, number> = new Map()): Known => ({
  core: of.resolver,
  redos: { get: () => null },
  catalogue: { recogniser: mission.recogniser, teams: new Map(), ages },
  facts: { recordOf: (name) => `file.imap.-.${name}`, cameAt: () => null, placesOf: () => null },
});

describe("what a partition is made of", () => {
  const needs = (of: JobWorld, job: string, partition: string) => {
    const compiled = of.resolver.jobs.get(job);
    const slice =
      compiled === undefined
        ? null
        : sliceNamed(compiled.definition.partition, partition, of.resolver.index.calendar);
    if (compiled === undefined || slice === null || slice.range === null) throw new Error(partition);
    return needsOf(of.resolver, compiled, { ...slice, range: slice.range });
  };

  it("is told whether the partition is there or not, and asking makes none", () => {
    const of = world(...tables, raw("20260310"));
    expect(needs(of, "swe/l1b/sci", "20260310").complete).toBe(true);
    const none = needs(of, "swe/l1b/sci", "20260311");
    expect(none.complete).toBe(false);
    expect(none.inputs.flatMap(({ input, lack }) => (lack === null ? [] : [input.dataset]))).toEqual([
      "swe/l1a/sci",
    ]);
    expect(of.resolver.node({ job: "swe/l1b/sci", partition: "20260311" })).toBeUndefined();
  });

  it("is complete with one of the kinds of which one is enough, and never without a data product", () => {
    const name = "swe/l3/sci";
    const of = new JobWorld(mission, jobsOf(name));
    arrive(of, "imap_pred_od025_20251201_20270301_v01.bsp");
    const found = needs(of, name, "20260310");
    const ephemeris = found.inputs.filter(({ alternatives }) => alternatives === "ephemeris");
    expect(ephemeris.map(({ input, lack }) => [input.declared.kind, lack === null])).toEqual([
      ["ephemeris_reconstructed", false],
      ["ephemeris_predicted", true],
    ]);
    expect(found.complete).toBe(false);
    const [l3] = jobsOf(name);
    if (l3 === undefined) throw new Error(name);
    const inputs = l3.inputs.filter(({ kind }) => kind.startsWith("ephemeris_"));
    const either = new JobWorld(mission, [{ ...l3, inputs }]);
    expect(needs(either, name, "20260310").complete).toBe(false);
    arrive(either, "imap_pred_od025_20251201_20270301_v01.bsp");
    expect(needs(either, name, "20260310").complete).toBe(true);
    // All of its data products are optional.
    const optional = [...mission.jobs.values()].find(
      (job) =>
        job.partition.type === "day" &&
        job.inputs.some((input) => input.kind === "science") &&
        job.inputs.every((input) => input.kind !== "science" || !input.required),
    );
    if (optional === undefined) throw new Error("the mission has such a job");
    const slots = needs(new JobWorld(mission, [optional]), optional.name, "20260310").inputs;
    expect(slots.filter(({ input }) => input.isProduct).every((one) => !one.required)).toBe(true);
    const empty = new JobWorld(mission, [
      { ...optional, inputs: optional.inputs.filter((one) => !one.required) },
    ]);
    expect(needs(empty, optional.name, "20260310").complete).toBe(false);
  });
});

describe("lineage", () => {
  const bounds = { up: 6, down: 6, runsMax: 100, namedMax: 1_000 };
  const byName = (of: JobWorld) => (name: string) => of.resolver.index.known(name) ?? fileOf(mission, name);
  const around = (of: JobWorld, name: string, given: Partial<typeof bounds> = {}): Lineage =>
    lineage(of.resolver, file(name), { ...bounds, ...given }, byName(of));
  const jobs = ({ runs }: Lineage): ReadonlyArray<string> =>
    runs.map(({ node, run }) => `${node.job.name} ${node.name} v${run.minor}`);

  it("tells two versions of one product apart, and a file that is gone by what was recorded", () => {
    const of = world(...tables, raw("20260310"));
    arrive(of, "imap_swe_esa-lut_20250101_v002.csv");
    of.settle();
    const first = around(of, "imap_swe_l1b_sci_20260310_v001.0001.cdf");
    const second = around(of, "imap_swe_l1b_sci_20260310_v001.0002.cdf");
    expect(jobs(first)).toEqual(["swe/l1b/sci 20260310 v1", "swe/l1a/all 20260310 v1"]);
    expect(jobs(second)[0]).toBe("swe/l1b/sci 20260310 v2");
    expect(first.runs[0]?.inputs.map((input) => input.name)).toContain(tables[3]);
    expect(second.runs[0]?.inputs.map((input) => input.name)).not.toContain(tables[3]);
    expect(second.runs[0]?.outputs).toEqual(["imap_swe_l1b_sci_20260310_v001.0002.cdf"]);

    of.tell({ type: "withdrawn", name: tables[3] ?? "" });
    of.settle();
    const gone = around(of, tables[3] ?? "");
    expect(jobs(gone)).toEqual(["swe/l1b/sci 20260310 v1"]);
    expect(around(of, "imap_swe_l1b_sci_20260310_v001.0001.cdf").files.get(tables[3] ?? "")).toMatchObject({
      content: tables[3],
    });
    // A product that is gone is still known to have been made.
    of.tell({ type: "withdrawn", name: "imap_swe_l1b_sci_20260310_v001.0001.cdf" });
    expect(jobs(around(of, "imap_swe_l1b_sci_20260310_v001.0001.cdf"))[0]).toBe("swe/l1b/sci 20260310 v1");
  });

  it("says where it is cut: by depth, by runs, by names", () => {
    const days = Array.from({ length: 12 }, (_, i) => raw(`202603${10 + i}`));
    const of = world(...tables, ...days);
    expect(jobs(around(of, "naif0012.tls"))).toHaveLength(24);
    expect(around(of, "naif0012.tls").cut).toEqual({ up: false, down: false });
    const flat = around(of, days[0] ?? "", { down: 1 });
    expect([jobs(flat), flat.cut]).toEqual([["swe/l1a/all 20260310 v1"], { up: false, down: true }]);
    const few = around(of, "naif0012.tls", { runsMax: 5 });
    expect([few.runs.length, few.cut.down]).toEqual([5, true]);
    const up = around(of, "imap_swe_l1b_sci_20260310_v001.0001.cdf", { up: 1, down: 0 });
    expect([jobs(up), up.cut.up]).toEqual([["swe/l1b/sci 20260310 v1"], true]);
    const named = around(of, "naif0012.tls", { namedMax: 10 });
    expect(named.cut.down).toBe(true);
    expect(named.runs.length).toBeLessThan(6);
  });

  it("of a kernel that a job makes goes on to what that was made of", () => {
    const of = new JobWorld(mission, jobsOf("spacecraft/l1a/pointing-attitude"));
    of.tell({ type: "clock", now: at("2026-03-10T12:00:00") });
    const [job] = jobsOf("spacecraft/l1a/pointing-attitude");
    const required = job?.inputs.filter((input) => input.required).map((input) => input.kind) ?? [];
    expect(required).toContain("attitude_history");
    arrive(
      of,
      "naif0012.tls",
      "imap_sclk_0183.tsc",
      "imap_130.tf",
      "imap_science_0001.tf",
      "imap_2025_330_2026_060_01.ah.bc",
      "imap_2026_060_01.repoint.csv",
      "de440.bsp",
      "pck00011.tpc",
      "imap_recon_20251201_20270228_v01.bsp",
    );
    const [start] = of.settle();
    if (start === undefined) throw new Error(of.words("spacecraft/l1a/pointing-attitude", "all").join());
    const made = [...of.facts].findLast(
      (fact) => fact.type === "file" && fact.file.kind === "pointing_attitude",
    );
    const name = made?.type === "file" ? made.file.name : "";
    const found = around(of, name);
    expect(jobs(found)).toEqual(["spacecraft/l1a/pointing-attitude all v1"]);
    expect(found.madeBy.get(name)).toBe(0);
    expect(found.runs[0]?.inputs.map((input) => input.name)).toContain("imap_2025_330_2026_060_01.ah.bc");
  });
});

describe("answers", () => {
  it("of many days' lack of one thing are one group, with its stretches joined", () => {
    const of = world(...tables, ...["20260310", "20260311", "20260314"].map(raw));
    of.tell({ type: "clock", now: at("2026-04-01") });
    of.settle();
    const answer = expectedAnswer(knownOf(of), {});
    expect(answer.groups).toHaveLength(1);
    expect(answer.groups[0]).toMatchObject({
      late: true,
      partitions: 3,
      since: "2026-03-11T00:00:00",
      ranges: [
        { start: "2026-03-10T00:00:00", end: "2026-03-12T00:00:00" },
        { start: "2026-03-14T00:00:00", end: "2026-03-15T00:00:00" },
      ],
      root: { type: "arrival", what: "spin" },
    });
    expect(expectedAnswer(knownOf(of), { day: "20260314" }).partitions).toBe(1);
    // What waits for something that waits has the same root, also where that was met before.
    const chain = new JobWorld(mission, jobsOf("swe/l1a/all", "swe/l1b/sci", "swe/l2/sci", "swe/l3/sci"));
    arrive(chain, ...tables, raw("20260310"));
    chain.tell({ type: "clock", now: at("2026-04-01") });
    chain.settle();
    const [spinless] = expectedAnswer(knownOf(chain), {}).groups;
    expect(spinless?.missing.map((one) => one.job)).toEqual(["swe/l2/sci", "swe/l3/sci"]);
    // A partition whose day still goes on is not late.
    const early = world(...tables, raw("20260310"));
    early.tell({ type: "clock", now: at("2026-03-10T13:00:00") });
    early.settle();
    expect(expectedAnswer(knownOf(early), {}).groups.map((group) => group.late)).toEqual([false]);
  });

  it("of one cause name all teams that it holds up, together", () => {
    const names = ["swe/l1a/all", "mag/l1a/all"];
    const of = new JobWorld(
      mission,
      jobsOf(...names).map((job) => ({ ...job, team: job.instrument })),
    );
    const rawMag = (day: string): string => `imap_mag_l0_raw_${day}_v001.pkts`;
    arrive(of, "imap_sclk_0183.tsc", raw("20260310"), rawMag("20260310"), rawMag("20260311"));
    of.tell({ type: "clock", now: at("2026-04-01") });
    of.settle();
    const known = { ...knownOf(of) };
    const all = expectedAnswer(known, {});
    const teams = all.groups.map((group) => group.teams.map(({ team, partitions }) => [team, partitions]));
    expect(teams).toEqual([
      [
        ["mag", 2],
        ["swe", 1],
      ],
    ]);
    expect(all.groups[0]).toMatchObject({ team: null, partitions: 3, root: { what: "leapseconds" } });
    expect(whose(all.groups[0] ?? { teams: [] })).toMatch(/^mag \d+, swe \d+$/);
    const own = expectedAnswer(known, { team: "swe" });
    expect(own).toMatchObject({ partitions: 1, told: 1, groups: [{ team: "swe", partitions: 1 }] });
    expect(whose(own.groups[0] ?? { teams: [] })).toBe("swe");
  });

  it("fit into a message where there is very much to tell", () => {
    const days = Array.from({ length: 365 }, (_, i) => formatInstant(at("2026-01-01") + i * dayUs));
    const of = world(...tables, ...days.map((day) => raw(day.slice(0, 10).replaceAll("-", ""))));
    const known = knownOf(of);
    const sizes = [
      JSON.stringify(lineageAnswer(known, { name: "naif0012.tls", up: 32, down: 32 })),
      JSON.stringify(listAnswer(known, { limit: 1e6 })),
      JSON.stringify(expectedAnswer(known, { limit: 1e6 })),
    ].map((text) => text.length);
    for (const size of sizes) expect(size).toBeLessThan(messageBytesMax);
    expect(listAnswer(known, { limit: 1e6 }).partitions).toHaveLength(1_000);
  });

  it("of roots: the first alone is the first of all", () => {
    const of = world(...tables, raw("20260310"));
    for (const job of of.resolver.jobs.values()) {
      for (const node of job.nodes.values()) {
        const cause = why(of.resolver, { job: job.name, partition: node.name });
        if (cause === null) throw new Error(node.name);
        expect(firstRootOf(cause)).toEqual(rootsOf(cause)[0] ?? null);
      }
    }
  });
});
