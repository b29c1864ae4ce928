/**
 * The ingester: a claims actor on a lane's arrivals.
 *
 * Receives  arrivals of one lane, in batches.
 * Does      metadata (sidecar or header) → announce groups → the lane's driver → one outcome an item.
 * Emits     file records and touched exposures (in the settle), groups (before the driver starts).
 * Fails     an item by its own fault is parked or tried again; a store or catalog that is away gives the batch back.
 */
import * as Effect from "effect/Effect";
import * as Result from "effect/Result";
import type { Lane, Site } from "../config/Site.ts";
import type { IngestDriver, IngestItem, IngestResult } from "../drivers/Driver.ts";
import { getManyUnsafe } from "../jetstream/ledger.ts";
import type { Delivery } from "../jetstream/mailbox.ts";
import { arrivalsConsumer, replaysConsumer } from "../jetstream/topology.ts";
import { bodyBeyond, bodyGiven, decodeArrival } from "../protocol/arrival.ts";
import { orderOf } from "../protocol/eventOrder.ts";
import { genericIdentity, groupSize, identityFromHeader, rubinIdentity } from "../protocol/identity.ts";
import type { HeaderFields, HeaderIdentity } from "../protocol/identity.ts";
import {
  arrivalsStream,
  encodeTail,
  exposureKey,
  isEncodable,
  kvSubject,
  ledgerBucket,
  namesFit,
  noDay,
  waitingKey,
} from "../protocol/keys.ts";
import type { Outcome } from "../protocol/lifecycle.ts";
import type { FileBody, Identity } from "../protocol/records.ts";
import { clipText, withBeyond } from "../protocol/records.ts";
import { laneFacts, lanePlace, profiled } from "../protocol/route.ts";
import { seenMark } from "../protocol/seen.ts";
import { readMetadata, sidecarBeside } from "../storage/metadata.ts";
import type { MetadataFault, MetadataOptions } from "../storage/metadata.ts";
import type { ReadError } from "../storage/errors.ts";
import type { StorageDriver } from "../storage/Storage.ts";
import { laterItemsMax, objectKeyBytesMax, subjectBytesMax } from "../limits.ts";
import { SystemFailure } from "./claims.ts";
import type { ClaimedWork, ClaimSource, Decoded, Item } from "./claimSource.ts";
import { readDataset, sameContent } from "./datasets.ts";
import type { NodeContextService } from "./NodeContext.ts";
import { announceGroups, groupOf } from "./presence.ts";
import { isPast } from "./retention.ts";
import type { SeenDays } from "./seen.ts";
import { triedBefore } from "./triedBefore.ts";

export interface IngesterNeeds {
  readonly site: Site;
  readonly lane: Lane;
  /** Null only on lanes that read nothing. */
  readonly storage: StorageDriver | null;
  readonly driver: IngestDriver;
}

/** Body of a record made from bytes that are no arrival; its work parks it. */
const undecodable = "undecodable";

function decodeFile(lane: Lane, delivery: Delivery): Decoded<FileBody> {
  const arrival = decodeArrival(delivery.data);
  if (arrival === null) {
    return {
      place: { mailbox: lane.name, day: noDay, tail: encodeTail(`${undecodable}/${delivery.sequence}`) },
      etag: "",
      generation: 0,
      body: {
        bucket: "",
        key: "",
        size: delivery.data.length,
        uri: "",
        identity: null,
        metadata: null,
        via: undecodable,
        receivedAt: "",
        sequence: delivery.sequence,
        raw: Buffer.from(delivery.data.subarray(0, 512)).toString("base64"),
      },
    };
  }
  return {
    place: lanePlace(lane, arrival.bucket, arrival.key, arrival.day),
    etag: arrival.etag,
    generation: arrival.generation,
    body: {
      bucket: arrival.bucket,
      key: arrival.key,
      size: arrival.size,
      uri: "",
      identity: null,
      metadata: null,
      via: arrival.via,
      receivedAt: arrival.receivedAt,
      sequence: delivery.sequence,
      ...bodyGiven(arrival),
      ...(arrival.event === undefined ? {} : { event: arrival.event }),
      ...bodyBeyond(arrival),
    },
  };
}

