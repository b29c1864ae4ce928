/** All that faults happen to: a site of nodes behind links, its server, a store, a receiver of webhooks; and the load on it. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { receiverConsumer } from "../../src/jetstream/topology.ts";
import { kvStream, ledgerBucket } from "../../src/protocol/keys.ts";
import type { LedgerRecord } from "../../src/protocol/records.ts";
import { MiniStore } from "../support/miniStore.ts";
import { Receiver } from "../support/receiver.ts";
import { Cluster } from "./cluster.ts";
import { randomOf } from "./draw.ts";
import { Exposures, ordersFile, rawLane, rawSite } from "./exposures.ts";
import { lane } from "./sender.ts";
import type { OutsideEvidence } from "./told.ts";
import { slack } from "./slack.ts";

const bridge = fileURLToPath(new URL("../support/bridges/catalog.mjs", import.meta.url));
/** How long each batch is in the driver. */
const delayMs = 100;
const filesEveryMs = 60;
const exposuresEveryMs = 150;

export interface ArenaSettings {
  readonly nodes: ReadonlyArray<string>;
  readonly seed: number;
}

/** Kinds of plain files: most are good, some are tried again, some are bad. */
function nameOf(i: number): string {
  const kind = i % 7 === 3 ? "flaky" : i % 11 === 5 ? "bad" : "plain";
  return `20260101/${kind}-${i}.fits`;
}

export class Arena {
  readonly cluster: Cluster;
  readonly store: MiniStore;
  readonly receiver: Receiver;
  readonly exposures: Exposures;
  readonly nodes: ReadonlyArray<string>;
  /** Nodes that ended without being asked to, in words. */
  readonly ownEnds: Array<string> = [];
  readonly #seed: number;
  readonly #mayEnd = new Set<number>();

  private constructor(cluster: Cluster, store: MiniStore, receiver: Receiver, settings: ArenaSettings) {
    this.cluster = cluster;
    this.store = store;
    this.receiver = receiver;
    this.exposures = new Exposures(cluster, store);
    this.nodes = settings.nodes;
    this.#seed = settings.seed;
  }

  static async start(settings: ArenaSettings): Promise<Arena> {
    const store = await MiniStore.start();
    const receiver = await Receiver.start();
    const cluster = await Cluster.start({
      syncAlways: true,
      links: true,
      ownDisk: true,
      // A flaky file fails once in each life of each node, and a life is short here.
      lane: { attemptsMax: 50, crashesAloneMax: 10 },
      second: {
        lane: rawLane,
        text: (node, folder) =>
          rawSite({ node, folder, storeUrl: store.url, receiverUrl: receiver.url, bridge }),
      },
    }).catch(async (cause: unknown) => {
      await store.stop();
      await receiver.down();
      throw cause;
    });
    const { folder } = cluster.server;
    mkdirSync(join(folder, "catalog"));
    writeFileSync(join(folder, "key"), "chaos");
    const arena = new Arena(cluster, store, receiver, settings);
    try {
      for (const name of settings.nodes) await arena.startNode(name);
    } catch (cause) {
      await arena.end();
      throw cause;
    }
    return arena;
  }

  async startNode(name: string): Promise<void> {
    const node = await this.cluster.node(name, { delayMs });
    void node.ended.then((how) => {
      if (this.#mayEnd.has(node.pid)) return;
      this.ownEnds.push(`${new Date().toISOString()} node ${name} ended by itself, with ${how}`);
    });
  }

  /** Call it before a node is killed or told to end. */
  mayEnd(name: string): void {
    const node = this.cluster.nodes.get(name);
    if (node !== undefined) this.#mayEnd.add(node.pid);
  }

  /** The node's bridge does this once, with the next batch that it gets. */
  order(node: string, fault: string): string {
    const file = ordersFile(this.cluster.server.folder, node);
    writeFileSync(file, fault);
    return file;
  }

  /** Sends, and asks, until it is told to end. */
  async load(over: AbortSignal): Promise<void> {
    let i = 0;
    const files = async (): Promise<void> => {
      while (!over.aborted) {
        const keys = [nameOf(i++), nameOf(i++)];
        await Promise.all([
          this.cluster.sender.send(keys.map((key) => ({ key, etag: "1" }))),
          sleep(filesEveryMs),
        ]);
      }
    };
    await Promise.all([
      files(),
      files(),
      this.exposures.take(over, exposuresEveryMs),
      this.exposures.ask(over, randomOf(this.#seed)),
    ]);
  }

  /** Resolves once each node has settled something of each lane after that time; rejects after `withinMs`. */
  async allWork(afterMs: number, withinMs: number): Promise<void> {
    const left = new Set(this.nodes.flatMap((node) => [lane, rawLane].map((of) => `claim.${of}.${node}.0`)));
    let seen = 0;
    await this.cluster.history
      .until("each node settles again", withinMs, () => {
        const { revisions } = this.cluster.history;
        for (; seen < revisions.length; seen++) {
          const revision = revisions[seen];
          if (revision !== undefined && revision.at > afterMs && isSettle(revision.value))
            left.delete(revision.key);
        }
        return left.size === 0;
      })
      .catch((cause: unknown) => {
        throw new Error(`${String(cause)}; stuck: ${[...left].join(", ")}`);
      });
  }

  /** Everything accepted is settled, everything known is told; rejects after `withinMs`. */
  async rest(withinMs: number): Promise<void> {
    const until = performance.now() + withinMs * slack;
    await this.cluster.rest(withinMs);
    for (;;) {
      const { jsm } = this.cluster.nats;
      const info = await jsm.consumers.info(kvStream(ledgerBucket), receiverConsumer("summit"));
      const left = info.num_pending + info.num_ack_pending;
      if (left === 0) return;
      if (performance.now() > until)
        throw new Error(`stuck: ${left} files are not told after ${withinMs} ms`);
      await sleep(100);
    }
  }

  outside({ ledger, history }: Pick<OutsideEvidence, "ledger" | "history">): OutsideEvidence {
    const { announced, sent, lookUps } = this.exposures;
    return { ledger, history, told: this.receiver.accepted, announced, sent, lookUps };
  }

  async end(): Promise<void> {
    for (const name of this.nodes) this.mayEnd(name);
    await this.cluster.end();
    await this.receiver.down();
    await this.store.stop();
  }
}

/** Faults of the site are no file's fault: only what is bad by its name is ever given up. */
export const givenUp = (ledger: OutsideEvidence["ledger"]): ReadonlyArray<string> =>
  ledger.flatMap(({ key, value }) => {
    if (!key.startsWith("file.") || key.includes("bad")) return [];
    const { state, errors } = value as LedgerRecord;
    return state === "parked" ? [`given up: ${key}, ${JSON.stringify(errors.at(-1))}`] : [];
  });

export const isSettle = (value: unknown): boolean => {
  const slot = value as { readonly state?: string; readonly how?: string } | null;
  return slot?.state === "idle" && slot.how === "settled";
};
