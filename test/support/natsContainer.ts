/** A nats-server in a container of its own, for the tests that run both ways. */
import { GenericContainer, Wait } from "testcontainers";
import { inject } from "vitest";
import { containerEngine } from "./containerEngine.ts";
import { Link } from "./link.ts";
import type { ServerSignal, TestServer } from "./nats.ts";
import { ownerLabel } from "./natsImage.ts";

const ports = { client: 4222, monitor: 8222 } as const;
const startMsMax = 60_000;

/** As the embedded server's, but for the places; the store is inside the container and goes with it. */
const configuration = (syncAlways: boolean): string =>
  [
    "server_name: orrery",
    `port: ${ports.client}`,
    `http_port: ${ports.monitor}`,
    "max_control_line: 8KB",
    "max_payload: 8MB",
    "jetstream {",
    '  store_dir: "/store"',
    ...(syncAlways ? ["  sync_interval: always"] : []),
    "}",
    "",
  ].join("\n");

/** testcontainers publishes ports on every interface; a server without a password belongs on the loopback alone. */
class NatsContainer extends GenericContainer {
  protected override async beforeContainerCreated(): Promise<void> {
    if ((await containerEngine()).info.containerRuntime.host !== "localhost") return;
    const bindings = Object.values(ports).map((port) => [
      `${port}/tcp`,
      [{ HostIp: "127.0.0.1", HostPort: "0" }],
    ]);
    this.hostConfig.PortBindings = Object.fromEntries(bindings);
  }
}

export interface ServerInContainer extends TestServer {
  readonly signal: (signal: ServerSignal) => Promise<void>;
  readonly stop: () => Promise<void>;
}

/** Rejects when it does not answer within a minute; the end of the run removes what is left. */
export async function startInContainer(syncAlways: boolean): Promise<ServerInContainer> {
  const provided = inject("natsContainer");
  if ("failure" in provided) throw new Error(provided.failure);
  const { image, owner } = provided;
  const container = await new NatsContainer(image)
    .withAutoCleanup(false)
    .withLabels({ [ownerLabel]: owner })
    .withCopyContentToContainer([{ content: configuration(syncAlways), target: "/orrery.conf" }])
    .withEntrypoint(["/nats-server"])
    .withCommand(["-c", "/orrery.conf"])
    .withExposedPorts(ports.client, ports.monitor)
    .withWaitStrategy(Wait.forHttp("/healthz?js-enabled-only=true", ports.monitor).forStatusCode(200))
    .withStartupTimeout(startMsMax)
    .start();
  const engine = await containerEngine();
  const host = container.getHost() === "localhost" ? "127.0.0.1" : container.getHost();
  const direct = `nats://${host}:${container.getMappedPort(ports.client)}`;
  // Where the tests themselves run in a container the engine is another host, and a site file must not name that in plain text.
  const link = host === "127.0.0.1" ? null : await Link.start(direct);
  return {
    url: link?.url ?? direct,
    monitor: `http://${host}:${container.getMappedPort(ports.monitor)}`,
    // The engine's own kill, also to stop and continue: it has the server's process, wherever that runs.
    signal: async (signal) => {
      await engine.container.getById(container.getId()).kill({ signal });
    },
    stop: async () => {
      await link?.end();
      await container.stop({ remove: true, removeVolumes: true });
    },
  };
}
