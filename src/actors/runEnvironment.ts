/** What a command is told of its run, in its environment: docs/jobs.md names each. */
import type { RunBody, StretchPartition } from "../protocol/runs.ts";
import { partitionKind, partitionName } from "../protocol/runs.ts";
import type { Scratch } from "./runFiles.ts";
import type { RunnerJob } from "./runJob.ts";

interface Told {
  readonly job: RunnerJob;
  readonly body: RunBody;
  readonly scratch: Scratch;
  /** From 1. */
  readonly attempt: number;
  /** Name of the run. */
  readonly run: string;
}

type Environment = Readonly<Record<string, string>>;

export function environmentOf({ job, body, scratch, attempt, run }: Told): Environment {
  const { partition, plan } = body;
  return {
    TMPDIR: scratch.temporary,
    ORRERY_RUN: run,
    ORRERY_JOB: job.name,
    ORRERY_JOB_VERSION: job.version,
    ORRERY_INSTRUMENT: partition.instrument,
    ORRERY_DAY: partition.day,
    ORRERY_PARTITION: partitionName(partition),
    ORRERY_PARTITION_KIND: partitionKind(partition),
    ...("exposure" in partition ? { ORRERY_EXPOSURE: partition.exposure } : stretch(partition)),
    ...(plan === undefined
      ? {}
      : {
          ORRERY_MINOR: String(plan.minor),
          ORRERY_INCOMPLETE: plan.incomplete ? "1" : "0",
          ORRERY_ORIGIN: plan.origin,
        }),
    ORRERY_ATTEMPT: String(attempt),
    ORRERY_SCRATCH: scratch.root,
    ORRERY_INPUTS: scratch.manifest,
    ORRERY_OUTPUTS: scratch.outputs,
    ORRERY_EXPECTED: scratch.expected,
  };
}

function stretch({ range, pointing }: StretchPartition): Environment {
  return {
    ...(range === null ? {} : { ORRERY_START: range.start, ORRERY_END: range.end }),
    ...(pointing === null ? {} : { ORRERY_POINTING: String(pointing) }),
  };
}
