/** A small site made of real processes: one nats-server, some nodes, a sender, and everything the history checker asks for. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Scope from "effect/Scope";
import { readStreamUnsafe } from "../../src/jetstream/ledger.ts";
import type { ConnectSettings, NatsService } from "../../src/jetstream/Nats.ts";
import { connectNats } from "../../src/jetstream/Nats.ts";
import { apply, arrivalsConsumer, topologyOf } from "../../src/jetstream/topology.ts";
import { decodeArrival } from "../../src/protocol/arrival.ts";
import { arrivalsStream, claimOfKey } from "../../src/protocol/keys.ts";
import type { ClaimSlot, LedgerRecord } from "../../src/protocol/records.ts";
import { isTerminal } from "../../src/protocol/records.ts";
import type { Disk } from "../support/disk.ts";
import { Link } from "../support/link.ts";
import type { ProcessSettings } from "../support/nodeProcess.ts";
import { NodeProcess } from "../support/nodeProcess.ts";
import type { IngestNote, LogNote, NodePlan } from "../support/nodePlan.ts";
import { ServerProcess } from "../support/server.ts";
import type { Evidence, Life, Revision } from "./checker.ts";
import { unfinished, violations } from "./checker.ts";
import { History } from "./history.ts";
import { bucket, lane, recordIn, Sender } from "./sender.ts";
import { slack } from "./slack.ts";

export interface ClusterOptions {
  /** Further lines of the lane in the site file. */
  readonly lane?: Readonly<Record<string, string | number>>;
  readonly syncAlways?: boolean;
  readonly duplicateWindow?: string;
  /** A second lane. What it needs of the site file, for each node: begins with the lane itself, as the file ends with the lanes. */
  readonly second?: { readonly lane: string; readonly text: (node: string, folder: string) => string };
  /** Nodes reach the server through a link each, which can be cut. */
  readonly links?: boolean;
  /** The server's store lies on a disk that can be filled, where this user may mount one. */
  readonly ownDisk?: boolean;
  /** The site file's part above `http`, where the site is not one of its own making. */
  readonly head?: string;
}

/** The server of a cluster, as far as that has to know it. */
export interface ClusterServer {
  /** For everything that belongs to the cluster. */
  readonly folder: string;
  readonly url: string;
  readonly disk: Disk | null;
  kill9(): Promise<void>;
  /** On the store and port that it had. */
  start(): Promise<void>;
  pause(): void;
  resume(): void;
  isHealthy(): Promise<boolean>;
  end(): Promise<void>;
}

const headOf = (url: string): string => `name: chaos
nats:
  mode: external
  servers: ["${url}"]
`;

const siteFile = (url: string, options: ClusterOptions): string => `${options.head ?? headOf(url)}http:
  host: 127.0.0.1
  port: 0
log:
  level: info
enqueuer:
  duplicateWindow: ${options.duplicateWindow ?? "2 min"}
lanes:
  ${lane}:
    kind: object
    buckets: [${bucket}]
    pattern: '^(?<day>\\d{8})/'
    metadata: key
${Object.entries({ backoffBase: "100 ms", backoffMax: "500 ms", ...options.lane })
  .map(([name, value]) => `    ${name}: ${value}\n`)
  .join("")}`;

const lanesOf = ({ second }: ClusterOptions): ReadonlyArray<string> =>
  second === undefined ? [lane] : [lane, second.lane];

type Behaviour = Partial<Pick<NodePlan, "delayMs" | "killOn">> & {
  /** Another program, another clock. */
  readonly process?: ProcessSettings;
};

export interface Held {
  readonly node: string;
  readonly claim: string;
  readonly items: ReadonlyArray<string>;
}

function lines(file: string): ReadonlyArray<unknown> {
  if (!existsSync(file)) return [];
  const whole = readFileSync(file, "utf8").split("\n").slice(0, -1);
  return whole.map((line) => JSON.parse(line) as unknown);
}

export class Cluster {
  readonly server: ClusterServer;
  readonly nats: NatsService;
  readonly history: History;
  readonly sender: Sender;
  /** The latest process of each name. */
  readonly nodes = new Map<string, NodeProcess>();
  readonly #started = new Set<NodeProcess>();
  readonly lives: Array<Life> = [];
  /** By node; empty unless the cluster was asked for them. */
  readonly links = new Map<string, Link>();
  readonly #options: ClusterOptions;
  readonly #scope: Scope.Closeable;
  #plans = 0;

  private constructor(
    server: ClusterServer,
    nats: NatsService,
    history: History,
    scope: Scope.Closeable,
    options: ClusterOptions,
  ) {
    this.#options = options;
    this.server = server;
    this.nats = nats;
    this.history = history;
    this.#scope = scope;
    const urls = (): ReadonlyArray<string> => [...this.nodes.values()].flatMap(({ http }) => http ?? []);
    this.sender = new Sender(urls);
  }

  static async start(options: ClusterOptions = {}): Promise<Cluster> {
    const server = await ServerProcess.start({
      syncAlways: options.syncAlways ?? false,
      ownDisk: options.ownDisk ?? false,
    });
    return Cluster.on(server, { servers: [server.url], name: "test" }, options);
  }

