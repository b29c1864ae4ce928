/**
 * `orrery replay`: what lies in a bucket is announced through the front door again. What the ledger knows is passed over. Where it
 * stopped stands in a small file, written after each step, so that ^C, a kill or a lost link costs nothing.
 */
import { createHash, randomBytes } from "node:crypto";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import { makeCounters } from "../actors/counters.ts";
import { FrontDoor } from "../actors/frontDoor.ts";
import type { Admission } from "../actors/frontDoor.ts";
import { Streams } from "../actors/streams.ts";
import { Troubles } from "../actors/troubles.ts";
import { didYouMean } from "../config/nearMiss.ts";
import type { Lane, Site } from "../config/Site.ts";
import { getManyUnsafe } from "../jetstream/ledger.ts";
import { mailboxState } from "../jetstream/survey.ts";
import { replaysConsumer } from "../jetstream/topology.ts";
import { openStorages } from "../node/storages.ts";
import { replayed } from "../protocol/arrival.ts";
import { arrivalsStream, isEncodable, kvStream, ledgerBucket, recordKey } from "../protocol/keys.ts";
import { decodeRecord } from "../protocol/records.ts";
import type { FileBody, LedgerRecord } from "../protocol/records.ts";
import type { ObjectInfo, StorageDriver } from "../storage/Storage.ts";
import type { CommandFailed } from "./failures.ts";
import { failed, misused, no, ofCause, ofJetStream } from "./failures.ts";
import { placesOf } from "./ids.ts";
import type { IoService } from "./Io.ts";
import { say, sayJson, tell } from "./Io.ts";
import type { SiteLink } from "./site.ts";
import { openOwnSite } from "./site.ts";
import { count, harmless, plural } from "./words.ts";

export interface ReplayOptions {
  readonly site: string | null;
  readonly bucket: string;
  readonly prefix: string;
  /** Objects announced a second, at most; null: as many as go. */
  readonly rate: number | null;
  readonly dryRun: boolean;
  /** Forget where an earlier run stopped. */
  readonly restart: boolean;
  readonly json: boolean;
}

const stepMax = 250;
const fullLaneSleepMs = 500;
const tellEveryMs = 1_000;

interface Tally {
  listed: number;
  announced: number;
  /** In the ledger with this content, whatever its state. */
  known: number;
  /** Of those, compared by size only: the ledger has them with an etag of another kind. */
  bySize: number;
  /** Of those, given up on: replaying the bucket does not decide about them. */
  parked: number;
  /** The lane does not accept such keys. */
  skipped: number;
}

interface Cursor {
  readonly bucket: string;
  readonly prefix: string;
  /** The last key that is dealt with. */
  readonly after: string;
  readonly tally: Tally;
}

const fresh = (): Tally => ({ listed: 0, announced: 0, known: 0, bySize: 0, parked: 0, skipped: 0 });

function cursorFile(site: Site, { bucket, prefix }: ReplayOptions): string {
  const name = createHash("sha256")
    .update(JSON.stringify([bucket, prefix]))
    .digest("hex")
    .slice(0, 16);
  return join(site.dataDir, "replay", `${name}.json`);
}

async function readCursor(file: string, options: ReplayOptions): Promise<Cursor | null> {
  try {
    const cursor = JSON.parse(await readFile(file, "utf8")) as Partial<Cursor>;
    const { bucket, prefix, after, tally } = cursor;
    return bucket === options.bucket &&
      prefix === options.prefix &&
      after !== undefined &&
      tally !== undefined
      ? { bucket, prefix, after, tally: { ...fresh(), ...tally } }
      : null;
  } catch {
    // No earlier run, or a file cut short: everything is listed again, and what is known is passed over.
    return null;
  }
}

async function writeCursor(file: string, cursor: Cursor): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  await writeFile(`${file}.new`, JSON.stringify(cursor));
  await rename(`${file}.new`, file);
}

function lanesOf(site: Site, bucket: string): Effect.Effect<ReadonlyArray<Lane>, CommandFailed> {
  const lanes = [...site.lanes.values()].filter((lane) => lane.buckets.includes(bucket));
  if (lanes.length > 0) return Effect.succeed(lanes);
  const buckets = [...site.lanes.values()].flatMap((lane) => lane.buckets);
  return Effect.fail(
    no(
      `no lane of site ${site.name} takes bucket ${bucket}${didYouMean(bucket, buckets)}: it has ${buckets.join(", ")}`,
    ),
  );
}

const storageOf = (
  link: SiteLink,
  lanes: ReadonlyArray<Lane>,
  bucket: string,
): Effect.Effect<StorageDriver, CommandFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const name = lanes.find((lane) => lane.storage !== null)?.storage ?? null;
    const storages = yield* openStorages(link.site, link.nats);
    const storage = name === null ? undefined : storages.get(name);
    if (storage === undefined) {
      return yield* failed(
        `no lane with bucket ${bucket} names a storage, so it cannot be listed: add storage: NAME`,
      );
    }
    return storage;
  });

