/**
 * Group commit. An atomic batch costs the server about as much as some twenty single messages, however few it holds: it is
 * staged in a store of its own, which is made, synced and removed. So a few arrivals are sent singly, side by side, and what has
 * piled up behind them goes together. One that is most likely stored already goes singly: in a batch it would have all of that
 * refused, and sent once more message by message. Each caller is answered after the commit that holds its arrival, never before,
 * and a caller that hangs up changes nothing.
 *
 * Rejected: that what comes while a batch is on its way gathers for the next one. It saves next to nothing and is answered later.
 */
import {
  commitBatchFrom,
  commitDeadlineMs,
  commitIdsRemembered,
  commitQueueMax,
  commitRecordsMax,
  commitsInFlightMax,
  commitSinglesMax,
} from "../limits.ts";
import type { NatsService } from "../jetstream/Nats.ts";
import type { Write } from "../jetstream/transaction.ts";
import { commitUnsafe, publishUnsafe } from "../jetstream/transaction.ts";
import type { JetStreamError } from "../protocol/errors.ts";
import { NatsUnavailable } from "../protocol/errors.ts";
import { RecentIds } from "./RecentIds.ts";

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
  readonly #queue = new Map<string, Waiting>();
  /** Those that this process has sent before. */
  readonly #again = new Map<string, Waiting>();
  readonly #recent = new RecentIds(commitIdsRemembered);
  #batches = 0;
  #singles = 0;
  #scheduled = false;

  constructor(nats: NatsService) {
    this.#nats = nats;
  }

  /** Arrivals accepted and not yet on disk. */
  get waiting(): number {
    return this.#queue.size + this.#again.size;
  }

  /** False where another arrival would wait behind more than the limit: the caller answers 503. */
  hasRoom(count: number): boolean {
    return this.waiting + count <= commitQueueMax;
  }

  commit(write: Write & { readonly messageId: string }): Promise<Committed | JetStreamError> {
    return new Promise((resolve) => {
      const { messageId } = write;
      const known = this.#queue.get(messageId) ?? this.#again.get(messageId);
      // Equal ids in one batch would make the server refuse all of it.
      if (known === undefined) {
        const queue = this.#recent.seen(messageId) ? this.#again : this.#queue;
        queue.set(messageId, { write, resolves: [resolve] });
      } else
        known.resolves.push((result) => resolve(isError(result) ? result : { ...result, duplicate: true }));
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#scheduled || this.waiting === 0) return;
    this.#scheduled = true;
    // After this turn's input: requests read together are committed together.
    setImmediate(() => {
      this.#scheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    this.#sendSingly(this.#again);
    while (this.#queue.size >= commitBatchFrom && this.#batches < commitsInFlightMax) {
      this.#batches++;
      void this.#sendBatch(draw(this.#queue, commitRecordsMax)).finally(() => {
        this.#batches--;
        this.#schedule();
      });
    }
    if (this.#queue.size < commitBatchFrom) this.#sendSingly(this.#queue);
  }

  #sendSingly(queue: Map<string, Waiting>): void {
    for (const waiting of draw(queue, commitSinglesMax - this.#singles)) {
      this.#singles++;
      void this.#sendSingle(waiting).finally(() => {
        this.#singles--;
        this.#schedule();
      });
    }
  }

  async #sendBatch(batch: ReadonlyArray<Waiting>): Promise<void> {
    try {
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
        // One of the batch is stored already, and the server does not say which: singly, each answer says so.
        await Promise.all(batch.map((waiting) => this.#sendSingle(waiting)));
        return;
      }
      this.#failed(batch, answer);
    } catch (cause) {
      this.#failed(batch, new NatsUnavailable({ operation: "commit arrivals", detail: String(cause) }));
    }
  }

  /** Without NATS what waits has no better prospect than what was sent: batch by batch it would be told after minutes. */
  #failed(sent: ReadonlyArray<Waiting>, error: JetStreamError): void {
    for (const waiting of sent) settle(waiting, error);
    if (error._tag !== "NatsUnavailable") return;
    for (const queue of [this.#queue, this.#again]) {
      for (const waiting of draw(queue, queue.size)) settle(waiting, error);
    }
  }

  async #sendSingle(waiting: Waiting): Promise<void> {
    const answer = await publishUnsafe(this.#nats, "commit an arrival", waiting.write, commitDeadlineMs);
    if (isError(answer)) this.#failed([waiting], answer);
    else settle(waiting, { sequence: answer.seq, duplicate: answer.duplicate });
  }
}

function draw(queue: Map<string, Waiting>, max: number): ReadonlyArray<Waiting> {
  const drawn: Array<Waiting> = [];
  for (const [id, waiting] of queue) {
    if (drawn.length >= max) break;
    drawn.push(waiting);
    queue.delete(id);
  }
  return drawn;
}

function settle(waiting: Waiting, result: Committed | JetStreamError): void {
  for (const resolve of waiting.resolves) resolve(result);
}
