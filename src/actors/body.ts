/** A request's body, whole and bounded. */
import type { IncomingMessage, ServerResponse } from "node:http";
import * as Schema from "effect/Schema";
import { httpLingerMs } from "../limits.ts";

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

/** Requests whose sender waits to be told to go on (`Expect: 100-continue`) before it sends its body. */
const waitingToSend = new WeakMap<IncomingMessage, ServerResponse>();

export function holdBody(request: IncomingMessage, response: ServerResponse): void {
  waitingToSend.set(request, response);
}

/**
 * Reads the body. Rejects with `BodyTooLarge` as soon as it is known: by Content-Length before a byte is read.
 * The connection then ends with the answer, politely: what the sender still sends is dropped for a while, because a close
 * with unread bytes is a reset, by which the sender would lose the answer.
 */
export function readBody(request: IncomingMessage, maxBytes: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const tooLarge = (): void => {
      leavePolitely(request);
      reject(new BodyTooLarge({ maxBytes }));
    };
    if (Number(request.headers["content-length"] ?? 0) > maxBytes) {
      tooLarge();
      return;
    }
    waitingToSend.get(request)?.writeContinue();
    const chunks: Array<Buffer> = [];
    let bytes = 0;
    let over = false;
    request.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes <= maxBytes) chunks.push(chunk);
      else if (!over) {
        over = true;
        chunks.length = 0;
        tooLarge();
      }
    });
    let ended = false;
    const aborted = (): void => {
      // A close comes after every request: an error is made only for one that broke off.
      if (!ended) reject(new RequestAborted({ bytes }));
    };
    request.once("end", () => {
      ended = true;
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
