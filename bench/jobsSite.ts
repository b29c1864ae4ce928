/** A site after a year of the IMAP mission: its file, and a ledger with what that year left, by the product's own functions. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { partitionOf } from "../src/actors/catalogueRuns.ts";
import type { NatsService } from "../src/jetstream/Nats.ts";
import type { Write } from "../src/jetstream/transaction.ts";
import { commitUnsafe, ledgerPut } from "../src/jetstream/transaction.ts";
import type { Repoint } from "../src/jobs/calendar.ts";
import { Calendar } from "../src/jobs/calendar.ts";
import type { IndexedFile } from "../src/jobs/indexed.ts";
import { factsOf } from "../src/jobs/indexed.ts";
import type { RunFact } from "../src/jobs/fact.ts";
import { formatInstant } from "../src/jobs/instant.ts";
import { partitionKey } from "../src/protocol/jobs.ts";
import { recordKey } from "../src/protocol/keys.ts";
import type { FileBody, LedgerRecord } from "../src/protocol/records.ts";
import { encodeJson, recordVersion } from "../src/protocol/records.ts";
import type { RunBody } from "../src/protocol/runs.ts";
import { laneFacts, lanePlace } from "../src/protocol/route.ts";
import { placeOfRun } from "../src/protocol/runs.ts";
import { dayOf } from "../src/jobs/instant.ts";
import { afterwards, yearStart } from "./jobsYear.ts";
import type { Year } from "./jobsYear.ts";

const lane = "imap";
const bucket = "imap";
const imap = resolve(import.meta.dirname, "../config/imap");
const writesAtOnce = 300;
const commitsAtOnce = 4;

/** @param roles without the runner: what becomes ready stays so */
export const siteText = (natsUrl: string, dataDir: string, store: string): string =>
  JSON.stringify({
    name: "jobs",
    node: {
      roles: ["enqueuer", "ingester", "reclaimer", "resolver"],
      elsewhere: ["presence", "runner", "watcher", "notifier", "visits"],
    },
    nats: { mode: "external", servers: [natsUrl] },
    http: { host: "127.0.0.1", port: 0 },
    storage: { disk: { driver: "file", root: store } },
    lanes: {
      [lane]: { kind: "object", buckets: [bucket], storage: "disk", names: join(imap, "names.yaml") },
    },
    catalogue: join(imap, "catalogue.yaml"),
    missionStart: dayOf(yearStart),
    dataDir,
    log: { level: process.env["ORRERY_BENCH_LOG"] ?? "error", format: "pretty" },
  });

const at = new Date(afterwards / 1_000).toISOString();

const record = <Body>(state: "known" | "done", etag: string, body: Body): LedgerRecord<Body> => ({
  v: recordVersion,
  state,
  generation: 0,
  etag,
  claim: null,
  attempts: 1,
  crashes: 0,
  crashesAlone: 0,
  errors: [],
  history: [{ at, event: state, node: "bench" }],
  body,
});

function fileKey(year: Year, name: string): string {
  const named = { name: lane, names: year.catalogue.recogniser, pattern: null };
  return recordKey(lanePlace(named, bucket, name, laneFacts(named, name).day));
}

function fileWrite(year: Year, file: IndexedFile): Write {
  const found = year.catalogue.recogniser.recognise(file.name);
  if (!found.ok) throw new Error(`${file.name}: ${found.reason}`);
  const isGiven = file.pointing === null && file.range !== null && found.file.range !== null;
  const fact = isGiven && file.range !== null ? { range: file.range, from: "arrival" as const } : null;
  const body: FileBody = {
    bucket,
    key: `imap/${file.name}`,
    size: 1_000,
    uri: `file:///store/imap/${file.name}`,
    identity: null,
    metadata: null,
    via: "webhook",
    receivedAt: at,
    sequence: 1,
    dataset: factsOf(found.file, fact, file.pointing),
  };
  return ledgerPut(fileKey(year, file.name), encodeJson(record("known", file.content, body)));
}

