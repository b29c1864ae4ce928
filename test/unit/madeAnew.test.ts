import { expect, it } from "vitest";
import { isOutdated } from "../../src/actors/madeAnew.ts";

const run = { hash: "aaaaaaaaaaaaaaaa" };
const later = { run: "run.swe.20260310.later", inputs: "bbbbbbbbbbbbbbbb" };

it.each([
  ["its partition is made by another run", { ...later, state: "done" }, true],
  ["its partition waits for another run", { ...later, state: "running" }, false],
  ["another run failed as well", { ...later, state: "failed" }, false],
  ["it is itself what the partition is of", { ...later, inputs: run.hash, state: "done" }, false],
  ["no run is named", { run: null, inputs: null, state: "done" }, false],
] as const)("a run that was given up on is closed where %s: %j %j", (_, job, closed) => {
  expect(isOutdated(run, job)).toBe(closed);
});
