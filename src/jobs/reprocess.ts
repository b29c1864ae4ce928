/** What a reprocessing would make anew, and in which order. Pure: nothing is asked for by it. */
import type { PartitionId } from "./blockedOn.ts";
import type { CompiledJob } from "./CompiledJob.ts";
import type { Range } from "./instant.ts";
import { overlap } from "./instant.ts";
import type { Node } from "./Node.ts";
import type { Resolver } from "./Resolver.ts";
import { compareText } from "./select/sorted.ts";

export interface ReprocessStep extends PartitionId {
  /** Those of a lower level are made first. */
  readonly level: number;
  /** Minor version that stands now, which a new one takes the place of. */
  readonly supersedes: number | null;
}

export interface ReprocessPlan {
  /** Jobs in the order of their levels. */
  readonly jobs: ReadonlyArray<{ readonly job: string; readonly level: number; readonly count: number }>;
  /** By level, then time, then job: an `again` for each starts them in this order. */
  readonly steps: ReadonlyArray<ReprocessStep>;
  /** Names that are no job. */
  readonly unknown: ReadonlyArray<string>;
}

/**
 * @param range what partitions must overlap
 * @param downstream whether what is made of them is made anew as well, also where it would not become stale by itself
 */
export function planReprocess(
  resolver: Resolver,
  names: ReadonlyArray<string>,
  range: Range,
  downstream: boolean,
): ReprocessPlan {
  const asked = new Set<CompiledJob>();
  for (const name of names) {
    const job = resolver.jobs.get(name);
    if (job !== undefined) asked.add(job);
  }
  const chosen = new Map<CompiledJob, ReadonlyArray<Node>>();
  for (const job of asked) chosen.set(job, doneOver(job, range));
  if (downstream) {
    for (const job of asked) {
      for (const below of job.descendants) if (!chosen.has(below)) chosen.set(below, doneOver(below, range));
    }
  }
  const ordered = [...chosen].sort(([a], [b]) => a.depth - b.depth || compareText(a.name, b.name));
  const steps = ordered.flatMap(([job, nodes]) =>
    nodes.map((node) => ({
      start: node.range?.start ?? 0,
      step: {
        job: job.name,
        partition: node.name,
        level: job.depth,
        supersedes: node.lastDone?.minor ?? null,
      },
    })),
  );
  steps.sort(
    (a, b) => a.step.level - b.step.level || a.start - b.start || compareText(a.step.job, b.step.job),
  );
  return {
    jobs: ordered.map(([job, nodes]) => ({ job: job.name, level: job.depth, count: nodes.length })),
    steps: steps.map(({ step }) => step),
    unknown: names.filter((name) => !resolver.jobs.has(name)),
  };
}

/** What was never made is not made anew: it starts by itself when it can. */
const doneOver = (job: CompiledJob, range: Range): ReadonlyArray<Node> =>
  [...job.nodes.values()].filter(
    (node) => node.lastDone !== null && node.range !== null && overlap(node.range, range),
  );
