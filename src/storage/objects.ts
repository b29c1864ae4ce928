/**
 * JetStream's object store as a store of objects. Only `src/jetstream` may speak to NATS, so what this driver needs
 * is stated here, and handed in.
 *
 * The object store has no ranged read: a range is read from the object's beginning and the rest is cancelled. That
 * is right for what sites keep there (logs, manifests, sidecars, small products).
 */
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Stream from "effect/Stream";
import { ObjectMissing, ObjectTooLarge, StorageUnavailable } from "./errors.ts";
import { objectBytesMax, storageDeadlineMs, storageWriteDeadlineMs } from "./limits.ts";
import type { ObjectBody, ObjectInfo, StorageDriver } from "./Storage.ts";
import { call, checkBucket, checkLength, checkName, counted, pageSize, Storage } from "./Storage.ts";

export interface StoredObject {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  readonly digest: string;
  /** ISO 8601, UTC. */
  readonly modified: string;
}

/** Any failure of the object store: for whoever reads an object they all mean that it cannot be had now. */
interface ObjectStoreFailure {
  readonly message: string;
}

export interface ObjectBucketClient {
  readonly put: (
    name: string,
    data: Uint8Array | ReadableStream<Uint8Array>,
  ) => Effect.Effect<StoredObject, ObjectStoreFailure>;
  /** Null when there is no such object. */
  readonly get: (name: string) => Effect.Effect<
    {
      readonly info: StoredObject;
      readonly data: ReadableStream<Uint8Array>;
      /** Resolves at the stream's end: null, or why what was read is not the object. */
      readonly error: Promise<Error | null>;
    } | null,
    ObjectStoreFailure
  >;
  readonly info: (name: string) => Effect.Effect<StoredObject | null, ObjectStoreFailure>;
  readonly list: () => Effect.Effect<ReadonlyArray<StoredObject>, ObjectStoreFailure>;
  readonly remove: (name: string) => Effect.Effect<boolean, ObjectStoreFailure>;
}

export interface ObjectStoreClient {
  /** Fails for a bucket that is not there and is not to be made. Called once a bucket, then again only after failing. */
  readonly open: (bucket: string) => Effect.Effect<ObjectBucketClient, ObjectStoreFailure>;
}

