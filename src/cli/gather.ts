/** Reads all that is known of one file or item: its record, its arrivals, who has it in hand, what came of it. */
import * as Effect from "effect/Effect";
import { isPast } from "../actors/retention.ts";
import { readMarks } from "../actors/seen.ts";
import type { Lane, Site } from "../config/Site.ts";
import { get, getSlotUnsafe, readStreamUnsafe, scan } from "../jetstream/ledger.ts";
import { liveNodes, subjectsOf } from "../jetstream/lease.ts";
import type { NatsService } from "../jetstream/Nats.ts";
import { mailboxState } from "../jetstream/survey.ts";
import { arrivalsConsumer, itemsConsumer, replaysConsumer } from "../jetstream/topology.ts";
import { decodeArrival, replayed, unpack } from "../protocol/arrival.ts";
import type { Place } from "../protocol/keys.ts";
import {
  arrivalsStream,
  arrivalSubject,
  claimOfKey,
  decodeKeyPart,
  dueKey,
  encodeToken,
  exposureKey,
  itemMailbox,
  itemsStream,
  itemSubject,
  kvStream,
  kvSubject,
  ledgerBucket,
  mailboxKind,
  noDay,
  objectOfTail,
  placeOfRecordKey,
  presenceBucket,
} from "../protocol/keys.ts";
import { announcedKey } from "../protocol/presence.ts";
import type { Identity } from "../protocol/records.ts";
import { decodeDue } from "../protocol/records.ts";
import { fileName, laneFacts } from "../protocol/route.ts";
import { decodeRun } from "../protocol/runs.ts";
import { seenMark } from "../protocol/seen.ts";
import type { CommandFailed } from "./failures.ts";
import { ofCause, ofJetStream } from "./failures.ts";
import { followersOf } from "./followers.ts";
import type { Found } from "./ids.ts";
import { nameOf } from "./ids.ts";
import type { SiteLink } from "./site.ts";
import { standingOf } from "./standing.ts";
import { takenOf } from "./takenWords.ts";
import type { ArrivalFact, ClaimFact, FileFacts } from "./story.ts";

type Ask<A> = Effect.Effect<A, CommandFailed>;

const plainDay = (place: Place): string => decodeKeyPart(place.day) ?? place.day;

/** Every arrival of one object that the stream still holds. Reads the whole lane, instrument and day. */
const arrivalsOf = (nats: NatsService, lane: Lane | null, place: Place): Ask<ReadonlyArray<ArrivalFact>> => {
  const named = lane !== null && lane.names !== null;
  const object = named ? { bucket: "", key: nameOf(place) } : objectOfTail(place.tail);
  if (object === null) return Effect.succeed([]);
  const instrument = lane === null ? null : laneFacts(lane, object.key).instrument;
  const filter =
    instrument === null
      ? `*.${place.mailbox}.*.${place.day}`
      : arrivalSubject(place.mailbox, instrument, plainDay(place)).replace(/^arrive/, "*");
  return readAll(nats, arrivalsStream, filter, (data) => {
    const arrival = decodeArrival(data);
    if (arrival === null) return null;
    // In a lane with names a file is the same one whichever folder or bucket it came by.
    const same = named
      ? fileName(arrival.key) === object.key
      : arrival.key === object.key && arrival.bucket === object.bucket;
    return same ? arrival : null;
  });
};

function itemOf(data: Uint8Array, id: string): ArrivalFact["arrival"] | null {
  let value: unknown;
  try {
    value = unpack(data);
  } catch {
    // No MessagePack, so not the item that is looked for.
    return null;
  }
  if (typeof value !== "object" || value === null || !("id" in value) || value.id !== id) return null;
  const { etag, generation } = value as { readonly etag?: unknown; readonly generation?: unknown };
  return {
    etag: String(etag),
    generation: typeof generation === "number" ? generation : 0,
    size: null,
    via: "send",
  };
}

