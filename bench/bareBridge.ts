/** A bridge without Orrery: its stdin gets one ready-made request after the other, each as soon as the last one is answered. */
import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import type { Interface } from "node:readline";
import { createInterface } from "node:readline";
import type { IngestItem } from "../src/drivers/Driver.ts";
import { encodeItem, encodeRequest } from "../src/drivers/bridgeProtocol.ts";
import { cpuMsOf } from "./stage.ts";

const answerMsMax = 60_000;
const stopMsMax = 5_000;

const running = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

export interface Served {
  /** Items of all requests but the first. */
  readonly items: number;
  /** From the first answer to the last. */
  readonly ms: number;
}

export class BareBridge {
  readonly #child: ChildProcess;
  readonly #lines: Interface;
  #batches = 0;

  private constructor(child: ChildProcess, lines: Interface) {
    this.#child = child;
    this.#lines = lines;
  }

  static async start(
    command: readonly [string, ...ReadonlyArray<string>],
    env: Readonly<Record<string, string>>,
  ): Promise<BareBridge> {
    const [program, ...args] = command;
    const child = spawn(program, args, {
      env: { ...process.env, ...env },
      stdio: ["pipe", "pipe", "ignore"],
    });
    running.add(child);
    child.once("exit", () => running.delete(child));
    child.stdin?.on("error", () => undefined);
    if (child.stdout === null) throw new Error("the bridge has no stdout");
    const bridge = new BareBridge(child, createInterface({ input: child.stdout }));
    const ready = await bridge.#line();
    if (!ready.includes(`"ready"`)) throw new Error(`the bridge did not start: ${ready}`);
    return bridge;
  }

  readonly cpuMs = (): number | null => cpuMsOf(this.#child.pid ?? 0);

  #line(): Promise<string> {
    return new Promise((resolve, reject) => {
      const over = (settle: () => void): void => {
        clearTimeout(late);
        this.#lines.off("line", take);
        this.#child.off("exit", ended);
        settle();
      };
      const take = (line: string): void => over(() => resolve(line));
      const ended = (): void => over(() => reject(new Error("the bridge ended")));
      const late = setTimeout(
        () => over(() => reject(new Error(`the bridge gave no answer in ${answerMsMax} ms`))),
        answerMsMax,
      );
      this.#lines.once("line", take);
      this.#child.once("exit", ended);
    });
  }

  async #ask(request: string): Promise<string> {
    const answer = this.#line();
    this.#child.stdin?.write(request);
    return answer;
  }

  #request(items: ReadonlyArray<IngestItem>): string {
    return encodeRequest(`b${++this.#batches}`, answerMsMax, items.map(encodeItem));
  }

  /** @param failures how many of them may be answered other than `ingested` */
  async serve(items: ReadonlyArray<IngestItem>, batchMax: number): Promise<Served> {
    const requests: Array<string> = [];
    for (let at = 0; at < items.length; at += batchMax)
      requests.push(this.#request(items.slice(at, at + batchMax)));
    let began = 0;
    for (const [i, request] of requests.entries()) {
      expectIngested(await this.#ask(request), 0);
      if (i === 0) began = performance.now();
    }
    return { items: items.length - batchMax, ms: performance.now() - began };
  }

  /** One request with all of them, `bad` of which are refused. Gives ms. */
  async once(items: ReadonlyArray<IngestItem>, bad: number): Promise<number> {
    const request = this.#request(items);
    const began = performance.now();
    const answer = await this.#ask(request);
    const ms = performance.now() - began;
    expectIngested(answer, bad);
    return ms;
  }

  async stop(): Promise<void> {
    const gone = new Promise<void>((resolve) => {
      if (this.#child.exitCode !== null || this.#child.signalCode !== null) resolve();
      else this.#child.once("exit", () => resolve());
    });
    this.#child.stdin?.end();
    const late = setTimeout(() => this.#child.kill("SIGKILL"), stopMsMax);
    await gone;
    clearTimeout(late);
  }
}

/** What is measured is the work: a bridge that refuses is fast. */
function expectIngested(line: string, bad: number): void {
  const answer = JSON.parse(line) as {
    readonly fatal?: string;
    readonly items?: ReadonlyArray<{ readonly status: string; readonly detail?: string }>;
  };
  const refused = answer.items?.filter(({ status }) => status !== "ingested") ?? [];
  if (answer.fatal !== undefined || refused.length !== bad)
    throw new Error(`${refused.length} refused in place of ${bad}: ${line.slice(0, 500)}`);
}
