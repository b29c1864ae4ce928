/** A node as a process of its own, for tests: `node nodeMain.ts PLAN.json`. SIGTERM drains it and ends it with 0. */
import { appendFileSync, readFileSync } from "node:fs";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Scope from "effect/Scope";
import type { Log } from "../../src/actors/NodeContext.ts";
import { loadSite } from "../../src/config/loadSite.ts";
import type { IngestDriver, IngestItem, IngestResult, OpenDriver } from "../../src/drivers/Driver.ts";
import { startNode } from "../../src/node.ts";
import type { IngestNote, LogNote, NodePlan, ReadyLine } from "./nodePlan.ts";

const plan = JSON.parse(readFileSync(process.argv[2] ?? "", "utf8")) as NodePlan;

const log: Log = (level, message, fields = {}) => {
  const note: LogNote = { at: Date.now(), pid: process.pid, level, message, fields };
  appendFileSync(plan.logFile, `${JSON.stringify(note)}\n`);
};

function note(what: IngestNote["what"], items: ReadonlyArray<IngestItem>): void {
  const entry: IngestNote = {
    what,
    node: plan.node,
    pid: process.pid,
    at: Date.now(),
    items: items.map(({ record, etag }) => ({ record, etag })),
  };
  // Written at once: what a killed process has done must be known.
  appendFileSync(plan.ingestFile, `${JSON.stringify(entry)}\n`);
}

const failedOnce = new Set<string>();

function answer(item: IngestItem): IngestResult {
  if (item.key.includes("bad")) return { status: "permanent", reason: "Bad", detail: "its name says so" };
  if (item.key.includes("flaky") && !failedOnce.has(item.record)) {
    failedOnce.add(item.record);
    return { status: "retry", reason: "Flaky", detail: "the first try of a process fails" };
  }
  return { status: "ingested" };
}

const watched = (inner: IngestDriver): IngestDriver => ({
  name: inner.name,
  ingest: (items) =>
    Effect.gen(function* () {
      note("begin", items);
      const { killOn } = plan;
      if (killOn !== null && items.some((item) => item.key.includes(killOn)))
        process.kill(process.pid, "SIGKILL");
      if (plan.delayMs > 0) yield* Effect.sleep(plan.delayMs);
      const results = yield* inner.ingest(items);
      if (inner.name !== "native") {
        const good = items.filter((_, i) => /^(?:ingested|duplicate)$/.test(results[i]?.status ?? ""));
        note("end", good);
        return results;
      }
      note("end", items);
      return items.map(answer);
    }),
});

const aroundDriver = (_lane: unknown, open: OpenDriver): OpenDriver => Effect.map(open, watched);

async function main(): Promise<void> {
  const scope = Scope.makeUnsafe();
  const end = (code: number): void =>
    void Effect.runPromise(Scope.close(scope, Exit.void)).finally(() => process.exit(code));
  process.once("SIGTERM", () => end(0));
  // Whoever started it holds the other end: a test that dies takes its nodes with it.
  process.stdin.on("end", () => process.exit(3)).resume();
  const site = await Effect.runPromise(loadSite(plan.site, { node: plan.node }));
  const running = await Effect.runPromise(Scope.provide(startNode({ site, log, aroundDriver }), scope));
  const ready: ReadyLine = { http: running.httpUrl() ?? "", epoch: running.context.epoch };
  process.stdout.write(`${JSON.stringify(ready)}\n`);
  await Effect.runPromise(running.ended).catch((cause: unknown) =>
    log("error", `the node ended: ${String(cause)}`),
  );
  end(1);
}

await main().catch((cause: unknown) => {
  log("error", `the node did not start: ${String(cause)}`);
  process.exit(2);
});
