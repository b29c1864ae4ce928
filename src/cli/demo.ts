/** `orrery demo`: the demonstration night, or a mission's days; both listen to signals themselves. */
import * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import { runDemo } from "../demo/demo.ts";
import { isNightSite } from "../demo/demoSite.ts";
import { missionParts } from "../demo/missionParts.ts";
import { CommandFailed, misused } from "./failures.ts";
import type { IoService } from "./Io.ts";
import { findSite, readSite } from "./site.ts";
import { start } from "./start.ts";

export interface DemoOptions {
  readonly site: string | null;
  readonly once: boolean;
  readonly plain: boolean;
  readonly exposures: number | null;
  readonly seed: number | null;
  readonly days: number | null;
}

export const demo = (io: IoService, options: DemoOptions): Effect.Effect<void, CommandFailed, Scope.Scope> =>
  Effect.gen(function* () {
    for (const flag of ["exposures", "days"] as const) {
      const given = options[flag];
      if (given !== null && given < 1) return yield* misused(`--${flag} ${given}: a number from 1`);
    }
    if (options.site !== null) {
      yield* findSite(io, options.site);
      const { site } = yield* readSite(io, options.site);
      if (missionParts(site) === null && !isNightSite(site))
        return yield* justStart(io, options.site, options.once);
    }
    io.run.ownSignals = true;
    io.run.survivesClosedOutput = true;
    const { site, once, plain, exposures, seed, days } = options;
    const exit = yield* Effect.promise(() =>
      runDemo({
        once,
        plain,
        ...(site === null ? {} : { site }),
        ...(exposures === null ? {} : { exposures }),
        ...(seed === null ? {} : { seed }),
        ...(days === null ? {} : { days }),
      }),
    );
    if (exit !== 0) return yield* new CommandFailed({ exit, message: "" });
    return undefined;
  });

/** Files of our own have no place on a site that did not ask for them. */
const justStart = (
  io: IoService,
  site: string,
  once: boolean,
): Effect.Effect<void, CommandFailed, Scope.Scope> =>
  once
    ? Effect.fail(
        misused(
          `nothing is played on ${site}: it has neither the lanes of config/demo.yaml nor a watched bucket "delivered" as config/imap.yaml. \`orrery start ${site}\` runs it`,
        ),
      )
    : start(io, { site, node: null, roles: null, httpPort: null, readyFile: null });
