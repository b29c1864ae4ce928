/**
 * Guiders: files that a catalog takes only once it knows their exposure. In front of a catalog that checks it, in any order of
 * arrival; that never get their exposure; and that must not hold anybody up meanwhile.
 */
import * as Effect from "effect/Effect";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { IngestItem, IngestResult, OpenDriver } from "../../src/drivers/Driver.ts";
import type { State } from "../../src/protocol/records.ts";
import type { TestNats } from "../support/nats.ts";
import { startNats } from "../support/nats.ts";
import type { FileRecord, TestSite } from "../support/testSite.ts";
import { ask, keysOf, recordOf, settled, startSite, until } from "../support/testSite.ts";

const day = "20251121";
const bucket = "raw";
const exposureOf = (seq: number): string => `MC_O_${day}_${String(seq).padStart(6, "0")}`;
const science = (exposure: string, n: number): string =>
  `LSSTCam/${day}/${exposure}/${exposure}_R${String(10 + n)}_S11.fits`;
const guider = (exposure: string, n: number): string =>
  `LSSTCam/${day}/${exposure}/${exposure}_R${String(n).padStart(2, "0")}_SG0_guider.fits`;
const isGuider = (key: string): boolean => key.includes("_guider");

/** A catalog that knows exposures by their science files, as the Butler does, and minds the order. */
class Catalog {
  /** Keys in the order in which they were handed over. */
  readonly asked: Array<string> = [];
  readonly #known = new Set<string>();
  /** Guiders that came before their exposure. */
  readonly early: Array<string> = [];
  readonly bad = new Set<string>();
  readonly #gates = new Map<string, { readonly reach: () => void; readonly opened: Promise<void> }>();

  /** Holds up the batch with this key, once it is reached, until it is opened. */
  gate(key: string): { readonly reached: Promise<void>; readonly open: () => void } {
    const reached = Promise.withResolvers<void>();
    const opened = Promise.withResolvers<void>();
    this.#gates.set(key, { reach: () => reached.resolve(), opened: opened.promise });
    return { reached: reached.promise, open: () => opened.resolve() };
  }

  readonly around = (_lane: unknown, open: OpenDriver): OpenDriver =>
    Effect.map(open, (inner) => ({
      name: inner.name,
      ingest: (items) =>
        Effect.promise(async () => {
          for (const { key } of items) {
            const gate = this.#gates.get(key);
            gate?.reach();
            await gate?.opened;
          }
          // Science first, as one batch would be.
          for (const item of items.filter(({ key }) => !isGuider(key) && !this.bad.has(key)))
            this.#known.add(this.#exposureOf(item));
          return items.map((item) => this.#take(item));
        }),
    }));

  #exposureOf(item: IngestItem): string {
    return item.identity?.exposure ?? "";
  }

  #take(item: IngestItem): IngestResult {
    this.asked.push(item.key);
    expect(item.dependent).toBe(isGuider(item.key));
    if (this.bad.has(item.key)) return { status: "permanent", reason: "bad", detail: "it is" };
    if (!item.dependent || this.#known.has(this.#exposureOf(item))) return { status: "ingested" };
    this.early.push(item.key);
    return { status: "permanent", reason: "no_exposure", detail: "the exposure is not known" };
  }
}

let nats: TestNats;
let catalog: Catalog;
const sites: Array<TestSite> = [];

const siteText = (node: string, lane: string): string => `
name: guiders
node: { name: ${node} }
nats: { mode: external, servers: ["${nats.server.url}"] }
http: { host: 127.0.0.1, port: 0 }
lanes:
  raw:
    kind: exposure
    buckets: [${bucket}]
    pattern: '^(?<instrument>[^/]+)/(?<day>\\d{8})/(?<exposure>[^/]+)/[^/]+_(?<detector>R\\d\\d_S[\\dGW]\\d)(?:_guider)?\\.fits$'
    metadata: key
    ${lane}
presence: { instruments: [LSSTCam] }
`;

