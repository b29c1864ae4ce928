/** Objects in this process's memory: for tests and for sites that keep nothing. */
import { createHash } from "node:crypto";
import * as Clock from "effect/Clock";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import { ObjectMissing, ObjectTooLarge, StorageUnavailable } from "./errors.ts";
import { readBytesMax } from "./limits.ts";
import type { ObjectBody, ObjectInfo, StorageDriver } from "./Storage.ts";
import {
  checkBucket,
  checkLength,
  checkName,
  counted,
  pageSize,
  Storage,
  streamByRanges,
} from "./Storage.ts";

interface Kept {
  readonly info: ObjectInfo;
  readonly bytes: Uint8Array;
}

/** A store with these buckets; writing to any other is `StorageUnavailable`, as with every store. */
export function makeMemoryStorage(buckets: ReadonlyArray<string>): StorageDriver {
  const kept = new Map(buckets.map((bucket) => [bucket, new Map<string, Kept>()]));
  const uri = (bucket: string, key: string): string => `memory://${bucket}/${key}`;

  const open = (operation: string, bucket: string): Effect.Effect<Map<string, Kept>, StorageUnavailable> => {
    const objects = kept.get(bucket);
    if (objects !== undefined) return Effect.succeed(objects);
    return Effect.fail(new StorageUnavailable({ uri: uri(bucket, ""), operation, detail: "no such bucket" }));
  };

  const find = Effect.fnUntraced(function* (operation: string, bucket: string, key: string) {
    yield* checkName(bucket, key);
    const object = (yield* open(operation, bucket)).get(key);
    return object ?? (yield* new ObjectMissing({ uri: uri(bucket, key) }));
  });

  const readRange: StorageDriver["readRange"] = Effect.fnUntraced(function* (bucket, key, offset, length) {
    yield* checkLength(uri(bucket, key), offset, length);
    const { info, bytes } = yield* find("read", bucket, key);
    return { info, bytes: bytes.slice(offset, offset + length) };
  });

  return {
    kind: "memory",
    uri,
    readRange,
    stream: (bucket, key) => streamByRanges(readRange, uri(bucket, key), bucket, key),
    head: (bucket, key) => Effect.map(find("head", bucket, key), (object) => object.info),
    readAll: Effect.fnUntraced(function* (bucket, key, maxBytes) {
      const { info, bytes } = yield* find("read", bucket, key);
      if (info.size > maxBytes) {
        return yield* new ObjectTooLarge({ uri: uri(bucket, key), bytes: info.size, bytesMax: maxBytes });
      }
      return { info, bytes: bytes.slice() };
    }),
    list: Effect.fnUntraced(function* (bucket, prefix, page) {
      yield* checkBucket(bucket, prefix);
      const objects = yield* open("list", bucket);
      const after = Buffer.from(page?.after ?? "");
      const names = [...objects.keys()]
        .filter((key) => key.startsWith(prefix) && Buffer.compare(Buffer.from(key), after) > 0)
        .sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
      const size = pageSize(page?.max);
      const infos = names.slice(0, size).flatMap((key) => objects.get(key)?.info ?? []);
      return { objects: infos, next: names.length > size ? (infos.at(-1)?.key ?? null) : null };
    }),
    write: Effect.fnUntraced(function* (bucket, key, body) {
      yield* checkName(bucket, key);
      const objects = yield* open("write", bucket);
      const bytes = yield* collect(uri(bucket, key), body);
      const etag = createHash("md5").update(bytes).digest("hex");
      const lastModified = yield* Clock.currentTimeMillis;
      objects.set(key, { info: { key, size: bytes.length, etag, lastModified }, bytes });
      return { etag, size: bytes.length };
    }),
    delete: Effect.fnUntraced(function* (bucket, key) {
      yield* checkName(bucket, key);
      (yield* open("delete", bucket)).delete(key);
    }),
  };
}

export const layerMemory = (buckets: ReadonlyArray<string>): Layer.Layer<Storage> =>
  Layer.sync(Storage, () => makeMemoryStorage(buckets));

function collect(
  uri: string,
  body: ObjectBody,
): Effect.Effect<Uint8Array, StorageUnavailable | ObjectTooLarge> {
  if (body instanceof Uint8Array) return Effect.succeed(body.slice());
  if (body.size > readBytesMax) {
    return Effect.fail(new ObjectTooLarge({ uri, bytes: body.size, bytesMax: readBytesMax }));
  }
  return Effect.tryPromise({
    try: async () => {
      const bytes = new Uint8Array(body.size);
      let length = 0;
      for await (const chunk of counted(body.chunks, body.size)) {
        bytes.set(chunk, length);
        length += chunk.length;
      }
      return bytes;
    },
    catch: (cause) => new StorageUnavailable({ uri, operation: "write", detail: String(cause) }),
  });
}
