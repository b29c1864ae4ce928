import { describe, expect, it } from "@effect/vitest";
import * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Fiber from "effect/Fiber";
import * as Scope from "effect/Scope";
import { TestClock } from "effect/testing";
import { calm, endings, makeGate, makeStage, settle, statuses } from "./stage.ts";
import type * as Supervisor from "../../../src/supervisor/index.ts";

/** Runs until `gate` opens, whatever is done to it. */
const stubborn = (gate: Deferred.Deferred<void>) => (ready: Effect.Effect<void>) =>
  Effect.uninterruptible(Effect.andThen(ready, Deferred.await(gate)));

/** Needs this long to end once it is interrupted. */
const slow = (millis: number) => (ready: Effect.Effect<void>) =>
  Effect.andThen(ready, Effect.never).pipe(Effect.onInterrupt(() => Effect.sleep(millis)));

describe("order", () => {
  for (const strategy of ["one_for_one", "one_for_all", "rest_for_one"] as const)
    it.effect(`${strategy}: one after the other in reverse, each after the one started later has ended`, () =>
      Effect.gen(function* () {
        const stage = makeStage();
        const handle = yield* stage.start({
          name: "root",
          strategy,
          children: [stage.worker("a"), { name: "slow", run: slow(300) }, stage.worker("c")],
        });
        stage.taken();
        const ending = yield* Effect.forkChild(handle.shutdown);
        yield* settle;
        expect(stage.taken()).toEqual(["stop c"]);
        expect(yield* statuses(handle)).toEqual({ a: "running", slow: "stopping", c: "stopped" });
        expect((yield* handle.tree).status).toBe("stopping");
        yield* TestClock.adjust(299);
        expect(stage.taken()).toEqual([]);
        yield* TestClock.adjust(1);
        yield* Fiber.join(ending);
        expect(stage.taken()).toEqual(["stop a"]);
        expect(yield* handle.await).toEqual({ _tag: "Shutdown" });
      }),
    );

  it.effect("depth first in a tree, and nothing restarts meanwhile", () =>
    Effect.gen(function* () {
      const stage = makeStage();
      const inner = { name: "inner", children: [stage.worker("x"), stage.worker("y")] };
      const handle = yield* stage.start({
        name: "root",
        children: [stage.worker("a"), inner, stage.worker("b")],
      });
      stage.taken();
      yield* handle.shutdown;
      expect(stage.taken()).toEqual(["stop b", "stop y", "stop x", "stop a"]);
      yield* TestClock.adjust("1 hour");
      expect(stage.taken()).toEqual([]);
      yield* handle.shutdown;
    }),
  );

  it.effect("simple_one_for_one stops all its children at once", () =>
    Effect.gen(function* () {
      const stage = makeStage();
      const spec = {
        name: "root",
        strategy: "simple_one_for_one",
        child: { name: "job", run: (ready, millis: number) => slow(millis)(ready) },
      } satisfies Supervisor.SimpleSupervisorSpec<number>;
      const handle = yield* stage.start(spec);
      for (let n = 0; n < 20; n++) yield* handle.spawn(spec, 1000);
      yield* handle.spawn(spec, 6000);
      const ending = yield* Effect.forkChild(handle.shutdown);
      yield* settle;
      yield* TestClock.adjust(1000);
      const stopped = (yield* handle.tree).children.filter((child) => child.status === "stopped");
      expect(stopped).toHaveLength(20);
      yield* TestClock.adjust(4000);
      yield* Fiber.join(ending);
      expect(stage.events.filter((event) => event._tag === "ChildAbandoned")).toMatchObject([
        { path: "root/job-21", afterMillis: 5000 },
      ]);
    }),
  );
});

