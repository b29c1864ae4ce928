/** Jobs of the site file whose inputs are another site's: what its keys mean for them. */
import { describe, expect, it } from "vitest";
import { JobFacts } from "../../../src/actors/jobFacts.ts";
import type { JobRule } from "../../../src/protocol/jobs.ts";
import { encodeJson } from "../../../src/protocol/records.ts";

const input = { lane: "raw", match: null, required: true, count: 2, detectors: [] };
const rule = (site?: string): JobRule => ({
  name: "look",
  version: "1",
  lane: "look",
  inputs: [site === undefined ? input : { ...input, site }],
});
const at = { now: 0, node: "one" };

const record = (detector: string, state = "known") => ({
  v: 1,
  state,
  generation: 0,
  etag: `of ${detector}`,
  attempts: 0,
  crashes: 0,
  crashesAlone: 0,
  errors: [],
  history: [],
  body: {
    bucket: "shots",
    key: `${detector}.fits`,
    uri: `s3://shots/${detector}.fits`,
    identity: {
      instrument: "LSSTCam",
      day: "20251121",
      exposure: "e1",
      detector,
      group: null,
      snap: null,
      seq: null,
    },
  },
});
const change = (prefix: string, detector: string, state?: string) => ({
  key: `${prefix}file.raw.20251121.${detector}`,
  revision: 1,
  data: encodeJson(record(detector, state)),
  ended: false,
});

describe("an input of another site", () => {
  it("is that site's files, and no other's of the same lane", () => {
    const facts = new JobFacts(new Map([["look", rule("summit")]]));
    expect(facts.keys).not.toContain("file.raw.>");
    expect(facts.otherKeys).toEqual(["summit.*.file.raw.>"]);
    expect(facts.apply(change("", "A"))).toEqual([]);
    expect(facts.applyOther(change("tucson.e1.", "A")).touched).toEqual([]);
    const [of] = facts.applyOther(change("summit.e1.", "A")).touched;
    if (of === undefined) throw new Error("no partition");
    expect(facts.decide(of, at)).toMatchObject({ record: { blockedOn: ["summit/raw: 1 of 2 files"] } });
    facts.applyOther(change("summit.e1.", "B"));
    expect(facts.decide(of, at)).toMatchObject({
      type: "start",
      run: { body: { inputs: [{ site: "summit" }, { site: "summit" }] } },
    });
    facts.applyOther(change("summit.e1.", "B", "parked"));
    expect(facts.decide(of, at)).toMatchObject({ record: { blockedOn: ["summit/raw: 1 of 2 files"] } });
  });

  it("is no file of the own site's, and an own input none of another's", () => {
    const facts = new JobFacts(new Map([["look", rule()]]));
    expect(facts.otherKeys).toEqual([]);
    expect(facts.applyOther(change("summit.e1.", "A")).touched).toEqual([]);
    expect(facts.apply(change("", "A"))).toHaveLength(1);
  });

  it("is what the site's present life has", () => {
    const facts = new JobFacts(new Map([["look", rule("summit")]]));
    const [of] = facts.applyOther(change("summit.e1.", "A")).touched;
    if (of === undefined) throw new Error("no partition");
    const rebuilt = facts.applyOther(change("summit.e2.", "B"));
    expect(rebuilt).toEqual({ touched: [of], former: "$KV.sites.summit.e1.>" });
    expect(facts.decide(of, at)).toMatchObject({ record: { blockedOn: ["summit/raw: 1 of 2 files"] } });
    expect(facts.applyOther(change("summit.e1.", "C")).touched).toEqual([]);
    expect(facts.applyOther(change("summit.e2.", "A")).former).toBe(null);
    expect(facts.decide(of, at)).toMatchObject({ type: "start" });
  });
});
