/**
 * Take: block for the first message, then take what is there. Deliveries are wake-ups, not leases: what makes work safe
 * is the claim in the ledger.
 *
 * The client's `fetch` waits out its expiry for a full batch, so this speaks the pull protocol itself, on one inbox for the
 * mailbox's life. Requests are answered in order; each has a local deadline so that a lost answer cannot hang a worker.
 */
import type { Msg, Subscription } from "@nats-io/transport-node";
import { createInbox } from "@nats-io/transport-node";
import { ackWaitMs, bufferedMsMax } from "../limits.ts";
import { kvStream } from "../protocol/keys.ts";
import type { NatsService } from "./Nats.ts";
import { headerOf, readAckSubject } from "./wire.ts";

/** Of a consumer whose clients take turns, the one group that they are all in. */
export const turnsGroup = "turns";

export interface Delivery {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly sequence: number;
  /** 1 the first time. */
  readonly deliveries: number;
  readonly pending: number;
  /** Empty body with this header set on ended keys of a KV bucket. */
  readonly operation: string;
  readonly reply: string;
  readonly receivedAt: number;
}

const heartbeatMs = 1_000;
const pullMsMax = 5_000;
const noWaitMs = 2_000;
/** The turn that a request names is over. */
const wrongTurn = 423;

const nothing = new Uint8Array();
const encoder = new TextEncoder();
const progress = encoder.encode("+WPI");

type PullEnd =
  | { readonly type: "filled" }
  | { readonly type: "empty" }
  | { readonly type: "silent" }
  | { readonly type: "closed" }
  | { readonly type: "refused"; readonly detail: string };

interface Pull {
  wanted: number;
  /** Restarted by everything the server says. */
  timer: NodeJS.Timeout;
  readonly deadlineMs: number;
  readonly end: (how: PullEnd) => void;
}

/** Asked anew each time: the answer changes while a worker waits. */
const isAborted = (signal: AbortSignal | undefined): boolean => signal?.aborted === true;

const operationOf = (message: Msg): string =>
  headerOf(message, "KV-Operation") || headerOf(message, "Nats-Marker-Reason");

export class MailboxRefused extends Error {
  override readonly name = "MailboxRefused";
}

/** One worker's view of a durable consumer. Not shared between workers: each has its own inbox. */
export class Mailbox {
  readonly #nats: NatsService;
  readonly #subject: string;
  readonly #inbox: string;
  readonly #subscription: Subscription;
  /** Only what comes from a bucket can be a marker; reading headers costs more than all else about a delivery. */
  readonly #keyed: boolean;
  #buffer: Array<Delivery> = [];
  #pull: Pull | null = null;
  #pulling: Promise<PullEnd> | null = null;
  #closed = false;
  readonly stream: string;
  readonly consumer: string;
  readonly #takesTurns: boolean;
  #turn = "";

