/** From the mission's own dependency files to the catalogue: what its words mean in ours. */
import type {
  Catalogue,
  CatalogueInput,
  CatalogueJob,
  CatalogueOutput,
  PartitionScheme,
} from "./catalogue.ts";
import { datasetId } from "./dataset.ts";
import type { CatalogueDocument, Fault } from "./faults.ts";
import { byPlace } from "./faults.ts";
import type { Range } from "./instant.ts";
import { readMission } from "./missionFile.ts";
import type { MissionInput, MissionJob, MissionOutput } from "./missionFile.ts";

export interface Imported {
  readonly catalogue: Catalogue;
  /** Every job that was written, also a second one of a name: what lint looks at. */
  readonly jobs: ReadonlyArray<CatalogueJob>;
  /** As the files say it. */
  readonly mission: ReadonlyArray<MissionJob>;
  /** What the files' form is wrong in; lint tells what is wrong with the catalogue as a whole. */
  readonly faults: ReadonlyArray<Fault>;
}

/** The mission's words for partitions. What a job's windows are named in the catalogue's own YAML is the same word. */
export function missionSchemes(thirtyDays: ReadonlyArray<Range>): ReadonlyMap<string, PartitionScheme> {
  const calendar = (name: string, ...boundaries: ReadonlyArray<string>): PartitionScheme => ({
    type: "calendar",
    name,
    boundaries,
  });
  return new Map<string, PartitionScheme>([
    ["daily", { type: "day" }],
    ["repoint", { type: "pointing" }],
    ["10d", { type: "days", days: 10 }],
    ["30d", { type: "windows", table: "30d", windows: thirtyDays }],
    ["3mo", calendar("3mo", "0117", "0418", "0718", "1017")],
    ["6mo", calendar("6mo", "0117", "0718")],
    ["1yr", calendar("1yr", "0117")],
    ["pointing_attitude", { type: "open" }],
  ]);
}

/** Kinds that the mission calls by their source, and those that it calls by their level; all else is science. */
export function missionKind(source: string, dataType: string): string {
  if (dataType === "spice") return source;
  return ["ancillary", "spin", "repoint"].includes(dataType) ? dataType : "science";
}

/**
 * Which data set an input or output is of. The mission writes `historical` or `best` behind a kernel's kind, and treats both
 * alike: a file's name cannot tell them apart.
 */
export const datasetOf = (it: MissionInput | MissionOutput): string =>
  datasetId(it.source, it.dataType, it.dataType === "spice" ? "historical" : it.descriptor);

const inputOf = (input: MissionInput): CatalogueInput => ({
  dataset: datasetOf(input),
  kind: missionKind(input.source, input.dataType),
  required: input.required,
  triggers: input.triggers,
  range: input.range,
  coverage: input.coverage,
  at: input.at,
});

const outputOf = (output: MissionOutput): CatalogueOutput => ({
  dataset: datasetOf(output),
  kind: missionKind(output.source, output.dataType),
  major: output.major ?? 1,
  at: output.at,
});

export const jobName = (job: MissionJob): string => `${job.source}/${job.level}/${job.descriptor}`;

/** What the mission's files say nothing of is as `standard` says. */
export const jobStandard = {
  version: "1",
  team: null,
  policy: null,
  schedule: null,
  priority: 0,
  driver: "process",
  timeLimitMs: 3_600_000,
  attemptsMax: 3,
} as const;

export function importJob(job: MissionJob, schemes: ReadonlyMap<string, PartitionScheme>): CatalogueJob {
  return {
    ...jobStandard,
    name: jobName(job),
    instrument: job.source,
    lane: job.source,
    partition: schemes.get(job.partition) ?? { type: "day" },
    inputs: job.inputs.map(inputOf),
    outputs: job.outputs.map(outputOf),
    at: job.at,
  };
}

/** Never throws. Windows of a table, which the files do not hold, are handed in. */
export function importMission(
  documents: ReadonlyArray<CatalogueDocument>,
  thirtyDays: ReadonlyArray<Range> = [],
): Imported {
  const schemes = missionSchemes(thirtyDays);
  const reads = documents.map(readMission);
  const mission = reads.flatMap((read) => read.jobs);
  const jobs = mission.map((job) => importJob(job, schemes));
  return {
    catalogue: catalogueOf(jobs),
    jobs,
    mission,
    faults: reads.flatMap((read) => read.faults).sort(byPlace),
  };
}

/** Of two jobs of one name, or two producers of one data set, the first counts: lint refuses the others. */
export function catalogueOf(all: ReadonlyArray<CatalogueJob>): Catalogue {
  const jobs = new Map<string, CatalogueJob>();
  const producerOf = new Map<string, CatalogueJob>();
  for (const job of all) if (!jobs.has(job.name)) jobs.set(job.name, job);
  for (const job of jobs.values()) {
    for (const { dataset } of job.outputs) if (!producerOf.has(dataset)) producerOf.set(dataset, job);
  }
  return { jobs, producerOf };
}
