import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as Redacted from "effect/Redacted";
import { afterAll } from "vitest";
import { layerFile } from "../../src/storage/file.ts";
import { layerMemory } from "../../src/storage/memory.ts";
import { layerS3 } from "../../src/storage/s3.ts";
import type { Versitygw } from "../support/versitygw.ts";
import { startVersitygw } from "../support/versitygw.ts";
import { conformanceBucket, storageConformance } from "./storage.ts";

const directories: Array<string> = [];
let server: Versitygw | null = null;
afterAll(async () => {
  await server?.stop();
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
