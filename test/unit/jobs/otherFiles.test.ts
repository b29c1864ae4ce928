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

  const whole = { site: "summit", epoch: ">", lag: 0, silentMs: 500, error: null };

  it("of a former life stand until the present one has told of all it has, and go then if it has not got them", () => {
    const others = new OtherFiles(["summit"]);
    const over = (now: number) => others.over(now, [whole]);
    others.apply(known("summit", "e1", "a.cdf", 1_000));
    others.apply(known("summit", "e1", "b.cdf", 1_000));
    expect(over(1_000_000)).toEqual({ files: [], lives: [], kept: [] });
    others.apply(known("summit", "e2", "a.cdf", 2_000_000));
    expect(over(2_000_000 + siteSettledMs - 1)).toEqual({ files: [], lives: [], kept: [] });
    others.apply(known("summit", "e2", "c.cdf", 2_000_500));
    expect(over(2_000_000 + siteSettledMs)).toEqual({ files: [], lives: [], kept: [] });
    const done = over(2_000_500 + siteSettledMs);
    expect(done.files).toEqual([{ site: "summit", name: "b.cdf", place: null, receivedAt: null }]);
    expect(done.lives).toEqual([{ site: "summit", epoch: "e1" }]);
    expect(over(3_000_000)).toEqual({ files: [], lives: [], kept: [] });
    // A word of it that comes late says nothing, and its end ends nothing of the present one.
    expect(others.apply(known("summit", "e1", "b.cdf", 3_000_000))).toBe(null);
    expect(others.apply(ended("summit", "e1", "a.cdf", 3_000_000))).toBe(null);
  });

  /** In a first life so many files, of which the second one has told the first ones. */
  const rebuilt = (files: number, told: number): OtherFiles => {
    const others = new OtherFiles(["summit"]);
    for (let i = 0; i < files; i++) others.apply(known("summit", "e1", `${i}.cdf`, 1_000));
    for (let i = 0; i < told; i++) others.apply(known("summit", "e2", `${i}.cdf`, 2_000));
    return others;
  };

  it.each([
    ["a silence", [{ ...whole, silentMs: 12_000 }]],
    ["an error", [{ ...whole, error: "no such consumer" }]],
    ["what is held back", [{ ...whole, lag: 390 }]],
    ["not being known", [{ ...whole, silentMs: null }]],
    ["not being sourced", []],
  ])("of a former life stand through %s, and until all has come without one", (_, broken) => {
    const others = rebuilt(1_000, 610);
    const none = { files: [], lives: [], kept: [] };
    expect(others.over(5_000, [whole])).toEqual(none);
    expect(others.over(10_000, broken)).toEqual(none);
    expect(others.over(100_000, broken)).toEqual(none);
    expect(others.over(100_500, [whole])).toEqual(none);
    expect(others.over(100_499 + siteSettledMs, [whole])).toEqual(none);
    expect(others.over(100_500 + siteSettledMs, [whole]).files).toHaveLength(390);
  });

  it("of a former life stand while most of them would go: a cut beyond the supernode is not seen from here", () => {
    const others = rebuilt(1_000, 10);
    others.over(5_000, [whole]);
    const { files, lives, kept } = others.over(5_000 + siteSettledMs, [whole]);
    expect([files, lives]).toEqual([[], []]);
    expect(kept).toEqual([{ site: "summit", epoch: "e2", gone: 990, has: 10 }]);
    // Told once.
    expect(others.over(60_000, [whole])).toEqual({ files: [], lives: [], kept: [] });
    for (let i = 10; i < 500; i++) others.apply(known("summit", "e2", `${i}.cdf`, 60_000));
    expect(others.over(60_000 + siteSettledMs, [whole]).files).toHaveLength(500);
    expect(others.hasFormer).toBe(false);
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
