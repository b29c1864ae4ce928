/** A start that waits for NATS, and does not wait for what NATS has refused. */
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import * as Result from "effect/Result";
import { TestClock } from "effect/testing";
import { describe, expect, it } from "vitest";
import { untilAnswered } from "../../src/node/link.ts";
import { JetStreamRejected, NatsUnavailable } from "../../src/protocol/errors.ts";

const away = new NatsUnavailable({ operation: "look", detail: "timeout" });
const refused = new JetStreamRejected({ operation: "look", code: 10059, detail: "no such stream" });
const quiet = (): void => undefined;

/** Fails with these, one after another, and then succeeds with the number of tries. */
function failing(failures: ReadonlyArray<NatsUnavailable | JetStreamRejected>) {
  let tries = 0;
  return Effect.suspend(() => {
    const failure = failures[tries++];
    return failure === undefined ? Effect.succeed(tries) : Effect.fail(failure);
  });
}

const run = <A, E>(effect: Effect.Effect<A, E>): Promise<A> =>
  Effect.runPromise(
    Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(effect, { startImmediately: true });
      yield* TestClock.adjust("1 minute");
      return yield* Fiber.join(fiber);
    }).pipe(Effect.provide(TestClock.layer())),
  );

describe("untilAnswered", () => {
  it("asks again until there is an answer", async () => {
    expect(await run(untilAnswered(quiet, failing([away, away, away])))).toBe(4);
  });

  it("does not ask again what was refused", async () => {
    const result = await run(Effect.result(untilAnswered(quiet, failing([away, refused]))));
    expect(Result.isFailure(result) ? result.failure : null).toBe(refused);
  });
});
