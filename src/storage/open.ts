/** From a site file's storage settings to a driver. */
import * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import { makeFileStorage } from "./file.ts";
import type { ObjectStoreClient } from "./objects.ts";
import { makeObjectStorage } from "./objects.ts";
import type { S3StorageOptions } from "./s3.ts";
import { makeS3Storage } from "./s3.ts";
import type { StorageDriver } from "./Storage.ts";

export type StorageSettings =
  | ({ readonly driver: "s3" } & S3StorageOptions)
  | { readonly driver: "file"; readonly root: string }
  | { readonly driver: "objectstore" };

/** Opens nothing yet: a store that is away is found out by the first call, and does not keep a site from starting. */
export function openStorage(
  settings: StorageSettings,
  objects: ObjectStoreClient,
): Effect.Effect<StorageDriver, never, Scope.Scope> {
  if (settings.driver === "s3") return makeS3Storage(settings);
  if (settings.driver === "file") return Effect.sync(() => makeFileStorage(settings));
  return Effect.sync(() => makeObjectStorage(objects));
}
