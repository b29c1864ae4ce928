/**
 * A directory tree as a store: `<root>/<bucket>/<key>`. For sites whose files lie on a local or shared disk.
 *
 * Three rules hold for every path: no key leaves its bucket's directory (not by `..`, not through a symbolic link); a
 * write is complete on disk before it has its name; the etag is size, mtime and inode, so that telling whether
 * content has changed never costs a read of it.
 */
import { randomUUID } from "node:crypto";
import type { BigIntStats } from "node:fs";
import { close, constants, fstat, open as openAt, read as readAt } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { lstat, mkdir, open, readdir, realpath, rename, rm, stat, unlink } from "node:fs/promises";
import { basename, dirname, join, resolve, sep } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import type { ReadError } from "./errors.ts";
import { AccessDenied, InvalidKey, ObjectMissing, ObjectTooLarge, StorageUnavailable } from "./errors.ts";
import { listKeys } from "./fileList.ts";
import { leftoverMs, objectBytesMax, storageDeadlineMs, storageWriteDeadlineMs } from "./limits.ts";
import type { ObjectBody, ObjectInfo, StorageDriver, Written } from "./Storage.ts";
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

/** In each bucket, what is being written and has no name yet. Never listed, and no key may begin with it. */
export const unfinishedDirectory = ".orrery-tmp";

// Descriptors and no `FileHandle`s: to make one and to let go of it is as much work as what a small file is opened for.
const descriptor = promisify(openAt);
const statsOf = promisify(fstat);
const readSome = promisify(readAt);
const closed = promisify(close);

