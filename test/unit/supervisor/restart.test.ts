import { describe, expect, it } from "@effect/vitest";
import * as Effect from "effect/Effect";
import { TestClock } from "effect/testing";
import { calm, type Ending, endings, makeGate, makeStage, settle, statuses, withJitter } from "./stage.ts";
import * as Supervisor from "../../../src/supervisor/index.ts";

const abnormal = (ending: Ending): boolean => ending !== "normal";

describe("exit kinds × restart types", () => {
  for (const restart of ["permanent", "transient", "temporary"] as const)
    for (const ending of endings)
      for (const strategy of ["one_for_one", "one_for_all", "rest_for_one"] as const)
        it.effect(`${restart} child of ${strategy} after ${ending}`, () =>
          Effect.gen(function* () {
            const stage = makeStage();
            const handle = yield* stage.start({
              name: "root",
              strategy,
              ...calm,
              children: [stage.worker("a", { restart })],
            });
            yield* stage.end("a", ending);
            const restarted = restart === "permanent" || (restart === "transient" && abnormal(ending));
            const gone = restart === "temporary" ? {} : { a: "stopped" };
            expect(yield* statuses(handle)).toEqual(restarted ? { a: "restarting" } : gone);
            const exited = stage.events.find((event) => event._tag === "ChildExited");
            expect(exited).toMatchObject({ kind: ending, beforeReady: false, path: "root/a" });
            yield* TestClock.adjust(100);
            expect(stage.actor("a").lives).toBe(restarted ? 2 : 1);
            expect(yield* statuses(handle)).toEqual(restarted ? { a: "running" } : gone);
          }),
        );

  for (const restart of ["permanent", "transient", "temporary"] as const)
    for (const ending of endings)
      it.effect(`${restart} child of simple_one_for_one after ${ending}`, () =>
        Effect.gen(function* () {
          const stage = makeStage();
          const spec = {
            name: "root",
            strategy: "simple_one_for_one",
            ...calm,
            child: { name: "job", restart, run: (ready, name: string) => stage.run(name)(ready) },
          } satisfies Supervisor.SimpleSupervisorSpec<string>;
          const handle = yield* stage.start(spec);
          expect(yield* handle.spawn(spec, "a")).toBe("root/job-1");
          expect(yield* handle.spawn(spec, "b")).toBe("root/job-2");
          yield* stage.end("a", ending);
          yield* TestClock.adjust(100);
          const restarted = restart === "permanent" || (restart === "transient" && abnormal(ending));
          expect(stage.actor("a").lives).toBe(restarted ? 2 : 1);
          expect(stage.actor("b").lives).toBe(1);
          expect(yield* statuses(handle)).toEqual({
            ...(restarted ? { "job-1": "running" } : {}),
            "job-2": "running",
          });
        }),
      );
});

