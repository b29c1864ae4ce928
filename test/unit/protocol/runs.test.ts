import { describe, expect, it } from "vitest";
import { placeOfRecordKey, recordKey } from "../../../src/protocol/keys.ts";
import { encodeJson, LedgerCorrupt } from "../../../src/protocol/records.ts";
import type { Partition, RunPlan } from "../../../src/protocol/runs.ts";
import {
  decodeRun,
  givenByRun,
  hashOfRun,
  newRun,
  partitionName,
  placeOfRun,
} from "../../../src/protocol/runs.ts";

const hash = "00112233aabbccdd";
const exposure: Partition = { instrument: "LSSTCam", day: "20251121", exposure: "MC_O#1" };
const pointing: Partition = {
  kind: "pointing",
  instrument: "swe",
  day: "20260407",
  name: "repoint00209",
  range: { start: "2026-04-07T19:55:29.642514", end: "2026-04-08T20:15:00" },
  pointing: 209,
};
const plan: RunPlan = {
  outputs: [{ dataset: "swe/l1a/sci", name: "a.cdf", bucket: "imap", key: "imap/swe/l1a/2026/04/a.cdf" }],
  minor: 1,
  incomplete: false,
  priority: 0,
  origin: "live",
  exclusive: "swe",
};
const body = { job: "swe/l1a/all", version: "1", hash, inputs: [] };
const at = { now: 0, node: "n" };

it("a run's outputs are told the range of its partition, and its pointing", () => {
  expect(givenByRun(exposure)).toEqual({});
  expect(givenByRun(pointing)).toEqual({
    range: ["2026-04-07T19:55:29.642514", "2026-04-08T20:15:00"],
    pointing: 209,
  });
  expect(givenByRun({ ...pointing, kind: "open", range: null, pointing: null })).toEqual({});
});

describe("a run's record", () => {
  it("comes back from the ledger for an exposure as it always stood there, and for a stretch with its plan", () => {
    for (const run of [
      newRun({ ...body, partition: exposure }, at),
      newRun({ ...body, partition: pointing, plan }, at),
    ]) {
      expect(decodeRun("run.k", encodeJson(run))).toEqual(run);
    }
    expect(newRun({ ...body, partition: exposure }, at).body.partition).toEqual({
      instrument: "LSSTCam",
      day: "20251121",
      exposure: "MC_O#1",
    });
  });

  it("is refused where its partition or its plan is none", () => {
    const { name: _name, ...nameless } = pointing;
    const bad = [
      { ...body, partition: nameless },
      { ...body, partition: { ...pointing, kind: "night" } },
      { ...body, partition: pointing, plan: { ...plan, origin: "later" } },
      { ...body, partition: pointing, plan: { ...plan, outputs: [{ name: "a.cdf" }] } },
    ];
    for (const one of bad) {
      const data = encodeJson(newRun(one as never, at));
      expect(() => decodeRun("run.k", data)).toThrow(LedgerCorrupt);
    }
  });

  it("stands at a key that names job, partition and hash", () => {
    const place = placeOfRun("l1", body.job, pointing, hash);
    expect(recordKey(place)).toBe(`run.l1.20260407.swe/l1a/all/swe/repoint00209/${hash}`);
    expect(placeOfRecordKey(recordKey(place))).toEqual(place);
    expect(hashOfRun(place.tail)).toBe(hash);
    expect([exposure, pointing].map(partitionName)).toEqual(["MC_O#1", "repoint00209"]);
  });
});
