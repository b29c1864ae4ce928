/** From what people type to the one record that they mean. */
import * as Effect from "effect/Effect";
import { nearMiss } from "../config/nearMiss.ts";
import type { Site } from "../config/Site.ts";
import type { Held } from "../jetstream/ledger.ts";
import { getUnsafe, readStreamUnsafe } from "../jetstream/ledger.ts";
import type { NatsService } from "../jetstream/Nats.ts";
import { subjectCounts } from "../jetstream/survey.ts";
import { unrouted } from "../actors/frontDoor.ts";
import { decodeArrival } from "../protocol/arrival.ts";
import type { Place } from "../protocol/keys.ts";
import {
  arrivalsStream,
  decodeKeyPart,
  isEncodable,
  kvStream,
  kvSubject,
  ledgerBucket,
  noDay,
  objectTail,
  placeOfIndexKey,
  placeOfRecordKey,
  placeOfWaitingKey,
  recordKey,
} from "../protocol/keys.ts";
import { bucketName } from "../protocol/notification.ts";
import { decodeRecord } from "../protocol/records.ts";
import { fileName, laneFacts, lanePlace, Router } from "../protocol/route.ts";
import type { CommandFailed } from "./failures.ts";
import { misused, no, ofCause, ofJetStream } from "./failures.ts";
import { standingOf } from "./standing.ts";

/** What was typed means this place; `held` is null where the ledger has no record of it (yet). */
export interface Found {
  readonly key: string;
  readonly place: Place;
  readonly held: Held<unknown> | null;
}

const candidatesShownMax = 20;
const prefix = kvSubject(ledgerBucket, "");

/** The name behind a place, decoded: `bucket/key` of a file, the run's name, the item's id. */
export const nameOf = (place: Place): string => decodeKeyPart(place.tail) ?? place.tail;

/** The place that a whole ledger key is about: a record's own, or the record that an index stands for. */
export function placeOfKey(key: string): Place | null {
  return placeOfRecordKey(key) ?? placeOfIndexKey(key) ?? placeOfWaitingKey(key)?.place ?? null;
}

export interface ObjectName {
  readonly bucket: string;
  readonly key: string;
}

