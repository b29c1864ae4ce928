/**
 * The metadata of an object: its sidecar where there is one, else its own FITS primary header, read by range.
 *
 * A sidecar that cannot be read gives way to the header, with a warning; only when the header cannot be read either
 * is the sidecar's fault the error. An object without a byte is refused whatever its sidecar says.
 */
import * as Effect from "effect/Effect";
import * as Result from "effect/Result";
import * as Schema from "effect/Schema";
import { fitsHeaderBytesMax, sidecarBytesMax } from "../limits.ts";
import type { FitsParse } from "../protocol/fits.ts";
import { isGzip, parseFitsHeader } from "../protocol/fits.ts";
import type { HeaderFields } from "../protocol/identity.ts";
import type { ReadError } from "./errors.ts";
import { inflatePrefix } from "./gunzip.ts";
import { headerFirstReadBytes, headerReadGrowth } from "./limits.ts";
import type { ObjectInfo, StorageDriver } from "./Storage.ts";

export interface Metadata {
  readonly source: "sidecar" | "fits";
  /**
   * Keyword to value: text, number, boolean, null, `{re, im}`, or what else a sidecar holds. HIERARCH keywords are
   * written one way, whatever the source: `STUTTER ROWS`.
   */
  readonly fields: HeaderFields;
  /** The object itself, not its sidecar. */
  readonly info: ObjectInfo;
  /** What was wrong and could be passed over, in words. */
  readonly warnings: ReadonlyArray<string>;
}

export interface MetadataOptions {
  /**
   * Key of the sidecar of an object's key, or null where it has none. Default: {@link sidecarBeside} with ".json".
   */
  readonly sidecarKey?: (key: string) => string | null;
  readonly sidecarBytesMax?: number;
  /** Bound on a header's length, after inflating. */
  readonly headerBytesMax?: number;
  readonly firstReadBytes?: number;
}

/** Rule for sidecars that lie beside their object, with another ending: `a/b.fits` and `a/b.json`. */
export function sidecarBeside(ending: string): (key: string) => string | null {
  return (key) => {
    const beside = key.replace(/(?:\.fits?)?(?:\.gz|\.fz|\.[^./]*)?$/i, ending);
    return beside === key ? null : beside;
  };
}

/** There is no sidecar, and the object is no FITS file: nothing says what it is. Nothing was stored. */
export class NoMetadata extends Schema.TaggedError<NoMetadata>()("NoMetadata", {
  uri: Schema.String,
  detail: Schema.String,
}) {
  override get message(): string {
    return `${this.uri} has no sidecar and is no FITS file (${this.detail}). Upload its sidecar, then replay the file.`;
  }
}

/** The sidecar cannot be read, and neither can the object's own header. Nothing was stored. */
export class SidecarUnreadable extends Schema.TaggedError<SidecarUnreadable>()("SidecarUnreadable", {
  uri: Schema.String,
  reason: Schema.Literals(["NotJson", "NotObject", "TooLarge"]),
  detail: Schema.String,
}) {
  override get message(): string {
    return `sidecar ${this.uri} cannot be read (${this.reason}: ${this.detail}), and the file has no readable header. Correct the sidecar, then replay the file.`;
  }
}

/** The object begins as FITS but its header cannot be read. Nothing was stored. */
export class HeaderUnreadable extends Schema.TaggedError<HeaderUnreadable>()("HeaderUnreadable", {
  uri: Schema.String,
  reason: Schema.Literals(["Truncated", "MissingEnd", "BadCard", "TooLong", "GzipBroken"]),
  detail: Schema.String,
}) {
  override get message(): string {
    return `the FITS header of ${this.uri} cannot be read (${this.reason}: ${this.detail}). Upload the file again, or a sidecar for it, then replay it.`;
  }
}

/** The object has no bytes. Nothing was stored. */
export class EmptyFile extends Schema.TaggedError<EmptyFile>()("EmptyFile", { uri: Schema.String }) {
  override get message(): string {
    return `${this.uri} is empty. Upload it again; that is a new arrival.`;
  }
}

/** The file is at fault; trying again does not help. */
export type MetadataFault = NoMetadata | SidecarUnreadable | HeaderUnreadable | EmptyFile;

/**
 * Reads an object's metadata: two requests beside each other where there is a sidecar (its content, and a HEAD of the
 * object), else one or two after them. Everything read is bounded.
 */
export const readMetadata = Effect.fnUntraced(function* (
  storage: StorageDriver,
  bucket: string,
  key: string,
  options: MetadataOptions = {},
): Effect.fn.Return<Metadata, MetadataFault | ReadError> {
  const sidecarKey = (options.sidecarKey ?? defaultSidecar)(key);
  const warnings: Array<string> = [];
  let fault: SidecarUnreadable | null = null;
  if (sidecarKey !== null) {
    const [info, sidecar] = yield* Effect.all(
      [storage.head(bucket, key), readSidecar(storage, bucket, sidecarKey, options)],
      { concurrency: 2 },
    );
    if (info.size === 0) return yield* new EmptyFile({ uri: storage.uri(bucket, key) });
    if (sidecar !== null) {
      if (Result.isSuccess(sidecar)) return { source: "sidecar", fields: sidecar.success, info, warnings };
      fault = sidecar.failure;
      warnings.push(`sidecar ${fault.uri} was passed over (${fault.reason}: ${fault.detail})`);
    }
  }
  const header = yield* Effect.result(readHeader(storage, bucket, key, options, warnings));
  if (Result.isSuccess(header)) return header.success;
  const error = header.failure;
  const unreadable = error._tag === "NoMetadata" || error._tag === "HeaderUnreadable";
  return yield* fault !== null && unreadable ? fault : error;
});

