/**
 * A supervisor is one fiber that takes one message after the other: a child is ready, a child ended, a delay is
 * over, somebody asks for something. It can be interrupted between two messages only, and that is its shutdown;
 * so nothing it does to its children is ever left half done.
 *
 * Unlike OTP's, it does not wait inside a message for a child to start: a child that is slow to become ready keeps
 * nobody but those that must come after it. It does wait while a child ends, at most that child's shutdown time.
 */
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Queue from "effect/Queue";
import * as Random from "effect/Random";
import * as Child from "./child.ts";
import { IntensityExceeded, OperationRefused, StartFailed } from "./errors.ts";
import type { EventListener } from "./events.ts";
import { classify, isAbnormal } from "./exit.ts";
import {
  type Child as ChildRecord,
  isSimple,
  type LiveSupervisor,
  makeChild,
  type Message,
  type News,
} from "./live.ts";
import type { SupervisorPlan } from "./plan.ts";
import { addRestart, delayMillis } from "./restarts.ts";

/** The one way in which a supervisor ends well by itself: `child` was significant and ended for good. */
export interface AutoShutdown {
  readonly _tag: "AutoShutdown";
  readonly child: string;
}

/** What a message may lead to: nothing more to do, or the supervisor's end. */
type Outcome = Effect.Effect<AutoShutdown | undefined, IntensityExceeded | StartFailed>;

/** A supervisor that is about to run: to be looked at from now on. */
export const makeSupervisor = Effect.fnUntraced(function* (
  plan: SupervisorPlan,
  path: string,
  onEvent: EventListener,
) {
  const mailbox = yield* Queue.unbounded<Message>();
  const children = new Map(plan.children.map((child) => [child.name, makeChild(child, path, undefined)]));
  const self: LiveSupervisor = {
    plan,
    path,
    onEvent,
    children,
    mailbox,
    restarts: [],
    up: false,
    closed: false,
    spawned: 0,
  };
  return self;
});

/**
 * Runs it until it ends, and does `ready` once each child has been ready. Interruption is an orderly shutdown.
 * When it has ended its children have, or have been abandoned.
 */
export const supervise = (
  self: LiveSupervisor,
  ready: Effect.Effect<void>,
): Effect.Effect<AutoShutdown, IntensityExceeded | StartFailed> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.onExit(loop(self, restore(Queue.take(self.mailbox)), ready), () => close(self)),
  );

const loop = Effect.fnUntraced(function* (
  self: LiveSupervisor,
  take: Effect.Effect<Message>,
  ready: Effect.Effect<void>,
) {
  while (true) {
    if (isOrdered(self) && (yield* advance(self)) && !self.up) {
      self.up = true;
      yield* ready;
    }
    const message = yield* take;
    if (message._tag === "Request") yield* message.handle;
    else if (message.epoch === message.child.epoch) {
      const end = yield* onNews(self, message.child, message.news);
      if (end !== undefined) return end;
    }
  }
});

/** Does a child have to wait for those before it? While the supervisor starts, always. */
const isOrdered = (self: LiveSupervisor): boolean =>
  !self.up || self.plan.strategy === "one_for_all" || self.plan.strategy === "rest_for_one";

/**
 * Starts the first child that waits, unless one before it is still to become ready, or a restart's delay is not
 * over: it stands with the child that failed, and holds its whole group. True if no child is left to start.
 */
const advance = Effect.fnUntraced(function* (self: LiveSupervisor) {
  let done = true;
  let next: ChildRecord | undefined;
  for (const child of self.children.values()) {
    if (child.status === "waiting") {
      if (child.timer !== undefined) return false;
      if (done) next = child;
      done = false;
    } else if (child.status === "starting") done = false;
  }
  if (next !== undefined) yield* launch(self, next);
  return done;
});

const launch = Effect.fnUntraced(function* (self: LiveSupervisor, child: ChildRecord) {
  const { work } = child.plan;
  if (work.kind === "worker") yield* Child.launch(self, child, (ready) => Effect.scoped(work.run(ready)));
  else {
    const supervisor = yield* makeSupervisor(work.plan, child.path, self.onEvent);
    yield* Child.launch(self, child, (ready) => supervise(supervisor, ready));
    child.supervisor = supervisor;
  }
});

const onNews = (self: LiveSupervisor, child: ChildRecord, news: News): Outcome => {
  if (news === "ready")
    return child.status === "starting" ? Effect.as(Child.becomeReady(self, child), undefined) : nothing;
  if (news === "timer") return onTimer(self, child);
  return onExit(self, child, news);
};

const nothing: Outcome = Effect.succeed(undefined);

const onTimer = Effect.fnUntraced(function* (self: LiveSupervisor, child: ChildRecord) {
  if (child.status === "waiting") {
    child.timer = undefined;
    if (!isOrdered(self)) yield* launch(self, child);
  } else if (child.status === "starting") {
    const reason = `not ready within ${child.plan.startTimeoutMillis} ms`;
    yield* Child.stop(self, child);
    child.lastExit = reason;
    yield* startFailed(self, child, reason);
  }
  return undefined;
});

const onExit = Effect.fnUntraced(function* (
  self: LiveSupervisor,
  child: ChildRecord,
  exit: Exit.Exit<unknown, unknown>,
) {
  const wasStarting = child.status === "starting";
  if (wasStarting && Exit.isSuccess(exit)) yield* Child.becomeReady(self, child);
  const ended = classify(exit, false);
  const { kind, reason } = ended;
  yield* Child.recordExit(self, child, ended, wasStarting && Exit.isFailure(exit));
  if (wasStarting && Exit.isFailure(exit)) {
    yield* startFailed(self, child, reason);
    return undefined;
  }
  const { restart } = child.plan;
  if (restart === "permanent" || (restart === "transient" && isAbnormal(kind))) {
    yield* restartGroup(self, child, reason);
    return undefined;
  }
  leave(self, child);
  return yield* autoShutdown(self, child);
});

