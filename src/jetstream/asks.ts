/**
 * Requests from hot paths. The client's own `request` makes an error with its stack for every answer, good ones as well, and a
 * timer: with several thousand requests a second that is a fifth of the process. Here an answer costs a look-up in a map.
 *
 * Like the client's, it does not end when the link is lost: it waits for its deadline, because the answer may still come.
 */
import type { Msg, MsgHdrs, NatsConnection } from "@nats-io/transport-node";
import { createInbox, errors } from "@nats-io/transport-node";

interface Pending {
  readonly subject: string;
  /** On the clock of `performance.now()`. */
  readonly until: number;
  readonly deadlineMs: number;
  readonly resolve: (message: Msg) => void;
  readonly reject: (cause: Error) => void;
}

/** Deadlines are kept to within this. */
const sweepMs = 50;

/** All requests of one connection: one subscription, on an inbox for the connection's life. */
export class Asks {
  readonly #connection: NatsConnection;
  readonly #inbox: string;
  readonly #pending = new Map<string, Pending>();
  #serial = 0;
  #sweeping: NodeJS.Timeout | null = null;

  /** @param inboxPrefix left out: the client's own, `_INBOX` */
  constructor(connection: NatsConnection, inboxPrefix?: string) {
    this.#connection = connection;
    this.#inbox = `${createInbox(inboxPrefix)}.`;
    connection.subscribe(`${this.#inbox}*`, {
      callback: (error, message) => {
        if (error === null) this.#answered(message);
        else for (const [token] of this.#pending) this.#settle(token)?.reject(error);
      },
    });
  }

  /** One request, one answer; rejects at the deadline, or at once when nobody serves the subject. */
  ask(subject: string, payload: Uint8Array | string, deadlineMs: number, headers?: MsgHdrs): Promise<Msg> {
    return new Promise((resolve, reject) => {
      const token = (this.#serial++).toString(36);
      const reply = this.#inbox + token;
      // Throws on a closed connection, and so rejects.
      this.#connection.publish(subject, payload, headers === undefined ? { reply } : { reply, headers });
      const until = performance.now() + deadlineMs;
      this.#pending.set(token, { subject, until, deadlineMs, resolve, reject });
      this.#sweeping ??= setInterval(() => this.#sweep(), sweepMs);
    });
  }

  /** The server does not allow what was published on the subject: whoever waits for an answer is told so. */
  refused(subject: string, cause: Error): void {
    for (const [token, pending] of this.#pending) {
      if (pending.subject === subject) this.#settle(token)?.reject(cause);
    }
  }

  #answered(message: Msg): void {
    const pending = this.#settle(message.subject.slice(this.#inbox.length));
    if (pending === null) return;
    try {
      if (message.data.length === 0 && message.headers?.code === 503)
        pending.reject(new errors.NoRespondersError(pending.subject));
      else pending.resolve(message);
    } catch (cause) {
      // Headers that the client cannot read: thrown on, they would leave the whole connection deaf.
      pending.reject(cause instanceof Error ? cause : new Error(String(cause)));
    }
  }

  /** Null for what is settled already: an answer that came too late. */
  #settle(token: string): Pending | null {
    const pending = this.#pending.get(token);
    if (pending === undefined) return null;
    this.#pending.delete(token);
    return pending;
  }

  #sweep(): void {
    const now = performance.now();
    for (const [token, pending] of this.#pending) {
      if (pending.until > now) continue;
      this.#settle(token)?.reject(new errors.TimeoutError({ cause: `${pending.deadlineMs} ms` }));
    }
    if (this.#pending.size > 0 || this.#sweeping === null) return;
    clearInterval(this.#sweeping);
    this.#sweeping = null;
  }
}
