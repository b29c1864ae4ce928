/** Visits as they come to stand in the ledger: in any order, late, from two nodes at once, and from real headers. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import * as Effect from "effect/Effect";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { makeSample } from "../../src/demo/fitsWriter.ts";
import { followersOf } from "../../src/cli/followers.ts";
import { getRecordUnsafe } from "../../src/jetstream/ledger.ts";
import { visitsConsumer } from "../../src/jetstream/topology.ts";
import { objectTail, recordKey } from "../../src/protocol/keys.ts";
import type { VisitRecord } from "../../src/protocol/visits.ts";
import type { TestNats } from "../support/nats.ts";
import { startNats } from "../support/nats.ts";
import { haveRubinData, rubinFiles } from "../support/rubinData.ts";
import type { TestSite } from "../support/testSite.ts";
import { ask, counted, keysOf, settled, startSite, until } from "../support/testSite.ts";

const day = "20251121";
let nats: TestNats;
let folder = "";
const sites: Array<TestSite> = [];

beforeEach(async () => {
  nats = await startNats({ topology: null });
  folder = mkdtempSync(join(tmpdir(), "orrery-visits-"));
});
afterEach(async () => {
  for (const site of sites.splice(0)) await site.stop();
  await nats.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function start(visits: string, node = "visits-1"): Promise<TestSite> {
  const site = await startSite(`
name: visits
node: { name: ${node} }
nats: { mode: external, servers: ["${nats.server.url}"] }
http: { host: 127.0.0.1, port: 0 }
storage: { disk: { driver: file, root: "${folder}" } }
lanes:
  raw:
    kind: exposure
    buckets: [raw]
    pattern: '^(?<instrument>[^/]+)/(?<day>\\d{8})/(?<exposure>[^/]+)/(?<group>[^/_]+)_(?<snap>\\d)_(?<seq>\\d+)_(?<detector>R\\d\\d_S\\d\\d)\\.fits$'
    metadata: key
  real:
    kind: exposure
    buckets: [real]
    storage: disk
    pattern: '^(?<instrument>[^/]+)/(?<day>\\d{8})/(?<exposure>[^/]+)/'
    identity: rubin
    sidecar: .json
  lfa:
    kind: object
    buckets: [lfa]
    pattern: '^(?<instrument>[^/]+)/(?<day>\\d{8})/(?<exposure>[^/]+)/'
visits: ${visits}
presence: { instruments: [LSSTCam] }
`);
  sites.push(site);
  return site;
}

const exposureOf = (seq: number): string => `MC_O_${day}_${String(seq).padStart(6, "0")}`;
const detectorOf = (n: number): string => `R${String(10 + n)}_S11`;
const snapKey = (group: string, snap: number, seq: number, n: number): string =>
  `LSSTCam/${day}/${exposureOf(seq)}/${group}_${snap}_${seq}_${detectorOf(n)}.fits`;

async function notify(site: TestSite, keys: ReadonlyArray<string>, bucket = "raw"): Promise<void> {
  const Records = keys.map((key) => ({
    eventName: "ObjectCreated:Put",
    s3: { bucket: { name: bucket }, object: { key, size: 1, eTag: "e" } },
  }));
  expect((await ask(site, { body: { Records } })).status).toBe(200);
}

/** All visits, once everything that is known has been followed. */
async function visitsOf(site: TestSite, files: number): Promise<ReadonlyMap<string, VisitRecord>> {
  await until(
    async () =>
      [...(await keysOf(site, "file.>")).values()].filter((file) => file["state"] === "known").length,
    (count) => count === files,
  );
  await until(
    () => nats.nats.jsm.consumers.info("KV_ledger", visitsConsumer),
    (info) => info.num_pending === 0 && info.num_ack_pending === 0,
  );
  return (await keysOf(site, "visit.>")) as ReadonlyMap<string, unknown> as ReadonlyMap<string, VisitRecord>;
}

