/** What operators are told around their orders, and of what came and counts for nothing, on a whole node. */
import { describe, expect, it } from "vitest";
import { missionPerTest, orrery, reaches } from "../support/missionTests.ts";
import { until } from "../support/testSite.ts";

const start = missionPerTest();

const l1a = "swe/l1a/all";
const swe = [l1a, "swe/l1b/sci"];
const kernels = ["naif0012.tls", "imap_sclk_0183.tsc"];
const lut = "imap_swe_esa-lut_20250101_v001.csv";
const raw = (day: string): string => `imap_swe_l0_raw_${day}_v001.pkts`;

describe("orders", () => {
  it("say what else holds the partition, and what a force waits for all the same", async () => {
    const of = await start({ jobs: swe });
    await of.send([...kernels, raw("20260310")]);
    await reaches(of, l1a, "20260310", "done");

    await orrery(of, "hold", l1a, "--note", "new tables");
    await orrery(of, "hold", l1a, "20260311");
    const one = await orrery(of, "release", l1a, "20260310");
    expect(one.stdout).toMatch(
      /released\nThe whole job is still held, by .* \(new tables\): orrery release swe\/l1a\/all\n$/,
    );
    const retry = await orrery(of, "retry", l1a, "20260310");
    expect(retry.stdout).toContain("The whole job is still held");
    const all = await orrery(of, "release", l1a);
    expect(all.stdout).toContain("Held by themselves: 20260311: orrery release swe/l1a/all PARTITION");
    expect((await orrery(of, "release", l1a, "20260311")).stdout).toMatch(/released\n$/);

    const force = await orrery(of, "force", l1a, "20260320");
    expect(force.stdout).toContain("Not all of its inputs are there: swe/l0/raw: none for 20260320");
    expect(force.stdout).toContain("orrery release swe/l1a/all 20260320 --asked takes this back");
    await reaches(of, l1a, "20260320", "blocked");
    const back = await orrery(of, "release", l1a, "20260320", "--asked");
    expect(back.stdout).toContain("what was asked of it is taken back");
    // Nothing of that day has come, so there is no such partition any more.
    await until(
      () => orrery(of, "why", l1a, "20260320"),
      ({ exit, stdout }) => exit === 3 && !stdout.includes("not begun yet"),
    );
    const { stdout: left } = await orrery(of, "jobs", "ls", "--job", l1a, "--json");
    expect(JSON.parse(left)).toMatchObject({ total: 1, partitions: [{ partition: "20260310" }] });
    expect((await orrery(of, "release", l1a, "20260320", "--asked")).exit).toBe(3);
    await reaches(of, l1a, "20260310", "done");
    // One that was answered is not told of as if it were to come.
    await until(
      () => orrery(of, "why", l1a, "20260310"),
      ({ stdout }) => stdout.includes("version 2, done") && !stdout.includes("not begun yet"),
    );
    expect((await orrery(of, "why", l1a, "20260310")).stdout).toMatch(
      /version 2, done.*, asked for by operator /,
    );
    expect((await orrery(of, "release", l1a, "20260325", "--asked")).exit).toBe(3);
    expect((await orrery(of, "release", l1a, "--asked")).exit).toBe(2);
  });
});

describe("orrery why JOB", () => {
  it("lists its partitions in words, those first that somebody should look after", async () => {
    const of = await start({ jobs: swe, env: { STAND_IN_OMIT: "20260311" } });
    await of.send([...kernels, raw("20260310"), raw("20260311"), raw("20260312")]);
    await reaches(of, l1a, "20260311", "failed");
    await reaches(of, l1a, "20260312", "done");
    await reaches(of, "swe/l1b/sci", "20260312", "blocked");
    const job = await until(
      () => orrery(of, "why", "swe l1a all"),
      ({ stdout }) => stdout.includes("2 made"),
    );
    expect(job.stdout).toMatch(/3 partitions: 1 failed, 2 made\n/);
    expect(
      job.stdout
        .split("\n")
        .slice(4, 7)
        .map((line) => line.split(/\s{2,}/).slice(0, 2)),
    ).toEqual([
      ["20260311", "failed"],
      ["20260310", "made"],
      ["20260312", "made"],
    ]);
    const told = await orrery(of, "why", "swe/l1b/sci", "--json");
    expect(JSON.parse(told.stdout)).toMatchObject({ job: "swe/l1b/sci", counts: { blocked: 2 } });
    const none = await orrery(of, "why", "swe/l9/sci");
    expect(none.exit).toBe(3);
  });
});

