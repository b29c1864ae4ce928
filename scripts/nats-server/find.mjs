import { randomBytes } from "node:crypto";
import { accessSync, constants, statSync } from "node:fs";
import { chmod, mkdir, readdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import path from "node:path";
import process from "node:process";
import { run } from "./child.mjs";
import { programFromRelease, RELEASES } from "./release.mjs";

// This folder is plain JavaScript without dependencies, valid on Node 20 and 24: it runs in a fresh checkout before
// anything is installed, and from the packed tarball. Its types are in find.d.mts.

export const NATS_SERVER_PINNED = "2.15.2";
export const NATS_SERVER_FLOOR = "2.15.1";

const GO_PACKAGE = `github.com/nats-io/nats-server/v2@v${NATS_SERVER_PINNED}`;
const DOCKER_IMAGE = `nats:${NATS_SERVER_PINNED}`;
const DOCKER_PROGRAM = "/nats-server";

const LIMITS = {
  versionMs: 30_000,
  goMs: 10 * 60_000,
  downloadMs: 5 * 60_000,
  idleMs: 15_000,
  dockerAnswerMs: 10_000,
  dockerMs: 5 * 60_000,
};

/** Whatever an interrupted installation left behind is removed by the next one, once it is this old. */
const ABANDONED_MS = 60 * 60_000;

/**
 * @typedef {import("./find.d.mts").FoundNatsServer} FoundNatsServer
 * @typedef {import("./find.d.mts").NatsServerSource} Source
 * @typedef {{ readonly place: Source, readonly reason: string }} Tried
 *
 * @typedef {object} Search what the steps share
 * @property {Readonly<Record<string, string | undefined>>} env
 * @property {string} platform
 * @property {string} arch
 * @property {import("./find.d.mts").NatsServerLimits} limits
 * @property {(text: string) => void} say
 * @property {Tried[]} tried
 * @property {string} cache the folder of everything this version of Orrery installs
 */

export class NatsServerNotFound extends Error {
  /** @override @type {"NatsServerNotFound"} */
  name = "NatsServerNotFound";

  /** @param {ReadonlyArray<Tried>} tried */
  constructor(tried) {
    const fix =
      `install nats-server ${NATS_SERVER_PINNED} (https://github.com/nats-io/nats-server/releases/tag/v${NATS_SERVER_PINNED})` +
      ` and set ORRERY_NATS_SERVER to its path`;
    const width = Math.max(...tried.map(({ place }) => place.length));
    const lines = tried.map(({ place, reason }) => `  ${place.padEnd(width)}  ${reason}`);
    super([`no nats-server ${NATS_SERVER_FLOOR} or newer. Tried:`, ...lines, `Fix: ${fix}`].join("\n"));
    this.tried = tried;
    this.fix = fix;
  }
}

/** @type {typeof import("./find.d.mts").findNatsServer} */
export async function findNatsServer(options = {}) {
  const env = options.env ?? process.env;
  /** @type {Search} */
  const search = {
    env,
    platform: options.platform ?? process.platform,
    arch: options.arch ?? process.arch,
    limits: { ...LIMITS, ...options.limits },
    say: options.say ?? (() => {}),
    tried: [],
    cache: path.join(cacheFolder(env), `nats-server-v${NATS_SERVER_PINNED}`),
  };
  const found = (await named(search)) ?? (await onPath(search)) ?? (await cached(search));
  if (found !== undefined) return found;
  if (options.install !== false) {
    const installed = (await byGo(search)) ?? (await fromRelease(search)) ?? (await fromDocker(search));
    if (installed !== undefined) return installed;
  }
  throw new NatsServerNotFound(search.tried);
}

// ---- looking ----

/** @param {Search} search */
async function named(search) {
  const program = search.env["ORRERY_NATS_SERVER"];
  if (program === undefined || program === "") return failed(search, "ORRERY_NATS_SERVER", "not set");
  return accept(search, "ORRERY_NATS_SERVER", path.resolve(program));
}

/** @param {Search} search */
async function onPath(search) {
  const programs = [...programsOnPath(search, "nats-server")];
  if (programs.length === 0) return failed(search, "PATH", "no nats-server on it");
  for (const program of programs) {
    const found = await accept(search, "PATH", program);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** @param {Search} search */
async function cached(search) {
  const program = path.join(search.cache, programName(search));
  if (!isProgram(program)) return failed(search, "cache", `${program}: not there yet`);
  return accept(search, "cache", program);
}

// ---- installing ----

/** @param {Search} search */
async function byGo(search) {
  const [go] = programsOnPath(search, "go");
  if (go === undefined) return failed(search, "go install", "no go on the PATH");
  const doing = `nats-server ${NATS_SERVER_PINNED} by go install (about a minute)`;
  return install(search, "go install", doing, async (folder) => {
    const ended = await run(go, ["install", GO_PACKAGE], {
      limitMs: search.limits.goMs,
      cwd: folder,
      // GOFLAGS and GOWORK: no setting made for somebody's own project may change what is built here.
      env: {
        ...search.env,
        GOBIN: folder,
        GOFLAGS: "-mod=mod -trimpath",
        GOWORK: "off",
        GO111MODULE: "on",
        CGO_ENABLED: "0",
      },
    });
    if (ended.failure !== undefined) throw new Error(ended.failure);
  });
}

/** @param {Search} search */
async function fromRelease(search) {
  const base = search.env["ORRERY_NATS_RELEASES"];
  const releases = base === undefined || base === "" ? RELEASES : base;
  const doing = `nats-server ${NATS_SERVER_PINNED} from ${releases} (about 8 MB)`;
  return install(search, "release archive", doing, async (folder) => {
    const program = await programFromRelease({
      version: NATS_SERVER_PINNED,
      platform: search.platform,
      arch: search.arch,
      releases,
      downloadLimitMs: search.limits.downloadMs,
      idleLimitMs: search.limits.idleMs,
    });
    await writeFile(path.join(folder, programName(search)), program);
  });
}

/** @param {Search} search */
async function fromDocker(search) {
  if (search.platform !== "linux") return failed(search, "Docker", "its image holds a Linux program only");
  const [docker] = programsOnPath(search, "docker");
  if (docker === undefined) return failed(search, "Docker", "no docker on the PATH");
  const command = (/** @type {string[]} */ args, /** @type {number} */ limitMs) =>
    run(docker, args, { limitMs, env: { ...search.env } });
  const engine = await command(["version", "--format", "{{.Server.Version}}"], search.limits.dockerAnswerMs);
  if (engine.failure !== undefined) return failed(search, "Docker", `no engine answers: ${engine.failure}`);
  const doing = `nats-server ${NATS_SERVER_PINNED} out of the Docker image ${DOCKER_IMAGE} (about 8 MB)`;
  return install(search, "Docker", doing, async (folder) => {
    const created = await command(["create", DOCKER_IMAGE], search.limits.dockerMs);
    if (created.failure !== undefined) throw new Error(created.failure);
    const container = created.stdout.trim().split("\n").at(-1) ?? "";
    const copied = await command(
      ["cp", `${container}:${DOCKER_PROGRAM}`, path.join(folder, "nats-server")],
      search.limits.dockerMs,
    );
    await command(["rm", "--force", container], search.limits.dockerMs);
    if (copied.failure !== undefined) throw new Error(copied.failure);
  });
}

/**
 * Lets `fill` put the program into a folder of its own inside the cache, runs it there, and only then moves it to its
 * place in one step: what lies at the cached path is always a whole program that has run.
 *
 * @param {Search} search @param {Source} place @param {string} doing
 * @param {(folder: string) => Promise<void>} fill
 */
async function install(search, place, doing, fill) {
  const started = performance.now();
  const seconds = () => `${((performance.now() - started) / 1000).toFixed(1)} s`;
  const folder = path.join(search.cache, `.new-${process.pid}-${randomBytes(4).toString("hex")}`);
  search.say(`${doing} ... `);
  try {
    await mkdir(folder, { recursive: true });
    await removeAbandoned(search.cache);
    await fill(folder);
    const program = path.join(folder, programName(search));
    await chmod(program, 0o755);
    const version = await versionOf(program, search);
    if (isOlder(version, NATS_SERVER_FLOOR)) throw new Error(tooOld(version));
    const target = path.join(search.cache, programName(search));
    await rename(program, target);
    search.say(`${seconds()}\n`);
    return { path: target, version, source: place };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    search.say(`failed after ${seconds()}: ${reason}\n`);
    return failed(search, place, reason);
  } finally {
    await rm(folder, { recursive: true, force: true }).catch((/** @type {Error} */ error) => {
      search.say(`could not remove ${folder}: ${error.message}\n`);
    });
  }
}

/** @param {string} cache */
async function removeAbandoned(cache) {
  for (const entry of await readdir(cache)) {
    if (!entry.startsWith(".new-")) continue;
    const folder = path.join(cache, entry);
    // Another installation may be tidying up, too.
    const status = await stat(folder).catch(() => undefined);
    if (status === undefined || Date.now() - status.mtimeMs < ABANDONED_MS) continue;
    await rm(folder, { recursive: true, force: true });
  }
}

// ---- judging ----

/**
 * A server that stands where it was looked for, but is passed over, is named at once: the user may have meant it.
 *
 * @param {Search} search @param {Source} place @param {string} program
 * @returns {Promise<FoundNatsServer | undefined>}
 */
async function accept(search, place, program) {
  try {
    const version = await versionOf(program, search);
    if (!isOlder(version, NATS_SERVER_FLOOR)) return { path: program, version, source: place };
    throw new Error(tooOld(version));
  } catch (error) {
    const reason = `${program} passed over: ${error instanceof Error ? error.message : String(error)}`;
    search.say(`${place}: ${reason}\n`);
    return failed(search, place, reason);
  }
}

/** @param {string} program @param {Search} search */
async function versionOf(program, search) {
  const ended = await run(program, ["--version"], {
    limitMs: search.limits.versionMs,
    env: { ...search.env },
  });
  if (ended.failure !== undefined) throw new Error(`it does not run: ${ended.failure}`);
  const version = /^nats-server: v(\d+\.\d+\.\d+\S*)\s*$/m.exec(ended.stdout)?.[1];
  if (version === undefined) throw new Error("it does not answer --version as nats-server does");
  return version;
}

/**
 * By semantic versioning as far as it matters here: a pre-release of the floor is older than the floor.
 *
 * @param {string} version @param {string} floor without pre-release
 */
function isOlder(version, floor) {
  const [release = "", preRelease] = version.split(/-(.*)/s);
  const ours = release.split(".").map((part) => Number.parseInt(part, 10));
  const theirs = floor.split(".").map((part) => Number.parseInt(part, 10));
  for (let i = 0; i < 3; i++) {
    const difference = (ours[i] ?? 0) - (theirs[i] ?? 0);
    if (difference !== 0) return difference < 0;
  }
  return preRelease !== undefined && preRelease !== "";
}

/** @param {string} version */
function tooOld(version) {
  return `version ${version} is older than ${NATS_SERVER_FLOOR}`;
}

/** @param {Search} search @param {Source} place @param {string} reason @returns {undefined} */
function failed(search, place, reason) {
  search.tried.push({ place, reason });
  return undefined;
}

// ---- places ----

/** @param {Readonly<Record<string, string | undefined>>} env */
function cacheFolder(env) {
  const own = env["ORRERY_CACHE"];
  if (own !== undefined && own !== "") return path.resolve(own);
  // A relative XDG_CACHE_HOME is to be ignored, says its specification.
  const xdg = env["XDG_CACHE_HOME"];
  if (xdg !== undefined && path.isAbsolute(xdg)) return path.join(xdg, "orrery");
  return path.join(env["HOME"] ?? homedir(), ".cache", "orrery");
}

/** @param {Search} search */
function programName(search) {
  return search.platform === "win32" ? "nats-server.exe" : "nats-server";
}

/** @param {Search} search @param {string} name */
function* programsOnPath(search, name) {
  const file = search.platform === "win32" ? `${name}.exe` : name;
  for (const folder of (search.env["PATH"] ?? search.env["Path"] ?? "").split(path.delimiter)) {
    if (!path.isAbsolute(folder)) continue;
    const program = path.join(folder, file);
    if (isProgram(program)) yield program;
  }
}

/** @param {string} file */
function isProgram(file) {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}
