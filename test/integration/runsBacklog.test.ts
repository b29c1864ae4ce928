import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import { afterAll, beforeAll, expect, it } from "vitest";
import { runsBacklog } from "../../src/actors/runsBacklog.ts";
import { dayOf, planOf, RunStage, scriptJob } from "../support/catalogueRuns.ts";
import { testNode } from "../support/testNode.ts";
import { patienceMs } from "../support/testSite.ts";

let stage: RunStage;
beforeAll(async () => {
  stage = await RunStage.start([
    scriptJob("plain", "true"),
    scriptJob("urgent", "while ! test -e go; do sleep 0.05; done", {
      queueing: { priority: 5, exclusive: null },
    }),
    scriptJob("other", "true", { lane: "other" }),
  ]);
});
afterAll(() => stage.end());

it("counts what is ready and what is in hand, of all queues of a lane", async () => {
  const nats = await stage.server.connect("counts");
  const plain = testNode(nats, "counts");
  /** One look, as the lanes' counts. */
  const counted = async (): Promise<Record<string, number>> => {
    const told: Record<string, number> = {};
    const counters = {
      ...plain.counters,
      runsBacklog: (lane: string, count: number) => void (told[lane] = count),
    };
    const fiber = Effect.runFork(runsBacklog({ ...plain, counters }, stage.jobs));
    const until = performance.now() + patienceMs;
    while (Object.keys(told).length < 2 && performance.now() < until) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await Effect.runPromise(Fiber.interrupt(fiber));
    return told;
  };
  expect(await counted()).toEqual({ l1: 0, other: 0 });
  await stage.begin("plain", planOf(["a"]), dayOf("20260401"));
  const urgent = await stage.begin("urgent", planOf(["b"], { priority: 5 }), dayOf("20260402"));
  expect(await counted()).toEqual({ l1: 2, other: 0 });
  await stage.runner("takes");
  await stage.until(urgent, "begun", ({ body }) => body.started !== null);
  expect(await counted()).toEqual({ l1: 2, other: 0 });
  await stage.stopAll();
});
