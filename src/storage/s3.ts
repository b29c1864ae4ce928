/**
 * Any S3 server: AWS, Ceph, MinIO, versitygw. The SDK is loaded with the first request, so that starting a site does
 * not wait for it.
 *
 * A bucket may be written `profile@bucket`, which takes the credentials of that profile of the shared credentials
 * file, or `tenant:bucket` as Ceph names the buckets of another tenant.
 */
import { Readable } from "node:stream";
import type * as S3Sdk from "@aws-sdk/client-s3";
import type { GetObjectCommandOutput, S3Client, S3ClientConfig } from "@aws-sdk/client-s3";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Redacted from "effect/Redacted";
import type * as Scope from "effect/Scope";
import { AccessDenied, ObjectMissing, ObjectTooLarge, StorageUnavailable } from "./errors.ts";
import {
  objectBytesMax,
  s3AttemptsMax,
  s3ConnectMs,
  s3SocketsMax,
  storageDeadlineMs,
  storageWriteDeadlineMs,
} from "./limits.ts";
import type { ObjectBytes, ObjectInfo, StorageDriver } from "./Storage.ts";
import {
  call,
  checkBucket,
  checkLength,
  checkName,
  counted,
  pageSize,
  Storage,
  streamByRanges,
} from "./Storage.ts";

type Sdk = typeof S3Sdk;

export interface S3StorageOptions {
  /** null: AWS itself, or what the shared configuration says. */
  readonly endpoint: string | null;
  readonly region: string;
  readonly forcePathStyle: boolean;
  /** Both null: the SDK's default chain (environment, profile, instance). */
  readonly accessKeyId: Redacted.Redacted | null;
  readonly secretAccessKey: Redacted.Redacted | null;
  readonly deadlineMs?: number;
}

/** What a bucket's written name means. */
export function bucketOf(name: string): { readonly profile: string | null; readonly bucket: string } {
  const at = name.indexOf("@");
  return at < 0
    ? { profile: null, bucket: name }
    : { profile: name.slice(0, at), bucket: name.slice(at + 1) };
}

interface Clients {
  readonly sdk: Sdk;
  readonly client: S3Client;
}

export function makeS3Storage(options: S3StorageOptions): Effect.Effect<StorageDriver, never, Scope.Scope> {
  return Effect.gen(function* () {
    /** One client for each profile that a configured bucket names. */
    const clients = new Map<string | null, Promise<Clients>>();
    yield* Effect.addFinalizer(() =>
      Effect.promise(async () => {
        for (const result of await Promise.allSettled(clients.values())) {
          if (result.status === "fulfilled") result.value.client.destroy();
        }
      }),
    );
    return driver(options, (profile) => {
      const known = clients.get(profile);
      if (known !== undefined) return known;
      const made = connect(options, profile);
      clients.set(profile, made);
      return made;
    });
  });
}

export const layerS3 = (options: S3StorageOptions): Layer.Layer<Storage> =>
  Layer.effect(Storage, makeS3Storage(options));

const silent = (): void => undefined;

async function connect(options: S3StorageOptions, profile: string | null): Promise<Clients> {
  const sdk = await import("@aws-sdk/client-s3");
  const { endpoint, accessKeyId, secretAccessKey } = options;
  const given = profile === null && accessKeyId !== null && secretAccessKey !== null;
  const config: S3ClientConfig = {
    region: options.region,
    forcePathStyle: options.forcePathStyle,
    maxAttempts: s3AttemptsMax,
    requestHandler: {
      connectionTimeout: s3ConnectMs,
      requestTimeout: options.deadlineMs ?? storageDeadlineMs,
      httpAgent: { maxSockets: s3SocketsMax, keepAlive: true },
      httpsAgent: { maxSockets: s3SocketsMax, keepAlive: true },
    },
    // What goes wrong is said by the typed errors; without this the SDK writes to the console.
    logger: { trace: silent, debug: silent, info: silent, warn: silent, error: silent },
    // Checksums only where S3 asks for them: several servers refuse the trailers that the SDK sends by default.
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    ...(endpoint === null ? {} : { endpoint }),
    ...(profile === null ? {} : { profile }),
    ...(given
      ? {
          credentials: {
            accessKeyId: Redacted.value(accessKeyId),
            secretAccessKey: Redacted.value(secretAccessKey),
          },
        }
      : {}),
  };
  return { sdk, client: new sdk.S3Client(config) };
}

