/** What other sites' keys say: places that come and go, lives of a site that end, and what is none of it. */
import { describe, expect, it } from "vitest";
import { OtherFiles } from "../../../src/actors/otherFiles.ts";
import { siteSettledMs } from "../../../src/limits.ts";
import { compareEpochs, pairOfConsumer, siteKeyOf } from "../../../src/protocol/filesOf.ts";
import { encodeJson, LedgerCorrupt } from "../../../src/protocol/records.ts";

const named = (name: string) => ({
  v: 1,
  state: "known",
  generation: 0,
  etag: `of ${name}`,
  attempts: 0,
  crashes: 0,
  crashesAlone: 0,
  errors: [],
  history: [],
  body: {
    bucket: "imap",
    key: `swe/${name}`,
    size: 3,
    uri: `s3://imap/swe/${name}`,
    receivedAt: "2026-03-10T00:00:00.000Z",
    dataset: {
      name,
      kind: "science",
      dataset: "swe/l1a/sci",
      range: { start: "2026-03-10T00:00:00", end: "2026-03-11T00:00:00", from: "name" },
      pointing: null,
      version: "v001.0001",
    },
  },
});

const keyOf = (site: string, epoch: string, name: string): string =>
  `${site}.${epoch}.file.imap.20260310.${name}`;
const known = (site: string, epoch: string, name: string, at = 0) => ({
  key: keyOf(site, epoch, name),
  data: encodeJson(named(name)),
  ended: false,
  at,
});
const ended = (site: string, epoch: string, name: string, at = 0) => ({
  key: keyOf(site, epoch, name),
  data: new Uint8Array(),
  ended: true,
  at,
});

describe("files of other sites", () => {
  it("come with their places, and go with their keys", () => {
    const others = new OtherFiles(["summit"]);
    expect(others.apply(known("summit", "e1", "a.cdf"))).toMatchObject({
      site: "summit",
      name: "a.cdf",
      place: { site: "summit", bucket: "imap", key: "swe/a.cdf", etag: "of a.cdf", size: 3, digest: null },
    });
    expect(others.apply(ended("summit", "e1", "a.cdf"))).toMatchObject({ name: "a.cdf", place: null });
    expect(others.apply(ended("summit", "e1", "a.cdf"))).toBe(null);
  });

  it("are those of the sites that are named, and nothing else that stands there", () => {
    const others = new OtherFiles(["summit"]);
    expect(others.apply(known("tucson", "e1", "a.cdf"))).toBe(null);
    expect(others.apply({ key: "summit", data: new Uint8Array(), ended: false, at: 0 })).toBe(null);
    const parked = { ...named("a.cdf"), state: "parked" };
    const change = { ...known("summit", "e1", "a.cdf"), data: encodeJson(parked) };
    expect(others.apply(change)).toBe(null);
    const wrong = { ...change, data: Buffer.from("no JSON") };
    expect(() => others.apply(wrong)).toThrow(LedgerCorrupt);
  });

  it("of a former life stand until the present one has told of all it has, and go then if it has not got them", () => {
    const others = new OtherFiles(["summit"]);
    others.apply(known("summit", "e1", "a.cdf", 1_000));
    others.apply(known("summit", "e1", "b.cdf", 1_000));
    expect(others.over(1_000_000)).toEqual({ files: [], lives: [] });
    others.apply(known("summit", "e2", "a.cdf", 2_000_000));
    expect(others.over(2_000_000 + siteSettledMs - 1)).toEqual({ files: [], lives: [] });
    others.apply(known("summit", "e2", "c.cdf", 2_000_500));
    expect(others.over(2_000_000 + siteSettledMs)).toEqual({ files: [], lives: [] });
    const over = others.over(2_000_500 + siteSettledMs);
    expect(over.files).toEqual([{ site: "summit", name: "b.cdf", place: null, receivedAt: null }]);
    expect(over.lives).toEqual([{ site: "summit", epoch: "e1" }]);
    expect(others.over(3_000_000)).toEqual({ files: [], lives: [] });
    // A word of it that comes late says nothing, and its end ends nothing of the present one.
    expect(others.apply(known("summit", "e1", "b.cdf", 3_000_000))).toBe(null);
    expect(others.apply(ended("summit", "e1", "a.cdf", 3_000_000))).toBe(null);
  });
});

describe("keys and names", () => {
  it("a later life is the one with the later time", () => {
    expect(compareEpochs("m", "l")).toBeGreaterThan(0);
    expect(compareEpochs("zz", "100")).toBeLessThan(0);
    expect(compareEpochs("e1", "e1")).toBe(0);
  });

  it.each([
    ["summit.e1.file.imap.20260310.a", { site: "summit", epoch: "e1", key: "file.imap.20260310.a" }],
    ["summit.e1", null],
    ["summit..x", null],
    [".e1.x", null],
    ["summit.e1.", null],
  ])("%s", (key, expected) => {
    expect(siteKeyOf(key)).toEqual(expected);
  });

  it("a consumer's name says the pair, and other consumers are none of ours", () => {
    expect(pairOfConsumer("base=summit")).toEqual({ site: "base", of: "summit" });
    expect(["base", "=summit", "base=", "a=b=c"].map(pairOfConsumer)).toEqual([null, null, null, null]);
  });
});
