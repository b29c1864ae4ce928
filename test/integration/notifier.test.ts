/** Receivers that are told of exposures: down, slow, refusing and well; one node, two nodes, and a node that is killed. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DeliverPolicy } from "@nats-io/jetstream";
import * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { followersOf } from "../../src/cli/followers.ts";
import type { CatalogAway, IngestResult, OpenDriver } from "../../src/drivers/Driver.ts";
import type { Write } from "../../src/jetstream/transaction.ts";
import { commitUnsafe, ledgerPut } from "../../src/jetstream/transaction.ts";
import { arrivalsConsumer, receiverConsumer } from "../../src/jetstream/topology.ts";
import { getRecordUnsafe, scanUnsafe } from "../../src/jetstream/ledger.ts";
import { arrivalsStream, notifiedKey, objectTail, recordKey } from "../../src/protocol/keys.ts";
import { discarded } from "../../src/protocol/lifecycle.ts";
import type { FileBody, LedgerRecord } from "../../src/protocol/records.ts";
import { encodeJson } from "../../src/protocol/records.ts";
import type { NotifiedRecord } from "../../src/protocol/webhooks.ts";
import { canary } from "../support/canaries.ts";
import type { TestNats } from "../support/nats.ts";
import { startNats } from "../support/nats.ts";
import { NodeProcess } from "../support/nodeProcess.ts";
import { Receiver } from "../support/receiver.ts";
import { ServerProcess } from "../support/server.ts";
import type { TestSite } from "../support/testSite.ts";
import { ask, counted, keysOf, recordOf, settled, startSite, until } from "../support/testSite.ts";

const day = "20251121";
const bucket = "rubin-raw";
const quick = "backoffBase: 20 ms, backoffMax: 100 ms";

interface Told {
  readonly url: string;
  readonly more?: string;
}

const siteText = (server: string, node: string, webhooks: Readonly<Record<string, Told>>): string => `
name: told
node: { name: ${node} }
nats: { mode: external, servers: ["${server}"] }
http: { host: 127.0.0.1, port: 0 }
lanes:
  raw:
    kind: exposure
    buckets: [${bucket}]
    pattern: '^(?<instrument>[^/]+)/(?<day>\\d{8})/(?<exposure>[^/]+)/[^/]+_(?<detector>R\\d\\d_S\\d\\d)\\.fits$'
    metadata: key
  lfa:
    kind: object
    buckets: [rubinobs-lfa-cp]
    accept: .
    pattern: '^(?<instrument>[^/]+)/(?<day>\\d{8})/(?<exposure>[^/]+)/'
    metadata: key
webhooks:
${Object.entries(webhooks)
  .map(([name, { url, more = quick }]) => `  ${name}: { url: "${url}", ${more} }`)
  .join("\n")}
presence: { instruments: [LSSTCam] }
`;

const exposureOf = (n: number): string => `MC_O_${day}_${String(n).padStart(6, "0")}`;
const fileOf = (exposure: string, n: number): string =>
  `${exposure}_R${String(Math.floor(n / 10)).padStart(2, "0")}_S0${n % 10}.fits`;
const keyOf = (exposure: string, n: number): string => `LSSTCam/${day}/${exposure}/${fileOf(exposure, n)}`;
const filesOf = (exposure: string, count: number): ReadonlyArray<string> =>
  Array.from({ length: count }, (_, n) => fileOf(exposure, n)).sort();

async function notify(site: TestSite, keys: ReadonlyArray<string>, of = bucket, etag = "e1"): Promise<void> {
  const Records = keys.map((key) => ({
    eventName: "ObjectCreated:Put",
    s3: { bucket: { name: of }, object: { key, size: 2880, eTag: etag } },
  }));
  const answer = await ask(site, { body: { Records } });
  expect([answer.status, (answer.body as Array<unknown>).length]).toEqual([200, keys.length]);
}

const exposure = (site: TestSite, name: string, count: number): Promise<void> =>
  notify(
    site,
    Array.from({ length: count }, (_, n) => keyOf(name, n)),
  );

const sorted = (names: ReadonlyArray<string>): ReadonlyArray<string> => [...names].sort();

/** Nothing is left to be told: what was not told by now never will be. */
async function toldAll(nats: TestNats, receiver: string): Promise<void> {
  await until(
    () => nats.nats.jsm.consumers.info("KV_ledger", receiverConsumer(receiver)),
    (info) => info.num_pending === 0 && info.num_ack_pending === 0,
  );
}