interface Known {
  readonly record: LedgerRecord<FileBody>;
  readonly bySize: boolean;
}

/** An etag that the file driver made: it says size, mtime and inode, so it never equals a digest of the same content. */
const fileEtag = /^[0-9a-f]+-[0-9a-f]+-[0-9a-f]+$/;

/**
 * What the ledger holds of this very content; null: nothing, or other content. On a file store whose notifications bring digests
 * the etags cannot be compared, and the size decides; one etag of the driver's own in the record is enough to compare again.
 */
function knownAs(
  records: ReadonlyArray<LedgerRecord<FileBody> | null>,
  object: ObjectInfo,
  kind: StorageDriver["kind"],
): Known | null {
  for (const record of records) {
    if (record === null) continue;
    const contents = [
      { etag: record.etag, size: record.body.size },
      ...(record.refused ?? []),
      ...(record.superseded ?? []),
    ];
    if (contents.some(({ etag }) => etag === object.etag)) return { record, bySize: false };
    if (kind !== "file" || contents.some(({ etag }) => fileEtag.test(etag))) continue;
    if (contents.some(({ size }) => size === object.size)) return { record, bySize: true };
  }
  return null;
}

/** Which of the objects the ledger does not know. */
async function unknownOf(
  link: SiteLink,
  bucket: string,
  objects: ReadonlyArray<ObjectInfo>,
  kind: StorageDriver["kind"],
  tally: Tally,
): Promise<ReadonlyArray<ObjectInfo>> {
  const keys = objects.map(({ key }) => placesOf(link.site, { bucket, key }).map(recordKey));
  const flat = keys.flat();
  const entries = await getManyUnsafe(link.nats, ledgerBucket, flat);
  const byKey = new Map(flat.map((key, i) => [key, entries[i] ?? null]));
  return objects.filter((object, i) => {
    const records = (keys[i] ?? []).map((key) => {
      const entry = byKey.get(key) ?? null;
      return entry === null || entry.ended ? null : decodeRecord<FileBody>(key, entry.data);
    });
    const known = knownAs(records, object, kind);
    if (known === null) return true;
    tally.known++;
    if (known.bySize) tally.bySize++;
    if (known.record.state === "parked") tally.parked++;
    return false;
  });
}

function note(admission: Admission, tally: Tally): void {
  switch (admission.type) {
    case "queued":
      tally.announced++;
      return;
    case "parked":
      tally.parked++;
      return;
    case "skipped":
      tally.skipped++;
      return;
    case "failed":
      throw admission.error;
  }
}

interface Work {
  readonly link: SiteLink;
  readonly options: ReplayOptions;
  readonly door: FrontDoor;
  readonly lanes: ReadonlyArray<Lane>;
  readonly storage: StorageDriver;
  readonly tally: Tally;
}

/** Announces the objects together; returns when all of them are on disk. */
const announce = ({ door, options, tally }: Work, objects: ReadonlyArray<ObjectInfo>) =>
  Effect.tryPromise({
    try: async () => {
      const admissions = await Promise.all(
        objects.map(({ key, etag, size }) =>
          door.announce({ bucket: options.bucket, key, etag, size }, replayed),
        ),
      );
      for (const admission of admissions) note(admission, tally);
    },
    catch: ofCause,
  });

/** A full lane is waited for, as the front door would have others wait. */
const whileFull = (io: IoService, { link, lanes }: Work): Effect.Effect<void, CommandFailed> =>
  Effect.gen(function* () {
    let told = false;
    for (const lane of lanes) {
      for (;;) {
        const state = yield* mailboxState(link.nats, arrivalsStream, replaysConsumer(lane.name)).pipe(
          Effect.mapError(ofJetStream),
        );
        if (state === null) {
          return yield* failed(
            `lane ${lane.name} has no queue for replays yet: start a node, or orrery topology apply`,
          );
        }
        if (state.queued <= lane.backlogMax) break;
        if (!told) {
          tell(
            io,
            `lane ${lane.name} is full (${count(state.queued)} replayed files wait): waiting until it has room`,
          );
        }
        told = true;
        yield* Effect.sleep(fullLaneSleepMs);
      }
    }
  });

/** Skips for `--dry-run` what the front door would skip. */
function isTaken(work: Work, key: string): boolean {
  return isEncodable(key) && work.lanes.some((lane) => lane.accept.test(key));
}

