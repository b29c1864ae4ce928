import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { mkdir, readFile, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Fiber from "effect/Fiber";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeProcessDriver } from "../../../src/drivers/process.ts";
import type { RunEnd, RunTask } from "../../../src/drivers/RunDriver.ts";
import { promptly } from "../../support/promptly.ts";

const grace = { termMs: 1_500, interruptMs: 300 };
const processDriver = makeProcessDriver(grace);
/** Short, and yet long enough for a command to begin on a machine that has much else to do. */
const beginMs = 1_500;

let root = "";
let tasks = 0;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "orrery-driver-"));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** A task whose command is this script, run by sh in a fresh folder. */
async function task(script: string, more: Partial<RunTask> = {}): Promise<RunTask> {
  const scratch = join(root, String(tasks++));
  await mkdir(scratch);
  return {
    id: `test-${tasks}`,
    leftovers: [],
    owner: "test",
    image: null,
    reads: [],
    command: ["/bin/sh", "-c", script],
    cwd: scratch,
    env: {},
    scratch,
    logFile: join(scratch, "log"),
    logBytesMax: 10_000,
    timeLimitMs: 30_000,
    ...more,
  };
}

const run = (of: RunTask): Promise<RunEnd> => Effect.runPromise(processDriver.run(of));

/** The process is gone, or a zombie that only its reaper has not seen yet. */
async function isGone(pid: number): Promise<boolean> {
  const state = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => null);
  if (state !== null) return / Z /.test(state);
  try {
    process.kill(pid, 0);
    return false;
  } catch {
    // No such process: what is asked for.
    return true;
  }
}

async function fileThere(path: string): Promise<string> {
  for (;;) {
    const text = await readFile(path, "utf8").catch(() => "");
    if (text.endsWith("\n")) return text.trim();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

describe("the process driver", () => {
  it.each([
    ["exit 0", 0],
    ["exit 3", 3],
    ["exit 75", 75],
    ["exit 65", 65],
    ["kill -9 $$", 137],
  ])("tells how it ended: %s", async (script, exit) => {
    const end = await run(await task(script));
    expect(end).toMatchObject({ exit, timedOut: false });
    expect(end.endedAt).toBeGreaterThanOrEqual(end.startedAt);
  });

  it("says 127 for a program that is not there, and why in the log", async () => {
    const of = await task("", { command: ["orrery-no-such-program"] });
    expect((await run(of)).exit).toBe(127);
    expect(await readFile(of.logFile, "utf8")).toMatch(/not found/);
  });

  it("fails as a driver where there is no folder to run in", async () => {
    const exit = await Effect.runPromiseExit(
      processDriver.run(await task("exit 0", { cwd: join(root, "none") })),
    );
    expect(Exit.isFailure(exit) && String(exit.cause)).toMatch(/DriverFailed/);
  });

  it("passes arguments on as they are: no shell reads them", async () => {
    const of = await task("", { command: ["printf", "%s|", "a b", "$HOME", "`id`", "'\"", "*"] });
    await run(of);
    expect(await readFile(of.logFile, "utf8")).toBe("a b|$HOME|`id`|'\"|*|");
  });

  it("gives the command what it asked for, and nothing of this program's secrets", async () => {
    process.env["ORRERY_TEST_SECRET"] = "secret";
    const of = await task('echo "$WORD,$ORRERY_TEST_SECRET,${PATH:+path},$(pwd)"', { env: { WORD: "said" } });
    await run(of);
    delete process.env["ORRERY_TEST_SECRET"];
    expect(await readFile(of.logFile, "utf8")).toBe(`said,,path,${of.cwd}\n`);
  });

  it("keeps both outputs in order, cuts the log at its limit and says so, and lets the command finish", async () => {
    const of = await task(
      "echo one; echo two >&2; head -c 300000 /dev/zero | tr '\\0' x; echo; echo last words; exit 4",
      {
        logBytesMax: 1_000,
      },
    );
    const end = await run(of);
    const log = await readFile(of.logFile, "utf8");
    expect(end).toMatchObject({ exit: 4, logBytes: 300_020, lastLine: "last words" });
    expect(log.slice(0, 8)).toBe("one\ntwo\n");
    expect(log.length).toBeLessThan(1_100);
    expect(log).toMatch(/\[cut off here: 299020 more bytes were written\]\n$/);
  });

  it("ends the whole group at the time limit: a grandchild too, and one that will not listen", async () => {
    const of = await task(
      "trap '' TERM; (trap '' TERM; echo $$ > own; sh -c 'echo $$ > grandchild; while :; do sleep 1; done') & while :; do sleep 1; done",
      { timeLimitMs: beginMs },
    );
    const end = await run(of);
    expect(end).toMatchObject({ exit: null, timedOut: true });
    for (const name of ["own", "grandchild"]) {
      expect(await isGone(Number(await readFile(join(of.scratch, name), "utf8")))).toBe(true);
    }
  });

  it("lets a command that listens end by itself at the time limit", async () => {
    const of = await task("trap 'echo tidy; exit 0' TERM; echo up; while :; do sleep 0.05; done", {
      timeLimitMs: beginMs,
    });
    const end = await run(of);
    expect(end.timedOut).toBe(true);
    expect(await readFile(of.logFile, "utf8")).toMatch(/^up\n(.|\n)*tidy\n$/);
  });

  it("leaves nothing running that the command left behind", async () => {
    const of = await task(
      "sh -c 'echo $$ > left; while :; do sleep 1; done' & while ! test -s left; do sleep 0.01; done; exit 0",
    );
    expect((await run(of)).exit).toBe(0);
    expect(await isGone(Number(await readFile(join(of.scratch, "left"), "utf8")))).toBe(true);
  });

  it("ends the whole group when it is interrupted, soon", async () => {
    const of = await task(
      "trap '' TERM; sh -c 'echo $$ > left; while :; do sleep 1; done' & while :; do sleep 1; done",
    );
    const fiber = Effect.runFork(processDriver.run(of));
    const left = Number(await fileThere(join(of.scratch, "left")));
    await promptly("the end", 2_000, () => Effect.runPromise(Fiber.interrupt(fiber)));
    expect(await isGone(left)).toBe(true);
  });

  it("tells how large the command became, where the system does", async () => {
    const of = await task("", {
      command: [process.execPath, "-e", "const b = Buffer.alloc(80e6, 1); setTimeout(() => b, 1500)"],
    });
    const end = await run(of);
    const told = await stat("/proc/self/status").then(
      () => true,
      () => false,
    );
    if (told) expect(end.peakRssBytes).toBeGreaterThan(80e6);
    else expect(end.peakRssBytes).toBeNull();
  });
});

describe("a command whose runner is killed -9", () => {
  it("is ended with everything it started", async () => {
    const of = await task("trap '' TERM; echo $$ > own; while :; do sleep 1; done");
    const driver = new URL("../../../src/drivers/process.ts", import.meta.url).href;
    const program = `
      const { makeProcessDriver } = await import(${JSON.stringify(driver)});
      const Effect = await import("effect/Effect");
      Effect.runFork(makeProcessDriver(${JSON.stringify(grace)}).run(${JSON.stringify(of)}));
    `;
    const runner = spawn(process.execPath, ["--input-type=module", "-e", program], {
      cwd: join(import.meta.dirname, "../../.."),
      stdio: ["ignore", "ignore", "inherit"],
    });
    const own = Number(await fileThere(join(of.scratch, "own")));
    const ended = once(runner, "exit");
    runner.kill("SIGKILL");
    await ended;
    while (!(await isGone(own))) await new Promise((resolve) => setTimeout(resolve, 20));
  });
});
