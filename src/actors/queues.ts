/**
 * What a worker takes from: its mailbox and, where its source has one, a second queue. What comes by the second waits for whatever
 * is in the first, and holds that up by one small batch at most.
 */
import type { NatsService } from "../jetstream/Nats.ts";
import { Mailbox } from "../jetstream/mailbox.ts";
import type { ClaimSource, Taken, TakesFrom } from "./claimSource.ts";

const takeWaitMs = 5_000;
/** How long an idle worker waits before it looks into its second queue again. */
const laterLookMs = 1_000;

export class Queues implements TakesFrom {
  /** Acknowledges, extends and gives back whatever was taken, from either. */
  readonly first: Mailbox;
  readonly #second: Mailbox | null;
  readonly #batchMax: number;
  readonly #secondMax: number;
  /** The second held something when it was last looked into. */
  #more = true;

  constructor(
    nats: NatsService,
    source: Pick<ClaimSource<never>, "stream" | "consumer" | "batchMax" | "later">,
  ) {
    const { stream, consumer, batchMax, later } = source;
    this.first = new Mailbox(nats, stream, consumer);
    this.#second = later === undefined ? null : new Mailbox(nats, stream, later.consumer);
    this.#batchMax = batchMax;
    this.#secondMax = later?.batchMax ?? 0;
  }

  /** The second is looked at, not blocked on: pulls that block and are given up would pile up at the server. */
  async take(signal: AbortSignal): Promise<Taken> {
    if (this.#second === null) {
      return { deliveries: await this.first.take(this.#batchMax, takeWaitMs, signal), doubtful: false };
    }
    const first = await this.first.take(this.#batchMax, this.#more ? 0 : laterLookMs, signal);
    if (first.length > 0 || signal.aborted) return { deliveries: first, doubtful: false };
    const deliveries = await this.#second.take(this.#secondMax, 0, signal);
    this.#more = deliveries.length > 0;
    return { deliveries, doubtful: true };
  }

  prefetch(): void {
    this.first.prefetch(this.#batchMax);
  }

  close(): void {
    this.first.close();
    this.#second?.close();
  }
}
