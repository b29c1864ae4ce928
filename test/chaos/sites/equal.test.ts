/** What the comparison of sites and supernode calls a difference. */
import { describe, expect, it } from "vitest";
import { differenceOf, isEqual, strangers, told } from "./equal.ts";

const here = new Map([
  ["file.files.20260101.a", "1"],
  ["run.x.20260101.b", "2"],
]);
const there = (more: ReadonlyArray<readonly [string, string]> = []): ReadonlyMap<string, string> =>
  new Map([
    ["summit.e1.file.files.20260101.a", "1"],
    ["summit.e1.run.x.20260101.b", "2"],
    ["base.e7.file.files.20260101.a", "9"],
    ...more,
  ]);

describe("a site and the supernode", () => {
  it("are equal when each key has the same value, whatever other sites have", () => {
    const found = differenceOf("summit", "summit.e1.", here, there());
    expect([isEqual(found), told(found)]).toEqual([true, []]);
  });

  it("differ by what is missing, what stands there still, and what is older", () => {
    const found = differenceOf(
      "summit",
      "summit.e1.",
      new Map([...here, ["job.x.20260101.c", "3"]]),
      there([
        ["summit.e1.run.x.20260101.b", "0"],
        ["summit.e1.visit.x.20260101.d", "4"],
      ]),
    );
    expect([isEqual(found), told(found)]).toEqual([
      false,
      [
        "1 keys of summit are not at the supernode: job.x.20260101.c",
        "1 keys of summit stand at the supernode and no longer at the site: visit.x.20260101.d",
        "1 keys of summit are older at the supernode: run.x.20260101.b",
      ],
    ]);
  });

  it("have nothing of a former life, of a site that is none, or of a kind that is not shared", () => {
    const prefixes = ["summit.e1.", "base.e7."];
    expect(strangers(prefixes, there())).toEqual([]);
    const more = ["summit.e0.file.files.20260101.a", "basel.e7.file.x.-.a", "base.e7.claim.files.n.0"];
    expect(strangers(prefixes, there(more.map((key) => [key, "1"])))).toEqual(more);
  });
});
