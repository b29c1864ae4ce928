/** `orrery jobs needs`, `jobs preview` and `jobs ls`: what a file is made of, what files would change, how partitions stand. */
import * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import { startOfDay } from "../jobs/instant.ts";
import { previewFilesMax } from "../limits.ts";
import type {
  NeededInput,
  NeedsAnswer,
  PartitionsAnswer,
  PreviewAnswer,
} from "../protocol/operatorQuestions.ts";
import { fileName } from "../protocol/route.ts";
import type { CommandFailed } from "./failures.ts";
import { limitFault, misused, no } from "./failures.ts";
import type { IoService } from "./Io.ts";
import { say, sayJson, tell } from "./Io.ts";
import { askJobs, examples, jobNamed, openMission, partitionNamed } from "./mission.ts";
import { sayPreview } from "./previews.ts";
import type { Row } from "./table.ts";
import { table } from "./table.ts";
import { count, harmless, plural } from "./words.ts";

export interface NeedsOptions {
  readonly site: string | null;
  /** A file's name, or with `partition` a job's. */
  readonly of: string;
  readonly partition: string | null;
  readonly json: boolean;
}

export const needs = (
  io: IoService,
  options: NeedsOptions,
): Effect.Effect<void, CommandFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const link = yield* openMission(io, options.site);
    const named = link.catalogue.jobs.get(options.of.trim().replaceAll(/\s+/g, "/"));
    if (named !== undefined && options.partition === null) {
      const scheme = examples[named.partition.type];
      return yield* misused(`of which partition? ${named.name} is made for ${scheme}`);
    }
    let question: object = { file: fileName(options.of) };
    if (options.partition !== null) {
      const job = yield* jobNamed(link, options.of);
      question = { job: job.name, partition: yield* partitionNamed(job, options.partition) };
    }
    const answer = yield* askJobs<NeedsAnswer>(link, "needs", question);
    if (options.json) sayJson(io, answer);
    else sayNeeds(io, answer);
    return answer.complete ? undefined : yield* no("");
  });

function sayNeeds(io: IoService, answer: NeedsAnswer): void {
  const { file, job, partition } = answer;
  if (file !== null)
    say(io, `${harmless(file.name)} (${file.dataset}) is ${file.known ? "here" : "not here"}`);
  if (job === null) {
    say(io, "No job makes it: it comes from outside.");
    return;
  }
  say(io, `${job} ${partition ?? ""}: ${answer.state === "none" ? "does not exist yet" : answer.state}`);
  io.out.write(
    table(
      [
        { title: "INPUT" },
        { title: "" },
        { title: "THERE" },
        { title: "MADE BY" },
        { title: "WHICH", give: 30 },
      ],
      answer.inputs.map(rowOf),
      { color: io.out.color, columns: io.out.columns() },
    ),
  );
  for (const wait of answer.waits) say(io, harmless(wait));
  say(io, answer.complete ? "All that is required is there." : "Not all that is required is there.");
}

function rowOf(input: NeededInput): Row {
  const { dataset, required, alternatives, there, producer, files, filesMore, lack } = input;
  const names = files.slice(0, 3).map((file) => file.name);
  const more = files.length - names.length + filesMore;
  return [
    dataset,
    alternatives !== null ? `one of ${alternatives}` : required ? "required" : "optional",
    {
      text: there ? "yes" : "no",
      style: there ? "green" : required && alternatives === null ? "red" : "dim",
    },
    producer ?? "outside",
    there ? `${names.join(", ")}${more > 0 ? ` and ${count(more)} more` : ""}` : (lack ?? ""),
  ];
}

export interface PreviewOptions {
  readonly site: string | null;
  readonly files: ReadonlyArray<string>;
  readonly withdrawn: ReadonlyArray<string>;
  readonly json: boolean;
}

export const preview = (
  io: IoService,
  options: PreviewOptions,
): Effect.Effect<void, CommandFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const all = options.files.length + options.withdrawn.length;
    if (all === 0) return yield* misused("name at least one file: a name that does not exist yet will do");
    if (all > previewFilesMax)
      return yield* misused(`at most ${previewFilesMax} files can be looked at together`);
    const link = yield* openMission(io, options.site);
    const answer = yield* askJobs<PreviewAnswer>(link, "preview", {
      added: options.files.map(fileName),
      withdrawn: options.withdrawn.map(fileName),
    });
    if (options.json) sayJson(io, answer);
    else sayPreview(io, answer);
    return undefined;
  });

export interface ListOptions {
  readonly site: string | null;
  readonly state: string | null;
  readonly job: string | null;
  readonly day: string | null;
  readonly limit: number;
  readonly json: boolean;
}

export const list = (io: IoService, options: ListOptions): Effect.Effect<void, CommandFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const fault = limitFault(options.limit);
    if (fault !== null) return yield* fault;
    const link = yield* openMission(io, options.site);
    const job = options.job === null ? null : yield* jobNamed(link, options.job);
    const day = options.day?.replaceAll("-", "") ?? null;
    if (day !== null && startOfDay(day) === null) {
      return yield* misused(`${harmless(options.day ?? "")} is no day: 20260310`);
    }
    const answer = yield* askJobs<PartitionsAnswer>(link, "ls", {
      ...(options.state === null ? {} : { state: options.state }),
      ...(job === null ? {} : { job: job.name }),
      ...(day === null ? {} : { day }),
      limit: options.limit,
    });
    if (options.json) sayJson(io, answer);
    else sayList(io, answer);
    return answer.total === 0 ? yield* no(options.json ? "" : "there is no such partition") : undefined;
  });

const styles = {
  done: "green",
  failed: "red",
  blocked: "yellow",
  stale: "yellow",
  ready: "cyan",
  running: "cyan",
} as const;

function sayList(io: IoService, answer: PartitionsAnswer): void {
  if (answer.total === 0) return;
  io.out.write(
    table(
      [
        { title: "JOB" },
        { title: "PARTITION" },
        { title: "STATE" },
        { title: "WAITS FOR", give: 20, prose: true },
      ],
      answer.partitions.map(({ job, partition, state, words }) => [
        job,
        partition,
        { text: state, style: styles[state] },
        words.join("; "),
      ]),
      { color: io.out.color, columns: io.out.columns() },
    ),
  );
  const counts = Object.entries(answer.counts).flatMap(([state, n]) =>
    n === 0 ? [] : [`${count(n)} ${state}`],
  );
  const shown = answer.partitions.length;
  if (shown < answer.total) tell(io, `the first ${count(shown)} of ${count(answer.total)}; --limit for more`);
  say(
    io,
    `${plural(
      Object.values(answer.counts).reduce((a, b) => a + b, 0),
      "partition",
    )}: ${counts.join(", ")}.`,
  );
}
