import { describe, expect, it } from "vitest";
import type { CatalogueJob } from "../../../src/jobs/catalogue.ts";
import { expected } from "../../../src/jobs/expected.ts";
import type { IndexedFile } from "../../../src/jobs/indexed.ts";
import { dayRange } from "../../../src/jobs/instant.ts";
import { preview } from "../../../src/jobs/preview.ts";
import { planReprocess } from "../../../src/jobs/reprocess.ts";
import { rootsOf, why } from "../../../src/jobs/why.ts";
import type { FileGiven } from "../../support/jobWorld.ts";
import {
  arrive,
  at,
  goodFile,
  jobsOf as jobsIn,
  JobWorld,
  loadMission,
  repointsFrom,
  runFactOf,
} from "../../support/jobWorld.ts";

const mission = loadMission();
const jobsOf = (...names: ReadonlyArray<string>): ReadonlyArray<CatalogueJob> => jobsIn(mission, ...names);
const file = (given: string | FileGiven): IndexedFile => goodFile(mission, given);

const swe = ["swe/l1a/all", "swe/l1b/sci", "swe/l2/sci", "swe/l3/sci"];
const sweTables = [
  "naif0012.tls",
  "imap_sclk_0183.tsc",
  "imap_swe_l1b-in-flight-cal_20250101_v001.csv",
  "imap_swe_esa-lut_20250101_v001.csv",
  "imap_swe_eu-conversion_20250101_v001.csv",
];
const halfSpin: FileGiven = {
  n: "imap_2026_069_2026_069_01.spin.csv",
  range: ["2026-03-10T00:00:00", "2026-03-10T12:00:00"],
};

function sweWorld(...given: ReadonlyArray<string | FileGiven>): JobWorld {
  const world = new JobWorld(mission, jobsOf(...swe));
  arrive(world, ...sweTables, ...given);
  world.settle();
  return world;
}

const roots = (world: JobWorld, job: string, partition: string): ReadonlyArray<string> => {
  const cause = why(world.resolver, { job, partition });
  return cause === null ? [] : rootsOf(cause).map(({ type, words }) => `${type}: ${words}`);
};

describe("why", () => {
  it("names the hours that are missing of a spin file", () => {
    const world = sweWorld("imap_swe_l0_raw_20260310_v001.pkts", halfSpin);
    expect(world.words("swe/l2/sci", "20260310")).toEqual([
      "spin: gap 2026-03-10T12:00:00 to 2026-03-11T00:00:00",
    ]);
    expect(roots(world, "swe/l2/sci", "20260310")).toEqual([
      "arrival: spin/spin/historical has not arrived for 2026-03-10T12:00:00 to 2026-03-11T00:00:00",
    ]);
  });

  it("walks through what makes it to the raw file that has not arrived", () => {
    const world = sweWorld("imap_swe_l1b_sci_20260311_v001.0001.cdf", halfSpin);
    arrive(world, "imap_swapi_l3a_proton-sw_20260312_v001.0001.cdf");
    world.settle();
    expect(world.status("swe/l3/sci", "20260312").state).toBe("blocked");
    const found = roots(world, "swe/l3/sci", "20260312");
    expect(found).toContain("arrival: swe/l0/raw has not arrived for 2026-03-12");
  });

  it("ends at a run that failed", () => {
    const world = new JobWorld(mission, jobsOf(...swe));
    arrive(world, ...sweTables, "imap_swe_l0_raw_20260310_v001.pkts", halfSpin);
    const [start] = world.resolver.decide().starts;
    if (start === undefined) throw new Error("nothing began");
    world.tell(runFactOf(start, "failed"));
    arrive(world, "imap_swapi_l3a_proton-sw_20260310_v001.0001.cdf");
    world.settle();
    expect(world.status("swe/l1a/all", "20260310").state).toBe("failed");
    expect(roots(world, "swe/l3/sci", "20260310")).toContain("failed: swe/l1a/all 20260310 failed");
  });

  it("knows no job that is not in the catalogue, and of a partition that is not there no reason", () => {
    const world = sweWorld();
    expect(why(world.resolver, { job: "swe/l9/none", partition: "20260310" })).toBeNull();
    expect(why(world.resolver, { job: "swe/l1a/all", partition: "20260310" })).toMatchObject({
      status: { state: "none" },
      // Nothing of it has come; what would have to is told all the same.
      lacks: [{ root: { type: "arrival", dataset: "swe/l0/raw" } }],
    });
  });
});

