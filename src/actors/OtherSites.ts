/**
 * What a site's node learns of other sites' groups: it asks the supernode, over the link by which its server has joined.
 *
 * Bounded in time, in flight and in the queue; those who ask for the same group at once share a question that begins after they came.
 * A supernode that does not answer is left alone for a while: only one question then finds out whether it is back, and everybody else
 * is answered at once that nobody was asked. So a site whose link is cut works alone, and says so.
 */
import type { Ask } from "../jetstream/sitesAsks.ts";
import {
  sitesAskMs,
  sitesAsksInFlightMax,
  sitesAsksQueuedMax,
  sitesAwayMs,
  sitesWatchedMax,
  sitesWatchMs,
} from "../limits.ts";
import type { AtSite, SitesAnswer } from "../protocol/sitesPresence.ts";
import { nobodyAsked, readSitesAnswer, writeQuestion } from "../protocol/sitesPresence.ts";
import { CoalescedReads } from "./CoalescedReads.ts";
import type { Log } from "./NodeContext.ts";

/** Told once that the group is at another site; it may never be. */
type Told = (found: AtSite) => void;

interface Watched {
  readonly told: Map<Told, number>;
  timer: NodeJS.Timeout | null;
}

/** An answer that comes sooner by this than it may be held back was not held back: the supernode cannot now. */
const earlyMs = 50;

export class OtherSites {
  readonly #ask: Ask;
  readonly #log: Log;
  readonly #reads: CoalescedReads<SitesAnswer>;
  readonly #watched = new Map<string, Watched>();
  #away = false;
  /** On the clock of `performance.now()`: when it is asked again although it is away, and when it answered last. */
  #againAt = 0;
  #answeredAt = -Infinity;

  constructor(ask: Ask, log: Log) {
    this.#ask = ask;
    this.#log = log;
    this.#reads = new CoalescedReads((key) => this.#question(key, 0), {
      inFlightMax: sitesAsksInFlightMax,
      queuedMax: sitesAsksQueuedMax,
    });
  }

  /** Calls `done` once, now or later. */
  lookUp(key: string, done: (answer: SitesAnswer) => void): void {
    const asked =
      this.#mayAsk() &&
      this.#reads.ask(key, (answer) => done(answer instanceof Error ? nobodyAsked : answer));
    if (!asked) done(nobodyAsked);
  }

  /** Whether a question may help: not while the supernode is away, but for one at a time. */
  #mayAsk(): boolean {
    return !this.#away || performance.now() >= this.#againAt;
  }

  /** Never rejects. */
  async #question(key: string, waitMs: number): Promise<SitesAnswer> {
    if (!this.#mayAsk()) return nobodyAsked;
    const askedAt = performance.now();
    if (this.#away) this.#againAt = askedAt + sitesAwayMs;
    let data: Uint8Array;
    try {
      data = await this.#ask(writeQuestion({ key, waitMs }), waitMs + sitesAskMs);
    } catch (cause) {
      // One question may be lost with the node that had it; nothing answered since says that the link is.
      if (this.#answeredAt < askedAt) this.#isAway(cause instanceof Error ? cause.message : String(cause));
      return nobodyAsked;
    }
    const answer = readSitesAnswer(data);
    if (answer === null || typeof answer === "string") {
      this.#isAway(answer ?? "its answer is not understood");
      return nobodyAsked;
    }
    this.#answers();
    return answer;
  }

  #isAway(cause: string): void {
    this.#againAt = performance.now() + sitesAwayMs;
    if (this.#away) return;
    this.#away = true;
    this.#log(
      "warn",
      "the supernode does not say what other sites have: presence is answered for this site alone",
      {
        cause,
      },
    );
  }

  #answers(): void {
    this.#answeredAt = performance.now();
    if (!this.#away) return;
    this.#away = false;
    this.#log("info", "the supernode says again what other sites have");
  }

  /** Has `told` called when the group comes to another site within `waitMs`, unless it is left before. */
  watch(key: string, waitMs: number, told: Told): () => void {
    let watched = this.#watched.get(key);
    if (watched === undefined) {
      // Whoever waits beyond this many is told when its time is up.
      if (this.#watched.size >= sitesWatchedMax) return () => undefined;
      watched = { told: new Map(), timer: null };
      this.#watched.set(key, watched);
      watched.told.set(told, performance.now() + waitMs);
      void this.#round(key, watched);
    } else {
      watched.told.set(told, performance.now() + waitMs);
    }
    const of = watched;
    return () => this.#leave(key, of, told);
  }

  #leave(key: string, watched: Watched, told: Told): void {
    watched.told.delete(told);
    if (watched.told.size > 0) return;
    if (watched.timer !== null) clearTimeout(watched.timer);
    if (this.#watched.get(key) === watched) this.#watched.delete(key);
  }

  /** One question that the supernode holds back, and the next one behind it while somebody waits. */
  async #round(key: string, watched: Watched): Promise<void> {
    const began = performance.now();
    const until = Math.max(...watched.told.values());
    const waitMs = Math.ceil(Math.min(sitesWatchMs, Math.max(0, until - began)));
    const { found } = await this.#question(key, waitMs);
    if (this.#watched.get(key) !== watched) return;
    if (found !== null) {
      this.#watched.delete(key);
      for (const told of watched.told.keys()) told(found);
      return;
    }
    const heldBack = waitMs > 0 && performance.now() - began >= waitMs - earlyMs;
    watched.timer = setTimeout(() => void this.#round(key, watched), heldBack ? 0 : sitesAwayMs);
  }
}
