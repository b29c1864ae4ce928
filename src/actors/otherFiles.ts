/**
 * Files of other sites, as the site's own part of the supernode's bucket tells of them. Each key stands under a life of its site; what
 * an earlier life had and the present one has not is gone. A site that was rebuilt tells anew of what it has, file by file: what its
 * former life had stands until nothing more has come for a while, so that nothing is taken away only to be given back. That nothing
 * comes says so only where whoever sends it was heard of all the while and holds nothing back; and as a cut between the site and its
 * supernode is not seen from here, not where most of the site would go.
 */
import type { Change } from "../jetstream/follower.ts";
import type { Place } from "../jobs/places.ts";
import type { SourceState } from "../jetstream/sitesBucket.ts";
import { dropShareMax, filesHeardMsMax, siteSettledMs } from "../limits.ts";
import { compareEpochs, siteKeyOf } from "../protocol/filesOf.ts";
import { decodeKeyPart, placeOfRecordKey } from "../protocol/keys.ts";
import type { FileBody } from "../protocol/records.ts";
import { decodeRecord } from "../protocol/records.ts";
import { placeOfRecord } from "./filePlaces.ts";

/** What one key says: the site has the file at this place, or (null) not any more. */
export interface OtherFile {
  readonly site: string;
  readonly name: string;
  readonly place: Place | null;
  /** ISO 8601: when the site received it; null where it has it no more. */
  readonly receivedAt: string | null;
}

interface Lives {
  /** The latest that was seen. */
  epoch: string;
  /** When something was last heard of it, epoch ms by the own site's server. */
  heardAt: number;
  /** Since when its files come without break, and all that is held for us is here; null: they do not, or that is not known. */
  wholeSince: number | null;
  /** It was told that a former life is kept. */
  told: boolean;
  /** Under which epoch each file is known. */
  readonly names: Map<string, string>;
  /** Earlier ones of which something stands. */
  readonly former: Set<string>;
}

/** A site has so much less than in its former life that what that had is kept. */
export interface Kept {
  readonly site: string;
  /** The present one. */
  readonly epoch: string;
  /** Files that only the former life had, and those that the present one has. */
  readonly gone: number;
  readonly has: number;
}

export interface Over {
  readonly files: ReadonlyArray<OtherFile>;
  /** Lives of which nothing stands any more. */
  readonly lives: ReadonlyArray<{ readonly site: string; readonly epoch: string }>;
  /** Each told once. */
  readonly kept: ReadonlyArray<Kept>;
}

const isWhole = ({ lag, silentMs, error }: SourceState): boolean =>
  lag === 0 && error === null && silentMs !== null && silentMs <= filesHeardMsMax;

export class OtherFiles {
  readonly #sites: ReadonlySet<string>;
  readonly #lives = new Map<string, Lives>();

  /** @param sites whose files are taken */
  constructor(sites: Iterable<string>) {
    this.#sites = new Set(sites);
  }

  /** Null for what says nothing of a mission's file. Throws `LedgerCorrupt` for a value that nobody of us wrote. */
  apply(change: Pick<Change, "key" | "data" | "ended" | "at">): OtherFile | null {
    const found = siteKeyOf(change.key);
    if (found === null || !this.#sites.has(found.site)) return null;
    const { site, epoch, key } = found;
    const lives = this.#livesOf(site, epoch);
    if (compareEpochs(epoch, lives.epoch) > 0) {
      lives.former.add(lives.epoch);
      lives.epoch = epoch;
    }
    if (epoch !== lives.epoch) {
      lives.former.add(epoch);
      return null;
    }
    lives.heardAt = Math.max(lives.heardAt, change.at);
    const place = placeOfRecordKey(key);
    if (place === null) return null;
    const record = change.ended ? null : decodeRecord<FileBody>(change.key, change.data);
    const there = record === null ? null : placeOfRecord(site, key, record);
    if (record === null || there === null) {
      const name = decodeKeyPart(place.tail);
      if (name === null || !lives.names.delete(name)) return null;
      return { site, name, place: null, receivedAt: null };
    }
    lives.names.set(there.file.name, epoch);
    return { site, name: there.file.name, place: there, receivedAt: record.body.receivedAt };
  }

  /** Whether something of a former life stands. */
  get hasFormer(): boolean {
    return [...this.#lives.values()].some(({ former }) => former.size > 0);
  }

  /**
   * Files of former lives whose present ones have told of all that they have.
   * @param now epoch ms, by the own site's server
   * @param sources how the other sites' files come, now
   */
  over(now: number, sources: ReadonlyArray<SourceState>): Over {
    const files: Array<OtherFile> = [];
    const over: Array<{ readonly site: string; readonly epoch: string }> = [];
    const kept: Array<Kept> = [];
    for (const [site, lives] of this.#lives) {
      const source = sources.find((one) => one.site === site);
      lives.wholeSince = source !== undefined && isWhole(source) ? (lives.wholeSince ?? now) : null;
      if (lives.former.size === 0 || lives.wholeSince === null) continue;
      if (now - Math.max(lives.heardAt, lives.wholeSince) < siteSettledMs) continue;
      const gone = [...lives.names].filter(([, epoch]) => epoch !== lives.epoch);
      if (gone.length > lives.names.size * dropShareMax) {
        const has = lives.names.size - gone.length;
        if (!lives.told) kept.push({ site, epoch: lives.epoch, gone: gone.length, has });
        lives.told = true;
        continue;
      }
      for (const [name] of gone) {
        lives.names.delete(name);
        files.push({ site, name, place: null, receivedAt: null });
      }
      for (const epoch of lives.former) over.push({ site, epoch });
      lives.former.clear();
      lives.told = false;
    }
    return { files, lives: over, kept };
  }

  #livesOf(site: string, epoch: string): Lives {
    let lives = this.#lives.get(site);
    if (lives === undefined) {
      const names = new Map<string, string>();
      lives = { epoch, heardAt: 0, wholeSince: null, told: false, names, former: new Set() };
      this.#lives.set(site, lives);
    }
    return lives;
  }
}
