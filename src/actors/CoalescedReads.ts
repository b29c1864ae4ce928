/**
 * Reads of single keys, at most one in flight for each and a bounded number in all.
 *
 * Invariant: whoever asks is answered by a read that was *begun after* it asked. A read in flight may have looked before what
 * the asker knows of was written, so those who come meanwhile share the next one.
 */

type Done<A> = (result: A | Error) => void;

interface Asked<A> {
  /** Answered by the read that is in flight, or queued. */
  now: Array<Done<A>>;
  /** Answered by the one after it. */
  next: Array<Done<A>>;
  inFlight: boolean;
}

export interface ReadsLimits {
  readonly inFlightMax: number;
  /** Askers without an answer, at once. */
  readonly queuedMax: number;
}

export class CoalescedReads<A> {
  readonly #read: (key: string) => Promise<A>;
  readonly #limits: ReadsLimits;
  readonly #asked = new Map<string, Asked<A>>();
  /** Keys whose read has not begun, in order of asking. */
  readonly #queue = new Set<string>();
  #inFlight = 0;
  #askers = 0;

  constructor(read: (key: string) => Promise<A>, limits: ReadsLimits) {
    this.#read = read;
    this.#limits = limits;
  }

  /** Calls `done` once, later, with what was read; false, and never, where too many wait already. */
  ask(key: string, done: Done<A>): boolean {
    if (this.#askers >= this.#limits.queuedMax) return false;
    this.#askers++;
    const asked = this.#asked.get(key);
    if (asked === undefined) {
      this.#asked.set(key, { now: [done], next: [], inFlight: false });
      this.#queue.add(key);
      this.#pump();
    } else {
      (asked.inFlight ? asked.next : asked.now).push(done);
    }
    return true;
  }

  #pump(): void {
    for (const key of this.#queue) {
      if (this.#inFlight >= this.#limits.inFlightMax) return;
      this.#queue.delete(key);
      const asked = this.#asked.get(key);
      if (asked === undefined) continue;
      asked.inFlight = true;
      this.#inFlight++;
      this.#read(key).then(
        (result) => this.#end(key, asked, result),
        (cause: unknown) => this.#end(key, asked, cause instanceof Error ? cause : new Error(String(cause))),
      );
    }
  }

  #end(key: string, asked: Asked<A>, result: A | Error): void {
    this.#inFlight--;
    const { now } = asked;
    if (asked.next.length === 0) {
      this.#asked.delete(key);
    } else {
      asked.now = asked.next;
      asked.next = [];
      asked.inFlight = false;
      this.#queue.add(key);
    }
    this.#askers -= now.length;
    for (const done of now) done(result);
    this.#pump();
  }
}
