import { expect, it } from "@effect/vitest";
import * as Effect from "effect/Effect";
import { TestClock } from "effect/testing";
import { countChildren } from "../../../src/supervisor/index.ts";
import { calm, makeStage } from "./stage.ts";

it.effect("a tree is plain data, and tells what is and what was", () =>
  Effect.gen(function* () {
    const stage = makeStage();
    yield* TestClock.setTime(1000);
    const handle = yield* stage.start({
      name: "node",
      ...calm,
      children: [
        stage.worker("a"),
        {
          name: "inner",
          ...calm,
          children: [stage.worker("x", { restart: "transient" }), stage.worker("y")],
        },
        stage.worker("b", { restart: "temporary" }),
      ],
    });
    const leaf = {
      kind: "worker",
      status: "running",
      restarts: 0,
      startedAt: 1000,
      lastExit: null,
      abandoned: 0,
      children: [],
    };
    const before = yield* handle.tree;
    expect(JSON.parse(JSON.stringify(before))).toEqual({
      ...leaf,
      name: "node",
      path: "node",
      kind: "supervisor",
      children: [
        { ...leaf, name: "a", path: "node/a" },
        {
          ...leaf,
          name: "inner",
          path: "node/inner",
          kind: "supervisor",
          children: [
            { ...leaf, name: "x", path: "node/inner/x" },
            { ...leaf, name: "y", path: "node/inner/y" },
          ],
        },
        { ...leaf, name: "b", path: "node/b" },
      ],
    });
    expect(countChildren(before)).toEqual({ specs: 3, active: 3, supervisors: 1, workers: 2 });

    yield* TestClock.adjust(500);
    yield* stage.end("a", "defect");
    yield* stage.end("x", "normal");
    yield* stage.end("y", "interrupted");
    yield* stage.end("b", "failure");
    const during = yield* handle.tree;
    expect(during.children).toMatchObject([
      { name: "a", status: "restarting", restarts: 1, startedAt: 1000, lastExit: "died: TypeError: a bug" },
      {
        name: "inner",
        status: "running",
        children: [
          { name: "x", status: "stopped", restarts: 0, lastExit: "returned" },
          { name: "y", status: "restarting", lastExit: "interrupted from outside" },
        ],
      },
    ]);
    expect(countChildren(during)).toEqual({ specs: 2, active: 1, supervisors: 1, workers: 1 });

    yield* TestClock.adjust(100);
    const after = yield* handle.tree;
    expect(after.children[0]).toMatchObject({ status: "running", startedAt: 1600, restarts: 1 });
    // What was seen before has not changed under the reader's hands.
    expect(during.children[0]?.status).toBe("restarting");
  }),
);

it.effect("events say what happened, when and where", () =>
  Effect.gen(function* () {
    const stage = makeStage();
    const handle = yield* stage.start({
      name: "node",
      intensity: 1,
      backoff: { base: 100, max: 100 },
      children: [stage.worker("a")],
    });
    yield* TestClock.adjust(10);
    yield* stage.end("a", "failure");
    yield* TestClock.adjust(100);
    yield* stage.end("a", "failure");
    yield* Effect.flip(handle.await);
    const exited = { kind: "failure", reason: "failed: broken", beforeReady: false };
    const at = (millis: number, path = "node/a") => ({ path, at: millis });
    expect(stage.events).toMatchObject([
      { _tag: "ChildStarted", ...at(0), restarts: 0 },
      { _tag: "ChildExited", ...at(10), ...exited },
      { _tag: "ChildRestarting", ...at(10), attempt: 1, delayMillis: 100, reason: "failed: broken" },
      { _tag: "ChildStarted", ...at(110), restarts: 1 },
      { _tag: "ChildExited", ...at(110), ...exited },
      { _tag: "IntensityExceeded", ...at(110, "node"), intensity: 1, periodMillis: 60_000, child: "node/a" },
    ]);
  }),
);
