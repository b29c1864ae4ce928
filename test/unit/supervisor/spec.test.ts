import { describe, expect, it } from "@effect/vitest";
import * as Context from "effect/Context";
import * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import * as Supervisor from "../../../src/supervisor/index.ts";
import { makeStage } from "./stage.ts";

const run = () => Effect.never;
const ok = { name: "a", run };

/** As from a program without types. */
const refusalOf = (spec: unknown): Effect.Effect<unknown, unknown> =>
  Effect.scoped(Effect.flip(Supervisor.start(spec as Supervisor.SupervisorSpec)));

describe("what is refused, with the offending value", () => {
  const withChild = (child: object) => ({ name: "root", children: [ok, { name: "b", run, ...child }] });
  const simple = { name: "root", strategy: "simple_one_for_one" };
  const cases: ReadonlyArray<readonly [unknown, string, string, unknown]> = [
    [7, "", "spec", 7],
    [{ children: [] }, "?", "name", undefined],
    [{ name: "a/b", children: [] }, "?", "name", "a/b"],
    [{ name: "", children: [] }, "?", "name", ""],
    [{ name: "root" }, "root", "children", undefined],
    [{ name: "root", children: ok }, "root", "children", ok],
    [{ name: "root", children: [3] }, "root", "children", 3],
    [{ name: "root", children: [ok, ok] }, "root", "children", "a"],
    [{ name: "root", strategy: "none_for_one", children: [] }, "root", "strategy", "none_for_one"],
    [{ name: "root", intensity: -1, children: [] }, "root", "intensity", -1],
    [{ name: "root", intensity: 1.5, children: [] }, "root", "intensity", 1.5],
    [{ name: "root", intensity: Infinity, children: [] }, "root", "intensity", Infinity],
    [{ name: "root", period: 0, children: [] }, "root", "period", 0],
    [{ name: "root", period: "Infinity", children: [] }, "root", "period", "Infinity"],
    [{ name: "root", period: "soon", children: [] }, "root", "period", "soon"],
    [{ name: "root", autoShutdown: "sometimes", children: [] }, "root", "autoShutdown", "sometimes"],
    [{ name: "root", backoff: 3, children: [] }, "root", "backoff", 3],
    [{ name: "root", backoff: { base: -1 }, children: [] }, "root", "backoff.base", -1],
    [{ name: "root", backoff: { base: 200, max: 100 }, children: [] }, "root", "backoff.max", 100],
    [{ name: "root", backoff: { stableAfter: "x" }, children: [] }, "root", "backoff.stableAfter", "x"],
    [withChild({ name: 3 }), "root/?", "name", 3],
    [withChild({ run: 3 }), "root/b", "run", 3],
    [withChild({ restart: "prmanent" }), "root/b", "restart", "prmanent"],
    [withChild({ shutdown: -10 }), "root/b", "shutdown", -10],
    [withChild({ shutdown: "infinity" }), "root/b", "shutdown", "infinity"],
    [withChild({ shutdown: "Infinity" }), "root/b", "shutdown", "Infinity"],
    [withChild({ startTimeout: 0 }), "root/b", "startTimeout", 0],
    [withChild({ significant: "maybe" }), "root/b", "significant", "maybe"],
    [withChild({ restart: "transient", significant: true }), "root/b", "significant", true],
    [{ ...withChild({ significant: true }), autoShutdown: "any_significant" }, "root/b", "significant", true],
    [
      { name: "root", children: [{ name: "in", children: [{ name: "x" }] }] },
      "root/in/x",
      "children",
      undefined,
    ],
    [{ ...simple, children: [ok] }, "root", "children", [ok]],
    [{ ...simple }, "root", "child", undefined],
    [{ ...simple, child: { name: "job" } }, "root", "run", undefined],
  ];
  for (const [spec, path, option, value] of cases)
    it.effect(`${option}: ${String(value)} at ${path}`, () =>
      Effect.gen(function* () {
        expect(yield* refusalOf(spec)).toMatchObject({ _tag: "InvalidSpec", path, option, value });
      }),
    );

  it.effect("the message says where, what, and what would do", () =>
    Effect.gen(function* () {
      const error = (yield* refusalOf(withChild({ restart: "prmanent" }))) as Supervisor.InvalidSpec;
      expect(error.message).toBe(
        "root/b: restart is 'prmanent', expected one of permanent, transient, temporary; nothing was started",
      );
    }),
  );

  it.effect("nothing is started when a later child is wrong", () =>
    Effect.gen(function* () {
      const stage = makeStage();
      yield* refusalOf({ name: "root", children: [stage.worker("a"), { name: "b", run: 1 }] });
      expect(stage.log).toEqual([]);
    }),
  );

  it.effect("startChild checks too, and against its supervisor", () =>
    Effect.gen(function* () {
      const stage = makeStage();
      const handle = yield* stage.start({ name: "root", children: [] });
      const error = yield* Effect.flip(handle.startChild("root", stage.significant("a", "transient")));
      expect(error).toMatchObject({
        _tag: "InvalidSpec",
        path: "root/a",
        option: "significant",
        value: true,
      });
    }),
  );
});

