/**
 * Where the bytes are. One small interface over S3, a directory tree, JetStream's object store and memory; every
 * implementation passes the same conformance suite.
 *
 * A bucket that does not exist is `StorageUnavailable`, not `ObjectMissing`: an unmounted disk or a mistyped bucket
 * must not look as if each of its objects had been deleted.
 */
import * as Context from "effect/Context";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Stream from "effect/Stream";
import { objectKeyBytesMax } from "../limits.ts";
import type { AccessDenied, ReadError } from "./errors.ts";
import { InvalidKey, ObjectChanged, ObjectTooLarge, StorageUnavailable } from "./errors.ts";
import { listPageMax, readBytesMax, storageDeadlineMs, streamChunkBytes } from "./limits.ts";

export interface ObjectInfo {
  readonly key: string;
  /** Bytes. */
  readonly size: number;
  /** The content's tag, without quotes: equal tags mean equal content, for one key in one store. */
  readonly etag: string;
  /** Epoch milliseconds. */
  readonly lastModified: number;
  /** What the object's writer said of it, by lower-case name; only from `head`, of stores that keep such. */
  readonly metadata?: Readonly<Record<string, string>>;
}

export interface ObjectBytes {
  readonly info: ObjectInfo;
  readonly bytes: Uint8Array;
}

export interface ObjectPage {
  /** In ascending order of the keys' UTF-8 bytes. */
  readonly objects: ReadonlyArray<ObjectInfo>;
  /** Pass as `after` to get the next page; null at the end. */
  readonly next: string | null;
}

/** What is written: bytes, or as many of them as `size` says, in pieces. */
export type ObjectBody = Uint8Array | { readonly size: number; readonly chunks: AsyncIterable<Uint8Array> };

export interface Written {
  readonly etag: string;
  readonly size: number;
}

export interface StorageDriver {
  readonly kind: "s3" | "file" | "objectstore" | "memory";
  readonly head: (bucket: string, key: string) => Effect.Effect<ObjectInfo, ReadError>;
  /** At most `length` bytes from `offset`: fewer at the object's end, none beyond it. */
  readonly readRange: (
    bucket: string,
    key: string,
    offset: number,
    length: number,
  ) => Effect.Effect<ObjectBytes, ReadError | ObjectTooLarge>;
  /** The whole object, refused when it has more than `maxBytes`. */
  readonly readAll: (
    bucket: string,
    key: string,
    maxBytes: number,
  ) => Effect.Effect<ObjectBytes, ReadError | ObjectTooLarge>;
  /** The whole object in pieces, all of one version of its content. */
  readonly stream: (
    bucket: string,
    key: string,
  ) => Stream.Stream<Uint8Array, ReadError | ObjectTooLarge | ObjectChanged>;
  /** One page of the keys that begin with `prefix` and come after `after`; at most `max` (default and limit 1000). */
  readonly list: (
    bucket: string,
    prefix: string,
    page?: { readonly after?: string | null; readonly max?: number },
  ) => Effect.Effect<ObjectPage, AccessDenied | StorageUnavailable | InvalidKey>;
  /** Replaces the object at once or not at all: a reader sees the old content or the new, never a part. */
  readonly write: (
    bucket: string,
    key: string,
    body: ObjectBody,
  ) => Effect.Effect<Written, AccessDenied | StorageUnavailable | InvalidKey | ObjectTooLarge>;
  /** Deleting what is not there succeeds. */
  readonly delete: (
    bucket: string,
    key: string,
  ) => Effect.Effect<void, AccessDenied | StorageUnavailable | InvalidKey>;
  /** The object's address, for people and catalogs. Pure: says nothing about existence. */
  readonly uri: (bucket: string, key: string) => string;
}

/** The storage of a program that has just one; a site with several keeps drivers by name. */
export class Storage extends Context.Service<Storage, StorageDriver>()("orrery/storage/Storage") {}

/** Why no store may hold this name, or null. Each driver adds its own rules. */
export function keyFault(key: string): string | null {
  if (key === "") return "it is empty";
  if (!key.isWellFormed()) return "it is no well-formed Unicode";
  if (key.includes("\0")) return "it holds a NUL";
  if (Buffer.byteLength(key) > objectKeyBytesMax) return `it has more than ${objectKeyBytesMax} bytes`;
  // A path-style URL or a directory would resolve these, and reach another object.
  if (/(?:^|\/)\.\.?(?:\/|$)/.test(key)) return "it has . or .. as a part";
  return null;
}

