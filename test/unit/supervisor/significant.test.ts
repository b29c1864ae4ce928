import { describe, expect, it } from "@effect/vitest";
import * as Effect from "effect/Effect";
import { TestClock } from "effect/testing";
import { calm, endings, makeStage, type Stage, statuses } from "./stage.ts";
import type * as Supervisor from "../../../src/supervisor/index.ts";

const modes = ["any_significant", "all_significant"] as const;
const restarts = ["transient", "temporary"] as const;

/** Three children: a and b significant, c not. */
const three = (
  stage: Stage,
  autoShutdown: (typeof modes)[number],
  restart: (typeof restarts)[number],
  strategy: "one_for_one" | "one_for_all" | "rest_for_one" = "one_for_one",
) =>
  stage.start({
    name: "root",
    ...calm,
    strategy,
    autoShutdown,
    children: [
      stage.significant("a", restart),
      stage.significant("b", restart),
      stage.worker("c", { restart }),
    ],
  });

const isOver = (handle: Supervisor.Handle) => Effect.map(handle.tree, ({ status }) => status === "stopped");

describe("auto_shutdown × restart types × exit kinds", () => {
  for (const mode of modes)
    for (const restart of restarts)
      for (const ending of endings)
        it.effect(`${mode}: ${restart} children after ${ending}`, () =>
          Effect.gen(function* () {
            const stage = makeStage();
            const handle = yield* three(stage, mode, restart);
            const endsForGood = restart === "temporary" || ending === "normal";
            yield* stage.end("c", ending);
            yield* TestClock.adjust(100);
            expect(yield* isOver(handle)).toBe(false);
            yield* stage.end("a", ending);
            yield* TestClock.adjust(100);
            expect(yield* isOver(handle)).toBe(endsForGood && mode === "any_significant");
            yield* stage.end("b", ending);
            yield* TestClock.adjust(100);
            expect(yield* isOver(handle)).toBe(endsForGood);
            if (!endsForGood) return;
            const last = mode === "any_significant" ? "root/a" : "root/b";
            expect(yield* handle.await).toEqual({ _tag: "AutoShutdown", child: last });
            expect(stage.events).toContainEqual(
              expect.objectContaining({ _tag: "AutoShutdown", path: "root", child: last }),
            );
          }),
        );

  for (const restart of restarts)
    it.effect(`never: ${restart} children may end`, () =>
      Effect.gen(function* () {
        const stage = makeStage();
        const handle = yield* stage.start({
          name: "root",
          ...calm,
          children: [stage.worker("a", { restart })],
        });
        yield* stage.end("a", "normal");
        expect(yield* isOver(handle)).toBe(false);
      }),
    );

  it.effect("the others are stopped in reverse", () =>
    Effect.gen(function* () {
      const stage = makeStage();
      const handle = yield* three(stage, "any_significant", "transient");
      stage.taken();
      yield* stage.end("b", "normal");
      yield* handle.await;
      expect(stage.taken()).toEqual(["stop b", "stop c", "stop a"]);
    }),
  );
});

describe("no auto_shutdown", () => {
  for (const mode of modes)
    for (const restart of restarts)
      it.effect(`${mode}: not for ${restart} children terminated on request`, () =>
        Effect.gen(function* () {
          const stage = makeStage();
          const handle = yield* three(stage, mode, restart);
          yield* handle.terminateChild("root/a");
          yield* handle.terminateChild("root/b");
          expect(yield* isOver(handle)).toBe(false);
        }),
      );

  for (const mode of modes)
    for (const strategy of ["one_for_one", "one_for_all", "rest_for_one"] as const)
      for (const restart of restarts)
        it.effect(`${mode}, ${strategy}: not for ${restart} children stopped with a sibling`, () =>
          Effect.gen(function* () {
            const stage = makeStage();
            const handle = yield* stage.start({
              name: "root",
              ...calm,
              strategy,
              autoShutdown: mode,
              children: [stage.significant("a", restart), stage.worker("b"), stage.significant("c", restart)],
            });
            yield* stage.end("b", "defect");
            yield* TestClock.adjust(100);
            expect(yield* isOver(handle)).toBe(false);
            const running = { a: "running", b: "running", c: "running" };
            const left = {
              one_for_one: running,
              one_for_all: { b: "running" },
              rest_for_one: { a: "running", b: "running" },
            };
            expect(yield* statuses(handle)).toEqual(restart === "transient" ? running : left[strategy]);
          }),
        );

  it.effect("all_significant: one that is being restarted still counts as alive", () =>
    Effect.gen(function* () {
      const stage = makeStage();
      const handle = yield* three(stage, "all_significant", "transient");
      yield* stage.end("a", "failure");
      yield* stage.end("b", "normal");
      expect(yield* isOver(handle)).toBe(false);
      yield* TestClock.adjust(100);
      yield* stage.end("a", "normal");
      expect(yield* handle.await).toEqual({ _tag: "AutoShutdown", child: "root/a" });
    }),
  );
});

describe("simple_one_for_one", () => {
  for (const mode of modes)
    it.effect(mode, () =>
      Effect.gen(function* () {
        const stage = makeStage();
        const spec = {
          name: "root",
          strategy: "simple_one_for_one",
          autoShutdown: mode,
          child: {
            name: "job",
            restart: "temporary",
            significant: true,
            run: (ready, name: string) => stage.run(name)(ready),
          },
        } satisfies Supervisor.SimpleSupervisorSpec<string>;
        const handle = yield* stage.start(spec);
        yield* handle.spawn(spec, "a");
        yield* handle.spawn(spec, "b");
        yield* stage.end("a", "normal");
        expect(yield* isOver(handle)).toBe(mode === "any_significant");
        yield* stage.end("b", "normal");
        expect(yield* isOver(handle)).toBe(true);
      }),
    );
});

describe("escalation", () => {
  const nested = (stage: Stage, lifetime: Supervisor.Lifetime) =>
    stage.start({
      name: "root",
      ...calm,
      autoShutdown: "any_significant",
      children: [
        stage.worker("a"),
        {
          name: "inner",
          ...lifetime,
          autoShutdown: "any_significant",
          children: [stage.significant("x", "transient")],
        },
      ],
    });

  it.effect("the end of a significant supervisor ends its parent in turn", () =>
    Effect.gen(function* () {
      const stage = makeStage();
      const handle = yield* nested(stage, { restart: "transient", significant: true });
      yield* stage.end("x", "normal");
      expect(yield* handle.await).toEqual({ _tag: "AutoShutdown", child: "root/inner" });
    }),
  );

  it.effect("that of another does not", () =>
    Effect.gen(function* () {
      const stage = makeStage();
      const handle = yield* nested(stage, { restart: "transient" });
      yield* stage.end("x", "normal");
      expect(yield* statuses(handle)).toEqual({ a: "running", inner: "stopped" });
    }),
  );

  it.effect("a permanent supervisor is restarted after it", () =>
    Effect.gen(function* () {
      const stage = makeStage();
      const handle = yield* nested(stage, {});
      yield* stage.end("x", "normal");
      yield* TestClock.adjust(100);
      expect(yield* statuses(handle)).toEqual({ a: "running", inner: "running" });
      expect(stage.actor("x").lives).toBe(2);
    }),
  );
});
