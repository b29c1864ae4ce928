/** `orrery demo`: the demonstration night, which listens to signals itself. */
import * as Effect from "effect/Effect";
import { runDemo } from "../demo/demo.ts";
import { CommandFailed } from "./failures.ts";
import type { IoService } from "./Io.ts";

export interface DemoOptions {
  readonly site: string | null;
  readonly once: boolean;
  readonly plain: boolean;
  readonly exposures: number | null;
  readonly seed: number | null;
}

export const demo = (io: IoService, options: DemoOptions): Effect.Effect<void, CommandFailed> =>
  Effect.gen(function* () {
    io.run.ownSignals = true;
    io.run.survivesClosedOutput = true;
    const { site, once, plain, exposures, seed } = options;
    const exit = yield* Effect.promise(() =>
      runDemo({
        once,
        plain,
        ...(site === null ? {} : { site }),
        ...(exposures === null ? {} : { exposures }),
        ...(seed === null ? {} : { seed }),
      }),
    );
    if (exit !== 0) return yield* new CommandFailed({ exit, message: "" });
    return undefined;
  });
