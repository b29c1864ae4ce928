/** Tells of senders that are held back: together, and at most every {@link limitedToldEveryMs}, however many there are. */
import { limitedToldEveryMs } from "../limits.ts";
import type { NodeContextService } from "./NodeContext.ts";

const namedMax = 5;
const countedMax = 256;

export class LimitedLog {
  readonly #log: NodeContextService["log"];
  readonly #message: string;
  readonly #counts = new Map<string, number>();
  #refused = 0;
  #toldAt = Number.NEGATIVE_INFINITY;

  constructor(log: NodeContextService["log"], message: string) {
    this.#log = log;
    this.#message = message;
  }

  /** @param now by the monotonic clock, ms */
  refused(address: string, now: number): void {
    this.#refused++;
    const before = this.#counts.get(address);
    if (before !== undefined || this.#counts.size < countedMax) this.#counts.set(address, (before ?? 0) + 1);
    if (now - this.#toldAt < limitedToldEveryMs) return;
    this.#toldAt = now;
    const most = [...this.#counts].sort(([, a], [, b]) => b - a).slice(0, namedMax);
    this.#log("warn", this.#message, {
      refused: this.#refused,
      addresses: this.#counts.size,
      most: most.map(([name, count]) => `${name} (${count})`),
    });
    this.#counts.clear();
    this.#refused = 0;
  }
}
