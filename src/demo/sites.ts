/**
 * `npm run sites`: a supernode of three servers and three sites with TLS and credentials, and a node at each, all on loopback and
 * below ./.orrery/sites, which is made anew. Each site takes files in; the supernode has them all. With `--once` it ends when every
 * file is known at its site and stands at the supernode exactly as there, and presence, asked at each site and at the supernode, has
 * all of all sites: exit 0, or 1 when that does not come true in time.
 */
import type { ChildProcess } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Scope from "effect/Scope";
import { runCommand } from "../cli/program.ts";
import { connectDeployment } from "../cli/siteConnect.ts";
import { folderOf, readDeployment } from "../cli/siteFolder.ts";
import { processIo } from "../cli/terminal.ts";
import { findBinary, launch } from "../jetstream/embedded.ts";
import { readStreamUnsafe } from "../jetstream/ledger.ts";
import type { NatsService } from "../jetstream/Nats.ts";
import { kvStream, ledgerBucket } from "../protocol/keys.ts";
import { ledgerSubjects, sitesBucket, siteSubjects } from "../protocol/sites.ts";
import { ext } from "./demoSite.ts";
import { readCount, readOptions } from "./options.ts";
import { freePorts } from "./ports.ts";
import type { Group } from "./sitesLookups.ts";
import { askFor, fileLane, fileOf, instrument } from "./sitesLookups.ts";
import { Hopeless, within } from "./within.ts";

const usage = "npm run sites -- [--once] [--files N]";
const supernode = "hub";
const sites = ["summit", "base", "archive"] as const;
const requestRecords = 500;
const startMsMax = 120_000;
const settleMsMax = 300_000;

const root = resolve(".orrery", "sites");
const program = fileURLToPath(new URL(`../cli${ext}`, import.meta.url));
const say = (line: string): void => void process.stdout.write(`${line}\n`);
const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

const siteYaml = (lanes: string): string => `${lanes.slice(0, lanes.indexOf("lanes:"))}http: { port: 0 }
presence: { instruments: [${instrument}], scope: all }
lanes:
  files: { ${fileLane} }
`;

/** For each of a deployment's servers: client, monitor, cluster and leaf. */
const portsEach = 12;

/** Runs an `orrery` command; rejects when it does not end well. */
async function orrery(argv: ReadonlyArray<string>, credentials = ""): Promise<void> {
  const io = processIo();
  let said = "";
  const quiet = { ...io.out, write: (text: string): void => void (said += text) };
  const env = credentials === "" ? io.env : { ...io.env, ORRERY_CREDENTIALS: credentials };
  const exit = await runCommand(argv, { ...io, out: quiet, err: quiet, env }).exit;
  if (exit !== 0) throw new Error(`orrery ${argv.join(" ")}: exit ${exit}: ${said}`);
}

class Stage {
  readonly #scope = Scope.makeUnsafe();
  readonly #servers: Array<ChildProcess> = [];
  readonly #nodes: Array<ChildProcess> = [];

  /** Folders, keys, certificates and configurations, as a person would make them. */
  async make(): Promise<void> {
    await rm(root, { recursive: true, force: true });
    const names = [supernode, ...sites];
    const all = await freePorts(portsEach * names.length);
    for (const [index, name] of names.entries()) {
      const first = all + portsEach * index;
      const flags = ["--port", "--monitor-port", "--cluster-port", "--leaf-port"];
      const ports = flags.flatMap((flag, i) => [flag, String(first + 3 * i)]);
      const kind = name === supernode ? ["--supernode"] : [];
      await orrery(["site", "init", name, "--dir", root, ...kind, ...ports]);
      if (name === supernode) continue;
      await orrery(["site", "join", name, "--supernode", supernode, "--dir", root]);
      const file = join(root, name, "site.yaml");
      await writeFile(file, siteYaml(await readFile(file, "utf8")));
    }
  }

