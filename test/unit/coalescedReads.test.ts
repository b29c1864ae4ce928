import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CoalescedReads } from "../../src/actors/CoalescedReads.ts";

/** Reads that end when the test says so; each gives the number of writes there were when it began. */
function stage(limits = { inFlightMax: 10, queuedMax: 100 }) {
  const state = { writes: 0, begun: [] as Array<string> };
  const ends: Array<() => void> = [];
  const reads = new CoalescedReads<number>((key) => {
    state.begun.push(key);
    const seen = state.writes;
    return new Promise((resolve, reject) =>
      ends.push(() => (key === "broken" ? reject(new Error("away")) : resolve(seen))),
    );
  }, limits);
  const answers: Array<number | Error> = [];
  const ask = (key: string): boolean => reads.ask(key, (result) => answers.push(result));
  const end = async (): Promise<void> => {
    ends.shift()?.();
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { state, ask, end, answers };
}

describe("coalesced reads", () => {
  it("has at most one read of a key in flight", async () => {
    const { state, ask, end, answers } = stage();
    for (let i = 0; i < 5; i++) ask("a");
    expect(state.begun).toEqual(["a"]);
    await end();
    expect(state.begun).toEqual(["a", "a"]);
    await end();
    expect(state.begun).toEqual(["a", "a"]);
    expect(answers).toHaveLength(5);
  });

  it("answers nobody by a read that began before the question", async () => {
    const { state, ask, end, answers } = stage();
    ask("a");
    state.writes++;
    ask("a");
    await end();
    await end();
    expect(answers).toEqual([0, 1]);
  });

  it("has a bounded number in flight, and the rest in order", async () => {
    const { state, ask, end, answers } = stage({ inFlightMax: 2, queuedMax: 100 });
    for (const key of ["a", "b", "c", "d"]) ask(key);
    expect(state.begun).toEqual(["a", "b"]);
    await end();
    expect(state.begun).toEqual(["a", "b", "c"]);
    // Asked while its read still stands in the queue: one read for both.
    ask("d");
    for (let i = 0; i < 3; i++) await end();
    expect(state.begun).toEqual(["a", "b", "c", "d"]);
    expect(answers).toHaveLength(5);
  });

  it("refuses above its limit and takes again below it", async () => {
    const { ask, end, answers } = stage({ inFlightMax: 1, queuedMax: 2 });
    expect([ask("a"), ask("b"), ask("c")]).toEqual([true, true, false]);
    await end();
    expect(ask("c")).toBe(true);
    await end();
    await end();
    expect(answers).toHaveLength(3);
  });

  it("gives a failure to those who asked, and goes on", async () => {
    const { ask, end, answers } = stage();
    ask("broken");
    ask("a");
    await end();
    await end();
    expect(answers).toEqual([new Error("away"), 0]);
  });

  it("answers everyone exactly once, by a read that began later, whatever the order", async () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant("ask" as const), key: fc.constantFrom("a", "b", "c") }),
      fc.record({ do: fc.constantFrom("write" as const, "end" as const) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const state = { writes: 0, inFlight: new Map<string, number>() };
        const ends: Array<() => void> = [];
        let most = 0;
        const reads = new CoalescedReads<number>(
          (key) => {
            const now = (state.inFlight.get(key) ?? 0) + 1;
            most = Math.max(most, now);
            state.inFlight.set(key, now);
            const seen = state.writes;
            return new Promise((resolve) =>
              ends.push(() => {
                state.inFlight.delete(key);
                resolve(seen);
              }),
            );
          },
          { inFlightMax: 2, queuedMax: 100 },
        );
        const settle = () => new Promise((resolve) => setImmediate(resolve));
        let asked = 0;
        const answered: Array<{ readonly known: number; readonly seen: number | Error }> = [];
        for (const one of steps) {
          if (one.do === "ask") {
            const known = state.writes;
            asked++;
            reads.ask(one.key, (seen) => answered.push({ known, seen }));
          } else if (one.do === "write") state.writes++;
          else {
            ends.shift()?.();
            await settle();
          }
        }
        while (ends.length > 0) {
          ends.shift()?.();
          await settle();
        }
        expect(answered).toHaveLength(asked);
        for (const { known, seen } of answered) expect(seen).toBeGreaterThanOrEqual(known);
        expect(most).toBeLessThanOrEqual(1);
      }),
      { numRuns: 200 },
    );
  });
});
