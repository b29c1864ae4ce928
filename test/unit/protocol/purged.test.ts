/** What a site says of the days that it purges. */
import { describe, expect, it } from "vitest";
import {
  daysPurged,
  decodePurged,
  encodePurged,
  purgedFilters,
  purgedKey,
} from "../../../src/protocol/purged.ts";

const days = { upTo: 70, from: "20260227", through: "20260302", held: ["20260301"] };
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe("purged days", () => {
  it("come back as they were written, with what a later version adds left out", () => {
    expect(decodePurged(encodePurged(days))).toEqual(days);
    expect(
      decodePurged(bytes(JSON.stringify({ ...days, v: 2, more: 1, held: ["20260301", "x", 5] }))),
    ).toEqual(days);
  });

  it.each([
    "",
    "[]",
    "{}",
    '{"upTo":"1","from":"20260227","through":"20260302","held":[]}',
    '{"upTo":1,"from":"*","through":">","held":[]}',
  ])("%s is nothing to purge by", (text) => {
    expect(decodePurged(bytes(text))).toBeNull();
  });

  it("are those from the first through the last, without what is held, and the newest where there are too many", () => {
    expect(daysPurged(days, 400)).toEqual(["20260227", "20260228", "20260302"]);
    expect(daysPurged({ ...days, from: "19700101", held: [] }, 2)).toEqual(["20260301", "20260302"]);
    expect(daysPurged({ ...days, from: "20260303" }, 400)).toEqual([]);
  });

  it("are a lane's files, or what belongs to no lane", () => {
    expect(purgedFilters(purgedKey("raw"))?.("20260301")).toEqual(["file.raw.20260301.>"]);
    expect(purgedFilters(purgedKey(null))?.("20260301")).toEqual([
      "exposure.*.20260301.>",
      "visit.*.20260301.>",
      "job.*.20260301.>",
      "run.*.20260301.>",
    ]);
    for (const key of ["purged.file", "purged.exposure.x", "purged.file.a.b", "purged.other.x", "file.raw.x"])
      expect([key, purgedFilters(key)]).toEqual([key, null]);
  });
});
