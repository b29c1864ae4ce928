import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { gapsIn, latencyOf, Tally } from "../../../src/cli/tally.ts";
import type { Arrival } from "../../../src/protocol/arrival.ts";
import type { FileBody, LedgerRecord, State } from "../../../src/protocol/records.ts";

const arrival = (key: string, etag = "1", generation = 0): Arrival => ({
  v: 1,
  bucket: "raw",
  key,
  etag,
  size: 1,
  instrument: "LSSTCam",
  day: "20251121",
  generation,
  via: "webhook",
  receivedAt: "2025-11-21T00:00:00.000Z",
});

const record = (
  key: string,
  state: State,
  of: { seq?: number; exposure?: string; detector?: string; knownAt?: string } = {},
): LedgerRecord<FileBody> => ({
  v: 1,
  state,
  generation: 0,
  etag: "1",
  claim: null,
  attempts: 0,
  crashes: 0,
  crashesAlone: 0,
  errors: [],
  history: state === "known" ? [{ at: of.knownAt ?? "2025-11-21T00:00:00.040Z", event: "known" }] : [],
  body: {
    bucket: "raw",
    key,
    size: 1,
    uri: "",
    identity: {
      instrument: "LSSTCam",
      day: "20251121",
      exposure: of.exposure ?? null,
      group: null,
      snap: null,
      detector: of.detector ?? null,
      seq: of.seq ?? null,
    },
    metadata: null,
    via: "webhook",
    receivedAt: "2025-11-21T00:00:00.000Z",
    sequence: 1,
  },
});

describe("a day's counts", () => {
  it("tell announcements, repeats, what was put back, and what is open apart", () => {
    const tally = new Tally("raw", "LSSTCam", "20251121");
    for (const one of [
      arrival("a"),
      arrival("a"),
      arrival("a"),
      arrival("b"),
      arrival("c"),
      arrival("c", "2"),
    ])
      tally.arrival(one);
    tally.arrival(arrival("b", "1", 1));
    tally.record(record("a", "known"));
    tally.record(record("b", "failing"));
    expect(tally.summary()).toMatchObject({
      received: 6,
      // The other content of c is no repeat.
      duplicates: 2,
      putBack: 1,
      open: 1,
      known: 1,
      failing: 1,
    });
  });

  it("show exposures without detectors that most have, and gaps only among what is known", () => {
    const tally = new Tally("raw", "LSSTCam", "20251121");
    for (const [seq, exposure] of [
      [1, "e1"],
      [2, "e2"],
      [5, "e5"],
    ] as const) {
      tally.record(record(`${exposure}-1`, "known", { seq, exposure, detector: "R22_S11" }));
      if (exposure !== "e5")
        tally.record(record(`${exposure}-2`, "known", { seq, exposure, detector: "R22_S12" }));
    }
    tally.record(record("lost", "parked", { seq: 900, exposure: "e900", detector: "R22_S11" }));
    expect(tally.summary()).toMatchObject({
      seq: { first: 1, last: 5, missing: 2, gaps: [{ from: 3, to: 4 }] },
      exposures: 3,
      detectors: [
        { detectors: 2, exposures: 2 },
        { detectors: 1, exposures: 1 },
      ],
      incomplete: [{ exposure: "e5", detectors: 1, missing: ["R22_S12"] }],
      parked: 1,
    });
  });

  it("name what an exposure lacks of what most have, and not what only some have", () => {
    const tally = new Tally("raw", "LSSTCam", "20251121");
    const exposures: Readonly<Record<string, ReadonlyArray<string>>> = {
      // As many as the others, and yet not the same.
      e1: ["S11", "S12", "SG0"],
      e2: ["S10", "S11", "S12"],
      e3: ["S10", "S12"],
      e4: ["S10", "S11", "S12", "SG0"],
    };
    for (const [exposure, detectors] of Object.entries(exposures)) {
      for (const detector of detectors)
        tally.record(record(`${exposure}${detector}`, "known", { exposure, detector }));
    }
    expect(tally.summary().incomplete).toEqual([
      { exposure: "e1", detectors: 3, missing: ["S10"] },
      { exposure: "e3", detectors: 2, missing: ["S11"] },
    ]);
  });

  it("count what somebody gave up for good apart from what is parked", () => {
    const tally = new Tally("raw", "LSSTCam", "20251121");
    const given = record("a", "parked");
    tally.record({ ...given, history: [{ at: "2025-11-21T00:00:01.000Z", event: "discarded" }] });
    expect(tally.summary()).toMatchObject({ parked: 0, discarded: 1 });
  });

  it("measure from received to the first time it was known", () => {
    const tally = new Tally("raw", "LSSTCam", "20251121");
    for (let i = 1; i <= 100; i++) {
      const knownAt = new Date(Date.UTC(2025, 10, 21) + i).toISOString();
      tally.record(record(`f${i}`, "known", { knownAt }));
    }
    expect(tally.summary().latencyMs).toEqual({ count: 100, p50: 50, p90: 90, p99: 99, max: 100 });
  });
});

describe("gaps", () => {
  it("and what is there make up the whole", () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.integer({ min: 0, max: 300 }), { minLength: 1 }), (numbers) => {
        const found = gapsIn(new Set(numbers));
        expect(found).not.toBeNull();
        if (found === null) return;
        const missing = found.gaps.flatMap(({ from, to }) =>
          Array.from({ length: to - from + 1 }, (_, i) => from + i),
        );
        expect(missing.length).toBe(found.missing);
        const all = [...numbers, ...missing].sort((a, b) => a - b);
        expect(all).toEqual(Array.from({ length: found.last - found.first + 1 }, (_, i) => found.first + i));
      }),
    );
  });

  it("are none where there is nothing", () => {
    expect(gapsIn(new Set())).toBeNull();
    expect(latencyOf([])).toBeNull();
  });
});
