/**
 * Before each test file: whatever a process says that the tests start is looked through for secrets, and so is each log that lies in a
 * temporary folder when that is removed. Nothing of it is held up: what a stream is given is read on its way into it.
 */
import type { ChildProcess } from "node:child_process";
import childProcess from "node:child_process";
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { tmpdir } from "node:os";
import { basename, join, relative } from "node:path";
import type { Readable } from "node:stream";
import { afterAll, expect } from "vitest";
import { said, saidBy, saidFolder, tellSaid } from "./said.ts";

const file = expect.getState().testPath;
if (file !== undefined) process.env[saidBy] = relative(process.cwd(), file);

afterAll(tellSaid);

const bytesMax = 64 * 1_048_576;
const filesMax = 2_000;
const isLog = /\.(?:log|jsonl)$/;

/** Cut between pieces, a secret would be seen in neither. */
const overlap = 200;

function hear(stream: Readable | null, source: string): void {
  if (stream === null) return;
  let tail = "";
  const push = stream.push.bind(stream);
  stream.push = (chunk: unknown, ...more: []): boolean => {
    if (chunk instanceof Uint8Array || typeof chunk === "string") {
      const text = typeof chunk === "string" ? chunk : Buffer.from(chunk).toString("latin1");
      said(source, tail + text);
      // What was found in it would be found again: only as much as a secret could begin in.
      tail = text.slice(-overlap).replaceAll(/\S*(?:canary-|\bS[OAUCNX])\S{20,}/g, "");
    }
    return push(chunk, ...more);
  };
}

function heard<A extends ChildProcess>(child: A): A {
  const name = child.spawnargs
    .slice(0, 3)
    .map((word) => basename(word))
    .join(" ")
    .slice(0, 80);
  // An object store says with what it was set up, the URL of its webhook too. That is no word of ours.
  if (name.startsWith("versitygw ")) return child;
  hear(child.stdout, `stdout of ${name}`);
  hear(child.stderr, `stderr of ${name}`);
  return child;
}

function logsIn(folder: string): ReadonlyArray<string> {
  try {
    return fs
      .readdirSync(folder, { recursive: true, encoding: "utf8" })
      .filter((name) => isLog.test(name))
      .slice(0, filesMax);
  } catch {
    // Gone already, or no folder: nothing in it says anything.
    return [];
  }
}

function hearFolder(path: unknown): void {
  if (typeof path !== "string" || !path.startsWith(tmpdir())) return;
  for (const name of logsIn(path)) {
    try {
      const log = join(path, name);
      if (fs.statSync(log).size <= bytesMax) said(`the log ${name}`, fs.readFileSync(log, "utf8"));
    } catch {
      // Removed in between, by whoever it belongs to.
    }
  }
}

const triesMin = 20;

/** In a test's folder a program that is just being ended may still write: it is removed all the same, a little later. */
const patient = <A extends fs.RmOptions>(path: unknown, options: A | undefined): A | undefined =>
  options?.recursive === true && typeof path === "string" && path.startsWith(tmpdir())
    ? { ...options, maxRetries: Math.max(options.maxRetries ?? 0, triesMin) }
    : options;

/** Once a worker: its test files may share it. */
const done = Symbol.for("orrery.saidSetup");
const once = globalThis as { [done]?: true };
if (process.env[saidFolder] !== undefined && once[done] === undefined) {
  once[done] = true;
  for (const name of ["spawn", "exec", "execFile", "fork"] as const) {
    const before = childProcess[name] as (...given: ReadonlyArray<unknown>) => ChildProcess;
    const after = (...given: ReadonlyArray<unknown>): ChildProcess => heard(before(...given));
    // The symbols by which `promisify` knows exec and execFile again.
    Object.defineProperties(after, Object.getOwnPropertyDescriptors(before));
    Object.assign(childProcess, { [name]: after });
  }
  const { rmSync } = fs;
  fs.rmSync = (path, options) => {
    hearFolder(path);
    rmSync(path, patient(path, options));
  };
  const { rm } = fs.promises;
  fs.promises.rm = async (path, options) => {
    hearFolder(path);
    await rm(path, patient(path, options));
  };
  syncBuiltinESMExports();
}
