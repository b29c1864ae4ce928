/** `orrery status`: how a site stands at this moment, once or again and again. */
import * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import type { CommandFailed } from "./failures.ts";
import { misused, ofJetStream } from "./failures.ts";
import type { IoService } from "./Io.ts";
import { sayJson, tell } from "./Io.ts";
import { openSite } from "./site.ts";
import { renderStatus } from "./statusView.ts";
import { readStatus } from "./survey.ts";

export interface StatusOptions {
  readonly site: string | null;
  readonly json: boolean;
  readonly watch: boolean;
  /** Seconds between two looks. */
  readonly every: number;
}

const everySecondsMax = 3_600;

/** Home, and each line cleared to its end: the screen never goes blank between two looks. */
function redraw(io: IoService, text: string): void {
  const lines = text.split("\n").join("\u001b[K\n");
  io.out.write(`\u001b[H${lines}\u001b[J`);
}

export const status = (
  io: IoService,
  options: StatusOptions,
): Effect.Effect<void, CommandFailed, Scope.Scope> =>
  Effect.gen(function* () {
    if (!(options.every >= 0.2 && options.every <= everySecondsMax)) {
      return yield* misused(`--every ${options.every}: it may be 0.2 to ${everySecondsMax} seconds`);
    }
    const link = yield* openSite(io, options.site);
    const look = readStatus(link).pipe(Effect.mapError(ofJetStream));
    if (!options.watch) {
      const seen = yield* look;
      if (options.json) return sayJson(io, seen);
      return io.out.write(renderStatus(seen, { color: io.out.color, columns: io.out.columns() }));
    }
    // ^C is how one stops watching.
    io.run.onSignal = 0;
    const terminal = io.out.columns() !== null && !options.json;
    if (terminal) io.out.write("\u001b[2J");
    return yield* Effect.forever(
      Effect.gen(function* () {
        const seen = yield* Effect.catch(look, (error) =>
          Effect.sync(() => {
            // A server that is away comes back; whoever watches wants to see that, too.
            if (terminal) redraw(io, `${error.message}\n`);
            else tell(io, error.message);
            return null;
          }),
        );
        if (seen !== null && options.json) io.out.write(`${JSON.stringify(seen)}\n`);
        else if (seen !== null) {
          const text = renderStatus(seen, { color: io.out.color, columns: io.out.columns() });
          if (terminal) redraw(io, text);
          else io.out.write(`${text}\n`);
        }
        yield* Effect.sleep(Math.round(options.every * 1_000));
      }),
    );
  });