const known = (site: TestSite, count: number): Promise<unknown> =>
  until(
    async () =>
      [...(await keysOf(site, "file.raw.>")).values()].filter((record) => record["state"] === "known").length,
    (found) => found === count,
  );

const notifiedOf = async (
  site: TestSite,
  receiver: string,
  name: string,
): Promise<NotifiedRecord | undefined> => {
  const key = notifiedKey(receiver, day, "LSSTCam", name);
  return (await keysOf(site, key)).get(key) as NotifiedRecord | undefined;
};

async function heldOf(nats: TestNats, key: string): Promise<readonly [string, LedgerRecord | null]> {
  const name = recordKey({ mailbox: "raw", day, tail: objectTail(bucket, key) });
  return [name, (await getRecordUnsafe(nats.nats, name))?.record ?? null];
}

/** File names of an exposure in the order in which the ledger has them. */
async function orderOf(site: TestSite, name: string): Promise<ReadonlyArray<string>> {
  const order: Array<string> = [];
  await scanUnsafe(site.node.context.nats, "ledger", ["file.raw.>"], (entry) => {
    if (entry.key.includes(name)) order.push(entry.key.slice(entry.key.lastIndexOf("/") + 1));
  });
  return order;
}

describe("a receiver of webhooks", () => {
  let nats: TestNats;
  let receiver: Receiver;
  const sites: Array<TestSite> = [];
  const start = async (
    webhooks: Readonly<Record<string, Told>> = { summit: { url: receiver.url } },
    node = "told-1",
  ): Promise<TestSite> => {
    const site = await startSite(siteText(nats.server.url, node, webhooks), {
      env: { SUMMIT_TOKEN: `Bearer ${canary("receiver")}` },
    });
    sites.push(site);
    return site;
  };

  beforeEach(async () => {
    nats = await startNats({ topology: null });
    receiver = await Receiver.start();
  });
  afterEach(async () => {
    receiver.release();
    for (const site of sites.splice(0)) await site.stop();
    await receiver.down();
    await nats.stop();
  });

  it("is told of each file of an exposure once, and of no object", async () => {
    const site = await start({
      summit: {
        url: receiver.url,
        more: `${quick}, headers: { Authorization: env:SUMMIT_TOKEN, X-Site: told }`,
      },
    });
    await notify(site, [`LSSTCam/${day}/x/a.txt`], "rubinobs-lfa-cp");
    await settled(site, "lfa", day, "rubinobs-lfa-cp", `LSSTCam/${day}/x/a.txt`);
    const name = exposureOf(1);
    await exposure(site, name, 30);
    await until(
      () => receiver.filesOf(name).length,
      (count) => count === 30,
    );
    await toldAll(nats, "summit");
    expect(sorted(receiver.filesOf(name))).toEqual(filesOf(name, 30));
    expect(new Set(receiver.requests.map((one) => one.exposure))).toEqual(new Set([name]));
    const [first] = receiver.requests;
    expect(Object.keys(first?.body ?? {}).sort()).toEqual(["exp_id", "filenames"]);
    expect(first?.headers).toMatchObject({
      "content-type": "application/json",
      authorization: `Bearer ${canary("receiver")}`,
      "x-site": "told",
    });
    expect(first?.key).toMatch(/^[0-9a-f]{32}$/);
    // Written after the last answer, before the acknowledgement.
    const found = await Effect.runPromise(
      followersOf(site.node.site, nats.nats, "raw", ...(await heldOf(nats, keyOf(name, 0)))),
    );
    expect(found).toEqual([["told", expect.stringMatching(/^summit, last at 2.* UTC$/)]]);
    expect(await notifiedOf(site, "summit", name)).toMatchObject({
      accepted: receiver.requests.length,
      refused: [],
    });
    // Far fewer requests than files: what is settled together goes together.
    expect(receiver.requests.length).toBeLessThan(15);
  });

  it("is not told again of duplicates, of refused content, of what somebody discards, or after a restart", async () => {
    let site = await start();
    const name = exposureOf(2);
    const key = keyOf(name, 0);
    await exposure(site, name, 3);
    await until(
      () => receiver.filesOf(name).length,
      (count) => count === 3,
    );
    await toldAll(nats, "summit");
    const before = receiver.requests.length;
    await exposure(site, name, 3);
    await notify(site, [key], bucket, "e2");
    await until(
      () => recordOf(site, "raw", day, bucket, key),
      (record) => record?.refused?.length === 1,
    );
    await toldAll(nats, "summit");
    const place = { mailbox: "raw", day, tail: objectTail(bucket, key) };
    const held = await getRecordUnsafe<FileBody>(nats.nats, recordKey(place));
    if (held === null) throw new Error("no record");
    const gone = discarded(
      place,
      held.record,
      { now: Date.now(), random: 0, node: "x", claim: null },
      "not ours",
    );
    const write: Write = ledgerPut(held.key, encodeJson(gone.record), held.revision);
    expect(await commitUnsafe(nats.nats, "discard", [write], 5_000)).not.toHaveProperty("_tag");
    await toldAll(nats, "summit");
    await sites.pop()?.stop();
    site = await start();
    await exposure(site, exposureOf(3), 1);
    await until(
      () => receiver.filesOf(exposureOf(3)).length,
      (count) => count === 1,
    );
    expect(receiver.requests).toHaveLength(before + 1);
  });

  it("is not told of what the catalog had before, but of what may be an earlier try of ours", async () => {
    const [had, ours] = [exposureOf(5), exposureOf(6)];
    let calls = 0;
    const aroundDriver = (_lane: unknown, open: OpenDriver): OpenDriver =>
      Effect.map(open, (inner) => ({
        name: inner.name,
        ingest: (items) => {
          // The answer to the first try of ours is lost.
          if (items.some((item) => item.key.includes(ours)) && calls++ === 0) {
            return Effect.fail({ _tag: "CatalogAway", detail: "gone" } as const);
          }
          return Effect.succeed(items.map((): IngestResult => ({ status: "duplicate" })));
        },
      }));
    const site = await startSite(siteText(nats.server.url, "told-1", { summit: { url: receiver.url } }), {
      aroundDriver,
    });
    sites.push(site);
    await exposure(site, had, 2);
    await known(site, 2);
    await exposure(site, ours, 2);
    await known(site, 4);
    await until(
      () => receiver.filesOf(ours).length,
      (count) => count === 2,
    );
    await toldAll(nats, "summit");
    expect(receiver.requests.map((one) => one.exposure)).toEqual([ours]);
    expect((await recordOf(site, "raw", day, bucket, keyOf(had, 0)))?.body.catalogHadIt).toBe(true);
  });

  describe("when the server has forgotten what it delivered", () => {
    const consumer = arrivalsConsumer("raw");
    /** As after a kill: everything not acknowledged is delivered again, for the first time as it seems. */
    const forget = async (): Promise<void> => {
      const { consumers } = nats.nats.jsm;
      const { config, ack_floor } = await consumers.info(arrivalsStream, consumer);
      await consumers.delete(arrivalsStream, consumer);
      await consumers.add(arrivalsStream, {
        ...config,
        deliver_policy: DeliverPolicy.StartSequence,
        opt_start_seq: ack_floor.stream_seq + 1,
      });
    };
    const duplicates: OpenDriver = Effect.succeed({
      name: "catalog",
      ingest: (items) => Effect.succeed(items.map((): IngestResult => ({ status: "duplicate" }))),
    });
    const siteOf = async (node: string, first: Effect.Effect<void, CatalogAway>): Promise<TestSite> => {
      let calls = 0;
      const site = await startSite(siteText(nats.server.url, node, { summit: { url: receiver.url } }), {
        aroundDriver: () =>
          Effect.map(duplicates, (inner) => ({
            ...inner,
            ingest: (items) =>
              calls++ === 0 ? Effect.andThen(first, inner.ingest(items)) : inner.ingest(items),
          })),
      });
      sites.push(site);
      return site;
    };

    it("is told of what was given back, and of nothing that came later and that the catalog had", async () => {
      const [ours, had] = [exposureOf(7), exposureOf(8)];
      const away = Effect.fail({ _tag: "CatalogAway", detail: "gone" } as const);
      const site = await siteOf("told-1", Effect.andThen(Effect.promise(forget), away));
      await exposure(site, ours, 2);
      await known(site, 2);
      await until(
        () => receiver.filesOf(ours).length,
        (count) => count === 2,
      );
      await until(
        () => nats.nats.jsm.consumers.info(arrivalsStream, consumer),
        (info) => info.num_pending + info.num_ack_pending === 0,
      );
      await exposure(site, had, 2);
      await known(site, 4);
      await toldAll(nats, "summit");
      expect(receiver.filesOf(had)).toEqual([]);
    });

    it("is told of what another node has in hand, or has just settled", async () => {
      const [held, name] = [Deferred.makeUnsafe<void>(), exposureOf(9)];
      let forgotten = false;
      const firstForgets = Effect.suspend(() => {
        if (forgotten) return Effect.void;
        forgotten = true;
        return Effect.andThen(Effect.promise(forget), Deferred.await(held));
      });
      await siteOf("told-1", firstForgets);
      const other = await siteOf("told-2", firstForgets);
      // The second node would have taken it, too: whichever does first forgets that, and waits.
      await exposure(other, name, 1);
      await known(other, 1);
      await toldAll(nats, "summit");
      Deferred.doneUnsafe(held, Effect.void);
      expect(receiver.filesOf(name)).toEqual(filesOf(name, 1));
    });
  });

  it("that was rewritten before it was told is told all the same", async () => {
    receiver.behaviour = () => 503;
    const site = await start();
    const name = exposureOf(4);
    const key = keyOf(name, 0);
    await exposure(site, name, 1);
    await settled(site, "raw", day, bucket, key);
    await notify(site, [key], bucket, "e2");
    await until(
      () => recordOf(site, "raw", day, bucket, key),
      (record) => record?.refused?.length === 1,
    );
    receiver.behaviour = () => 200;
    await until(
      () => receiver.filesOf(name).length,
      (count) => count > 0,
    );
    await toldAll(nats, "summit");
    expect(receiver.filesOf(name)).toEqual([fileOf(name, 0)]);
  });

  it("that was down gets each exposure, in the order of the ledger for each, and nothing else waited", async () => {
    await receiver.down();
    const site = await start();
    const names = [10, 11, 12, 13, 14].map(exposureOf);
    for (let n = 0; n < 40; n += 4) {
      for (const name of names)
        await notify(
          site,
          [0, 1, 2, 3].map((i) => keyOf(name, n + i)),
        );
    }
    await known(site, 200);
    await until(
      () => counted(site, "webhooks.summit.again"),
      (count) => count > 10,
    );
    // Its first answers are failures, too.
    let answers = 0;
    receiver.behaviour = () => (++answers % 3 === 0 ? 500 : 200);
    await receiver.up();
    await until(
      () => names.map((name) => receiver.filesOf(name).length),
      (counts) => counts.every((count) => count === 40),
    );
    await toldAll(nats, "summit");
    for (const name of names) {
      const order = await orderOf(site, name);
      expect(order).toHaveLength(40);
      expect(receiver.filesOf(name)).toEqual(order);
    }
    // Each try of a request is the same request.
    const bodies = new Map<string, string>();
    for (const { key, body } of receiver.requests) {
      expect(bodies.get(key) ?? JSON.stringify(body)).toBe(JSON.stringify(body));
      bodies.set(key, JSON.stringify(body));
    }
    expect(counted(site, "items.raw.done")).toBe(200);
  });

  it("that is slow holds nobody but itself", async () => {
    receiver.behaviour = () => "hold";
    const other = await Receiver.start();
    try {
      const patient = "timeout: 10 min, inFlightMax: 2";
      const site = await start({ summit: { url: receiver.url, more: patient }, base: { url: other.url } });
      const names = Array.from({ length: 20 }, (_, n) => exposureOf(20 + n));
      for (const name of names) await exposure(site, name, 10);
      await known(site, 200);
      await until(
        () => names.map((name) => other.filesOf(name).length),
        (counts) => counts.every((count) => count === 10),
      );
      // Not one of its answers has come.
      expect([receiver.held, receiver.accepted.length]).toEqual([2, 0]);
      receiver.behaviour = () => 200;
      receiver.release();
      await until(
        () => names.map((name) => receiver.filesOf(name).length),
        (counts) => counts.every((count) => count === 10),
      );
      // What gathered while the receiver was slow went together.
      expect(receiver.requests.length).toBeLessThanOrEqual(2 * names.length);
    } finally {
      await other.down();
    }
  });

  it("that refuses a request is left with it, and told of all others", async () => {
    const [bad, good] = [exposureOf(50), exposureOf(51)];
    receiver.behaviour = ({ exposure: name }) => (name === bad ? 422 : 200);
    const site = await start();
    await exposure(site, bad, 2);
    await exposure(site, good, 2);
    await until(
      () => receiver.filesOf(good).length,
      (count) => count === 2,
    );
    await toldAll(nats, "summit");
    const found = await Effect.runPromise(
      followersOf(site.node.site, nats.nats, "raw", ...(await heldOf(nats, keyOf(bad, 0)))),
    );
    expect(found).toEqual([["not told", "summit: HTTP 422: no, with 422"]]);
    const told = await notifiedOf(site, "summit", bad);
    expect(told?.accepted).toBe(0);
    expect(sorted(told?.refused.flatMap((one) => one.filenames) ?? [])).toEqual(filesOf(bad, 2));
    expect(told?.refused[0]?.reason).toBe("HTTP 422: no, with 422");
    const refused = receiver.requests.filter((one) => one.exposure === bad);
    expect(refused).toHaveLength(told?.refused.length ?? 0);
    expect(counted(site, "webhooks.summit.refused")).toBe(refused.length);
    expect(site.log.filter((line) => line.fields["exposure"] === bad).map((line) => line.level)).toContain(
      "error",
    );
  });

  it("whose door is shut is told once it is open, however long that takes", async () => {
    receiver.behaviour = () => 401;
    const site = await start({ summit: { url: receiver.url, more: `${quick}, attemptsMax: 2` } });
    const name = exposureOf(60);
    await exposure(site, name, 1);
    await until(
      () => receiver.requests.length,
      (count) => count >= 6,
    );
    receiver.behaviour = () => 200;
    await until(
      () => receiver.filesOf(name).length,
      (count) => count === 1,
    );
    await toldAll(nats, "summit");
    expect(await notifiedOf(site, "summit", name)).toMatchObject({ refused: [] });
  });

  it("that fails on one exposure again and again is not asked for ever, while it takes others", async () => {
    const bad = exposureOf(70);
    receiver.behaviour = ({ exposure: name }) => (name === bad ? 500 : 200);
    const site = await start({ summit: { url: receiver.url, more: `${quick}, attemptsMax: 3` } });
    await exposure(site, bad, 1);
    for (let n = 0; (await notifiedOf(site, "summit", bad)) === undefined; n++) {
      await exposure(site, exposureOf(100 + n), 1);
      await until(
        () => receiver.filesOf(exposureOf(100 + n)).length,
        (count) => count === 1,
      );
    }
    const told = await notifiedOf(site, "summit", bad);
    expect(told?.refused[0]?.reason).toMatch(/^given up after \d+ tries: HTTP 500/);
    expect(counted(site, "webhooks.summit.given-up")).toBe(1);
    await toldAll(nats, "summit");
  });

  it("is told by one node at a time, and by the other once that is gone", async () => {
    const first = await start(undefined, "told-1");
    const second = await start(undefined, "told-2");
    const names = Array.from({ length: 8 }, (_, n) => exposureOf(200 + n));
    for (const name of names) await exposure(first, name, 20);
    await until(
      () => names.map((name) => receiver.filesOf(name).length),
      (counts) => counts.every((count) => count === 20),
    );
    await toldAll(nats, "summit");
    for (const name of names) expect(receiver.filesOf(name)).toEqual(await orderOf(first, name));
    const told = (site: TestSite): number => counted(site, "webhooks.summit.accepted");
    const [busy, idle] = told(first) > 0 ? [first, second] : [second, first];
    expect([told(busy), told(idle)]).toEqual([receiver.requests.length, 0]);
    await busy.stop();
    sites.splice(sites.indexOf(busy), 1);
    const last = exposureOf(300);
    await exposure(idle, last, 20);
    await until(
      () => receiver.filesOf(last).length,
      (count) => count === 20,
    );
    expect(receiver.filesOf(last)).toEqual(await orderOf(idle, last));
  });
});