describe("shutdown time", () => {
  for (const [shutdown, millis] of [
    [1000, 1000],
    ["2 seconds", 2000],
    [undefined, 5000],
  ] as const)
    it.effect(
      `${shutdown}: a child that does not yield is abandoned after ${millis} ms, and its place is free`,
      () =>
        Effect.gen(function* () {
          const stage = makeStage();
          const gate = makeGate();
          const child = {
            name: "stuck",
            run: stubborn(gate),
            ...(shutdown === undefined ? {} : { shutdown }),
          };
          const handle = yield* stage.start({ name: "root", children: [stage.worker("a"), child] });
          stage.events.length = 0;
          const ending = yield* Effect.forkChild(handle.terminateChild("root/stuck"));
          yield* settle;
          yield* TestClock.adjust(millis - 1);
          expect(yield* statuses(handle)).toEqual({ a: "running", stuck: "stopping" });
          yield* TestClock.adjust(1);
          yield* Fiber.join(ending);
          expect(stage.events).toEqual([
            { _tag: "ChildAbandoned", path: "root/stuck", at: millis, afterMillis: millis },
          ]);
          expect((yield* handle.tree).children[1]).toMatchObject({
            status: "abandoned",
            abandoned: 1,
            lastExit: `abandoned: did not end within ${millis} ms`,
          });
          yield* handle.terminateChild("root/stuck");
          expect(yield* statuses(handle)).toEqual({ a: "running", stuck: "abandoned" });
          // A new life in the same place, while the old one still is.
          yield* handle.restartChild("root/stuck");
          expect((yield* handle.tree).children[1]).toMatchObject({ status: "running", abandoned: 1 });
          yield* Deferred.succeed(gate, undefined);
          yield* settle;
          expect((yield* handle.tree).children[1]).toMatchObject({ abandoned: 0 });
        }),
    );

  it.effect("a child that ends exactly in time has ended", () =>
    Effect.gen(function* () {
      const stage = makeStage();
      const handle = yield* stage.start({
        name: "root",
        children: [{ name: "slow", run: slow(1000), shutdown: 1000 }],
      });
      const ending = yield* Effect.forkChild(handle.shutdown);
      yield* settle;
      yield* TestClock.adjust(1000);
      yield* Fiber.join(ending);
      expect(stage.events.at(-1)).toMatchObject({ _tag: "ChildExited", kind: "shutdown" });
    }),
  );

  it.effect("brutal_kill waits for nothing", () =>
    Effect.gen(function* () {
      const stage = makeStage();
      const handle = yield* stage.start({
        name: "root",
        children: [
          stage.worker("a", { shutdown: "brutal_kill" }),
          { name: "slow", run: slow(1), shutdown: "brutal_kill" },
        ],
      });
      yield* handle.shutdown;
      expect(yield* statuses(handle)).toEqual({ a: "stopped", slow: "abandoned" });
    }),
  );

  it.effect("a supervisor may take as long as its children", () =>
    Effect.gen(function* () {
      const stage = makeStage();
      const children = ["x", "y", "z"].map((name) => ({
        name,
        run: slow(60_000),
        shutdown: "2 minutes" as const,
      }));
      const handle = yield* stage.start({ name: "root", children: [{ name: "inner", children }] });
      const ending = yield* Effect.forkChild(handle.shutdown);
      yield* settle;
      yield* TestClock.adjust(179_999);
      expect(ending.pollUnsafe()).toBeUndefined();
      yield* TestClock.adjust(1);
      yield* Fiber.join(ending);
      expect(stage.events.filter((event) => event._tag === "ChildAbandoned")).toEqual([]);
    }),
  );

  it.effect("a supervisor with a time of its own is abandoned with what it holds", () =>
    Effect.gen(function* () {
      const stage = makeStage();
      const gate = makeGate();
      const inner = {
        name: "inner",
        shutdown: 1000,
        children: [{ name: "stuck", run: stubborn(gate), shutdown: "1 minute" }],
      } as const;
      const handle = yield* stage.start({ name: "root", children: [inner] });
      const ending = yield* Effect.forkChild(handle.shutdown);
      yield* settle;
      yield* TestClock.adjust(1000);
      yield* Fiber.join(ending);
      expect(stage.events.at(-1)).toMatchObject({ _tag: "ChildAbandoned", path: "root/inner" });
      yield* Deferred.succeed(gate, undefined);
    }),
  );

  it.effect("a restart goes on although a sibling had to be abandoned", () =>
    Effect.gen(function* () {
      const stage = makeStage();
      const gate = makeGate();
      let lives = 0;
      const run = (ready: Effect.Effect<void>) =>
        ++lives === 1 ? stubborn(gate)(ready) : Effect.andThen(ready, Effect.never);
      const handle = yield* stage.start({
        name: "root",
        strategy: "one_for_all",
        ...calm,
        children: [stage.worker("a"), { name: "stuck", run, shutdown: 500 }],
      });
      yield* stage.end("a", "failure");
      yield* TestClock.adjust(500);
      yield* TestClock.adjust(100);
      expect(yield* statuses(handle)).toEqual({ a: "running", stuck: "running" });
      expect((yield* handle.tree).children[1]).toMatchObject({ abandoned: 1, restarts: 1 });
      // The old life's end is nobody's news any more.
      yield* Deferred.succeed(gate, undefined);
      yield* settle;
      yield* TestClock.adjust(1000);
      expect((yield* handle.tree).children[1]).toMatchObject({
        status: "running",
        abandoned: 0,
        restarts: 1,
        lastExit: "abandoned: did not end within 500 ms",
      });
    }),
  );

  it.effect("finalizers that die are reported, and hold nothing up", () =>
    Effect.gen(function* () {
      const stage = makeStage();
      const run = (ready: Effect.Effect<void>) =>
        Effect.andThen(ready, Effect.never).pipe(Effect.ensuring(Effect.die("finalizer")));
      const handle = yield* stage.start({ name: "root", children: [stage.worker("a"), { name: "b", run }] });
      yield* handle.shutdown;
      expect(stage.events.at(-2)).toMatchObject({ path: "root/b", kind: "defect" });
      expect(stage.events.at(-1)).toMatchObject({ path: "root/a", kind: "shutdown" });
      expect((yield* handle.tree).children[1]?.lastExit).toContain("died: finalizer");
    }),
  );
});

