/**
 * Whether each site is heard of: said once when it is not, once when it is again, and once when what it held back has come.
 *
 * By how long nothing came, and not by the lag: of a site that is cut off the supernode hears nothing that would count as lag.
 */
import type { SourceState } from "../jetstream/sitesBucket.ts";
import { sourceSilentMsMax } from "../limits.ts";
import type { Log } from "./NodeContext.ts";

interface Watched {
  /** On the caller's clock: when something was heard of it last, as far as is known. */
  heardAt: number;
  /** Since when it was silent when it was named; null: it is heard of. */
  silentSince: number | null;
  /** Heard of again, and not all is here that it held back. */
  catchingUp: boolean;
}

export interface Standing extends SourceState {
  readonly silentForMs: number;
  readonly stalled: boolean;
}

export interface Words {
  readonly silent: string;
  readonly again: string;
  readonly here: string;
}

const ofLedgers: Words = {
  silent: "a site is not heard of: what it knows is not seen here until it is",
  again: "a site is heard of again",
  here: "all that a site held back is here",
};

/** Of the groups, which come on their own. */
export const ofGroups: Words = {
  silent: "groups of a site do not come: look-ups do not see them here until they do",
  again: "groups of a site come again",
  here: "all groups that a site held back are here",
};

/** Of another site's files, at a site whose jobs are made of them. */
export const ofFiles: Words = {
  silent: "nothing comes of another site's files: jobs go on with those that are held here",
  again: "files of another site come again",
  here: "all files that came meanwhile are here",
};

export class SourceAlarm {
  readonly #sites = new Map<string, Watched>();
  readonly #log: Log;
  readonly #words: Words;

  constructor(log: Log, words: Words = ofLedgers) {
    this.#log = log;
    this.#words = words;
  }

  /** @param now milliseconds of any clock that only goes on */
  look(states: ReadonlyArray<SourceState>, now: number): ReadonlyArray<Standing> {
    for (const site of this.#sites.keys()) {
      if (!states.some((state) => state.site === site)) this.#sites.delete(site);
    }
    return states.map((state) => this.#judge(state, now));
  }

  #judge(state: SourceState, now: number): Standing {
    const { site, silentMs, error, lag } = state;
    // What was never heard of has its time from when it is first seen: a source begins only after a while.
    const heardAt = now - (silentMs ?? 0);
    const watched = this.#sites.get(site) ?? { heardAt, silentSince: null, catchingUp: false };
    this.#sites.set(site, watched);
    if (silentMs !== null) watched.heardAt = Math.max(watched.heardAt, heardAt);
    const silence = Math.round(now - watched.heardAt);
    const stalled = error !== null || silence > sourceSilentMsMax;
    if (stalled && watched.silentSince === null) {
      watched.silentSince = watched.heardAt;
      this.#log("error", this.#words.silent, {
        site,
        silentMs: silence,
        error,
      });
    }
    if (!stalled && watched.silentSince !== null) {
      const silentForMs = Math.round(watched.heardAt - watched.silentSince);
      this.#log("info", this.#words.again, { site, silentForMs, lag });
      watched.silentSince = null;
      watched.catchingUp = true;
    }
    if (!stalled && watched.catchingUp && lag === 0) {
      watched.catchingUp = false;
      this.#log("info", this.#words.here, { site });
    }
    return { ...state, silentForMs: silence, stalled };
  }
}
