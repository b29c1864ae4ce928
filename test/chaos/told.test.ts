/** What was told outside, judged: a good story, and one for each way in which it can be bad. */
import { describe, expect, it } from "vitest";
import type { LookUp, OutsideEvidence } from "./told.ts";
import { outOfOrder, toldWrongly } from "./told.ts";

const exposure = "MC_O_20260101_000001";
const uri = (detector: string): string => `s3://raw/${detector}.fits`;

function known(detector: string, revision: number, more: object = {}) {
  const identity = { instrument: "LSSTCam", day: "20260101", exposure, group: "g", snap: 0, detector };
  const body = { key: `LSSTCam/${detector}.fits`, identity: { ...identity, seq: 1 }, ...more };
  return {
    key: `file.raw.20260101.raw/${detector}.fits`,
    revision,
    at: revision,
    ended: false,
    value: { state: "known", etag: "1", body },
  };
}

const look = (detector: string, more: Partial<LookUp> = {}): LookUp => ({
  group: `g/${detector}`,
  askedAt: 1_000,
  status: 200,
  uri: uri(detector),
  ...more,
});

const told = (...filenames: ReadonlyArray<string>) => ({ exposure, filenames });

const good: OutsideEvidence = {
  ledger: [known("R1", 1), known("R2", 2)],
  history: [known("R1", 1), known("R2", 2)],
  told: [told("R1.fits"), told("R2.fits")],
  announced: new Map([
    ["g/R1", 500],
    ["g/R2", 500],
  ]),
  sent: new Map([
    ["g/R1", uri("R1")],
    ["g/R2", uri("R2")],
  ]),
  lookUps: [
    look("R1", { askedAt: 400, uri: null }),
    look("R2", { askedAt: 600, status: 503, uri: null }),
    look("R2", { askedAt: 700, status: 0, uri: null }),
    look("never", { uri: null }),
    look("R1"),
    look("R2"),
  ],
};

describe("what was told outside", () => {
  it("is well when each known file was told, in order, twice or not, and each announced group is there", () => {
    expect(toldWrongly(good)).toEqual([]);
    expect(outOfOrder(good)).toEqual([]);
    const again = { ...good, told: [told("R1.fits"), told("R2.fits"), told("R1.fits", "R2.fits")] };
    expect([...toldWrongly(again), ...outOfOrder(again)]).toEqual([]);
    const together = { ...good, told: [told("R2.fits", "R1.fits")] };
    expect([...toldWrongly(together), ...outOfOrder(together)]).toEqual([]);
  });

  const bad: ReadonlyArray<readonly [string, Partial<OutsideEvidence>, RegExp]> = [
    ["a known file is never told", { told: [told("R1.fits")] }, /^untold: .*R2\.fits/],
    [
      "a file is told that is not known",
      { told: [told("R1.fits", "R2.fits", "R3.fits")] },
      /^told too much: .*R3\.fits/,
    ],
    [
      "a file of the site's own is taken for the catalog's",
      { ledger: [known("R1", 1), known("R2", 2, { catalogHadIt: true })], told: [told("R1.fits")] },
      /^untold: .*had before/,
    ],
    [
      "a group that was announced is absent",
      { lookUps: [...good.lookUps, look("R1", { askedAt: 501, uri: null }), look("R1")] },
      /^presence wrong: g\/R1 was announced/,
    ],
    [
      "a group has another uri",
      { lookUps: [...good.lookUps, look("R1", { uri: uri("R2") })] },
      /^presence wrong: g\/R1 was said to be/,
    ],
    [
      "a group that nobody sent is there",
      { lookUps: [...good.lookUps, look("never")] },
      /^presence wrong: g\/never/,
    ],
    [
      "a question is taken for a bad one",
      { lookUps: [...good.lookUps, look("R1", { status: 404, uri: null })] },
      /^presence wrong: g\/R1 was answered 404/,
    ],
    [
      "the group of a known file is absent at the end, though never announced",
      { announced: new Map(), lookUps: [look("R1"), look("R2", { uri: null })] },
      /^presence wrong: .*R2\.fits is known/,
    ],
    ["nobody can say whether it is there", { lookUps: [look("R1")] }, /^presence unknown: .*R2\.fits/],
  ];
  it.each(bad)("is wrong when %s", (_, change, words) => {
    expect(toldWrongly({ ...good, ...change })).toEqual([expect.stringMatching(words)]);
  });

  it("is out of order when a file is told after one that became known later", () => {
    const turned = { ...good, told: [told("R2.fits"), told("R1.fits")] };
    expect(outOfOrder(turned)).toEqual([
      expect.stringMatching(/^out of order: R1\.fits .* told after R2\.fits/),
    ]);
    // Written again after the other: its later place counts as well.
    const again = known("R1", 3);
    expect(
      outOfOrder({ ...turned, ledger: [known("R2", 2), again], history: [...good.history, again] }),
    ).toEqual([]);
    const neither = { ...good, ledger: [known("R2", 2), again], history: [...good.history, again] };
    expect(outOfOrder(neither)).toEqual([]);
  });
});
