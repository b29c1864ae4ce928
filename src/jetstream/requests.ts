/** Request–reply and announcements on core NATS: nothing is stored, so nothing here is ever the truth. */
import * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import { NatsUnavailable } from "../protocol/errors.ts";
import type { NatsService } from "./Nats.ts";
import { wireHeaders } from "./wire.ts";

/** For the requests that are on their way when serving ends. */
const serveEndMs = 500;

/** A request as it came. `respond` is to be called once; false: the sender wants no answer. */
export interface NatsRequest {
  readonly subject: string;
  readonly data: Uint8Array;
  /** Where the sender waits for the answer; absent or empty: nowhere. */
  readonly reply?: string | undefined;
  readonly respond: (
    payload: Uint8Array | string,
    options?: { readonly headers?: ReturnType<typeof wireHeaders> },
  ) => boolean;
}

export interface ServeOptions {
  /** May have wildcards. */
  readonly subjects: ReadonlyArray<string>;
  /** Each request goes to one member of the group; null: to everyone. */
  readonly queue: string | null;
  /** Runs synchronously for each request. It answers at once, or later; what it throws at once is answered as an error. */
  readonly each: (request: NatsRequest) => void;
}

/**
 * Serves requests until the scope ends. It succeeds once the server knows of it, with an effect that fails when the
 * server ends the subscription (permissions) or the connection closes for good; a lost link is none of these.
 */
export const serve = (
  nats: NatsService,
  options: ServeOptions,
): Effect.Effect<Effect.Effect<never, NatsUnavailable>, NatsUnavailable, Scope.Scope> =>
  Effect.gen(function* () {
    const operation = `serve ${options.subjects.join(", ")}`;
    const fail = (cause: unknown): NatsUnavailable =>
      new NatsUnavailable({ operation, detail: cause instanceof Error ? cause.message : String(cause) });
    const subscriptions = yield* Effect.acquireRelease(
      Effect.try({
        try: () =>
          options.subjects.map((subject) =>
            nats.connection.subscribe(subject, {
              ...(options.queue === null ? {} : { queue: options.queue }),
              // An error ends the subscription: `closed` tells it.
              callback: (error, message) => {
                if (error === null) guarded(nats, options, message);
              },
            }),
          ),
        catch: fail,
      }),
      // What the server has handed over already is still answered; without a server there is nothing to wait for.
      (opened) =>
        Effect.promise(() =>
          Promise.race([
            Promise.allSettled(opened.map((subscription) => subscription.drain())),
            new Promise((late) => setTimeout(late, serveEndMs)),
          ]),
        ),
    );
    yield* Effect.tryPromise({ try: () => nats.connection.flush(), catch: fail });
    return Effect.flatMap(
      Effect.promise(() => Promise.race(subscriptions.map((subscription) => subscription.closed))),
      (end) => Effect.fail(fail(end instanceof Error ? end : "the subscription was closed")),
    );
  });

/** Thrown into the client, it would leave the whole connection deaf until that is found stale, for whoever may ask. */
function guarded(nats: NatsService, { each }: ServeOptions, request: NatsRequest): void {
  try {
    each(request);
  } catch (cause) {
    if (nats.connection.isClosed()) return;
    const body = JSON.stringify({
      error: true,
      message: `this question failed: ${String(cause).slice(0, 200)}`,
    });
    request.respond(body, { headers: errorHeaders(500, "see the body") });
  }
}

/** Headers by which service clients know a refusal; the reason is of our own making and one line. */
export const errorHeaders = (code: number, reason: string): ReturnType<typeof wireHeaders> =>
  wireHeaders(`Nats-Service-Error-Code: ${code}\r\nNats-Service-Error: ${reason}\r\n`);

/** Tells whoever listens; whoever does not never hears of it. Dropped while NATS is away. */
export function announce(nats: NatsService, subject: string, payload: string): void {
  if (!nats.connection.isClosed()) nats.connection.publish(subject, payload);
}
