/** Senders that send too much: held back by their addresses, and nobody else with them. */
import { once } from "node:events";
import { connect } from "node:net";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Scope from "effect/Scope";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ConnectionLimit } from "../../src/actors/connectionLimit.ts";
import { listen, sendJson } from "../../src/actors/listens.ts";
import { SourceAddresses } from "../../src/actors/sourceAddress.ts";
import { httpHeadersMs, httpRequestMs } from "../../src/limits.ts";
import type { TestNats } from "../support/nats.ts";
import { startNats } from "../support/nats.ts";
import { testNode } from "../support/testNode.ts";
import type { TestSite } from "../support/testSite.ts";
import { ask, counted, startSite } from "../support/testSite.ts";

const [perSecond, burst] = [20, 40];
let nats: TestNats;
let site: TestSite;

beforeAll(async () => {
  nats = await startNats({ topology: null });
  // This machine is the proxy: so there are senders with other addresses.
  site = await startSite(`
name: limited
node: { name: one }
nats: { mode: external, servers: ["${nats.server.url}"] }
http: { host: 127.0.0.1, port: 0, trustedProxies: [127.0.0.1] }
enqueuer: { limits: { requestsPerSecond: ${perSecond}, burst: ${burst} } }
lanes: { raw: { kind: object, buckets: [raw], metadata: key } }
`);
});
afterAll(async () => {
  await site?.stop();
  await nats?.stop();
});

let sent = 0;
const notify = (from: string | null) =>
  ask(site, {
    headers: from === null ? {} : { "x-forwarded-for": from },
    body: {
      Records: [
        {
          eventName: "ObjectCreated:Put",
          s3: { bucket: { name: "raw" }, object: { key: `k${sent++}`, eTag: "e", size: 1 } },
        },
      ],
    },
  });
const many = async (count: number, from: (i: number) => string | null) => {
  const began = performance.now();
  const answers = await Promise.all(Array.from({ length: count }, (_, i) => notify(from(i))));
  const seconds = (performance.now() - began) / 1_000;
  return {
    statuses: answers.map(({ status }) => status),
    refused: answers.filter(({ status }) => status === 429),
    seconds,
  };
};

describe("an address that sends more than it may", () => {
  it("is answered 429 with when to come again, whatever it pretends; others and this machine are not", async () => {
    const forged = (i: number): string => `203.0.113.${i % 250}, 198.51.100.1`;
    const loud = await many(200, forged);
    const taken = loud.statuses.filter((status) => status === 200).length;
    expect(taken).toBeGreaterThanOrEqual(burst);
    expect(taken).toBeLessThanOrEqual(burst + Math.ceil(loud.seconds * perSecond) + 1);
    expect(loud.refused.length).toBe(200 - taken);
    const [first] = loud.refused;
    expect(first).toMatchObject({
      body: {
        error: `more than ${perSecond} notifications a second from 198.51.100.1`,
        fix: "try again in 1 s",
      },
      headers: { "retry-after": "1", "content-type": "application/json" },
    });
    expect((await many(200, () => null)).refused).toEqual([]);
    expect((await many(30, (i) => `192.0.2.${i}`)).refused).toEqual([]);
    // All of an IPv6 network together.
    const network = await many(200, (i) => `2001:db8::${i.toString(16)}`);
    const may = burst + Math.ceil(network.seconds * perSecond) + 1;
    expect(network.refused.length).toBeGreaterThanOrEqual(200 - may);
  });

  it("is counted, and told of once, not as often as it sends", async () => {
    expect(counted(site, "limited.notifications")).toBeGreaterThan(100);
    const told = site.log.filter(({ message }) => message.includes("enqueuer.limits"));
    expect(told).toHaveLength(1);
    const metrics = await ask(site, { method: "GET", path: "/metrics" });
    expect(String(metrics.body)).toMatch(/orrery_limited_total\{what="notifications"\} \d{2,}/);
  });

  it("may ask after the health of the node as it likes", async () => {
    const answers = await Promise.all(
      Array.from({ length: 100 }, () =>
        ask(site, { method: "GET", path: "/healthz", headers: { "x-forwarded-for": "198.51.100.1" } }),
      ),
    );
    expect(answers.filter(({ status }) => status !== 200)).toEqual([]);
  });

  it("gets what it may when it comes again as it is told", async () => {
    await many(100, () => "198.51.100.77");
    await new Promise((later) => setTimeout(later, 1_000));
    expect((await notify("198.51.100.77")).status).toBe(200);
  });
});

