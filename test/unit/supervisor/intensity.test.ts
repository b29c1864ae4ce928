import { describe, expect, it } from "@effect/vitest";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import { TestClock } from "effect/testing";
import { addRestart, delayMillis } from "../../../src/supervisor/restarts.ts";
import type * as Supervisor from "../../../src/supervisor/index.ts";
import { calm, type Ending, makeStage, settle, type Stage, statuses } from "./stage.ts";

/** No delay: what is tested is the count. */
const atOnce = { base: 0, max: 0 };

const crash = (stage: Stage, name: string, ending: Ending = "failure") =>
  Effect.andThen(stage.end(name, ending), Effect.andThen(TestClock.adjust(0), settle));

describe("the count", () => {
  it("allows `intensity` restarts, not one more", () => {
    const limit = { intensity: 2, periodMillis: 1000 };
    const first = addRestart([], 0, limit);
    const second = addRestart(first.restarts, 1, limit);
    const third = addRestart(second.restarts, 2, limit);
    expect([first.exceeded, second.exceeded, third.exceeded]).toEqual([false, false, true]);
  });

  it("slides: one that lies exactly a period back still counts, a millisecond later it does not", () => {
    const limit = { intensity: 1, periodMillis: 1000 };
    expect(addRestart([500], 1500, limit)).toEqual({ restarts: [500, 1500], exceeded: true });
    expect(addRestart([500], 1501, limit)).toEqual({ restarts: [1501], exceeded: false });
  });

  it("keeps no more than it needs", () => {
    let restarts: ReadonlyArray<number> = [];
    for (let now = 0; now < 100_000; now += 10) {
      const next = addRestart(restarts, now, { intensity: 10, periodMillis: 100 });
      restarts = next.restarts.slice(-10);
      expect(next.restarts.length).toBeLessThanOrEqual(11);
    }
  });

  it("delays are whole milliseconds between nothing and the bound", () => {
    const backoff = { baseMillis: 100, maxMillis: 1000, stableMillis: 0 };
    expect([1, 2, 3, 4, 5, 60, 2000].map((attempt) => delayMillis(backoff, attempt, 1))).toEqual([
      100, 200, 400, 800, 1000, 1000, 1000,
    ]);
    expect(delayMillis(backoff, 2, 0.333)).toBe(66);
    expect(delayMillis(backoff, 2, 0)).toBe(0);
  });
});

