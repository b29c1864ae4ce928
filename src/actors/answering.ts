/** What the answers about jobs share: the resolver's memory, and how times, causes and partitions are said in them. */
import type { JobCatalogue } from "../config/JobCatalogue.ts";
import { arrivalPattern, everyWords } from "../jobs/arrivals.ts";
import type { CompiledJob } from "../jobs/CompiledJob.ts";
import type { DatasetId } from "../jobs/dataset.ts";
import type { Instant, Range } from "../jobs/instant.ts";
import { formatInstant } from "../jobs/instant.ts";
import type { Resolver } from "../jobs/Resolver.ts";
import type { Root } from "../jobs/why.ts";
import type { Arrivals, RootCause, Stretch } from "../protocol/operatorQuestions.ts";
import { BadQuestion } from "./BadQuestion.ts";
import type { CatalogueFacts } from "./catalogueFacts.ts";
import type { Redos } from "./redos.ts";

/** What the resolver has in memory. */
export interface Known {
  readonly core: Resolver;
  readonly redos: Pick<Redos, "get">;
  readonly catalogue: Pick<JobCatalogue, "recogniser" | "teams" | "ages">;
  readonly facts: Pick<CatalogueFacts, "recordOf" | "cameAt" | "placesOf">;
}

/** Throws `BadQuestion`. */
export type JobAnswer = (known: Known, said: unknown) => unknown;

export const isoOrNull = (at: Instant): string | null => (Number.isFinite(at) ? formatInstant(at) : null);

export const stretchOf = ({ start, end }: Range): Stretch => ({
  start: isoOrNull(start),
  end: isoOrNull(end),
});

export function jobAsked({ core }: Known, name: string): CompiledJob {
  const job = core.jobs.get(name);
  if (job === undefined) throw new BadQuestion(`the catalogue has no job ${name}`);
  return job;
}

export const contactOf = ({ catalogue }: Known, team: string | null): string | null =>
  team === null ? null : (catalogue.teams.get(team)?.contact ?? null);

/** A data set of which all files are of one kind is called by that. */
function wordOf(known: Known, dataset: DatasetId): string {
  const kind = known.core.consumers.get(dataset)?.[0]?.input.declared.kind;
  const selection = kind === undefined ? undefined : known.core.index.kind(kind)?.selection;
  return kind === undefined || selection === "product" || selection === "calibration" ? dataset : kind;
}

function arrivalsOf({ core }: Known, dataset: DatasetId, range: Range | null): Arrivals | null {
  const files = core.consumers.get(dataset)?.[0]?.input.files;
  if (files === undefined) return null;
  const { newest, next, every } = arrivalPattern(files, range?.start ?? Number.POSITIVE_INFINITY);
  return {
    newest: newest?.name ?? null,
    reaches: newest === null ? null : isoOrNull(newest.range.end),
    next: next === null ? null : isoOrNull(next),
    every: every === null ? null : everyWords(every),
  };
}

export function rootOf(known: Known, { type, dataset, range, words }: Root): RootCause {
  return {
    type,
    dataset,
    what: dataset === null ? null : wordOf(known, dataset),
    range: range === null ? null : stretchOf(range),
    words,
    arrivals: type === "arrival" && dataset !== null ? arrivalsOf(known, dataset, range) : null,
  };
}