describe("connections of one address", () => {
  it("beyond its number are answered 429 and closed; when one ends there is room again", async () => {
    const node = testNode(nats.nats);
    const scope = Scope.makeUnsafe();
    const connections = new ConnectionLimit(
      new SourceAddresses({ trustedProxies: [], limitsLoopback: true }),
      3,
    );
    const route = {
      method: "GET",
      path: "/x",
      handle: (_: unknown, response: Parameters<typeof sendJson>[0]) => sendJson(response, 200, "{}"),
    } as const;
    const listener = await Effect.runPromise(
      Scope.provide(listen(node, { host: "127.0.0.1", port: 0, connections }, [route]), scope),
    );
    try {
      const open = async () => {
        const socket = connect(listener.port, "127.0.0.1");
        socket.on("error", () => undefined);
        await once(socket, "connect");
        return socket;
      };
      const held = [await open(), await open(), await open()];
      const refused = await open();
      let answer = "";
      refused.on("data", (data) => (answer += data.toString()));
      refused.write("GET /x HTTP/1.1\r\nHost: x\r\n\r\n");
      await once(refused, "close");
      expect(answer).toMatch(/^HTTP\/1\.1 429 Too Many Requests\r\n/);
      expect(answer).toMatch(/\r\nRetry-After: 1\r\n/);
      expect(JSON.parse(answer.split("\r\n\r\n")[1] ?? "")).toMatchObject({ error: true });
      expect(answer.match(/HTTP\/1\.1/g)).toHaveLength(1);
      expect(node.counters.totals()["limited.connections"]).toBe(1);
      expect(node.lines.map(({ message }) => message)).toEqual([
        expect.stringContaining("connectionsPerAddress"),
      ]);
      held[0]?.destroy();
      await expect.poll(async () => (await fetch(`${listener.url}/x`)).status).toBe(200);
      for (const socket of held) socket.destroy();
    } finally {
      await Effect.runPromise(Scope.close(scope, Exit.void));
    }
  });
});

describe.runIf(process.env["ORRERY_LONG"] === "1")("a sender that sends a byte now and then", () => {
  const slowly = async (
    head: string,
    piece: string,
  ): Promise<{ readonly answer: string; readonly ms: number }> => {
    const began = performance.now();
    const socket = connect(Number(new URL(site.url).port), "127.0.0.1");
    let answer = "";
    socket.on("data", (data) => (answer += data.toString()));
    socket.on("error", () => undefined);
    socket.write(head);
    const drip = setInterval(() => socket.write(piece), 1_000);
    await once(socket, "close");
    clearInterval(drip);
    return { answer, ms: performance.now() - began };
  };

  it.each([
    ["of its headers", "POST /notify HTTP/1.1\r\nHost: x\r\n", "X-A: b\r\n", httpHeadersMs],
    [
      "of its body",
      "POST /notify HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n",
      "x",
      httpRequestMs,
    ],
  ])(
    "%s is answered 408 when its time is up, and loses its connection",
    async (_, head, piece, ms) => {
      const slow = await slowly(head, piece);
      expect(slow.answer).toMatch(/^HTTP\/1\.1 408 Request Timeout/);
      // It is looked for every two seconds, and seen off for as long again.
      expect(slow.ms).toBeLessThan(ms + 6_000);
    },
    90_000,
  );
});
