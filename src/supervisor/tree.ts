import type { Child, LiveSupervisor } from "./live.ts";

/** A tree, or a part of it, as it is at this moment: plain data, to print or to send. */
export interface TreeNode {
  readonly name: string;
  /** Names from the root down, joined by "/": what the operations take. */
  readonly path: string;
  readonly kind: "worker" | "supervisor";
  /** restarting: it ran before and is waiting for its turn, its backoff, or to be ready again. */
  readonly status: "starting" | "running" | "restarting" | "stopping" | "stopped" | "abandoned";
  /** How often it was started again without anybody asking, since its supervisor started. */
  readonly restarts: number;
  /** When it was last ready, in milliseconds since the epoch; null: never. */
  readonly startedAt: number | null;
  /** How it last ended, in words; null: never. */
  readonly lastExit: string | null;
  /** Fibers of its former lives that did not yield to interruption and live on. */
  readonly abandoned: number;
  /** In start order. Temporary children that have ended are gone. */
  readonly children: ReadonlyArray<TreeNode>;
}

export const childrenOf = (supervisor: LiveSupervisor): ReadonlyArray<TreeNode> =>
  Array.from(supervisor.children.values(), nodeOf);

const nodeOf = (child: Child): TreeNode => ({
  name: child.plan.name,
  path: child.path,
  kind: child.plan.work.kind,
  status: statusOf(child),
  restarts: child.restarts,
  startedAt: child.startedAt ?? null,
  lastExit: child.lastExit ?? null,
  abandoned: child.abandoned,
  children: child.supervisor === undefined ? [] : childrenOf(child.supervisor),
});

const statusOf = (child: Child): TreeNode["status"] => {
  if (child.status !== "waiting" && child.status !== "starting") return child.status;
  return child.lastExit === undefined ? "starting" : "restarting";
};

export interface ChildCounts {
  readonly specs: number;
  /** Those that run. */
  readonly active: number;
  readonly supervisors: number;
  readonly workers: number;
}

/** What is directly below a node. */
export const countChildren = (node: TreeNode): ChildCounts => {
  const count = (wanted: (child: TreeNode) => boolean): number => node.children.filter(wanted).length;
  return {
    specs: node.children.length,
    active: count((child) => child.status === "running"),
    supervisors: count((child) => child.kind === "supervisor"),
    workers: count((child) => child.kind === "worker"),
  };
};
