/** The stage of the demonstration: its site, the embedded server and the first node, up and ready. */
import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
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

/** Between its being found free and its being taken, another process may take the port: then the next one is. */
const startsMax = 5;

/** Rejects with what to do when it cannot start. The scope's end stops it. */
export async function raiseStage(
  siteFile: string | undefined,
  print: (line: Line) => void,
  scope: Scope.Closeable,
): Promise<Stage> {
  const began = performance.now();
  const file = siteFile === undefined ? await demoSiteFile(process.cwd()) : resolve(siteFile);
  const { dataDir, name, node, log } = await firstSite(file);
  print([
    piece("Orrery", "title"),
    piece(`  site ${name}, everything under ${nearPath(process.cwd(), dataDir)}`),
  ]);
  const logFile = openLogFile(dataDir, node);
  await Effect.runPromise(Scope.addFinalizer(scope, Effect.sync(logFile.close)));
  const options = {
    log: makeLog(log, { site: name, node }, logFile.write),
    say: (line: string): void => print([piece(line, "dim")]),
  };
  for (let start = 1; ; start++) {
    const site = await firstSite(file);
    const parts = demoParts(site);
    for (const bucket of [nightBucket, ...parts.products.buckets]) {
      await mkdir(join(parts.root, bucket), { recursive: true });
    }
    const own = Scope.makeUnsafe();
    try {
      const running = await Effect.runPromise(Scope.provide(startNode({ site, ...options }), own));
      await Effect.runPromise(Scope.addFinalizerExit(scope, (exit) => Scope.close(own, exit)));
      const httpUrl = running.httpUrl();
      if (httpUrl === null) throw new Error(`the node started without HTTP; its log: ${logFile.path}`);
      const seconds = ((performance.now() - began) / 1_000).toFixed(1);
      const up = `  ${node} is up at ${httpUrl} after ${seconds} s, nats-server at ${running.natsUrl}`;
      print([piece(up, "dim")]);
      return { file, site, parts, running, httpUrl, log: logFile.path };
    } catch (cause) {
      await Effect.runPromise(Scope.close(own, Exit.void));
      if (start === startsMax || !String(cause).includes("EADDRINUSE")) throw cause;
    }
  }
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
