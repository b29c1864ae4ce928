/**
 * The days past their retention: what was in them when they were purged. Written by retention before it purges, asked by an ingester
 * about arrivals of such days only.
 */
import { lastRevisionUnsafe, scanUnsafe } from "../jetstream/ledger.ts";
import type { NatsService } from "../jetstream/Nats.ts";
import { commitUnsafe } from "../jetstream/transaction.ts";
import { seenDaysCachedMax } from "../limits.ts";
import { kvSubject, seenBucket } from "../protocol/keys.ts";
import { encodeMarks, Marks, seenFilter, seenKey } from "../protocol/seen.ts";

const commitMs = 10_000;

/** Reads a day's marks. Rejects while NATS is away. */
export async function readMarks(nats: NatsService, lane: string, day: string): Promise<Marks> {
  const marks = new Marks();
  await scanUnsafe(nats, seenBucket, [seenFilter(lane, day)], ({ data }) => marks.add(data));
  return marks;
}

/**
 * Stores what is about to be purged, up to `revision` of the ledger. Two nodes that purge the same store the same: the second finds
 * the key taken, and that is all right. Rejects unless all of it is on disk.
 */
export async function storeMarks(
  nats: NatsService,
  lane: string,
  day: string,
  revision: number,
  marks: ReadonlySet<bigint>,
): Promise<void> {
  const values = encodeMarks(marks);
  for (const [part, data] of values.entries()) {
    const write = { subject: kvSubject(seenBucket, seenKey(lane, day, revision, part)), data, expected: 0 };
    const answer = await commitUnsafe(nats, "note what is about to be purged", [write], commitMs);
    if ("_tag" in answer && answer._tag !== "TransactionConflict") throw answer;
  }
}

export class SeenDays {
  readonly #nats: NatsService;
  /** In order of use. */
  readonly #days = new Map<string, { readonly revision: number; readonly marks: Marks }>();

  constructor(nats: NatsService) {
    this.#nats = nats;
  }

  /** Epoch milliseconds by the site's clock: it says which days are past. */
  now(): number {
    return this.#nats.now();
  }

  /** What the day held whenever it was purged. Rejects while NATS is away. */
  async marksOf(lane: string, day: string): Promise<Marks> {
    const revision = await lastRevisionUnsafe(this.#nats, seenBucket);
    const name = `${lane}.${day}`;
    const known = this.#days.get(name);
    const current =
      known !== undefined && known.revision === revision
        ? known
        : { revision, marks: await readMarks(this.#nats, lane, day) };
    this.#days.delete(name);
    this.#days.set(name, current);
    for (const oldest of this.#days.keys()) {
      if (this.#days.size <= seenDaysCachedMax) break;
      this.#days.delete(oldest);
    }
    return current.marks;
  }
}
