/**
 * The directory watcher: files below a directory become arrivals. It scans rather than trusting file system events, which are lost
 * on network disks and while nobody listens; what it has announced is remembered by the stream and the ledger, not by itself.
 *
 * Receives  nothing; looks every `pollEvery`.
 * Keeps     in memory, the size and time of each file as last seen. After a restart everything is announced once more, and what
 *           is known already is recognised by its etag as a duplicate.
 * Emits     arrivals. A file is taken when its size and time have not changed for `quiet`; names that begin with a dot or
 *           end in `.part` or `.tmp` are not looked at.
 */
import * as Effect from "effect/Effect";
import type { Dirent } from "node:fs";
import { opendir, stat } from "node:fs/promises";
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

function looksUnfinished(name: string): boolean {
  return name.startsWith(".") || name.endsWith(".part") || name.endsWith(".tmp");
}

async function* filesBelow(root: string): AsyncGenerator<string> {
  const open: Array<string> = [root];
  for (let folder = open.pop(); folder !== undefined; folder = open.pop()) {
    const entries: AsyncIterable<Dirent> = await opendir(folder);
    for await (const entry of entries) {
      if (looksUnfinished(entry.name)) continue;
      const path = join(folder, entry.name);
      if (entry.isDirectory()) open.push(path);
      else if (entry.isFile()) yield path;
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
  const scan = async (signal: AbortSignal): Promise<void> => {
    const present = new Set<string>();
    const pending = new Set<Promise<void>>();
    for await (const path of filesBelow(settings.directory)) {
      if (signal.aborted) return;
      present.add(path);
      const info = await stat(path).catch(() => null);
      // Gone between the listing and the look: the next scan does not list it.
      if (info === null) continue;
      const before = seen.get(path);
      const now = performance.now();
      if (before === undefined || before.size !== info.size || before.mtimeMs !== info.mtimeMs) {
        seen.set(path, { size: info.size, mtimeMs: info.mtimeMs, since: now, announced: false });
        continue;
      }
      const quiet = now - before.since >= settings.quietMs;
      if (before.announced || !quiet) continue;
      if (door.pressure(inFlightMax) !== null || door.fullLane([settings.bucket]) !== null) return;
      while (pending.size >= inFlightMax) await Promise.race(pending);
      const task: Promise<void> = announce(path, before).finally(() => pending.delete(task));
      pending.add(task);
    }
    await Promise.all(pending);
    for (const path of seen.keys()) if (!present.has(path)) seen.delete(path);
  };
  const announce = async (path: string, before: Seen): Promise<void> => {
    const key = relative(settings.directory, path).split(sep).join("/");
    const etag = await etagOf(storage, settings.bucket, key, before);
    const admission = await door.announce(
      { bucket: settings.bucket, key, etag, size: before.size },
      `watch:${settings.directory}`,
    );
    if (admission.type === "failed") {
      node.log("warn", "a watched file could not be announced yet", {
        path,
        cause: admission.error.message,
      });
      return;
    }
    seen.set(path, { ...before, announced: true });
  };
  return Effect.promise((signal) =>
    scan(signal).catch((cause: unknown) =>
      node.log("warn", "cannot read a watched directory", {
        directory: settings.directory,
        cause: String(cause),
        site: site.name,
      }),
    ),
  ).pipe(Effect.andThen(Effect.sleep(settings.pollEveryMs)), Effect.forever);
};

/** The storage's own etag where the directory is a bucket of it, so that a webhook for the same file is a duplicate. */
async function etagOf(
  storage: StorageDriver | null,
  bucket: string,
  key: string,
  seen: Seen,
): Promise<string> {
  const own = `${seen.size.toString(16)}-${Math.round(seen.mtimeMs).toString(16)}`;
  if (storage === null) return own;
  const info = await Effect.runPromise(storage.head(bucket, key).pipe(Effect.option));
  return info._tag === "Some" ? info.value.etag : own;
}
