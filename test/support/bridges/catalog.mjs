// A bridge with a catalog of its own, a folder with one file an object: what stands there already is a duplicate. It does wrong
// once for each order: node catalog.mjs CATALOG ORDERS, where ORDERS is a file that holds the name of a fault and is taken away.
import { openSync, closeSync, readFileSync, rmSync } from "node:fs";
import path from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";

const [, , catalog = "", orders = ""] = process.argv;

/** @param {unknown} message */
const say = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);

/** The fault that is on order; it is done once. */
function ordered() {
  try {
    const fault = readFileSync(orders, "utf8");
    rmSync(orders);
    return fault;
  } catch {
    // Nothing is ordered.
    return "";
  }
}

/** @param {any} item */
function ingest(item) {
  if (item.key.includes("bad"))
    return { key: item.key, status: "permanent", class: "Bad", detail: "its name says so" };
  try {
    closeSync(openSync(path.join(catalog, encodeURIComponent(item.key)), "wx"));
    return { key: item.key, status: "ingested" };
  } catch (cause) {
    if (/** @type {any} */ (cause).code !== "EEXIST") throw cause;
    return { key: item.key, status: "duplicate" };
  }
}

say({ ready: true, pid: process.pid });
for await (const line of createInterface({ input: process.stdin })) {
  const { batch, items } = JSON.parse(line);
  const fault = ordered();
  if (fault === "dies-before") process.kill(process.pid, "SIGKILL");
  // Half of it is in the catalog by then, and nobody is told.
  const answers =
    fault === "dies" ? items.slice(0, Math.ceil(items.length / 2)).map(ingest) : items.map(ingest);
  if (fault === "dies") process.kill(process.pid, "SIGKILL");
  else if (fault === "garbage") process.stdout.write("DEBUG ingesting…\n");
  else if (fault === "answers-twice") {
    const answer = JSON.stringify({ batch, items: answers });
    process.stdout.write(`${answer}\n${answer}\n`);
  } else if (fault !== "hangs") say({ batch, items: answers });
}
