import * as fc from "fast-check";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { loadNames } from "../../../src/config/namesFile.ts";
import { factsOf, givenRange, indexedFile, readRange } from "../../../src/jobs/indexed.ts";
import { dayUs, formatInstant, parseInstant } from "../../../src/jobs/instant.ts";
import type { Recognised } from "../../../src/jobs/names.ts";
import { bodyGiven, decodeArrival, encodeArrival, givenOf } from "../../../src/protocol/arrival.ts";
import { readNotification } from "../../../src/protocol/notification.ts";
import { dayInName, laneFacts, lanePlace } from "../../../src/protocol/route.ts";

const loaded = loadNames(path.resolve(import.meta.dirname, "../../../config/imap/names.yaml"));
if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
const names = loaded.recogniser;

function fileOf(name: string): Recognised {
  const found = names.recognise(name);
  if (!found.ok) throw new Error(found.reason);
  return found.file;
}

const at = (text: string): number => parseInstant(text) ?? Number.NaN;
const noon = { start: at("2025-12-26"), end: at("2025-12-26T12:00") };

describe("a range that is given", () => {
  it.each([
    [["2025-12-26", "2025-12-26T12:00:00"], noon],
    ["2025-12-26T00:00:00Z/2025-12-26T12:00:00.000000", noon],
    [["-", null], { start: Number.NEGATIVE_INFINITY, end: Number.POSITIVE_INFINITY }],
    ["2025-12-26 / -", { start: noon.start, end: Number.POSITIVE_INFINITY }],
    ["2025-12-26", '"2025-12-26" is no range: write [start, end]'],
    [["2025-12-26", 12], "end 12 is no UTC time: write 2026-03-10T12:00:00"],
    [["2025-12-32", "-"], 'start "2025-12-32" is no UTC time: write 2026-03-10T12:00:00'],
    [["2025-12-26", "2025-12-26"], '["2025-12-26","2025-12-26"] ends before it starts'],
    [undefined, "nothing is no range: write [start, end]"],
    [["a", "b", "c"], '["a","b","c"] is no range: write [start, end]'],
  ])("%j", (value, expected) => {
    expect(readRange(value)).toEqual(expected);
  });

  it("is read back as it was written", () => {
    const instant = fc.oneof(
      fc.integer({ min: at("1900-01-01"), max: at("2250-01-01") }),
      fc.constant(Number.NEGATIVE_INFINITY),
    );
    fc.assert(
      fc.property(
        instant,
        fc.option(fc.integer({ min: 1, max: 1e15 }), { nil: Infinity }),
        (start, length) => {
          const range = { start, end: Number.isFinite(start) ? start + length : Number.POSITIVE_INFINITY };
          expect(readRange(givenRange(range))).toEqual(range);
        },
      ),
    );
  });
});

describe("an instant", () => {
  it("beyond the year 9999, where calibrations for ever end, is read back as it was written", () => {
    const end = at("9999-12-31T00:00:00") + dayUs;
    expect(formatInstant(end)).toBe("+010000-01-01T00:00:00");
    expect(parseInstant(formatInstant(end))).toBe(end);
  });

  it("is none of a year that would be taken for another one", () => {
    expect([parseInstant("0026-03-10"), parseInstant("+999999-01-01")]).toEqual([null, null]);
  });
});

describe("what a record keeps of a file", () => {
  const spin = fileOf("imap_2025_360_2025_361_10.spin.csv");
  const pointed = fileOf("imap_hi_l1a_45sensor-de_20260407-repoint00209_v001.0001.cdf");

  const forEver = "imap_swe_l1b-in-flight-cal_20250101_99991231_v001.csv";

  it("is read back by the index", () => {
    for (const name of [
      spin.name,
      pointed.name,
      "naif0012.tls",
      "imap_swe_l1a_sci_20260310_v009.cdf",
      forEver,
    ]) {
      const file = fileOf(name);
      expect(indexedFile({ dataset: factsOf(fileOf(name), null, null) }, "tag")).toEqual({
        ...file,
        content: "tag",
      });
    }
  });

  it("is a range that was given before the name's, but the calendar's before a run's", () => {
    const range = (facts: ReturnType<typeof factsOf>) => facts.range;
    expect(range(factsOf(spin, { range: noon, from: "metadata" }, null))).toEqual({
      start: "2025-12-26T00:00:00",
      end: "2025-12-26T12:00:00",
      from: "metadata",
    });
    expect(range(factsOf(pointed, { range: noon, from: "arrival" }, null))).toBeNull();
    expect(range(factsOf(pointed, { range: noon, from: "sidecar" }, null))).not.toBeNull();
    // A product of a pointing whose name does not say so.
    expect(factsOf(spin, { range: noon, from: "arrival" }, 7)).toMatchObject({ pointing: 7, range: null });
  });

  it("is nothing in a lane without names, and nothing that we would not write", () => {
    const facts = factsOf(spin, null, null);
    expect(indexedFile({}, "tag")).toBeNull();
    expect(indexedFile({ dataset: { ...facts, version: "new" } }, "tag")).toBeNull();
    expect(indexedFile({ dataset: { ...facts, range: null } }, "tag")).toBeNull();
  });
});

