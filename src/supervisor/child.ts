/** One child's life: started, ready, ended, stopped. What follows from it is the supervisor's to decide. */
import * as Clock from "effect/Clock";
import * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Fiber from "effect/Fiber";
import type { OperationRefused, StartFailed } from "./errors.ts";
import type { SupervisorEvent } from "./events.ts";
import { type ChildExit, classify } from "./exit.ts";
import { type Child, type LiveSupervisor, post } from "./live.ts";

/** Milliseconds that only ever grow, whatever is done to the wall clock. */
export const monotonicMillis: Effect.Effect<number> = Effect.map(
  Clock.monotonicTimeNanos,
  (nanos) => Number(nanos) / 1e6,
);

type EventFields = SupervisorEvent extends infer E
  ? E extends SupervisorEvent
    ? Omit<E, "at">
    : never
  : never;

export const emit = (self: LiveSupervisor, fields: EventFields): Effect.Effect<void> =>
  Effect.flatMap(Clock.currentTimeMillis, (at) => Effect.sync(() => self.onEvent({ ...fields, at }))).pipe(
    Effect.catchCause((cause) =>
      Effect.logError(`the listener for ${fields._tag} of ${fields.path} threw`, cause),
    ),
  );

/**
 * Starts what `life` makes of the signal by which the child says that it is ready. Its fiber is no child of this
 * one: a fiber's end waits for its children, and one that is abandoned may never end.
 */
export const launch = Effect.fnUntraced(function* (
  self: LiveSupervisor,
  child: Child,
  life: (ready: Effect.Effect<void>) => Effect.Effect<unknown, unknown>,
) {
  const epoch = ++child.epoch;
  const ready = Effect.sync(() => post(self, { _tag: "News", child, epoch, news: "ready" }));
  const living = Effect.suspend(() => life(ready));
  child.status = "starting";
  child.readyAt = undefined;
  const fiber = yield* Effect.forkDetach(
    child.context === undefined ? living : Effect.provideContext(living, child.context),
  );
  child.fiber = fiber;
  fiber.addObserver((exit) => post(self, { _tag: "News", child, epoch, news: exit }));
  const { startTimeoutMillis } = child.plan;
  if (Number.isFinite(startTimeoutMillis)) yield* setTimer(self, child, startTimeoutMillis);
});

/** To be started again (or for the first time) after a delay, if one is given. */
export const wait = (self: LiveSupervisor, child: Child, delayMillis?: number): Effect.Effect<void> =>
  Effect.suspend(() => {
    child.status = "waiting";
    child.epoch++;
    return delayMillis === undefined ? Effect.void : setTimer(self, child, delayMillis);
  });

const setTimer = Effect.fnUntraced(function* (self: LiveSupervisor, child: Child, millis: number) {
  const { epoch } = child;
  const timer = Effect.sleep(millis).pipe(
    Effect.andThen(Effect.sync(() => post(self, { _tag: "News", child, epoch, news: "timer" }))),
  );
  child.timer = yield* Effect.forkDetach(timer);
});

const clearTimer = (child: Child): void => {
  child.timer?.interruptUnsafe();
  child.timer = undefined;
};

export const becomeReady = Effect.fnUntraced(function* (self: LiveSupervisor, child: Child) {
  clearTimer(child);
  child.status = "running";
  child.startedAt = yield* Clock.currentTimeMillis;
  child.readyAt = yield* monotonicMillis;
  yield* emit(self, { _tag: "ChildStarted", path: child.path, restarts: child.restarts });
  answer(child, Exit.succeed(child.path));
});

/**
 * Ends the child's fiber, and knows afterwards whether it did. JavaScript cannot kill a fiber that will not yield:
 * past its time it is abandoned, and whatever it still does the rest of the system has to survive.
 */
export const stop = Effect.fnUntraced(function* (self: LiveSupervisor, child: Child) {
  clearTimer(child);
  child.epoch++;
  const { fiber } = child;
  if (fiber === undefined) {
    if (child.status !== "abandoned") child.status = "stopped";
    return;
  }
  const beforeReady = child.status === "starting";
  child.status = "stopping";
  const { shutdownMillis } = child.plan;
  const alreadyEnded = fiber.pollUnsafe() !== undefined;
  const interruption = Fiber.interrupt(fiber);
  yield* shutdownMillis === Infinity ? interruption : Effect.timeoutOption(interruption, shutdownMillis);
  const exit = fiber.pollUnsafe();
  if (exit !== undefined) {
    yield* recordExit(self, child, classify(exit, !alreadyEnded), beforeReady);
    child.status = "stopped";
    return;
  }
  child.fiber = undefined;
  child.supervisor = undefined;
  child.status = "abandoned";
  child.lastExit = `abandoned: did not end within ${shutdownMillis} ms`;
  child.abandoned++;
  fiber.addObserver(() => {
    child.abandoned--;
  });
  yield* emit(self, { _tag: "ChildAbandoned", path: child.path, afterMillis: shutdownMillis });
});

/** Its fiber has ended, by itself or because it was stopped. */
export const recordExit = Effect.fnUntraced(function* (
  self: LiveSupervisor,
  child: Child,
  exit: ChildExit,
  beforeReady: boolean,
) {
  clearTimer(child);
  child.fiber = undefined;
  child.supervisor = undefined;
  child.lastExit = exit.reason;
  yield* emit(self, { _tag: "ChildExited", path: child.path, ...exit, beforeReady });
});

/** Whoever waits for this start hears how it went, and runs on at once: so this comes last. */
export const answer = (child: Child, exit: Exit.Exit<string, StartFailed | OperationRefused>): void => {
  if (child.starter !== undefined) Deferred.doneUnsafe(child.starter.reply, exit);
  child.starter = undefined;
};
