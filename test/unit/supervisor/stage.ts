/** Children under the test's control, a record of what happened to them, and time that stands still. */
import * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import * as Random from "effect/Random";
import type * as Scope from "effect/Scope";
import * as Supervisor from "../../../src/supervisor/index.ts";

export const endings = ["normal", "failure", "defect", "interrupted"] as const;
/** How a child can end by itself. */
export type Ending = (typeof endings)[number];

interface Actor {
  fiber: Fiber.Fiber<unknown, unknown> | undefined;
  end: Deferred.Deferred<unknown, unknown>;
  /** Fails before it is ready, as long as this is set. */
  failsToStart: boolean;
  /** Does not say that it is ready before this is done. */
  gate: Deferred.Deferred<void> | undefined;
  lives: number;
}

export interface WorkerOptions {
  readonly restart?: Supervisor.Restart;
  readonly shutdown?: "brutal_kill" | number;
  readonly startTimeout?: number;
}

export interface Stage {
  /** "start a", "ready a", "stop a" (interrupted, its finalizer has run), in order. */
  readonly log: Array<string>;
  readonly events: Array<Supervisor.SupervisorEvent>;
  /** What a child called `name` does. */
  readonly run: (name: string) => Supervisor.Run<never>;
  readonly worker: (name: string, options?: WorkerOptions) => Supervisor.WorkerSpec & { significant?: false };
  readonly significant: (name: string, restart: "transient" | "temporary") => Supervisor.WorkerSpec;
  readonly actor: (name: string) => Actor;
  /** The child ends by itself, and everything that follows at once has followed. */
  readonly end: (name: string, ending: Ending) => Effect.Effect<void>;
  /** Empties the log. */
  readonly taken: () => ReadonlyArray<string>;
  readonly tags: () => ReadonlyArray<string>;
  readonly start: <const S extends Supervisor.SupervisorSpec<unknown>>(
    spec: S,
  ) => Effect.Effect<
    Supervisor.Handle,
    Supervisor.InvalidSpec | Supervisor.StartFailed | Supervisor.IntensityExceeded,
    Supervisor.ServicesOf<S> | Scope.Scope
  >;
}

export const makeGate = (): Deferred.Deferred<void> => Deferred.makeUnsafe();

/** Lets everything run that can run without time passing. */
export const settle: Effect.Effect<void> = Effect.gen(function* () {
  for (let turn = 0; turn < 60; turn++) yield* Effect.yieldNow;
});

/** Jitter that always takes this share of the bound. */
export const withJitter =
  (share: number) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.provideService(effect, Random.Random, {
      nextDoubleUnsafe: () => share,
      nextIntUnsafe: () => 0,
    });

export const makeStage = (): Stage => {
  const log: Array<string> = [];
  const events: Array<Supervisor.SupervisorEvent> = [];
  const actors = new Map<string, Actor>();
  const actor = (name: string): Actor => {
    let found = actors.get(name);
    if (found === undefined) {
      found = {
        fiber: undefined,
        end: Deferred.makeUnsafe(),
        failsToStart: false,
        gate: undefined,
        lives: 0,
      };
      actors.set(name, found);
    }
    return found;
  };
  const run = (name: string): Supervisor.Run<never> =>
    Effect.fnUntraced(function* (ready) {
      const me = actor(name);
      me.lives++;
      me.fiber = Fiber.getCurrent();
      me.end = Deferred.makeUnsafe();
      log.push(`start ${name}`);
      yield* Effect.addFinalizer(() => Effect.sync(() => log.push(`stop ${name}`)));
      if (me.failsToStart) return yield* Effect.fail(`${name} cannot start`);
      if (me.gate !== undefined) yield* Deferred.await(me.gate);
      log.push(`ready ${name}`);
      yield* ready;
      return yield* Deferred.await(me.end);
    });
  const finish = (me: Actor, ending: Ending): Effect.Effect<unknown> => {
    if (ending === "normal") return Deferred.succeed(me.end, "done");
    if (ending === "failure") return Deferred.fail(me.end, "broken");
    if (ending === "defect") return Deferred.die(me.end, new TypeError("a bug"));
    return Effect.sync(() => me.fiber?.interruptUnsafe());
  };
  return {
    log,
    events,
    run,
    worker: (name, { restart = "permanent", ...options } = {}) => ({
      ...options,
      ...(restart === "permanent" ? { restart } : { restart, significant: false }),
      name,
      run: run(name),
    }),
    significant: (name, restart) => ({ name, restart, significant: true, run: run(name) }),
    actor,
    end: (name, ending) => Effect.andThen(finish(actor(name), ending), settle),
    taken: () => log.splice(0),
    tags: () => events.map((event) => `${event._tag} ${event.path}`),
    start: (spec) => withJitter(1)(Supervisor.start(spec, { onEvent: (event) => void events.push(event) })),
  };
};

/** Status by name, of the direct children. */
export const statuses = (handle: Supervisor.Handle): Effect.Effect<Record<string, string>> =>
  Effect.map(handle.tree, (tree) =>
    Object.fromEntries(tree.children.map((child) => [child.name, child.status])),
  );

/** Defaults of the tests: backoff bounds 100, 200, 400 ms …, a window wide enough not to matter. */
export const calm = { intensity: 1000, period: "1 hour", backoff: { base: 100, max: 3200 } } as const;
