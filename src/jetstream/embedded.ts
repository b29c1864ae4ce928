/**
 * The embedded nats-server: a supervised child with its own data folder. It keeps its port from start to start so that
 * clients find it again, and it ends when this process does, also by kill -9: a guard holds the read end of a pipe whose
 * write end only this process has.
 */
import * as Effect from "effect/Effect";
import * as Schema from "effect/Schema";
import type * as Scope from "effect/Scope";
import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { mkdir, readFile, rename, statfs, writeFile } from "node:fs/promises";
import { createServer, connect as connectSocket } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { findNatsServer } from "../../scripts/nats-server/find.mjs";
import { embeddedHealthEveryMs, embeddedRoomBytes } from "../limits.ts";

export class EmbeddedServerFailed extends Schema.TaggedError<EmbeddedServerFailed>()("EmbeddedServerFailed", {
  reason: Schema.String,
  logFile: Schema.String,
}) {
  override get message(): string {
    return `the embedded nats-server ${this.reason}. What was stored is kept in its data folder; its log: ${this.logFile}`;
  }
}

export interface EmbeddedSettings {
  /** Folder for the store, the configuration and the log; made when it is not there. */
  readonly dataDir: string;
  /** fsync before every acknowledgement. */
  readonly syncAlways: boolean;
  /** 0: the port of the last start, else a free one. */
  readonly port: number;
  /** Path of the nats-server binary. */
  readonly binary: string;
}

export interface EmbeddedServer {
  readonly url: string;
  readonly port: number;
  /** Base URL of the monitoring endpoints (`/varz`, `/healthz`), loopback only. */
  readonly monitor: string;
  readonly pid: number;
  readonly logFile: string;
  /** Resolves with the words of its end. */
  readonly exited: Effect.Effect<string>;
}

const startMsMax = 30_000;
const stopMsMax = 5_000;
/** Each time on other ports. */
const startsMax = 3;

// Plain POSIX sh. Prints the server's pid, waits for either end: the server's own, or that of this process's pipe.
const guard = `
exec 3<&0
"$@" 3<&- </dev/null >/dev/null 2>&1 &
server=$!
echo $server
(
  while read -r line <&3; do :; done
  kill -TERM $server 2>/dev/null
  i=0
  while [ $i -lt 50 ] && kill -0 $server 2>/dev/null; do i=$((i+1)); sleep 0.1; done
  kill -KILL $server 2>/dev/null
) >/dev/null 2>&1 &
watcher=$!
wait $server
code=$?
kill $watcher 2>/dev/null
exit $code
`;

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      const port = typeof address === "object" && address !== null ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

interface Ports {
  readonly client: number;
  readonly monitor: number;
}

async function rememberedPorts(file: string): Promise<Ports | null> {
  try {
    const value = JSON.parse(await readFile(file, "utf8")) as Partial<Ports>;
    return typeof value.client === "number" && typeof value.monitor === "number"
      ? { client: value.client, monitor: value.monitor }
      : null;
  } catch {
    // First start, or a file cut short by a crash: new ports are chosen and written.
    return null;
  }
}

async function choosePorts(settings: EmbeddedSettings): Promise<Ports> {
  const file = join(settings.dataDir, "ports.json");
  const before = await rememberedPorts(file);
  const client =
    settings.port !== 0
      ? settings.port
      : before !== null && (await isFree(before.client))
        ? before.client
        : await freePort();
  let monitor = before !== null && (await isFree(before.monitor)) ? before.monitor : await freePort();
  while (monitor === client) monitor = await freePort();
  const ports = { client, monitor };
  await writeFile(`${file}.new`, JSON.stringify(ports));
  await rename(`${file}.new`, file);
  return ports;
}

function configuration(settings: EmbeddedSettings, ports: Ports): string {
  const quoted = (path: string): string => JSON.stringify(path);
  return [
    "# Written by Orrery at every start; changes are lost.",
    "server_name: orrery",
    "host: 127.0.0.1",
    `port: ${ports.client}`,
    `http: "127.0.0.1:${ports.monitor}"`,
    `log_file: ${quoted(join(settings.dataDir, "nats-server.log"))}`,
    "logfile_size_limit: 20MB",
    "logfile_max_num: 3",
    "max_control_line: 8KB",
    "max_payload: 8MB",
    "jetstream {",
    `  store_dir: ${quoted(join(settings.dataDir, "store"))}`,
    ...(settings.syncAlways ? ["  sync_interval: always"] : []),
    "}",
    "",
  ].join("\n");
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connectSocket({ host: "127.0.0.1", port });
    const done = (ok: boolean): void => {
      socket.destroy();
      resolve(ok);
    };
    socket.setTimeout(500, () => done(false));
    socket.once("error", () => done(false));
    socket.once("data", () => done(true));
  });
}

