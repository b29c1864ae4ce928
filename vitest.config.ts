import { globSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import type { TestProjectConfiguration } from "vitest/config";
import { defineConfig } from "vitest/config";
import type { Reporter, TestModule } from "vitest/node";
import { engineMissing } from "./test/support/containerEngine.ts";

const root = import.meta.dirname;
const source = (file: string): string => fileURLToPath(new URL(`src/${file}`, import.meta.url));

/** What runs both ways: every test file that starts its server by test/support/nats.ts. */
const bothWays = globSync("test/{integration,conformance}/**/*.test.ts", { cwd: root }).filter((file) =>
  /from "\.\.\/support\/nats\.ts"/.test(readFileSync(path.join(root, file), "utf8")),
);
if (bothWays.length === 0)
  throw new Error("no test file imports ../support/nats.ts: vitest.config.ts looks amiss");

const ways = ["auto", "native", "container"];
const way = process.env["ORRERY_TEST_NATS"] ?? "auto";
if (!ways.includes(way)) throw new Error(`ORRERY_TEST_NATS=${way}: it must be one of ${ways.join(", ")}`);
const missing = way === "native" ? "ORRERY_TEST_NATS=native" : await engineMissing();
if (way === "container" && missing !== null)
  throw new Error(
    `ORRERY_TEST_NATS=container, but no container engine answers: ${missing}. Start one, or unset it`,
  );

/** Says it where it matters: after a run in which such files ran on the native server, and nowhere else. */
const nativeOnly: Reporter = {
  onTestRunEnd(modules: ReadonlyArray<TestModule>) {
    if (missing === null) return;
    const ran = modules.filter(({ moduleId }) => bothWays.includes(path.relative(root, moduleId))).length;
    const why = way === "native" ? missing : `No container engine answers (${missing})`;
    const files = ran === 1 ? "1 test file" : `${ran} test files`;
    if (ran > 0) console.log(`${why}: what runs both ways (${files}) ran on the native nats-server only.`);
  },
};

const native: TestProjectConfiguration = {
  extends: true,
  test: { name: "native", include: ["test/**/*.test.ts"], env: { ORRERY_TEST_NATS: "native" } },
};

/** The same files, tests and assertions against servers in containers. */
const container: TestProjectConfiguration = {
  extends: true,
  test: {
    name: "container",
    include: bothWays,
    env: { ORRERY_TEST_NATS: "container" },
    globalSetup: "./test/support/natsImage.ts",
  },
};

export default defineConfig({
  resolve: {
    // The examples import the package by its name; in the checkout that is the source, as in tsconfig.json.
    alias: [
      { find: /^orrery$/, replacement: source("index.ts") },
      { find: /^orrery\/testing$/, replacement: source("testing.ts") },
    ],
  },
  test: {
    projects: [...(way === "container" ? [] : [native]), ...(missing === null ? [container] : [])],
    pool: "forks",
    maxWorkers: 2,
    // For a machine that has much else to do, or stands still for a while: a test that passes needs a small part of it.
    testTimeout: 240_000,
    hookTimeout: 240_000,
    expect: { poll: { timeout: 60_000 } },
    setupFiles: ["./test/support/saidSetup.ts", "./test/support/seedSetup.ts"],
    reporters: ["default", nativeOnly, "./test/secretsReporter.ts", "./test/lastLineReporter.ts"],
  },
});
