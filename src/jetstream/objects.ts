/** JetStream's object store: run logs, manifests, products of the embedded default. */
import { DiscardPolicy, jetstream, RetentionPolicy, StorageType } from "@nats-io/jetstream";
import type { ObjectStore } from "@nats-io/obj";
import { Objm } from "@nats-io/obj";
import * as Effect from "effect/Effect";
import { requestDeadlineMs } from "../limits.ts";
import type { JetStreamRejected, NatsUnavailable } from "../protocol/errors.ts";
import type { NatsService } from "./Nats.ts";
import { managed } from "./Nats.ts";

const objectsDescription = "Orrery: objects";

export interface StoredObject {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** `SHA-256=…` as the object store computes it. */
  readonly digest: string;
  /** ISO 8601, UTC. */
  readonly modified: string;
}

export interface ObjectBucket {
  readonly name: string;
  readonly put: (
    name: string,
    data: Uint8Array | ReadableStream<Uint8Array>,
    description?: string,
  ) => Effect.Effect<StoredObject, NatsUnavailable | JetStreamRejected>;
  /** Null when there is no such object. The stream must be read to its end or cancelled. */
  readonly get: (name: string) => Effect.Effect<
    {
      readonly info: StoredObject;
      readonly data: ReadableStream<Uint8Array>;
      readonly error: Promise<Error | null>;
    } | null,
    NatsUnavailable | JetStreamRejected
  >;
  readonly info: (name: string) => Effect.Effect<StoredObject | null, NatsUnavailable | JetStreamRejected>;
  readonly list: () => Effect.Effect<ReadonlyArray<StoredObject>, NatsUnavailable | JetStreamRejected>;
  readonly remove: (name: string) => Effect.Effect<boolean, NatsUnavailable | JetStreamRejected>;
}

type Info = Awaited<ReturnType<ObjectStore["info"]>>;

function toStored(info: NonNullable<Info>): StoredObject {
  return { name: info.name, size: info.size, digest: info.digest, modified: info.mtime };
}

function toStream(data: Uint8Array): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      controller.enqueue(data);
      controller.close();
    },
  });
}

/** An object bucket's stream, as the client makes it. */
export const objectsStream = (name: string, replicas: number) => ({
  name: `OBJ_${name}`,
  description: objectsDescription,
  subjects: [`$O.${name}.C.>`, `$O.${name}.M.>`],
  retention: RetentionPolicy.Limits,
  storage: StorageType.File,
  discard: DiscardPolicy.New,
  num_replicas: replicas,
  allow_direct: true,
  allow_rollup_hdrs: true,
  max_age: 0,
});

/** Opens an object bucket, and makes it where it is not there. */
export const openObjects = (
  nats: NatsService,
  name: string,
  replicas: number,
): Effect.Effect<ObjectBucket, NatsUnavailable | JetStreamRejected> =>
  managed(`open object bucket ${name}`, () =>
    new Objm(jetstream(nats.connection, { apiPrefix: nats.apiPrefix })).create(name, {
      replicas,
      description: objectsDescription,
    }),
  ).pipe(
    Effect.map((store): ObjectBucket => ({
      name,
      put: (object, data, description) =>
        managed(`store object ${object}`, () =>
          store.put(
            { name: object, ...(description === undefined ? {} : { description }) },
            data instanceof Uint8Array ? toStream(data) : data,
            { timeout: requestDeadlineMs },
          ),
        ).pipe(Effect.map(toStored)),
      get: (object) =>
        managed(`read object ${object}`, () => store.get(object)).pipe(
          Effect.map((found) =>
            found === null ? null : { info: toStored(found.info), data: found.data, error: found.error },
          ),
        ),
      info: (object) =>
        managed(`look at object ${object}`, () => store.info(object)).pipe(
          Effect.map((info) => (info === null || info.deleted ? null : toStored(info))),
        ),
      list: () =>
        managed(`list objects of ${name}`, () => store.list()).pipe(
          Effect.map((all) => all.filter((info) => !info.deleted).map(toStored)),
        ),
      remove: (object) =>
        managed(`remove object ${object}`, () => store.delete(object)).pipe(
          Effect.map((result) => result.success),
        ),
    })),
  );
