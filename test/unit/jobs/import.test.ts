/** Jobs in the mission's own form, and its own files where they are at hand, read as they are. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { writeInstrument } from "../../../src/jobs/catalogueYaml.ts";
import { formatDateRange, parseDateRange } from "../../../src/jobs/dateRange.ts";
import { importMission } from "../../../src/jobs/import.ts";
import type { MissionJob } from "../../../src/jobs/missionFile.ts";
import {
  dependencyDocuments,
  documentOf,
  haveImapData,
  imapText,
  shippedFolder,
} from "../../support/imapData.ts";
import { missionForm } from "../../support/missionForm.ts";

describe("the eleven files of the mission", () => {
  const imported = importMission(dependencyDocuments());

  it("hold 289 jobs, 2,333 inputs and 467 outputs, none refused", () => {
    const jobs = [...imported.catalogue.jobs.values()];
    expect(imported.faults).toEqual([]);
    expect({
      jobs: jobs.length,
      inputs: jobs.reduce((sum, job) => sum + job.inputs.length, 0),
      outputs: jobs.reduce((sum, job) => sum + job.outputs.length, 0),
    }).toEqual({ jobs: 289, inputs: 2_333, outputs: 467 });
  });

  it("are what the shipped jobs are, written back in its form", () => {
    const texts = missionForm(shippedFolder);
    const own = importMission([...texts].map(([file, text]) => documentOf(file, text)));
    expect(own.faults).toEqual([]);
    for (const [instrument, jobs] of byInstrument(own.mission)) {
      const file = join(shippedFolder, `${instrument}.yaml`);
      expect(readFileSync(file, "utf8"), instrument).toBe(writeInstrument(instrument, jobs));
    }
    expect(own.mission).toHaveLength(imported.mission.length);
  });

  it.skipIf(!haveImapData)("say what edges.csv says, row by row", () => {
    const bool = (value: boolean): string => (value ? "True" : "False");
    const rows = imported.mission.flatMap((job) => {
      const head = [job.source, job.level, job.descriptor, job.partition].join(",");
      return [
        ...job.inputs.map((input) => {
          const flags = [input.required, input.triggers, input.coverage].map(bool).join(",");
          const range = input.range === null ? "" : formatDateRange(input.range).join(" ");
          return `${head},IN,${input.source},${input.dataType},${input.descriptor},${flags},${range},`;
        }),
        ...job.outputs.map(
          (output) =>
            `${head},OUT,${output.source},${output.dataType},${output.descriptor},,,,,${output.major ?? ""}`,
        ),
      ];
    });
    const expected = imapText("edges.csv").trimEnd().split(/\r?\n/).slice(1);
    expect(rows.toSorted()).toEqual(expected.toSorted());
  });
});

function byInstrument(jobs: ReadonlyArray<MissionJob>): ReadonlyMap<string, ReadonlyArray<MissionJob>> {
  const found = new Map<string, Array<MissionJob>>();
  for (const job of jobs) found.set(job.source, [...(found.get(job.source) ?? []), job]);
  return found;
}

describe("the mission's form", () => {
  const right = `(l1a, all):
  partition: daily
  inputs:
    - source: swe
      data_type: l0
      descriptor: raw
    - source: spin
      data_type: spin
      descriptor: historical
      required: false
  outputs:
    - source: swe
      data_type: l1a
      descriptor: sci
      major_version: 2
`;
  const read = (text: string) => importMission([documentOf("imap_swe_dependencies.yaml", text)]);
  const faultsOf = (text: string): ReadonlyArray<string> =>
    read(text).faults.map(({ rule, at, job }) => `${rule} ${at.line} ${job ?? "-"}`);

  it("says what is left out: required, triggering, major version 1", () => {
    const { catalogue, faults } = read(right.replace("      major_version: 2\n", ""));
    expect(faults).toEqual([]);
    const job = catalogue.jobs.get("swe/l1a/all");
    expect(job).toMatchObject({
      at: { line: 1 },
      instrument: "swe",
      partition: { type: "day" },
      inputs: [
        {
          dataset: "swe/l0/raw",
          kind: "science",
          required: true,
          triggers: true,
          coverage: false,
          range: null,
        },
        { dataset: "spin/spin/historical", kind: "spin", required: false, at: { line: 7 } },
      ],
      outputs: [{ dataset: "swe/l1a/sci", major: 1 }],
    });
    expect(read(right).catalogue.producerOf.get("swe/l1a/sci")?.outputs[0]?.major).toBe(2);
  });

  it("takes `best` and `historical` kernels for the same", () => {
    const best = right.replace(
      "source: spin\n      data_type: spin",
      "source: leapseconds\n      data_type: spice",
    );
    for (const word of ["historical", "best"]) {
      const input = read(best.replace("historical", word)).catalogue.jobs.get("swe/l1a/all")?.inputs[1];
      expect(input).toMatchObject({ dataset: "leapseconds/spice/historical", kind: "leapseconds" });
    }
  });

  it("reads lists of inputs that jobs share", () => {
    const shared = `clock: &clock
  - source: leapseconds
    data_type: spice
    descriptor: historical
  - source: spacecraft_clock
    data_type: spice
    descriptor: historical
    trigger_job: false
common: &common
  - *clock
  - source: imap_frames
    data_type: spice
    descriptor: historical
${right.replace("    - source: swe\n      data_type: l0", "    - *common\n    - source: swe\n      data_type: l0")}`;
    const { catalogue, faults } = read(shared);
    expect(faults).toEqual([]);
    const inputs = catalogue.jobs.get("swe/l1a/all")?.inputs ?? [];
    expect(inputs.map((input) => `${input.dataset} ${input.at.line} ${input.triggers}`)).toEqual([
      "leapseconds/spice/historical 17 true",
      "spacecraft_clock/spice/historical 17 false",
      "imap_frames/spice/historical 17 true",
      "swe/l0/raw 18 true",
      "spin/spin/historical 21 true",
    ]);
    // What is wrong in a shared list is told where it stands.
    expect(faultsOf(shared.replace("trigger_job: false", "trigger_job: never"))).toEqual([
      "form 8 swe/l1a/all",
    ]);
  });

  it.each([
    ["a key that names no job", "(l1a, all):", "(l1a all):", "form 1 -"],
    ["an unknown partition", "daily", "weekly", "form 2 swe/l1a/all"],
    ["no partition", "  partition: daily\n", "", "form 1 swe/l1a/all"],
    ["an unknown key of a job", "  outputs:", "  output: []\n  outputs:", "form 11 swe/l1a/all"],
    ["an unknown key of an input", "required:", "require:", "form 10 swe/l1a/all"],
    ["a flag that is text", "required: false", 'required: "no"', "form 10 swe/l1a/all"],
    ["a field that is missing", "      descriptor: raw\n", "", "form 4 swe/l1a/all"],
    ["a name that is none", "descriptor: raw", "descriptor: 12", "form 6 swe/l1a/all"],
    ["a version that is none", "major_version: 2", "major_version: v2", "form 15 swe/l1a/all"],
    ["a date range that is none", "required: false", "date_range: [8]", "date-range 10 swe/l1a/all"],
    [
      "two dashes too many",
      "      data_type: l0\n      d",
      "    - data_type: l0\n    - d",
      "split-item 4 swe/l1a/all",
    ],
    ["a flag with a dash of its own", "      required", "    - required", "split-item 7 swe/l1a/all"],
    ["an output with a dash too many", "      major", "    - major", "split-item 12 swe/l1a/all"],
    ["a list that is none", "  outputs:\n    - source", "  outputs:\n      source", "form 12 swe/l1a/all"],
  ])("refuses %s", (_, before, after, expected) => {
    if (!right.includes(before)) throw new Error(`no ${before}`);
    expect(faultsOf(right.replace(before, after))).toContain(expected);
  });

  it.each([
    ['["-3p", "3p"]', { type: "span", past: -3, future: 3, unit: "pointing" }],
    ['["-12h", "0h"]', { type: "span", past: -12, future: 0, unit: "hour" }],
    ['["-2d"]', { type: "span", past: -2, future: 0, unit: "day" }],
    ['["2d"]', { type: "span", past: 0, future: 2, unit: "day" }],
    ['["-1l"]', { type: "last", count: 1 }],
    ['["8np"]', { type: "nearest", count: 8, unit: "pointing" }],
    ['["6nd"]', { type: "nearest", count: 6, unit: "day" }],
  ])("reads the date range %s", (text, range) => {
    const { catalogue, faults } = read(right.replace("required: false", `date_range: ${text}`));
    expect(faults).toEqual([]);
    const found = catalogue.jobs.get("swe/l1a/all")?.inputs[1]?.range ?? null;
    expect(found).toEqual(range);
    expect(found === null ? null : parseDateRange(formatDateRange(found))).toEqual({ ok: true, range });
  });
});
