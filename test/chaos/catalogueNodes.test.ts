/**
 * Nodes of a mission that die in the middle of it, or whose clocks are wrong: what they leave behind is as if they had not.
 *
 * Runs that are killed are runs of a resolver's own here, with what is made of them; test/chaos/runs.test.ts has the runner by itself.
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";

import { formatInstant, parseInstant } from "../../src/jobs/instant.ts";
import { Schedule } from "../../src/jobs/schedule.ts";
import type { JobRecord } from "../../src/protocol/jobs.ts";
import type { LedgerRecord } from "../../src/protocol/records.ts";
import type { RunBody } from "../../src/protocol/runs.ts";
import { partitionName } from "../../src/protocol/runs.ts";
import { probeJob } from "../support/missionAtRest.ts";
import type { KillPoint } from "../support/missionPlan.ts";
import { killsItsNode, withMission } from "../support/missionNodes.ts";
import { readJobs, readRuns } from "../support/missionSite.ts";
import type { NodeProcess } from "../support/nodeProcess.ts";
import { until } from "../support/testSite.ts";

const constants = [
  "imap_sclk_0183.tsc",
  "imap_swe_l1b-in-flight-cal_20250101_v001.csv",
  "imap_swe_esa-lut_20250101_v001.csv",
  "imap_swe_eu-conversion_20250101_v001.csv",
];
const leapseconds = "naif0012.tls";
const raw = (day: string): string => `imap_swe_l0_raw_${day}_v001.pkts`;
const daysFrom = (count: number): ReadonlyArray<string> =>
  Array.from({ length: count }, (_, i) =>
    new Date(Date.UTC(2026, 2, 1 + i)).toISOString().slice(0, 10).replaceAll("-", ""),
  );

/** Files under the bucket's folder, by their names. */
function filesIn(folder: string): ReadonlyMap<string, string> {
  const all = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((one) => one.isFile());
  return new Map(all.map((one) => [basename(one.name), join(one.parentPath, one.name)]));
}

const wordsOf = ({ state, body }: LedgerRecord<RunBody>): string =>
  `${partitionName(body.partition)} ${state} ${body.plan?.minor}`;

interface Product {
  readonly inputs: ReadonlyArray<{ readonly name: string; readonly sha256: string }>;
}

describe("nodes that are killed -9 at each step of a run", () => {
  it("leave one good version of each, and of what is made of it", async () => {
    const points = ["claimed", "running", "uploaded", "marked", "settled"] as const;
    const days = daysFrom(points.length);
    let folder = "";
    await withMission(
      {
        jobs: ["swe/l1a/all", "swe/l1b/sci", probeJob],
        common: (file) => ({
          ...file,
          lanes: { ...(file["lanes"] as object), swe: { workers: 1 } },
          drivers: { process: { type: "process", command: killsItsNode(folder, "running") } },
        }),
        at: (where) => void (folder = where),
      },
      async (nodes) => {
        await nodes.process("door", { roles: "enqueuer,ingester,reclaimer,resolver" });
        await nodes.send([...constants, leapseconds, ...days.map(raw)]);
        await until(
          () => readRuns(nodes.nats),
          (runs) => runs.length === days.length,
        );
        // Each takes one of the runs, and dies in it.
        const doomed = await Promise.all(
          points.map((at) =>
            nodes.process(at, { roles: "runner", ...(at === "running" ? {} : { killAt: { at } }) }),
          ),
        );
        const ends = await Promise.all(doomed.map(({ ended }) => ended));
        expect(ends).toEqual(points.map(() => "SIGKILL"));
        await nodes.process("last", { roles: "runner" });

        const { runs, jobs } = await nodes.rest.reached();
        const made = (job: string) =>
          runs
            .filter(({ body }) => body.job === job)
            .map(wordsOf)
            .toSorted();
        expect(made("swe/l1a/all")).toEqual(days.map((day) => `${day} done 1`));
        expect(made("swe/l1b/sci")).toEqual(days.map((day) => `${day} done 1`));
        expect(jobs.map(({ state }) => state)).toEqual(jobs.map(() => "done"));
        // Four died with their run unsettled.
        expect(runs.map(({ crashes }) => crashes).reduce((sum, one) => sum + one, 0)).toBe(4);

        const files = filesIn(nodes.files.bucket);
        for (const day of days) {
          const versions = [...files.keys()].filter((name) => name.startsWith(`imap_swe_l1b_sci_${day}_`));
          expect(versions).toEqual([`imap_swe_l1b_sci_${day}_v001.0001.cdf`]);
          const product = JSON.parse(readFileSync(files.get(versions[0] ?? "") ?? "", "utf8")) as Product;
          const l1a = `imap_swe_l1a_sci_${day}_v001.0001.cdf`;
          const sha256 = createHash("sha256")
            .update(readFileSync(files.get(l1a) ?? ""))
            .digest("hex");
          expect(product.inputs).toContainEqual(expect.objectContaining({ name: l1a, sha256 }));
        }
      },
    );
  });
});

