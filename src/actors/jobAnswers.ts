/** The questions of protocol/jobQuestions.ts, each a function of the resolver's memory. Add one here, and it is served. */
import * as Schema from "effect/Schema";
import { parseInstant, formatInstant } from "../jobs/instant.ts";
import type { Resolver } from "../jobs/Resolver.ts";
import type { RedoPlan } from "../protocol/jobQuestions.ts";
import { BadQuestion } from "./BadQuestion.ts";
import { nodesOfRedo, rangeOfRedo } from "./redos.ts";

/** Throws `BadQuestion`. */
export type JobAnswer = (core: Resolver, said: unknown) => unknown;

const isRedo = Schema.is(
  Schema.Struct({
    jobs: Schema.Array(Schema.String),
    from: Schema.String,
    to: Schema.String,
    downstream: Schema.Boolean,
  }),
);

function redo(core: Resolver, said: unknown): RedoPlan {
  if (!isRedo(said)) throw new BadQuestion("it needs jobs, from, to and downstream");
  const range = rangeOfRedo(said);
  if (range === null) throw new BadQuestion("from and to are days: 20260101");
  const names = new Set<string>();
  for (const name of said.jobs) {
    const job = core.jobs.get(name);
    if (job === undefined) throw new BadQuestion(`the catalogue has no job ${name}`);
    names.add(name);
    if (said.downstream) for (const below of job.descendants) names.add(below.name);
  }
  const asked = parseInstant(formatInstant(core.now)) ?? core.now;
  const jobs = [...names]
    .map((name) => {
      const nodes = [...nodesOfRedo({ jobs: [name] }, range, asked, core)].sort(
        (a, b) => a.ordinal - b.ordinal,
      );
      const job = core.jobs.get(name);
      return {
        job: name,
        level: job?.depth ?? 0,
        partitions: nodes.length,
        made: nodes.filter((node) => node.lastDone !== null).length,
        outputs: nodes.length * (job?.definition.outputs.length ?? 0),
        first: nodes[0]?.name ?? null,
        last: nodes.at(-1)?.name ?? null,
      };
    })
    .sort((a, b) => a.level - b.level || (a.job < b.job ? -1 : 1));
  return { jobs, partitions: jobs.reduce((sum, job) => sum + job.partitions, 0) };
}

export const answers: ReadonlyMap<string, JobAnswer> = new Map([["redo", redo]]);
