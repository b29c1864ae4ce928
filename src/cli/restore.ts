/**
 * `orrery restore DIR`: a site's streams and buckets as a backup holds them. Everything is read and held against its checksums before
 * anything is written; no node may run; what is there is replaced only when that is said.
 *
 * A restored stream can be read while it is being restored, and the process can be killed anywhere. So the first thing that is written
 * is the mark that the restore is unfinished (`jetstream/restoring.ts`), the last thing is its end, and while it stands nothing takes
 * the site for a whole one.
 */
import { randomUUID } from "node:crypto";
import { resolve } from "node:path";
import { setTimeout } from "node:timers/promises";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import type * as Scope from "effect/Scope";
import { liveNodes } from "../jetstream/lease.ts";
import type { NatsService } from "../jetstream/Nats.ts";
import { managed } from "../jetstream/Nats.ts";
import { mendSequencesUnsafe } from "../jetstream/restored.ts";
import { endUnfinished, hasInHand, markUnfinished, readUnfinished } from "../jetstream/restoring.ts";
import type { Archived } from "../jetstream/snapshot.ts";
import { unarchiveUnsafe } from "../jetstream/snapshot.ts";
import { writeTailUnsafe } from "../jetstream/tail.ts";
import { ourStreams } from "../jetstream/topologySurplus.ts";
import { hasStream, madeAt } from "../jetstream/survey.ts";
import { kvStream, ledgerBucket, nodesBucket, unfinishedStream } from "../protocol/keys.ts";
import { isoTime, ledgerFormat } from "../protocol/records.ts";
import { progress, readWhole } from "./backup.ts";
import type { BackedStream, Manifest } from "./backupFolder.ts";
import { archivedOf, readPieces, readTail } from "./backupFolder.ts";
import type { CommandFailed } from "./failures.ts";
import { failed, ofCause, ofJetStream } from "./failures.ts";
import type { IoService } from "./Io.ts";
import { say, sayJson, tell } from "./Io.ts";
import type { SiteLink } from "./site.ts";
import { findSite, openSite } from "./site.ts";
import type { Home } from "./siteLife.ts";
import { beginNewLife, homeOf } from "./siteLife.ts";
import { noteRestoring } from "./siteRestoring.ts";
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

/**
 * The ledger last: what it speaks of stands when it can be read. That it is the last to come makes no half of a restore a site: the
 * ledger itself is there in part while it is restored.
 */
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
    const written = await writeTailUnsafe(nats, name, untilAborted(readTail(folder, stream.tail), signal));
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