describe("shutdown meets restart", () => {
  it.effect("during the backoff: nothing is started any more", () =>
    Effect.gen(function* () {
      const stage = makeStage();
      const handle = yield* stage.start({
        name: "root",
        ...calm,
        children: [stage.worker("a"), stage.worker("b")],
      });
      yield* stage.end("b", "failure");
      stage.taken();
      yield* handle.shutdown;
      expect(stage.taken()).toEqual(["stop a"]);
      yield* TestClock.adjust("1 hour");
      expect(stage.taken()).toEqual([]);
      expect(yield* statuses(handle)).toEqual({ a: "stopped", b: "stopped" });
    }),
  );

  it.effect("while a child hangs in its restart: it is stopped like the others", () =>
    Effect.gen(function* () {
      const stage = makeStage();
      const handle = yield* stage.start({
        name: "root",
        strategy: "rest_for_one",
        ...calm,
        children: ["a", "b", "c"].map((name) => stage.worker(name)),
      });
      stage.actor("b").gate = makeGate();
      yield* stage.end("b", "failure");
      yield* TestClock.adjust(100);
      expect(stage.taken().at(-1)).toBe("start b");
      yield* handle.shutdown;
      expect(stage.taken()).toEqual(["stop b", "stop a"]);
    }),
  );

  it.effect("while it stops a group: it finishes, then stops the rest, each child once", () =>
    Effect.gen(function* () {
      const stage = makeStage();
      const handle = yield* stage.start({
        name: "root",
        strategy: "rest_for_one",
        ...calm,
        children: [stage.worker("a"), stage.worker("b"), { name: "slow", run: slow(400) }],
      });
      stage.taken();
      yield* stage.end("b", "failure");
      const ending = yield* Effect.forkChild(handle.shutdown);
      yield* settle;
      expect(stage.taken()).toEqual(["stop b"]);
      yield* TestClock.adjust(400);
      yield* Fiber.join(ending);
      expect(stage.taken()).toEqual(["stop a"]);
      const exits = stage.events.filter((event) => event._tag === "ChildExited").map((event) => event.path);
      expect(exits).toEqual(["root/b", "root/slow", "root/a"]);
    }),
  );

  it.effect("of a nested supervisor, while that is giving up", () =>
    Effect.gen(function* () {
      const stage = makeStage();
      const inner = {
        name: "inner",
        intensity: 0,
        children: [stage.worker("x"), { name: "slow", run: slow(400) }],
      };
      const handle = yield* stage.start({ name: "root", ...calm, children: [stage.worker("a"), inner] });
      yield* stage.end("x", "failure");
      const ending = yield* Effect.forkChild(handle.shutdown);
      yield* settle;
      yield* TestClock.adjust(400);
      yield* Fiber.join(ending);
      expect(yield* handle.await).toEqual({ _tag: "Shutdown" });
      expect(stage.log.at(-1)).toBe("stop a");
      yield* TestClock.adjust("1 hour");
      expect(stage.actor("x").lives).toBe(1);
    }),
  );

  for (const restart of ["permanent", "transient", "temporary"] as const)
    for (const ending of endings)
      it.effect(
        `a ${restart} child that ends by itself (${ending}) during the shutdown is not restarted`,
        () =>
          Effect.gen(function* () {
            const stage = makeStage();
            const handle = yield* stage.start({
              name: "root",
              ...calm,
              children: [stage.worker("a", { restart }), { name: "slow", run: slow(400) }],
            });
            const shutdown = yield* Effect.forkChild(handle.shutdown);
            yield* settle;
            yield* stage.end("a", ending);
            yield* TestClock.adjust(400);
            yield* Fiber.join(shutdown);
            expect(stage.actor("a").lives).toBe(1);
            expect(stage.events.at(-1)).toMatchObject({ _tag: "ChildExited", path: "root/a", kind: ending });
          }),
      );

  it.effect("a child may ask for the shutdown of its own tree", () =>
    Effect.gen(function* () {
      const stage = makeStage();
      const told = yield* Deferred.make<Supervisor.Handle>();
      const run = Effect.fnUntraced(function* (ready: Effect.Effect<void>) {
        yield* ready;
        const tree = yield* Deferred.await(told);
        yield* tree.shutdown;
      });
      const handle = yield* stage.start({ name: "root", children: [stage.worker("a"), { name: "b", run }] });
      yield* Deferred.succeed(told, handle);
      expect(yield* handle.await).toEqual({ _tag: "Shutdown" });
      expect(stage.log.at(-1)).toBe("stop a");
    }),
  );

  it.effect("a defect of the code that stops a tree leaves no child behind", () =>
    Effect.gen(function* () {
      const stage = makeStage();
      const scope = yield* Scope.make();
      yield* Scope.provide(scope)(
        stage.start({ name: "root", children: ["a", "b"].map((name) => stage.worker(name)) }),
      );
      stage.taken();
      yield* Scope.close(scope, Exit.die("elsewhere"));
      expect(stage.taken()).toEqual(["stop b", "stop a"]);
    }),
  );
});
