/** Jobs of a mission on a whole node: files in by the webhook, runs by the stand-in processor, products back as files. */
import { afterEach, describe, expect, it } from "vitest";
import type { Mission, MissionOptions } from "../support/missionSite.ts";
import { startMission } from "../support/missionSite.ts";
import { until } from "../support/testSite.ts";

let mission: Mission | null = null;
const start = async (options: MissionOptions): Promise<Mission> => {
  mission = await startMission(options);
  return mission;
};

afterEach(async () => {
  await mission?.stop();
  mission = null;
});

describe("a mission's jobs", () => {
  it("run one after the other as their inputs come, and what lacks is named", async () => {
    const of = await start({ jobs: ["swe/l1a/all", "swe/l1b/sci", "swe/l2/sci", "swe/l3/sci"] });
    await of.send([
      "naif0012.tls",
      "imap_sclk_0183.tsc",
      "imap_swe_l1b-in-flight-cal_20250101_v001.csv",
      "imap_swe_esa-lut_20250101_v001.csv",
      "imap_swe_eu-conversion_20250101_v001.csv",
      { name: "imap_2026_069_2026_070_01.spin.csv", range: ["2026-03-10T00:00:00", "2026-03-11T00:00:00"] },
      "imap_swe_l0_raw_20260310_v001.pkts",
    ]);
    const l2 = await until(
      () => of.job("swe/l2/sci", "20260310"),
      (job) => job?.state === "done",
    );
    expect(l2?.state).toBe("done");
    const l3 = await until(
      () => of.job("swe/l3/sci", "20260310"),
      (job) => job !== null,
    );
    expect(l3).toMatchObject({ state: "blocked" });
    expect(l3?.blockedOn).toContain("swe/ancillary/config: none covers 2026-03-10");
    const asked = { jobs: ["swe/l1a/all"], from: "20260301", to: "20260331", downstream: true };
    const answer = await of.site.node.context.nats.connection.request(
      "orrery.jobs.redo",
      JSON.stringify(asked),
    );
    expect(answer.json()).toMatchObject({
      partitions: 3,
      jobs: [
        { job: "swe/l1a/all", partitions: 1, made: 1, outputs: 3, first: "20260310" },
        { job: "swe/l1b/sci", partitions: 1 },
        { job: "swe/l2/sci", partitions: 1 },
        { job: "swe/l3/sci", partitions: 0, first: null },
      ],
    });
    const runs = await of.runs();
    expect(runs.map(({ body }) => body.job).toSorted()).toEqual(["swe/l1a/all", "swe/l1b/sci", "swe/l2/sci"]);
  });
});
