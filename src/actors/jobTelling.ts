/**
 * Tells in the ledger how partitions stand: what was decided is kept until the job's record says it, and written together with others, on a
 * beat. Whatever could not be written stays to be written; what stands instead comes down the ledger, or is read.
 */
import * as Effect from "effect/Effect";
import * as Random from "effect/Random";
import type { JobCatalogue } from "../config/JobCatalogue.ts";
import { getUnsafe } from "../jetstream/ledger.ts";
import type { Entry } from "../jetstream/ledger.ts";
import type { Write } from "../jetstream/transaction.ts";
import { commitUnsafe, ledgerPut } from "../jetstream/transaction.ts";
import type { Change } from "../jobs/fact.ts";
import type { Resolver } from "../jobs/Resolver.ts";
import { jobRecordsPerCommitMax } from "../limits.ts";
import type { JobRecord } from "../protocol/jobs.ts";
import { jobOrNull, partitionKey } from "../protocol/jobs.ts";
import { ledgerBucket, recordKey } from "../protocol/keys.ts";
import { encodeJson } from "../protocol/records.ts";
import type { StretchPartition } from "../protocol/runs.ts";
import { placeOfRun } from "../protocol/runs.ts";
import type { CatalogueFacts } from "./catalogueFacts.ts";
import { saying } from "./catalogueFacts.ts";
import { jobRecordOf, partitionOf } from "./catalogueRuns.ts";
import type { NodeContextService } from "./NodeContext.ts";

const tellEveryMs = 200;
const commitDeadlineMs = 5_000;

interface Decided {
  readonly partition: StretchPartition;
  readonly change: Change;
}

/** A record that is to be written. */
export interface Telling {
  readonly key: string;
  readonly change: Change;
  readonly record: JobRecord;
  readonly write: Write;
}

export interface TellingOf {
  readonly node: NodeContextService;
  readonly catalogue: Pick<JobCatalogue, "jobs">;
  readonly facts: CatalogueFacts;
  readonly core: Resolver;
}

export class JobTelling {
  readonly #of: TellingOf;
  /** What of a partition's state is not written yet, by the key of its record. */
  readonly #decided = new Map<string, Decided>();
  /** Keys of records that are being written with the run that begins. */
  readonly #beginning = new Set<string>();

  constructor(of: TellingOf) {
    this.#of = of;
  }

  add(change: Change): void {
    const { catalogue, core } = this.#of;
    const job = catalogue.jobs.get(change.job);
    const partition = job === undefined ? null : partitionOf(job, change.partition, core.index.calendar);
    if (partition === null) return;
    this.#decided.set(partitionKey(change.job, partition), { partition, change });
  }

  /** Their records are on their way, with runs: telling the same beside that would be refused, or have the run refused. */
  begins(keys: ReadonlyArray<string>): void {
    for (const key of keys) this.#beginning.add(key);
  }

  /** As {@link begins}; whether they got through or not. */
  begun(keys: ReadonlyArray<string>): void {
    for (const key of keys) this.#beginning.delete(key);
  }

  readonly forEver: Effect.Effect<never> = Effect.forever(
    Effect.gen({ self: this }, function* () {
      // Nodes of a site tell the same things: out of step, the second finds it said.
      const random = yield* Random.next;
      yield* Effect.sleep(tellEveryMs * (0.5 + random));
      yield* Effect.promise(() => this.#tellAll());
    }),
  );

  /** What is to be written now. What the ledger says by now is forgotten. */
  due(): ReadonlyArray<Telling> {
    const all: Array<Telling> = [];
    for (const [key, decided] of this.#decided) {
      if (this.#beginning.has(key)) continue;
      const telling = this.#tellingOf(key, decided);
      if (telling === null) this.#decided.delete(key);
      else all.push(telling);
    }
    return all;
  }

  async #tellAll(): Promise<void> {
    const all = this.due();
    for (let at = 0; at < all.length; at += jobRecordsPerCommitMax) {
      const some = all.slice(at, at + jobRecordsPerCommitMax);
      const done = await this.#tell(some);
      // Of a conflict nobody says whose it is: one by one, all but that one get through.
      if (!done && some.length > 1) for (const one of some) await this.#tell([one]);
    }
  }

  /** Null where the record says so already. */
  #tellingOf(key: string, { partition, change }: Decided): Telling | null {
    const { job: name, status } = change;
    const { catalogue, facts, node } = this.#of;
    const job = catalogue.jobs.get(name);
    if (job === undefined) return null;
    const { revision, said, minor } = facts.standing(key);
    // It was never said that there is such a partition.
    if (status.state === "none" && said === null) return null;
    const run = status.hash === null ? null : recordKey(placeOfRun(job.lane, name, partition, status.hash));
    const record = jobRecordOf(job, partition, status, run, node.nats.now(), minor);
    if (saying(record) === said) return null;
    return { key, change, record, write: ledgerPut(key, encodeJson(record), revision) };
  }

  /** @returns false for a conflict, after which what stands now comes down the ledger, or is read on the next beat */
  async #tell(some: ReadonlyArray<Telling>): Promise<boolean> {
    const { node, facts } = this.#of;
    const writes = some.map((one) => one.write);
    const answer = await commitUnsafe(node.nats, "tell of jobs", writes, commitDeadlineMs);
    if (!("_tag" in answer)) {
      some.forEach(({ key, change, record }, i) => {
        facts.stands(key, answer[i] ?? 0, record);
        // What was decided while this was written is still to be told.
        if (this.#decided.get(key)?.change === change) this.#decided.delete(key);
      });
      return true;
    }
    if (answer._tag !== "TransactionConflict") {
      node.log("warn", "job records could not be written yet", {
        records: some.length,
        cause: answer.message,
      });
      return true;
    }
    const [only] = some;
    if (some.length === 1 && only !== undefined) {
      // Not to be read now: the next beat is refused again, and reads again.
      const entry = await getUnsafe(node.nats, ledgerBucket, only.key).catch(() => undefined);
      if (entry !== undefined) learnStanding(facts, only.key, entry);
    }
    return false;
  }
}

/** A job's record as it was just read. Of a day that was purged nothing comes down the ledger. */
export function learnStanding(facts: CatalogueFacts, key: string, entry: Entry | null): void {
  if (entry === null) return facts.purged(key);
  const record = entry.ended ? null : jobOrNull(key, entry.data);
  // What is no record of a job is learnt when it comes down, after all that was written before it.
  if (entry.ended || record !== null) facts.stands(key, entry.revision, record);
}
