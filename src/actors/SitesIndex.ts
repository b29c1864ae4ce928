/**
 * What the supernode knows of its sites' groups, in memory, and who waits for one.
 *
 * It mirrors the bucket into which the sites' groups are sourced. So it lags behind each site by the way between them, and by any
 * length while a link is cut: an answer "absent" names the sites of which nothing was heard lately. A site's former life (another
 * epoch) is never answered from. Whose groups an asker may see stands with the bucket: one that is not named there sees nothing.
 */
import type { Change } from "../jetstream/follower.ts";
import type { SitesStanding, SourceState } from "../jetstream/sitesBucket.ts";
import { sitesLookOldMs, siteWaitersMax, sitesWaitersHereMax, sourceSilentMsMax } from "../limits.ts";
import type { SitesAnswer } from "../protocol/sitesPresence.ts";
import { nobodyAsked } from "../protocol/sitesPresence.ts";

/** Called once. A text: why there is no answer. */
export type SitesDone = (answer: SitesAnswer | string) => void;
/** The asker has gone: what waits for it is let go. Harmless after the answer. */
export type Leave = () => void;

interface Held {
  /** The URI's folder: one text for all groups there, of which a site's night has two hundred thousand. */
  readonly folder: string;
  /** The rest of the URI. */
  readonly name: string;
  /** Epoch milliseconds by the server's clock at which it must have ended, also where its end was not heard. */
  readonly until: number;
}

interface Waiter {
  readonly key: string;
  readonly asker: string | null;
  readonly done: SitesDone;
  timer: NodeJS.Timeout | null;
  settled: boolean;
}

export interface SitesStats {
  readonly lookups: number;
  readonly groups: number;
  readonly waiting: number;
}

/** As {@link Held.until} beyond the lifetime: clocks may differ, and the end is heard a little later. */
const endMarginMs = 60_000;
export const notReady = "the supernode has only just started: ask again";
/** Who asked to wait is not told of an absence that nobody waited for. */
export const tooManyWait = "too many look-ups wait here: ask again, or without waiting";
const stopping = "the supernode's node is stopping: ask again";
const nothing: Leave = () => undefined;
const slash = 0x2f;
/** Folders whose text is kept to be shared: groups come folder by folder. */
const foldersMax = 256;
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** `<site>.<epoch>`, and the group's own key. */
function splitKey(key: string): readonly [string, string] {
  const at = key.indexOf(".", key.indexOf(".") + 1);
  return [key.slice(0, at), key.slice(at + 1)];
}

export class SitesIndex {
  /** By `<site>.<epoch>`, each in order of last change, oldest first. */
  readonly #held = new Map<string, Map<string, Held>>();
  readonly #folders = new Map<string, string>();
  readonly #waiters = new Map<string, Set<Waiter>>();
  /** Who waits, by who asks; null: at the supernode. Each has room of its own, so that none takes it from the others. */
  readonly #waiting = new Map<string | null, number>();
  #standing: SitesStanding | null = null;
  /** On the clock of `performance.now()`. */
  #stoodAt = 0;
  /** When each life of a site was last heard of, on the same clock. */
  #heardAt: ReadonlyMap<string, number> = new Map();
  #caughtUp = false;
  #present = 0;
  #absent = 0;
  #counted = { present: 0, absent: 0 };

  /** Forgets what was followed: a new follower begins at the beginning. Nothing is answered until it has caught up. */
  reset(): void {
    this.#held.clear();
    this.#caughtUp = false;
  }

  caughtUp(): void {
    this.#caughtUp = true;
  }

  /** Takes one change of the bucket, in order. */
  learn(change: Change): void {
    const [life, key] = splitKey(change.key);
    let groups = this.#held.get(life);
    if (groups === undefined) {
      groups = new Map();
      this.#held.set(life, groups);
    }
    // Set anew and not in place: the order of the map is the order of last change.
    groups.delete(key);
    if (change.ended) return;
    groups.set(key, this.#heldOf(change));
    this.#tellWaiters(key);
  }

  #heldOf({ data, at, lifetimeMs = null }: Change): Held {
    const from = data.lastIndexOf(slash) + 1;
    const decoded = decoder.decode(data.subarray(0, from));
    const folder = this.#folders.get(decoded) ?? decoded;
    if (this.#folders.size >= foldersMax) this.#folders.clear();
    this.#folders.set(folder, folder);
    return {
      folder,
      name: decoder.decode(data.subarray(from)),
      until: lifetimeMs === null ? Infinity : at + lifetimeMs + endMarginMs,
    };
  }

  /** Which sites there are, and how each stands, as it was just looked up. */
  stands(standing: SitesStanding): void {
    this.#standing = standing;
    this.#stoodAt = performance.now();
    // A new leader of the bucket has heard of nobody yet: what is known of before still counts.
    this.#heardAt = new Map(
      standing.sources.flatMap(({ site, epoch, silentMs }) => {
        const life = `${site}.${epoch}`;
        const at = silentMs === null ? this.#heardAt.get(life) : this.#stoodAt - silentMs;
        return at === undefined ? [] : [[life, at] as const];
      }),
    );
  }

