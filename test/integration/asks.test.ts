import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Asks } from "../../src/jetstream/asks.ts";
import { wireHeaders } from "../../src/jetstream/wire.ts";
import type { TestNats } from "../support/nats.ts";
import { startNats } from "../support/nats.ts";

const longMs = 10_000;
const shortMs = 1;

let server: TestNats;
beforeAll(async () => {
  server = await startNats({ topology: null });
  // Answers each request with its own text, "late" ones only when the next one has come.
  const held: Array<() => void> = [];
  server.nats.connection.subscribe("echo", {
    callback: (_error, message) => {
      const answer = (): void => void message.respond(message.headers?.get("Says") ?? message.data);
      if (message.string() === "late") held.push(answer);
      else for (const each of [...held.splice(0), answer]) each();
    },
  });
  await server.nats.connection.flush();
});
afterAll(() => server.stop());

describe("a request", () => {
  it("gets its own answer among many", async () => {
    const texts = Array.from({ length: 500 }, (_, i) => `question ${i}`);
    const answers = await Promise.all(texts.map((text) => server.nats.ask("echo", text, longMs)));
    expect(answers.map((answer) => answer.string())).toEqual(texts);
  });

  it("carries its headers", async () => {
    const answer = await server.nats.ask("echo", "", longMs, wireHeaders("Says: hello\r\n"));
    expect(answer.string()).toBe("hello");
  });

  it("is told at once that nobody serves its subject", async () => {
    await expect(server.nats.ask("nobody.here", "", longMs)).rejects.toThrow("no responders: 'nobody.here'");
  });

  it("ends with an answer whose headers no client can read, and no other does", async () => {
    const asking = await server.connect("asking");
    const subscription = server.nats.connection.subscribe("garbled", {
      callback: (_error, message) => void message.respond("", { headers: wireHeaders("no key: x\r\n") }),
    });
    await server.nats.connection.flush();
    await expect(asking.ask("garbled", "", longMs)).rejects.toThrow("header");
    expect((await asking.ask("echo", "next", longMs)).string()).toBe("next");
    expect(asking.link().reconnects).toBe(0);
    subscription.unsubscribe();
  });

  it("ends at its deadline, and what comes later disturbs nobody", async () => {
    await expect(server.nats.ask("echo", "late", shortMs)).rejects.toThrow("timeout");
    expect((await server.nats.ask("echo", "next", longMs)).string()).toBe("next");
  });

  it("ends when the server refuses its subject, and no other does", async () => {
    const asks = new Asks(server.nats.connection);
    const refused = asks.ask("echo", "late", longMs);
    const served = asks.ask("$SYS.REQ.USER.INFO", "", longMs);
    asks.refused("echo", new Error("not allowed"));
    await expect(refused).rejects.toThrow("not allowed");
    expect((await served).data.length).toBeGreaterThan(0);
  });
});

it("rejects on a closed connection", async () => {
  const nats = await server.connect("closed");
  await nats.connection.close();
  await expect(nats.ask("echo", "", longMs)).rejects.toThrow();
});
