/** Where a benchmark plays: one nats-server with fsync on, in a folder of its own, and the programs it needs as processes. */
import type { ChildProcess } from "node:child_process";
import { fork } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Scope from "effect/Scope";
import { findNatsServer } from "../scripts/nats-server/find.mjs";
import { startEmbedded } from "../src/jetstream/embedded.ts";
import type { NatsService } from "../src/jetstream/Nats.ts";
import { connectNats } from "../src/jetstream/Nats.ts";

/** What a program tells once it works. */
export interface Ready {
  readonly http: string | null;
}

export interface Program {
  readonly ready: Ready;
  readonly pid: number;
  /** Processor time it has used so far, in ms; null where the system does not say. */
  readonly cpuMs: () => number | null;
  /** Asks it to end, and waits; kills it when it will not. */
  readonly stop: () => Promise<void>;
  /** kill -9. */
  readonly kill: () => void;
}

export interface Stage {
  readonly folder: string;
  readonly natsUrl: string;
  readonly serverPid: number;
  readonly nats: NatsService;
  /** A program of `bench/programs`, as a process of its own. */
  readonly start: (program: string, args: ReadonlyArray<string>, env?: NodeJS.ProcessEnv) => Promise<Program>;
  /** A node of a site on this stage's server. */
  readonly startNode: (options: NodeSettings) => Promise<Program>;
}

export interface NodeSettings {
  readonly name: string;
  readonly roles: ReadonlyArray<string>;
  /** The bench's actors: see programs/node.ts. */
  readonly actors?: string;
  readonly lane?: Readonly<Record<string, unknown>>;
  readonly env?: NodeJS.ProcessEnv;
  /** A site file of its own; then `roles` and `lane` are not looked at. */
  readonly site?: (natsUrl: string, dataDir: string) => string;
}

export const lane = "camera";
export const bucket = "raw";

const allRoles = ["enqueuer", "ingester", "reclaimer", "presence", "resolver", "runner", "watcher"];
const startMsMax = 30_000;
const stopMsMax = 8_000;

const folders = new Set<string>();
const children = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of children) child.kill("SIGKILL");
  for (const folder of folders) rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
});

function started(child: ChildProcess, what: string): Promise<Ready> {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => {
      child.kill("SIGKILL");
      reject(new Error(`${what} did not start within ${startMsMax} ms`));
    }, startMsMax);
    child.once("message", (message) => {
      clearTimeout(late);
      resolve(message as Ready);
    });
    child.once("exit", (code, signal) => {
      clearTimeout(late);
      reject(new Error(`${what} ended at its start (${signal ?? code})`));
    });
  });
}

/** Linux counts processor time in ticks of 10 ms. */
export function cpuMsOf(pid: number): number | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[11]) + Number(fields[12])) * 10;
  } catch {
    // Another system, or the process is gone.
    return null;
  }
}

/** The most memory that a process has ever held, MB; null where the system does not say. */
export function peakMbOf(pid: number): number | null {
  try {
    const kb = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    return kb === undefined ? null : Number(kb) / 1_024;
  } catch {
    // Another system, or the process is gone.
    return null;
  }
}

async function launch(
  program: string,
  args: ReadonlyArray<string>,
  env: NodeJS.ProcessEnv,
): Promise<Program> {
  const file = join(import.meta.dirname, "programs", `${program}.ts`);
  // Its stdout is ours no less than stderr: on stdout stands one document and nothing else.
  const child = fork(file, [...args], {
    execArgv: (process.env["ORRERY_BENCH_EXEC"] ?? "").split(" ").filter((arg) => arg !== ""),
    env: { ...process.env, ...env },
    stdio: ["ignore", 2, 2, "ipc"],
  });
  children.add(child);
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  void ended.then(() => children.delete(child));
  const ready = await started(child, program);
  return {
    ready,
    pid: child.pid ?? 0,
    cpuMs: () => cpuMsOf(child.pid ?? 0),
    kill: () => void child.kill("SIGKILL"),
    stop: async () => {
      child.kill("SIGTERM");
      const late = setTimeout(() => child.kill("SIGKILL"), stopMsMax);
      await ended;
      clearTimeout(late);
    },
  };
}

/** Every bench's site: one lane of exposures whose identity comes from the key alone, unless `lane` says otherwise. */
function siteText(natsUrl: string, dataDir: string, settings: NodeSettings): string {
  return JSON.stringify({
    name: "bench",
    node: { roles: settings.roles, elsewhere: allRoles.filter((role) => !settings.roles.includes(role)) },
    nats: { mode: "external", servers: [natsUrl] },
    http: { host: "127.0.0.1", port: 0 },
    storage: { files: { driver: "file", root: join(dataDir, "files") } },
    lanes: {
      [lane]: {
        kind: "exposure",
        buckets: [bucket],
        storage: "files",
        metadata: "key",
        pattern:
          "^(?<instrument>[^/]+)/(?<day>\\d{8})/(?<exposure>[^/]+)/[^/]+_(?<detector>R\\d\\d_S\\d\\d)\\.fits$",
        ...settings.lane,
      },
    },
    presence: { instruments: ["LSSTCam"] },
    dataDir,
    log: { level: process.env["ORRERY_BENCH_LOG"] ?? "error", format: "pretty" },
  });
}

/** Runs `play` beside a server of its own; nothing of it stays. */
export async function withStage<A>(play: (stage: Stage) => Promise<A>): Promise<A> {
  const binary = (await findNatsServer({ say: (line) => process.stderr.write(`${line}\n`) })).path;
  const folder = mkdtempSync(join(tmpdir(), "orrery-bench-"));
  folders.add(folder);
  const scope = Scope.makeUnsafe();
  const programs: Array<Program> = [];
  const inScope = <B, E>(effect: Effect.Effect<B, E, Scope.Scope>): Promise<B> =>
    Effect.runPromise(Scope.provide(effect, scope));
  try {
    const dataDir = join(folder, "nats");
    const server = await inScope(startEmbedded({ dataDir, syncAlways: true, port: 0, binary }));
    const nats = await inScope(connectNats({ servers: [server.url], name: "bench" }, { firstMs: 10_000 }));
    const start: Stage["start"] = async (program, args, env = {}) => {
      const running = await launch(program, args, env);
      programs.push(running);
      return running;
    };
    return await play({
      folder,
      natsUrl: server.url,
      serverPid: server.pid,
      nats,
      start,
      startNode: async (settings) => {
        const own = join(folder, settings.name);
        await mkdir(own, { recursive: true });
        const site = join(own, "site.yaml");
        const sited = (url: string, dataDir: string): string => siteText(url, dataDir, settings);
        await writeFile(site, (settings.site ?? sited)(server.url, folder));
        return start("node", [site, settings.name, settings.actors ?? ""], settings.env);
      },
    });
  } finally {
    await Promise.all(programs.map((program) => program.stop()));
    await Effect.runPromise(Scope.close(scope, Exit.void));
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    folders.delete(folder);
  }
}
