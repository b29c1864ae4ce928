/**
 * What a node knows of the groups that are here, in memory, and who waits for one.
 *
 * It mirrors the bucket by following it, so it may lag. A hit is answered from memory; a miss is answered only after a read
 * through the leader that began after the question came. Groups are stored before they are announced: so whoever heard of one,
 * anywhere, is never told that it is absent.
 *
 * With `deleteWhenSeen` a node gives each announcement of a group to exactly one look-up and ends its key. Two nodes that
 * are asked at the same moment may each give it once: making that impossible would cost every look-up a write.
 *
 * Where other sites' groups count as well, the own site's come first: the others are asked once the own miss is certain. What another
 * site has is not taken from there.
 */
import type { PresenceSettings } from "../config/Site.ts";
import type { Change } from "../jetstream/follower.ts";
import type { Entry } from "../jetstream/ledger.ts";
import { getUnsafe } from "../jetstream/ledger.ts";
import { commitUnsafe } from "../jetstream/transaction.ts";
import {
  presenceReadsInFlightMax,
  presenceReadsQueuedMax,
  presenceWaitersMax,
  presenceWaitSecondsMax,
  requestDeadlineMs,
} from "../limits.ts";
import { kvSubject, presenceBucket } from "../protocol/keys.ts";
import type { Asked, PresenceRules, Scope } from "../protocol/presence.ts";
import { absentBodyOf, errorBody, presentAtBody, presentBodyOf, presentStart } from "../protocol/presence.ts";
import type { AtSite } from "../protocol/sitesPresence.ts";
import { CoalescedReads } from "./CoalescedReads.ts";
import type { NodeContextService } from "./NodeContext.ts";
import type { OtherSites } from "./OtherSites.ts";

/** Called once with an HTTP status (200, 400, 404, 503) and the whole answer: one line of ASCII JSON. */
export type Answer = (status: number, body: string) => void;
/** The asker has gone: what waits for it is let go. Harmless after the answer. */
export type Leave = () => void;

interface Held {
  readonly revision: number;
  /** Epoch milliseconds, by the server's clock. */
  readonly at: number;
  /** The answer as far as the URI's folder: one text for all groups there, of which a night has two hundred thousand. */
  readonly start: string;
  /** The rest of the URI. */
  readonly name: string;
}

interface Waiter {
  readonly key: string;
  readonly answer: Answer;
  /** null: they do not count. */
  readonly others: OtherSites | null;
  timer: NodeJS.Timeout | null;
  unwatch: () => void;
  settled: boolean;
}

export interface PresenceStats {
  readonly lookups: number;
  readonly failed: number;
  readonly groups: number;
  readonly waiting: number;
}

/** A key in memory outlives its lifetime by this at most, where its end was not heard: clocks may differ. */
const sweepMarginMs = 60_000;
const awayBody = errorBody("NATS does not answer: whether the group is here cannot be told now. Ask again.");
const busyBody = errorBody("Too many look-ups wait for an answer. Ask again.");
const stoppingBody = errorBody("This node is stopping. Ask again, or another node.");
const nothing: Leave = () => undefined;
// A name may begin with U+FEFF.
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
const slash = 0x2f;
/** Folders whose text is kept to be shared: groups come folder by folder. */
const foldersMax = 256;
const noData = new Uint8Array();

export class PresenceIndex {
  readonly rules: PresenceRules;
  readonly #node: NodeContextService;
  readonly #settings: PresenceSettings;
  readonly #others: OtherSites | null;
  readonly #reads: CoalescedReads<Entry | null>;
  /** In order of last change, oldest first. */
  readonly #held = new Map<string, Held>();
  readonly #starts = new Map<string, string>();
  /** deleteWhenSeen: the revision at which this node gave the group away, oldest first. */
  readonly #taken = new Map<string, { readonly revision: number; readonly at: number }>();
  readonly #waiters = new Map<string, Set<Waiter>>();
  #waiting = 0;
  /** Revision up to which the bucket has been followed. */
  #seen = 0;
  #present = 0;
  #absent = 0;
  #failed = 0;
  #counted = { present: 0, absent: 0 };
  #ending = 0;

