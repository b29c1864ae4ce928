/**
 * What the resolver knows: the facts of each job's partitions, as last told by the ledger. Plain memory, rebuilt from the
 * ledger at each start; the facts of a partition's files are let go once it has a run.
 */
import type { Decision, FileFact, JobRecord, JobRule, RunFact } from "../protocol/jobs.ts";
import { decide, decodeJob, factOf, partitionKey, partitionOf, runFactOf, takes } from "../protocol/jobs.ts";
import { compareEpochs, siteKeyOf } from "../protocol/filesOf.ts";
import { placeOfRecordKey } from "../protocol/keys.ts";
import type { FileBody } from "../protocol/records.ts";
import { decodeRecord } from "../protocol/records.ts";
import type { Partition } from "../protocol/runs.ts";
import { decodeRun } from "../protocol/runs.ts";
import { lifeSubjects } from "../protocol/sites.ts";

/** One key of the ledger as it stands. */
export interface LedgerChange {
  readonly key: string;
  readonly revision: number;
  readonly data: Uint8Array;
  readonly ended: boolean;
}

/** One job and one partition. */
export interface Case {
  readonly rule: JobRule;
  readonly partition: Partition;
  /** Key of the job record. */
  readonly key: string;
  /** Revision that the next write of the job record expects. */
  revision: number;
  record: JobRecord | null;
  readonly files: Map<string, FileFact>;
  readonly runs: Map<string, RunFact>;
}

const nothing: ReadonlyArray<Case> = [];

export class JobFacts {
  readonly #jobs: ReadonlyMap<string, JobRule>;
  /** Which jobs a lane's files may concern, by {@link laneKey}. */
  readonly #byLane = new Map<string, Array<JobRule>>();
  /** Present lives of other sites, by name. */
  readonly #epochs = new Map<string, string>();
  /** By key of the job record. */
  readonly #cases = new Map<string, Case>();
  /** Where a file's facts stand: a corrected header moves it to another partition. */
  readonly #casesOf = new Map<string, ReadonlyArray<Case>>();
  /** Revision of the newest change seen. */
  #seen = 0;

  constructor(jobs: ReadonlyMap<string, JobRule>) {
    this.#jobs = jobs;
    for (const job of jobs.values()) {
      for (const lane of new Set(job.inputs.map((input) => laneKey(input.lane, input.site)))) {
        const concerned = this.#byLane.get(lane) ?? [];
        concerned.push(job);
        this.#byLane.set(lane, concerned);
      }
    }
  }

  get seen(): number {
    return this.#seen;
  }

  /** What to follow: keys of the ledger, with wildcards. */
  get keys(): ReadonlyArray<string> {
    const lanes = [...this.#byLane.keys()].flatMap((key) => {
      const { lane, site } = ofLaneKey(key);
      return site === undefined ? [`file.${lane}.>`] : [];
    });
    return [...lanes, "run.>", ...[...this.#jobs.keys()].map((job) => `job.${job}.>`)];
  }

  /** The same of what is held of other sites. */
  get otherKeys(): ReadonlyArray<string> {
    return [...this.#byLane.keys()].flatMap((key) => {
      const { lane, site } = ofLaneKey(key);
      return site === undefined ? [] : [`${site}.*.file.${lane}.>`];
    });
  }

  /**
   * Takes in what is held of another site. Of a site that was rebuilt only what its present life has is an input.
   * @returns as `apply`, and subjects of the life that is over by it
   */
  applyOther(change: LedgerChange): {
    readonly touched: ReadonlyArray<Case>;
    readonly former: string | null;
  } {
    const found = siteKeyOf(change.key);
    if (found === null) return { touched: nothing, former: null };
    const { site, epoch, key } = found;
    const present = this.#epochs.get(site) ?? epoch;
    if (compareEpochs(epoch, present) < 0) return { touched: nothing, former: null };
    this.#epochs.set(site, epoch);
    const gone = epoch === present ? nothing : this.#endLife(site, present);
    const lane = placeOfRecordKey(key)?.mailbox;
    const touched = lane === undefined ? nothing : this.#ofFile(change, { lane, site, record: key });
    return {
      touched: [...new Set([...gone, ...touched])],
      former: epoch === present ? null : lifeSubjects(site, present),
    };
  }

