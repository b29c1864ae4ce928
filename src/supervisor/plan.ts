import * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import { InvalidSpec } from "./errors.ts";
import type { Backoff, Intensity } from "./restarts.ts";
import type { AutoShutdown, ChildSpec, Restart, Strategy, SupervisorSpec } from "./spec.ts";

/**
 * A specification once it has been checked: defaults filled in, times in milliseconds. Services are no longer in
 * the types; whoever made the plan sees to it that they are there when it runs.
 */
export interface ChildPlan {
  readonly name: string;
  readonly restart: Restart;
  readonly significant: boolean;
  /** 0 is brutal_kill; Infinity for supervisors only. */
  readonly shutdownMillis: number;
  /** Infinity for supervisors only: their children's bounds are theirs. */
  readonly startTimeoutMillis: number;
  readonly work: Work;
}

export type Work =
  | { readonly kind: "worker"; readonly run: (ready: Effect.Effect<void>) => Effect.Effect<unknown, unknown> }
  | { readonly kind: "supervisor"; readonly plan: SupervisorPlan };

export interface SupervisorPlan extends Intensity {
  /** Where it came from: the key of `spawn`. */
  readonly spec: unknown;
  readonly name: string;
  readonly strategy: Strategy;
  readonly autoShutdown: AutoShutdown;
  readonly backoff: Backoff;
  /** In start order, names unique. None for simple_one_for_one. */
  readonly children: ReadonlyArray<ChildPlan>;
  /** For simple_one_for_one: its one kind of child, the nth of them, run with this argument. */
  readonly template: ((n: number, argument: unknown) => ChildPlan) | undefined;
}

/** Checks a whole tree, so that a fault at its far end is found before anything is started. */
export const planSupervisor = (spec: SupervisorSpec<unknown>): Effect.Effect<SupervisorPlan, InvalidSpec> =>
  attempt(() => supervisorPlan(object(spec, "", "spec"), ""));

/** Checks a child that is to join a supervisor at `parentPath`. */
export const planChild = (
  spec: ChildSpec<unknown>,
  parentPath: string,
  autoShutdown: AutoShutdown,
): Effect.Effect<ChildPlan, InvalidSpec> =>
  attempt(() => childPlan(object(spec, parentPath, "child"), parentPath, autoShutdown));

/**
 * The checks throw: there are many, and each is one line. From here on it is a typed failure. They take what
 * they are given for unknown, because specifications are also written in JavaScript and read from files.
 */
const attempt = <A>(check: () => A): Effect.Effect<A, InvalidSpec> =>
  Effect.try({
    try: check,
    catch: (error) => {
      if (error instanceof InvalidSpec) return error;
      throw error;
    },
  });

type Given = Readonly<Record<string, unknown>>;

const supervisorPlan = (given: Given, parentPath: string): SupervisorPlan => {
  const name = validName(given["name"], parentPath);
  const path = join(parentPath, name);
  const strategy = validStrategy(given["strategy"] ?? "one_for_one", path);
  const autoShutdown = validAutoShutdown(given["autoShutdown"] ?? "never", path);
  const periodMillis = validPeriod(given["period"] ?? "60 seconds", path);
  return {
    spec: given,
    name,
    strategy,
    autoShutdown,
    intensity: validIntensity(given["intensity"] ?? 5, path),
    periodMillis,
    backoff: validBackoff(given["backoff"] ?? {}, periodMillis, path),
    ...(strategy === "simple_one_for_one"
      ? { children: [], template: validTemplate(given, path, autoShutdown) }
      : { children: validChildren(given, path, autoShutdown), template: undefined }),
  };
};

const childPlan = (given: Given, parentPath: string, autoShutdown: AutoShutdown): ChildPlan => {
  const name = validName(given["name"], parentPath);
  const path = join(parentPath, name);
  const restart = validRestart(given["restart"] ?? "permanent", path);
  const significant = validSignificant(given["significant"] ?? false, restart, autoShutdown, path);
  const common = { name, restart, significant };
  if ("run" in given)
    return {
      ...common,
      shutdownMillis: validShutdown(given["shutdown"] ?? "5 seconds", "worker", path),
      startTimeoutMillis: validStartTimeout(given["startTimeout"] ?? "60 seconds", path),
      work: { kind: "worker", run: validRun(given["run"], path) },
    };
  return {
    ...common,
    shutdownMillis: validShutdown(given["shutdown"] ?? "infinity", "supervisor", path),
    startTimeoutMillis: Infinity,
    work: { kind: "supervisor", plan: supervisorPlan(given, parentPath) },
  };
};

const join = (parentPath: string, name: string): string =>
  parentPath === "" ? name : `${parentPath}/${name}`;

const refuse = (path: string, option: string, value: unknown, expected: string): never => {
  throw new InvalidSpec({ path, option, value, expected });
};

const object = (value: unknown, path: string, option: string): Given =>
  typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Given)
    : refuse(path, option, value, "an object");

