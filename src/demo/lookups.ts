/** Somebody who asks "is it here?" all through the night, over HTTP, as a pipeline does that waits for its image. */
import type { PlannedGroup } from "./nightPlan.ts";

/** Look-ups held open at once; above it a group is not asked for. */
const waitsMax = 128;
const waitSeconds = 30;
const pollEveryMs = 40;
const latenciesKept = 5_000;

export const presencePath = ({ instrument, group, snap, detector }: PlannedGroup): string =>
  `/presence/${[instrument, group, String(snap), detector].map(encodeURIComponent).join("/")}`;

export class Lookups {
  readonly #url: string;
  readonly #signal: AbortSignal;
  /** Milliseconds from the webhook's being sent to the answer "here", latest last. */
  readonly #latencies: Array<number> = [];
  readonly #past: Array<PlannedGroup> = [];
  #waiting = 0;
  #answered = 0;
  #failed = 0;

  constructor(url: string, signal: AbortSignal) {
    this.#url = url;
    this.#signal = signal;
  }

  get waiting(): number {
    return this.#waiting;
  }

  get answered(): number {
    return this.#answered;
  }

  get failed(): number {
    return this.#failed;
  }

  /** Asks for a group that is about to be announced, and is answered when it comes. */
  waitFor(group: PlannedGroup): void {
    if (this.#waiting >= waitsMax) return;
    this.#waiting++;
    const asked = performance.now();
    void this.#ask(`${presencePath(group)}?wait=${waitSeconds}`).then((present) => {
      this.#waiting--;
      if (present !== true) return;
      this.#latencies.push(performance.now() - asked);
      if (this.#latencies.length > latenciesKept) this.#latencies.shift();
      this.#past.push(group);
    });
  }

  /** Asks for what has come before, at a steady pace, until the signal. */
  async poll(): Promise<void> {
    for (let i = 0; !this.#signal.aborted; i++) {
      const group = this.#past[(i * 7) % Math.max(1, this.#past.length)];
      if (group !== undefined) await this.#ask(presencePath(group));
      await new Promise((resolve) => setTimeout(resolve, pollEveryMs));
    }
  }

  /** Null when there was no answer. */
  async #ask(path: string): Promise<boolean | null> {
    try {
      const answer = await fetch(this.#url + path, { signal: this.#signal });
      const body = (await answer.json()) as { readonly present?: boolean };
      if (answer.status !== 200) throw new Error(`status ${answer.status}`);
      this.#answered++;
      return body.present === true;
    } catch {
      // Stopped, or refused: told by the count, unless the night is over anyway.
      if (!this.#signal.aborted) this.#failed++;
      return null;
    }
  }

  /** Milliseconds that a part (0 to 1) of the waits did not exceed; null before the first. */
  latency(part: number): number | null {
    const sorted = [...this.#latencies].sort((a, b) => a - b);
    return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? null;
  }
}
