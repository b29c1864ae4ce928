/**
 * The questions of protocol/jobQuestions.ts and operatorQuestions.ts, each a function of the resolver's memory. Add one here, and it
 * is served.
 */
import * as Schema from "effect/Schema";
import { parseInstant } from "../jobs/instant.ts";
import { isAnswer } from "../jobs/Node.ts";
import type { RedoPlan, RedoProgress } from "../protocol/jobQuestions.ts";
import type { AgedAnswer } from "../protocol/operatorQuestions.ts";
import { agedOf } from "./ageAlarm.ts";
import type { JobAnswer, Known } from "./answering.ts";
import { BadQuestion } from "./BadQuestion.ts";
import { expectedAnswer, whyAnswer } from "./causeAnswers.ts";
import { listAnswer, needsAnswer, previewAnswer } from "./fileAnswers.ts";
import { lineageAnswer } from "./lineageAnswer.ts";
import { placesAnswer } from "./placesAnswer.ts";
import { nodesOfRedo, rangeOfRedo } from "./redos.ts";
import { untakenOf } from "./untaken.ts";

export type { JobAnswer, Known } from "./answering.ts";

const isRedo = Schema.is(
  Schema.Struct({
    jobs: Schema.Array(Schema.String),
    from: Schema.String,
    to: Schema.String,
    downstream: Schema.Boolean,
  }),
);

function redo({ core }: Known, said: unknown): RedoPlan {
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
  const jobs = [...names]
    .map((name) => {
      const nodes = [...nodesOfRedo({ jobs: [name] }, range, Number.POSITIVE_INFINITY, core)].sort(
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

const isNamed = Schema.is(Schema.Struct({ id: Schema.String }));

function redoProgress({ core, redos }: Known, said: unknown): RedoProgress {
  const found = isNamed(said) ? redos.get(said.id) : null;
  if (found === null) throw new BadQuestion("there is no such reprocessing");
  const range = rangeOfRedo(found);
  const asked = parseInstant(found.at) ?? Number.NEGATIVE_INFINITY;
  const asks = new Set(range === null ? [] : nodesOfRedo(found, range, asked, core));
  const order = { id: found.id, at: asked };
  const jobs = found.jobs.flatMap((name) => {
    const job = core.jobs.get(name);
    if (job === undefined) return [];
    const counts = { waiting: 0, running: 0, done: 0, failed: 0 };
    for (const node of job.nodes.values()) {
      const run = node.runs.findLast((one) => one.again === found.id);
      if (run !== undefined) counts[standings[run.state]]++;
      else if (!asks.has(node)) continue;
      // Made since for another reason, of the same newest inputs.
      else if (node.runs.some((one) => isAnswer(one, order))) counts.done++;
      else if (found.state !== "cancelled") counts.waiting++;
    }
    return [{ job: name, level: job.depth, ...counts }];
  });
  return { redo: found, jobs: jobs.sort((a, b) => a.level - b.level || (a.job < b.job ? -1 : 1)) };
}

const standings = {
  ready: "waiting",
  running: "running",
  done: "done",
  "no-data": "done",
  "not-yet": "failed",
  failed: "failed",
} as const;

export const answers: ReadonlyMap<string, JobAnswer> = new Map<string, JobAnswer>([
  ["redo", redo],
  ["redo-progress", redoProgress],
  ["why", whyAnswer],
  ["expected", expectedAnswer],
  ["preview", previewAnswer],
  ["needs", needsAnswer],
  ["lineage", lineageAnswer],
  ["ls", listAnswer],
  ["places", placesAnswer],
  ["aged", (known): AgedAnswer => ({ aged: agedOf(known), untaken: untakenOf(known) })],
]);
