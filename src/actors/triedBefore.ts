/**
 * Whether a try of ours may have put into the catalog what the catalog calls a duplicate. Asked only where nothing else tells: the record is
 * not there, and the delivery looks like the first. A server that was killed forgets what it delivered, so that says little; and
 * of two arrivals of one object, the other may be the one that was tried.
 *
 * Before anything is handed over it stands in a claim slot, and a slot gives nothing up without a trace: what it settled or lost to a
 * reclaim has a record, and of what it gave back it keeps how far that reached in the stream.
 */
import * as Effect from "effect/Effect";
import { getManyUnsafe } from "../jetstream/ledger.ts";
import { subjectsOf } from "../jetstream/lease.ts";
import type { NatsService } from "../jetstream/Nats.ts";
import { arrivalsConsumer, replaysConsumer } from "../jetstream/topology.ts";
import { arrivalsStream, kvStream, kvSubject, ledgerBucket } from "../protocol/keys.ts";
import { slotOrIdle } from "../protocol/records.ts";

export interface Asked {
  /** Ledger key of its record. */
  readonly key: string;
  /** Stream sequence of its arrival. */
  readonly sequence: number;
}

/**
 * @param claim the one that the items are in hand with
 * @returns keys of those that may have been tried before; all of them when the ledger does not answer
 */
export async function triedBefore(
  nats: NatsService,
  lane: string,
  claim: string,
  items: ReadonlyArray<Asked>,
): Promise<ReadonlySet<string>> {
  const all = new Set(items.map(({ key }) => key));
  try {
    const slots = await slotsOf(nats, lane);
    const given = Math.max(0, ...slots.map(({ triedTo = 0 }) => triedTo));
    if (given > 0 && (await mayStillCome(nats, lane, given))) return all;
    const inHand = new Set(
      slots.flatMap((slot) =>
        slot.state === "claimed" && slot.id !== claim ? slot.items.map(({ record }) => record) : [],
      ),
    );
    // After the slots: what one of them settled meanwhile is seen here.
    const keys = [...all];
    const records = await getManyUnsafe(nats, ledgerBucket, keys);
    const recorded = new Set(keys.filter((_, i) => records[i] != null));
    return new Set(
      items.flatMap(({ key, sequence }) =>
        sequence <= given || inHand.has(key) || recorded.has(key) ? [key] : [],
      ),
    );
  } catch {
    // Telling a receiver once too often is allowed, and not telling it is not.
    return all;
  }
}

async function slotsOf(nats: NatsService, lane: string) {
  const prefix = kvSubject(ledgerBucket, "");
  const subjects = await Effect.runPromise(
    subjectsOf(nats, kvStream(ledgerBucket), kvSubject(ledgerBucket, `claim.${lane}.>`)),
  );
  const keys = subjects.map((subject) => subject.slice(prefix.length));
  const entries = await getManyUnsafe(nats, ledgerBucket, keys);
  return keys.map((key, i) => slotOrIdle(key, entries[i]?.data ?? new Uint8Array()));
}

/** Whether something up to there is not acknowledged: it may be another arrival of an object that is asked about. */
async function mayStillCome(nats: NatsService, lane: string, upTo: number): Promise<boolean> {
  const infos = await Promise.all(
    [arrivalsConsumer(lane), replaysConsumer(lane)].map((name) =>
      nats.jsm.consumers.info(arrivalsStream, name),
    ),
  );
  return infos.some(
    (info) => info.ack_floor.stream_seq < upTo && info.num_ack_pending + info.num_pending > 0,
  );
}
