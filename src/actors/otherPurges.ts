/**
 * Days that other sites have purged, purged from what is held of them here. No job is decided by it: files of lanes with names are kept
 * for good. It is for all that such a site's other lanes bring, which would otherwise grow without end.
 *
 * A site says in `purged.file.<lane>` what it purges, behind everything that it speaks of: so whatever stands before that key goes, and
 * what comes of such a day afterwards stays. Not exactly up to `upTo`, as the keeper does: a message here says which sequence it had at
 * the supernode, and no more which at its site. What came between the two goes here at once, and at its site an hour later.
 *
 * Done once for each time that it is told: a site tells it every hour, and a node that starts hears it again. A purged value can come back.
 *
 * Invariant: whatever a site says costs this one no more than a slice of time a tick, and a bounded piece of memory. What is left out for
 * that stays here until it is told again.
 */
import * as Effect from "effect/Effect";
import type { Change } from "../jetstream/follower.ts";
import type { NatsService } from "../jetstream/Nats.ts";
import { managed } from "../jetstream/Nats.ts";
import { countSince } from "../jetstream/survey.ts";
import { purgedBytesMax, purgedDaysMax, purgedKeysMax, purgeSliceMs } from "../limits.ts";
import type { JetStreamRejected, NatsUnavailable } from "../protocol/errors.ts";
import { filesOfStream, siteKeyOf } from "../protocol/filesOf.ts";
import type { PurgedDays } from "../protocol/purged.ts";
import { daysPurged, decodePurged, purgedFilters } from "../protocol/purged.ts";
import { lifeSubjects } from "../protocol/sites.ts";
import type { NodeContextService } from "./NodeContext.ts";

interface Told {
  readonly site: string;
  readonly epoch: string;
  /** In the site's own ledger. */
  readonly key: string;
  readonly days: PurgedDays;
  /** Of the key, in the bucket here. */
  readonly revision: number;
}

export class OtherPurges {
  /** Not done yet, by site and key. */
  readonly #told = new Map<string, Map<string, Told>>();

  /** @returns false for a key of another kind */
  see({ key, data, ended, revision }: Pick<Change, "key" | "data" | "ended" | "revision">): boolean {
    const found = siteKeyOf(key);
    if (found === null || !found.key.startsWith("purged.")) return false;
    const days = ended || data.length > purgedBytesMax ? null : decodePurged(data);
    if (days === null || purgedFilters(found.key) === null) return true;
    const told = this.#told.get(found.site) ?? new Map<string, Told>();
    this.#told.set(found.site, told);
    if (told.has(key) || told.size < purgedKeysMax) told.set(key, { ...found, days, revision });
    return true;
  }

  /** Does what was told since; what could not be done now stays to be done, unless the server will not have it. */
  tick(node: Pick<NodeContextService, "nats" | "log">): Effect.Effect<void> {
    return Effect.forEach([...this.#told.values()], (told) => slice(node, told), { discard: true });
  }

  /** Not done yet. */
  get size(): number {
    let size = 0;
    for (const told of this.#told.values()) size += told.size;
    return size;
  }
}

/** Of one site. */
const slice = (
  { nats, log }: Pick<NodeContextService, "nats" | "log">,
  told: Map<string, Told>,
): Effect.Effect<void> =>
  Effect.gen(function* () {
    const endsAt = performance.now() + purgeSliceMs;
    for (const [key, one] of Array.from(told)) {
      if (performance.now() >= endsAt) return;
      const isDone = yield* purge(nats, one).pipe(
        Effect.as(true),
        Effect.catch((error) =>
          Effect.sync(() => {
            log("warn", "what another site has purged could not be purged here", {
              of: one.site,
              key: one.key.slice(0, 100),
              cause: error.message,
            });
            return error._tag === "JetStreamRejected";
          }),
        ),
      );
      // Told anew meanwhile it is another.
      if (told.get(key) !== one) continue;
      told.delete(key);
      // Behind the others, so that one that never can be done is in nobody's way.
      if (!isDone) told.set(key, one);
    }
  });

const purge = (
  nats: NatsService,
  { site, epoch, key, days, revision }: Told,
): Effect.Effect<void, NatsUnavailable | JetStreamRejected> =>
  Effect.gen(function* () {
    const filtersOf = purgedFilters(key);
    if (filtersOf === null) return;
    const below = lifeSubjects(site, epoch).slice(0, -1);
    for (const [index, everyDay] of filtersOf("*").entries()) {
      // Most have nothing here any more: one question for all days.
      if ((yield* countSince(nats, filesOfStream, below + everyDay, 0)) === 0) continue;
      for (const day of daysPurged(days, purgedDaysMax)) {
        const filter = filtersOf(day)[index] ?? "";
        yield* managed(`purge ${filter} of site ${site}`, () =>
          nats.jsm.streams.purge(filesOfStream, { filter: below + filter, seq: revision }),
        );
      }
    }
  });