  /** On a server that is there already; ends it when it ends. @param settings how a user who may do everything connects */
  static async on(
    server: ClusterServer,
    settings: ConnectSettings,
    options: ClusterOptions,
  ): Promise<Cluster> {
    const scope = Scope.makeUnsafe();
    try {
      const run = <A, E>(effect: Effect.Effect<A, E, Scope.Scope>): Promise<A> =>
        Effect.runPromise(Scope.provide(effect, scope));
      const nats = await run(connectNats(settings, { firstMs: 60_000 }));
      const none = { runLanes: [], items: [], follows: [], replicas: 1, duplicateWindowMs: 120_000 };
      await run(apply(nats, topologyOf({ ...none, lanes: lanesOf(options) })));
      return new Cluster(server, nats, await History.start(nats, settings), scope, options);
    } catch (cause) {
      await Effect.runPromise(Scope.close(scope, Exit.void));
      await server.end();
      throw cause;
    }
  }

  /** Starts a node, or starts it again; resolves once it is ready. */
  async node(name: string, behaviour: Behaviour = {}): Promise<NodeProcess> {
    if (this.#options.links === true && !this.links.has(name))
      this.links.set(name, await Link.start(this.server.url));
    const node = this.launch(name, behaviour);
    await node.ready;
    return node;
  }

  /** Writes the node's site file. @returns its path */
  siteFile(name: string): string {
    const { folder } = this.server;
    const file = join(folder, `site-${name}.yaml`);
    const url = this.links.get(name)?.url ?? this.server.url;
    const second = this.#options.second?.text(name, folder) ?? "";
    writeFileSync(file, siteFile(url, this.#options) + second);
    return file;
  }

  /** Starts a node without waiting for it. */
  launch(name: string, { process: settings, ...behaviour }: Behaviour = {}): NodeProcess {
    const { folder } = this.server;
    const plan: NodePlan = {
      site: this.siteFile(name),
      node: name,
      logFile: join(folder, `${name}.log`),
      ingestFile: join(folder, "ingest.jsonl"),
      delayMs: 0,
      killOn: null,
      ...behaviour,
    };
    const node = new NodeProcess(plan, join(folder, `plan-${this.#plans++}.json`), settings);
    // Before it is ready it has no lease: what its former life had in hand is anybody's.
    node.ready.then(
      () => this.lives.push({ node: name, from: Date.now(), to: Infinity }),
      () => undefined,
    );
    void node.ended.then(
      () => this.#lifeEnds(name),
      () => this.#lifeEnds(name),
    );
    this.nodes.set(name, node);
    this.#started.add(node);
    return node;
  }

  #lifeEnds(name: string): void {
    for (const life of this.lives) {
      if (life.node === name && life.to === Infinity) life.to = Date.now();
    }
  }

  stop(name: string): void {
    this.#lifeEnds(name);
    this.#of(name).stop();
  }

  cont(name: string): void {
    this.#of(name).cont();
    this.lives.push({ node: name, from: Date.now(), to: Infinity });
  }

  /** Cuts the node's link, or makes it silent: nobody can know that the node is alive. */
  sever(name: string, how: "cut" | "silence"): void {
    this.#lifeEnds(name);
    this.links.get(name)?.[how]();
  }

  mend(name: string): void {
    this.links.get(name)?.heal();
    this.lives.push({ node: name, from: Date.now(), to: Infinity });
  }

  #of(name: string): NodeProcess {
    const node = this.nodes.get(name);
    if (node === undefined) throw new Error(`no node ${name}`);
    return node;
  }

  /** What a node has in hand, by its claim slots. */
  held(name: string): Held | null {
    for (const { key, value } of this.history.latest.values()) {
      const owner = claimOfKey(key);
      const slot = owner?.node === name ? (value as ClaimSlot) : null;
      if (slot?.state === "claimed") {
        return { node: name, claim: slot.id, items: slot.items.map((item) => item.record) };
      }
    }
    return null;
  }

  record(key: string): LedgerRecord | null {
    const latest = this.history.latest.get(key);
    return latest === undefined || latest.ended ? null : (latest.value as LedgerRecord);
  }

  /** Resolves once a node has at least `count` items in hand. */
  holds(name: string, count = 1, withinMs = 10_000): Promise<Held> {
    return this.history.until(`${name} holds ${count} items`, withinMs, () => {
      const held = this.held(name);
      return held !== null && held.items.length >= count ? held : null;
    });
  }

  /** Resolves once all of these records are terminal. */
  settled(records: ReadonlyArray<string>, withinMs: number): Promise<true> {
    let left = records;
    return this.history
      .until(`${records.length} records are settled`, withinMs, () => {
        left = left.filter((key) => {
          const record = this.record(key);
          return record === null || !isTerminal(record.state);
        });
        return left.length === 0;
      })
      .catch((cause: unknown) => {
        const some = left.slice(0, 5).map((key) => `${key} (${this.record(key)?.state ?? "no record"})`);
        throw new Error(`${String(cause)}; ${left.length} left: ${some.join(", ")}`);
      })
      .then(() => true);
  }

  /** Everything that was answered 200 is settled, every slot idle, every message acknowledged. */
  async rest(withinMs: number): Promise<void> {
    const until = performance.now() + withinMs * slack;
    await this.settled([...new Set(this.sender.accepted.map(({ record }) => record))], withinMs);
    const slots = (): ReadonlyArray<Revision> =>
      [...this.history.latest.values()].filter(({ key }) => key.startsWith("claim."));
    const idle = (): boolean => slots().every(({ value }) => (value as ClaimSlot).state === "idle");
    await this.history.until("all claims end", withinMs, idle);
    // No event tells that a consumer has nothing left.
    while ((await this.#consumer()).pending > 0) {
      if (performance.now() > until) {
        throw new Error(
          `${(await this.#consumer()).pending} messages are still pending after ${withinMs} ms`,
        );
      }
      await sleep(100);
    }
  }

  /** Of all lanes together: what any of them has not acknowledged is above the floor. */
  async #consumer(): Promise<{ readonly pending: number; readonly ackFloor: number }> {
    const infos = await Promise.all(
      lanesOf(this.#options).map((one) =>
        this.nats.jsm.consumers.info(arrivalsStream, arrivalsConsumer(one)),
      ),
    );
    const behind = infos.filter((info) => info.num_pending + info.num_ack_pending > 0);
    return {
      pending: behind.reduce((sum, info) => sum + info.num_pending + info.num_ack_pending, 0),
      ackFloor: Math.min(...(behind.length > 0 ? behind : infos).map((info) => info.ack_floor.stream_seq)),
    };
  }

  async evidence(): Promise<Evidence> {
    const arrivals: Array<Evidence["arrivals"][number]> = [];
    await readStreamUnsafe(this.nats, arrivalsStream, "arrive.>", ({ seq, data }) => {
      const arrival = decodeArrival(data);
      if (arrival === null) return;
      const { bucket, key, etag, generation } = arrival;
      arrivals.push({ sequence: seq, record: recordIn(bucket, key), etag, generation });
    });
    return {
      accepted: this.sender.accepted,
      ledger: await this.history.scan(),
      history: [...this.history.revisions].sort((a, b) => a.revision - b.revision),
      arrivals,
      ...(await this.#consumer()),
      ingests: this.ingests(),
      lives: this.lives,
    };
  }

  /** Everything the checker has to say; call it at rest. */
  async check(): Promise<ReadonlyArray<string>> {
    const evidence = await this.evidence();
    return [...violations(evidence), ...unfinished(evidence)];
  }

  ingests(): ReadonlyArray<IngestNote> {
    return lines(join(this.server.folder, "ingest.jsonl")) as ReadonlyArray<IngestNote>;
  }

  log(name: string): ReadonlyArray<LogNote> {
    return lines(join(this.server.folder, `${name}.log`)) as ReadonlyArray<LogNote>;
  }

  /** kill -9 of the server and its start on the same store; resolves once this test, too, is connected again. */
  async crashServer(downMs = 0): Promise<void> {
    const back = this.#reconnected();
    await this.server.kill9();
    await sleep(downMs);
    await this.server.start();
    await back;
  }

  async #reconnected(): Promise<void> {
    for await (const { type } of this.nats.connection.status()) if (type === "reconnect") return;
  }

  /** Resolves with a node's log line of this message; rejects after `withinMs`. */
  async logged(name: string, message: string, withinMs: number): Promise<LogNote> {
    const until = performance.now() + withinMs * slack;
    for (;;) {
      const note = this.log(name).find((line) => line.message === message);
      if (note !== undefined) return note;
      if (performance.now() > until)
        throw new Error(`node ${name} did not log "${message}" within ${withinMs} ms`);
      await sleep(25);
    }
  }

  /** Starts the node again whenever it dies, as whoever runs it would; at most `timesMax` times. */
  keepAlive(name: string, behaviour: Behaviour, timesMax: number): void {
    const again = (left: number): void => {
      const node = this.launch(name, behaviour);
      void node.ended.then((how) => {
        if (how === "SIGKILL" && left > 1 && !this.#ending) again(left - 1);
      });
    };
    again(timesMax);
  }

  #ending = false;

  async end(): Promise<void> {
    this.#ending = true;
    for (const node of this.#started) await node.kill9();
    await this.history.end();
    for (const link of this.links.values()) await link.end();
    this.server.resume();
    await Effect.runPromise(Scope.close(this.#scope, Exit.void));
    await this.server.end();
  }
}

/** Runs the test on a site of its own, which is gone afterwards, also when the test fails. */
export async function withCluster(
  test: (cluster: Cluster) => Promise<void>,
  options: ClusterOptions = {},
): Promise<void> {
  const cluster = await Cluster.start(options);
  try {
    await test(cluster);
  } catch (cause) {
    const found = await cluster.check().catch((why: unknown) => [`no evidence: ${String(why)}`]);
    throw found.length === 0
      ? cause
      : new Error(`${String(cause)}\n${found.slice(0, 20).join("\n")}`, { cause });
  } finally {
    await cluster.end();
  }
}