const defaultSidecar = sidecarBeside(".json");

/** Null when there is no sidecar; a store that is away is an error, never "no sidecar". */
const readSidecar = Effect.fnUntraced(function* (
  storage: StorageDriver,
  bucket: string,
  key: string,
  options: MetadataOptions,
): Effect.fn.Return<Result.Result<HeaderFields, SidecarUnreadable> | null, ReadError> {
  const uri = storage.uri(bucket, key);
  const read = yield* Effect.result(storage.readAll(bucket, key, options.sidecarBytesMax ?? sidecarBytesMax));
  if (Result.isSuccess(read)) return parseSidecar(uri, read.success.bytes);
  const error = read.failure;
  if (error._tag === "ObjectMissing") return null;
  if (error._tag !== "ObjectTooLarge") return yield* error;
  return Result.fail(new SidecarUnreadable({ uri, reason: "TooLarge", detail: `${error.bytes} bytes` }));
});

const utf8 = new TextDecoder("utf-8", { fatal: true });

/** Pure: a sidecar's fields, with HIERARCH keywords as the FITS header has them. */
export function parseSidecar(uri: string, bytes: Uint8Array): Result.Result<HeaderFields, SidecarUnreadable> {
  let value: unknown;
  try {
    value = JSON.parse(utf8.decode(bytes));
  } catch (cause) {
    const detail = cause instanceof Error ? cause.message : String(cause);
    return Result.fail(new SidecarUnreadable({ uri, reason: "NotJson", detail }));
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    const detail = `it holds ${value === null ? "null" : Array.isArray(value) ? "a list" : `a ${typeof value}`}`;
    return Result.fail(new SidecarUnreadable({ uri, reason: "NotObject", detail }));
  }
  const fields = value as Record<string, unknown>;
  const hierarch = Object.keys(fields).filter(isHierarch);
  delete fields["__CONTENT__"];
  // In place: a camera's sidecar has two hundred fields, and to build it again takes three times as long as to parse it.
  for (const name of hierarch) {
    const field = fields[name];
    delete fields[name];
    // Defined and not assigned: one may be called `__proto__`.
    const plain = name.slice(9).replaceAll(".", " ");
    Object.defineProperty(fields, plain, {
      value: field,
      writable: true,
      enumerable: true,
      configurable: true,
    });
  }
  return Result.succeed(fields);
}

const isHierarch = (name: string): boolean => name.startsWith("HIERARCH.");

/**
 * Each further read begins at the file's first byte again, so that a header is always of one version of the object
 * even when it is replaced between two reads.
 */
const readHeader = Effect.fnUntraced(function* (
  storage: StorageDriver,
  bucket: string,
  key: string,
  options: MetadataOptions,
  warnings: ReadonlyArray<string>,
): Effect.fn.Return<Metadata, NoMetadata | HeaderUnreadable | EmptyFile | ReadError> {
  const uri = storage.uri(bucket, key);
  const bytesMax = options.headerBytesMax ?? fitsHeaderBytesMax;
  let wanted = Math.min(options.firstReadBytes ?? headerFirstReadBytes, bytesMax);
  for (;;) {
    const { info, bytes } = yield* Effect.catchTag(
      storage.readRange(bucket, key, 0, wanted),
      "ObjectTooLarge",
      Effect.die,
    );
    if (info.size === 0) return yield* new EmptyFile({ uri });
    const whole = bytes.length >= info.size;
    const parsed = isGzip(bytes)
      ? yield* Effect.promise(() => parseInflated(bytes, whole, bytesMax))
      : parseFitsHeader(bytes, whole);
    if (parsed._tag === "Complete") {
      const { record, problems } = parsed.header;
      return { source: "fits", fields: record, info, warnings: [...warnings, ...problems] };
    }
    if (parsed._tag === "Refused") {
      const { reason, detail } = parsed;
      if (reason === "NotFits") return yield* new NoMetadata({ uri, detail });
      if (reason === "Empty") return yield* new EmptyFile({ uri });
      return yield* new HeaderUnreadable({ uri, reason, detail });
    }
    if (wanted >= bytesMax) {
      return yield* new HeaderUnreadable({
        uri,
        reason: "TooLong",
        detail: `no END card in ${bytesMax} bytes`,
      });
    }
    wanted = Math.min(bytesMax, Math.max(wanted * headerReadGrowth, parsed.bytes));
  }
});

type InflatedParse =
  | FitsParse
  | { readonly _tag: "Refused"; readonly reason: "GzipBroken" | "TooLong"; readonly detail: string };

async function parseInflated(
  compressed: Uint8Array,
  whole: boolean,
  bytesMax: number,
): Promise<InflatedParse> {
  const { bytes, exhausted, fault } = await inflatePrefix(compressed, bytesMax);
  const parsed = parseFitsHeader(bytes, whole && exhausted && fault === null);
  if (parsed._tag !== "NeedMore") return parsed;
  if (fault !== null) return { _tag: "Refused", reason: "GzipBroken", detail: fault };
  if (!exhausted)
    return { _tag: "Refused", reason: "TooLong", detail: `no END card in ${bytesMax} inflated bytes` };
  return parsed;
}
