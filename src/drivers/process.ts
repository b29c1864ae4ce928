/**
 * Runs a command as a child process, in a process group of its own that is ended as a whole.
 *
 * Between this process and the command stands a guard, a few lines of sh: it leads the group, tells the exit code, and holds
 * the read end of a pipe whose write end only this process has. When this process is gone, however it went, the guard
 * ends the group. It also keeps the group's number taken until the whole group has been killed, so that the kill can
 * never reach a stranger. Out of its reach is only what left the group on purpose (setsid).
 */
import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import type { Readable } from "node:stream";
import { createInterface } from "node:readline";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import { runInterruptGraceMs, runTermGraceMs } from "../limits.ts";
import type { BoundedLog } from "./boundedLog.ts";
import { boundedLog } from "./boundedLog.ts";
import type { RunDriver, RunEnd, RunTask } from "./RunDriver.ts";
import { DriverFailed } from "./RunDriver.ts";

/** What a command needs of this process's environment. The rest may hold secrets, and is none of its business. */
const inherited = ["PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TZ"];

const sampleEveryMs = 250;
const progressEverySamples = 4;
/** A log that something outside the group still holds open is closed after this. */
const logCloseMs = 1_000;

// Plain POSIX sh. TERM to the group reaches the guard too, which stays until the command has ended: a trap that does nothing
// is not inherited by the command, an ignored signal would be. Says on 4 the command's pid, then the processor times of what it
// waited for, then its exit code; then waits to be killed with its group.
const guard = `
grace=$1; shift
trap : TERM INT HUP
"$@" </dev/null 2>&1 3<&- 4>&- &
job=$!
echo "pid $job" >&4
(
  trap : TERM INT HUP
  while read -r line <&3; do :; done
  kill -TERM 0
  sleep $grace
  kill -KILL 0
) >/dev/null 2>&1 4>&- &
watcher=$!
while :; do
  wait $job
  code=$?
  kill -0 $job 2>/dev/null || break
done
times >&4
echo "exit $code" >&4
exec >/dev/null
while kill -0 $watcher 2>/dev/null; do wait $watcher; done
`;

interface Running {
  readonly child: ChildProcess;
  /** Of the guard, which is the group's. */
  readonly group: number;
  readonly log: BoundedLog;
  /** The command's exit code; null when the guard was ended from outside. */
  readonly ended: Promise<number | null>;
  readonly startedAt: number;
  readonly used: { peakRssBytes: number | null; cpuMs: number | null };
  readonly sampler: NodeJS.Timeout;
  stopped: boolean;
}

export const makeProcessDriver = (
  grace: { readonly termMs: number; readonly interruptMs: number } = {
    termMs: runTermGraceMs,
    interruptMs: runInterruptGraceMs,
  },
): RunDriver => ({
  name: "process",
  // The guards have ended what a former life left.
  sweep: () => Effect.void,
  run: (task) =>
    Effect.acquireUseRelease(
      Effect.tryPromise({
        try: () => start(task, grace.termMs),
        catch: (cause) =>
          new DriverFailed({
            driver: "process",
            detail: cause instanceof Error ? cause.message : String(cause),
          }),
      }),
      (running) => untilEnded(task, running, grace.termMs),
      (running) => Effect.promise(() => stop(running, grace.interruptMs)),
    ),
});

const untilEnded = Effect.fnUntraced(function* (task: RunTask, running: Running, termMs: number) {
  const exit = yield* Effect.promise(() => running.ended).pipe(Effect.timeoutOption(task.timeLimitMs));
  yield* Effect.promise(() => stop(running, Option.isNone(exit) ? termMs : 0)).pipe(Effect.uninterruptible);
  const log = yield* Effect.promise(() => running.log.end);
  return {
    exit: Option.getOrNull(exit),
    timedOut: Option.isNone(exit),
    startedAt: running.startedAt,
    endedAt: Date.now(),
    ...running.used,
    logBytes: log.bytes,
    lastLine: log.lastLine,
  } satisfies RunEnd;
});