describe("strategies", () => {
  const three = (strategy: "one_for_one" | "one_for_all" | "rest_for_one") =>
    Effect.gen(function* () {
      const stage = makeStage();
      const handle = yield* stage.start({
        name: "root",
        strategy,
        ...calm,
        children: ["a", "b", "c"].map((name) => stage.worker(name)),
      });
      stage.taken();
      return { stage, handle };
    });

  it.effect("one_for_one restarts the child alone", () =>
    Effect.gen(function* () {
      const { stage, handle } = yield* three("one_for_one");
      yield* stage.end("b", "failure");
      expect(stage.taken()).toEqual(["stop b"]);
      expect(yield* statuses(handle)).toEqual({ a: "running", b: "restarting", c: "running" });
      yield* TestClock.adjust(100);
      expect(stage.taken()).toEqual(["start b", "ready b"]);
    }),
  );

  it.effect("one_for_all stops the others in reverse at once and starts all in order after the delay", () =>
    Effect.gen(function* () {
      const { stage, handle } = yield* three("one_for_all");
      yield* stage.end("b", "failure");
      expect(stage.taken()).toEqual(["stop b", "stop c", "stop a"]);
      expect(yield* statuses(handle)).toEqual({ a: "restarting", b: "restarting", c: "restarting" });
      yield* TestClock.adjust(99);
      expect(stage.taken()).toEqual([]);
      yield* TestClock.adjust(1);
      expect(stage.taken()).toEqual(["start a", "ready a", "start b", "ready b", "start c", "ready c"]);
      const tree = yield* handle.tree;
      expect(tree.children.map((child) => child.restarts)).toEqual([1, 1, 1]);
    }),
  );

  it.effect("rest_for_one leaves alone what was started before", () =>
    Effect.gen(function* () {
      const { stage, handle } = yield* three("rest_for_one");
      yield* stage.end("b", "failure");
      expect(stage.taken()).toEqual(["stop b", "stop c"]);
      expect(yield* statuses(handle)).toEqual({ a: "running", b: "restarting", c: "restarting" });
      yield* TestClock.adjust(100);
      expect(stage.taken()).toEqual(["start b", "ready b", "start c", "ready c"]);
      expect(stage.actor("a").lives).toBe(1);
    }),
  );

  for (const strategy of ["one_for_all", "rest_for_one"] as const) {
    it.effect(
      `${strategy}: when another child fails in the restart, its group is stopped and tried again`,
      () =>
        Effect.gen(function* () {
          const { stage, handle } = yield* three(strategy);
          stage.actor("b").failsToStart = true;
          yield* stage.end("a", "failure");
          stage.taken();
          yield* TestClock.adjust(100);
          const stopped = strategy === "one_for_all" ? ["stop a"] : [];
          expect(stage.taken()).toEqual(["start a", "ready a", "start b", "stop b", ...stopped]);
          stage.actor("b").failsToStart = false;
          yield* TestClock.adjust(100);
          const again = strategy === "one_for_all" ? ["start a", "ready a"] : [];
          expect(stage.taken()).toEqual([...again, "start b", "ready b", "start c", "ready c"]);
          expect(yield* statuses(handle)).toEqual({ a: "running", b: "running", c: "running" });
        }),
    );

    it.effect(`${strategy}: a temporary bystander is stopped and not restarted`, () =>
      Effect.gen(function* () {
        const stage = makeStage();
        const handle = yield* stage.start({
          name: "root",
          strategy,
          ...calm,
          children: [stage.worker("a"), stage.worker("b", { restart: "temporary" })],
        });
        yield* stage.end("a", "normal");
        yield* TestClock.adjust(100);
        expect(yield* statuses(handle)).toEqual({ a: "running" });
        expect(stage.actor("b").lives).toBe(1);
        expect(stage.log.at(-3)).toBe("stop b");
      }),
    );

    it.effect(`${strategy}: a child that had been stopped is restarted along`, () =>
      Effect.gen(function* () {
        const { stage, handle } = yield* three(strategy);
        yield* handle.terminateChild("root/c");
        yield* stage.end("b", "failure");
        yield* TestClock.adjust(100);
        expect(yield* statuses(handle)).toEqual({ a: "running", b: "running", c: "running" });
      }),
    );
  }

  it.effect("rest_for_one: an earlier child that fails during the backoff widens the restart", () =>
    Effect.gen(function* () {
      const { stage } = yield* three("rest_for_one");
      yield* stage.end("b", "failure");
      yield* TestClock.adjust(50);
      yield* stage.end("a", "failure");
      stage.taken();
      yield* TestClock.adjust(99);
      expect(stage.taken()).toEqual([]);
      yield* TestClock.adjust(1);
      expect(stage.taken()).toEqual(["start a", "ready a", "start b", "ready b", "start c", "ready c"]);
    }),
  );

  it.effect("a child that fails while one after it is still starting takes that one along", () =>
    Effect.gen(function* () {
      const { stage, handle } = yield* three("rest_for_one");
      stage.actor("b").gate = makeGate();
      yield* stage.end("a", "failure");
      yield* TestClock.adjust(100);
      expect(yield* statuses(handle)).toEqual({ a: "running", b: "restarting", c: "restarting" });
      stage.taken();
      yield* stage.end("a", "failure");
      expect(stage.taken()).toEqual(["stop a", "stop b"]);
      stage.actor("b").gate = undefined;
      yield* TestClock.adjust(200);
      expect(yield* statuses(handle)).toEqual({ a: "running", b: "running", c: "running" });
    }),
  );
});

