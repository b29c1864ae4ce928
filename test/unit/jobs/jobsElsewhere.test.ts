/** Jobs of the site file whose inputs are another site's: what its keys mean for them. */
import { describe, expect, it } from "vitest";
import { JobFacts } from "../../../src/actors/jobFacts.ts";
import type { JobRule } from "../../../src/protocol/jobs.ts";
import { siteSettledMs } from "../../../src/limits.ts";
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
const change = (prefix: string, detector: string, state?: string, heardAt = 0) => ({
  key: `${prefix}file.raw.20251121.${detector}`,
  revision: 1,
  data: encodeJson(record(detector, state)),
  ended: false,
  at: heardAt,
});
/** As the supernode's files come when nothing is wrong. */
const whole = { site: "summit", epoch: ">", lag: 0, silentMs: 500, error: null };

describe("an input of another site", () => {
  it("is that site's files, and no other's of the same lane", () => {
    const facts = new JobFacts(new Map([["look", rule("summit")]]));
    expect(facts.keys).not.toContain("file.raw.>");
    expect(facts.otherKeys).toEqual(["summit.*.file.raw.>"]);
    expect(facts.apply(change("", "A"))).toEqual([]);
    expect(facts.applyOther(change("tucson.e1.", "A"))).toEqual([]);
    const [of] = facts.applyOther(change("summit.e1.", "A"));
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
    expect(facts.applyOther(change("summit.e1.", "A"))).toEqual([]);
    expect(facts.apply(change("", "A"))).toHaveLength(1);
  });

  it("is what the site's former life had until the present one has told of all, and then what that has", () => {
    const facts = new JobFacts(new Map([["look", rule("summit")]]));
    const [of] = facts.applyOther(change("summit.e1.", "A"));
    if (of === undefined) throw new Error("no partition");
    expect(facts.rebuilt(1_000, [whole])).toEqual([]);
    // Of the file that both lives have there is one.
    facts.applyOther(change("summit.e2.", "A", "known", 2_000));
    expect(facts.decide(of, at)).toMatchObject({ record: { blockedOn: ["summit/raw: 1 of 2 files"] } });
    expect(facts.applyOther(change("summit.e1.", "C"))).toEqual([]);
    const rebuilt = (now: number) => facts.rebuilt(now, [whole]).map(({ isTold }) => isTold);
    expect(rebuilt(2_000)).toEqual([false]);
    expect(rebuilt(1_999 + siteSettledMs)).toEqual([false]);
    expect(facts.rebuilt(2_000 + siteSettledMs, [whole])).toEqual([
      { site: "summit", epoch: "e2", former: ["e1"], isTold: true },
    ]);
    expect(facts.endFormer("summit")).toEqual([]);
    expect(facts.hasFormerLives).toBe(false);
    // Rebuilt once more, of which the word is old when it comes: how it came meanwhile nobody has seen.
    facts.applyOther(change("summit.e3.", "A", "known", 3_000));
    expect(rebuilt(1_000_000)).toEqual([false]);
    expect(rebuilt(1_000_000 + siteSettledMs)).toEqual([true]);
  });

  it("stands while the site's new life arrives: with the link cut in the middle a run begins all the same", () => {
    const facts = new JobFacts(new Map([["look", rule("summit")]]));
    const [of] = facts.applyOther(change("summit.e1.", "A"));
    if (of === undefined) throw new Error("no partition");
    const [other] = facts.applyOther({ ...change("summit.e2.", "X"), key: "summit.e2.file.raw.20251122.X" });
    expect(other).toBe(of);
    expect(facts.decide(of, at)).toMatchObject({
      type: "start",
      run: { body: { inputs: [{ key: "A.fits" }, { key: "X.fits" }] } },
    });
    // Who has decided that it is over has to decide anew what was made of it.
    expect(facts.endFormer("summit")).toEqual([of]);
    expect(facts.decide(of, at)).toMatchObject({ record: { blockedOn: ["summit/raw: 1 of 2 files"] } });
  });
});
