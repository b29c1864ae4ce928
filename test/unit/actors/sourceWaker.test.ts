/** When the keeper has sources asked for again. */
import { expect, it } from "vitest";
import * as Effect from "effect/Effect";
import { SourceWaker } from "../../../src/actors/sourceWaker.ts";
import { sourceLostMs, sourceWakeEveryMs, sourceWakeEveryMsMax } from "../../../src/limits.ts";

function woken(answering: ReadonlySet<string>) {
  const asked: Array<string> = [];
  const at: Array<number> = [];
  let now = 0;
  const waker = new SourceWaker(
    {
      bucket: "sites",
      answers: (site) =>
        Effect.sync(() => {
          asked.push(site);
          return answering.has(site);
        }),
      leadAnew: Effect.sync(() => void at.push(now)),
    },
    () => undefined,
  );
  const tick = async (time: number, silent: Readonly<Record<string, number>>): Promise<void> => {
    now = time;
    waker.saw(
      Object.entries(silent).map(([site, silentForMs]) => ({ site, silentForMs })),
      now,
    );
    await Effect.runPromise(waker.tick(now));
  };
  return { tick, asked, at };
}

const lost = sourceLostMs + 1;

it("leaves alone what is heard of, and what does not answer", async () => {
  const { tick, asked, at } = woken(new Set(["base"]));
  await tick(0, { summit: sourceLostMs, base: 0 });
  expect([asked, at]).toEqual([[], []]);
  await tick(1, { summit: lost, base: 0 });
  expect([asked, at]).toEqual([["summit"], []]);
});

it("asks once as soon as a lost site answers, though another does not", async () => {
  const answering = new Set<string>();
  const { tick, at } = woken(answering);
  await tick(0, { summit: lost, base: lost });
  answering.add("base");
  await tick(10, { summit: lost, base: lost });
  await tick(20, { summit: lost, base: lost });
  expect(at).toEqual([10]);
});

it("does it twice as late each time while it does not help, and soon again after it did", async () => {
  const { tick, at } = woken(new Set(["summit"]));
  let time = 0;
  for (let i = 0; i < 4; i++) {
    await tick(time, { summit: lost });
    time += sourceWakeEveryMs * 2 ** i;
    await tick(time - 1, { summit: lost });
  }
  expect(at).toEqual([0, 1, 3, 7].map((times) => times * sourceWakeEveryMs));
  await tick(time + 1, { summit: 0 });
  await tick(time + 2, { summit: lost });
  await tick(time + 1 + sourceWakeEveryMs, { summit: lost });
  await tick(time + 2 + sourceWakeEveryMs, { summit: lost });
  expect(at.slice(4)).toEqual([time + 2, time + 2 + sourceWakeEveryMs]);
});

it("never waits longer than its bound", async () => {
  const { tick, at } = woken(new Set(["summit"]));
  for (let time = 0; at.length < 14; time += sourceWakeEveryMs) await tick(time, { summit: lost });
  const gaps = at.slice(1).map((time, i) => time - (at[i] ?? 0));
  expect(Math.max(...gaps)).toBeLessThanOrEqual(sourceWakeEveryMsMax);
  expect(gaps.at(-1)).toBe(sourceWakeEveryMsMax);
});
