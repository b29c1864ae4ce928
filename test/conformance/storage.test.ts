import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as Effect from "effect/Effect";
import * as Redacted from "effect/Redacted";
import { afterAll } from "vitest";
import { layerFile } from "../../src/storage/file.ts";
import { layerMemory } from "../../src/storage/memory.ts";
import { layerObjects } from "../../src/storage/objects.ts";
import { layerS3 } from "../../src/storage/s3.ts";
import { openObjects } from "../../src/jetstream/objects.ts";
import type { TestNats } from "../support/nats.ts";
import { startNats } from "../support/nats.ts";
import type { Versitygw } from "../support/versitygw.ts";
import { startVersitygw } from "../support/versitygw.ts";
import { conformanceBucket, storageConformance } from "./storage.ts";

const directories: Array<string> = [];
let server: Versitygw | null = null;
let nats: TestNats | null = null;
afterAll(async () => {
  await server?.stop();
  await nats?.stop();
  for (const directory of directories) await rm(directory, { recursive: true, force: true });
});

storageConformance("memory", async () => layerMemory([conformanceBucket]));

storageConformance("file", async () => {
  const root = await mkdtemp(join(tmpdir(), "orrery-files-"));
  directories.push(root);
  await mkdir(join(root, conformanceBucket));
  return layerFile({ root });
});

storageConformance("s3", async () => {
  server = await startVersitygw({ buckets: [conformanceBucket] });
  return layerS3({
    endpoint: server.endpoint,
    region: server.region,
    forcePathStyle: true,
    accessKeyId: Redacted.make(server.accessKeyId),
    secretAccessKey: Redacted.make(server.secretAccessKey),
  });
});

storageConformance("objectstore", async () => {
  const started = await startNats();
  nats = started;
  // The object store would make any bucket that it is asked for: which ones there are is the site's decision.
  const open = (bucket: string) =>
    bucket === conformanceBucket
      ? openObjects(started.nats, bucket, 1)
      : Effect.fail(new Error(`${bucket} is no bucket of this site`));
  return layerObjects({ open });
});
