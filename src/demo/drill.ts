/**
 * The rebuild drill: a site takes files in, is backed up while more come, is destroyed together with its server's store, and is rebuilt
 * twice: from its folder and its backup, and from its bucket of files alone. Each time its ledger is held against what it was.
 *
 * Everything is done by the commands that a person would type; they are told as they are run.
 */
import type { ChildProcess } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Scope from "effect/Scope";
import { runCommand } from "../cli/program.ts";
import { connectDeployment } from "../cli/siteConnect.ts";
import { folderOf, readDeployment } from "../cli/siteFolder.ts";
import type { IoService } from "../cli/terminal.ts";
import { findBinary, launch } from "../jetstream/embedded.ts";
import { countSince } from "../jetstream/survey.ts";
import { arrivalsStream, kvStream, kvSubject, ledgerBucket } from "../protocol/keys.ts";
import { ext } from "./demoSite.ts";
import { freePorts } from "./ports.ts";
import { Hopeless, within } from "./within.ts";

const name = "summit";
const bucket = "raw";
const days = ["20251119", "20251120", "20251121"] as const;
const detectors = 10;
const requestRecords = 250;
const startMsMax = 120_000;
const settleMsMax = 240_000;
/** Nothing was written to the ledger for so long: what follows from the files is made. */
const quietMs = 1_500;

const program = fileURLToPath(new URL(`../cli${ext}`, import.meta.url));

/** A product follows from its inputs alone. */
const tally =
  "const fs = require('fs'); const env = process.env; const inputs = JSON.parse(fs.readFileSync(env.ORRERY_INPUTS, 'utf8')); fs.writeFileSync(env.ORRERY_OUTPUTS + '/tally.json', JSON.stringify(inputs.map(({ key }) => key).sort()))";
/** Exposures that become a product: the first of the night. */
const productsMax = 20;

const lanes = (objects: string): string => `http: { port: 0 }
storage:
  disk: { driver: file, root: ${objects} }
lanes:
  raw:
    kind: exposure
    buckets: [${bucket}]
    storage: disk
    metadata: key
    pattern: '^(?<instrument>[^/]+)/(?<day>\\d{8})/(?<exposure>[^/]+)/(?<group>[^/_]+)_(?<snap>\\d)_(?<seq>\\d+)_(?<detector>R\\d\\d_S\\d\\d)\\.fits$'
  products:
    kind: object
    buckets: [products]
    storage: disk
    metadata: key
    pattern: '^(?<day>\\d{8})/'
    # A run that is made again writes its product anew.
    onContentChange: supersede
visits: { system: one-to-one, lanes: [raw] }
jobs:
  tally:
    version: '1'
    partition: exposure
    inputs: [{ lane: raw, match: '_0000[01]\\d/', count: ${detectors} }]
    outputs: [{ name: tally.json, bucket: products, key: '{day}/{exposure}/tally.json' }]
    command: ['{node}', '-e', ${JSON.stringify(tally)}]
`;

/** Files come by exposures of ten detectors, over three days. */
function keyOf(index: number): string {
  const exposure = Math.floor(index / detectors);
  const detector = index % detectors;
  const day = days[exposure % days.length] ?? days[0];
  const number = String(exposure).padStart(6, "0");
  return `LSSTCam/${day}/MC_O_${day}_${number}/G${number}_0_${number}_R${Math.floor(detector / 3)}2_S1${detector % 3}.fits`;
}

export interface DrillOptions {
  /** Absolute; removed and made anew. */
  readonly folder: string;
  readonly files: number;
  readonly say: (line: string) => void;
}

export interface CommandEnd {
  readonly exit: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface DrillResult {
  /** Files that came after the backup had begun, and that it does not hold. */
  readonly lacking: number;
  readonly restored: CommandEnd;
  readonly replayed: CommandEnd;
}

class Drill {
  readonly #options: DrillOptions;
  readonly #sites: string;
  readonly #home: string;
  readonly #objects: string;
  #server: ChildProcess | null = null;
  #node: ChildProcess | null = null;
  #url = "";

  constructor(options: DrillOptions) {
    this.#options = options;
    this.#sites = join(options.folder, "sites");
    this.#home = join(this.#sites, name);
    this.#objects = join(options.folder, "objects");
  }