/** A URL holds it as it is: no part begins with a dot, and nothing is escaped. To make a URL of it is what most of a look would take. */
const plainPath = /^[A-Za-z0-9_-][A-Za-z0-9._-]*(?:\/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$/;

export interface FileStorageOptions {
  /** Directory whose directories are the buckets. */
  readonly root: string;
  readonly deadlineMs?: number;
}

type FileError = ReadError | ObjectTooLarge;

export function makeFileStorage(options: FileStorageOptions): StorageDriver {
  const root = resolve(options.root);
  const deadlineMs = options.deadlineMs ?? storageDeadlineMs;
  const swept = new Set<string>();
  const rootUri = pathToFileURL(root + sep).href;
  const uri = (bucket: string, key: string): string =>
    plainPath.test(bucket) && plainPath.test(key)
      ? `${rootUri}${bucket}/${key}`
      : pathToFileURL(join(root, bucket, key)).href;

  const run = <A>(operation: string, bucket: string, key: string, body: () => Promise<A>, ms = deadlineMs) =>
    Effect.andThen(
      checkFileKey(bucket, key),
      call(
        operation,
        () => uri(bucket, key),
        body,
        (cause) => toFileError(operation, uri(bucket, key), bucket, key, cause),
        ms,
      ),
    );

  const folders = new FolderLooks(root);

  const head = async (bucket: string, key: string): Promise<ObjectInfo> => {
    const near = await folders.pathOf(bucket, key);
    let stats = await lstat(near, { bigint: true });
    if (stats.isSymbolicLink()) stats = await stat(await locate(root, bucket, key), { bigint: true });
    if (!stats.isFile()) throw missing(uri(bucket, key));
    return infoOf(key, stats);
  };

  const read = async (
    bucket: string,
    key: string,
    pick: (size: number) => { offset: number; length: number },
  ) => {
    // Not blocking: opening a FIFO that nobody writes to would otherwise hold a thread for ever.
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
    const near = await folders.pathOf(bucket, key);
    const file = await descriptor(near, flags).catch(async (cause: unknown) => {
      // It is a symbolic link itself, and may lead anywhere.
      if (codeOf(cause) !== "ELOOP") throw cause;
      return descriptor(await locate(root, bucket, key), flags);
    });
    try {
      const stats = await statsOf(file, { bigint: true });
      if (!stats.isFile()) throw missing(uri(bucket, key));
      const info = infoOf(key, stats);
      const { offset, length } = pick(info.size);
      return {
        info,
        bytes: await readFully(file, offset, Math.min(length, Math.max(0, info.size - offset))),
      };
    } finally {
      await closed(file);
    }
  };

  const readRange: StorageDriver["readRange"] = (bucket, key, offset, length) =>
    Effect.andThen(
      checkLength(uri(bucket, key), offset, length),
      run("read", bucket, key, () => read(bucket, key, () => ({ offset, length }))),
    );

  return {
    kind: "file",
    uri,
    readRange,
    head: (bucket, key) =>
      run("head", bucket, key, () => head(bucket, key)).pipe(Effect.catchTag("ObjectTooLarge", Effect.die)),
    stream: (bucket, key) => streamByRanges(readRange, uri(bucket, key), bucket, key),
    readAll: (bucket, key, maxBytes) =>
      run("read", bucket, key, () =>
        read(bucket, key, (size) => {
          if (size > maxBytes)
            throw new ObjectTooLarge({ uri: uri(bucket, key), bytes: size, bytesMax: maxBytes });
          return { offset: 0, length: size };
        }),
      ),
    list: (bucket, prefix, page) => {
      const where = uri(bucket, prefix);
      const toError = (cause: unknown) => toFileError("list", where, bucket, prefix, cause);
      return checkBucket(bucket, prefix).pipe(
        Effect.andThen(
          call(
            "list",
            () => where,
            () => list(root, bucket, prefix, page),
            toError,
            deadlineMs,
          ),
        ),
        withoutMissing,
        Effect.catchTag("ObjectTooLarge", Effect.die),
      );
    },
    write: (bucket, key, body) =>
      withoutMissing(
        run("write", bucket, key, () => write(root, bucket, key, body, uri, swept), storageWriteDeadlineMs),
      ),
    delete: (bucket, key) =>
      run("delete", bucket, key, () => remove(root, bucket, key)).pipe(
        Effect.catchTag("ObjectMissing", () => Effect.void),
        Effect.catchTag("ObjectTooLarge", Effect.die),
      ),
  };
}

export const layerFile = (options: FileStorageOptions): Layer.Layer<Storage> =>
  Layer.sync(Storage, () => makeFileStorage(options));

function checkFileKey(bucket: string, key: string): Effect.Effect<void, InvalidKey> {
  const parts = key.split("/");
  const detail = parts.includes("")
    ? "it has an empty part, which no path can"
    : parts.some((part) => Buffer.byteLength(part) > 255)
      ? "it has a part of more than 255 bytes, which no path can"
      : parts[0] === unfinishedDirectory
        ? `${unfinishedDirectory} is where unfinished writes are kept`
        : null;
  const check = checkName(bucket, key);
  return detail === null
    ? check
    : Effect.andThen(check, Effect.fail(new InvalidKey({ bucket, key, detail })));
}

/** The real path of an object, which is inside its bucket's real directory; rejects with a typed error otherwise. */
async function locate(root: string, bucket: string, key: string): Promise<string> {
  const directory = await realpath(join(root, bucket)).catch(bucketAway(root, bucket));
  const path = await realpath(join(directory, key));
  return inside(directory, path, bucket, key);
}

/**
 * Where the folders of objects really are. Those who ask while another asks for the same folder get that one's answer: a batch is
 * mostly of one folder, and to follow a path is most of what a look at a small file costs. No answer is kept.
 */
class FolderLooks {
  readonly #root: string;
  readonly #asked = new Map<string, Promise<string>>();

  constructor(root: string) {
    this.#root = root;
  }

  /** The path of an object in the real folder that it lies in, which is its bucket's or in it; it may be a symbolic link itself. */
  async pathOf(bucket: string, key: string): Promise<string> {
    const name = key.lastIndexOf("/") + 1;
    const folder = `${bucket}/${key.slice(0, name)}`;
    let asked = this.#asked.get(folder);
    if (asked === undefined) {
      asked = this.#look(bucket, key).finally(() => this.#asked.delete(folder));
      this.#asked.set(folder, asked);
    }
    return (await asked) + sep + key.slice(name);
  }

  async #look(bucket: string, key: string): Promise<string> {
    const directory = await realpath(join(this.#root, bucket)).catch(bucketAway(this.#root, bucket));
    const parent = await realpath(dirname(join(directory, key)));
    return parent === directory ? parent : inside(directory, parent, bucket, key);
  }
}

function inside(directory: string, path: string, bucket: string, key: string): string {
  if (path.startsWith(directory + sep)) return path;
  throw new InvalidKey({ bucket, key, detail: "a symbolic link leads it out of its bucket" });
}

function bucketAway(root: string, bucket: string): (cause: unknown) => never {
  return (cause) => {
    const directory = join(root, bucket);
    const detail = `bucket directory: ${cause instanceof Error ? cause.message : String(cause)}`;
    throw new StorageUnavailable({ uri: pathToFileURL(directory).href, operation: "open", detail });
  };
}

/** Removes the entry itself: of a symbolic link the link, not what it points to. */
async function remove(root: string, bucket: string, key: string): Promise<void> {
  const directory = await realpath(join(root, bucket)).catch(bucketAway(root, bucket));
  const parent = await realpath(dirname(join(directory, key)));
  if (parent !== directory) inside(directory, parent, bucket, key);
  await unlink(join(parent, basename(key)));
}

const missing = (uri: string): ObjectMissing => new ObjectMissing({ uri });

function infoOf(key: string, stats: BigIntStats): ObjectInfo {
  const etag = `${stats.size.toString(16)}-${stats.mtimeNs.toString(16)}-${stats.ino.toString(16)}`;
  return { key, size: Number(stats.size), etag, lastModified: Number(stats.mtimeMs) };
}

async function readFully(file: number, offset: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await readSome(file, bytes, filled, length - filled, offset + filled);
    // The file became shorter while it was read.
    if (bytesRead === 0) return bytes.subarray(0, filled);
    filled += bytesRead;
  }
  return bytes;
}

async function list(
  root: string,
  bucket: string,
  prefix: string,
  page: { readonly after?: string | null; readonly max?: number } | undefined,
) {
  const directory = await realpath(join(root, bucket)).catch(bucketAway(root, bucket));
  const size = pageSize(page?.max);
  const keys = await listKeys(directory, prefix, page?.after ?? "", size + 1, unfinishedDirectory);
  const objects: Array<ObjectInfo> = [];
  for (const key of keys.slice(0, size)) {
    const stats = await lstat(join(directory, key), { bigint: true }).catch(ignoreMissing);
    if (stats?.isFile()) objects.push(infoOf(key, stats));
  }
  return { objects, next: keys.length > size ? (keys[size - 1] ?? null) : null };
}

/** Between reading a directory and its entries, an entry may go: then it is simply not there. */
function ignoreMissing(cause: unknown): null {
  if (codeOf(cause) === "ENOENT") return null;
  throw cause;
}

async function write(
  root: string,
  bucket: string,
  key: string,
  body: ObjectBody,
  uri: StorageDriver["uri"],
  swept: Set<string>,
): Promise<Written> {
  const size = body instanceof Uint8Array ? body.length : body.size;
  if (size > objectBytesMax) {
    throw new ObjectTooLarge({ uri: uri(bucket, key), bytes: size, bytesMax: objectBytesMax });
  }
  const directory = await realpath(join(root, bucket)).catch(bucketAway(root, bucket));
  const parent = await makeParent(directory, bucket, key);
  const unfinished = join(directory, unfinishedDirectory);
  await mkdir(unfinished, { recursive: true });
  const path = join(unfinished, randomUUID());
  try {
    const handle = await open(path, "wx");
    try {
      if (!swept.has(bucket)) {
        swept.add(bucket);
        await sweep(unfinished, (await handle.stat()).mtimeMs);
      }
      await writeBody(handle, body);
      await handle.sync();
    } finally {
      await handle.close();
    }
    const target = join(parent, basename(key));
    await rename(path, target);
    await syncDirectory(parent);
    const stats = await stat(target, { bigint: true });
    return { etag: infoOf(key, stats).etag, size };
  } finally {
    await rm(path, { force: true });
  }
}

/** The real directory a key's file goes into, made if need be, without following a link out of the bucket. */
async function makeParent(directory: string, bucket: string, key: string): Promise<string> {
  const wanted = dirname(join(directory, key));
  let existing = wanted;
  let real: string | null = null;
  while (real === null) {
    real = await realpath(existing).catch(ignoreMissing);
    if (real === null) existing = dirname(existing);
  }
  if (real !== directory) inside(directory, real, bucket, key);
  const parent = join(real, wanted.slice(existing.length));
  await mkdir(parent, { recursive: true });
  return parent;
}

async function writeBody(handle: FileHandle, body: ObjectBody): Promise<void> {
  if (body instanceof Uint8Array) return handle.writeFile(body);
  for await (const chunk of counted(body.chunks, body.size)) await handle.writeFile(chunk);
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * Removes what writers that were killed left behind. Younger files may belong to a living writer.
 * @param now by the clock of the disk, epoch milliseconds: it may be another machine's, and what is compared is by that clock, too
 */
async function sweep(unfinished: string, now: number): Promise<void> {
  for (const name of await readdir(unfinished)) {
    const path = join(unfinished, name);
    const stats = await stat(path).catch(ignoreMissing);
    if (stats !== null && now - stats.mtimeMs > leftoverMs) await rm(path, { force: true });
  }
}

function codeOf(cause: unknown): string {
  return cause instanceof Error && "code" in cause ? String(cause.code) : "";
}

function toFileError(operation: string, uri: string, bucket: string, key: string, cause: unknown): FileError {
  if (
    cause instanceof ObjectMissing ||
    cause instanceof InvalidKey ||
    cause instanceof ObjectTooLarge ||
    cause instanceof StorageUnavailable
  ) {
    return cause;
  }
  const detail = cause instanceof Error ? cause.message : String(cause);
  switch (codeOf(cause)) {
    case "ENOENT":
      return missing(uri);
    case "ENOTDIR":
    case "EISDIR":
    case "EEXIST":
    case "ENOTEMPTY":
      // A part of this key is itself an object, or this key is a directory of others: a tree cannot hold both.
      return operation === "write" ? new InvalidKey({ bucket, key, detail }) : missing(uri);
    case "ENAMETOOLONG":
    case "ELOOP":
      return new InvalidKey({ bucket, key, detail });
    case "EACCES":
    case "EPERM":
    case "EROFS":
      return new AccessDenied({ uri, operation, detail });
    default:
      return new StorageUnavailable({ uri, operation, detail });
  }
}

function withoutMissing<A>(
  effect: Effect.Effect<A, FileError>,
): Effect.Effect<A, AccessDenied | InvalidKey | StorageUnavailable | ObjectTooLarge> {
  return Effect.catchTag(effect, "ObjectMissing", (error) =>
    // The bucket was removed under our feet: nothing that was to be read is missing.
    Effect.fail(
      new StorageUnavailable({ uri: error.uri, operation: "write", detail: "the directory is gone" }),
    ),
  );
}
