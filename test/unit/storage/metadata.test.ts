import { gzipSync } from "node:zlib";
import * as Effect from "effect/Effect";
import * as Result from "effect/Result";
import { describe, expect, test } from "vitest";
import { writeFitsHeader } from "../../../src/demo/fitsHeader.ts";
import { damage, makeSample } from "../../../src/demo/fitsWriter.ts";
import { AccessDenied, StorageUnavailable } from "../../../src/storage/errors.ts";
import { inflatePrefix } from "../../../src/storage/gunzip.ts";
import { makeMemoryStorage } from "../../../src/storage/memory.ts";
import type { MetadataOptions } from "../../../src/storage/metadata.ts";
import { readMetadata, sidecarBeside } from "../../../src/storage/metadata.ts";
import type { StorageDriver } from "../../../src/storage/Storage.ts";
import { haveRubinData, rubinFiles } from "../../support/rubinData.ts";

const bucket = "night";
const key = "a/image.fits";
const sidecar = "a/image.json";
const sample = makeSample({
  instrument: "LSSTCam",
  day: "20260101",
  seqNum: 1,
  raftBay: "R22",
  ccdSlot: "S11",
});

/** A store with these objects, and what was asked of it. */
async function storeWith(objects: Readonly<Record<string, Uint8Array | string>>) {
  const store = makeMemoryStorage([bucket]);
  for (const [name, content] of Object.entries(objects)) {
    await Effect.runPromise(store.write(bucket, name, Buffer.from(content)));
  }
  const reads: Array<number> = [];
  const counting: StorageDriver = {
    ...store,
    readRange: (from, name, offset, length) => {
      expect(offset).toBe(0);
      reads.push(length);
      return store.readRange(from, name, offset, length);
    },
  };
  return { store: counting, reads };
}

const read = (store: StorageDriver, options?: MetadataOptions) =>
  Effect.runPromise(readMetadata(store, bucket, key, options));

const failure = async (store: StorageDriver, options?: MetadataOptions) =>
  Result.getOrThrow(
    Result.flip(await Effect.runPromise(Effect.result(readMetadata(store, bucket, key, options)))),
  );

const longHeader = (cards: number): Uint8Array =>
  writeFitsHeader([
    { keyword: "SIMPLE", value: true },
    ...Array.from({ length: cards }, (_, i) => ({ keyword: `K${i}`, value: i })),
  ]);

describe("which source", () => {
  test("the sidecar, without reading the file", async () => {
    const { store, reads } = await storeWith({
      [key]: "never read",
      [sidecar]: '{"INSTRUME":"x","GROUPID":null}',
    });
    const metadata = await read(store);
    expect(metadata).toMatchObject({
      source: "sidecar",
      fields: { INSTRUME: "x", GROUPID: null },
      warnings: [],
    });
    expect(metadata.info).toMatchObject({ key, size: 10 });
    expect(reads).toEqual([]);
  });

  test("the header, where there is no sidecar", async () => {
    const { store, reads } = await storeWith({ [key]: sample.fits });
    const metadata = await read(store);
    expect(metadata).toMatchObject({ source: "fits", fields: { INSTRUME: "lsstCam", "STUTTER DELAY": 0.5 } });
    expect(metadata.info.size).toBe(sample.fits.length);
    expect(reads).toHaveLength(1);
  });

  test("sidecar and header say the same, HIERARCH keywords included", async () => {
    const both = await storeWith({ [key]: sample.fits, [sidecar]: sample.sidecar });
    const alone = await storeWith({ [key]: sample.fits });
    expect((await read(both.store)).fields).toEqual((await read(alone.store)).fields);
  });

  test("a sidecar's own mark is no field, and HIERARCH keywords are named as in a header, whatever they are called", async () => {
    const { store } = await storeWith({
      [key]: "pixels",
      [sidecar]:
        '{"__CONTENT__":"metadata","A":1,"HIERARCH.STUTTER.ROWS":2,"HIERARCH.__proto__":{"x":3},"B":{"HIERARCH.C":5}}',
    });
    const { fields } = await read(store);
    expect(Object.entries(fields).toSorted(([a], [b]) => (a < b ? -1 : 1))).toEqual([
      ["A", 1],
      ["B", { "HIERARCH.C": 5 }],
      ["STUTTER ROWS", 2],
      ["__proto__", { x: 3 }],
    ]);
    expect(Object.getPrototypeOf(fields)).toBe(Object.prototype);
  });

  test("a sidecar that cannot be read gives way to the header, with a warning", async () => {
    const { store } = await storeWith({ [key]: sample.fits, [sidecar]: "{oops" });
    const metadata = await read(store);
    expect(metadata.source).toBe("fits");
    expect(metadata.warnings).toEqual([expect.stringContaining("NotJson")]);
  });

  test("no sidecar is looked for where the rule names none", async () => {
    const { store } = await storeWith({ [key]: sample.fits, [sidecar]: '{"INSTRUME":"x"}' });
    expect((await read(store, { sidecarKey: () => null })).source).toBe("fits");
    const elsewhere = await storeWith({ [key]: "pixels", "meta/image": '{"INSTRUME":"y"}' });
    const metadata = await read(elsewhere.store, { sidecarKey: () => "meta/image" });
    expect(metadata.fields).toEqual({ INSTRUME: "y" });
  });

  test.each([
    ["a/b.fits", "a/b.json"],
    ["a/b.FIT", "a/b.json"],
    ["a/b.fits.gz", "a/b.json"],
    ["a/b.fits.fz", "a/b.json"],
    ["a.dir/b", "a.dir/b.json"],
    ["a/b_R22_S11.v2.fits", "a/b_R22_S11.v2.json"],
    ["a/b.png", "a/b.json"],
    ["a/b.json", null],
  ])("the sidecar of %s is %s", (of, is) => {
    expect(sidecarBeside(".json")(of)).toBe(is);
  });
});