async function start(lane: string, node = "guiders-1"): Promise<TestSite> {
  const site = await startSite(siteText(node, lane), { aroundDriver: catalog.around });
  sites.push(site);
  return site;
}

beforeEach(async () => {
  nats = await startNats({ topology: null });
  catalog = new Catalog();
});
afterEach(async () => {
  for (const site of sites.splice(0)) await site.stop();
  await nats.stop();
});

async function notify(site: TestSite, ...keys: ReadonlyArray<string>): Promise<void> {
  const Records = keys.map((key) => ({
    eventName: "ObjectCreated:Put",
    s3: { bucket: { name: bucket }, object: { key, size: 1, eTag: "e" } },
  }));
  const answer = await ask(site, { body: { Records } });
  expect([answer.status, (answer.body as Array<unknown>).length]).toEqual([200, keys.length]);
}

const record = (site: TestSite, key: string): Promise<FileRecord | null> =>
  recordOf(site, "raw", day, bucket, key);
const ends = (site: TestSite, key: string, states?: ReadonlyArray<State>): Promise<FileRecord> =>
  settled(site, "raw", day, bucket, key, states);
const events = ({ history }: FileRecord): ReadonlyArray<string> => history.map(({ event }) => event);
const unharmed = (one: FileRecord): unknown => [one.state, one.attempts, one.crashes, one.errors];

/** Deterministic, and as good as any. */
function shuffled<A>(all: ReadonlyArray<A>, seed: number): ReadonlyArray<A> {
  let state = seed;
  const random = (): number => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return state / 2_147_483_648;
  };
  return all
    .map((one) => [random(), one] as const)
    .sort(([a], [b]) => a - b)
    .map(([, one]) => one);
}

