/** Why what is open is open: from each partition that is not made, along what it waits for, to where that begins. Pure. */
import type { JobCatalogue } from "../config/JobCatalogue.ts";
import type { BlockedOn } from "../jobs/blockedOn.ts";
import { blockedWords } from "../jobs/blockedOn.ts";
import type { CatalogueJob } from "../jobs/catalogue.ts";
import type { DatasetId } from "../jobs/dataset.ts";
import type { Instant, Range } from "../jobs/instant.ts";
import { overlap, parseInstant } from "../jobs/instant.ts";
import { allTime } from "../jobs/partitions.ts";
import type { JobRecord } from "../protocol/jobs.ts";
import { partitionName } from "../protocol/runs.ts";

/**
 * - `file`   a file that comes from outside, of this data set
 * - `time`   nothing is missing that could be there already
 * - `before` a window that began before the first day of which there are files
 * - `asked`  an operator holds it
 * - `fault`  none of these: it should have been made
 */
export interface Cause {
  readonly type: "file" | "time" | "before" | "asked" | "fault";
  readonly dataset: DatasetId | null;
  readonly words: string;
}

export interface OpenPartition {
  readonly record: JobRecord;
  /** Never empty. */
  readonly causes: ReadonlyArray<Cause>;
}

const nameOf = ({ job, partition }: JobRecord): string => `${job} ${partitionName(partition)}`;

function rangeOf({ partition }: JobRecord): Range {
  if (!("range" in partition) || partition.range === null) return allTime;
  const [start, end] = [parseInstant(partition.range.start), parseInstant(partition.range.end)];
  return start === null || end === null ? allTime : { start, end };
}

/**
 * @param jobs how each job stands with each partition
 * @param since the first day of which there are files
 */
export function openPartitions(
  catalogue: Pick<JobCatalogue, "producerOf">,
  jobs: Iterable<JobRecord>,
  since: Instant,
): ReadonlyArray<OpenPartition> {
  const walk = new Walk(catalogue, jobs, since);
  return [...walk.records]
    .filter(({ state }) => state !== "done")
    .map((record) => ({ record, causes: walk.causes(record) }));
}

class Walk {
  readonly records: ReadonlyArray<JobRecord>;
  readonly #catalogue: Pick<JobCatalogue, "producerOf">;
  readonly #since: Instant;
  readonly #byJob = new Map<string, Array<JobRecord>>();
  /** On the way from the one that is asked for: whoever comes back to one of these adds nothing. */
  readonly #visited = new Set<JobRecord>();
  /** Jobs without a partition that were asked for what they take. */
  readonly #asked = new Set<string>();

  constructor(catalogue: Pick<JobCatalogue, "producerOf">, jobs: Iterable<JobRecord>, since: Instant) {
    this.#catalogue = catalogue;
    this.#since = since;
    this.records = [...jobs];
    for (const record of this.records) {
      const same = this.#byJob.get(record.job);
      if (same === undefined) this.#byJob.set(record.job, [record]);
      else same.push(record);
    }
  }

  causes(record: JobRecord): ReadonlyArray<Cause> {
    this.#visited.clear();
    this.#asked.clear();
    const all = this.#from(record);
    if (all.length === 0)
      return [{ type: "fault", dataset: null, words: `${nameOf(record)} waits for itself` }];
    return [...new Map(all.map((cause) => [`${cause.type} ${cause.words}`, cause])).values()];
  }

  #from(record: JobRecord): ReadonlyArray<Cause> {
    if (this.#visited.has(record)) return [];
    this.#visited.add(record);
    return this.#causesOf(record);
  }

