/** The mission's own files, read as they are. */
import { describe, expect, it } from "vitest";
import { formatDateRange } from "../../../src/jobs/dateRange.ts";
import { importMission } from "../../../src/jobs/import.ts";
import { dependencyDocuments, haveImapData, imapText } from "../../support/imapData.ts";

describe.skipIf(!haveImapData)("the eleven files of the mission", () => {
  const imported = importMission(haveImapData ? dependencyDocuments() : []);

  it("hold 289 jobs, 2,333 inputs and 467 outputs, none refused", () => {
    const jobs = [...imported.catalogue.jobs.values()];
    expect(imported.faults).toEqual([]);
    expect({
      jobs: jobs.length,
      inputs: jobs.reduce((sum, job) => sum + job.inputs.length, 0),
      outputs: jobs.reduce((sum, job) => sum + job.outputs.length, 0),
    }).toEqual({ jobs: 289, inputs: 2_333, outputs: 467 });
  });

  it("say what edges.csv says, row by row", () => {
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
