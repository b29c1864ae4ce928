/** `orrery log`: what a run's command wrote. */
import * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import { openObjects } from "../jetstream/objects.ts";
import { hasStream } from "../jetstream/survey.ts";
import { jobLogBytesMax } from "../limits.ts";
import type { LedgerRecord } from "../protocol/records.ts";
import type { RunBody } from "../protocol/runs.ts";
import { runsBucket } from "../protocol/runs.ts";
import type { CommandFailed } from "./failures.ts";
import { failed, no, ofJetStream } from "./failures.ts";
import { nameOf, needRecord } from "./ids.ts";
import type { IoService } from "./Io.ts";
import type { SiteLink } from "./site.ts";
import { openOwnSite } from "./site.ts";

export interface LogOptions {
  readonly site: string | null;
  readonly run: string;
  /** The manifest of inputs instead of the log. */
  readonly inputs: boolean;
}

const bytesMax = jobLogBytesMax + 1_048_576;

/** An object of the runs' bucket as text, at most a log's bound of it; null where it is not there. */
export const readRunObject = (
  { nats, site }: SiteLink,
  name: string,
): Effect.Effect<string | null, CommandFailed> =>
  Effect.gen(function* () {
    // Opening makes the bucket: looking must not.
    if (!(yield* hasStream(nats, `OBJ_${runsBucket}`))) return null;
    const bucket = yield* openObjects(nats, runsBucket, site.nats.replicas);
    const found = yield* bucket.get(name);
    if (found === null) return null;
    return yield* Effect.promise(async () => {
      const decoder = new TextDecoder();
      const reader = found.data.getReader();
      let text = "";
      let size = 0;
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return text + decoder.decode();
        size += value.length;
        text += decoder.decode(value, { stream: true });
        if (size > bytesMax) {
          await reader.cancel();
          return `${text}\n(cut here: the log has more than ${bytesMax} bytes)\n`;
        }
      }
    });
  }).pipe(Effect.mapError(ofJetStream));

export const log = (io: IoService, options: LogOptions): Effect.Effect<void, CommandFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const link = yield* openOwnSite(io, options.site);
    const { held, key, place } = yield* needRecord(link.site, link.nats, options.run, "run");
    if (!key.startsWith("run.")) return yield* failed(`${nameOf(place)} is no run: only runs have logs`);
    const { body, state } = held.record as LedgerRecord<RunBody>;
    const { result } = body;
    if (result === null) {
      const running =
        body.started === null ? "" : `: it runs on node ${body.started.node} since ${body.started.at}`;
      return yield* no(`run ${nameOf(place)} is ${state} and has no log yet${running}`);
    }
    const name = options.inputs ? result.manifest : result.log;
    const text = yield* readRunObject(link, name);
    if (text === null) return yield* no(`${name} is not in the object bucket ${runsBucket} any more`);
    io.out.write(text);
    return undefined;
  });
