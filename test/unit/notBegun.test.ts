import { describe, expect, it } from "vitest";
import { NotBegun } from "../../src/actors/notBegun.ts";
import { beginAgainFirstMs, beginAgainMostMs, beginToldEveryMs } from "../../src/limits.ts";

const start = (partition: string, hash = "a") => ({ job: "swe/l1a/all", partition, hash });

describe("a run that cannot be begun", () => {
  it("is tried ever more seldom, and at once again with other inputs", () => {
    const of = new NotBegun();
    const tries = Array.from({ length: 8 }, () => of.failed(start("20260310"), "why", 0, () => undefined));
    expect(tries.slice(0, 3)).toEqual([beginAgainFirstMs, beginAgainFirstMs * 2, beginAgainFirstMs * 4]);
    expect(tries.at(-1)).toBe(beginAgainMostMs);
    expect(of.failed(start("20260310", "b"), "why", 0, () => undefined)).toBe(beginAgainFirstMs);
    expect(of.size).toBe(1);
    of.over(start("20260310"));
    expect(of.size).toBe(0);
  });

  it("is told of with all others, on a beat", () => {
    const of = new NotBegun();
    const told: Array<unknown> = [];
    const log = (_level: unknown, _message: string, fields?: object) => void told.push(fields);
    for (let n = 0; n < 1_000; n++) of.failed(start(String(n)), "why", n, log);
    of.failed(start("last"), "the server is away", beginToldEveryMs, log);
    expect(told).toEqual([
      { job: "swe/l1a/all", partition: "0", cause: "why", tries: 1 },
      {
        job: "swe/l1a/all",
        partition: "last",
        cause: "the server is away",
        tries: 1,
        triesOfAllSinceToldLast: 1_000,
      },
    ]);
  });
});