/** `s3://bucket/key` and `bucket/key`; null for text without a slash. */
export function objectOf(id: string): ObjectName | null {
  const path = id.replace(/^[a-z][a-z0-9+]*:\/\//i, "");
  const slash = path.indexOf("/");
  if (slash < 1 || slash === path.length - 1) return null;
  return { bucket: bucketName(path.slice(0, slash)), key: path.slice(slash + 1) };
}

/** Where an object's record stands: its lane's place, and the one of what no lane takes. */
export function placesOf(site: Site, object: ObjectName): ReadonlyArray<Place> {
  if (!isEncodable(object.bucket) || !isEncodable(object.key)) return [];
  const routed = new Router(site.lanes.values()).route(object.bucket, object.key);
  const lost: Place = { mailbox: unrouted, day: noDay, tail: objectTail(object.bucket, object.key) };
  return routed.type === "lane"
    ? [lanePlace(routed.lane, object.bucket, object.key, routed.facts.day), lost]
    : [lost];
}

async function holdUnsafe(nats: NatsService, place: Place): Promise<Found> {
  const key = recordKey(place);
  const entry = await getUnsafe(nats, ledgerBucket, key);
  const held =
    entry === null || entry.ended
      ? null
      : { key, revision: entry.revision, record: decodeRecord<unknown>(key, entry.data) };
  return { key, place, held };
}

const hold = (nats: NatsService, place: Place): Effect.Effect<Found, CommandFailed> =>
  Effect.tryPromise({ try: () => holdUnsafe(nats, place), catch: ofCause });

/** Where a mission's file stands: its name alone says it, whatever folders stand before it. */
const namedPlaces = (site: Site, id: string): ReadonlyArray<Place> =>
  [...site.lanes.values()].flatMap((lane) => {
    const name = fileName(id);
    if (lane.names?.recognise(name).ok !== true) return [];
    return [lanePlace(lane, "", name, laneFacts(lane, name).day)];
  });

/** A lane's name instead of the bucket's: every bucket of the lane is tried. */
function laneObjects(site: Site, object: ObjectName): ReadonlyArray<ObjectName> {
  const lane = site.lanes.get(object.bucket);
  return lane === undefined ? [] : lane.buckets.map((bucket) => ({ bucket, key: object.key }));
}

/** How well a name fits what was typed; 0 not at all. The end of a path counts more than some place in it. */
export function fitness(name: string, wanted: string): number {
  if (name === wanted) return 4;
  if (name.endsWith(`/${wanted}`)) return 3;
  if (name.endsWith(wanted)) return 2;
  return name.includes(wanted) ? 1 : 0;
}

const isClosed = (found: Found): boolean =>
  found.held !== null && standingOf(found.held.record) === "discarded";

/** Leaves out the record that an object had before a lane took it. */
function routedFirst(places: ReadonlyArray<Place>): ReadonlyArray<Place> {
  const taken = new Set(places.filter((place) => place.mailbox !== unrouted).map((place) => place.tail));
  return places.filter((place) => place.mailbox !== unrouted || !taken.has(place.tail));
}

const recordKinds = ["file", "run", "item"];

/** The places whose names fit best. A day in what was typed narrows the search, which else goes through every name. */
const search = (
  nats: NatsService,
  wanted: string,
  kinds: ReadonlyArray<string>,
): Effect.Effect<
  { readonly best: ReadonlyArray<Place>; readonly names: ReadonlySet<string> },
  CommandFailed
> =>
  Effect.gen(function* () {
    const day = /(?<!\d)\d{8}(?!\d)/.exec(wanted)?.[0];
    const names = new Set<string>();
    for (const filterDay of day === undefined ? [null] : [day, null]) {
      let best: Array<Place> = [];
      let bestFitness = 1;
      for (const kind of kinds) {
        const filter = filterDay === null ? `${kind}.>` : `${kind}.*.${filterDay}.>`;
        const keys = yield* subjectCounts(nats, kvStream(ledgerBucket), kvSubject(ledgerBucket, filter)).pipe(
          Effect.mapError(ofJetStream),
        );
        for (const subject of keys.keys()) {
          const place = placeOfRecordKey(subject.slice(prefix.length));
          if (place === null) continue;
          const name = nameOf(place);
          if (names.size < 10_000) names.add(name.slice(name.lastIndexOf("/") + 1));
          const fits = fitness(name, wanted);
          if (fits < bestFitness) continue;
          if (fits > bestFitness) best = [];
          bestFitness = fits;
          best.push(place);
        }
      }
      if (best.length > 0) return { best: routedFirst(best), names };
    }
    return { best: [], names };
  });

/** What was received and has no record yet, of the day in what was typed: without one, too much would have to be read. */
const arrivedAs = (
  site: Site,
  nats: NatsService,
  wanted: string,
): Effect.Effect<ReadonlyArray<Place>, CommandFailed> => {
  const day = /(?<!\d)\d{8}(?!\d)/.exec(wanted)?.[0];
  if (day === undefined) return Effect.succeed([]);
  return Effect.tryPromise({
    try: async () => {
      const best = new Map<string, Place>();
      let bestFitness = 1;
      await readStreamUnsafe(nats, arrivalsStream, `*.*.*.${day}`, ({ data }) => {
        const arrival = decodeArrival(data);
        if (arrival === null) return;
        const fits = fitness(`${arrival.bucket}/${arrival.key}`, wanted);
        const place = fits < bestFitness ? undefined : placesOf(site, arrival)[0];
        if (place === undefined || place.mailbox === unrouted) return;
        if (fits > bestFitness) best.clear();
        bestFitness = fits;
        best.set(recordKey(place), place);
      });
      return [...best.values()];
    },
    catch: ofCause,
  });
};

function ambiguous(id: string, places: ReadonlyArray<Place>): CommandFailed {
  const shown = places.slice(0, candidatesShownMax).map((place) => `  ${recordKey(place)}`);
  const more = places.length > shown.length ? [`  … and ${places.length - shown.length} more`] : [];
  return misused(
    [`${JSON.stringify(id)} could be any of ${places.length}; say more of it:`, ...shown, ...more].join("\n"),
  );
}

/**
 * The record that is meant by a ledger key, `bucket/key`, `s3://bucket/key`, `lane/key`, or the end (or any part that no
 * other has) of a name. Where an object's name is whole and the ledger has no record of it, `held` is null:
 * whether it ever arrived is for the caller to find out.
 * @param kind what the caller is about: among names that are not whole these come first
 */
export const findRecord = (
  site: Site,
  nats: NatsService,
  id: string,
  kind: "run" | null = null,
): Effect.Effect<Found, CommandFailed> =>
  Effect.gen(function* () {
    const direct = placeOfKey(id);
    if (direct !== null) {
      const found = yield* hold(nats, direct);
      if (found.held !== null) return found;
    }
    const object = objectOf(id);
    const objects = object === null ? [] : [object, ...laneObjects(site, object)];
    const places = [...objects.flatMap((one) => placesOf(site, one)), ...namedPlaces(site, id)];
    const expected = places.find((place) => place.mailbox !== unrouted);
    for (const place of places) {
      const found = yield* hold(nats, place);
      // What no lane took and was announced to one since: that lane's record is meant, also before it is there.
      if (place.mailbox === unrouted && expected !== undefined && isClosed(found)) {
        return yield* hold(nats, expected);
      }
      if (found.held !== null) return found;
    }
    const wanted = id.replace(/^[a-z][a-z0-9+]*:\/\//i, "");
    const ofKind = kind === null ? null : yield* search(nats, wanted, [kind]);
    const { best, names } =
      ofKind !== null && ofKind.best.length > 0 ? ofKind : yield* search(nats, wanted, recordKinds);
    const [only, ...others] = best;
    if (only !== undefined && others.length === 0) {
      const found = yield* hold(nats, only);
      if (found.held !== null) return found;
    }
    if (only !== undefined && others.length > 0) return yield* ambiguous(id, best);
    if (expected !== undefined) return yield* hold(nats, expected);
    const received = yield* arrivedAs(site, nats, wanted);
    if (received.length > 1) return yield* ambiguous(id, received);
    if (received[0] !== undefined) return yield* hold(nats, received[0]);
    const near = nearMiss(wanted.slice(wanted.lastIndexOf("/") + 1), names);
    const hint = near === null ? "" : `; did you mean ${near}?`;
    return yield* no(
      `site ${site.name} knows nothing of ${JSON.stringify(id)}${hint}${near === null ? "; perhaps received and not settled yet: ask with BUCKET/KEY" : ""}`,
    );
  });

/** As {@link findRecord}, for commands that need the record itself. */
export const needRecord = (
  site: Site,
  nats: NatsService,
  id: string,
  kind: "run" | null = null,
): Effect.Effect<Found & { readonly held: Held<unknown> }, CommandFailed> =>
  Effect.flatMap(findRecord(site, nats, id, kind), (found) => {
    const { held } = found;
    return held === null
      ? Effect.fail(
          no(`the ledger has no record of ${nameOf(found.place)} (yet); orrery why tells whether it arrived`),
        )
      : Effect.succeed({ ...found, held });
  });