describe("combinations", () => {
  for (const autoShutdown of ["never", "any_significant", "all_significant"])
    for (const restart of [undefined, "permanent", "transient", "temporary"])
      for (const significant of [undefined, true, false])
        for (const shutdown of [undefined, 0, 1000, "brutal_kill"])
          it.effect(`${autoShutdown} × ${restart} × ${significant} × ${shutdown}`, () =>
            Effect.gen(function* () {
              const given = { restart, significant, shutdown };
              const child = Object.fromEntries(
                Object.entries({ ...ok, ...given }).filter(([, value]) => value !== undefined),
              );
              const ready = {
                ...child,
                run: (ready: Effect.Effect<void>) => Effect.andThen(ready, Effect.never),
              };
              const spec = { name: "root", autoShutdown, children: [ready] };
              const legal =
                significant !== true ||
                (autoShutdown !== "never" && restart !== undefined && restart !== "permanent");
              const exit = yield* Effect.exit(
                Effect.scoped(Supervisor.start(spec as unknown as Supervisor.SupervisorSpec)),
              );
              expect(exit._tag).toBe(legal ? "Success" : "Failure");
            }),
          );
});

class A extends Context.Service<A, number>()("test/A") {}
class B extends Context.Service<B, string>()("test/B") {}

/** Checked by the compiler; never run. */
export const types = () => {
  const { start } = Supervisor;
  type Needs<R> = Effect.Effect<Supervisor.Handle, unknown, R>;
  const needsA = { name: "a", run: () => Effect.asVoid(A) };
  const needsB = { name: "b", run: () => Effect.andThen(Effect.scope, Effect.asVoid(B)) };
  const both: Needs<A | B | Scope.Scope> = start({
    name: "root",
    children: [needsA, { name: "inner", children: [needsB] }],
  });
  // @ts-expect-error B is needed too
  const onlyA: Needs<A | Scope.Scope> = start({ name: "root", children: [needsA, needsB] });
  const list: ReadonlyArray<Supervisor.PlainChildSpec<A>> = [needsA];
  const fromList: Needs<A | Scope.Scope> = start({ name: "root", children: list });
  const none: Needs<Scope.Scope> = start({ name: "root", children: [] });

  const autoShutdown = "any_significant";
  start({ name: "root", autoShutdown, children: [{ ...ok, restart: "transient", significant: true }] });
  // @ts-expect-error permanent and significant
  start({ name: "root", autoShutdown, children: [{ ...ok, restart: "permanent", significant: true }] });
  // @ts-expect-error permanent by default, and significant
  start({ name: "root", autoShutdown, children: [{ ...ok, significant: true }] });
  // @ts-expect-error significant without auto-shutdown
  start({ name: "root", children: [{ ...ok, restart: "transient", significant: true }] });
  // @ts-expect-error significant with auto-shutdown "never"
  start({
    name: "root",
    autoShutdown: "never",
    children: [{ ...ok, restart: "transient", significant: true }],
  });
  const deep = { ...ok, restart: "transient", significant: true } as const;
  // @ts-expect-error however deep
  start({ name: "root", children: [{ name: "in", children: [deep] }] });
  // @ts-expect-error a worker may not take for ever to end
  start({ name: "root", children: [{ ...ok, shutdown: "infinity" }] });
  // @ts-expect-error simple_one_for_one has one kind of child
  start({ name: "root", strategy: "simple_one_for_one", children: [ok] });

  const jobs = {
    name: "jobs",
    strategy: "simple_one_for_one",
    child: { name: "job", run: (_ready, id: number) => Effect.succeed(id) },
  } satisfies Supervisor.SimpleSupervisorSpec<number>;
  const handle = {} as Supervisor.Handle;
  handle.spawn(jobs, 3);
  // @ts-expect-error the argument is a number
  handle.spawn(jobs, "3");
  return [both, onlyA, fromList, none];
};
