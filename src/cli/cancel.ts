/** `orrery cancel RUN`, `orrery cancel JOB PARTITION`: nobody shall go on with this run. */
import * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import type { Cancelled } from "../actors/runCancel.ts";
import { cancelRun } from "../actors/runCancel.ts";
import { placeOfRecordKey } from "../protocol/keys.ts";
import type { CommandFailed } from "./failures.ts";
import { failed, misused, no, ofCause } from "./failures.ts";
import { nameOf, needRecord } from "./ids.ts";
import type { IoService } from "./Io.ts";
import { say, sayJson } from "./Io.ts";
import { findJobs } from "./jobStory.ts";
import { operator } from "./operator.ts";
import type { SiteLink } from "./site.ts";
import { openOwnSite } from "./site.ts";
import { harmless } from "./words.ts";

export interface CancelOptions {
  readonly site: string | null;
  /** A run, or with `partition` a job's name. */
  readonly id: string;
  readonly partition: string | null;
  readonly note: string | null;
  readonly json: boolean;
}

export const cancel = (
  io: IoService,
  options: CancelOptions,
): Effect.Effect<void, CommandFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const link = yield* openOwnSite(io, options.site);
    const key = yield* runOf(link, options);
    const place = placeOfRecordKey(key);
    const name = place === null ? key : nameOf(place);
    const cancelled = yield* Effect.tryPromise({
      try: () => cancelRun(link.nats, key, operator(), options.note ?? ""),
      catch: ofCause,
    });
    if (options.json) sayJson(io, { key, name, ...cancelled });
    else if (cancelled.type === "parked" || cancelled.type === "asked")
      say(io, `${harmless(name)}: ${wordsOf(cancelled)}`);
    if (cancelled.type === "over" || cancelled.type === "unknown") {
      return yield* no(options.json ? "" : `${harmless(name)}: ${wordsOf(cancelled)}`);
    }
    return undefined;
  });

function wordsOf(cancelled: Cancelled): string {
  switch (cancelled.type) {
    case "parked":
      return "cancelled; nobody had it in hand. It is parked, and orrery parked replay puts it back";
    case "asked":
      return `node ${cancelled.node} is asked to end its command; it is parked when that has ended`;
    case "over":
      return `it is ${cancelled.state} already; there is nothing to cancel`;
    case "unknown":
      return "the ledger has no such run any more";
  }
}

const runOf = (link: SiteLink, { id, partition }: CancelOptions): Effect.Effect<string, CommandFailed> =>
  Effect.gen(function* () {
    if (partition === null) {
      const { key } = yield* needRecord(link.site, link.nats, id, "run");
      return key.startsWith("run.")
        ? key
        : yield* failed(`${harmless(id)} is no run: only runs can be cancelled`);
    }
    const [only, ...others] = yield* findJobs(link, id, partition);
    if (only === undefined) return yield* no(`job ${harmless(id)} knows nothing of ${harmless(partition)}`);
    if (others.length > 0) {
      return yield* misused(
        `${JSON.stringify(partition)} could be any of ${others.length + 1}; say more of it`,
      );
    }
    const { run, state } = only.record;
    return run ?? (yield* no(`job ${harmless(id)} has no run for ${harmless(partition)}: it is ${state}`));
  });
