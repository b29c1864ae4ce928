/**
 * A small night of the observatory through its own site file: real webhooks, interleaved as they come, guiders before and after their
 * exposure, duplicates, lost files, gaps. What `orrery stats` says of it must be right to the unit.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { notification } from "../../bench/cases/notify.ts";
import { post } from "../../bench/http.ts";
import { untilSettled, wrongIn } from "../../bench/nightAccount.ts";
import { writeNight } from "../../bench/nightFiles.ts";
import { groupOf, instrument, planNight } from "../../bench/nightPlan.ts";
import { sendNight } from "../../bench/nightSender.ts";
import { nightSite, secret } from "../../bench/nightSite.ts";
import type { DaySummary } from "../../src/cli/tally.ts";
import { runCli } from "../support/cli.ts";
import type { TestNats } from "../support/nats.ts";
import { startNats } from "../support/nats.ts";
import type { TestSite } from "../support/testSite.ts";
import { ask, keysOf, patienceMs, startSite } from "../support/testSite.ts";

const day = "20251121";
const bucket = "rubinobs-raw-lsstcam";
const env = { NOTIFICATION_SECRET: secret };
const plan = planNight({ exposures: 22, day, seed: 7, lostFiles: true });
const { files, announcements, expected } = plan;

let folder: string;
let server: TestNats;
let site: TestSite | null = null;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "orrery-night-"));
  server = await startNats({ topology: null });
});

afterEach(async () => {
  await site?.stop();
  site = null;
  await server.stop();
  rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
});

const request = (file: number): string =>
  post("/notify", notification(files[file]?.key ?? "", `e${file}`, bucket, secret));

const announce = (of: ReadonlyArray<number>): Promise<number> =>
  sendNight(
    {
      url: site?.url ?? "",
      count: of.length,
      connections: 32,
      request: (n) => request(of[n] ?? 0),
      due: null,
      sentAt: () => undefined,
    },
    () => undefined,
  );

async function stats(): Promise<DaySummary> {
  const { exit, stdout, stderr } = await runCli(
    ["stats", day, "--json", "--site", join(folder, "site.json")],
    { env, cwd: folder },
  );
  expect([exit, stderr]).toEqual([0, ""]);
  const days = JSON.parse(stdout) as ReadonlyArray<DaySummary>;
  expect(days).toHaveLength(1);
  return days[0] as DaySummary;
}

it("is in the statistics to the unit, gaps and missing detectors by name, also after a restart", async () => {
  // Each kind must be there, or the numbers below would say nothing.
  expect(expected).toMatchObject({ exposures: 22, lastSeq: 26, parked: 5 });
  expect(expected.gaps).toEqual([
    { from: 4, to: 4 },
    { from: 12, to: 14 },
  ]);
  expect(expected.duplicates).toBeGreaterThan(15);
  expect(expected.incomplete.map(({ missing }) => missing.length)).toEqual([1, 1, 9, 2]);

  writeNight(join(folder, "files"), bucket, plan);
  const text = nightSite({ natsUrl: server.server.url, dataDir: folder, files: join(folder, "files") });
  await writeFile(join(folder, "site.json"), text);
  site = await startSite(text, { env });
  await announce(announcements.map(({ file }) => file));
  await untilSettled(server.nats, patienceMs);
  expect(wrongIn(await stats(), expected)).toEqual([]);

  const parked = [...(await keysOf(site, "parked.>"))].map(([, { reason }]) => String(reason));
  expect(parked.toSorted((a, b) => a.localeCompare(b))).toEqual([
    "ExposureNeverCame",
    "ExposureNeverCame",
    "ExposureNeverCame",
    "ExposureNeverCame",
    "ObjectMissing",
  ]);
  const present = async (detector: string, seqNum: number): Promise<unknown> => {
    const of = files.find((file) => file.seqNum === seqNum);
    if (of === undefined) throw new Error(`no exposure ${seqNum}`);
    const path = `/presence/${instrument}/${encodeURIComponent(groupOf(of, day))}/${of.snap}/${detector}`;
    return (await ask(site as TestSite, { method: "GET", path })).body;
  };
  expect(await present("R22_S11", 1)).toMatchObject({ present: true });
  expect(await present("R22_S11", 3)).toEqual({ error: false, present: false });

  // Counted on disk: the node's next life goes on from there.
  await site.stop();
  site = await startSite(text, { env });
  await announce([0, 0, 1]);
  const { received, duplicates } = expected;
  expect(wrongIn(await stats(), { ...expected, received: received + 3, duplicates: duplicates + 3 })).toEqual(
    [],
  );
});
