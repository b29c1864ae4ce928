/** The subprocess driver and bridges that do everything wrong. Real processes; each fault is awaited, none is timed. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Fiber from "effect/Fiber";
import * as Result from "effect/Result";
import { afterAll, describe, expect, test } from "vitest";
import type { CatalogAway, IngestDriver, IngestItem, IngestResult } from "../../src/drivers/Driver.ts";
import type { SubprocessSettings } from "../../src/drivers/subprocess.ts";
import { openSubprocess } from "../../src/drivers/subprocess.ts";
import { item, items } from "../conformance/driver.ts";
import { canary } from "../support/canaries.ts";

const folder = mkdtempSync(path.join(tmpdir(), "orrery-subprocess-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const faulty = path.resolve(import.meta.dirname, "../support/bridges/faulty.mjs");

interface Logged {
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** An open driver, everything that it logged, and a way to wait for what it will log. */
class Stage {
  readonly driver: IngestDriver;
  readonly #log: Log;
  constructor(driver: IngestDriver, log: Log) {
    this.driver = driver;
    this.#log = log;
  }

  ingest(batch: ReadonlyArray<IngestItem>): Effect.Effect<ReadonlyArray<IngestResult>, CatalogAway> {
    return this.driver.ingest(batch);
  }

  /** Pids of the bridges that were ready, in order. */
  get lives(): ReadonlyArray<number> {
    return this.#log.entries.flatMap(({ message, fields }) =>
      message.endsWith("is ready") ? [Number((fields["about"] as { pid?: unknown }).pid)] : [],
    );
  }

  get messages(): ReadonlyArray<string> {
    return this.#log.entries.map(({ message }) => message);
  }

  /** Waits until so many bridges have been ready. */
  life(count: number): Effect.Effect<void> {
    return Effect.promise(() => this.#log.until(() => this.lives.length >= count));
  }

  logged(pattern: RegExp): Effect.Effect<void> {
    return Effect.promise(() =>
      this.#log.until(() => this.messages.some((message) => pattern.test(message))),
    );
  }
}

class Log {
  readonly entries: Array<Logged> = [];
  #waiting: Array<() => void> = [];

