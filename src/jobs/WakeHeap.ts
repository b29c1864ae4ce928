/** Times at which something is to be looked at again, the earliest first. */
import type { Instant } from "./instant.ts";

interface Entry<A> {
  readonly at: Instant;
  readonly item: A;
}

/** A binary heap. Nothing is taken out of its middle: who took something else to heart meanwhile says so when it comes up. */
export class WakeHeap<A> {
  readonly #entries: Array<Entry<A>> = [];

  get size(): number {
    return this.#entries.length;
  }

  get next(): Instant | null {
    return this.#entries[0]?.at ?? null;
  }

  push(at: Instant, item: A): void {
    const entries = this.#entries;
    let index = entries.length;
    const entry = { at, item };
    entries.push(entry);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = entries[parent];
      if (above === undefined || above.at <= at) break;
      entries[index] = above;
      index = parent;
    }
    entries[index] = entry;
  }

  /** The earliest, if it is due. */
  popDue(now: Instant): Entry<A> | null {
    const entries = this.#entries;
    const top = entries[0];
    if (top === undefined || top.at > now) return null;
    const last = entries.pop();
    if (last !== undefined && last !== top) this.#sink(last);
    return top;
  }

  #sink(entry: Entry<A>): void {
    const entries = this.#entries;
    let index = 0;
    for (;;) {
      const left = entries[2 * index + 1];
      const right = entries[2 * index + 2];
      const isRight = right !== undefined && left !== undefined && right.at < left.at;
      const child = isRight ? right : left;
      if (child === undefined || child.at >= entry.at) break;
      entries[index] = child;
      index = 2 * index + (isRight ? 2 : 1);
    }
    entries[index] = entry;
  }
}