describe("intensity at its edge", () => {
  for (const strategy of ["one_for_one", "one_for_all", "rest_for_one"] as const)
    for (const intensity of [0, 1, 3])
      it.effect(`${strategy}: ${intensity} restarts within the period are allowed, one more is not`, () =>
        Effect.gen(function* () {
          const stage = makeStage();
          const handle = yield* stage.start({
            name: "root",
            strategy,
            intensity,
            period: 1000,
            backoff: atOnce,
            children: ["a", "b", "c"].map((name) => stage.worker(name)),
          });
          for (let n = 0; n < intensity; n++) {
            yield* crash(stage, "b");
            expect(yield* statuses(handle)).toEqual({ a: "running", b: "running", c: "running" });
          }
          stage.taken();
          yield* crash(stage, "b");
          const error = yield* Effect.flip(handle.await);
          expect(error).toMatchObject({
            _tag: "IntensityExceeded",
            path: "root",
            intensity,
            periodMillis: 1000,
            child: "root/b",
            reason: "failed: broken",
          });
          expect(stage.taken()).toEqual(["stop b", "stop c", "stop a"]);
          expect(stage.tags()).toContain("IntensityExceeded root");
          const tree = yield* handle.tree;
          expect(tree).toMatchObject({ status: "stopped" });
          expect(tree.lastExit).toContain("IntensityExceeded: root: more than");
        }),
      );

  for (const [pause, ends] of [
    [1000, true],
    [1001, false],
  ] as const)
    it.effect(`a second crash ${pause} ms after the first, within 1000 ms allowed one: ends ${ends}`, () =>
      Effect.gen(function* () {
        const stage = makeStage();
        const handle = yield* stage.start({
          name: "root",
          intensity: 1,
          period: 1000,
          backoff: atOnce,
          children: [stage.worker("a")],
        });
        yield* crash(stage, "a");
        yield* TestClock.adjust(pause);
        yield* crash(stage, "a");
        expect(yield* statuses(handle)).toEqual({ a: ends ? "stopped" : "running" });
      }),
    );

  it.effect("for ever, if the crashes are far enough apart", () =>
    Effect.gen(function* () {
      const stage = makeStage();
      yield* stage.start({
        name: "root",
        intensity: 2,
        period: 1000,
        backoff: atOnce,
        children: [stage.worker("a"), stage.worker("b")],
      });
      for (let n = 0; n < 50; n++) {
        yield* crash(stage, n % 2 === 0 ? "a" : "b");
        yield* TestClock.adjust(501);
      }
      expect(stage.actor("a").lives + stage.actor("b").lives).toBe(52);
    }),
  );

  it.effect("all children of a supervisor share it", () =>
    Effect.gen(function* () {
      const stage = makeStage();
      const handle = yield* stage.start({
        name: "root",
        intensity: 1,
        backoff: atOnce,
        children: [stage.worker("a"), stage.worker("b")],
      });
      yield* crash(stage, "a");
      yield* crash(stage, "b");
      expect(yield* Effect.flip(handle.await)).toMatchObject({ child: "root/b" });
    }),
  );

  it.effect("starts that fail on the way count, and the delays between them are real time", () =>
    Effect.gen(function* () {
      const stage = makeStage();
      const handle = yield* stage.start({
        name: "root",
        intensity: 4,
        period: 1500,
        backoff: { base: 100, max: 10_000 },
        children: [stage.worker("a"), stage.worker("b")],
      });
      stage.actor("a").failsToStart = true;
      yield* stage.end("a", "failure");
      // 0, 100, 300, 700 and 1500 ms: the last is the fifth within 1500 ms.
      yield* TestClock.adjust(1499);
      expect(yield* statuses(handle)).toEqual({ a: "restarting", b: "running" });
      yield* TestClock.adjust(1);
      expect(yield* Effect.flip(handle.await)).toMatchObject({ child: "root/a" });
      expect(stage.actor("a").lives).toBe(5);
    }),
  );

  it.effect("exits that need no restart do not count", () =>
    Effect.gen(function* () {
      const stage = makeStage();
      const handle = yield* stage.start({
        name: "root",
        intensity: 0,
        children: [
          stage.worker("a", { restart: "transient" }),
          stage.worker("b", { restart: "temporary" }),
          stage.worker("c"),
        ],
      });
      yield* stage.end("a", "normal");
      yield* stage.end("b", "defect");
      yield* handle.terminateChild("root/c");
      yield* handle.restartChild("root/c");
      expect(yield* statuses(handle)).toEqual({ a: "stopped", c: "running" });
    }),
  );
});

