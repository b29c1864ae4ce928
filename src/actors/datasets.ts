/**
 * What the files of a lane with names are: by their names, and for the kinds that declare it by a range that was given with the file.
 * Where more than one says it: the arrival, then the sidecar, then the store's metadata of the object, then the name.
 */
import { createHash } from "node:crypto";
import * as Effect from "effect/Effect";
import * as Result from "effect/Result";
import * as Stream from "effect/Stream";
import type { Lane } from "../config/Site.ts";
import type { RangeFact } from "../jobs/indexed.ts";
import { factsOf, readRange } from "../jobs/indexed.ts";
import { sidecarBytesMax } from "../limits.ts";
import type { DatasetFacts, FileBody } from "../protocol/records.ts";
import { fileName } from "../protocol/route.ts";
import type { ReadError } from "../storage/errors.ts";
import { parseSidecar, sidecarBeside } from "../storage/metadata.ts";
import type { StorageDriver } from "../storage/Storage.ts";
import type { Item } from "./claimSource.ts";

/** `permanent`: it is the file's own fault. */
export type DatasetRead =
  | { readonly type: "facts"; readonly facts: DatasetFacts; readonly size: number | null }
  | { readonly type: "permanent"; readonly reason: string; readonly detail: string }
  | { readonly type: "unread"; readonly error: ReadError };

const permanent = (reason: string, detail: string): DatasetRead => ({ type: "permanent", reason, detail });

/** @param storage null where the lane names none: then only arrivals and names say something */
export const readDataset = (
  lane: Lane,
  storage: StorageDriver | null,
  body: FileBody,
): Effect.Effect<DatasetRead> =>
  Effect.gen(function* () {
    const { names } = lane;
    if (names === null) return permanent("NameNotRecognised", `lane ${lane.name} has no names file`);
    const recognised = names.recognise(fileName(body.key));
    if (!recognised.ok) {
      const as = recognised.kind === null ? "" : ` (read as ${recognised.kind})`;
      return permanent("NameNotRecognised", `${recognised.reason}${as}`);
    }
    const { file } = recognised;
    const digested = yield* Effect.result(digestOf(storage, body.bucket, body.key));
    if (Result.isFailure(digested)) return { type: "unread", error: digested.failure };
    const digest = digested.success === null ? {} : { digest: digested.success };
    const facts = (fact: RangeFact | null, size: number | null): DatasetRead => ({
      type: "facts",
      facts: { ...factsOf(file, fact, body.given?.pointing ?? null), ...digest },
      size,
    });
    if (body.given?.range !== undefined)
      return judged("arrival", body.given.range, (fact) => facts(fact, null));
    if (storage === null || names.kinds.get(file.kind)?.rangeGiven !== true) return facts(null, null);
    const read = yield* Effect.result(given(storage, lane.sidecar, body.bucket, body.key));
    if (Result.isFailure(read)) return { type: "unread", error: read.failure };
    if (read.success === null) return facts(null, null);
    const { from, value, size } = read.success;
    if (from === "fault") return permanent("RangeUnusable", value);
    return judged(from, value, (fact) => facts(fact, size));
  });

/**
 * A digest of the content where the store's tag is none: a folder's files have size, time and inode as their tag, so that the same file
 * copied there once more would look like another one. Null elsewhere, and for what is announced and not there.
 */
const digestOf = (
  storage: StorageDriver | null,
  bucket: string,
  key: string,
): Effect.Effect<string | null, ReadError> => {
  if (storage?.kind !== "file") return Effect.succeed(null);
  return storage.stream(bucket, key).pipe(
    Stream.runFold(
      () => createHash("sha256"),
      (hash, chunk) => hash.update(chunk),
    ),
    Effect.map((hash): string | null => hash.digest("hex")),
    // Written anew while it was read: its next arrival is about to come, or has come.
    Effect.catchTags({
      ObjectMissing: () => Effect.succeed(null),
      ObjectChanged: () => Effect.succeed(null),
      ObjectTooLarge: () => Effect.succeed(null),
    }),
  );
};

/** Whether what arrived under a known name has the content that is known. What cannot be read now is not taken for it. */
export const sameContent = (storage: StorageDriver, { body, held }: Item<FileBody>): Promise<boolean> => {
  const known = held?.record.body.dataset?.digest;
  if (known === undefined) return Promise.resolve(false);
  return Effect.runPromise(
    digestOf(storage, body.bucket, body.key).pipe(
      Effect.map((digest) => digest === known),
      Effect.catch(() => Effect.succeed(false)),
    ),
  );
};

function judged(
  from: RangeFact["from"],
  value: unknown,
  facts: (fact: RangeFact) => DatasetRead,
): DatasetRead {
  const range = readRange(value);
  return typeof range === "string" ? permanent("RangeUnusable", `${from}: ${range}`) : facts({ range, from });
}

type GivenRange =
  | { readonly from: "sidecar" | "metadata"; readonly value: unknown; readonly size: number | null }
  | { readonly from: "fault"; readonly value: string; readonly size: null };

/** Null where neither says anything. A sidecar that is there and cannot be read is a fault: it may have said something. */
const given = (
  storage: StorageDriver,
  ending: string | null,
  bucket: string,
  key: string,
): Effect.Effect<GivenRange | null, ReadError> =>
  Effect.gen(function* () {
    const sidecar = ending === null ? null : sidecarBeside(ending)(key);
    if (sidecar !== null) {
      const read = yield* Effect.result(storage.readAll(bucket, sidecar, sidecarBytesMax));
      if (Result.isSuccess(read)) {
        const uri = storage.uri(bucket, sidecar);
        const fields = parseSidecar(uri, read.success.bytes);
        if (Result.isFailure(fields)) {
          const { reason, detail } = fields.failure;
          return { from: "fault", value: `sidecar ${uri} cannot be read (${reason}: ${detail})`, size: null };
        }
        if (fields.success["range"] !== undefined)
          return { from: "sidecar", value: fields.success["range"], size: null };
      } else if (read.failure._tag === "ObjectTooLarge") {
        const value = `sidecar ${read.failure.uri} has ${read.failure.bytes} bytes`;
        return { from: "fault", value, size: null };
      } else if (read.failure._tag !== "ObjectMissing") {
        return yield* read.failure;
      }
    }
    const info = yield* storage.head(bucket, key);
    const value = info.metadata?.["range"];
    return value === undefined ? null : { from: "metadata", value, size: info.size };
  });