const itemArrivals = (nats: NatsService, actor: string, place: Place): Ask<ReadonlyArray<ArrivalFact>> =>
  readAll(nats, itemsStream, itemSubject(actor, plainDay(place)), (data) => itemOf(data, nameOf(place)));

const readAll = (
  nats: NatsService,
  stream: string,
  filter: string,
  pick: (data: Uint8Array) => ArrivalFact["arrival"] | null,
): Ask<ReadonlyArray<ArrivalFact>> =>
  Effect.tryPromise({
    try: async () => {
      const found: Array<ArrivalFact> = [];
      await readStreamUnsafe(nats, stream, filter, (message) => {
        const arrival = pick(message.data);
        if (arrival !== null) found.push({ sequence: message.seq, at: message.at, arrival });
      });
      return found;
    },
    catch: ofCause,
  });

/** Workers that have the record in hand at this moment: one, or none. */
const claimsOn = (
  nats: NatsService,
  mailbox: string,
  record: string,
  live: ReadonlySet<string>,
): Ask<ReadonlyArray<ClaimFact>> =>
  Effect.gen(function* () {
    const prefix = kvSubject(ledgerBucket, "");
    const subjects = yield* subjectsOf(
      nats,
      kvStream(ledgerBucket),
      kvSubject(ledgerBucket, `claim.${mailbox}.>`),
    ).pipe(Effect.mapError(ofJetStream));
    const found: Array<ClaimFact> = [];
    for (const subject of subjects) {
      const key = subject.slice(prefix.length);
      const owner = claimOfKey(key);
      const held = yield* Effect.tryPromise({ try: () => getSlotUnsafe(nats, key), catch: ofCause });
      if (owner === null || held === null || held.slot.state === "idle") continue;
      const { items, since } = held.slot;
      if (!items.some((item) => item.record === record)) continue;
      found.push({
        node: owner.node,
        worker: owner.worker,
        since,
        items: items.length,
        nodeIsAlive: live.has(owner.node),
      });
    }
    return found;
  });

const stands = (nats: NatsService, bucket: string, key: string): Ask<Uint8Array | null> =>
  get(nats, bucket, key).pipe(
    Effect.map((entry) => (entry === null || entry.ended ? null : entry.data)),
    Effect.mapError(ofJetStream),
  );

const dueOf = (nats: NatsService, place: Place): Ask<FileFacts["due"]> =>
  Effect.gen(function* () {
    const key = dueKey(place);
    const data = yield* stands(nats, ledgerBucket, key);
    return data === null ? null : yield* Effect.try({ try: () => decodeDue(key, data), catch: ofCause });
  });

const groupOf = (nats: NatsService, identity: Identity | null): Ask<FileFacts["group"]> => {
  if (identity === null) return Effect.succeed(null);
  const { instrument, group, snap, detector } = identity;
  if (instrument === null || group === null || detector === null) return Effect.succeed(null);
  const key = announcedKey({ instrument, group, snap: snap ?? 0, detector });
  if (key === null) return Effect.succeed(null);
  const words = `${instrument} ${group} snap ${snap ?? 0} ${detector}`;
  return Effect.map(stands(nats, presenceBucket, key), (data) => ({
    words,
    uri: data === null ? null : new TextDecoder().decode(data),
  }));
};

const exposureOf = (
  nats: NatsService,
  lane: Lane | null,
  identity: Identity | null,
): Ask<FileFacts["exposure"]> => {
  if (identity?.instrument == null || identity.exposure === null || lane?.kind !== "exposure") {
    return Effect.succeed(null);
  }
  const { instrument, exposure } = identity;
  const key = exposureKey(instrument, identity.day ?? noDay, exposure);
  return Effect.map(stands(nats, ledgerBucket, key), (data) => ({
    name: `${instrument} ${exposure}`,
    stands: data !== null,
  }));
};