  #endLife(site: string, epoch: string): ReadonlyArray<Case> {
    const touched = new Set<Case>();
    for (const [key, cases] of this.#casesOf) {
      if (!key.startsWith(`${site}.${epoch}.`)) continue;
      for (const of of cases) {
        of.files.delete(key);
        touched.add(of);
      }
      this.#casesOf.delete(key);
    }
    return [...touched];
  }

  /**
   * Takes one change in.
   * @returns what has to be decided anew. Throws `LedgerCorrupt` for a value that nobody of us wrote.
   */
  apply(change: LedgerChange): ReadonlyArray<Case> {
    this.#seen = Math.max(this.#seen, change.revision);
    if (change.key.startsWith("file.")) return this.#file(change);
    if (change.key.startsWith("run.")) return this.#run(change);
    return this.#job(change);
  }

  /** What is to be written for one case, by what is known now. */
  decide(of: Case, at: { readonly now: number; readonly node: string }): Decision {
    const named = of.record?.run ?? null;
    const run = (named === null ? [...of.runs.values()].at(-1) : of.runs.get(named)) ?? null;
    return decide(of.rule, of.partition, { files: of.files.values(), record: of.record, run }, at);
  }

  /** The job record said this at this revision; of what is older than what is known nothing is learnt. */
  learn(of: Case, revision: number, record: JobRecord | null): void {
    if (revision >= of.revision) this.stands(of, revision, record);
  }

  /** The job record says this now, whatever was known: its day may have been purged. */
  stands(of: Case, revision: number, record: JobRecord | null): void {
    of.revision = revision;
    of.record = record;
    if (hasRun(of)) this.#settled(of);
  }

  #file(change: LedgerChange): ReadonlyArray<Case> {
    const lane = placeOfRecordKey(change.key)?.mailbox;
    return lane === undefined ? nothing : this.#ofFile(change, { lane, site: undefined, record: change.key });
  }

  #ofFile(
    change: LedgerChange,
    {
      lane,
      site,
      record,
    }: { readonly lane: string; readonly site: string | undefined; readonly record: string },
  ): ReadonlyArray<Case> {
    const concerned = this.#byLane.get(laneKey(lane, site));
    if (concerned === undefined) return nothing;
    const file = change.ended ? null : decodeRecord<FileBody>(change.key, change.data);
    const fact = file === null ? null : factOf(lane, record, file, site);
    const partition = file === null || fact === null ? null : partitionOf(file.body.identity);
    const before = this.#casesOf.get(change.key) ?? nothing;
    for (const was of before) was.files.delete(change.key);
    const now: Array<Case> = [];
    if (fact !== null && partition !== null) {
      for (const rule of concerned) {
        if (!rule.inputs.some((input) => takes(input, fact))) continue;
        const of = this.#case(rule, partition);
        if (hasRun(of)) continue;
        of.files.set(change.key, fact);
        now.push(of);
      }
    }
    if (now.length > 0) this.#casesOf.set(change.key, now);
    else this.#casesOf.delete(change.key);
    return [...new Set([...before, ...now])];
  }

  #run(change: LedgerChange): ReadonlyArray<Case> {
    if (change.ended) return nothing;
    const run = decodeRun(change.key, change.data);
    const rule = this.#jobs.get(run.body.job);
    if (rule === undefined) return nothing;
    const of = this.#case(rule, run.body.partition);
    of.runs.set(change.key, runFactOf(change.key, run));
    this.#settled(of);
    return [of];
  }

  #job(change: LedgerChange): ReadonlyArray<Case> {
    const record = change.ended ? null : decodeJob(change.key, change.data);
    const known = this.#cases.get(change.key);
    if (record === null) {
      if (known === undefined) return nothing;
      this.learn(known, change.revision, null);
      return [known];
    }
    const rule = this.#jobs.get(record.job);
    if (rule === undefined) return nothing;
    const of = known ?? this.#case(rule, record.partition);
    this.learn(of, change.revision, record);
    return [of];
  }

  #case(rule: JobRule, partition: Partition): Case {
    const key = partitionKey(rule.name, partition);
    let found = this.#cases.get(key);
    if (found === undefined) {
      found = { rule, partition, key, revision: 0, record: null, files: new Map(), runs: new Map() };
      this.#cases.set(key, found);
    }
    return found;
  }

  /** A partition with a run needs the facts of its files no more. */
  #settled(of: Case): void {
    for (const file of of.files.keys()) {
      const others = (this.#casesOf.get(file) ?? nothing).filter((other) => other !== of);
      if (others.length > 0) this.#casesOf.set(file, others);
      else this.#casesOf.delete(file);
    }
    of.files.clear();
  }
}

/** No lane's name has a slash in it. */
const laneKey = (lane: string, site: string | undefined): string =>
  site === undefined ? lane : `${site}/${lane}`;

function ofLaneKey(key: string): { readonly lane: string; readonly site: string | undefined } {
  const slash = key.indexOf("/");
  return slash < 0
    ? { lane: key, site: undefined }
    : { site: key.slice(0, slash), lane: key.slice(slash + 1) };
}

const hasRun = (of: Case): boolean => of.runs.size > 0 || (of.record !== null && of.record.run !== null);
