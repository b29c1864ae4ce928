/**
 * Days that other sites have purged, purged from what is held of them here. No job is decided by it: files of lanes with names are kept
 * for good. It is for all that such a site's other lanes bring, which would otherwise grow without end.
 *
 * A site says in `purged.file.<lane>` what it purges, behind everything that it speaks of: so whatever stands before that key goes, and
 * what comes of such a day afterwards stays. Not exactly up to `upTo`, as the keeper does: a message here says which sequence it had at
 * the supernode, and no more which at its site. What came between the two goes here at once, and at its site an hour later.
 *
 * Done once for each time that it is told: a site tells it every hour, and a node that starts hears it again. A purged value can come back.
 */
import * as Effect from "effect/Effect";
import type { Change } from "../jetstream/follower.ts";
import type { NatsService } from "../jetstream/Nats.ts";
import { managed } from "../jetstream/Nats.ts";
import { purgedDaysMax } from "../limits.ts";
import type { JetStreamRejected, NatsUnavailable } from "../protocol/errors.ts";
import { filesOfStream, siteKeyOf } from "../protocol/filesOf.ts";
import type { PurgedDays } from "../protocol/purged.ts";
import { daysPurged, decodePurged, purgedFilters } from "../protocol/purged.ts";
import { lifeSubjects } from "../protocol/sites.ts";

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
  /** Not done yet, by key. */
  readonly #told = new Map<string, Told>();

  /** @returns false for a key of another kind */
  see({ key, data, ended, revision }: Pick<Change, "key" | "data" | "ended" | "revision">): boolean {
    const found = siteKeyOf(key);
    if (found === null || !found.key.startsWith("purged.")) return false;
    const days = ended ? null : decodePurged(data);
    if (days !== null) this.#told.set(key, { ...found, days, revision });
    return true;
  }

  /** Does what was told since; what could not be done now stays to be done. */
  tick(nats: NatsService): Effect.Effect<void, NatsUnavailable | JetStreamRejected> {
    return Effect.forEach(
      [...this.#told],
      ([key, told]) =>
        Effect.map(purge(nats, told), () => {
          if (this.#told.get(key) === told) this.#told.delete(key);
        }),
      { discard: true },
    );
  }
}

const purge = (nats: NatsService, { site, epoch, key, days, revision }: Told) => {
  const filtersOf = purgedFilters(key);
  const below = lifeSubjects(site, epoch).slice(0, -1);
  const filters = filtersOf === null ? [] : daysPurged(days, purgedDaysMax).flatMap(filtersOf);
  return Effect.forEach(
    filters,
    (filter) =>
      managed(`purge ${filter} of site ${site}`, () =>
        nats.jsm.streams.purge(filesOfStream, { filter: below + filter, seq: revision }),
      ),
    { discard: true },
  );
};
