/** Random histories, against a model that fits on a page, and against what must always be true. */
import { describe, expect, it } from "@effect/vitest";
import * as Effect from "effect/Effect";
import * as Random from "effect/Random";
import { TestClock } from "effect/testing";
import * as fc from "fast-check";
import * as Supervisor from "../../../src/supervisor/index.ts";
import { type Ending, endings, makeGate, makeStage, settle, type Stage, statuses } from "./stage.ts";

type Strategy = "one_for_one" | "one_for_all" | "rest_for_one";
const strategies = ["one_for_one", "one_for_all", "rest_for_one"] as const;
const restarts = ["permanent", "transient", "temporary"] as const;
const names = ["a", "b", "c", "d"];

type Command =
  | { readonly do: "end"; readonly name: string; readonly ending: Ending }
  | { readonly do: "terminate" | "restart" | "delete"; readonly name: string }
  | { readonly do: "start"; readonly name: string; readonly restart: Supervisor.Restart }
  | { readonly do: "breakStart"; readonly name: string; readonly broken: boolean }
  | { readonly do: "pass"; readonly millis: number };

const name = fc.constantFrom(...names);
const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant("end" as const), name, ending: fc.constantFrom(...endings) }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom("terminate", "restart", "delete"), name }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("start" as const), name, restart: fc.constantFrom(...restarts) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("breakStart" as const), name, broken: fc.boolean() }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("pass" as const), millis: fc.nat(600) }) },
);

interface History {
  readonly strategy: Strategy;
  readonly intensity: number;
  readonly restarts: ReadonlyArray<Supervisor.Restart>;
  readonly commands: ReadonlyArray<Command>;
}
const history: fc.Arbitrary<History> = fc.record({
  strategy: fc.constantFrom(...strategies),
  intensity: fc.nat(4),
  restarts: fc.array(fc.constantFrom(...restarts), { minLength: 1, maxLength: 3 }),
  commands: fc.array(command, { maxLength: 40 }),
});
const periodMillis = 1000;

/** What is done to the tree; refusals are part of the game. */
const perform = (stage: Stage, handle: Supervisor.Handle, step: Command): Effect.Effect<void> => {
  const done = (): Effect.Effect<void> => {
    const path = "name" in step ? `root/${step.name}` : "";
    if (step.do === "end") return stage.end(step.name, step.ending);
    if (step.do === "pass") return TestClock.adjust(step.millis);
    if (step.do === "terminate") return Effect.ignore(handle.terminateChild(path));
    if (step.do === "restart") return Effect.ignore(handle.restartChild(path));
    if (step.do === "breakStart")
      return Effect.sync(() => {
        stage.actor(step.name).failsToStart = step.broken;
      });
    if (step.do === "start")
      return Effect.ignore(handle.startChild("root", stage.worker(step.name, { restart: step.restart })));
    return Effect.ignore(handle.deleteChild(path));
  };
  // Not waited for: with a delay pending, an answer may need time that passes only in a later step.
  return Effect.andThen(Effect.forkDetach(done()), settle);
};

const simulate = (program: Effect.Effect<void, unknown>): Promise<void> =>
  Effect.runPromise(Effect.provide(program, TestClock.layer()));

interface Place {
  readonly restart: Supervisor.Restart;
  running: boolean;
}

/** OTP's supervisor without time between an exit and what follows from it. */
class Model {
  readonly places = new Map<string, Place>();
  readonly lives = new Map<string, number>();
  readonly broken = new Set<string>();
  readonly strategy: Strategy;
  readonly intensity: number;
  window: Array<number> = [];
  now = 0;
  over = false;

  constructor(given: History) {
    this.strategy = given.strategy;
    this.intensity = given.intensity;
    for (const [index, restart] of given.restarts.entries())
      this.start(names[index] ?? "", { restart, running: false });
  }

  start(child: string, place: Place): boolean {
    this.places.set(child, place);
    this.lives.set(child, (this.lives.get(child) ?? 0) + 1);
    place.running = !this.broken.has(child);
    return place.running;
  }

  apply(step: Command): void {
    if (step.do === "pass") this.now += step.millis;
    else if (step.do === "breakStart") this.broken[step.broken ? "add" : "delete"](step.name);
    else if (!this.over) this.change(step);
  }

  change(step: Exclude<Command, { do: "pass" | "breakStart" }>): void {
    const place = this.places.get(step.name);
    if (step.do === "start") {
      if (place === undefined && !this.start(step.name, { restart: step.restart, running: false }))
        this.places.delete(step.name);
    } else if (place === undefined) return;
    else if (step.do === "end" && place.running) this.ended(step.name, place, step.ending);
    else if (step.do === "terminate") this.stopped(step.name, place);
    else if (step.do === "restart" && !place.running) this.start(step.name, place);
    else if (step.do === "delete" && !place.running) this.places.delete(step.name);
  }

  ended(child: string, place: Place, ending: Ending): void {
    const again = place.restart === "permanent" || (place.restart === "transient" && ending !== "normal");
    if (again) this.restart(child);
    else this.stopped(child, place);
  }

  stopped(child: string, place: Place): void {
    place.running = false;
    if (place.restart === "temporary") this.places.delete(child);
  }

