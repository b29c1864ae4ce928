/**
 * The one way in: whatever announces an object (webhook, directory, NATS subject, replay, a job's output) ends here. An arrival
 * that is answered as accepted is on disk; what cannot be understood is parked with its raw text; nothing is dropped unseen.
 */
import { createHash, hash, timingSafeEqual } from "node:crypto";
import * as Redacted from "effect/Redacted";
import type { Site, Lane } from "../config/Site.ts";
import { commitQueueMax } from "../limits.ts";
import { arrivalId, encodeArrival, givenOf, replayed } from "../protocol/arrival.ts";
import { eventOrder } from "../protocol/eventOrder.ts";
import type { JetStreamError } from "../protocol/errors.ts";
import { arrivalSubject, encodeTail, namesFit, noDay, objectTail, replaySubject } from "../protocol/keys.ts";
import type { Place } from "../protocol/keys.ts";
import type { Malformed, NotificationRecord, ObjectCreated } from "../protocol/notification.ts";
import type { FileBody, Given, LedgerRecord, ParkedIndex } from "../protocol/records.ts";
import { clipText, isoTime, recordVersion } from "../protocol/records.ts";
import { lanePlace, otherDay, profiled, queuedRecord, Router } from "../protocol/route.ts";
import type { Committed } from "./committer.ts";
import { Committer } from "./committer.ts";
import { Parker } from "./Parker.ts";
import type { NodeContextService } from "./NodeContext.ts";
import { Repeats } from "./Repeats.ts";

/** Parked records that belong to no lane stand under this name. */
export const unrouted = "unrouted";

export interface Announced extends Given {
  readonly bucket: string;
  readonly bucketAsSent?: string;
  readonly key: string;
  readonly etag: string;
  readonly size: number | null;
  readonly sequencer?: string;
  readonly eventTime?: string;
}

export type Admission =
  | {
      readonly type: "queued";
      readonly lane: string;
      readonly committed: Committed;
      readonly answer: Readonly<Record<string, string>>;
    }
  | { readonly type: "parked"; readonly reason: string }
  | { readonly type: "skipped"; readonly why: "pattern" | "secret" | "event" }
  | { readonly type: "failed"; readonly error: JetStreamError };

/** Why nothing more is accepted just now, in words; null when there is room. */
export type Pressure = string | null;

/** Bucket and key of together so many characters fit into every key, whatever a pattern repeats of them. */
const surelyFits = 180;

const isError = (value: object): value is JetStreamError => "_tag" in value;

export class FrontDoor {
  readonly #node: NodeContextService;
  readonly #router: Router<Lane>;
  readonly #committer: Committer;
  readonly #parker: Parker;
  readonly #repeats: Repeats;
  readonly #secretDigest: Buffer | null;
  /** Pending arrivals by lane, as last polled. */
  readonly backlog = new Map<string, number>();
  readonly #lanes: ReadonlyMap<string, Lane>;

  constructor(node: NodeContextService, site: Site) {
    this.#node = node;
    this.#lanes = site.lanes;
    this.#router = new Router(site.lanes.values());
    this.#committer = new Committer(node.nats);
    this.#parker = new Parker(node.nats);
    this.#repeats = new Repeats(node);
    this.#secretDigest = site.enqueuer.secret === null ? null : digest(Redacted.value(site.enqueuer.secret));
  }