describe("guiders", () => {
  it("before, between and after the images of their exposure: each once, and never before one of them", async () => {
    const site = await start("needs: [{ match: _guider, waitMax: 10 min }]");
    const name = exposureOf(1);
    await notify(site, guider(name, 0));
    expect(events(await ends(site, guider(name, 0), ["waiting"]))).toEqual(["waiting"]);
    await notify(site, science(name, 0));
    expect(events(await ends(site, guider(name, 0)))).toEqual(["waiting", "freed", "known"]);
    await notify(site, guider(name, 1), science(name, 1), guider(name, 2));
    await notify(site, science(name, 2));
    await notify(site, guider(name, 3));
    for (const n of [1, 2, 3]) {
      const late = await ends(site, guider(name, n));
      expect([unharmed(late), events(late)]).toEqual([["known", 0, 0, []], ["known"]]);
    }
    // One notification, guiders first: they need not wait for what is in their own batch.
    const other = exposureOf(2);
    await notify(site, guider(other, 0), guider(other, 1), science(other, 0));
    for (const n of [0, 1]) expect(unharmed(await ends(site, guider(other, n)))).toEqual(["known", 0, 0, []]);
    expect(catalog.early).toEqual([]);
    expect(catalog.asked.toSorted()).toEqual([...new Set(catalog.asked)].toSorted());
    expect((await keysOf(site, "waiting.>")).size).toBe(0);
  });

  it("are freed by the coming of their exposure itself: the sweep is for what that missed", async () => {
    const site = await start("needs: [{ match: _guider, waitMax: 10 min }]");
    const names = Array.from({ length: 5 }, (_, seq) => exposureOf(seq));
    const why: Array<string | undefined> = [];
    for (const name of names) {
      await notify(site, guider(name, 0));
      await ends(site, guider(name, 0), ["waiting"]);
      await notify(site, science(name, 0));
      why.push((await ends(site, guider(name, 0))).history[1]?.detail);
    }
    // The sweep may be the first to see one of them.
    expect(
      why.filter((detail, n) => detail === `exposure.LSSTCam.${day}.${exposureOf(n)} has come`),
    ).not.toEqual([]);
  });

  it.each([1, 2, 3])("in any order, over two nodes with two workers each (order %i)", async (seed) => {
    const lane = "workers: 2, needs: [{ match: _guider, waitMax: 10 min }]".replace(", ", "\n    ");
    const [site] = [await start(lane), await start(lane, "guiders-2")];
    const keys = Array.from({ length: 12 }, (_, seq) => [
      ...[0, 1, 2].map((n) => science(exposureOf(seq), n)),
      ...[0, 1, 2, 3, 4, 5, 6, 7].map((n) => guider(exposureOf(seq), n)),
    ]).flat();
    const order = shuffled(keys, seed);
    // Singly and in small groups, as a store notifies.
    for (let at = 0; at < order.length; at += 1 + (at % 3))
      await notify(site, ...order.slice(at, at + 1 + (at % 3)));
    const records = await Promise.all(keys.map((key) => ends(site, key)));
    expect(records.map(unharmed)).toEqual(keys.map(() => ["known", 0, 0, []]));
    expect(catalog.early).toEqual([]);
    expect(catalog.asked.toSorted()).toEqual(keys.toSorted());
    expect((await keysOf(site, "waiting.>")).size).toBe(0);
  });

  it("whose exposure was settled between the look for it and their own settle are found by the sweep", async () => {
    const site = await start("workers: 2\n    needs: [{ match: _guider, waitMax: 10 min }]");
    const [known, late, plug] = [exposureOf(1), exposureOf(2), exposureOf(3)];
    await notify(site, science(known, 0));
    await ends(site, science(known, 0));
    const [first, second] = [catalog.gate(science(plug, 0)), catalog.gate(science(plug, 1))];
    await notify(site, science(plug, 0));
    await first.reached;
    await notify(site, science(plug, 1));
    await second.reached;
    // Both workers are busy: the next one to be free takes both guiders together, and looks for both exposures before it hands
    // over the one that may be.
    const both = catalog.gate(guider(known, 0));
    await notify(site, guider(known, 0), guider(late, 0));
    first.open();
    await both.reached;
    expect(await record(site, guider(late, 0))).toBeNull();
    await notify(site, science(late, 0));
    second.open();
    await ends(site, science(late, 0));
    both.open();
    const freed = await ends(site, guider(late, 0));
    expect([unharmed(freed), events(freed)]).toEqual([
      ["known", 0, 0, []],
      ["waiting", "freed", "known"],
    ]);
    expect(freed.history[1]?.detail).toContain("as the sweep found");
    expect(catalog.early).toEqual([]);
  });

  it("whose exposure never comes are parked for it, without an attempt, until somebody decides", async () => {
    const site = await start("needs: [{ match: _guider, waitMax: 300 ms }]");
    const name = exposureOf(1);
    await notify(site, guider(name, 0), guider(name, 1));
    for (const n of [0, 1]) {
      const parked = await ends(site, guider(name, n), ["parked"]);
      expect([parked.attempts, parked.crashes, parked.errors.map((one) => [one.class, one.reason])]).toEqual([
        0,
        0,
        [["not-yet", "ExposureNeverCame"]],
      ]);
      // Looked at twice: when it came, and a last time when its time was up.
      expect(events(parked)).toEqual(["waiting", "freed", "parked"]);
    }
    expect(catalog.asked).toEqual([]);
    const index = [...(await keysOf(site, "parked.>")).values()].map((one) => one["reason"]);
    expect(index).toEqual(["ExposureNeverCame", "ExposureNeverCame"]);
    expect((await keysOf(site, "waiting.>")).size).toBe(0);
    // Images that come later go their way; what is parked is for somebody to decide.
    await notify(site, science(name, 0));
    await ends(site, science(name, 0));
    expect((await record(site, guider(name, 0)))?.state).toBe("parked");
  });

  it("whose only image is bad go on waiting for another", async () => {
    const site = await start("needs: [{ match: _guider, waitMax: 10 min }]");
    const name = exposureOf(1);
    const bad = science(name, 80);
    catalog.bad.add(bad);
    await notify(site, guider(name, 0), bad);
    expect((await ends(site, bad)).state).toBe("parked");
    expect((await ends(site, guider(name, 0), ["waiting"])).attempts).toBe(0);
    await notify(site, science(name, 0));
    expect(unharmed(await ends(site, guider(name, 0)))).toEqual(["known", 0, 0, []]);
  });

  it("go on waiting over a restart, for what is left of their time", async () => {
    const site = await start("needs: [{ match: _guider, waitMax: 10 min }]");
    const name = exposureOf(1);
    await notify(site, guider(name, 0));
    const before = await ends(site, guider(name, 0), ["waiting"]);
    await sites.pop()?.stop();
    const again = await start("needs: [{ match: _guider, waitMax: 10 min }]");
    expect((await record(again, guider(name, 0)))?.waitUntil).toBe(before.waitUntil);
    await notify(again, science(name, 0));
    expect(unharmed(await ends(again, guider(name, 0)))).toEqual(["known", 0, 0, []]);
  });

  it("of a lane of their own, of whatever kind, wait for the images of another lane", async () => {
    const site = await start(`accept: '(?<!_guider)\\.fits$'
  guiders:
    kind: object
    buckets: [${bucket}]
    accept: '_guider\\.fits$'
    pattern: '^(?<instrument>[^/]+)/(?<day>\\d{8})/(?<exposure>[^/]+)/'
    metadata: key
    needs: [{ match: _guider, waitMax: 10 min }]`);
    const name = exposureOf(1);
    const of = (states?: ReadonlyArray<State>): Promise<FileRecord> =>
      settled(site, "guiders", day, bucket, guider(name, 0), states);
    await notify(site, guider(name, 0));
    expect((await of(["waiting", "known"])).state).toBe("waiting");
    await notify(site, science(name, 0));
    expect(events(await of())).toEqual(["waiting", "freed", "known"]);
    expect(catalog.early).toEqual([]);
  });
});

