/**
 * Runs that could not be begun: each is tried again, ever more seldom, and told of together. What lasts, a value that somebody wrote by
 * hand or a server that is away while a year is being made, would else fill the log and the server.
 */
import type { Start } from "../jobs/fact.ts";
import { beginAgainFirstMs, beginAgainMostMs, beginToldEveryMs } from "../limits.ts";
import type { Log } from "./NodeContext.ts";

type Of = Pick<Start, "job" | "partition" | "hash">;

export class NotBegun {
  /** Of each partition what was tried last. */
  readonly #tries = new Map<string, { readonly hash: string; readonly tries: number }>();
  #untold = 0;
  #toldAt = Number.NEGATIVE_INFINITY;

  /** @param now of a clock that only goes on. @returns in how many milliseconds it is to be tried again */
  failed({ job, partition, hash }: Of, why: string, now: number, log: Log): number {
    const key = `${job} ${partition}`;
    const last = this.#tries.get(key);
    const tries = last?.hash === hash ? last.tries + 1 : 1;
    this.#tries.set(key, { hash, tries });
    this.#untold++;
    if (now - this.#toldAt >= beginToldEveryMs) {
      log("warn", "a run could not be begun yet", {
        job,
        partition,
        cause: why,
        tries,
        ...(this.#untold > 1 ? { triesOfAllSinceToldLast: this.#untold } : {}),
      });
      this.#toldAt = now;
      this.#untold = 0;
    }
    return Math.min(beginAgainMostMs, beginAgainFirstMs * 2 ** Math.min(tries - 1, 16));
  }

  /** It has begun, or is not to be begun any more. */
  over({ job, partition }: Pick<Of, "job" | "partition">): void {
    this.#tries.delete(`${job} ${partition}`);
  }

  get size(): number {
    return this.#tries.size;
  }
}
