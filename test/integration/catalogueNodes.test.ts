/**
 * Jobs of a mission over several nodes: whatever comes in whatever order, how often, and to whom, each thing is made once. By default
 * fifty orders share one site; with ORRERY_LONG=1 each of fifty has one of its own as well.
 */
import { readdirSync } from "node:fs";
import * as Effect from "effect/Effect";
import { describe, expect, it } from "vitest";
import { commit, ledgerPut } from "../../src/jetstream/transaction.ts";
import type { JobRecord } from "../../src/protocol/jobs.ts";
import { partitionKey } from "../../src/protocol/jobs.ts";
import { arrivalsStream, recordKey } from "../../src/protocol/keys.ts";
import type { LedgerRecord } from "../../src/protocol/records.ts";
import { encodeJson } from "../../src/protocol/records.ts";
import type { RunBody } from "../../src/protocol/runs.ts";
import { newRun, partitionName, placeOfRun } from "../../src/protocol/runs.ts";
import { planOf } from "../support/catalogueRuns.ts";
import { probeJob, readFiles } from "../support/missionAtRest.ts";
import type { MissionNodes } from "../support/missionNodes.ts";
import { withMission } from "../support/missionNodes.ts";
import { readRuns } from "../support/missionSite.ts";
import { counted, until } from "../support/testSite.ts";
import { cases, filesOf, shuffled } from "../support/workedCases.ts";

const norm = "mag/l1d/norm-srf";
const nodeNames = ["a", "b", "c", "d"];
const long = process.env["ORRERY_LONG"] === "1";

/** Day `n` of 2026, from 1. */
const dayOf = (n: number): { readonly day: string; readonly ddd: string } => ({
  day: new Date(Date.UTC(2026, 0, n)).toISOString().slice(0, 10).replaceAll("-", ""),
  ddd: String(n).padStart(3, "0"),
});

/** Of all days: they are there before. */
const given = ["imap_recon_20260101_20260630_v01.bsp", "imap_pred_od025_20260101_20260630_v01.bsp"];
/** Required, and for all time. */
const timeless = [
  "imap_130.tf",
  "imap_science_0001.tf",
  "naif0012.tls",
  "imap_sclk_0183.tsc",
  "de440.bsp",
  "pck00011.tpc",
];
/** Required, and of one day. */
const ofDay = (n: number): ReadonlyArray<string> => {
  const { day, ddd } = dayOf(n);
  return [
    `imap_mag_l1d-calibration_${day}_${day}_v001.cdf`,
    `imap_mag_l1c_norm-mago_${day}_v001.0001.cdf`,
    `imap_mag_l1c_norm-magi_${day}_v001.0001.cdf`,
    `imap_dps_2026_${ddd}_2026_${ddd}_01.ah.bc`,
    `imap_2026_${ddd}_2026_${ddd}_001.ah.bc`,
    `imap_2026_${ddd}_2026_${ddd}_01.spin.csv`,
  ];
};
/** Not required, and triggering: each makes a day anew that is done. The second of the pair replaces the first. */
const optionalOf = (n: number): ReadonlyArray<string> => {
  const { day } = dayOf(n);
  return [
    `imap_mag_l1b_burst-mago_${day}_v001.0001.cdf`,
    `imap_mag_l1b_burst-magi_${day}_v001.0001.cdf`,
    `imap_mag_l1b_burst-magi_${day}_v001.0002.cdf`,
  ];
};
const days = (from: number, count: number): ReadonlyArray<number> =>
  Array.from({ length: count }, (_, i) => from + i);

/** In this order, a few at once, over several connections and nodes at the same time. */
async function sendAll(nodes: MissionNodes, files: ReadonlyArray<string>): Promise<void> {
  let next = 0;
  const sender = async (step: number): Promise<void> => {
    while (next < files.length) {
      const some = files.slice(next, next + step);
      next += step;
      await nodes.send(some);
    }
  };
  await Promise.all([1, 2, 3, 5].map(sender));
}

const inputsOf = ({ body }: LedgerRecord<RunBody>): ReadonlyArray<string> =>
  body.inputs.map(({ name }) => name ?? "").toSorted();

function byPartition(
  runs: ReadonlyArray<LedgerRecord<RunBody>>,
): ReadonlyMap<string, ReadonlyArray<LedgerRecord<RunBody>>> {
  const found = new Map<string, Array<LedgerRecord<RunBody>>>();
  for (const run of runs) {
    const name = partitionName(run.body.partition);
    const of = found.get(name) ?? [];
    found.set(
      name,
      [...of, run].sort((a, b) => (a.body.plan?.minor ?? 0) - (b.body.plan?.minor ?? 0)),
    );
  }
  return found;
}

