/**
 * What the files of a lane with names are: by their names, and for the kinds that declare it by a range that was given with the file.
 * Where more than one says it: the arrival, then the sidecar, then the store's metadata of the object, then the name.
 */
import * as Effect from "effect/Effect";
import * as Result from "effect/Result";
import type { Lane } from "../config/Site.ts";
import type { RangeFact } from "../jobs/indexed.ts";
import { factsOf, readRange } from "../jobs/indexed.ts";
import { sidecarBytesMax } from "../limits.ts";
import type { DatasetFacts, FileBody } from "../protocol/records.ts";
import { fileName } from "../protocol/route.ts";
import type { ReadError } from "../storage/errors.ts";
import { parseSidecar, sidecarBeside } from "../storage/metadata.ts";
import type { StorageDriver } from "../storage/Storage.ts";

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
    const facts = (fact: RangeFact | null, size: number | null): DatasetRead => ({
      type: "facts",
      facts: factsOf(file, fact, body.given?.pointing ?? null),
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
