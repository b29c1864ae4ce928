/**
 * When a site of a mission has come to rest: nothing is on its way in, no run is under way, what runs made is known, and its resolver has
 * seen all of that and decided on it.
 *
 * The last is shown by a partition of its own: a file of a job that nothing else has to do with is sent, and the resolver, which takes
 * the ledger's changes in their order, says of it what it lacks. Whatever was written before has been decided by then.
 */
import type { NatsService } from "../../src/jetstream/Nats.ts";
import { scanUnsafe } from "../../src/jetstream/ledger.ts";
import { arrivalsConsumer } from "../../src/jetstream/topology.ts";
import type { JobRecord } from "../../src/protocol/jobs.ts";
import { arrivalsStream, ledgerBucket } from "../../src/protocol/keys.ts";
import type { FileBody, LedgerRecord } from "../../src/protocol/records.ts";
import { decodeRecord } from "../../src/protocol/records.ts";
import type { RunBody } from "../../src/protocol/runs.ts";
import { partitionName } from "../../src/protocol/runs.ts";
import { readJobs, readRuns } from "./missionSite.ts";
import { patienceMs, until } from "./testSite.ts";

/** A site that is to be asked has this job in its catalogue, and nobody sends its calibration. */
export const probeJob = "mag/l1b/norm-magi";

export interface AtRest {
  /** Without the probe's. */
  readonly jobs: ReadonlyArray<JobRecord>;
  readonly runs: ReadonlyArray<LedgerRecord<RunBody>>;
}

export interface RestOptions {
  /** Runs that are meant to go on. */
  readonly goesOn?: (run: RunBody) => boolean;
  readonly withinMs?: number;
}

/** @returns records of files by their names, good and bad */
export async function readFiles(nats: NatsService): Promise<ReadonlyMap<string, LedgerRecord<FileBody>>> {
  const found = new Map<string, LedgerRecord<FileBody>>();
  await scanUnsafe(nats, ledgerBucket, ["file.imap.>"], ({ key, data }) => {
    const record = decodeRecord<FileBody>(key, data);
    found.set(record.body.key.slice(record.body.key.lastIndexOf("/") + 1), record);
  });
  return found;
}

export class Rest {
  readonly #nats: NatsService;
  readonly #send: (files: ReadonlyArray<string>) => Promise<void>;
  #probes = 0;

  constructor(nats: NatsService, send: (files: ReadonlyArray<string>) => Promise<void>) {
    this.#nats = nats;
    this.#send = send;
  }

  /** Rejects with what is still under way. */
  async reached({ goesOn = () => false, withinMs = patienceMs }: RestOptions = {}): Promise<AtRest> {
    const end = performance.now() + withinMs;
    for (;;) {
      await until(
        () => this.#underWay(goesOn),
        (left) => left.length === 0,
        Math.max(1, end - performance.now()),
      );
      await this.#probe(Math.max(1, end - performance.now()));
      const left = await this.#underWay(goesOn);
      if (left.length > 0) continue;
      const all = await readJobs(this.#nats);
      const runs = await readRuns(this.#nats);
      const jobs = all.filter(({ job }) => job !== probeJob);
      const going = new Set(
        runs
          .filter(({ body }) => goesOn(body))
          .map(({ body }) => idOf(body.job, partitionName(body.partition))),
      );
      const busy = jobs.filter(
        ({ job, partition, ...of }) => isBusy(of) && !going.has(idOf(job, partitionName(partition))),
      );
      if (busy.length === 0) return { jobs, runs };
      if (performance.now() > end) throw new Error(`never at rest: ${JSON.stringify(busy)}`);
    }
  }

  async #probe(withinMs: number): Promise<void> {
    const day = new Date(Date.UTC(2040, 0, 1 + this.#probes++))
      .toISOString()
      .slice(0, 10)
      .replaceAll("-", "");
    await this.#send([`imap_mag_l1a_norm-magi_${day}_v001.0001.cdf`]);
    await until(
      () => readJobs(this.#nats),
      (jobs) => jobs.some((one) => one.job === probeJob && partitionName(one.partition) === day),
      withinMs,
    );
  }

  /** In words. */
  async #underWay(goesOn: (run: RunBody) => boolean): Promise<ReadonlyArray<string>> {
    const lane = await this.#nats.jsm.consumers.info(arrivalsStream, arrivalsConsumer("imap"));
    if (lane.num_pending + lane.num_ack_pending > 0) return ["arrivals"];
    const left: Array<string> = [];
    const files = await readFiles(this.#nats);
    for (const [name, { state }] of files) if (state !== "known" && state !== "parked") left.push(name);
    for (const { state, body } of await readRuns(this.#nats)) {
      if (goesOn(body)) continue;
      if (state !== "done" && state !== "parked" && state !== "known")
        left.push(`run of ${body.job} ${partitionName(body.partition)}`);
      if (state === "done")
        left.push(...(body.outputs ?? []).map(({ name }) => name).filter((name) => !files.has(name)));
    }
    return left;
  }
}

const idOf = (job: string, partition: string): string => `${job} ${partition}`;

/** Something is about to be made of it. */
const isBusy = ({ state, blockedOn }: Pick<JobRecord, "state" | "blockedOn">): boolean =>
  state === "ready" || state === "running" || (state === "stale" && blockedOn.length === 0);
