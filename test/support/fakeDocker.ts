/**
 * A container engine's client for tests: `node fakeDocker.ts STATE …` with docker's arguments. As with a real one the container is no
 * child of the client: it leads a session of its own, outlives the client, and is found again by its name or label. The image is not
 * used: its command runs on this machine, with nothing in its environment but what `--env` names.
 */
import { spawn } from "node:child_process";
import { appendFileSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const [state = "", verb = "", ...args] = process.argv.slice(2);
const say = (text: string): void => void process.stdout.write(`${text}\n`);
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

interface Container {
  readonly name: string;
  readonly pid: number;
  readonly label: string;
}

const fileOf = (name: string): string => join(state, `container-${name}.json`);
const read = (name: string): Container | null =>
  existsSync(fileOf(name)) ? (JSON.parse(readFileSync(fileOf(name), "utf8")) as Container) : null;
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
  "--volume",
  "--workdir",
  "--env",
]);
const without = new Set(["--rm", "--init"]);

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
    else options.set(name, value);
  }
  const [image, program = "", ...rest] = args.slice(at);
  const name = options.get("--name") ?? "";
  if (read(name) !== null) fail(125, `Conflict. The container name "/${name}" is already in use`);
  if (image === "no-such-image") fail(125, `Unable to find image '${image}:latest' locally`);
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
  if (wrong !== undefined) fail(127, `exec: "${program}": executable file not found in $PATH`);
  const { pid = 0 } = child;
  writeFileSync(fileOf(name), JSON.stringify({ name, pid, label: options.get("--label") }));
  for (const each of ["SIGTERM", "SIGINT"] as const) process.on(each, () => child.kill(each));
  const [code, how] = await ended;
  signal(pid, "SIGKILL");
  rmSync(fileOf(name), { force: true });
  const numbers: Readonly<Record<string, number>> = { SIGKILL: 137, SIGTERM: 143, SIGINT: 130 };
  process.exit(code ?? numbers[how ?? ""] ?? 1);
}

function remove(): void {
  for (const name of args.filter((arg) => !arg.startsWith("-"))) {
    const found = read(name);
    if (found === null) continue;
    signal(found.pid, "SIGKILL");
    rmSync(fileOf(name), { force: true });
  }
}

async function stop(): Promise<void> {
  const [, seconds, name = ""] = args;
  const found = read(name) ?? fail(1, `No such container: ${name}`);
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
    remove();
    break;
  case "stop":
    await stop();
    break;
  case "ps": {
    const label = args.find((arg) => arg.startsWith("label="))?.slice("label=".length);
    const names = readdirSync(state).filter((file) => file.startsWith("container-"));
    for (const file of names) {
      const found = JSON.parse(readFileSync(join(state, file), "utf8")) as Container;
      if (found.label === label) say(found.name);
    }
    break;
  }
  default:
    fail(1, `unknown command ${verb}`);
}
