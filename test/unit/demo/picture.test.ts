import { describe, expect, it } from "vitest";
import { NightPicture } from "../../../src/demo/picture.ts";
import type { Change } from "../../../src/jetstream/follower.ts";
import { encodeJson } from "../../../src/protocol/records.ts";

const day = "20260714";
const exposure = `MC_O_${day}_000001`;

const change = (key: string, value: unknown): Change => ({
  key,
  revision: 1,
  data: encodeJson(value),
  ended: false,
  at: 0,
});

function file(detector: string, state: string, more: object = {}): Change {
  const key = `LSSTCam/${day}/${exposure}/${exposure}_${detector}.fits`;
  return change(`file.demo.${day}.demo-raw/${key}`, {
    v: 1,
    state,
    generation: 0,
    etag: "e",
    attempts: 0,
    crashes: 0,
    crashesAlone: 0,
    errors: [],
    history: [{ at: "", event: state, node: "demo-2" }],
    body: { key, identity: { exposure, detector } },
    ...more,
  });
}

const slot = (state: object): Change => change("claim.demo.demo-2.0", { v: 1, ...state });
const item = { record: "file.demo.x.y", etag: "e", generation: 0, sequence: 1 };

function run(state: string, started: object | null): Change {
  return change(`run.quicklook.${day}.quicklook/LSSTCam/${exposure}/0`, {
    v: 1,
    state,
    generation: 0,
    etag: "h",
    attempts: 0,
    crashes: 0,
    crashesAlone: 0,
    errors: [],
    history: [],
    body: {
      job: "quicklook",
      version: "1",
      partition: { instrument: "LSSTCam", day, exposure },
      hash: "h",
      inputs: [],
      started,
      outputs: state === "done" ? [{ bucket: "demo-products", key: "k" }] : null,
      result: null,
    },
  });
}

describe("the picture of a night", () => {
  it("counts records, however often they are told", () => {
    const picture = new NightPicture(day, "products");
    for (let i = 0; i < 3; i++) picture.learn(file("R22_S11", "known"));
    picture.learn(file("R22_S00", "failing"));
    picture.learn(file("R22_S00", "parked"));
    expect(picture.lanes().get("demo")).toEqual({ known: 1, failing: 0, waiting: 0, parked: 1 });
    expect(picture.settledBy("demo-2")).toBe(1);
    expect(picture.events.filter(({ tone }) => tone === "bad")).toHaveLength(1);
  });

  it("leaves other nights out, but for what it was told to expect", () => {
    const picture = new NightPicture("20260715", "products");
    picture.learn(file("R22_S11", "known"));
    const nowhere = { ...file("R22_S11", "parked"), key: "file.demo.-.demo-raw/flat.fits" };
    picture.learn(nowhere);
    expect(picture.files.size).toBe(0);
    picture.expect(nowhere.key);
    picture.learn(nowhere);
    expect(picture.state(nowhere.key)).toBe("parked");
  });

  it("sees an exposure become complete, once, and its quick-look made", () => {
    const picture = new NightPicture(day, "products");
    picture.expectExposure(exposure, 3, ["R22_S11", "R22_S01"]);
    picture.learn(file("R22_S11", "known"));
    picture.learn(file("R44_SG0", "known"));
    expect(picture.exposures.get(exposure)?.lacks.size).toBe(1);
    picture.learn(file("R22_S01", "known"));
    picture.learn(file("R22_S01", "known"));
    const seen = picture.exposures.get(exposure);
    expect([seen?.lacks.size, seen?.known.size]).toEqual([0, 2]);
    expect(picture.events.filter(({ text }) => text.endsWith("is complete"))).toHaveLength(1);
    const states = [
      [run("ready", null), "ready"],
      [run("ready", { generation: 0, slot: "s", claim: "c" }), "running"],
      [run("done", { generation: 0, slot: "s", claim: "c" }), "done"],
    ] as const;
    for (const [told, state] of states) {
      picture.learn(told);
      expect(picture.exposures.get(exposure)?.run).toBe(state);
    }
    expect(picture.runCounts()).toEqual({ ready: 0, running: 0, done: 1, failed: 0 });
    expect(picture.productsWanted()).toBe(1);
    expect(picture.productsKnown()).toBe(0);
  });

  it("knows what each node has in hand, and tells of it at once", () => {
    const picture = new NightPicture(day, "products");
    const heard: Array<string> = [];
    picture.onHand = (key, { node, slot: { state } }) => heard.push(`${key} ${node} ${state}`);
    picture.learn(slot({ state: "claimed", id: "c", epoch: "e", since: "", items: [item, item] }));
    expect(picture.inHand("demo-2")).toBe(2);
    picture.learn(slot({ state: "idle", last: "c", how: "reclaimed", by: "demo-1" }));
    expect(picture.inHand("demo-2")).toBe(0);
    expect(heard).toEqual(["claim.demo.demo-2.0 demo-2 claimed", "claim.demo.demo-2.0 demo-2 idle"]);
  });

  it("keeps only so many events", () => {
    const picture = new NightPicture(day, "products");
    for (let i = 0; i < 2_000; i++) picture.say("plain", `${i}`);
    expect(picture.events.length).toBeLessThanOrEqual(500);
    expect(picture.events.at(-1)?.text).toBe("1999");
  });
});
