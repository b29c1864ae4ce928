/** Looking at a site from outside: counts and ages for people, cheap enough to ask every second. Decides nothing. */
import { AckPolicy, DeliverPolicy } from "@nats-io/jetstream";
import * as Effect from "effect/Effect";
import type { JetStreamRejected, NatsUnavailable } from "../protocol/errors.ts";
import type { NatsService } from "./Nats.ts";
import { managed } from "./Nats.ts";

type SurveyError = NatsUnavailable | JetStreamRejected;

const consumerNotFound = 10014;
const streamNotFound = 10059;

/** Null where there is no such stream or consumer. Every other failure stays one: it says nothing of whether it is there. */
export const orNull = <A>(effect: Effect.Effect<A, SurveyError>): Effect.Effect<A | null, SurveyError> =>
  Effect.catchIf(
    effect,
    (error): error is JetStreamRejected =>
      error._tag === "JetStreamRejected" &&
      (error.code === consumerNotFound || error.code === streamNotFound),
    () => Effect.succeed(null),
  );

export interface MailboxState {
  /** Messages that no worker was given yet. */
  readonly queued: number;
  /** Given to a worker and not acknowledged. */
  readonly inHand: number;
  /** Every message up to this stream sequence is dealt with. */
  readonly floor: number;
  /** The last stream sequence that was given to a worker. */
  readonly delivered: number;
  /** Epoch milliseconds of the oldest message that is not dealt with; null when all are. */
  readonly oldestAt: number | null;
}

/** How a durable consumer stands; null when there is none of that name. */
export const mailboxState = (
  nats: NatsService,
  stream: string,
  consumer: string,
): Effect.Effect<MailboxState | null, SurveyError> =>
  Effect.gen(function* () {
    const info = yield* orNull(
      managed(`look at consumer ${consumer}`, () => nats.jsm.consumers.info(stream, consumer)),
    );
    if (info === null) return null;
    const queued = info.num_pending;
    const inHand = info.num_ack_pending;
    const floor = info.ack_floor.stream_seq;
    const filter = info.config.filter_subject;
    const oldest =
      queued + inHand === 0 || filter === undefined
        ? null
        : yield* orNull(
            managed(`look for the oldest message of ${consumer}`, () =>
              nats.jsm.direct.getMessage(stream, { seq: floor + 1, next_by_subj: filter }),
            ),
          );
    return {
      queued,
      inHand,
      floor,
      delivered: info.delivered.stream_seq,
      oldestAt: oldest === null ? null : oldest.time.getTime(),
    };
  });

/** What each durable consumer of a stream takes, where that is one filter. */
export const consumerFilters = (
  nats: NatsService,
  stream: string,
): Effect.Effect<ReadonlyArray<string>, SurveyError> =>
  managed(`list the consumers of ${stream}`, async () => {
    const filters: Array<string> = [];
    for await (const { config } of nats.jsm.consumers.list(stream)) {
      if (config.durable_name !== undefined && config.filter_subject !== undefined)
        filters.push(config.filter_subject);
    }
    return filters;
  });

/** Names of a stream's durable consumers; none when there is no such stream. */
export const consumerNames = (
  nats: NatsService,
  stream: string,
): Effect.Effect<ReadonlyArray<string>, SurveyError> =>
  Effect.map(
    orNull(
      managed(`list the consumers of ${stream}`, async () => {
        const names: Array<string> = [];
        for await (const info of nats.jsm.consumers.list(stream)) {
          if (info.config.durable_name !== undefined) names.push(info.config.durable_name);
        }
        return names;
      }),
    ),
    (names) => names ?? [],
  );

/** Messages that came since then and still stand; of a bucket: keys changed since then. */
export const countSince = (
  nats: NatsService,
  stream: string,
  filter: string,
  since: number,
): Effect.Effect<number, SurveyError> =>
  managed(`count ${filter}`, async () => {
    const info = await nats.jsm.consumers.add(stream, {
      ack_policy: AckPolicy.None,
      deliver_policy: DeliverPolicy.StartTime,
      opt_start_time: new Date(since).toISOString(),
      filter_subject: filter,
      headers_only: true,
      mem_storage: true,
      num_replicas: 1,
      inactive_threshold: 5_000_000_000,
    });
    // The server ends it by itself when this is lost.
    await nats.jsm.consumers.delete(stream, info.name).catch(() => false);
    return info.num_pending;
  });

/** Messages a subject, for the subjects that match; of a bucket: its keys, ended ones included. */
export const subjectCounts = (
  nats: NatsService,
  stream: string,
  filter: string,
): Effect.Effect<ReadonlyMap<string, number>, SurveyError> =>
  managed(`list ${filter}`, () => nats.jsm.streams.info(stream, { subjects_filter: filter })).pipe(
    Effect.map((info) => new Map(Object.entries(info.state.subjects ?? {}))),
  );

/** Whether the stream is there. */
export const hasStream = (nats: NatsService, stream: string): Effect.Effect<boolean, SurveyError> =>
  Effect.map(
    orNull(managed(`look at stream ${stream}`, () => nats.jsm.streams.info(stream))),
    (info) => info !== null,
  );

/** When the server made the stream, as it tells it; null where there is none. Another time is another stream of that name. */
export const madeAt = (nats: NatsService, stream: string): Effect.Effect<string | null, SurveyError> =>
  Effect.map(
    orNull(managed(`look at stream ${stream}`, () => nats.jsm.streams.info(stream))),
    (info) => info?.created ?? null,
  );