describe("escalation", () => {
  const strategies = ["one_for_one", "one_for_all", "rest_for_one"] as const;
  for (const outer of strategies)
    for (const inner of strategies)
      it.effect(
        `${inner} in ${outer}: the parent restarts the supervisor that gave up, with fresh counts`,
        () =>
          Effect.gen(function* () {
            const stage = makeStage();
            const handle = yield* stage.start({
              name: "root",
              strategy: outer,
              ...calm,
              children: [
                stage.worker("a"),
                {
                  name: "inner",
                  strategy: inner,
                  intensity: 1,
                  backoff: atOnce,
                  children: [stage.worker("x"), stage.worker("y")],
                },
                stage.worker("b"),
              ],
            });
            yield* crash(stage, "x");
            expect((yield* handle.tree).children[1]).toMatchObject({ status: "running", restarts: 0 });
            stage.taken();
            yield* crash(stage, "x");
            const stopped = {
              one_for_one: ["stop x", "stop y"],
              rest_for_one: ["stop x", "stop y", "stop b"],
              one_for_all: ["stop x", "stop y", "stop b", "stop a"],
            };
            expect(stage.taken()).toEqual(stopped[outer]);
            yield* TestClock.adjust(100);
            const started = ["start x", "ready x", "start y", "ready y"];
            const alsoStarted = {
              one_for_one: started,
              rest_for_one: [...started, "start b", "ready b"],
              one_for_all: ["start a", "ready a", ...started, "start b", "ready b"],
            };
            expect(stage.taken()).toEqual(alsoStarted[outer]);
            const tree = yield* handle.tree;
            expect(tree.children[1]).toMatchObject({ status: "running", restarts: 1 });
            expect(tree.children[1]?.lastExit).toContain("failed: IntensityExceeded: root/inner");
            expect(tree.children[1]?.children.map((child) => child.restarts)).toEqual([0, 0]);
            // A life later its window is empty again.
            yield* crash(stage, "x");
            expect(yield* statuses(handle)).toEqual({ a: "running", inner: "running", b: "running" });
          }),
      );

  it.effect("goes all the way up, and comes out of the root typed", () =>
    Effect.gen(function* () {
      const stage = makeStage();
      const once = { intensity: 1, backoff: atOnce } as const;
      const leaf = { name: "leaf", ...once, children: [stage.worker("x")] };
      const middle = { name: "middle", ...once, children: [leaf] };
      const handle = yield* stage.start({ name: "root", ...once, children: [stage.worker("a"), middle] });
      const end = yield* Effect.forkChild(Effect.flip(handle.await));
      for (let n = 1; n < 8; n++) {
        yield* crash(stage, "x");
        expect(end.pollUnsafe()).toBeUndefined();
      }
      yield* crash(stage, "x");
      expect(yield* Fiber.join(end)).toMatchObject({
        _tag: "IntensityExceeded",
        path: "root",
        child: "root/middle",
      });
      expect(stage.actor("x").lives).toBe(8);
      expect(stage.log.at(-1)).toBe("stop a");
    }),
  );

  for (const restart of ["permanent", "transient", "temporary"] as const)
    it.effect(`to give up is never a normal end: a ${restart} supervisor`, () =>
      Effect.gen(function* () {
        const stage = makeStage();
        const children = [stage.worker("x")];
        const inner: Supervisor.SupervisorSpec & { significant?: false } =
          restart === "permanent"
            ? { name: "inner", intensity: 0, children }
            : { name: "inner", restart, significant: false, intensity: 0, children };
        const handle = yield* stage.start({ name: "root", ...calm, children: [inner] });
        yield* stage.end("x", "normal");
        yield* TestClock.adjust(100);
        expect(yield* statuses(handle)).toEqual(restart === "temporary" ? {} : { inner: "running" });
        expect(stage.events).toContainEqual(
          expect.objectContaining({ _tag: "ChildExited", path: "root/inner", kind: "failure" }),
        );
      }),
    );

  it.effect("simple_one_for_one counts over all its children", () =>
    Effect.gen(function* () {
      const stage = makeStage();
      const spec = {
        name: "root",
        strategy: "simple_one_for_one",
        intensity: 1,
        backoff: atOnce,
        child: { name: "job", run: (ready, name: string) => stage.run(name)(ready) },
      } satisfies Supervisor.SimpleSupervisorSpec<string>;
      const handle = yield* stage.start(spec);
      for (const name of ["a", "b", "c"]) yield* handle.spawn(spec, name);
      yield* crash(stage, "a");
      yield* crash(stage, "b");
      expect(yield* Effect.flip(handle.await)).toMatchObject({ child: "root/job-2" });
      expect(stage.log.toSorted().filter((line) => line.startsWith("stop"))).toEqual([
        "stop a",
        "stop a",
        "stop b",
        "stop c",
      ]);
    }),
  );
});