/** Arrivals of days past their retention whose files were here before the day was purged. */
async function hereBefore(
  seen: SeenDays,
  lane: Lane,
  items: ReadonlyArray<Item<FileBody>>,
): Promise<ReadonlySet<Item<FileBody>>> {
  const now = seen.now();
  const past = items.filter(({ place }) => isPast(place.day, now, lane.retentionDays));
  const before = new Set<Item<FileBody>>();
  for (const day of new Set(past.map(({ place }) => place.day))) {
    const marks = await seen.marksOf(lane.name, day);
    if (marks.count === 0) continue;
    for (const item of past) {
      const { place, etag } = item;
      if (place.day === day && marks.has(seenMark(place.tail, etag))) before.add(item);
    }
  }
  return before;
}

/** In a lane with names, content that was refused may lie in another folder or bucket than the file that is known. */
const whereItLies = ({ bucket, key, size, via, receivedAt, sequence, given = {} }: FileBody): object => ({
  bucket,
  key,
  size,
  via,
  receivedAt,
  sequence,
  given,
});

export function fileSource(lane: Lane, seen: SeenDays, storage: StorageDriver | null): ClaimSource<FileBody> {
  return {
    mailbox: lane.name,
    stream: arrivalsStream,
    consumer: arrivalsConsumer(lane.name),
    batchMax: lane.batchMax,
    later: { consumer: replaysConsumer(lane.name), batchMax: Math.min(lane.batchMax, laterItemsMax) },
    rules: lane,
    onContentChange: lane.onContentChange,
    good: "known",
    reads: "doubtful",
    orderOf: (body, than) => orderOf(body.event, than.event),
    settledBefore: (items) => hereBefore(seen, lane, items),
    carries: withBeyond,
    ...(lane.names === null ? {} : { bodyOfRefused: whereItLies }),
    ...(lane.names === null || storage === null ? {} : { sameContent: (item) => sameContent(storage, item) }),
    decode: (delivery) => decodeFile(lane, delivery),
  };
}

/** What is known of one item on its way through the batch. */
interface Prepared {
  readonly item: Item<FileBody>;
  readonly body: FileBody;
  readonly header: HeaderFields | null;
  /** Null for what need not wait. `needs` is null where nothing says for what. */
  readonly dependent: { readonly waitMaxMs: number; readonly needs: string | null } | null;
  /** Ledger key of the exposure that it adds to; null on lanes of kind object, whose files add to none. */
  readonly exposure: string | null;
}

type Preparation =
  | { readonly type: "ready"; readonly prepared: Prepared }
  | { readonly type: "outcome"; readonly outcome: Outcome<FileBody> }
  | { readonly type: "storage-away"; readonly detail: string };

export const ingestWork =
  (node: NodeContextService, needs: IngesterNeeds): ClaimedWork<FileBody, never> =>
  (items, { claim }) =>
    Effect.gen(function* () {
      const ingestSome = handOver(node, needs, claim);
      const preparations = yield* prepareInTime(needs, items);
      const away = preparations.filter((p) => p.type === "storage-away");
      const firstAway = away[0];
      if (firstAway !== undefined && away.length === items.length) {
        // Nothing could be read at all: the store is away, and that is nobody's fault.
        return yield* new SystemFailure({
          what: `storage of lane ${needs.lane.name}`,
          detail: firstAway.detail,
        });
      }
      const outcomes: Array<Outcome<FileBody> | null> = preparations.map((p) =>
        p.type === "outcome"
          ? p.outcome
          : p.type === "storage-away"
            ? { type: "transient", reason: "StorageUnavailable", detail: p.detail }
            : null,
      );
      const ready = preparations.map((p) => (p.type === "ready" ? p.prepared : null));
      yield* announce(node, needs, ready);
      const known = new Set<string>();
      yield* ingestSome(ready, outcomes, (p) => p.dependent === null);
      ready.forEach((p, i) => {
        if (p?.exposure != null && outcomes[i]?.type === "done") known.add(p.exposure);
      });
      yield* holdDependents(node, ready, outcomes, known);
      yield* ingestSome(ready, outcomes, () => true);
      return outcomes.map(
        (outcome) =>
          outcome ?? {
            type: "transient" as const,
            reason: "NoAnswer",
            detail: `driver ${needs.driver.name} did not answer for it`,
          },
      );
    });

