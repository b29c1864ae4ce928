/**
 * A backup's folder: an archive a stream, the tails of those that were written meanwhile, and the manifest, which is written last and
 * in one step. A folder without it is no backup.
 */
import { createHash } from "node:crypto";
import { createReadStream, writeSync } from "node:fs";
import { mkdir, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { createInterface } from "node:readline";
import * as Schema from "effect/Schema";
import type { Archived } from "../jetstream/snapshot.ts";
import type { TailMessage } from "../jetstream/tail.ts";
import { archivePieceBytes, manifestBytesMax } from "../limits.ts";
import { failed, misused } from "./failures.ts";

export const backupFormat = 1;

const Piece = Schema.Struct({
  /** Name within the folder. */
  file: Schema.String,
  bytes: Schema.Number,
  /** Hexadecimal. */
  sha256: Schema.String,
});
export type Piece = typeof Piece.Type;

const BackedStream = Schema.Struct({
  name: Schema.String,
  archive: Piece,
  /** What came while it was archived; null where nothing did. */
  tail: Schema.NullOr(Schema.Struct({ ...Piece.fields, messages: Schema.Number, reached: Schema.Number })),
  messages: Schema.Number,
  firstSequence: Schema.Number,
  lastSequence: Schema.Number,
  consumers: Schema.Number,
  /** ISO 8601, by the server: from when on it is not in the archive. */
  at: Schema.String,
  config: Schema.Record(Schema.String, Schema.Unknown),
  state: Schema.Record(Schema.String, Schema.Unknown),
});
export type BackedStream = typeof BackedStream.Type;

const Manifest = Schema.Struct({
  orrery: Schema.Literal("backup"),
  v: Schema.Literal(backupFormat),
  /** Name of the site. */
  site: Schema.String,
  /** Version of the program that wrote it. */
  program: Schema.String,
  ledgerFormat: Schema.Number,
  /** ISO 8601, by the server. What came before `began` is in it. */
  began: Schema.String,
  ended: Schema.String,
  streams: Schema.Array(BackedStream),
});
export type Manifest = typeof Manifest.Type;

const decode = Schema.decodeUnknownSync(Manifest);

export const manifestName = "manifest.json";
const partEnding = ".part";

export const archivedOf = ({ config, state }: BackedStream): Archived =>
  ({ config, state }) as unknown as Archived;

const isMissing = (cause: unknown): boolean => (cause as NodeJS.ErrnoException).code === "ENOENT";

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");

/** A folder to write into: new, empty, or what an unfinished backup left. */
export async function openFolder(folder: string): Promise<void> {
  // The folder alone, and none above it: those are missing where a disk is not mounted.
  await mkdir(folder, { mode: 0o700 }).catch((cause: unknown) => {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === "ENOENT")
      throw misused(`${dirname(folder)} is not there: make it, or mount the disk that it is on`);
    if (code !== "EEXIST") throw cause;
  });
  const names = await readdir(folder);
  if (names.includes(manifestName)) {
    throw failed(`${folder} holds a backup already: give another folder, one a backup`);
  }
  const left = (name: string): boolean => /\.(?:archive|tail)$/.test(name) || name.endsWith(partEnding);
  const other = names.find((name) => !left(name));
  if (other !== undefined)
    throw misused(`${folder} holds ${other}, which is no backup's: give another folder`);
  for (const name of names) await rm(join(folder, name));
}

/** Something that is written in pieces, and is there whole or not at all. */
export class PieceWriter {
  readonly #file: string;
  readonly #handle: Awaited<ReturnType<typeof open>>;
  readonly #hash = createHash("sha256");
  bytes = 0;

  private constructor(file: string, handle: Awaited<ReturnType<typeof open>>) {
    this.#file = file;
    this.#handle = handle;
  }

