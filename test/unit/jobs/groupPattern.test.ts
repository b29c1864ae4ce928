import { describe, expect, it } from "vitest";
import { groupPatterns } from "../../../src/jobs/groupPattern.ts";

const holds = (pattern: RegExp, group: string, text: string): boolean | null =>
  groupPatterns(pattern).get(group)?.test(text) ?? null;

describe("the groups of a pattern", () => {
  const pattern = /^cam_(?<level>l\d[a-z]?)_(?<what>(?:[a-z]+-)*(?<last>[^_)(]+))\.(?<ext>\(x\)|fits)$/u;

  it.each([
    ["level", "l1a", true],
    ["level", "flat", false],
    ["level", "l1a_", false],
    ["what", "a-b-c", true],
    ["last", "c)", false],
    ["ext", "(x)", true],
    ["ext", "x", false],
  ])("%s of %s: %s", (group, text, isOne) => {
    expect(holds(pattern, group, text)).toBe(isOne);
  });

  it("that refer to what is around them say nothing by themselves", () => {
    const around = /^(?<a>x|y)_(?<b>(?!l\d)[a-z]+)_(?<c>\k<a>)_(?<d>\bz)$/u;
    expect([...groupPatterns(around).keys()]).toEqual(["a"]);
  });

  it("of one name in several alternatives hold what any of them holds, without the sticky flag", () => {
    const either = /^(?:p(?<n>\d)|q(?<n>[ab]))$/giuy;
    const nested = new RegExp("^(?<n>[[a-z]--[b\\(]])\\)$", "v");
    const of = groupPatterns(either).get("n");
    expect(["1", "B", "1", "c"].map((text) => of?.test(text))).toEqual([true, true, true, false]);
    expect(groupPatterns(nested).get("n")?.test("c")).toBe(true);
  });
});