  get backupFolder(): string {
    return join(this.#options.folder, "backup");
  }

  get before(): string {
    return join(this.#options.folder, "before.ledger");
  }

  /** Runs an `orrery` command, as admin of the site, and tells it with what it says. */
  async orrery(argv: ReadonlyArray<string>, wanted: ReadonlyArray<number> = [0]): Promise<CommandEnd> {
    const { folder, say } = this.#options;
    let stdout = "";
    let stderr = "";
    let both = "";
    const face = (write: (text: string) => void) => ({
      write: (text: string) => {
        both += text;
        write(text);
      },
      color: false,
      columns: () => null,
    });
    const io: IoService = {
      out: face((text) => void (stdout += text)),
      err: face((text) => void (stderr += text)),
      env: {
        ...process.env,
        ORRERY_SITE: join(this.#home, "site.yaml"),
        ORRERY_CREDENTIALS: join(this.#home, "creds", "admin.creds"),
      },
      cwd: folder,
      readStdin: () => Promise.resolve(new Uint8Array()),
      run: { onSignal: null, survivesClosedOutput: false, ownSignals: false },
    };
    const exit = await runCommand(argv, io).exit;
    say(`$ orrery ${argv.map((word) => word.replace(`${folder}/`, "")).join(" ")}`);
    for (const line of both.trimEnd().split("\n")) say(`  ${line.replaceAll(`${folder}/`, "")}`);
    if (exit !== 0) say(`  exit ${exit}`);
    if (!wanted.includes(exit)) throw new Error(`orrery ${argv.join(" ")}: exit ${exit}: ${stderr}`);
    return { exit, stdout, stderr };
  }

  async make(): Promise<void> {
    const { folder } = this.#options;
    await rm(folder, { recursive: true, force: true });
    await mkdir(this.#sites, { recursive: true });
    // Where a bucket's folder is missing its store counts as away.
    for (const each of [bucket, "products"]) await mkdir(join(this.#objects, each), { recursive: true });
    const port = await freePorts(2);
    const ports = ["--port", String(port), "--monitor-port", String(port + 1)];
    await this.orrery(["site", "init", name, "--dir", this.#sites, ...ports]);
    const file = join(this.#home, "site.yaml");
    const text = await readFile(file, "utf8");
    await writeFile(file, `${text.slice(0, text.indexOf("lanes:"))}${lanes(this.#objects)}`);
    for (let index = 0; index < this.#options.files; index++) {
      const object = join(this.#objects, bucket, keyOf(index));
      await mkdir(dirname(object), { recursive: true });
      await writeFile(object, `file ${index} of the drill\n`);
    }
  }

  async startServer(): Promise<void> {
    const { say } = this.#options;
    const { child } = await launch([
      await findBinary(say),
      "-c",
      join(this.#home, "nats.conf"),
      "-l",
      join(this.#options.folder, "nats.log"),
    ]);
    this.#server = child;
    const deployment = await readDeployment(folderOf(this.#sites, name));
    const monitor = deployment?.servers[0]?.monitor ?? 0;
    await within("the server", startMsMax, () =>
      fetch(`http://127.0.0.1:${monitor}/healthz`, { signal: AbortSignal.timeout(1_000) }).then(
        ({ ok }) => (ok ? true : null),
        // It does not listen yet.
        () => null,
      ),
    );
  }

  async startNode(): Promise<void> {
    this.#options.say(`$ orrery start ${join("sites", name, "site.yaml")} &`);
    const ready = join(this.#home, "ready.json");
    await rm(ready, { force: true });
    const argv = [program, "start", join(this.#home, "site.yaml"), "--node", "one", "--ready-file", ready];
    const { child } = await launch([process.execPath, ...argv]);
    this.#node = child;
    this.#url = await within("the node", startMsMax, async () => {
      if (child.exitCode !== null) throw new Hopeless(`the node ended with ${child.exitCode}`);
      if (!existsSync(ready)) return null;
      return (JSON.parse(await readFile(ready, "utf8")) as { httpUrl: string }).httpUrl;
    });
  }

  async stopNode(): Promise<void> {
    await ended(this.#node);
    this.#node = null;
  }

  /** As when the machine is lost: the server is ended, and its store is gone. */
  async loseServer(): Promise<void> {
    await ended(this.#server);
    this.#server = null;
    this.#options.say(`$ rm -r ${join("sites", name, "data")}`);
    await rm(join(this.#home, "data"), { recursive: true, force: true });
  }

  /** Announces files as their store would, which knows what each holds. */
  async send(from: number, to: number): Promise<void> {
    for (let at = from; at < to; at += requestRecords) {
      const Records = await Promise.all(
        Array.from({ length: Math.min(requestRecords, to - at) }, async (_, i) => {
          const key = keyOf(at + i);
          const { size, mtimeNs, ino } = await stat(join(this.#objects, bucket, key), { bigint: true });
          const eTag = [size, mtimeNs, ino].map((part) => part.toString(16)).join("-");
          return {
            eventName: "ObjectCreated:Put",
            s3: { bucket: { name: bucket }, object: { key, eTag, size: Number(size) } },
          };
        }),
      );
      // Too much at once is answered 503, and sent again.
      await within("a notification", settleMsMax, async () => {
        const answer = await fetch(`${this.#url}/notify`, {
          method: "POST",
          body: JSON.stringify({ Records }),
        });
        await answer.arrayBuffer();
        return answer.ok ? true : null;
      });
    }
  }

  /**
   * Until the ledger has so many files that came, and the products of them, nothing waits for anybody or is in somebody's hand, and
   * nothing is written any more. What was in the hand of a node that is gone is given out again only after its wait: a quiet ledger
   * says nothing of that.
   */
  async settled(came: number): Promise<void> {
    const files = came + Math.min(productsMax, came / detectors);
    const folder = folderOf(this.#sites, name);
    const deployment = await readDeployment(folder);
    if (deployment === null) throw new Error(`${name} was not made`);
    const scope = Scope.makeUnsafe();
    try {
      const nats = await Effect.runPromise(
        Scope.provide(connectDeployment(folder, deployment, "admin"), scope),
      );
      const counted = (kind: string): Promise<number> =>
        Effect.runPromise(countSince(nats, kvStream(ledgerBucket), kvSubject(ledgerBucket, `${kind}.>`), 0));
      let last = -1;
      let since = performance.now();
      await within(`${files} files`, settleMsMax, async () => {
        const now = (await nats.jsm.streams.info(kvStream(ledgerBucket))).state.last_seq;
        if (now !== last) since = performance.now();
        last = now;
        if (performance.now() - since < quietMs) return null;
        if ((await counted("file")) < files) return null;
        for (const stream of [arrivalsStream, kvStream(ledgerBucket)]) {
          for await (const { config, num_pending, num_ack_pending } of nats.jsm.consumers.list(stream)) {
            // The others are somebody's who reads along, and who may be gone.
            const waits = config.durable_name !== undefined && num_pending + num_ack_pending > 0;
            if (waits) return null;
          }
        }
        return true;
      });
    } finally {
      await Effect.runPromise(Scope.close(scope, Exit.void));
    }
  }

  /** What became of it, once all files are there again. */
  async compared(): Promise<CommandEnd> {
    await this.settled(this.#options.files);
    return this.orrery(["ledger", "compare", this.before], [0, 3]);
  }

  async end(): Promise<void> {
    await ended(this.#node);
    await ended(this.#server);
  }
}

async function ended(child: ChildProcess | null): Promise<void> {
  if (child === null || child.exitCode !== null || child.signalCode !== null) return;
  await new Promise<void>((done) => {
    child.once("exit", () => done());
    child.stdin?.end();
  });
}

/** Destroys the site, by its own means and then its server's store. */
async function lose(drill: Drill): Promise<void> {
  await drill.stopNode();
  // A node that could not give its name back on a busy machine is taken for alive until its lease runs out.
  await within("the end of the node's lease", startMsMax, async () => {
    const { exit } = await drill.orrery(["topology", "destroy", "--yes", name], [0, 1]);
    return exit === 0 ? true : null;
  });
  await drill.loseServer();
  await drill.startServer();
}

/** Rejects when a step does not end as it should; that the ledgers agree is for the caller to judge. */
export async function drill(options: DrillOptions): Promise<DrillResult> {
  const { files, say } = options;
  const run = new Drill(options);
  try {
    await run.make();
    await run.startServer();
    await run.orrery(["topology", "apply"]);
    await run.startNode();
    const first = Math.floor((files * 2) / 3 / detectors) * detectors;
    say(`# ${first} files come`);
    await run.send(0, first);
    await run.settled(first);
    // However quick they are, and however slow the backup: it does not hold the last of them.
    const last = files - detectors;
    say(`# ${last - first} more come while it is backed up, and ${files - last} after it`);
    const rest = run.send(first, last);
    await run.orrery(["backup", run.backupFolder]);
    await rest;
    await run.send(last, files);
    await run.settled(files);
    await run.orrery(["backup", run.backupFolder, "--verify"]);
    await run.orrery(["ledger", "save", run.before]);

    say("# The site is lost. It is rebuilt from its folder and its backup");
    await lose(run);
    await run.orrery(["restore", run.backupFolder]);
    const compared = await run.orrery(["ledger", "compare", run.before, "--limit", "3"], [0, 3]);
    await run.orrery(["topology", "apply"]);
    await run.startNode();
    await run.orrery(["replay", bucket]);
    const restored = await run.compared();

    say("# The site is lost again. It is rebuilt from its bucket of files alone");
    await lose(run);
    await run.orrery(["topology", "apply"]);
    await run.startNode();
    await run.orrery(["replay", bucket]);
    const replayed = await run.compared();
    return {
      lacking: Number(/(\d[\d,]*) records? of/.exec(compared.stderr)?.[1]?.replaceAll(",", "") ?? 0),
      restored,
      replayed,
    };
  } finally {
    await run.end();
  }
}
