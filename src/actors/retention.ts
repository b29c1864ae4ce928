/**
 * Retention: whole days are purged by filter, without markers. Single keys are never removed from the ledger, because a value whose
 * successor is removed comes back when the server is killed (docs/decisions/nothing-is-removed.md).
 */
import * as Effect from "effect/Effect";
import { managed } from "../jetstream/Nats.ts";
import { scan } from "../jetstream/ledger.ts";
import { kvStream, kvSubject, ledgerBucket } from "../protocol/keys.ts";
import type { NodeContextService } from "./NodeContext.ts";

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

/** Purges days in which nothing is due, waiting or parked any more. Idempotent: every node may do it. */
export const purgeOldDays = (
  node: NodeContextService,
  rules: ReadonlyArray<RetentionRule>,
): Effect.Effect<void, Error> =>
  Effect.gen(function* () {
    const now = Date.now();
    const stream = kvStream(ledgerBucket);
    const open = new Set<string>();
    // Ended keys stand there as markers, so only keys with a value count. Parked items hold their day until somebody decides.
    yield* scan(node.nats, ledgerBucket, ["due.>", "waiting.>", "parked.>"], (entry) => {
      for (const day of entry.key.match(/\.\d{8}\./g) ?? []) open.add(day.slice(1, -1));
    });
    for (const rule of rules) {
      for (const day of expiredDays(now, rule.days)) {
        if (open.has(day)) continue;
        const filters = rule.exposures
          ? ["exposure", "visit", "notified", "job", "run", "ready"].map((kind) => `${kind}.*.${day}.>`)
          : [`file.${rule.lane}.${day}.>`, `due.${rule.lane}.${day}.>`, `parked.${rule.lane}.${day}.>`];
        for (const filter of filters) {
          const purged = yield* managed(`purge ${filter}`, () =>
            node.nats.jsm.streams.purge(stream, { filter: kvSubject(ledgerBucket, filter) }),
          );
          if (purged.purged > 0) {
            node.log("info", "purged a day past its retention", { filter, keys: purged.purged });
          }
        }
      }
    }
  });
