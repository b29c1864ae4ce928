/**
 * Claim slots: what each worker has in hand, written before it is touched and ended in the transaction that settles it.
 * The compare-and-set on the slot and on each record is the safety; everything else only decides how soon.
 */
import type { JetStreamError } from "../protocol/errors.ts";
import { NatsUnavailable, TransactionBusy } from "../protocol/errors.ts";
import type { Fields } from "../protocol/beyond.ts";
import { beyond } from "../protocol/beyond.ts";
import type { Place } from "../protocol/keys.ts";
import { claimOfKey, ledgerBucket, placeOfRecordKey, recordKey } from "../protocol/keys.ts";
import type { RetryRules, Settlement } from "../protocol/lifecycle.ts";
import { crashed } from "../protocol/lifecycle.ts";
import type { ClaimedItem, ClaimSlot, LedgerRecord } from "../protocol/records.ts";
import { encodeJson, isTerminal, recordVersion } from "../protocol/records.ts";
import { getManyUnsafe, getSlotUnsafe } from "./ledger.ts";
import type { NatsService } from "./Nats.ts";
import type { Write } from "./transaction.ts";
import { commitUnsafe, ledgerEnd, ledgerPut } from "./transaction.ts";
import { recordOrNull } from "../protocol/records.ts";

/** The writes of one settlement, the record expecting the revision that was read. */
export function writesOf<Body>(key: string, expected: number, settlement: Settlement<Body>): Array<Write> {
  const writes = [ledgerPut(key, encodeJson(settlement.record), expected)];
  if (settlement.ends !== null) writes.push(ledgerEnd(settlement.ends));
  if (settlement.begins !== null)
    writes.push(ledgerPut(settlement.begins.key, encodeJson(settlement.begins.value)));
  return writes;
}

export const idleSlot = (
  last: string | null,
  how: Extract<ClaimSlot, { state: "idle" }>["how"],
  by: string,
  triedTo = 0,
): ClaimSlot => ({ v: recordVersion, state: "idle", last, how, by, ...tried(triedTo) });

/** Of a slot in either state. */
const slotFields: Fields<ClaimSlot> = {
  v: true,
  state: true,
  last: true,
  how: true,
  by: true,
  triedTo: true,
  id: true,
  epoch: true,
  since: true,
  items: true,
};

/** The slot as it is written, with what a newer version's worker of this name wrote there besides. */
const slotPut = (key: string, slot: ClaimSlot, before: ClaimSlot | null, expected: number): Write =>
  ledgerPut(key, encodeJson(before === null ? slot : { ...beyond(before, slotFields), ...slot }), expected);

const tried = (triedTo: number): { readonly triedTo?: number } => (triedTo > 0 ? { triedTo } : {});

const lastOf = (items: ReadonlyArray<ClaimedItem>): number =>
  items.reduce((last, { sequence }) => Math.max(last, sequence), 0);

const isError = (value: object): value is JetStreamError => "_tag" in value;

/** Sends one write batch until the server has answered, for as long as the caller's signal holds and the connection is open. */
async function insist(
  nats: NatsService,
  operation: string,
  writes: ReadonlyArray<Write>,
  signal: AbortSignal,
): Promise<ReadonlyArray<number> | JetStreamError> {
  for (let attempt = 0; ; attempt++) {
    const answer = await commitUnsafe(nats, operation, writes, 3_000);
    if (!isError(answer)) return answer;
    const again = answer._tag === "TransactionBusy" || answer._tag === "NatsUnavailable";
    if (!again || signal.aborted || nats.connection.isClosed()) return answer;
    // Sent again although it may be stored: then its expected revisions no longer hold, which the caller looks into.
    await new Promise((resolve) => setTimeout(resolve, Math.min(50 * 2 ** attempt, 1_000)));
  }
}

/**
 * Reads what decides about a claim until the server has answered, as {@link insist} sends: a server that is away just then is nobody's
 * fault, and must not end the worker and count as a crash of all that it has in hand. Rejects when the connection is closed.
 */
export async function insistOnRead<A>(
  nats: NatsService,
  read: () => Promise<A>,
  signal: AbortSignal,
): Promise<A> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await read();
    } catch (cause) {
      // Of a cluster that just has no leader the server says that it is busy.
      const away = cause instanceof NatsUnavailable || cause instanceof TransactionBusy;
      if (!away || signal.aborted || nats.connection.isClosed()) throw cause;
    }
    await new Promise((resolve) => setTimeout(resolve, Math.min(50 * 2 ** attempt, 1_000)));
  }
}

export type SettleResult =
  | { readonly type: "settled"; readonly revision: number }
  /** The slot is no longer this claim's: do nothing more, acknowledge nothing. */
  | { readonly type: "lost"; readonly how: string }
  /** Some record changed meanwhile: read them and decide again. */
  | { readonly type: "conflict" }
  | { readonly type: "failed"; readonly error: JetStreamError };

