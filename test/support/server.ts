/** A nats-server that a test may kill, restart on the same store and port, and pause. */
import { mkdtempSync, rmSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Scope from "effect/Scope";
import { findNatsServer } from "../../scripts/nats-server/find.mjs";
import { freePorts } from "../../src/demo/ports.ts";
import type { EmbeddedServer } from "../../src/jetstream/embedded.ts";
import { startEmbedded } from "../../src/jetstream/embedded.ts";
import { Disk } from "./disk.ts";

const folders = new Set<string>();
process.on("exit", () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
});

export class ServerProcess {
  /** For everything that belongs to the server and its test; removed at the end. */
  readonly folder: string;
  readonly #binary: string;
  readonly #syncAlways: boolean;
  /** The disk of its store; null where it has none of its own. */
  readonly disk: Disk | null;
  #scope = Scope.makeUnsafe();
  #server: EmbeddedServer | null = null;
  /** Its own for good: while it is down nobody else may be given it. */
  readonly #port: number;

  private constructor(binary: string, syncAlways: boolean, ownDisk: boolean, port: number) {
    this.#binary = binary;
    this.#port = port;
    this.#syncAlways = syncAlways;
    this.folder = mkdtempSync(join(tmpdir(), "orrery-chaos-"));
    folders.add(this.folder);
    this.disk = ownDisk ? Disk.mount(join(this.folder, "nats", "store")) : null;
  }

  static async start(
    options: { readonly syncAlways?: boolean; readonly ownDisk?: boolean } = {},
  ): Promise<ServerProcess> {
    const binary = (await findNatsServer()).path;
    const server = new ServerProcess(
      binary,
      options.syncAlways ?? false,
      options.ownDisk ?? false,
      await freePorts(1),
    );
    try {
      await server.start();
    } catch (cause) {
      await server.end();
      throw cause;
    }
    return server;
  }

  get url(): string {
    return `nats://127.0.0.1:${this.#port}`;
  }

  /** Starts it again on the store and port that it had. */
  async start(): Promise<void> {
    this.#scope = Scope.makeUnsafe();
    const settings = {
      dataDir: join(this.folder, "nats"),
      syncAlways: this.#syncAlways,
      port: this.#port,
      binary: this.#binary,
    };
    this.#server = await Effect.runPromise(Scope.provide(startEmbedded(settings), this.#scope));
  }

  /** kill -9; resolves once it is gone. */
  async kill9(): Promise<void> {
    const server = this.#server;
    if (server === null) return;
    this.#server = null;
    process.kill(server.pid, "SIGKILL");
    await Effect.runPromise(server.exited);
    await Effect.runPromise(Scope.close(this.#scope, Exit.void));
  }

  pause(): void {
    if (this.#server !== null) process.kill(this.#server.pid, "SIGSTOP");
  }

  resume(): void {
    if (this.#server !== null) process.kill(this.#server.pid, "SIGCONT");
  }

  /** Whether it runs, and can write every stream. */
  async isHealthy(): Promise<boolean> {
    if (this.#server === null) return false;
    try {
      const answer = await fetch(`${this.#server.monitor}/healthz`, { signal: AbortSignal.timeout(2_000) });
      return answer.ok;
    } catch {
      // Paused, or on its way down: not healthy.
      return false;
    }
  }

  /** Ends it and removes its folder. */
  async end(): Promise<void> {
    this.resume();
    this.#server = null;
    await Effect.runPromise(Scope.close(this.#scope, Exit.void));
    this.disk?.unmount();
    await rm(this.folder, { recursive: true, force: true, maxRetries: 5 });
    folders.delete(this.folder);
  }
}