describe("what cannot be read", () => {
  const empty = new Uint8Array(0);
  const cases: ReadonlyArray<readonly [string, Readonly<Record<string, Uint8Array | string>>, object]> = [
    ["nothing there", {}, { _tag: "ObjectMissing" }],
    ["a sidecar whose file is missing", { [sidecar]: '{"INSTRUME":"x"}' }, { _tag: "ObjectMissing" }],
    ["an empty file", { [key]: empty }, { _tag: "EmptyFile" }],
    ["an empty file with a good sidecar", { [key]: empty, [sidecar]: "{}" }, { _tag: "EmptyFile" }],
    ["no FITS, no sidecar", { [key]: damage(sample.fits, "not-fits") }, { _tag: "NoMetadata" }],
    [
      "cut header",
      { [key]: damage(sample.fits, "truncated") },
      { _tag: "HeaderUnreadable", reason: "Truncated" },
    ],
    ["no END", { [key]: damage(sample.fits, "no-end") }, { _tag: "HeaderUnreadable", reason: "MissingEnd" }],
    [
      "binary in the header",
      { [key]: Buffer.concat([sample.fits.slice(0, 400), Buffer.alloc(3_000)]) },
      { _tag: "HeaderUnreadable", reason: "BadCard" },
    ],
    [
      "sidecar no JSON, file no FITS",
      { [key]: "text", [sidecar]: '{"INSTRUME"' },
      { _tag: "SidecarUnreadable", reason: "NotJson" },
    ],
    [
      "sidecar no UTF-8, file cut",
      { [key]: damage(sample.fits, "truncated"), [sidecar]: Uint8Array.from([0x7b, 0xff, 0x7d]) },
      { _tag: "SidecarUnreadable", reason: "NotJson" },
    ],
    [
      "sidecar a list",
      { [key]: "text", [sidecar]: "[1]" },
      { _tag: "SidecarUnreadable", reason: "NotObject" },
    ],
    [
      "sidecar null",
      { [key]: "text", [sidecar]: "null" },
      { _tag: "SidecarUnreadable", reason: "NotObject" },
    ],
    ["sidecar empty", { [key]: "text", [sidecar]: "" }, { _tag: "SidecarUnreadable", reason: "NotJson" }],
    ["a broken gzip", { [key]: Uint8Array.from([0x1f, 0x8b, 9, 9, 9, 9]) }, { reason: "GzipBroken" }],
    [
      "a gzip of something else",
      { [key]: gzipSync(Buffer.from("no FITS either".repeat(99))) },
      { _tag: "NoMetadata" },
    ],
    [
      "a gzip cut in its header",
      { [key]: gzipSync(sample.fits).subarray(0, 300) },
      { _tag: "HeaderUnreadable" },
    ],
  ];
  test.each(cases)("%s", async (_what, objects, expected) => {
    const { store } = await storeWith(objects);
    const error = await failure(store);
    expect(error).toMatchObject(expected);
    expect(error.message).toContain("image.");
  });

  test("a sidecar over its bound is not read", async () => {
    const { store } = await storeWith({ [key]: "text", [sidecar]: `{"A":"${"x".repeat(200)}"}` });
    const options = { sidecarBytesMax: 100 };
    expect(await failure(store, options)).toMatchObject({ _tag: "SidecarUnreadable", reason: "TooLarge" });
  });

  test.each([
    new StorageUnavailable({ uri: "u", operation: "read", detail: "down" }),
    new AccessDenied({ uri: "u", operation: "read", detail: "no" }),
  ])("a store that does not answer is never taken for a missing sidecar: $_tag", async (error) => {
    const { store } = await storeWith({ [key]: sample.fits });
    const away: StorageDriver = { ...store, readAll: () => Effect.fail(error) };
    expect(await failure(away)).toBe(error);
  });

  test("nor does an unreadable sidecar hide that the store went away", async () => {
    const { store } = await storeWith({ [key]: sample.fits, [sidecar]: "{oops" });
    const error = new StorageUnavailable({ uri: "u", operation: "read", detail: "down" });
    expect(await failure({ ...store, readRange: () => Effect.fail(error) })).toBe(error);
  });
});