/** Of this process, and not of a slot: a slot that is opened anew must not give out its ids again. */
let claims = 0;

/** One worker's slot, from its opening on. Holds the slot's revision: there is one writer, its worker, but for a reclaim. */
export class Slot {
  readonly #nats: NatsService;
  readonly key: string;
  readonly epoch: string;
  #revision: number;
  /** Tells this worker's claims from those of its node's others. */
  readonly #name: string;
  #triedTo: number;
  /** Of what is in hand. */
  #lastInHand = 0;
  /** As it stood when it was opened; null for a new one. */
  readonly #found: ClaimSlot | null;

  private constructor(
    nats: NatsService,
    key: string,
    epoch: string,
    revision: number,
    found: ClaimSlot | null,
  ) {
    this.#triedTo = found?.triedTo ?? 0;
    this.#found = found;
    this.#nats = nats;
    this.key = key;
    this.epoch = epoch;
    this.#revision = revision;
    const owner = claimOfKey(key);
    this.#name = owner === null ? key : `${owner.mailbox}-${owner.worker}`;
  }

  /** Opens a slot that is idle or was never there. A slot with something in it must be reclaimed first: returns null. */
  static async open(
    nats: NatsService,
    key: string,
    epoch: string,
    signal: AbortSignal,
  ): Promise<Slot | null> {
    const found = await getSlotUnsafe(nats, key);
    if (found !== null) {
      return found.slot.state === "idle" ? new Slot(nats, key, epoch, found.revision, found.slot) : null;
    }
    const answer = await insist(
      nats,
      "open a claim slot",
      [ledgerPut(key, encodeJson(idleSlot(null, "new", epoch)), 0)],
      signal,
    );
    if (!isError(answer)) return new Slot(nats, key, epoch, answer[0] ?? 0, null);
    if (answer._tag === "TransactionConflict") return Slot.open(nats, key, epoch, signal);
    throw answer;
  }

