import { existsSync, readFileSync, rmSync } from "node:fs";
import path from "node:path";
import process from "node:process";
import { run } from "./nats-server/child.mjs";

const NPM_CI_LIMIT_MS = 15 * 60_000;

/** @typedef {Record<string, { version?: string, integrity?: string, optional?: boolean }>} Packages */

/**
 * Installs the packages of package-lock.json into `root`/node_modules, unless they are there already.
 * Returns whether it had to. Throws an Error that says what to do when that fails.
 *
 * @param {{ root: string, say: (text: string) => void, env?: NodeJS.ProcessEnv, limitMs?: number }} options
 */
export async function installPackages({ root, say, env = process.env, limitMs = NPM_CI_LIMIT_MS }) {
  if (areInstalled(root)) return false;
  const started = performance.now();
  say("packages of package-lock.json by npm ci (about 20 s) ... ");
  // From here on the tree counts as not installed, whatever happens to npm half way: it writes this record last.
  rmSync(recordOf(root), { force: true });

  const [command, ...first] = npm(env);
  const args = [...first, "ci", "--include=dev", "--loglevel=error", "--no-audit", "--no-fund"];
  const ended = await run(command, args, { cwd: root, limitMs, env, shell: process.platform === "win32" });
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  if (ended.failure !== undefined) {
    say(`failed after ${seconds} s\n`);
    throw new Error(
      `npm ci failed: ${ended.failure}\n${ended.stderr.trim()}\n` +
        `Fix: see what this says about the registry or the network, then run: npm ci`,
    );
  }
  const missing = whatIsMissing(root);
  if (missing !== undefined) {
    say(`failed after ${seconds} s\n`);
    throw new Error(`npm ci ended well, but ${missing}\nFix: npm ci --ignore-scripts=false`);
  }
  say(`${seconds} s\n`);
  return true;
}

/**
 * True when node_modules holds what package-lock.json says: npm's own record of the tree, which it writes when
 * everything else is done, is compared entry by entry. So an `npm ci` by hand counts as well.
 *
 * @param {string} root
 */
function areInstalled(root) {
  return whatIsMissing(root) === undefined;
}

/** @param {string} root @returns {string | undefined} */
function whatIsMissing(root) {
  const wanted = packagesOf(path.join(root, "package-lock.json"));
  if (wanted === undefined)
    throw new Error(`${root} holds no package-lock.json that can be read: is it a checkout?`);
  const present = packagesOf(recordOf(root));
  if (present === undefined) return "node_modules has no record of what is in it";
  for (const [place, lock] of Object.entries(wanted)) {
    if (place === "") continue;
    const there = present[place];
    // Packages for other systems are optional, and are not there.
    if (there === undefined && lock.optional === true) continue;
    if (there?.version !== lock.version || there?.integrity !== lock.integrity)
      return `${place} is not as locked`;
  }
  // The package `node` gets its program from an install script, which an npm may have been told not to run.
  if ("node_modules/node" in wanted && !existsSync(path.join(root, "node_modules", "node", "bin", "node"))) {
    return "node_modules/node has no program: npm did not run its install script";
  }
  return undefined;
}

/** @param {string} root */
function recordOf(root) {
  return path.join(root, "node_modules", ".package-lock.json");
}

/** @param {string} file @returns {Packages | undefined} */
function packagesOf(file) {
  try {
    return JSON.parse(readFileSync(file, "utf8")).packages;
  } catch {
    return undefined;
  }
}

/**
 * The npm that runs this script, under the node that runs that npm. Not this process's own node: it can be the one
 * in node_modules, which `npm ci` removes.
 *
 * @param {NodeJS.ProcessEnv} env
 * @returns {[string, ...string[]]}
 */
function npm(env) {
  const script = env["npm_execpath"];
  const node = env["npm_node_execpath"];
  if (script === undefined || node === undefined || !/\.c?js$/.test(script)) return ["npm"];
  return [node, script];
}
