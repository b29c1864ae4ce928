/**
 * What one runner takes from: the queues of its lane, the most urgent first.
 *
 * Live runs come before what is reprocessed, with two rules that keep each from the other's throat: every {@link redoEvery}th run is
 * one that is reprocessed, so that it goes on however much comes live; and of several workers of a node one takes live runs only, so
 * that a live run finds a worker that no long reprocessing run has in hand.
 */
import { Mailbox } from "../jetstream/mailbox.ts";
import type { NatsService } from "../jetstream/Nats.ts";
import { kvStream, ledgerBucket } from "../protocol/keys.ts";
import type { RunQueue } from "../protocol/runQueue.ts";
import { runsConsumer } from "../protocol/runQueue.ts";
import type { Taken, TakesFrom } from "./claimSource.ts";
import type { RunBell } from "./RunBell.ts";

const redoEvery = 4;
const waitMs = 5_000;

export class RunQueues implements TakesFrom {
  readonly first: Mailbox;
  readonly #nats: NatsService;
  readonly #bell: RunBell;
  readonly #live: ReadonlyArray<RunQueue>;
  readonly #redo: ReadonlyArray<RunQueue>;
  /** Opened when first looked into. */
  readonly #mailboxes = new Map<string, Mailbox>();
  /** Live runs taken since what is reprocessed had its turn. */
  #liveTaken = 0;

  /**
   * @param queues the most urgent first, the ordinary one among them
   * @param liveOnly leaves what is reprocessed to the node's other workers of the lane
   */
  constructor(
    nats: NatsService,
    bell: RunBell,
    lane: string,
    queues: ReadonlyArray<RunQueue>,
    liveOnly: boolean,
  ) {
    this.#nats = nats;
    this.#bell = bell;
    this.#live = queues.filter((queue) => queue.origin === "live");
    this.#redo = liveOnly ? [] : queues.filter((queue) => queue.origin !== "live");
    this.first = this.#mailbox(lane);
    bell.open();
  }

  async take(signal: AbortSignal): Promise<Taken> {
    // There is nothing to choose from.
    if (this.#live.length === 1 && this.#redo.length === 0) {
      return { deliveries: await this.first.take(1, waitMs, signal), doubtful: false };
    }
    const redoFirst = this.#liveTaken >= redoEvery - 1;
    const order = redoFirst ? [...this.#redo, ...this.#live] : [...this.#live, ...this.#redo];
    for (const queue of order) {
      if (!this.#bell.mayHold(queue.name)) continue;
      if (queue.exclusive !== null && this.#bell.isHeld(queue.exclusive)) continue;
      const mark = this.#bell.mark(queue.name);
      const deliveries = await this.#mailbox(queue.name).take(1, 0, signal);
      // What has ended is no run.
      if (deliveries[0]?.operation === "")
        this.#liveTaken = queue.origin === "live" ? this.#liveTaken + 1 : 0;
      if (deliveries.length > 0 || signal.aborted) return { deliveries, doubtful: false };
      this.#bell.foundEmpty(queue.name, mark);
    }
    await this.#bell.wait(waitMs, signal);
    return { deliveries: [], doubtful: false };
  }

  /** What is most urgent is asked for when there is a hand free for it, not before. */
  prefetch(): void {}

  close(): void {
    this.#bell.close();
    for (const mailbox of this.#mailboxes.values()) mailbox.close();
  }

  #mailbox(queue: string): Mailbox {
    let mailbox = this.#mailboxes.get(queue);
    if (mailbox === undefined) {
      mailbox = new Mailbox(this.#nats, kvStream(ledgerBucket), runsConsumer(queue));
      this.#mailboxes.set(queue, mailbox);
    }
    return mailbox;
  }
}
