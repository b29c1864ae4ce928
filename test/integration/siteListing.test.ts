/**
 * A site's ledger listed from the supernode is whole or it ends, whatever happens there meanwhile, and whatever the site sends. On one
 * server, where the test passes on what the supernode asks of a site, or answers in its place.
 */
import type { MsgHdrs } from "@nats-io/transport-node";
import * as Effect from "effect/Effect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { NatsService } from "../../src/jetstream/Nats.ts";
import { reconcile } from "../../src/jetstream/reconcile.ts";
import { listSiteUnsafe } from "../../src/jetstream/siteListing.ts";
import type { TestNats } from "../support/nats.ts";
import { startNats } from "../support/nats.ts";

let server: TestNats;
const count = 30_000;
const filters = ["file.*.20250102.>"];

beforeAll(async () => {
  server = await startNats();
  const { connection } = await server.connect("site");
  connection.subscribe("$JS.base.API.CONSUMER.CREATE.>", {
    callback: (error, { subject, data, reply = "" }) => {
      if (error !== null) throw error;
      connection.publish(subject.replace("$JS.base.", "$JS."), data, { reply });
    },
  });
  await connection.flush();
  for (let i = 0; i < count; i++) {
    connection.publish(`$KV.ledger.file.raw.20250102.f${i}`, "{}");
    if (i % 1_000 === 999) await connection.request("$KV.ledger.file.raw.20250103.f", "{}");
  }
});
afterAll(() => server.stop());

it("has every key that matches", async () => {
  const keys = new Set<string>();
  await listSiteUnsafe(server.nats, "base", filters, ({ key }) => void keys.add(key));
  expect(keys.size).toBe(count);
  await listSiteUnsafe(server.nats, "base", ["file.*.20250101.>"], ({ key }) => void keys.add(key));
  expect(keys.size).toBe(count);
});

it("ends, and not as whole, when what it lists is purged meanwhile", async () => {
  let seen = 0;
  const each = (): void => {
    if (++seen === 2_000)
      void server.nats.jsm.streams.purge("KV_ledger", { filter: "$KV.ledger.file.*.20250102.>" });
  };
  // Heartbeats come every five seconds.
  const listed = listSiteUnsafe(server.nats, "base", filters, each, { silentMsMax: 5_500 });
  await expect(listed).rejects.toMatchObject({ detail: expect.stringContaining("no key came") as unknown });
  expect([seen >= 2_000, seen < count]).toEqual([true, true]);
});

describe("a site that means harm", () => {
  /** A header block as no client would write it. */
  const block = (text: string): MsgHdrs =>
    ({ encode: () => Buffer.from(`${text}\r\n\r\n`) }) as unknown as MsgHdrs;
  const flowControl = block("NATS/1.0 100 FlowControl Request");
  let count = 0;

  interface Asked {
    readonly site: NatsService["connection"];
    readonly deliver: string;
    readonly answer: (text: string) => void;
  }

  /** Lists a site that answers so. */
  async function listed(answers: (asked: Asked) => void): Promise<unknown> {
    const name = `evil${++count}`;
    const { connection: site } = await server.connect(name);
    site.subscribe(`$JS.${name}.API.CONSUMER.CREATE.>`, {
      callback: (error, { data, reply = "" }) => {
        if (error !== null) throw error;
        const { config } = JSON.parse(Buffer.from(data).toString()) as {
          readonly config: { readonly deliver_subject: string };
        };
        const answer = (text: string): void => site.publish(reply, text);
        answers({ site, deliver: config.deliver_subject, answer });
      },
    });
    await site.flush();
    return listSiteUnsafe(server.nats, name, filters, () => undefined).then(
      () => "whole",
      (cause: unknown) => (cause as { readonly detail?: string }).detail,
    );
  }
  const kept = async (): Promise<number> => (await server.nats.jsm.streams.info("KV_seen")).state.messages;

  it.each([
    ["a reply", (subject: string) => ({ headers: flowControl, reply: subject })],
    [
      "a header",
      (subject: string) => ({ headers: block(`NATS/1.0 100 x\r\nNats-Consumer-Stalled: ${subject}`) }),
    ],
  ])("has nothing published for it by %s: the supernode's own may purge all sites", async (_, asking) => {
    await server.nats.connection.request("$KV.seen.a", "{}");
    const found = await listed(({ site, deliver, answer }) => {
      answer('{"num_pending":1}');
      site.publish(deliver, "", asking("$JS.API.STREAM.PURGE.KV_seen"));
    });
    expect(found).toContain("where it may not be");
    await server.nats.connection.flush();
    expect(await kept()).toBe(1);
  });

  it.each([
    ["no JSON", ({ answer }: Asked) => answer("no JSON")],
    ["null for an error", ({ answer }: Asked) => answer('{"error":null}')],
    [
      "headers that are none",
      ({ site, deliver, answer }: Asked) => {
        answer('{"num_pending":1}');
        site.publish(deliver, "", {
          headers: block("NATS/1.0\r\nno key: x"),
        });
      },
    ],
  ])("that sends %s ends the listing, and the connection goes on", async (_, answers) => {
    const { reconnects } = server.nats.link();
    expect(await listed(answers)).not.toBe("whole");
    await server.nats.connection.flush();
    expect(server.nats.link().reconnects).toBe(reconnects);
  });

  it("that sends keys of kinds without end is not compared", async () => {
    const { connection: site } = await server.connect("many");
    await site.request("$KV.ledger.claim.raw.one.0", "{}");
    site.subscribe("$JS.many.API.CONSUMER.CREATE.>", {
      callback: (error, { subject, data, reply = "" }) => {
        if (error !== null) throw error;
        const all = Buffer.from(data).toString().replaceAll("$KV.ledger.file.>", "$KV.ledger.claim.>");
        site.publish(subject.replace("$JS.many.", "$JS."), all, { reply });
      },
    });
    await site.flush();
    await server.nats.jsm.streams.add({ name: "KV_sites", subjects: ["$KV.sites.>"], allow_direct: true });
    const found = await Effect.runPromise(Effect.flip(reconcile(server.nats, { name: "many", epoch: "e" })));
    expect(found).toMatchObject({
      detail: expect.stringContaining("claim is no kind of key that is shared") as unknown,
    });
  });
});
