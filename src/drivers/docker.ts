/**
 * Runs a command in a container, by the engine's own client program: `docker`, or one that takes the same arguments.
 *
 * The client runs under the process driver's guard, behind a few lines of sh that end the container when they are told to end: so it
 * ends at the time limit, at an interruption, and when this process is killed. An engine outlives all of that, so each container
 * has a name made of its try's id and a label of its owner: what a dead node left is removed by whoever tries the run again on
 * the same engine, or by the node itself when it starts anew.
 */
import { execFile } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import * as Effect from "effect/Effect";
import * as Schedule from "effect/Schedule";
import { dockerAnswerMs, runInterruptGraceMs, runTermGraceMs } from "../limits.ts";
import { lastLineOf } from "./boundedLog.ts";
import { makeProcessDriver } from "./process.ts";
import type { RunDriver, RunEnd, RunTask } from "./RunDriver.ts";
import { DriverFailed } from "./RunDriver.ts";

export interface DockerOptions {
  /** The client program; it is looked for on the PATH. */
  readonly program: string;
  readonly termMs: number;
  readonly interruptMs: number;
  /** Of each container; null: as the engine has it. */
  readonly memoryBytesMax: number | null;
  readonly cpusMax: number | null;
}

/** What the client needs to find its engine. The container gets none of it. */
const clientEnvironment = /^(?:DOCKER_.+|XDG_RUNTIME_DIR|SSH_AUTH_SOCK)$/;
/** A container in whose label nobody of us wrote is none of ours. */
const ownerLabel = "orrery.owner";

// TERM reaches the client as well, which passes it on to the container; this one sees to it that the container is gone. The
// client is waited for again when the wait was only interrupted.
const wrapper = `
docker=$1; name=$2; stop=$3; shift 3
trap '"$docker" stop -t "$stop" "$name" >/dev/null 2>&1; "$docker" rm --force --volumes "$name" >/dev/null 2>&1' TERM INT HUP
"$docker" run --name "$name" "$@" &
client=$!
while :; do
  wait $client
  code=$?
  kill -0 $client 2>/dev/null || break
done
exit $code
`;

const nameOf = (id: string): string => `orrery-${id.replaceAll(/[^A-Za-z0-9_.-]/g, "-")}`;

export const makeDockerDriver = (options: Partial<DockerOptions> = {}): RunDriver => {
  const all: DockerOptions = {
    program: "docker",
    termMs: runTermGraceMs,
    interruptMs: runInterruptGraceMs,
    memoryBytesMax: null,
    cpusMax: null,
    ...options,
  };
  const { program } = all;
  const client = makeProcessDriver({ termMs: all.termMs, interruptMs: all.interruptMs });
  return {
    name: "docker",
    run: (task) =>
      Effect.gen(function* () {
        if (task.image === null) {
          return yield* new DriverFailed({ driver: "docker", detail: "its job names no image" });
        }
        yield* engineAnswers(program);
        yield* remove(program, [...task.leftovers, task.id].map(nameOf));
        const end = yield* client.run(inContainer(all, task, task.image)).pipe(
          // Whatever ended the client, killed with its group, may have left the container. Gone already: nothing is removed.
          Effect.ensuring(Effect.ignore(remove(program, [nameOf(task.id)]))),
        );
        // The client's own failure, or the engine's: which of both, a second question tells.
        if (end.exit === 125) yield* engineAnswers(program);
        const lastLine = isRefusal(end) ? yield* wordsBefore(task.logFile) : end.lastLine;
        // What was measured is the client.
        return { ...end, lastLine, peakRssBytes: null, cpuMs: null };
      }),
    sweep: (owner) =>
      Effect.gen(function* () {
        const found = yield* ask(program, [
          "ps",
          "--all",
          "--quiet",
          "--filter",
          `label=${ownerLabel}=${owner}`,
        ]);
        yield* remove(
          program,
          found.split("\n").filter((id) => id !== ""),
        );
      }),
  };
};

function inContainer(options: DockerOptions, task: RunTask, image: string): RunTask {
  const { memoryBytesMax, cpusMax, program, termMs } = options;
  // Names only: the values are taken from the client's environment, where `ps` does not show them.
  const env = Object.keys(task.env).flatMap((name) => ["--env", name]);
  const user =
    process.getuid === undefined ? [] : ["--user", `${process.getuid()}:${process.getgid?.() ?? 0}`];
  const args = [
    "--rm",
    "--init",
    "--label",
    `${ownerLabel}=${task.owner}`,
    ...user,
    "--log-driver",
    "none",
    ...(memoryBytesMax === null ? [] : ["--memory", String(memoryBytesMax)]),
    ...(cpusMax === null ? [] : ["--cpus", String(cpusMax)]),
    ...mount(task.scratch),
    ...task.reads.flatMap((folder) => mount(folder, "readonly")),
    "--workdir",
    task.cwd,
    ...env,
    image,
    ...task.command,
  ];
  // Less than the guard's patience, which ends with a kill.
  const stopSeconds = Math.max(0, Math.floor(termMs / 1_000) - 2);
  return {
    ...task,
    command: [
      "/bin/sh",
      "-c",
      wrapper,
      "orrery-docker",
      program,
      nameOf(task.id),
      String(stopSeconds),
      ...args,
    ],
    cwd: task.scratch,
    env: { ...clientEnv(), ...task.env },
  };
}

