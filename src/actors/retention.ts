/**
 * Retention: whole days are purged by filter, without markers. Single keys are never removed from the ledger, because a value whose
 * successor is removed comes back when the server is killed (docs/decisions/nothing-is-removed.md).
 *
 * Invariant: before a file's record is purged its mark is on disk, so that the file is known when it comes again
 * (docs/decisions/duplicates-after-a-purge.md).
 */
import * as Effect from "effect/Effect";
import { managed } from "../jetstream/Nats.ts";
import { lastRevisionUnsafe, scan } from "../jetstream/ledger.ts";
import { commitUnsafe, ledgerPut } from "../jetstream/transaction.ts";
import { requestDeadlineMs } from "../limits.ts";
import {
  kvStream,
  kvSubject,
  ledgerBucket,
  placeOfIndexKey,
  placeOfRecordKey,
  placeOfWaitingKey,
} from "../protocol/keys.ts";
import { encodePurged, purgedKey } from "../protocol/purged.ts";
import { recordOrNull } from "../protocol/records.ts";
import { seenMark } from "../protocol/seen.ts";
import type { NodeContextService } from "./NodeContext.ts";
import { readMarks, storeMarks } from "./seen.ts";

export interface RetentionRule {
  readonly lane: string;
  readonly days: number;
  /** For exposures and the jobs made of them, which belong to no lane: they go with the longest retention of all lanes. */
  readonly exposures: boolean;
}

/** How far back days are looked for: a site that was off longer than this keeps what is older. */
const lookBackDays = 60;
const dayMs = 86_400_000;

/** `YYYYMMDD` of a time, in UTC. */
export function dayText(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10).replaceAll("-", "");
}

/** Days past a rule's retention, newest first. One day of grace: an obs day may begin after the UTC day. */
export function expiredDays(now: number, days: number): ReadonlyArray<string> {
  return Array.from({ length: lookBackDays }, (_, i) => dayText(now - (days + 1 + i) * dayMs));
}

/** Whether the day is past the retention, however long: what came of it may have been purged. */
export function isPast(day: string, now: number, days: number): boolean {
  return /^\d{8}$/.test(day) && day <= dayText(now - (days + 1) * dayMs);
}

const ofLane = ({ lane }: RetentionRule, day: string): ReadonlyArray<string> => [
  `file.${lane}.${day}.>`,
  `due.${lane}.${day}.>`,
  `parked.${lane}.${day}.>`,
];

/** All lanes' files of the day are gone by then: what indexes of theirs, of runs and of items are left are ended ones. */
const ofNoLane = (day: string): ReadonlyArray<string> => [
  ...["exposure", "visit", "notified", "job", "run", "ready", "item", "due", "parked"].map(
    (kind) => `${kind}.*.${day}.>`,
  ),
  `waiting.*.*.${day}.>`,
];

/** Purges days in which nothing is due, waiting or parked any more. Idempotent: every node may do it. */
export const purgeOldDays = (
  node: NodeContextService,
  rules: ReadonlyArray<RetentionRule>,
): Effect.Effect<void, Error> =>
  Effect.gen(function* () {
    const now = node.nats.now();
    // What is written from here on is not purged this time: it may be the way back of a file that comes just now.
    const upTo = yield* Effect.tryPromise({
      try: () => lastRevisionUnsafe(node.nats, ledgerBucket),
      catch: (cause) => (cause instanceof Error ? cause : new Error(String(cause))),
    });
    const open = new Set<string>();
    // Ended keys stand there as markers, so only keys with a value count. Parked items hold their day until somebody decides.
    yield* scan(node.nats, ledgerBucket, ["due.>", "waiting.>", "parked.>"], (entry) => {
      const place = placeOfIndexKey(entry.key) ?? placeOfWaitingKey(entry.key)?.place;
      if (place !== undefined) open.add(place.day);
    });
    // All of it before anything is purged: where another site holds files of this one, what stands before the word of it goes, so what
    // comes between `upTo` and the word goes there sooner than here.
    for (const rule of rules) yield* tellPurged(node, rule, expiredDays(now, rule.days), open, upTo);
    for (const rule of rules) {
      for (const day of expiredDays(now, rule.days)) {
        if (open.has(day)) continue;
        if (!rule.exposures) yield* noteFiles(node, rule.lane, day, upTo);
        for (const filter of rule.exposures ? ofNoLane(day) : ofLane(rule, day)) {
          yield* purge(node, filter, upTo);
        }
      }
    }
  });

/** For the supernode, which has the same days: told before, so that no purge is one that it never hears of. */
const tellPurged = (
  node: NodeContextService,
  { lane, exposures }: RetentionRule,
  days: ReadonlyArray<string>,
  open: ReadonlySet<string>,
  upTo: number,
): Effect.Effect<void> =>
  Effect.gen(function* () {
    const [through = "", from = ""] = [days[0], days.at(-1)];
    const held = days.filter((day) => open.has(day));
    const write = ledgerPut(purgedKey(exposures ? null : lane), encodePurged({ upTo, from, through, held }));
    const answer = yield* Effect.promise(() =>
      commitUnsafe(node.nats, "tell what is purged", [write], requestDeadlineMs),
    );
    // The site goes by its own retention, whoever hears of it.
    if ("_tag" in answer)
      node.log("warn", "could not tell the supernode which days are purged", { cause: answer.message });
  });

const purge = (node: NodeContextService, filter: string, upTo: number): Effect.Effect<void, Error> =>
  Effect.gen(function* () {
    const purged = yield* managed(`purge ${filter}`, () =>
      node.nats.jsm.streams.purge(kvStream(ledgerBucket), {
        filter: kvSubject(ledgerBucket, filter),
        seq: upTo + 1,
      }),
    );
    if (purged.purged > 0) {
      node.log("info", "purged a day past its retention", { filter, keys: purged.purged });
    }
  });

/** Marks of every content that a record of the day stands for, also of what was discarded or superseded. */
const noteFiles = (
  node: NodeContextService,
  lane: string,
  day: string,
  upTo: number,
): Effect.Effect<void, Error> =>
  Effect.gen(function* () {
    const marks = new Set<bigint>();
    yield* scan(node.nats, ledgerBucket, [`file.${lane}.${day}.>`], (entry) => {
      if (entry.revision > upTo) return;
      const record = recordOrNull(entry.key, entry.data);
      const tail = placeOfRecordKey(entry.key)?.tail;
      if (record === null || tail === undefined) return;
      for (const { etag } of [record, ...(record.superseded ?? []), ...(record.refused ?? [])]) {
        marks.add(seenMark(tail, etag));
      }
    });
    if (marks.size === 0) return;
    yield* Effect.tryPromise({
      try: async () => {
        const known = await readMarks(node.nats, lane, day);
        const news = new Set([...marks].filter((mark) => !known.has(mark)));
        await storeMarks(node.nats, lane, day, upTo, news);
      },
      catch: (cause) => (cause instanceof Error ? cause : new Error(String(cause))),
    });
  });