  /** @param takesTurns the consumer serves one client at a time: see {@link turn} */
  constructor(nats: NatsService, stream: string, consumer: string, takesTurns = false) {
    this.#nats = nats;
    this.#takesTurns = takesTurns;
    this.stream = stream;
    this.consumer = consumer;
    this.#keyed = stream.startsWith(kvStream(""));
    this.#subject = `${nats.apiPrefix}.CONSUMER.MSG.NEXT.${stream}.${consumer}`;
    this.#inbox = createInbox(nats.inboxPrefix);
    this.#subscription = nats.connection.subscribe(`${this.#inbox}.*`, {
      callback: (error, message) => {
        if (error === null) this.#receive(message);
      },
    });
  }

  /**
   * @param max most deliveries to return
   * @param waitMs how long to block for the first
   * @returns deliveries in stream order; none when the wait ran out or `signal` aborted
   */
  async take(max: number, waitMs: number, signal?: AbortSignal): Promise<Array<Delivery>> {
    const until = performance.now() + waitMs;
    for (;;) {
      const ready = this.#drawn(max);
      if (ready.length > 0 || this.#closed || isAborted(signal)) return ready;
      // A pull under way (a prefetch) may bring the first: wait for it rather than ask twice.
      const quick = await this.#await(this.#pulling ?? this.#start(max, true, noWaitMs), signal);
      if (this.#buffer.length > 0) continue;
      if (quick.type === "refused") throw new MailboxRefused(quick.detail);
      const left = until - performance.now();
      if (left <= 0 || isAborted(signal) || quick.type === "closed") return [];
      const blocked = await this.#await(
        this.#pulling ?? this.#start(1, false, Math.min(left, pullMsMax)),
        signal,
      );
      if (blocked.type === "refused") throw new MailboxRefused(blocked.detail);
      if (blocked.type === "filled" && max > 1) {
        // The first is here: take what else is there without waiting for more.
        await this.#await(this.#start(max - this.#buffer.length, true, noWaitMs), signal);
      }
    }
  }

  /**
   * Of a consumer whose clients take turns: names the turn that is this client's, and is "" while it is another's. When it changes,
   * what was delivered before it is somebody else's. A turn is kept by taking, and lost by not taking.
   */
  get turn(): string {
    return this.#turn;
  }

  /** Asks for the next batch while the present one is worked on; `take` finds it in the buffer. */
  prefetch(max: number): void {
    if (this.#pulling === null && this.#buffer.length === 0 && !this.#closed) {
      void this.#start(max, true, noWaitMs);
    }
  }

  ack(reply: string): void {
    if (!this.#nats.connection.isClosed()) this.#nats.connection.publish(reply, nothing);
  }

  /** Tells the server that these are still in hand. */
  working(replies: Iterable<string>): void {
    if (this.#nats.connection.isClosed()) return;
    for (const reply of replies) this.#nats.connection.publish(reply, progress);
  }

  /** Gives deliveries back for somebody else, after a delay: without one the next pull gets them again at once. */
  release(replies: Iterable<string>, delayMs: number): void {
    if (this.#nats.connection.isClosed()) return;
    const body = encoder.encode(`-NAK {"delay": ${Math.max(1, Math.round(delayMs)) * 1_000_000}}`);
    for (const reply of replies) this.#nats.connection.publish(reply, body);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.release(
      this.#buffer.map((d) => d.reply),
      1,
    );
    this.#buffer = [];
    this.#passTurn();
    this.#finish({ type: "closed" });
    this.#subscription.unsubscribe();
  }

  /** What is lost of it is only time: the turn ends by itself. */
  #passTurn(): void {
    if (this.#turn === "" || this.#nats.connection.isClosed()) return;
    const subject = `${this.#nats.apiPrefix}.CONSUMER.UNPIN.${this.stream}.${this.consumer}`;
    this.#nats.connection.publish(subject, encoder.encode(JSON.stringify({ group: turnsGroup })));
    this.#turn = "";
  }

  /** What the buffer holds, but for what has waited so long that its delivery may be somebody else's by now. */
  #drawn(max: number): Array<Delivery> {
    if (this.#buffer.length === 0) return [];
    const now = performance.now();
    const oldest = now - bufferedMsMax;
    const stale = this.#buffer.filter((d) => d.receivedAt < oldest);
    if (stale.length > 0) {
      // What is older than its ack_wait is somebody else's by now: giving it back would take it from them.
      const ours = stale.filter((d) => now - d.receivedAt < ackWaitMs);
      this.release(
        ours.map((d) => d.reply),
        1,
      );
      this.#buffer = this.#buffer.filter((d) => d.receivedAt >= oldest);
    }
    return this.#buffer.splice(0, max);
  }

  async #await(pull: Promise<PullEnd>, signal: AbortSignal | undefined): Promise<PullEnd> {
    if (signal === undefined) return pull;
    if (signal.aborted) return { type: "closed" };
    const abort = (): void => this.#finish({ type: "closed" });
    signal.addEventListener("abort", abort, { once: true });
    try {
      return await pull;
    } finally {
      signal.removeEventListener("abort", abort);
    }
  }

  #serial = 0;

  #start(batch: number, noWait: boolean, forMs: number): Promise<PullEnd> {
    const deadlineMs = noWait ? forMs : heartbeatMs * 2 + 200;
    const who = this.#takesTurns
      ? { group: turnsGroup, ...(this.#turn === "" ? {} : { id: this.#turn }) }
      : {};
    const request = noWait
      ? { ...who, batch, no_wait: true }
      : {
          ...who,
          batch,
          expires: Math.max(1_000, Math.round(forMs)) * 1_000_000,
          ...(forMs > heartbeatMs * 2 ? { idle_heartbeat: heartbeatMs * 1_000_000 } : {}),
        };
    const deadline = noWait || forMs > heartbeatMs * 2 ? deadlineMs : Math.max(1_000, forMs) + heartbeatMs;
    const promise = new Promise<PullEnd>((resolve) => {
      this.#pull = {
        wanted: batch,
        deadlineMs: deadline,
        timer: setTimeout(() => this.#finish({ type: "silent" }), deadline),
        end: resolve,
      };
    });
    this.#pulling = promise;
    this.#serial++;
    try {
      this.#nats.connection.publish(this.#subject, encoder.encode(JSON.stringify(request)), {
        reply: `${this.#inbox}.${this.#serial}`,
      });
    } catch (cause) {
      this.#finish({ type: "refused", detail: String(cause) });
    }
    return promise;
  }

  #finish(how: PullEnd): void {
    const pull = this.#pull;
    if (pull === null) return;
    clearTimeout(pull.timer);
    this.#pull = null;
    this.#pulling = null;
    pull.end(how);
  }

  #receive(message: Msg): void {
    // A status carries no reply subject; a delivery always does.
    if (message.reply === undefined || message.reply === "") {
      this.#status(message);
      return;
    }
    const info = readAckSubject(message.reply);
    if (info === null) return;
    if (this.#closed) {
      this.release([message.reply], 1);
      return;
    }
    if (this.#takesTurns) this.#turn = headerOf(message, "Nats-Pin-Id") || this.#turn;
    this.#buffer.push({
      subject: message.subject,
      data: message.data,
      sequence: info.sequence,
      deliveries: info.deliveries,
      pending: info.pending,
      operation: this.#keyed ? operationOf(message) : "",
      reply: message.reply,
      receivedAt: performance.now(),
    });
    const pull = this.#pull;
    if (pull === null) return;
    pull.timer.refresh();
    pull.wanted--;
    if (pull.wanted <= 0) this.#finish({ type: "filled" });
  }

  #status(message: Msg): void {
    const status = message.headers?.code ?? 0;
    // An answer to an earlier pull that was given up on says nothing of the present one.
    if (message.subject !== `${this.#inbox}.${this.#serial}` || this.#pull === null) return;
    if (status === 100) {
      this.#pull.timer.refresh();
    } else if (status === wrongTurn) {
      this.#turn = "";
      this.#finish({ type: "empty" });
    } else if (status === 404 || status === 408) {
      this.#finish({ type: "empty" });
    } else {
      this.#finish({ type: "refused", detail: `${status} ${message.headers?.description ?? ""}`.trim() });
    }
  }
}
