/**
 * A mission's instrument made anew with all that is made of it, while live files come: the order of levels, what takes the new ones, how
 * soon live files are made. By default a few days; with ORRERY_LONG=1 the whole year, whose times are printed.
 */
import { join } from "node:path";
import { expect, it } from "vitest";
import { loadCatalogue } from "../../src/config/catalogue.ts";
import type { JobCatalogue } from "../../src/config/JobCatalogue.ts";
import { sampleName } from "../../src/demo/missionNames.ts";
import { dayOf, dayUs, parseInstant } from "../../src/jobs/instant.ts";
import { partitionName } from "../../src/protocol/runs.ts";
import { runCli } from "../support/cli.ts";
import type { Mission } from "../support/missionSite.ts";
import { startMission } from "../support/missionSite.ts";
import { until } from "../support/testSite.ts";

const isLong = process.env["ORRERY_LONG"] === "1";
const dayCount = isLong ? 365 : 6;
const first = parseInstant("2026-01-01") ?? 0;
const dayAt = (index: number): number => first + index * dayUs;
const patience = isLong ? 1_500_000 : 240_000;
const rawOf = (index: number): string => `imap_mag_l0_raw_${dayOf(dayAt(index))}_v001.pkts`;

function catalogueOf(): JobCatalogue {
  const { catalogue } = loadCatalogue("config/imap/catalogue.yaml");
  if (catalogue === null) throw new Error("the catalogue is at fault");
  return catalogue;
}

/** Jobs that are made of MAG L1A, at any depth, with it. */
function closureOf(catalogue: JobCatalogue): ReadonlyArray<string> {
  const found = new Set(["mag/l1a/all"]);
  for (let before = 0; before < found.size;) {
    before = found.size;
    for (const job of catalogue.jobs.values()) {
      const takes = job.inputs.some(({ dataset, range }) => {
        const producer = catalogue.producerOf.get(dataset);
        return range === null && producer !== undefined && found.has(producer.name);
      });
      if (takes) found.add(job.name);
    }
  }
  return [...found];
}

/** What the jobs take and none of them makes: one file a day of a product, one for all time of anything else; without MAG's packets. */
function otherInputs(catalogue: JobCatalogue, jobs: ReadonlyArray<string>): ReadonlyArray<string> {
  const all = { start: dayAt(-30), end: dayAt(dayCount + 60) };
  const names = new Set<string>();
  for (const job of jobs) {
    for (const { dataset, kind } of catalogue.jobs.get(job)?.inputs ?? []) {
      const producer = catalogue.producerOf.get(dataset);
      if ((producer !== undefined && jobs.includes(producer.name)) || dataset === "mag/l0/raw") continue;
      const selection = catalogue.recogniser.kinds.get(kind)?.selection;
      const ranges =
        selection === "product"
          ? Array.from({ length: dayCount + 40 }, (_, i) => ({ start: dayAt(i), end: dayAt(i + 1) }))
          : [selection === "calibration" ? { ...all, end: Number.POSITIVE_INFINITY } : all];
      for (const range of ranges) {
        names.add(
          sampleName(catalogue.recogniser, { kind, dataset, range, pointing: null, version: 1 }).name,
        );
      }
    }
  }
  return [...names];
}

/** Waits until so many partitions are made; a year of them is not read again and again. */
async function untilMade(of: Mission, count: number): Promise<void> {
  const end = performance.now() + patience;
  for (;;) {
    const jobs = await of.jobs();
    const made = jobs.filter(({ state }) => state === "done").length;
    if (made >= count) return;
    if (performance.now() > end) {
      const left = jobs.find(({ state }) => state !== "done");
      throw new Error(`${made} of ${count} are made; ${JSON.stringify(left)}`);
    }
    await new Promise((later) => setTimeout(later, isLong ? 3_000 : 100));
  }
}

/** ms from the announcement of a day's packets until MAG L1A of it is made. */
async function liveMs(of: Mission, index: number): Promise<number> {
  const begun = performance.now();
  await of.send([rawOf(index)]);
  await until(
    () => of.jobAt("mag/l1a/all", dayOf(dayAt(index)), "mag"),
    (job) => job?.state === "done",
    patience,
  );
  return performance.now() - begun;
}

