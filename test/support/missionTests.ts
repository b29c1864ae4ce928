/** What tests on a mission's whole node share: one node for each test, the command at its site, how a partition stands. */
import { join } from "node:path";
import { afterEach } from "vitest";
import type { JobRecord } from "../../src/protocol/jobs.ts";
import type { CliResult } from "./cli.ts";
import { runCli } from "./cli.ts";
import type { Mission, MissionOptions } from "./missionSite.ts";
import { startMission } from "./missionSite.ts";
import { until } from "./testSite.ts";

/** For each test of a file one mission at the most: it is stopped when the test is over, however that ends. */
export function missionPerTest(): (options: MissionOptions) => Promise<Mission> {
  let mission: Mission | null = null;
  afterEach(async () => {
    await mission?.stop();
    mission = null;
  });
  return async (options) => {
    mission = await startMission(options);
    return mission;
  };
}

/** The command, at the mission's site. */
export const orrery = (of: Mission, ...argv: ReadonlyArray<string>): Promise<CliResult> =>
  runCli([...argv, "--site", join(of.files.folder, "site.yaml")], {});

/** Waits until the partition stands so. */
export const reaches = (
  of: Mission,
  job: string,
  partition: string,
  state: string,
): Promise<JobRecord | null> =>
  until(
    () => of.job(job, partition),
    (one) => one?.state === state,
  );