async function start(task: RunTask, termMs: number): Promise<Running> {
  const env: Record<string, string> = {};
  for (const name of inherited) {
    const value = process.env[name];
    if (value !== undefined) env[name] = value;
  }
  const grace = String(Math.ceil(termMs / 1_000));
  const child = spawn("/bin/sh", ["-c", guard, "orrery-run", grace, ...task.command], {
    cwd: task.cwd,
    env: { ...env, ...task.env },
    stdio: ["ignore", "pipe", "ignore", "pipe", "pipe"],
    detached: true,
  });
  await once(child, "spawn");
  const [, output, , pipe, told] = child.stdio;
  const group = child.pid;
  if (group === undefined || output == null || pipe == null || told == null) {
    child.kill("SIGKILL");
    throw new Error("no pipes to the guard");
  }
  // The guard may be gone before the pipe is closed.
  pipe.on("error", () => undefined);
  const used: Running["used"] = { peakRssBytes: null, cpuMs: null };
  const state = { pid: 0 };
  const ended = new Promise<number | null>((resolve) => {
    createInterface({ input: told as Readable }).on("line", (line) => {
      const [word, value] = line.split(" ");
      if (word === "pid") {
        state.pid = Number(value);
        void sample(state.pid, used);
      } else if (word === "exit") resolve(Number(value));
      else used.cpuMs = timesOf(line) ?? used.cpuMs;
    });
    child.once("exit", () => resolve(null));
  });
  const log = boundedLog(output, task.logFile, task.logBytesMax);
  let samples = 0;
  const beat = (): void => {
    void sample(state.pid, used);
    if (++samples % progressEverySamples === 0) {
      task.onProgress?.({ line: log.lastLine(), peakRssBytes: used.peakRssBytes });
    }
  };
  const sampler = setInterval(beat, sampleEveryMs);
  return { child, group, log, ended, startedAt: Date.now(), used, sampler, stopped: false };
}

/** What `times` says, ms of user and system together; its second line, of the children, comes last and counts. */
function timesOf(line: string): number | null {
  const found = /^(\d+)m([\d.,]+)s (\d+)m([\d.,]+)s$/.exec(line);
  if (found === null) return null;
  const [minutes, seconds, moreMinutes, moreSeconds] = found.slice(1).map((n) => Number(n.replace(",", ".")));
  const all = ((minutes ?? 0) + (moreMinutes ?? 0)) * 60 + (seconds ?? 0) + (moreSeconds ?? 0);
  return Math.round(all * 1_000);
}

/** Notes the process's own high-water mark, where /proc has it. */
async function sample(pid: number, used: Running["used"]): Promise<void> {
  if (pid === 0) return;
  // Gone, or no Linux: what was seen before stands.
  const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
  const found = /^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1];
  if (found !== undefined) used.peakRssBytes = Math.max(used.peakRssBytes ?? 0, Number(found) * 1_024);
}

/** Ends the whole group, gently for `graceMs` if at all. Once: afterwards its number may be somebody else's. */
async function stop(running: Running, graceMs: number): Promise<void> {
  if (running.stopped) return;
  running.stopped = true;
  const { child, group, log, ended } = running;
  clearInterval(running.sampler);
  const isGone = (): boolean => child.exitCode !== null || child.signalCode !== null;
  const gone = isGone() ? Promise.resolve() : once(child, "exit").then(() => undefined);
  if (graceMs > 0) {
    signal(group, "SIGTERM");
    await within(ended, graceMs);
  }
  // The guard has not been waited for yet, or was killed alone and left the number to those who are still in the group.
  signal(group, "SIGKILL");
  await gone;
  await within(log.end, logCloseMs);
  log.cut();
}

async function within(promise: Promise<unknown>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  await Promise.race([promise, new Promise((resolve) => (timer = setTimeout(resolve, ms)))]);
  clearTimeout(timer);
}

function signal(group: number, name: NodeJS.Signals): void {
  try {
    process.kill(-group, name);
  } catch (cause) {
    // ESRCH: the group is empty, which is what was wanted.
    if ((cause as NodeJS.ErrnoException).code !== "ESRCH") throw cause;
  }
}
