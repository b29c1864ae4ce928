/** The nomad driver against a fake Nomad that loses, forgets and goes away: what was asked for runs, once. */
import { execFile } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { makeNomadDriver } from "../../src/drivers/nomad.ts";
import type { NomadOptions } from "../../src/drivers/nomad.ts";
import type { RunEnd, RunTask } from "../../src/drivers/RunDriver.ts";
import { TryFolder } from "../../src/drivers/tryFolder.ts";
import type { Ticket } from "../../src/drivers/tryFolder.ts";
import type { FakeNomadOptions } from "../support/fakeNomad.ts";
import { FakeNomad } from "../support/fakeNomad.ts";
import { isOnPath } from "../support/onPath.ts";
import { RealNomad } from "../support/realNomad.ts";

const keeper = join(import.meta.dirname, "../support/keeperMain.ts");
const command = join(import.meta.dirname, "../../src/cli.ts");

let root = "";
let nomad: FakeNomad;
const tickets = (): string => join(root, "tickets");

async function startNomad(options: Partial<FakeNomadOptions> = {}): Promise<void> {
  nomad = new FakeNomad({ gcAfterMs: 300, ...options });
  nomad.register("orrery-run", {
    command: process.execPath,
    args: [keeper, tickets(), "${NOMAD_TASK_DIR}/try"],
    metaRequired: ["owner"],
    payloadFile: "try",
  });
  await nomad.start();
}
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "orrery-nomad-driver-"));
});
afterEach(async () => {
  await nomad.end();
  rmSync(root, { recursive: true, force: true, maxRetries: 5 });
});

const driver = (more: Partial<NomadOptions> = {}) =>
  makeNomadDriver({
    address: nomad.address,
    job: "orrery-run",
    folder: tickets(),
    interruptMs: 300,
    ...more,
  });

/** Adds its id to `ran` when it runs. */
function task(id: string, script = "true", more: Partial<RunTask> = {}): RunTask {
  const scratch = join(root, "scratch", id);
  mkdirSync(scratch, { recursive: true });
  return {
    id,
    leftovers: [],
    owner: "owner",
    command: ["/bin/sh", "-c", `echo "$ID" >> "$RAN"; ${script}`],
    image: null,
    reads: [],
    cwd: scratch,
    env: { ID: id, RAN: join(root, "ran") },
    scratch,
    logFile: join(scratch, "log"),
    logBytesMax: 100_000,
    timeLimitMs: 60_000,
    ...more,
  };
}
const ran = (): ReadonlyArray<string> =>
  existsSync(join(root, "ran")) ? readFileSync(join(root, "ran"), "utf8").trim().split("\n") : [];
const run = (of: RunTask, more?: Partial<NomadOptions>): Promise<RunEnd> =>
  Effect.runPromise(driver(more).run(of));
const waits = "while ! test -e go; do sleep 0.05; done";
const leftBehind = (): ReadonlyArray<string> => (existsSync(tickets()) ? readdirSync(tickets()) : []);

describe("200 runs", () => {
  it("run once each, with the agent restarted in the middle, answers and dispatches lost, and ended jobs forgotten", async () => {
    await startNomad({ room: 6, gcAfterMs: 200 });
    nomad.faults.unanswered = 5;
    nomad.faults.lost = 3;
    nomad.faults.unstartable = 2;
    const ids = Array.from({ length: 200 }, (_, number) => `run-${number}=2F0.a`);
    const shared = driver();
    let ended = 0;
    const restarts: Array<Promise<void>> = [];
    const ends = await Effect.runPromise(
      Effect.forEach(
        ids,
        (id) =>
          shared.run(task(id)).pipe(
            Effect.tap(() =>
              Effect.sync(() => {
                if (++ended === 100) restarts.push(nomad.restart(1_500));
              }),
            ),
          ),
        { concurrency: 12 },
      ),
    );
    expect(restarts).toHaveLength(1);
    await Promise.all(restarts);
    expect(ends.filter(({ exit }) => exit !== 0)).toEqual([]);
    expect(ran().toSorted()).toEqual(ids.toSorted());
    // Of those that Nomad lost, or could not start, a second one each; of an answer that was lost none.
    expect(nomad.dispatched).toHaveLength(205);
    expect(nomad.collected).toBeGreaterThan(100);
    expect(leftBehind()).toEqual([]);
  }, 600_000);
});