describe("a nats-server that is killed", () => {
  it("with requests under way: each file is told in order, and so is what comes afterwards", async () => {
    const server = await ServerProcess.start({ syncAlways: true });
    const receiver = await Receiver.start();
    const site = await startSite(siteText(server.url, "told-1", { summit: { url: receiver.url } }));
    try {
      const [before, during, after] = [exposureOf(1), exposureOf(2), exposureOf(3)];
      await exposure(site, before, 10);
      await until(
        () => receiver.filesOf(before).length,
        (count) => count === 10,
      );
      receiver.behaviour = () => "hold";
      await exposure(site, during, 10);
      await until(
        () => receiver.held,
        (held) => held > 0,
      );
      await known(site, 20);
      await server.kill9();
      // The receiver takes it while nobody can note that it did.
      receiver.behaviour = () => 200;
      receiver.release();
      await server.start();
      await until(
        () => site.node.context.nats.link().connected,
        (connected) => connected,
      );
      await until(
        () => ask(site, { body: { Records: [] } }),
        (answer) => answer.status === 200,
      );
      await exposure(site, after, 10);
      await until(
        () => [during, after].map((name) => receiver.filesOf(name).length),
        ([a = 0, b = 0]) => a >= 10 && b >= 10,
        40_000,
      );
      for (const name of [before, during, after]) {
        // At least once: what is told again comes after what was told first, in the same order.
        expect([...new Set(receiver.filesOf(name))]).toEqual(await orderOf(site, name));
      }
      expect(receiver.filesOf(before)).toHaveLength(10);
    } finally {
      receiver.release();
      await site.stop();
      await receiver.down();
      await server.end();
    }
  });
});