const middle = (times: ReadonlyArray<number>): number =>
  times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)] ?? 0;

it(
  `${dayCount} days of MAG L1A are made anew, level by level, while live files come`,
  { timeout: patience * 2 },
  async () => {
    const catalogue = catalogueOf();
    const jobs = closureOf(catalogue);
    expect(jobs).toHaveLength(14);
    const of = await startMission({
      jobs,
      common: (file) => ({
        ...file,
        drivers: {
          process: {
            type: "process",
            command: [
              "/bin/sh",
              "-c",
              `sed -n 's/.*"path": *"\\([^"]*\\)".*/\\1/p' "$ORRERY_EXPECTED" | while read -r p; do echo "$ORRERY_RUN" > "$p"; done`,
            ],
          },
        },
      }),
    });
    try {
      const others = otherInputs(catalogue, jobs);
      for (let at = 0; at < others.length; at += 1_000) await of.send(others.slice(at, at + 1_000));
      const raws = Array.from({ length: dayCount }, (_, i) => rawOf(i));
      await of.send(raws);
      const made = dayCount * jobs.length;
      await untilMade(of, made);

      const idle = [];
      for (let i = 0; i < 5; i++) idle.push(await liveMs(of, dayCount + i));
      const lived = (dayCount + 5) * jobs.length;
      await untilMade(of, lived);

      const site = ["--site", join(of.files.folder, "site.yaml")];
      const span = ["--from", dayOf(dayAt(0)), "--to", dayOf(dayAt(dayCount - 1))];
      const begunAt = performance.now();
      const begun = await runCli(
        ["reprocess", "mag/l1a/all", ...span, "--downstream", "--yes", "--json", ...site],
        {},
      );
      expect(begun.stderr).toBe("");
      const { id, plan } = JSON.parse(begun.stdout) as {
        readonly id: string;
        readonly plan: { readonly partitions: number; readonly jobs: ReadonlyArray<unknown> };
      };
      expect(plan.partitions).toBe(made);
      expect(plan.jobs).toHaveLength(14);
      const busy = [];
      for (let i = 5; i < (isLong ? 25 : 8); i++) busy.push(await liveMs(of, dayCount + i));
      const shown = await runCli(["reprocessing", "show", id, "--watch", ...site], {});
      expect(shown.stdout).toContain(
        `${made.toLocaleString("en-US")} of ${made.toLocaleString("en-US")} made anew, 0 failed, 0 to come`,
      );
      if (isLong) {
        const seconds = ((performance.now() - begunAt) / 1_000).toFixed(0);
        process.stderr.write(
          `reprocessed ${made} runs in ${seconds} s; live MAG L1A p50 idle ${middle(idle).toFixed(0)} ms, meanwhile ${middle(busy).toFixed(0)} ms (${(middle(busy) / middle(idle)).toFixed(2)} of idle)\n`,
        );
      }

      const runs = await of.runs();
      const anew = runs.filter(({ body }) => body.plan?.again === id);
      expect(anew).toHaveLength(made);
      expect(runs.filter(({ state }) => state !== "done")).toEqual([]);
      // Every partition twice and no more: nothing was made of what was about to be made anew.
      const counts = new Map<string, number>();
      for (const { body } of runs) {
        const of = `${body.job} ${partitionName(body.partition)}`;
        counts.set(of, (counts.get(of) ?? 0) + 1);
      }
      for (const { body } of anew) expect(counts.get(`${body.job} ${partitionName(body.partition)}`)).toBe(2);
      // And each of them of products of this reprocessing, wherever a job of it makes them.
      const madeAnew = new Set(anew.flatMap(({ body }) => (body.outputs ?? []).map(({ name }) => name)));
      for (const { body } of anew) {
        for (const { dataset, name } of body.inputs) {
          const producer = catalogue.producerOf.get(dataset ?? "");
          const ownRange = catalogue.jobs
            .get(body.job)
            ?.inputs.some((input) => input.dataset === dataset && input.range === null);
          if (producer === undefined || !jobs.includes(producer.name) || ownRange !== true) continue;
          expect(madeAnew.has(name ?? ""), `${body.job} took ${name}`).toBe(true);
        }
      }
    } finally {
      await of.stop();
    }
  },
);
