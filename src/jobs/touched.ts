/** Which partitions a change of a file can touch: found through who takes its data set and where it lies, never by a scan of all. */
import { numberOf } from "./chooseInput.ts";
import type { CompiledInput, CompiledJob } from "./CompiledJob.ts";
import type { FileChange, FileIndex } from "./FileIndex.ts";
import type { Range } from "./instant.ts";
import { dayUs, overlap } from "./instant.ts";
import type { Node } from "./Node.ts";
import { allTime } from "./partitions.ts";
import type { ProductFiles } from "./select/ProductFiles.ts";
import { firstWhere } from "./select/sorted.ts";

/** Partitions in memory that overlap a range. */
export function* nodesOver(job: CompiledJob, range: Range, index: FileIndex): Generator<Node> {
  const { type } = job.definition.partition;
  // Counting through a range is shorter than through all that there is, unless the range is longer than that.
  const isShort = (range.end - range.start) / dayUs < job.nodes.size;
  if (type === "day" && isShort) {
    for (let day = Math.floor(range.start / dayUs); day * dayUs < range.end; day++) {
      const node = job.nodes.get(day);
      if (node !== undefined) yield node;
    }
    return;
  }
  if (type === "pointing" && isShort) {
    for (const { number } of index.calendar.overlapping(range)) {
      const node = job.nodes.get(number);
      if (node !== undefined) yield node;
    }
    return;
  }
  for (const node of job.nodes.values()) if (node.range !== null && overlap(node.range, range)) yield node;
}

export function* touchedBy(
  { job, input }: { readonly job: CompiledJob; readonly input: CompiledInput },
  { file, anew }: FileChange,
  index: FileIndex,
): Generator<Node> {
  const { files } = input;
  if (files.selection === "timeless" || files.selection === "table") {
    yield* input.triggers ? job.nodes.values() : job.unfinished;
    return;
  }
  if (files.selection === "product") {
    yield* touchedByProduct(job, input, files.files, file.range, file.pointing, index);
    return;
  }
  const reach = backwards(input, file.range, index);
  const wide = [...anew].map((range) => backwards(input, range, index));
  const isAll = wide.length === 1 && wide[0]?.start === reach.start && wide[0].end === reach.end;
  // What a growing kernel had before touches only what is not done yet. An endless partition is of all of it.
  if (input.triggers) for (const range of wide) yield* nodesOver(job, range, index);
  const hasEndless = job.definition.partition.type === "open";
  if (hasEndless) yield* job.nodes.values();
  if (input.triggers && isAll) return;
  for (const node of job.unfinished) if (node.range !== null && overlap(node.range, reach)) yield node;
}

function* touchedByProduct(
  job: CompiledJob,
  input: CompiledInput,
  products: ProductFiles,
  range: Range,
  pointing: number | null,
  index: FileIndex,
): Generator<Node> {
  // Also where it takes other files than those of its own time, its existence follows these.
  yield* nodesOver(job, range, index);
  switch (input.range?.type) {
    case "nearest": {
      const number = numberOf(input.range.unit, { pointing, start: range.start });
      if (number !== null) yield* nodesAround(job, input, products, number);
      break;
    }
    case "last": {
      const { identities } = products;
      // So many later ones hide it.
      const at = firstWhere(identities, (one) => one.start > range.start);
      const hidden = identities[at + input.range.count - 1];
      yield* nodesOver(job, { start: range.end, end: (hidden?.end ?? allTime.end) + dayUs }, index);
      break;
    }
    case "span":
      yield* nodesOver(job, backwards(input, range, index), index);
      break;
    default:
  }
}

/** Partitions for which a number may be among the nearest: beyond as many others as are taken it is not. */
export function* nodesAround(
  job: CompiledJob,
  input: CompiledInput,
  products: ProductFiles,
  number: number,
): Generator<Node> {
  if (input.range?.type !== "nearest") return;
  const { count, unit } = input.range;
  const { identities } = products;
  const numberAt = (index: number): number | undefined => {
    const one = identities[index];
    return one === undefined ? undefined : (numberOf(unit, one) ?? undefined);
  };
  const after = firstWhere(identities, (one) => (numberOf(unit, one) ?? 0) > number);
  const before = firstWhere(identities, (one) => (numberOf(unit, one) ?? 0) >= number) - 1;
  const low = numberAt(before - count + 1) ?? Number.NEGATIVE_INFINITY;
  const high = numberAt(after + count - 1) ?? Number.POSITIVE_INFINITY;
  if (high - low < job.nodes.size) {
    for (let n = low; n <= high; n++) {
      const node = job.nodes.get(n);
      if (node !== undefined) yield node;
    }
    return;
  }
  for (const node of job.nodes.values()) if (node.ordinal >= low && node.ordinal <= high) yield node;
}

/** Where partitions lie whose span takes in a range. */
export function backwards(input: CompiledInput, range: Range, { calendar }: FileIndex): Range {
  if (input.range?.type !== "span") return range;
  const { past, future, unit } = input.range;
  if (unit !== "pointing") {
    const unitUs = unit === "day" ? dayUs : dayUs / 24;
    return { start: range.start - future * unitUs, end: range.end - past * unitUs };
  }
  const within = calendar.overlapping(range);
  const first = within[0];
  const last = within.at(-1);
  if (first === undefined || last === undefined) return range;
  let { start, end } = range;
  for (let n = first.number - future; n <= last.number - past; n++) {
    const found = calendar.pointing(n)?.range;
    if (found === undefined) continue;
    start = Math.min(start, found.start);
    end = Math.max(end, found.end);
  }
  return { start, end };
}
