/**
 * What the resolver knows: the facts of each job's partitions, as last told by the ledger. Plain memory, rebuilt from the
 * ledger at each start; the facts of a partition's files are let go once it has a run.
 */
import type { Decision, FileFact, JobRecord, JobRule, RunFact } from "../protocol/jobs.ts";
import { decide, decodeJob, factOf, partitionKey, partitionOf, runFactOf, takes } from "../protocol/jobs.ts";
import type { SourceState } from "../jetstream/sitesBucket.ts";
import { siteKeyOf } from "../protocol/filesOf.ts";
import { placeOfRecordKey } from "../protocol/keys.ts";
import type { FileBody } from "../protocol/records.ts";
import { decodeRecord } from "../protocol/records.ts";
import type { Partition } from "../protocol/runs.ts";
import { decodeRun } from "../protocol/runs.ts";
import type { Rebuilt } from "./otherLives.ts";
import { OtherLives } from "./otherLives.ts";

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

/** Where a file's facts stand, and of another site's file: under which life of it. */
interface Stands {
  readonly epoch: string | null;
  readonly cases: ReadonlyArray<Case>;
}

/** A file, at this site or another. */
interface At {
  readonly lane: string;
  readonly site: string | undefined;
  /** Key of its record in that site's ledger. */
  readonly record: string;
  /** Under which its facts stand: the same in each life of a site. */
  readonly key: string;
  readonly epoch: string | null;
}

const nothing: ReadonlyArray<Case> = [];

export class JobFacts {
  readonly #jobs: ReadonlyMap<string, JobRule>;
  /** Which jobs a lane's files may concern, by {@link laneKey}. */
  readonly #byLane = new Map<string, Array<JobRule>>();
  readonly #lives = new OtherLives();
  /** By key of the job record. */
  readonly #cases = new Map<string, Case>();
  /** By {@link At.key}: a corrected header moves a file to another partition. */
  readonly #casesOf = new Map<string, Stands>();
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
   * Takes in what is held of another site, as `apply`. What a former life had stands until {@link endFormer}, and a file that the present
   * one tells of takes its place: it is one file.
   */
  applyOther(change: LedgerChange & { readonly at: number }): ReadonlyArray<Case> {
    const found = siteKeyOf(change.key);
    if (found === null || !this.#lives.heard(found.site, found.epoch, change.at)) return nothing;
    const { site, epoch, key: record } = found;
    const lane = placeOfRecordKey(record)?.mailbox;
    if (lane === undefined) return nothing;
    return this.#ofFile(change, { lane, site, record, key: `${site}/${record}`, epoch });
  }

  /** Whether something of a site's former life stands. */
  get hasFormerLives(): boolean {
    return this.#lives.hasFormer;
  }

  /** See {@link OtherLives.rebuilt}. */
  rebuilt(now: number, sources: ReadonlyArray<SourceState>): ReadonlyArray<Rebuilt> {
    return this.#lives.rebuilt(now, sources);
  }

  /** See {@link OtherLives.keep}. */
  keep(site: string): boolean {
    return this.#lives.keep(site);
  }

  /** What only former lives of a site had is no input any more. @returns what has to be decided anew */
  endFormer(site: string): ReadonlyArray<Case> {
    const present = this.#lives.present(site);
    this.#lives.over(site);
    const touched = new Set<Case>();
    for (const [key, { epoch, cases }] of this.#casesOf) {
      if (epoch === null || epoch === present || !key.startsWith(`${site}/`)) continue;
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
    const { key } = change;
    const lane = placeOfRecordKey(key)?.mailbox;
    if (lane === undefined) return nothing;
    return this.#ofFile(change, { lane, site: undefined, record: key, key, epoch: null });
  }

  #ofFile(change: LedgerChange, { lane, site, record, key, epoch }: At): ReadonlyArray<Case> {
    const concerned = this.#byLane.get(laneKey(lane, site));
    if (concerned === undefined) return nothing;
    const file = change.ended ? null : decodeRecord<FileBody>(change.key, change.data);
    const fact = file === null ? null : factOf(lane, record, file, site);
    const partition = file === null || fact === null ? null : partitionOf(file.body.identity);
    const before = this.#casesOf.get(key)?.cases ?? nothing;
    for (const was of before) was.files.delete(key);
    const now: Array<Case> = [];
    if (fact !== null && partition !== null) {
      for (const rule of concerned) {
        if (!rule.inputs.some((input) => takes(input, fact))) continue;
        const of = this.#case(rule, partition);
        if (hasRun(of)) continue;
        of.files.set(key, fact);
        now.push(of);
      }
    }
    if (now.length > 0) this.#casesOf.set(key, { epoch, cases: now });
    else this.#casesOf.delete(key);
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
      const stands = this.#casesOf.get(file);
      const others = (stands?.cases ?? nothing).filter((other) => other !== of);
      if (others.length > 0) this.#casesOf.set(file, { epoch: stands?.epoch ?? null, cases: others });
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
