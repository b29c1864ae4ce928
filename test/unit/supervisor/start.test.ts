import { describe, expect, it } from "@effect/vitest";
import * as Context from "effect/Context";
import * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Fiber from "effect/Fiber";
import * as Scope from "effect/Scope";
import { TestClock } from "effect/testing";
import { calm, makeGate, makeStage, settle, statuses } from "./stage.ts";

const strategies = ["one_for_one", "one_for_all", "rest_for_one"] as const;

describe("start", () => {
  for (const strategy of strategies)
    it.effect(`${strategy}: each child is started when the one before it is ready`, () =>
      Effect.gen(function* () {
        const stage = makeStage();
        const [a, b] = [makeGate(), makeGate()];
        stage.actor("a").gate = a;
        stage.actor("b").gate = b;
        const children = ["a", "b", "c"].map((name) => stage.worker(name));
        const starting = yield* Effect.forkChild(stage.start({ name: "root", strategy, ...calm, children }));
        yield* settle;
        expect(stage.taken()).toEqual(["start a"]);
        yield* Deferred.succeed(a, undefined);
        yield* settle;
        expect(stage.taken()).toEqual(["ready a", "start b"]);
        expect(starting.pollUnsafe()).toBeUndefined();
        yield* Deferred.succeed(b, undefined);
        const handle = yield* Fiber.join(starting);
        expect(stage.taken()).toEqual(["ready b", "start c", "ready c"]);
        expect(yield* statuses(handle)).toEqual({ a: "running", b: "running", c: "running" });
        expect(stage.tags()).toEqual(["ChildStarted root/a", "ChildStarted root/b", "ChildStarted root/c"]);
      }),
    );

  for (const strategy of strategies)
    it.effect(
      `${strategy}: a child that fails before it is ready fails the start; those before it are stopped`,
      () =>
        Effect.gen(function* () {
          const stage = makeStage();
          stage.actor("c").failsToStart = true;
          const children = ["a", "b", "c", "d"].map((name) => stage.worker(name, { restart: "transient" }));
          const error = yield* Effect.flip(stage.start({ name: "root", strategy, ...calm, children }));
          expect(error).toMatchObject({
            _tag: "StartFailed",
            path: "root/c",
            reason: "failed: c cannot start",
          });
          expect(stage.taken().slice(-4)).toEqual(["start c", "stop c", "stop b", "stop a"]);
          yield* TestClock.adjust("1 hour");
          expect(stage.taken()).toEqual([]);
        }),
    );

  for (const ending of ["failure", "defect", "interrupted"] as const)
    it.effect(`${ending} before ready is a failed start`, () =>
      Effect.gen(function* () {
        const stage = makeStage();
        const run = (): Effect.Effect<unknown, unknown> => {
          if (ending === "defect") throw new TypeError("run itself threw");
          return ending === "failure" ? Effect.fail("no") : Effect.interrupt;
        };
        const error = yield* Effect.flip(stage.start({ name: "root", children: [{ name: "a", run }] }));
        expect(error).toMatchObject({ _tag: "StartFailed", path: "root/a" });
        expect(stage.events).toMatchObject([{ _tag: "ChildExited", kind: ending, beforeReady: true }]);
      }),
    );

  it.effect("a child that is not ready in time fails the start, and is stopped", () =>
    Effect.gen(function* () {
      const stage = makeStage();
      stage.actor("b").gate = makeGate();
      const starting = yield* Effect.forkChild(
        Effect.flip(
          stage.start({
            name: "root",
            children: [stage.worker("a"), stage.worker("b", { startTimeout: 500 })],
          }),
        ),
      );
      yield* settle;
      yield* TestClock.adjust(499);
      expect(stage.taken()).toEqual(["start a", "ready a", "start b"]);
      yield* TestClock.adjust(1);
      expect(yield* Fiber.join(starting)).toMatchObject({
        path: "root/b",
        reason: "not ready within 500 ms",
      });
      expect(stage.taken()).toEqual(["stop b", "stop a"]);
    }),
  );

  it.effect("by default within a minute", () =>
    Effect.gen(function* () {
      const stage = makeStage();
      stage.actor("a").gate = makeGate();
      const starting = yield* Effect.forkChild(
        Effect.flip(stage.start({ name: "root", children: [stage.worker("a")] })),
      );
      yield* settle;
      yield* TestClock.adjust("1 minute");
      expect(yield* Fiber.join(starting)).toMatchObject({ reason: "not ready within 60000 ms" });
    }),
  );

  it.effect("a child that returns without a word has started; the next one follows it", () =>
    Effect.gen(function* () {
      const stage = makeStage();
      const gate = makeGate();
      const once = { name: "once", restart: "transient", run: () => Deferred.await(gate) } as const;
      const starting = yield* Effect.forkChild(
        stage.start({ name: "root", ...calm, children: [once, stage.worker("a")] }),
      );
      yield* settle;
      expect(stage.taken()).toEqual([]);
      yield* Deferred.succeed(gate, undefined);
      const handle = yield* Fiber.join(starting);
      expect(yield* statuses(handle)).toEqual({ once: "stopped", a: "running" });
      expect(stage.tags()).toEqual([
        "ChildStarted root/once",
        "ChildExited root/once",
        "ChildStarted root/a",
      ]);
    }),
  );

  it.effect(
    "a child that crashes while a later one starts is restarted first, and does not fail the start",
    () =>
      Effect.gen(function* () {
        const stage = makeStage();
        const gate = makeGate();
        stage.actor("b").gate = gate;
        const children = ["a", "b", "c"].map((name) => stage.worker(name));
        const starting = yield* Effect.forkChild(stage.start({ name: "root", ...calm, children }));
        yield* settle;
        yield* stage.end("a", "failure");
        yield* Deferred.succeed(gate, undefined);
        yield* settle;
        expect(stage.taken()).toEqual(["start a", "ready a", "start b", "stop a", "ready b"]);
        yield* TestClock.adjust(100);
        const handle = yield* Fiber.join(starting);
        expect(stage.taken()).toEqual(["start a", "ready a", "start c", "ready c"]);
        expect(yield* statuses(handle)).toEqual({ a: "running", b: "running", c: "running" });
      }),
  );

  it.effect(
    "and if its restart fails then, it is retried: only a first start can fail the supervisor's",
    () =>
      Effect.gen(function* () {
        const stage = makeStage();
        const gate = makeGate();
        stage.actor("b").gate = gate;
        const starting = yield* Effect.forkChild(
          stage.start({ name: "root", ...calm, children: [stage.worker("a"), stage.worker("b")] }),
        );
        yield* settle;
        stage.actor("a").failsToStart = true;
        yield* stage.end("a", "failure");
        yield* TestClock.adjust(100);
        stage.actor("a").failsToStart = false;
        yield* TestClock.adjust(200);
        yield* Deferred.succeed(gate, undefined);
        const handle = yield* Fiber.join(starting);
        expect(yield* statuses(handle)).toEqual({ a: "running", b: "running" });
        expect(stage.actor("a").lives).toBe(3);
      }),
  );

  it.effect("one_for_all: a bystander that was still starting belongs to the start all the same", () =>
    Effect.gen(function* () {
      const stage = makeStage();
      stage.actor("b").gate = makeGate();
      const children = [stage.worker("a"), stage.worker("b", { restart: "temporary" })];
      const starting = yield* Effect.forkChild(
        Effect.flip(stage.start({ name: "root", strategy: "one_for_all", ...calm, children })),
      );
      yield* settle;
      yield* stage.end("a", "failure");
      stage.actor("b").failsToStart = true;
      yield* TestClock.adjust(100);
      expect(yield* Fiber.join(starting)).toMatchObject({ _tag: "StartFailed", path: "root/b" });
    }),
  );

  it.effect("an interrupted start stops what it has started, and what it is starting", () =>
    Effect.gen(function* () {
      const stage = makeStage();
      stage.actor("b").gate = makeGate();
      const children = ["a", "b", "c"].map((name) => stage.worker(name));
      const starting = yield* Effect.forkChild(Effect.scoped(stage.start({ name: "root", children })));
      yield* settle;
      stage.taken();
      yield* Fiber.interrupt(starting);
      expect(stage.taken()).toEqual(["stop b", "stop a"]);
    }),
  );

  it.effect("too many crashes of an earlier child end the start with IntensityExceeded", () =>
    Effect.gen(function* () {
      const stage = makeStage();
      stage.actor("b").gate = makeGate();
      const children = ["a", "b"].map((name) => stage.worker(name));
      const starting = yield* Effect.forkChild(
        Effect.flip(stage.start({ name: "root", intensity: 0, children })),
      );
      yield* settle;
      yield* stage.end("a", "failure");
      expect(yield* Fiber.join(starting)).toMatchObject({ _tag: "IntensityExceeded", child: "root/a" });
      expect(stage.taken().slice(-2)).toEqual(["stop a", "stop b"]);
    }),
  );

  it.effect("nested: the error of the outermost names the path and tells the story", () =>
    Effect.gen(function* () {
      const stage = makeStage();
      stage.actor("y").failsToStart = true;
      const inner = { name: "inner", children: [stage.worker("x"), stage.worker("y")] };
      const error = yield* Effect.flip(stage.start({ name: "root", children: [stage.worker("a"), inner] }));
      expect(error).toMatchObject({ _tag: "StartFailed", path: "root/inner" });
      expect(error.message).toContain("root/inner/y did not start: failed: y cannot start");
      expect(stage.taken().slice(-4)).toEqual(["start y", "stop y", "stop x", "stop a"]);
    }),
  );

  it.effect("nested: a supervisor is ready when all its children are", () =>
    Effect.gen(function* () {
      const stage = makeStage();
      const gate = makeGate();
      stage.actor("x").gate = gate;
      const inner = { name: "inner", children: [stage.worker("x")] };
      const starting = yield* Effect.forkChild(
        stage.start({
          name: "root",
          children: [stage.worker("a", { restart: "transient" }), inner, stage.worker("b")],
        }),
      );
      yield* settle;
      yield* stage.end("a", "normal");
      expect(stage.taken()).toEqual(["start a", "ready a", "start x", "stop a"]);
      // No limit of its own: that is its children's.
      yield* TestClock.adjust("59 seconds");
      expect(stage.taken()).toEqual([]);
      yield* Deferred.succeed(gate, undefined);
      yield* Fiber.join(starting);
      expect(stage.taken()).toEqual(["ready x", "start b", "ready b"]);
    }),
  );

  it.effect("an empty supervisor runs", () =>
    Effect.gen(function* () {
      const stage = makeStage();
      const handle = yield* stage.start({ name: "root", children: [] });
      expect(yield* handle.tree).toMatchObject({ status: "running", children: [] });
      yield* handle.shutdown;
      expect(yield* handle.await).toEqual({ _tag: "Shutdown" });
    }),
  );
});