const storageAgainMs = [100, 300, 900];
const storageAgainWithinMs = 5_000;

/**
 * A store that answers for some and not for the others is most likely asked too much: the others are asked for again before it counts as
 * an attempt of theirs. One that stands still is not: its batch would stand still with it.
 */
const prepareInTime = (
  needs: IngesterNeeds,
  items: ReadonlyArray<Item<FileBody>>,
): Effect.Effect<ReadonlyArray<Preparation>> =>
  Effect.gen(function* () {
    const began = performance.now();
    const prepared = [...(yield* prepareAll(needs, items))];
    for (const pause of storageAgainMs) {
      const away = prepared.flatMap(({ type }, i) => (type === "storage-away" ? [i] : []));
      const spent = performance.now() - began;
      if (away.length === 0 || away.length === items.length || spent > storageAgainWithinMs) break;
      yield* Effect.sleep(pause);
      const again = yield* prepareAll(
        needs,
        away.flatMap((i) => items[i] ?? []),
      );
      away.forEach((place, i) => {
        const one = again[i];
        if (one !== undefined) prepared[place] = one;
      });
    }
    return prepared;
  });

const prepareAll = (
  needs: IngesterNeeds,
  items: ReadonlyArray<Item<FileBody>>,
): Effect.Effect<ReadonlyArray<Preparation>> =>
  needs.lane.metadata === "key" && needs.lane.names === null
    ? Effect.sync(() => items.map((item) => prepareFromKey(needs, item)))
    : Effect.forEach(
        items,
        (item) => (needs.lane.names === null ? prepareFromHeader(needs, item) : prepareFromName(needs, item)),
        { concurrency: needs.lane.readsMax },
      );

function permanent(reason: string, detail: string): Preparation {
  return { type: "outcome", outcome: { type: "permanent", reason, detail } };
}

function misunderstood(item: Item<FileBody>): Preparation | null {
  return item.body.via === undecodable
    ? permanent("UndecodableArrival", "the message is no arrival; its first bytes are kept in the record")
    : null;
}

function uriOf({ lane, storage }: IngesterNeeds, item: Item<FileBody>): string {
  const { bucket, key } = item.body;
  const uri = storage === null ? `s3://${bucket}/${key}` : storage.uri(bucket, key);
  return uri.startsWith(`s3://${bucket}/`) ? `s3://${profiled(lane.profile, bucket)}/${key}` : uri;
}

function dependentOf(lane: Lane, key: string, exposure: string | null): Prepared["dependent"] {
  const need = lane.needs.find((rule) => rule.match.test(key));
  return need === undefined ? null : { waitMaxMs: need.waitMaxMs, needs: exposure };
}

function exposureOf(identity: Identity): string | null {
  return identity.instrument !== null && identity.exposure !== null
    ? exposureKey(identity.instrument, identity.day ?? noDay, identity.exposure)
    : null;
}

/**
 * Why the identity cannot become keys; null where it can. A header may say anything: one text without end in a key would cost the
 * node its connection, and with it the whole lane.
 */
