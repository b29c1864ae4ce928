/** Files that came and that no job takes: how many there are, and what is said of one. */
import { describe, expect, it } from "vitest";
import type { Known } from "../../../src/actors/answering.ts";
import { untakenOf } from "../../../src/actors/untaken.ts";
import type { Taken } from "../../../src/cli/takenWords.ts";
import { isUntaken, takenWords, untakenWords } from "../../../src/cli/takenWords.ts";
import { takenDatasets, takersOf, unusedKinds } from "../../../src/jobs/taken.ts";
import { untakenToldMax } from "../../../src/limits.ts";
import { arrive, jobsOf, JobWorld, loadMission } from "../../support/jobWorld.ts";

const mission = loadMission();
const jobs = jobsOf(mission, "swe/l1a/all", "swe/l1b/sci");
const catalogue = { jobs: new Map(jobs.map((job) => [job.name, job])) };

function world(...names: ReadonlyArray<string>): JobWorld {
  const made = new JobWorld(mission, jobs);
  arrive(made, ...names);
  return made;
}

const untaken = (of: JobWorld) => untakenOf({ core: of.resolver } as Partial<Known> as Known);

describe("files that no job takes", () => {
  const lut = (version: number) => `imap_swe_esa-lute_20250101_v00${version}.csv`;

  it("are counted by data set, with what they may have been meant to be", () => {
    const of = world(
      "imap_swe_esa-lut_20250101_v001.csv",
      lut(1),
      lut(2),
      "imap_mag_l0_raw_20260310_v001.pkts",
      // A product of a job, which no other takes; a table, of which the calendar is made.
      "imap_swe_l1b_sci_20260310_v001.0001.cdf",
      "imap_2026_060_01.repoint.csv",
    );
    expect(untaken(of)).toEqual({
      files: 3,
      count: 2,
      datasets: [
        {
          dataset: "swe/ancillary/esa-lute",
          kind: "ancillary",
          files: 2,
          example: lut(1),
          nearest: "swe/ancillary/esa-lut",
        },
        expect.objectContaining({ dataset: "mag/l0/raw", files: 1 }),
      ],
    });
    of.tell({ type: "withdrawn", name: lut(1) });
    of.tell({ type: "withdrawn", name: "imap_mag_l0_raw_20260310_v001.pkts" });
    expect(untaken(of)).toMatchObject({ files: 1, count: 1, datasets: [{ files: 1, example: lut(2) }] });
  });

  it("are told in a line of bounded length", () => {
    const many = Array.from({ length: untakenToldMax + 5 }, (_, i) => `imap_mag_x${i}_20250101_v001.csv`);
    const told = untaken(world(...many));
    expect([told.files, told.count, told.datasets.length]).toEqual([
      many.length,
      many.length,
      untakenToldMax,
    ]);
    const words = untakenWords(told);
    expect(words).toContain(`no job takes ${many.length} known files: mag/ancillary/x0 (1, as ${many[0]}`);
    expect(words).toContain(`and of ${many.length - 4} data sets more`);
    expect(untakenWords(untaken(world()))).toBeNull();
  });
});

describe("what the catalogue has to do with a file", () => {
  it("is who makes it and who takes it", () => {
    expect(takersOf(catalogue, "swe/l1a/sci")).toEqual(["swe/l1b/sci"]);
    expect(takersOf(catalogue, "swe/l1b/sci")).toEqual([]);
    expect(takenDatasets(catalogue).has("swe/l0/raw")).toBe(true);
  });

  it.each<[Taken, string, boolean]>([
    [{ madeBy: null, by: ["a", "b"], nearest: null }, "taken by a, b", false],
    [{ madeBy: "x", by: [], nearest: null }, "made by x, no job takes it", false],
    [
      { madeBy: "x", by: "abcdefgh".split(""), nearest: null },
      "made by x, taken by a, b, c, d, e, f and 2 more",
      false,
    ],
    [{ madeBy: null, by: [], nearest: "swe/l0/raw" }, "no job takes it (nearest: swe/l0/raw)", true],
    [{ madeBy: null, by: [], nearest: null }, "no job takes it", true],
  ])("%j: %s", (taken, words, lost) => {
    expect([takenWords(taken), isUntaken(taken)]).toEqual([words, lost]);
  });

  it("is nothing, for kinds that no job takes or makes", () => {
    const unused = unusedKinds(catalogue, mission.recogniser.kinds);
    expect(unused).toContain("quicklook");
    expect(unused).not.toContain("science");
    expect(unused).not.toContain("repoint");
  });
});