const bucketText = /^(?![.-])[A-Za-z0-9._@:-]{1,255}$/;

/** Refuses a bucket or key that no store may hold, before anything is asked of one. */
export function checkName(bucket: string, key: string): Effect.Effect<void, InvalidKey> {
  const detail = bucketText.test(bucket) ? keyFault(key) : "the bucket's name is no bucket name";
  return detail === null ? Effect.void : Effect.fail(new InvalidKey({ bucket, key, detail }));
}

/** As {@link checkName} for a bucket and a prefix of keys, which may be empty. */
export function checkBucket(bucket: string, prefix: string): Effect.Effect<void, InvalidKey> {
  if (bucketText.test(bucket) && prefix.isWellFormed() && !prefix.includes("\0")) return Effect.void;
  return Effect.fail(new InvalidKey({ bucket, key: prefix, detail: "no bucket has such a name or prefix" }));
}

/** Refuses a read whose answer would not be bounded. */
export function checkLength(
  uri: string,
  offset: number,
  length: number,
): Effect.Effect<void, ObjectTooLarge> {
  const valid = Number.isSafeInteger(offset) && offset >= 0 && Number.isSafeInteger(length) && length >= 0;
  if (!valid) return Effect.die(new RangeError(`read of ${length} bytes at ${offset}`));
  if (length <= readBytesMax) return Effect.void;
  return Effect.fail(new ObjectTooLarge({ uri, bytes: length, bytesMax: readBytesMax }));
}

export function pageSize(max: number | undefined): number {
  return Math.max(1, Math.min(max ?? listPageMax, listPageMax));
}

/**
 * Runs one call to a store under a deadline; `stop` is aborted when it has passed, or when nobody waits any more. A timer and not
 * `Effect.timeout`: that is two more fibers for each call, as much work as reading a small file.
 */
export function call<A, E>(
  operation: string,
  uri: () => string,
  run: (stop: AbortController) => Promise<A>,
  toError: (cause: unknown) => E,
  deadlineMs: number = storageDeadlineMs,
): Effect.Effect<A, E | StorageUnavailable> {
  return Effect.callback<A, E | StorageUnavailable>((resume) => {
    const stop = new AbortController();
    const late = setTimeout(() => {
      stop.abort();
      const detail = `no answer within ${deadlineMs} ms`;
      resume(Effect.failSync(() => new StorageUnavailable({ uri: uri(), operation, detail })));
    }, deadlineMs);
    run(stop).then(
      (answer) => {
        clearTimeout(late);
        resume(Effect.succeed(answer));
      },
      (cause: unknown) => {
        clearTimeout(late);
        resume(Effect.failSync(() => toError(cause)));
      },
    );
    return Effect.sync(() => {
      clearTimeout(late);
      stop.abort();
    });
  });
}

/** The pieces as they come; throws when they are more or fewer bytes than announced. */
export async function* counted(chunks: AsyncIterable<Uint8Array>, size: number): AsyncGenerator<Uint8Array> {
  let length = 0;
  for await (const chunk of chunks) {
    length += chunk.length;
    if (length > size) throw new Error(`the body has more than its ${size} bytes`);
    yield chunk;
  }
  if (length !== size) throw new Error(`the body has ${length} bytes, not ${size}`);
}

/** A stream made of ranged reads, for stores that serve any range cheaply: each piece has its own deadline. */
export function streamByRanges(
  readRange: StorageDriver["readRange"],
  uri: string,
  bucket: string,
  key: string,
): Stream.Stream<Uint8Array, ReadError | ObjectTooLarge | ObjectChanged> {
  const begin: { offset: number; etag: string | null } = { offset: 0, etag: null };
  return Stream.paginate(begin, ({ offset, etag }) =>
    Effect.flatMap(readRange(bucket, key, offset, streamChunkBytes), ({ info, bytes }) => {
      if (etag !== null && etag !== info.etag) {
        return Effect.fail(new ObjectChanged({ uri, before: etag, after: info.etag }));
      }
      const next = offset + bytes.length;
      const more = bytes.length > 0 && next < info.size;
      const pieces = bytes.length > 0 ? [bytes] : [];
      return Effect.succeed([
        pieces,
        more ? Option.some({ offset: next, etag: info.etag }) : Option.none(),
      ] as const);
    }),
  );
}