describe("fifty guiders that wait", () => {
  it("hold nobody: no file is handed over after them, and they are not looked at again until their own exposure comes", async () => {
    const site = await start("batchMax: 20\n    needs: [{ match: _guider, waitMax: 10 min }]");
    const lonely = Array.from({ length: 50 }, (_, n) => guider(exposureOf(500 + (n % 5)), Math.floor(n / 5)));
    await notify(site, ...lonely);
    for (const key of lonely) await ends(site, key, ["waiting"]);
    const images = Array.from({ length: 300 }, (_, n) =>
      science(exposureOf(1 + (n % 30)), Math.floor(n / 30)),
    );
    const before = await nats.nats.jsm.streams.info("KV_ledger");
    for (let at = 0; at < images.length; at += 30) await notify(site, ...images.slice(at, at + 30));
    for (const key of images) expect((await ends(site, key)).state).toBe("known");
    const after = await nats.nats.jsm.streams.info("KV_ledger");
    // Each image once, in the order of its arrival; of the guiders nothing.
    expect(catalog.asked).toEqual(images);
    const waiting = await Promise.all(lonely.map((key) => record(site, key)));
    expect(waiting.map((one) => [one?.state, one?.generation, one?.history.length])).toEqual(
      lonely.map(() => ["waiting", 1, 1]),
    );
    // What the ledger wrote meanwhile is the images' own: a record each, an exposure and two of the slot for a claim of them.
    const claims = after.state.last_seq - before.state.last_seq - images.length;
    expect(claims).toBeLessThanOrEqual(images.length * 3);
    const first = exposureOf(500);
    await notify(site, science(first, 0));
    const own = lonely.filter((key) => key.includes(first));
    for (const key of own) expect(events(await ends(site, key))).toEqual(["waiting", "freed", "known"]);
    const others = lonely.filter((key) => !key.includes(first));
    const still = await Promise.all(others.map((key) => record(site, key)));
    expect(still.map((one) => [one?.state, one?.history.length])).toEqual(others.map(() => ["waiting", 1]));
    expect(catalog.asked.slice(images.length).toSorted()).toEqual([science(first, 0), ...own].toSorted());
    await until(
      () => keysOf(site, "waiting.>"),
      (keys) => keys.size === others.length,
    );
  });
});