  /**
   * @param asker the site that asks, which is told of others only; null: who asks at the supernode, and sees all
   * @param waitMs how long the answer may be held back until the group comes
   */
  lookUp(asker: string | null, key: string, waitMs: number, done: SitesDone): Leave {
    const refusal = this.#refusalOf(asker);
    if (refusal !== null) {
      done(refusal);
      return nothing;
    }
    const found = this.#find(asker, key);
    if (found !== null || waitMs <= 0) {
      this.#answer(asker, found, done);
      return nothing;
    }
    if (this.#waitingOf(asker) >= (asker === null ? sitesWaitersHereMax : siteWaitersMax)) {
      // A refusal would be taken for a supernode that is away.
      done(asker === null ? tooManyWait : nobodyAsked);
      return nothing;
    }
    const waiter: Waiter = { key, asker, done, timer: null, settled: false };
    const waiters = this.#waiters.get(key) ?? new Set();
    this.#waiters.set(key, waiters.add(waiter));
    this.#waiting.set(asker, this.#waitingOf(asker) + 1);
    waiter.timer = setTimeout(() => {
      if (this.#forget(waiter)) this.#answer(asker, this.#find(asker, key), done);
    }, waitMs);
    return () => this.#forget(waiter);
  }

  #waitingOf(asker: string | null): number {
    return this.#waiting.get(asker) ?? 0;
  }

  #refusalOf(asker: string | null): string | null {
    if (this.#standing === null || !this.#caughtUp) return notReady;
    if (asker === null || this.#standing.sees.has(asker)) return null;
    return `${asker} has not joined, or was put out`;
  }

  /** Whether the asker may see the site's groups; its own it knows better itself. */
  #sees(asker: string | null, site: string): boolean {
    if (asker === null) return true;
    const sees = this.#standing?.sees.get(asker);
    return site !== asker && (sees === "all" || (sees?.includes(site) ?? false));
  }

  #find(asker: string | null, key: string): SitesAnswer["found"] {
    for (const { site, epoch } of this.#standing?.sources ?? []) {
      if (!this.#sees(asker, site)) continue;
      const held = this.#held.get(`${site}.${epoch}`)?.get(key);
      if (held !== undefined) return { site, uri: held.folder + held.name };
    }
    return null;
  }

  #answer(asker: string | null, found: SitesAnswer["found"], done: SitesDone): void {
    if (found === null) this.#absent++;
    else this.#present++;
    done(found === null ? this.#absentFor(asker) : { found, unheard: [] });
  }

  #absentFor(asker: string | null): SitesAnswer {
    const now = performance.now();
    if (now - this.#stoodAt > sitesLookOldMs) return nobodyAsked;
    const isSilent = ({ site, epoch, error }: SourceState): boolean =>
      error !== null || now - (this.#heardAt.get(`${site}.${epoch}`) ?? -Infinity) > sourceSilentMsMax;
    const unheard = (this.#standing?.sources ?? [])
      .filter((source) => this.#sees(asker, source.site) && isSilent(source))
      .map(({ site }) => site);
    return { found: null, unheard };
  }

  #tellWaiters(key: string): void {
    for (const waiter of this.#waiters.get(key) ?? []) {
      const found = this.#find(waiter.asker, key);
      if (found !== null && this.#forget(waiter)) this.#answer(waiter.asker, found, waiter.done);
    }
  }

  /** False where it had its answer already. */
  #forget(waiter: Waiter): boolean {
    if (waiter.settled) return false;
    waiter.settled = true;
    if (waiter.timer !== null) clearTimeout(waiter.timer);
    const left = this.#waitingOf(waiter.asker) - 1;
    if (left > 0) this.#waiting.set(waiter.asker, left);
    else this.#waiting.delete(waiter.asker);
    const waiters = this.#waiters.get(waiter.key);
    waiters?.delete(waiter);
    if (waiters?.size === 0) this.#waiters.delete(waiter.key);
    return true;
  }

  /** Answers everyone who waits: the node stops. */
  release(): void {
    for (const waiters of this.#waiters.values()) {
      for (const waiter of waiters) if (this.#forget(waiter)) waiter.done(stopping);
    }
  }

  /** Drops what must have ended although its end was never heard. @param now epoch milliseconds by the server's clock */
  tick(now: number): void {
    for (const groups of this.#held.values()) {
      for (const [key, { until }] of groups) {
        if (until > now) break;
        groups.delete(key);
      }
    }
  }

  /** Look-ups answered since this was last asked. */
  takeCounts(): { readonly present: number; readonly absent: number } {
    const { present, absent } = this.#counted;
    this.#counted = { present: this.#present, absent: this.#absent };
    return { present: this.#present - present, absent: this.#absent - absent };
  }

  stats(): SitesStats {
    let groups = 0;
    for (const of of this.#held.values()) groups += of.size;
    let waiting = 0;
    for (const count of this.#waiting.values()) waiting += count;
    return { lookups: this.#present + this.#absent, groups, waiting };
  }
}
