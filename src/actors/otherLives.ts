/**
 * Lives of other sites, as their keys here tell of them. A site that was rebuilt tells anew of what it has, key by key: what its former
 * life had stands until nothing more has come for a while, so that nothing is taken away only to be given back. That nothing comes says
 * so only where whoever sends it was heard of all the while and holds nothing back.
 *
 * A cut between the site and its supernode is not seen from here: so whoever asks does not let go of most of what a site had, either.
 */
import type { SourceState } from "../jetstream/sitesBucket.ts";
import { filesHeardMsMax, siteSettledMs } from "../limits.ts";
import { compareEpochs } from "../protocol/filesOf.ts";

interface Life {
  /** The latest that was seen. */
  epoch: string;
  /** When something was last heard of it, epoch ms by the own site's server. */
  heardAt: number;
  /** Since when its files come without break, and all that is held for us is here; null: they do not, or that is not known. */
  wholeSince: number | null;
  /** It was told that a former life is kept. */
  told: boolean;
  /** Earlier ones of which something stands. */
  readonly former: Set<string>;
}

/** A site that was rebuilt, and of whose former lives something stands. */
export interface Rebuilt {
  readonly site: string;
  /** The present one. */
  readonly epoch: string;
  readonly former: ReadonlyArray<string>;
  /** The present one has told of all that it has. */
  readonly isTold: boolean;
}

const isWhole = ({ lag, silentMs, error }: SourceState): boolean =>
  lag === 0 && error === null && silentMs !== null && silentMs <= filesHeardMsMax;

export class OtherLives {
  readonly #sites = new Map<string, Life>();

  /**
   * A key of a site was heard of. A later life is the present one from its first key on.
   * @param at epoch ms, by the own site's server
   * @returns false for a word of a former life, which says nothing any more
   */
  heard(site: string, epoch: string, at: number): boolean {
    let life = this.#sites.get(site);
    if (life === undefined) {
      life = { epoch, heardAt: 0, wholeSince: null, told: false, former: new Set() };
      this.#sites.set(site, life);
    }
    if (compareEpochs(epoch, life.epoch) > 0) {
      life.former.add(life.epoch);
      life.epoch = epoch;
    }
    if (epoch !== life.epoch) {
      life.former.add(epoch);
      return false;
    }
    life.heardAt = Math.max(life.heardAt, at);
    return true;
  }

  /** The present life of a site; undefined where nothing was heard of it. */
  present(site: string): string | undefined {
    return this.#sites.get(site)?.epoch;
  }

  /** Whether something of a former life stands. */
  get hasFormer(): boolean {
    return [...this.#sites.values()].some(({ former }) => former.size > 0);
  }

  /**
   * To be asked again and again: a break that falls between is not seen.
   * @param now epoch ms, by the own site's server
   * @param sources how the other sites' files come, now
   */
  rebuilt(now: number, sources: ReadonlyArray<SourceState>): ReadonlyArray<Rebuilt> {
    const found: Array<Rebuilt> = [];
    for (const [site, life] of this.#sites) {
      const source = sources.find((one) => one.site === site);
      life.wholeSince = source !== undefined && isWhole(source) ? (life.wholeSince ?? now) : null;
      if (life.former.size === 0) continue;
      const { epoch, heardAt, wholeSince, former } = life;
      const isTold = wholeSince !== null && now - Math.max(heardAt, wholeSince) >= siteSettledMs;
      found.push({ site, epoch, former: [...former], isTold });
    }
    return found;
  }

  /** Nothing of its former lives stands any more. */
  over(site: string): void {
    const life = this.#sites.get(site);
    if (life === undefined) return;
    life.former.clear();
    life.told = false;
    // Nobody looks any more whether it comes without break.
    life.wholeSince = null;
  }

  /** A former life of it is kept. @returns whether that is news */
  keep(site: string): boolean {
    const life = this.#sites.get(site);
    if (life === undefined || life.told) return false;
    life.told = true;
    return true;
  }
}
