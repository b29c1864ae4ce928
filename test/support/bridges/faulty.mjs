// A bridge with faults on order: node faulty.mjs MODE [KEY]. KEY is a part of the keys that set the fault off; without one
// every batch does. What does not set it off is answered well.
import { spawn } from "node:child_process";
import { existsSync, watch } from "node:fs";
import path from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";

const [, , mode = "ok", part = ""] = process.argv;

/** @param {unknown} message */
const say = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);
const stubborn = () => {
  process.on("SIGTERM", () => undefined);
  setInterval(() => undefined, 60_000);
};

/** @type {Record<string, () => void | Promise<void>>} */
const starts = {
  "never-ready": stubborn,
  "garbage-at-start": () => void process.stdout.write("Loading…\n"),
  "answer-at-start": () => void say({ batch: "b1", items: [] }),
  "fatal-at-start": () => void say({ fatal: "repo_unavailable", detail: "no such repository" }),
  "exit-at-start": () => {
    process.stderr.write("Traceback: no module named lsst\n");
    process.exit(1);
  },
  // Ready when the file named by `part` is there.
  "slow-start": async () => {
    await new Promise((resolve) => {
      const watcher = watch(path.dirname(part), () => {
        if (existsSync(part)) resolve(watcher.close());
      });
      if (existsSync(part)) resolve(watcher.close());
    });
    say({ ready: true, pid: process.pid });
  },
};
const start = starts[mode];
if (start === undefined) say({ ready: true, pid: process.pid, mode });
else await start();

/** @type {Record<string, (batch: string, items: Array<any>, hit: any) => void>} */
const faults = {
  dies: () => process.exit(3),
  "dies-hard": () => process.kill(process.pid, "SIGKILL"),
  // Its answer is out when it dies.
  "answers-and-dies": (batch, items) => {
    process.stdout.write(`${JSON.stringify({ batch, items: items.map(good) })}\n`, () => process.exit(3));
  },
  "dies-in-mid-line": (batch) => {
    process.stdout.write(`{"batch":${JSON.stringify(batch)},"items":[`, () => process.exit(3));
  },
  hangs: () => undefined,
  stubborn,
  fatal: (batch) => say({ batch, fatal: "repo_unavailable", detail: "the database is gone" }),
  garbage: () => process.stdout.write("DEBUG ingesting…\n"),
  "no-object": () => say([]),
  "no-items": (batch) => say({ batch }),
  "ready-again": () => say({ ready: true }),
  "wrong-batch": (_, items) => say({ batch: "b0", items: items.map(good) }),
  overlong: () => {
    // More than a line may hold, and no end of it.
    const chunk = Buffer.alloc(1_048_576, 0x20);
    for (let i = 0; i < 18; i++) process.stdout.write(chunk);
  },
  misses: (batch, items, hit) => say({ batch, items: items.filter((item) => item !== hit).map(good) }),
  stranger: (batch, items) =>
    say({ batch, items: [...items.map(good), { key: "nobody", status: "ingested" }] }),
  twice: (batch, items, hit) => say({ batch, items: [...items.map(good), good(hit)] }),
  contradicts: (batch, items, hit) =>
    say({ batch, items: [...items.map(good), { ...good(hit), status: "permanent", class: "Bad" }] }),
  "no-status": (batch, items, hit) =>
    say({
      batch,
      items: items.map((item) => (item === hit ? { key: item.key, status: "fine" } : good(item))),
    }),
  "answers-twice": (batch, items) => {
    const answer = JSON.stringify({ batch, items: items.map(good) });
    process.stdout.write(`${answer}\n${answer}\n`);
  },
  // What it was told, in reverse order.
  echo: (batch, items) => {
    const answers = items.map((item) => ({
      key: item.key,
      status: "permanent",
      class: "Echo",
      detail: JSON.stringify(item),
    }));
    say({ batch, items: answers.toReversed() });
  },
  environment: (batch, items) => {
    const detail = JSON.stringify({ env: process.env, cwd: process.cwd(), argv: process.argv.slice(2) });
    say({ batch, items: items.map((item) => ({ key: item.key, status: "ingested", detail })) });
  },
  retries: (batch, items) => {
    const answer = { status: "retry", class: "no such class!", detail: "locked" };
    say({ batch, items: items.map((item) => ({ key: item.key, ...answer })) });
  },
  // Starts a process that outlives it unless its group is ended; says its number.
  parent: (batch, items) => {
    const child = spawn("sleep", ["1000"], { stdio: "inherit" });
    say({
      batch,
      items: items.map((item) => ({ key: item.key, status: "ingested", detail: String(child.pid) })),
    });
  },
};

/** @param {any} item */
function good(item) {
  return { key: item.key, status: "ingested" };
}

for await (const line of createInterface({ input: process.stdin })) {
  const { batch, items } = JSON.parse(line);
  const hit = items.find((/** @type {any} */ item) => item.key.includes(part));
  const fault = faults[mode];
  if (fault === undefined || hit === undefined) say({ batch, items: items.map(good) });
  else {
    process.stderr.write(`now ${mode}\n`);
    fault(batch, items, hit);
  }
}
