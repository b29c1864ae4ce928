/** The docker driver on a real engine, where one answers. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { execFile } from "node:child_process";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { DockerOptions } from "../../src/drivers/docker.ts";
import { makeDockerDriver } from "../../src/drivers/docker.ts";
import type { RunEnd, RunTask } from "../../src/drivers/RunDriver.ts";
import { dockerMissing, foldersUnseen, shellImage } from "../support/shellImage.ts";
import { runDriverConformance } from "./runDriver.ts";

const grace = { termMs: 2_000, interruptMs: 500 };
const missing = await dockerMissing();
const shell = missing === null ? await shellImage() : null;
const why = shell === null ? missing : await foldersUnseen(shell.image);

describe.skipIf(why !== null)(`docker, a real engine${why === null ? "" : ` (${why})`}`, () => {
  let folder = "";
  let tasks = 0;
  beforeAll(() => {
    folder = mkdtempSync(path.join(tmpdir(), "orrery-docker-engine-"));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
  const owner = `engine-${process.pid}`;

  runDriverConformance("docker", () => ({
    make: () => makeDockerDriver(grace),
    code: { module: "src/drivers/docker.ts", expression: `makeDockerDriver(${JSON.stringify(grace)})` },
    image: shell?.image ?? "",
    measures: false,
  }));

  const task = (script: string, more: Partial<RunTask> = {}): RunTask => {
    const scratch = path.join(folder, String(tasks++));
    mkdirSync(scratch);
    return {
      id: `engine-${process.pid}-${tasks}`,
      leftovers: [],
      owner,
      command: ["/bin/sh", "-c", script],
      image: shell?.image ?? "",
      cwd: scratch,
      env: {},
      reads: [],
      scratch,
      logFile: path.join(scratch, "log"),
      logBytesMax: 10_000,
      timeLimitMs: 60_000,
      ...more,
    };
  };
  const run = (of: RunTask, options: Partial<DockerOptions> = {}): Promise<RunEnd> =>
    Effect.runPromise(makeDockerDriver({ ...grace, ...options }).run(of));
  const docker = async (...args: ReadonlyArray<string>): Promise<string> =>
    (await promisify(execFile)("docker", [...args], { timeout: 30_000 })).stdout.trim();
  const containers = (): Promise<string> =>
    docker("ps", "--all", "--quiet", "--filter", `label=orrery.owner=${owner}`);

  it("runs as this program's user, may not write its inputs, and leaves outputs that are its own", async () => {
    const inputs = path.join(folder, "inputs");
    mkdirSync(inputs);
    writeFileSync(path.join(inputs, "in"), "as it was");
    const of = task(`echo more > '${inputs}/in'; echo new > '${inputs}/new'; echo mine > out`, {
      reads: [inputs],
    });
    expect(await run(of)).toMatchObject({ exit: 0 });
    expect(readFileSync(path.join(inputs, "in"), "utf8")).toBe("as it was");
    expect(existsSync(path.join(inputs, "new"))).toBe(false);
    expect(readFileSync(of.logFile, "utf8")).toMatch(/[Rr]ead-only file system/);
    expect(statSync(path.join(of.scratch, "out")).uid).toBe(process.getuid?.());
  });

  it("ends what takes more memory than it may", async () => {
    const of = task("x=0123456789abcdef; while :; do x=$x$x; done", { timeLimitMs: 30_000 });
    expect(await run(of, { memoryBytesMax: 16_000_000 })).toMatchObject({ exit: 137, timedOut: false });
  });

  it("tells the engine's words of an image, a program or inputs that are not there, and makes no folder", async () => {
    const none = path.join(folder, "none");
    const image = await run(task("", { image: `localhost:1/orrery-none:${process.pid}` }));
    expect(image.exit).toBe(125);
    expect(image.lastLine).toMatch(/^docker: .*localhost:1/);
    const program = await run(task("", { command: ["/no/program"] }));
    expect(program.exit).toBe(127);
    expect(program.lastLine).toMatch(/no\/program/);
    const inputs = await run(task("", { reads: [none] }));
    expect(inputs.exit).toBe(125);
    expect(inputs.lastLine).toMatch(/bind source path does not exist/);
    expect(existsSync(none)).toBe(false);
    expect(await containers()).toBe("");
  });

  it("leaves no container, at whatever moment it is interrupted", async () => {
    for (const ms of [0, 50, 100, 200, 300, 400, 600, 900]) {
      const fiber = Effect.runFork(
        makeDockerDriver(grace).run(task("trap '' TERM; while :; do sleep 1; done")),
      );
      await new Promise((resolve) => setTimeout(resolve, ms));
      await Effect.runPromise(Fiber.interrupt(fiber));
    }
    // One whose making the engine had begun for a client that is gone appears a moment later, if ever.
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    expect(await containers()).toBe("");
  });
});

// Also where the suite is skipped: the image was made to find that out.
describe.runIf(shell !== null)("the image of these tests", () => it("goes again", () => shell?.remove()));
