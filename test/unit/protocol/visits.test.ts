import * as fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import type { FileBody, Identity, LedgerRecord, State } from "../../../src/protocol/records.ts";
import type { VisitFact, VisitRecord, VisitSystem } from "../../../src/protocol/visits.ts";
import { decodeVisit, visitFactOf, visitKeyOf, withFact } from "../../../src/protocol/visits.ts";
import { encodeJson, LedgerCorrupt } from "../../../src/protocol/records.ts";
import { plainRecord } from "../../support/records.ts";

const nobody: Identity = {
  instrument: null,
  day: null,
  exposure: null,
  group: null,
  snap: null,
  detector: null,
  seq: null,
};

function file(
  identity: Partial<Identity> | null,
  metadata: FileBody["metadata"] = null,
  state: State = "known",
): LedgerRecord<FileBody> {
  const body: FileBody = {
    bucket: "raw",
    key: "k",
    size: null,
    uri: "",
    identity: identity === null ? null : { ...nobody, ...identity },
    metadata,
    via: "webhook",
    receivedAt: "",
    sequence: 1,
  };
  return plainRecord(state, body);
}

const day = "20251121";
const exposureOf = (seq: number): string => `MC_O_${day}_${String(seq).padStart(6, "0")}`;
const snap = (seq: number, n: number, detector: string, group: string | null = "g1"): Partial<Identity> => ({
  instrument: "LSSTCam",
  day,
  exposure: exposureOf(seq),
  group,
  snap: n,
  detector,
  seq,
});

function visitsOf(
  system: VisitSystem,
  files: ReadonlyArray<LedgerRecord<FileBody>>,
): Map<string, VisitRecord> {
  const visits = new Map<string, VisitRecord>();
  for (const one of files) {
    const fact = visitFactOf(system, [], one);
    if (fact === null) continue;
    const key = visitKeyOf(fact);
    visits.set(key, withFact(visits.get(key) ?? null, fact));
  }
  return visits;
}

const two = { groupSize: 2 };
const twoSnaps = [
  file(snap(7, 0, "R22_S11"), two),
  file(snap(8, 1, "R22_S11"), two),
  file(snap(8, 1, "R22_S12"), two),
];

describe("two snaps of one group", () => {
  it("are two visits, one to one", () => {
    const visits = visitsOf("one-to-one", twoSnaps);
    expect([...visits]).toEqual([
      [
        `visit.LSSTCam.${day}.${exposureOf(7)}`,
        {
          v: 1,
          visit: exposureOf(7),
          system: "one-to-one",
          instrument: "LSSTCam",
          day,
          group: "g1",
          exposures: [exposureOf(7)],
          detectors: { [exposureOf(7)]: ["R22_S11"] },
          promised: 1,
          complete: true,
        },
      ],
      [`visit.LSSTCam.${day}.${exposureOf(8)}`, expect.objectContaining({ exposures: [exposureOf(8)] })],
    ]);
  });

  it.each([
    ["by-group", "g1"],
    ["by-counter", exposureOf(7)],
  ] as const)("are one visit %s, complete with the second", (system, visit) => {
    const [first] = visitsOf(system, twoSnaps.slice(0, 1)).values();
    expect(first).toMatchObject({ visit, exposures: [exposureOf(7)], promised: 2, complete: false });
    expect([...visitsOf(system, twoSnaps)]).toEqual([
      [
        `visit.LSSTCam.${day}.${visit}`,
        {
          v: 1,
          visit,
          system,
          instrument: "LSSTCam",
          day,
          group: "g1",
          exposures: [exposureOf(7), exposureOf(8)],
          detectors: { [exposureOf(7)]: ["R22_S11"], [exposureOf(8)]: ["R22_S11", "R22_S12"] },
          promised: 2,
          complete: true,
        },
      ],
    ]);
  });

  it("nobody knows whether it is complete where no header says how many there are", () => {
    const [visit] = visitsOf("by-group", [file(snap(7, 0, "R22_S11"))]).values();
    expect([visit?.promised, visit?.complete]).toEqual([null, null]);
  });
});

describe("an exposure is a visit of its own", () => {
  it.each([
    ["by-group", "without a group", snap(7, 0, "a", null)],
    ["by-group", "with an empty one", snap(7, 0, "a", "")],
    ["by-counter", "without a number", { ...snap(7, 1, "a"), seq: null }],
    ["by-counter", "without a place", { ...snap(7, 1, "a"), snap: null }],
    ["by-counter", "counted back to before the first", snap(7, 8, "a")],
    ["by-counter", "named without its number", { ...snap(7, 1, "a"), exposure: "flat" }],
    ["by-counter", "named after another number", { ...snap(7, 1, "a"), exposure: exposureOf(9) }],
  ] as const)("%s, %s", (system, _what, identity) => {
    const visits = [...visitsOf(system, [file(identity)]).values()];
    expect(visits.map((visit) => visit.visit)).toEqual([identity.exposure]);
  });
});