  static async open(folder: string, name: string): Promise<PieceWriter> {
    const file = join(folder, name);
    return new PieceWriter(file, await open(`${file}${partEnding}`, "w", 0o600));
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.#hash.update(bytes);
    this.bytes += bytes.length;
    let at = 0;
    while (at < bytes.length) at += (await this.#handle.write(bytes, at)).bytesWritten;
  }

  /** The same for callers that cannot wait: it holds them up, so that nothing piles up in memory. */
  writeNow(bytes: Uint8Array): void {
    this.#hash.update(bytes);
    this.bytes += bytes.length;
    let at = 0;
    while (at < bytes.length) at += writeSync(this.#handle.fd, bytes, at);
  }

  /** On disk, and under its name. */
  async end(): Promise<Piece> {
    await this.#handle.sync();
    await this.#handle.close();
    await rename(`${this.#file}${partEnding}`, this.#file);
    return { file: basename(this.#file), bytes: this.bytes, sha256: this.#hash.digest("hex") };
  }

  async abandon(): Promise<void> {
    await this.#handle.close();
    await rm(`${this.#file}${partEnding}`, { force: true });
  }
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Last of all. The manifest holds its own checksum in its last line. */
export async function writeManifest(folder: string, manifest: Manifest): Promise<void> {
  const text = JSON.stringify(manifest, null, 2);
  const writer = await PieceWriter.open(folder, manifestName);
  await writer.write(Buffer.from(`${text}\nsha256 ${sha256(text)}\n`));
  await syncFolder(folder);
  await writer.end();
  await syncFolder(folder);
}

/** Rejects, naming the file, where it is no whole manifest of a format that this program knows. */
export async function readManifest(folder: string): Promise<Manifest> {
  const file = join(folder, manifestName);
  let all: string;
  try {
    if ((await stat(file)).size > manifestBytesMax) throw failed(`${file} is too large for a manifest`);
    all = await readFile(file, "utf8");
  } catch (cause) {
    if (!isMissing(cause)) throw cause;
    const names = await readdir(folder).catch(() => null);
    if (names === null) throw misused(`there is no folder ${folder}`);
    throw failed(
      names.some((name) => name.endsWith(partEnding) || name.endsWith(".archive"))
        ? `${folder} holds no whole backup: it was broken off before ${manifestName} was written`
        : `${folder} holds no backup: there is no ${manifestName}`,
    );
  }
  const [, text = "", sum = ""] = /^([\s\S]*)\nsha256 ([0-9a-f]{64})\n$/.exec(all) ?? [];
  if (sum === "" || sha256(text) !== sum) throw failed(`${file} is damaged: it is not as it was written`);
  const value = JSON.parse(text) as { readonly v?: unknown };
  if (typeof value.v === "number" && value.v > backupFormat) {
    throw failed(
      `${file} is of format ${value.v}, and this program knows formats up to ${backupFormat}: take the program that wrote it, or a newer one`,
    );
  }
  return decode(value);
}

export const piecesOf = (manifest: Manifest): ReadonlyArray<Piece> =>
  manifest.streams.flatMap(({ archive, tail }) => (tail === null ? [archive] : [archive, tail]));

/**
 * Reads everything, and holds it against the manifest.
 * @param each told the bytes read
 * @returns what is wrong with which file; empty when all is as it was written
 */
export async function damages(
  folder: string,
  manifest: Manifest,
  signal: AbortSignal,
  each: (bytes: number) => void,
): Promise<ReadonlyArray<string>> {
  const found: Array<string> = [];
  for (const piece of piecesOf(manifest)) {
    const file = join(folder, basename(piece.file));
    try {
      const { size } = await stat(file);
      if (size !== piece.bytes) {
        const how = size < piece.bytes ? "cut short" : "longer than it was";
        found.push(`${file} is ${how}: ${size} bytes, and not ${piece.bytes}`);
        continue;
      }
      const hash = createHash("sha256");
      for await (const bytes of createReadStream(file, { highWaterMark: archivePieceBytes, signal })) {
        hash.update(bytes as Buffer);
        each((bytes as Buffer).length);
      }
      if (hash.digest("hex") !== piece.sha256) found.push(`${file} is damaged: its SHA-256 is another`);
    } catch (cause) {
      if (!isMissing(cause)) throw cause;
      found.push(`${file} is missing`);
    }
  }
  return found;
}

export const readPieces = (folder: string, piece: Piece, signal: AbortSignal): AsyncIterable<Uint8Array> =>
  createReadStream(join(folder, basename(piece.file)), { highWaterMark: archivePieceBytes, signal });

/** A tail: one message a line, as JSON. */
export async function* readTail(folder: string, piece: Piece): AsyncIterable<TailMessage> {
  const lines = createInterface({ input: createReadStream(join(folder, basename(piece.file))) });
  for await (const line of lines) if (line !== "") yield JSON.parse(line) as TailMessage;
}
