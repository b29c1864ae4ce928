/** What a node's runners have in hand, with its latest words: part of the node's lease, so that it is seen as long as the node lives. */
import type { RunProgress } from "../drivers/RunDriver.ts";
import type { RunningNow } from "../protocol/records.ts";

/** The lease is renewed twice a second and is to stay small. */
const toldMax = 64;
const lineCharsMax = 120;

export class RunsInHand {
  readonly #runs = new Map<string, RunningNow>();

  /** @param run ledger key of the run */
  began(run: string): void {
    this.#runs.set(run, { run, since: new Date().toISOString(), line: "", peakRssBytes: null });
  }

  progressed(run: string, { line, peakRssBytes }: RunProgress): void {
    const before = this.#runs.get(run);
    if (before !== undefined)
      this.#runs.set(run, { ...before, line: line.slice(0, lineCharsMax), peakRssBytes });
  }

  ended(run: string): void {
    this.#runs.delete(run);
  }

  /** The oldest ones. */
  present(): ReadonlyArray<RunningNow> {
    return [...this.#runs.values()].slice(0, toldMax);
  }
}