function driver(
  options: S3StorageOptions,
  clientFor: (profile: string | null) => Promise<Clients>,
): StorageDriver {
  const deadlineMs = options.deadlineMs ?? storageDeadlineMs;
  const uri = (bucket: string, key: string): string => `s3://${bucket}/${key}`;

  const send = <A>(
    operation: string,
    name: string,
    key: string,
    run: (clients: Clients, bucket: string, signal: AbortSignal) => Promise<A>,
    ms = deadlineMs,
  ) => {
    const { profile, bucket } = bucketOf(name);
    return call(
      operation,
      () => uri(name, key),
      async ({ signal }) => run(await clientFor(profile), bucket, signal),
      (cause) => toS3Error(operation, uri(name, key), cause),
      ms,
    );
  };

  const head = (name: string, key: string) =>
    send("head", name, key, async ({ sdk, client }, bucket, abortSignal): Promise<ObjectInfo> => {
      try {
        const answer = await client.send(new sdk.HeadObjectCommand({ Bucket: bucket, Key: key }), {
          abortSignal,
        });
        const info = infoOf(key, answer.ContentLength ?? 0, answer);
        const said = Object.entries(answer.Metadata ?? {});
        // Servers differ in the case that they give names back in.
        return said.length === 0
          ? info
          : {
              ...info,
              metadata: Object.fromEntries(said.map(([name, value]) => [name.toLowerCase(), value])),
            };
      } catch (cause) {
        // An answer to HEAD has no body, so it cannot say whether the object or the whole bucket is missing.
        if (statusOf(cause) === 404) {
          const bucketHead = client.send(new sdk.HeadBucketCommand({ Bucket: bucket }), { abortSignal });
          if ((await bucketHead.then(() => 200, statusOf)) === 404) throw new BucketMissing();
        }
        throw cause;
      }
    });

  const get = async (
    { sdk, client }: Clients,
    input: { readonly Bucket: string; readonly Key: string; readonly Range?: string },
    abortSignal: AbortSignal,
  ): Promise<GetObjectCommandOutput> => client.send(new sdk.GetObjectCommand(input), { abortSignal });

  const getRange = (name: string, key: string, offset: number, length: number) =>
    send("read", name, key, async (clients, Bucket, signal) => {
      const input = { Bucket, Key: key, Range: `bytes=${offset}-${offset + length - 1}` };
      try {
        return await takeRange(key, await get(clients, input, signal), offset, length);
      } catch (cause) {
        // S3 refuses a range that begins at or beyond the object's end.
        if (statusOf(cause) === 416) return null;
        throw cause;
      }
    });

  const readRange: StorageDriver["readRange"] = Effect.fnUntraced(function* (bucket, key, offset, length) {
    yield* checkName(bucket, key);
    yield* checkLength(uri(bucket, key), offset, length);
    const read = length === 0 ? null : yield* getRange(bucket, key, offset, length);
    if (read !== null) return read;
    return { info: yield* head(bucket, key), bytes: new Uint8Array(0) };
  });

  return {
    kind: "s3",
    uri,
    readRange,
    head: (bucket, key) => Effect.andThen(checkName(bucket, key), head(bucket, key)),
    stream: (bucket, key) => streamByRanges(readRange, uri(bucket, key), bucket, key),
    readAll: Effect.fnUntraced(function* (bucket, key, maxBytes) {
      yield* checkName(bucket, key);
      const read = yield* send("read", bucket, key, async (clients, Bucket, signal) =>
        takeAll(key, await get(clients, { Bucket, Key: key }, signal), maxBytes),
      );
      if (read.bytes !== null) return { info: read.info, bytes: read.bytes };
      return yield* new ObjectTooLarge({ uri: uri(bucket, key), bytes: read.info.size, bytesMax: maxBytes });
    }),
    list: (name, prefix, page) =>
      checkBucket(name, prefix).pipe(
        Effect.andThen(
          send("list", name, prefix, async ({ sdk, client }, bucket, abortSignal) => {
            const input = {
              Bucket: bucket,
              Prefix: prefix,
              MaxKeys: pageSize(page?.max),
              ...(page?.after ? { StartAfter: page.after } : {}),
            };
            const answer = await client.send(new sdk.ListObjectsV2Command(input), { abortSignal });
            const objects = (answer.Contents ?? []).map((object) =>
              infoOf(object.Key ?? "", object.Size ?? 0, object),
            );
            return { objects, next: answer.IsTruncated === true ? (objects.at(-1)?.key ?? null) : null };
          }),
        ),
        Effect.catchTag("ObjectMissing", bucketMissing("list")),
      ),
    write: Effect.fnUntraced(function* (name, key, body) {
      yield* checkName(name, key);
      const size = body instanceof Uint8Array ? body.length : body.size;
      if (size > objectBytesMax) {
        return yield* new ObjectTooLarge({ uri: uri(name, key), bytes: size, bytesMax: objectBytesMax });
      }
      const put = async ({ sdk, client }: Clients, bucket: string, signal: AbortSignal) => {
        // The SDK waits for ever for a body that ends early: so that is found out here, and ends the request.
        const broken = new AbortController();
        const content = body instanceof Uint8Array ? body : Readable.from(counted(body.chunks, size));
        if (content instanceof Readable) content.once("error", (cause) => broken.abort(cause));
        const input = { Bucket: bucket, Key: key, Body: content, ContentLength: size };
        const abortSignal = AbortSignal.any([signal, broken.signal]);
        try {
          const answer = await client.send(new sdk.PutObjectCommand(input), { abortSignal });
          return { etag: unquoted(answer.ETag), size };
        } catch (cause) {
          throw broken.signal.aborted ? broken.signal.reason : cause;
        }
      };
      return yield* Effect.catchTag(
        send("write", name, key, put, storageWriteDeadlineMs),
        "ObjectMissing",
        bucketMissing("write"),
      );
    }),
    delete: (name, key) =>
      checkName(name, key).pipe(
        Effect.andThen(
          send("delete", name, key, async ({ sdk, client }, bucket, abortSignal) => {
            await client.send(new sdk.DeleteObjectCommand({ Bucket: bucket, Key: key }), { abortSignal });
          }),
        ),
        Effect.catchTag("ObjectMissing", () => Effect.void),
      ),
  };
}

