/** The stage of the demonstration: its site, the embedded server and the first node, up and ready. */
import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import * as Effect from "effect/Effect";
import * as Scope from "effect/Scope";
import type { Site } from "../config/Site.ts";
import { makeLog } from "../log.ts";
import type { RunningNode } from "../node.ts";
import { startNode } from "../node.ts";
import type { DemoParts } from "./demoSite.ts";
import { demoParts, demoSiteFile, firstSite, nearPath } from "./demoSite.ts";
import { openLogFile } from "./logFile.ts";
import { nightBucket } from "./nightPlan.ts";
import type { Line } from "./paint.ts";
import { piece } from "./paint.ts";

export interface Stage {
  /** Path of the site file. */
  readonly file: string;
  readonly site: Site;
  readonly parts: DemoParts;
  readonly running: RunningNode;
  /** Base URL of the first node. */
  readonly httpUrl: string;
  /** Path of the first node's log. */
  readonly log: string;
}

/** Rejects with what to do when it cannot start. The scope's end stops it. */
export async function raiseStage(
  siteFile: string | undefined,
  print: (line: Line) => void,
  scope: Scope.Closeable,
): Promise<Stage> {
  const began = performance.now();
  const file = siteFile === undefined ? await demoSiteFile(process.cwd()) : resolve(siteFile);
  const site = await firstSite(file);
  const parts = demoParts(site);
  for (const bucket of [nightBucket, ...parts.products.buckets]) {
    await mkdir(join(parts.root, bucket), { recursive: true });
  }
  const folder = nearPath(process.cwd(), site.dataDir);
  print([piece("Orrery", "title"), piece(`  site ${site.name}, everything under ${folder}`)]);
  const logFile = openLogFile(site.dataDir, site.node);
  await Effect.runPromise(Scope.addFinalizer(scope, Effect.sync(logFile.close)));
  const log = makeLog(site.log, { site: site.name, node: site.node }, logFile.write);
  const say = (line: string): void => print([piece(line, "dim")]);
  const running = await Effect.runPromise(Scope.provide(startNode({ site, log, say }), scope));
  const httpUrl = running.httpUrl();
  if (httpUrl === null) throw new Error(`the node started without HTTP; its log: ${logFile.path}`);
  const seconds = ((performance.now() - began) / 1_000).toFixed(1);
  print([
    piece(`  ${site.node} is up at ${httpUrl} after ${seconds} s, nats-server at ${running.natsUrl}`, "dim"),
  ]);
  return { file, site, parts, running, httpUrl, log: logFile.path };
}

/** Rejects when the node had to stop by itself, or has been stopped. */
export function fallOf(running: RunningNode): Promise<never> {
  const fallen = Effect.runPromise(
    Effect.andThen(running.ended, Effect.fail(new Error("the node has stopped"))),
  );
  // Whoever waits for it hears of it; where nobody does, its end is the demonstration's own.
  fallen.catch(() => undefined);
  return fallen;
}
