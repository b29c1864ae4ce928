/** Links off this machine are encrypted unless the site says otherwise: what a server says, or somebody in its place, changes nothing. */
import { once } from "node:events";
import type { Server, Socket } from "node:net";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Redacted from "effect/Redacted";
import * as Scope from "effect/Scope";
import { afterEach, describe, expect, it } from "vitest";
import type { ConnectSettings } from "../../src/jetstream/Nats.ts";
import { connectNats } from "../../src/jetstream/Nats.ts";
import { canary, leaksIn } from "../support/canaries.ts";
import { until } from "../support/testSite.ts";

/** Speaks as a NATS server does that has no TLS, and keeps what it is told. */
class PlainServer {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  heard = "";
  connections = 0;

  /** @param others addresses of further servers that it tells of */
  private constructor(others: ReadonlyArray<string>) {
    this.#server = createServer((socket) => {
      this.connections++;
      this.#sockets.add(socket);
      socket.on("error", () => undefined);
      const { port } = this.#server.address() as AddressInfo;
      const info = {
        server_id: "X",
        server_name: "X",
        version: "2.15.2",
        proto: 1,
        headers: true,
        max_payload: 1_048_576,
      };
      socket.write(
        `INFO ${JSON.stringify({ ...info, host: "127.0.0.1", port, auth_required: true, connect_urls: others })}\r\n`,
      );
      socket.on("data", (data) => {
        this.heard += data.toString();
        if (/PING\r\n/.test(data.toString())) socket.write("PONG\r\n");
      });
    });
  }

  static async start(others: ReadonlyArray<string> = []): Promise<PlainServer> {
    const server = new PlainServer(others);
    server.#server.listen(0, "127.0.0.1");
    await once(server.#server, "listening");
    return server;
  }

  get address(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async end(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((closed) => this.#server.close(closed));
  }
}

const servers: Array<PlainServer> = [];
const scopes: Array<Scope.Closeable> = [];
afterEach(async () => {
  for (const scope of scopes.splice(0)) await Effect.runPromise(Scope.close(scope, Exit.void));
  for (const server of servers.splice(0)) await server.end();
});

const plain = async (others: ReadonlyArray<string> = []): Promise<PlainServer> => {
  const server = await PlainServer.start(others);
  servers.push(server);
  return server;
};
const connect = (settings: Partial<ConnectSettings>) => {
  const scope = Scope.makeUnsafe();
  scopes.push(scope);
  const all = {
    servers: [],
    name: "test",
    user: "orrery",
    password: Redacted.make(canary("plain-text")),
    ...settings,
  };
  return Effect.runPromise(Scope.provide(connectNats(all, { firstMs: 20_000 }), scope));
};

describe("a server that has no encryption to offer", () => {
  it.each([
    ["its address says tls://", (address: string) => ({ servers: [`tls://${address}`] })],
    [
      "the site has a section for it",
      (address: string) => ({
        servers: [`nats://${address}`],
        tls: { caFile: null, certFile: null, keyFile: null },
      }),
    ],
  ])("is told no password where %s", async (_, settings) => {
    const server = await plain();
    await expect(connect(settings(server.address))).rejects.toThrow(/does not support 'tls'/);
    expect(server.connections).toBeGreaterThan(0);
    expect(leaksIn(server.heard)).toEqual([]);
    expect(server.heard).not.toContain("CONNECT");
  });

  it("is spoken to in plain text on this machine, and no other that it names is", async () => {
    const elsewhere = await plain();
    const server = await plain([elsewhere.address]);
    const nats = await connect({ servers: [`nats://${server.address}`] });
    expect(leaksIn(server.heard)).toHaveLength(1);
    servers.splice(servers.indexOf(server), 1);
    await server.end();
    await until(
      () => nats.link().connected,
      (connected) => !connected,
    );
    // Long enough for each server that it knows to have been tried.
    await new Promise((later) => setTimeout(later, 1_000));
    expect(elsewhere.connections).toBe(0);
  });
});
