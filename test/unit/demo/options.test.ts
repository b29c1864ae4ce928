/** A slip on the command line of a demonstration: one line and exit 2, and nothing begun. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect, it } from "vitest";

const demo = join(import.meta.dirname, "..", "..", "..", "src", "demo");

it.each([
  ["sites.ts", ["--dril"], /^error Unknown option '--dril'.*\n\nusage: npm run sites -- /],
  [
    "drillMain.ts",
    ["--files", "3"],
    /^error --files 3: a number from 30 to 1000000\n\nusage: npm run drill -- /,
  ],
])("%s %j", (file, argv, words) => {
  const ended = spawnSync(process.execPath, [join(demo, file), ...argv], {
    encoding: "utf8",
    timeout: 120_000,
  });
  expect([ended.status, ended.stdout, ended.stderr]).toEqual([2, "", expect.stringMatching(words)]);
});
