/** Who takes a data set. A file that no job takes is known, and nothing follows from it. */
import type { Catalogue } from "./catalogue.ts";
import type { DatasetId, DatasetKind } from "./dataset.ts";
import type { Resolver } from "./Resolver.ts";

export const takersOf = ({ jobs }: Pick<Catalogue, "jobs">, dataset: DatasetId): ReadonlyArray<string> =>
  [...jobs.values()].flatMap((job) =>
    job.inputs.some((input) => input.dataset === dataset) ? [job.name] : [],
  );

/** Data sets that jobs take: what a file that none takes may have been meant to be. */
export const takenDatasets = ({ jobs }: Pick<Catalogue, "jobs">): ReadonlySet<DatasetId> =>
  new Set([...jobs.values()].flatMap((job) => job.inputs.map((input) => input.dataset)));

/** Of tables the calendar is made; all else is there for jobs. */
const isForJobs = (kind: Pick<DatasetKind, "selection"> | undefined): boolean => kind?.selection !== "table";

/** Kinds of file of which no data set is an input or an output of any job. */
export function unusedKinds(
  { jobs }: Pick<Catalogue, "jobs">,
  kinds: ReadonlyMap<string, DatasetKind>,
): ReadonlyArray<string> {
  const used = new Set(
    [...jobs.values()].flatMap((job) => [...job.inputs, ...job.outputs].map(({ kind }) => kind)),
  );
  return [...kinds.values()].flatMap((kind) => (used.has(kind.name) || !isForJobs(kind) ? [] : [kind.name]));
}

export interface UntakenDataset {
  readonly dataset: DatasetId;
  readonly kind: string;
  readonly files: number;
  readonly example: string;
}

/** Known files that no job takes and none makes, by data set, the most first. What jobs make may well be for people alone. */
export function untakenDatasets({ jobs, consumers, index }: Resolver): ReadonlyArray<UntakenDataset> {
  const made = new Set(
    [...jobs.values()].flatMap(({ definition }) => definition.outputs.map(({ dataset }) => dataset)),
  );
  return [...index.counts()]
    .filter(
      ({ dataset, kind }) => !consumers.has(dataset) && !made.has(dataset) && isForJobs(index.kind(kind)),
    )
    .sort((a, b) => b.files - a.files || (a.dataset < b.dataset ? -1 : 1));
}
