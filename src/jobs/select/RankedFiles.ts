/** Files of which one is the best: calibrations that cover a range, kernels for all time, tables. */
import type { DatasetFile } from "../dataset.ts";
import type { Range } from "../instant.ts";
import { covers, overlap } from "../instant.ts";
import { compareVersions } from "../version.ts";
import { compareText, insertSorted } from "./sorted.ts";

/** Highest version first; of equal ones the later start, then the later name. */
export const byVersion = (a: DatasetFile, b: DatasetFile): number =>
  compareVersions(b.version, a.version) || b.range.start - a.range.start || -compareText(a.name, b.name);

/** The newest first, whatever its number: tables count versions within a day. */
export const byDate = (a: DatasetFile, b: DatasetFile): number =>
  b.range.start - a.range.start || byVersion(a, b);

export class RankedFiles {
  readonly #files: Array<DatasetFile> = [];
  readonly #compare: (a: DatasetFile, b: DatasetFile) => number;

  constructor(compare: (a: DatasetFile, b: DatasetFile) => number) {
    this.#compare = compare;
  }

  add(file: DatasetFile): void {
    insertSorted(this.#files, file, this.#compare);
  }

  remove(file: DatasetFile): void {
    const at = this.#files.findIndex((one) => one.name === file.name);
    if (at >= 0) this.#files.splice(at, 1);
  }

  /** The best first. */
  get all(): ReadonlyArray<DatasetFile> {
    return this.#files;
  }

  get best(): DatasetFile | undefined {
    return this.#files[0];
  }

  /** The best that covers a range, all of it; of an endless range the best that overlaps. */
  covering(range: Range): DatasetFile | undefined {
    const endless = range.end === Number.POSITIVE_INFINITY && range.start === Number.NEGATIVE_INFINITY;
    for (const file of this.#files) {
      if (endless ? overlap(file.range, range) : covers(file.range, range)) return file;
    }
    return undefined;
  }
}
