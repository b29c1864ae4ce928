/** A real node process that a test may kill, stop and wake. All of them end with the test process, however that ends. */
import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { MissionPlan } from "./missionPlan.ts";
import type { NodePlan, ReadyLine } from "./nodePlan.ts";

const nodeMain = new URL("nodeMain.ts", import.meta.url);
const startMsMax = 90_000;

/** How a process ended: its exit code, or the signal that ended it. */
export type Ended = number | NodeJS.Signals;

const running = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

export interface ProcessSettings {
  readonly program?: URL;
  readonly execArgv?: ReadonlyArray<string>;
  /** Besides this process's own. */
  readonly env?: Readonly<Record<string, string>>;
}

export class NodeProcess {
  readonly plan: NodePlan | MissionPlan;
  readonly pid: number;
  /** Resolves when the process is gone, by whatever means. */
  readonly ended: Promise<Ended>;
  /** Resolves once every actor is ready; rejects when the process ends before. */
  readonly ready: Promise<ReadyLine>;
  /** Null before it is ready and after its end. */
  http: string | null = null;
  readonly #child: ChildProcess;

  /** @param planFile where the plan is written for the process to read */
  constructor(
    plan: NodePlan | MissionPlan,
    planFile: string,
    { program = nodeMain, execArgv = [], env = {} }: ProcessSettings = {},
  ) {
    this.plan = plan;
    writeFileSync(planFile, JSON.stringify(plan));
    const child = spawn(process.execPath, [...execArgv, fileURLToPath(program), planFile], {
      stdio: ["pipe", "pipe", "inherit"],
      env: { ...process.env, ...env },
    });
    this.#child = child;
    this.pid = child.pid ?? 0;
    running.add(child);
    this.ended = new Promise((resolve, reject) => {
      child.once("error", reject);
      child.once("exit", (code, signal) => resolve(signal ?? code ?? -1));
    });
    this.ready = this.#readyLine();
    void this.ended
      .catch(() => undefined)
      .finally(() => {
        running.delete(child);
        this.http = null;
      });
    // A process that is killed before it is ready is no failure of the test; whoever awaits it is still told.
    this.ready.catch(() => undefined);
  }

  #readyLine(): Promise<ReadyLine> {
    return new Promise((resolve, reject) => {
      const { stdout } = this.#child;
      if (stdout === null) return reject(new Error("no pipe to the node"));
      const failed = (why: string): void =>
        reject(new Error(`node ${this.plan.node} ${why}; its log: ${this.plan.logFile}`));
      const late = setTimeout(() => failed(`is not ready after ${startMsMax} ms`), startMsMax);
      createInterface({ input: stdout }).once("line", (line) => {
        clearTimeout(late);
        const ready = JSON.parse(line) as ReadyLine;
        this.http = ready.http;
        resolve(ready);
      });
      void this.ended.then((how) => {
        clearTimeout(late);
        failed(`ended (${how}) before it was ready`);
      }, reject);
    });
  }

  /** kill -9; resolves once it is gone. */
  async kill9(): Promise<void> {
    this.http = null;
    this.#child.kill("SIGKILL");
    await this.ended;
  }

  /** SIGSTOP: it does nothing and answers nothing, and knows nothing of it. */
  stop(): void {
    this.#child.kill("SIGSTOP");
  }

  cont(): void {
    this.#child.kill("SIGCONT");
  }

  /** SIGTERM; resolves with how it ended. */
  async term(): Promise<Ended> {
    this.http = null;
    this.#child.kill("SIGTERM");
    return this.ended;
  }
}