describe("what makes no visit", () => {
  it.each([
    ["a file that is not known", file(snap(7, 0, "a"), null, "failing")],
    ["a file of no exposure", file({ ...snap(7, 0, "a"), exposure: null })],
    ["a file of no identity", file(null)],
  ])("%s", (_what, record) => expect(visitFactOf("by-group", [], record)).toBeNull());

  it("an exposure of another type than those that do", () => {
    const of = (type: string | null) =>
      visitFactOf("one-to-one", ["science", "acq"], file(snap(7, 0, "a"), { observationType: type }));
    expect([of("science"), of("acq"), of(null)].map((fact) => fact === null)).toEqual([false, false, false]);
    expect(of("bias")).toBeNull();
  });
});

test("a visit that was not written by Orrery is told apart", () => {
  const [visit] = visitsOf("by-group", twoSnaps).values();
  expect(decodeVisit("k", encodeJson(visit))).toEqual(visit);
  for (const data of [encodeJson({ v: 1 }), encodeJson(null), Buffer.from("{")]) {
    expect(() => decodeVisit("k", data)).toThrow(LedgerCorrupt);
  }
});

const anyName = fc.oneof(
  fc.constantFrom("MC_O_20251121_000007", "MC_O_20251121_000008", "constructor", "__proto__", "toString"),
  fc.string({ minLength: 1, maxLength: 4 }),
);
const anyFile = fc.record({
  instrument: fc.constantFrom("LSSTCam", "LATISS", null),
  day: fc.constantFrom(day, null),
  exposure: anyName,
  group: fc.option(fc.constantFrom("g1", "g2", "")),
  snap: fc.option(fc.nat(3)),
  detector: fc.option(fc.constantFrom("R22_S11", "R22_S12", "R00_SG0")),
  seq: fc.option(fc.constantFrom(7, 8, 9)),
  size: fc.option(fc.integer({ min: 1, max: 4 })),
});
const system = fc.constantFrom<VisitSystem>("one-to-one", "by-group", "by-counter");
const shown = (visits: ReadonlyMap<string, VisitRecord>): string =>
  JSON.stringify([...visits].sort(([a], [b]) => (a < b ? -1 : 1)));

test("any order of arrival, with any repetition, over any number of nodes, makes the same visits", () => {
  fc.assert(
    fc.property(
      system,
      fc.array(anyFile, { minLength: 1, maxLength: 12 }).chain((files) =>
        fc.tuple(
          fc.constant(files),
          fc.shuffledSubarray([...files, ...files, ...files], {
            minLength: files.length * 3,
            maxLength: files.length * 3,
          }),
        ),
      ),
      (by, [files, again]) => {
        const records = (drawn: typeof files): ReadonlyArray<LedgerRecord<FileBody>> =>
          drawn.map(({ size, ...identity }) => file(identity, size === null ? null : { groupSize: size }));
        const once = visitsOf(by, records(files));
        expect(shown(visitsOf(by, records(again)))).toBe(shown(once));
        // What is written is what is read, whatever an exposure is called.
        for (const [key, visit] of once) {
          const read = decodeVisit(key, encodeJson(visit));
          expect(JSON.stringify(read)).toBe(JSON.stringify(visit));
          const facts = records(files)
            .map((record) => visitFactOf(by, [], record))
            .filter((fact): fact is VisitFact => fact !== null && visitKeyOf(fact) === key);
          // Nothing new: the same object, so that nothing is written.
          for (const fact of facts) expect(withFact(read, fact)).toBe(read);
          expect(visit.exposures).toEqual([...new Set(facts.map((fact) => fact.exposure))].sort());
          const seen = (exposure: string): ReadonlyArray<string> =>
            [
              ...new Set(
                facts.filter((fact) => fact.exposure === exposure).flatMap((fact) => fact.detector ?? []),
              ),
            ].sort();
          for (const exposure of visit.exposures) {
            expect(Object.hasOwn(visit.detectors, exposure) ? visit.detectors[exposure] : null).toEqual(
              seen(exposure),
            );
          }
        }
      },
    ),
    { numRuns: 500 },
  );
});