async function withFourNodes(test: (nodes: MissionNodes) => Promise<void>): Promise<void> {
  await withMission({ jobs: [norm, probeJob] }, async (nodes) => {
    for (const name of nodeNames) await nodes.site(name);
    await nodes.send(given);
    await nodes.rest.reached();
    await test(nodes);
  });
}

describe("four nodes", () => {
  it(
    "make one run of one set of inputs for each of fifty orders; with optional ones never two runs of the same",
    () =>
      withFourNodes(async (nodes) => {
        // The first days wait for what is for all time as well; in the order of the others only what is their own has a place.
        const first = shuffled([...timeless, ...days(1, 25).flatMap(ofDay)], 1);
        const second = shuffled(days(26, 25).flatMap(ofDay), 2);
        await sendAll(nodes, [...first, ...second]);
        const { runs, jobs } = await nodes.rest.reached();
        expect(jobs.map(({ state }) => state)).toEqual(days(1, 50).map(() => "done"));
        const made = byPartition(runs);
        for (const n of days(1, 50)) {
          const of = made.get(dayOf(n).day) ?? [];
          expect(of.map(({ state, body }) => [state, body.plan?.minor])).toEqual([["done", 1]]);
          expect(of.flatMap(inputsOf)).toEqual([...given, ...timeless, ...ofDay(n)].toSorted());
        }

        const mixed = days(60, 10);
        await sendAll(
          nodes,
          shuffled(
            mixed.flatMap((n) => [...ofDay(n), ...optionalOf(n)]),
            3,
          ),
        );
        const after = byPartition((await nodes.rest.reached()).runs);
        for (const n of mixed) {
          const of = after.get(dayOf(n).day) ?? [];
          const sets = of.map((run) => inputsOf(run).join("\n"));
          expect(new Set(sets).size).toBe(sets.length);
          expect(of.map(({ state, body }) => [state, body.plan?.minor])).toEqual(
            of.map((_, i) => ["done", i + 1]),
          );
          const last = of.at(-1);
          const [mago = "", , magi = ""] = optionalOf(n);
          expect(last === undefined ? [] : inputsOf(last)).toEqual(
            [...given, ...timeless, ...ofDay(n), mago, magi].toSorted(),
          );
        }
        // What was made before is as it was.
        for (const n of days(1, 50)) expect(after.get(dayOf(n).day)).toHaveLength(1);
      }),
    600_000,
  );

  it.runIf(long).each([1, 2])(
    "make one run of one set of inputs in fifty orders of the worked case, each on a site of its own: half %i",
    async (half) => {
      const [of] = cases.filter(({ any_order: anyOrder }) => anyOrder === true);
      const [wanted] = of?.expect.runs_at_end ?? [];
      for (let seed = 25 * (half - 1); seed < 25 * half; seed++) {
        await withMission({ jobs: [norm, probeJob] }, async (nodes) => {
          for (const name of nodeNames) await nodes.site(name);
          await nodes.send((of?.given ?? []).flatMap(filesOf).map(String));
          await nodes.rest.reached();
          await sendAll(nodes, shuffled((of?.events ?? []).map(String), seed));
          const { runs, jobs } = await nodes.rest.reached();
          expect(
            runs.map(({ body }) => body.plan?.minor),
            `seed ${seed}`,
          ).toEqual([1]);
          expect(runs.flatMap(inputsOf)).toEqual(wanted?.inputs?.toSorted());
          expect(jobs.map(({ state }) => state)).toEqual(["done"]);
        });
      }
    },
    900_000,
  );
});

describe("a node that has not seen a run yet which another has begun", () => {
  it("begins none beside it: no version is given twice", () =>
    withMission({ jobs: [norm, probeJob] }, async (nodes) => {
      await nodes.site("c", "enqueuer,ingester,reclaimer,runner");
      const { log } = await nodes.site("b", "resolver");
      const required = [...given, ...timeless, ...ofDay(1)];
      await nodes.send(required.slice(0, -1));
      const { jobs } = await nodes.rest.reached();
      const [waiting] = jobs;
      if (waiting === undefined || "exposure" in waiting.partition) throw new Error("no such job");
      const { partition } = waiting;

      // Another node began a run of newer inputs. Its two records are one after the other in the ledger; only the first is here.
      const hash = "00112233aabbccdd";
      const place = placeOfRun("mag", norm, partition, hash);
      const key = partitionKey(norm, partition);
      const begun: JobRecord = {
        ...waiting,
        state: "ready",
        blockedOn: [],
        inputs: hash,
        run: recordKey(place),
        catalogue: { on: [], incomplete: null, since: new Date(0).toISOString(), minor: 1 },
      };
      await Effect.runPromise(commit(nodes.nats, "test", [ledgerPut(key, encodeJson(begun))]));
      await nodes.send(required.slice(-1));
      await until(
        () => log.map(({ fields }) => fields["cause"]),
        (causes) => causes.includes("a run of it that has begun is not seen yet"),
      );
      expect(await readRuns(nodes.nats)).toEqual([]);

      const plan = planOf([`imap_mag_l1d_norm-srf_${dayOf(1).day}_v001.0001.cdf`]);
      const run = newRun(
        { job: norm, version: "1", partition, hash, inputs: [], plan },
        { now: 0, node: "a" },
      );
      const failed = encodeJson({ ...run, state: "parked" });
      await Effect.runPromise(commit(nodes.nats, "test", [ledgerPut(recordKey(place), failed, 0)]));
      await until(
        () => readRuns(nodes.nats),
        (runs) => runs.some(({ state }) => state === "done"),
      );
      const { runs } = await nodes.rest.reached();
      expect(runs.map(({ state, body }) => `${state} ${body.plan?.minor}`).toSorted()).toEqual([
        "done 2",
        "parked 1",
      ]);
    }));
});