class Greeting extends Context.Service<Greeting, string>()("test/Greeting") {}

it.effect("children have the services of the tree, and a scope of their own that closes with each life", () =>
  Effect.gen(function* () {
    const stage = makeStage();
    const seen: Array<string> = [];
    const scopes: Array<Scope.Scope> = [];
    const run = (ready: Effect.Effect<void>) =>
      Effect.gen(function* () {
        seen.push(yield* Greeting);
        scopes.push(yield* Effect.scope);
        yield* Effect.addFinalizer((exit) => Effect.sync(() => seen.push(exit._tag)));
        yield* ready;
        return yield* Deferred.await(stage.actor("a").end);
      });
    const inner = { name: "inner", ...calm, children: [{ name: "a", run }] };
    const handle = yield* stage
      .start({ name: "root", children: [inner] })
      .pipe(Effect.provideService(Greeting, "hello"));
    yield* Deferred.fail(stage.actor("a").end, "broken");
    yield* settle;
    yield* TestClock.adjust(100);
    expect(seen.slice(0, 3)).toEqual(["hello", "Failure", "hello"]);
    expect(scopes[0]).not.toBe(scopes[1]);
    yield* handle.shutdown;
  }),
);

it.effect("the scope in which a tree was started is its life", () =>
  Effect.gen(function* () {
    const stage = makeStage();
    const scope = yield* Scope.make();
    const handle = yield* stage
      .start({ name: "root", children: [stage.worker("a"), stage.worker("b")] })
      .pipe(Scope.provide(scope));
    stage.taken();
    yield* Scope.close(scope, Exit.void);
    expect(stage.taken()).toEqual(["stop b", "stop a"]);
    expect(yield* handle.await).toEqual({ _tag: "Shutdown" });
    expect(yield* handle.tree).toMatchObject({ status: "stopped" });
  }),
);
