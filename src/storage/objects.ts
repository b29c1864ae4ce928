/**
 * JetStream's object store as a store of objects. Only `src/jetstream` may speak to NATS, so what this driver needs
 * is stated here, and handed in.
 *
 * The object store has no ranged read: a range is read from the object's beginning and the rest is cancelled. That
 * is right for what sites keep there (logs, manifests, sidecars, small products).
 */
import { setTimeout } from "node:timers/promises";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Stream from "effect/Stream";
import { ObjectChanged, ObjectMissing, ObjectTooLarge, StorageUnavailable } from "./errors.ts";
import {
  lookAgainMs,
  objectBytesMax,
  replacedMax,
  storageDeadlineMs,
  storageWriteDeadlineMs,
} from "./limits.ts";
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

export interface FoundObject {
  readonly info: StoredObject;
  readonly data: ReadableStream<Uint8Array>;
  /** Resolves at the stream's end: nothing, or why what was read is not the object. */
  readonly error: Promise<Error | null | undefined>;
}

export interface ObjectBucketClient {
  readonly put: (
    name: string,
    data: Uint8Array | ReadableStream<Uint8Array>,
  ) => Effect.Effect<StoredObject, ObjectStoreFailure>;
  /** Null when there is no such object. */
  readonly get: (name: string) => Effect.Effect<FoundObject | null, ObjectStoreFailure>;
  readonly info: (name: string) => Effect.Effect<StoredObject | null, ObjectStoreFailure>;
  readonly list: () => Effect.Effect<ReadonlyArray<StoredObject>, ObjectStoreFailure>;
  readonly remove: (name: string) => Effect.Effect<boolean, ObjectStoreFailure>;
}

/** From an object's size to what is wanted of it; null for nothing. */
type Pick = (size: number) => { readonly offset: number; readonly length: number } | null;

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
    const found = yield* ask("read", where, from.get(nameOf(key)), storageDeadlineMs);
    if (found === null) return yield* new ObjectMissing({ uri: where });
    // The same content written anew has the same digest, and yet the pieces of the former are gone.
    const unchanged = Effect.map(
      from.info(nameOf(key)),
      (info) => info?.digest === found.info.digest && info.modified === found.info.modified,
    );
    return {
      info: describe(key, found.info),
      pieces: piecesOf(found, where, () => Effect.runPromise(unchanged)),
      cancel: () => found.data.cancel(),
    };
  });

  const readOnce = Effect.fnUntraced(function* (bucket: string, key: string, pick: Pick) {
    const { info, pieces, cancel } = yield* get(bucket, key);
    const where = uri(bucket, key);
    const range = pick(info.size);
    const take = async () => {
      if (range !== null) return slice(pieces, range.offset, range.offset + range.length, info.size);
      await cancel();
      return null;
    };
    return { info, bytes: yield* call("read", () => where, take, toReadError(where)) };
  });

  /** An object that is replaced while it is read is read again, from its beginning. */
  const read = (bucket: string, key: string, pick: Pick) =>
    readOnce(bucket, key, pick).pipe(
      Effect.retry({ times: replacedMax, while: (error) => error._tag === "ObjectChanged" }),
      Effect.catchTag("ObjectChanged", (error) =>
        Effect.fail(new StorageUnavailable({ uri: error.uri, operation: "read", detail: error.message })),
      ),
    );

  const readRange: StorageDriver["readRange"] = Effect.fnUntraced(function* (bucket, key, offset, length) {
    yield* checkLength(uri(bucket, key), offset, length);
    const { info, bytes } = yield* read(bucket, key, () => ({ offset, length }));
    return { info, bytes: bytes ?? new Uint8Array(0) };
  });

  return {
    kind: "objectstore",
    uri,
    readRange,
    head: Effect.fnUntraced(function* (bucket, key) {
      yield* checkName(bucket, key);
      const from = yield* open("head", bucket);
      const info = yield* ask("head", uri(bucket, key), from.info(nameOf(key)), storageDeadlineMs);
      return info === null ? yield* new ObjectMissing({ uri: uri(bucket, key) }) : describe(key, info);
    }),
    readAll: Effect.fnUntraced(function* (bucket, key, maxBytes) {
      const whole = (size: number) => (size > maxBytes ? null : { offset: 0, length: size });
      const { info, bytes } = yield* read(bucket, key, whole);
      if (bytes !== null) return { info, bytes };
      return yield* new ObjectTooLarge({ uri: uri(bucket, key), bytes: info.size, bytesMax: maxBytes });
    }),
    stream: (bucket, key) =>
      Stream.unwrap(
        Effect.map(get(bucket, key), ({ pieces }) =>
          Stream.fromAsyncIterable(pieces, toReadError(uri(bucket, key))),
        ),
      ),
    list: Effect.fnUntraced(function* (bucket, prefix, page) {
      yield* checkBucket(bucket, prefix);
      const from = yield* open("list", bucket);
      const all = yield* ask("list", uri(bucket, prefix), from.list(), storageDeadlineMs);
      const after = Buffer.from(page?.after ?? "");
      const wanted = all
        .flatMap((stored) => infoOf(stored) ?? [])
        .filter(({ key }) => key.startsWith(prefix) && Buffer.compare(Buffer.from(key), after) > 0)
        .sort((a, b) => Buffer.compare(Buffer.from(a.key), Buffer.from(b.key)));
      const size = pageSize(page?.max);
      const objects = wanted.slice(0, size);
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
      const written = yield* ask(
        "write",
        where,
        into.put(nameOf(key), streamOf(body)),
        storageWriteDeadlineMs,
      );
      return { etag: written.digest, size: written.size };
    }),
    delete: Effect.fnUntraced(function* (bucket, key) {
      yield* checkName(bucket, key);
      const where = uri(bucket, key);
      const from = yield* open("delete", bucket);
      // The object store refuses to delete what it does not have.
      const info = yield* ask("delete", where, from.info(nameOf(key)), storageDeadlineMs);
      if (info !== null) yield* ask("delete", where, from.remove(nameOf(key)), storageDeadlineMs);
    }),
  };
}

