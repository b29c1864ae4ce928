import { describe, expect, it } from "vitest";
import { RecentIds } from "../../src/actors/RecentIds.ts";

const idOf = (n: number): string =>
  `raw/LSSTCam/20251121/MC_O_20251121_${String(n).padStart(6, "0")}_R22_S11.fits@${n}#0`;

describe("ids lately seen", () => {
  it("are new the first time and known the second", () => {
    const recent = new RecentIds(1_024);
    expect([recent.seen("a"), recent.seen("b"), recent.seen("a"), recent.seen("b")]).toEqual([
      false,
      false,
      true,
      true,
    ]);
  });

  it("of names that differ in a few characters are hardly ever taken for each other, and mostly still known", () => {
    const recent = new RecentIds(65_536);
    let mistaken = 0;
    for (let n = 0; n < 20_000; n++) if (recent.seen(idOf(n))) mistaken++;
    expect(mistaken).toBeLessThan(20);
    let known = 0;
    for (let n = 19_000; n < 20_000; n++) if (recent.seen(idOf(n))) known++;
    expect(known).toBeGreaterThan(950);
  });

  it("are forgotten as newer ones come: the table never grows", () => {
    const recent = new RecentIds(64);
    recent.seen("old");
    for (let n = 0; n < 2_000; n++) recent.seen(idOf(n));
    expect(recent.seen("old")).toBe(false);
  });
});