async function isReady(ports: Ports): Promise<boolean> {
  if (!(await answers(ports.client))) return false;
  try {
    const health = await fetch(`http://127.0.0.1:${ports.monitor}/healthz?js-enabled-only=true`, {
      signal: AbortSignal.timeout(1_000),
    });
    return health.ok;
  } catch {
    // Not listening yet: asked again until the start's deadline.
    return false;
  }
}

/** Refuses a data folder that another live server holds: two servers on one store would destroy it. */
async function holder(pidFile: string): Promise<number | null> {
  try {
    const pid = Number(await readFile(pidFile, "utf8"));
    if (!Number.isInteger(pid) || pid <= 0) return null;
    process.kill(pid, 0);
    return pid;
  } catch {
    // No pid file, or a process that is gone: the folder is free.
    return null;
  }
}

async function untilFree(pidFile: string): Promise<number | null> {
  // The server of a parent that was just killed needs a moment to end by its guard.
  for (let waited = 0; waited < 6_000; waited += 100) {
    if ((await holder(pidFile)) === null) return null;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return holder(pidFile);
}

export interface Running {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly ended: Promise<string>;
}

/** Runs a program that ends (SIGTERM, and after 5 s SIGKILL) when its stdin is closed, and so with this process, however that ends. */
export function launch(command: ReadonlyArray<string>): Promise<Running> {
  return new Promise((resolve, reject) => {
    const child = spawn("/bin/sh", ["-c", guard, "orrery-guard", ...command], {
      stdio: ["pipe", "pipe", "ignore"],
      // Its own session: a terminal's ^C must reach this process first, which then drains and stops the server last.
      detached: true,
    });
    const ended = new Promise<string>((end) => {
      child.once("exit", (code, signal) =>
        end(
          signal === null
            ? code !== null && code > 128
              ? `was ended by signal ${code - 128}`
              : `exited with ${code}`
            : `was ended by ${signal}`,
        ),
      );
    });
    child.once("error", reject);
    // The guard's end is told by its exit, not by a pipe that nobody reads any more.
    child.stdin?.on("error", () => undefined);
    if (child.stdout === null) {
      reject(new Error("no pipe to the guard"));
      return;
    }
    createInterface({ input: child.stdout }).once("line", (line) =>
      resolve({ child, pid: Number(line), ended }),
    );
    void ended.then((words) => reject(new Error(words)));
  });
}

async function stopped({ child, ended }: Running): Promise<void> {
  child.stdin?.end();
  const timeout = new Promise<string>((resolve) =>
    setTimeout(() => resolve("late"), stopMsMax + 1_000).unref(),
  );
  await Promise.race([ended, timeout]);
}

/** @param until on the clock of `performance.now()` */
async function readyOrEnded(
  ports: Ports,
  { ended }: Running,
  until: number,
): Promise<"ready" | "late" | { readonly words: string }> {
  const end: { words: string | null } = { words: null };
  void ended.then((words) => {
    end.words = words;
  });
  while (!(await isReady(ports))) {
    if (end.words !== null) return { words: end.words };
    if (performance.now() > until) return "late";
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return "ready";
}

/** Of the ports that were chosen here: one that was asked for is whoever's it is. */
async function isAnyTaken({ client, monitor }: Ports, { port }: EmbeddedSettings): Promise<boolean> {
  return (port === 0 && !(await isFree(client))) || !(await isFree(monitor));
}

/** Starts the server and waits until JetStream answers. The scope's end stops it. */
export const startEmbedded = (
  settings: EmbeddedSettings,
): Effect.Effect<EmbeddedServer, EmbeddedServerFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const logFile = join(settings.dataDir, "nats-server.log");
    const pidFile = join(settings.dataDir, "nats-server.pid");
    const fail = (reason: string): EmbeddedServerFailed => new EmbeddedServerFailed({ reason, logFile });
    const attempt = <A>(what: string, run: () => Promise<A>): Effect.Effect<A, EmbeddedServerFailed> =>
      Effect.tryPromise({
        try: run,
        catch: (cause) => fail(`${what}: ${cause instanceof Error ? cause.message : String(cause)}`),
      });
    yield* attempt("cannot make its folder", () => mkdir(settings.dataDir, { recursive: true }));
    const other = yield* attempt("cannot look at its folder", () => untilFree(pidFile));
    if (other !== null) {
      const ports = yield* Effect.promise(() => rememberedPorts(join(settings.dataDir, "ports.json")));
      const server = `nats://127.0.0.1:${ports?.client ?? "PORT"}`;
      return yield* fail(
        `cannot start: process ${other} is already using its data folder; run further nodes with nats.mode: external and nats.servers: [${server}] (see README, More nodes)`,
      );
    }
    const configFile = join(settings.dataDir, "nats-server.conf");
    const until = performance.now() + startMsMax;
    for (let start = 1; ; start++) {
      const ports = yield* attempt("found no port", () => choosePorts(settings));
      yield* attempt("cannot write its configuration", () =>
        writeFile(configFile, configuration(settings, ports)),
      );
      const running = yield* Effect.acquireRelease(
        attempt("did not start", () => launch([settings.binary, "-c", configFile])),
        (one) => Effect.promise(() => stopped(one)),
      );
      yield* attempt("cannot note its pid", () => writeFile(pidFile, String(running.pid)));
      const end = yield* Effect.promise(() => readyOrEnded(ports, running, until));
      if (end === "ready")
        return {
          url: `nats://127.0.0.1:${ports.client}`,
          port: ports.client,
          monitor: `http://127.0.0.1:${ports.monitor}`,
          pid: running.pid,
          logFile,
          exited: Effect.promise(() => running.ended),
        };
      if (end === "late") return yield* fail(`did not answer within ${startMsMax / 1_000} s`);
      // Somebody was given one of its ports between their being found free and its taking them.
      const wasTaken = yield* Effect.promise(() => isAnyTaken(ports, settings));
      if (!wasTaken || start === startsMax) return yield* fail(`ended while starting (${end.words})`);
    }
  });