function unusable(
  { place }: Item<FileBody>,
  identity: Identity,
  exposure: string | null,
  waits: boolean,
): string | null {
  const { instrument, day, exposure: name, group, detector } = identity;
  let characters = 0;
  for (const text of [instrument, day, name, group, detector]) {
    if (text === null) continue;
    characters += text.length;
    if (!isEncodable(text)) return `${JSON.stringify(text)} is no well-formed Unicode`;
    if (text.length > objectKeyBytesMax) return `${text.slice(0, 40)}… has ${text.length} characters`;
  }
  // A character becomes at most 15 in a key within a key.
  if (exposure === null || place.tail.length + place.day.length + characters * 15 < subjectBytesMax / 2)
    return null;
  const keys = waits ? [exposure, waitingKey(exposure, place)] : [exposure];
  return namesFit(place, ...keys.map((key) => kvSubject(ledgerBucket, key)))
    ? null
    : "instrument, day, exposure and key are together too long for a key of the ledger";
}

function ready(
  needs: IngesterNeeds,
  item: Item<FileBody>,
  identity: Identity,
  more: Partial<FileBody>,
  header: HeaderFields | null,
): Preparation {
  const needed = exposureOf(identity);
  const dependent = dependentOf(needs.lane, item.body.key, needed);
  const exposure = needs.lane.kind === "exposure" ? needed : null;
  const fault = unusable(item, identity, dependent?.needs ?? exposure, dependent !== null);
  if (fault !== null) return permanent("IdentityUnusable", fault);
  return {
    type: "ready",
    prepared: {
      item,
      body: { ...item.body, uri: uriOf(needs, item), identity, ...more },
      header,
      dependent,
      exposure,
    },
  };
}

function prepareFromKey(needs: IngesterNeeds, item: Item<FileBody>): Preparation {
  const fault = misunderstood(item);
  if (fault !== null) return fault;
  const facts = laneFacts(needs.lane, item.body.key);
  return facts.understood
    ? ready(needs, item, facts.identity, {}, null)
    : permanent("KeyNotUnderstood", `the lane's pattern does not match ${item.body.key}`);
}

const prepareFromName = (needs: IngesterNeeds, item: Item<FileBody>): Effect.Effect<Preparation> =>
  Effect.gen(function* () {
    const fault = misunderstood(item);
    if (fault !== null) return fault;
    const { lane, storage } = needs;
    const read = yield* readDataset(lane, storage, item.body);
    switch (read.type) {
      case "permanent":
        return permanent(read.reason, read.detail);
      case "unread":
        return faultOf(read.error);
      case "facts": {
        const { identity } = laneFacts(lane, item.body.key);
        const size = item.body.size ?? read.size;
        return ready(needs, item, identity, { dataset: read.facts, size }, null);
      }
    }
  });

const prepareFromHeader = (needs: IngesterNeeds, item: Item<FileBody>): Effect.Effect<Preparation> =>
  Effect.gen(function* () {
    const fault = misunderstood(item);
    if (fault !== null) return fault;
    const { lane, storage } = needs;
    const facts = laneFacts(lane, item.body.key);
    if (!facts.understood) {
      return permanent("KeyNotUnderstood", `the lane's pattern does not match ${item.body.key}`);
    }
    if (storage === null)
      return permanent("NoStorage", `lane ${lane.name} names no storage to read headers from`);
    const options: MetadataOptions = {
      sidecarKey: lane.sidecar === null ? () => null : sidecarBeside(lane.sidecar),
    };
    const read = yield* Effect.result(readMetadata(storage, item.body.bucket, item.body.key, options));
    if (Result.isFailure(read)) return faultOf(read.failure);
    const metadata = read.success;
    const rules = lane.identity === "rubin" ? rubinIdentity : genericIdentity;
    const found = identityFromHeader(metadata.fields, rules);
    if (Result.isFailure(found)) return permanent("MetadataIncomplete", found.failure.message);
    return ready(
      needs,
      item,
      mergedIdentity(lane, facts.identity, found.success),
      {
        metadata: extract(
          found.success,
          metadata.source,
          metadata.warnings,
          groupSize(metadata.fields, rules),
        ),
        size: metadata.info.size,
      },
      needs.driver.ignoresHeaders === true ? null : metadata.fields,
    );
  });

