/**
 * Follows a bucket's keys in order of last change: first what is there, then what comes. What it gives is the latest state of each
 * key, not a log: overwritten and expired values are never seen, so whoever follows must be level-triggered.
 */
import type { ConsumerMessages, JsMsg } from "@nats-io/jetstream";
import { DeliverPolicy, jetstream } from "@nats-io/jetstream";
import * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import { followToldEveryMs, followTroubleMs, requestDeadlineMs } from "../limits.ts";
import type { NatsUnavailable } from "../protocol/errors.ts";
import { kvStream } from "../protocol/keys.ts";
import type { NatsService } from "./Nats.ts";
import { headerOf, unavailable } from "./wire.ts";

export interface Change {
  readonly key: string;
  readonly revision: number;
  readonly data: Uint8Array;
  /** The key was ended, or ran out. */
  readonly ended: boolean;
  /** Epoch milliseconds, by the server's clock. */
  readonly at: number;
  /** Where it is asked for: how long the value lives from then on; null: for ever. */
  readonly lifetimeMs?: number | null;
}

export interface FollowOptions {
  readonly bucket: string;
  /** Key patterns with NATS wildcards. */
  readonly keys: ReadonlyArray<string>;
  /** Tell how long values live; default: no, because reading headers costs more than all else about a message. */
  readonly lifetimes?: boolean;
  /** Runs synchronously for each change, in order; it must be quick. What it throws leaves that change out, and is told as trouble. */
  readonly each: (change: Change) => void;
  /**
   * Told what stands in the way when nothing could be followed for {@link followTroubleMs}, and each minute that it lasts; and of each
   * change that could not be taken in.
   */
  readonly trouble?: (detail: string) => void;
}

interface State {
  last: number;
  /** When the last was stored, which tells it from another of its number. */
  lastAt: bigint;
  /** When the stream was made, as the server tells it. */
  made: string | null;
  caught: boolean;
  /** Since when no round could begin, ms of a clock that only goes on; null: the last one did. */
  failingSince: number | null;
  toldAt: number;
}

/**
 * Runs until interrupted. `caughtUp` is completed once everything that was there at the start has been seen.
 * When the server or the stream is away, or may not be read, it tries on, from the last revision seen.
 */
export const follow = (
  nats: NatsService,
  options: FollowOptions,
  caughtUp?: Deferred.Deferred<void>,
): Effect.Effect<never> =>
  Effect.gen(function* () {
    const state: State = {
      last: 0,
      lastAt: 0n,
      made: null,
      caught: false,
      failingSince: null,
      toldAt: Number.NEGATIVE_INFINITY,
    };
    for (;;) {
      // Each round ends when the server forgot the consumer or went away; the next begins behind the last seen.
      yield* round(nats, options, state, caughtUp).pipe(
        Effect.catch((error) =>
          Effect.andThen(
            Effect.sync(() => tellTrouble(options, state, error)),
            Effect.sleep(250),
          ),
        ),
      );
      yield* Effect.sleep(50);
    }
  });

function tellTrouble({ trouble }: FollowOptions, state: State, { detail }: NatsUnavailable): void {
  const now = performance.now();
  state.failingSince ??= now;
  if (now - state.failingSince < followTroubleMs || now - state.toldAt < followToldEveryMs) return;
  state.toldAt = now;
  trouble?.(detail);
}

/** Values are written with whole seconds: `86400s`. */
function lifetimeOf(message: JsMsg): number | null {
  const seconds = /^([0-9]+)s?$/.exec(headerOf(message, "Nats-TTL"))?.[1];
  return seconds === undefined ? null : Number(seconds) * 1_000;
}

const changeOf = (message: JsMsg, key: string, { lifetimes }: FollowOptions): Change => ({
  key,
  revision: message.seq,
  data: message.data,
  at: Number(message.timestampNanos / 1_000_000n),
  // A marker has no body: headers are not read for more.
  ended:
    message.data.length === 0 &&
    (headerOf(message, "KV-Operation") !== "" || headerOf(message, "Nats-Marker-Reason") !== ""),
  ...(lifetimes === true ? { lifetimeMs: lifetimeOf(message) } : {}),
});

/** One bad value must not hold up all that is behind it; unsaid, nobody would look for it. */
function giveOne(message: JsMsg, key: string, options: FollowOptions): void {
  try {
    options.each(changeOf(message, key, options));
  } catch (cause) {
    options.trouble?.(`${key} is left out: ${String(cause)}`);
  }
}

const round = (
  nats: NatsService,
  options: FollowOptions,
  state: State,
  caughtUp: Deferred.Deferred<void> | undefined,
): Effect.Effect<void, NatsUnavailable> =>
  Effect.gen(function* () {
    const stream = kvStream(options.bucket);
    const prefix = `$KV.${options.bucket}.`;
    const operation = `follow ${options.keys.join(", ")}`;
    const done = Effect.suspend(() => {
      state.caught = true;
      return caughtUp === undefined ? Effect.void : Effect.asVoid(Deferred.succeed(caughtUp, undefined));
    });
    const opened = yield* Effect.tryPromise({
      try: async () => {
        const info = await nats.jsm.streams.info(stream);
        const { created } = info;
        // One that was lost and made anew counts from the beginning: what comes would be older than what was seen, and never heard.
        // And one that lost its end gives those numbers out once more.
        if (created !== state.made || info.state.last_seq < state.last) state.last = 0;
        state.made = created;
        const js = jetstream(nats.connection, { timeout: requestDeadlineMs, apiPrefix: nats.apiPrefix });
        const consumer = await js.consumers.get(stream, {
          filter_subjects: options.keys.map((key) => prefix + key),
          ...(state.last === 0
            ? { deliver_policy: DeliverPolicy.LastPerSubject }
            : { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: state.last }),
          inactive_threshold: 60_000,
        });
        const pending = (await consumer.info(true)).num_pending;
        const messages = await consumer.consume({
          max_messages: 1_000,
          idle_heartbeat: 2_000,
          expires: 30_000,
          // Made anew by the client it would begin behind what was seen, also where the stream is another by then.
          abort_on_missing_resource: true,
        });
        return { pending, messages };
      },
      catch: unavailable(operation),
    });
    state.failingSince = null;
    if (opened.pending === 0 && !state.caught) yield* done;
    const pump = async (messages: ConsumerMessages): Promise<void> => {
      for await (const message of messages) {
        const isKnown = message.seq === state.last;
        if (isKnown && message.timestampNanos !== state.lastAt) {
          // Another of that number: what else was given out once more has to be seen as well.
          state.last = 0;
          return;
        }
        state.last = message.seq;
        state.lastAt = message.timestampNanos;
        if (!isKnown) giveOne(message, message.subject.slice(prefix.length), options);
        if (!state.caught && message.info.pending === 0) await Effect.runPromise(done);
      }
    };
    yield* Effect.tryPromise({ try: () => pump(opened.messages), catch: unavailable(operation) }).pipe(
      Effect.ensuring(Effect.promise(() => opened.messages.close().then(() => undefined))),
    );
  });
