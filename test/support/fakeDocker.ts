/**
 * A container engine's client for tests: `node fakeDocker.ts STATE …` with docker's arguments. As with a real one the container is no
 * child of the client: it leads a session of its own, outlives the client, and is found again by its name or label. The image is not
 * used: its command runs on this machine, with nothing in its environment but what `--env` names.
 */
import { spawn } from "node:child_process";
import {
  appendFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";

const [state = "", verb = "", ...args] = process.argv.slice(2);
const say = (text: string): void => void process.stdout.write(`${text}\n`);
const complain = (text: string): void => void process.stderr.write(`${text}\n`);
const fail = (code: number, text: string): never => {
  process.stderr.write(`${text}\n`);
  process.exit(code);
};
appendFileSync(join(state, "asked.log"), `${JSON.stringify([verb, ...args])}\n`);
if (existsSync(join(state, "engine-away"))) {
  const socket = "unix:///var/run/docker.sock";
  fail(
    verb === "run" ? 125 : 1,
    `Cannot connect to the Docker daemon at ${socket}. Is the docker daemon running?`,
  );
}

// As one does whose home is not readable, and goes on.
if (verb !== "run") complain("WARNING: Error loading config file: open config.json: permission denied");

interface Container {
  readonly name: string;
  readonly pid: number;
  readonly label: string;
}

const fileOf = (name: string): string => join(state, `container-${name}.json`);
/** `pid` is 0 while the container is made: its name is taken before anything of it runs. */
const read = (file: string): Container | null => {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as Container;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw cause;
  }
};
/** Whole or not at all: other clients read it at any time. */
const write = (container: Container): void => {
  const made = `${fileOf(container.name)}.${process.pid}.made`;
  writeFileSync(made, JSON.stringify(container));
  renameSync(made, fileOf(container.name));
};
/** Once it runs; null for one that is not there, or never came to run. */
const running = async (name: string): Promise<Container | null> => {
  for (let left = startMsMax; left > 0; left -= 20) {
    const found = read(fileOf(name));
    if (found === null || found.pid > 0) return found;
    await pause(20);
  }
  return null;
};
const startMsMax = 60_000;
const signal = (pid: number, name: NodeJS.Signals | 0): boolean => {
  try {
    process.kill(-pid, name);
    return true;
  } catch {
    // Nobody is left in its group.
    return false;
  }
};
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const withValue = new Set([
  "--name",
  "--label",
  "--user",
  "--log-driver",
  "--memory",
  "--cpus",
  "--mount",
  "--workdir",
  "--env",
]);
const without = new Set(["--rm", "--init"]);

/** As a real client says that its engine would not: its last words are of no use. */
const refuse = (code: number, words: string): never =>
  fail(code, `docker: Error response from daemon: ${words}\n\nRun 'docker run --help' for more information`);

/** A line of CSV. What it names must be there: an engine makes no folder for a mount. */
function mounted(value: string): void {
  const fields = [...value.matchAll(/"((?:[^"]|"")*)"|([^,]+)/g)];
  const [source = ""] = fields
    .map(([, quoted, bare]) => quoted?.replaceAll('""', '"') ?? bare ?? "")
    .flatMap((field) => (field.startsWith("source=") ? [field.slice("source=".length)] : []));
  if (!existsSync(source)) {
    refuse(125, `invalid mount config for type "bind": bind source path does not exist: ${source}`);
  }
}

async function run(): Promise<void> {
  const options = new Map<string, string>();
  const names: Array<string> = [];
  let at = 0;
  for (; args[at]?.startsWith("--") === true; at++) {
    const name = args[at] ?? "";
    if (without.has(name)) continue;
    if (!withValue.has(name)) fail(125, `unknown flag: ${name}`);
    const value = args[++at] ?? "";
    if (name === "--env") names.push(value);
    else if (name === "--mount") mounted(value);
    else options.set(name, value);
  }
  const [image, program = "", ...rest] = args.slice(at);
  const name = options.get("--name") ?? "";
  if (read(fileOf(name)) !== null) refuse(125, `Conflict. The container name "/${name}" is already in use`);
  if (image === "no-such-image") {
    complain(`Unable to find image '${image}:latest' locally`);
    refuse(125, `pull access denied for ${image}, repository does not exist or may require 'docker login'`);
  }
  const label = options.get("--label") ?? "";
  write({ name, pid: 0, label });
  const env: Record<string, string> = { PATH: "/usr/bin:/bin" };
  for (const each of names) env[each] = process.env[each] ?? "";
  const child = spawn(program, rest, {
    cwd: options.get("--workdir"),
    env,
    detached: true,
    stdio: ["ignore", "inherit", "inherit"],
  });
  const spawned = new Promise<void>((resolve) => child.once("spawn", () => resolve()));
  const ended = new Promise<readonly [number | null, NodeJS.Signals | null]>((resolve) =>
    child.once("exit", (code, how) => resolve([code, how])),
  );
  const missing = new Promise<Error>((resolve) => child.once("error", resolve));
  const wrong = await Promise.race([missing, spawned]);
  if (wrong !== undefined) rmSync(fileOf(name), { force: true });
  if (wrong !== undefined) refuse(127, `exec: "${program}": executable file not found in $PATH: unknown`);
  const { pid = 0 } = child;
  write({ name, pid, label });
  for (const each of ["SIGTERM", "SIGINT"] as const) process.on(each, () => child.kill(each));
  // An engine that is killed leaves its containers as they are.
  const killed = setInterval(() => {
    if (existsSync(join(state, "engine-away"))) fail(125, "error waiting for container: unexpected EOF");
  }, 20);
  const [code, how] = await ended;
  clearInterval(killed);
  signal(pid, "SIGKILL");
  rmSync(fileOf(name), { force: true });
  const numbers: Readonly<Record<string, number>> = { SIGKILL: 137, SIGTERM: 143, SIGINT: 130 };
  process.exit(code ?? numbers[how ?? ""] ?? 1);
}

/** Ends with 1 also for a name that is not there, as clients did before version 23. */
async function remove(): Promise<void> {
  const beingRemoved = join(state, "being-removed");
  for (const name of args.filter((arg) => !arg.startsWith("-"))) {
    const found = await running(name);
    if (found === null) {
      complain(`Error: No such container: ${name}`);
      process.exitCode = 1;
    } else if (existsSync(beingRemoved)) {
      complain(`Error response from daemon: removal of container ${name} is already in progress`);
      process.exitCode = 1;
      // Somebody else does it: here by the next look.
      rmSync(beingRemoved);
    } else {
      signal(found.pid, "SIGKILL");
      rmSync(fileOf(name), { force: true });
    }
  }
}

async function stop(): Promise<void> {
  const [, seconds, name = ""] = args;
  const found = (await running(name)) ?? fail(1, `No such container: ${name}`);
  signal(found.pid, "SIGTERM");
  for (let left = Number(seconds) * 1_000; left > 0 && signal(found.pid, 0); left -= 20) await pause(20);
  signal(found.pid, "SIGKILL");
}

switch (verb) {
  case "version":
    say("0.0.0-fake");
    break;
  case "run":
    await run();
    break;
  case "rm":
    await remove();
    break;
  case "stop":
    await stop();
    break;
  case "ps": {
    const label = args.find((arg) => arg.startsWith("label="))?.slice("label=".length);
    const names = readdirSync(state).filter(
      (file) => file.startsWith("container-") && file.endsWith(".json"),
    );
    for (const file of names) {
      const found = read(join(state, file));
      if (found !== null && found.label === label) say(found.name);
    }
    break;
  }
  default:
    fail(1, `unknown command ${verb}`);
}
