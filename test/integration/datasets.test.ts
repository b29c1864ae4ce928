/**
 * A mission's files on their way into the index: what their names say, what is refused and why, and ranges that are given with them:
 * by a sidecar, by a real S3 server's metadata of the object, by the notification itself.
 */
import { PutObjectCommand } from "@aws-sdk/client-s3";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FrontDoor } from "../../src/actors/frontDoor.ts";
import { Calendar } from "../../src/jobs/calendar.ts";
import { parseInstant } from "../../src/jobs/instant.ts";
import { indexedFile, placed } from "../../src/jobs/indexed.ts";
import { getRecordUnsafe } from "../../src/jetstream/ledger.ts";
import { lanePlace, laneFacts } from "../../src/protocol/route.ts";
import { recordKey } from "../../src/protocol/keys.ts";
import type { DatasetFacts } from "../../src/protocol/records.ts";
import { runCli } from "../support/cli.ts";
import type { FileRecord, TestSite } from "../support/testSite.ts";
import { ask, counted, keysOf, startSite, until } from "../support/testSite.ts";
import type { Versitygw } from "../support/versitygw.ts";
import { startVersitygw, versitygwCredentials } from "../support/versitygw.ts";

const names = resolve(import.meta.dirname, "../../config/imap/names.yaml");
const folder = mkdtempSync(join(tmpdir(), "orrery-datasets-"));
const root = join(folder, "store");
const env = {
  S3_KEY: versitygwCredentials.accessKeyId,
  S3_SECRET: versitygwCredentials.secretAccessKey,
};
let s3: Versitygw;
let site: TestSite;

beforeAll(async () => {
  for (const bucket of ["sdc", "mirror"]) mkdirSync(join(root, bucket), { recursive: true });
  s3 = await startVersitygw({ buckets: ["cloud"] });
  const text = `
name: datasets
node: { name: one }
dataDir: ${JSON.stringify(join(folder, "data"))}
nats: { mode: embedded, syncAlways: false }
http: { host: 127.0.0.1, port: 0 }
storage:
  disk: { driver: file, root: ${JSON.stringify(root)} }
  cloud:
    driver: s3
    endpoint: ${s3.endpoint}
    region: ${versitygwCredentials.region}
    accessKeyId: env:S3_KEY
    secretAccessKey: env:S3_SECRET
lanes:
  imap:
    kind: object
    buckets: [sdc, mirror]
    storage: disk
    names: ${JSON.stringify(names)}
    sidecar: .json
    backoffBase: 10 ms
    backoffMax: 10 ms
  kernels:
    kind: object
    buckets: [cloud]
    storage: cloud
    names: ${JSON.stringify(names)}
`;
  writeFileSync(join(folder, "site.yaml"), text);
  site = await startSite(text, { env });
}, 900_000);

const orrery = (...argv: ReadonlyArray<string>) =>
  runCli([...argv, "--site", join(folder, "site.yaml")], { env });

afterAll(async () => {
  await site?.stop();
  await s3?.stop();
  rmSync(folder, { recursive: true, force: true });
});

interface Sent {
  readonly bucket?: string;
  readonly etag?: string;
  readonly metadata?: unknown;
}

/** Announced as Ceph does it. */
const notify = ({ bucket = "sdc", etag = "a", metadata }: Sent, ...keys: ReadonlyArray<string>) =>
  ask(site, {
    body: {
      Records: keys.map((key) => ({
        eventName: "ObjectCreated:Put",
        s3: { bucket: { name: bucket }, object: { key, eTag: etag, size: 1, metadata } },
      })),
    },
  });

function keyOf(name: string, laneName = "imap"): string {
  const lane = site.node.site.lanes.get(laneName);
  if (lane === undefined) throw new Error("no lane");
  return recordKey(lanePlace(lane, "", name, laneFacts(lane, name).day));
}

const recordOf = async (name: string, lane = "imap"): Promise<FileRecord | null> =>
  ((await getRecordUnsafe(site.node.context.nats, keyOf(name, lane)))?.record as FileRecord | undefined) ??
  null;

async function settled(name: string, lane = "imap"): Promise<FileRecord> {
  const record = await until(
    () => recordOf(name, lane),
    (found) => found !== null && ["known", "parked"].includes(found.state),
  );
  if (record === null) throw new Error("no record");
  return record;
}

