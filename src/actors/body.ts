/** A request's body, whole and bounded. */
import type { IncomingMessage, ServerResponse } from "node:http";
import * as Schema from "effect/Schema";
import { bodyFreeBytes, httpLingerMs } from "../limits.ts";

/** Nothing of the body was kept. The listener answers 413 where the route does not. */
export class BodyTooLarge extends Schema.TaggedError<BodyTooLarge>()("BodyTooLarge", {
  maxBytes: Schema.Number,
}) {
  override get message(): string {
    return `the body is larger than ${this.maxBytes} bytes. Nothing of it was taken; send it in smaller parts.`;
  }
}

/** The sender went away before its body was complete. Nothing of it was kept, and nobody waits for an answer. */
export class RequestAborted extends Schema.TaggedError<RequestAborted>()("RequestAborted", {
  bytes: Schema.Number,
}) {
  override get message(): string {
    return `the sender went away after ${this.bytes} bytes. Nothing of its body was taken; it will send it again.`;
  }
}

/** Too many large bodies were coming in at once. Nothing of this one was kept; later there is room. */
export class BodiesFull extends Schema.TaggedError<BodiesFull>()("BodiesFull", {
  maxBytes: Schema.Number,
}) {
  override get message(): string {
    return `more than ${this.maxBytes} bytes of bodies are coming in just now. Nothing of this one was taken; send it again.`;
  }
}

/** Memory that bodies may take together: each has its limit, but there may be as many as there are connections. */
export class BodyBudget {
  readonly maxBytes: number;
  #held = 0;

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  take(bytes: number): boolean {
    if (this.#held + bytes > this.maxBytes) return false;
    this.#held += bytes;
    return true;
  }

  give(bytes: number): void {
    this.#held -= bytes;
  }
}

/** Requests whose sender waits to be told to go on (`Expect: 100-continue`) before it sends its body. */
const waitingToSend = new WeakMap<IncomingMessage, ServerResponse>();

export function holdBody(request: IncomingMessage, response: ServerResponse): void {
  waitingToSend.set(request, response);
}

/**
 * Reads the body. Rejects with `BodyTooLarge` as soon as it is known: by Content-Length before a byte is read.
 * The connection then ends with the answer, politely: what the sender still sends is dropped for a while, because a close
 * with unread bytes is a reset, by which the sender would lose the answer. `BodiesFull` ends it in the same way.
 */
export function readBody(
  request: IncomingMessage,
  maxBytes: number,
  budget?: BodyBudget,
): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const refuse = (error: BodyTooLarge | BodiesFull): void => {
      leavePolitely(request);
      reject(error);
    };
    if (Number(request.headers["content-length"] ?? 0) > maxBytes) {
      refuse(new BodyTooLarge({ maxBytes }));
      return;
    }
    waitingToSend.get(request)?.writeContinue();
    const chunks: Array<Buffer> = [];
    let bytes = 0;
    let held = 0;
    let over = false;
    const giveBack = (): void => {
      budget?.give(held);
      held = 0;
    };
    const drop = (error: BodyTooLarge | BodiesFull): void => {
      over = true;
      chunks.length = 0;
      giveBack();
      refuse(error);
    };
    request.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (over) return;
      if (bytes > maxBytes) {
        drop(new BodyTooLarge({ maxBytes }));
        return;
      }
      const more = Math.max(0, bytes - bodyFreeBytes) - held;
      if (budget !== undefined && more > 0) {
        if (!budget.take(more)) {
          drop(new BodiesFull({ maxBytes: budget.maxBytes }));
          return;
        }
        held += more;
      }
      chunks.push(chunk);
    });
    let ended = false;
    const aborted = (): void => {
      giveBack();
      // A close comes after every request: an error is made only for one that broke off.
      if (!ended) reject(new RequestAborted({ bytes }));
    };
    request.once("end", () => {
      ended = true;
      giveBack();
      const [first] = chunks;
      resolve(chunks.length === 1 && first !== undefined ? first : Buffer.concat(chunks, bytes));
    });
    request.once("error", aborted);
    request.once("close", aborted);
  });
}

/**
 * Node ends a connection after its last answer by `destroySoon`, which closes it whatever still comes in. Here it is half
 * closed instead: the sender reads the answer and its end, and the rest of the body is dropped until it closes or time is up.
 */
function leavePolitely(request: IncomingMessage): void {
  const { socket } = request;
  request.resume();
  socket.destroySoon = () => {
    socket.end();
    const late = setTimeout(() => socket.destroy(), httpLingerMs);
    socket.once("close", () => clearTimeout(late));
  };
}