describe("expected", () => {
  it("groups what is missing by its root, the oldest first", () => {
    const world = sweWorld(
      "imap_swe_l0_raw_20260311_v001.pkts",
      "imap_swe_l0_raw_20260310_v001.pkts",
      halfSpin,
    );
    const all = expected(world.resolver, null, 100);
    expect(all.groups[0]?.missing[0]).toMatchObject({
      job: "swe/l2/sci",
      partition: "20260310",
      state: "blocked",
    });
    expect(all.groups[0]?.root?.words).toContain("spin");
    expect(all.groups.map(({ since }) => since)).toEqual(
      all.groups.map(({ since }) => since).toSorted((a, b) => a - b),
    );
    const day = expected(world.resolver, dayRange(at("2026-03-11")), 100);
    expect(day.count).toBeGreaterThan(0);
    expect(
      day.groups.flatMap(({ missing }) => missing).every(({ partition }) => partition === "20260311"),
    ).toBe(true);
    expect(expected(world.resolver, null, 1)).toMatchObject({ isCut: true, count: all.count });
  });
});

describe("a preview", () => {
  const first = "imap_swe_esa-lut_20250101_v001.csv";
  const next = "imap_swe_esa-lut_20260311_v002.csv";
  const world = sweWorld("imap_swe_l0_raw_20260310_v001.pkts", "imap_swe_l0_raw_20260311_v001.pkts", {
    n: "imap_2026_069_2026_070_01.spin.csv",
  });

  it("says what a calibration would make stale, and takes nothing in", () => {
    const before = [...world.resolver.jobs.values()].flatMap((job) =>
      [...job.nodes.values()].map((n) => n.status),
    );
    const seen = preview(world.resolver, { added: [file(next)], withdrawn: [] }, 1_000);
    expect(seen.changes.map(({ job, partition, after }) => [job, partition, after.state])).toEqual([
      ["swe/l1b/sci", "20260311", "stale"],
    ]);
    expect(seen.downstream).toEqual([{ job: "swe/l2/sci", count: 1 }]);
    expect(world.resolver.index.known(next)).toBeUndefined();
    world.settle();
    const after = [...world.resolver.jobs.values()].flatMap((job) =>
      [...job.nodes.values()].map((n) => n.status),
    );
    expect(after).toEqual(before);
  });

  it("is what comes true when the file comes", () => {
    const other = sweWorld("imap_swe_l0_raw_20260310_v001.pkts", "imap_swe_l0_raw_20260311_v001.pkts", {
      n: "imap_2026_069_2026_070_01.spin.csv",
    });
    arrive(other, next);
    const began = other.settle().map(({ job, partition, minor }) => [job, partition, minor]);
    expect(began).toEqual([
      ["swe/l1b/sci", "20260311", 2],
      ["swe/l2/sci", "20260311", 2],
    ]);
  });

  it("says what the withdrawal of a file leaves without it", () => {
    const seen = preview(world.resolver, { added: [], withdrawn: [first] }, 1_000);
    expect(
      seen.changes.map(({ job, partition, after }) => [job, partition, after.state, after.on[0]?.type]),
    ).toEqual([
      ["swe/l1b/sci", "20260310", "stale", "calibration"],
      ["swe/l1b/sci", "20260311", "stale", "calibration"],
    ]);
    expect(world.resolver.index.known(first)).toBeDefined();
    expect(preview(world.resolver, { added: [], withdrawn: [first] }, 1)).toMatchObject({
      isCut: true,
      touched: 2,
    });
  });

  it("brings a run of its own when inputs are those of an earlier one again", () => {
    const other = sweWorld("imap_swe_l0_raw_20260311_v001.pkts");
    arrive(other, next);
    expect(other.settle().map(({ minor }) => minor)).toEqual([2]);
    other.tell({ type: "withdrawn", name: next });
    expect(other.settle().map(({ job, minor }) => [job, minor])).toEqual([["swe/l1b/sci", 3]]);
    expect(other.status("swe/l1b/sci", "20260311").state).toBe("done");
  });
});