  readonly add = (_: string, message: string, fields: Readonly<Record<string, unknown>> = {}): void => {
    this.entries.push({ message, fields });
    for (const wake of this.#waiting.splice(0)) wake();
  };

  async until(holds: () => boolean): Promise<void> {
    while (!holds()) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }
}

const settings = (
  args: ReadonlyArray<string>,
  more: Partial<SubprocessSettings> = {},
): SubprocessSettings => ({
  name: "lsstcam",
  command: [process.execPath, faulty, ...args],
  cwd: null,
  env: {},
  startDeadlineMs: 30_000,
  batchDeadlineMs: 30_000,
  ...more,
});

function staged(
  args: ReadonlyArray<string>,
  use: (stage: Stage) => Effect.Effect<void, unknown>,
  more: Partial<SubprocessSettings> = {},
): Promise<void> {
  const log = new Log();
  return Effect.runPromise(
    Effect.scoped(
      Effect.flatMap(openSubprocess(settings(args, more), log.add, { firstMs: 20, mostMs: 50 }), (driver) =>
        use(new Stage(driver, log)),
      ),
    ),
  );
}

const statuses = (results: ReadonlyArray<IngestResult>): ReadonlyArray<string> =>
  results.map(({ status }) => status);

function isGone(pid: number): boolean {
  try {
    process.kill(pid, 0);
    // Dead, and only not yet reaped by whoever adopted it.
    return existsSync(`/proc/${pid}/stat`) && / Z \d/.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    // ESRCH, or it went between the two: there is no such process.
    return true;
  }
}

/** Waits for the end of a process that is not our child, of which nobody tells us. */
async function gone(pid: number): Promise<void> {
  while (!isGone(pid)) await new Promise((resolve) => setTimeout(resolve, 10));
}

const batch = [item("good-1"), item("killer"), item("good-2")];

describe("what a bridge says", () => {
  test("is matched by key, not by order; and it is told everything about an item", () =>
    staged(["echo"], (stage) =>
      Effect.gen(function* () {
        const header = { EXPTIME: 30, NOTE: "ü\u2028" };
        const identity = {
          instrument: "LSSTCam",
          day: null,
          exposure: "MC_O_1",
          group: null,
          snap: 0,
          detector: null,
          seq: 1,
        };
        const asked = [
          item("a", { header, identity }),
          item("b", { dependent: true, size: null }),
          item("c"),
        ];
        const results = yield* stage.ingest(asked);
        const told = results.map((result) => JSON.parse(result.detail ?? "") as Record<string, unknown>);
        expect(results).toMatchObject(asked.map(() => ({ status: "permanent", reason: "Echo" })));
        expect(told[0]).toEqual({
          key: "file.lsstcam.20250416.a",
          uri: "s3://raw/a",
          kind: "raw",
          bucket: "raw",
          object: "a",
          etag: "etag-of-a",
          size: 20_160,
          identity,
          header,
        });
        expect(told.map(({ object, kind, size }) => [object, kind, size])).toEqual([
          ["a", "raw", 20_160],
          ["b", "guider", null],
          ["c", "object", 20_160],
        ]);
      }),
    ));

  test("may be that it is to be tried again; a class that is no word goes into the detail", () =>
    staged(["retries"], (stage) =>
      Effect.map(stage.ingest(batch.slice(0, 1)), (results) =>
        expect(results).toEqual([
          { status: "retry", reason: "CatalogRetry", detail: '"no such class!": locked' },
        ]),
      ),
    ));

  test("on stderr is logged line by line", () =>
    staged(["twice"], (stage) => Effect.andThen(stage.ingest(batch), stage.logged(/^now twice$/))));
});

describe("a bridge's surroundings", () => {
  test("are its folder, a few variables and what is configured; no shell reads its arguments", () => {
    process.env["ORRERY_TEST_SECRET"] = canary("environment");
    return staged(
      ["environment", "", "$HOME `id` 'a b'", ";exit"],
      (stage) =>
        Effect.gen(function* () {
          const [result] = yield* stage.ingest([item("a")]);
          const { env, cwd, argv } = JSON.parse(result?.detail ?? "") as Record<
            string,
            Record<string, string>
          >;
          expect(argv).toEqual(["environment", "", "$HOME `id` 'a b'", ";exit"]);
          expect(cwd).toBe(folder);
          expect(env).toMatchObject({ PATH: process.env["PATH"], BUTLER_REPO: "/repo", LANG: "C" });
          expect(env).not.toHaveProperty("ORRERY_TEST_SECRET");
          for (const name of Object.keys(env ?? {}))
            expect([
              "HOME",
              "USER",
              "LOGNAME",
              "LC_ALL",
              "LC_CTYPE",
              "TZ",
              "TMPDIR",
              "PATH",
              "LANG",
              "BUTLER_REPO",
              "PWD",
              "OLDPWD",
              "_",
              "SHLVL",
            ]).toContain(name);
        }),
      { cwd: folder, env: { BUTLER_REPO: "/repo", LANG: "C" } },
    ).finally(() => delete process.env["ORRERY_TEST_SECRET"]);
  });
});

describe("a bridge that dies with a batch in hand", () => {
  for (const [mode, how] of [
    ["dies", /ended with exit code 3 with 3 in hand\. It last wrote: now dies$/],
    ["dies-hard", /was ended by SIGKILL/],
    ["dies-in-mid-line", /ended with exit code 3/],
  ] as const)
    test(`${mode}: each of its items is a crash, and the next bridge serves the next batch`, () =>
      staged([mode, "killer"], (stage) =>
        Effect.gen(function* () {
          expect(statuses(yield* stage.ingest([item("good-0")]))).toEqual(["ingested"]);
          const results = yield* stage.ingest(batch);
          expect(statuses(results)).toEqual(["crash", "crash", "crash"]);
          expect(results[0]?.detail).toMatch(how);
          expect(statuses(yield* stage.ingest([batch[0] ?? item("x"), item("good-3")]))).toEqual([
            "ingested",
            "ingested",
          ]);
          expect(new Set(stage.lives).size).toBe(2);
        }),
      ));

  test("after its answer: the answer stands", () =>
    staged(["answers-and-dies", "killer"], (stage) =>
      Effect.gen(function* () {
        expect(statuses(yield* stage.ingest(batch))).toEqual(["ingested", "ingested", "ingested"]);
        yield* stage.life(2);
        expect(statuses(yield* stage.ingest([item("good")]))).toEqual(["ingested"]);
      }),
    ));

  test("while idle: the next batch goes to the next one", () =>
    staged(["ok"], (stage) =>
      Effect.gen(function* () {
        yield* stage.life(1);
        process.kill(stage.lives[0] ?? 0, "SIGKILL");
        yield* stage.life(2);
        expect(statuses(yield* stage.ingest(batch))).toEqual(["ingested", "ingested", "ingested"]);
      }),
    ));

  test("again and again: it is waited out in between, and says so", () =>
    staged(["dies", "killer"], (stage) =>
      Effect.gen(function* () {
        let crashes = 0;
        let away: CatalogAway | null = null;
        while (crashes < 4) {
          const result = yield* Effect.result(stage.ingest(batch));
          if (Result.isSuccess(result)) crashes++;
          else away = result.failure;
        }
        yield* stage.logged(/it is started again in \d+ ms$/);
        if (away !== null)
          expect(away.detail).toMatch(/ended with exit code 3\. It is started again in \d+ ms/);
      }),
    ));
});

describe("a bridge that hangs", () => {
  for (const mode of ["hangs", "stubborn"])
    test(`${mode}: at the deadline its group is ended, and each of its items is a crash`, () =>
      staged(
        [mode, "killer"],
        (stage) =>
          Effect.gen(function* () {
            const results = yield* stage.ingest(batch);
            expect(statuses(results)).toEqual(["crash", "crash", "crash"]);
            expect(results[0]?.detail).toMatch(/gave no answer within 1500 ms and was ended with 3 in hand/);
            expect(isGone(stage.lives[0] ?? 0)).toBe(true);
            yield* stage.life(2);
            expect(statuses(yield* stage.ingest([item("good")]))).toEqual(["ingested"]);
          }),
        { batchDeadlineMs: 1_500 },
      ));

  test("one that is stopped takes no SIGTERM, and is ended all the same", () =>
    staged(
      ["ok"],
      (stage) =>
        Effect.gen(function* () {
          yield* stage.life(1);
          process.kill(stage.lives[0] ?? 0, "SIGSTOP");
          expect(statuses(yield* stage.ingest(batch))).toEqual(["crash", "crash", "crash"]);
          expect(isGone(stage.lives[0] ?? 0)).toBe(true);
        }),
      { batchDeadlineMs: 300 },
    ));
});

describe("a bridge that breaks the protocol is ended; what is unclear is tried again, what is clear stands", () => {
  const unclear = { status: "retry", reason: "DriverProtocol" };
  const good = { status: "ingested" };
  for (const [mode, expected, why] of [
    ["garbage", [unclear, unclear, unclear], /not JSON: "DEBUG ingesting…"/],
    ["no-object", [unclear, unclear, unclear], /one JSON object/],
    ["no-items", [unclear, unclear, unclear], /no "items" array/],
    ["ready-again", [unclear, unclear, unclear], /said ready/],
    ["wrong-batch", [unclear, unclear, unclear], /answered batch b0 when asked for b1/],
    ["overlong", [unclear, unclear, unclear], /longer than 16777216 bytes/],
    ["misses", [good, unclear, good], /no answer for 1 of 3 items/],
    ["stranger", [good, good, good], /nobody, which was not asked/],
    ["twice", [good, good, good], /two answers for file.lsstcam.20250416.killer/],
    ["contradicts", [good, unclear, good], /two answers/],
    ["no-status", [good, unclear, good], /its status is "fine"/],
  ] as const)
    test(mode, () =>
      staged([mode, "killer"], (stage) =>
        Effect.gen(function* () {
          expect(yield* stage.ingest(batch)).toMatchObject(expected);
          expect(stage.messages.find((message) => message.includes("broke the protocol"))).toMatch(why);
          expect(isGone(stage.lives[0] ?? 0)).toBe(true);
          yield* stage.life(2);
          expect(yield* stage.ingest([item("good")])).toMatchObject([good]);
        }),
      ),
    );

  test("a line that nobody asked for: the answer before it stands, the next batch goes to the next bridge", () =>
    staged(["answers-twice", "killer"], (stage) =>
      Effect.gen(function* () {
        expect(yield* stage.ingest(batch)).toMatchObject([good, good, good]);
        yield* stage.life(2);
        expect(yield* stage.ingest([item("good")])).toMatchObject([good]);
      }),
    ));
});

describe("a catalog that is away", () => {
  test("is said by the bridge for a whole batch: nothing is recorded, the bridge is started again", () =>
    staged(["fatal", "killer"], (stage) =>
      Effect.gen(function* () {
        const away = yield* Effect.flip(stage.ingest(batch));
        expect(away).toMatchObject({ _tag: "CatalogAway" });
        expect(away.detail).toMatch(
          /cannot go on: repo_unavailable: the database is gone\..*driver\.command/,
        );
        yield* stage.life(2);
        expect(statuses(yield* stage.ingest([item("good")]))).toEqual(["ingested"]);
      }),
    ));

  for (const [mode, why] of [
    ["fatal-at-start", /did not start: repo_unavailable: no such repository/],
    ["garbage-at-start", /did not start: its first line is not ready \(not JSON: "Loading…"\)/],
    ["answer-at-start", /did not start: its first line is an answer/],
    [
      "exit-at-start",
      /did not start: it ended with exit code 1\..* It last wrote: Traceback: no module named lsst$/,
    ],
  ] as const)
    test(`${mode}: each batch is told, with what to do, and it is tried again`, () =>
      staged([mode], (stage) =>
        Effect.gen(function* () {
          const away = yield* Effect.flip(stage.ingest(batch));
          expect(away.detail).toMatch(why);
          expect(away.detail).toMatch(/Run the lane's driver\.command by hand/);
          expect((yield* Effect.flip(stage.ingest(batch)))._tag).toBe("CatalogAway");
        }),
      ));

  test("a program that is not there, or not to be executed", async () => {
    const at = (command: ReadonlyArray<string>, more: Partial<SubprocessSettings> = {}) =>
      staged(
        [],
        (stage) =>
          Effect.gen(function* () {
            const away = yield* Effect.flip(stage.ingest(batch));
            expect(away.detail).toMatch(/not found|may not be executed|is its cwd there|null byte/);
          }),
        { command, ...more },
      );
    await at(["no-such-program-anywhere"]);
    await at([folder]);
    await at([process.execPath, "a\0b"]);
    await at([process.execPath, faulty], { cwd: path.join(folder, "nowhere") });
  });

  test("one that is never ready is ended at its deadline", () =>
    staged(
      ["never-ready"],
      (stage) =>
        Effect.map(Effect.flip(stage.ingest(batch)), (away) =>
          expect(away.detail).toMatch(/it was not ready within 200 ms/),
        ),
      { startDeadlineMs: 200 },
    ));

  test("a slow start is waited for", () => {
    const flag = path.join(folder, "go");
    return staged(["slow-start", flag], (stage) =>
      Effect.gen(function* () {
        const asked = yield* Effect.forkChild(stage.ingest(batch), { startImmediately: true });
        yield* Effect.sync(() => writeFileSync(flag, ""));
        expect(statuses(yield* Fiber.join(asked))).toEqual(["ingested", "ingested", "ingested"]);
      }),
    );
  });
});

describe("the end", () => {
  const scopeOf = async (
    args: ReadonlyArray<string>,
  ): Promise<{ pid: number; inHand: Exit.Exit<unknown, unknown> }> => {
    let pid = 0;
    let inHand: Exit.Exit<unknown, unknown> = Exit.void;
    await staged(args, (stage) =>
      Effect.gen(function* () {
        yield* stage.life(1);
        pid = stage.lives[0] ?? 0;
        const fiber = yield* Effect.forkDetach(stage.ingest(batch), { startImmediately: true });
        fiber.addObserver((exit) => {
          inHand = exit;
        });
        yield* stage.logged(/^now /);
      }),
    );
    return { pid, inHand };
  };

  test("of the scope ends the bridge, also one that ignores EOF and SIGTERM", async () => {
    for (const mode of ["hangs", "stubborn"]) {
      const { pid, inHand } = await scopeOf([mode, "killer"]);
      expect(isGone(pid)).toBe(true);
      // What was in hand then is nobody's fault.
      expect(JSON.stringify(inHand)).toContain("CatalogAway");
    }
  });

  test("of a bridge is the end of what it started", async () => {
    let grandchild = 0;
    await staged(["parent"], (stage) =>
      Effect.map(stage.ingest([item("a")]), ([result]) => {
        grandchild = Number(result?.detail);
        expect(isGone(grandchild)).toBe(false);
      }),
    );
    await gone(grandchild);
  });

  test("of a batch that is interrupted is the end of its bridge: a late answer is never taken for the next one's", () =>
    staged(["hangs", "killer"], (stage) =>
      Effect.gen(function* () {
        yield* stage.life(1);
        const fiber = yield* Effect.forkChild(stage.ingest(batch), { startImmediately: true });
        yield* stage.logged(/^now hangs$/);
        yield* Fiber.interrupt(fiber);
        expect(statuses(yield* stage.ingest(items(3)))).toEqual(["ingested", "ingested", "ingested"]);
        expect(isGone(stage.lives[0] ?? 0)).toBe(true);
      }),
    ));

  test("of this process by kill -9 ends the bridge, also one that ignores EOF and SIGTERM", async () => {
    const program = `
      import * as Effect from "effect/Effect";
      import { openSubprocess } from ${JSON.stringify(path.resolve(import.meta.dirname, "../../src/drivers/subprocess.ts"))};
      const settings = ${JSON.stringify(settings(["stubborn", "killer"]))};
      const log = (_, message, fields) => {
        if (message.endsWith("is ready")) console.log(fields.about.pid);
        if (message.startsWith("now ")) console.log("in hand");
      };
      const batch = ${JSON.stringify(batch)};
      await Effect.runPromise(Effect.scoped(Effect.flatMap(openSubprocess(settings, log), (driver) => driver.ingest(batch))));
    `;
    const owner = spawn(process.execPath, ["--input-type=module", "-e", program], {
      cwd: path.resolve(import.meta.dirname, "../.."),
      stdio: ["ignore", "pipe", "inherit"],
    });
    // Both lines may come at once: an iterator keeps the second.
    const lines = createInterface({ input: owner.stdout })[Symbol.asyncIterator]();
    const pid = (await lines.next()).value as string;
    expect((await lines.next()).value).toBe("in hand");
    expect(isGone(Number(pid))).toBe(false);
    owner.kill("SIGKILL");
    await once(owner, "exit");
    await gone(Number(pid));
  });
});