  #causesOf(record: JobRecord): ReadonlyArray<Cause> {
    const fault = (words: string): ReadonlyArray<Cause> => [{ type: "fault", dataset: null, words }];
    const { state, blockedOn } = record;
    if (state === "failed") return fault([`${nameOf(record)} failed`, ...blockedOn].join(": "));
    if (state === "ready" || state === "running") return fault(`${nameOf(record)} is ${state} still`);
    const { start } = rangeOf(record);
    if (Number.isFinite(start) && start < this.#since) {
      return [{ type: "before", dataset: null, words: "began before the first day that there is" }];
    }
    const on = (record.catalogue?.on ?? []) as ReadonlyArray<BlockedOn>;
    const causes = on.flatMap((one) => this.#causesOfOne(record, one));
    return causes.length > 0 || on.length > 0
      ? causes
      : fault(`${nameOf(record)} is ${state} and waits for nothing`);
  }

  #causesOfOne(record: JobRecord, on: BlockedOn): ReadonlyArray<Cause> {
    const words = blockedWords(on);
    const range = rangeOf(record);
    switch (on.type) {
      case "windowOpen":
      case "windowShare":
      case "schedule":
        return [{ type: "time", dataset: null, words }];
      case "neighbours":
        return [{ type: "time", dataset: on.dataset, words }];
      case "held":
        return [{ type: "asked", dataset: null, words }];
      case "notYet":
        return [{ type: "fault", dataset: null, words: `${nameOf(record)}: ${words}` }];
      case "upstream":
        return on.partitions.flatMap((id) => this.#named(id.job, id.partition, words));
      case "neighbourRunning":
        return this.#made(on.dataset, range, words);
      case "alternatives":
      case "anyProduct":
        return this.#anyOf(on.datasets, range, words);
      default:
        return this.#made(on.dataset, range, words);
    }
  }

  /** Of several of which one is enough: what comes from outside, or is open; what has no partition is not expected. */
  #anyOf(datasets: ReadonlyArray<DatasetId>, range: Range, words: string): ReadonlyArray<Cause> {
    const causes = datasets.flatMap((dataset) => this.#made(dataset, range, words));
    const better = causes.filter((cause) => cause.type !== "fault");
    return better.length > 0 ? better : causes;
  }

  #named(job: string, partition: string, words: string): ReadonlyArray<Cause> {
    const found = this.#byJob.get(job)?.find((record) => partitionName(record.partition) === partition);
    if (found === undefined || found.state === "done") return [{ type: "fault", dataset: null, words }];
    return this.#from(found);
  }

  #made(dataset: DatasetId, range: Range, words: string): ReadonlyArray<Cause> {
    const producer = this.#catalogue.producerOf.get(dataset);
    if (producer === undefined) return [{ type: "file", dataset, words }];
    const makers = (this.#byJob.get(producer.name) ?? []).filter((record) => overlap(rangeOf(record), range));
    const open = makers.filter(({ state }) => state !== "done");
    if (open.length > 0) return open.flatMap((record) => this.#from(record));
    const further = makers.length === 0 ? this.#before(producer, range) : [];
    if (further.length > 0) return further;
    const why = makers.length === 0 ? "has no partition there" : "is done";
    return [{ type: "fault", dataset, words: `${words}, and ${producer.name} ${why}` }];
  }

  /** A job has no partition where nothing of what it takes was made: then that is why. */
  #before(job: CatalogueJob, range: Range): ReadonlyArray<Cause> {
    if (this.#asked.has(job.name)) return [];
    this.#asked.add(job.name);
    const makers = job.inputs.filter(
      ({ dataset, range: of }) => of === null && this.#catalogue.producerOf.has(dataset),
    );
    return makers.flatMap(({ dataset }) => {
      const producer = this.#catalogue.producerOf.get(dataset);
      const there = (this.#byJob.get(producer?.name ?? "") ?? []).filter((record) =>
        overlap(rangeOf(record), range),
      );
      if (producer === undefined) return [];
      return there.length === 0
        ? this.#before(producer, range)
        : there.filter(({ state }) => state !== "done").flatMap((record) => this.#from(record));
    });
  }
}
