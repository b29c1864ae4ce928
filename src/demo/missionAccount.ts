/** The account of a mission that was played: what was made, of what, and why what is open is open. Read from ledger and files, not from the view. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { JobCatalogue } from "../config/JobCatalogue.ts";
import type { NatsService } from "../jetstream/Nats.ts";
import { scanUnsafe } from "../jetstream/ledger.ts";
import type { Instant } from "../jobs/instant.ts";
import { compareText } from "../jobs/select/sorted.ts";
import type { JobRecord } from "../protocol/jobs.ts";
import { ledgerBucket } from "../protocol/keys.ts";
import type { LedgerRecord } from "../protocol/records.ts";
import type { RunBody } from "../protocol/runs.ts";
import { decodeRun, partitionName } from "../protocol/runs.ts";
import type { Cause, OpenPartition } from "./missionCauses.ts";
import { openPartitions } from "./missionCauses.ts";
import type { MissionPicture, SeenFile } from "./missionPicture.ts";
import type { SampleFile } from "./missionSample.ts";

export interface RootCause {
  readonly cause: Cause;
  /** Why its file was held back; null where none was. */
  readonly heldBack: SampleFile | null;
  readonly partitions: ReadonlyArray<OpenPartition>;
}

export interface MissionAccount {
  /** Sample files that are known, of those that were delivered. */
  readonly delivered: { readonly right: number; readonly of: number };
  /** Products, by level. */
  readonly products: ReadonlyMap<string, number>;
  readonly runs: { readonly done: number; readonly all: number };
  /** Inputs whose digest in a product is that of the file in the ledger, of all that products name. */
  readonly lineage: { readonly right: number; readonly of: number };
  readonly partitions: ReadonlyMap<string, number>;
  /** Those that lack a file. */
  readonly roots: ReadonlyArray<RootCause>;
  /** Open ones that lack nothing but time, be it to come or before the play. */
  readonly waiting: number;
  readonly faults: ReadonlyArray<string>;
}

export interface AccountNeeds {
  readonly catalogue: JobCatalogue;
  readonly picture: MissionPicture;
  readonly sample: ReadonlyArray<SampleFile>;
  readonly nats: NatsService;
  /** The first day of the play. */
  readonly since: Instant;
  /** Directory whose directories are the buckets. */
  readonly root: string;
}

type Runs = ReadonlyMap<string, LedgerRecord<RunBody>>;

async function readRuns(nats: NatsService): Promise<Runs> {
  const runs = new Map<string, LedgerRecord<RunBody>>();
  await scanUnsafe(
    nats,
    ledgerBucket,
    ["run.>"],
    ({ key, data }) => void runs.set(key, decodeRun(key, data)),
  );
  return runs;
}

export async function missionAccount(needs: AccountNeeds): Promise<MissionAccount> {
  const { catalogue, picture, sample, nats } = needs;
  const faults: Array<string> = [];
  const runs = await readRuns(nats);
  const delivered = sample.filter(({ heldBack }) => heldBack === null);
  for (const { name } of delivered) {
    const file = picture.files.get(name);
    if (file?.state === "known") continue;
    faults.push(
      `${name} was delivered, and is ${file?.state ?? "not there"}${file?.error == null ? "" : `: ${file.error}`}`,
    );
  }
  const jobs = [...picture.jobs.values()].map((record) => withError(record, runs));
  const open = openPartitions(catalogue, jobs, needs.since);
  const { roots, waiting } = rootsOf(open, needs, faults);
  for (const { name, heldBack } of sample) {
    const isNamed = roots.some((root) => root.heldBack?.name === name);
    if (heldBack !== null && !picture.isKnown(name) && !isNamed) {
      faults.push(`${name} was held back, and nothing waits for it`);
    }
  }
  return {
    delivered: { right: delivered.filter(({ name }) => picture.isKnown(name)).length, of: delivered.length },
    products: productsOf(catalogue, picture),
    runs: { done: [...runs.values()].filter(({ state }) => state === "done").length, all: runs.size },
    lineage: await checkProducts(needs, runs, faults),
    partitions: countBy([...picture.jobs.values()].map(({ state }) => state)),
    roots,
    waiting,
    faults: [...new Set(faults)],
  };
}

