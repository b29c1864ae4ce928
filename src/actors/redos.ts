/**
 * Reprocessings: each asks for partitions of its jobs to be made anew, once. Which ones follows from what stands when it is read:
 * those in its range that were made, or tried, before it was asked for. What has come since is live and of the newest inputs anyway.
 *
 * The order of levels is not kept here: whatever is to be made anew holds what is made of it.
 */
import type { Fact } from "../jobs/fact.ts";
import type { Range } from "../jobs/instant.ts";
import { dayUs, overlap, parseInstant, startOfDay } from "../jobs/instant.ts";
import type { Node } from "../jobs/Node.ts";
import type { Resolver } from "../jobs/Resolver.ts";
import type { Redo } from "../protocol/orders.ts";

export class Redos {
  readonly #byId = new Map<string, Redo>();
  /** Read and not turned into facts yet. */
  readonly #fresh = new Map<string, Redo>();

  set(redo: Redo): void {
    this.#byId.set(redo.id, redo);
    this.#fresh.set(redo.id, redo);
  }

  has(id: string): boolean {
    return this.#byId.has(id);
  }

  /** What follows from those that are new, or stand otherwise than before. */
  facts(core: Pick<Resolver, "jobs">): ReadonlyArray<Fact> {
    if (this.#fresh.size === 0) return [];
    const fresh = [...this.#fresh.values()];
    this.#fresh.clear();
    return fresh.flatMap((redo) => [...factsOf(redo, core)]);
  }
}

/** Days of a reprocessing; null for one that nobody of us wrote. */
export function rangeOfRedo({ from, to }: Pick<Redo, "from" | "to">): Range | null {
  const start = startOfDay(from);
  const last = startOfDay(to);
  return start === null || last === null ? null : { start, end: last + dayUs };
}

/** Partitions that it asks for: made or tried before `asked`. */
export function* nodesOfRedo(
  { jobs }: Pick<Redo, "jobs">,
  range: Range,
  asked: number,
  core: Pick<Resolver, "jobs">,
): Generator<Node> {
  for (const name of jobs) {
    for (const node of core.jobs.get(name)?.nodes.values() ?? []) {
      const inRange = node.range !== null && Number.isFinite(node.range.end) && overlap(node.range, range);
      if (inRange && node.runs.some((run) => run.at <= asked)) yield node;
    }
  }
}

function* factsOf(redo: Redo, core: Pick<Resolver, "jobs">): Generator<Fact> {
  const range = rangeOfRedo(redo);
  const asked = parseInstant(redo.at);
  if (range === null || asked === null) return;
  for (const node of nodesOfRedo(redo, range, asked, core)) {
    const id = { job: node.job.name, partition: node.name, id: redo.id };
    if (redo.state !== "running") yield { type: "never", ...id };
    else if (!node.runs.some((run) => run.again === redo.id)) yield { type: "again", now: false, ...id };
  }
}
