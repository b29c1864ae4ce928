// Everything about the code that can be judged without running it. The exit code is the number of checks that failed.

import process from "node:process";
import { run } from "./nats-server/child.mjs";

const LIMIT_MS = 5 * 60_000;

/** @type {ReadonlyArray<readonly [what: string, command: string, ...args: string[]]>} */
const CHECKS = [
  ["types", "tsc", "--noEmit"],
  ["lint", "oxlint"],
  ["format", "oxfmt", "--check"],
  ["unused files, exports and packages", "knip"],
];

let failed = 0;
for (const [what, command, ...args] of CHECKS) {
  const started = performance.now();
  const ended = await run(command, args, { limitMs: LIMIT_MS, shell: process.platform === "win32" });
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  const passed = ended.failure === undefined;
  if (!passed) failed++;
  process.stdout.write(`${passed ? "ok  " : "FAIL"}  ${what} (${seconds} s)\n`);
  if (!passed) process.stdout.write(`${ended.stdout}${ended.stderr}\n`);
}
process.exitCode = failed;
