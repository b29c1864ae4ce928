/** What files that came or went would change, without taking them in. */
import type { PartitionId } from "./blockedOn.ts";
import type { CompiledJob } from "./CompiledJob.ts";
import { evaluate } from "./evaluate.ts";
import type { Status } from "./fact.ts";
import type { FileChange } from "./FileIndex.ts";
import type { IndexedFile } from "./indexed.ts";
import { overlap } from "./instant.ts";
import type { Node } from "./Node.ts";
import type { Resolver } from "./Resolver.ts";
import { compareText } from "./select/sorted.ts";

export interface PreviewChange extends PartitionId {
  readonly before: Status;
  readonly after: Status;
}

export interface Preview {
  /** Partitions that the files themselves change; by level, job and time. */
  readonly changes: ReadonlyArray<PreviewChange>;
  /** Jobs whose partitions may follow, because what they are made of is made anew: done ones that overlap, how many. */
  readonly downstream: ReadonlyArray<{ readonly job: string; readonly count: number }>;
  /** Partitions that the files can touch. */
  readonly touched: number;
  /** Whether there were more than were looked at. */
  readonly isCut: boolean;
}

export interface PreviewFiles {
  readonly added: ReadonlyArray<IndexedFile>;
  /** Names. */
  readonly withdrawn: ReadonlyArray<string>;
}

/**
 * Nothing is left to decide when it is asked (`resolver.left` is 0), else a change may be another's. Files that are known by name
 * are left out.
 *
 * @param most partitions that are looked at: the rest is only counted
 */
export function preview(resolver: Resolver, files: PreviewFiles, most: number): Preview {
  const { index } = resolver;
  const undo: Array<() => void> = [];
  const touched = new Set<Node>();
  const note = (change: FileChange | null): void => {
    if (change !== null) for (const node of resolver.touched(change)) touched.add(node);
  };
  try {
    for (const name of new Set(files.withdrawn)) {
      const file = index.known(name);
      if (file === undefined) continue;
      note(index.remove(name));
      undo.push(() => void index.add(file));
    }
    for (const file of files.added) {
      if (index.known(file.name) !== undefined) continue;
      note(index.add(file));
      undo.push(() => void index.remove(file.name));
    }
    const changes: Array<PreviewChange> = [];
    const anew: Array<Node> = [];
    let looked = 0;
    const inOrder = [...touched].sort(
      (a, b) => a.job.depth - b.job.depth || compareText(a.job.name, b.job.name) || a.ordinal - b.ordinal,
    );
    for (const node of inOrder) {
      if (looked++ >= most) break;
      const { status: before } = node;
      const { status: after } = evaluate(node, resolver.view);
      if (JSON.stringify(before) === JSON.stringify(after)) continue;
      changes.push({ job: node.job.name, partition: node.name, before, after });
      if (after.state === "stale" || after.state === "ready") anew.push(node);
    }
    return {
      changes,
      downstream: downstreamOf(anew, touched),
      touched: touched.size,
      isCut: touched.size > most,
    };
  } finally {
    for (const back of undo.reverse()) back();
  }
}

function downstreamOf(anew: ReadonlyArray<Node>, touched: ReadonlySet<Node>): Preview["downstream"] {
  const following = new Map<CompiledJob, Set<Node>>();
  for (const node of anew) {
    for (const below of node.job.descendants) {
      const set = following.get(below) ?? new Set<Node>();
      following.set(below, set);
      // What is touched itself stands among the changes.
      for (const one of overlapping(below, node)) {
        if (one.status.state === "done" && !touched.has(one)) set.add(one);
      }
    }
  }
  return [...following]
    .flatMap(([job, nodes]) => (nodes.size > 0 ? [{ job: job.name, count: nodes.size }] : []))
    .sort((a, b) => (a.job < b.job ? -1 : 1));
}

/** The same partition where both have the same scheme: of days and pointings there are too many to compare each with each. */
function overlapping(job: CompiledJob, node: Node): Iterable<Node> {
  if (job.definition.partition.type === node.job.definition.partition.type) {
    const same = job.nodes.get(node.ordinal);
    return same === undefined ? [] : [same];
  }
  const { range } = node;
  return range === null
    ? []
    : [...job.nodes.values()].filter((one) => one.range !== null && overlap(one.range, range));
}
