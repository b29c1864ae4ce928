/** When a site is compared with what is held of it. */
import { expect, it } from "vitest";
import type { NodeContextService } from "../../../src/actors/NodeContext.ts";
import { SiteReconcile } from "../../../src/actors/siteReconcile.ts";
import type { Standing } from "../../../src/actors/sourceAlarm.ts";
import { reconcileAgainMs } from "../../../src/limits.ts";

const standing = (more: Partial<Standing>): Standing => ({
  site: "summit",
  epoch: "e1",
  lag: 0,
  silentMs: 500,
  error: null,
  silentForMs: 500,
  stalled: false,
  ...more,
});
const summit = (epoch: string) => ({ name: "summit", epoch });
const planned = (): SiteReconcile => new SiteReconcile({} as NodeContextService);

it("when it was heard of first and all of it has come", () => {
  const compared = planned();
  compared.saw([standing({ silentMs: null })], 0);
  expect(compared.due(0)).toBeNull();
  compared.saw([standing({ lag: 3 })], 5_000);
  expect(compared.due(5_000)).toBeNull();
  compared.saw([standing({})], 10_000);
  expect(compared.due(10_000)).toEqual(summit("e1"));
});

it("when it is heard of again after it was not, and not while it is not", () => {
  const compared = planned();
  compared.saw([standing({})], 0);
  compared.saw([standing({ stalled: true, silentMs: 40_000 })], 40_000);
  expect(compared.due(40_000)).toBeNull();
  compared.saw([standing({ lag: 9 })], 90_000);
  expect(compared.due(90_000)).toBeNull();
  compared.saw([standing({})], 95_000);
  expect(compared.due(95_000)).toEqual(summit("e1"));
});

it("under load something is always on its way: after a while all the same", () => {
  const compared = planned();
  compared.saw([standing({ lag: 5 })], 0);
  compared.saw([standing({ lag: 5 })], reconcileAgainMs - 1);
  expect(compared.due(reconcileAgainMs)).toBeNull();
  compared.saw([standing({ lag: 5 })], reconcileAgainMs);
  expect(compared.due(reconcileAgainMs)).toEqual(summit("e1"));
});

it("in its present life, as soon as that is heard of, and not at all when it is sourced no more", () => {
  const compared = planned();
  compared.saw([standing({})], 0);
  compared.saw([standing({ epoch: "e2", silentMs: null })], 5_000);
  expect(compared.due(5_000)).toBeNull();
  compared.saw([standing({ epoch: "e2" })], 10_000);
  expect(compared.due(10_000)).toEqual(summit("e2"));
  compared.saw([], 15_000);
  expect(compared.due(15_000)).toBeNull();
});

it("and not again before its time, however often it is seen to be well", () => {
  const compared = planned();
  compared.saw([standing({})], 0);
  compared.done(summit("e1"), 100_000);
  compared.saw([standing({})], 5_000);
  expect(compared.due(99_999)).toBeNull();
  expect(compared.due(100_000)).toEqual(summit("e1"));
});

it("and a life that began while the former one was compared has its own time", () => {
  const compared = planned();
  compared.saw([standing({})], 0);
  compared.saw([standing({ epoch: "e2" })], 5_000);
  compared.done(summit("e1"), 100_000);
  expect(compared.due(5_000)).toEqual(summit("e2"));
});

it("and not because another of the supernode's servers leads", () => {
  const compared = planned();
  compared.saw([standing({})], 0);
  compared.done(summit("e1"), 100_000);
  compared.saw([standing({ silentMs: null, silentForMs: 5_000 })], 5_000);
  compared.saw([standing({})], 10_000);
  expect(compared.due(99_999)).toBeNull();
});
