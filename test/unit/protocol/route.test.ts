import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { encodeToken } from "../../../src/protocol/keys.ts";
import type { LaneRoute } from "../../../src/protocol/route.ts";
import { keyFacts, queuedRecord, Router } from "../../../src/protocol/route.ts";

const lsstcam =
  /^(?<instrument>LSSTCam)\/(?<day>\d{8})\/(?<exposure>MC_[A-Z]_\d{8}_(?<seq>\d{6}))\/\k<exposure>_(?<detector>R\d\d_[SGW][\dABC]+)\.fits$/u;
const key = "LSSTCam/20250416/MC_O_20250416_000123/MC_O_20250416_000123_R22_S11.fits";

describe("what a key says", () => {
  it("is what the pattern's named groups hold", () => {
    expect(keyFacts(lsstcam, key)).toEqual({
      understood: true,
      instrument: "LSSTCam",
      day: "20250416",
      identity: {
        instrument: "LSSTCam",
        day: "20250416",
        exposure: "MC_O_20250416_000123",
        group: null,
        snap: null,
        detector: "R22_S11",
        seq: 123,
      },
    });
  });

  it("is nothing where there is no pattern, and that is understood", () => {
    expect(keyFacts(null, key)).toMatchObject({ understood: true, instrument: "-", day: "-" });
  });

  it("is nothing where the pattern misses, and that is not", () => {
    expect(keyFacts(lsstcam, "elsewhere.fits")).toMatchObject({
      understood: false,
      instrument: "-",
      day: "-",
    });
    expect(keyFacts(/a/u, "b").understood).toBe(false);
  });

  it("a pattern without groups understands nothing of what it matches", () => {
    expect(keyFacts(/fits$/u, key)).toMatchObject({ understood: false, instrument: "-", day: "-" });
  });

  it.each([
    ["2025/04/16", "20250416"],
    ["2025-04-16", "20250416"],
    ["20250416", "20250416"],
    ["2025/4/16", "2025/4/16"],
    ["night-7", "night-7"],
  ])("the day %s is %s", (text, day) => {
    const facts = keyFacts(/^(?<day>.+)\|/u, `${text}|x`);
    expect([facts.day, facts.identity.day]).toEqual([day, day]);
  });

  it("a group that took no part is absent, and so is a number that is none", () => {
    const pattern = /^(?:(?<instrument>\w+)\/)?(?<snap>[^/]+)\/(?<seq>[^/]+)$/u;
    expect(keyFacts(pattern, "00/000123").identity).toMatchObject({ instrument: null, snap: 0, seq: 123 });
    expect(keyFacts(pattern, "x/-1").identity).toMatchObject({ snap: null, seq: null });
    expect(keyFacts(pattern, "1e3/9999999999999999").identity).toMatchObject({ snap: null, seq: null });
    expect(keyFacts(pattern, "cam/1/2").instrument).toBe("cam");
    expect(keyFacts(pattern, "1/2").instrument).toBe("-");
  });

  it("of any key never throws, and gives a day that fits into a key", () => {
    const patterns = [null, lsstcam, /(?<day>.*)/u, /(?<instrument>.?)(?<day>.*?)$/su];
    fc.assert(
      fc.property(fc.constantFrom(...patterns), fc.string({ unit: "binary" }), (pattern, text) => {
        expect(encodeToken(keyFacts(pattern, text).day)).toMatch(/^[-/_=a-zA-Z0-9]+$/);
      }),
    );
  });
});

const lane = (name: string, buckets: ReadonlyArray<string>, accept = /fits$/u): LaneRoute => ({
  name,
  kind: "exposure",
  buckets,
  accept,
  pattern: null,
});

describe("the router", () => {
  const router = new Router([
    lane("guiders", ["raw", "embargo"], /guider/u),
    lane("raws", ["raw"]),
    lane("lfa", ["lfa"], /./u),
  ]);
  const taken = (bucket: string, of: string): string => {
    const routed = router.route(bucket, of);
    return routed.type === "lane" ? routed.lane.name : routed.type;
  };

  it("finds the lane by bucket and by what it accepts; the first that does takes it", () => {
    expect(taken("raw", "a_guider.fits")).toBe("guiders");
    expect(taken("raw", "a.fits")).toBe("raws");
    expect(taken("embargo", "a_guider.fits")).toBe("guiders");
    expect(taken("lfa", "anything")).toBe("lfa");
  });

  it("tells an object that nobody accepts from a bucket that nobody reads", () => {
    expect(taken("raw", "a.json")).toBe("skipped");
    expect(taken("embargo", "a.fits")).toBe("skipped");
    for (const bucket of ["", "RAW", "raw2", "__proto__", "constructor"])
      expect(taken(bucket, "a.fits")).toBe("unknown-bucket");
  });

  it("`accept` is searched, not anchored", () => {
    expect(taken("raw", "deep/below/a.fits")).toBe("raws");
    expect(taken("raw", "a.fits.json")).toBe("skipped");
  });

  it("gives the same answer twice", () => {
    for (let i = 0; i < 3; i++) expect(taken("raw", "a.fits")).toBe("raws");
  });
});

describe("the answer that callers get", () => {
  it("of an exposure's file", () => {
    expect(queuedRecord("exposure", "rubinobs-raw", key, keyFacts(lsstcam, key))).toEqual({
      bucket: "rubinobs-raw",
      instrument: "LSSTCam",
      obs_day: "20250416",
      exp_id: "MC_O_20250416_000123",
      filename: "MC_O_20250416_000123_R22_S11.fits",
      path: `rubinobs-raw/${key}`,
      instrument_code: "MC",
      controller: "O",
      seq_num: "000123",
    });
  });

  it("of an object that stands alone", () => {
    const pattern = /^(?<instrument>\w+)\/(?<day>\d{4}\/\d\d\/\d\d)\//u;
    const of = "ATMCS/2025/04/16/a b.csv";
    expect(queuedRecord("object", "lfa", of, keyFacts(pattern, of))).toEqual({
      bucket: "lfa",
      instrument: "ATMCS",
      obs_day: "20250416",
      filename: "a b.csv",
      path: `lfa/${of}`,
    });
  });

  it("of an exposure lane whose key names no exposure has no field that would be empty", () => {
    const answer = queuedRecord("exposure", "raw", "plain.fits", keyFacts(null, "plain.fits"));
    expect(answer).toEqual({
      bucket: "raw",
      instrument: "-",
      obs_day: "-",
      filename: "plain.fits",
      path: "raw/plain.fits",
    });
  });
});
