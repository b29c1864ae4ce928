/**
 * What the notifier of one receiver has in hand: deliveries by exposure, in the order in which the ledger has them. Pure; time, requests
 * and acknowledgements are the notifier's.
 *
 * Invariants: of one exposure at most one request is being made, and its files are older than all that wait. While the queue is closed no
 * request is formed: the older files of an exposure may still be in other hands.
 */
import { webhookFilesMax } from "../limits.ts";
import type { Told } from "../protocol/webhooks.ts";

interface InHand {
  readonly sequence: number;
  readonly told: Told;
  /** Of the latest delivery. */
  reply: string;
}

/** Files that are told in one request; formed once, so that each try of it is the same. */
export interface Group {
  readonly files: ReadonlyArray<InHand>;
  /** Of the queue when it was formed: a group of a former turn is somebody else's by now. */
  readonly turn: number;
}

export interface ExposureQueue {
  readonly key: string;
  readonly instrument: string;
  readonly day: string;
  readonly exposure: string;
  readonly waiting: Array<InHand>;
  /** Somebody makes its requests. */
  running: boolean;
}

export class WebhookQueue {
  readonly #exposures = new Map<string, ExposureQueue>();
  readonly #inHand = new Map<number, InHand>();
  #turn = 0;
  #closed = true;

  get size(): number {
    return this.#inHand.size;
  }

  /** Reply subjects of all that is in hand. */
  get replies(): ReadonlyArray<string> {
    return [...this.#inHand.values()].map((file) => file.reply);
  }

  /** A delivery that came again while in hand stays where it is. */
  add(key: string, sequence: number, reply: string, told: Told): void {
    const known = this.#inHand.get(sequence);
    if (known !== undefined) {
      known.reply = reply;
      return;
    }
    const file: InHand = { sequence, told, reply };
    this.#inHand.set(sequence, file);
    let of = this.#exposures.get(key);
    if (of === undefined) {
      const { instrument, day, exposure } = told;
      of = { key, instrument, day, exposure, waiting: [], running: false };
      this.#exposures.set(key, of);
    }
    // What was delivered again after the death of another node may be older than what came first.
    let at = of.waiting.length;
    while (at > 0 && (of.waiting[at - 1]?.sequence ?? 0) > sequence) at--;
    of.waiting.splice(at, 0, file);
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Nothing older than what is in hand is in any other: requests may be formed until {@link drop}. */
  open(): void {
    this.#closed = false;
  }

  /** Exposures with something to tell whose requests nobody makes; from now on the caller does. */
  start(): ReadonlyArray<ExposureQueue> {
    if (this.#closed) return [];
    const idle = [...this.#exposures.values()].filter((of) => !of.running && of.waiting.length > 0);
    for (const of of idle) of.running = true;
    return idle;
  }

  /**
   * All that waits of the exposure, as one request; null when nothing does, or the queue is closed, and then the caller makes its requests
   * no longer.
   */
  form(of: ExposureQueue): Group | null {
    const files = this.#closed ? [] : of.waiting.splice(0, webhookFilesMax);
    if (files.length > 0) return { files, turn: this.#turn };
    of.running = false;
    if (of.waiting.length === 0) this.#exposures.delete(of.key);
    return null;
  }

  stands(group: Group): boolean {
    return group.turn === this.#turn;
  }

  /** These are dealt with. @returns their reply subjects */
  done(files: ReadonlyArray<InHand>): ReadonlyArray<string> {
    for (const file of files) {
      if (this.#inHand.get(file.sequence) === file) this.#inHand.delete(file.sequence);
    }
    return files.map((file) => file.reply);
  }

  /**
   * The turn is over: nothing in hand is ours any more. Whoever makes requests for an exposure finds the queue closed when the
   * present one is over; what the next turn brings of it waits like all else.
   * @returns reply subjects of what was in hand
   */
  drop(): ReadonlyArray<string> {
    const { replies } = this;
    this.#turn++;
    this.#closed = true;
    this.#inHand.clear();
    for (const of of this.#exposures.values()) {
      of.waiting.length = 0;
      if (!of.running) this.#exposures.delete(of.key);
    }
    return replies;
  }
}
