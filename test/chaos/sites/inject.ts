/** How each kind of fault of sites and their supernode is done, and undone. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Fault } from "./draw.ts";
import type { World } from "./world.ts";
import { siteNames } from "./world.ts";
import { slack } from "../slack.ts";

/** What came of a fault. */
export interface Injected {
  /** Epoch milliseconds: when it happened, and from when on all could be well again. */
  readonly hitAt: number;
  readonly healedAt: number;
  /** Sites whose way to the supernode it concerned; empty: none. */
  readonly away: ReadonlyArray<string>;
  /** Nodes that could not work; empty: none. */
  readonly idle: ReadonlyArray<string>;
  readonly note?: string;
}

const leaderMsMax = 60_000 * slack;

/** What else must be free of faults while it lasts. */
export function involves({ kind, whom }: Fault, servers: ReadonlyArray<string>): ReadonlyArray<string> {
  if (whom === "supernode") return servers;
  // A site's link, its server and its nodes may be hit together.
  return [kind.startsWith("link") ? `link of ${whom}` : whom];
}

async function onLink(world: World, { kind, whom, downMs }: Fault): Promise<Injected> {
  const hitAt = Date.now();
  const link = world.link(whom);
  if (kind === "link: cut") link.cut();
  else if (kind === "link: silent") link.silence();
  else link.forget();
  await sleep(downMs);
  link.heal();
  return { hitAt, healedAt: Date.now(), away: [whom], idle: [] };
}

async function onServers(
  { hub }: World,
  kill: boolean,
  which: ReadonlyArray<number>,
  downMs: number,
): Promise<number> {
  const hitAt = Date.now();
  await Promise.all(which.map((i) => (kill ? hub.kill9(i) : hub.pause(i))));
  await sleep(downMs);
  await Promise.all(which.map((i) => (kill ? hub.start(i) : hub.resume(i))));
  return hitAt;
}

async function onSupernode(world: World, { kind, whom, downMs }: Fault): Promise<Injected> {
  const { hub } = world;
  const all = hub.servers.map((_, i) => i);
  const which =
    whom !== "supernode"
      ? [hub.servers.indexOf(whom)]
      : kind === "supernode: all kill -9"
        ? all
        : [await hub.leader(leaderMsMax)];
  const hitAt = await onServers(world, kind.endsWith("kill -9"), which, downMs);
  const note = which.map((i) => hub.servers[i] ?? "").join(", ");
  return { hitAt, healedAt: Date.now(), away: siteNames, idle: [], note };
}

async function onKeeper({ keeper }: World, { kind, downMs }: Fault): Promise<Injected> {
  const hitAt = Date.now();
  if (kind === "keeper: kill -9") {
    await keeper.kill9();
    await sleep(downMs);
    await keeper.start();
  } else {
    keeper.stop();
    await sleep(downMs);
    keeper.cont();
  }
  return { hitAt, healedAt: Date.now(), away: [], idle: [] };
}

async function onSiteServer(world: World, { kind, whom, downMs }: Fault): Promise<Injected> {
  const { cluster, nodes } = world.site(whom);
  const hitAt = Date.now();
  if (kind === "site server: kill -9") {
    await cluster.server.kill9();
    await sleep(downMs);
    await cluster.server.start();
  } else {
    cluster.server.pause();
    await sleep(downMs);
    cluster.server.resume();
  }
  return { hitAt, healedAt: Date.now(), away: [whom], idle: nodes };
}

async function onNode(world: World, { kind, whom, downMs }: Fault): Promise<Injected> {
  const site = world.siteOf(whom);
  const hitAt = Date.now();
  if (kind === "node: SIGSTOP") {
    site.cluster.stop(whom);
    await sleep(downMs);
    site.cluster.cont(whom);
    return { hitAt, healedAt: Date.now(), away: [], idle: [whom] };
  }
  site.mayEnd(whom);
  const node = site.cluster.nodes.get(whom);
  if (kind === "node: SIGTERM") {
    const how = await node?.term();
    if (how !== 0) throw new Error(`node ${whom} was told to end and ended with ${how}`);
  } else await node?.kill9();
  await sleep(downMs);
  await site.startNode(whom);
  return { hitAt, healedAt: Date.now(), away: [], idle: [whom] };
}

/** Does it and undoes it; resolves when it is over. */
export function inject(world: World, fault: Fault): Promise<Injected> {
  const [what] = fault.kind.split(":");
  if (what === "link") return onLink(world, fault);
  if (what === "supernode") return onSupernode(world, fault);
  if (what === "keeper") return onKeeper(world, fault);
  if (what === "site server") return onSiteServer(world, fault);
  return onNode(world, fault);
}
