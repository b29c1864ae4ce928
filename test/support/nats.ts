/**
 * A real nats-server for tests, gone when the test ends, also when it fails. By `ORRERY_TEST_NATS` it is the embedded one in
 * a folder of its own (`native`, the default), or runs in a container (`container`): a test that starts its server here
 * runs both ways, so it knows its server by URL and signals, not by pid or folder.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Scope from "effect/Scope";
import { findNatsServer } from "../../scripts/nats-server/find.mjs";
import { startEmbedded } from "../../src/jetstream/embedded.ts";
import type { NatsService } from "../../src/jetstream/Nats.ts";
import { connectNats } from "../../src/jetstream/Nats.ts";
import type { TopologyNeeds } from "../../src/jetstream/topology.ts";
import { apply, topologyOf } from "../../src/jetstream/topology.ts";

export interface TestNatsOptions {
  /** Made so before the test begins; `null` leaves the server empty. Default: the buckets and no lane. */
  readonly topology?: Partial<TopologyNeeds> | null;
  /** fsync before every acknowledgement. Default false. */
  readonly syncAlways?: boolean;
}

export interface TestServer {
  readonly url: string;
  /** Base URL of the monitoring endpoints. */
  readonly monitor: string;
}

export type ServerSignal = "SIGKILL" | "SIGSTOP" | "SIGCONT";

export interface TestNats {
  readonly server: TestServer;
  /** Kills, pauses or resumes the server; resolves once the signal is sent. It is not started again. */
  readonly signal: (signal: ServerSignal) => Promise<void>;
  /** A connection of the test's own. */
  readonly nats: NatsService;
  /** Another connection, closed with the server: one for each node that a test plays. */
  readonly connect: (name: string) => Promise<NatsService>;
  /** Ends connections and server, and removes the folder. */
  readonly stop: () => Promise<void>;
}

const firstConnectMs = 60_000;
const noNeeds: TopologyNeeds = {
  lanes: [],
  runLanes: [],
  items: [],
  follows: [],
  replicas: 1,
  duplicateWindowMs: 120_000,
};

/** Folders that still exist: a test process that ends early takes them with it (its server ends by its own guard). */
const folders = new Set<string>();
process.on("exit", () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
});

type Run = <A, E>(effect: Effect.Effect<A, E, Scope.Scope>) => Promise<A>;
type Started = Pick<TestNats, "server" | "signal">;

async function startNative(run: Run, syncAlways: boolean): Promise<Started> {
  const binary = (await findNatsServer()).path;
  const dataDir = mkdtempSync(join(tmpdir(), "orrery-nats-"));
  folders.add(dataDir);
  await run(
    Effect.addFinalizer(() =>
      Effect.promise(async () => {
        await rm(dataDir, { recursive: true, force: true, maxRetries: 5 });
        folders.delete(dataDir);
      }),
    ),
  );
  const server = await run(startEmbedded({ dataDir, syncAlways, port: 0, binary }));
  return {
    server,
    signal: async (signal) => {
      process.kill(server.pid, signal);
    },
  };
}

async function startContained(run: Run, syncAlways: boolean): Promise<Started> {
  const { startInContainer } = await import("./natsContainer.ts");
  const server = await run(
    Effect.acquireRelease(
      Effect.promise(() => startInContainer(syncAlways)),
      ({ stop }) => Effect.promise(stop),
    ),
  );
  return { server, signal: server.signal };
}

/** For `beforeAll`; give its `stop` to `afterAll`. Rejects, with nothing left running, when the server does not start. */
export async function startNats(options: TestNatsOptions = {}): Promise<TestNats> {
  const scope = Scope.makeUnsafe();
  const run: Run = (effect) => Effect.runPromise(Scope.provide(effect, scope));
  const stop = (): Promise<void> => Effect.runPromise(Scope.close(scope, Exit.void));
  const start = process.env["ORRERY_TEST_NATS"] === "container" ? startContained : startNative;
  try {
    const { server, signal } = await start(run, options.syncAlways ?? false);
    const connect = (name: string): Promise<NatsService> =>
      run(connectNats({ servers: [server.url], name }, { firstMs: firstConnectMs }));
    const nats = await connect("test");
    if (options.topology !== null) await run(apply(nats, topologyOf({ ...noNeeds, ...options.topology })));
    return { server, signal, nats, connect, stop };
  } catch (cause) {
    await stop();
    throw cause;
  }
}

/** Runs the test beside a server of its own. */
export async function withNats<A>(
  test: (nats: TestNats) => Promise<A>,
  options: TestNatsOptions = {},
): Promise<A> {
  const nats = await startNats(options);
  try {
    return await test(nats);
  } finally {
    await nats.stop();
  }
}
