/**
 * A site of the IMAP mission for tests: any of its jobs, on a real nats-server, with the stand-in processor that the project ships. Files
 * are put into a folder and announced by the webhook, as a store would.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parse, stringify } from "yaml";
import { getUnsafe, scanUnsafe } from "../../src/jetstream/ledger.ts";
import type { NatsService } from "../../src/jetstream/Nats.ts";
import type { JobRecord } from "../../src/protocol/jobs.ts";
import { decodeJob } from "../../src/protocol/jobs.ts";
import { jobKey, ledgerBucket } from "../../src/protocol/keys.ts";
import type { LedgerRecord } from "../../src/protocol/records.ts";
import type { RunBody } from "../../src/protocol/runs.ts";
import { decodeRun, partitionName } from "../../src/protocol/runs.ts";
import { ask, startSite } from "./testSite.ts";
import type { TestSite } from "./testSite.ts";

const root = resolve(import.meta.dirname, "../..");
const imap = join(root, "config/imap");
const instruments = "codice glows hi hit idex lo mag spacecraft swapi swe ultra".split(" ");

interface InstrumentFile {
  readonly instrument: string;
  readonly jobs: Record<string, Record<string, unknown>>;
}

export interface MissionOptions {
  /** Names of jobs, `swe/l1a/all`; left out: all of them. */
  readonly jobs?: ReadonlyArray<string>;
  /** Fields of jobs that this test wants otherwise. */
  readonly change?: (job: string, fields: Record<string, unknown>) => Record<string, unknown>;
  /** What else catalogue.yaml is to say. */
  readonly common?: (file: Record<string, unknown>) => Record<string, unknown>;
  /** Environment of the stand-in processor. */
  readonly env?: Readonly<Record<string, string>>;
  readonly missionStart?: string;
  /** Further keys of the lane, `workers: 8`. */
  readonly lane?: Readonly<Record<string, string | number>>;
  /** Further keys of the site file, YAML. */
  readonly site?: string;
  /** Everything in this folder, which the caller removes. */
  readonly folder?: string;
  /** The site's clock as the node is to see it. */
  readonly aroundClock?: (siteMs: number) => number;
}

export interface MissionFiles {
  readonly folder: string;
  /** Folder of the bucket `imap`. */
  readonly bucket: string;
  readonly text: string;
}

/** Writes catalogue and site file. `nats` and `node` keys stand in `site`. */
export function writeMission(options: MissionOptions): MissionFiles {
  const folder = options.folder ?? mkdtempSync(join(tmpdir(), "orrery-mission-"));
  const bucket = join(folder, "store", "imap");
  mkdirSync(bucket, { recursive: true });
  const catalogue = join(folder, "catalogue");
  mkdirSync(catalogue, { recursive: true });
  const used: Array<string> = [];
  const chosen: Array<{ readonly name: string; readonly partition: string }> = [];
  for (const instrument of instruments) {
    const file = parse(readFileSync(join(imap, `${instrument}.yaml`), "utf8")) as InstrumentFile;
    const jobs = Object.entries(file.jobs).filter(([name]) => options.jobs?.includes(name) ?? true);
    if (jobs.length === 0) continue;
    chosen.push(...jobs.map(([name, fields]) => ({ name, partition: String(fields["partition"]) })));
    const changed = jobs.map(([name, fields]) => [name, options.change?.(name, fields) ?? fields]);
    used.push(`${instrument}.yaml`);
    writeFileSync(
      join(catalogue, `${instrument}.yaml`),
      stringify({ instrument: file.instrument, jobs: Object.fromEntries(changed) as unknown }),
    );
  }
  const common = parse(readFileSync(join(imap, "catalogue.yaml"), "utf8")) as Record<string, unknown>;
  // What is said of jobs that are not there is an error.
  const settings = (common["settings"] as ReadonlyArray<Setting>).flatMap((setting) => {
    const jobs = setting.jobs.filter((pattern) => chosen.some((job) => isMeant(setting, pattern, job)));
    return jobs.length === 0 ? [] : [{ ...setting, jobs }];
  });
  const own = {
    ...common,
    names: join(imap, "names.yaml"),
    instruments: used,
    settings,
    // Of a few jobs most inputs are made by none of them.
    ...(options.jobs === undefined ? {} : { arrives: ["."], deliveredAs: deliveredOf(common, options.jobs) }),
    windows: {
      ...(common["windows"] as object),
      "30d": { table: join(imap, "idex-30-day-windows.csv") },
    },
    drivers: {
      process: {
        type: "process",
        command: ["{node}", "{orrery}/demo/processor{ext}"],
        ...(options.env === undefined ? {} : { env: options.env }),
      },
    },
  };
  writeFileSync(join(catalogue, "catalogue.yaml"), stringify(options.common?.(own) ?? own));
  const text = `
name: mission
dataDir: ${JSON.stringify(join(folder, "data"))}
storage:
  disk: { driver: file, root: ${JSON.stringify(join(folder, "store"))} }
lanes:
  imap:
    kind: object
    buckets: [imap]
    storage: disk
    names: ${JSON.stringify(join(imap, "names.yaml"))}
    sidecar: .range.json
    backoffBase: 10 ms
    backoffMax: 50 ms
${Object.entries(options.lane ?? {})
  .map(([key, value]) => `    ${key}: ${value}\n`)
  .join("")}catalogue: ${JSON.stringify(join(catalogue, "catalogue.yaml"))}
${options.missionStart === undefined ? "" : `missionStart: "${options.missionStart}"`}
${options.site ?? "node: { name: one }\nnats: { mode: embedded, syncAlways: false }\nhttp: { host: 127.0.0.1, port: 0 }"}
`;
  writeFileSync(join(folder, "site.yaml"), text);
  return { folder, bucket, text };
}