  /** Compares in constant time. True where the site asks for no secret. */
  secretFits(candidate: string | null): boolean {
    if (this.#secretDigest === null) return true;
    return candidate !== null && timingSafeEqual(digest(candidate), this.#secretDigest);
  }

  pressure(records: number): Pressure {
    if (!this.#node.nats.link().connected) return "NATS is away";
    if (!this.#committer.hasRoom(records) || this.#parker.waiting + records > commitQueueMax)
      return "too many arrivals wait for their commit";
    return null;
  }

  /** Why nothing could be stored, for who sent it: a stream that somebody deleted answers no more than a NATS that is away. */
  async fault(error: JetStreamError): Promise<string> {
    if (!this.#node.nats.link().connected) return error.message;
    return (await this.#node.streams.look()) ?? error.message;
  }

  /** The lane whose backlog is over its limit, among those that the objects go to: lanes may share a bucket. */
  fullLane(objects: Iterable<{ readonly bucket: string; readonly key: string }>): string | null {
    if (![...this.#lanes.values()].some((lane) => this.#isFull(lane))) return null;
    for (const { bucket, key } of objects) {
      const routed = this.#router.route(bucket, key);
      if (routed.type === "lane" && this.#isFull(routed.lane)) return routed.lane.name;
    }
    return null;
  }

  #isFull({ name, backlogMax }: Lane): boolean {
    return (this.backlog.get(name) ?? 0) > backlogMax;
  }

  /** @param trusted the sender has shown the secret for the whole request; else each record must carry it */
  async admit(record: NotificationRecord, via: string, trusted: boolean): Promise<Admission> {
    if (!trusted && !this.secretFits(record.secret)) {
      this.#node.counters.skipped("secret", 1);
      return { type: "skipped", why: "secret" };
    }
    switch (record.type) {
      case "other":
        this.#node.counters.skipped("event", 1);
        return { type: "skipped", why: "event" };
      case "malformed":
        return this.#parkMalformed(record, via);
      case "created":
        return this.announce(record, via);
    }
  }

  async announce(object: ObjectCreated | Announced, via: string): Promise<Admission> {
    const routed = this.#router.route(object.bucket, object.key);
    if (routed.type === "skipped") {
      this.#node.counters.skipped("pattern", 1);
      return { type: "skipped", why: "pattern" };
    }
    if (routed.type === "unknown-bucket") {
      const place = { mailbox: unrouted, day: noDay, tail: objectTail(object.bucket, object.key) };
      if (!namesFit(place)) return this.#parkNameless(object, via);
      return this.#park(place, object, via, "UnknownBucket", `no lane takes bucket ${object.bucket}`);
    }
    const { lane, facts } = routed;
    if (object.bucket.length + object.key.length > surelyFits) {
      const place = lanePlace(lane, object.bucket, object.key, facts.day);
      const subject = arrivalSubject(lane.name, facts.instrument, facts.day);
      if (!namesFit(place, subject)) return this.#parkNameless(object, via);
    }
    // By the site's clock: jobs of a mission choose among files by when they came.
    const receivedAt = isoTime(Math.floor(this.#node.nats.now()));
    const again = via === replayed;
    const subjectOf = again ? replaySubject : arrivalSubject;
    const event =
      lane.onContentChange === "supersede"
        ? eventOrder(object.eventTime ?? "", object.sequencer ?? "")
        : undefined;
    const id = arrivalId(object.bucket, object.key, object.etag, object.sequencer ?? "", 0, event);
    const committed = await this.#committer.commit({
      subject: subjectOf(lane.name, facts.instrument, facts.day),
      // An id of its own: what a store announces now must not be taken for its replay, and wait with it.
      messageId: again ? `${id}~${replayed}` : id,
      data: encodeArrival({
        bucket: object.bucket,
        key: object.key,
        etag: object.etag,
        size: object.size,
        instrument: facts.instrument,
        day: facts.day,
        generation: 0,
        via,
        receivedAt,
        ...givenOf(object),
        ...(event === undefined ? {} : { event }),
      }),
    });
    if (isError(committed)) return { type: "failed", error: committed };
    if (committed.duplicate) {
      this.#node.counters.skipped("duplicate", 1);
      await this.#repeats.note(lane.name, facts.day, facts.instrument);
    } else {
      this.#node.counters.received(lane.name, 1);
      const other = otherDay(lane.kind, facts);
      if (other !== null) {
        this.#node.log("warn", "the day in the path is another than in the exposure; the path's counts", {
          lane: lane.name,
          key: object.key,
          day: facts.day,
          exposureDay: other,
        });
      }
    }
    return {
      type: "queued",
      lane: lane.name,
      committed,
      answer: queuedRecord(
        lane.kind,
        profiled(lane.profile, object.bucketAsSent ?? object.bucket),
        object.key,
        facts,
      ),
    };
  }

  #parkMalformed(record: Malformed, via: string): Promise<Admission> {
    const name = createHash("sha256").update(record.raw).digest("hex").slice(0, 32);
    const place = { mailbox: unrouted, day: noDay, tail: encodeTail(`malformed/${name}`) };
    const object = { bucket: "", key: "", etag: name, size: null };
    return this.#park(place, object, via, "MalformedNotification", record.why, record.raw);
  }

  /** Its name does not fit into a key of the ledger: it stands under a digest of it. */
  #parkNameless(object: Announced, via: string): Promise<Admission> {
    const name = createHash("sha256").update(`${object.bucket}/${object.key}`).digest("hex").slice(0, 32);
    const place = { mailbox: unrouted, day: noDay, tail: encodeTail(`nameless/${name}`) };
    const detail = `bucket, key and what the lane's pattern takes from it are too long for a key of the ledger; rename the object`;
    const nameless = { ...object, bucket: "", key: "" };
    return this.#park(
      place,
      nameless,
      via,
      "NameTooLong",
      detail,
      clipText(`${object.bucket}/${object.key}`),
    );
  }

  async #park(
    place: Place,
    object: Announced,
    via: string,
    reason: string,
    detail: string,
    raw?: string,
  ): Promise<Admission> {
    const at = isoTime(Math.floor(this.#node.nats.now()));
    const record: LedgerRecord<FileBody> = {
      v: recordVersion,
      state: "parked",
      generation: 0,
      etag: object.etag,
      claim: null,
      attempts: 0,
      crashes: 0,
      crashesAlone: 0,
      errors: [{ at, class: "permanent", reason, detail }],
      history: [{ at, event: "parked", node: this.#node.name, detail: `${reason}: ${detail}` }],
      body: {
        bucket: object.bucket,
        key: object.key,
        size: object.size,
        uri: "",
        identity: null,
        metadata: null,
        via,
        receivedAt: at,
        sequence: 0,
        ...(raw === undefined ? {} : { raw }),
      },
    };
    const index: ParkedIndex = { v: recordVersion, reason, at };
    const error = await this.#parker.park(place, record, index);
    if (error !== null) return { type: "failed", error };
    this.#node.counters.skipped(reason, 1);
    return { type: "parked", reason };
  }
}

function digest(text: string): Buffer {
  return hash("sha256", text, "buffer");
}
