/** Tonight before replays, and no lane in another's way: what `orrery replay` announces waits for whatever else its lane has. */
import * as Effect from "effect/Effect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FrontDoor } from "../../src/actors/frontDoor.ts";
import { mailboxState } from "../../src/jetstream/survey.ts";
import { arrivalsConsumer, replaysConsumer } from "../../src/jetstream/topology.ts";
import { laterItemsMax } from "../../src/limits.ts";
import { replayed } from "../../src/protocol/arrival.ts";
import { arrivalsStream } from "../../src/protocol/keys.ts";
import { ServerProcess } from "../support/server.ts";
import type { TestSite } from "../support/testSite.ts";
import { ask, counted, keysOf, recordOf, settled, startSite, until } from "../support/testSite.ts";

const lane = "camera";
const day = "20251121";
const backlog = 20_000;

const siteText = (server: string): string => `
name: priority
node: { name: priority-1 }
nats: { mode: external, servers: ["${server}"] }
http: { host: 127.0.0.1, port: 0 }
lanes:
  ${lane}:
    kind: exposure
    buckets: [raw]
    storage: null
    metadata: key
    accept: '\\.fits$'
    pattern: '^(?<instrument>[^/]+)/(?<day>\\d{8})/(?<exposure>[^/]+)/[^/]+_(?<detector>R\\d\\d_S\\d\\d)\\.fits$'
    workers: 1
    batchMax: 300
    backoffBase: 20 ms
    backoffMax: 20 ms
    attemptsMax: 5
  stuck: { kind: object, buckets: [stuck], workers: 1, workDeadline: 10 min }
`;

const keyOf = (exposure: string, detector = "R22_S11"): string =>
  `LSSTCam/${day}/${exposure}/${exposure}_${detector}.fits`;

