/** What of a catalogue goes over to the one that replaces it: partitions of jobs that are cut as before, and what was told of the others. */
import type { CompiledJob } from "./CompiledJob.ts";
import type { OrderFact, RunFact } from "./fact.ts";
import type { Node } from "./Node.ts";

/** What was told of a job or partition that the catalogue does not have. */
export type Kept = { readonly type: "run"; readonly run: RunFact } | OrderFact;

export function setIn<A>(set: Set<A>, item: A, isIn: boolean): void {
  if (isIn) set.add(item);
  else set.delete(item);
}

/** Places in files are no part of what a job is. */
const textOf = (value: unknown): string =>
  JSON.stringify(value, (key, part: unknown) => (key === "at" ? undefined : part));

export const isSameScheme = (a: CompiledJob, b: CompiledJob): boolean =>
  textOf(a.definition.partition) === textOf(b.definition.partition);

export const isSameDefinition = (a: CompiledJob, b: CompiledJob): boolean =>
  textOf(a.definition) === textOf(b.definition);

const namesOf = (jobs: ReadonlyArray<CompiledJob>): string => jobs.map((job) => job.name).join("\n");

/** Partitions go over to the job as it is now. @returns those that have to be decided anew */
export function* adopt(old: CompiledJob, job: CompiledJob): Generator<Node> {
  const isSame = isSameDefinition(old, job) && namesOf(old.ancestors) === namesOf(job.ancestors);
  job.clockedTo = old.clockedTo;
  for (const node of old.nodes.values()) {
    job.nodes.set(node.ordinal, node);
    setIn(job.unfinished, node, old.unfinished.has(node));
    setIn(job.active, node, old.active.has(node));
    setIn(job.waiting, node, old.waiting.has(node));
    if (!isSame || node.urgency > 0 || old.waiting.has(node)) yield node;
    node.job = job;
  }
}

/** What was told of a partition that is none any more. */
export function keptOf(node: Node): ReadonlyArray<Kept> {
  const id = { job: node.job.name, partition: node.name };
  return [
    ...node.runs.map((run): Kept => ({ type: "run", run })),
    ...(node.asked.operator === null ? [] : [{ type: "again" as const, ...node.asked.operator, ...id }]),
    ...(node.asked.reprocessing === null
      ? []
      : [{ type: "again" as const, by: "reprocessing" as const, ...node.asked.reprocessing, ...id }]),
    ...(node.held ? [{ type: "hold" as const, held: true, ...id }] : []),
  ];
}
