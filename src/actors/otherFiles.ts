/**
 * Files of other sites, as the site's own part of the supernode's bucket tells of them. Each key stands under a life of its site; what
 * an earlier life had and the present one has not is gone once that has told of all it has, but not where most of the site would go.
 */
import type { Change } from "../jetstream/follower.ts";
import type { Place } from "../jobs/places.ts";
import type { SourceState } from "../jetstream/sitesBucket.ts";
import { dropShareMax } from "../limits.ts";
import { siteKeyOf } from "../protocol/filesOf.ts";
import { decodeKeyPart, placeOfRecordKey } from "../protocol/keys.ts";
import type { FileBody } from "../protocol/records.ts";
import { decodeRecord } from "../protocol/records.ts";
import { placeOfRecord } from "./filePlaces.ts";
import { OtherLives } from "./otherLives.ts";

/** What one key says: the site has the file at this place, or (null) not any more. */
export interface OtherFile {
  readonly site: string;
  readonly name: string;
  readonly place: Place | null;
  /** ISO 8601: when the site received it; null where it has it no more. */
  readonly receivedAt: string | null;
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

export class OtherFiles {
  readonly #sites: ReadonlySet<string>;
  readonly #lives = new OtherLives();
  /** By site: under which epoch each file is known. */
  readonly #names = new Map<string, Map<string, string>>();

  /** @param sites whose files are taken */
  constructor(sites: Iterable<string>) {
    this.#sites = new Set(sites);
  }

  /** Null for what says nothing of a mission's file. Throws `LedgerCorrupt` for a value that nobody of us wrote. */
  apply(change: Pick<Change, "key" | "data" | "ended" | "at">): OtherFile | null {
    const found = siteKeyOf(change.key);
    if (found === null || !this.#sites.has(found.site)) return null;
    const { site, epoch, key } = found;
    if (!this.#lives.heard(site, epoch, change.at)) return null;
    const names = this.#namesOf(site);
    const place = placeOfRecordKey(key);
    if (place === null) return null;
    const record = change.ended ? null : decodeRecord<FileBody>(change.key, change.data);
    const there = record === null ? null : placeOfRecord(site, key, record);
    if (record === null || there === null) {
      const name = decodeKeyPart(place.tail);
      if (name === null || !names.delete(name)) return null;
      return { site, name, place: null, receivedAt: null };
    }
    names.set(there.file.name, epoch);
    return { site, name: there.file.name, place: there, receivedAt: record.body.receivedAt };
  }

  /** Whether something of a former life stands. */
  get hasFormer(): boolean {
    return this.#lives.hasFormer;
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
    for (const { site, epoch, former, isTold } of this.#lives.rebuilt(now, sources)) {
      if (!isTold) continue;
      const names = this.#namesOf(site);
      const gone = [...names].filter(([, life]) => life !== epoch);
      if (gone.length > names.size * dropShareMax) {
        const has = names.size - gone.length;
        if (this.#lives.keep(site)) kept.push({ site, epoch, gone: gone.length, has });
        continue;
      }
      for (const [name] of gone) {
        names.delete(name);
        files.push({ site, name, place: null, receivedAt: null });
      }
      for (const life of former) over.push({ site, epoch: life });
      this.#lives.over(site);
    }
    return { files, lives: over, kept };
  }

  #namesOf(site: string): Map<string, string> {
    let names = this.#names.get(site);
    if (names === undefined) this.#names.set(site, (names = new Map()));
    return names;
  }
}
