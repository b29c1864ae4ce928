import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { cut, table, widthOf } from "../../../src/cli/table.ts";
import { bytes, duration, harmless, ranges } from "../../../src/cli/words.ts";

const columns = [
  { title: "NAME", give: 8 },
  { title: "N", right: true },
  { title: "WHY", give: 6, prose: true },
];
const rows = [
  ["raw/LSSTCam/20251121/MC_O_20251121_000156_R22_S11.fits", "1", "the header cannot be read"],
  ["b", "12,000", ""],
];

describe("a table", () => {
  it("is aligned, with nothing behind the last word of a line", () => {
    const lines = table(
      columns,
      [
        ["a", "1", "x"],
        ["bcd", "12", ""],
      ],
      { color: false, columns: null },
    ).split("\n");
    expect(lines).toEqual(["NAME   N  WHY", "a      1  x", "bcd   12", ""]);
  });

  it("is not cut where there is no terminal", () => {
    expect(table(columns, rows, { color: false, columns: null })).toContain(rows[0]?.[0]);
  });

  it("fits the terminal: names are cut in the middle, sentences at their end", () => {
    const text = table(columns, rows, { color: false, columns: 40 });
    for (const line of text.split("\n")) expect(widthOf(line)).toBeLessThanOrEqual(40);
    expect(text).toMatch(/raw\S*…\S*fits/);
    expect(text).toMatch(/the header\S* ?\S*…\n/);
  });

  it("lets nobody's file name move the cursor", () => {
    const text = table(columns, [["a\u001b[2Jb\nc", "1", ""]], { color: false, columns: null });
    expect(text).toContain("a␣[2Jb␣c");
  });

  it("paints outside of the width that it reckons with", () => {
    const painted = table(columns, [[{ text: "a", style: "red" as const }, "1", "x"]], {
      color: true,
      columns: null,
    });
    // oxlint-disable-next-line no-control-regex
    expect(painted.replaceAll(/\u001b\[\d+m/g, "")).toBe(
      table(columns, [["a", "1", "x"]], { color: false, columns: null }),
    );
  });

  it("never makes a text wider than asked", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: "grapheme" }),
        fc.integer({ min: 0, max: 60 }),
        fc.boolean(),
        (raw, width, prose) => {
          const text = harmless(raw);
          const short = cut(text, width, prose);
          expect(widthOf(short)).toBeLessThanOrEqual(Math.max(width, 0));
          if (widthOf(text) <= width) expect(short).toBe(text);
        },
      ),
    );
  });
});

describe("words", () => {
  it.each([
    [0, "0 ms"],
    [999, "999 ms"],
    [3_210, "3.2 s"],
    [59_400, "59 s"],
    [61_000, "1 min 1 s"],
    [3_600_000, "1 h"],
    [7_500_000, "2 h 5 min"],
    [187_200_000, "2 d 4 h"],
    [-5, "0 ms"],
  ])("%d ms is %s", (ms, words) => expect(duration(ms)).toBe(words));

  it.each([
    [0, "0 B"],
    [1_023, "1023 B"],
    [14_400, "14.1 KiB"],
    [200 * 1_048_576, "200 MiB"],
  ])("%d bytes are %s", (n, words) => expect(bytes(n)).toBe(words));

  it("says which numbers are missing, and when to stop", () => {
    expect(
      ranges([
        { from: 3, to: 3 },
        { from: 7, to: 9 },
      ]),
    ).toBe("3, 7-9");
    const many = Array.from({ length: 15 }, (_, i) => ({ from: i * 2, to: i * 2 }));
    expect(ranges(many, 3)).toBe("0, 2, 4 and 12 more");
  });
});
