/**
 * The jobs that the project ships, written back in the mission's own form: what the importer is tried on where the mission's files are
 * not at hand. It says the same jobs, inputs and outputs in the same order; shared lists and comments of theirs it has not.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { readDocument } from "../../src/config/document.ts";

type Input = string | Readonly<Record<string, unknown>>;

interface InstrumentFile {
  readonly instrument: string;
  readonly jobs: Readonly<
    Record<
      string,
      {
        readonly partition: string;
        readonly inputs: ReadonlyArray<Input>;
        readonly outputs: ReadonlyArray<Input>;
      }
    >
  >;
}

const partitions: Readonly<Record<string, string>> = {
  day: "daily",
  pointing: "repoint",
  mission: "pointing_attitude",
};

const words: Readonly<Record<string, string>> = {
  required: "required",
  triggers: "trigger_job",
  coverage: "require_coverage",
  range: "date_range",
};

function item(given: Input, major: number | null): ReadonlyArray<string> {
  const { dataset, major: own, ...rest } = typeof given === "string" ? { dataset: given } : given;
  const [source = "", type = "", ...descriptor] = String(dataset).split("/");
  return [
    `    - source: ${source}`,
    `      data_type: ${type}`,
    `      descriptor: ${descriptor.join("/")}`,
    ...Object.entries(rest).map(([key, value]) => `      ${words[key] ?? key}: ${JSON.stringify(value)}`),
    ...(major === null ? [] : [`      major_version: ${JSON.stringify(own ?? major)}`]),
  ];
}

function textOf({ jobs }: InstrumentFile): string {
  return Object.entries(jobs)
    .map(([name, job]) => {
      const [, level = "", descriptor = ""] = name.split("/");
      return [
        `(${level}, ${descriptor}):`,
        `  partition: ${partitions[job.partition] ?? job.partition}`,
        "  inputs:",
        ...job.inputs.flatMap((one) => item(one, null)),
        "  outputs:",
        ...job.outputs.flatMap((one) => item(one, 1)),
        "",
      ].join("\n");
    })
    .join("\n");
}

/** By the name of the file, in the order of the names. */
export function missionForm(shipped: string): ReadonlyMap<string, string> {
  const texts = new Map<string, string>();
  for (const name of readdirSync(shipped).toSorted()) {
    const file = readDocument(readFileSync(join(shipped, name), "utf8")).value as Partial<InstrumentFile>;
    const { instrument, jobs } = file;
    if (instrument === undefined || jobs === undefined) continue;
    texts.set(`imap_${instrument}_dependencies.yaml`, textOf({ instrument, jobs }));
  }
  return texts;
}