describe("a lane with names", () => {
  const lane = { name: "imap", pattern: null, names };

  it("takes day and instrument from the name, whichever folder it lies in", () => {
    const name = "imap_swe_l1a_sci_20260310_v001.0001.cdf";
    for (const key of [name, `imap/swe/l1a/2026/03/${name}`, `20200101/${name}`]) {
      expect(laneFacts(lane, key)).toMatchObject({ understood: true, instrument: "swe", day: "20260310" });
      expect(lanePlace(lane, key.length % 2 === 0 ? "a" : "b", key, "20260310")).toEqual({
        mailbox: "imap",
        day: "20260310",
        tail: name,
      });
    }
    expect(laneFacts(lane, "naif0012.tls")).toMatchObject({
      understood: true,
      instrument: "leapseconds",
      day: "-",
    });
    // By the name and not by the declaration, which may be mended: what it refused must be found again under the same key.
    expect(laneFacts(lane, "imap_swe_l9_sci_20260310_v001.0001.cdf")).toMatchObject({
      understood: false,
      day: "20260310",
    });
    expect(laneFacts(lane, "20260310/notes.txt")).toMatchObject({
      understood: false,
      instrument: "-",
      day: "-",
    });
  });

  it.each([
    ["imap_swe_l1a_sci_20260310_v001.0001.cdf", "20260310"],
    ["imap_2025_359_2025_360_10.spin.csv", "20251225"],
    ["imap_2024_366_2024_366_10.spin.csv", "20241231"],
    ["imap_2025_366_2026_001_10.spin.csv", "20260101"],
    ["imap_2025_000_2025_001_10.spin.csv", "20250101"],
    ["imap_taco_20251320_20260220_v01.bsp", "20260220"],
    ["imap_mag_l0_raw_202040101_v001.pkts", "-"],
    ["imap_1000_100_1000_100_01.ap.bc", "10000410"],
    ["imap_sdc_metakernel_2025_v100.tm", "-"],
    ["naif0012.tls", "-"],
    ["", "-"],
  ])("the day in %j is %s", (name, day) => {
    expect(dayInName(name)).toBe(day);
  });

  it("without names a file stands under bucket and key", () => {
    expect(lanePlace({ name: "raw" }, "b", "a/c.fits", "20260310").tail).toBe("b/a/c.fits");
  });
});

describe("what is given with an arrival", () => {
  const arrival = {
    bucket: "b",
    key: "k",
    etag: "e",
    size: 1,
    instrument: "i",
    day: "d",
    generation: 0,
    via: "v",
    receivedAt: "r",
  };

  it("travels with it, and is absent where nothing was given", () => {
    const range = ["2026-01-01", "-"] as const;
    const read = decodeArrival(encodeArrival({ ...arrival, range, pointing: 7 }));
    expect(read === null ? null : givenOf(read)).toEqual({ range, pointing: 7 });
    const plain = decodeArrival(encodeArrival(arrival));
    expect(plain).not.toHaveProperty("range");
    expect(plain === null ? null : bodyGiven(plain)).toEqual({});
    expect(decodeArrival(encodeArrival({ ...arrival, pointing: 0.5 }))).toBeNull();
  });

  const rangeOf = (object: unknown): unknown => {
    const read = readNotification(
      {
        Records: [
          {
            eventName: "ObjectCreated:Put",
            s3: { bucket: { name: "b" }, object: { key: "k", ...(object as object) } },
          },
        ],
      },
      10,
    );
    const record = read.type === "records" ? read.records[0] : undefined;
    return record?.type === "created" ? record.range : "no record";
  };

  it.each([
    [{ metadata: [{ key: "x-amz-meta-range", val: "2026-01-01/2026-01-02" }] }, ["2026-01-01", "2026-01-02"]],
    [{ userMetadata: { "X-Amz-Meta-Range": "2026-01-01 / -" } }, ["2026-01-01", "-"]],
    [{ metadata: [{ key: "x-amz-meta-other", val: "1/2" }] }, undefined],
    [{ metadata: [{ key: "x-amz-meta-range", val: 3 }] }, undefined],
    [{ metadata: "x-amz-meta-range" }, undefined],
    [{ metadata: [{ key: "x-amz-meta-range", val: "all" }] }, ["all", ""]],
    [{ metadata: [{ key: "x-amz-meta-range", val: "a/b/c" }] }, ["a", "b/c"]],
    [{ metadata: [null, { key: 1 }] }, undefined],
  ])("of a notification with %j is %j", (object, expected) => {
    expect(rangeOf(object)).toEqual(expected);
  });
});
