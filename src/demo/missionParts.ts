/** What of a site a mission is played on. */
import type { JobCatalogue } from "../config/JobCatalogue.ts";
import type { Lane, Site } from "../config/Site.ts";
import type { CatalogueJob } from "../jobs/catalogue.ts";

/** The bucket by whose folder a site says that it may be played on: samples must never get among a mission's own files. */
const deliveredBucket = "delivered";

export interface MissionParts {
  readonly catalogue: JobCatalogue;
  readonly lane: Lane;
  /** Watched: what is put here has arrived. */
  readonly delivered: string;
  /** Directory whose directories are the buckets. */
  readonly root: string;
}

/** What a mission is played on; null for a site that does not ask for it. */
export function missionParts(site: Site): MissionParts | null {
  const { catalogue } = site;
  const watched = site.watch.find(({ bucket }) => bucket === deliveredBucket);
  const lane = [...site.lanes.values()].find(
    ({ names, buckets }) => names !== null && buckets.includes(deliveredBucket),
  );
  const storage = lane?.storage == null ? undefined : site.storage.get(lane.storage);
  if (catalogue === null || watched === undefined || lane === undefined || storage?.driver !== "file")
    return null;
  if (site.nats.mode !== "embedded") return null;
  return { catalogue, lane, delivered: watched.directory, root: storage.root };
}

/** The jobs of some instruments, and whoever makes something of what they take; empty: all. */
export function catalogueFor(catalogue: JobCatalogue, instruments: ReadonlyArray<string>): JobCatalogue {
  if (instruments.length === 0) return catalogue;
  const jobs = new Map<string, CatalogueJob>();
  const open = [...catalogue.jobs.values()].filter(({ instrument }) => instruments.includes(instrument));
  for (let job = open.pop(); job !== undefined; job = open.pop()) {
    if (jobs.has(job.name)) continue;
    jobs.set(job.name, job);
    for (const { dataset } of job.inputs) {
      const producer = catalogue.producerOf.get(dataset);
      if (producer !== undefined) open.push(producer);
    }
  }
  const producerOf = new Map([...catalogue.producerOf].filter(([, job]) => jobs.has(job.name)));
  return { ...catalogue, jobs, producerOf };
}