  async startServers(name: string): Promise<void> {
    const binary = await findBinary(say);
    const deployment = await readDeployment(folderOf(root, name));
    for (const i of (deployment?.servers ?? []).keys()) {
      const file = join(root, name, name === supernode ? `${name}-${i}.conf` : "nats.conf");
      const { child } = await launch([binary, "-c", file]);
      this.#servers.push(child);
    }
    for (const { monitor } of deployment?.servers ?? []) {
      await within(`the server of ${name}`, startMsMax, () =>
        fetch(`http://127.0.0.1:${monitor}/healthz`, { signal: AbortSignal.timeout(1_000) }).then(
          ({ ok }) => (ok ? true : null),
          // It does not listen yet.
          () => null,
        ),
      );
    }
  }

  async connect(name: string): Promise<NatsService> {
    const folder = folderOf(root, name);
    const deployment = await readDeployment(folder);
    if (deployment === null) throw new Error(`${name} was not made`);
    return Effect.runPromise(Scope.provide(connectDeployment(folder, deployment, "admin"), this.#scope));
  }

  /** @returns where it takes notifications */
  async startSiteNode(name: string): Promise<string> {
    const file = join(root, name, "site.yaml");
    await orrery(["topology", "apply", file], join(root, name, "creds", "admin.creds"));
    return this.startNode(name);
  }

  /** @returns its address */
  async startNode(name: string): Promise<string> {
    const file = join(root, name, "site.yaml");
    const ready = join(root, name, "ready.json");
    const argv = [program, "start", file, "--node", `${name}-1`, "--http-port", "0", "--ready-file", ready];
    const { child } = await launch([process.execPath, ...argv]);
    this.#nodes.push(child);
    return within(`the node of ${name}`, startMsMax, async () => {
      if (child.exitCode !== null) throw new Hopeless(`the node of ${name} ended with ${child.exitCode}`);
      if (!existsSync(ready)) return null;
      return (JSON.parse(await readFile(ready, "utf8")) as { httpUrl: string }).httpUrl;
    });
  }

  async end(): Promise<void> {
    await stopped(this.#nodes);
    await Effect.runPromise(Scope.close(this.#scope, Exit.void));
    await stopped(this.#servers);
  }
}

async function stopped(children: ReadonlyArray<ChildProcess>): Promise<void> {
  const ends = children.map(
    (child) =>
      new Promise<void>((done) => {
        if (child.exitCode !== null || child.signalCode !== null) return done();
        child.once("exit", () => done());
        child.stdin?.end();
        return undefined;
      }),
  );
  await Promise.race([Promise.all(ends), pause(10_000)]);
}

/** The files of a site, as its store would announce them. Some have the same name at all sites: they are told apart by where they are. */
async function send(url: string, site: string, files: number): Promise<void> {
  for (let from = 0; from < files; from += requestRecords) {
    const Records = Array.from({ length: Math.min(requestRecords, files - from) }, (_, i) => ({
      eventName: "ObjectCreated:Put",
      s3: {
        bucket: { name: "incoming" },
        object: { key: fileOf(site, from + i).key, eTag: `${site}-${from + i}`, size: 1 },
      },
    }));
    // Too much at once is answered 503, and sent again.
    await within(`notification of ${site}`, settleMsMax, async () => {
      const answer = await fetch(`${url}/notify`, { method: "POST", body: JSON.stringify({ Records }) });
      await answer.arrayBuffer();
      return answer.ok ? true : null;
    });
  }
}

interface Held {
  readonly known: number;
  /** Of all records and their keys, in whatever order. */
  readonly digest: string;
}

async function held(nats: NatsService, stream: string, filter: string, from: number): Promise<Held> {
  const sums = new BigUint64Array(2);
  let known = 0;
  await readStreamUnsafe(nats, stream, filter, ({ subject, data }) => {
    const key = subject.split(".").slice(from).join(".");
    const hash = createHash("sha256").update(key).update("\0").update(data).digest();
    sums[0] = (sums[0] ?? 0n) + hash.readBigUInt64LE(0);
    sums[1] = (sums[1] ?? 0n) + hash.readBigUInt64LE(8);
    if ((JSON.parse(Buffer.from(data).toString()) as { state?: unknown }).state === "known") known++;
  });
  return { known, digest: [...sums].map((sum) => sum.toString(16)).join("-") };
}

interface Compared {
  readonly site: string;
  readonly here: Held;
  readonly there: Held;
}

async function compare(
  hub: NatsService,
  of: ReadonlyMap<string, NatsService>,
): Promise<ReadonlyArray<Compared>> {
  const deployment = await readDeployment(folderOf(root, supernode));
  const found: Array<Compared> = [];
  for (const [site, nats] of of) {
    const epoch = deployment?.members[site]?.epoch ?? "";
    found.push({
      site,
      here: await held(nats, kvStream(ledgerBucket), ledgerSubjects("file"), 2),
      there: await held(hub, kvStream(sitesBucket), siteSubjects(site, epoch, "file"), 4),
    });
  }
  return found;
}

/** Presence of all files of all sites, asked at one place until all are there. */
async function askEverywhere(place: string, nats: NatsService, files: number): Promise<void> {
  const began = performance.now();
  let groups: ReadonlyArray<Group> = sites.flatMap((site) =>
    Array.from({ length: files }, (_, nth) => fileOf(site, nth).group),
  );
  const asked = groups.length;
  let own = 0;
  let elsewhere = 0;
  await within(`presence of all files at ${place}`, settleMsMax, async () => {
    const found = await askFor(nats, groups);
    own += found.own;
    elsewhere += found.elsewhere;
    groups = found.missing;
    return groups.length === 0 ? true : null;
  });
  const seconds = ((performance.now() - began) / 1_000).toFixed(0);
  const where = place === supernode ? "" : `: ${own} its own, ${elsewhere} at other sites`;
  say(`  ${place}: asked for ${asked}, ${own + elsewhere} present${where}, in ${seconds} s`);
}

async function play(stage: Stage, files: number): Promise<boolean> {
  say("making keys, certificates and configurations");
  await stage.make();
  await Promise.all([supernode, ...sites].map((name) => stage.startServers(name)));
  const hub = await stage.connect(supernode);
  const of = new Map<string, NatsService>();
  const urls = new Map<string, string>();
  await Promise.all(
    sites.map(async (site) => {
      const url = await stage.startSiteNode(site);
      urls.set(site, url);
      of.set(site, await stage.connect(site));
      say(`${site}: node at ${url}`);
    }),
  );
  await orrery(["site", "apply", "--supernode", supernode, "--dir", root]);
  say(`${supernode}: node at ${await stage.startNode(supernode)}`);
  say(`sending ${files} files to each site`);
  const began = performance.now();
  await Promise.all(sites.map((site) => send(urls.get(site) ?? "", site, files)));
  const done = (all: ReadonlyArray<Compared>): boolean =>
    all.every(({ here, there }) => here.known === files && there.digest === here.digest);
  const compared = await within(
    "all files",
    settleMsMax,
    async () => {
      const all = await compare(hub, of);
      for (const { site, here, there } of all)
        say(`  ${site}: ${here.known} known, ${there.known} at the supernode`);
      return done(all) ? all : null;
    },
    1_000,
  );
  const total = compared.reduce((sum, { there }) => sum + there.known, 0);
  const seconds = ((performance.now() - began) / 1_000).toFixed(0);
  say(`${total} files are known, each at its site and at the supernode alike, ${seconds} s after the first`);
  const places = new Map([[supernode, hub], ...of]);
  await Promise.all([...places].map(([place, nats]) => askEverywhere(place, nats, files)));
  say(
    `${total} files of ${sites.length} sites are known, each at its site and at the supernode alike, and present for whoever asks at the supernode or at any site`,
  );
  return true;
}

async function main(): Promise<void> {
  const values = readOptions(
    { once: { type: "boolean", default: false }, files: { type: "string", default: "20000" } },
    usage,
  );
  const files = readCount("--files", values.files, 1, 1_000_000, usage);
  const stage = new Stage();
  const told = new Promise<void>((done) => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => done());
  });
  let stoppedEarly = false;
  try {
    await Promise.race([
      play(stage, files),
      told.then(() => {
        stoppedEarly = true;
      }),
    ]);
    if (!values.once && !stoppedEarly) {
      say(`everything stays up until ^C: orrery --site ${join(root, supernode, "site.yaml")} status`);
      await told;
    }
    process.exitCode = values.once && stoppedEarly ? 1 : 0;
  } catch (cause) {
    say(`not done: ${cause instanceof Error ? cause.message : String(cause)}`);
    process.exitCode = 1;
  } finally {
    await stage.end();
  }
  process.exit();
}

await main();
