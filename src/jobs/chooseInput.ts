/** Which files of one input a partition is made of, or what it lacks. */
import type { BlockedOn } from "./blockedOn.ts";
import { pointingName } from "./calendar.ts";
import type { CompiledInput } from "./CompiledJob.ts";
import type { DatasetFile } from "./dataset.ts";
import type { Node } from "./Node.ts";
import type { FileIndex } from "./FileIndex.ts";
import type { Instant, Range } from "./instant.ts";
import { dayOf, dayUs, formatInstant } from "./instant.ts";
import type { ProductFiles } from "./select/ProductFiles.ts";
import { firstGap } from "./select/TimelineFiles.ts";

/** What a decision is made on. */
export interface View {
  readonly index: FileIndex;
  readonly now: Instant;
}

export interface Chosen {
  readonly files: ReadonlyArray<DatasetFile>;
  /** What is missing for it to be filled, required or not; null: filled. */
  readonly lack: BlockedOn | null;
  /** It is not known yet which files they will be: nothing is compared with them, and the partition waits, required or not. */
  readonly isUndecided: boolean;
  /** When time alone may change it. */
  readonly wakeAt: Instant | null;
}

const filled = (files: ReadonlyArray<DatasetFile>): Chosen => ({
  files,
  lack: null,
  isUndecided: false,
  wakeAt: null,
});
const lacking = (lack: BlockedOn): Chosen => ({ files: [], lack, isUndecided: false, wakeAt: null });

export function chooseInput(input: CompiledInput, node: Node, range: Range, view: View): Chosen {
  const { dataset, files } = input;
  const { kind } = input.declared;
  switch (files.selection) {
    case "product":
      return chooseProducts(input, files.files, node, range, view);
    case "calibration": {
      const best = files.files.covering(reachOf(input, node, range, view));
      return best === undefined ? lacking({ type: "calibration", dataset, range }) : filled([best]);
    }
    case "timeless":
    case "table": {
      const { best } = files.files;
      return best === undefined ? lacking({ type: "none", dataset, kind, range }) : filled([best]);
    }
    case "covering": {
      const reach = reachOf(input, node, range, view);
      const found = files.files.over(reach);
      return found.ok
        ? filled(found.files)
        : lacking({ type: "kernel", dataset, kind, to: found.to, of: reach.end });
    }
    case "timeline": {
      const reach = reachOf(input, node, range, view);
      const found = files.files.over(reach);
      if (found.length === 0) return lacking({ type: "none", dataset, kind, range: reach });
      const gap = input.declared.coverage ? firstGap(found, reach) : null;
      return gap === null ? filled(found) : lacking({ type: "timelineGap", dataset, kind, gap });
    }
  }
}

/** The partition's range, and what a span adds to it. */
export function reachOf(
  input: CompiledInput,
  node: Pick<Node, "pointing">,
  range: Range,
  { index }: View,
): Range {
  if (input.range?.type !== "span") return range;
  const { past, future, unit } = input.range;
  if (unit === "pointing") {
    if (node.pointing === null) return range;
    // Neighbours that are not there do not widen it.
    let { start, end } = range;
    for (let n = node.pointing + past; n <= node.pointing + future; n++) {
      const found = index.calendar.pointing(n)?.range;
      if (found === undefined) continue;
      start = Math.min(start, found.start);
      end = Math.max(end, found.end);
    }
    return { start, end };
  }
  const unitUs = unit === "day" ? dayUs : dayUs / 24;
  return { start: range.start + past * unitUs, end: range.end + future * unitUs };
}

function chooseProducts(
  input: CompiledInput,
  products: ProductFiles,
  node: Node,
  range: Range,
  view: View,
): Chosen {
  const { dataset } = input;
  const none = (): Chosen => lacking({ type: "product", dataset, partition: node.name, range });
  switch (input.range?.type) {
    case "nearest":
      return chooseNearest(input, input.range.count, products, node, range, view);
    case "last": {
      const found = products.lastBefore(range.start, input.range.count);
      return found.length === 0 ? none() : filled(found);
    }
    default: {
      const reach = reachOf(input, node, range, view);
      const found = products.over(reach);
      if (found.length === 0) return none();
      const gap = input.declared.coverage ? firstGap(found, reach) : null;
      return gap === null ? filled(found) : lacking({ type: "gap", dataset, gap });
    }
  }
}

