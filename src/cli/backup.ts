/**
 * `orrery backup DIR`: a site's streams and buckets, object store included, as archives with a manifest. Nodes may go on meanwhile.
 *
 * The order is what makes the archives fit together: the mail first, then the ledger, then what the ledger speaks of. Whatever is
 * acknowledged in the mail is settled in the ledger, because a settle comes before its acknowledgement; whatever the ledger calls
 * known stands in its buckets.
 */
import { resolve } from "node:path";
import * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import { checkFormat } from "../jetstream/format.ts";
import type { NatsService } from "../jetstream/Nats.ts";
import { checkRestored } from "../jetstream/restoring.ts";
import { archiveUnsafe } from "../jetstream/snapshot.ts";
import { tailUnsafe } from "../jetstream/tail.ts";
import { ourStreams } from "../jetstream/topologySurplus.ts";
import { archiveTriesMax } from "../limits.ts";
import { version } from "../node/version.ts";
import { arrivalsStream, itemsStream, kvStream, ledgerBucket, nodesBucket } from "../protocol/keys.ts";
import { isoTime, ledgerFormat } from "../protocol/records.ts";
import type { BackedStream, Manifest } from "./backupFolder.ts";
import {
  backupFormat,
  damages,
  openFolder,
  PieceWriter,
  piecesOf,
  readManifest,
  writeManifest,
} from "./backupFolder.ts";
import type { CommandFailed } from "./failures.ts";
import { failed, misused, ofCause, ofJetStream } from "./failures.ts";
import type { IoService } from "./Io.ts";
import { say, sayJson, tell } from "./Io.ts";
import { openSite } from "./site.ts";
import { table } from "./table.ts";
import { bytes, count, plural } from "./words.ts";

export interface BackupOptions {
  readonly site: string | null;
  readonly dir: string;
  readonly verify: boolean;
  readonly json: boolean;
}

const tellEveryMs = 1_000;

/** Tells on stderr, once a second, how far something long is. */
export function progress(io: IoService, words: (done: number) => string): (more: number) => void {
  let done = 0;
  let toldAt = performance.now();
  return (more) => {
    done += more;
    if (performance.now() - toldAt < tellEveryMs) return;
    toldAt = performance.now();
    tell(io, words(done));
  };
}

const mail = [arrivalsStream, itemsStream];
const place = (stream: string): number =>
  mail.includes(stream) ? 0 : stream === kvStream(ledgerBucket) ? 1 : stream.startsWith("KV_") ? 2 : 3;

const streamsOf = (nats: NatsService): Effect.Effect<ReadonlyArray<string>, CommandFailed> =>
  ourStreams(nats, { streams: [], consumers: [] }).pipe(
    Effect.mapError(ofJetStream),
    Effect.map((all) =>
      all
        // Who is alive is no longer so when it is restored; what comes from elsewhere comes again.
        .filter(({ config }) => config.name !== kvStream(nodesBucket) && (config.sources ?? []).length === 0)
        .map(({ config }) => config.name)
        .toSorted((a, b) => place(a) - place(b) || (a < b ? -1 : 1)),
    ),
  );

/** A mail stream displaces nothing: its archive is all of it. */
const needsTail = (stream: string): boolean => !mail.includes(stream);

async function backUpStream(
  io: IoService,
  nats: NatsService,
  folder: string,
  stream: string,
  signal: AbortSignal,
): Promise<BackedStream> {
  for (let tries = 1; ; tries++) {
    const writer = await PieceWriter.open(folder, `${stream}.archive`);
    try {
      const at = isoTime(nats.now());
      const told = progress(io, (done) => `${stream}: ${bytes(done)}`);
      const { config, state } = await archiveUnsafe(nats, stream, signal, async (piece) => {
        await writer.write(piece);
        told(piece.length);
      });
      const archive = await writer.end();
      const tail = needsTail(stream) ? await backUpTail(nats, folder, stream, state.last_seq) : null;
      return {
        name: stream,
        archive,
        tail,
        messages: state.messages,
        firstSequence: state.first_seq,
        lastSequence: state.last_seq,
        consumers: state.consumer_count,
        at,
        config,
        state: { ...state },
      };
    } catch (cause) {
      await writer.abandon().catch(() => undefined);
      const failure = ofCause(cause);
      if (signal.aborted || failure.refused === true || tries >= archiveTriesMax) throw cause;
      tell(io, `${stream}: ${failure.message}; once more`);
    }
  }
}

