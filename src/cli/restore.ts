/**
 * `orrery restore DIR`: a site's streams and buckets as a backup holds them. Everything is read and held against its checksums before
 * anything is written; no node may run; what is there is replaced only when that is said.
 */
import { resolve } from "node:path";
import * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import { liveNodes } from "../jetstream/lease.ts";
import type { NatsService } from "../jetstream/Nats.ts";
import { managed } from "../jetstream/Nats.ts";
import { mendSequencesUnsafe } from "../jetstream/restored.ts";
import type { Archived } from "../jetstream/snapshot.ts";
import { unarchiveUnsafe } from "../jetstream/snapshot.ts";
import { writeTailUnsafe } from "../jetstream/tail.ts";
import { ourStreams } from "../jetstream/topologySurplus.ts";
import { hasStream, madeAt } from "../jetstream/survey.ts";
import { kvStream, ledgerBucket, nodesBucket } from "../protocol/keys.ts";
import { ledgerFormat } from "../protocol/records.ts";
import { progress, readWhole } from "./backup.ts";
import type { BackedStream, Manifest } from "./backupFolder.ts";
import { archivedOf, readPieces, readTail } from "./backupFolder.ts";
import type { CommandFailed } from "./failures.ts";
import { failed, ofCause, ofJetStream } from "./failures.ts";
import type { IoService } from "./Io.ts";
import { say, sayJson, tell } from "./Io.ts";
import type { SiteLink } from "./site.ts";
import { findSite, openSite } from "./site.ts";
import { beginNewLife, homeOf } from "./siteLife.ts";
import { bytes, count, plural } from "./words.ts";

export interface RestoreOptions {
  readonly site: string | null;
  readonly dir: string;
  readonly replace: boolean;
  readonly json: boolean;
}

/** Fails, naming them, while nodes are alive. */
export const noNodes = (nats: NatsService, what: string): Effect.Effect<void, CommandFailed> =>
  Effect.gen(function* () {
    const there = yield* hasStream(nats, kvStream(nodesBucket)).pipe(Effect.mapError(ofJetStream));
    if (!there) return;
    const alive = [...(yield* liveNodes(nats).pipe(Effect.mapError(ofJetStream))).keys()];
    if (alive.length === 0) return;
    yield* failed(
      `${plural(alive.length, "node")} of the site ${alive.length === 1 ? "is" : "are"} alive (${alive.join(", ")}): stop ${alive.length === 1 ? "it" : "them"} ${what}`,
    );
  });

/** What is there of the streams that the backup holds. One that holds nothing may be replaced without a word. */
const occupied = (nats: NatsService, manifest: Manifest) =>
  Effect.gen(function* () {
    const wanted = new Set(manifest.streams.map(({ name }) => name));
    const there = yield* ourStreams(nats, {
      streams: manifest.streams.map(({ name }) => ({ name })),
      consumers: [],
    }).pipe(Effect.mapError(ofJetStream));
    return there
      .filter(({ config }) => wanted.has(config.name))
      .map(({ config, state }) => ({
        name: config.name,
        messages: state.messages,
        used: state.last_seq > 0,
      }));
  });

/** The ledger last: a site whose restore broke off has none, and no node takes it for a whole one. */
const order = (stream: string): number => (stream === kvStream(ledgerBucket) ? 1 : 0);

async function restoreStream(
  io: IoService,
  link: SiteLink,
  folder: string,
  stream: BackedStream,
  signal: AbortSignal,
): Promise<number> {
  const { nats, site } = link;
  const { name } = stream;
  const told = progress(io, (done) => `${name}: ${bytes(done)} of ${bytes(stream.archive.bytes)}`);
  const archived = archivedOf(stream);
  // As many copies as this site's servers keep, however many those of the backup kept.
  const fitting: Archived = {
    ...archived,
    config: { ...archived.config, num_replicas: site.nats.replicas },
  };
  const pieces = readPieces(folder, stream.archive, signal);
  const state = await unarchiveUnsafe(nats, fitting, signal, pieces, told);
  if (state.last_seq !== stream.lastSequence) {
    throw failed(`${name} was restored up to sequence ${state.last_seq}, and not ${stream.lastSequence}`);
  }
  if (stream.tail !== null) {
    const written = await writeTailUnsafe(nats, name, readTail(folder, stream.tail));
    if (written !== stream.tail.messages)
      throw failed(`of ${name} ${written} of ${stream.tail.messages} messages were in ${stream.tail.file}`);
  }
  const { messages } = (await nats.jsm.streams.info(name)).state;
  const lacks = stream.messages - messages;
  // A day that was purged while it was archived is not in the archive, and no message says so.
  if (keepsAll(stream) && lacks !== 0)
    tell(
      io,
      `${name} held ${count(stream.messages)} messages when its archive was begun, and ${count(messages)} are in it`,
    );
  return messages;
}

