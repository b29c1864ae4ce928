import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import * as Effect from "effect/Effect";
import * as Redacted from "effect/Redacted";
import { afterAll, beforeAll } from "vitest";
import { openHttp } from "../../src/drivers/http.ts";
import { nativeDriver } from "../../src/drivers/native.ts";
import { openSubprocess } from "../../src/drivers/subprocess.ts";
import { CatalogService } from "../support/catalogService.ts";
import { driverConformance } from "./driver.ts";

const folder = mkdtempSync(path.join(tmpdir(), "orrery-driver-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const root = path.resolve(import.meta.dirname, "../..");
const bridge = (...args: ReadonlyArray<string>) =>
  openSubprocess(
    {
      name: "lsstcam",
      command: [process.execPath, ...args],
      cwd: null,
      env: {},
      startDeadlineMs: 30_000,
      batchDeadlineMs: 30_000,
    },
    () => undefined,
  );

driverConformance("native", () => Effect.succeed(nativeDriver));
driverConformance("subprocess, a bridge that answers", () =>
  bridge(path.join(root, "test/support/bridges/faulty.mjs")),
);

let catalogs = 0;
driverConformance("subprocess, the example", () =>
  bridge(path.join(root, "examples/bridge.mjs"), path.join(folder, `catalog-${catalogs++}.jsonl`)),
);

const service = new CatalogService();
beforeAll(() => service.up());
afterAll(() => service.down());
driverConformance("http", () =>
  openHttp(
    {
      name: "lsstcam",
      url: Redacted.make(service.url),
      headers: new Map(),
      startDeadlineMs: 30_000,
      batchDeadlineMs: 30_000,
    },
    () => undefined,
  ),
);