describe("tonight and what is replayed", () => {
  let server: ServerProcess;
  let site: TestSite;
  /** Keys in the order in which the driver was given them, and how many at once. */
  const given: Array<string> = [];
  const batches: Array<number> = [];
  /** While it is set, lane `camera` works on nothing. */
  let hold: Promise<void> | null = null;
  let release: () => void = () => undefined;
  const failOnce = new Set<string>();

  beforeAll(async () => {
    server = await ServerProcess.start();
    site = await startSite(siteText(server.url), {
      aroundDriver: (of, open) =>
        Effect.map(open, (driver) => ({
          name: driver.name,
          ingest: (items) =>
            of.name === "stuck"
              ? Effect.never
              : Effect.gen(function* () {
                  yield* Effect.promise(() => hold ?? Promise.resolve());
                  given.push(...items.map(({ key }) => key));
                  batches.push(items.length);
                  const results = yield* driver.ingest(items);
                  return results.map((result, i) =>
                    failOnce.delete(items[i]?.key ?? "")
                      ? ({ status: "retry", reason: "Once", detail: "this once" } as const)
                      : result,
                  );
                }),
        })),
    });
  });
  afterAll(async () => {
    release();
    await site.stop();
    await server.end();
  });

  const nats = () => site.node.context.nats;
  const waiting = async (consumer: string): Promise<number> => {
    const state = await Effect.runPromise(mailboxState(nats(), arrivalsStream, consumer));
    return (state?.queued ?? 0) + (state?.inHand ?? 0);
  };
  /** As `orrery replay` announces them. */
  async function replay(keys: ReadonlyArray<string>): Promise<void> {
    const door = new FrontDoor(site.node.context, site.node.site);
    for (let at = 0; at < keys.length; at += 2_000) {
      const admissions = await Promise.all(
        keys
          .slice(at, at + 2_000)
          .map((key) => door.announce({ bucket: "raw", key, etag: "e", size: 1 }, replayed)),
      );
      for (const admission of admissions) {
        expect(admission).toMatchObject({ type: "queued", committed: { duplicate: false } });
      }
    }
  }
  const notify = (bucket: string, ...keys: ReadonlyArray<string>): Promise<{ readonly status: number }> =>
    ask(site, {
      body: {
        Records: keys.map((key) => ({
          eventName: "ObjectCreated:Put",
          s3: { bucket: { name: bucket }, object: { key, size: 1, eTag: "e" } },
        })),
      },
    });
  it("a file that comes now is known while nearly all of 20,000 replayed ones still wait", async () => {
    hold = new Promise((resolve) => (release = resolve));
    const old = Array.from({ length: backlog }, (_, i) => keyOf(`OLD_${String(i).padStart(6, "0")}`));
    await replay(old);
    release();
    hold = null;
    // One after the other, as a night comes: each is settled ahead of what has waited since before it.
    const left: Array<number> = [];
    for (let n = 0; n < 10; n++) {
      const key = keyOf(`NOW_${n}`);
      const from = given.length;
      expect(await notify("raw", key)).toMatchObject({ status: 200 });
      expect(await settled(site, lane, day, "raw", key, ["known"])).toMatchObject({ state: "known" });
      left.push(await waiting(replaysConsumer(lane)));
      const before = given.slice(from).indexOf(key);
      expect(before).toBeGreaterThanOrEqual(0);
    }
    expect(left[0]).toBeGreaterThan(backlog / 2);
    // What it had to wait for was never more than a small batch: those that hold replays are no larger.
    expect(Math.max(...batches)).toBeLessThanOrEqual(laterItemsMax);
    await until(
      () => waiting(replaysConsumer(lane)),
      (n) => n === 0,
      240_000,
    );
    expect((await keysOf(site, `file.${lane}.${day}.>`)).size).toBe(backlog + 10);
  }, 400_000);

  it("a whole burst goes first, and in its own large batches", async () => {
    hold = new Promise((resolve) => (release = resolve));
    // The worker is in the middle of a batch of replays when tonight comes.
    await replay(Array.from({ length: 500 }, (_, i) => keyOf(`LATE_${i}`)));
    await until(
      async () =>
        (await Effect.runPromise(mailboxState(nats(), arrivalsStream, replaysConsumer(lane))))?.inHand,
      (n) => n === laterItemsMax,
    );
    const burst = Array.from({ length: 600 }, (_, i) => keyOf(`BURST_${i}`));
    for (let at = 0; at < burst.length; at += 200) await notify("raw", ...burst.slice(at, at + 200));
    given.length = 0;
    batches.length = 0;
    release();
    hold = null;
    await until(
      () => waiting(replaysConsumer(lane)),
      (n) => n === 0,
    );
    const lastOfBurst = given.findLastIndex((key) => key.includes("BURST_"));
    const replayedBefore = given.slice(0, lastOfBurst).filter((key) => key.includes("LATE_")).length;
    expect(given.filter((key) => key.includes("BURST_"))).toHaveLength(burst.length);
    expect(replayedBefore).toBe(laterItemsMax);
    expect(Math.max(...batches)).toBeGreaterThan(laterItemsMax);
  });

  it("what is replayed and known is passed over without asking the driver", async () => {
    const key = keyOf("NOW_0");
    given.length = 0;
    const before = counted(site, `duplicates.${lane}`);
    await replay([key]);
    await until(
      () => counted(site, `duplicates.${lane}`),
      (n) => n === before + 1,
    );
    expect(given).toEqual([]);
  });

  it("what is announced now does not wait with its own replay", async () => {
    const key = keyOf("BOTH");
    hold = new Promise((resolve) => (release = resolve));
    await replay([...Array.from({ length: 200 }, (_, i) => keyOf(`AHEAD_${i}`)), key]);
    await notify("raw", key);
    expect(await waiting(arrivalsConsumer(lane))).toBe(1);
    given.length = 0;
    release();
    hold = null;
    await settled(site, lane, day, "raw", key, ["known"]);
    await until(
      () => waiting(replaysConsumer(lane)),
      (n) => n === 0,
    );
    expect(given.filter((one) => one === key)).toHaveLength(1);
    expect(given.indexOf(key)).toBeLessThanOrEqual(laterItemsMax);
  });

  it("what failed of a replay goes back behind tonight, not before it", async () => {
    const key = keyOf("AGAIN");
    failOnce.add(key);
    await replay([key]);
    expect(await settled(site, lane, day, "raw", key, ["known"])).toMatchObject({
      attempts: 1,
      body: { via: replayed },
    });
    const info = await nats().jsm.streams.info(arrivalsStream, { subjects_filter: `*.${lane}.>` });
    // Every message on the second subject: nothing of a replay ever stood on the first.
    expect(Object.keys(info.state.subjects ?? {}).sort()).toEqual([
      `arrive.${lane}.LSSTCam.${day}`,
      `replay.${lane}.LSSTCam.${day}`,
    ]);
    const live = await countOf(`arrive.${lane}.>`);
    expect(live).toBe(10 + 600 + 1);
  });

  const countOf = async (filter: string): Promise<number> => {
    const info = await nats().jsm.streams.info(arrivalsStream, { subjects_filter: filter });
    return Object.values(info.state.subjects ?? {}).reduce((sum, n) => sum + n, 0);
  };

  it("a lane whose driver never answers holds no other", async () => {
    expect(await notify("stuck", "a", "b")).toMatchObject({ status: 200 });
    await until(
      () => keysOf(site, "claim.stuck.>"),
      (slots) => [...slots.values()].some((slot) => slot["state"] === "claimed"),
    );
    const keys = Array.from({ length: 500 }, (_, i) => keyOf(`BESIDE_${i}`));
    await notify("raw", ...keys);
    for (const key of keys) await settled(site, lane, day, "raw", key, ["known"]);
    await replay([keyOf("BESIDE_REPLAYED")]);
    await settled(site, lane, day, "raw", keyOf("BESIDE_REPLAYED"), ["known"]);
    expect(await recordOf(site, "stuck", "-", "stuck", "a")).toBeNull();
    const slots = await keysOf(site, "claim.stuck.>");
    expect([...slots.values()].some((slot) => slot["state"] === "claimed")).toBe(true);
  });
});
