/**
 * Partitions that are to be decided. What few touched comes before what many touched, so that a calibration for all time holds
 * nobody up; and within each, what is made comes before what is made of it.
 */
import type { Node } from "./Node.ts";

export class DirtyNodes {
  readonly #soon: Array<Array<Node>> = [];
  readonly #later: Array<Array<Node>> = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(node: Node, isSoon: boolean): void {
    const urgency = isSoon ? 2 : 1;
    if (node.urgency >= urgency) return;
    if (node.urgency === 0) {
      this.#size++;
      node.job.dirty.add(node);
    }
    // One that stood among the later ones is left there: taken out sooner, it is passed over there.
    node.urgency = urgency;
    const queue = isSoon ? this.#soon : this.#later;
    const { depth } = node.job;
    while (queue.length <= depth) queue.push([]);
    queue[depth]?.push(node);
  }

  /** It is being decided. */
  settled(node: Node): void {
    if (node.urgency === 0) return;
    node.urgency = 0;
    node.job.dirty.delete(node);
    this.#size--;
  }

  next(): { readonly node: Node; readonly isSoon: boolean } | null {
    return this.#take(this.#soon, 2) ?? this.#take(this.#later, 1);
  }

  #take(
    queue: ReadonlyArray<Array<Node>>,
    urgency: 1 | 2,
  ): { readonly node: Node; readonly isSoon: boolean } | null {
    for (const level of queue) {
      for (let node = level.pop(); node !== undefined; node = level.pop()) {
        if (node.urgency === urgency) return { node, isSoon: urgency === 2 };
      }
    }
    return null;
  }
}