const factsOf = async (name: string, lane = "imap"): Promise<DatasetFacts | undefined> =>
  (await settled(name, lane)).body.dataset;

describe("duplicates, other content, bad names", () => {
  const name = "imap_hit_l0_raw_20260310_v001.pkts";
  const key = `imap/hit/l0/2026/03/${name}`;

  it("a file is known by what its name says; a second time it is a duplicate", async () => {
    await notify({}, key);
    const first = await settled(name);
    expect(first.state).toBe("known");
    expect(first.body.dataset).toEqual({
      name,
      kind: "science",
      dataset: "hit/l0/raw",
      range: { start: "2026-03-10T00:00:00", end: "2026-03-11T00:00:00", from: "name" },
      pointing: null,
      version: "v001",
    });
    expect(keyOf(name)).toBe(`file.imap.20260310.${name}`);
    const before = counted(site, "duplicates.imap");
    // By another folder and another bucket: the stream takes it for another object, the ledger does not.
    await notify({ bucket: "mirror" }, `copies/${name}`);
    await until(
      () => counted(site, "duplicates.imap"),
      (count) => count > before,
    );
    expect(await recordOf(name)).toEqual(first);
  });

  it("other content under the name is refused wherever it lies, the first stays, and that can be seen", async () => {
    await notify({ bucket: "mirror", etag: "b" }, `later/${name}`);
    const record = await until(
      () => recordOf(name),
      (found) => (found?.refused?.length ?? 0) > 0,
    );
    expect(record?.state).toBe("known");
    expect(record?.etag).toBe("a");
    expect(record?.refused?.map((other) => other.etag)).toEqual(["b"]);
    const parked = await keysOf(site, `parked.imap.20260310.${name}`);
    expect([...parked.values()].map((entry) => entry["reason"])).toEqual(["ContentChanged"]);
  });

  it("in a folder, whose tags are no digests, the content decides", async () => {
    const product = "imap_swe_l1a_sci_20260310_v001.0001.cdf";
    const write = (bucket: string, content: string): void =>
      writeFileSync(join(root, bucket, product), content);
    write("sdc", "a product");
    await notify({ etag: "9-18b-1" }, product);
    const first = await settled(product);
    expect(first.body.dataset?.digest).toMatch(/^[0-9a-f]{64}$/);
    const before = counted(site, "duplicates.imap");
    write("mirror", "a product");
    await notify({ bucket: "mirror", etag: "9-18c-2" }, product);
    await until(
      () => counted(site, "duplicates.imap"),
      (count) => count === before + 1,
    );
    expect(await recordOf(product)).toEqual(first);
    write("mirror", "an other");
    await notify({ bucket: "mirror", etag: "9-18d-2" }, product);
    const record = await until(
      () => recordOf(product),
      (found) => (found?.refused?.length ?? 0) > 0,
    );
    expect(record?.refused?.map((other) => other.etag)).toEqual(["9-18d-2"]);
    expect(record?.body).toEqual(first.body);
  });

  it("refused content is taken from where it lies, when somebody decides so", async () => {
    const product = "imap_swe_l1a_sci_20260310_v001.0001.cdf";
    const replayed = await orrery("parked", "replay", product, "--note", "the second one is right");
    expect(replayed.stderr).toBe("");
    expect(replayed.exit).toBe(0);
    const record = await until(
      () => recordOf(product),
      (found) => found?.state === "known" && found.etag === "9-18d-2",
    );
    expect(record?.body).toMatchObject({ bucket: "mirror", key: product });
    expect(record?.body.dataset?.digest).toBe(createHash("sha256").update("an other").digest("hex"));
    expect(record?.refused).toBeUndefined();
  });

  it("the command finds a file by its name, and tells of every way it came by", async () => {
    const shown = await orrery("file", "get", name);
    expect(shown.stdout).toMatch(/dataset +hit\/l0\/raw/);
    const why = await orrery("why", name, "--json");
    expect(why.exit).toBe(0);
    expect(why.stdout).toContain("ContentChanged");
    expect((await orrery("why", `elsewhere/${name}`)).exit).toBe(0);
  });

  it.each([
    ["imap_mag_l0_raw_202040101_v001.pkts", "start 202040101 is no date of the form YYYYMMDD"],
    ["imap_mag_l1a_burst_20210101-repoint0001_v001.0001.cdf", "a repoint number has five digits"],
    ["imap_taco_20251320_20260220_v01.bsp", "an ephemeris is called imap_recon_"],
    ["imap_swe_l1b_in_flight_20260310_v001.0001.cdf", "no underscore in a descriptor"],
  ])("%s is parked", async (bad, detail) => {
    await notify({}, `incoming/${bad}`);
    const record = await settled(bad);
    expect(record.state).toBe("parked");
    expect(record.body.dataset).toBeUndefined();
    expect(record.errors.at(-1)).toMatchObject({ class: "permanent", reason: "NameNotRecognised" });
    expect(record.errors.at(-1)?.detail).toContain(detail);
  });
});