function runWrites(
  year: Year,
  run: RunFact,
  outputs: ReadonlyArray<IndexedFile>,
  calendar: Calendar,
): ReadonlyArray<Write> {
  const job = year.catalogue.jobs.get(run.job);
  const partition = job === undefined ? null : partitionOf(job, run.partition, calendar);
  if (job === undefined || partition === null) throw new Error(`${run.job} ${run.partition}`);
  const key = recordKey(placeOfRun(job.lane, job.name, partition, run.hash));
  const body: RunBody = {
    job: job.name,
    version: job.version,
    partition,
    hash: run.hash,
    inputs: run.inputs.map(({ dataset, name, content }) => ({
      record: fileKey(year, name),
      bucket,
      key: `imap/${name}`,
      etag: content,
      uri: `file:///store/imap/${name}`,
      detector: null,
      dataset,
      kind: "",
      name,
    })),
    createdAt: `${formatInstant(run.at)}Z`,
    started: null,
    outputs: outputs.map(({ name, content }) => ({
      name,
      bucket,
      key: `imap/${name}`,
      etag: content,
      size: 1_000,
    })),
    result: null,
    plan: {
      outputs: outputs.map(({ name, dataset }) => ({ dataset, name, bucket, key: `imap/${name}` })),
      minor: run.minor,
      incomplete: run.incomplete !== null,
      priority: 0,
      origin: "live",
      exclusive: null,
    },
  };
  const standing = {
    v: recordVersion,
    job: job.name,
    version: job.version,
    partition,
    state: "done",
    blockedOn: [],
    inputs: run.hash,
    run: key,
    catalogue: { on: [], incomplete: null, since: at },
  };
  return [
    ledgerPut(key, encodeJson(record("done", run.hash, body))),
    ledgerPut(partitionKey(job.name, partition), encodeJson(standing)),
  ];
}

const isoOf = (instant: number): string => formatInstant(instant).replace("T", " ");

/** The table that the year's pointings come from, as a file of the mission. */
function writeTable(store: string, repoints: ReadonlyArray<Repoint>): void {
  mkdirSync(join(store, bucket, "imap"), { recursive: true });
  const rows = repoints.map(
    ({ number, start, end }) => `${isoOf(start)},${end === null ? "" : isoOf(end)},${number}`,
  );
  writeFileSync(
    join(store, bucket, "imap", "imap_2026_365_01.repoint.csv"),
    `repoint_start_utc,repoint_end_utc,repoint_id\n${rows.join("\n")}\n`,
  );
}

export interface Filled {
  readonly files: number;
  readonly runs: number;
}

/** Writes everything; the site's streams are there already. */
export async function fill(nats: NatsService, store: string, year: Year): Promise<Filled> {
  let repoints: ReadonlyArray<Repoint> = [];
  for (const fact of year.facts) if (fact.type === "table") repoints = fact.repoints ?? [];
  writeTable(store, repoints);
  const calendar = Calendar.of([repoints]);
  const counts = { files: 0, runs: 0 };
  const under: Set<Promise<void>> = new Set();
  let batch: Array<Write> = [];
  const flush = async (): Promise<void> => {
    const some = batch;
    batch = [];
    const sent = commitUnsafe(nats, "fill", some, 60_000).then((answer) => {
      if ("_tag" in answer) throw answer;
      under.delete(sent);
    });
    under.add(sent);
    if (under.size >= commitsAtOnce) await Promise.race(under);
  };
  let made: Array<IndexedFile> = [];
  for (const fact of year.facts) {
    if (fact.type === "file") {
      made.push(fact.file);
      batch.push(fileWrite(year, fact.file));
      counts.files++;
    } else if (fact.type === "run") {
      const count = year.catalogue.jobs.get(fact.run.job)?.outputs.length ?? 0;
      batch.push(...runWrites(year, fact.run, count === 0 ? [] : made.slice(-count), calendar));
      made = [];
      counts.runs++;
    }
    if (batch.length >= writesAtOnce) await flush();
  }
  await flush();
  await Promise.all(under);
  return counts;
}
