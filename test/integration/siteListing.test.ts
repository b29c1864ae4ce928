/**
 * A site's ledger listed from the supernode is whole or it ends, whatever happens there meanwhile. On one server, where the test passes on
 * what the supernode asks of a site.
 */
import { afterAll, beforeAll, expect, it } from "vitest";
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
}, 30_000);
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
}, 9_000);