/**
 * Not `--volume`: its fields are parted by colons, which names of objects hold, and of a folder that is not there it makes an empty one,
 * as root, on the engine's machine. A mount's fields are a line of CSV.
 */
function mount(folder: string, ...more: ReadonlyArray<string>): ReadonlyArray<string> {
  const fields = ["type=bind", `source=${folder}`, `target=${folder}`, ...more];
  return ["--mount", fields.map((field) => `"${field.replaceAll('"', '""')}"`).join(",")];
}

function clientEnv(): Readonly<Record<string, string>> {
  const env: Record<string, string> = {};
  for (const [name, value] of Object.entries(process.env)) {
    if (value !== undefined && clientEnvironment.test(name)) env[name] = value;
  }
  return env;
}

/** What the client adds when an engine refuses: the engine's words stand before it. */
const clientHint = /^(?:See|Run) '.+ --help'/;
const isRefusal = ({ exit, lastLine }: RunEnd): boolean =>
  exit !== null && exit >= 125 && exit <= 127 && clientHint.test(lastLine);

/** The last words of a log, leaving out the client's hint. */
const wordsBefore = (logFile: string): Effect.Effect<string> =>
  Effect.promise(async () => {
    // The words are for people: without its log a run has ended all the same.
    const log = await readFile(logFile, "utf8").catch(() => "");
    const said = log.split("\n").filter((line) => line.trim() !== "" && !clientHint.test(line.trim()));
    return lastLineOf(Buffer.from(said.join("\n")));
  });

const engineAnswers = (program: string): Effect.Effect<void, DriverFailed> =>
  Effect.asVoid(ask(program, ["version", "--format", "{{.Server.Version}}"]));

/**
 * Ends them, in whatever state they are, and without complaint those that are not there. When it has ended their names are free: one
 * that somebody else removes just now, a dying node's client or the engine after `--rm`, is waited for.
 */
const remove = (program: string, names: ReadonlyArray<string>): Effect.Effect<void, DriverFailed> => {
  if (names.length === 0) return Effect.void;
  return Effect.tryPromise({
    try: async () => {
      const { code, complaints } = await tell(program, ["rm", "--force", "--volumes", ...names]);
      if (code === 0) return;
      // Older clients end with 1 when one of the names is not there; any may warn of its own configuration.
      const left = complaints.filter((line) => !missing.test(line) && !/^warning:/i.test(line));
      if (left.length === 0 && complaints.some((line) => missing.test(line))) return;
      throw new Error(left.at(-1) ?? `${program} ended with ${String(code)}`);
    },
    catch: failedTo(`remove the containers of earlier tries: ${program}`),
  }).pipe(
    Effect.retry({
      while: ({ detail }) => /removal of container .* is already in progress/i.test(detail),
      times: Math.floor(dockerAnswerMs / removalLookMs),
      schedule: Schedule.spaced(removalLookMs),
    }),
  );
};
const removalLookMs = 200;
const missing = /no such container/i;

/** What the client says on stdout; fails with its last words where it does not succeed. */
const ask = (program: string, args: ReadonlyArray<string>): Effect.Effect<string, DriverFailed> =>
  Effect.tryPromise({
    try: async () => {
      const { code, said, complaints } = await tell(program, args);
      if (code === 0) return said;
      throw new Error(complaints.at(-1) ?? `${program} ended with ${String(code)}`);
    },
    catch: failedTo(`no container engine answers ${program}`),
  });

interface Answer {
  readonly code: number | null;
  readonly said: string;
  /** The lines of stderr. */
  readonly complaints: ReadonlyArray<string>;
}

/** Rejects where there is no such program. */
async function tell(program: string, args: ReadonlyArray<string>): Promise<Answer> {
  let said = "";
  let complained = "";
  const child = execFile(program, [...args], { timeout: dockerAnswerMs, killSignal: "SIGKILL" });
  child.stdout?.on("data", (text: string) => (said += text));
  child.stderr?.on("data", (text: string) => (complained += text));
  const [code] = (await once(child, "close")) as [number | null];
  return { code, said, complaints: complained.split("\n").filter((line) => line.trim() !== "") };
}

const failedTo =
  (what: string) =>
  (cause: unknown): DriverFailed =>
    new DriverFailed({
      driver: "docker",
      detail: `${what}: ${cause instanceof Error ? cause.message : String(cause)}`,
    });