async function* untilAborted<A>(all: AsyncIterable<A>, signal: AbortSignal): AsyncIterable<A> {
  for await (const each of all) {
    if (signal.aborted) throw failed("interrupted");
    yield each;
  }
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

/** What a restore has begun: to be undone where it does not end. */
interface Begun {
  /** This run, as the mark names it. */
  readonly run: string;
  readonly streams: Set<string>;
  underWay: Promise<unknown>;
}

/** Two at once would each delete what the other restored. */
const stillOurs = (nats: NatsService, { run }: Begun): Effect.Effect<void, CommandFailed> =>
  hasInHand(nats, run).pipe(
    Effect.mapError(ofJetStream),
    Effect.flatMap((ours) =>
      ours
        ? Effect.void
        : Effect.fail(failed("another orrery restore of this site began meanwhile, or it was destroyed")),
    ),
  );

const writeAll = (io: IoService, link: SiteLink, folder: string, manifest: Manifest, begun: Begun) =>
  Effect.gen(function* () {
    const restored: Array<Restored> = [];
    for (const stream of manifest.streams.toSorted((a, b) => order(a.name) - order(b.name))) {
      yield* stillOurs(link.nats, begun);
      const messages = yield* Effect.tryPromise({
        try: (signal) => {
          begun.streams.add(stream.name);
          const writing = restoreStream(io, link, folder, stream, signal);
          begun.underWay = writing;
          return writing;
        },
        catch: ofCause,
      });
      restored.push({ name: stream.name, messages });
      tell(io, `${stream.name}: ${plural(messages, "message")} restored`);
    }
    return restored;
  });

/** What is on its way to the server is waited for so long; it might come behind the deletion of its stream. */
const underWayMsMax = 10_000;

/** Deletes what was restored, the ledger first. The mark stays: what was there before is gone. */
async function undo(io: IoService, { nats }: SiteLink, folder: string, begun: Begun): Promise<void> {
  const timer = new AbortController();
  await Promise.race([
    begun.underWay.catch(() => undefined),
    setTimeout(underWayMsMax, undefined, { signal: timer.signal }).catch(() => undefined),
  ]);
  timer.abort();
  const ours = await Effect.runPromise(Effect.exit(hasInHand(nats, begun.run)));
  if (Exit.isSuccess(ours) && !ours.value) return;
  const left: Array<string> = [];
  for (const name of [...begun.streams].toSorted((a, b) => order(b) - order(a))) {
    const gone = await Effect.runPromise(
      Effect.exit(
        Effect.andThen(hasStream(nats, name), (there) =>
          there ? managed(`end ${name}`, () => nats.jsm.streams.delete(name)) : Effect.succeed(true),
        ),
      ),
    );
    if (Exit.isFailure(gone)) left.push(name);
  }
  tell(
    io,
    left.length === 0
      ? "the site is not restored: what was written is deleted again"
      : `the site is not restored, and what was written of ${left.join(", ")} could not be deleted`,
  );
  tell(
    io,
    `the stream ${unfinishedStream} marks it as unfinished, and as long as it stands no node starts: run orrery restore ${folder} again`,
  );
}

interface Done {
  readonly restored: ReadonlyArray<Restored>;
  /** Records that were mended. */
  readonly mended: number;
  /** Null: none was begun. */
  readonly epoch: string | null;
}

/** All between the mark and its end. */
const replaceAll = (
  io: IoService,
  link: SiteLink,
  folder: string,
  manifest: Manifest,
  home: Home | null,
  begun: Begun,
): Effect.Effect<Done, CommandFailed> =>
  Effect.gen(function* () {
    const { nats } = link;
    for (const { name } of yield* occupied(nats, manifest)) {
      yield* managed(`end ${name}`, () => nats.jsm.streams.delete(name)).pipe(Effect.mapError(ofJetStream));
    }
    const restored = yield* writeAll(io, link, folder, manifest, begun);
    const reached = new Map(manifest.streams.map(({ name, lastSequence }) => [name, lastSequence]));
    const mended = yield* Effect.tryPromise({
      try: () => mendSequencesUnsafe(nats, reached),
      catch: ofCause,
    });
    yield* stillOurs(nats, begun);
    const ledger = yield* madeAt(nats, kvStream(ledgerBucket)).pipe(Effect.mapError(ofJetStream));
    const epoch =
      home === null
        ? null
        : yield* Effect.tryPromise({ try: () => beginNewLife(home, ledger), catch: ofCause });
    return { restored, mended, epoch };
  });

/** Of a restore that ends, by ^C as well, before it has replaced anything. A site that is whole must not be held for a part of one. */
export const takeBackMark = (io: IoService, nats: NatsService, folder: string): Effect.Effect<void> =>
  Effect.catch(endUnfinished(nats), (error) =>
    Effect.sync(() =>
      tell(
        io,
        `nothing was replaced, but the stream ${unfinishedStream}, which marks the restore as unfinished, could not be removed (${error.message}). While it stands no node starts: remove that stream, or run orrery restore ${folder} again`,
      ),
    ),
  );

const restoreMarked = (
  io: IoService,
  link: SiteLink,
  folder: string,
  manifest: Manifest,
  home: Home | null,
): Effect.Effect<Done, CommandFailed> =>
  Effect.gen(function* () {
    const { nats, site } = link;
    const attempt = (run: () => Promise<void>) => Effect.tryPromise({ try: run, catch: ofCause });
    const before = yield* readUnfinished(nats).pipe(Effect.mapError(ofJetStream));
    const mark = { since: before?.since ?? isoTime(nats.now()), from: folder, run: randomUUID() };
    yield* markUnfinished(nats, site.name, mark, site.nats.replicas).pipe(Effect.mapError(ofJetStream));
    // A node that looked for the mark before it stood has its lease by now, or sees the mark when it has it.
    yield* noNodes(nats, "before its data are replaced").pipe(
      Effect.andThen(home === null ? Effect.void : attempt(() => noteRestoring(home, mark.since))),
      Effect.onExit((exit) =>
        Exit.isSuccess(exit) || before !== null ? Effect.void : takeBackMark(io, nats, folder),
      ),
    );
    const begun: Begun = { run: mark.run, streams: new Set(), underWay: Promise.resolve() };
    const done = yield* replaceAll(io, link, folder, manifest, home, begun).pipe(
      Effect.onExit((exit) =>
        Exit.isSuccess(exit) ? Effect.void : Effect.promise(() => undo(io, link, folder, begun)),
      ),
    );
    yield* endUnfinished(nats).pipe(Effect.mapError(ofJetStream));
    return done;
  });

const noEpochWords = (site: string, folder: string): string =>
  `no new epoch was begun: the site file is not in the folder of its deployment (NAME/site.yaml beside NAME/deployment.json). If site ${site} has joined a supernode, that goes on with the life before and would mix both: run orrery restore ${folder} --replace --site SITES/${site}/site.yaml, with the file of that folder, before a node is started`;

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
    yield* nats.setClock.pipe(Effect.mapError(ofJetStream));
    yield* noNodes(nats, "before its data are replaced");
    const used = (yield* occupied(nats, manifest)).filter((stream) => stream.used);
    const unfinished = yield* readUnfinished(nats).pipe(Effect.mapError(ofJetStream));
    // Of an unfinished one it was said before the mark was set.
    if (used.length > 0 && !options.replace && unfinished === null) {
      const words = used.map(({ name, messages }) => `${name} (${plural(messages, "message")})`).join(", ");
      return yield* failed(`${url} holds ${words}: --replace puts what the backup holds in their place`);
    }
    if (unfinished !== null)
      tell(io, `a restore from ${unfinished.from} began at ${unfinished.since} and has not ended: all anew`);
    const home = yield* Effect.tryPromise({ try: () => homeOf(site, resolve(io.cwd, file)), catch: ofCause });
    const { restored, mended, epoch } = yield* restoreMarked(io, link, folder, manifest, home);
    const warnings = home === null ? [noEpochWords(site.name, folder)] : [];
    for (const warning of warnings) tell(io, `! ${warning}`);
    if (options.json) {
      return sayJson(io, {
        site: site.name,
        nats: url,
        asOf: manifest.began,
        streams: restored,
        mended,
        epoch,
        warnings,
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
