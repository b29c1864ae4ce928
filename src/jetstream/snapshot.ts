/**
 * A stream as one archive, through JetStream's own snapshot and restore: the client library has neither, so the protocol is spoken here.
 * The archive holds the messages with their sequences and times, and where each consumer stands.
 *
 * Of a stream that is written meanwhile the archive holds what came up to its last sequence at the beginning. A key that is written
 * again before the archive reaches it is in it no more: its new value lies beyond (`tail.ts` keeps that).
 *
 * Memory is bounded by the window: the server sends no more than that ahead of what was answered, and is answered when the piece is
 * stored.
 */
import type { Msg, Subscription } from "@nats-io/transport-node";
import { createInbox, errors } from "@nats-io/transport-node";
import { archiveFinishMsMax, archivePieceBytes, archiveWindowBytes, requestDeadlineMs } from "../limits.ts";
import { JetStreamRejected } from "../protocol/errors.ts";
import type { NatsService } from "./Nats.ts";
import { unavailable } from "./wire.ts";

/** As the server tells it, and wants it back. */
export interface StreamState {
  readonly messages: number;
  readonly bytes: number;
  readonly first_seq: number;
  readonly last_seq: number;
  readonly consumer_count: number;
}

export interface Archived {
  readonly config: Readonly<Record<string, unknown>> & { readonly name: string };
  readonly state: StreamState;
}

interface ApiAnswer {
  readonly config?: Archived["config"];
  readonly state?: StreamState;
  readonly deliver_subject?: string;
  readonly error?: { readonly err_code?: number; readonly description?: string };
}

const ended = 204;
/** Without a piece for so long it is given up. */
const silentMsMax = 20_000;
const listensAgainMs = 50;

function answered(operation: string, message: Msg): ApiAnswer {
  const answer = JSON.parse(new TextDecoder().decode(message.data)) as ApiAnswer;
  if (answer.error === undefined) return answer;
  const { err_code: code = 0, description: detail = "" } = answer.error;
  throw new JetStreamRejected({ operation, code, detail });
}

/** One side of a transfer: ends once, stops listening, and forgets its timer. */
class Ending {
  readonly done: Promise<void>;
  #resolve: () => void = () => undefined;
  #reject: (cause: unknown) => void = () => undefined;
  ended = false;
  readonly #timer: NodeJS.Timeout;
  #heardAt = performance.now();

  constructor(what: string, signal: AbortSignal) {
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // Whoever waits for it hears of it; nobody has to yet.
    this.done.catch(() => undefined);
    this.#timer = setInterval(() => {
      if (performance.now() - this.#heardAt > silentMsMax)
        this.fail(unavailable(what)(new Error(`nothing came for ${silentMsMax / 1_000} s`)));
    }, 1_000);
    signal.addEventListener("abort", () => this.fail(unavailable(what)(new Error("interrupted"))), {
      once: true,
    });
  }

  heard(): void {
    this.#heardAt = performance.now();
  }

  fail(cause: unknown): void {
    this.#end(() => this.#reject(cause));
  }

  succeed(): void {
    this.#end(this.#resolve);
  }

  #end(how: () => void): void {
    if (this.ended) return;
    this.ended = true;
    clearInterval(this.#timer);
    how();
  }
}

/** `$JS.SNAPSHOT.ACK.<stream>.<id>.<bytes>.<number of the piece>` */
const pieceNumber = (reply: string): number => Number(reply.slice(reply.lastIndexOf(".") + 1));

/**
 * @param each stores a piece; the next ones come when it is stored
 * @param begun told first: what the stream is, and how much of it the archive will hold
 * Rejects when the server is away or refuses, when a piece was lost on the way, and with what `each` throws.
 */
