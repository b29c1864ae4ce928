/** Nodes of neighbouring versions on one ledger: what a newer one may have written. */
import * as Effect from "effect/Effect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { apply, plan, topologyOf } from "../../src/jetstream/topology.ts";
import { commit, ledgerPut } from "../../src/jetstream/transaction.ts";
import { kvStream, ledgerBucket } from "../../src/protocol/keys.ts";
import { encodeJson, ledgerFormat } from "../../src/protocol/records.ts";
import type { TestNats } from "../support/nats.ts";
import { startNats } from "../support/nats.ts";
import { ask, recordOf, settled, startSite, until } from "../support/testSite.ts";

let nats: TestNats;
const text = (server: string): string => `
name: format
node: { name: one }
nats: { mode: external, servers: ["${server}"] }
http: { host: 127.0.0.1, port: 0 }
lanes: { raw: { kind: object, buckets: [raw], metadata: key, onContentChange: supersede } }
`;
const topology = topologyOf({
  lanes: ["raw"],
  runLanes: [],
  items: [],
  follows: [],
  replicas: 1,
  duplicateWindowMs: 120_000,
});

beforeAll(async () => {
  nats = await startNats({ topology: null });
});
afterAll(() => nats?.stop());

const send = (site: Awaited<ReturnType<typeof startSite>>, key: string, etag: string) =>
  ask(site, {
    body: {
      Records: [
        {
          eventName: "ObjectCreated:Put",
          s3: { bucket: { name: "raw" }, object: { key, eTag: etag, size: 1 } },
        },
      ],
    },
  });

describe("a site's ledger", () => {
  it("says its format, and fields that a newer program added survive an older one's write", async () => {
    const site = await startSite(text(nats.server.url));
    try {
      const { jsm } = site.node.context.nats;
      const { config } = await jsm.streams.info(kvStream(ledgerBucket));
      expect(config.metadata).toMatchObject({ "orrery.format": String(ledgerFormat) });
      const differs = (await Effect.runPromise(plan(site.node.context.nats, topology))).filter(
        ({ asset }) => asset === `stream ${kvStream(ledgerBucket)}`,
      );
      expect(differs).toEqual([]);

      await send(site, "a.txt", "e1");
      await settled(site, "raw", "-", "raw", "a.txt");
      const known = await recordOf(site, "raw", "-", "raw", "a.txt");
      const newer = { ...known, v: 2, sealed: { by: "a newer program" } };
      const key = "file.raw.-.raw/a.txt";
      await Effect.runPromise(
        commit(site.node.context.nats, "as a newer program", [ledgerPut(key, encodeJson(newer))]),
      );
      await send(site, "a.txt", "e2");
      const rewritten = await until(
        () => recordOf(site, "raw", "-", "raw", "a.txt"),
        (record) => record?.etag === "e2",
      );
      expect(rewritten).toMatchObject({
        etag: "e2",
        sealed: { by: "a newer program" },
      });
    } finally {
      await site.stop();
    }
  });

  it("keeps a newer program's words in its metadata, also when something of it is put right", async () => {
    const site = await startSite(text(nats.server.url));
    try {
      const { jsm } = site.node.context.nats;
      const name = kvStream(ledgerBucket);
      const { config } = await jsm.streams.info(name);
      const metadata = { ...config.metadata, "orrery.minor": "7" };
      await jsm.streams.update(name, { ...config, metadata, allow_direct: false });
      const changes = await Effect.runPromise(apply(site.node.context.nats, topology));
      expect(changes.map(({ asset }) => asset)).toContain(`stream ${name}`);
      const after = (await jsm.streams.info(name)).config;
      expect(after.allow_direct).toBe(true);
      expect(after.metadata).toMatchObject({ "orrery.format": String(ledgerFormat), "orrery.minor": "7" });
    } finally {
      await site.stop();
    }
  });

  it("of a newer format is left alone, and the node says why it does not start", async () => {
    const site = await startSite(text(nats.server.url));
    const { jsm } = site.node.context.nats;
    const name = kvStream(ledgerBucket);
    const { config } = await jsm.streams.info(name);
    await jsm.streams.update(name, { ...config, metadata: { ...config.metadata, "orrery.format": "9" } });
    await site.stop();
    await expect(startSite(text(nats.server.url))).rejects.toThrow(/format 9.*knows formats up to 1/);
  });
});