/** Runs of the file's day that have it among their inputs. */
const runsOf = (nats: NatsService, record: string, identity: Identity | null): Ask<FileFacts["runs"]> => {
  if (identity?.exposure == null) return Effect.succeed([]);
  const runs: Array<{ name: string; state: string }> = [];
  const filter = `run.*.${encodeToken(identity.day ?? noDay)}.>`;
  return scan(nats, ledgerBucket, [filter], (entry) => {
    const run = decodeRun(entry.key, entry.data);
    if (!run.body.inputs.some((input) => input.record === record)) return;
    const place = placeOfRecordKey(entry.key);
    runs.push({ name: place === null ? entry.key : nameOf(place), state: standingOf(run) });
  }).pipe(
    Effect.map(() => runs),
    Effect.mapError(ofJetStream),
  );
};

/** Whether this content was among what a purge of its day took away. */
const wasPurged = (nats: NatsService, lane: Lane, place: Place, etag: string): Ask<boolean> =>
  isPast(place.day, nats.now(), lane.retentionDays)
    ? Effect.tryPromise({
        try: async () => (await readMarks(nats, lane.name, place.day)).has(seenMark(place.tail, etag)),
        catch: ofCause,
      })
    : Effect.succeed(false);

function laneOf(site: Site, mailbox: string): Lane | null {
  return site.lanes.get(mailbox) ?? null;
}

export const gatherFile = (link: SiteLink, found: Found): Ask<FileFacts> =>
  Effect.gen(function* () {
    const { site, nats } = link;
    const { place, key } = found;
    const lane = laneOf(site, place.mailbox);
    const isItem = mailboxKind(place.mailbox) === "item";
    const actor = isItem ? place.mailbox.slice(itemMailbox("").length) : null;
    const record = (found.held?.record ?? null) as FileFacts["record"];
    const identity = record?.body.identity ?? null;
    const reading = actor === null ? arrivalsOf(nats, lane, place) : itemArrivals(nats, actor, place);
    // Of what has a record the ledger can tell all but that. Of what has none nothing can be told.
    const kept =
      record === null
        ? yield* reading
        : yield* Effect.catchIf(
            reading,
            ({ lacksStream }) => lacksStream === true,
            () => Effect.succeed(null),
          );
    const arrivals = kept ?? [];
    const live = yield* liveNodes(nats).pipe(Effect.mapError(ofJetStream));
    const claims = yield* claimsOn(nats, place.mailbox, key, new Set(live.keys()));
    const asked = arrivals.at(-1)?.arrival ?? null;
    const purged =
      record === null && lane !== null && asked !== null && (yield* wasPurged(nats, lane, place, asked.etag));
    const isReplays = actor === null && asked?.via === replayed;
    const consumerOf = isReplays ? replaysConsumer : arrivalsConsumer;
    const queue = yield* (
      actor === null
        ? mailboxState(nats, arrivalsStream, consumerOf(place.mailbox))
        : mailboxState(nats, itemsStream, itemsConsumer(actor))
    ).pipe(Effect.mapError(ofJetStream));
    return {
      now: nats.now(),
      name: nameOf(place),
      key,
      lane: place.mailbox,
      onContentChange: isItem ? "supersede" : (lane?.onContentChange ?? null),
      attemptsMax: lane?.attemptsMax ?? null,
      record,
      arrivals,
      ...(kept === null ? { arrivalsLost: actor === null ? arrivalsStream : itemsStream } : {}),
      claims,
      due: yield* dueOf(nats, place),
      queue: queue === null ? null : { ...queue, isReplays },
      group: yield* groupOf(nats, identity),
      exposure: yield* exposureOf(nats, lane, identity),
      runs: yield* runsOf(nats, key, identity),
      followers: yield* followersOf(site, nats, place.mailbox, key, found.held?.record ?? null),
      purged,
      taken:
        site.catalogue === null || lane?.names == null
          ? null
          : takenOf(site.catalogue, fileName(nameOf(place))),
      nodes: live.size,
    };
  });
