// A bridge: what Orrery's `subprocess` driver talks to. It keeps a catalog in a file, one JSON object a line.
//
//   driver:
//     type: subprocess
//     command: [node, "{site}/bridge.mjs", "/var/lib/catalog.jsonl"]
//
// The protocol is told in docs/driver-protocol.md. In short: say that you are ready; then for each line that comes, answer
// with one line. Nothing else may be written to stdout; stderr is yours.

import { closeSync, fsyncSync, ftruncateSync, openSync, readFileSync, writeSync } from "node:fs";
import process from "node:process";
import { createInterface } from "node:readline";

const path = process.argv[2];
if (path === undefined) {
  process.stderr.write("usage: node bridge.mjs CATALOG\n");
  process.exit(2);
}

/** What the catalog knows: uri -> etag of the content that it holds. */
const known = new Map();
const file = openSync(path, "a+");
load();
say({ ready: true, catalog: path, known: known.size });

// When stdin ends so does the loop, and with it the process: nothing to do but to finish what is in hand.
for await (const line of createInterface({ input: process.stdin })) {
  const { batch, items } = JSON.parse(line);
  try {
    say({ batch, items: ingest(items) });
  } catch (error) {
    // The disk is full, or gone: no item's fault. The bridge is started again, and asked again.
    say({ batch, fatal: "catalog_unwritable", detail: String(error) });
  }
}
closeSync(file);

/** @param {ReadonlyArray<{key: string, uri: string, etag: string, header: unknown, [more: string]: unknown}>} items */
function ingest(items) {
  const answers = [];
  let lines = "";
  const added = new Map();
  for (const { key, ...item } of items) {
    if (item.uri === "") {
      answers.push({
        key,
        status: "permanent",
        class: "NoUri",
        detail: "the item does not say where it lies",
      });
    } else if ((added.get(item.uri) ?? known.get(item.uri)) === item.etag) {
      // A batch may come again: after a crash, or when its answer was lost.
      answers.push({ key, status: "duplicate" });
    } else {
      added.set(item.uri, item.etag);
      lines += `${JSON.stringify(item)}\n`;
      answers.push({ key, status: "ingested" });
    }
  }
  // Nothing is answered before it is on disk.
  writeSync(file, lines);
  fsyncSync(file);
  for (const [uri, etag] of added) known.set(uri, etag);
  return answers;
}

function load() {
  const text = readFileSync(file, "utf8");
  // A last line without its end was cut off by a crash, and never answered.
  const whole = text.slice(0, text.lastIndexOf("\n") + 1);
  ftruncateSync(file, Buffer.byteLength(whole));
  for (const line of whole.split("\n")) {
    if (line === "") continue;
    const { uri, etag } = JSON.parse(line);
    known.set(uri, etag);
  }
}

/** @param {unknown} message */
function say(message) {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}
