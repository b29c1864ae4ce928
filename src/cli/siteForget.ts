/** `orrery site forget`: lets go of what a supernode keeps of a former life of a site, or of a site that it sources no more. */
import * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import { sourceStates } from "../jetstream/sitesBucket.ts";
import { drop, livesOf } from "../jetstream/sitesDrop.ts";
import { lifeSubjects } from "../protocol/sites.ts";
import type { CommandFailed } from "./failures.ts";
import { misused, ofJetStream } from "./failures.ts";
import type { IoService } from "./Io.ts";
import { say, sayJson } from "./Io.ts";
import type { SourcesOptions } from "./siteSources.ts";
import { opened } from "./siteSources.ts";
import { plural } from "./words.ts";

export interface ForgetOptions extends SourcesOptions {
  readonly name: string;
  readonly epoch: string;
}

/** The life is named, so that it cannot be another one than was meant; the present one is not let go of. */
export const forget = (
  io: IoService,
  options: ForgetOptions,
): Effect.Effect<void, CommandFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const { name, epoch, supernode } = options;
    const { nats } = yield* opened(io, options);
    const states = yield* sourceStates(nats).pipe(Effect.mapError(ofJetStream));
    const lives = yield* livesOf(nats, name).pipe(Effect.mapError(ofJetStream));
    const present = states.find(({ site }) => site === name)?.epoch;
    if (epoch === present) {
      return yield* misused(`${epoch} is the present life of ${name}: only former ones can be forgotten`);
    }
    if (!lives.has(epoch)) {
      const former = [...lives].flatMap(([life, { keys }]) =>
        life === present ? [] : [`${life} (${plural(keys, "key")})`],
      );
      const words = former.length === 0 ? "and of no former one" : `of ${former.join(", ")}`;
      return yield* misused(`${supernode} has nothing of life ${epoch} of ${name}, ${words}`);
    }
    const dropped = yield* drop(nats, lifeSubjects(name, epoch)).pipe(Effect.mapError(ofJetStream));
    if (options.json) return sayJson(io, { supernode, site: name, epoch, dropped });
    return say(io, `${plural(dropped, "key")} of life ${epoch} of ${name} dropped at ${supernode}`);
  });
