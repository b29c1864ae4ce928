import { describe, expect, it } from "vitest";
import { fitness, nameOf, objectOf, placeOfKey, placesOf } from "../../../src/cli/ids.ts";
import type { Site } from "../../../src/config/Site.ts";
import { dueKey, objectTail, parkedKey, recordKey, waitingKey } from "../../../src/protocol/keys.ts";

const place = { mailbox: "raw", day: "20251121", tail: objectTail("raw", "LSSTCam/20251121/a b#1.fits") };

describe("what people type", () => {
  it("may be any ledger key about a record", () => {
    for (const key of [
      recordKey(place),
      dueKey(place),
      parkedKey(place),
      waitingKey("exposure.x.y.z", place),
    ]) {
      expect(placeOfKey(key)).toEqual(place);
    }
    expect(placeOfKey("exposure.LSSTCam.20251121.e1")).toBeNull();
    expect(nameOf(place)).toBe("raw/LSSTCam/20251121/a b#1.fits");
  });

  it.each([
    ["raw/a/b.fits", { bucket: "raw", key: "a/b.fits" }],
    ["s3://raw/a/b.fits", { bucket: "raw", key: "a/b.fits" }],
    ["s3://profile@raw/a", { bucket: "raw", key: "a" }],
    ["b.fits", null],
    ["raw/", null],
    ["/a", null],
  ])("%s is object %j", (id, object) => {
    expect(objectOf(id)).toEqual(object);
  });

  it("leads to the place of its lane, and else to that of what no lane takes", () => {
    const lane = {
      name: "cam",
      kind: "exposure" as const,
      buckets: ["raw"],
      accept: /\.fits$/,
      pattern: /^(?<instrument>[^/]+)\/(?<day>\d{4}-\d\d-\d\d)\//,
    };
    const site = { lanes: new Map([["cam", lane]]) } as unknown as Site;
    const object = { bucket: "raw", key: "LSSTCam/2025-11-21/a.fits" };
    expect(placesOf(site, object).map(recordKey)).toEqual([
      "file.cam.20251121.raw/LSSTCam/2025-11-21/a.fits",
      "file.unrouted.-.raw/LSSTCam/2025-11-21/a.fits",
    ]);
    expect(placesOf(site, { bucket: "other", key: "x" }).map(recordKey)).toEqual(["file.unrouted.-.other/x"]);
  });

  it("fits a name's end better than its middle", () => {
    const name = "raw/LSSTCam/20251121/MC_O_000156_R22_S11.fits";
    const wanted = [name, "MC_O_000156_R22_S11.fits", "R22_S11.fits", "MC_O_000156", "nothing"];
    expect(wanted.map((one) => fitness(name, one))).toEqual([4, 3, 2, 1, 0]);
  });
});