export const layerObjects = (client: ObjectStoreClient): Layer.Layer<Storage> =>
  Layer.sync(Storage, () => makeObjectStorage(client));

/** The client can only name objects in Latin-1: the rest of Unicode, and `%` itself, is written as in a URL. */
function nameOf(key: string): string {
  return key.replaceAll(/[^\x20-\x24\x26-\x7e]+/g, encodeURIComponent);
}

/** Reverses {@link nameOf}; null for a name that it never gives, put there by other means. */
function keyOf(name: string): string | null {
  try {
    const key = decodeURIComponent(name);
    return nameOf(key) === name ? key : null;
  } catch {
    // A % that begins no escape: not a name of this driver's making.
    return null;
  }
}

function infoOf(stored: StoredObject): ObjectInfo | null {
  const key = keyOf(stored.name);
  return key === null ? null : describe(key, stored);
}

function describe(key: string, stored: StoredObject): ObjectInfo {
  return { key, size: stored.size, etag: stored.digest, lastModified: Date.parse(stored.modified) };
}

function toReadError(uri: string): (cause: unknown) => StorageUnavailable | ObjectChanged {
  return (cause) => {
    if (cause instanceof ObjectChanged) return cause;
    const detail = cause instanceof Error ? cause.message : String(cause);
    return new StorageUnavailable({ uri, operation: "read", detail });
  };
}

/**
 * The object's pieces. When an object is replaced, the pieces of the old one that were not read yet are simply gone,
 * and the client waits for them without end: so whenever nothing came for a while, the object is looked at again.
 */
async function* piecesOf(
  found: FoundObject,
  uri: string,
  unchanged: () => Promise<boolean>,
): AsyncGenerator<Uint8Array> {
  const reader = found.data.getReader();
  try {
    let idleMs = 0;
    for (let next = reader.read(); ;) {
      const came = await Promise.race([next, setTimeout(lookAgainMs, null, { ref: false })]);
      if (came === null) {
        idleMs += lookAgainMs;
        if (!(await unchanged()))
          throw new ObjectChanged({ uri, before: found.info.digest, after: "another" });
        if (idleMs >= storageDeadlineMs) throw new Error(`nothing came for ${idleMs} ms`);
        continue;
      }
      if (came.done) break;
      idleMs = 0;
      if (came.value.length > 0) yield came.value;
      next = reader.read();
    }
    // Only here does the client know whether what was read has the digest that it should have.
    const cause = await found.error;
    if (cause) throw cause;
  } finally {
    // What was read is here, or its error is thrown above: nobody waits for the rest.
    void reader.cancel().catch(() => undefined);
  }
}

/** Bytes from `offset` to before `until`, or to the end, of pieces that make up `size`; the rest is cancelled. */
async function slice(
  pieces: AsyncIterable<Uint8Array>,
  offset: number,
  until: number,
  size: number,
): Promise<Uint8Array> {
  const end = Math.min(until, size);
  const wanted: Array<Uint8Array> = [];
  let position = 0;
  for await (const piece of pieces) {
    wanted.push(piece.subarray(Math.max(0, offset - position), Math.max(0, end - position)));
    position += piece.length;
    // A whole object is read to its very end, where its digest is checked.
    if (position >= end && end < size) break;
  }
  if (position < end) throw new Error(`the object has ${position} bytes, not ${size}`);
  return Buffer.concat(wanted);
}

function streamOf(body: ObjectBody): Uint8Array | ReadableStream<Uint8Array> {
  return body instanceof Uint8Array ? body : ReadableStream.from(counted(body.chunks, body.size));
}
