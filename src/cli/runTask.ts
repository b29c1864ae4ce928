/** `orrery run-task`: what a job of a cluster runs, for the runner that dispatched it. */
import { readFile } from "node:fs/promises";
import { hostname } from "node:os";
import { resolve } from "node:path";
import * as Effect from "effect/Effect";
import { runTask as keep } from "../drivers/runTask.ts";
import type { CommandFailed } from "./failures.ts";
import { failed, misused } from "./failures.ts";
import type { IoService } from "./Io.ts";
import { say } from "./Io.ts";

export interface RunTaskOptions {
  /** Of tickets. */
  readonly folder: string;
  /** File with the try's id. */
  readonly file: string;
}

/** Exit 0 where the command ended so, and where there was nothing to run; how it ended stands in the folder of the try. */
export const runTask = (io: IoService, options: RunTaskOptions): Effect.Effect<void, CommandFailed> =>
  Effect.gen(function* () {
    const text = yield* Effect.tryPromise({
      try: () => readFile(resolve(io.cwd, options.file), "utf8"),
      catch: (cause) => misused(`cannot read the try's id: ${String(cause)}`),
    });
    const id = text.trim();
    const who = [hostname(), process.pid, io.env["NOMAD_ALLOC_ID"] ?? ""].join(" ").trim();
    const kept = yield* keep(resolve(io.cwd, options.folder), id, who).pipe(
      Effect.mapError((error) => failed(error.message)),
    );
    switch (kept.type) {
      case "not-run":
        return say(io, `${id}: nothing is run: ${kept.why}`);
      case "ended": {
        const { exit, timedOut } = kept.end;
        if (exit === 0) return say(io, `${id}: exit 0`);
        return yield* failed(`${id}: ${timedOut ? "its time limit" : `exit ${String(exit)}`}`);
      }
      case "stopped":
        return yield* failed(`${id}: ended: ${kept.why}`);
      case "failed":
        return yield* failed(`${id}: could not be run: ${kept.detail}`);
    }
  });
