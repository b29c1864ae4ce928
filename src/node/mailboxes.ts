/** What a node knows of each mailbox: how a dead worker's items are recorded, and how they go back into the queue. */
import type { Actor } from "../actors/Actor.ts";
import type { PutBackRule, PutBackRules } from "../actors/putBack.ts";
import { putBackRun, queueOfRun, runLanes, runReclaimRules } from "../actors/runSource.ts";
import { runnerJobs } from "../actors/runJob.ts";
import { itemBodyOf, itemPutBack, itemRules } from "../actors/userActors.ts";
import type { Lane, Site } from "../config/Site.ts";
import type { ReclaimRules } from "../jetstream/claims.ts";
import { getSequenceUnsafe } from "../jetstream/ledger.ts";
import type { NatsService } from "../jetstream/Nats.ts";
import { arrivalsConsumer, replaysConsumer } from "../jetstream/topology.ts";
import { runsConsumer } from "../protocol/runQueue.ts";
import type { Arrival } from "../protocol/arrival.ts";
import {
  arrivalId,
  bodyBeyond,
  bodyGiven,
  decodeArrival,
  encodeArrival,
  givenOf,
  replayed,
} from "../protocol/arrival.ts";
import type { Place } from "../protocol/keys.ts";
import {
  arrivalsStream,
  arrivalSubject,
  decodeKeyPart,
  itemMailbox,
  itemsStream,
  kvStream,
  ledgerBucket,
  objectOfTail,
  recordKey,
  replaySubject,
  runMailbox,
} from "../protocol/keys.ts";
import type { ClaimedItem, FileBody, LedgerRecord } from "../protocol/records.ts";
import { laneFacts, lanePlace } from "../protocol/route.ts";

export interface Mailboxes {
  readonly reclaim: (mailbox: string) => ReclaimRules | null;
  readonly putBack: PutBackRules;
}

/**
 * The file behind a claimed item of which no record exists yet: its arrival says it; when that has aged out, its key does. A stream that was
 * lost, or lost its end, gives its numbers out once more: an arrival of another object is none of this one's.
 */
async function fileBodyOf(nats: NatsService, lane: Lane, place: Place, item: ClaimedItem): Promise<FileBody> {
  const stored = await getSequenceUnsafe(nats, arrivalsStream, item.sequence);
  const found = stored === null ? null : decodeArrival(stored.data);
  const isOf = ({ bucket, key, day, etag }: Arrival): boolean =>
    etag === item.etag && recordKey(lanePlace(lane, bucket, key, day)) === item.record;
  const arrival = found !== null && isOf(found) ? found : null;
  const object = objectOfTail(place.tail);
  return {
    bucket: arrival?.bucket ?? object?.bucket ?? "",
    key: arrival?.key ?? object?.key ?? "",
    size: arrival?.size ?? null,
    uri: "",
    identity: null,
    metadata: null,
    via: arrival?.via ?? "unknown",
    receivedAt: arrival?.receivedAt ?? "",
    sequence: item.sequence,
    ...(arrival === null ? {} : { ...bodyGiven(arrival), ...bodyBeyond(arrival) }),
    ...(arrival?.event === undefined ? {} : { event: arrival.event }),
  };
}

const isReplayed = (record: LedgerRecord): boolean => (record.body as FileBody).via === replayed;

function filePutBack(lane: Lane): PutBackRule {
  return {
    stream: arrivalsStream,
    consumer: arrivalsConsumer(lane.name),
    consumerOf: (record) => (isReplayed(record) ? replaysConsumer(lane.name) : undefined),
    message: (place: Place, record: LedgerRecord) => {
      const body = record.body as FileBody;
      if (body.bucket === "" || body.key === "") return null;
      const facts = laneFacts(lane, body.key);
      // The record's own, whatever the lane's pattern reads by now: it would be another file's record that is written, and this one's never.
      const day = decodeKeyPart(place.day) ?? facts.day;
      const subjectOf = isReplayed(record) ? replaySubject : arrivalSubject;
      return {
        subject: subjectOf(lane.name, facts.instrument, day),
        messageId: arrivalId(body.bucket, body.key, record.etag, "", record.generation),
        data: encodeArrival(
          {
            bucket: body.bucket,
            key: body.key,
            etag: record.etag,
            size: body.size,
            instrument: facts.instrument,
            day,
            generation: record.generation,
            via: body.via,
            receivedAt: body.receivedAt,
            ...(body.given === undefined ? {} : givenOf(body.given)),
            ...(body.event === undefined ? {} : { event: body.event }),
          },
          body.beyond,
        ),
      };
    },
  };
}

/** A run goes back as a ready key of its next generation: the key is the message, so it is its own id. */
function runPutBack(lane: string): PutBackRule {
  return {
    stream: kvStream(ledgerBucket),
    consumer: runsConsumer(lane),
    consumerOf: (record) => runsConsumer(queueOfRun(lane, record)),
    message: (place, record) => putBackRun(place, record),
  };
}

export function mailboxesOf(nats: NatsService, site: Site, actors: ReadonlyArray<Actor>): Mailboxes {
  const reclaim = new Map<string, ReclaimRules>();
  const putBack = new Map<string, PutBackRule>();
  for (const lane of site.lanes.values()) {
    reclaim.set(lane.name, { rules: lane, bodyOf: (place, item) => fileBodyOf(nats, lane, place, item) });
    putBack.set(lane.name, filePutBack(lane));
  }
  const jobs = runnerJobs(site);
  for (const lane of runLanes(jobs).keys()) {
    reclaim.set(runMailbox(lane), runReclaimRules(jobs, lane));
    putBack.set(runMailbox(lane), runPutBack(lane));
  }
  for (const actor of actors) {
    if (actor.behaviour !== "claims") continue;
    const mailbox = itemMailbox(actor.options.name);
    reclaim.set(mailbox, {
      rules: itemRules(actor.options),
      bodyOf: async (place, item) => {
        const stored = await getSequenceUnsafe(nats, itemsStream, item.sequence);
        return itemBodyOf(place, stored?.data ?? null);
      },
    });
    putBack.set(mailbox, itemPutBack(actor.options.name));
  }
  return {
    reclaim: (mailbox) => reclaim.get(mailbox) ?? null,
    putBack: (mailbox) => putBack.get(mailbox) ?? null,
  };
}