/** What expires by age may be less by now; what was written while it was archived may be more or less. */
function keepsAll({ name, tail, config }: BackedStream): boolean {
  const expires = Number(config["max_age"] ?? 0) > 0 || name !== kvStream(ledgerBucket);
  return !expires && tail === null;
}

interface Restored {
  readonly name: string;
  readonly messages: number;
}

const writeAll = (io: IoService, link: SiteLink, folder: string, manifest: Manifest) =>
  Effect.gen(function* () {
    const restored: Array<Restored> = [];
    for (const stream of manifest.streams.toSorted((a, b) => order(a.name) - order(b.name))) {
      const messages = yield* Effect.tryPromise({
        try: (signal) => restoreStream(io, link, folder, stream, signal),
        catch: ofCause,
      });
      restored.push({ name: stream.name, messages });
      tell(io, `${stream.name}: ${plural(messages, "message")} restored`);
    }
    return restored;
  }).pipe(
    Effect.onError(() =>
      Effect.sync(() =>
        tell(
          io,
          "the site is not restored, and no node may be started on it: restore it anew with --replace",
        ),
      ),
    ),
  );

export const restore = (
  io: IoService,
  options: RestoreOptions,
): Effect.Effect<void, CommandFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const folder = resolve(io.cwd, options.dir);
    const manifest = yield* readWhole(io, folder);
    if (manifest.ledgerFormat > ledgerFormat) {
      return yield* failed(
        `the ledger in ${folder} is of format ${manifest.ledgerFormat}, and this program knows formats up to ${ledgerFormat}`,
      );
    }
    const { file } = yield* findSite(io, options.site);
    const link = yield* openSite(io, options.site);
    const { site, nats, url } = link;
    if (manifest.site !== site.name) {
      return yield* failed(`${folder} is a backup of site ${manifest.site}, and ${url} is site ${site.name}`);
    }
    yield* noNodes(nats, "before its data are replaced");
    const there = yield* occupied(nats, manifest);
    const used = there.filter((stream) => stream.used);
    if (used.length > 0 && !options.replace) {
      const words = used.map(({ name, messages }) => `${name} (${plural(messages, "message")})`).join(", ");
      return yield* failed(`${url} holds ${words}: --replace puts what the backup holds in their place`);
    }
    for (const { name } of there) {
      yield* managed(`end ${name}`, () => nats.jsm.streams.delete(name)).pipe(Effect.mapError(ofJetStream));
    }
    const restored = yield* writeAll(io, link, folder, manifest);
    const reached = new Map(manifest.streams.map(({ name, lastSequence }) => [name, lastSequence]));
    const mended = yield* Effect.tryPromise({
      try: () => mendSequencesUnsafe(nats, reached),
      catch: ofCause,
    });
    const home = yield* Effect.tryPromise({ try: () => homeOf(site, resolve(io.cwd, file)), catch: ofCause });
    const ledger = yield* madeAt(nats, kvStream(ledgerBucket)).pipe(Effect.mapError(ofJetStream));
    const epoch =
      home === null
        ? null
        : yield* Effect.tryPromise({ try: () => beginNewLife(home, ledger), catch: ofCause });
    if (options.json) {
      return sayJson(io, {
        site: site.name,
        nats: url,
        asOf: manifest.began,
        streams: restored,
        mended,
        epoch,
      });
    }
    const messages = restored.reduce((sum, each) => sum + each.messages, 0);
    say(
      io,
      `site ${site.name} as of ${manifest.began}: ${plural(restored.length, "stream")}, ${plural(messages, "message")}`,
    );
    if (mended > 0) say(io, `${count(mended)} claims and due records let go of mail that came after it`);
    const joined = home?.deployment.supernode ?? null;
    if (epoch !== null && joined !== null)
      say(
        io,
        `its epoch is ${epoch} from now on: orrery topology apply --supernode ${joined} takes it over anew`,
      );
    say(
      io,
      `what came after ${manifest.began} is in its buckets only: orrery topology apply, orrery start, and orrery replay BUCKET announce it anew`,
    );
    return undefined;
  });
