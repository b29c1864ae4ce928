import { spawn } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import { afterAll, describe, expect, it } from "vitest";
import { makeDockerDriver } from "../../src/drivers/docker.ts";
import { makeProcessDriver } from "../../src/drivers/process.ts";
import type { RunTask } from "../../src/drivers/RunDriver.ts";
import { runDriverConformance } from "./runDriver.ts";

const grace = { termMs: 2_000, interruptMs: 500 };
const folder = mkdtempSync(path.join(tmpdir(), "orrery-docker-"));
afterAll(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));

runDriverConformance("process", () => ({
  make: () => makeProcessDriver(grace),
  code: { module: "src/drivers/process.ts", expression: `makeProcessDriver(${JSON.stringify(grace)})` },
  image: null,
  measures: true,
}));

/** A program `docker` in a folder of its own. */
const fake = path.join(folder, "docker");
const client = path.resolve(import.meta.dirname, "../support/fakeDocker.ts");
writeFileSync(fake, `#!/bin/sh\nexec '${process.execPath}' '${client}' '${folder}' "$@"\n`);
chmodSync(fake, 0o755);

const withFake = { program: fake, ...grace };
runDriverConformance("docker, a program that behaves like it", () => ({
  make: () => makeDockerDriver(withFake),
  code: { module: "src/drivers/docker.ts", expression: `makeDockerDriver(${JSON.stringify(withFake)})` },
  image: "busybox",
  measures: false,
}));

describe("the docker driver", () => {
  const inputs = path.join(folder, 'in, "quoted"');
  mkdirSync(inputs);
  const task = (more: Partial<RunTask> = {}): RunTask => ({
    id: "one=2Ftry/0",
    leftovers: ["gone"],
    owner: "me",
    command: ["/bin/sh", "-c", "echo $SECRET"],
    image: "busybox",
    cwd: folder,
    env: { SECRET: "whisper" },
    reads: [inputs],
    scratch: folder,
    logFile: path.join(folder, "log"),
    logBytesMax: 1_000,
    timeLimitMs: 10_000,
    ...more,
  });
  const away = path.join(folder, "engine-away");
  const asked = (): ReadonlyArray<ReadonlyArray<string>> =>
    readFileSync(path.join(folder, "asked.log"), "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as ReadonlyArray<string>);

  it("says clearly that no engine answers, and runs nothing", async () => {
    writeFileSync(away, "");
    const exit = await Effect.runPromiseExit(makeDockerDriver(withFake).run(task()));
    rmSync(away);
    expect(Exit.isFailure(exit) && String(exit.cause)).toMatch(
      /no container engine answers .*docker: Cannot connect to the Docker daemon/,
    );
    const none = await Effect.runPromiseExit(
      makeDockerDriver({ ...withFake, program: path.join(folder, "no-docker") }).run(task()),
    );
    expect(Exit.isFailure(none) && String(none.cause)).toMatch(/no container engine answers .*ENOENT/);
  });

  it("ends what an engine that was killed left running, before the next try", async () => {
    const of = task({
      id: "one",
      command: ["/bin/sh", "-c", "for i in $(seq 900); do echo >> beats; sleep 0.05; done"],
      timeLimitMs: 60_000,
    });
    const file = path.join(folder, "beats");
    const beats = (): number => (existsSync(file) ? readFileSync(file).length : 0);
    const container = path.join(folder, "container-orrery-one.json");
    const pidOf = (): number =>
      existsSync(container) ? (JSON.parse(readFileSync(container, "utf8")) as { pid: number }).pid : 0;
    const running = Effect.runPromiseExit(makeDockerDriver(withFake).run(of));
    while (pidOf() === 0) await new Promise((resolve) => setTimeout(resolve, 10));
    writeFileSync(away, "");
    const exit = await running;
    expect(Exit.isFailure(exit) && String(exit.cause)).toMatch(
      /no container engine answers .*no failure of the run/,
    );
    const before = beats();
    while (beats() === before) await new Promise((resolve) => setTimeout(resolve, 10));
    rmSync(away);
    const next = makeDockerDriver(withFake).run(task({ id: "two", leftovers: ["one"] }));
    expect(await Effect.runPromise(next)).toMatchObject({ exit: 0 });
    expect(existsSync(container)).toBe(false);
    const last = beats();
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(beats()).toBe(last);
  });

  it("removes a container that its client left: killed before it could end it", async () => {
    const hasty = makeDockerDriver({ program: fake, termMs: 1, interruptMs: 1 });
    const end = await Effect.runPromise(
      hasty.run(
        task({ command: ["/bin/sh", "-c", "trap '' TERM; while :; do sleep 1; done"], timeLimitMs: 1_500 }),
      ),
    );
    expect(end.timedOut).toBe(true);
    expect(existsSync(path.join(folder, "container-orrery-one-2Ftry-0.json"))).toBe(false);
  });

  it("says in the log what the engine said of an image that is not there", async () => {
    const end = await Effect.runPromise(makeDockerDriver(withFake).run(task({ image: "no-such-image" })));
    expect(end.exit).toBe(125);
    expect(end.lastLine).toMatch(/^docker: Error response from daemon: pull access denied for no-such-image/);
  });

  it("waits for a container that somebody else removes just now", async () => {
    const of = task({ leftovers: ["before"] });
    const left = path.join(folder, "container-orrery-before.json");
    const sleeper = spawn("sleep", ["60"], { detached: true, stdio: "ignore" });
    writeFileSync(
      left,
      JSON.stringify({ name: "orrery-before", pid: sleeper.pid, label: "orrery.owner=me" }),
    );
    writeFileSync(path.join(folder, "being-removed"), "");
    expect(await Effect.runPromise(makeDockerDriver(withFake).run(of))).toMatchObject({ exit: 0 });
    expect(existsSync(left)).toBe(false);
    expect(existsSync(path.join(folder, "being-removed"))).toBe(false);
  });

  it("makes no folder for inputs that are not there", async () => {
    const none = path.join(folder, "no-inputs");
    const end = await Effect.runPromise(makeDockerDriver(withFake).run(task({ reads: [none] })));
    expect(end.exit).toBe(125);
    expect(end.lastLine).toMatch(/bind source path does not exist: .*no-inputs/);
    expect(existsSync(none)).toBe(false);
  });

  it("gives the container a name, an owner and limits, and no value of its environment as an argument", async () => {
    const limits = { memoryBytesMax: 1_000_000, cpusMax: 2 };
    const end = await Effect.runPromise(makeDockerDriver({ ...withFake, ...limits }).run(task()));
    expect(end).toMatchObject({ exit: 0, lastLine: "whisper" });
    const run = asked().findLast(([verb]) => verb === "run") ?? [];
    const after = (flag: string): string | undefined => run[run.indexOf(flag) + 1];
    expect(after("--name")).toBe("orrery-one-2Ftry-0");
    expect(after("--label")).toBe("orrery.owner=me");
    expect(after("--memory")).toBe("1000000");
    expect(after("--cpus")).toBe("2");
    expect(run).toContain("--rm");
    const quoted = inputs.replaceAll('"', '""');
    expect(run).toContain(`"type=bind","source=${quoted}","target=${quoted}","readonly"`);
    expect(run.join(" ")).not.toContain("whisper");
    expect(asked().some(([verb, ...names]) => verb === "rm" && names.includes("orrery-gone"))).toBe(true);
    expect(existsSync(path.join(folder, "container-orrery-one-2Ftry-0.json"))).toBe(false);
  });
});
