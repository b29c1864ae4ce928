import { describe, expect, it } from "vitest";
import { rootWords, stretchWords, timeWithin } from "../../../src/cli/rootWords.ts";
import type { Arrivals, RootCause } from "../../../src/protocol/operatorQuestions.ts";

const day = { start: "2026-03-10T00:00:00", end: "2026-03-11T00:00:00" };
const none: Arrivals = { newest: null, reaches: null, next: null, every: null };
const root = (range: RootCause["range"], arrivals: Arrivals | null): RootCause => ({
  type: "arrival",
  dataset: "spin/spin/historical",
  what: "spin",
  range,
  words: "as the core says it",
  arrivals,
});

describe("a root cause in words", () => {
  it("says to where it is needed and to where it is there, within the day that is spoken of", () => {
    const arrivals = {
      newest: "a.spin.csv",
      reaches: "2026-03-10T12:00:00",
      next: "2026-03-11T00:00:00",
      every: "daily",
    };
    const gap = { start: "2026-03-10T12:00:00", end: "2026-03-11T00:00:00" };
    expect(rootWords(root(gap, arrivals), day)).toBe(
      "needs spin to 24:00, has to 12:00; the file of 2026-03-11 has not arrived; expected daily",
    );
    expect(rootWords(root(gap, arrivals), null)).toBe(
      "needs spin to 2026-03-11 00:00, has to 2026-03-10 12:00; the file of 2026-03-11 has not arrived; expected daily",
    );
  });

  it("says where none came, none of the day came, and what came before", () => {
    expect(rootWords(root(day, none), day)).toBe("needs spin for 2026-03-10; none is known up to then");
    const before = { ...none, newest: "a.spin.csv", reaches: "2026-03-08T00:00:00" };
    expect(rootWords(root(day, before), day)).toBe(
      "needs spin for 2026-03-10, has none; the last one before is a.spin.csv",
    );
    expect(rootWords(root(null, none), day)).toBe("spin has not arrived");
    expect(rootWords({ ...root(day, none), type: "failed" }, day)).toBe("as the core says it");
  });

  it("names stretches by their days where they are whole ones", () => {
    expect(stretchWords(day)).toBe("2026-03-10");
    expect(stretchWords({ ...day, end: "2026-03-14T00:00:00" })).toBe("2026-03-10 to 2026-03-13");
    expect(stretchWords({ ...day, end: "2026-03-10T06:30:00" })).toBe("2026-03-10 00:00 to 2026-03-10 06:30");
    expect(stretchWords({ start: null, end: null })).toBe("all time");
    expect(timeWithin("2026-03-10T12:34:56", day)).toBe("12:34:56");
  });
});
