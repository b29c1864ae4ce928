/** The site of a mission that is played: its parts, the days, and its node, up and ready. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as Effect from "effect/Effect";
import * as Scope from "effect/Scope";
import type { JobDriver } from "../config/JobCatalogue.ts";
import type { Site } from "../config/Site.ts";
import type { Instant } from "../jobs/instant.ts";
import { dayOf, dayUs, startOfDay } from "../jobs/instant.ts";
import { makeLog } from "../log.ts";
import type { RunningNode } from "../node.ts";
import { startNode } from "../node.ts";
import { freePortFrom, nearPath } from "./demoSite.ts";
import { openLogFile } from "./logFile.ts";
import type { MissionParts } from "./missionParts.ts";
import type { Line } from "./paint.ts";
import { piece } from "./paint.ts";

export interface MissionStage {
  readonly site: Site;
  readonly parts: MissionParts;
  readonly days: ReadonlyArray<Instant>;
  readonly running: RunningNode;
  readonly httpUrl: string | null;
  readonly log: string;
}

/**
 * The days that are played: the last full ones, and for good those that this site was first played with. Recent ones, since what runs by
 * the clock has a partition for each day from the first of them on.
 */
async function playedDays(dataDir: string, count: number, now: number): Promise<ReadonlyArray<Instant>> {
  const file = join(dataDir, "play.json");
  try {
    const { days } = JSON.parse(await readFile(file, "utf8")) as { readonly days: ReadonlyArray<string> };
    return days.flatMap((day) => startOfDay(day) ?? []);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "ENOENT") throw cause;
  }
  const today = Math.floor((now * 1_000) / dayUs) * dayUs;
  const days = Array.from({ length: count }, (_, i) => today - (count - i) * dayUs);
  await mkdir(dataDir, { recursive: true });
  await writeFile(file, `${JSON.stringify({ days: days.map(dayOf) })}\n`);
  return days;
}

/** As the play uses it: programs start from code that is compiled once, which takes half of their time. */
function played(site: Site, parts: MissionParts, days: ReadonlyArray<Instant>): Site {
  const cache = join(site.dataDir, "compiled");
  const drivers = new Map(
    [...parts.catalogue.drivers].map(([name, driver]): [string, JobDriver] => [
      name,
      driver.type === "process" ? { ...driver, env: { NODE_COMPILE_CACHE: cache, ...driver.env } } : driver,
    ]),
  );
  return { ...site, missionStart: days[0] ?? null, catalogue: { ...parts.catalogue, drivers } };
}

/** Rejects with what to do when it cannot start. The scope's end stops it. */
export async function raiseMission(
  given: Site,
  parts: MissionParts,
  count: number,
  print: (line: Line) => void,
  scope: Scope.Closeable,
): Promise<MissionStage> {
  const began = performance.now();
  const days = await playedDays(given.dataDir, count, Date.now());
  const port = await freePortFrom(given.http.host, given.http.port);
  const site = played({ ...given, http: { ...given.http, port } }, parts, days);
  print([
    piece("Orrery", "title"),
    piece(
      `  site ${site.name}, ${parts.catalogue.jobs.size} jobs, everything under ${nearPath(process.cwd(), site.dataDir)}`,
    ),
  ]);
  await mkdir(parts.delivered, { recursive: true });
  for (const bucket of parts.lane.buckets) await mkdir(join(parts.root, bucket), { recursive: true });
  const logFile = openLogFile(site.dataDir, site.node);
  await Effect.runPromise(Scope.addFinalizer(scope, Effect.sync(logFile.close)));
  const running = await Effect.runPromise(
    Scope.provide(
      startNode({
        site,
        log: makeLog(site.log, { site: site.name, node: site.node }, logFile.write),
        say: (line) => print([piece(line, "dim")]),
      }),
      scope,
    ),
  );
  const seconds = ((performance.now() - began) / 1_000).toFixed(1);
  const httpUrl = running.httpUrl();
  print([
    piece(`  ${site.node} is up at ${httpUrl} after ${seconds} s, nats-server at ${running.natsUrl}`, "dim"),
  ]);
  return { site, parts, days, running, httpUrl, log: logFile.path };
}
