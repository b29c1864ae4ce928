/** Files of a data product: the highest version of each identity, which is a date or a pointing. */
import type { DatasetFile } from "../dataset.ts";
import type { Instant, Range } from "../instant.ts";
import { overlap } from "../instant.ts";
import { compareVersions } from "../version.ts";
import { compareText, firstWhere, insertSorted } from "./sorted.ts";

/** Versions of one product. */
export interface Identity {
  readonly pointing: number | null;
  start: Instant;
  /** Of the longest of its files. */
  end: Instant;
  /** Highest version first; never empty while it is in an index. */
  readonly files: Array<DatasetFile>;
}

const bestFirst = (a: DatasetFile, b: DatasetFile): number =>
  compareVersions(b.version, a.version) || compareText(a.name, b.name);
const byStart = (a: Identity, b: Identity): number =>
  a.start - b.start || (a.pointing ?? -1) - (b.pointing ?? -1);

export class ProductFiles {
  readonly #byPointing = new Map<number, Identity>();
  readonly #byDate = new Map<Instant, Identity>();
  readonly #sorted: Array<Identity> = [];
  /** No identity is longer: bounds the search for what overlaps. It only grows. */
  #longest = 0;

  add(file: DatasetFile): void {
    const found = this.identityOf(file);
    if (found !== undefined) {
      insertSorted(found.files, file, bestFirst);
      // Of one identity the start is the same; only ends differ.
      found.end = Math.max(found.end, file.range.end);
      this.#longest = Math.max(this.#longest, found.end - found.start);
      return;
    }
    const identity: Identity = { pointing: file.pointing, ...file.range, files: [file] };
    if (file.pointing === null) this.#byDate.set(file.range.start, identity);
    else this.#byPointing.set(file.pointing, identity);
    insertSorted(this.#sorted, identity, byStart);
    this.#longest = Math.max(this.#longest, identity.end - identity.start);
  }

  remove(file: DatasetFile): void {
    const found = this.identityOf(file);
    const at = found?.files.findIndex((one) => one.name === file.name) ?? -1;
    if (found === undefined || at < 0) return;
    found.files.splice(at, 1);
    if (found.files.length > 0) {
      found.end = Math.max(...found.files.map((one) => one.range.end));
      return;
    }
    if (found.pointing === null) this.#byDate.delete(found.start);
    else this.#byPointing.delete(found.pointing);
    this.#sorted.splice(this.#sorted.indexOf(found), 1);
  }

  identityOf(of: { readonly pointing: number | null; readonly range: Range }): Identity | undefined {
    return of.pointing === null ? this.#byDate.get(of.range.start) : this.#byPointing.get(of.pointing);
  }

  ofPointing(pointing: number): Identity | undefined {
    return this.#byPointing.get(pointing);
  }

  /** In order of time. */
  get identities(): ReadonlyArray<Identity> {
    return this.#sorted;
  }

  #from(range: Range): number {
    return firstWhere(this.#sorted, (one) => one.start > range.start - this.#longest);
  }

  overlaps(range: Range): boolean {
    for (let at = this.#from(range); at < this.#sorted.length; at++) {
      const one = this.#sorted[at];
      if (one === undefined || one.start >= range.end) return false;
      if (one.end > range.start) return true;
    }
    return false;
  }

  /** The best file of each identity that overlaps, in order of time. */
  over(range: Range): Array<DatasetFile> {
    const chosen: Array<DatasetFile> = [];
    for (let at = this.#from(range); at < this.#sorted.length; at++) {
      const one = this.#sorted[at];
      if (one === undefined || one.start >= range.end) break;
      const best = one.end > range.start ? bestOver(one, range) : undefined;
      if (best !== undefined) chosen.push(best);
    }
    return chosen;
  }

  /** The best files of the last `count` identities that end before an instant, in order of time. */
  lastBefore(at: Instant, count: number): Array<DatasetFile> {
    const chosen: Array<DatasetFile> = [];
    for (let index = firstWhere(this.#sorted, (one) => one.start >= at) - 1; index >= 0; index--) {
      const one = this.#sorted[index];
      if (one === undefined || chosen.length >= count) break;
      const best = one.files[0];
      if (best !== undefined && one.end <= at) chosen.push(best);
    }
    return chosen.reverse();
  }
}

function bestOver(one: Identity, range: Range): DatasetFile | undefined {
  const [best] = one.files;
  return best === undefined || overlap(best.range, range)
    ? best
    : one.files.find((file) => overlap(file.range, range));
}
