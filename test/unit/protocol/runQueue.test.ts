import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readyKey } from "../../../src/protocol/keys.ts";
import type { Queueing } from "../../../src/protocol/runQueue.ts";
import {
  byUrgency,
  laneOfQueue,
  lockKey,
  parseQueue,
  queueOf,
  queueOfFilter,
  readySubjects,
  runsConsumer,
} from "../../../src/protocol/runQueue.ts";
import { placeOfRun, readyOfSubject } from "../../../src/protocol/runs.ts";

const queueing: fc.Arbitrary<Queueing> = fc.record({
  origin: fc.constantFrom("live", "reprocessing"),
  priority: fc.integer({ min: -1_000, max: 1_000 }),
  exclusive: fc.option(
    fc.string({ unit: "binary", minLength: 1, maxLength: 20 }).filter((text) => text.isWellFormed()),
  ),
});

describe("a queue of runs", () => {
  it("comes back from its name and its subjects, and from the subject of what stands in it", () => {
    const day = { instrument: "mag", day: "20260310", exposure: "e" };
    fc.assert(
      fc.property(queueing, (how) => {
        const queue = queueOf("mag", how);
        expect(queue).toMatchObject(how);
        expect(parseQueue(queue.name)).toEqual(queue);
        expect(queueOfFilter(readySubjects(queue.name))).toEqual(queue);
        expect(laneOfQueue(queue.name)).toBe("mag");
        expect(runsConsumer(queue.name)).toMatch(/^[A-Za-z0-9=_-]+$/);
        const place = placeOfRun("mag", "mag/l1a/all", day, "00112233aabbccdd");
        const subject = `$KV.ledger.${readyKey(place, 3, queue.name)}`;
        expect(readyOfSubject("mag", subject)).toEqual({ place, generation: 3 });
        expect(readyOfSubject("ma", subject)).toBeNull();
      }),
    );
  });

  it("is the lane itself for a run of a site file's job", () => {
    expect(queueOf("quick").name).toBe("quick");
    expect(queueOf("quick", { origin: "live", priority: 0, exclusive: null }).name).toBe("quick");
    expect(queueOf("mag", { origin: "reprocessing", priority: -5, exclusive: "mag" }).name).toBe(
      "mag/redo-m5/mag",
    );
  });

  it("is no queue with any other name", () => {
    for (const name of [
      "",
      "/live-p0",
      "l/live",
      "l/live-p",
      "l/live-x5",
      "l/live-p0/a/b",
      "l/redo-p0/=zz",
    ]) {
      expect(parseQueue(name)).toBeNull();
    }
    expect(queueOfFilter("$KV.ledger.file.mag.>")).toBeNull();
  });

  it("is looked into the sooner the more urgent it is", () => {
    const of = (origin: Queueing["origin"], priority: number) =>
      queueOf("l", { origin, priority, exclusive: null });
    const sorted = [
      of("reprocessing", 9),
      of("live", -1),
      of("live", 0),
      of("reprocessing", 0),
      of("live", 5),
    ];
    expect(sorted.sort(byUrgency).map(({ name }) => name)).toEqual([
      "l/live-p5",
      "l",
      "l/live-m1",
      "l/redo-p9",
      "l/redo-p0",
    ]);
  });
});

it("a lock is a key of its own, whatever the instrument is called", () => {
  expect(lockKey("mag")).toBe("lock.mag");
  expect(lockKey("a/b.c")).toBe("lock.a=2Fb=2Ec");
});
