/**
 * Days that sites have purged, purged at the supernode as well: a filtered purge does not come by itself, the site's `purged.…` keys do.
 *
 * Follows these. What it has seen it does at the next tick, and once more after a new connection: a purged value can come back.
 *
 * Invariant: whatever a site writes costs the others no more than a slice of time a tick, and a bounded piece of memory. What is left
 * out for that is not lost: a comparison of the site finds what it has no more.
 */
import type * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import type { Change } from "../jetstream/follower.ts";
import { follow } from "../jetstream/follower.ts";
import { dropWrittenOf } from "../jetstream/sitesPurged.ts";
import { countSince } from "../jetstream/survey.ts";
import {
  purgedBytesMax,
  purgedDaysMax,
  purgedFiltersAtOnce,
  purgedKeysAtOnce,
  purgedKeysMax,
  purgeSliceMs,
} from "../limits.ts";
import type { JetStreamRejected, NatsUnavailable } from "../protocol/errors.ts";
import { kvStream } from "../protocol/keys.ts";
import { daysPurged, decodePurged, purgedFilters } from "../protocol/purged.ts";
import { lifeSubjects, sitesBucket } from "../protocol/sites.ts";
import type { NodeContextService } from "./NodeContext.ts";

interface Told {
  readonly upTo: number;
  readonly days: ReadonlyArray<string>;
  done: boolean;
}

interface Life {
  readonly site: string;
  readonly epoch: string;
  /** By their keys in the site's own ledger. */
  readonly told: Map<string, Told>;
  /** It was the site's present one: as soon as it is not, it is over. */
  wasPresent: boolean;
  saidLeftOut: boolean;
}

type PurgeError = NatsUnavailable | JetStreamRejected;

export class SitePurges {
  readonly #node: NodeContextService;
  /** By `<site>.<epoch>`. */
  readonly #lives = new Map<string, Life>();

  constructor(node: NodeContextService) {
    this.#node = node;
  }

  /** Takes one change of the bucket. */
  see({ key: whole, data, ended }: Change): void {
    const [site = "", epoch = "", ...rest] = whole.split(".");
    const key = rest.join(".");
    const of = `${site}.${epoch}`;
    let life = this.#lives.get(of);
    if (life === undefined) {
      life = { site, epoch, told: new Map(), wasPresent: false, saidLeftOut: false };
      this.#lives.set(of, life);
    }
    const days = ended || data.length > purgedBytesMax ? null : decodePurged(data);
    if (days === null || purgedFilters(key) === null) life.told.delete(key);
    else if (life.told.has(key) || life.told.size < purgedKeysMax)
      life.told.set(key, { upTo: days.upTo, days: daysPurged(days, purgedDaysMax), done: false });
    else if (!life.saidLeftOut) {
      life.saidLeftOut = true;
      this.#node.log(
        "warn",
        "a site has more records of purges than are followed: those beyond are left out",
        {
          site,
          followed: purgedKeysMax,
          leftOut: key.slice(0, 100),
        },
      );
    }
  }

  /** Records that are followed, of all sites. */
  get size(): number {
    let size = 0;
    for (const { told } of this.#lives.values()) size += told.size;
    return size;
  }

  /** Runs until interrupted; `caughtUp` once it knows what stands. */
  readonly follow = (caughtUp: Deferred.Deferred<void>): Effect.Effect<never, NatsUnavailable> =>
    follow(
      this.#node.nats,
      { bucket: sitesBucket, keys: ["*.*.purged.>"], each: (change) => this.see(change) },
      caughtUp,
    );

  /** All is done once more at the next ticks. */
  again(): void {
    for (const { told } of this.#lives.values()) for (const each of told.values()) each.done = false;
  }

  /** Of sites as they are now: of a former life all is dropped anyway. */
  tick(epochs: ReadonlyMap<string, string>): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      for (const [of, life] of this.#lives) {
        const epoch = epochs.get(life.site);
        // One that was never the present one may be about to be.
        if (epoch !== undefined && epoch !== life.epoch && life.wasPresent) this.#lives.delete(of);
        if (epoch !== life.epoch) continue;
        life.wasPresent = true;
        yield* this.#slice(life);
      }
    });
  }

  #slice(life: Life): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      const endsAt = performance.now() + purgeSliceMs;
      for (const [key, told] of Array.from(life.told)) {
        if (told.done) continue;
        if (performance.now() >= endsAt) return;
        // `done` is of what was read: a record that was told anew meanwhile is another.
        told.done = yield* Effect.catch(this.#purge(life, key, told), (error) =>
          Effect.sync(() => {
            this.#node.log("warn", "could not purge what a site has purged; it is tried again", {
              site: life.site,
              key: key.slice(0, 100),
              cause: error.message,
            });
            // Behind the others, so that one which never can be done is in nobody's way.
            if (life.told.get(key) === told) {
              life.told.delete(key);
              life.told.set(key, told);
            }
            return error._tag === "JetStreamRejected";
          }),
        );
      }
    });
  }

  /** @returns whether nothing of it is left for the next tick */
  #purge({ site, epoch }: Life, key: string, { days, upTo }: Told): Effect.Effect<boolean, PurgeError> {
    const filtersOf = purgedFilters(key);
    if (filtersOf === null) return Effect.succeed(true);
    const prefix = lifeSubjects(site, epoch).slice(0, -1);
    return Effect.gen({ self: this }, function* () {
      const { nats, counters, log } = this.#node;
      const held: Array<string> = [];
      // Most have nothing here any more, and of a lane that never was there is none: one question for all its days.
      for (const [index, filter] of filtersOf("*").entries()) {
        const count = yield* countSince(nats, kvStream(sitesBucket), prefix + filter, 0);
        if (count > 0) held.push(...days.map((day) => prefix + (filtersOf(day)[index] ?? "")));
      }
      let isWhole = true;
      for (let i = 0; i < held.length; i += purgedFiltersAtOnce) {
        const filters = held.slice(i, i + purgedFiltersAtOnce);
        const { dropped, whole } = yield* dropWrittenOf(nats, filters, upTo, purgedKeysAtOnce);
        isWhole &&= whole;
        for (const [filter, keys] of dropped) {
          if (keys === 0) continue;
          counters.dropped(site, "day", keys);
          log("info", "purged a day that the site has purged", {
            site,
            filter: filter.slice(prefix.length),
            keys,
          });
        }
      }
      return isWhole;
    });
  }
}