describe("a run that was given up on", () => {
  it("leaves the list of what is parked when its partition is made anew, with its history kept", async () => {
    const of = await start({ jobs: [l1a], env: { STAND_IN_OMIT: "_v001.0001" } });
    await of.send([...kernels, raw("20260310")]);
    await reaches(of, l1a, "20260310", "failed");
    const parked = async () => {
      const ls = await orrery(of, "parked", "ls", "--json");
      return (JSON.parse(ls.stdout) as ReadonlyArray<{ readonly reason: string }>).map(
        ({ reason }) => reason,
      );
    };
    expect(await parked()).toEqual(["OutputMissing"]);
    await orrery(of, "retry", l1a, "20260310");
    await reaches(of, l1a, "20260310", "done");
    await until(parked, (reasons) => reasons.length === 0);
    const runs = await of.runs();
    const old = runs.find(({ state }) => state === "parked");
    const made = runs.find(({ state }) => state === "done");
    expect(old?.errors.map(({ reason }) => reason)).toEqual(["OutputMissing"]);
    expect(old?.history.at(-1)).toMatchObject({ event: "discarded" });
    expect(old?.history.at(-1)?.detail).toContain(made?.body.hash ?? "no run is done");
    // Nothing of it is decided by that: the partition stays made, by the later run.
    expect((await of.job(l1a, "20260310"))?.inputs).toBe(made?.body.hash);
    const why = await orrery(of, "why", old?.body.hash ?? "");
    expect(why.stdout).toContain("made since by");
  });
});

describe("a file that counts for nothing", () => {
  it("is said to be taken by no job, and status counts such", async () => {
    const of = await start({ jobs: swe });
    const typo = "imap_swe_esa-lute_20250101_v001.csv";
    await of.send([...kernels, lut, typo]);
    const words = "no job takes it (nearest: swe/ancillary/esa-lut)";
    const why = await until(
      () => orrery(of, "why", typo),
      ({ stdout }) => stdout.includes("It is known"),
    );
    expect(why.stdout).toContain(`Nothing: ${words}.`);
    expect((await orrery(of, "file", "get", typo)).stdout).toContain(words);
    expect((await orrery(of, "why", lut)).stdout).toContain("taken by swe/l1b/sci");
    const status = await until(
      () => orrery(of, "status"),
      ({ stdout }) => stdout.includes("no job takes"),
    );
    expect(status.stdout).toContain(
      `no job takes 1 known file: swe/ancillary/esa-lute (1, as ${typo}; nearest: swe/ancillary/esa-lut)`,
    );
  });

  it("is told of where it was withdrawn and something waits for it", async () => {
    const of = await start({ jobs: swe });
    await of.send([...kernels, lut]);
    await until(
      () => orrery(of, "file", "get", lut),
      ({ stdout }) => stdout.includes("known"),
    );
    await orrery(of, "withdraw", lut, "--yes", "--note", "wrong units");
    await of.send([raw("20260310")]);
    await reaches(of, "swe/l1b/sci", "20260310", "blocked");
    const why = await orrery(of, "why", "swe/l1b/sci", "20260310");
    expect(why.stdout).toContain(`${lut} came and was withdrawn`);
    expect(why.stdout).toContain("orrery parked replay 'file.imap.");
    expect(why.stdout).not.toContain("has ever arrived");
    expect(why.stdout).not.toContain("orrery force");
  });
});
