// Makes a fresh checkout ready: the packages, and a nats-server. Runs before `npm start`, `npm test` and their like,
// under whatever Node the user has. Plain JavaScript without dependencies, valid on Node 20 and 24.
//
//   node scripts/setup.mjs              everything
//   node scripts/setup.mjs packages     only the packages
//
// Speaks on stderr: stdout belongs to the command that follows. Exits 1, with the reason and the fix, when it fails.

import path from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { findNatsServer } from "./nats-server/find.mjs";
import { installPackages } from "./packages.mjs";

const NODE_MAJOR_MIN = 20;

/** @param {string} text */
function say(text) {
  process.stderr.write(midLine ? text : `set-up: ${text}`);
  midLine = !text.endsWith("\n");
}
let midLine = false;

async function main() {
  if (Number.parseInt(process.versions.node, 10) < NODE_MAJOR_MIN) {
    throw new Error(`this is Node ${process.versions.node}.\nFix: install Node ${NODE_MAJOR_MIN} or newer`);
  }
  const started = performance.now();
  const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
  await installPackages({ root, say });
  if (process.argv[2] === "packages") return;
  const server = await findNatsServer({ say });
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  say(`ready in ${seconds} s with nats-server ${server.version} (${server.source}: ${server.path})\n`);
}

main().catch((/** @type {Error} */ error) => {
  if (midLine) process.stderr.write("\n");
  process.stderr.write(`set-up failed: ${error.message}\n`);
  process.exitCode = 1;
});