describe("long headers", () => {
  test("are read again from the beginning, with more bytes each time", async () => {
    const { store, reads } = await storeWith({ [key]: longHeader(2_000) });
    const metadata = await read(store);
    expect(metadata.fields["K1999"]).toBe(1_999);
    expect(reads.length).toBeGreaterThan(1);
    for (const [i, length] of reads.entries()) if (i > 0) expect(length).toBeGreaterThan(reads[i - 1] ?? 0);
  });

  test("a tiny first read gets there too", async () => {
    const { store } = await storeWith({ [key]: sample.fits });
    expect((await read(store, { firstReadBytes: 1 })).fields["INSTRUME"]).toBe("lsstCam");
  });

  test("end at the bound: one card less is read, one more is refused", async () => {
    const header = longHeader(70);
    expect(header.length).toBe(5_760);
    const { store } = await storeWith({ [key]: Buffer.concat([header, Buffer.alloc(9_999)]) });
    expect((await read(store, { headerBytesMax: 72 * 80 })).fields["K69"]).toBe(69);
    expect(await failure(store, { headerBytesMax: 71 * 80 })).toMatchObject({ reason: "TooLong" });
  });

  test("compressed ones too, however the reads cut the stream", async () => {
    const compressed = gzipSync(Buffer.concat([longHeader(2_000), Buffer.alloc(500_000)]));
    const { store, reads } = await storeWith({ [key]: compressed });
    const metadata = await read(store, { firstReadBytes: 500 });
    expect(metadata.fields["K1999"]).toBe(1_999);
    expect(reads.length).toBeGreaterThan(1);
    expect(reads.at(-1)).toBeLessThan(300_000);
  });

  test("a bomb is refused at the bound", async () => {
    const bomb = gzipSync(Buffer.from("SIMPLE  =".padEnd(80) + "COMMENT x".padEnd(80).repeat(1_000_000)));
    expect(bomb.length).toBeLessThan(500_000);
    const { store } = await storeWith({ [key]: bomb });
    expect(await failure(store, { headerBytesMax: 1_000_000 })).toMatchObject({ reason: "TooLong" });
  });
});

describe("inflating a prefix", () => {
  const content = Buffer.from(Array.from({ length: 50_000 }, (_, i) => (i * i) % 251));
  const compressed = gzipSync(content);

  test.each([10, 18, 100, 1_000, compressed.length - 8, compressed.length - 1])(
    "input cut after %i bytes gives what it holds, without a fault",
    async (length) => {
      const { bytes, exhausted, fault } = await inflatePrefix(compressed.subarray(0, length), 1_000_000);
      expect(fault).toBeNull();
      expect(exhausted).toBe(true);
      expect(Buffer.compare(Buffer.from(bytes), content.subarray(0, bytes.length))).toBe(0);
    },
  );

  test("no more than asked for", async () => {
    const { bytes, exhausted } = await inflatePrefix(compressed, 1_234);
    expect(bytes.length).toBe(1_234);
    expect(exhausted).toBe(false);
  });

  test("what came before the damage is kept, and the damage said", async () => {
    const damaged = Buffer.concat([
      gzipSync(content.subarray(0, 100)).subarray(0, -4),
      Buffer.from([1, 2, 3, 4]),
    ]);
    const { bytes, fault } = await inflatePrefix(damaged, 1_000_000);
    expect(fault).not.toBeNull();
    expect(Buffer.compare(Buffer.from(bytes), content.subarray(0, bytes.length))).toBe(0);
  });
});

describe.skipIf(!haveRubinData)("real files", () => {
  test.each(rubinFiles("fits"))("the header of %s, by range", async (_name, bytes) => {
    const { store, reads } = await storeWith({ [key]: bytes });
    for (const firstReadBytes of [undefined, 2_880, 700]) {
      const metadata = await read(store, firstReadBytes === undefined ? {} : { firstReadBytes });
      expect(metadata.source).toBe("fits");
      expect(metadata.fields).toHaveProperty("OBSID");
      expect(metadata.warnings).toEqual([]);
    }
    expect(reads[0]).toBeLessThan(50_000);
  });
});
