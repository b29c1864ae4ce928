/** What every command's definition is made of: the site it speaks of, common flags, and how its own file is loaded. */
import * as Argument from "effect/cli/Argument";
import * as Command from "effect/cli/Command";
import * as Flag from "effect/cli/Flag";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import type * as Scope from "effect/Scope";
import type { CommandFailed } from "./failures.ts";
import type { IoService } from "./Io.ts";
import { Io } from "./Io.ts";

export const root = Command.make("orrery").pipe(
  Command.withSharedFlags({
    site: Flag.String("site").pipe(
      Flag.withAlias("s"),
      Flag.withMetavar("FILE"),
      Flag.withDescription("Site file; default ORRERY_SITE, ./orrery.yaml, ./site.yaml, the demo's"),
      Flag.optional,
    ),
  }),
);

export const toggle = (name: string, description: string) =>
  Flag.Boolean(name).pipe(Flag.withDescription(description), Flag.withoutNegation, Flag.withDefault(false));

export const text = (name: string, metavar: string, description: string) =>
  Flag.String(name).pipe(Flag.withMetavar(metavar), Flag.withDescription(description), Flag.optional);

export const integer = (name: string, metavar: string, description: string) =>
  Flag.Int(name).pipe(Flag.withMetavar(metavar), Flag.withDescription(description));

export const number = (name: string, metavar: string, description: string) =>
  Flag.Finite(name).pipe(Flag.withMetavar(metavar), Flag.withDescription(description));

export const argument = (name: string, description: string) =>
  Argument.String(name).pipe(Argument.withDescription(description));

export const json = toggle("json", "One JSON document on stdout, for scripts");
export const siteArgument = argument("SITE", "Site file; default as for --site").pipe(Argument.optional);
export const idArgument = argument(
  "ID",
  "BUCKET/KEY, s3://BUCKET/KEY, LANE/KEY, a ledger key, or the end of a name",
);
export const laneFlag = text("lane", "LANE", "Only this lane");

type Plain<O> = { readonly [K in keyof O]: O[K] extends Option.Option<infer A> ? A | null : O[K] };

/** What was not given is null. */
export function plain<O extends Readonly<Record<string, unknown>>>(options: O): Plain<O> {
  const entries = Object.entries(options).map(([name, value]) => [
    name,
    Option.isOption(value) ? Option.getOrNull(value) : value,
  ]);
  return Object.fromEntries(entries) as Plain<O>;
}

/** Loads a command's own file now, and runs it with the terminal, the site that is named, and a scope that ends with it. */
export const run = <M>(
  load: () => Promise<M>,
  command: (module: M, io: IoService, site: string | null) => Effect.Effect<void, CommandFailed, Scope.Scope>,
) =>
  Effect.gen(function* () {
    const io = yield* Io;
    const { site } = yield* root;
    const module = yield* Effect.promise(load);
    yield* Effect.scoped(command(module, io, Option.getOrNull(site)));
  });
