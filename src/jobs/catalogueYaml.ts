/** Jobs that were imported, in our own YAML: one file an instrument, the same text for the same jobs. */
import { formatDateRange } from "./dateRange.ts";
import { datasetOf, jobName } from "./import.ts";
import type { MissionInput, MissionJob, MissionOutput } from "./missionFile.ts";

/** The first line: such a file is written anew by the next import, and one without it never is. */
export const importedMark = "# Written by `orrery jobs import`; the next import writes it anew.";

const legend = `
# What the mission's files do not say (lanes, drivers, schedules, policies of windows) stands in catalogue.yaml.
# docs/catalogue.md says what each key means:
#
#   source/level/descriptor:      the job's name
#     partition:                  what one run is for: day, pointing, or a window of catalogue.yaml
#     inputs:                     what it is made of; a data set alone is required and triggers
#       - dataset:                source/level/descriptor
#         required: false         taken when there, not waited for
#         triggers: false         a new file makes nothing stale that is done
#         coverage: true          the files must leave no gap in the partition
#         range: [8np]            files beside the partition's own, here the 8 nearest pointings
#     outputs:                    what a run must leave behind; a data set alone has major version 1
#       - dataset:                source/level/descriptor
#         major: 2                major version of its files; the minor one is counted
`;

/** The mission's words for partitions, in ours; its windows keep their names. */
const partitionWords: ReadonlyMap<string, string> = new Map([
  ["daily", "day"],
  ["repoint", "pointing"],
  ["pointing_attitude", "mission"],
]);

/** Beyond this a mapping stands on lines of its own: the width that the project's formatter keeps. */
const widthMax = 110;

/** @param jobs of one instrument, in the order in which they shall stand */
export function writeInstrument(instrument: string, jobs: ReadonlyArray<MissionJob>): string {
  return `${importedMark}${legend}
instrument: ${instrument}

jobs:
${jobs.map(jobText).join("\n")}`;
}

function jobText(job: MissionJob): string {
  return [
    `  ${jobName(job)}:`,
    `    partition: ${partitionWords.get(job.partition) ?? job.partition}`,
    ...listText("inputs", job.inputs.map(inputFields)),
    ...listText("outputs", job.outputs.map(outputFields)),
    "",
  ].join("\n");
}

type Fields = ReadonlyArray<readonly [key: string, value: string]>;

function inputFields(input: MissionInput): Fields {
  return [
    ["dataset", datasetOf(input)],
    ...(input.required ? [] : [["required", "false"] as const]),
    ...(input.triggers ? [] : [["triggers", "false"] as const]),
    ...(input.coverage ? [["coverage", "true"] as const] : []),
    ...(input.range === null
      ? []
      : [["range", `[${formatDateRange(input.range).map(quoted).join(", ")}]`] as const]),
  ];
}

const outputFields = (output: MissionOutput): Fields => [
  ["dataset", datasetOf(output)],
  ...((output.major ?? 1) === 1 ? [] : [["major", String(output.major)] as const]),
];

/** `-3p` is text to YAML; quotes keep it so for people, too. */
const quoted = (text: string): string => `"${text}"`;

function listText(key: string, items: ReadonlyArray<Fields>): ReadonlyArray<string> {
  if (items.length === 0) return [`    ${key}: []`];
  return [`    ${key}:`, ...items.flatMap(itemText)];
}

function itemText(fields: Fields): ReadonlyArray<string> {
  const [first] = fields;
  if (fields.length === 1 && first !== undefined) return [`      - ${first[1]}`];
  const line = `      - { ${fields.map(([key, value]) => `${key}: ${value}`).join(", ")} }`;
  if (line.length <= widthMax) return [line];
  return fields.map(([key, value], index) => `      ${index === 0 ? "-" : " "} ${key}: ${value}`);
}