/** Written as it comes, so that it needs no memory. */
async function backUpTail(
  nats: NatsService,
  folder: string,
  stream: string,
  after: number,
): Promise<BackedStream["tail"]> {
  const writer = await PieceWriter.open(folder, `${stream}.tail`);
  try {
    let lines: Array<string> = [];
    let messages = 0;
    const flush = (): void => {
      writer.writeNow(Buffer.from(lines.join("")));
      lines = [];
    };
    const reached = await tailUnsafe(nats, stream, after, (message) => {
      messages++;
      lines.push(`${JSON.stringify(message)}\n`);
      if (lines.length >= 1_000) flush();
    });
    flush();
    if (messages === 0) {
      await writer.abandon();
      return null;
    }
    return { ...(await writer.end()), messages, reached };
  } catch (cause) {
    await writer.abandon().catch(() => undefined);
    throw cause;
  }
}

const columns = [
  { title: "STREAM" },
  { title: "MESSAGES", right: true },
  { title: "CAME MEANWHILE", right: true },
  { title: "CONSUMERS", right: true },
  { title: "BYTES", right: true },
];

function show(io: IoService, manifest: Manifest): void {
  const rows = manifest.streams.map(({ name, messages, tail, consumers, archive }) => [
    name,
    count(messages),
    tail === null ? "" : count(tail.messages),
    count(consumers),
    bytes(archive.bytes + (tail?.bytes ?? 0)),
  ]);
  io.out.write(table(columns, rows, { color: io.out.color, columns: io.out.columns() }));
}

export const backup = (
  io: IoService,
  options: BackupOptions,
): Effect.Effect<void, CommandFailed, Scope.Scope> =>
  options.verify ? verify(io, options) : make(io, options);

const supernodeWords = (name: string): string =>
  `${name} is a supernode: what it holds comes from its sites, and comes again from them when its streams are made anew (orrery topology apply --supernode ${name}). Back up each site with its own file: orrery backup DIR --site SITE. Of ${name} itself keep a copy of its folder of deployments: its keys, and who has joined, stand nowhere else. What is here of sites that were put out, and of former lives, no command keeps`;

const make = (io: IoService, options: BackupOptions): Effect.Effect<void, CommandFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const folder = resolve(io.cwd, options.dir);
    const { site, nats, url } = yield* openSite(io, options.site);
    if (site.supernode) return yield* misused(supernodeWords(site.name));
    yield* nats.setClock.pipe(Effect.mapError(ofJetStream));
    yield* Effect.andThen(checkRestored(nats, Effect.void), checkFormat(nats)).pipe(
      Effect.mapError((error) =>
        error._tag === "FormatNewer" || error._tag === "FormatOlder" || error._tag === "RestoreUnfinished"
          ? failed(error.message)
          : ofJetStream(error),
      ),
    );
    const streams = yield* streamsOf(nats);
    if (!streams.includes(kvStream(ledgerBucket))) {
      return yield* failed(`${url} holds no ledger of site ${site.name}: there is nothing to back up`);
    }
    yield* Effect.tryPromise({ try: () => openFolder(folder), catch: ofCause });
    const began = isoTime(nats.now());
    const backed: Array<BackedStream> = [];
    for (const stream of streams) {
      backed.push(
        yield* Effect.tryPromise({
          try: (signal) => backUpStream(io, nats, folder, stream, signal),
          catch: ofCause,
        }),
      );
    }
    const manifest: Manifest = {
      orrery: "backup",
      v: backupFormat,
      site: site.name,
      program: version,
      ledgerFormat,
      began,
      ended: isoTime(nats.now()),
      streams: backed,
    };
    yield* Effect.tryPromise({ try: () => writeManifest(folder, manifest), catch: ofCause });
    if (options.json) return sayJson(io, { folder, ...manifest });
    show(io, manifest);
    say(io, `site ${site.name} as of ${began}, ${size(manifest)}, in ${folder}`);
    return undefined;
  });

const size = (manifest: Manifest): string =>
  bytes(piecesOf(manifest).reduce((sum, piece) => sum + piece.bytes, 0));

/** Reads a backup whole. Fails with the name of each file that is not as it was written. */
export const readWhole = (io: IoService, folder: string): Effect.Effect<Manifest, CommandFailed> =>
  Effect.gen(function* () {
    const manifest = yield* Effect.tryPromise({ try: () => readManifest(folder), catch: ofCause });
    const found = yield* Effect.tryPromise({
      try: (signal) =>
        damages(
          folder,
          manifest,
          signal,
          progress(io, (done) => `read ${bytes(done)} of ${size(manifest)}`),
        ),
      catch: ofCause,
    });
    return found.length === 0 ? manifest : yield* failed(found.join("; "));
  });

const verify = (io: IoService, options: BackupOptions): Effect.Effect<void, CommandFailed> =>
  Effect.gen(function* () {
    const folder = resolve(io.cwd, options.dir);
    const manifest = yield* readWhole(io, folder);
    if (options.json) return sayJson(io, { folder, ok: true, ...manifest });
    show(io, manifest);
    say(
      io,
      `${plural(piecesOf(manifest).length, "file")}, ${size(manifest)}: all as written. Site ${manifest.site} as of ${manifest.began}`,
    );
    return undefined;
  });
