import { describe, expect, it } from "@effect/vitest";
import * as Context from "effect/Context";
import * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import { TestClock } from "effect/testing";
import { countChildren } from "../../../src/supervisor/index.ts";
import type * as Supervisor from "../../../src/supervisor/index.ts";
import { calm, makeGate, makeStage, settle, statuses } from "./stage.ts";

const refused = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<unknown, A> =>
  Effect.map(Effect.flip(effect), (error) =>
    typeof error === "object" && error !== null && "reason" in error ? error.reason : error,
  );

/** A supervisor with the children a and b, and under a second one x. */
const someTree = Effect.gen(function* () {
  const stage = makeStage();
  const inner = { name: "inner", ...calm, children: [stage.worker("x")] };
  const handle = yield* stage.start({
    name: "root",
    ...calm,
    children: [stage.worker("a"), stage.worker("b"), inner],
  });
  stage.taken();
  return { stage, handle };
});

describe("a life of one child", () => {
  it.effect("terminate, restart, delete, start again", () =>
    Effect.gen(function* () {
      const { stage, handle } = yield* someTree;
      expect(yield* refused(handle.startChild("root", stage.worker("a")))).toBe("already_started");
      expect(yield* refused(handle.restartChild("root/a"))).toBe("running");
      expect(yield* refused(handle.deleteChild("root/a"))).toBe("running");

      yield* handle.terminateChild("root/a");
      yield* handle.terminateChild("root/a");
      expect(stage.taken()).toEqual(["stop a"]);
      expect(yield* statuses(handle)).toEqual({ a: "stopped", b: "running", inner: "running" });
      yield* TestClock.adjust("1 hour");
      expect(stage.taken()).toEqual([]);
      expect(yield* refused(handle.startChild("root", stage.worker("a")))).toBe("already_present");

      yield* handle.restartChild("root/a");
      expect(stage.taken()).toEqual(["start a", "ready a"]);
      expect((yield* handle.tree).children[0]).toMatchObject({ name: "a", status: "running", restarts: 0 });

      yield* handle.terminateChild("root/a");
      yield* handle.deleteChild("root/a");
      expect(yield* statuses(handle)).toEqual({ b: "running", inner: "running" });
      expect(yield* refused(handle.restartChild("root/a"))).toBe("not_found");

      expect(yield* handle.startChild("root", stage.worker("a"))).toBe("root/a");
      expect(Object.keys(yield* statuses(handle))).toEqual(["b", "inner", "a"]);
      // It is a child like any other.
      yield* stage.end("a", "failure");
      yield* TestClock.adjust(100);
      expect(yield* statuses(handle)).toEqual({ b: "running", inner: "running", a: "running" });
    }),
  );

  it.effect("children are found at any depth, and nowhere else", () =>
    Effect.gen(function* () {
      const { stage, handle } = yield* someTree;
      yield* handle.terminateChild("root/inner/x");
      expect(stage.taken()).toEqual(["stop x"]);
      for (const path of ["root/z", "root/inner/z", "other/a", "root", "", "a", "root/a/"]) {
        const reason = yield* refused(handle.terminateChild(path));
        expect([path, reason]).toEqual([path, path === "root/a/" ? "not_for_worker" : "not_found"]);
      }
      expect(yield* refused(handle.startChild("root/a", stage.worker("y")))).toBe("not_for_worker");
      expect(yield* handle.startChild("root/inner", stage.worker("y"))).toBe("root/inner/y");
    }),
  );

  it.effect("temporary children are forgotten when they are terminated", () =>
    Effect.gen(function* () {
      const { stage, handle } = yield* someTree;
      yield* handle.startChild("root", stage.worker("t", { restart: "temporary" }));
      yield* handle.terminateChild("root/t");
      expect(yield* refused(handle.restartChild("root/t"))).toBe("not_found");
      yield* handle.startChild("root", stage.worker("t", { restart: "temporary" }));
    }),
  );

  it.effect("children that were added do not come back when their supervisor is restarted", () =>
    Effect.gen(function* () {
      const { stage, handle } = yield* someTree;
      yield* handle.startChild("root/inner", stage.worker("y"));
      yield* handle.terminateChild("root/inner");
      yield* handle.restartChild("root/inner");
      expect((yield* handle.tree).children[2]?.children.map(({ name }) => name)).toEqual(["x"]);
    }),
  );

  it.effect("a supervisor can be added like a worker, and brings its own rules", () =>
    Effect.gen(function* () {
      const { stage, handle } = yield* someTree;
      yield* handle.startChild("root", {
        name: "late",
        strategy: "one_for_all",
        ...calm,
        children: [stage.worker("p"), stage.worker("q")],
      });
      stage.taken();
      yield* stage.end("p", "failure");
      expect(stage.taken()).toEqual(["stop p", "stop q"]);
    }),
  );
});

