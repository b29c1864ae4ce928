/**
 * Parks what the front door cannot hand to a lane: records that come together go in one transaction, because one each would make a
 * full request of a bucket that nobody takes wait for seconds. What stands in the ledger already stays as it is.
 */
import { parkRecordsMax } from "../limits.ts";
import { getManyUnsafe } from "../jetstream/ledger.ts";
import type { NatsService } from "../jetstream/Nats.ts";
import type { Write } from "../jetstream/transaction.ts";
import { commitUnsafe, ledgerPut } from "../jetstream/transaction.ts";
import type { JetStreamError } from "../protocol/errors.ts";
import { NatsUnavailable } from "../protocol/errors.ts";
import type { Place } from "../protocol/keys.ts";
import { ledgerBucket, parkedKey, recordKey } from "../protocol/keys.ts";
import type { FileBody, LedgerRecord, ParkedIndex } from "../protocol/records.ts";
import { encodeJson } from "../protocol/records.ts";

interface Waiting {
  /** The record and its index. */
  readonly writes: ReadonlyArray<Write>;
  readonly resolves: Array<(error: JetStreamError | null) => void>;
}

const deadlineMs = 5_000;
/** Another node parks the same: what it wrote is read, and the rest tried again. */
const rounds = 5;

const isError = (value: object): value is JetStreamError => "_tag" in value;

export class Parker {
  readonly #nats: NatsService;
  /** By the record's key. */
  readonly #queue = new Map<string, Waiting>();
  #running = false;

  constructor(nats: NatsService) {
    this.#nats = nats;
  }

  get waiting(): number {
    return this.#queue.size;
  }

  /** Null once the record and its index are on disk, or were there. */
  park(place: Place, record: LedgerRecord<FileBody>, index: ParkedIndex): Promise<JetStreamError | null> {
    const key = recordKey(place);
    return new Promise((resolve) => {
      const known = this.#queue.get(key);
      if (known !== undefined) {
        known.resolves.push(resolve);
        return;
      }
      const writes = [ledgerPut(key, encodeJson(record), 0), ledgerPut(parkedKey(place), encodeJson(index))];
      this.#queue.set(key, { writes, resolves: [resolve] });
      if (this.#running) return;
      this.#running = true;
      // After this turn's input: records of one request are parked together.
      setImmediate(() => void this.#run());
    });
  }

  async #run(): Promise<void> {
    while (this.#queue.size > 0) {
      const drawn = new Map([...this.#queue].slice(0, parkRecordsMax));
      for (const key of drawn.keys()) this.#queue.delete(key);
      const error = await this.#write(drawn).catch(
        (cause: unknown) => new NatsUnavailable({ operation: "park", detail: String(cause) }),
      );
      for (const { resolves } of drawn.values()) for (const resolve of resolves) resolve(error);
    }
    this.#running = false;
  }

  async #write(drawn: ReadonlyMap<string, Waiting>): Promise<JetStreamError | null> {
    const keys = [...drawn.keys()];
    for (let round = 1; ; round++) {
      const entries = await getManyUnsafe(this.#nats, ledgerBucket, keys);
      const writes = keys.flatMap((key, i) => (entries[i] == null ? (drawn.get(key)?.writes ?? []) : []));
      if (writes.length === 0) return null;
      const answer = await commitUnsafe(this.#nats, "park", writes, deadlineMs);
      if (!isError(answer)) return null;
      const again = answer._tag === "TransactionConflict" || answer._tag === "TransactionBusy";
      if (!again || round >= rounds) return answer;
    }
  }
}
