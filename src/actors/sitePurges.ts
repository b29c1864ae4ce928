/**
 * Days that sites have purged, purged at the supernode as well: a filtered purge does not come by itself, the site's `purged.…` keys do.
 *
 * Follows these. What it has seen it does at the next tick, and once more after a new connection: a purged value can come back.
 */
import type * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import type { Change } from "../jetstream/follower.ts";
import { follow } from "../jetstream/follower.ts";
import { dropWritten } from "../jetstream/sitesDrop.ts";
import { purgedDaysMax } from "../limits.ts";
import type { JetStreamRejected, NatsUnavailable } from "../protocol/errors.ts";
import type { PurgedDays } from "../protocol/purged.ts";
import { daysPurged, decodePurged, purgedFilters } from "../protocol/purged.ts";
import { lifeSubjects, sitesBucket } from "../protocol/sites.ts";
import type { NodeContextService } from "./NodeContext.ts";

interface Told {
  readonly site: string;
  readonly epoch: string;
  /** In the site's own ledger. */
  readonly key: string;
  readonly days: PurgedDays;
  done: boolean;
}

export class SitePurges {
  readonly #node: NodeContextService;
  readonly #told = new Map<string, Told>();

  constructor(node: NodeContextService) {
    this.#node = node;
  }

  #see({ key, data, ended }: Change): void {
    const [site = "", epoch = "", ...rest] = key.split(".");
    const days = ended ? null : decodePurged(data);
    if (days === null) this.#told.delete(key);
    else this.#told.set(key, { site, epoch, key: rest.join("."), days, done: false });
  }

  /** Runs until interrupted; `caughtUp` once it knows what stands. */
  readonly follow = (caughtUp: Deferred.Deferred<void>): Effect.Effect<never, NatsUnavailable> =>
    follow(
      this.#node.nats,
      { bucket: sitesBucket, keys: ["*.*.purged.>"], each: (change) => this.#see(change) },
      caughtUp,
    );

  /** All is done once more at the next tick. */
  again(): void {
    for (const told of this.#told.values()) told.done = false;
  }

  /** Of sites as they are now: of a former life all is dropped anyway. */
  tick(epochs: ReadonlyMap<string, string>): Effect.Effect<void, NatsUnavailable | JetStreamRejected> {
    return Effect.gen({ self: this }, function* () {
      for (const [key, told] of this.#told) {
        const epoch = epochs.get(told.site);
        if (epoch !== undefined && epoch !== told.epoch) this.#told.delete(key);
        if (epoch !== told.epoch || told.done) continue;
        yield* this.#purge(told);
        // Unless it was told anew meanwhile.
        told.done = true;
      }
    });
  }

  #purge({ site, epoch, key, days }: Told): Effect.Effect<void, NatsUnavailable | JetStreamRejected> {
    const filtersOf = purgedFilters(key);
    if (filtersOf === null) return Effect.void;
    const prefix = lifeSubjects(site, epoch).slice(0, -1);
    return Effect.gen({ self: this }, function* () {
      const { nats, counters, log } = this.#node;
      for (const day of daysPurged(days, purgedDaysMax)) {
        for (const filter of filtersOf(day)) {
          const keys = yield* dropWritten(nats, prefix + filter, days.upTo);
          if (keys === 0) continue;
          counters.dropped(site, "day", keys);
          log("info", "purged a day that the site has purged", { site, filter, keys });
        }
      }
    });
  }
}