describe("a start that was asked for", () => {
  it.effect("answers when the child is ready, and holds nobody else up", () =>
    Effect.gen(function* () {
      const { stage, handle } = yield* someTree;
      const gate = makeGate();
      stage.actor("c").gate = gate;
      const starting = yield* Effect.forkChild(handle.startChild("root", stage.worker("c")));
      yield* settle;
      expect(yield* statuses(handle)).toMatchObject({ c: "starting" });
      yield* stage.end("a", "failure");
      yield* TestClock.adjust(100);
      expect(yield* statuses(handle)).toMatchObject({ a: "running", c: "starting" });
      expect(starting.pollUnsafe()).toBeUndefined();
      yield* Deferred.succeed(gate, undefined);
      expect(yield* Fiber.join(starting)).toBe("root/c");
    }),
  );

  it.effect("fails with the child, which is not kept", () =>
    Effect.gen(function* () {
      const { stage, handle } = yield* someTree;
      stage.actor("c").failsToStart = true;
      const error = yield* Effect.flip(handle.startChild("root", stage.worker("c")));
      expect(error).toMatchObject({
        _tag: "StartFailed",
        path: "root/c",
        reason: "failed: c cannot start",
      });
      yield* TestClock.adjust("1 hour");
      expect(stage.actor("c").lives).toBe(1);
      expect(yield* statuses(handle)).toEqual({ a: "running", b: "running", inner: "running" });
    }),
  );

  it.effect("restartChild that fails leaves the child stopped", () =>
    Effect.gen(function* () {
      const { stage, handle } = yield* someTree;
      yield* handle.terminateChild("root/a");
      stage.actor("a").failsToStart = true;
      expect(yield* Effect.flip(handle.restartChild("root/a"))).toMatchObject({ _tag: "StartFailed" });
      yield* TestClock.adjust("1 hour");
      expect(yield* statuses(handle)).toMatchObject({ a: "stopped" });
      stage.actor("a").failsToStart = false;
      yield* handle.restartChild("root/a");
    }),
  );

  it.effect("that takes too long fails", () =>
    Effect.gen(function* () {
      const { stage, handle } = yield* someTree;
      stage.actor("c").gate = makeGate();
      const starting = yield* Effect.forkChild(
        Effect.flip(handle.startChild("root", stage.worker("c", { startTimeout: 10 }))),
      );
      yield* settle;
      yield* TestClock.adjust(10);
      expect(yield* Fiber.join(starting)).toMatchObject({ reason: "not ready within 10 ms" });
      expect(yield* statuses(handle)).not.toHaveProperty("c");
    }),
  );

  it.effect("is refused when the child is terminated meanwhile, or the supervisor ends", () =>
    Effect.gen(function* () {
      const { stage, handle } = yield* someTree;
      for (const name of ["c", "d"]) stage.actor(name).gate = makeGate();
      const c = yield* Effect.forkChild(refused(handle.startChild("root", stage.worker("c"))));
      const d = yield* Effect.forkChild(refused(handle.startChild("root", stage.worker("d"))));
      yield* settle;
      yield* handle.terminateChild("root/c");
      expect(yield* Fiber.join(c)).toBe("terminated on request before it was ready");
      yield* handle.shutdown;
      expect(yield* Fiber.join(d)).toBe("supervisor_stopped");
      expect(yield* refused(handle.startChild("root", stage.worker("e")))).toBe("supervisor_stopped");
      expect(yield* refused(handle.terminateChild("root/a"))).toBe("supervisor_stopped");
    }),
  );

  it.effect("survives a sibling's restart in between", () =>
    Effect.gen(function* () {
      const stage = makeStage();
      const handle = yield* stage.start({
        name: "root",
        strategy: "one_for_all",
        ...calm,
        children: [stage.worker("a")],
      });
      stage.actor("c").gate = makeGate();
      const starting = yield* Effect.forkChild(
        handle.startChild("root", stage.worker("c", { restart: "temporary" })),
      );
      yield* settle;
      yield* stage.end("a", "failure");
      stage.actor("c").gate = undefined;
      yield* TestClock.adjust(100);
      expect(yield* Fiber.join(starting)).toBe("root/c");
      expect(yield* statuses(handle)).toEqual({ a: "running", c: "running" });
    }),
  );

  it.effect("in an order waits for those before it", () =>
    Effect.gen(function* () {
      const stage = makeStage();
      const handle = yield* stage.start({
        name: "root",
        strategy: "rest_for_one",
        ...calm,
        children: [stage.worker("a")],
      });
      yield* stage.end("a", "failure");
      stage.taken();
      const starting = yield* Effect.forkChild(handle.startChild("root", stage.worker("b")));
      yield* settle;
      expect(stage.taken()).toEqual([]);
      yield* TestClock.adjust(100);
      yield* Fiber.join(starting);
      expect(stage.taken()).toEqual(["start a", "ready a", "start b", "ready b"]);
    }),
  );

  it.effect("requests that are waiting when the supervisor ends are refused", () =>
    Effect.gen(function* () {
      const stage = makeStage();
      const slow = (ready: Effect.Effect<void>) =>
        Effect.andThen(ready, Effect.never).pipe(Effect.onInterrupt(() => Effect.sleep(100)));
      const handle = yield* stage.start({
        name: "root",
        ...calm,
        children: [stage.worker("a"), { name: "slow", run: slow }],
      });
      const first = yield* Effect.forkChild(handle.terminateChild("root/slow"));
      yield* settle;
      const second = yield* Effect.forkChild(refused(handle.terminateChild("root/a")));
      yield* settle;
      const ending = yield* Effect.forkChild(handle.shutdown);
      yield* settle;
      yield* TestClock.adjust(100);
      yield* Fiber.join(ending);
      yield* Fiber.join(first);
      expect(yield* Fiber.join(second)).toBe("supervisor_stopped");
    }),
  );
});

