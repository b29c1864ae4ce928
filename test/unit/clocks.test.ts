/**
 * Where the program asks the local clock. What nodes have to agree on is told by the site's clock (`nats.now()`, src/jetstream/SiteClock.ts):
 * each use of the local one stands here with the reason why nothing is decided by it, or it is a fault.
 */
import { readFileSync } from "node:fs";
import path from "node:path";
import { expect, it } from "vitest";
import { readSources } from "./imports.ts";

const root = path.resolve(import.meta.dirname, "../..");
const localClock = /\bDate\.now\(\)|\bnew Date\(\)|\bcurrentTimeMillis\b|\btimeOrigin\b/g;

const allowed: Readonly<Record<string, readonly [uses: number, why: string]>> = {
  "src/jetstream/SiteClock.ts": [1, "what the site's clock is until the server has told its own"],
  "src/jetstream/Nats.ts": [3, "since when the link is up or down: shown, by this machine's clock"],
  "src/node/link.ts": [
    2,
    "a part of the epoch's name, which is only compared for being the same; when the node started: shown",
  ],
  "src/node/discovery.ts": [1, "since when an actor runs, shown by `nats service info`"],
  "src/log.ts": [1, "the time of a line of the log"],
  "src/supervisor/child.ts": [
    2,
    "when a child started: shown; restarts are counted by Effect's monotonic clock",
  ],
  "src/supervisor/handle.ts": [1, "when the tree started: shown"],
  "src/actors/RunsInHand.ts": [1, "since when a command runs: shown"],
  "src/actors/troubles.ts": [
    2,
    "since when something is away: shown; what was away how long is by one and the same clock",
  ],
  "src/actors/runner.ts": [2, "from when to when a command ran on this machine: told in its result"],
  "src/drivers/process.ts": [2, "the same"],
  "src/drivers/nomad.ts": [2, "the same"],
  "src/storage/memory.ts": [1, "a test's storage: Effect's clock"],
};

it("is asked nowhere that something is decided by it", () => {
  const sources = readSources(
    root,
    "src/{actors,config,drivers,jetstream,jobs,node,protocol,sites,storage,supervisor}/**/*.ts",
  );
  const found: Record<string, number> = {};
  for (const { file } of [
    ...sources,
    { file: "src/log.ts" },
    { file: "src/node.ts" },
    { file: "src/runNode.ts" },
  ]) {
    const uses = readFileSync(path.join(root, file), "utf8").match(localClock)?.length ?? 0;
    if (uses > 0) found[file] = uses;
  }
  expect(found).toEqual(Object.fromEntries(Object.entries(allowed).map(([file, [uses]]) => [file, uses])));
});