describe("a range that is given with the file", () => {
  const put = (key: string, content: string): void => writeFileSync(join(root, "sdc", key), content);

  it("by a sidecar comes before the name", async () => {
    const name = "imap_2025_360_2025_360_01.spin.csv";
    put(name, "spins");
    put("imap_2025_360_2025_360_01.spin.json", '{"range":["2025-12-26T00:00:00","2025-12-26T12:00:00"]}');
    await notify({}, name);
    expect((await factsOf(name))?.range).toEqual({
      start: "2025-12-26T00:00:00",
      end: "2025-12-26T12:00:00",
      from: "sidecar",
    });
  });

  it("is the name's where there is no sidecar, or one that does not say any", async () => {
    put("imap_2025_359_2025_360_10.spin.csv", "spins");
    put("imap_2025_360_2025_361_10.spin.csv", "spins");
    put("imap_2025_360_2025_361_10.spin.json", '{"spins":12}');
    await notify({}, "imap_2025_359_2025_360_10.spin.csv", "imap_2025_360_2025_361_10.spin.csv");
    expect((await factsOf("imap_2025_359_2025_360_10.spin.csv"))?.range).toEqual({
      start: "2025-12-25T00:00:00",
      end: "2025-12-27T00:00:00",
      from: "name",
    });
    expect((await factsOf("imap_2025_360_2025_361_10.spin.csv"))?.range?.from).toBe("name");
  });

  it.each([
    [
      "imap_2026_001_2026_001_01.spin.csv",
      '{"range":["noon","2026-01-02"]}',
      'sidecar: start "noon" is no UTC time',
    ],
    ["imap_2026_002_2026_002_01.spin.csv", '{"range":["2026-01-03","2026-01-02"]}', "ends before it starts"],
    ["imap_2026_003_2026_003_01.spin.csv", "{range", "NotJson"],
  ])("%s is parked for a sidecar %s", async (name, sidecar, detail) => {
    put(name, "spins");
    put(name.replace(/\.csv$/, ".json"), sidecar);
    await notify({}, name);
    const record = await settled(name);
    expect(record.errors.at(-1)?.reason).toBe("RangeUnusable");
    expect(record.errors.at(-1)?.detail).toContain(detail);
  });

  it("by the metadata of an object in a real S3 server", async () => {
    const name = "imap_2026_001_2026_100_002.ah.bc";
    await s3.client.send(
      new PutObjectCommand({
        Bucket: "cloud",
        Key: `imap/spice/ck/${name}`,
        Body: "kernel",
        Metadata: { range: "2026-01-01T00:01:09/2026-04-10T18:30:00.5" },
      }),
    );
    await notify({ bucket: "cloud" }, `imap/spice/ck/${name}`);
    expect((await factsOf(name, "kernels"))?.range).toEqual({
      start: "2026-01-01T00:01:09",
      end: "2026-04-10T18:30:00.500000",
      from: "metadata",
    });
    const plain = "imap_2026_189_2026_189_001.ah.bc";
    await s3.client.send(new PutObjectCommand({ Bucket: "cloud", Key: plain, Body: "kernel" }));
    await notify({ bucket: "cloud" }, plain);
    expect((await factsOf(plain, "kernels"))?.range?.from).toBe("name");
  });

  it("by the notification, which comes before all", async () => {
    const name = "imap_2026_010_2026_010_01.spin.csv";
    put(name, "spins");
    put(name.replace(/\.csv$/, ".json"), '{"range":["2026-01-10","2026-01-10T12:00:00"]}');
    await notify(
      { metadata: [{ key: "x-amz-meta-range", val: "2026-01-10T00:00:00/2026-01-10T18:00:00" }] },
      name,
    );
    expect((await factsOf(name))?.range).toEqual({
      start: "2026-01-10T00:00:00",
      end: "2026-01-10T18:00:00",
      from: "arrival",
    });
    const bad = "imap_2026_011_2026_011_01.spin.csv";
    await notify({ metadata: [{ key: "x-amz-meta-range", val: "all day" }] }, bad);
    expect((await settled(bad)).errors.at(-1)).toMatchObject({ reason: "RangeUnusable" });
    // Put back, it still has what came with it.
    expect((await orrery("parked", "replay", bad)).exit).toBe(0);
    const again = await until(
      () => recordOf(bad),
      (record) => record?.state === "parked" && record.errors.length === 2,
    );
    expect(again?.errors.map((error) => error.detail)).toEqual([
      'arrival: start "all day" is no UTC time: write 2026-03-10T12:00:00',
      'arrival: start "all day" is no UTC time: write 2026-03-10T12:00:00',
    ]);
  });

  it("that cannot be looked for yet is tried again, and the file parked when it never can", async () => {
    const name = "imap_2026_012_2026_012_01.spin.csv";
    // Announced, and not there: neither a sidecar nor the object.
    await notify({}, name);
    const record = await settled(name);
    expect(record.state).toBe("parked");
    expect(record.errors.map((error) => error.reason)).toEqual([
      "ObjectMissing",
      "ObjectMissing",
      "ObjectMissing",
    ]);
  });
});

