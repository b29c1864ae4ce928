import * as fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import { WebhookQueue } from "../../src/actors/webhookQueue.ts";
import type { ExposureQueue, Group } from "../../src/actors/webhookQueue.ts";
import { webhookFilesMax } from "../../src/limits.ts";
import type { Told } from "../../src/protocol/webhooks.ts";

const told = (exposure: string, n: number): Told => ({
  instrument: "LSSTCam",
  day: "20251121",
  exposure,
  filename: `${n}`,
  mark: `${n}`,
});
const add = (queue: WebhookQueue, exposure: string, n: number, reply = `r${n}`): void =>
  queue.add(exposure, n, reply, told(exposure, n));
const opened = (): WebhookQueue => {
  const queue = new WebhookQueue();
  queue.open();
  return queue;
};
const numbers = (group: Group | null): ReadonlyArray<number> =>
  group?.files.map((file) => file.sequence) ?? [];

describe("what one receiver is to be told", () => {
  it("goes exposure by exposure, all that waits in one request", () => {
    const queue = opened();
    for (const n of [1, 3, 5]) add(queue, "a", n);
    add(queue, "b", 2);
    const [a, b] = queue.start();
    expect(queue.start()).toEqual([]);
    if (a === undefined || b === undefined) throw new Error("two exposures wait");
    expect([numbers(queue.form(a)), numbers(queue.form(b))]).toEqual([[1, 3, 5], [2]]);
    add(queue, "a", 6);
    expect(queue.start()).toEqual([]);
    expect(numbers(queue.form(a))).toEqual([6]);
    expect([queue.form(a), queue.form(b)]).toEqual([null, null]);
    add(queue, "a", 7);
    expect(queue.start().map((one) => one.key)).toEqual(["a"]);
  });

  it("is in the ledger's order, also when what a dead node had comes late", () => {
    const queue = opened();
    for (const n of [9, 2, 7, 1]) add(queue, "a", n);
    const [a] = queue.start();
    expect(a === undefined ? [] : numbers(queue.form(a))).toEqual([1, 2, 7, 9]);
  });

  it("that is delivered again while in hand is acknowledged once, by its latest delivery", () => {
    const queue = opened();
    add(queue, "a", 1, "old");
    const [a] = queue.start();
    const group = a === undefined ? null : queue.form(a);
    add(queue, "a", 1, "new");
    expect([queue.size, queue.replies]).toEqual([1, ["new"]]);
    expect(queue.done(group?.files ?? [])).toEqual(["new"]);
    expect(queue.size).toBe(0);
    expect(a === undefined ? undefined : queue.form(a)).toBeNull();
  });

  it("is bounded a request", () => {
    const queue = opened();
    for (let n = 1; n <= webhookFilesMax + 1; n++) add(queue, "a", n);
    const [a] = queue.start();
    if (a === undefined) throw new Error("it waits");
    expect([numbers(queue.form(a)).length, numbers(queue.form(a))]).toEqual([
      webhookFilesMax,
      [webhookFilesMax + 1],
    ]);
  });

  it("of a former turn is nobody's here, and what comes after goes on in its place", () => {
    const queue = opened();
    add(queue, "a", 1);
    add(queue, "b", 2);
    const [a] = queue.start();
    if (a === undefined) throw new Error("it waits");
    const group = queue.form(a);
    if (group === null) throw new Error("it was formed");
    expect(queue.stands(group)).toBe(true);
    expect(queue.drop()).toEqual(["r1", "r2"]);
    expect([queue.stands(group), queue.size, queue.replies]).toEqual([false, 0, []]);
    // The same message, delivered in the new turn.
    add(queue, "a", 1, "again");
    queue.done(group.files);
    expect([queue.size, queue.replies]).toEqual([1, ["again"]]);
    queue.open();
    expect(queue.start()).toEqual([]);
    expect(numbers(queue.form(a))).toEqual([1]);
  });

  it("waits until the queue is opened, also where the requests of a former turn are only then over", () => {
    const queue = new WebhookQueue();
    add(queue, "a", 1);
    expect([queue.closed, queue.start()]).toEqual([true, []]);
    queue.open();
    const [a] = queue.start();
    if (a === undefined) throw new Error("it waits");
    expect(numbers(queue.form(a))).toEqual([1]);
    queue.drop();
    add(queue, "a", 3);
    // The older one of the exposure is still elsewhere.
    expect([queue.form(a), queue.start()]).toEqual([null, []]);
    add(queue, "a", 2);
    queue.open();
    const [again] = queue.start();
    expect(again === undefined ? [] : numbers(queue.form(again))).toEqual([2, 3]);
  });
});

test("however deliveries, requests and their ends fall together: each once, in order, never two requests of an exposure", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(11), { maxLength: 200 }), (steps) => {
      const queue = opened();
      const running = new Map<ExposureQueue, Group | null>();
      const sent = new Map<string, Array<number>>();
      let serial = 0;
      const end = (of: ExposureQueue): void => {
        queue.done(running.get(of)?.files ?? []);
        const group = queue.form(of);
        if (group === null) running.delete(of);
        else {
          running.set(of, group);
          sent.set(of.key, [...(sent.get(of.key) ?? []), ...numbers(group)]);
        }
      };
      for (const step of steps) {
        if (step < 8) add(queue, `e${step % 3}`, ++serial);
        for (const of of queue.start()) {
          expect(running.has(of)).toBe(false);
          expect([...running.keys()].some((other) => other.key === of.key)).toBe(false);
          running.set(of, null);
          end(of);
        }
        const one = [...running.keys()][step % 3];
        if (step >= 8 && one !== undefined) end(one);
      }
      for (let left = [...running.keys()]; left.length > 0; left = [...running.keys()]) left.forEach(end);
      expect(queue.size).toBe(0);
      const all = [...sent.values()].flat();
      expect(all.toSorted((x, y) => x - y)).toEqual(Array.from({ length: serial }, (_, n) => n + 1));
      for (const of of sent.values()) expect(of).toEqual(of.toSorted((x, y) => x - y));
    }),
  );
});
