/** All that faults happen to: three sites with their nodes, a supernode of three servers and its node, the links between; and the load. */
import { setTimeout as sleep } from "node:timers/promises";
import { readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { folderOf, readDeployment } from "../../../src/cli/siteFolder.ts";
import { runCli } from "../../support/cli.ts";
import { Deployment } from "../../support/deployment.ts";
import { until } from "../../support/testSite.ts";
import type { ClusterServer } from "../cluster.ts";
import { Cluster } from "../cluster.ts";
import { Facts } from "./facts.ts";
import { Groups } from "./groups.ts";
import { Hub } from "./hub.ts";
import { Keeper } from "./keeper.ts";
import { LeafLink } from "./leafLink.ts";
import { isSettle } from "../arena.ts";
import { lane, Sender } from "../sender.ts";
import { slack } from "../slack.ts";

export const supernode = "hub";
export const siteNames = ["summit", "base", "archive"] as const;
/** Two nodes where claims can be taken over; the machine has to bear the rest. */
const nodesOf: Readonly<Record<string, number>> = { summit: 2 };
const delayMs = 60;
const filesEveryMs = 150;
const factsEveryMs = 150;
const groupsEveryMs = 400;
const joinMsMax = 60_000 * slack;
const healthyMsMax = 30_000;

export interface WorldSettings {
  /** YYYYMMDD, of all that is sent. */
  readonly day: string;
  /** Days that files are kept; null: for ever. */
  readonly retentionDays: number | null;
}

/** Kinds of files: most are good, some are tried again, some are bad. All sites have the same names. */
function nameOf(day: string, i: number): string {
  const kind = i % 7 === 3 ? "flaky" : i % 11 === 5 ? "bad" : "plain";
  return `${day}/${kind}-${i}.fits`;
}

const serverOf = (deployment: Deployment, site: string): ClusterServer => ({
  folder: deployment.path(site),
  url: deployment.urls(site)[0] ?? "",
  disk: null,
  kill9: () => deployment.signal(site, 0, "SIGKILL"),
  start: async () => {
    await deployment.launch(site, 0);
    await until(
      () => deployment.isHealthy(site, 0),
      (healthy) => healthy,
      healthyMsMax,
    );
  },
  pause: () => void deployment.signal(site, 0, "SIGSTOP"),
  resume: () => void deployment.signal(site, 0, "SIGCONT"),
  isHealthy: () => deployment.isHealthy(site, 0),
  // With the deployment.
  end: () => Promise.resolve(),
});

/** Nodes may not make streams and consumers themselves. */
async function applied(file: string, credentials: string): Promise<void> {
  const { exit, stderr } = await runCli(["topology", "apply", file], {
    env: { ORRERY_CREDENTIALS: credentials },
  });
  if (exit !== 0) throw new Error(`orrery topology apply: exit ${exit}: ${stderr}`);
}

/** One site: what it is made of, and what it was sent. */
export class SiteWorld {
  readonly name: string;
  readonly epoch: string;
  readonly cluster: Cluster;
  readonly facts: Facts;
  readonly groups: Groups;
  readonly nodes: ReadonlyArray<string>;
  readonly #mayEnd = new Set<number>();
  readonly #ownEnds: Array<string>;
  readonly #day: string;
  #sent = 0;

  private constructor(name: string, epoch: string, cluster: Cluster, day: string, ownEnds: Array<string>) {
    this.name = name;
    this.epoch = epoch;
    this.cluster = cluster;
    this.#day = day;
    this.#ownEnds = ownEnds;
    this.facts = new Facts(cluster.nats, name, day);
    this.groups = new Groups(cluster.nats, name);
    this.nodes = Array.from({ length: nodesOf[name] ?? 1 }, (_, i) => `${name}-${i + 1}`);
  }

  /** Its server runs already. */
  static async start(
    deployment: Deployment,
    name: string,
    { day, retentionDays }: WorldSettings,
    ownEnds: Array<string>,
  ): Promise<SiteWorld> {
    const made = readFileSync(deployment.path(name, "site.yaml"), "utf8");
    const cluster = await Cluster.on(serverOf(deployment, name), deployment.settings(name, "admin"), {
      head: made.slice(0, made.indexOf("lanes:")),
      // A flaky file fails once in each life of each node, and a life is short here.
      lane: {
        attemptsMax: 50,
        crashesAloneMax: 10,
        ...(retentionDays === null ? {} : { retention: `${retentionDays} days` }),
      },
    });
    const deploy = await readDeployment(folderOf(deployment.folder, name));
    const site = new SiteWorld(name, deploy?.epoch ?? "", cluster, day, ownEnds);
    try {
      await applied(cluster.siteFile(site.nodes[0] ?? ""), deployment.path(name, "creds", "admin.creds"));
      await Promise.all(site.nodes.map((node) => site.startNode(node)));
    } catch (cause) {
      await site.end();
      throw cause;
    }
    return site;
  }

  /** Of its keys at the supernode. */
  get prefix(): string {
    return `${this.name}.${this.epoch}.`;
  }

  async startNode(name: string): Promise<void> {
    const node = await this.cluster.node(name, { delayMs });
    void node.ended.then((how) => {
      if (this.#mayEnd.has(node.pid)) return;
      this.#ownEnds.push(`${new Date().toISOString()} node ${name} ended by itself, with ${how}`);
    });
  }

  /** Call it before a node is killed or told to end. */
  mayEnd(name: string): void {
    const node = this.cluster.nodes.get(name);
    if (node !== undefined) this.#mayEnd.add(node.pid);
  }

  /** Sends two files of a day, other ones each time. */
  async send(day = this.#day): Promise<void> {
    const keys = [nameOf(day, this.#sent++), nameOf(day, this.#sent++)];
    await this.cluster.sender.send(keys.map((key) => ({ key, etag: `${this.name}-${key}` })));
  }

  /**
   * Sends so many good files of a day that the retention ends, which the checker need not know of.
   * @returns the day's records in the ledger
   */
  async sendAged(day: string, count: number): Promise<ReadonlyArray<string>> {
    const aged = new Sender(() => [...this.cluster.nodes.values()].flatMap(({ http }) => http ?? []));
    const keys = Array.from({ length: count }, (_, i) => `${day}/aged-${i}.fits`);
    await aged.send(keys.map((key) => ({ key, etag: `${this.name}-${key}` })));
    const records = aged.accepted.map(({ record }) => record);
    await this.cluster.settled(records, healthyMsMax);
    return records;
  }

  async load(over: AbortSignal): Promise<void> {
    const files = async (): Promise<void> => {
      while (!over.aborted) await Promise.all([this.send(), sleep(filesEveryMs)]);
    };
    await Promise.all([
      files(),
      files(),
      this.facts.write(over, factsEveryMs),
      this.groups.announce(over, groupsEveryMs),
    ]);
  }

  /** Files settled between two moments (epoch milliseconds), as its ledger saw them. */
  settled(from: number, to: number): number {
    const seen = new Set<string>();
    for (const { key, at, ended, value } of this.cluster.history.revisions) {
      if (at < from || at >= to || ended || !key.startsWith("file.")) continue;
      if ((value as { readonly state?: string }).state === "known") seen.add(key);
    }
    return seen.size;
  }

  /** Resolves once each node has settled something after that time. */
  async works(afterMs: number, withinMs: number): Promise<void> {
    const left = new Set(this.nodes.map((node) => `claim.${lane}.${node}.0`));
    const { history } = this.cluster;
    let seen = 0;
    await history
      .until(`each node of ${this.name} settles again`, withinMs, () => {
        for (; seen < history.revisions.length; seen++) {
          const revision = history.revisions[seen];
          if (revision !== undefined && revision.at > afterMs && isSettle(revision.value))
            left.delete(revision.key);
        }
        return left.size === 0;
      })
      .catch((cause: unknown) => {
        throw new Error(`${String(cause)}; stuck: ${[...left].join(", ")}`);
      });
  }

  async end(): Promise<void> {
    for (const node of this.nodes) this.mayEnd(node);
    await this.cluster.end();
  }
}

interface Parts {
  readonly deployment: Deployment;
  readonly hub: Hub;
  readonly keeper: Keeper;
  readonly links: ReadonlyMap<string, LeafLink>;
  readonly sites: Map<string, SiteWorld>;
  readonly ownEnds: Array<string>;
  readonly settings: WorldSettings;
  readonly made: ReadonlyArray<() => Promise<void>>;
}

async function ended(made: ReadonlyArray<() => Promise<void>>): Promise<void> {
  for (const end of made.toReversed()) await end();
}

export class World {
  readonly deployment: Deployment;
  readonly hub: Hub;
  readonly keeper: Keeper;
  readonly links: ReadonlyMap<string, LeafLink>;
  readonly sites: Map<string, SiteWorld>;
  /** Nodes that ended without being asked to, in words. */
  readonly ownEnds: Array<string>;
  readonly #settings: WorldSettings;
  readonly #made: ReadonlyArray<() => Promise<void>>;

  private constructor(parts: Parts) {
    this.deployment = parts.deployment;
    this.hub = parts.hub;
    this.keeper = parts.keeper;
    this.links = parts.links;
    this.sites = parts.sites;
    this.ownEnds = parts.ownEnds;
    this.#settings = parts.settings;
    this.#made = parts.made;
  }

  static async start(settings: WorldSettings): Promise<World> {
    const deployment = new Deployment();
    const links = new Map<string, LeafLink>();
    const sites = new Map<string, SiteWorld>();
    const ownEnds: Array<string> = [];
    // In the order in which they were made; they end in reverse.
    const made: Array<() => Promise<void>> = [() => deployment.end()];
    try {
      await deployment.init(supernode, "--supernode");
      for (const site of siteNames) {
        await deployment.init(site);
        await deployment.join(site, supernode);
        const link = await LeafLink.to(deployment, supernode);
        made.push(() => link.end());
        links.set(site, link);
        link.put(deployment, site);
      }
      await Promise.all([supernode, ...siteNames].map((name) => deployment.start(name)));
      await until(
        () => deployment.leaves(supernode),
        ({ length }) => length === siteNames.length,
        joinMsMax,
      );
      made.push(async () => {
        for (const site of sites.values()) await site.end();
      });
      for (const site of siteNames)
        sites.set(site, await SiteWorld.start(deployment, site, settings, ownEnds));
      await source(deployment);
      const hub = await Hub.connect(deployment, supernode);
      made.push(() => hub.end());
      const keeper = new Keeper(deployment, supernode, ownEnds);
      made.push(() => keeper.end());
      await keeper.start();
      return new World({ deployment, hub, keeper, links, sites, ownEnds, settings, made });
    } catch (cause) {
      await ended(made);
      throw cause;
    }
  }

  site(name: string): SiteWorld {
    const found = this.sites.get(name);
    if (found === undefined) throw new Error(`no site ${name}`);
    return found;
  }

  link(site: string): LeafLink {
    const found = this.links.get(site);
    if (found === undefined) throw new Error(`no link of ${site}`);
    return found;
  }

  /** Whose node it is. */
  siteOf(node: string): SiteWorld {
    const found = [...this.sites.values()].find(({ nodes }) => nodes.includes(node));
    if (found === undefined) throw new Error(`no node ${node}`);
    return found;
  }

  get nodes(): ReadonlyArray<string> {
    return [...this.sites.values()].flatMap(({ nodes }) => nodes);
  }

  /**
   * The site is lost with everything in it, and made again by hand: new keys, a new epoch, an empty ledger.
   * @returns the epoch of its former life
   */
  async rebuild(name: string): Promise<string> {
    const former = this.site(name);
    await former.end();
    await this.deployment.signal(name, 0, "SIGKILL");
    await rm(this.deployment.path(name), { recursive: true, force: true, maxRetries: 5 });
    // A server of the supernode may be away just now: it is done again until each of them knows.
    await until(
      () =>
        this.deployment.cli(
          "site",
          "revoke",
          name,
          "--supernode",
          supernode,
          "--dir",
          this.deployment.folder,
        ),
      ({ exit }) => exit === 0,
      joinMsMax,
    );
    await this.deployment.init(name);
    await this.deployment.join(name, supernode);
    this.link(name).put(this.deployment, name);
    await this.deployment.start(name);
    this.sites.set(name, await SiteWorld.start(this.deployment, name, this.#settings, this.ownEnds));
    await source(this.deployment);
    // It was meant to be lost: by itself the supernode would keep its copy until the site has about as much again.
    await said(this.deployment, "site", "forget", name, "--supernode", supernode, "--epoch", former.epoch);
    return former.epoch;
  }

  end(): Promise<void> {
    return ended(this.#made);
  }
}

async function said(deployment: Deployment, ...argv: ReadonlyArray<string>): Promise<void> {
  const { exit, stderr } = await deployment.cli(...argv, "--dir", deployment.folder);
  if (exit !== 0) throw new Error(`orrery ${argv.join(" ")}: exit ${exit}: ${stderr}`);
}

/** The supernode sources every site that has joined. */
const source = (deployment: Deployment): Promise<void> =>
  said(deployment, "site", "apply", "--supernode", supernode);
