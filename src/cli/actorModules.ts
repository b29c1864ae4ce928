/** Loads the modules with a site's own actors. */
import { pathToFileURL } from "node:url";
import * as Effect from "effect/Effect";
import type { Actor } from "../actors/Actor.ts";
import type { Site } from "../config/Site.ts";
import type { CommandFailed } from "./failures.ts";
import { failed } from "./failures.ts";

const behaviours = new Set(["claims", "replies", "follows", "ticks", "listens"]);

function isActor(value: unknown): value is Actor {
  return (
    typeof value === "object" &&
    value !== null &&
    "behaviour" in value &&
    typeof value.behaviour === "string" &&
    behaviours.has(value.behaviour) &&
    "options" in value
  );
}

async function loadModule(file: string): Promise<ReadonlyArray<Actor>> {
  const module = (await import(pathToFileURL(file).href)) as { readonly default?: unknown };
  const found: ReadonlyArray<unknown> = Array.isArray(module.default) ? module.default : [module.default];
  return found.map((actor) => {
    if (isActor(actor)) return actor;
    throw new TypeError(
      "its default export is no actor: write `export default Actor.claims({ … })`, or an array of such",
    );
  });
}

/** In the order of the site file. Two actors of one name are refused: their mailboxes would be one. */
export const loadActors = (site: Site): Effect.Effect<ReadonlyArray<Actor>, CommandFailed> =>
  Effect.gen(function* () {
    const actors: Array<Actor> = [];
    const from = new Map<string, string>();
    for (const file of site.actorModules) {
      const loaded = yield* Effect.tryPromise({
        try: () => loadModule(file),
        catch: (cause) =>
          failed(
            `cannot load actors from ${file}: ${cause instanceof Error ? cause.message : String(cause)}`,
          ),
      });
      for (const actor of loaded) {
        const { name } = actor.options;
        const other = from.get(name);
        if (other !== undefined) {
          return yield* failed(`two actors are called ${name} (${other} and ${file}): give one another name`);
        }
        from.set(name, file);
        actors.push(actor);
      }
    }
    return actors;
  });
