/**
 * Kernels, which grow: a longer file of the same start repeats what the shorter one had. They are compared by the generation of each
 * instant and not by name, so that a kernel that grew by a day makes no other day anew.
 *
 * At an instant counts the file of the latest start that reaches it. Of the files of one start, in the order of end and version,
 * each longer one is a new generation of what it adds; a higher version of the same end is one of its whole range.
 */
import type { DatasetFile } from "../dataset.ts";
import type { Instant, Range } from "../instant.ts";
import { compareVersions } from "../version.ts";
import { compareText, firstWhere, insertSorted } from "./sorted.ts";

interface Segment {
  readonly start: Instant;
  readonly end: Instant;
  /** What is handed over for it. */
  readonly chosen: DatasetFile;
  /** The file that brought the generation of these instants. */
  readonly owner: DatasetFile;
}

export type Coverage =
  | { readonly ok: true; readonly files: ReadonlyArray<DatasetFile> }
  /** `to`: how far from the start it is covered; null: nothing of it. */
  | { readonly ok: false; readonly to: Instant | null };

/** Of files of one start: the later has all that the earlier has. */
const byEnd = (a: DatasetFile, b: DatasetFile): number =>
  a.range.end - b.range.end || compareVersions(a.version, b.version) || compareText(a.name, b.name);

export class CoveringFiles {
  /** By start; each in the order of end and version. */
  readonly #groups = new Map<Instant, Array<DatasetFile>>();
  #segments: ReadonlyArray<Segment> | null = null;

  /** Ranges whose generation is another than before: only there can what is done become stale. Null: not known, take all of it. */
  add(file: DatasetFile): ReadonlyArray<Range> | null {
    return this.#change(() => {
      const group = this.#groups.get(file.range.start);
      if (group === undefined) this.#groups.set(file.range.start, [file]);
      else insertSorted(group, file, byEnd);
    });
  }

  remove(file: DatasetFile): void {
    const group = this.#groups.get(file.range.start);
    const at = group?.findIndex((one) => one.name === file.name) ?? -1;
    if (group === undefined || at < 0) return;
    group.splice(at, 1);
    if (group.length === 0) this.#groups.delete(file.range.start);
    this.#segments = null;
  }

  get all(): ReadonlyArray<DatasetFile> {
    return [...this.#groups.values()].flat();
  }

  #change(change: () => void): ReadonlyArray<Range> | null {
    const before = this.#segments;
    change();
    this.#segments = null;
    // Nobody has asked yet: while everything is loaded nothing is built.
    return before === null ? null : differences(before, this.#all());
  }

  #all(): ReadonlyArray<Segment> {
    if (this.#segments === null) {
      let segments: Array<Segment> = [];
      for (const start of [...this.#groups.keys()].sort((a, b) => a - b)) {
        segments = overlaid(segments, segmentsOf(this.#groups.get(start) ?? []));
      }
      this.#segments = segments;
    }
    return this.#segments;
  }

  /** Of an endless range: all that there is. */
  over(range: Range): Coverage {
    const segments = this.#all();
    const endless = range.start === Number.NEGATIVE_INFINITY;
    let reached = range.start;
    const files: Array<DatasetFile> = [];
    for (let at = firstWhere(segments, (one) => one.end > range.start); at < segments.length; at++) {
      const one = segments[at];
      if (one === undefined || one.start >= range.end || (!endless && one.start > reached)) break;
      reached = one.end;
      if (!files.includes(one.chosen)) files.push(one.chosen);
    }
    if (endless ? files.length > 0 : reached >= range.end) return { ok: true, files };
    return { ok: false, to: reached === range.start ? null : reached };
  }

  /** Whether a newer generation of any instant of the range is here than the given files had. They must be here themselves. */
  isNewer(range: Range, recorded: ReadonlyArray<DatasetFile>): boolean {
    const segments = this.#all();
    for (let at = firstWhere(segments, (one) => one.end > range.start); at < segments.length; at++) {
      const one = segments[at];
      if (one === undefined || one.start >= range.end) return false;
      if (!hasGeneration(one, range, recorded)) return true;
    }
    return false;
  }
}

function hasGeneration(
  { owner, start, end }: Segment,
  range: Range,
  recorded: ReadonlyArray<DatasetFile>,
): boolean {
  // Between two instants of one segment the recorded files may change over as well.
  const marks = [Math.max(start, range.start)];
  for (const { range: has } of recorded) {
    for (const mark of [has.start, has.end]) {
      if (mark > Math.max(start, range.start) && mark < Math.min(end, range.end)) marks.push(mark);
    }
  }
  return marks.every((mark) => {
    let counted: DatasetFile | null = null;
    for (const file of recorded) {
      if (file.range.start > mark || file.range.end <= mark) continue;
      if (
        counted === null ||
        file.range.start > counted.range.start ||
        (file.range.start === counted.range.start && byEnd(file, counted) > 0)
      ) {
        counted = file;
      }
    }
    return counted !== null && counted.range.start === owner.range.start && byEnd(counted, owner) >= 0;
  });
}

/** @param group files of one start, in the order of end and version */
function segmentsOf(group: ReadonlyArray<DatasetFile>): ReadonlyArray<Segment> {
  const chosen = group.at(-1);
  if (chosen === undefined) return [];
  let segments: Array<Segment> = [];
  for (const [index, owner] of group.entries()) {
    const before = group[index - 1];
    const { start, end } = owner.range;
    if (before === undefined) segments = [{ start, end, chosen, owner }];
    // Of one end and version two names are one generation: the first by name stands for both.
    else if (before.range.end === end && compareVersions(before.version, owner.version) !== 0) {
      segments = [{ start, end, chosen, owner }];
    } else if (before.range.end < end) segments.push({ start: before.range.end, end, chosen, owner });
  }
  return segments;
}

/** Later segments lie over earlier ones, which show where they reach further. */
function overlaid(under: Array<Segment>, over: ReadonlyArray<Segment>): Array<Segment> {
  const first = over[0];
  const last = over.at(-1);
  if (first === undefined || last === undefined) return under;
  const before: Array<Segment> = [];
  const after: Array<Segment> = [];
  for (const one of under) {
    if (one.start < first.start) before.push(one.end > first.start ? { ...one, end: first.start } : one);
    if (one.end > last.end) after.push(one.start < last.end ? { ...one, start: last.end } : one);
  }
  return [...before, ...over, ...after];
}

/** Stretches in which two lists of segments have other owners. */
function differences(a: ReadonlyArray<Segment>, b: ReadonlyArray<Segment>): ReadonlyArray<Range> {
  const marks = [...new Set([...a, ...b].flatMap((one) => [one.start, one.end]))].sort((x, y) => x - y);
  const found: Array<Range> = [];
  let atA = 0;
  let atB = 0;
  for (const [index, start] of marks.entries()) {
    const end = marks[index + 1];
    if (end === undefined) break;
    while ((a[atA]?.end ?? Number.POSITIVE_INFINITY) <= start) atA++;
    while ((b[atB]?.end ?? Number.POSITIVE_INFINITY) <= start) atB++;
    if (ownerAt(a[atA], start) === ownerAt(b[atB], start)) continue;
    const last = found.at(-1);
    if (last?.end === start) found[found.length - 1] = { start: last.start, end };
    else found.push({ start, end });
  }
  return found;
}

const ownerAt = (segment: Segment | undefined, at: Instant): string | null =>
  segment !== undefined && segment.start <= at ? segment.owner.name : null;
