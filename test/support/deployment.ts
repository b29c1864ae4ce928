/** Sites and supernodes as `orrery site init` makes them, on servers of their own, on loopback; gone when the test ends. */
import type { ChildProcess } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Scope from "effect/Scope";
import { findNatsServer } from "../../scripts/nats-server/find.mjs";
import { freePorts } from "../../src/demo/ports.ts";
import { launch } from "../../src/jetstream/embedded.ts";
import type { ConnectSettings, NatsService } from "../../src/jetstream/Nats.ts";
import { connectNats } from "../../src/jetstream/Nats.ts";
import type { CliResult } from "./cli.ts";
import { runCli } from "./cli.ts";
import { patienceMs, until } from "./testSite.ts";

const live = new Set<Deployment>();
process.on("exit", () => {
  for (const deployment of live) deployment.abandon();
});

interface RunningServer {
  /** Of the guard, which ends with its server. */
  readonly child: ChildProcess;
  readonly pid: number;
  readonly log: string;
}

export class Deployment {
  readonly folder = mkdtempSync(join(tmpdir(), "orrery-sites-"));
  readonly #servers = new Map<string, RunningServer>();
  readonly #urls = new Map<string, ReadonlyArray<string>>();
  readonly #monitors = new Map<string, ReadonlyArray<string>>();
  readonly #scope = Scope.makeUnsafe();

  constructor() {
    live.add(this);
  }

  /** A path below the deployment's folder. */
  path(...parts: ReadonlyArray<string>): string {
    return join(this.folder, ...parts);
  }

  async cli(...argv: ReadonlyArray<string>): Promise<CliResult> {
    return runCli(argv, { cwd: this.folder });
  }

  async #ran(...argv: ReadonlyArray<string>): Promise<void> {
    const { exit, stderr } = await this.cli(...argv);
    if (exit !== 0) throw new Error(`orrery ${argv.join(" ")}: exit ${exit}: ${stderr}`);
  }

  async init(name: string, ...more: ReadonlyArray<string>): Promise<void> {
    const first = await freePorts(12);
    const ports = ["--port", "--monitor-port", "--cluster-port", "--leaf-port"].flatMap((flag, index) => [
      flag,
      String(first + 3 * index),
    ]);
    await this.#ran("site", "init", name, "--dir", this.folder, ...ports, ...more);
    const servers = more.includes("--supernode") ? 3 : 1;
    const ofServers = (url: (i: number) => string) => Array.from({ length: servers }, (_, i) => url(i));
    this.#urls.set(
      name,
      ofServers((i) => `tls://127.0.0.1:${first + i}`),
    );
    this.#monitors.set(
      name,
      ofServers((i) => `http://127.0.0.1:${first + 3 + i}`),
    );
  }

  /** Names of the servers that are joined to it as leaves now. */
  async leaves(name: string): Promise<ReadonlyArray<string>> {
    const answers = await Promise.all(
      (this.#monitors.get(name) ?? []).map(async (url) => {
        const answer = await fetch(`${url}/leafz`, { signal: AbortSignal.timeout(10_000) });
        return (
          ((await answer.json()) as { readonly leafs?: ReadonlyArray<{ readonly name: string }> }).leafs ?? []
        );
      }),
    );
    return answers.flatMap((leaves) => leaves.map((leaf) => leaf.name)).toSorted();
  }

  async join(site: string, supernode: string, ...more: ReadonlyArray<string>): Promise<void> {
    await this.#ran("site", "join", site, "--supernode", supernode, "--dir", this.folder, ...more);
  }

  urls(name: string): ReadonlyArray<string> {
    return this.#urls.get(name) ?? [];
  }

  /** Starts its servers; resolves once they let clients in and their JetStream works. */
  async start(name: string): Promise<void> {
    for (const i of this.urls(name).keys()) await this.launch(name, i);
    await until(
      async () => this.#answers(name),
      (answers) => answers,
    );
  }

  /** Starts one of its servers, or starts it again, and waits for nothing. */
  async launch(name: string, i: number): Promise<void> {
    const binary = (await findNatsServer()).path;
    const configuration = this.urls(name).length === 1 ? "nats" : `${name}-${i}`;
    const log = this.path(name, `${configuration}.log`);
    // It ends with this process, also when a runner of tests kills that.
    const { child, pid } = await launch([binary, "-c", this.path(name, `${configuration}.conf`), "-l", log]);
    this.#servers.set(`${name}/${i}`, { child, pid, log });
  }

  /** SIGKILL resolves once the server is gone. */
  async signal(name: string, i: number, signal: "SIGKILL" | "SIGSTOP" | "SIGCONT"): Promise<void> {
    const server = this.#servers.get(`${name}/${i}`);
    if (server === undefined || server.child.exitCode !== null || server.child.signalCode !== null) return;
    const gone = new Promise<void>((resolve) => server.child.once("exit", () => resolve()));
    process.kill(server.pid, signal);
    if (signal === "SIGKILL") await gone;
  }

  /** Whether one of its servers can do all that it is there for. */
  async isHealthy(name: string, i: number): Promise<boolean> {
    const url = this.#monitors.get(name)?.[i];
    if (url === undefined) return false;
    return fetch(`${url}/healthz`, { signal: AbortSignal.timeout(5_000) }).then(
      ({ ok }) => ok,
      // Paused, or not listening.
      () => false,
    );
  }

  async #answers(name: string): Promise<boolean> {
    const scope = Scope.makeUnsafe();
    try {
      await Effect.runPromise(Scope.provide(this.#connect(name, "system", 5_000), scope));
      const healthy = this.urls(name).map((_, i) => this.isHealthy(name, i));
      return (await Promise.all(healthy)).every(Boolean);
    } catch {
      // Not listening yet, or still electing.
      return false;
    } finally {
      await Effect.runPromise(Scope.close(scope, Exit.void));
    }
  }

  /** @param servers of its own only some */
  settings(name: string, role: string, servers = this.urls(name)): ConnectSettings {
    return {
      servers,
      name: `test ${role}`,
      credentialsFile: this.path(name, "creds", `${role}.creds`),
      tls: { caFile: this.path(name, "tls", "ca.pem"), certFile: null, keyFile: null },
    };
  }

  #connect(name: string, role: string, firstMs: number) {
    return connectNats(this.settings(name, role), { firstMs });
  }

  /** As a user of the site, until the deployment ends. */
  connect(name: string, role: string): Promise<NatsService> {
    return Effect.runPromise(Scope.provide(this.#connect(name, role, patienceMs), this.#scope));
  }

  /** What its servers have logged. */
  log(name: string): string {
    return [...this.#servers]
      .filter(([server]) => server.startsWith(`${name}/`))
      .map(([, { log }]) => readFileSync(log, "utf8"))
      .join("");
  }

  /** Ends connections and servers, and removes the folder. */
  async end(): Promise<void> {
    await Effect.runPromise(Scope.close(this.#scope, Exit.void));
    await Promise.all(
      [...this.#servers.values()].map(
        ({ child, pid }) =>
          new Promise<void>((resolve) => {
            if (child.exitCode !== null || child.signalCode !== null) return resolve();
            child.once("exit", () => resolve());
            process.kill(pid, "SIGKILL");
            return undefined;
          }),
      ),
    );
    await rm(this.folder, { recursive: true, force: true, maxRetries: 5 });
    live.delete(this);
  }

  /** The test process ends early: nothing of it stays. */
  abandon(): void {
    for (const { child } of this.#servers.values()) child.stdin?.end();
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 3 });
  }
}
