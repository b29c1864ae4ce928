/** Files that lie one after the other on a line of time, as spin data: all that overlap, less those that better ones cover. */
import type { DatasetFile } from "../dataset.ts";
import type { Range } from "../instant.ts";
import { compareVersions } from "../version.ts";
import { compareText, firstWhere, insertSorted } from "./sorted.ts";

const byStart = (a: DatasetFile, b: DatasetFile): number =>
  a.range.start - b.range.start || a.range.end - b.range.end || compareText(a.name, b.name);

export class TimelineFiles {
  readonly #files: Array<DatasetFile> = [];
  #longest = 0;

  add(file: DatasetFile): void {
    insertSorted(this.#files, file, byStart);
    this.#longest = Math.max(this.#longest, file.range.end - file.range.start);
  }

  remove(file: DatasetFile): void {
    const at = this.#files.findIndex((one) => one.name === file.name);
    if (at >= 0) this.#files.splice(at, 1);
  }

  /** In order of their starts. */
  get all(): ReadonlyArray<DatasetFile> {
    return this.#files;
  }

  /** In order of time. */
  over(range: Range): ReadonlyArray<DatasetFile> {
    const near: Array<DatasetFile> = [];
    for (
      let at = firstWhere(this.#files, (one) => one.range.start > range.start - this.#longest);
      at < this.#files.length;
      at++
    ) {
      const file = this.#files[at];
      if (file === undefined || file.range.start >= range.end) break;
      if (file.range.end > range.start) near.push(file);
    }
    return near.length < 2 ? near : near.filter((file) => !isSuperseded(file, near, range));
  }
}

/** Whether files of higher version cover all that this one has of the range. */
function isSuperseded(file: DatasetFile, near: ReadonlyArray<DatasetFile>, range: Range): boolean {
  const better = near.filter((one) => compareVersions(one.version, file.version) > 0);
  const part = clip(file.range, range);
  return better.length > 0 && firstGap(better, part) === null;
}

const clip = (a: Range, b: Range): Range => ({
  start: Math.max(a.start, b.start),
  end: Math.min(a.end, b.end),
});

/** The first stretch of a range that no file has; null where there is none. @param files in order of their starts */
export function firstGap(files: ReadonlyArray<{ readonly range: Range }>, range: Range): Range | null {
  let reached = range.start;
  for (const { range: has } of files) {
    if (has.start > reached) break;
    reached = Math.max(reached, has.end);
    if (reached >= range.end) return null;
  }
  if (reached >= range.end) return null;
  const next = files.find(({ range: has }) => has.start > reached);
  return { start: reached, end: Math.min(next?.range.start ?? range.end, range.end) };
}