describe("what a run announces", () => {
  it("has its partition's range; with a pointing the calendar says it", async () => {
    const at = (text: string): number => parseInstant(text) ?? Number.NaN;
    const map = "imap_ultra_l2_u45-ena-h-hf-nsp-full-hae-2deg-1yr_20260117_v001.0001.cdf";
    const pointed = "imap_hi_l1a_45sensor-de_20260407-repoint00209_v001.0001.cdf";
    const range = ["2026-01-17T00:00:00", "2027-01-17T00:00:00"] as const;
    const door = new FrontDoor(site.node.context, site.node.site);
    const announced = await Promise.all([
      door.announce({ bucket: "sdc", key: map, etag: "m", size: 1, range }, "job:1"),
      door.announce({ bucket: "sdc", key: pointed, etag: "p", size: 1, range, pointing: 209 }, "job:2"),
    ]);
    expect(announced.map((admission) => admission.type)).toEqual(["queued", "queued"]);
    expect((await factsOf(map))?.range).toEqual({ start: range[0], end: range[1], from: "arrival" });
    const record = await settled(pointed);
    expect(record.body.dataset).toMatchObject({ range: null, pointing: 209 });
    const file = indexedFile(record.body, record.etag);
    if (file === null) throw new Error("no file");
    expect(placed(file, Calendar.empty)).toBeNull();
    const calendar = Calendar.of([
      [
        { number: 209, start: at("2026-04-07T10:00:02"), end: at("2026-04-07T10:03:23") },
        { number: 210, start: at("2026-04-07T19:55:29"), end: null },
      ],
    ]);
    expect(placed(file, calendar)?.range).toEqual({
      start: at("2026-04-07T10:03:23"),
      end: at("2026-04-07T19:55:29"),
    });
  });
});

describe("kernels for all time, and the site's own words", () => {
  it("have a range without a start or an end, and no day", async () => {
    await notify({}, "imap/spice/lsk/naif0012.tls");
    expect(await factsOf("naif0012.tls")).toMatchObject({
      dataset: "leapseconds/spice/historical",
      range: { start: null, end: null, from: "name" },
    });
    expect(keyOf("naif0012.tls")).toBe("file.imap.-.naif0012.tls");
  });
});

it("nothing of this went by in silence", () => {
  expect(site.log.filter((line) => line.level === "error")).toEqual([]);
});
