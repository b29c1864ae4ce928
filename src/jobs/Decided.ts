/** What one call decides: of each partition its last word. */
import type { Change, Decision, Start, Status } from "./fact.ts";
import type { Node } from "./Node.ts";

export class Decided {
  readonly changed = new Map<Node, Status>();
  readonly starts = new Map<Node, Start>();
  evaluated = 0;
  readonly #gone: ReadonlyArray<Change>;

  constructor(gone: ReadonlyArray<Change>) {
    this.#gone = gone;
  }

  decision(left: number): Decision {
    const changed = [...this.changed].map(([node, status]) => ({
      job: node.job.name,
      partition: node.name,
      status,
    }));
    return {
      changed: [...this.#gone, ...changed],
      starts: [...this.starts.values()],
      left,
      evaluated: this.evaluated,
    };
  }
}
