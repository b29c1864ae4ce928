/** Nodes of version n and n+1 together: replaced one by one under load, up and down again. ORRERY_LONG=1 does it five times. */
import { describe, expect, it } from "vitest";
import { runIncompatible, runUpgrade } from "./upgrade.ts";

const long = process.env["ORRERY_LONG"] === "1";
const rounds = long ? 5 : 1;

describe("a site whose nodes are replaced one by one while files come, by the next version and back", () => {
  it(
    "loses nothing, settles nothing twice, refuses nobody for good and keeps what the other version wrote",
    async () => {
      const report = await runUpgrade({ rounds, betweenMs: long ? 5_000 : 1_500 });
      expect(report.wrong).toEqual([]);
      expect(report.ends).toEqual(report.ends.map((end) => end.replace(/:.*/, ": 0")));
      expect(report.ends).toHaveLength(4 * rounds);
      // One process that is away, one that drains: the third try finds one that is there.
      expect(report.triesMost).toBeLessThanOrEqual(3);
      // That there was something to lose.
      expect(report.accepted).toBeGreaterThan(300 * rounds);
      expect(report.runs).toBeGreaterThan(20 * rounds);
      expect(report.overNext).toBeGreaterThan(10 * rounds);
      expect(report.overThis).toBeGreaterThan(10 * rounds);
      expect(report.putBackWhole).toBeGreaterThan(10 * rounds);
    },
    long ? 1_200_000 : 600_000,
  );
});

describe("a version whose ledger this one would misread", () => {
  it("does not start beside a node of this one, and this one does not start after it; each says why", async () => {
    const { beside, after } = await runIncompatible();
    expect(beside).toEqual([2, expect.stringMatching(/format 1.*writes format 2.*old.*stop/s)]);
    expect(after).toEqual([2, expect.stringMatching(/format 2.*knows formats up to 1/)]);
  });
});