  restart(child: string): void {
    this.window = [...this.window.filter((time) => time >= this.now - periodMillis), this.now];
    if (this.window.length > this.intensity) {
      this.over = true;
      for (const place of this.places.values()) place.running = false;
      return;
    }
    const all = [...this.places.keys()];
    const groups = { one_for_one: [child], one_for_all: all, rest_for_one: all.slice(all.indexOf(child)) };
    const group = groups[this.strategy];
    for (const member of group) {
      const place = this.places.get(member);
      if (place !== undefined) this.stopped(member, place);
    }
    for (const member of group) {
      const place = this.places.get(member);
      if (place !== undefined && !this.start(member, place)) return this.restart(member);
    }
  }

  seen(): Record<string, string> {
    return Object.fromEntries(
      Array.from(this.places, ([child, place]) => [child, place.running ? "running" : "stopped"]),
    );
  }
}

const startHistory = (stage: Stage, given: History, backoff: { base: number; max: number }) =>
  Supervisor.start(
    {
      name: "root",
      strategy: given.strategy,
      intensity: given.intensity,
      period: periodMillis,
      backoff,
      children: given.restarts.map((restart, index) => stage.worker(names[index] ?? "", { restart })),
    },
    { onEvent: (event) => void stage.events.push(event) },
  );

describe("random histories", () => {
  it("without backoff: the same as the model, step by step", () =>
    fc.assert(
      fc.asyncProperty(history, (given) => {
        const stage = makeStage();
        const model = new Model(given);
        const program = Effect.gen(function* () {
          const handle = yield* startHistory(stage, given, { base: 0, max: 0 });
          for (const step of given.commands) {
            model.apply(step);
            yield* perform(stage, handle, step);
            // After the end the tree keeps what it had; temporary children that it stopped included.
            const over = (yield* handle.tree).status === "stopped";
            expect(over).toBe(model.over);
            if (over) return;
            const seen = yield* statuses(handle);
            expect(Object.entries(seen)).toEqual(Object.entries(model.seen()));
            const lives = Object.fromEntries(
              Array.from(model.lives.keys(), (child) => [child, stage.actor(child).lives]),
            );
            expect(lives).toEqual(Object.fromEntries(model.lives));
          }
        });
        return simulate(Effect.scoped(program));
      }),
      { numRuns: 600 },
    ));

  it("with backoff and jitter: what must always be true", () =>
    fc.assert(
      fc.asyncProperty(history, fc.integer(), fc.subarray(names), (given, seed, gated) => {
        const stage = makeStage();
        const backoff = { base: 50, max: 400 };
        const program = Effect.gen(function* () {
          const handle = yield* startHistory(stage, given, backoff);
          // From now on these hang in their starts, half the time.
          for (const [index, child] of gated.entries())
            if (index % 2 === 0) stage.actor(child).gate = makeGate();
          for (const step of given.commands) yield* perform(stage, handle, step);
          const shutdown = yield* Effect.forkChild(handle.shutdown);
          yield* settle;
          yield* TestClock.adjust(0);
          expect(shutdown.pollUnsafe()?._tag).toBe("Success");
          const lines = stage.log.length;
          yield* TestClock.adjust("1 hour");
          expect(stage.log.slice(lines)).toEqual([]);
          checkLog(stage, given);
          checkEvents(stage, given, backoff);
          const exceeded = stage.events.some((event) => event._tag === "IntensityExceeded");
          const end = yield* Effect.exit(handle.await);
          expect(end._tag).toBe(exceeded ? "Failure" : "Success");
        });
        return simulate(Effect.scoped(program.pipe(Random.withSeed(seed))));
      }),
      { numRuns: 400 },
    ));
});

/**
 * No place holds two lives at once; in an order, none is started while one before it is still starting (a later one may be: an earlier
 * child does not wait for it); all end.
 */
const checkLog = (stage: Stage, given: History): void => {
  const alive = new Map<string, "start" | "ready">();
  for (const line of stage.log) {
    const [what = "", child = ""] = line.split(" ");
    if (what === "start") {
      expect(alive.has(child)).toBe(false);
      const before = names.slice(0, names.indexOf(child));
      if (given.strategy !== "one_for_one") {
        expect(before.map((name) => alive.get(name))).not.toContain("start");
      }
      alive.set(child, "start");
    } else if (what === "ready") alive.set(child, "ready");
    else expect(alive.delete(child)).toBe(true);
  }
  expect([...alive]).toEqual([]);
};

/** No stretch of time holds more restarts than allowed, and no delay exceeds its bound. */
const checkEvents = (
  stage: Stage,
  given: History,
  backoff: { readonly base: number; readonly max: number },
): void => {
  const restarting = stage.events.filter((event) => event._tag === "ChildRestarting");
  for (const { at, attempt, delayMillis } of restarting) {
    expect(delayMillis).toBeLessThanOrEqual(Math.min(backoff.max, backoff.base * 2 ** (attempt - 1)));
    const within = restarting.filter((other) => other.at <= at && other.at >= at - periodMillis);
    expect(within.length).toBeLessThanOrEqual(given.intensity);
  }
};