/** @param done notes that the step is done; not interrupted between the announcing and this */
const step = (
  io: IoService,
  work: Work,
  objects: ReadonlyArray<ObjectInfo>,
  done: Effect.Effect<void, CommandFailed>,
): Effect.Effect<void, CommandFailed> =>
  Effect.gen(function* () {
    const { link, options, storage, tally } = work;
    tally.listed += objects.length;
    const taken = objects.filter(({ key }) => isTaken(work, key));
    tally.skipped += objects.length - taken.length;
    const unknown = yield* Effect.tryPromise({
      try: () => unknownOf(link, options.bucket, taken, storage.kind, tally),
      catch: ofCause,
    });
    if (options.dryRun) {
      tally.announced += unknown.length;
      if (!options.json) for (const { key } of unknown) say(io, harmless(`${options.bucket}/${key}`));
      return undefined;
    }
    if (unknown.length === 0) return yield* done;
    yield* whileFull(io, work);
    yield* Effect.uninterruptible(Effect.andThen(announce(work, unknown), done));
    if (options.rate !== null) yield* Effect.sleep(Math.round((unknown.length / options.rate) * 1_000));
    return undefined;
  });

function words(tally: Tally, dryRun: boolean): string {
  const notes = [
    ...(tally.bySize === 0
      ? []
      : [`${count(tally.bySize)} of them compared by size only: their etags are of another kind`]),
    ...(tally.parked === 0 ? [] : [`${count(tally.parked)} of them parked: see orrery parked ls`]),
  ];
  const known = notes.length === 0 ? "known" : `known (${notes.join("; ")})`;
  const skipped = tally.skipped === 0 ? "" : `, ${count(tally.skipped)} that no lane accepts`;
  return `${plural(tally.listed, "object")}: ${count(tally.announced)} ${dryRun ? "would be announced" : "announced"}, ${count(tally.known)} ${known}${skipped}`;
}

const pages = (
  io: IoService,
  work: Work,
  file: string,
  from: string | null,
): Effect.Effect<void, CommandFailed> =>
  Effect.gen(function* () {
    const { options, storage, tally } = work;
    const { bucket, prefix } = options;
    // With a rate, steps are small enough that it is even, and that ^C is answered soon.
    const size =
      options.rate === null ? stepMax : Math.max(1, Math.min(stepMax, Math.ceil(options.rate / 4)));
    let after = from;
    let toldAt = performance.now();
    for (;;) {
      const page = yield* storage
        .list(bucket, prefix, { after })
        .pipe(
          Effect.mapError((error) =>
            failed(
              error._tag === "StorageUnavailable"
                ? `${error.operation} ${error.uri}: no usable answer (${error.detail}): check that the storage is up and the bucket exists, and do it again; what was announced is passed over`
                : error.message,
            ),
          ),
        );
      for (let at = 0; at < page.objects.length; at += size) {
        const objects = page.objects.slice(at, at + size);
        const last = objects.at(-1)?.key ?? "";
        after = last;
        yield* step(
          io,
          work,
          objects,
          Effect.tryPromise({
            try: () => writeCursor(file, { bucket, prefix, after: last, tally }),
            catch: ofCause,
          }),
        );
        if (performance.now() - toldAt > tellEveryMs) {
          toldAt = performance.now();
          tell(io, `${words(tally, options.dryRun)}; at ${harmless(last)}`);
        }
      }
      if (page.next === null) return;
      after = page.next;
    }
  });

export const replay = (
  io: IoService,
  options: ReplayOptions,
): Effect.Effect<void, CommandFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const { bucket, prefix, rate, dryRun } = options;
    if (rate !== null && !(rate > 0)) return yield* misused(`--rate ${rate}: objects a second, more than 0`);
    const link = yield* openOwnSite(io, options.site);
    const { site, nats } = link;
    const lanes = yield* lanesOf(site, bucket);
    const storage = yield* storageOf(link, lanes, bucket);
    const file = cursorFile(site, options);
    const before = options.restart || dryRun ? null : yield* Effect.promise(() => readCursor(file, options));
    if (before !== null) {
      tell(
        io,
        `going on behind ${harmless(before.after)}, where an earlier run stopped (--restart begins anew)`,
      );
    }
    const counters = yield* makeCounters;
    const log = (_level: string, message: string): void => tell(io, message);
    const node = {
      site: site.name,
      name: "orrery replay",
      epoch: randomBytes(4).toString("hex"),
      nats,
      counters,
      log,
      troubles: new Troubles(counters, log),
      streams: new Streams(nats, [arrivalsStream, kvStream(ledgerBucket)], null, log),
      reclaimRules: () => null,
    };
    const tally: Tally = before?.tally ?? fresh();
    const work: Work = { link, options, door: new FrontDoor(node, site), lanes, storage, tally };
    yield* pages(io, work, file, before?.after ?? null).pipe(
      Effect.onInterrupt(() =>
        Effect.sync(() => tell(io, `stopped: ${words(tally, dryRun)}. The same command goes on from here`)),
      ),
    );
    if (!dryRun) {
      yield* Effect.promise(() =>
        rm(file, { force: true }).catch((cause: unknown) =>
          // The next replay would begin behind the last object, and announce nothing.
          tell(io, `${file} cannot be removed (${String(cause)}): the next replay needs --restart`),
        ),
      );
    }
    if (options.json) sayJson(io, { bucket, prefix, dryRun, ...tally });
    else tell(io, words(tally, dryRun));
    return undefined;
  });