describe("a child that is being restarted", () => {
  it.effect("can be terminated during its backoff, but not restarted or deleted", () =>
    Effect.gen(function* () {
      const { stage, handle } = yield* someTree;
      yield* stage.end("a", "failure");
      expect(yield* refused(handle.startChild("root", stage.worker("a")))).toBe("already_present");
      expect(yield* refused(handle.restartChild("root/a"))).toBe("restarting");
      expect(yield* refused(handle.deleteChild("root/a"))).toBe("restarting");
      yield* handle.terminateChild("root/a");
      yield* TestClock.adjust("1 hour");
      expect(stage.actor("a").lives).toBe(1);
      expect(yield* statuses(handle)).toMatchObject({ a: "stopped" });
      yield* handle.restartChild("root/a");
    }),
  );

  it.effect("can be terminated while it hangs in its start", () =>
    Effect.gen(function* () {
      const { stage, handle } = yield* someTree;
      stage.actor("a").gate = makeGate();
      yield* stage.end("a", "failure");
      yield* TestClock.adjust(100);
      expect(yield* statuses(handle)).toMatchObject({ a: "restarting" });
      yield* handle.terminateChild("root/a");
      expect(yield* statuses(handle)).toMatchObject({ a: "stopped" });
    }),
  );

  for (const strategy of ["rest_for_one", "one_for_all"] as const)
    it.effect(`${strategy}: if it is terminated, those that waited for it are started`, () =>
      Effect.gen(function* () {
        const stage = makeStage();
        const handle = yield* stage.start({
          name: "root",
          strategy,
          ...calm,
          children: ["a", "b", "c"].map((name) => stage.worker(name)),
        });
        yield* stage.end("b", "failure");
        yield* handle.terminateChild("root/b");
        yield* settle;
        expect(yield* statuses(handle)).toEqual({ a: "running", b: "stopped", c: "running" });
      }),
    );

  it.effect("a supervisor between two lives cannot answer", () =>
    Effect.gen(function* () {
      const stage = makeStage();
      const inner = { name: "inner", intensity: 0, children: [stage.worker("x")] };
      const handle = yield* stage.start({ name: "root", ...calm, children: [inner] });
      yield* stage.end("x", "failure");
      expect(yield* refused(handle.startChild("root/inner", stage.worker("y")))).toBe("supervisor_stopped");
      expect(yield* refused(handle.terminateChild("root/inner/x"))).toBe("supervisor_stopped");
      yield* TestClock.adjust(100);
      yield* handle.terminateChild("root/inner/x");
    }),
  );
});

