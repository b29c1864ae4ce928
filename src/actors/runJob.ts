/** What the runner has to know of a job, whether it stands in the site file or in the job catalogue. */
import type { JobCatalogue, JobDriver } from "../config/JobCatalogue.ts";
import type { JobOutput, Site } from "../config/Site.ts";
import type { RunBody } from "../protocol/runs.ts";
import { fillKey } from "../protocol/runs.ts";
import type { Queueing, RunQueue } from "../protocol/runQueue.ts";
import { byUrgency, queueOf } from "../protocol/runQueue.ts";

/** The site file's jobs have this shape as they are. */
export interface RunnerJob {
  readonly name: string;
  readonly version: string;
  readonly lane: string;
  /** Workers of its lane on each node; of jobs that share one, the largest counts. */
  readonly workers: number;
  readonly driver: JobDriver;
  readonly timeLimitMs: number;
  readonly attemptsMax: number;
  /** Of runs without a plan, with words in braces for what differs from run to run. */
  readonly outputs: ReadonlyArray<JobOutput>;
  /** Of a job of the catalogue: how its runs are queued. */
  readonly queueing?: Pick<Queueing, "priority" | "exclusive">;
}

export interface RunnerJobs {
  readonly jobs: ReadonlyMap<string, RunnerJob>;
}

/** What a topology must know of the queues: those whose runs go one at a time, and the others. */
export function queuesOf(site: RunnerJobs): {
  readonly runLanes: ReadonlyArray<string>;
  readonly oneAtATime: ReadonlyArray<string>;
} {
  const lanes = new Set([...site.jobs.values()].map((job) => job.lane));
  const queues = [...lanes].flatMap((lane) => queuesOfLane(site, lane));
  const names = (exclusive: boolean) =>
    queues.filter((queue) => (queue.exclusive !== null) === exclusive).map((queue) => queue.name);
  return { runLanes: names(false), oneAtATime: names(true) };
}

/** The catalogue's jobs, each with the lane and the driver that it names; lint has seen that both are there. */
export function catalogueJobs(catalogue: JobCatalogue): ReadonlyMap<string, RunnerJob> {
  const jobs = new Map<string, RunnerJob>();
  for (const job of catalogue.jobs.values()) {
    const lane = catalogue.lanes.get(job.lane);
    const driver = catalogue.drivers.get(job.driver);
    if (lane === undefined || driver === undefined) continue;
    const { name, version, timeLimitMs, attemptsMax, priority } = job;
    const exclusive = lane.oneAtATime ? job.instrument : null;
    const queueing = { priority, exclusive };
    jobs.set(name, {
      name,
      version,
      timeLimitMs,
      attemptsMax,
      driver,
      queueing,
      lane: lane.name,
      workers: lane.workers,
      outputs: [],
    });
  }
  return jobs;
}

/** Everything that a node's runners may be asked to run. */
export const runnerJobs = ({ jobs, catalogue }: Pick<Site, "jobs" | "catalogue">): RunnerJobs => ({
  jobs: catalogue === null ? jobs : new Map<string, RunnerJob>([...jobs, ...catalogueJobs(catalogue)]),
});

/** A lane's queues, the most urgent first; always with its ordinary one. */
export function queuesOfLane({ jobs }: RunnerJobs, lane: string): ReadonlyArray<RunQueue> {
  const queues = new Map([[lane, queueOf(lane)]]);
  for (const job of jobs.values()) {
    if (job.lane !== lane || job.queueing === undefined) continue;
    for (const origin of ["live", "reprocessing"] as const) {
      const queue = queueOf(lane, { ...job.queueing, origin });
      queues.set(queue.name, queue);
    }
  }
  return [...queues.values()].sort(byUrgency);
}

/** One file to publish. */
export interface ExpectedOutput extends JobOutput {
  readonly dataset: string | null;
}

/** What the run must leave behind: as planned, or as its job says. `run`: its name. */
export function outputsOf(job: RunnerJob, body: RunBody, run: string): ReadonlyArray<ExpectedOutput> {
  if (body.plan !== undefined) return body.plan.outputs;
  return job.outputs.map(({ name, bucket, key }) => ({
    name,
    bucket,
    key: fillKey(key, body.partition, run),
    dataset: null,
  }));
}
