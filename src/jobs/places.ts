/**
 * Where files lie. A file's name says which file it is, not where: the same object at two sites is one file with two places, and a
 * copy that comes later is nothing new. Pure; what is known follows from the places and the runs that were told, in whatever order.
 *
 * Where two sites have different content under one name the site's own is the file, else that of the site whose name comes first: all
 * nodes choose alike, and what was left out is told.
 */
import type { IndexedFile } from "./indexed.ts";

/** What is known of an object's content without reading it. */
export interface ContentTag {
  /** As its store gives it. */
  readonly etag: string;
  /** SHA-256, where the site made one. */
  readonly digest: string | null;
  /** Bytes; null where nobody said. */
  readonly size: number | null;
}

/** A file at one site. */
export interface Place extends ContentTag {
  /** Null: this site. */
  readonly site: string | null;
  /** Key of its record in the site's own ledger. */
  readonly record: string;
  readonly bucket: string;
  readonly key: string;
  readonly uri: string;
  /** As that site recorded it. */
  readonly file: IndexedFile;
}

/** What a run took under a name, and from where. */
export interface Taken extends ContentTag {
  readonly site: string | null;
}

/** A file as jobs see it. */
export interface StandingFile {
  /** Its tag is one that stays as it is when further copies come, and when some go. */
  readonly file: IndexedFile;
  /** With its content, its own site's first, then by the site's name. */
  readonly places: ReadonlyArray<Place>;
  /** Sites that have other content under its name. */
  readonly others: ReadonlyArray<Place>;
}

const md5 = /^[0-9a-f]{32}$/i;

/**
 * Tags of different stores say little of each other: of a folder's file it is size, time and inode, of an object that was sent in parts
 * a digest of digests. What differs in nothing that can be compared is the same: within a mission one name is one file.
 */
export function isSameContent(a: ContentTag, b: ContentTag): boolean {
  if (a.etag === b.etag) return true;
  if (a.digest !== null && b.digest !== null) return a.digest === b.digest;
  if (a.size !== null && b.size !== null && a.size !== b.size) return false;
  return !(md5.test(a.etag) && md5.test(b.etag));
}

/** Of one site's store each tag is another content; unless digests say it. */
function isWhatWasTaken(place: Place, taken: Taken): boolean {
  if (place.site !== taken.site) return isKnownAlike(place, taken);
  if (place.etag === taken.etag) return true;
  return place.digest !== null && place.digest === taken.digest;
}

/** Nobody has the other one any more that could be asked: so something has to say that they are the same. */
const isKnownAlike = (a: ContentTag, b: ContentTag): boolean =>
  isSameContent(a, b) && (a.etag === b.etag || a.digest !== null || a.size !== null);

const textOf = ({ etag, site, digest, size }: Taken): string => JSON.stringify([etag, site, digest, size]);

const ownFirst = (a: Place, b: Place): number => {
  if (a.site === b.site) return 0;
  if (a.site === null || b.site === null) return a.site === null ? -1 : 1;
  return a.site < b.site ? -1 : 1;
};

export class Places {
  /** By name, in order. */
  readonly #places = new Map<string, ReadonlyArray<Place>>();
  /** What runs took: a name that has several copies keeps the tag under which it was taken first. */
  readonly #taken = new Map<string, ReadonlyArray<Taken>>();

  /** A site has a file at a place, instead of wherever it had it before. */
  put(place: Place): void {
    const { name } = place.file;
    const others = this.#of(name).filter(({ site }) => site !== place.site);
    this.#places.set(name, [...others, place].sort(ownFirst));
  }

  /** @returns false where the site had none */
  drop(name: string, site: string | null): boolean {
    const before = this.#of(name);
    const left = before.filter((place) => place.site !== site);
    if (left.length > 0) this.#places.set(name, left);
    else this.#places.delete(name);
    return left.length < before.length;
  }

  took(name: string, taken: Taken): void {
    const all = new Map((this.#taken.get(name) ?? []).map((one) => [textOf(one), one]));
    all.set(textOf(taken), taken);
    this.#taken.set(
      name,
      [...all].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, one]) => one),
    );
  }

  /** Null where no site has it. */
  standing(name: string): StandingFile | null {
    const all = this.#of(name);
    const [chosen] = all;
    if (chosen === undefined) return null;
    const places = all.filter((place) => place === chosen || isSameContent(chosen, place));
    const others = all.filter((place) => !places.includes(place));
    return { file: this.#tagged(name, chosen, places), places, others };
  }

  #tagged(name: string, chosen: Place, places: ReadonlyArray<Place>): IndexedFile {
    const taken = this.#taken.get(name) ?? [];
    const fits = (one: Taken): boolean => places.some((place) => isWhatWasTaken(place, one));
    const { etag } = taken.find(fits) ?? chosen;
    return etag === chosen.file.content ? chosen.file : { ...chosen.file, content: etag };
  }

  #of(name: string): ReadonlyArray<Place> {
    return this.#places.get(name) ?? [];
  }
}