/** A file's own fault is permanent; what may come right by itself is tried again; a store that is away is nobody's fault. */
function faultOf(error: MetadataFault | ReadError): Preparation {
  const outcome = (type: "transient" | "permanent", reason: string): Preparation => ({
    type: "outcome",
    outcome: { type, reason, detail: error.message },
  });
  switch (error._tag) {
    case "StorageUnavailable":
      return { type: "storage-away", detail: error.message };
    case "ObjectMissing":
    case "AccessDenied":
      return outcome("transient", error._tag);
    default:
      return outcome("permanent", error._tag);
  }
}

/** The path's words win where both speak, so that a file's keys agree with where it lies; the header adds the rest. */
function mergedIdentity(lane: Lane, fromKey: Identity, header: HeaderIdentity): Identity {
  return {
    // Rubin's rules give the canonical name; any other header's spelling must not part a file from where it lies.
    instrument: lane.identity === "rubin" ? header.instrument : (fromKey.instrument ?? header.instrument),
    day: fromKey.day ?? header.day,
    exposure: fromKey.exposure ?? header.obsId ?? header.exposureId,
    group: header.group,
    snap: header.snap,
    detector: header.detector ?? fromKey.detector,
    seq: header.seqNum ?? fromKey.seq,
  };
}

function extract(
  header: HeaderIdentity,
  source: string,
  warnings: ReadonlyArray<string>,
  exposures: number | null,
): NonNullable<FileBody["metadata"]> {
  const clipped = (text: string | null): string | null => (text === null ? null : clipText(text));
  return {
    source,
    exposureId: clipText(header.exposureId),
    groupFromHeader: header.groupFromHeader,
    physicalFilter: clipped(header.physicalFilter),
    observationType: clipped(header.observationType),
    reason: clipped(header.reason),
    exposureSeconds: header.exposureSeconds,
    begin: clipped(header.begin),
    end: clipped(header.end),
    ...(exposures === null ? {} : { groupSize: exposures }),
    ...(warnings.length > 0 ? { warnings: warnings.join("; ").slice(0, 500) } : {}),
  };
}

/** Groups are announced before the driver starts: whoever waits for the file need not wait for the catalog. */
const announce = (
  node: NodeContextService,
  needs: IngesterNeeds,
  all: ReadonlyArray<Prepared | null>,
): Effect.Effect<void, SystemFailure> => {
  if (needs.lane.kind !== "exposure") return Effect.void;
  const { presence } = needs.site;
  const groups = all.flatMap((prepared) => {
    const group = prepared === null ? null : groupOf(presence, prepared.body);
    return group === null ? [] : [group];
  });
  if (groups.length === 0) return Effect.void;
  return announceGroups(node, groups, presence.lifetimeMs).pipe(
    Effect.mapError((error) => new SystemFailure({ what: "presence bucket", detail: error.message })),
  );
};