class Greeting extends Context.Service<Greeting, string>()("test/Greeting") {}

it.effect("a child that is added has its caller's services, through all its lives", () =>
  Effect.gen(function* () {
    const { handle } = yield* someTree;
    const seen: Array<string> = [];
    const run = Effect.fnUntraced(function* (ready: Effect.Effect<void>) {
      seen.push(yield* Greeting);
      yield* ready;
      yield* Effect.sleep(10);
    });
    yield* handle
      .startChild("root/inner", { name: "late", run })
      .pipe(Effect.provideService(Greeting, "hello"));
    yield* TestClock.adjust(110);
    expect(seen).toEqual(["hello", "hello"]);
  }),
);

describe("simple_one_for_one", () => {
  const jobs = Effect.gen(function* () {
    const stage = makeStage();
    const spec = {
      name: "jobs",
      strategy: "simple_one_for_one",
      ...calm,
      child: { name: "job", run: (ready, name: string) => stage.run(name)(ready) },
    } satisfies Supervisor.SimpleSupervisorSpec<string>;
    const handle = yield* stage.start({ name: "root", children: [stage.worker("a"), spec] });
    const list = Effect.map(handle.tree, (tree) =>
      Object.fromEntries((tree.children[1]?.children ?? []).map(({ name, status }) => [name, status])),
    );
    return { stage, spec, handle, list };
  });

  it.effect("spawn and terminate, wherever it is in the tree", () =>
    Effect.gen(function* () {
      const { stage, spec, handle, list } = yield* jobs;
      expect(yield* list).toEqual({});
      expect(yield* handle.spawn(spec, "p")).toBe("root/jobs/job-1");
      expect(yield* handle.spawn(spec, "q")).toBe("root/jobs/job-2");
      yield* handle.terminateChild("root/jobs/job-1");
      expect(yield* list).toEqual({ "job-2": "running" });
      expect(yield* refused(handle.terminateChild("root/jobs/job-1"))).toBe("not_found");
      expect(yield* handle.spawn(spec, "r")).toBe("root/jobs/job-3");
      // Each is restarted with its own argument.
      yield* stage.end("q", "failure");
      expect(yield* list).toEqual({ "job-2": "restarting", "job-3": "running" });
      yield* TestClock.adjust(100);
      expect(stage.actor("q").lives).toBe(2);
      // In its backoff, too.
      yield* stage.end("q", "failure");
      yield* handle.terminateChild("root/jobs/job-2");
      expect(yield* list).toEqual({ "job-3": "running" });
    }),
  );

  it.effect("has no other operations", () =>
    Effect.gen(function* () {
      const { stage, spec, handle } = yield* jobs;
      const path = yield* handle.spawn(spec, "p");
      const reason = "not_for_simple_one_for_one";
      expect(yield* refused(handle.restartChild(path))).toBe(reason);
      expect(yield* refused(handle.deleteChild(path))).toBe(reason);
      expect(yield* refused(handle.startChild("root/jobs", stage.worker("b")))).toBe(reason);
      const elsewhere = { ...spec };
      expect(yield* refused(handle.spawn(elsewhere, "p"))).toBe("not_found");
    }),
  );

  it.effect("a child that fails to start is not kept", () =>
    Effect.gen(function* () {
      const { stage, spec, handle, list } = yield* jobs;
      stage.actor("p").failsToStart = true;
      expect(yield* Effect.flip(handle.spawn(spec, "p"))).toMatchObject({
        _tag: "StartFailed",
        path: "root/jobs/job-1",
      });
      expect(yield* list).toEqual({});
    }),
  );

  it.effect("a thousand children: each message costs the same", () =>
    Effect.gen(function* () {
      const { spec, handle, list } = yield* jobs;
      const paths = yield* Effect.forEach(
        Array.from({ length: 1000 }, (_, n) => `${n}`),
        (name) => handle.spawn(spec, name),
      );
      const tree = yield* handle.tree;
      const node = tree.children[1];
      expect(node === undefined ? node : countChildren(node)).toEqual({
        specs: 1000,
        active: 1000,
        supervisors: 0,
        workers: 1000,
      });
      yield* Effect.forEach(paths, (path) => handle.terminateChild(path), { discard: true });
      expect(yield* list).toEqual({});
    }),
  );
});