/** A failed one with what its run failed by. */
function withError(record: JobRecord, runs: Runs): JobRecord {
  const last = record.state === "failed" ? runs.get(record.run ?? "")?.errors.at(-1) : undefined;
  return last === undefined ? record : { ...record, blockedOn: [`${last.reason}: ${last.detail}`] };
}

function countBy(words: ReadonlyArray<string>): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
  return new Map([...counts].sort(([a], [b]) => (a < b ? -1 : 1)));
}

function productsOf(catalogue: JobCatalogue, picture: MissionPicture): ReadonlyMap<string, number> {
  const known = [...picture.files.values()].filter(
    ({ state, facts }) => state === "known" && facts !== null && catalogue.producerOf.has(facts.dataset),
  );
  return countBy(known.map(({ facts }) => facts?.dataset.split("/")[1] ?? ""));
}

const byName = ({ record: a }: OpenPartition, { record: b }: OpenPartition): number =>
  compareText(a.job, b.job) || compareText(partitionName(a.partition), partitionName(b.partition));

/** Open partitions by what they lack in the end. One that lacks nothing but time is as it should be. */
function rootsOf(
  open: ReadonlyArray<OpenPartition>,
  { sample, picture }: Pick<AccountNeeds, "sample" | "picture">,
  faults: Array<string>,
): { readonly roots: ReadonlyArray<RootCause>; readonly waiting: number } {
  const roots = new Map<
    string,
    { cause: Cause; heldBack: SampleFile | null; partitions: Array<OpenPartition> }
  >();
  let waiting = 0;
  for (const one of open.toSorted(byName)) {
    if (one.causes.every(({ type }) => type === "time" || type === "before")) waiting++;
    for (const cause of one.causes) {
      if (cause.type === "fault") faults.push(cause.words);
      if (cause.type !== "file") continue;
      const heldBack = sample.find(
        (file) => file.dataset === cause.dataset && file.heldBack !== null && !picture.isKnown(file.name),
      );
      if (heldBack === undefined) faults.push(`${cause.words}: it was not held back`);
      const key = cause.dataset ?? "";
      const known = roots.get(key);
      if (known === undefined) roots.set(key, { cause, heldBack: heldBack ?? null, partitions: [one] });
      else if (!known.partitions.includes(one)) known.partitions.push(one);
    }
  }
  const most = [...roots.values()].sort((a, b) => b.partitions.length - a.partitions.length);
  return { roots: most, waiting };
}

interface Told {
  readonly job?: unknown;
  readonly partition?: unknown;
  readonly inputs?: ReadonlyArray<{ readonly name?: unknown; readonly sha256?: unknown }>;
}

/** Every product of a run that is done: known, and made of just what the run's record names, by content. */
async function checkProducts(
  { picture, root }: Pick<AccountNeeds, "picture" | "root">,
  runs: Runs,
  faults: Array<string>,
): Promise<MissionAccount["lineage"]> {
  const lineage = { right: 0, of: 0 };
  for (const { state, body } of runs.values()) {
    if (state !== "done") continue;
    for (const { name, bucket, key } of body.outputs ?? []) {
      if (!picture.isKnown(name)) {
        faults.push(`${name} was made, and is not known`);
        continue;
      }
      const told = JSON.parse(await readFile(join(root, bucket, key), "utf8")) as Told;
      const inputs = told.inputs ?? [];
      if (told.job !== body.job || inputs.length !== body.inputs.length) {
        faults.push(
          `${name} says that it is of ${String(told.job)}, of ${inputs.length} inputs: not as its run`,
        );
      }
      for (const input of inputs) {
        lineage.of++;
        const file: SeenFile | undefined = picture.files.get(String(input.name));
        const isIts = body.inputs.some((one) => one.name === input.name);
        if (isIts && file?.facts?.digest === input.sha256) lineage.right++;
        else faults.push(`${name} was made of another ${String(input.name)} than is known`);
      }
    }
  }
  return lineage;
}
