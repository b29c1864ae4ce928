/** A real S3 server for tests: versitygw over a temporary directory, on a free port, gone when its scope closes. */
import type { ChildProcess } from "node:child_process";
import { execFile, spawn } from "node:child_process";
import { rmSync } from "node:fs";
import { access, constants, mkdir, mkdtemp, rm } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { delimiter, isAbsolute, join, resolve } from "node:path";
import { setTimeout } from "node:timers/promises";
import { promisify } from "node:util";
import { S3Client } from "@aws-sdk/client-s3";
import { freePorts } from "../../src/demo/ports.ts";
import { canary } from "./canaries.ts";

/** What every one of them lets in. */
export const versitygwCredentials = {
  accessKeyId: "orrery-test",
  secretAccessKey: canary("s3"),
  region: "us-east-1",
};

const version = "v1.8.0";
const startMs = 60_000;
const stopMs = 5_000;
const installMs = 600_000;
const logBytesMax = 65_536;

export interface VersitygwOptions {
  /** Directories made before the start: buckets that are there. */
  readonly buckets?: ReadonlyArray<string>;
  /** Where it POSTs a notification for each object written or removed. It must answer already: it is told at the start. */
  readonly webhookUrl?: string;
  /** Default: a free one. For a site that must know its store before the store can know its webhook. */
  readonly port?: number;
}

export interface Versitygw {
  readonly endpoint: string;
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** The directory whose directories are the buckets. */
  readonly directory: string;
  readonly client: S3Client;
  /** What it has written to its log, for a failing test to show. */
  readonly log: () => string;
  readonly stop: () => Promise<void>;
}

/** Everything still running, so that a test run that ends early takes its servers with it. */
const running = new Map<ChildProcess, ReadonlyArray<string>>();
process.on("exit", () => {
  for (const [child, directories] of running) {
    child.kill("SIGKILL");
    for (const directory of directories) rmSync(directory, { recursive: true, force: true });
  }
});

/** Starts one, or rejects with everything that was tried. Stop it in the test's own clean-up. */
export async function startVersitygw(options: VersitygwOptions = {}): Promise<Versitygw> {
  const binary = await findVersitygw();
  const directory = await mkdtemp(join(tmpdir(), "orrery-s3-"));
  for (const bucket of options.buckets ?? []) await mkdir(join(directory, bucket));
  // Another process may take the port between its being found free and the server's taking it.
  for (let attempt = 1; ; attempt++) {
    try {
      return await startOnce(binary, directory, options);
    } catch (cause) {
      if (attempt === 3) {
        await rm(directory, { recursive: true, force: true });
        throw cause;
      }
    }
  }
}

async function startOnce(binary: string, directory: string, options: VersitygwOptions): Promise<Versitygw> {
  const { region, ...credentials } = versitygwCredentials;
  const port = options.port ?? (await freePorts(1));
  const endpoint = `http://127.0.0.1:${port}`;
  const metadata = await mkdtemp(join(tmpdir(), "orrery-s3-meta-"));
  const webhook = options.webhookUrl === undefined ? [] : ["--event-webhook-url", options.webhookUrl];
  // Metadata beside the objects and not in extended attributes, which a temporary directory may not have.
  const args = ["--port", `127.0.0.1:${port}`, "--health", "/health", "--quiet", ...webhook, "posix"];
  const child = spawn(binary, [...args, "--sidecar", metadata, directory], {
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      PATH: process.env["PATH"],
      ROOT_ACCESS_KEY: credentials.accessKeyId,
      ROOT_SECRET_KEY: credentials.secretAccessKey,
    },
  });
  running.set(child, [directory, metadata]);
  let log = "";
  const keep = (data: Buffer): void => void (log = (log + data.toString()).slice(-logBytesMax));
  child.stdout.on("data", keep);
  child.stderr.on("data", keep);
  const ended = new Promise<void>((resolve) => {
    child.once("error", (cause) => {
      log += String(cause);
      resolve();
    });
    child.once("exit", () => resolve());
  }).finally(() => running.delete(child));
  const client = new S3Client({ endpoint, region, forcePathStyle: true, credentials });
  const stop = async (): Promise<void> => {
    client.destroy();
    child.kill("SIGTERM");
    const late = setTimeout(stopMs, "late", { ref: false });
    if ((await Promise.race([ended, late])) === "late") child.kill("SIGKILL");
    await ended;
    await rm(directory, { recursive: true, force: true });
    await rm(metadata, { recursive: true, force: true });
  };
  if (await healthy(`${endpoint}/health`, ended)) {
    return { endpoint, region, ...credentials, directory, client, log: () => log, stop };
  }
  child.kill("SIGKILL");
  await ended;
  client.destroy();
  await rm(metadata, { recursive: true, force: true });
  throw new Error(`versitygw did not start within ${startMs} ms (${binary} ${args.join(" ")}):\n${log}`);
}

async function healthy(url: string, ended: Promise<void>): Promise<boolean> {
  const deadline = Date.now() + startMs;
  const gone = ended.then(() => "gone" as const);
  while (Date.now() < deadline) {
    const answer = await fetch(url, { signal: AbortSignal.timeout(1_000) }).catch(() => null);
    const state = await Promise.race([gone, setTimeout(answer?.ok === true ? 0 : 25)]);
    if (state === "gone") return false;
    if (answer?.ok === true) return true;
  }
  return false;
}

/** ORRERY_VERSITYGW, PATH, the cache, or `go install` into the cache (checked by Go's checksum database). */
export async function findVersitygw(): Promise<string> {
  const given = process.env["ORRERY_VERSITYGW"];
  if (given !== undefined && given !== "") {
    if (await executable(given)) return given;
    throw new Error(`ORRERY_VERSITYGW=${given} is no program that can be run`);
  }
  for (const directory of (process.env["PATH"] ?? "").split(delimiter)) {
    const path = join(directory, "versitygw");
    if (directory !== "" && (await executable(path))) return path;
  }
  const cache = join(cacheDirectory(), `versitygw-${version}`);
  const cached = join(cache, "versitygw");
  if (await executable(cached)) return cached;
  await mkdir(cache, { recursive: true });
  try {
    await promisify(execFile)("go", ["install", `github.com/versity/versitygw/cmd/versitygw@${version}`], {
      env: { ...process.env, GOBIN: cache },
      timeout: installMs,
    });
  } catch (cause) {
    throw new Error(
      `no versitygw: ORRERY_VERSITYGW is not set, it is neither on PATH nor at ${cached}, and go install failed. ` +
        `Fix: install Go, or set ORRERY_VERSITYGW to the program.`,
      { cause },
    );
  }
  return cached;
}

function cacheDirectory(): string {
  const own = process.env["ORRERY_CACHE"];
  if (own !== undefined && own !== "") return resolve(own);
  const xdg = process.env["XDG_CACHE_HOME"];
  return join(xdg !== undefined && isAbsolute(xdg) ? xdg : join(homedir(), ".cache"), "orrery");
}

async function executable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}
