import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const source = (file: string): string => fileURLToPath(new URL(`src/${file}`, import.meta.url));

export default defineConfig({
  resolve: {
    // The examples import the package by its name; in the checkout that is the source, as in tsconfig.json.
    alias: [
      { find: /^orrery$/, replacement: source("index.ts") },
      { find: /^orrery\/testing$/, replacement: source("testing.ts") },
    ],
  },
  test: {
    include: ["test/**/*.test.ts"],
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 120_000,
    reporters: ["default", "./test/lastLineReporter.ts"],
  },
});
