import { describe, expect, it } from "vitest";
import { UnknownJobs } from "../../src/actors/UnknownJobs.ts";
import { jobUnknownMs, unknownRunsMax } from "../../src/limits.ts";

describe("a run of a job that the node does not know", () => {
  it("is left to others from its first try on, whenever that is, and fails at every later one", () => {
    const of = new UnknownJobs();
    const late = 10 * jobUnknownMs;
    expect([0, 1, jobUnknownMs - 1].map((after) => of.isOver("run.a", late + after))).toEqual([
      false,
      false,
      false,
    ]);
    expect(of.isOver("run.b", late + jobUnknownMs)).toBe(false);
    expect(of.isOver("run.a", late + jobUnknownMs)).toBe(true);
    expect(of.isOver("run.a", late + jobUnknownMs + 1)).toBe(true);
  });

  it("is remembered among so many; the oldest is forgotten first", () => {
    const of = new UnknownJobs(10);
    for (let n = 0; n <= unknownRunsMax; n++) of.isOver(`run.${n}`, 0);
    expect(of.size).toBe(unknownRunsMax);
    expect(of.isOver("run.1", 10)).toBe(true);
    expect(of.isOver("run.0", 10)).toBe(false);
  });
});
