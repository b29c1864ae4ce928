/** Several nodes of one mission, on one nats-server: in this process, each whole, or as processes that may be killed. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Scope from "effect/Scope";
import type { NatsService } from "../../src/jetstream/Nats.ts";
import { connectNats } from "../../src/jetstream/Nats.ts";
import type { MissionPlan } from "./missionPlan.ts";
import { Rest } from "./missionAtRest.ts";
import type { MissionFile, MissionFiles, MissionOptions } from "./missionSite.ts";
import { sendFiles, writeMission } from "./missionSite.ts";
import { NodeProcess } from "./nodeProcess.ts";
import { ServerProcess } from "./server.ts";
import type { TestSite } from "./testSite.ts";
import { startSite } from "./testSite.ts";

const program = new URL("missionMain.ts", import.meta.url);
const clockOff = new URL("clockOff.ts", import.meta.url);

export interface ProcessOptions {
  /** Default: all. */
  readonly roles?: string;
  readonly killAt?: MissionPlan["killAt"];
  /** Its machine's clock is so far off. */
  readonly clockOffMs?: number;
}

export interface NodesOptions extends Omit<MissionOptions, "folder" | "aroundClock"> {
  /** Told the folder of everything before anything is in it. */
  readonly at?: (folder: string) => void;
}

const isDoor = (roles: string | undefined): boolean => roles?.split(",").includes("enqueuer") ?? true;

export class MissionNodes {
  readonly files: MissionFiles;
  readonly server: ServerProcess;
  /** A connection of the test's own. */
  readonly nats: NatsService;
  readonly #scope: Scope.Closeable;
  readonly #sites = new Set<TestSite>();
  /** Where files are announced; null: the node is gone. */
  readonly #doors: Array<() => string | null> = [];
  readonly #processes = new Set<NodeProcess>();
  #rest: Rest | null = null;

  private constructor(server: ServerProcess, nats: NatsService, scope: Scope.Closeable, files: MissionFiles) {
    this.server = server;
    this.nats = nats;
    this.#scope = scope;
    this.files = files;
  }

  static async start(options: NodesOptions): Promise<MissionNodes> {
    const folder = mkdtempSync(join(tmpdir(), "orrery-mission-"));
    options.at?.(folder);
    const scope = Scope.makeUnsafe();
    let server: ServerProcess | null = null;
    try {
      server = await ServerProcess.start();
      const connected = connectNats({ servers: [server.url], name: "test" }, { firstMs: 60_000 });
      const nats = await Effect.runPromise(Scope.provide(connected, scope));
      const site = `${options.site ?? ""}
node: { name: one }
nats: { mode: external, servers: ["${server.url}"] }
http: { host: 127.0.0.1, port: 0 }`;
      return new MissionNodes(server, nats, scope, writeMission({ ...options, folder, site }));
    } catch (cause) {
      await Effect.runPromise(Scope.close(scope, Exit.void));
      await server?.end();
      rmSync(folder, { recursive: true, force: true });
      throw cause;
    }
  }

  get folder(): string {
    return this.files.folder;
  }

  /** A node in this process. @param roles with commas between them; default: all */
  async site(name: string, roles?: string): Promise<TestSite> {
    const text = this.files.text.replace("{ name: one }", `{ name: ${name} }`);
    const site = await startSite(text, roles === undefined ? {} : { env: { ORRERY_ROLES: roles } });
    this.#sites.add(site);
    if (isDoor(roles)) this.#doors.push(() => site.url);
    return site;
  }

  /** A node as a process of its own, once it is ready. */
  async process(name: string, options: ProcessOptions = {}): Promise<NodeProcess> {
    const plan: MissionPlan = {
      site: join(this.folder, "site.yaml"),
      node: name,
      roles: options.roles ?? null,
      logFile: join(this.folder, `${name}.log`),
      pidFile: join(this.folder, `pid-${name}`),
      killAt: options.killAt ?? null,
    };
    const { clockOffMs = 0 } = options;
    const node = new NodeProcess(plan, join(this.folder, `plan-${name}.json`), {
      program,
      execArgv: clockOffMs === 0 ? [] : ["--import", clockOff.href],
      env: { TEST_CLOCK_OFF_MS: String(clockOffMs) },
    });
    this.#processes.add(node);
    if (isDoor(options.roles)) this.#doors.push(() => node.http);
    await node.ready;
    return node;
  }

  /** Files into the bucket, announced at one of the nodes' front doors, each time at another. */
  async send(files: ReadonlyArray<MissionFile | string>, to?: { readonly url: string }): Promise<void> {
    const doors = this.#doors.flatMap((door) => door() ?? []);
    const url = to?.url ?? doors[Math.floor(Math.random() * doors.length)];
    if (url === undefined) throw new Error("no node listens");
    await sendFiles({ url }, this.files.bucket, files);
  }

  get rest(): Rest {
    return (this.#rest ??= new Rest(this.nats, (files) => this.send(files)));
  }

  async stop(): Promise<void> {
    for (const node of this.#processes) await node.kill9();
    for (const site of this.#sites) await site.stop();
    await Effect.runPromise(Scope.close(this.#scope, Exit.void));
    await this.server.end();
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Runs the test beside nodes of its own; they are gone when it ends, also when it fails. */
export async function withMission<A>(
  options: NodesOptions,
  test: (nodes: MissionNodes) => Promise<A>,
): Promise<A> {
  const nodes = await MissionNodes.start(options);
  try {
    return await test(nodes);
  } finally {
    await nodes.stop();
  }
}

/** As a node's driver that kills its own node, when `name` runs it, and is the stand-in processor for all others. */
export const killsItsNode = (folder: string, name: string): ReadonlyArray<string> => {
  const script = join(folder, "kills.sh");
  writeFileSync(
    script,
    `case "$ORRERY_SCRATCH" in */${name}/*) kill -9 "$(cat "${join(folder, `pid-${name}`)}")"; sleep 60;; esac
exec "$@"
`,
  );
  return ["/bin/sh", script, "{node}", "{orrery}/demo/processor{ext}"];
};
