import type * as Duration from "effect/Duration";
import type * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";

/** What of a supervisor's children is restarted when one of them has to be. */
export type Strategy =
  /** That child alone. */
  | "one_for_one"
  /** All of them. */
  | "one_for_all"
  /** That child, and those started after it. */
  | "rest_for_one"
  /** That child alone; all children are of one kind and come and go with `spawn` and `terminateChild`. */
  | "simple_one_for_one";

/** Restarted always; after an abnormal exit only; never. */
export type Restart = "permanent" | "transient" | "temporary";

/** Whether the supervisor shuts itself down when significant children have ended for good. */
export type AutoShutdown = "never" | "any_significant" | "all_significant";

/** Default: permanent, not significant. A permanent child never ends for good, so it cannot be significant. */
export type Lifetime =
  | { readonly restart?: "permanent"; readonly significant?: false }
  | { readonly restart: "transient" | "temporary"; readonly significant?: boolean };

/**
 * What a worker does, in a scope of its own. It says `ready` when its work has begun; the next child is started
 * only then. To fail before is to fail to start. To return without having said so is to have started and ended
 * well: that is how a one-off task (restart: "transient") comes before its siblings.
 */
export type Run<R> = (ready: Effect.Effect<void>) => Effect.Effect<unknown, unknown, R | Scope.Scope>;

interface WorkerOptions {
  /** Unique among its siblings; without "/". */
  readonly name: string;
  /** How long it may take to end after it is interrupted, before it is abandoned; brutal_kill: no time. Default 5 s. */
  readonly shutdown?: "brutal_kill" | Duration.Input;
  /** How long it may take to become ready, before its start counts as failed. Default 60 s. */
  readonly startTimeout?: Duration.Input;
}

export type WorkerSpec<R = never> = Lifetime & WorkerOptions & { readonly run: Run<R> };

interface SupervisorOptions {
  readonly name: string;
  /** More than this many restarts … Default 5. */
  readonly intensity?: number;
  /** … within this time, and the supervisor ends with `IntensityExceeded`. Default 60 s. */
  readonly period?: Duration.Input;
  /**
   * The delay before a restart. `base` (default 100 ms) bounds the first, each further one is bounded by twice as
   * much up to `max` (default 10 s), and a child that ran for `stableAfter` (default: the period) starts over. For
   * a child that always fails at once to exceed the intensity, the bounds of `intensity` delays must fit into the
   * period; with the defaults they are 3.1 s of 60 s.
   */
  readonly backoff?: {
    readonly base?: Duration.Input;
    readonly max?: Duration.Input;
    readonly stableAfter?: Duration.Input;
  };
  /** As a child. Default "infinity", for it ends when its children have; brutal_kill leaves them to themselves. */
  readonly shutdown?: "brutal_kill" | "infinity" | Duration.Input;
}

type SimpleChild<Argument, R> = Lifetime &
  WorkerOptions & {
    readonly run: (
      ready: Effect.Effect<void>,
      argument: Argument,
    ) => Effect.Effect<unknown, unknown, R | Scope.Scope>;
  };

/** A supervisor of children given one by one, started in this order and stopped in reverse. Default one_for_one. */
export type FixedSupervisorSpec<R = never> = Lifetime &
  SupervisorOptions & { readonly strategy?: "one_for_one" | "one_for_all" | "rest_for_one" } & (
    | {
        readonly autoShutdown?: "never";
        readonly children: ReadonlyArray<PlainChildSpec<R>>;
      }
    | {
        readonly autoShutdown: "any_significant" | "all_significant";
        readonly children: ReadonlyArray<ChildSpec<R>>;
      }
  );

/**
 * A supervisor of any number of children of one kind, none at first. The specification itself is the key by which
 * `spawn` finds it, so use each once.
 */
export type SimpleSupervisorSpec<Argument = never, R = never> = Lifetime &
  SupervisorOptions & { readonly strategy: "simple_one_for_one" } & (
    | {
        readonly autoShutdown?: "never";
        readonly child: SimpleChild<Argument, R> & { readonly significant?: false };
      }
    | {
        readonly autoShutdown: "any_significant" | "all_significant";
        readonly child: SimpleChild<Argument, R>;
      }
  );

/** At the root `restart`, `significant` and `shutdown` have no meaning. */
export type SupervisorSpec<R = never> = FixedSupervisorSpec<R> | SimpleSupervisorSpec<never, R>;

export type ChildSpec<R = never> = WorkerSpec<R> | SupervisorSpec<R>;

/** A child that is not significant: what a supervisor with autoShutdown "never" takes. */
export type PlainChildSpec<R = never> = ChildSpec<R> & { readonly significant?: false };

/** The services that the children of a specification need. (Without any child nothing is inferred: unknown.) */
export type ServicesOf<S> =
  S extends ChildSpec<infer R> ? (unknown extends R ? never : Exclude<R, Scope.Scope>) : never;
