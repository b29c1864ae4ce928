/**
 * So many a second from each address, and so many at once: a token bucket an address, in a table that is bounded.
 *
 * Why not a library: docs/decisions/limits-per-address.md.
 *
 * Invariant: an address that is forgotten is treated as one that was never seen. Where more addresses come than there is room for, the
 * table is less exact, and never larger; nobody is refused for want of room.
 */
import { limitedAddressesMax } from "../limits.ts";

interface Bucket {
  tokens: number;
  /** By the monotonic clock, ms. */
  at: number;
}

export interface RateSettings {
  /** A second, sustained. */
  readonly perSecond: number;
  /** At once, after a pause. At least 1. */
  readonly burst: number;
}

/** Looked at for room, at most, when an address comes for which there is none. */
const sweptAtOnce = 64;

export class RateLimit {
  readonly #perMs: number;
  readonly #burst: number;
  readonly #addressesMax: number;
  /** In order of their coming. */
  readonly #buckets = new Map<string, Bucket>();

  constructor({ perSecond, burst }: RateSettings, addressesMax = limitedAddressesMax) {
    this.#perMs = perSecond / 1_000;
    this.#burst = burst;
    this.#addressesMax = addressesMax;
  }

  get addresses(): number {
    return this.#buckets.size;
  }

  /**
   * Takes one.
   * @param now by the monotonic clock, ms
   * @returns 0 where there is one; else in how many ms there will be
   */
  take(address: string, now: number): number {
    const bucket = this.#buckets.get(address);
    if (bucket === undefined) {
      if (this.#buckets.size >= this.#addressesMax) this.#makeRoom(now);
      this.#buckets.set(address, { tokens: this.#burst - 1, at: now });
      return 0;
    }
    const tokens = Math.min(this.#burst, bucket.tokens + (now - bucket.at) * this.#perMs);
    bucket.at = now;
    if (tokens < 1) {
      bucket.tokens = tokens;
      return (1 - tokens) / this.#perMs;
    }
    bucket.tokens = tokens - 1;
    return 0;
  }

  /** Forgets addresses that have not been heard of for long enough to have all again; without any, the one that came first. */
  #makeRoom(now: number): void {
    let looked = 0;
    let first: string | null = null;
    let forgotten = 0;
    for (const [address, bucket] of this.#buckets) {
      first ??= address;
      if (bucket.tokens + (now - bucket.at) * this.#perMs >= this.#burst) {
        this.#buckets.delete(address);
        forgotten++;
      }
      if (++looked >= sweptAtOnce) break;
    }
    if (forgotten === 0 && first !== null) this.#buckets.delete(first);
  }
}