/** Three kinds of start: asked for by somebody, the supervisor's own, and a restart. */
const startFailed = Effect.fnUntraced(function* (self: LiveSupervisor, child: ChildRecord, reason: string) {
  const failure = new StartFailed({ path: child.path, reason });
  if (child.starter !== undefined) {
    if (!child.starter.keep) self.children.delete(child.plan.name);
    else if (child.status !== "abandoned") child.status = "stopped";
    Child.answer(child, Exit.fail(failure));
  } else if (!self.up && child.startedAt === undefined) yield* failure;
  else yield* restartGroup(self, child, reason);
});

/** A child has ended for good; what is to be kept of it is its specification. */
const leave = (self: LiveSupervisor, child: ChildRecord): void => {
  if (child.plan.restart === "temporary" || isSimple(self)) self.children.delete(child.plan.name);
  else if (child.status !== "abandoned") child.status = "stopped";
};

/** Only for children that ended by themselves: not for those stopped with a sibling, or because somebody asked. */
const autoShutdown = Effect.fnUntraced(function* (self: LiveSupervisor, child: ChildRecord) {
  const mode = self.plan.autoShutdown;
  if (mode === "never" || !child.plan.significant) return undefined;
  if (mode === "all_significant" && hasSignificant(self)) return undefined;
  yield* Child.emit(self, { _tag: "AutoShutdown", path: self.path, child: child.path });
  return { _tag: "AutoShutdown", child: child.path } satisfies AutoShutdown;
});

const hasSignificant = (self: LiveSupervisor): boolean => {
  if (isSimple(self)) return self.children.size > 0;
  return Array.from(self.children.values()).some(
    ({ plan, status }) => plan.significant && status !== "stopped" && status !== "abandoned",
  );
};

/**
 * The restart is counted when it becomes necessary, not when its delay is over, and a start that fails on the way
 * counts as the next. Those that are restarted along are stopped now, in reverse, and keep their places.
 * They include children that had been stopped on request or had ended for good, as in OTP; but not temporary ones.
 */
const restartGroup = Effect.fnUntraced(function* (self: LiveSupervisor, child: ChildRecord, reason: string) {
  const now = yield* Child.monotonicMillis;
  const { restarts, exceeded } = addRestart(self.restarts, now, self.plan);
  self.restarts = restarts;
  if (exceeded) yield* giveUp(self, child, reason);

  const wasStable = child.readyAt !== undefined && now - child.readyAt >= self.plan.backoff.stableMillis;
  child.attempts = wasStable ? 1 : child.attempts + 1;
  const delay = delayMillis(self.plan.backoff, child.attempts, yield* Random.next);

  for (const member of groupOf(self, child).reverse()) {
    if (member !== child) yield* Child.stop(self, member);
    const neverStarted = member.startedAt === undefined;
    if (member.plan.restart === "temporary" && !neverStarted) self.children.delete(member.plan.name);
    else {
      if (!neverStarted) member.restarts++;
      yield* Child.wait(self, member, member === child ? delay : undefined);
    }
  }
  yield* Child.emit(self, {
    _tag: "ChildRestarting",
    path: child.path,
    attempt: child.attempts,
    delayMillis: delay,
    reason,
  });
});

/** In start order. */
const groupOf = (self: LiveSupervisor, child: ChildRecord): Array<ChildRecord> => {
  const { strategy } = self.plan;
  if (strategy === "one_for_one" || strategy === "simple_one_for_one") return [child];
  const all = [...self.children.values()];
  return strategy === "one_for_all" ? all : all.slice(all.indexOf(child));
};

const giveUp = Effect.fnUntraced(function* (self: LiveSupervisor, child: ChildRecord, reason: string) {
  child.status = "stopped";
  const { intensity, periodMillis } = self.plan;
  const fields = { path: self.path, intensity, periodMillis, child: child.path, reason };
  yield* Child.emit(self, { _tag: "IntensityExceeded", ...fields });
  return yield* new IntensityExceeded(fields);
});

/** In reverse; the children of simple_one_for_one all at once, for they are in no order and may be many. */
const close = Effect.fnUntraced(function* (self: LiveSupervisor) {
  self.closed = true;
  const end = (child: ChildRecord): Effect.Effect<void> =>
    Effect.andThen(
      Child.stop(self, child),
      Effect.sync(() => {
        if (child.starter === undefined) return;
        const { operation } = child.starter;
        const refusal = new OperationRefused({ operation, path: child.path, reason: "supervisor_stopped" });
        Child.answer(child, Exit.fail(refusal));
      }),
    );
  yield* Effect.forEach([...self.children.values()].reverse(), end, {
    concurrency: isSimple(self) ? "unbounded" : 1,
    discard: true,
  });
  while (true) {
    const left = Queue.takeUnsafe(self.mailbox);
    if (left === undefined || Exit.isFailure(left)) return;
    if (left.value._tag === "Request") left.value.refuse();
  }
});

/** For the operations: starts a child that is new, or stopped, as soon as its place in the order allows. */
export const begin = Effect.fnUntraced(function* (self: LiveSupervisor, child: ChildRecord) {
  yield* Child.wait(self, child);
  if (!isOrdered(self)) yield* launch(self, child);
});

/** For the operations: stops a child on request, be it running, starting, or waiting to be restarted. */
export const terminate = Effect.fnUntraced(function* (self: LiveSupervisor, child: ChildRecord) {
  yield* Child.stop(self, child);
  const failure = new StartFailed({ path: child.path, reason: "terminated on request before it was ready" });
  leave(self, child);
  Child.answer(child, Exit.fail(failure));
});