describe("visits by group", () => {
  it("a header that gives its group a name without end costs that file its visit, and nobody the connection", async () => {
    const site = await start("{ system: by-group }");
    const samples = [1, 2].map((seqNum) =>
      makeSample({
        instrument: "LSSTCam",
        day,
        seqNum,
        raftBay: "R22",
        ccdSlot: "S11",
        seed: seqNum,
      }),
    );
    samples.forEach(({ key, sidecarKey, sidecar, fits }, i) => {
      mkdirSync(dirname(join(folder, "real", key)), { recursive: true });
      // Each character becomes nine in a key.
      const named = i === 0 ? { GROUPID: "\u65e5".repeat(1_000) } : { GROUPID: "good" };
      const header = { ...(JSON.parse(Buffer.from(sidecar).toString()) as object), ...named };
      writeFileSync(join(folder, "real", sidecarKey), JSON.stringify(header));
      writeFileSync(join(folder, "real", key), fits);
    });
    await notify(
      site,
      samples.map(({ key }) => key),
      "real",
    );
    expect([...(await visitsOf(site, 2)).keys()]).toEqual([`visit.LSSTCam.${day}.good`]);
    expect(site.log.filter(({ level }) => level === "error")).toHaveLength(1);
    expect(site.node.context.nats.link().reconnects).toBe(0);
  });

  it("two snaps are one visit, redone as late detectors and exposures come; objects make none", async () => {
    const site = await start("{ system: by-group }");
    await notify(site, [snapKey("g1", 0, 7, 0), snapKey("g1", 0, 7, 1), snapKey("g2", 0, 9, 0)]);
    await notify(site, [`LSSTCam/${day}/${exposureOf(7)}/a.txt`], "lfa");
    const key = `visit.LSSTCam.${day}.g1`;
    const early = await visitsOf(site, 4);
    expect([...early.keys()].sort()).toEqual([key, `visit.LSSTCam.${day}.g2`]);
    expect(early.get(key)).toMatchObject({ exposures: [exposureOf(7)], complete: null });
    await notify(site, [snapKey("g1", 1, 8, 1)]);
    await notify(site, [snapKey("g1", 0, 7, 2), snapKey("g1", 0, 7, 0)]);
    const late = await visitsOf(site, 6);
    expect(late.get(key)).toEqual({
      v: 1,
      visit: "g1",
      system: "by-group",
      instrument: "LSSTCam",
      day,
      group: "g1",
      exposures: [exposureOf(7), exposureOf(8)],
      detectors: {
        [exposureOf(7)]: [detectorOf(0), detectorOf(1), detectorOf(2)],
        [exposureOf(8)]: [detectorOf(1)],
      },
      promised: null,
      complete: null,
    });
    expect(late.get(`visit.LSSTCam.${day}.g2`)).toEqual(early.get(`visit.LSSTCam.${day}.g2`));
  });

  it("two nodes write the same visits that one would, and a third that starts late changes nothing", async () => {
    const [first] = [
      await start("{ system: by-counter }"),
      await start("{ system: by-counter }", "visits-2"),
    ];
    const keys = Array.from({ length: 20 }, (_, seq) =>
      Array.from({ length: 12 }, (_unused, n) => snapKey(`g${seq >> 1}`, seq & 1, 100 + seq, n)),
    );
    // Files of every visit in every notification: both nodes have some of each in hand.
    for (let n = 0; n < 12; n++) await notify(first, keys.map((of) => of[n] ?? "").toReversed());
    const visits = await visitsOf(first, 240);
    expect([...visits.keys()].sort()).toEqual(
      Array.from({ length: 10 }, (_, n) => `visit.LSSTCam.${day}.${exposureOf(100 + 2 * n)}`),
    );
    const all = Array.from({ length: 12 }, (_, n) => detectorOf(n));
    for (const { exposures, detectors, group } of visits.values()) {
      expect(exposures).toHaveLength(2);
      expect(Object.values(detectors)).toEqual([all, all]);
      expect(group).toMatch(/^g\d$/);
    }
    expect(sites.map((site) => counted(site, "visits.by-counter")).reduce((a, b) => a + b)).toBeGreaterThan(
      0,
    );
    const late = await start("{ system: by-counter }", "visits-3");
    expect(await visitsOf(late, 240)).toEqual(visits);
    expect(counted(late, "visits.by-counter")).toBe(0);
  });
});

describe.skipIf(!haveRubinData)("visits of real headers", () => {
  const put = (name: string, key: string): void => {
    const path = join(folder, "real", key);
    mkdirSync(dirname(path), { recursive: true });
    const sidecar = rubinFiles("sidecars").find(([file]) => file === `${name}.json`)?.[1];
    if (sidecar === undefined) throw new Error(`there is no ${name}`);
    writeFileSync(`${path}.json`, sidecar);
    writeFileSync(`${path}.fits`, "SIMPLE  =                    T");
  };

  it("say how many exposures there will be, and only those of the sky make one", async () => {
    const exposure = "AT_O_20220405_000348";
    const [science, bias] = [`LATISS/20220405/${exposure}/a`, "LSSTCam/20190319/MC_C_20190319_000001/b"];
    put("latiss-AT_O_20220405_000348", science);
    put("lsstCam-MC_C_20190319_000001_R10_S02", bias);
    const site = await start("{ system: by-counter, observationTypes: [science] }");
    await notify(site, [`${science}.fits`, `${bias}.fits`], "real");
    expect((await settled(site, "real", "20220405", "real", `${science}.fits`)).body.metadata).toMatchObject({
      observationType: "science",
      groupSize: 2,
    });
    const visits = await visitsOf(site, 2);
    const key = recordKey({
      mailbox: "real",
      day: "20220405",
      tail: objectTail("real", `${science}.fits`),
    });
    const held = await getRecordUnsafe(nats.nats, key);
    expect(
      await Effect.runPromise(followersOf(site.node.site, nats.nats, "real", key, held?.record ?? null)),
    ).toEqual([["visit", `${exposure}: 1 of 2 exposures`]]);
    expect([...visits.values()]).toEqual([
      {
        v: 1,
        visit: exposure,
        system: "by-counter",
        instrument: "LATISS",
        day: "20220405",
        group: "2022-04-06T02:58:07.181",
        exposures: [exposure],
        detectors: { [exposure]: ["R00_S00"] },
        promised: 2,
        complete: false,
      },
    ]);
  });
});
