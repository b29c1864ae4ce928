/** `orrery why JOB`: how a job's partitions stand, those first that somebody should look after. */
import * as Effect from "effect/Effect";
import { scan } from "../jetstream/ledger.ts";
import type { JobRecord, JobState } from "../protocol/jobs.ts";
import { jobOrNull } from "../protocol/jobs.ts";
import { ledgerBucket } from "../protocol/keys.ts";
import type { PartitionsAnswer } from "../protocol/operatorQuestions.ts";
import { partitionName } from "../protocol/runs.ts";
import type { CommandFailed } from "./failures.ts";
import { exitCode, no, ofJetStream } from "./failures.ts";
import type { IoService } from "./Io.ts";
import { sayJson, tell } from "./Io.ts";
import { askJobs } from "./mission.ts";
import type { SiteLink } from "./site.ts";
import { paint, table } from "./table.ts";
import type { Style } from "./table.ts";
import { count, harmless, plural } from "./words.ts";

/** Worst first. */
const worst: ReadonlyArray<JobState> = ["failed", "stale", "blocked", "ready", "running", "done"];
const stateWords: Readonly<Record<JobState, { readonly words: string; readonly style: Style }>> = {
  failed: { words: "failed", style: "red" },
  stale: { words: "to be made anew", style: "yellow" },
  blocked: { words: "waits", style: "yellow" },
  ready: { words: "in its queue", style: "cyan" },
  running: { words: "being made", style: "cyan" },
  done: { words: "made", style: "green" },
};

const toldMax = 20;

type Partition = PartitionsAnswer["partitions"][number];

export interface JobStanding {
  readonly counts: Readonly<Record<JobState, number>>;
  /** Worst first, among equals the oldest; the first of many. */
  readonly partitions: ReadonlyArray<Partition>;
}

const sumOf = (counts: JobStanding["counts"]): number => worst.reduce((sum, state) => sum + counts[state], 0);

/** As the resolver has it in memory. */
const asked = (link: SiteLink, job: string): Effect.Effect<JobStanding, CommandFailed> =>
  Effect.gen(function* () {
    const partitions: Array<Partition> = [];
    let counts: JobStanding["counts"] | null = null;
    for (const state of worst) {
      if (counts !== null && counts[state] === 0) continue;
      const limit = toldMax - partitions.length;
      const answer = yield* askJobs<PartitionsAnswer>(link, "ls", { job, state, limit });
      counts = answer.counts;
      partitions.push(...answer.partitions);
      if (partitions.length >= toldMax) break;
    }
    return { counts: counts ?? noCounts(), partitions };
  });

const noCounts = (): Record<JobState, number> => ({
  blocked: 0,
  ready: 0,
  running: 0,
  done: 0,
  failed: 0,
  stale: 0,
});

export function standingOf(records: ReadonlyArray<JobRecord>): JobStanding {
  const counts = noCounts();
  for (const { state } of records) counts[state]++;
  const partitions = records
    .map(({ job, partition, state, blockedOn }) => ({
      job,
      partition: partitionName(partition),
      state,
      words: blockedOn,
    }))
    .sort((a, b) => worst.indexOf(a.state) - worst.indexOf(b.state) || (a.partition < b.partition ? -1 : 1))
    .slice(0, toldMax);
  return { counts, partitions };
}

/** As it was last told in the ledger: of the site file's own jobs, and where no resolver answers. */
const told = (link: SiteLink, job: string): Effect.Effect<JobStanding, CommandFailed> => {
  const records: Array<JobRecord> = [];
  return scan(link.nats, ledgerBucket, [`job.${job}.>`], (entry) => {
    const record = jobOrNull(entry.key, entry.data);
    if (record !== null) records.push(record);
  }).pipe(
    Effect.mapError(ofJetStream),
    Effect.map(() => standingOf(records)),
  );
};

export function renderStanding(
  job: string,
  { counts, partitions }: JobStanding,
  options: { readonly color: boolean; readonly columns: number | null },
): string {
  const summary = worst
    .filter((state) => counts[state] > 0)
    .map((state) =>
      paint(options.color, stateWords[state].style, `${count(counts[state])} ${stateWords[state].words}`),
    )
    .join(", ");
  const rows = partitions.map((one) => [
    one.partition,
    { text: stateWords[one.state].words, style: stateWords[one.state].style },
    one.words.join("; "),
  ]);
  const columns = [{ title: "PARTITION" }, { title: "STATE" }, { title: "WHY", give: 20, prose: true }];
  const more = sumOf(counts) - partitions.length;
  return [
    `${paint(options.color, "bold", harmless(job))}\n${plural(sumOf(counts), "partition")}: ${summary}\n\n`,
    table(columns, rows, options),
    ...(more > 0 ? [`… and ${count(more)} more\n`] : []),
  ].join("");
}

/** @param isAsked whether a resolver knows the job: one of the catalogue */
export const jobWhy = (
  io: IoService,
  link: SiteLink,
  job: string,
  options: { readonly isAsked: boolean; readonly json: boolean },
): Effect.Effect<void, CommandFailed> =>
  Effect.gen(function* () {
    const standing = yield* options.isAsked
      ? Effect.catch(asked(link, job), (error) =>
          error.exit === exitCode.unreachable
            ? Effect.andThen(
                Effect.sync(() => tell(io, `${error.message}; as it was last told:`)),
                told(link, job),
              )
            : Effect.fail(error),
        )
      : told(link, job);
    const total = sumOf(standing.counts);
    if (options.json) sayJson(io, { job, total, ...standing });
    if (total === 0) {
      return yield* no(options.json ? "" : `job ${job} has no partition yet: nothing that it takes has come`);
    }
    if (options.json) return undefined;
    io.out.write(renderStanding(job, standing, { color: io.out.color, columns: io.out.columns() }));
    const [first] = standing.partitions;
    if (first !== undefined) {
      const hint = `orrery why ${job} ${first.partition} tells of one${options.isAsked ? `; orrery jobs ls --job ${job} lists them in the order of time` : ""}`;
      tell(io, paint(io.err.color, "dim", harmless(hint)));
    }
    return undefined;
  });
