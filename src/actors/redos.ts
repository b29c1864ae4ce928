/**
 * Reprocessings: each asks for partitions of its jobs to be made anew, once. Which ones follows from what stands when it is read:
 * those in its range that were made, or tried, before it was asked for. What has come since is live and of the newest inputs anyway.
 *
 * The order of levels is not kept here: whatever is to be made anew holds what is made of it.
 */
import type { PartitionId } from "../jobs/blockedOn.ts";
import type { Fact, RunFact } from "../jobs/fact.ts";
import type { Range } from "../jobs/instant.ts";
import { dayUs, overlap, parseInstant, startOfDay } from "../jobs/instant.ts";
import { isAnswer } from "../jobs/Node.ts";
import type { Node } from "../jobs/Node.ts";
import type { Resolver } from "../jobs/Resolver.ts";
import type { Redo } from "../protocol/orders.ts";

export class Redos {
  readonly #byId = new Map<string, Redo>();
  /** Read and not turned into facts yet. */
  readonly #fresh = new Map<string, Redo>();

  set(redo: Redo): void {
    this.#byId.set(redo.id, redo);
    this.#fresh.delete(redo.id);
    this.#fresh.set(redo.id, redo);
    if (redo.state === "running") return;
    // A partition knows what was asked of it last. Where that is taken back, what others ask still stands.
    for (const [id, other] of this.#byId) {
      if (other.state === "running" && !this.#fresh.has(id)) this.#fresh.set(id, other);
    }
  }

  get(id: string): Redo | null {
    return this.#byId.get(id) ?? null;
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
  const order = { id: redo.id, at: asked };
  for (const node of nodesOfRedo(redo, range, asked, core)) {
    const id = { job: node.job.name, partition: node.name, id: redo.id };
    if (redo.state !== "running") yield { type: "never", ...id };
    else if (!node.runs.some((run) => isAnswer(run, order)))
      yield { type: "again", by: "reprocessing", now: false, ...id, at: asked };
  }
}

/**
 * How many runs of reprocessings are under way in each lane. Only so many stand in its queue at once: what is paused or cancelled ends
 * soon, and a year that is made anew does not fill the ledger with runs that nobody has looked at yet.
 */
export class RedoShare {
  /** Lane of each run under way, by its hash. */
  readonly #underWay = new Map<string, string>();
  readonly #counts = new Map<string, number>();
  /** Partitions whose turn has not come, by lane. */
  readonly #waiting = new Map<string, Map<string, PartitionId>>();

  /** @returns the partitions whose turn it may be now */
  learn(run: Pick<RunFact, "hash" | "state">, lane: string): ReadonlyArray<PartitionId> {
    const isUnderWay = run.state === "ready" || run.state === "running";
    if (isUnderWay === this.#underWay.has(run.hash)) return [];
    if (isUnderWay) this.#underWay.set(run.hash, lane);
    else this.#underWay.delete(run.hash);
    this.#counts.set(lane, (this.#counts.get(lane) ?? 0) + (isUnderWay ? 1 : -1));
    if (isUnderWay) return [];
    const waiting = [...(this.#waiting.get(lane)?.values() ?? [])];
    this.#waiting.delete(lane);
    return waiting;
  }

  /** Whether there is room for one more, which it then has; where there is none the partition is told of when there may be. */
  admits(lane: string, of: PartitionId & Pick<RunFact, "hash">, most: number): boolean {
    if (this.#underWay.has(of.hash)) return true;
    if ((this.#counts.get(lane) ?? 0) < most) {
      this.learn({ hash: of.hash, state: "ready" }, lane);
      return true;
    }
    const waiting = this.#waiting.get(lane) ?? new Map<string, PartitionId>();
    waiting.set(`${of.job} ${of.partition}`, { job: of.job, partition: of.partition });
    this.#waiting.set(lane, waiting);
    return false;
  }
}
