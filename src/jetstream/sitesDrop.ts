/**
 * Dropping what the supernode has of a site and the site has no more. The bucket is sourced: nobody can write a marker into it, so what
 * goes is purged. What a purge displaced can come back when a server is killed (docs/decisions/nothing-is-removed.md): whoever drops
 * looks again, and again after a new connection.
 *
 * A sourced message says in a header which sequence it had at its site. Both buckets have a site's messages in the same order, so that
 * "what the site had written by then" is a beginning of what is here.
 */
import type { MsgHdrs } from "@nats-io/transport-node";
import { DeliverPolicy } from "@nats-io/jetstream";
import * as Effect from "effect/Effect";
import { dropShareMax } from "../limits.ts";
import type { JetStreamRejected, NatsUnavailable } from "../protocol/errors.ts";
import { kvStream } from "../protocol/keys.ts";
import { allSubjects, lifeSubjects, sitesBucket } from "../protocol/sites.ts";
import { listUnsafe } from "./listing.ts";
import type { NatsService } from "./Nats.ts";
import { managed } from "./Nats.ts";
import { countSince } from "./survey.ts";

const stream = kvStream(sitesBucket);
type DropError = NatsUnavailable | JetStreamRejected;

/** Sequence of a sourced message at its site; null for one that was not sourced. */
export function originOf(headers: MsgHdrs | undefined): number | null {
  // <stream> <sequence> <filters> <transforms> <subject>
  const sequence = Number((headers?.get("Nats-Stream-Source") ?? "").split(" ")[1]);
  return Number.isSafeInteger(sequence) && sequence > 0 ? sequence : null;
}

/** A marker: the key has ended. */
export const isEnd = (headers: MsgHdrs | undefined): boolean =>
  (headers?.get("KV-Operation") ?? "") !== "" || (headers?.get("Nats-Marker-Reason") ?? "") !== "";

/** Purges all that matches; of `upTo`, what stands before and at that sequence of the bucket. @returns how many keys went */
export const drop = (nats: NatsService, filter: string, upTo?: number): Effect.Effect<number, DropError> =>
  managed(`drop ${filter}`, () =>
    nats.jsm.streams.purge(stream, upTo === undefined ? { filter } : { filter, seq: upTo + 1 }),
  ).pipe(Effect.map(({ purged }) => purged));

/** The last message that matches: where it stands here, and where at its site. Null where there is none. */
export const lastOf = (nats: NatsService, filter: string) =>
  managed(`look at the last of ${filter}`, async () => {
    const message = await nats.jsm.streams.getMessage(stream, { last_by_subj: filter });
    return message === null ? null : { here: message.seq, origin: originOf(message.header) };
  });

/** Whether something of a site is here under another epoch than the one it has; null: not to be told just now, while much comes. */
export const hasFormerLives = (
  nats: NatsService,
  site: string,
  epoch: string,
): Effect.Effect<boolean | null, DropError> =>
  Effect.gen(function* () {
    const count = (filter: string) => countSince(nats, stream, filter, 0);
    const before = yield* count(lifeSubjects(site, epoch));
    const all = yield* count(allSubjects(site));
    const after = yield* count(lifeSubjects(site, epoch));
    if (all > after) return true;
    return before === after ? false : null;
  });

/** What is here of one life, without what has ended. */
export interface LifeSize {
  keys: number;
  /** Those of files. */
  files: number;
}

/** Every life of a site of which something is here, by its epoch. */
export const livesOf = (
  nats: NatsService,
  site: string,
): Effect.Effect<ReadonlyMap<string, LifeSize>, DropError> =>
  managed(`list the lives of ${site}`, async () => {
    const found = new Map<string, LifeSize>();
    await listUnsafe(
      nats,
      stream,
      { deliver_policy: DeliverPolicy.All, filter_subject: allSubjects(site), headers_only: true },
      ({ message: { subject, headers } }) => {
        const [, , , epoch = "", kind] = subject.split(".", 5);
        let size = found.get(epoch);
        if (size === undefined) found.set(epoch, (size = { keys: 0, files: 0 }));
        if (isEnd(headers)) return;
        size.keys++;
        if (kind === "file") size.files++;
      },
    );
    return found;
  });

/** A site that lost most of what it had may have lost it by mistake, and what is here be the last of it. */
export const isAsBig = (present: LifeSize, former: LifeSize): boolean =>
  present.keys >= former.keys * dropShareMax && present.files >= former.files * dropShareMax;
