/** Sites of one mission that have joined a supernode, on servers of their own, with nodes in this process. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import * as Effect from "effect/Effect";
import { parse, stringify } from "yaml";
import { parseSite } from "../../src/config/loadSite.ts";
import { openObjects } from "../../src/jetstream/objects.ts";
import type { NatsService } from "../../src/jetstream/Nats.ts";
import { apply, plan } from "../../src/jetstream/topology.ts";
import { siteTopology } from "../../src/node/link.ts";
import type { JobRecord } from "../../src/protocol/jobs.ts";
import type { LedgerRecord } from "../../src/protocol/records.ts";
import type { RunBody } from "../../src/protocol/runs.ts";
import { partitionName, runsBucket } from "../../src/protocol/runs.ts";
import type { CliResult } from "./cli.ts";
import { runCli } from "./cli.ts";
import type { Deployment } from "./deployment.ts";
import type { MissionFile, MissionOptions } from "./missionSite.ts";
import { readJobs, readRuns, sendFiles, writeMission } from "./missionSite.ts";
import type { TestSite } from "./testSite.ts";
import { ask, startSite } from "./testSite.ts";

export interface JoinedOptions extends Omit<MissionOptions, "site" | "folder" | "aroundClock"> {
  /** Other sites whose files are inputs, each with the folder that holds its buckets. */
  readonly filesOf?: Readonly<Record<string, string>>;
  /** Lanes and jobs of the site file besides. */
  readonly also?: { readonly lanes?: object; readonly jobs?: object };
}

export class JoinedSite {
  readonly deployment: Deployment;
  readonly name: string;
  readonly folder: string;
  readonly options: JoinedOptions;
  readonly nodes = new Map<string, TestSite>();

  constructor(deployment: Deployment, name: string, options: JoinedOptions) {
    this.deployment = deployment;
    this.name = name;
    this.options = options;
    this.folder = deployment.path(`mission-${name}`);
  }

  /** Folder of the site's buckets. */
  get store(): string {
    return join(this.folder, "store");
  }

  #text(node: string): string {
    const { deployment, name, options } = this;
    const files = writeMission({
      ...options,
      folder: this.folder,
      site: stringify({
        node: { name: node },
        http: { host: "127.0.0.1", port: 0 },
        nats: {
          mode: "external",
          servers: deployment.urls(name),
          tls: { caFile: deployment.path(name, "tls", "ca.pem") },
          credentialsFile: deployment.path(name, "creds", "node.creds"),
          topology: "verify",
        },
      }),
    });
    const others = Object.entries(options.filesOf ?? {});
    const file = parse(files.text) as Record<string, unknown>;
    const storage = others.map(([site, root]) => [`of-${site}`, { driver: "file", root }]);
    const sites = others.map(([site]) => [site, { storage: `of-${site}` }]);
    const text = stringify({
      ...file,
      lanes: { ...(file["lanes"] as object), ...options.also?.lanes },
      jobs: options.also?.jobs ?? {},
      name,
      storage: { ...(file["storage"] as object), ...(Object.fromEntries(storage) as object) },
      ...(others.length === 0
        ? {}
        : { filesOf: { supernode: "hub", sites: Object.fromEntries(sites) as unknown } }),
    });
    // In the place of the one that this was made from: for the commands.
    writeFileSync(join(this.folder, "site.yaml"), text);
    return text;
  }

  async #topology() {
    mkdirSync(this.folder, { recursive: true });
    const { site } = await Effect.runPromise(parseSite(this.#text("one"), "test.yaml", { env: {} }));
    return siteTopology(site, []);
  }

  /** What of its streams and consumers is not as the site file wants it, in words. */
  async changes(): Promise<ReadonlyArray<string>> {
    const nats = await this.deployment.connect(this.name, "admin");
    const changes = await Effect.runPromise(plan(nats, await this.#topology()));
    return changes.map(({ words }) => words);
  }

  /** Streams and consumers, as the site's admin. @returns what was done and what was not, in words */
  async apply(): Promise<ReadonlyArray<string>> {
    const nats = await this.deployment.connect(this.name, "admin");
    const changes = await Effect.runPromise(apply(nats, await this.#topology()));
    await Effect.runPromise(openObjects(nats, runsBucket, 1));
    return changes.map(({ words }) => words);
  }

  async start(...nodes: ReadonlyArray<string>): Promise<void> {
    for (const node of nodes) this.nodes.set(node, await startSite(this.#text(node)));
  }

  async stop(): Promise<void> {
    await Promise.all([...this.nodes.values()].map((node) => node.stop()));
    this.nodes.clear();
  }

  get #one(): TestSite {
    const [node] = this.nodes.values();
    if (node === undefined) throw new Error(`no node of ${this.name} was started`);
    return node;
  }

  get nats(): NatsService {
    return this.#one.node.context.nats;
  }

  send(files: ReadonlyArray<MissionFile | string>): Promise<void> {
    return sendFiles(this.#one, join(this.store, "imap"), files);
  }

  /** Puts an object into a bucket and announces it. */
  async put(bucket: string, key: string, text: string): Promise<void> {
    const path = join(this.store, bucket, key);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    const object = { key, eTag: `of ${text}`, size: text.length };
    const record = { eventName: "ObjectCreated:Put", s3: { bucket: { name: bucket }, object } };
    const answer = await ask(this.#one, { body: { Records: [record] } });
    if (answer.status !== 200) throw new Error(`not accepted: ${JSON.stringify(answer)}`);
  }

  jobs(): Promise<ReadonlyArray<JobRecord>> {
    return readJobs(this.nats);
  }

  async job(name: string, partition: string): Promise<JobRecord | null> {
    const jobs = await this.jobs();
    return jobs.find((one) => one.job === name && partitionName(one.partition) === partition) ?? null;
  }

  runs(): Promise<ReadonlyArray<LedgerRecord<RunBody>>> {
    return readRuns(this.nats);
  }

  logged(text: string): number {
    return [...this.nodes.values()].flatMap(({ log }) => log).filter(({ message }) => message.includes(text))
      .length;
  }

  cli(...argv: ReadonlyArray<string>): Promise<CliResult> {
    return runCli([...argv, "--site", join(this.folder, "site.yaml")], {
      env: { ORRERY_CREDENTIALS: this.deployment.path(this.name, "creds", "admin.creds") },
    });
  }
}
