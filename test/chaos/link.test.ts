/** The link itself: what it lets through, when, and what it sees. */
import type { Server, Socket } from "node:net";
import { connect, createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { once } from "node:events";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Link } from "../support/link.ts";

describe("a link", () => {
  let server: Server;
  let link: Link;
  let heard = "";
  let wake: () => void = () => undefined;
  const far: Array<Socket> = [];
  const clients: Array<Socket> = [];

  beforeEach(async () => {
    heard = "";
    server = createServer((socket) => {
      far.push(socket);
      socket.on("error", () => undefined);
      socket.on("data", (data: Buffer) => {
        heard += data.toString();
        wake();
        socket.write(data);
      });
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    link = await Link.start(`nats://127.0.0.1:${(server.address() as AddressInfo).port}`);
  });
  afterEach(async () => {
    for (const socket of [...far.splice(0), ...clients.splice(0)]) socket.destroy();
    await link.end();
    server.close();
  });

  async function join(): Promise<Socket> {
    const client = connect({ port: Number(new URL(link.url).port), host: "127.0.0.1" });
    clients.push(client);
    await once(client, "connect");
    return client;
  }

  async function hears(text: string): Promise<void> {
    while (!heard.includes(text)) await new Promise<void>((resolve) => (wake = resolve));
  }

  it("carries both ways", async () => {
    const client = await join();
    client.write("there");
    expect(String((await once(client, "data"))[0])).toBe("there");
  });

  it("that is cut resets what is on it and what comes, until it heals", async () => {
    const client = await join();
    client.write("a");
    await hears("a");
    link.cut();
    await expect(once(client, "close")).rejects.toThrow(/ECONNRESET/);
    const other = connect({ port: Number(new URL(link.url).port), host: "127.0.0.1" });
    clients.push(other);
    await expect(once(other, "end")).rejects.toThrow(/ECONNRESET/);
    link.heal();
    (await join()).write("again");
    await hears("again");
  });

  it("that is silent keeps what is sent, old connections and new ones, until it heals", async () => {
    const client = await join();
    client.write("before");
    await hears("before");
    link.silence();
    client.write("during");
    (await join()).write("newer");
    // What passes needs a turn or two of the loop; this is far more than that.
    for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve));
    expect(heard).toBe("before");
    link.heal();
    await hears("during");
    await hears("newer");
  });

  it("says when it sees what is aimed at, in pieces too, and holds it back", async () => {
    const client = await join();
    const hit = new Promise<void>((resolve) => {
      const steps = [
        { way: "up", text: "first" },
        { way: "up", text: "second" },
      ] as const;
      link.aim({ steps, through: false }, resolve);
    });
    client.setNoDelay(true);
    client.write("second fi");
    await hears("fi");
    client.write("rst and ");
    await hears("and");
    client.write("more second");
    await hit;
    client.write("never");
    for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve));
    expect(heard).toBe("second first and more ");
  });

  it("lets through what is aimed at where that is asked for, and is disarmed", async () => {
    const client = await join();
    let hits = 0;
    link.aim({ steps: [{ way: "down", text: "x" }], through: true }, () => void hits++);
    client.write("xx");
    await once(client, "data");
    expect(hits).toBe(1);
    link.aim({ steps: [{ way: "up", text: "x" }], through: false }, () => void hits++);
    link.disarm();
    client.write("x");
    await once(client, "data");
    expect([hits, heard]).toEqual([1, "xxx"]);
  });
});
