/** The demonstration's site file, as each of its two nodes uses it. */
import { copyFile, mkdir } from "node:fs/promises";
import { createServer } from "node:net";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import * as Effect from "effect/Effect";
import { loadSite } from "../config/loadSite.ts";
import type { JobSettings, Lane, Site } from "../config/Site.ts";

export const firstName = "demo-1";
export const secondName = "demo-2";

/** ".ts" in the checkout, ".js" in the package. */
export const ext = import.meta.url.endsWith(".ts") ? ".ts" : ".js";
const packaged = fileURLToPath(new URL("../../config/demo.yaml", import.meta.url));

/**
 * The site file to play. In the checkout it is used as it is. An installed package keeps nothing beside itself: there it
 * is copied to `.orrery/demo.yaml` where the user is, and its relative paths lead into that `.orrery`.
 */
export async function demoSiteFile(cwd: string): Promise<string> {
  if (ext === ".ts") return packaged;
  const copy = join(cwd, ".orrery", "demo.yaml");
  await mkdir(dirname(copy), { recursive: true });
  await copyFile(packaged, copy);
  return copy;
}

/** As the user would write the path. */
export function nearPath(cwd: string, path: string): string {
  const near = relative(cwd, path);
  return near.startsWith("..") ? path : near;
}

export interface DemoParts {
  readonly lane: Lane;
  readonly products: Lane;
  readonly job: JobSettings;
  /** Directory whose directories are the buckets. */
  readonly root: string;
  /** Detectors that the quick-look needs. */
  readonly needed: ReadonlyArray<string>;
}

/** Whether a site has what a night is played on. */
export const isNightSite = ({ lanes, jobs }: Site): boolean =>
  lanes.has("demo") && lanes.has("products") && jobs.has("quicklook");

/** What the night is played on. Throws for a site that has no such parts. */
export function demoParts(site: Site): DemoParts {
  const lane = site.lanes.get("demo");
  const products = site.lanes.get("products");
  const job = site.jobs.get("quicklook");
  const storage = lane?.storage == null ? undefined : site.storage.get(lane.storage);
  if (lane === undefined || products === undefined || job === undefined || storage?.driver !== "file") {
    throw new Error(
      "the demonstration needs a site with lanes demo (on a file storage) and products and the job quicklook: see config/demo.yaml",
    );
  }
  return { lane, products, job, root: storage.root, needed: job.inputs[0]?.detectors ?? [] };
}

/** Items of one claim of the first node: small, so that there is something left for the second. */
const firstBatch = 12;
/** The second node reads one header after another, as over a slow link: it has its batch in hand for a while. */
const secondBatch = 60;

const withLane = (site: Site, change: Partial<Lane>): Site["lanes"] =>
  new Map([...site.lanes].map(([name, lane]) => [name, name === "demo" ? { ...lane, ...change } : lane]));

/** The first node: the embedded server, and every actor. */
export async function firstSite(file: string): Promise<Site> {
  const site = await Effect.runPromise(loadSite(file, { node: firstName }));
  const port = await freePortFrom(site.http.host, site.http.port);
  return { ...site, http: { ...site.http, port }, lanes: withLane(site, { batchMax: firstBatch }) };
}

/** The second node, on the server of the first: one more ingester, and presence. */
export async function secondSite(file: string, server: string): Promise<Site> {
  const site = await Effect.runPromise(loadSite(file, { node: secondName }));
  return {
    ...site,
    roles: new Set(["ingester", "presence"]),
    nats: { ...site.nats, mode: "external", servers: [server] },
    http: { ...site.http, port: 0 },
    lanes: withLane(site, { batchMax: secondBatch, readsMax: 1 }),
  };
}

const portsTried = 50;

/** The port, or the first free one after it; 0 when none of them is. */
export async function freePortFrom(host: string, port: number): Promise<number> {
  if (port === 0) return 0;
  for (let candidate = port; candidate < Math.min(port + portsTried, 65_536); candidate++) {
    if (await isFree(host, candidate)) return candidate;
  }
  return 0;
}

function isFree(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, host, () => server.close(() => resolve(true)));
  });
}
