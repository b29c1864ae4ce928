import type * as Context from "effect/Context";
import type * as Deferred from "effect/Deferred";
import type * as Effect from "effect/Effect";
import type * as Exit from "effect/Exit";
import type * as Fiber from "effect/Fiber";
import * as Queue from "effect/Queue";
import type { OperationRefused, StartFailed } from "./errors.ts";
import type { EventListener } from "./events.ts";
import type { ChildPlan, SupervisorPlan } from "./plan.ts";

/** A running supervisor. Only its own fiber writes to it and to its children. */
export interface LiveSupervisor {
  readonly plan: SupervisorPlan;
  readonly path: string;
  readonly onEvent: EventListener;
  /** By name, in start order: a new child comes last, a restart keeps its place. */
  readonly children: Map<string, Child>;
  /**
   * Without a bound of its own: for each child it holds at most one "ready", one "timer" and one exit that are not
   * stale, and for each fiber that waits for an answer one request.
   */
  readonly mailbox: Queue.Queue<Message>;
  /** Times of the restarts still inside the period, oldest first; milliseconds of the monotonic clock. */
  restarts: ReadonlyArray<number>;
  /** Its first start is over: each child has been ready once. */
  up: boolean;
  /** It takes no more requests: it is stopping its children or has stopped them. */
  closed: boolean;
  /** How many children have been spawned; names of simple_one_for_one are never used twice. */
  spawned: number;
}

/**
 * waiting: to be started when its turn or its time comes. stopped: and will not be started by itself; abandoned:
 * the same, and it never acknowledged its end.
 * `fiber` is there in starting, running and stopping only; `timer` in waiting (backoff) and starting (time-out).
 */
export type ChildStatus = "waiting" | "starting" | "running" | "stopping" | "stopped" | "abandoned";

/** One place under a supervisor, whatever lives in it now. */
export interface Child {
  readonly plan: ChildPlan;
  readonly path: string;
  /** What it needs beyond its supervisor's services, if it was added while running. */
  readonly context: Context.Context<never> | undefined;
  status: ChildStatus;
  /** Counts its lives and the pauses between them: news of an earlier one is stale. */
  epoch: number;
  fiber: Fiber.Fiber<unknown, unknown> | undefined;
  timer: Fiber.Fiber<void> | undefined;
  /** If it is a supervisor that runs. */
  supervisor: LiveSupervisor | undefined;
  /** Whoever asked for this start and waits to hear of it; `keep` it if it fails. */
  starter: Starter | undefined;
  /** How often it was started again without anybody asking. */
  restarts: number;
  /** Restarts since it was last stable. */
  attempts: number;
  /** When it was last ready: milliseconds since the epoch, and of the monotonic clock while it runs. */
  startedAt: number | undefined;
  readyAt: number | undefined;
  /** Its last exit, in words. */
  lastExit: string | undefined;
  /** Fibers of former lives that never yielded and still live. */
  abandoned: number;
}

export interface Starter {
  readonly reply: Deferred.Deferred<string, StartFailed | OperationRefused>;
  readonly operation: OperationRefused["operation"];
  readonly keep: boolean;
}

export type News = "ready" | "timer" | Exit.Exit<unknown, unknown>;

export type Message =
  | { readonly _tag: "News"; readonly child: Child; readonly epoch: number; readonly news: News }
  /** `handle` runs in the supervisor's fiber; `refuse` instead of it if the supervisor ends first. */
  | { readonly _tag: "Request"; readonly handle: Effect.Effect<void>; readonly refuse: () => void };

export const makeChild = (
  plan: ChildPlan,
  parentPath: string,
  context: Context.Context<never> | undefined,
): Child => ({
  plan,
  path: `${parentPath}/${plan.name}`,
  context,
  status: "waiting",
  epoch: 0,
  fiber: undefined,
  timer: undefined,
  supervisor: undefined,
  starter: undefined,
  restarts: 0,
  attempts: 0,
  startedAt: undefined,
  readyAt: undefined,
  lastExit: undefined,
  abandoned: 0,
});

/** To be called from anywhere: fibers that end, timers, callers. */
export const post = (supervisor: LiveSupervisor, message: Message): void => {
  Queue.offerUnsafe(supervisor.mailbox, message);
};

export const isSimple = (supervisor: LiveSupervisor): boolean =>
  supervisor.plan.strategy === "simple_one_for_one";
