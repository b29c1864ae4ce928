import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Fiber from "effect/Fiber";
import { TestClock } from "effect/testing";
import { describe, expect, it } from "vitest";
import { misused, unreachable } from "../../../src/cli/failures.ts";
import type { CommandFailed } from "../../../src/cli/failures.ts";
import { untilSeen } from "../../../src/cli/reprocess.ts";

/** How an ask ends whose first answers are failures, and how often was asked. */
function asked(refusals: number, refusal: CommandFailed): Promise<readonly [boolean, number]> {
  let asks = 0;
  const ask = Effect.suspend(() => (++asks > refusals ? Effect.succeed(asks) : Effect.fail(refusal)));
  return Effect.runPromise(
    Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(untilSeen(ask));
      yield* TestClock.adjust("1 minute");
      return [Exit.isSuccess(yield* Fiber.await(fiber)), asks] as const;
    }).pipe(Effect.provide(TestClock.layer())),
  );
}

describe("a reprocessing that was just begun", () => {
  it("is asked for again while the resolver has not seen it", async () => {
    expect(await asked(3, misused("there is no such reprocessing"))).toEqual([true, 4]);
  });

  it("is given up after a while, and at once where nobody answers", async () => {
    expect(await asked(1_000, misused("there is no such reprocessing"))).toEqual([false, 101]);
    expect(await asked(1, unreachable("no node answers"))).toEqual([false, 1]);
  });
});
