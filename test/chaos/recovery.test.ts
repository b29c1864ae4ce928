/** Recovery times from a made-up history. */
import { describe, expect, it } from "vitest";
import type { Revision } from "./checker.ts";
import type { Kind } from "./draw.ts";
import type { Done } from "./recovery.ts";
import { merged, percentile, recoveries, recoveryTable } from "./recovery.ts";

let revisions = 0;
const slot = (key: string, at: number, value: object): Revision => ({
  key,
  revision: ++revisions,
  at,
  ended: false,
  value,
});
const settle = (key: string, at: number): Revision => slot(key, at, { state: "idle", how: "settled" });
const claim = (key: string, at: number, ...records: ReadonlyArray<string>): Revision =>
  slot(key, at, { state: "claimed", items: records.map((record) => ({ record })) });

const done = (kind: Kind, whom: string, healedAt: number, more: Partial<Done> = {}): Done => ({
  fault: { kind, whom, downMs: 0, afterMs: 0 },
  hitAt: healedAt - 100,
  healedAt,
  ...more,
});

const history = [
  claim("claim.files.n0.0", 900, "one", "two"),
  slot("claim.files.n0.0", 1_500, { state: "idle", how: "reclaimed" }),
  claim("claim.files.n1.0", 2_000, "one"),
  settle("claim.files.n1.0", 2_100),
  settle("claim.raw.n1.0", 3_000),
  settle("claim.files.n0.0", 4_000),
];

const rowOf = (of: Done) => recoveries([of], { history, toldAt: [1_200, 5_000] })[0];

describe("recovery", () => {
  it("is over when what the fault hit settles again", () => {
    expect(rowOf(done("server: kill -9", "server", 1_000))?.recoveryMs).toEqual([1_100]);
    expect(rowOf(done("link: cut", "n0", 1_000))?.recoveryMs).toEqual([3_000]);
    expect(rowOf(done("bridge: dies", "n1", 1_000))?.recoveryMs).toEqual([2_000]);
    expect(rowOf(done("S3: 503", "S3", 1_000))?.recoveryMs).toEqual([2_000]);
    expect(rowOf(done("receiver: down", "receiver", 1_300))?.recoveryMs).toEqual([3_700]);
    expect(rowOf(done("bridge: dies", "n2", 1_000))?.recoveryMs).toEqual([null]);
  });

  it("of a kill is over when what was in hand is claimed again", () => {
    const killed = done("node: kill -9", "n0", 1_400, { hitAt: 1_000, held: ["one", "two"] });
    expect(rowOf(killed)?.reclaimMs).toEqual([1_000, null]);
  });

  it("of several runs is that of all their faults", () => {
    const [cut, stop] = [done("link: cut", "n0", 1_000), done("node: SIGSTOP", "n1", 1_000)];
    const whole = recoveries([cut, stop, stop], { history, toldAt: [] });
    const parts = [[stop], [cut, stop]].flatMap((of) => recoveries(of, { history, toldAt: [] }));
    expect(merged(parts)).toEqual(whole);
  });

  it("is told in percentiles", () => {
    const values = Array.from({ length: 100 }, (_, i) => i + 1);
    expect([percentile(values, 0.5), percentile(values, 0.99), percentile([], 0.5)]).toEqual([50, 99, null]);
    const rows = recoveries([done("link: cut", "n0", 1_000), done("link: cut", "n1", 1_000)], {
      history,
      toldAt: [],
    });
    expect(recoveryTable(rows)[1]).toMatch(/^link: cut +2 +0 +1\.10 +3\.00 +0 +- +-$/);
  });
});