describe("failure while restarting", () => {
  it.effect("is counted and retried, whatever the restart type", () =>
    Effect.gen(function* () {
      const stage = makeStage();
      const handle = yield* stage.start({
        name: "root",
        ...calm,
        children: [stage.worker("a", { restart: "transient" }), stage.worker("b")],
      });
      stage.actor("a").failsToStart = true;
      yield* stage.end("a", "failure");
      for (const millis of [100, 200, 400]) yield* TestClock.adjust(millis);
      expect(stage.actor("a").lives).toBe(4);
      expect(yield* statuses(handle)).toEqual({ a: "restarting", b: "running" });
      stage.actor("a").failsToStart = false;
      yield* TestClock.adjust(800);
      expect(yield* statuses(handle)).toEqual({ a: "running", b: "running" });
      const [a] = (yield* handle.tree).children;
      expect(a).toMatchObject({ restarts: 4, lastExit: "failed: a cannot start" });
    }),
  );

  it.effect("a start that takes too long is one that failed", () =>
    Effect.gen(function* () {
      const stage = makeStage();
      const handle = yield* stage.start({
        name: "root",
        ...calm,
        children: [stage.worker("a", { startTimeout: 1000 })],
      });
      stage.actor("a").gate = makeGate();
      yield* stage.end("a", "failure");
      yield* TestClock.adjust(100);
      expect(stage.actor("a").lives).toBe(2);
      yield* TestClock.adjust(999);
      expect(stage.log.at(-1)).toBe("start a");
      yield* TestClock.adjust(1);
      expect(stage.log.at(-1)).toBe("stop a");
      expect((yield* handle.tree).children[0]).toMatchObject({
        status: "restarting",
        lastExit: "not ready within 1000 ms",
      });
      yield* TestClock.adjust(200);
      expect(stage.actor("a").lives).toBe(3);
    }),
  );

  it.effect("others are restarted while one hangs in its start, or waits for its backoff", () =>
    Effect.gen(function* () {
      const stage = makeStage();
      const handle = yield* stage.start({
        name: "root",
        ...calm,
        children: ["a", "b", "c"].map((name) => stage.worker(name)),
      });
      stage.actor("a").gate = makeGate();
      yield* stage.end("a", "failure");
      yield* TestClock.adjust(100);
      yield* stage.end("b", "failure");
      yield* TestClock.adjust(50);
      yield* stage.end("c", "failure");
      expect(yield* statuses(handle)).toEqual({ a: "restarting", b: "restarting", c: "restarting" });
      yield* TestClock.adjust(50);
      expect(yield* statuses(handle)).toEqual({ a: "restarting", b: "running", c: "restarting" });
      yield* TestClock.adjust(50);
      expect(yield* statuses(handle)).toEqual({ a: "restarting", b: "running", c: "running" });
    }),
  );
});

