/**
 * The demonstration's second node, as a process of its own: the one that is killed on the way.
 *
 *   node secondNode.ts '{"site":…,"server":…,"dataDir":…}'
 *
 * Tells its parent over IPC when it is ready, and ends when its parent is gone.
 */
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Scope from "effect/Scope";
import { makeLog } from "../log.ts";
import { startNode } from "../node.ts";
import { secondName, secondSite } from "./demoSite.ts";
import { openLogFile } from "./logFile.ts";

export interface SecondNodeSettings {
  /** Path of the site file. */
  readonly site: string;
  /** URL of the first node's nats-server. */
  readonly server: string;
}

/** What it tells its parent. */
export type SecondNodeNews =
  | { readonly type: "ready"; readonly http: string | null }
  | { readonly type: "failed"; readonly reason: string };

const tell = (news: SecondNodeNews): void => void process.send?.(news);
const words = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause));

async function main(): Promise<void> {
  const settings = JSON.parse(process.argv[2] ?? "{}") as SecondNodeSettings;
  // A ^C at the terminal reaches both processes: the parent decides when this one ends.
  process.on("SIGINT", () => undefined);
  const scope = Scope.makeUnsafe();
  let ending: Promise<never> | null = null;
  const end = (code: number): Promise<never> => {
    ending ??= Effect.runPromise(Scope.close(scope, Exit.void)).then(() => process.exit(code));
    return ending;
  };
  process.once("SIGTERM", () => void end(0));
  process.once("disconnect", () => void end(0));
  try {
    const site = await secondSite(settings.site, settings.server);
    const file = openLogFile(site.dataDir, secondName);
    const log = makeLog(site.log, { site: site.name, node: site.node }, file.write);
    const running = await Effect.runPromise(Scope.provide(startNode({ site, log }), scope));
    tell({ type: "ready", http: running.httpUrl() });
    await Effect.runPromise(running.ended);
  } catch (cause) {
    tell({ type: "failed", reason: words(cause) });
    await end(1);
  }
  await end(0);
}

await main();
