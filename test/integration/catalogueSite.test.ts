/** Jobs of a mission on a whole node: files in by the webhook, runs by the stand-in processor, products back as files. */
import { describe, expect, it } from "vitest";
import type { Mission } from "../support/missionSite.ts";
import { missionPerTest, orrery } from "../support/missionTests.ts";
import { partitionName } from "../../src/protocol/runs.ts";
import { until } from "../support/testSite.ts";

const start = missionPerTest();

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

/** Two levels of one instrument, with what they need for any day. */
const twoLevels = ["swe/l1a/all", "swe/l1b/sci"];
const constants = [
  "naif0012.tls",
  "imap_sclk_0183.tsc",
  "imap_swe_l1b-in-flight-cal_20250101_v001.csv",
  "imap_swe_esa-lut_20250101_v001.csv",
  "imap_swe_eu-conversion_20250101_v001.csv",
];
const raw = (day: string): string => `imap_swe_l0_raw_${day}_v001.pkts`;

const allDone = (of: Mission, count: number) =>
  until(of.jobs, (jobs) => jobs.length === count && jobs.every((job) => job.state === "done"));

describe("reprocessing", () => {
  it("tells its plan, makes each partition anew once, and what is made of it of the new ones", async () => {
    const of = await start({ jobs: twoLevels });
    const days = ["20260310", "20260311", "20260312"];
    await of.send([...constants, ...days.map(raw)]);
    await allDone(of, 6);

    const days2 = ["--from", "20260310", "--to", "20260311"];
    const planned = await orrery(of, "reprocess", "swe/l1a/all", ...days2, "--downstream");
    expect(planned, planned.stderr).toMatchObject({ exit: 0 });
    expect(planned.stdout).toContain("4 runs");
    expect(planned.stderr).toContain("--yes");
    expect((await of.runs()).length).toBe(6);

    const begun = await orrery(of, "reprocess", "swe/l1a/all", ...days2, "--downstream", "--yes", "--watch");
    expect(begun.stderr).toBe("");
    expect(begun.exit).toBe(0);
    expect(begun.stdout).toContain("4 of 4 made anew, 0 failed, 0 to come");

    const runs = await of.runs();
    expect(runs.length).toBe(10);
    const anew = runs.filter(({ body }) => body.plan?.again !== undefined);
    expect(anew.map(({ body }) => `${body.job} ${partitionName(body.partition)}`).toSorted()).toEqual([
      "swe/l1a/all 20260310",
      "swe/l1a/all 20260311",
      "swe/l1b/sci 20260310",
      "swe/l1b/sci 20260311",
    ]);
    for (const { body } of anew) {
      expect(body.plan).toMatchObject({ minor: 2, origin: "reprocessing" });
      if (body.job !== "swe/l1b/sci") continue;
      const taken = body.inputs.map(({ name }) => name).filter((name) => name?.includes("l1a_sci"));
      expect(taken).toEqual([`imap_swe_l1a_sci_${partitionName(body.partition)}_v001.0002.cdf`]);
    }
    const listed = await orrery(of, "reprocessing", "ls", "--json");
    expect(JSON.parse(listed.stdout)).toMatchObject([{ partitions: 4, state: "over", jobs: twoLevels }]);
  });

  it("begins nothing more while it is paused, goes on, and ends when it is cancelled", async () => {
    const of = await start({ jobs: twoLevels, env: { STAND_IN_SLEEP_MS: "200" } });
    const days = Array.from({ length: 9 }, (_, i) => `202603${String(i + 10)}`);
    await of.send([...constants, ...days.map(raw)]);
    await allDone(of, 18);
    const span = ["--from", "20260310", "--to", "20260318"];
    const begun = await orrery(of, "reprocess", "swe/l1a/all", ...span, "--downstream", "--yes", "--json");
    const { id } = JSON.parse(begun.stdout) as { readonly id: string };
    await until(of.runs, (runs) => runs.length > 19);
    expect((await orrery(of, "reprocessing", "pause", id)).exit).toBe(0);
    const isStill = (jobs: Awaited<ReturnType<Mission["jobs"]>>) =>
      jobs.every(({ state }) => state === "done");
    await until(of.jobs, isStill);
    const paused = (await of.runs()).length;
    expect(paused).toBeLessThan(36);
    // What is live goes on meanwhile.
    await of.send([raw("20260325")]);
    await allDone(of, 20);
    expect((await of.runs()).length).toBe(paused + 2);

    expect((await orrery(of, "reprocessing", "resume", id)).exit).toBe(0);
    const watched = await orrery(of, "reprocessing", "show", id, "--watch");
    expect(watched.stdout).toContain("18 of 18 made anew, 0 failed, 0 to come");

    const second = await orrery(of, "reprocess", "swe/l1a/all", ...span, "--downstream", "--yes", "--json");
    const other = JSON.parse(second.stdout) as { readonly id: string };
    expect((await orrery(of, "reprocessing", "cancel", other.id, "--note", "enough")).exit).toBe(0);
    await until(of.jobs, isStill);
    const anew = (await of.runs()).filter(({ body }) => body.plan?.again === other.id);
    expect(anew.length).toBeLessThan(18);
    expect((await orrery(of, "reprocessing", "resume", other.id)).exit).toBe(3);
  });
});

describe("an operator", () => {
  it("holds a partition, releases it, forces another past a hold, and has one made anew", async () => {
    const of = await start({ jobs: twoLevels });
    expect((await orrery(of, "hold", "swe/l1a/all", "2026-03-10", "--note", "bad pass")).exit).toBe(0);
    await of.send([...constants, raw("20260310"), raw("20260311")]);
    const held = await until(
      () => of.job("swe/l1a/all", "20260310"),
      (job) => job !== null,
    );
    expect(held).toMatchObject({ state: "blocked", blockedOn: ["held by an operator"] });
    await until(
      () => of.job("swe/l1b/sci", "20260311"),
      (job) => job?.state === "done",
    );
    expect((await of.job("swe/l1a/all", "20260310"))?.state).toBe("blocked");
    expect((await orrery(of, "force", "swe/l1a/all", "20260310")).exit).toBe(0);
    await until(
      () => of.job("swe/l1b/sci", "20260310"),
      (job) => job?.state === "done",
    );
    expect((await orrery(of, "release", "swe/l1a/all", "20260310")).exit).toBe(0);
    expect((await orrery(of, "retry", "swe/l1b/sci", "20260311")).exit).toBe(0);
    await until(of.runs, (runs) => runs.some(({ body }) => body.plan?.minor === 2));
    await allDone(of, 4);
    expect((await of.runs()).length).toBe(5);

    const unknown = await orrery(of, "hold", "swe/l1a/al", "20260310");
    expect(unknown.exit).toBe(2);
    expect(unknown.stderr).toContain("swe/l1a/all");
    expect((await orrery(of, "hold", "swe/l1a/all", "repoint00012")).exit).toBe(2);
  });
});
