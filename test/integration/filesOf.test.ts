/** Jobs of one site made of files of another, over a supernode: each run once, whatever becomes of the link, the file and the site. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Deployment } from "../support/deployment.ts";
import { JoinedSite } from "../support/joinedMission.ts";
import { startMission } from "../support/missionSite.ts";
import { until } from "../support/testSite.ts";

const deployment = new Deployment();
const summit = new JoinedSite(deployment, "summit", { jobs: ["swe/l1a/all"] });
const base = new JoinedSite(deployment, "base", {
  jobs: ["swe/l1b/sci"],
  filesOf: { summit: summit.store },
});

const constants = ["naif0012.tls", "imap_sclk_0183.tsc"];
const calibration = [
  "imap_swe_l1b-in-flight-cal_20250101_v001.csv",
  "imap_swe_esa-lut_20250101_v001.csv",
  "imap_swe_eu-conversion_20250101_v001.csv",
];
const raw = (day: string): string => `imap_swe_l0_raw_${day}_v001.pkts`;

beforeAll(async () => {
  await deployment.init("hub", "--supernode");
  await deployment.init("summit");
  await deployment.init("base");
  await deployment.join("summit", "hub");
  await deployment.join("base", "hub", "--files-of", "summit");
  await Promise.all(["hub", "summit", "base"].map((name) => deployment.start(name)));
  await until(
    () => deployment.leaves("hub"),
    (leaves) => leaves.length === 2,
  );
  await summit.apply();
  await base.apply();
  const made = await deployment.cli("site", "apply", "--supernode", "hub", "--dir", deployment.folder);
  expect([made.exit, made.stderr]).toEqual([0, ""]);
  expect(made.stdout).toContain("base is sent the files of summit");
  await summit.start("one");
  await base.start("one", "two");
}, 60_000);
afterAll(async () => {
  await base.stop();
  await summit.stop();
  await deployment.end();
});

const isMade = (day: string) =>
  until(
    () => base.job("swe/l1b/sci", day),
    (job) => job?.state === "done",
    30_000,
  );
const runsOf = async (day: string) =>
  (await base.runs()).filter(({ body }) => "name" in body.partition && body.partition.name === day);

/** The one product below a store that has this text in its name. */
function product(store: string, text: string): string {
  const found = readdirSync(store, { recursive: true, encoding: "utf8" }).filter((path) =>
    path.includes(text),
  );
  expect(found.length, text).toBe(1);
  return join(store, found[0] ?? "");
}

describe("a site's jobs", () => {
  it("are made of another site's files, and what they make is the same as where the files are", async () => {
    await summit.send([...constants, ...calibration, raw("20260310")]);
    await isMade("20260310");
    const runs = await runsOf("20260310");
    expect(runs.length).toBe(1);
    expect(new Set(runs.flatMap(({ body }) => body.inputs.map(({ site }) => site)))).toEqual(
      new Set(["summit"]),
    );
    const alone = await startMission({ jobs: ["swe/l1b/sci"] });
    try {
      const l1a = product(summit.store, "l1a_sci_20260310");
      const name = l1a.slice(l1a.lastIndexOf("/") + 1);
      await alone.send([...constants, ...calibration, { name, text: readFileSync(l1a, "utf8") }]);
      await until(
        () => alone.job("swe/l1b/sci", "20260310"),
        (job) => job?.state === "done",
      );
      const here = readFileSync(product(base.store, "l1b_sci_20260310"));
      const there = readFileSync(product(join(alone.files.folder, "store"), "l1b_sci_20260310"));
      expect(here.equals(there)).toBe(true);
    } finally {
      await alone.stop();
    }
  });
});