  /**
   * Writes what is about to be worked on.
   * @returns the claim's id; null when the slot was changed by somebody else and must be opened anew.
   */
  async claim(items: ReadonlyArray<ClaimedItem>, since: string, signal: AbortSignal): Promise<string | null> {
    const id = `${this.epoch}.${this.#name}.${claims++}`;
    const slot: ClaimSlot = {
      v: recordVersion,
      state: "claimed",
      id,
      epoch: this.epoch,
      since,
      items,
      ...tried(this.#triedTo),
    };
    this.#lastInHand = lastOf(items);
    const write = slotPut(this.key, slot, this.#found, this.#revision);
    const answer = await insist(this.#nats, "claim", [write], signal);
    if (!isError(answer)) {
      this.#revision = answer[0] ?? 0;
      return id;
    }
    if (answer._tag !== "TransactionConflict") throw answer;
    const found = await getSlotUnsafe(this.#nats, this.key);
    if (found === null) return null;
    this.#revision = found.revision;
    // An earlier send got through and its answer was lost.
    return found.slot.state === "claimed" && found.slot.id === id ? id : null;
  }

  /** What stands in the slot now. */
  current(): ReturnType<typeof getSlotUnsafe> {
    return getSlotUnsafe(this.#nats, this.key);
  }

  /** Ends the claim together with everything it settles, or not at all. */
  async settle(id: string, writes: ReadonlyArray<Write>, signal: AbortSignal): Promise<SettleResult> {
    return this.#end(id, "settled", writes, signal);
  }

  /**
   * Gives the claim back unsettled: nothing is recorded on its items, whose deliveries come again. The slot remembers how far they
   * reached: a server that is killed forgets that they were delivered before.
   */
  async release(id: string, signal: AbortSignal): Promise<SettleResult> {
    const released = await this.#end(id, "released", [], signal);
    // Only its slot is written, so a conflict means that the answer to the claim was never read: now its revision is known.
    return released.type === "conflict" ? this.#end(id, "released", [], signal) : released;
  }

  async #end(
    id: string,
    how: "settled" | "released",
    writes: ReadonlyArray<Write>,
    signal: AbortSignal,
  ): Promise<SettleResult> {
    if (how === "released") this.#triedTo = Math.max(this.#triedTo, this.#lastInHand);
    const idle = slotPut(this.key, idleSlot(id, how, this.epoch, this.#triedTo), this.#found, this.#revision);
    const answer = await insist(
      this.#nats,
      how === "settled" ? "settle" : "release",
      [...writes, idle],
      signal,
    );
    if (!isError(answer)) {
      this.#revision = answer.at(-1) ?? 0;
      return { type: "settled", revision: this.#revision };
    }
    if (answer._tag !== "TransactionConflict") return { type: "failed", error: answer };
    const found = await insistOnRead(this.#nats, () => getSlotUnsafe(this.#nats, this.key), signal);
    if (found === null) return { type: "lost", how: "the slot is gone" };
    if (found.slot.state === "idle") {
      this.#revision = found.revision;
      // An earlier send got through and its answer was lost: the slot says so.
      return found.slot.last === id && found.slot.how === how
        ? { type: "settled", revision: found.revision }
        : { type: "lost", how: `${found.slot.how} by ${found.slot.by}` };
    }
    if (found.slot.id !== id) return { type: "lost", how: `claimed as ${found.slot.id}` };
    this.#revision = found.revision;
    this.#lastInHand = lastOf(found.slot.items);
    return { type: "conflict" };
  }
}

/** What the reclaimer must know of a mailbox to put its items back. */
export interface ReclaimRules {
  readonly rules: RetryRules;
  /** What a new record says of an item of which only the claim is known. */
  readonly bodyOf: (place: Place, item: ClaimedItem) => Promise<unknown>;
  /** Further keys that end when an item goes back (a run's ready key). At most one, in place of an old index. */
  readonly endsOf?: (place: Place, item: ClaimedItem, record: LedgerRecord | null) => ReadonlyArray<Write>;
}

export type ReclaimResult =
  | { readonly type: "reclaimed"; readonly items: number; readonly claim: string }
  | { readonly type: "nothing" }
  /** Somebody else was first, or the worker settled after all. */
  | { readonly type: "lost" };

const neverAborted = new AbortController().signal;

/**
 * Takes a dead worker's claim from it: one transaction that empties the slot and writes each item's crash, its new generation
 * and its due record. Whether the worker is dead is the caller's judgement; that nothing is done twice is this transaction's.
 */
export async function reclaimSlot(
  nats: NatsService,
  key: string,
  by: string,
  why: string,
  rulesOf: (mailbox: string) => ReclaimRules | null,
  signal: AbortSignal = neverAborted,
): Promise<ReclaimResult> {
  for (let attempt = 0; attempt < 5; attempt++) {
    const found = await getSlotUnsafe(nats, key);
    if (found === null || found.slot.state === "idle") return { type: "nothing" };
    const { slot } = found;
    const owner = claimOfKey(key);
    const mailbox = owner === null ? null : rulesOf(owner.mailbox);
    if (mailbox === null) return { type: "nothing" };
    const records = await getManyUnsafe(
      nats,
      ledgerBucket,
      slot.items.map((item) => item.record),
    );
    const alone = slot.items.length === 1;
    const writes: Array<Write> = [];
    let items = 0;
    for (let i = 0; i < slot.items.length; i++) {
      const item = slot.items[i];
      if (item === undefined) continue;
      const place = placeOfRecordKey(item.record);
      if (place === null) continue;
      const entry = records[i] ?? null;
      const before = entry === null || entry.ended ? null : recordOrNull<unknown>(item.record, entry.data);
      const expected = entry?.revision ?? 0;
      if (before !== null && isNewerThanClaim(before, item)) continue;
      items++;
      const settlement =
        before !== null && isTerminal(before.state) && before.etag !== item.etag
          ? crashOnGood(before, alone)
          : crashed(
              {
                place,
                etag: item.etag,
                generation: item.generation,
                before,
                body: before?.body ?? (await mailbox.bodyOf(place, item)),
                alone,
              },
              mailbox.rules,
              { now: nats.now(), random: Math.random(), node: by, claim: slot.id },
              why,
            );
      writes.push(
        ...writesOf(recordKey(place), expected, settlement),
        ...(mailbox.endsOf?.(place, item, before) ?? []),
      );
    }
    writes.push(slotPut(key, idleSlot(slot.id, "reclaimed", by, slot.triedTo), slot, found.revision));
    const answer = await commitUnsafe(nats, "reclaim", writes, 5_000);
    if (!isError(answer)) return { type: "reclaimed", items, claim: slot.id };
    if (answer._tag === "TransactionConflict") {
      // The slot changed: somebody else did it. A record changed: read again.
      const now = await getSlotUnsafe(nats, key);
      if (now === null || now.slot.state === "idle" || now.slot.id !== slot.id) return { type: "lost" };
      continue;
    }
    if (answer._tag !== "NatsUnavailable" && answer._tag !== "TransactionBusy") throw answer;
    if (signal.aborted) throw answer;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new NatsUnavailable({ operation: `reclaim ${key}`, detail: "gave way five times" });
}

/** True where the claim's item was settled, or put back, after the claim was written. */
function isNewerThanClaim(record: LedgerRecord, item: ClaimedItem): boolean {
  if (record.etag === item.etag) return isTerminal(record.state) || record.generation !== item.generation;
  return record.generation >= item.generation;
}

/**
 * New content for a good record killed its worker: the good record stays and remembers the crash. The delivery comes
 * again by itself, because it was never acknowledged.
 */
function crashOnGood(before: LedgerRecord, alone: boolean): Settlement<unknown> {
  return {
    record: {
      ...before,
      crashes: before.crashes + 1,
      crashesAlone: before.crashesAlone + (alone ? 1 : 0),
    },
    ends: null,
    begins: null,
    touches: [],
  };
}