describe("a dispatch", () => {
  it("that Nomad loses before its command began is made anew once, and then given up", async () => {
    await startNomad();
    nomad.faults.lost = 1;
    expect((await run(task("one"))).exit).toBe(0);
    expect(nomad.dispatched.map(({ payload }) => payload)).toEqual(["one", "one"]);
    nomad.faults.lost = 2;
    const exit = await Effect.runPromiseExit(driver().run(task("two")));
    expect(Exit.isFailure(exit) && String(exit.cause)).toMatch(
      /DriverFailed.*Nomad knows nothing of it any more/,
    );
    expect(nomad.dispatched).toHaveLength(4);
    expect(ran()).toEqual(["one"]);
    expect(leftBehind()).toEqual([]);
  });

  it("whose answer is lost is the same job when it is asked for again", async () => {
    await startNomad({ gcAfterMs: 60_000 });
    nomad.faults.unanswered = 2;
    const of = task("one", waits);
    const going = run(of);
    while (nomad.asked.get("PUT job dispatch") !== 3) await new Promise((resolve) => setTimeout(resolve, 20));
    writeFileSync(join(of.scratch, "go"), "");
    expect((await going).exit).toBe(0);
    expect(nomad.dispatched).toHaveLength(1);
    expect(ran()).toEqual(["one"]);
  });

  it("of a job that Nomad does not have fails at once, with Nomad's words", async () => {
    await startNomad();
    const exit = await Effect.runPromiseExit(driver({ job: "no-such" }).run(task("one")));
    expect(Exit.isFailure(exit) && String(exit.cause)).toMatch(/500 parameterized job not found/);
    expect(nomad.asked.get("PUT job dispatch")).toBe(1);
  });

  it("that waits for room is ended when it is not wanted any more, and its command never starts", async () => {
    await startNomad({ room: 0 });
    const stopped = Effect.runPromise(Effect.timeoutOption(driver().run(task("one")), 1_000));
    expect((await stopped)._tag).toBe("None");
    await nomad.halt();
    expect(leftBehind()).toEqual([]);
    expect(ran()).toEqual([]);
  });
});