describe("one arrival, told fifty times to eight workers", () => {
  it("is one run, and so is what is made of it", () =>
    withMission(
      {
        jobs: ["swe/l1a/all", "swe/l1b/sci", probeJob],
        lane: { workers: 4 },
        common: (file) => ({
          ...file,
          lanes: { ...(file["lanes"] as object), swe: { workers: 4 } },
        }),
      },
      async (nodes) => {
        await nodes.site("door", "enqueuer");
        const raw = "imap_swe_l0_raw_20260310_v001.pkts";
        await nodes.send([
          "naif0012.tls",
          "imap_sclk_0183.tsc",
          "imap_swe_l1b-in-flight-cal_20250101_v001.csv",
          "imap_swe_esa-lut_20250101_v001.csv",
          "imap_swe_eu-conversion_20250101_v001.csv",
          raw,
        ]);
        // Neither the front door nor the stream stands before the workers: the same arrival is there fifty times.
        const arrival = await nodes.nats.jsm.streams.getMessage(arrivalsStream, {
          last_by_subj: "arrive.imap.swe.20260310",
        });
        const storm = async (times: number): Promise<void> => {
          const copies = Array.from({ length: times }, () =>
            nodes.nats.connection.request(arrival?.subject ?? "", arrival?.data ?? new Uint8Array()),
          );
          await Promise.all(copies);
        };
        await storm(49);
        const workers = "ingester,reclaimer,resolver,runner";
        const sites = await Promise.all([nodes.site("a", workers), nodes.site("b", workers)]);
        const expectOnce = async (): Promise<void> => {
          const { runs } = await nodes.rest.reached();
          expect(
            runs.map(({ body, state }) => `${body.job} ${body.plan?.minor} ${state}`).toSorted(),
          ).toEqual(["swe/l1a/all 1 done", "swe/l1b/sci 1 done"]);
        };
        await expectOnce();
        const known = (): number => sites.reduce((sum, site) => sum + counted(site, "duplicates.imap"), 0);
        const atFirst = known();
        // And when all of it is long done.
        await storm(50);
        await expectOnce();
        expect([atFirst, known()]).toEqual([49, 99]);
      },
    ));
});

describe("a job that ends well without one of its outputs", () => {
  it("is not done, the missing one is named, and nothing of it is published", () =>
    withMission(
      { jobs: ["codice/l1a/all", probeJob], env: { STAND_IN_OMIT: "_hi-omni_" } },
      async (nodes) => {
        await nodes.site("a");
        await nodes.send([
          "naif0012.tls",
          "imap_sclk_0183.tsc",
          "imap_codice_l1a-sci-lut_20250101_v001.csv",
          "imap_codice_l0_raw_20260310_v001.pkts",
        ]);
        const { jobs, runs } = await nodes.rest.reached();
        expect(jobs.map(({ job, state }) => [job, state])).toEqual([["codice/l1a/all", "failed"]]);
        expect(runs).toHaveLength(1);
        expect(runs[0]?.body.plan?.outputs).toHaveLength(14);
        expect(runs[0]?.state).toBe("parked");
        expect(runs[0]?.body.outputs).toBe(null);
        expect(runs[0]?.errors.at(-1)).toMatchObject({
          reason: "OutputMissing",
          detail: expect.stringContaining(
            "it did not write imap_codice_l1a_hi-omni_20260310_v001.0001.cdf",
          ) as unknown,
        });
        const made = (await readFiles(nodes.nats)).keys();
        expect([...made].filter((name) => /_codice_l1[ab]_.*\.cdf$/.test(name))).toEqual([]);
        expect(
          readdirSync(nodes.files.bucket, { recursive: true }).filter((name) =>
            /_l1[ab]_(?!norm).*\.cdf$/.test(String(name)),
          ),
        ).toEqual([]);
      },
    ));
});
