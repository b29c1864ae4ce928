/** Dropping what a site has purged: many days in one look, because a site says how many there are (see src/jetstream/sitesDrop.ts). */
import { DeliverPolicy } from "@nats-io/jetstream";
import * as Effect from "effect/Effect";
import type { JetStreamRejected, NatsUnavailable } from "../protocol/errors.ts";
import { kvStream } from "../protocol/keys.ts";
import { sitesBucket } from "../protocol/sites.ts";
import { listUnsafe } from "./listing.ts";
import type { NatsService } from "./Nats.ts";
import { managed } from "./Nats.ts";
import { drop, originOf } from "./sitesDrop.ts";

/** The rest is for the next time. */
class Enough extends Error {}

/** Of a subject, and of a filter of days: `….<kind>.<lane>.<day>.…`. */
const dayOf = (subject: string): string => {
  const [, , , , kind = "", , day = ""] = subject.split(".", 7);
  return `${kind}.${day}`;
};

/**
 * Purges what matches any of the filters and was written at its site up to that sequence.
 * @param filters of one life of a site, and of one lane or all; no two of the same kind and day
 * @param keysMax looked at, at most, in the order in which they came
 * @returns keys that went, by filter, and whether nothing is left for another time
 */
export const dropWrittenOf = (
  nats: NatsService,
  filters: ReadonlyArray<string>,
  originUpTo: number,
  keysMax: number,
): Effect.Effect<
  { readonly dropped: ReadonlyMap<string, number>; readonly whole: boolean },
  NatsUnavailable | JetStreamRejected
> =>
  Effect.gen(function* () {
    const filterOf = new Map(filters.map((filter) => [dayOf(filter), filter]));
    const upTo = new Map<string, number>();
    let [seen, whole] = [0, true];
    yield* managed(`list what was purged of ${filters[0] ?? ""}`, async () => {
      const what = { deliver_policy: DeliverPolicy.All, filter_subjects: [...filters], headers_only: true };
      await listUnsafe(nats, kvStream(sitesBucket), what, ({ message, sequence }) => {
        const origin = originOf(message.headers);
        const filter = filterOf.get(dayOf(message.subject));
        if (origin !== null && origin <= originUpTo && filter !== undefined) upTo.set(filter, sequence);
        if (++seen >= keysMax) throw new Enough();
      }).catch((cause: unknown) => {
        if (!(cause instanceof Enough)) throw cause;
        // What was written later stands later: where nothing that goes was among them, nothing that does follows.
        whole = upTo.size === 0;
      });
    });
    const dropped = new Map<string, number>();
    for (const [filter, last] of upTo) dropped.set(filter, yield* drop(nats, filter, last));
    return { dropped, whole };
  });
