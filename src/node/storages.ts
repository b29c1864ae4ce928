/** Opens the site's storages by name. JetStream's object store is handed to the storage layer here: it may not import NATS. */
import * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import type { Site } from "../config/Site.ts";
import { openObjects } from "../jetstream/objects.ts";
import type { NatsService } from "../jetstream/Nats.ts";
import { openStorage } from "../storage/open.ts";
import type { StorageDriver } from "../storage/Storage.ts";

export const openStorages = (
  site: Site,
  nats: NatsService,
): Effect.Effect<ReadonlyMap<string, StorageDriver>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const open = new Map<string, StorageDriver>();
    for (const [name, settings] of site.storage) {
      const known = new Set(
        [...site.lanes.values()].flatMap((lane) => (lane.storage === name ? lane.buckets : [])),
      );
      // Opening makes the bucket: only those that the site file names may come into being so.
      const openBucket = (bucket: string) =>
        known.has(bucket)
          ? openObjects(nats, bucket, site.nats.replicas)
          : Effect.fail({ message: `no lane of the site file keeps bucket ${bucket} in storage ${name}` });
      open.set(name, yield* openStorage(settings, { open: openBucket }));
    }
    return open;
  });
