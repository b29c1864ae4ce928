/**
 * The mark of a restore that has begun and not ended: a stream that is made before the first archive, and removed when the last of
 * what was restored is mended. A stream of its own, because a restored stream can be read while it is being restored, and whatever
 * the restore writes or replaces itself is gone in between. Whoever looks at the server's streams sees it.
 */
import * as Effect from "effect/Effect";
import { RetentionPolicy, StorageType } from "@nats-io/jetstream";
import { errors } from "@nats-io/transport-node";
import type { NatsUnavailable } from "../protocol/errors.ts";
import { JetStreamRejected, RestoreUnfinished } from "../protocol/errors.ts";
import { unfinishedStream } from "../protocol/keys.ts";
import type { NatsService } from "./Nats.ts";
import { managed } from "./Nats.ts";

const sinceKey = "orrery.restore.since";
const fromKey = "orrery.restore.from";
const runKey = "orrery.restore.run";
const streamNotFound = 10059;

type MarkError = NatsUnavailable | JetStreamRejected;

export interface Unfinished {
  /** When it began, by the server's clock: ISO 8601. */
  readonly since: string;
  /** The backup's folder, as that machine names it. */
  readonly from: string;
  /** Which run of the program has it in hand: the latest. */
  readonly run: string;
}

const absentIs = <A, B>(effect: Effect.Effect<A, MarkError>, value: B): Effect.Effect<A | B, MarkError> =>
  Effect.catchIf(
    effect,
    (error): error is JetStreamRejected =>
      error._tag === "JetStreamRejected" && error.code === streamNotFound,
    () => Effect.succeed(value),
  );

const looking = "look whether a restore is unfinished";

/** Null where no restore is unfinished; "refused" where the credentials do not allow to look. */
const look = (nats: NatsService): Effect.Effect<Unfinished | "refused" | null, MarkError> =>
  absentIs(
    managed(looking, async () => {
      try {
        const { config, created } = await nats.jsm.streams.info(unfinishedStream);
        return {
          since: config.metadata?.[sinceKey] ?? created,
          from: config.metadata?.[fromKey] ?? "its backup",
          run: config.metadata?.[runKey] ?? "",
        };
      } catch (cause) {
        if (cause instanceof Error && cause.cause instanceof errors.PermissionViolationError)
          return "refused" as const;
        throw cause;
      }
    }),
    null,
  );

/** Null where no restore is unfinished. */
export const readUnfinished = (nats: NatsService): Effect.Effect<Unfinished | null, MarkError> =>
  Effect.flatMap(look(nats), (found) =>
    found === "refused"
      ? Effect.fail(
          new JetStreamRejected({ operation: looking, code: 0, detail: "the credentials do not allow it" }),
        )
      : Effect.succeed(found),
  );

/**
 * Refuses a site of which a part only may stand here.
 * @param unseen what is done where the credentials, made by an earlier program, do not allow to look
 */
export const checkRestored = (
  nats: NatsService,
  unseen: Effect.Effect<void>,
): Effect.Effect<void, RestoreUnfinished | MarkError> =>
  Effect.flatMap(look(nats), (found): Effect.Effect<void, RestoreUnfinished> => {
    if (found === "refused") return unseen;
    return found === null ? Effect.void : Effect.fail(new RestoreUnfinished(found));
  });

/** Stored by the server when it returns. One that stands already is taken over: the run that set it deletes and ends nothing more. */
export const markUnfinished = (
  nats: NatsService,
  site: string,
  { since, from, run }: Unfinished,
  replicas: number,
): Effect.Effect<void, MarkError> =>
  Effect.gen(function* () {
    const config = {
      description: `Orrery: a restore of site ${site} began at ${since} and has not ended; orrery restore ${from} does it again`,
      // It holds nothing, and a stream must have one.
      subjects: ["orrery.restore.unfinished"],
      max_msgs: 1,
      num_replicas: replicas,
      metadata: { [sinceKey]: since, [fromKey]: from, [runKey]: run },
    };
    const stands = (yield* readUnfinished(nats)) !== null;
    yield* managed("mark the restore as unfinished", () =>
      stands
        ? nats.jsm.streams.update(unfinishedStream, config)
        : nats.jsm.streams.add({
            name: unfinishedStream,
            retention: RetentionPolicy.Limits,
            storage: StorageType.File,
            ...config,
          }),
    );
  });

/** Whether the restore is still in the hand of that run. */
export const hasInHand = (nats: NatsService, run: string): Effect.Effect<boolean, MarkError> =>
  Effect.map(readUnfinished(nats), (found) => found?.run === run);

/** Last of all. */
export const endUnfinished = (nats: NatsService): Effect.Effect<void, MarkError> =>
  absentIs(
    managed("end the mark of the restore", () => nats.jsm.streams.delete(unfinishedStream)),
    false,
  ).pipe(Effect.asVoid);
