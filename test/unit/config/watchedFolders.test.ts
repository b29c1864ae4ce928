import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as Effect from "effect/Effect";
import { afterAll, describe, expect, it } from "vitest";
import { parseSite } from "../../../src/config/loadSite.ts";
import type { LoadOptions } from "../../../src/config/loadSite.ts";
import { rightSite } from "./site.ts";

const folder = mkdtempSync(join(tmpdir(), "orrery-watched-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const warningsOf = (directory: string, options: LoadOptions): ReadonlyArray<string> => {
  const text = `${rightSite}watch:\n  - directory: ${directory}\n    bucket: product-bucket\n`;
  return Effect.runSync(parseSite(text, join(folder, "site.yaml"), { env: {}, ...options }))
    .warnings.filter(({ message }) => message.includes("nothing comes in by it"))
    .map(({ path, line, message }) => `${path}:${line} ${message}`);
};

describe("folders that a node is to watch", () => {
  const line = rightSite.split("\n").length + 1;

  it("are looked for where the site is to run", () => {
    const missing = join(folder, "missing");
    expect(warningsOf(missing, { here: true })).toEqual([
      `watch[0].directory:${line} there is no folder ${missing}: nothing comes in by it`,
    ]);
    const file = join(folder, "a.fits");
    writeFileSync(file, "");
    expect(warningsOf(file, { here: true })[0]).toContain(`${file} is no folder`);
    expect(warningsOf(folder, { here: true })).toEqual([]);
  });

  it("are not, where somebody only reads the file, or the node watches nothing", () => {
    expect(warningsOf("missing", {})).toEqual([]);
    expect(warningsOf("missing", { here: true, roles: "ingester" })).toEqual([]);
  });
});
