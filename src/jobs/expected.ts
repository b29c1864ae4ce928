/** Products that should be there and are not: the outputs of partitions that exist and are not done, by what is at the root of it. */
import type { PartitionId } from "./blockedOn.ts";
import type { DatasetId } from "./dataset.ts";
import type { PartitionState } from "./fact.ts";
import type { Instant, Range } from "./instant.ts";
import { overlap } from "./instant.ts";
import type { Node } from "./Node.ts";
import type { Resolver } from "./Resolver.ts";
import type { Root } from "./why.ts";
import type { Found } from "./why.ts";
import { firstRootOf, why } from "./why.ts";

export interface Missing extends PartitionId {
  readonly state: PartitionState;
  readonly range: Range;
  readonly outputs: ReadonlyArray<DatasetId>;
}

export interface MissingGroup {
  /** Null: it waits for nothing that can be named. */
  readonly root: Root | null;
  readonly team: string | null;
  /** When the oldest was due: the end of its partition. */
  readonly since: Instant;
  /** Oldest first. */
  readonly missing: ReadonlyArray<Missing>;
}

export interface Expected {
  /** Oldest first. */
  readonly groups: ReadonlyArray<MissingGroup>;
  readonly count: number;
  /** Whether more than `most` were there: then the oldest are told. */
  readonly isCut: boolean;
}

/** @param range null: of all time. @param most partitions that are looked into. @param team null: of all teams */
export function expected(
  resolver: Resolver,
  range: Range | null,
  most: number,
  team: string | null = null,
): Expected {
  const open: Array<Node> = [];
  for (const job of resolver.jobs.values()) {
    if (team !== null && job.definition.team !== team) continue;
    for (const node of job.unfinished) {
      if (node.range === null || node.status.state === "none") continue;
      if (range === null || overlap(node.range, range)) open.push(node);
    }
  }
  open.sort((a, b) => endOf(a) - endOf(b) || (a.job.name < b.job.name ? -1 : 1));
  const groups = new Map<
    string,
    { root: Root | null; team: string | null; since: Instant; missing: Array<Missing> }
  >();
  const found: Found = new Map();
  for (const node of open.slice(0, most)) {
    const { definition, name: job } = node.job;
    const cause = why(resolver, { job, partition: node.name }, found);
    const root = cause === null ? null : firstRootOf(cause);
    const key = `${root?.words ?? ""}\n${definition.team ?? ""}`;
    const group = groups.get(key) ?? { root, team: definition.team, since: endOf(node), missing: [] };
    group.missing.push({
      job,
      partition: node.name,
      state: node.status.state,
      range: node.range ?? { start: 0, end: 0 },
      outputs: definition.outputs.map(({ dataset }) => dataset),
    });
    groups.set(key, group);
  }
  return { groups: [...groups.values()], count: open.length, isCut: open.length > most };
}

const endOf = ({ range }: Node): Instant => range?.end ?? 0;