describe("three resolvers", () => {
  it("of which one is killed -9 in mid-decision, twice, begin each run once and miss none", async () => {
    const days = daysFrom(24);
    await withMission({ jobs: ["swe/l1a/all", probeJob] }, async (nodes) => {
      await nodes.process("whole", { roles: "enqueuer,ingester,reclaimer,resolver" });
      await nodes.send(["imap_sclk_0183.tsc", ...days.map(raw)]);
      const blocked = await nodes.rest.reached();
      expect(blocked.jobs.map(({ state }) => state)).toEqual(days.map(() => "blocked"));

      // From here on everything is ready at once, and two begin it. The third dies between what it decided and what it writes of it.
      const killAt: KillPoint = { at: "begin", count: 7 };
      await nodes.process("other", { roles: "resolver" });
      const doomed = await nodes.process("doomed", { roles: "resolver", killAt });
      await nodes.send([leapseconds]);
      const extra: Array<string> = [];
      /** It dies at what it begins itself: where the others were quicker with all of them there are more. */
      const killed = async ({ ended }: NodeProcess): Promise<void> => {
        for (;;) {
          const how = await Promise.race([ended, sleep(15_000, null, { ref: false })]);
          if (how !== null) return expect(how).toBe("SIGKILL");
          const others = daysFrom(60 + extra.length).slice(48 + extra.length);
          extra.push(...others);
          await nodes.send(others.map(raw));
        }
      };
      await killed(doomed);
      const second = await nodes.process("doomed", { roles: "resolver", killAt });
      // And once more, with runs of the first ones under way.
      await nodes.process("runner", { roles: "runner" });
      const more = daysFrom(48).slice(24);
      await nodes.send(more.map(raw));
      await killed(second);
      await nodes.process("doomed", { roles: "resolver" });

      const { runs, jobs } = await nodes.rest.reached();
      expect(runs.map(wordsOf).toSorted()).toEqual(
        [...days, ...more, ...extra].map((day) => `${day} done 1`),
      );
      expect(jobs.map(({ state }) => state)).toEqual(jobs.map(() => "done"));
    });
  });
});

describe("a resolver whose machine's clock is an hour off", () => {
  const hourMs = 3_600_000;
  const twoDigits = (value: number): string => String(value).padStart(2, "0");
  const cronAt = (ms: number): string => {
    const time = new Date(ms);
    return `${twoDigits(time.getUTCMinutes())} ${twoDigits(time.getUTCHours())} * * *`;
  };
  const jobs = { soon: "hi/l3/hic-maps", lately: "lo/l3/all-maps" };

  /** What the jobs of a site say that has nodes with such clocks, and what they have to say at that time. */
  async function statesWith(offs: ReadonlyArray<number>): Promise<void> {
    // Half an hour on either side of what is due: an hour more or less would decide otherwise.
    const now = Date.now();
    const crons = { [jobs.soon]: cronAt(now + hourMs / 2), [jobs.lately]: cronAt(now - hourMs / 2) };
    const first = new Date(now - 2 * 24 * hourMs).toISOString().slice(0, 10).replaceAll("-", "");
    await withMission(
      {
        jobs: [...Object.values(jobs), probeJob],
        missionStart: first,
        change: (job, fields) => (crons[job] === undefined ? fields : { ...fields, schedule: crons[job] }),
      },
      async (nodes) => {
        for (const [i, clockOffMs] of offs.entries()) await nodes.process(`n${i}`, { clockOffMs });
        await nodes.send([
          {
            name: "imap_2026_001_01.repoint.csv",
            text: "repoint_start_utc,repoint_end_utc,repoint_id\n2026-01-01T10:00:00,2026-01-01T10:03:00,1",
          },
        ]);
        const found = await until(
          () => readJobs(nodes.nats),
          (records) => records.filter(({ state }) => state === "done").length >= 3,
        );
        expect(found.length).toBeGreaterThan(4);
        const { jobs: records } = await nodes.rest.reached();
        const due = ({ job, partition }: JobRecord): number => {
          const end = "range" in partition ? parseInstant(partition.range?.end ?? "") : null;
          return new Schedule(crons[job] ?? "").atOrAfter(end ?? 0) ?? 0;
        };
        for (const record of records) {
          const at = due(record);
          const is = at <= now * 1_000 ? "done" : "blocked";
          expect([record.job, partitionName(record.partition), record.state]).toEqual([
            record.job,
            partitionName(record.partition),
            is,
          ]);
          if (is === "blocked")
            expect(record.blockedOn).toEqual([`runs on its schedule, next at ${formatInstant(at)}`]);
          expect(Math.abs(Date.parse(record.catalogue?.since ?? "") - now)).toBeLessThan(hourMs / 4);
        }
        // An hour would have made a difference, on either side.
        const near = records.map((record) => due(record) / 1_000 - now);
        expect(near.some((ms) => ms > 0 && ms < hourMs)).toBe(true);
        expect(near.some((ms) => ms < 0 && ms > -hourMs)).toBe(true);
      },
    );
  }

  it.each([
    ["ahead", [hourMs]],
    ["behind", [-hourMs]],
    ["ahead, beside one whose clock is an hour behind,", [hourMs, -hourMs]],
  ])("%s decides by the site's clock", (_, offs) => statesWith(offs));
});
