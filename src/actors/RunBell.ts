/**
 * Tells the runners of one node which queues may hold something, so that none of them asks those that are empty or whose instrument is
 * busy. It hears what is written to the ledger's `ready` and `lock` keys as it passes by.
 *
 * Nothing rests on it but how soon a run starts: it may ring for what is not stored in the end, and miss what is. So whatever it was
 * told is forgotten every {@link sweepMs}: each queue is asked again, and each lock that was held is looked at.
 */
import type { NatsService } from "../jetstream/Nats.ts";
import { watchPassing } from "../jetstream/passing.ts";
import { ledgerBucket } from "../protocol/keys.ts";
import { lockIsHeld } from "../protocol/runLock.ts";
import { lockKey } from "../protocol/runQueue.ts";
import { standingHolder } from "./runLock.ts";

const sweepMs = 2_000;
/** What passes by is stored, and what it ends is acknowledged, a moment later: asked too soon, a queue seems empty. */
const echoesMs = [8, 80];

export class RunBell {
  readonly #nats: NatsService;
  /** Queues that were found empty and have not been heard of since. */
  readonly #empty = new Set<string>();
  /** How often each queue was heard of. */
  readonly #rings = new Map<string, number>();
  /** Keys of locks that somebody holds. */
  readonly #held = new Set<string>();
  readonly #sleepers = new Set<() => void>();
  readonly #echoes = new Set<NodeJS.Timeout>();
  #listeners = 0;
  #stop: () => void = () => undefined;

  constructor(nats: NatsService) {
    this.#nats = nats;
  }

  /** Each worker opens it, and closes it again. */
  open(): void {
    if (this.#listeners++ > 0) return;
    const unwatch = watchPassing(this.#nats, ledgerBucket, ["ready.>", "lock.>"], ({ key, data }) =>
      key.startsWith("lock.") ? this.#lock(key, data) : this.#ready(key),
    );
    const timer = setInterval(() => void this.#sweep(), sweepMs);
    this.#stop = () => {
      unwatch();
      clearInterval(timer);
      for (const echo of this.#echoes) clearTimeout(echo);
      this.#echoes.clear();
    };
  }

  close(): void {
    if (--this.#listeners > 0) return;
    this.#stop();
    this.#empty.clear();
    this.#held.clear();
  }

  mayHold(queue: string): boolean {
    return !this.#empty.has(queue);
  }

  /** To be given to {@link found} with what a look into the queue, begun now, has found. */
  mark(queue: string): number {
    return this.#rings.get(queue) ?? 0;
  }

  foundEmpty(queue: string, mark: number): void {
    if (this.mark(queue) === mark) this.#empty.add(queue);
  }

  isHeld(instrument: string): boolean {
    return this.#held.has(lockKey(instrument));
  }

  /** Somebody was found to hold it. */
  seenHeld(instrument: string): void {
    this.#held.add(lockKey(instrument));
  }

  /** Until something is heard of, `ms` are over, or `signal` aborts. */
  wait(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        signal.removeEventListener("abort", wake);
        this.#sleepers.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, ms);
      signal.addEventListener("abort", wake, { once: true });
      this.#sleepers.add(wake);
      if (signal.aborted) wake();
    });
  }

  #ready(key: string): void {
    const from = "ready.".length;
    const queue = key.slice(from, key.indexOf(".", from));
    this.#ring(queue);
    for (const ms of echoesMs) this.#later(ms, () => this.#ring(queue));
  }

  #lock(key: string, data: Uint8Array): void {
    if (lockIsHeld(data)) {
      this.#held.add(key);
      return;
    }
    for (const ms of echoesMs) {
      this.#later(ms, () => {
        this.#held.delete(key);
        this.#wakeAll();
      });
    }
  }

  #later(ms: number, run: () => void): void {
    const echo = setTimeout(() => {
      this.#echoes.delete(echo);
      run();
    }, ms);
    this.#echoes.add(echo);
  }

  #ring(queue: string): void {
    this.#rings.set(queue, this.mark(queue) + 1);
    this.#empty.delete(queue);
    this.#wakeAll();
  }

  #wakeAll(): void {
    for (const wake of this.#sleepers) wake();
  }

  async #sweep(): Promise<void> {
    for (const key of this.#held) {
      const holder = await standingHolder(this.#nats, key).catch(() => undefined);
      // Not to be read just now: as before.
      if (holder === null) this.#held.delete(key);
    }
    this.#empty.clear();
    this.#wakeAll();
  }
}
