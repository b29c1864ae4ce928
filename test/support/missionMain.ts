/** A node of a mission as a process of its own, for tests: `node missionMain.ts PLAN.json`. It kills itself at the point its plan names. */
import { appendFileSync, readFileSync, writeFileSync } from "node:fs";
import type { NatsConnection } from "@nats-io/transport-node";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Scope from "effect/Scope";
import { loadSite } from "../../src/config/loadSite.ts";
import { startNode } from "../../src/node.ts";
import type { MissionPlan } from "./missionPlan.ts";
import type { ReadyLine } from "./nodePlan.ts";

const plan = JSON.parse(readFileSync(process.argv[2] ?? "", "utf8")) as MissionPlan;
writeFileSync(plan.pidFile, String(process.pid));

interface RunSaid {
  readonly state?: string;
  readonly generation?: number;
  readonly body?: { readonly started?: object | null; readonly outputs?: object | null };
}

/**
 * Every step is told by what the node is about to publish: it dies instead. Of `settled` the acknowledgement behind it never leaves, of
 * `marked` the arrivals.
 */
function dieAt(connection: NatsConnection, killAt: NonNullable<MissionPlan["killAt"]>): void {
  const publish = connection.publish.bind(connection);
  let isMarked = false;
  let isSettled = false;
  let begun = 0;
  const die = (): void => void process.kill(process.pid, "SIGKILL");
  connection.publish = (subject, data, options) => {
    const isRun = subject.startsWith("$KV.ledger.run.");
    const run =
      isRun && data !== undefined ? (JSON.parse(Buffer.from(data as Uint8Array).toString()) as RunSaid) : {};
    const isMark = isRun && (run.body?.outputs ?? null) !== null;
    if (killAt.at === "claimed" && isRun && (run.body?.started ?? null) !== null) die();
    if (killAt.at === "uploaded" && isMark) die();
    if (killAt.at === "marked" && isMarked && subject.startsWith("arrive.")) die();
    if (killAt.at === "settled" && isSettled && subject.startsWith("$JS.ACK.") && data?.length === 0) die();
    if (
      killAt.at === "begin" &&
      isRun &&
      run.state === "ready" &&
      run.generation === 0 &&
      ++begun === killAt.count
    )
      die();
    isMarked ||= isMark;
    isSettled ||= isRun && run.state === "done";
    publish(subject, data, options);
  };
}

async function main(): Promise<void> {
  const scope = Scope.makeUnsafe();
  const end = (code: number): void =>
    void Effect.runPromise(Scope.close(scope, Exit.void)).finally(() => process.exit(code));
  process.once("SIGTERM", () => end(0));
  // Whoever started it holds the other end: a test that dies takes its nodes with it.
  process.stdin.on("end", () => process.exit(3)).resume();
  const roles = plan.roles === null ? {} : { roles: plan.roles };
  const site = await Effect.runPromise(loadSite(plan.site, { node: plan.node, ...roles }));
  const running = await Effect.runPromise(
    Scope.provide(
      startNode({
        site,
        log: (level, message, fields = {}) =>
          appendFileSync(plan.logFile, `${JSON.stringify({ level, message, fields })}\n`),
      }),
      scope,
    ),
  );
  if (plan.killAt !== null) dieAt(running.context.nats.connection, plan.killAt);
  const ready: ReadyLine = { http: running.httpUrl() ?? "", epoch: running.context.epoch };
  process.stdout.write(`${JSON.stringify(ready)}\n`);
  await Effect.runPromise(running.ended);
  end(1);
}

await main().catch((cause: unknown) => {
  appendFileSync(plan.logFile, `${JSON.stringify({ level: "error", message: String(cause) })}\n`);
  process.exit(2);
});
