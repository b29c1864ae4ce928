/** A running tree, seen from outside. */
import * as Cause from "effect/Cause";
import * as Clock from "effect/Clock";
import * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Fiber from "effect/Fiber";
import type * as Scope from "effect/Scope";
import type { IntensityExceeded, InvalidSpec, OperationRefused, StartFailed } from "./errors.ts";
import type { EventListener } from "./events.ts";
import { classify } from "./exit.ts";
import type { LiveSupervisor } from "./live.ts";
import { deleteChild, restartChild, spawn, startChild, terminateChild } from "./operations.ts";
import { planSupervisor } from "./plan.ts";
import type { ChildSpec, ServicesOf, SimpleSupervisorSpec, SupervisorSpec } from "./spec.ts";
import { type AutoShutdown, makeSupervisor, supervise } from "./supervisor.ts";
import { childrenOf, type TreeNode } from "./tree.ts";

/** How a tree ended well: it was told to, or a significant child of the root ended. */
export type SupervisorExit = { readonly _tag: "Shutdown" } | AutoShutdown;

/** Paths are those of the tree, the root's name first: "node/actors/ingester". */
export interface Handle {
  readonly tree: Effect.Effect<TreeNode>;
  /** Waits for the end of the tree. */
  readonly await: Effect.Effect<SupervisorExit, IntensityExceeded>;
  /** Stops all children in reverse, and returns when they have ended or been abandoned. */
  readonly shutdown: Effect.Effect<void>;
  /**
   * Adds a child, as the last, to the supervisor at `path` and waits until it is ready; returns its path. Its
   * services are the caller's. If it fails to start it is not kept. It does not outlive its supervisor's restart.
   */
  readonly startChild: <const S extends ChildSpec<unknown>>(
    path: string,
    spec: S,
  ) => Effect.Effect<string, InvalidSpec | StartFailed | OperationRefused, ServicesOf<S>>;
  /** Adds a child to the simple_one_for_one supervisor made from `spec`; otherwise as `startChild`. */
  readonly spawn: <Argument, R>(
    spec: SimpleSupervisorSpec<Argument, R>,
    argument: Argument,
  ) => Effect.Effect<string, StartFailed | OperationRefused>;
  /**
   * Stops a child and waits for its end; it is not restarted, unless with a sibling. Its specification is kept for
   * `restartChild`, if it is not temporary. Nothing happens to one that is stopped already.
   */
  readonly terminateChild: (path: string) => Effect.Effect<void, OperationRefused>;
  /** Starts a stopped child, in its place, and waits until it is ready. If it fails to start it stays stopped. */
  readonly restartChild: (path: string) => Effect.Effect<void, StartFailed | OperationRefused>;
  /** Forgets a stopped child. */
  readonly deleteChild: (path: string) => Effect.Effect<void, OperationRefused>;
}

/**
 * Starts a tree and returns when each child has said that it is ready. It lives in the scope: to close that is to
 * shut the tree down in order. If a child fails to start, those started before it are stopped again.
 */
export const start = <const S extends SupervisorSpec<unknown>>(
  spec: S,
  options: { readonly onEvent?: EventListener } = {},
): Effect.Effect<Handle, InvalidSpec | StartFailed | IntensityExceeded, ServicesOf<S> | Scope.Scope> =>
  // The plan has forgotten the services: they are demanded here, and its fibers inherit them.
  startTree(spec, options.onEvent ?? (() => undefined));

const startTree = Effect.fnUntraced(function* (spec: SupervisorSpec<unknown>, onEvent: EventListener) {
  const plan = yield* planSupervisor(spec);
  const root = yield* makeSupervisor(plan, plan.name, onEvent);
  const up = yield* Deferred.make<void, StartFailed | IntensityExceeded>();
  const fiber = yield* Effect.forkScoped(supervise(root, Effect.asVoid(Deferred.succeed(up, undefined))));
  // It may end before it is up, well or not.
  fiber.addObserver((exit) => Deferred.doneUnsafe(up, Exit.asVoid(exit)));
  yield* Deferred.await(up);
  return makeHandle(root, fiber, yield* Clock.currentTimeMillis);
});

type RootFiber = Fiber.Fiber<AutoShutdown, IntensityExceeded | StartFailed>;

const makeHandle = (root: LiveSupervisor, fiber: RootFiber, startedAt: number): Handle => ({
  tree: Effect.sync(() => rootNode(root, fiber, startedAt)),
  await: Effect.flatMap(Fiber.await(fiber), rootExit),
  shutdown: Fiber.interrupt(fiber),
  startChild: (path, spec) => startChild(root, path, spec),
  spawn: (spec, argument) => spawn(root, spec, argument),
  terminateChild: (path) => terminateChild(root, path),
  restartChild: (path) => Effect.asVoid(restartChild(root, path)),
  deleteChild: (path) => deleteChild(root, path),
});

const rootNode = (root: LiveSupervisor, fiber: RootFiber, startedAt: number): TreeNode => {
  const exit = fiber.pollUnsafe();
  const alive = root.closed ? "stopping" : "running";
  return {
    name: root.plan.name,
    path: root.path,
    kind: "supervisor",
    status: exit === undefined ? alive : "stopped",
    restarts: 0,
    startedAt: startedAt,
    lastExit: exit === undefined ? null : classify(exit, true).reason,
    abandoned: 0,
    children: childrenOf(root),
  };
};

const rootExit = (
  exit: Exit.Exit<AutoShutdown, IntensityExceeded | StartFailed>,
): Effect.Effect<SupervisorExit, IntensityExceeded> => {
  if (Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
    return Effect.succeed({ _tag: "Shutdown" });
  // There is a handle only once the start has succeeded.
  return Effect.catchTag(exit, "StartFailed", Effect.die);
};
