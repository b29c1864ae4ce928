/**
 * `jobs-site`: a node on a ledger with a year of the IMAP mission. How long until its resolver has read and decided all of it, in how
 * much memory, and how soon the run of a new raw file stands in the ledger, also while a kernel for all time makes thousands stale.
 */
import { writeFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import * as Effect from "effect/Effect";
import { parseSite } from "../../src/config/loadSite.ts";
import { getUnsafe } from "../../src/jetstream/ledger.ts";
import { apply } from "../../src/jetstream/topology.ts";
import { dayOf, dayUs } from "../../src/jobs/instant.ts";
import { siteTopology } from "../../src/node/link.ts";
import { jobKey, ledgerBucket } from "../../src/protocol/keys.ts";
import { fill, siteText } from "../jobsSite.ts";
import { makeYear, yearStart } from "../jobsYear.ts";
import type { Case, Result } from "../result.ts";
import { aloneOf, percentile, round } from "../result.ts";
import type { Program, Stage } from "../stage.ts";
import { peakMbOf, withStage } from "../stage.ts";

const coldMsMax = 10_000;
const waitMsMax = 120_000;

const result = aloneOf("jobs-site");

async function waitFor(what: string, look: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + waitMsMax;
  while (!(await look())) {
    if (performance.now() > end) throw new Error(`${what}: not within ${waitMsMax / 1_000} s`);
    await new Promise((later) => setTimeout(later, 2));
  }
}

/** The resolver answers questions once it has read and decided everything. */
const answers = (stage: Stage): Promise<boolean> =>
  stage.nats.connection
    .request(
      "orrery.jobs.redo",
      JSON.stringify({ jobs: ["swe/l1a/all"], from: "20260101", to: "20260101", downstream: false }),
      { timeout: 2_000 },
    )
    .then(
      (answer) => answer.json<{ readonly partitions?: number }>().partitions === 1,
      // Nobody answers yet.
      () => false,
    );

class Sender {
  readonly #url: string;
  readonly #bucket: string;

  constructor(url: string, folder: string) {
    this.#url = url;
    this.#bucket = folder;
  }

  async send(name: string): Promise<void> {
    writeFileSync(join(this.#bucket, name), name);
    const body = {
      Records: [
        {
          eventName: "ObjectCreated:Put",
          s3: { bucket: { name: "imap" }, object: { key: name, eTag: name, size: 1 } },
        },
      ],
    };
    const answer = await fetch(`${this.#url}/notify`, { method: "POST", body: JSON.stringify(body) });
    if (answer.status !== 200) throw new Error(`the webhook answered ${answer.status}`);
  }
}

/** ms from the announcement of raw packets anew until the record of their job names another run. */
async function liveMs(stage: Stage, sender: Sender, index: number, version: number): Promise<number> {
  const day = dayOf(yearStart + index * dayUs);
  const key = jobKey("swe/l1a/all", day, `swe/${day}`);
  const before = (await getUnsafe(stage.nats, ledgerBucket, key))?.revision ?? 0;
  const begun = performance.now();
  await sender.send(`imap_swe_l0_raw_${day}_v${String(version).padStart(3, "0")}.pkts`);
  await waitFor(
    `swe/l1a/all ${day}`,
    async () => ((await getUnsafe(stage.nats, ledgerBucket, key))?.revision ?? 0) > before,
  );
  return performance.now() - begun;
}

async function measured(
  stage: Stage,
  quick: boolean,
  say: (line: string) => void,
): Promise<ReadonlyArray<Result>> {
  const store = join(stage.folder, "store");
  const folder = join(store, "imap");
  await mkdir(folder, { recursive: true });
  const text = (url: string, dataDir: string): string => siteText(url, dataDir, store);
  const { site } = await Effect.runPromise(
    parseSite(text(stage.natsUrl, join(stage.folder, "plan")), "bench.yaml", { env: {} }),
  );
  await Effect.runPromise(apply(stage.nats, siteTopology(site, [])));
  say("making a year of the mission …");
  const year = makeYear();
  say(`writing ${year.facts.length} facts into the ledger …`);
  const filled = await fill(stage.nats, store, year);
  const load = `${filled.files} files, ${filled.runs} runs of ${year.catalogue.jobs.size} jobs`;
  say(`starting a node on ${load} …`);
  const begun = performance.now();
  const node: Program = await stage.startNode({ name: "jobs", roles: [], site: text });
  const upMs = performance.now() - begun;
  await waitFor("the resolver's first answer", () => answers(stage));
  const coldMs = performance.now() - begun;
  const cpuMs = node.cpuMs();
  const sender = new Sender(node.ready.http ?? "", folder);
  const idle: Array<number> = [];
  const count = quick ? 20 : 100;
  for (let i = 0; i < count; i++) idle.push(await liveMs(stage, sender, i, 2));
  say("a reconstructed ephemeris anew …");
  const bigBegun = performance.now();
  await sender.send("imap_recon_20251201_20270228_v02.bsp");
  const busy: Array<number> = [];
  for (let i = 0; i < count; i++) busy.push(await liveMs(stage, sender, count + i, 2));
  const busyMs = performance.now() - bigBegun;
  const peak = peakMbOf(node.pid);
  await node.stop();
  const p99 = percentile(busy, 0.99) ?? Number.NaN;
  const ratio = (percentile(busy, 0.5) ?? Number.NaN) / (percentile(idle, 0.5) ?? Number.NaN);
  return [
    result(
      "cold start of the resolver",
      "s",
      coldMs / 1_000,
      "< 10 s",
      coldMs < coldMsMax,
      `${load}; the node itself was up after ${round(upMs / 1_000, 1)} s; ${cpuMs === null ? "" : `${round(cpuMs / 1_000, 1)} s of processor time`}`,
    ),
    result(
      "memory of the node",
      "MB",
      peak ?? Number.NaN,
      "",
      true,
      "the most it ever held, with everything above",
    ),
    result(
      "raw file to run in the ledger, p50",
      "ms",
      percentile(idle, 0.5) ?? Number.NaN,
      "",
      true,
      "by HTTP, the arrival stream and the ingester; fsync on",
      idle,
    ),
    result(
      "the same while an ephemeris is made anew",
      "ms",
      p99,
      "",
      ratio < 2,
      `p50 ${round(ratio, 2)} of idle; ${count} files in the first ${round(busyMs / 1_000, 1)} s after the kernel`,
      busy,
    ),
  ];
}

export const jobsSite: Case = {
  name: "jobs-site",
  run: ({ quick, say }) => withStage((stage) => measured(stage, quick, say)),
};
