/** Random faults of every kind over a site under load, for about a minute; `npm run chaos` is the long way. */
import { describe, expect, it } from "vitest";
import type { Kind } from "./draw.ts";
import { faultsOf, rules } from "./draw.ts";
import { isGood, runFaults } from "./faults.ts";

const settings = { faults: 200, seed: 7, nodes: 3, disk: true, brisk: false };
const kinds = rules.map(({ kind }) => kind).sort();

const drawn = (faults: ReadonlyArray<{ readonly kind: Kind }>): ReadonlyArray<Kind> =>
  [...new Set(faults.map(({ kind }) => kind))].sort();

describe("the faults of a seed", () => {
  it("are the same each time, and others for another seed", () => {
    expect(faultsOf(settings)).toEqual(faultsOf(settings));
    expect(faultsOf(settings)).not.toEqual(faultsOf({ ...settings, seed: 8 }));
  });

  it("leave out no kind of fault and no process, and no kind before another comes twice", () => {
    const faults = faultsOf(settings);
    expect(drawn(faults.slice(0, kinds.length))).toEqual(kinds);
    expect(new Set(faults.map(({ whom }) => whom))).toEqual(
      new Set(["n0", "n1", "n2", "server", "S3", "receiver"]),
    );
    expect(faults.filter(({ downMs }) => downMs > 20_000).length).toBeGreaterThan(0);
  });

  it("are without a full disk where no disk can be filled", () => {
    const faults = faultsOf({ ...settings, disk: false });
    expect(drawn(faults)).toEqual(kinds.filter((kind) => kind !== "server: disk full"));
  });
});

describe("a site under load", { timeout: 900_000 }, () => {
  it("loses nothing, settles nothing twice and leaves nothing behind, through a fault of each kind", async () => {
    const report = await runFaults({ faults: kinds.length, seed: 1, nodes: 3, brisk: true }, () => undefined);
    const { lost, twice, stuck, wrong } = report;
    // What happened is told where it matters.
    const story = isGood(report) ? [] : report.timeline;
    expect({ lost, twice, stuck, wrong, story }).toEqual({
      lost: [],
      twice: [],
      stuck: [],
      wrong: [],
      story: [],
    });
    expect(report.done).toHaveLength(kinds.length);
    expect(drawn(report.done.map(({ fault }) => fault))).toEqual(
      kinds.filter((kind) => report.disk || kind !== "server: disk full"),
    );
  });
});
