/** The supernode's own node, as a process that may be killed, stopped and woken. */
import type { Running } from "../../../src/jetstream/embedded.ts";
import { launch } from "../../../src/jetstream/embedded.ts";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Deployment } from "../../support/deployment.ts";
import { until } from "../../support/testSite.ts";
import { slack } from "../slack.ts";

const program = fileURLToPath(new URL("../../../src/cli.ts", import.meta.url));
const readyMsMax = 60_000 * slack;

export class Keeper {
  readonly #deployment: Deployment;
  readonly #supernode: string;
  readonly #ownEnds: Array<string>;
  #running: Running | null = null;

  constructor(deployment: Deployment, supernode: string, ownEnds: Array<string>) {
    this.#deployment = deployment;
    this.#supernode = supernode;
    this.#ownEnds = ownEnds;
  }

  get #ready(): string {
    return this.#deployment.path(this.#supernode, "ready.json");
  }

  get #log(): string {
    return this.#deployment.path(this.#supernode, "keeper.log");
  }

  /** What it has logged in all its lives. */
  log(): string {
    return existsSync(this.#log) ? readFileSync(this.#log, "utf8") : "";
  }

  /** Where it answers; null while it is away. */
  get url(): string | null {
    if (this.#running === null || !existsSync(this.#ready)) return null;
    return (JSON.parse(readFileSync(this.#ready, "utf8")) as { readonly httpUrl: string | null }).httpUrl;
  }

  /** Resolves once it is ready. */
  async start(): Promise<void> {
    rmSync(this.#ready, { force: true });
    const site = this.#deployment.path(this.#supernode, "site.yaml");
    const running = await launch([
      "/bin/sh",
      "-c",
      'exec "$@" >>"$0" 2>&1',
      this.#log,
      process.execPath,
      program,
      "start",
      site,
      "--node",
      "keeper-1",
      "--http-port",
      "0",
      "--ready-file",
      this.#ready,
    ]);
    this.#running = running;
    void running.ended.then((how) => {
      if (this.#running === running)
        this.#ownEnds.push(`${new Date().toISOString()} the supernode's node ended by itself: ${how}`);
    });
    await until(
      () => existsSync(this.#ready),
      (there) => there,
      readyMsMax,
    );
  }

  /** kill -9; resolves once it is gone. */
  async kill9(): Promise<void> {
    const running = this.#running;
    if (running === null) return;
    this.#running = null;
    process.kill(running.pid, "SIGKILL");
    await running.ended;
  }

  stop(): void {
    if (this.#running !== null) process.kill(this.#running.pid, "SIGSTOP");
  }

  cont(): void {
    if (this.#running !== null) process.kill(this.#running.pid, "SIGCONT");
  }

  async end(): Promise<void> {
    await this.kill9();
  }
}
