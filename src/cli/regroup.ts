/**
 * `orrery regroup`: groups that were lost with their bucket are put back, from the ledger's files. They are stored, and not
 * announced: whoever listens to `orrery.present.>` heard of them when their files came.
 */
import * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import { groupOf, groupWrite } from "../actors/presence.ts";
import type { Site } from "../config/Site.ts";
import { scan } from "../jetstream/ledger.ts";
import type { NatsService } from "../jetstream/Nats.ts";
import { hasStream, subjectCounts } from "../jetstream/survey.ts";
import type { Write } from "../jetstream/transaction.ts";
import { commit } from "../jetstream/transaction.ts";
import { requestDeadlineMs } from "../limits.ts";
import { kvStream, kvSubject, ledgerBucket, presenceBucket } from "../protocol/keys.ts";
import { announcedKey } from "../protocol/presence.ts";
import type { FileBody, State } from "../protocol/records.ts";
import { recordOrNull } from "../protocol/records.ts";
import { missingWords } from "../jetstream/missing.ts";
import type { CommandFailed } from "./failures.ts";
import { failed, misused, ofJetStream } from "./failures.ts";
import type { IoService } from "./Io.ts";
import { say, sayJson, tell } from "./Io.ts";
import { openOwnSite } from "./site.ts";
import { count, duration, plural } from "./words.ts";

export interface RegroupOptions {
  readonly site: string | null;
  readonly dryRun: boolean;
  readonly json: boolean;
}

const presence = kvStream(presenceBucket);
const groupsAtOnce = 500;

/** What was announced and not given up on. What is parked is announced when it is put back. */
const counts: ReadonlySet<State> = new Set<State>(["known", "failing", "waiting"]);

interface Found {
  readonly uri: string;
  /** Epoch milliseconds: from then on it lives. */
  readonly at: number;
}

/** Groups of files of the last lifetime, by key; of several files the last changed one's, as when they came. */
const groupsOf = (
  nats: NatsService,
  site: Site,
): Effect.Effect<ReadonlyMap<string, Found>, CommandFailed> => {
  const lanes = [...site.lanes.values()].filter(({ kind }) => kind === "exposure");
  const found = new Map<string, Found>();
  const since = nats.now() - site.presence.lifetimeMs;
  return scan(
    nats,
    ledgerBucket,
    lanes.map(({ name }) => `file.${name}.>`),
    (entry) => {
      const record = recordOrNull<FileBody>(entry.key, entry.data);
      if (record === null || !counts.has(record.state)) return;
      const group = groupOf(site.presence, record.body);
      const key = group === null ? null : announcedKey(group);
      if (group !== null && key !== null) found.set(key, { uri: group.uri, at: entry.at });
    },
    since,
  ).pipe(
    Effect.mapError(ofJetStream),
    Effect.map(() => found),
  );
};

/** @returns how many were stored; not those that came, or were seen and ended, meanwhile */
const store = (nats: NatsService, writes: ReadonlyArray<Write>): Effect.Effect<number, CommandFailed> =>
  commit(nats, "put groups back", writes, requestDeadlineMs).pipe(
    Effect.as(writes.length),
    Effect.catchTag("TransactionConflict", () =>
      // One of them is not as it was any more; each by itself then.
      writes.length === 1
        ? Effect.succeed(0)
        : Effect.forEach(writes, (write) => store(nats, [write])).pipe(
            Effect.map((each) => each.reduce((sum, stored) => sum + stored, 0)),
          ),
    ),
    Effect.mapError((error) => (error._tag === "CommandFailed" ? error : ofJetStream(error))),
  );

/** @returns how many were stored */
export const putBack = (
  nats: NatsService,
  lifetimeMs: number,
  groups: ReadonlyArray<readonly [string, Found]>,
): Effect.Effect<number, CommandFailed> =>
  Effect.gen(function* () {
    let stored = 0;
    for (let at = 0; at < groups.length; at += groupsAtOnce) {
      const writes = groups
        .slice(at, at + groupsAtOnce)
        // It is gone when it would have been gone. And only where nothing stands: a newer one lives longer.
        .map(([key, found]): Write => ({
          ...groupWrite(key, found.uri, found.at + lifetimeMs - nats.now()),
          expected: 0,
        }));
      stored += yield* store(nats, writes);
    }
    return stored;
  });

export const regroup = (
  io: IoService,
  options: RegroupOptions,
): Effect.Effect<void, CommandFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const { site, nats } = yield* openOwnSite(io, options.site);
    const { lifetimeMs, deleteWhenSeen } = site.presence;
    if (![...site.lanes.values()].some(({ kind }) => kind === "exposure"))
      return yield* misused(`site ${site.name} has no lane of kind exposure: its files have no groups`);
    if (!(yield* hasStream(nats, presence).pipe(Effect.mapError(ofJetStream))))
      return yield* failed(missingWords([presence], null));
    const groups = yield* groupsOf(nats, site);
    // Ended ones as well: what ran out, or was seen where that ends it, stays absent.
    const there = yield* subjectCounts(nats, presence, kvSubject(presenceBucket, ">")).pipe(
      Effect.mapError(ofJetStream),
    );
    const lost = [...groups].filter(([key]) => !there.has(kvSubject(presenceBucket, key)));
    const stored = options.dryRun ? lost.length : yield* putBack(nats, lifetimeMs, lost);
    if (deleteWhenSeen && lost.length > 0)
      tell(
        io,
        "presence.deleteWhenSeen: which of them had been seen was lost as well, they are given once more",
      );
    if (options.json) return sayJson(io, { groups: groups.size, dryRun: options.dryRun, putBack: stored });
    const done = options.dryRun ? "would be put back" : "put back";
    return say(
      io,
      `${plural(groups.size, "group")} of files of the last ${duration(lifetimeMs)}: ${count(stored)} ${done}, ${count(groups.size - stored)} there already`,
    );
  });
