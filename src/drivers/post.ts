/**
 * One HTTP POST with a deadline over all of it and a bound on the answer. Node's own client: `fetch` has time limits of its own, which
 * a slow catalog may rightly exceed.
 */
import { Agent as HttpAgent, request as httpRequest } from "node:http";
import type { IncomingMessage } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";

export interface PostOptions {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly deadlineMs: number;
  /** Longer answers are cut off there, and marked. */
  readonly answerBytesMax: number;
  readonly signal?: AbortSignal;
}

export interface Posted {
  readonly status: number;
  readonly retryAfter: string | undefined;
  readonly body: string;
  readonly cut: boolean;
}

/**
 * No answer. `sent`: the connection stood and the request may have been received; else it surely was not.
 * `late`: the deadline ended it.
 */
export class NoAnswer extends Error {
  override readonly name = "NoAnswer";
  readonly sent: boolean;
  readonly late: boolean;
  constructor(message: string, how: { readonly sent: boolean; readonly late: boolean }) {
    super(message);
    this.sent = how.sent;
    this.late = how.late;
  }
}

function read(
  answer: IncomingMessage,
  bytesMax: number,
): Promise<{ readonly body: string; readonly cut: boolean }> {
  return new Promise((resolve, reject) => {
    const chunks: Array<Buffer> = [];
    let bytes = 0;
    const text = (): string => Buffer.concat(chunks).subarray(0, bytesMax).toString();
    answer.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      chunks.push(chunk);
      if (bytes <= bytesMax) return;
      // Nothing more of it is wanted, and the connection cannot be used again in its middle.
      resolve({ body: text(), cut: true });
      answer.destroy();
    });
    answer.once("end", () => resolve({ body: text(), cut: false }));
    answer.once("error", reject);
    answer.once("close", () => reject(new Error("the answer broke off")));
  });
}

/** Connections to one service, kept open between requests. */
export class Poster {
  readonly #url: URL;
  readonly #agent: HttpAgent | HttpsAgent;

  constructor(url: string, connectionsMax: number) {
    this.#url = new URL(url);
    const options = { keepAlive: true, maxSockets: connectionsMax, keepAliveMsecs: 10_000 };
    this.#agent = this.#url.protocol === "https:" ? new HttpsAgent(options) : new HttpAgent(options);
  }

  close(): void {
    this.#agent.destroy();
  }

  /** Follows no redirect. Rejects with {@link NoAnswer}. */
  async post(options: PostOptions): Promise<Posted> {
    try {
      return await this.#once(options);
    } catch (cause) {
      // A kept connection that the service closed as it was taken up again: most likely nothing was received.
      if (cause instanceof StaleConnection) return this.#again(options);
      throw cause;
    }
  }

  async #again(options: PostOptions): Promise<Posted> {
    try {
      return await this.#once(options);
    } catch (cause) {
      if (!(cause instanceof NoAnswer))
        throw new NoAnswer("the connection broke off", { sent: true, late: false });
      // The first time it may have been received, and been the service's end.
      throw new NoAnswer(cause.message, { sent: true, late: cause.late });
    }
  }

  #once({ headers, body, deadlineMs, answerBytesMax, signal }: PostOptions): Promise<Posted> {
    const payload = Buffer.from(body);
    return new Promise((resolve, reject) => {
      let late = false;
      let connected = false;
      const start = this.#url.protocol === "https:" ? httpsRequest : httpRequest;
      const sent = start(this.#url, {
        method: "POST",
        agent: this.#agent,
        headers: { ...headers, "content-type": "application/json", "content-length": payload.length },
        ...(signal === undefined ? {} : { signal }),
      });
      const timer = setTimeout(() => {
        late = true;
        sent.destroy(new Error(`no answer within ${deadlineMs} ms`));
      }, deadlineMs);
      const failed = (cause: Error): void => {
        clearTimeout(timer);
        const stale = sent.reusedSocket && !late && "code" in cause && cause.code === "ECONNRESET";
        reject(stale ? new StaleConnection() : new NoAnswer(reasonOf(cause), { sent: connected, late }));
      };
      sent.once("socket", (socket) => {
        if (!socket.connecting) connected = true;
        else
          socket.once(
            this.#url.protocol === "https:" ? "secureConnect" : "connect",
            () => (connected = true),
          );
      });
      sent.once("error", failed);
      sent.once("response", (answer) => {
        read(answer, answerBytesMax).then(({ body: text, cut }) => {
          clearTimeout(timer);
          const retryAfter = answer.headers["retry-after"];
          resolve({ status: answer.statusCode ?? 0, retryAfter, body: text, cut });
        }, failed);
      });
      sent.end(payload);
    });
  }
}

class StaleConnection extends Error {}

/** Several addresses that fail are one error without words of its own. */
function reasonOf(cause: Error): string {
  if (cause.message !== "") return cause.message;
  const first = cause instanceof AggregateError ? (cause.errors[0] as unknown) : undefined;
  return first instanceof Error ? first.message : String("code" in cause ? cause.code : cause.name);
}