describe("while a command runs", () => {
  it("Nomad may be away: it goes on, and its end is seen", async () => {
    await startNomad();
    const of = task("one", waits);
    const going = run(of);
    while (ran().length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
    await nomad.halt();
    writeFileSync(join(of.scratch, "go"), "");
    expect((await going).exit).toBe(0);
    await nomad.start();
  });

  it("a keeper that is killed is noticed, and what Nomad kept of it stands in the log", async () => {
    await startNomad({ gcAfterMs: 60_000 });
    const of = task("one", "echo started; sleep 60");
    const going = run(of);
    const log = (): string => (existsSync(of.logFile) ? readFileSync(of.logFile, "utf8") : "");
    while (!log().includes("started")) await new Promise((resolve) => setTimeout(resolve, 20));
    nomad.kill("one");
    expect(await going).toMatchObject({ exit: 137, timedOut: false, lastLine: "Nomad ended it" });
    expect(log()).toMatch(/started\n(.|\n)*Nomad ended it\n.*Exit Code: 137/);
    expect(ran()).toEqual(["one"]);
  });

  it("it is ended when its job is stopped by somebody else, who is no runner", async () => {
    await startNomad({ gcAfterMs: 60_000 });
    const going = run(task("one", "sleep 60"));
    while (ran().length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
    const id = encodeURIComponent(nomad.dispatched[0]?.id ?? "");
    await fetch(`${nomad.address}/v1/job/${id}`, { method: "DELETE" });
    expect(await going).toMatchObject({ exit: null, lastLine: "its keeper was told to end" });
  });

  it("nobody else can run it: a ticket is begun once", async () => {
    await startNomad();
    const of = task("one", waits);
    const going = run(of);
    while (ran().length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
    const file = join(root, "id");
    writeFileSync(file, "one");
    const { stdout } = await promisify(execFile)(process.execPath, [keeper, tickets(), file]);
    expect(stdout).toContain("begun elsewhere");
    writeFileSync(join(of.scratch, "go"), "");
    expect((await going).exit).toBe(0);
    expect(ran()).toEqual(["one"]);
  });

  it("its runner's silence ends it", async () => {
    await startNomad();
    const at = new TryFolder(tickets(), "one");
    const { leftovers: _leftovers, image: _image, reads: _reads, ...what } = task("one", "sleep 60");
    const ticket: Ticket = { v: 1, ...what, termMs: 500, interruptMs: 300, lostMs: 1_000 };
    await at.write(ticket);
    const file = join(root, "id");
    writeFileSync(file, "one");
    await promisify(execFile)(process.execPath, [keeper, tickets(), file]).catch(() => undefined);
    expect(await at.end()).toEqual({ type: "stopped", why: "nothing was heard of its runner" });
  });
});

describe("orrery run-task", () => {
  const runTask = (id: string) => {
    const file = join(root, "id");
    writeFileSync(file, id);
    return promisify(execFile)(process.execPath, [command, "run-task", "--folder", tickets(), file]).then(
      ({ stdout }) => ({ code: 0, said: stdout }),
      (error: { readonly code: number; readonly stderr: string }) => ({
        code: error.code,
        said: error.stderr,
      }),
    );
  };

  it("runs what the ticket says, and tells how it ended", async () => {
    await startNomad();
    nomad.register("orrery-run", {
      command: process.execPath,
      args: [command, "run-task", "--folder", tickets(), "${NOMAD_TASK_DIR}/try"],
      metaRequired: ["owner"],
      payloadFile: "try",
    });
    expect(await run(task("one", "echo words; exit 7"))).toMatchObject({ exit: 7, lastLine: "words" });
    expect(await runTask("one")).toEqual({
      code: 0,
      said: "one: nothing is run: there is no ticket of that name\n",
    });
  });

  it.each(["../scratch", "a/b", "", ".", "..", ".hidden", "a\0b", "x".repeat(300)])(
    "takes no id that is none: %j",
    async (id) => {
      await startNomad();
      const { code, said } = await runTask(id);
      expect(code).toBe(1);
      expect(said).toContain("is no id of a try");
    },
  );
});

describe.skipIf(!isOnPath("nomad"))("200 runs on a real agent", () => {
  it("run once each, with the agent restarted in the middle and ended jobs collected", async () => {
    await startNomad();
    const real = await RealNomad.start();
    try {
      await real.register("orrery-run", process.execPath, [keeper, tickets(), "${NOMAD_TASK_DIR}/try"]);
      const ids = Array.from({ length: 200 }, (_, number) => `run-${number}`);
      const shared = driver({ address: real.address });
      let ended = 0;
      const restarts: Array<Promise<void>> = [];
      const ends = await Effect.runPromise(
        Effect.forEach(
          ids,
          (id) =>
            shared.run(task(id)).pipe(
              Effect.tap(() =>
                Effect.promise(async () => {
                  if (++ended === 100) restarts.push(real.restart(2_000));
                  if (ended % 50 === 25) await real.collect();
                }),
              ),
            ),
          { concurrency: 12 },
        ),
      );
      await Promise.all(restarts);
      expect(ends.filter(({ exit }) => exit !== 0)).toEqual([]);
      expect(ran().toSorted()).toEqual(ids.toSorted());
      expect(leftBehind()).toEqual([]);
    } finally {
      await real.end();
    }
  }, 600_000);
});

if (!isOnPath("nomad")) console.log("no nomad on the PATH: 200 runs on a real agent are left out");