export function makeObjectStorage(client: ObjectStoreClient): StorageDriver {
  const opened = new Map<string, ObjectBucketClient>();
  const uri = (bucket: string, key: string): string => `nats://${bucket}/${key}`;

  const ask = <A>(
    operation: string,
    where: string,
    effect: Effect.Effect<A, ObjectStoreFailure>,
    ms: number,
  ) =>
    effect.pipe(
      Effect.mapError((error) => new StorageUnavailable({ uri: where, operation, detail: error.message })),
      Effect.timeoutOrElse({
        duration: ms,
        orElse: () =>
          Effect.fail(new StorageUnavailable({ uri: where, operation, detail: `no answer within ${ms} ms` })),
      }),
    );

  const open = Effect.fnUntraced(function* (operation: string, bucket: string) {
    const known = opened.get(bucket);
    if (known !== undefined) return known;
    const made = yield* ask(operation, uri(bucket, ""), client.open(bucket), storageDeadlineMs);
    opened.set(bucket, made);
    return made;
  });

  const get = Effect.fnUntraced(function* (bucket: string, key: string) {
    yield* checkName(bucket, key);
    const where = uri(bucket, key);
    const from = yield* open("read", bucket);
    const found = yield* ask("read", where, from.get(key), storageDeadlineMs);
    return found ?? (yield* new ObjectMissing({ uri: where }));
  });

  const readRange: StorageDriver["readRange"] = Effect.fnUntraced(function* (bucket, key, offset, length) {
    const where = uri(bucket, key);
    yield* checkLength(where, offset, length);
    const { info, data, error } = yield* get(bucket, key);
    const end = Math.min(offset + length, info.size);
    const bytes = yield* call(
      "read",
      where,
      () => readSlice(data, error, offset, end, info.size),
      unavailable("read", where),
    );
    return { info: infoOf(info), bytes };
  });

  return {
    kind: "objectstore",
    uri,
    readRange,
    head: Effect.fnUntraced(function* (bucket, key) {
      yield* checkName(bucket, key);
      const from = yield* open("head", bucket);
      const info = yield* ask("head", uri(bucket, key), from.info(key), storageDeadlineMs);
      return info === null ? yield* new ObjectMissing({ uri: uri(bucket, key) }) : infoOf(info);
    }),
    readAll: Effect.fnUntraced(function* (bucket, key, maxBytes) {
      const where = uri(bucket, key);
      const { info, data, error } = yield* get(bucket, key);
      const tooLarge = info.size > maxBytes;
      const bytes = yield* call(
        "read",
        where,
        () => readSlice(data, error, 0, tooLarge ? 0 : info.size, info.size),
        unavailable("read", where),
      );
      if (tooLarge) return yield* new ObjectTooLarge({ uri: where, bytes: info.size, bytesMax: maxBytes });
      return { info: infoOf(info), bytes };
    }),
    stream: (bucket, key) =>
      Stream.unwrap(
        Effect.map(get(bucket, key), ({ data, error }) =>
          Stream.fromAsyncIterable(checked(data, error), unavailable("read", uri(bucket, key))),
        ),
      ),
    list: Effect.fnUntraced(function* (bucket, prefix, page) {
      yield* checkBucket(bucket, prefix);
      const from = yield* open("list", bucket);
      const all = yield* ask("list", uri(bucket, prefix), from.list(), storageDeadlineMs);
      const after = Buffer.from(page?.after ?? "");
      const wanted = all
        .filter((info) => info.name.startsWith(prefix) && Buffer.compare(Buffer.from(info.name), after) > 0)
        .sort((a, b) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)));
      const size = pageSize(page?.max);
      const objects = wanted.slice(0, size).map(infoOf);
      return { objects, next: wanted.length > size ? (objects.at(-1)?.key ?? null) : null };
    }),
    write: Effect.fnUntraced(function* (bucket, key, body) {
      yield* checkName(bucket, key);
      const where = uri(bucket, key);
      const size = body instanceof Uint8Array ? body.length : body.size;
      if (size > objectBytesMax) {
        return yield* new ObjectTooLarge({ uri: where, bytes: size, bytesMax: objectBytesMax });
      }
      const into = yield* open("write", bucket);
      const written = yield* ask("write", where, into.put(key, streamOf(body)), storageWriteDeadlineMs);
      return { etag: written.digest, size: written.size };
    }),
    delete: Effect.fnUntraced(function* (bucket, key) {
      yield* checkName(bucket, key);
      const where = uri(bucket, key);
      const from = yield* open("delete", bucket);
      // The object store refuses to delete what it does not have.
      const info = yield* ask("delete", where, from.info(key), storageDeadlineMs);
      if (info !== null) yield* ask("delete", where, from.remove(key), storageDeadlineMs);
    }),
  };
}

export const layerObjects = (client: ObjectStoreClient): Layer.Layer<Storage> =>
  Layer.sync(Storage, () => makeObjectStorage(client));

function infoOf(info: StoredObject): ObjectInfo {
  return { key: info.name, size: info.size, etag: info.digest, lastModified: Date.parse(info.modified) };
}

function unavailable(operation: string, uri: string): (cause: unknown) => StorageUnavailable {
  return (cause) =>
    new StorageUnavailable({
      uri,
      operation,
      detail: cause instanceof Error ? cause.message : String(cause),
    });
}

/** Bytes from `offset` to before `end` of a stream of `size`; the rest is cancelled. */
async function readSlice(
  data: ReadableStream<Uint8Array>,
  error: Promise<Error | null>,
  offset: number,
  end: number,
  size: number,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(Math.max(0, end - offset));
  const reader = data.getReader();
  let position = 0;
  while (position < end) {
    const { done, value } = await reader.read();
    if (done) throw (await error) ?? new Error(`the object has ${position} bytes, not ${size}`);
    const from = Math.max(0, offset - position);
    const piece = value.subarray(from, Math.max(from, end - position));
    bytes.set(piece, Math.max(0, position - offset));
    position += value.length;
  }
  if (end === size) await throwIf(error);
  else await reader.cancel();
  return bytes;
}

/** An object whose digest does not hold must not be taken for the object. */
async function throwIf(error: Promise<Error | null>): Promise<void> {
  const cause = await error;
  if (cause !== null) throw cause;
}

async function* checked(data: ReadableStream<Uint8Array>, error: Promise<Error | null>) {
  yield* data;
  await throwIf(error);
}

function streamOf(body: ObjectBody): Uint8Array | ReadableStream<Uint8Array> {
  return body instanceof Uint8Array ? body : ReadableStream.from(counted(body.chunks, body.size));
}
