/**
 * Runs of jobs that this node does not know, each with when it tried it first. How old the run is says nothing: one that waited in its
 * queue for an hour would be a failure at once, at the node that has not read the new catalogue yet.
 */
import { jobUnknownMs, unknownRunsMax } from "../limits.ts";

export class UnknownJobs {
  readonly #leftMs: number;
  readonly #since = new Map<string, number>();

  /** @param leftMs for how long a run is left to other nodes */
  constructor(leftMs: number = jobUnknownMs) {
    this.#leftMs = leftMs;
  }

  /** @param run ledger key of the run. @param now ms, of a clock that only goes on. @returns whether others had long enough to take it */
  isOver(run: string, now: number): boolean {
    const since = this.#since.get(run) ?? now;
    if (!this.#since.has(run)) {
      const [oldest] = this.#since.keys();
      if (this.#since.size >= unknownRunsMax && oldest !== undefined) this.#since.delete(oldest);
      this.#since.set(run, now);
    }
    return now - since >= this.#leftMs;
  }

  get size(): number {
    return this.#since.size;
  }
}
