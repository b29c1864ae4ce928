/** The parent's side of the second node: starts it, kills it, knows how it is. */
import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { ext } from "./demoSite.ts";
import type { SecondNodeNews, SecondNodeSettings } from "./secondNode.ts";

const readyMsMax = 90_000;
const stopMsMax = 5_000;
const stderrKept = 2_000;

export type SecondState = "not started" | "starting" | "running" | "killed -9" | "ended";

export class SecondProcess {
  readonly #settings: SecondNodeSettings;
  /** Told when it ends and nobody had asked it to. */
  readonly #died: (how: string) => void;
  #child: ChildProcess | null = null;
  #ended: Promise<void> = Promise.resolve();
  #state: SecondState = "not started";
  #starts = 0;

  constructor(settings: SecondNodeSettings, died: (how: string) => void) {
    this.#settings = settings;
    this.#died = died;
  }

  get state(): SecondState {
    return this.#state;
  }

  get pid(): number | null {
    return this.#child?.pid ?? null;
  }

  get restarts(): number {
    return Math.max(0, this.#starts - 1);
  }

  /** Resolves once all of its actors are ready. Rejects with its own words when it cannot start. */
  start(): Promise<void> {
    this.#starts++;
    this.#state = "starting";
    const entry = fileURLToPath(new URL(`./secondNode${ext}`, import.meta.url));
    const child = spawn(process.execPath, [entry, JSON.stringify(this.#settings)], {
      stdio: ["ignore", "ignore", "pipe", "ipc"],
    });
    this.#child = child;
    let said = "";
    child.stderr?.on("data", (data: Buffer) => void (said = (said + data.toString()).slice(-stderrKept)));
    return new Promise((resolve, reject) => {
      const late = setTimeout(
        () => reject(new Error(`the second node was not ready within ${readyMsMax / 1_000} s`)),
        readyMsMax,
      );
      child.on("message", (news: SecondNodeNews) => {
        clearTimeout(late);
        if (news.type === "ready") {
          this.#state = "running";
          resolve();
        } else reject(new Error(`the second node did not start: ${news.reason}`));
      });
      this.#ended = new Promise((ended) => {
        const over = (how: string): void => {
          clearTimeout(late);
          const asked = this.#state === "killed -9" || this.#state === "ended";
          if (!asked) {
            this.#state = "ended";
            this.#died(`${how} ${said}`.trim());
          }
          reject(new Error(`the second node ended while starting (${how}) ${said}`.trim()));
          ended();
        };
        child.once("error", (cause) => over(cause.message));
        child.once("exit", (code, signal) => over(signal ?? `exit ${code}`));
      });
    });
  }

  /** SIGKILL, at once. */
  kill(): void {
    this.#state = "killed -9";
    this.#child?.kill("SIGKILL");
  }

  /** Resolves when the process is gone. */
  get ended(): Promise<void> {
    return this.#ended;
  }

  /** Asks it to end, and insists. */
  async stop(): Promise<void> {
    const child = this.#child;
    if (child === null || this.#state === "killed -9" || this.#state === "ended") return;
    this.#state = "ended";
    child.kill("SIGTERM");
    const insist = setTimeout(() => child.kill("SIGKILL"), stopMsMax);
    await this.#ended;
    clearTimeout(insist);
  }
}
