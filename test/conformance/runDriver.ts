/** What every driver of runs must do, wherever it runs them. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Fiber from "effect/Fiber";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { RunDriver, RunEnd, RunProgress, RunTask } from "../../src/drivers/RunDriver.ts";
import { promptly } from "../support/promptly.ts";

export interface RunDriverUnderTest {
  readonly make: () => RunDriver;
  /** An expression of the same driver, for a process of its own, which has imported `imports`. */
  readonly code: { readonly module: string; readonly expression: string };
  readonly image: string | null;
  /** It counts the processor time of what it runs. */
  readonly measures: boolean;
}

const root = join(import.meta.dirname, "../..");

/** Registers the suite. `is` is asked once the test's own servers are up. */
export function runDriverConformance(name: string, is: () => RunDriverUnderTest): void {
  describe(`run driver ${name}`, () => {
    let folder = "";
    let tasks = 0;
    beforeAll(() => {
      folder = mkdtempSync(join(tmpdir(), "orrery-run-driver-"));
    });
    afterAll(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));

    /** A task whose command is this script, run by sh in a fresh folder. */
    async function task(script: string, more: Partial<RunTask> = {}): Promise<RunTask> {
      const number = tasks++;
      const scratch = join(folder, String(number));
      await mkdir(scratch);
      return {
        id: `test-${process.pid}-${number}`,
        leftovers: [],
        owner: `owner-${process.pid}-${number}`,
        command: ["/bin/sh", "-c", script],
        image: is().image,
        cwd: scratch,
        env: {},
        reads: [],
        scratch,
        logFile: join(scratch, "log"),
        logBytesMax: 10_000,
        timeLimitMs: 60_000,
        ...more,
      };
    }
    /** Short, and yet long enough for a command to begin on a machine that has much else to do. */
    const limitMs = (): number => (is().image === null ? 1_500 : 4_000);
    const run = (of: RunTask): Promise<RunEnd> => Effect.runPromise(is().make().run(of));

    const text = (of: RunTask, file: string): Promise<string> =>
      readFile(join(of.scratch, file), "utf8").catch(() => "");
    /** A script that adds a line to `alive` for as long as it lives: in a container its number says nothing here. */
    const beats = "while :; do echo beat >> alive; sleep 0.05; done";
    async function beating(of: RunTask): Promise<void> {
      while ((await text(of, "alive")) === "") await new Promise((resolve) => setTimeout(resolve, 20));
    }
    async function isStill(of: RunTask): Promise<boolean> {
      const before = await text(of, "alive");
      await new Promise((resolve) => setTimeout(resolve, 400));
      return (await text(of, "alive")) === before;
    }

    it.each([
      ["exit 0", 0],
      ["exit 3", 3],
      ["exit 66", 66],
      ["exit 69", 69],
      ["exit 75", 75],
    ])("tells how it ended: %s", async (script, exit) => {
      expect(await run(await task(script))).toMatchObject({ exit, timedOut: false });
    });

    it("gives the command its arguments, its environment and its folder, and nothing of this program's", async () => {
      process.env["ORRERY_TEST_SECRET"] = "secret";
      const of = await task("", {
        command: ["/bin/sh", "-c", 'echo "$WORDS|$ORRERY_TEST_SECRET|$1|$(pwd)"', "sh", "a b $HOME *"],
        env: { WORDS: "two words\nand a line" },
      });
      await run(of);
      delete process.env["ORRERY_TEST_SECRET"];
      expect(await text(of, "log")).toBe(`two words\nand a line||a b $HOME *|${of.cwd}\n`);
    });

    it("runs it on the scratch folder, and lets it read where its inputs lie", async () => {
      // As names of objects are.
      const inputs = join(folder, `inputs-${tasks}`, '2025-04-16T07:03:14.565#1, "b"');
      await mkdir(inputs, { recursive: true });
      await writeFile(join(inputs, "in.txt"), "data");
      const of = await task(`cat '${inputs}/in.txt' > out.txt`, { reads: [inputs] });
      expect((await run(of)).exit).toBe(0);
      expect(await text(of, "out.txt")).toBe("data");
    });

    it("keeps both outputs, cuts the log at its limit, and tells the last words", async () => {
      const script =
        "echo one; echo two >&2; head -c 300000 /dev/zero | tr '\\0' x; echo; echo last words; exit 4";
      const of = await task(script, { logBytesMax: 1_000 });
      expect(await run(of)).toMatchObject({ exit: 4, logBytes: 300_020, lastLine: "last words" });
      const log = await text(of, "log");
      expect(log).toMatch(/cut off here/);
      expect(log.length).toBeLessThan(1_200);
    });

    it("tells its last line while it runs", async () => {
      const told: Array<RunProgress> = [];
      const of = await task("echo step one; while ! test -e go; do sleep 0.05; done", {
        onProgress: (progress) => {
          told.push(progress);
          if (progress.line === "step one") void writeFile(join(of.scratch, "go"), "");
        },
      });
      expect((await run(of)).exit).toBe(0);
      expect(told.at(-1)?.line).toBe("step one");
    });

    it("ends everything at the time limit: a grandchild too, and what will not listen", async () => {
      const of = await task(`trap '' TERM; (trap '' TERM; ${beats}) & while :; do sleep 1; done`, {
        timeLimitMs: limitMs(),
      });
      expect(await run(of)).toMatchObject({ timedOut: true });
      expect(await text(of, "alive")).not.toBe("");
      expect(await isStill(of)).toBe(true);
    });

    it("lets a command that listens end by itself at the time limit", async () => {
      const of = await task("trap 'echo tidy; exit 0' TERM; echo up; while :; do sleep 0.05; done", {
        timeLimitMs: limitMs(),
      });
      expect((await run(of)).timedOut).toBe(true);
      expect(await text(of, "log")).toMatch(/^up\n(.|\n)*tidy\n$/);
    });

    it("leaves nothing running that the command left behind", async () => {
      const of = await task(`(${beats}) & while ! test -s alive; do sleep 0.01; done; exit 0`);
      expect((await run(of)).exit).toBe(0);
      expect(await isStill(of)).toBe(true);
    });

    it("ends everything, soon, when it is interrupted", async () => {
      const of = await task(`trap '' TERM; ${beats}`);
      const fiber = Effect.runFork(is().make().run(of));
      await beating(of);
      await promptly("the end", 6_000, () => Effect.runPromise(Fiber.interrupt(fiber)));
      expect(await isStill(of)).toBe(true);
    });

    it("measures the processor time, or says that it cannot", async () => {
      const end = await run(await task("i=0; while test $i -lt 200000; do i=$((i+1)); done"));
      if (is().measures) expect(end.cpuMs).toBeGreaterThan(20);
      else expect(end).toMatchObject({ cpuMs: null, peakRssBytes: null });
    });

    it("fails as a driver where there is no folder to run in", async () => {
      const of = await task("exit 0");
      const exit = await Effect.runPromiseExit(
        is()
          .make()
          .run({ ...of, cwd: join(folder, "none"), scratch: join(folder, "none") }),
      );
      expect(Exit.isFailure(exit) && String(exit.cause)).toMatch(/DriverFailed/);
    });

    it("leaves nothing running when this program is killed -9; what it does leave, the next try or the owner ends", async () => {
      for (const ending of ["guard", "leftover", "sweep"] as const) {
        const of = await task(beats);
        const { module, expression } = is().code;
        const program = `
          const { makeProcessDriver, makeDockerDriver, makeNomadDriver } = await import(${JSON.stringify(join(root, module))});
          const Effect = await import("effect/Effect");
          Effect.runFork((${expression}).run(${JSON.stringify(of)}));
        `;
        const runner = spawn(process.execPath, ["--input-type=module", "-e", program], {
          cwd: root,
          stdio: ["ignore", "ignore", "inherit"],
        });
        await beating(of);
        const ended = once(runner, "exit");
        runner.kill("SIGKILL");
        await ended;
        if (ending === "leftover") {
          await run(await task("exit 0", { leftovers: [of.id] }));
          expect(await isStill(of)).toBe(true);
        } else if (ending === "sweep") {
          await Effect.runPromise(is().make().sweep(of.owner));
          if (is().image !== null) expect(await isStill(of)).toBe(true);
        }
        while (!(await isStill(of))) await new Promise((resolve) => setTimeout(resolve, 50));
      }
    });
  });
}