describe("a reprocessing", () => {
  it("is planned in the order of levels and made in it, each partition once", () => {
    const world = sweWorld("imap_swe_l0_raw_20260310_v001.pkts", "imap_swe_l0_raw_20260311_v001.pkts", {
      n: "imap_2026_069_2026_070_01.spin.csv",
    });
    const range = { start: at("2026-03-10"), end: at("2026-03-12") };
    const plan = planReprocess(world.resolver, ["swe/l1a/all", "swe/l9/none"], range, true);
    expect(plan.unknown).toEqual(["swe/l9/none"]);
    expect(plan.steps.map(({ job, partition }) => `${job} ${partition}`)).toEqual([
      "swe/l1a/all 20260310",
      "swe/l1a/all 20260311",
      "swe/l1b/sci 20260310",
      "swe/l1b/sci 20260311",
      "swe/l2/sci 20260310",
      "swe/l2/sci 20260311",
    ]);
    for (const { job, partition } of plan.steps)
      world.tell({ type: "again", id: "one", now: false, job, partition });
    const began = world.settle();
    expect(began).toHaveLength(plan.steps.length);
    expect(began.map(({ minor, again }) => [minor, again])).toEqual(plan.steps.map(() => [2, "one"]));
    const last = (name: string): number => began.findLastIndex(({ job }) => job === name);
    const first = (name: string, day: string): number =>
      began.findIndex(({ job, partition }) => job === name && partition === day);
    expect(first("swe/l1b/sci", "20260310")).toBeGreaterThan(first("swe/l1a/all", "20260310"));
    expect(first("swe/l2/sci", "20260311")).toBeGreaterThan(first("swe/l1b/sci", "20260311"));
    expect(last("swe/l2/sci")).toBe(began.length - 1);
    expect(world.settle()).toEqual([]);
  });

  it("waits downstream while what is upstream runs", () => {
    const world = sweWorld("imap_swe_l0_raw_20260310_v001.pkts", { n: "imap_2026_069_2026_070_01.spin.csv" });
    world.running.add("swe/l1a/all|20260310");
    world.tell({ type: "again", id: "one", now: false, job: "swe/l1a/all", partition: "20260310" });
    world.tell({ type: "again", id: "one", now: false, job: "swe/l2/sci", partition: "20260310" });
    expect(world.settle().map(({ job }) => job)).toEqual(["swe/l1a/all"]);
    expect(world.words("swe/l2/sci", "20260310")).toEqual(["waits for swe/l1a/all 20260310"]);
  });
});

describe("optional inputs that trigger", () => {
  const events = [
    "imap_mag_l1d-calibration_20250101_v001.cdf",
    "imap_mag_l1c_norm-mago_20260310_v001.0001.cdf",
    "imap_mag_l1c_norm-magi_20260310_v001.0001.cdf",
    "imap_2026_069_2026_069_01.spin.csv",
    "imap_mag_l1b_burst-mago_20260310_v001.0001.cdf",
    "imap_mag_l1b_burst-magi_20260310_v001.0001.cdf",
    "imap_mag_l1b_burst-magi_20260310_v001.0002.cdf",
  ];
  const given = [
    "naif0012.tls",
    "imap_sclk_0183.tsc",
    "de440.bsp",
    "pck00011.tpc",
    "imap_130.tf",
    "imap_science_0001.tf",
    "imap_2026_001_2026_100_002.ah.bc",
    "imap_dps_2026_060_2026_100_01.ah.bc",
    "imap_recon_20260301_20260331_v01.bsp",
    "imap_pred_od025_20260303_20260414_v01.bsp",
  ];

  it("never bring two runs of the same inputs, in whatever order, and end in one input set", () => {
    const last = new Set<string>();
    for (let turn = 0; turn < 300; turn++) {
      const world = new JobWorld(mission, jobsOf("mag/l1d/norm-srf"));
      arrive(world, ...given);
      const seen = new Set<string>();
      let inputs = "";
      for (let left = [...events], pick = turn * 7_919; left.length > 0; pick = Math.trunc(pick / 3) + turn) {
        const [event = ""] = left.splice(pick % left.length, 1);
        arrive(world, event);
        for (const start of world.settle()) {
          inputs = start.inputs.map(({ file: { name } }) => name).join(" ");
          expect(seen.has(inputs)).toBe(false);
          seen.add(inputs);
        }
      }
      last.add(inputs);
    }
    expect(last.size).toBe(1);
  });
});

describe("pointings", () => {
  it("that a table closes later bring the partitions whose files were there", () => {
    const world = new JobWorld(mission, jobsOf("hi/l1a/all"));
    arrive(world, "naif0012.tls", "imap_sclk_0183.tsc", "imap_hi_l0_raw_20260407-repoint00209_v001.pkts");
    expect(world.settle()).toEqual([]);
    expect(world.status("hi/l1a/all", "repoint00209").state).toBe("none");
    const table = { type: "table", version: { legacy: true, major: 1, minor: 0 } } as const;
    world.tell({
      ...table,
      name: "a",
      start: 1,
      repoints: repointsFrom(208, at("2026-04-06T10:03:00"), 1, 1_437, 3),
    });
    expect(world.settle()).toEqual([]);
    world.tell({
      ...table,
      name: "b",
      start: 2,
      repoints: repointsFrom(208, at("2026-04-06T10:03:00"), 2, 1_437, 3),
    });
    expect(world.settle().map(({ partition }) => partition)).toEqual(["repoint00209"]);
  });
});
