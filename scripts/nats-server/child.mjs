import { spawn } from "node:child_process";

/** How much of each of a child's two outputs is kept: its end, where the reason for a failure stands. */
const OUTPUT_CHARS_MAX = 64 * 1024;

/** How long after a child's end its outputs may stay open before they are taken as complete. */
const DRAIN_MS = 200;

/**
 * @typedef {object} Ended
 * @property {number | null} code exit code; null when a signal ended it or it never started
 * @property {string} stdout its last 64 Ki characters
 * @property {string} stderr its last 64 Ki characters
 * @property {string | undefined} failure why it did not do its work, in a few words; undefined when it exited 0
 */

/**
 * Runs a program to its end, or to its time limit: this never rejects and never outlasts `limitMs` by more than a
 * moment. It resolves on `exit` and not on `close`, since a grandchild that inherited the pipes can hold them open.
 *
 * @param {string} command
 * @param {ReadonlyArray<string>} args
 * @param {{ readonly limitMs: number, readonly cwd?: string | undefined, readonly env?: NodeJS.ProcessEnv, readonly shell?: boolean }} options
 * @returns {Promise<Ended>}
 */
export function run(command, args, { limitMs, cwd, env = process.env, shell = false }) {
  return new Promise((resolve) => {
    let stdout = "";
    let stderr = "";
    let timedOut = false;
    const child = spawn(command, [...args], {
      cwd,
      env,
      shell,
      stdio: ["ignore", "pipe", "pipe"],
      windowsHide: true,
    });
    const timer = setTimeout(() => {
      timedOut = true;
      child.kill("SIGKILL");
    }, limitMs);
    child.stdout.setEncoding("utf8").on("data", (text) => {
      stdout = (stdout + text).slice(-OUTPUT_CHARS_MAX);
    });
    child.stderr.setEncoding("utf8").on("data", (text) => {
      stderr = (stderr + text).slice(-OUTPUT_CHARS_MAX);
    });

    /** @param {number | null} code @param {string | undefined} failure */
    const end = (code, failure) => {
      clearTimeout(timer);
      child.stdout.destroy();
      child.stderr.destroy();
      resolve({ code, stdout, stderr, failure });
    };
    child.on("error", (error) => end(null, error.message));
    child.on("exit", (code, signal) => {
      // What the child wrote last is still in the pipes; a grandchild may hold them for ever, so wait only briefly.
      const drained = () => {
        clearTimeout(grace);
        child.off("close", drained);
        if (timedOut) end(code, `not done within ${limitMs / 1000} s`);
        else if (code === 0) end(code, undefined);
        else end(code, lastLine(stderr) ?? lastLine(stdout) ?? `ended with ${signal ?? `exit code ${code}`}`);
      };
      // Where this process stood still meanwhile, what is in the pipes is read first: before the next immediate.
      const grace = setTimeout(() => setImmediate(drained), DRAIN_MS);
      child.on("close", drained);
    });
  });
}

/** @param {string} text */
function lastLine(text) {
  const line = text
    .split("\n")
    .map((each) => each.trim())
    .findLast((each) => each !== "");
  return line === undefined ? undefined : line.slice(0, 300);
}
