/**
 * Three sites, a supernode of three servers and its node, in short: a few random faults, and a cut. `npm run chaos -- --sites` and `--cut`
 * are the long way; ORRERY_LONG=1 does a fault of each kind, and a cut that is long enough for the site to be named.
 */
import { describe, expect, it } from "vitest";
import { healMsMax, namedMsMax, runCut } from "./cut.ts";
import type { Kind } from "./draw.ts";
import { faultsOf, rules } from "./draw.ts";
import { isGood, runSites } from "./faults.ts";

const long = process.env["ORRERY_LONG"] === "1";
const settings = {
  faults: 200,
  seed: 7,
  sites: ["a", "b", "c"],
  nodes: ["a-1", "a-2", "b-1", "c-1"],
  servers: ["h-0", "h-1", "h-2"],
  brisk: false,
};
const kinds = rules.map(({ kind }) => kind).toSorted();

const drawn = (faults: ReadonlyArray<{ readonly kind: Kind }>): ReadonlyArray<Kind> =>
  [...new Set(faults.map(({ kind }) => kind))].toSorted();

describe("the faults of a seed", () => {
  it("are the same each time, and others for another seed", () => {
    expect(faultsOf(settings)).toEqual(faultsOf(settings));
    expect(faultsOf(settings)).not.toEqual(faultsOf({ ...settings, seed: 8 }));
  });

  it("leave out no kind of fault, no server, link or node, and no kind before another comes twice", () => {
    const faults = faultsOf(settings);
    expect(drawn(faults.slice(0, kinds.length))).toEqual(kinds);
    const { sites, nodes, servers } = settings;
    expect(new Set(faults.map(({ whom }) => whom))).toEqual(
      new Set([...sites, ...nodes, ...servers, "supernode", "keeper"]),
    );
    expect(faults.filter(({ downMs }) => downMs > 20_000).length).toBeGreaterThan(0);
  });
});

describe("three sites and a supernode under load", { timeout: 1_200_000 }, () => {
  it("lose nothing, settle nothing twice and end equal, through random faults", async () => {
    const faults = long ? kinds.length : 6;
    const report = await runSites({ faults, seed: 3, brisk: true }, () => undefined);
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
    expect(report.done).toHaveLength(faults);
    expect(report.keys).toBeGreaterThan(report.files * 0.8);
  });

  it("go on when cut off, and are equal again after the heal", async () => {
    const report = await runCut({ seconds: long ? 75 : 8 }, () => undefined);
    expect(report.wrong).toEqual([]);
    expect(report.healMs).toBeLessThan(healMsMax);
    if (long) expect(report.namedMs).toBeLessThan(namedMsMax);
  });
});
