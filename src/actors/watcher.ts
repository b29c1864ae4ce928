/**
 * The directory watcher: files below a directory become arrivals. It scans rather than trusting file system events, which are lost
 * on network disks and while nobody listens; what it has announced is remembered by the stream and the ledger, not by itself.
 *
 * Receives  nothing; looks every `pollEvery`.
 * Keeps     in memory, the size and time of each file as last seen. After a restart everything is announced once more, and what
 *           is known already is recognised by its etag as a duplicate.
 * Emits     arrivals. A file is taken when its size and time have not changed for `quiet`; names that begin with a dot or
 *           end in `.part` or `.tmp` are not looked at, nor are symbolic links followed.
 * Fails     never: what cannot be read is logged once, the rest is taken, and the next scan tries again.
 */
import * as Effect from "effect/Effect";
import * as Result from "effect/Result";
import type { Dirent, Stats } from "node:fs";
import { lstat, opendir } from "node:fs/promises";
import { join, relative, sep } from "node:path";
import type { Site, WatchSettings } from "../config/Site.ts";
import type { StorageDriver } from "../storage/Storage.ts";
import type { FrontDoor } from "./frontDoor.ts";
import type { NodeContextService } from "./NodeContext.ts";

interface Seen {
  readonly size: number;
  readonly mtimeMs: number;
  /** Monotonic time at which this size and time were first seen. */
  readonly since: number;
  readonly announced: boolean;
}

const inFlightMax = 256;
/** What a name that is not UTF-8 is read as: no key can be made of it. */
const undecodable = "\u{FFFD}";

function looksUnfinished(name: string): boolean {
  return name.startsWith(".") || name.endsWith(".part") || name.endsWith(".tmp");
}

/** Tells of what cannot be read once, and again when it was readable in between. */
class Complaints {
  readonly #node: NodeContextService;
  readonly #site: string;
  #before = new Set<string>();
  #now = new Set<string>();

  constructor(node: NodeContextService, site: string) {
    this.#node = node;
    this.#site = site;
  }

  begin(): void {
    this.#before = this.#now;
    this.#now = new Set();
  }

  add(path: string, message: string, cause: unknown): void {
    this.#now.add(path);
    if (this.#before.has(path)) return;
    this.#node.log("warn", message, { path, cause: String(cause), site: this.#site });
  }
}

async function* entriesOf(folder: string, complaints: Complaints): AsyncGenerator<Dirent> {
  try {
    yield* await opendir(folder);
  } catch (cause) {
    // One folder that is closed, or gone since it was listed, must not hide the others.
    complaints.add(folder, "cannot read a watched directory", cause);
  }
}

const isGone = (cause: unknown): boolean =>
  cause instanceof Error && "code" in cause && (cause.code === "ENOENT" || cause.code === "ENOTDIR");

/** Everything below the folder that is a file, with what the system says of it. */
async function* filesBelow(
  root: string,
  complaints: Complaints,
): AsyncGenerator<{ readonly path: string; readonly info: Stats }> {
  const open: Array<string> = [root];
  for (let folder = open.pop(); folder !== undefined; folder = open.pop()) {
    for await (const entry of entriesOf(folder, complaints)) {
      if (looksUnfinished(entry.name)) continue;
      const path = join(folder, entry.name);
      if (entry.isDirectory()) {
        open.push(path);
        continue;
      }
      // Some file systems do not say in the listing what a thing is: then neither is true, and asking tells.
      const info = await lstat(path).catch((cause: unknown) => {
        // Not gone, and not seen: nothing else would tell that it is there.
        if (!isGone(cause)) complaints.add(path, "cannot look at a watched file", cause);
        return null;
      });
      if (info?.isFile() === true) yield { path, info };
      else if (info?.isDirectory() === true) open.push(path);
      // Gone between the listing and the look: the next scan does not list it. But for a name that nobody can ask for.
      else if (info === null && entry.name.includes(undecodable)) {
        complaints.add(path, "a watched file is passed over: its name is not UTF-8. Rename it", entry.name);
      }
    }
  }
}

/** Watches one directory until interrupted. A directory that cannot be read is logged and looked at again. */
export const watchDirectory = (
  node: NodeContextService,
  site: Site,
  settings: WatchSettings,
  storage: StorageDriver | null,
  door: FrontDoor,
): Effect.Effect<never> => {
  const seen = new Map<string, Seen>();
  const complaints = new Complaints(node, site.name);
  const keyOf = (path: string): string => relative(settings.directory, path).split(sep).join("/");
  const scan = async (signal: AbortSignal): Promise<void> => {
    const present = new Set<string>();
    const pending = new Set<Promise<void>>();
    complaints.begin();
    let held = false;
    for await (const { path, info } of filesBelow(settings.directory, complaints)) {
      if (signal.aborted) break;
      present.add(path);
      const before = seen.get(path);
      const now = performance.now();
      if (before === undefined || before.size !== info.size || before.mtimeMs !== info.mtimeMs) {
        seen.set(path, { size: info.size, mtimeMs: info.mtimeMs, since: now, announced: false });
        continue;
      }
      if (held || before.announced || now - before.since < settings.quietMs) continue;
      // Nothing more is announced in this scan, but what is quiet goes on being seen.
      held = door.pressure(inFlightMax) !== null;
      const key = keyOf(path);
      if (held || door.fullLane([{ bucket: settings.bucket, key }]) !== null) continue;
      while (pending.size >= inFlightMax) await Promise.race(pending);
      const task: Promise<void> = announce(path, key, before)
        .catch((cause: unknown) => complaints.add(path, "a watched file could not be announced yet", cause))
        .finally(() => pending.delete(task));
      pending.add(task);
    }
    await Promise.all(pending);
    if (signal.aborted) return;
    for (const path of seen.keys()) if (!present.has(path)) seen.delete(path);
  };
  const announce = async (path: string, key: string, before: Seen): Promise<void> => {
    const etag = await etagOf(storage, settings.bucket, key, before);
    const admission = await door.announce(
      { bucket: settings.bucket, key, etag, size: before.size },
      `watch:${settings.directory}`,
    );
    if (admission.type === "failed") throw admission.error;
    seen.set(path, { ...before, announced: true });
  };
  return Effect.promise((signal) =>
    scan(signal).catch((cause: unknown) => complaints.add(settings.directory, "a scan broke off", cause)),
  ).pipe(Effect.andThen(Effect.sleep(settings.pollEveryMs)), Effect.forever);
};

/**
 * The storage's own etag where the directory is a bucket of it, so that a webhook for the same file is a duplicate. A storage that
 * cannot say just now is asked again later: another etag for the same content would be other content.
 */
async function etagOf(
  storage: StorageDriver | null,
  bucket: string,
  key: string,
  seen: Seen,
): Promise<string> {
  const own = `${seen.size.toString(16)}-${Math.round(seen.mtimeMs).toString(16)}`;
  if (storage === null) return own;
  const info = await Effect.runPromise(Effect.result(storage.head(bucket, key)));
  if (Result.isSuccess(info)) return info.success.etag;
  const { failure } = info;
  // A storage that never has it is another one; the lane's worker will say so.
  if (failure._tag === "ObjectMissing" || failure._tag === "InvalidKey") return own;
  throw failure;
}
