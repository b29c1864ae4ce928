/** Partitions that make what goes into another one, at any depth, and are ready, stale or running. */
import type { PartitionId } from "./blockedOn.ts";
import type { View } from "./chooseInput.ts";
import { reachOf } from "./chooseInput.ts";
import type { CompiledJob } from "./CompiledJob.ts";
import type { Range } from "./instant.ts";
import { overlap } from "./instant.ts";
import type { Node } from "./Node.ts";
import { nodesOver } from "./touched.ts";

/** Named in a reason; the rest is as good a reason, and would make records grow. */
const namedMax = 3;
const fewActive = 8;

/** What a partition takes in of one that makes it: its own range, and what a span of its input adds. */
export function reachInto(node: Node, range: Range, maker: CompiledJob, view: View): Range {
  let { start, end } = range;
  for (const input of node.job.inputs) {
    if (input.range?.type !== "span" || input.producer !== maker) continue;
    const reach = reachOf(input, node, range, view);
    start = Math.min(start, reach.start);
    end = Math.max(end, reach.end);
  }
  return { start, end };
}

/** The first few, by depth, job and time: the same ones in whatever order they became what they are. */
export function upstreamOf(node: Node, range: Range, view: View): ReadonlyArray<PartitionId> {
  const found: Array<PartitionId> = [];
  for (const maker of node.job.ancestors) {
    if (maker.active.size === 0) continue;
    const reach = reachInto(node, range, maker, view);
    const nodes: Array<Node> = [];
    if (maker.active.size <= fewActive) {
      for (const one of maker.active) if (one.range !== null && overlap(one.range, reach)) nodes.push(one);
    } else {
      for (const one of nodesOver(maker, reach, view.index)) if (maker.active.has(one)) nodes.push(one);
    }
    nodes.sort((a, b) => a.ordinal - b.ordinal);
    for (const one of nodes) {
      found.push({ job: maker.name, partition: one.name });
      if (found.length >= namedMax) return found;
    }
  }
  return found;
}