  /** @param others null: there is no way to ask for them */
  constructor(node: NodeContextService, settings: PresenceSettings, others: OtherSites | null = null) {
    this.#node = node;
    this.#settings = settings;
    this.#others = others;
    this.rules = { instruments: new Set(settings.instruments), detector: settings.detector };
    this.#reads = new CoalescedReads((key) => getUnsafe(node.nats, presenceBucket, key), {
      inFlightMax: presenceReadsInFlightMax,
      queuedMax: presenceReadsQueuedMax,
    });
  }

  /** Forgets what was followed: a new follower begins at the beginning. Misses go to the leader meanwhile. */
  reset(): void {
    this.#held.clear();
    this.#seen = 0;
  }

  /** Takes one change of the bucket, in order. */
  learn(change: Change): void {
    this.#seen = change.revision;
    // Set anew and not in place: the order of this map is the order of last change.
    this.#held.delete(change.key);
    if (change.ended || !this.#isNews(change.key, change.revision)) return;
    this.#hold(change);
    this.#tellWaiters(change.key);
  }

  #hold(entry: {
    readonly key: string;
    readonly revision: number;
    readonly at: number;
    readonly data: Uint8Array;
  }): void {
    this.#held.set(entry.key, this.#heldOf(entry));
  }

  #heldOf({ revision, at, data }: Pick<Entry, "revision" | "at" | "data">): Held {
    const from = data.lastIndexOf(slash) + 1;
    const folder = decoder.decode(data.subarray(0, from));
    let start = this.#starts.get(folder);
    if (start === undefined) {
      start = presentStart(folder);
      if (this.#starts.size >= foldersMax) this.#starts.clear();
      this.#starts.set(folder, start);
    }
    // Decoded by itself: a part of the whole URI's text would keep all of that in memory.
    return { revision, at, start, name: decoder.decode(data.subarray(from)) };
  }

  #isNews(key: string, revision: number): boolean {
    return revision > (this.#taken.get(key)?.revision ?? 0);
  }

  #tellWaiters(key: string): void {
    const waiters = this.#waiters.get(key);
    if (waiters === undefined) return;
    for (const waiter of waiters) {
      const held = this.#held.get(key);
      if (held === undefined) return;
      this.#settle(waiter, 200, this.#see(key, held));
    }
  }

  /**
   * Looks a question up.
   * @param waitMs how long the answer may be held back until the group comes
   * @param scope whose groups count
   */
  lookUp(asked: Asked, waitMs: number, answer: Answer, scope: Scope = this.#settings.scope): Leave {
    if (typeof asked !== "string") {
      if (asked === null) this.#tellAbsent(answer);
      else answer(asked.status, asked.body);
      return nothing;
    }
    const held = this.#held.get(asked);
    if (held !== undefined) {
      answer(200, this.#see(asked, held));
      return nothing;
    }
    const others = scope === "all" ? this.#others : null;
    if (waitMs > 0 && this.#waiting < presenceWaitersMax) return this.#wait(asked, waitMs, answer, others);
    this.#readThrough(asked, answer, () => this.#lookElsewhere(asked, answer, others));
    return nothing;
  }

  /** The own site has not got it: whether another has, where that counts. */
  #lookElsewhere(key: string, answer: Answer, others: OtherSites | null): void {
    if (others === null) {
      this.#tellAbsent(answer);
      return;
    }
    others.lookUp(key, ({ found, unheard }) => {
      // It may have come meanwhile: the own site first.
      const held = this.#held.get(key);
      if (held !== undefined) answer(200, this.#see(key, held));
      else if (found !== null) answer(200, this.#seeElsewhere(found));
      else this.#tellAbsent(answer, unheard);
    });
  }

  #seeElsewhere({ uri, site }: AtSite): string {
    this.#present++;
    return presentAtBody(uri, site);
  }

  #tellAbsent(answer: Answer, unheard: ReadonlyArray<string> = []): void {
    this.#absent++;
    answer(200, absentBodyOf(unheard));
  }

  #fail(answer: Answer, body: string): void {
    this.#failed++;
    answer(503, body);
  }

  /** The answer to give; from here on the group is taken, where each is given once. */
  #see(key: string, held: Held): string {
    this.#present++;
    if (this.#settings.deleteWhenSeen) this.#take(key, held.revision);
    return presentBodyOf(held.start, held.name);
  }

  #readThrough(key: string, answer: Answer, absent: () => void): void {
    if (!this.#node.nats.link().connected) {
      this.#fail(answer, awayBody);
      return;
    }
    const asked = this.#reads.ask(key, (result) => {
      if (result instanceof Error) this.#fail(answer, awayBody);
      else {
        const body = this.#bodyOf(key, result);
        if (body === null) absent();
        else answer(200, body);
      }
    });
    if (!asked) this.#fail(answer, busyBody);
  }

  /** What a read says, together with what has been followed meanwhile; null: not here. */
  #bodyOf(key: string, entry: Entry | null): string | null {
    if (entry !== null && !entry.ended && entry.revision > this.#seen && this.#isNews(key, entry.revision)) {
      // Ahead of the follower, which will pass this revision and, some day, its end.
      this.#hold(entry);
    }
    const held = this.#held.get(key);
    if (held !== undefined) return this.#see(key, held);
    if (entry === null || entry.ended || !this.#isNews(key, entry.revision)) return null;
    return this.#see(key, this.#heldOf(entry));
  }

  #wait(key: string, waitMs: number, answer: Answer, others: OtherSites | null): Leave {
    const waiter: Waiter = { key, answer, others, timer: null, unwatch: nothing, settled: false };
    let waiters = this.#waiters.get(key);
    if (waiters === undefined) {
      waiters = new Set();
      this.#waiters.set(key, waiters);
    }
    waiters.add(waiter);
    this.#waiting++;
    const ms = Math.min(waitMs, presenceWaitSecondsMax * 1_000);
    waiter.timer = setTimeout(() => this.#giveUp(waiter), ms);
    // It may have come before the waiter stood in the list; a read that fails is made up for when the time is up.
    this.#reads.ask(key, (result) => {
      if (waiter.settled) return;
      const body = result instanceof Error ? null : this.#bodyOf(key, result);
      if (body !== null) this.#settle(waiter, 200, body);
      else if (others !== null) this.#watchElsewhere(waiter, others, ms);
    });
    return () => this.#forget(waiter);
  }

  #watchElsewhere(waiter: Waiter, others: OtherSites, ms: number): void {
    waiter.unwatch = others.watch(waiter.key, ms, (found) => {
      if (!waiter.settled) this.#settle(waiter, 200, this.#seeElsewhere(found));
    });
  }

  /** The time is up: one last look, because the follower may have stood still. */
  #giveUp(waiter: Waiter): void {
    if (this.#forget(waiter)) {
      const { key, answer, others } = waiter;
      this.#readThrough(key, answer, () => this.#lookElsewhere(key, answer, others));
    }
  }

  #settle(waiter: Waiter, status: number, body: string): void {
    if (this.#forget(waiter)) waiter.answer(status, body);
  }

  /** False where it had its answer already. */
  #forget(waiter: Waiter): boolean {
    if (waiter.settled) return false;
    waiter.settled = true;
    if (waiter.timer !== null) clearTimeout(waiter.timer);
    waiter.unwatch();
    this.#waiting--;
    const waiters = this.#waiters.get(waiter.key);
    waiters?.delete(waiter);
    if (waiters?.size === 0) this.#waiters.delete(waiter.key);
    return true;
  }

  /** Answers everyone who waits, with 503: the node stops. */
  release(): void {
    for (const waiters of this.#waiters.values()) {
      for (const waiter of waiters) {
        this.#failed++;
        this.#settle(waiter, 503, stoppingBody);
      }
    }
  }

  /** Gives the group away: from now on this node does not see this announcement again, whatever becomes of its key. */
  #take(key: string, revision: number): void {
    this.#held.delete(key);
    this.#taken.delete(key);
    this.#taken.set(key, { revision, at: this.#node.nats.now() });
    void this.#endKey(key, revision);
  }

  async #endKey(key: string, revision: number): Promise<void> {
    const keeps = (cause: string): void =>
      this.#node.log("warn", "a group that was seen keeps its key until its lifetime ends", { key, cause });
    if (this.#ending >= presenceReadsQueuedMax) {
      keeps("too many are being ended");
      return;
    }
    const marker = {
      subject: kvSubject(presenceBucket, key),
      data: noData,
      // A newer announcement must not be ended with the one that was seen.
      expected: revision,
      marker: true,
      // As long as the value may live: a marker that goes before it could let it revive after a hard kill of the server.
      ttlSeconds: lifetimeSeconds(this.#settings.lifetimeMs),
    };
    this.#ending++;
    const result = await commitUnsafe(
      this.#node.nats,
      "end a group that was seen",
      [marker],
      requestDeadlineMs,
    );
    this.#ending--;
    if ("_tag" in result && result._tag !== "TransactionConflict") keeps(result.message);
  }

  /** Drops what must have ended long ago although its end was never heard, and hands over the counts. */
  tick(now: number): void {
    const oldest = now - this.#settings.lifetimeMs - sweepMarginMs;
    dropOlder(this.#held, oldest);
    dropOlder(this.#taken, oldest);
    const { present, absent } = this.#counted;
    this.#counted = { present: this.#present, absent: this.#absent };
    this.#node.counters.lookups(true, this.#present - present);
    this.#node.counters.lookups(false, this.#absent - absent);
  }

  stats(): PresenceStats {
    return {
      lookups: this.#present + this.#absent + this.#failed,
      failed: this.#failed,
      groups: this.#held.size,
      waiting: this.#waiting,
    };
  }
}

/** NATS grants whole seconds, from 1. */
export const lifetimeSeconds = (ms: number): number => Math.max(1, Math.ceil(ms / 1_000));

function dropOlder(map: Map<string, { readonly at: number }>, oldest: number): void {
  for (const [key, { at }] of map) {
    if (at >= oldest) return;
    map.delete(key);
  }
}