interface Setting {
  readonly jobs: ReadonlyArray<string>;
  readonly partitions?: ReadonlyArray<string>;
}

const isMeant = (
  { partitions }: Setting,
  pattern: string,
  job: { readonly name: string; readonly partition: string },
): boolean =>
  (partitions?.includes(job.partition) ?? true) &&
  new RegExp(`^${pattern.replaceAll("*", "[^/]*")}$`).test(job.name);

function deliveredOf(common: Record<string, unknown>, jobs: ReadonlyArray<string>): Record<string, unknown> {
  const all = common["deliveredAs"] as Record<string, unknown>;
  return Object.fromEntries(Object.entries(all).filter(([name]) => jobs.includes(name)));
}

/** One file to announce: its name, and what is known better of it than its name says. */
export interface MissionFile {
  readonly name: string;
  readonly range?: readonly [string, string];
  /** Content; equal text is equal content. */
  readonly text?: string;
}

export interface Mission {
  readonly site: TestSite;
  readonly files: MissionFiles;
  /** Puts files into the bucket and announces them in one request. */
  readonly send: (files: ReadonlyArray<MissionFile | string>) => Promise<void>;
  readonly jobs: () => Promise<ReadonlyArray<JobRecord>>;
  readonly job: (name: string, partition: string) => Promise<JobRecord | null>;
  /** As `job`, by its key alone: quick also among many. */
  readonly jobAt: (name: string, day: string, instrument: string) => Promise<JobRecord | null>;
  readonly runs: () => Promise<ReadonlyArray<LedgerRecord<RunBody>>>;
  readonly stop: () => Promise<void>;
}

/** What stands in the ledger of every job and partition. */
export async function readJobs(nats: NatsService): Promise<ReadonlyArray<JobRecord>> {
  const found: Array<JobRecord> = [];
  await scanUnsafe(nats, ledgerBucket, ["job.>"], ({ key, data }) => void found.push(decodeJob(key, data)));
  return found;
}

export async function readRuns(nats: NatsService): Promise<ReadonlyArray<LedgerRecord<RunBody>>> {
  const found: Array<LedgerRecord<RunBody>> = [];
  await scanUnsafe(nats, ledgerBucket, ["run.>"], ({ key, data }) => void found.push(decodeRun(key, data)));
  return found;
}

export async function startMission(options: MissionOptions): Promise<Mission> {
  const files = writeMission(options);
  const remove = (): void => {
    if (options.folder === undefined) rmSync(files.folder, { recursive: true, force: true });
  };
  const { aroundClock } = options;
  const site = await startSite(files.text, aroundClock === undefined ? {} : { aroundClock }).catch(
    (cause: unknown) => {
      remove();
      throw cause;
    },
  );
  const { nats } = site.node.context;
  const jobs = () => readJobs(nats);
  return {
    site,
    files,
    send: (some) => sendFiles(site, files.bucket, some),
    jobs,
    job: async (name, partition) =>
      (await jobs()).find((one) => one.job === name && partitionName(one.partition) === partition) ?? null,
    jobAt: async (name, day, instrument) => {
      const key = jobKey(name, day, `${instrument}/${day}`);
      const entry = await getUnsafe(nats, ledgerBucket, key);
      return entry === null || entry.ended ? null : decodeJob(key, entry.data);
    },
    runs: () => readRuns(nats),
    stop: async () => {
      await site.stop();
      remove();
    },
  };
}

export async function sendFiles(
  site: Pick<TestSite, "url">,
  bucket: string,
  some: ReadonlyArray<MissionFile | string>,
): Promise<void> {
  const all = some.map((one) => (typeof one === "string" ? { name: one } : one));
  for (const { name, text, range } of all) {
    writeFileSync(join(bucket, name), text ?? name);
    if (range !== undefined) writeFileSync(join(bucket, rangeOf(name)), JSON.stringify({ range }));
  }
  const answer = await ask(site, {
    body: {
      Records: all.map(({ name, text }) => ({
        eventName: "ObjectCreated:Put",
        s3: { bucket: { name: "imap" }, object: { key: name, eTag: etagOf(text ?? name), size: 1 } },
      })),
    },
  });
  if (answer.status !== 200) throw new Error(`not accepted: ${JSON.stringify(answer)}`);
}

/** The sidecar's name: its ending stands in the place of the file's own. */
const rangeOf = (name: string): string => `${name.slice(0, name.lastIndexOf("."))}.range.json`;

/** Short, and equal for equal text. */
function etagOf(text: string): string {
  let sum = 7;
  for (const letter of text) sum = (sum * 31 + letter.charCodeAt(0)) % 2_147_483_647;
  return `${sum.toString(16)}-${text.length}`;
}
