/**
 * Real Butler repositories for tests: a Python of their own with the pinned packages, kept in the cache, and a helper process
 * that makes repositories on SQLite and PostgreSQL, locks them and looks into them. Whatever it started ends with it.
 */
import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { homedir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { run } from "../../scripts/nats-server/child.mjs";

export const bridgeFolder: string = path.resolve(import.meta.dirname, "../../bridges/butler");

/** Of downloading and unpacking about 80 MiB; 15 to 60 s where nothing else is slow. */
const installMs = 300_000;
const commandMs = 20_000;
const endMs = 20_000;

const running = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

/** Variables with which that Python finds the bridge and its tests, and leaves nothing in the source tree. */
export function pythonEnv(): Record<string, string> {
  const folders = [path.join(bridgeFolder, "src"), path.join(bridgeFolder, "tests")];
  return { PYTHONPATH: folders.join(path.delimiter), PYTHONDONTWRITEBYTECODE: "1" };
}

export type Found = { readonly python: string } | { readonly missing: string };

/** A Python with everything in it, made on first use; or why there is none here. Rejects when making it fails. */
export async function findButlerPython(): Promise<Found> {
  const base = await findPython();
  if (base === null) {
    return { missing: "Python 3.11 or newer with venv and pip: none of python3.13, .12, .11 and python3 is" };
  }
  const requirements = path.join(bridgeFolder, "requirements.txt");
  const key = createHash("sha256").update(readFileSync(requirements)).update(base.version).digest("hex");
  const folder = path.join(cacheFolder(), `butler-${key.slice(0, 16)}`);
  const python = path.join(folder, "bin", "python");
  if (existsSync(python)) return { python };
  await mkdir(cacheFolder(), { recursive: true });
  // Filled aside and moved in one step: what lies at the cached path is whole, and two that fill it at once do not meet.
  const made = await mkdtemp(path.join(cacheFolder(), ".new-butler-"));
  try {
    await must(base.command, ["-m", "venv", made], commandMs * 3);
    const pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"];
    await must(
      path.join(made, "bin", "python"),
      [...pip, "--require-hashes", "--only-binary", ":all:", "-r", requirements],
      installMs,
    );
    await rename(made, folder).catch((cause: unknown) => {
      // Somebody else was faster, and theirs is as good.
      if (!existsSync(python)) throw cause;
    });
  } finally {
    await rm(made, { recursive: true, force: true });
  }
  return { python };
}

async function findPython(): Promise<{ readonly command: string; readonly version: string } | null> {
  const ask =
    "import sys, venv, ensurepip; assert sys.version_info >= (3, 11); print(sys.version, sys.platform)";
  for (const command of ["python3.13", "python3.12", "python3.11", "python3"]) {
    const said = await run(command, ["-c", ask], { limitMs: commandMs });
    if (said.failure === undefined) return { command, version: said.stdout };
  }
  return null;
}

async function must(command: string, args: ReadonlyArray<string>, limitMs: number): Promise<void> {
  const said = await run(command, [...args], { limitMs });
  if (said.failure === undefined) return;
  throw new Error(`${command} ${args.join(" ")}: ${said.failure}\n${said.stdout}${said.stderr}`);
}

function cacheFolder(): string {
  const own = process.env["ORRERY_CACHE"];
  if (own !== undefined && own !== "") return path.resolve(own);
  const xdg = process.env["XDG_CACHE_HOME"];
  return path.join(
    xdg !== undefined && path.isAbsolute(xdg) ? xdg : path.join(homedir(), ".cache"),
    "orrery",
  );
}

export interface LabDataset {
  readonly kind: "raw" | "guider_raw";
  readonly exposure: string;
  readonly detector: number;
  readonly run: string;
  readonly uri: string;
  /** Whether looking for its data id finds it. */
  readonly by_data_id: boolean;
}

/** Integers are text: some are too large for a number here. */
export type LabRecord = Readonly<Record<string, unknown>>;

/** A visit asked for by its data id, and the raw files that are found by it. */
export interface LabVisit {
  readonly visit: string;
  readonly name: string;
  readonly exposures: ReadonlyArray<string>;
  readonly detectors: ReadonlyArray<number>;
}

export interface Repository {
  readonly datasets: ReadonlyArray<LabDataset>;
  readonly raws_of_visits: ReadonlyArray<LabVisit>;
  readonly exposure: ReadonlyArray<LabRecord>;
  readonly visit: ReadonlyArray<LabRecord>;
  readonly visit_definition: ReadonlyArray<LabRecord>;
  readonly visit_system_membership: ReadonlyArray<LabRecord>;
}

export interface LabItem {
  readonly key: string;
  readonly uri: string;
  readonly kind: "raw" | "guider";
  readonly header: LabRecord;
}

/** The helper process. One question at a time. */
export class ButlerLab {
  readonly #child: ChildProcess;
  readonly #answers: AsyncIterator<string>;
  #complaints = "";
  #last: Promise<unknown> = Promise.resolve();

  constructor(python: string) {
    this.#child = spawn(python, ["-m", "lab"], {
      env: { ...process.env, ...pythonEnv() },
      stdio: ["pipe", "pipe", "pipe"],
    });
    const { stdout, stderr } = this.#child;
    if (stdout === null || stderr === null) throw new Error("no pipes");
    running.add(this.#child);
    this.#child.once("exit", () => running.delete(this.#child));
    this.#child.stdin?.on("error", () => undefined);
    stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#complaints = (this.#complaints + text).slice(-4_096);
    });
    this.#answers = createInterface({ input: stdout })[Symbol.asyncIterator]();
  }

  /** Makes a repository in a folder that is not there yet; or says what this machine lacks for it. */
  async open(kind: "sqlite" | "postgresql", root: string): Promise<string | null> {
    const said = await this.#ask({ do: "open", kind, root, instruments: ["LSSTCam"] });
    const missing = (said as { readonly missing?: unknown }).missing;
    return typeof missing === "string" ? missing : null;
  }

  /**
   * Puts files into it without Orrery; gives each one's class or status. With `foreignIds`, as somebody does who lets chance
   * choose the ids of datasets.
   */
  async ingest(
    repo: string,
    items: ReadonlyArray<LabItem>,
    { foreignIds = false } = {},
  ): Promise<Readonly<Record<string, string>>> {
    const question = { do: "ingest", repo, items, foreign_ids: foreignIds };
    return (await this.#ask(question)) as Readonly<Record<string, string>>;
  }

  /** Raw files that it has. */
  async count(repo: string): Promise<number> {
    return (await this.#ask({ do: "count", repo })) as number;
  }

  /** Locks it: until released nobody writes to it. */
  async hold(repo: string): Promise<void> {
    await this.#ask({ do: "hold", repo });
  }

  async release(repo: string): Promise<void> {
    await this.#ask({ do: "release", repo });
  }

  async look(repo: string): Promise<Repository> {
    return (await this.#ask({ do: "look", repo })) as Repository;
  }

  #ask(question: unknown): Promise<unknown> {
    const asked = this.#last.then(async () => {
      this.#child.stdin?.write(`${JSON.stringify(question)}\n`);
      const { value, done } = await this.#answers.next();
      if (done === true) throw new Error(`the lab ended: ${this.#complaints}`);
      const said = JSON.parse(value) as { readonly done?: unknown; readonly failed?: string };
      if (said.failed !== undefined) throw new Error(`${said.failed}\n${this.#complaints}`);
      return said.done;
    });
    this.#last = asked.catch(() => undefined);
    return asked;
  }

  async stop(): Promise<void> {
    const gone = new Promise<void>((resolve) => {
      if (this.#child.exitCode !== null || this.#child.signalCode !== null) resolve();
      else this.#child.once("exit", () => resolve());
    });
    this.#child.stdin?.end();
    const late = setTimeout(() => this.#child.kill("SIGKILL"), endMs);
    await gone;
    clearTimeout(late);
  }
}
