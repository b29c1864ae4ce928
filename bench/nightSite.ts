/** The site of the night: config/rubin.yaml itself, with only what belongs to a machine replaced. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as YAML from "yaml";

export const secret = "the-night's-secret";
export const nightLane = "lsstcam";

export interface NightSite {
  readonly natsUrl: string;
  readonly dataDir: string;
  /** Where the files lie; null: identity and group come from the key, and nothing is read. */
  readonly files: string | null;
}

type Section = Record<string, unknown>;

/** Without a header nobody says which group an exposure is of: then it is one by itself, as the observatory has it too. */
const keyPattern =
  "^(?<instrument>[^/]+)/(?<day>\\d{8})/(?<exposure>(?<group>[^/]+_(?<seq>\\d+)))/[^/]+_(?<detector>R\\d\\d_S[\\dGW]\\d)(?:_guider)?\\.fits$";

/** @returns JSON, which is YAML */
export function nightSite({ natsUrl, dataDir, files }: NightSite): string {
  const file = join(import.meta.dirname, "..", "config", "rubin.yaml");
  const site = YAML.parse(readFileSync(file, "utf8"), { merge: true }) as Section;
  const lanes = site["lanes"] as Record<string, Section>;
  const store = { embargo: { driver: "file", root: files ?? join(dataDir, "files") } };
  const lane = lanes[nightLane] ?? {};
  return JSON.stringify({
    ...site,
    dataDir,
    nats: { mode: "external", servers: [natsUrl] },
    http: { host: "127.0.0.1", port: 0 },
    log: { level: process.env["ORRERY_BENCH_LOG"] ?? "error", format: "pretty" },
    storage: store,
    enqueuer: { ...(site["enqueuer"] as Section), secret: "env:NOTIFICATION_SECRET" },
    lanes:
      files === null ? { ...lanes, [nightLane]: { ...lane, metadata: "key", pattern: keyPattern } } : lanes,
  });
}
