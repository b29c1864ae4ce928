import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { writeFitsHeader } from "../../../src/demo/fitsHeader.ts";
import { damage, makeSample } from "../../../src/demo/fitsWriter.ts";
import { sampleFiles } from "../../../src/demo/samples.ts";
import { isGzip, parseFitsHeader } from "../../../src/protocol/fits.ts";

const inflated = (bytes: Uint8Array): Uint8Array => (isGzip(bytes) ? gunzipSync(bytes) : bytes);

describe("the sample files", () => {
  test.each([...sampleFiles()])("%s is what the writer makes", (name, content) => {
    const file = readFileSync(new URL(`../../../samples/${name}`, import.meta.url));
    expect(isGzip(file)).toBe(isGzip(content));
    // Not the compressed bytes: another release of zlib may pack them otherwise.
    expect(Buffer.compare(inflated(file), inflated(content))).toBe(0);
  });

  test.each([
    ["empty", "Empty"],
    ["truncated", "Truncated"],
    ["not-fits", "NotFits"],
    ["no-end", "MissingEnd"],
  ] as const)("a file that is %s is refused as %s", (how, reason) => {
    const { fits } = makeSample({
      instrument: "LATISS",
      day: "20260101",
      seqNum: 1,
      raftBay: "R00",
      ccdSlot: "S00",
    });
    expect(parseFitsHeader(damage(fits, how), true)).toMatchObject({ _tag: "Refused", reason });
  });
});

describe("the writer", () => {
  const camera = { instrument: "LSSTCam", day: "20260101", seqNum: 3 } as const;

  test("makes whole blocks, the same bytes each time, and others for another detector", () => {
    const one = makeSample({ ...camera, raftBay: "R22", ccdSlot: "S11" });
    const again = makeSample({ ...camera, raftBay: "R22", ccdSlot: "S11" });
    const other = makeSample({ ...camera, raftBay: "R22", ccdSlot: "S12" });
    expect(one.fits.length % 2_880).toBe(0);
    expect(Buffer.compare(one.fits, again.fits)).toBe(0);
    expect(Buffer.compare(one.fits.subarray(-2_880), other.fits.subarray(-2_880))).not.toBe(0);
    expect(one.key).toBe("LSSTCam/20260101/MC_O_20260101_000003/MC_O_20260101_000003_R22_S11.fits");
    expect(one.sidecarKey).toBe(one.key.replace(/fits$/, "json"));
  });

  test("names guiders as guiders", () => {
    const { key, detector } = makeSample({ ...camera, raftBay: "R00", ccdSlot: "SG0" });
    expect(key).toMatch(/_R00_SG0_guider\.fits$/);
    expect(detector).toBe("R00_SG0");
  });

  test("gives the exposures of one group one name", () => {
    const group = (seqNum: number, snap: number) => {
      const sample = makeSample({ ...camera, seqNum, snap, snaps: 2, raftBay: "R22", ccdSlot: "S11" });
      return JSON.parse(Buffer.from(sample.sidecar).toString())["GROUPID"];
    };
    expect(group(4, 1)).toBe(group(3, 0));
    expect(group(5, 0)).not.toBe(group(3, 0));
  });

  test.each([
    ["a keyword with =", { keyword: "A=B", value: 1 }],
    ["a text that is no ASCII", { keyword: "KEY", value: "é" }],
    ["a text that ends in a space", { keyword: "KEY", value: "x " }],
    ["no number", { keyword: "KEY", value: Number.NaN }],
    ["a comment with a line break", { keyword: "KEY", value: 1, comment: "a\nb" }],
  ])("refuses %s", (_what, card) => {
    expect(() => writeFitsHeader([card])).toThrow(RangeError);
  });
});
