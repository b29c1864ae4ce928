/**
 * Group commit: arrivals that come while a commit is under way go together in the next one. Each caller is answered after
 * the commit that holds its arrival, never before, and a caller that hangs up changes nothing.
 */
import { commitDeadlineMs, commitQueueMax, commitRecordsMax, commitsInFlightMax } from "../limits.ts";
import type { NatsService } from "../jetstream/Nats.ts";
import type { Write } from "../jetstream/transaction.ts";
import { commitUnsafe, publishUnsafe } from "../jetstream/transaction.ts";
import type { JetStreamError } from "../protocol/errors.ts";
import { NatsUnavailable } from "../protocol/errors.ts";

export interface Committed {
  /** Sequence in ARRIVALS. */
  readonly sequence: number;
  /** The same content was stored already within the duplicate window. */
  readonly duplicate: boolean;
}

interface Waiting {
  readonly write: Write & { readonly messageId: string };
  readonly resolves: Array<(result: Committed | JetStreamError) => void>;
}

const isError = (value: object): value is JetStreamError => "_tag" in value;

export class Committer {
  readonly #nats: NatsService;
  #queue = new Map<string, Waiting>();
  #inFlight = 0;
  #scheduled = false;

  constructor(nats: NatsService) {
    this.#nats = nats;
  }

  /** Arrivals accepted and not yet on disk. */
  get waiting(): number {
    return this.#queue.size;
  }

  /** False where another arrival would wait behind more than the limit: the caller answers 503. */
  hasRoom(count: number): boolean {
    return this.#queue.size + count <= commitQueueMax;
  }

  commit(write: Write & { readonly messageId: string }): Promise<Committed | JetStreamError> {
    return new Promise((resolve) => {
      const known = this.#queue.get(write.messageId);
      // Equal ids in one batch would make the server refuse all of it.
      if (known === undefined) this.#queue.set(write.messageId, { write, resolves: [resolve] });
      else known.resolves.push((result) => resolve(isError(result) ? result : { ...result, duplicate: true }));
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#scheduled || this.#inFlight >= commitsInFlightMax || this.#queue.size === 0) return;
    this.#scheduled = true;
    // After this turn's input: requests read together are committed together.
    setImmediate(() => {
      this.#scheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    while (this.#queue.size > 0 && this.#inFlight < commitsInFlightMax) {
      const batch: Array<Waiting> = [];
      for (const [id, waiting] of this.#queue) {
        batch.push(waiting);
        this.#queue.delete(id);
        if (batch.length >= commitRecordsMax) break;
      }
      this.#inFlight++;
      void this.#send(batch).finally(() => {
        this.#inFlight--;
        this.#schedule();
      });
    }
  }

  async #send(batch: ReadonlyArray<Waiting>): Promise<void> {
    try {
      // Only a message of its own is told that it is a duplicate; a batch would be refused whole.
      if (batch.length === 1) return await this.#sendSingly(batch);
      const answer = await commitUnsafe(
        this.#nats,
        "commit arrivals",
        batch.map((waiting) => waiting.write),
        commitDeadlineMs,
      );
      if (!isError(answer)) {
        batch.forEach((waiting, i) => settle(waiting, { sequence: answer[i] ?? 0, duplicate: false }));
        return;
      }
      if (answer._tag === "TransactionDuplicate" || answer._tag === "TransactionBusy") {
        await this.#sendSingly(batch);
        return;
      }
      for (const waiting of batch) settle(waiting, answer);
    } catch (cause) {
      const error = new NatsUnavailable({ operation: "commit arrivals", detail: String(cause) });
      for (const waiting of batch) settle(waiting, error);
    }
  }

  /** One of the batch is stored already, and the server does not say which: singly, each answer says so. */
  async #sendSingly(batch: ReadonlyArray<Waiting>): Promise<void> {
    await Promise.all(
      batch.map(async (waiting) => {
        const answer = await publishUnsafe(this.#nats, "commit an arrival", waiting.write, commitDeadlineMs);
        settle(waiting, isError(answer) ? answer : { sequence: answer.seq, duplicate: answer.duplicate });
      }),
    );
  }
}

function settle(waiting: Waiting, result: Committed | JetStreamError): void {
  for (const resolve of waiting.resolves) resolve(result);
}