const oneOf = <A extends string>(
  allowed: ReadonlyArray<A>,
  value: unknown,
  path: string,
  option: string,
): A => allowed.find((one) => one === value) ?? refuse(path, option, value, `one of ${allowed.join(", ")}`);

const validName = (value: unknown, parentPath: string): string =>
  typeof value === "string" && value !== "" && !value.includes("/")
    ? value
    : refuse(join(parentPath, "?"), "name", value, 'a name without "/"');

const validStrategy = (value: unknown, path: string): Strategy =>
  oneOf(["one_for_one", "one_for_all", "rest_for_one", "simple_one_for_one"], value, path, "strategy");

const validAutoShutdown = (value: unknown, path: string): AutoShutdown =>
  oneOf(["never", "any_significant", "all_significant"], value, path, "autoShutdown");

const validRestart = (value: unknown, path: string): Restart =>
  oneOf(["permanent", "transient", "temporary"], value, path, "restart");

const validIntensity = (value: unknown, path: string): number =>
  typeof value === "number" && Number.isSafeInteger(value) && value >= 0
    ? value
    : refuse(path, "intensity", value, "a whole number of restarts, 0 or more");

const validPeriod = (value: unknown, path: string): number => {
  const millis = finiteMillis(value, path, "period");
  return millis > 0 ? millis : refuse(path, "period", value, "a duration above 0");
};

const validBackoff = (value: unknown, periodMillis: number, path: string): Backoff => {
  const given = object(value, path, "backoff");
  const baseMillis = finiteMillis(given["base"] ?? "100 millis", path, "backoff.base");
  const maxMillis = finiteMillis(given["max"] ?? Math.max(baseMillis, 10_000), path, "backoff.max");
  const stableMillis = finiteMillis(given["stableAfter"] ?? periodMillis, path, "backoff.stableAfter");
  if (maxMillis < baseMillis) refuse(path, "backoff.max", given["max"], "no less than backoff.base");
  return { baseMillis, maxMillis, stableMillis };
};

const validSignificant = (
  value: unknown,
  restart: Restart,
  autoShutdown: AutoShutdown,
  path: string,
): boolean => {
  if (typeof value !== "boolean") return refuse(path, "significant", value, "true or false");
  if (value && autoShutdown === "never")
    return refuse(path, "significant", value, "false, because its supervisor has autoShutdown never");
  if (value && restart === "permanent")
    return refuse(path, "significant", value, "false, because restart is permanent: it never ends for good");
  return value;
};

const validShutdown = (value: unknown, kind: Work["kind"], path: string): number => {
  if (value === "brutal_kill") return 0;
  if (value === "infinity" && kind === "supervisor") return Infinity;
  return finiteMillis(value, path, "shutdown");
};

const validStartTimeout = (value: unknown, path: string): number => {
  const millis = finiteMillis(value, path, "startTimeout");
  return millis > 0 ? millis : refuse(path, "startTimeout", value, "a duration above 0");
};

const validRun = (
  value: unknown,
  path: string,
): ((ready: Effect.Effect<void>, argument?: unknown) => Effect.Effect<unknown, unknown>) =>
  typeof value === "function"
    ? (value as (ready: Effect.Effect<void>, argument?: unknown) => Effect.Effect<unknown, unknown>)
    : refuse(path, "run", value, "a function from `ready` to an effect");

const validChildren = (given: Given, path: string, autoShutdown: AutoShutdown): ReadonlyArray<ChildPlan> => {
  const specs = given["children"];
  if (!Array.isArray(specs)) return refuse(path, "children", specs, "a list of children");
  const children = specs.map((spec) => childPlan(object(spec, path, "children"), path, autoShutdown));
  const names = new Set<string>();
  for (const { name } of children) {
    if (names.has(name)) refuse(path, "children", name, "names that differ");
    names.add(name);
  }
  return children;
};

const validTemplate = (
  given: Given,
  path: string,
  autoShutdown: AutoShutdown,
): NonNullable<SupervisorPlan["template"]> => {
  if (given["children"] !== undefined)
    refuse(path, "children", given["children"], "`child`, the one kind that simple_one_for_one has");
  const template = object(given["child"], path, "child");
  const run = validRun(template["run"], path);
  const plan = childPlan(template, path, autoShutdown);
  return (n, argument) => ({
    ...plan,
    name: `${plan.name}-${n}`,
    work: { kind: "worker", run: (ready) => run(ready, argument) },
  });
};

const finiteMillis = (value: unknown, path: string, option: string): number => {
  const millis = toMillis(value);
  return Number.isFinite(millis) && millis >= 0
    ? millis
    : refuse(path, option, value, "a duration that ends, 0 or more");
};

/** NaN for what is no duration at all. */
const toMillis = (value: unknown): number => {
  try {
    return Duration.toMillis(Duration.fromInputUnsafe(value as Duration.Input));
  } catch {
    return Number.NaN;
  }
};
