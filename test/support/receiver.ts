/** A receiver of webhooks that does what a test says, and remembers all that it was sent. */
import type { IncomingHttpHeaders, ServerResponse } from "node:http";
import { JsonServer } from "./jsonServer.ts";

export interface Received {
  readonly exposure: string;
  readonly filenames: ReadonlyArray<string>;
  readonly key: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: unknown;
  /** Epoch milliseconds. */
  readonly at: number;
  /** What it was answered; null while it is held, or was never. */
  status: number | null;
}

/** A status, at once or after a while, or `hold`: no answer until {@link Receiver.release}. */
export type Behaviour = (
  received: Received,
) => number | "hold" | { readonly status: number; readonly afterMs: number };

export class Receiver {
  readonly requests: Array<Received> = [];
  behaviour: Behaviour = () => 200;
  readonly #server = new JsonServer((body, headers, response) =>
    this.#take(body as { exp_id: string; filenames: Array<string> }, headers, response),
  );
  readonly #held: Array<{ readonly received: Received; readonly response: ServerResponse }> = [];

  static async start(): Promise<Receiver> {
    const receiver = new Receiver();
    await receiver.up();
    return receiver;
  }

  get url(): string {
    return `${this.#server.url}/webhook`;
  }

  get held(): number {
    return this.#held.length;
  }

  /** Listens, on the port that it had. */
  up(): Promise<void> {
    return this.#server.up();
  }

  #take(
    body: { readonly exp_id: string; readonly filenames: ReadonlyArray<string> },
    headers: IncomingHttpHeaders,
    response: ServerResponse,
  ): void {
    const received: Received = {
      exposure: body.exp_id,
      filenames: body.filenames,
      key: String(headers["idempotency-key"]),
      headers,
      body,
      at: Date.now(),
      status: null,
    };
    this.requests.push(received);
    const how = this.behaviour(received);
    if (how === "hold") this.#held.push({ received, response });
    else if (typeof how === "number") answer(received, response, how);
    else setTimeout(() => answer(received, response, how.status), how.afterMs).unref();
  }

  /** Gone, with every connection. */
  async down(): Promise<void> {
    this.#held.length = 0;
    await this.#server.down();
  }

  /** Answers all that it holds. */
  release(status = 200): void {
    for (const { received, response } of this.#held.splice(0)) answer(received, response, status);
  }

  get accepted(): ReadonlyArray<Received> {
    return this.requests.filter((received) => received.status === 200);
  }

  /** File names accepted of an exposure, in the order of their requests. */
  filesOf(exposure: string): ReadonlyArray<string> {
    return this.accepted.filter((one) => one.exposure === exposure).flatMap((one) => one.filenames);
  }
}

/** An answer that its sender no longer waits for is none. */
function answer(received: Received, response: ServerResponse, status: number): void {
  if (response.destroyed) return;
  received.status = status;
  response.writeHead(status, { "content-type": "text/plain" });
  response.end(status === 200 ? "thanks" : `no, with ${status}`);
}