describe("backoff", () => {
  const delays = (stage: ReturnType<typeof makeStage>): ReadonlyArray<number> =>
    stage.events.flatMap((event) => (event._tag === "ChildRestarting" ? [event.delayMillis] : []));

  it.effect("doubles from base to max, and starts over once the child was stable", () =>
    Effect.gen(function* () {
      const stage = makeStage();
      yield* stage.start({
        name: "root",
        intensity: 1000,
        period: "1 hour",
        backoff: { base: 100, max: 500, stableAfter: 1000 },
        children: [stage.worker("a"), stage.worker("b")],
      });
      for (let n = 0; n < 5; n++) {
        yield* stage.end("a", "failure");
        yield* TestClock.adjust(500);
      }
      expect(delays(stage)).toEqual([100, 200, 400, 500, 500]);
      // Up again since 0 ms: 999 is not enough.
      yield* TestClock.adjust(999);
      yield* stage.end("a", "failure");
      yield* TestClock.adjust(500);
      yield* TestClock.adjust(1000);
      yield* stage.end("a", "failure");
      yield* stage.end("b", "failure");
      expect(delays(stage).slice(5)).toEqual([500, 100, 100]);
    }),
  );

  it.effect("a start that fails was not stable, however long ago the child last ran", () =>
    Effect.gen(function* () {
      const stage = makeStage();
      yield* stage.start({
        name: "root",
        intensity: 1000,
        backoff: { base: 100, max: 10_000, stableAfter: 500 },
        children: [stage.worker("a")],
      });
      stage.actor("a").failsToStart = true;
      yield* stage.end("a", "failure");
      yield* TestClock.adjust(3100);
      expect(delays(stage)).toEqual([100, 200, 400, 800, 1600, 3200]);
    }),
  );

  it.effect("news of a life that is over changes nothing: here its start's time-out", () =>
    Effect.gen(function* () {
      const stage = makeStage();
      let lives = 0;
      const run = (ready: Effect.Effect<void>) =>
        ++lives === 1
          ? Effect.andThen(ready, Effect.fail("broken"))
          : Effect.andThen(Effect.sleep(100), Effect.fail("again"));
      const slow = (ready: Effect.Effect<void>) =>
        Effect.andThen(ready, Effect.never).pipe(Effect.onInterrupt(() => Effect.sleep(1000)));
      const handle = yield* stage.start({
        name: "root",
        intensity: 1000,
        backoff: { base: 100, max: 10_000 },
        children: [
          { name: "slow", run: slow },
          { name: "a", run, startTimeout: 200 },
        ],
      });
      yield* settle;
      yield* TestClock.adjust(100);
      expect(lives).toBe(2);
      // It fails, and its time-out passes, while the supervisor waits for the other.
      yield* Effect.forkChild(handle.terminateChild("root/slow"));
      yield* settle;
      yield* TestClock.adjust(1000);
      yield* settle;
      expect(delays(stage)).toEqual([100, 200]);
      yield* TestClock.adjust(199);
      expect(lives).toBe(2);
      yield* TestClock.adjust(1);
      expect(lives).toBe(3);
    }),
  );

  for (const [share, expected] of [
    [0, [0, 0, 0]],
    [0.5, [50, 100, 200]],
    [0.999, [99, 199, 399]],
  ] as const)
    it.effect(`full jitter: ${share} of the bound`, () =>
      Effect.gen(function* () {
        const stage = makeStage();
        yield* withJitter(share)(
          Supervisor.start(
            { name: "root", ...calm, children: [stage.worker("a")] },
            { onEvent: (event) => void stage.events.push(event) },
          ),
        );
        for (let n = 0; n < 3; n++) {
          yield* stage.end("a", "failure");
          yield* TestClock.adjust(400);
        }
        expect(delays(stage)).toEqual(expected);
        expect(stage.actor("a").lives).toBe(4);
      }),
    );
});

it.effect("a listener that throws changes nothing", () =>
  Effect.gen(function* () {
    const stage = makeStage();
    const handle = yield* Supervisor.start(
      { name: "root", ...calm, children: [stage.worker("a")] },
      {
        onEvent: () => {
          throw new Error("a bug in the listener");
        },
      },
    );
    yield* stage.end("a", "failure");
    yield* TestClock.adjust(100);
    yield* settle;
    expect(yield* statuses(handle)).toEqual({ a: "running" });
  }),
);