export async function archiveUnsafe(
  nats: NatsService,
  stream: string,
  signal: AbortSignal,
  each: (piece: Uint8Array) => Promise<void>,
  begun: (archived: Archived) => void = () => undefined,
): Promise<Archived> {
  const what = `archive ${stream}`;
  const inbox = createInbox(nats.inboxPrefix);
  const { reconnects } = nats.link();
  const ending = new Ending(what, signal);
  let storing = Promise.resolve();
  let seen = 0;
  const take = (message: Msg): void => {
    if (ending.ended) return;
    ending.heard();
    const code = message.headers?.code ?? 0;
    if (code !== 0 && code !== ended) {
      ending.fail(
        new JetStreamRejected({ operation: what, code, detail: message.headers?.description ?? "" }),
      );
      return;
    }
    // What was sent while the connection was away is gone, and its end would come all the same.
    if (nats.link().reconnects !== reconnects) {
      ending.fail(unavailable(what)(new Error("the connection was lost on the way")));
      return;
    }
    if (message.data.length === 0) {
      storing = storing.then(() => ending.succeed());
      return;
    }
    seen++;
    // Only the last piece has no reply.
    if (message.reply !== undefined && message.reply !== "" && pieceNumber(message.reply) !== seen) {
      ending.fail(unavailable(what)(new Error("a piece was lost on the way")));
      return;
    }
    storing = storing.then(async () => {
      if (ending.ended) return;
      try {
        await each(message.data);
        ending.heard();
        message.respond();
      } catch (cause) {
        ending.fail(cause);
      }
    });
  };
  const subscription: Subscription = nats.connection.subscribe(inbox, {
    callback: (error, message) => (error === null ? take(message) : ending.fail(unavailable(what)(error))),
  });
  try {
    const request = {
      deliver_subject: inbox,
      chunk_size: archivePieceBytes,
      window_size: archiveWindowBytes,
    };
    const answer = answered(
      what,
      await nats
        .ask(`${nats.apiPrefix}.STREAM.SNAPSHOT.${stream}`, JSON.stringify(request), requestDeadlineMs)
        .catch((cause: unknown) => Promise.reject(unavailable(what)(cause))),
    );
    const { config, state } = answer;
    if (config === undefined || state === undefined) {
      throw new JetStreamRejected({
        operation: what,
        code: 0,
        detail: "the answer says nothing of the stream",
      });
    }
    begun({ config, state });
    await ending.done;
    return { config, state };
  } finally {
    ending.succeed();
    subscription.unsubscribe();
    // What is being stored is stored before the caller closes its file.
    await storing.catch(() => undefined);
  }
}

const isNobodyThere = (cause: unknown): boolean =>
  cause instanceof errors.NoRespondersError ||
  (cause instanceof errors.RequestError && cause.isNoResponders());

/** Pieces on their way at once: the server answers each when it has it. */
const piecesInFlight = Math.max(1, Math.floor(archiveWindowBytes / archivePieceBytes / 4));

/**
 * Makes the stream anew from its archive. There must be none of its name.
 * @returns what the server says of the stream as it is then
 */
export async function unarchiveUnsafe(
  nats: NatsService,
  archived: Archived,
  signal: AbortSignal,
  pieces: AsyncIterable<Uint8Array>,
  each: (bytes: number) => void,
): Promise<StreamState> {
  const what = `restore ${archived.config.name}`;
  const asked = answered(
    what,
    await nats
      .ask(
        `${nats.apiPrefix}.STREAM.RESTORE.${archived.config.name}`,
        JSON.stringify(archived),
        requestDeadlineMs,
      )
      .catch((cause: unknown) => Promise.reject(unavailable(what)(cause))),
  );
  const subject = asked.deliver_subject;
  if (subject === undefined) {
    throw new JetStreamRejected({ operation: what, code: 0, detail: "the answer does not say where to" });
  }
  const underWay: Array<Promise<void>> = [];
  const request = (piece: Uint8Array): Promise<Msg> =>
    nats.connection.request(subject, piece, { timeout: silentMsMax });
  const send = async (piece: Uint8Array, ask = request): Promise<void> => {
    const answer = await ask(piece).catch((cause: unknown) => {
      throw unavailable(what)(cause);
    });
    // Flow control is empty; anything else is why it does not go on.
    if (answer.data.length > 0) answered(what, answer);
    each(piece.length);
  };
  // In a cluster the server that this client is connected to hears of the subject a moment after another one listens on it.
  const heard = async (piece: Uint8Array): Promise<Msg> => {
    const until = performance.now() + requestDeadlineMs;
    for (;;) {
      try {
        return await request(piece);
      } catch (cause) {
        // Nobody had it, so that it may be sent again.
        if (!isNobodyThere(cause) || performance.now() >= until) throw cause;
        await new Promise((resolve) => setTimeout(resolve, listensAgainMs));
      }
    }
  };
  let first = true;
  for await (const piece of pieces) {
    if (signal.aborted) throw unavailable(what)(new Error("interrupted"));
    if (first) {
      first = false;
      await send(piece, heard);
      continue;
    }
    const sent = send(piece);
    sent.catch(() => undefined);
    underWay.push(sent);
    if (underWay.length >= piecesInFlight) await underWay.shift();
  }
  await Promise.all(underWay);
  const last = await nats.connection
    .request(subject, new Uint8Array(), { timeout: archiveFinishMsMax })
    .catch((cause: unknown) => {
      throw unavailable(what)(cause);
    });
  const { state } = answered(what, last);
  if (state === undefined) {
    throw new JetStreamRejected({
      operation: what,
      code: 0,
      detail: "the server does not say what it restored",
    });
  }
  return state;
}
