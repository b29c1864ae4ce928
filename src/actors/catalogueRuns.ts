/** From what the resolver decided to what stands in the ledger: a job's record, and the record of a run that begins. */
import type { JobCatalogue, ProductPlace } from "../config/JobCatalogue.ts";
import { blockedWords } from "../jobs/blockedOn.ts";
import type { Calendar } from "../jobs/calendar.ts";
import type { CatalogueJob, CatalogueOutput } from "../jobs/catalogue.ts";
import type { Start, Status } from "../jobs/fact.ts";
import type { Instant, Range } from "../jobs/instant.ts";
import { dayOf, formatInstant } from "../jobs/instant.ts";
import { sliceNamed } from "../jobs/partitions.ts";
import type { JobRecord } from "../protocol/jobs.ts";
import { noDay } from "../protocol/keys.ts";
import { recordVersion } from "../protocol/records.ts";
import type { LedgerRecord } from "../protocol/records.ts";
import type { PlannedOutput, RunBody, RunInput, StretchKind, StretchPartition } from "../protocol/runs.ts";
import { newRun } from "../protocol/runs.ts";
import type { Lying } from "./catalogueFacts.ts";

const kinds: Readonly<Record<CatalogueJob["partition"]["type"], StretchKind>> = {
  day: "day",
  pointing: "pointing",
  days: "window",
  windows: "window",
  calendar: "window",
  open: "open",
};

/** As the ledger names it; null for a name that the job's scheme does not have, or a pointing that is not closed. */
export function partitionOf(job: CatalogueJob, name: string, calendar: Calendar): StretchPartition | null {
  const slice = sliceNamed(job.partition, name, calendar);
  if (slice === null || slice.range === null) return null;
  const kind = kinds[job.partition.type];
  const range = kind === "open" ? null : isoRange(slice.range);
  const day = range === null ? noDay : dayOf(slice.range.start);
  return { kind, instrument: job.instrument, day, name, range, pointing: slice.pointing };
}

const isoRange = ({ start, end }: Range): { readonly start: string; readonly end: string } => ({
  start: formatInstant(start),
  end: formatInstant(end),
});

/** One entry of a run's manifest. */
export const inputOf = (of: Start["inputs"][number], lying: Lying): RunInput => ({
  ...lying,
  detector: null,
  dataset: of.dataset,
  kind: of.file.kind,
  name: of.file.name,
});

/** Products that no name can say: a fault of the names file or of the catalogue, which lint does not see. */
export interface Nameless {
  readonly dataset: string;
  readonly reason: string;
}

/** The files that a run must leave behind, under names with their versions. */
export function outputsOf(
  start: Start,
  catalogue: Pick<JobCatalogue, "recogniser">,
  place: ProductPlace,
): ReadonlyArray<PlannedOutput> | Nameless {
  const planned: Array<PlannedOutput> = [];
  for (const output of start.definition.outputs) {
    const named = nameOf(start, output, catalogue);
    if (!named.ok) return { dataset: output.dataset, reason: named.reason };
    const { name } = named.file;
    planned.push({
      dataset: output.dataset,
      name,
      bucket: place.bucket,
      key: filledKey(place.key, output.dataset, start.range.start, name),
    });
  }
  return planned;
}

const nameOf = (start: Start, output: CatalogueOutput, { recogniser }: Pick<JobCatalogue, "recogniser">) =>
  recogniser.nameOf({
    kind: output.kind,
    dataset: output.dataset,
    range: start.range,
    pointing: start.pointing,
    version: { legacy: false, major: output.major, minor: start.minor },
  });

function filledKey(template: string, dataset: string, from: Instant, name: string): string {
  const [source = "", level = "", descriptor = ""] = dataset.split("/");
  const date = dayOf(from);
  const words: Readonly<Record<string, string>> = {
    source,
    level,
    descriptor,
    name,
    year: date.slice(0, 4),
    month: date.slice(4, 6),
    day: date.slice(6, 8),
  };
  return template.replaceAll(/\{(\w+)\}/g, (whole, word: string) => words[word] ?? whole);
}

/** The record of the run, as it begins. */
export function runOf(
  start: Start,
  partition: StretchPartition,
  of: {
    readonly inputs: ReadonlyArray<RunInput>;
    readonly outputs: ReadonlyArray<PlannedOutput>;
    readonly exclusive: string | null;
    readonly origin: "live" | "reprocessing";
  },
  at: { readonly now: number; readonly node: string },
): LedgerRecord<RunBody> {
  const { definition, hash, minor, incomplete, again } = start;
  return newRun(
    {
      job: definition.name,
      version: definition.version,
      partition,
      hash,
      inputs: of.inputs,
      plan: {
        outputs: of.outputs,
        minor,
        incomplete: incomplete !== null,
        priority: definition.priority,
        origin: of.origin,
        exclusive: of.exclusive,
        ...(incomplete === null ? {} : { share: incomplete }),
        ...(again === null ? {} : { again }),
      },
    },
    at,
  );
}

/**
 * @param run key of the run that the state is of; null where there is none
 * @param minor highest minor version of its runs that have begun; 0: none has
 */
export function jobRecordOf(
  job: CatalogueJob,
  partition: StretchPartition,
  status: Status,
  run: string | null,
  now: number,
  minor = 0,
): JobRecord {
  return {
    v: recordVersion,
    job: job.name,
    version: job.version,
    partition,
    state: status.state === "none" ? "blocked" : status.state,
    blockedOn:
      status.state === "none"
        ? ["nothing of what it is made of is there any more"]
        : status.on.map(blockedWords),
    inputs: status.hash,
    run,
    catalogue: {
      on: status.on,
      incomplete: status.incomplete,
      since: new Date(now).toISOString(),
      ...(minor === 0 ? {} : { minor }),
    },
  };
}
