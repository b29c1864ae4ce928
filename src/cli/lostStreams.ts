/** What was lost with a stream that `topology apply` makes anew at a site that has had it, and what brings it back. */
import * as Effect from "effect/Effect";
import type { Site } from "../config/Site.ts";
import type { NatsService } from "../jetstream/Nats.ts";
import { countSince, hasStream } from "../jetstream/survey.ts";
import type { Change } from "../jetstream/topologyDiff.ts";
import type { JetStreamRejected, NatsUnavailable } from "../protocol/errors.ts";
import {
  arrivalsStream,
  itemsStream,
  kvStream,
  kvSubject,
  ledgerBucket,
  presenceBucket,
} from "../protocol/keys.ts";
import { duration, plural } from "./words.ts";

const ledger = kvStream(ledgerBucket);
const presence = kvStream(presenceBucket);
/** Those that a site has from its beginning: another that is not there may be new with this version. */
const kept = [ledger, arrivalsStream, itemsStream, presence];

/** Of lanes that announce groups, files that the ledger took note of while their groups would still be known. */
const filesWithGroups = (
  nats: NatsService,
  site: Site,
): Effect.Effect<number, NatsUnavailable | JetStreamRejected> => {
  const since = nats.now() - site.presence.lifetimeMs;
  const lanes = [...site.lanes.values()].filter(({ kind }) => kind === "exposure");
  return Effect.map(
    Effect.forEach(lanes, ({ name }) =>
      countSince(nats, ledger, kvSubject(ledgerBucket, `file.${name}.>`), since),
    ),
    (counts) => counts.reduce((sum, count) => sum + count, 0),
  );
};

const replays = "orrery replay BUCKET announces what lies in a bucket, and passes over what is known";

/**
 * @param changes as planned, or as just made
 * @returns a line for each; none where the site is new
 */
export const lostWith = (
  nats: NatsService,
  site: Site,
  changes: ReadonlyArray<Change>,
): Effect.Effect<ReadonlyArray<string>, NatsUnavailable | JetStreamRejected> =>
  Effect.gen(function* () {
    const created = new Set(
      changes.flatMap(({ kind, asset }) => (kind === "create" ? [asset.replace(/^stream /, "")] : [])),
    );
    const gone = kept.filter((name) => created.has(name));
    if (gone.length === 0 || gone.length === kept.length) return [];
    const lines: Array<string> = [];
    if (gone.includes(ledger))
      lines.push(
        `${ledger}: all that the site knew is lost with it: orrery restore brings back a backup; without one, ${replays}`,
      );
    if (gone.includes(arrivalsStream))
      lines.push(`${arrivalsStream}: what had arrived and was not settled is lost with it: ${replays}`);
    if (gone.includes(itemsStream))
      lines.push(`${itemsStream}: items that were not settled are lost with it: send them again`);
    if (gone.includes(presence) && !gone.includes(ledger) && (yield* hasStream(nats, ledger))) {
      const files = yield* filesWithGroups(nats, site);
      if (files > 0)
        lines.push(
          `${presence}: the groups of up to ${plural(files, "file")} of the last ${duration(site.presence.lifetimeMs)} are lost with it: orrery regroup puts them back, from the ledger`,
        );
    }
    return lines;
  });