/** The server's own word on its streams; null when it has none, or none is heard. */
async function storeFault(monitor: string): Promise<string | null> {
  try {
    const health = await fetch(`${monitor}/healthz`, { signal: AbortSignal.timeout(2_000) });
    if (health.ok) return null;
    const { error } = (await health.json()) as { readonly error?: string };
    return error !== undefined && error.includes("write error") ? error : null;
  } catch {
    // It is busy, paused or gone: whoever waits for its end hears of that.
    return null;
  }
}

/**
 * Resolves, in words, when the server has to be started anew to store anything again. A stream that once could not be written, as on a
 * full disk, stays so for the life of its server, which goes on, answers nothing, and calls JetStream enabled. Waits until
 * there is room: started before that, it would only fail again.
 */
export const storeBroken = (
  server: EmbeddedServer,
  dataDir: string,
  say: (fault: string) => void,
): Effect.Effect<string> =>
  Effect.gen(function* () {
    let told = false;
    for (;;) {
      yield* Effect.sleep(embeddedHealthEveryMs);
      const fault = yield* Effect.promise(() => storeFault(server.monitor));
      if (fault === null) continue;
      const free = yield* Effect.promise(() =>
        statfs(dataDir).then(
          ({ bavail, bsize }) => bavail * bsize,
          () => 0,
        ),
      );
      if (free >= embeddedRoomBytes) return `could not write its store (${fault})`;
      if (!told) say(fault);
      told = true;
    }
  });

/**
 * What the server promises about an acknowledged message, in words, read from the server itself.
 * @param server id of the one that is spoken to: what another one promises says nothing
 */
export async function readDurability(monitor: string | null, server: string | undefined): Promise<string> {
  if (monitor === null)
    return "fsync unknown: sync_interval in the server's configuration says it (always: before every acknowledgement), or nats.monitor has it read";
  try {
    const answer = await fetch(`${monitor.replace(/\/+$/, "")}/varz`, { signal: AbortSignal.timeout(2_000) });
    const varz = (await answer.json()) as {
      readonly server_id?: string;
      readonly jetstream?: {
        readonly config?: { readonly sync_always?: boolean; readonly sync_interval?: number };
      };
    };
    if (varz.server_id !== server) return `unknown (${monitor} is another nats-server)`;
    const config = varz.jetstream?.config;
    if (config?.sync_always === true) return "fsync before every acknowledgement";
    const seconds = Math.round((config?.sync_interval ?? 120_000_000_000) / 1e9);
    return `fsync every ${seconds} s: a power cut can lose what was acknowledged in that time`;
  } catch {
    // Told as unknown: the operator decides whether that is good enough.
    return "unknown (the server's monitoring endpoint does not answer)";
  }
}

/** The nats-server binary: found on this machine, or installed. Rejects with every place tried and the fix. */
export async function findBinary(say: (line: string) => void): Promise<string> {
  const found = await findNatsServer({ say });
  return found.path;
}
