import { describe, expect, it } from "@effect/vitest";
import * as Cause from "effect/Cause";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Fiber from "effect/Fiber";
import * as Schema from "effect/Schema";
import { classify } from "../../../src/supervisor/exit.ts";

class NoServer extends Schema.TaggedError<NoServer>()("NoServer", { message: Schema.String }) {}

const exitOf = (effect: Effect.Effect<unknown, unknown>) =>
  Effect.map(Effect.exit(effect), (exit) => {
    const { kind, reason } = classify(exit, false);
    return [kind, reason];
  });

describe("exits", () => {
  const cases: ReadonlyArray<readonly [string, Effect.Effect<unknown, unknown>, string, string]> = [
    ["a value", Effect.succeed(1), "normal", "returned"],
    ["a typed error", Effect.fail(new NoServer({ message: "gone" })), "failure", "failed: NoServer: gone"],
    ["an untyped one", Effect.fail("why"), "failure", "failed: why"],
    ["an object", Effect.fail({ code: 3 }), "failure", "failed: { code: 3 }"],
    ["a bug", Effect.die(new RangeError("3 of 2")), "defect", "died: RangeError: 3 of 2"],
    ["an interruption", Effect.interrupt, "interrupted", "interrupted from outside"],
    [
      "an error whose finalizer dies: no error any more",
      Effect.fail("why").pipe(Effect.ensuring(Effect.die("cleaning up"))),
      "defect",
      "died: why; died: cleaning up",
    ],
    [
      "a value whose finalizer dies",
      Effect.succeed(1).pipe(Effect.ensuring(Effect.die("cleaning up"))),
      "defect",
      "died: cleaning up",
    ],
  ];
  for (const [name, effect, kind, reason] of cases)
    it.effect(name, () =>
      Effect.gen(function* () {
        const seen = yield* exitOf(effect);
        expect(seen[0]).toBe(kind);
        expect(String(seen[1]).split("; ").toSorted()).toEqual(reason.split("; ").toSorted());
      }),
    );

  it.effect("an interruption by the supervisor is a shutdown, unless something went wrong with it", () =>
    Effect.gen(function* () {
      const ends = Effect.fnUntraced(function* (effect: Effect.Effect<unknown, unknown>) {
        const fiber = yield* Effect.forkChild(effect, { startImmediately: true });
        yield* Fiber.interrupt(fiber);
        return classify(yield* Fiber.await(fiber), true).kind;
      });
      expect(yield* ends(Effect.never)).toBe("shutdown");
      expect(yield* ends(Effect.ensuring(Effect.never, Effect.die("bug")))).toBe("defect");
    }),
  );

  it("mixed causes: the worst reason is the kind, all are told, each once, and not at any length", () => {
    const reasons = [
      Cause.makeInterruptReason(1),
      Cause.makeInterruptReason(2),
      Cause.makeFailReason("x".repeat(10_000)),
      ...["a", "b", "c", "d"].map((defect) => Cause.makeDieReason(defect)),
    ];
    const { kind, reason } = classify(Exit.failCause(Cause.fromReasons(reasons)), true);
    expect(kind).toBe("defect");
    expect(reason).toBe(
      `stopped by its supervisor; failed: ${"x".repeat(600)}…; died: a; died: b; and 2 more`,
    );
    expect(classify(Exit.failCause(Cause.empty), false)).toMatchObject({ kind: "defect" });
  });
});
