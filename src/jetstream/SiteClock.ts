/**
 * The site's clock: that of its NATS server. Nodes whose own clocks differ by an hour decide the same, because whatever is
 * compared between nodes (when something is due, until when it waits, which days are past their retention) is told by this one.
 *
 * Between two answers of the server it is carried on by the process's monotonic clock, so that a local clock that is put right
 * moves nothing. Before the first answer it is the local clock.
 */

export class SiteClock {
  /** Epoch milliseconds at the monotonic clock's zero, by the best answer so far. */
  #origin = performance.timeOrigin;
  /** Half of that answer's round trip: how far it can be off. Grows with age, so that a slow answer replaces an old one. */
  #uncertainMs = Number.POSITIVE_INFINITY;
  #learntAt = 0;

  /** Epoch milliseconds. */
  now(): number {
    return this.#origin + performance.now();
  }

  get learnt(): boolean {
    return Number.isFinite(this.#uncertainMs);
  }

  /**
   * Takes an answer in.
   * @param serverMs what the server's clock showed, epoch milliseconds
   * @param askedAt, answeredAt by `performance.now()`
   */
  learn(serverMs: number, askedAt: number, answeredAt: number): void {
    const uncertain = (answeredAt - askedAt) / 2;
    const aged = this.#uncertainMs + (answeredAt - this.#learntAt) * driftMax;
    if (uncertain > aged) return;
    this.#origin = serverMs - (askedAt + answeredAt) / 2;
    this.#uncertainMs = uncertain;
    this.#learntAt = answeredAt;
  }
}

/** How much two clocks may run apart: a millisecond in ten seconds. */
const driftMax = 1e-4;

/** The time that an answer of the JetStream API was given, epoch milliseconds; null for an answer that tells none. */
export function serverTime(answer: string): number | null {
  const ms = Date.parse(/"ts":\s*"([^"]{20,40})"/.exec(answer)?.[1] ?? "");
  return Number.isFinite(ms) ? ms : null;
}