/** A 404 to what needs no object can only mean the bucket. */
function bucketMissing(operation: string) {
  return (error: ObjectMissing): Effect.Effect<never, StorageUnavailable> =>
    Effect.fail(new StorageUnavailable({ uri: error.uri, operation, detail: "404: no such bucket" }));
}

interface Described {
  readonly ETag?: string | undefined;
  readonly LastModified?: Date | undefined;
}

function infoOf(key: string, size: number, described: Described): ObjectInfo {
  return { key, size, etag: unquoted(described.ETag), lastModified: described.LastModified?.getTime() ?? 0 };
}

function unquoted(etag: string | undefined): string {
  return (etag ?? "").replaceAll(/^W\/|"/g, "");
}

async function takeRange(
  key: string,
  answer: GetObjectCommandOutput,
  offset: number,
  length: number,
): Promise<ObjectBytes> {
  const range = /^bytes (\d+)-\d+\/(\d+)$/.exec(answer.ContentRange ?? "");
  const size = range === null ? (answer.ContentLength ?? 0) : Number(range[2]);
  // A server that knows no ranges sends the whole object: what comes before the range is skipped.
  const skip = offset - (range === null ? 0 : Number(range[1]));
  const bytes = await collect(answer, skip, length);
  return { info: infoOf(key, size, answer), bytes };
}

/** `bytes` is null, and none was read, for an object of more than `maxBytes`. */
async function takeAll(key: string, answer: GetObjectCommandOutput, maxBytes: number) {
  const size = answer.ContentLength ?? 0;
  const info = infoOf(key, size, answer);
  if (size <= maxBytes) return { info, bytes: await collect(answer, 0, size) };
  bodyOf(answer)?.destroy();
  return { info, bytes: null };
}

function bodyOf(answer: GetObjectCommandOutput): Readable | undefined {
  return answer.Body as Readable | undefined;
}

/**
 * `length` bytes after the first `skip`. What comes beyond them is not waited for, which costs the connection; an answer that ends with
 * them is read to its end, so that its connection serves the next request.
 */
async function collect(answer: GetObjectCommandOutput, skip: number, length: number): Promise<Uint8Array> {
  const pieces: Array<Uint8Array> = [];
  let before = skip;
  let wanted = length;
  for await (const piece of bodyOf(answer) ?? []) {
    const chunk = piece as Uint8Array;
    const bytes = chunk.subarray(before, before + wanted);
    const used = Math.min(before, chunk.length) + bytes.length;
    before = Math.max(0, before - chunk.length);
    if (bytes.length > 0) pieces.push(bytes);
    wanted -= bytes.length;
    if (used < chunk.length) break;
  }
  return Buffer.concat(pieces);
}

function statusOf(cause: unknown): number {
  if (typeof cause !== "object" || cause === null || !("$metadata" in cause)) return 0;
  const metadata = cause.$metadata as { readonly httpStatusCode?: number } | undefined;
  return metadata?.httpStatusCode ?? 0;
}

class BucketMissing extends Error {
  override readonly name = "NoSuchBucket";
  constructor() {
    super("the bucket does not exist");
  }
}

const credentialFaults = new Set([
  "AccessDenied",
  "InvalidAccessKeyId",
  "SignatureDoesNotMatch",
  "ExpiredToken",
  "CredentialsProviderError",
]);

function toS3Error(
  operation: string,
  uri: string,
  cause: unknown,
): ObjectMissing | AccessDenied | StorageUnavailable {
  const status = statusOf(cause);
  const name = cause instanceof Error ? cause.name : "";
  const text = cause instanceof Error ? cause.message : String(cause);
  const detail = `${status === 0 ? "" : `${status} `}${name}: ${text}`;
  if (status === 403 || status === 401 || credentialFaults.has(name)) {
    return new AccessDenied({ uri, operation, detail });
  }
  if (status === 404 && name !== "NoSuchBucket") return new ObjectMissing({ uri });
  return new StorageUnavailable({ uri, operation, detail });
}