describe("a node that is killed", () => {
  let nats: TestNats;
  let folder = "";
  beforeAll(async () => {
    nats = await startNats({ topology: null });
    folder = mkdtempSync(join(tmpdir(), "orrery-notifier-"));
  });
  afterAll(async () => {
    await nats.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  it("with requests under way: each file is told, in order, and none again whose answer was noted", async () => {
    const receiver = await Receiver.start();
    const site = join(folder, "site.yaml");
    writeFileSync(site, siteText(nats.server.url, "told-1", { summit: { url: receiver.url } }));
    const plan = { site, node: "told-1", logFile: join(folder, "log"), ingestFile: join(folder, "ingest") };
    const life = (): NodeProcess =>
      new NodeProcess({ ...plan, delayMs: 0, killOn: null }, join(folder, "plan.json"));
    const post = async (http: string, name: string, from: number, to: number): Promise<void> => {
      const Records = Array.from({ length: to - from }, (_, n) => ({
        eventName: "ObjectCreated:Put",
        s3: { bucket: { name: bucket }, object: { key: keyOf(name, from + n), size: 1, eTag: "e" } },
      }));
      const answer = await fetch(`${http}/notify`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ Records }),
      });
      expect(answer.status).toBe(200);
    };
    let node = life();
    try {
      const [noted, cut] = [exposureOf(1), exposureOf(2)];
      const { http } = await node.ready;
      await post(http, noted, 0, 10);
      await until(
        () => receiver.filesOf(noted).length,
        (count) => count === 10,
      );
      await toldAll(nats, "summit");
      receiver.behaviour = () => "hold";
      await post(http, cut, 0, 5);
      await until(
        () => receiver.held,
        (held) => held > 0,
      );
      await post(http, cut, 5, 10);
      await node.kill9();
      receiver.behaviour = () => 200;
      node = life();
      await node.ready;
      await until(
        () => receiver.filesOf(cut).length,
        (count) => count >= 10,
        40_000,
      );
      await toldAll(nats, "summit");
      expect(receiver.filesOf(cut)).toHaveLength(10);
      expect(sorted(receiver.filesOf(cut))).toEqual(filesOf(cut, 10));
      expect(new Set(receiver.filesOf(cut).slice(0, 5))).toEqual(new Set(filesOf(cut, 5)));
      expect(receiver.filesOf(noted)).toHaveLength(10);
    } finally {
      await node.kill9();
      await receiver.down();
    }
  });
});