/** Gives the driver what has no outcome yet and is chosen. */
const handOver =
  (node: NodeContextService, needs: IngesterNeeds, claim: string) =>
  (
    all: ReadonlyArray<Prepared | null>,
    outcomes: Array<Outcome<FileBody> | null>,
    chosen: (prepared: Prepared) => boolean,
  ): Effect.Effect<void, SystemFailure> =>
    Effect.gen(function* () {
      const places: Array<number> = [];
      const batch: Array<IngestItem> = [];
      all.forEach((prepared, i) => {
        if (prepared === null || outcomes[i] !== null || !chosen(prepared)) return;
        places.push(i);
        batch.push({
          record: prepared.item.key,
          bucket: prepared.body.bucket,
          key: prepared.body.key,
          uri: prepared.body.uri,
          etag: prepared.item.etag,
          size: prepared.body.size,
          identity: prepared.body.identity,
          header: prepared.header,
          dependent: prepared.dependent !== null,
        });
      });
      if (batch.length === 0) return;
      const { driver } = needs;
      const work = driver.ingest(batch).pipe(
        Effect.mapError(
          (away) => new SystemFailure({ what: `catalog (${driver.name})`, detail: away.detail }),
        ),
        Effect.timeoutOrElse({
          duration: needs.lane.workDeadlineMs,
          orElse: () =>
            Effect.fail(
              new SystemFailure({
                what: `catalog (${driver.name})`,
                detail: `no answer within ${needs.lane.workDeadlineMs} ms`,
              }),
            ),
        }),
      );
      const results = yield* driver.turn === undefined ? work : driver.turn(work);
      const doubtful = places.flatMap((place, i) => {
        const item = all[place]?.item;
        return results[i]?.status === "duplicate" && item !== undefined && !looksTried(item) ? [item] : [];
      });
      const tried =
        doubtful.length === 0
          ? none
          : yield* Effect.promise(() => triedBefore(node.nats, needs.lane.name, claim, doubtful));
      places.forEach((place, i) => {
        const prepared = all[place];
        const result = results[i];
        if (prepared == null || result === undefined) return;
        const { item } = prepared;
        outcomes[place] = outcomeOf(prepared, result, looksTried(item) || tried.has(item.key));
      });
    });

const none: ReadonlySet<string> = new Set();

/** @param own an earlier try of ours may have put it into the catalog, and its answer been lost */
function outcomeOf(prepared: Prepared, result: IngestResult, own: boolean): Outcome<FileBody> {
  const { body } = prepared;
  switch (result.status) {
    case "ingested":
    case "duplicate":
      return {
        type: "done",
        body: result.status === "duplicate" && !own ? { ...body, catalogHadIt: true } : body,
        ...(prepared.exposure === null ? {} : { touches: [prepared.exposure] }),
        ...(result.status === "duplicate"
          ? { note: `the catalog had it already${result.detail === undefined ? "" : `: ${result.detail}`}` }
          : {}),
      };
    case "permanent":
      return { type: "permanent", reason: result.reason, detail: result.detail, body };
    case "retry":
      return { type: "transient", reason: result.reason, detail: result.detail, body };
    case "crash":
      return { type: "crash", detail: result.detail, body };
  }
}

/** Whether it may have been tried before, by what is known without asking. */
const looksTried = (item: Item<FileBody>): boolean => item.again || item.generation > 0 || item.held !== null;

/** Items that need their exposure wait for its key, unless it stands in the ledger or is settled in this very batch. */
const holdDependents = (
  node: NodeContextService,
  all: ReadonlyArray<Prepared | null>,
  outcomes: Array<Outcome<FileBody> | null>,
  known: ReadonlySet<string>,
): Effect.Effect<void, SystemFailure> =>
  Effect.gen(function* () {
    const asked = new Set<string>();
    all.forEach((prepared, i) => {
      const needed = prepared?.dependent?.needs ?? null;
      if (needed !== null && outcomes[i] === null && !known.has(needed)) asked.add(needed);
    });
    const keys = [...asked];
    const entries = yield* Effect.tryPromise({
      try: () => getManyUnsafe(node.nats, ledgerBucket, keys),
      catch: (cause) => new SystemFailure({ what: "ledger", detail: String(cause) }),
    });
    const missing = new Set(keys.filter((_, i) => entries[i] == null));
    all.forEach((prepared, i) => {
      if (prepared?.dependent == null || outcomes[i] !== null) return;
      const { needs: exposure } = prepared.dependent;
      if (exposure !== null && missing.has(exposure)) {
        outcomes[i] = {
          type: "not-yet",
          needs: exposure,
          waitMaxMs: prepared.dependent.waitMaxMs,
          reason: "ExposureNeverCame",
          detail: "its exposure is not known yet",
          body: prepared.body,
        };
      }
    });
  });