/** Pointings by their number, days by theirs since 1970. */
export const numberOf = (
  unit: "pointing" | "day",
  at: { readonly pointing: number | null; readonly start: Instant },
): number | null => (unit === "pointing" ? at.pointing : Math.floor(at.start / dayUs));

function chooseNearest(
  input: CompiledInput,
  count: number,
  products: ProductFiles,
  node: Node,
  range: Range,
  view: View,
): Chosen {
  const unit = input.range?.type === "nearest" ? input.range.unit : "pointing";
  const { dataset, producer } = input;
  const target = numberOf(unit, { pointing: node.pointing, start: range.start });
  const own = products.over(range);
  if (target === null || (own.length === 0 && input.declared.required)) {
    return lacking({ type: "product", dataset, partition: node.name, range });
  }
  const fileOf = (n: number): DatasetFile | undefined => ofNumber(products, unit, n);
  const isPending = (n: number): boolean => {
    const maker = producer?.nodes.get(n);
    return maker !== undefined && (producer?.active.has(maker) ?? false);
  };
  const [first, last] = bounds(unit, products, producer?.active ?? new Set());
  const chosen: Array<number> = [];
  let later = 0;
  const need = count / 2;
  for (let d = 1; target - d >= first || target + d <= last; d++) {
    // Of two as near, the lower number comes first.
    for (const n of [target - d, target + d]) {
      if (fileOf(n) === undefined && !isPending(n)) continue;
      if (n > target) later++;
      if (chosen.length < count) chosen.push(n);
    }
    if (chosen.length >= count && later >= need) break;
  }
  const undecided = (lack: BlockedOn, wakeAt: Instant | null = null): Chosen => ({
    files: own,
    lack,
    isUndecided: true,
    wakeAt,
  });
  const running = chosen.toSorted((a, b) => a - b).find(isPending);
  if (running !== undefined) {
    return undecided({ type: "neighbourRunning", dataset, partition: numberName(unit, running) });
  }
  const beyond = target + count;
  const [exists, wakeAt] = isThere(unit, beyond, view);
  if (later < need && !exists) {
    const missing = unit === "pointing" ? `pointing ${beyond}` : formatInstant(beyond * dayUs).slice(0, 10);
    return undecided({ type: "neighbours", dataset, unit, missing, have: later, need }, wakeAt);
  }
  const neighbours = chosen.flatMap((n) => fileOf(n) ?? []).sort((a, b) => a.range.start - b.range.start);
  return filled([...own, ...neighbours.filter((file) => !own.includes(file))]);
}

const numberName = (unit: "pointing" | "day", n: number): string =>
  unit === "pointing" ? pointingName(n) : dayOf(n * dayUs);

const ofNumber = (products: ProductFiles, unit: "pointing" | "day", n: number): DatasetFile | undefined =>
  unit === "pointing"
    ? products.ofPointing(n)?.files[0]
    : products.identityOf({ pointing: null, range: { start: n * dayUs, end: (n + 1) * dayUs } })?.files[0];

/** Whether a pointing is closed, or a day over: nothing more is to be waited for then; and when a day will be. */
function isThere(
  unit: "pointing" | "day",
  n: number,
  { index, now }: View,
): readonly [boolean, Instant | null] {
  if (unit === "pointing") return [index.calendar.pointing(n) !== null, null];
  const end = (n + 1) * dayUs;
  return [now >= end, end];
}

/** The first and the last number that may be a neighbour. */
function bounds(
  unit: "pointing" | "day",
  products: ProductFiles,
  active: ReadonlySet<Node>,
): readonly [number, number] {
  const { identities } = products;
  const ends = [identities[0], identities.at(-1)].flatMap((one) =>
    one === undefined ? [] : [numberOf(unit, one) ?? 0],
  );
  let first = Math.min(...ends, Number.MAX_SAFE_INTEGER);
  let last = Math.max(...ends, 0);
  for (const { ordinal } of active) {
    first = Math.min(first, ordinal);
    last = Math.max(last, ordinal);
  }
  return [first, last];
}
