/** What the ledger says of a mission, as it happens. */
import { describe, expect, it } from "vitest";
import { MissionPicture } from "../../../src/demo/missionPicture.ts";
import type { State } from "../../../src/protocol/records.ts";
import { encodeJson } from "../../../src/protocol/records.ts";

const picture = new MissionPicture();
let revision = 0;
function learn(key: string, value: unknown, ended = false): void {
  picture.learn({ key, revision: ++revision, data: encodeJson(value), ended, at: 0 });
}
const file = (name: string, state: State, detail?: string): void =>
  learn(`file.mission.20260310.${name}`, {
    v: 1,
    state,
    generation: 0,
    etag: "1",
    claim: null,
    attempts: 0,
    crashes: 0,
    crashesAlone: 0,
    errors:
      detail === undefined
        ? []
        : [{ at: "", reason: "NameNotRecognised", detail, node: "a", class: "permanent" }],
    history: [],
    body: { bucket: "delivered", key: `some/folder/${name}` },
  });
const job = (partition: string, state: string): void =>
  learn(`job.swe/l1a/all.20260310.swe/${partition}`, {
    v: 1,
    job: "swe/l1a/all",
    version: "1",
    partition: {
      kind: "day",
      instrument: "swe",
      day: "20260310",
      name: partition,
      range: null,
      pointing: null,
    },
    state,
    blockedOn: [],
    inputs: null,
    run: null,
  });

describe("the picture of a mission", () => {
  it("has each file by its name, in the state that it is in now", () => {
    file("a.pkts", "failing");
    expect([picture.isKnown("a.pkts"), picture.isSettled("a.pkts")]).toEqual([false, false]);
    file("a.pkts", "known");
    expect([picture.isKnown("a.pkts"), picture.isSettled("a.pkts")]).toEqual([true, true]);
    file("b.pkts", "parked", "no such kind");
    expect([picture.isKnown("b.pkts"), picture.isSettled("b.pkts")]).toEqual([false, true]);
    expect(picture.files.get("b.pkts")?.error).toBe("NameNotRecognised: no such kind");
    expect(picture.isSettled("c.pkts")).toBe(false);
  });

  it("is active while something is about to be made, or being made", () => {
    job("20260310", "blocked");
    expect(picture.isActive()).toBe(false);
    job("20260310", "ready");
    expect(picture.isActive()).toBe(true);
    job("20260310", "running");
    expect(picture.isActive()).toBe(true);
    job("20260310", "done");
    expect(picture.isActive()).toBe(false);
    expect(picture.jobs.size).toBe(1);
  });
});
