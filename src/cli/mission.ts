/** What the commands about a mission's jobs share: its catalogue, names of jobs and partitions, and questions to the resolver. */
import * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import { didYouMean } from "../config/nearMiss.ts";
import type { JobCatalogue } from "../config/JobCatalogue.ts";
import { Calendar } from "../jobs/calendar.ts";
import type { CatalogueJob } from "../jobs/catalogue.ts";
import { sliceNamed } from "../jobs/partitions.ts";
import { jobsSubject } from "../protocol/jobQuestions.ts";
import type { CommandFailed } from "./failures.ts";
import { failed, misused, ofJetStream, unreachable } from "./failures.ts";
import type { IoService } from "./Io.ts";
import type { SiteLink } from "./site.ts";
import { openWholeSite } from "./site.ts";
import { harmless } from "./words.ts";

export interface MissionLink extends SiteLink {
  readonly catalogue: JobCatalogue;
}

export const openMission = (
  io: IoService,
  site: string | null,
): Effect.Effect<MissionLink, CommandFailed, Scope.Scope> =>
  Effect.flatMap(openWholeSite(io, site), (link) => {
    const { catalogue } = link.site;
    return catalogue === null
      ? Effect.fail(
          misused(`site ${link.site.name} has no job catalogue: its site file names one under catalogue:`),
        )
      : Effect.succeed({ ...link, catalogue });
  });

/** A job by its name, `swe/l1a/all`; with spaces for slashes as well. */
export function jobNamed(
  { catalogue }: MissionLink,
  written: string,
): Effect.Effect<CatalogueJob, CommandFailed> {
  const name = written.trim().replaceAll(/\s+/g, "/");
  const job = catalogue.jobs.get(name);
  if (job !== undefined) return Effect.succeed(job);
  return Effect.fail(
    misused(`the catalogue has no job ${harmless(name)}${didYouMean(name, catalogue.jobs.keys())}`),
  );
}

/** A partition of each scheme, as a person writes it. */
export const examples: Readonly<Record<CatalogueJob["partition"]["type"], string>> = {
  day: "a day: 20260310",
  pointing: "a pointing: repoint00209",
  days: "a window, its end exclusive: 20260101-20260111",
  windows: "a window, its end exclusive: 20260101-20260131",
  calendar: "a window, its end exclusive: 20260117-20260418",
  open: "all",
};

/** A partition's name, as the job's scheme has it; days with dashes and a pointing's bare number are understood. */
export function partitionNamed(job: CatalogueJob, written: string): Effect.Effect<string, CommandFailed> {
  const plain = written.trim();
  const name =
    job.partition.type === "pointing" && /^\d{1,5}$/.test(plain)
      ? `repoint${plain.padStart(5, "0")}`
      : job.partition.type === "day"
        ? plain.replaceAll("-", "")
        : plain;
  return sliceNamed(job.partition, name, Calendar.empty) === null
    ? Effect.fail(
        misused(
          `${harmless(written)} is no partition of ${job.name}, which is made for ${examples[job.partition.type]}`,
        ),
      )
    : Effect.succeed(name);
}

const askDeadlineMs = 30_000;

/** A question to the resolver's memory; `A` is what protocol/jobQuestions.ts says of its answer. */
export const askJobs = <A>(
  { nats, site }: SiteLink,
  question: string,
  body: unknown,
): Effect.Effect<A, CommandFailed> =>
  Effect.gen(function* () {
    const answer = yield* nats
      .request(`orrery ${question}`, `${jobsSubject}.${question}`, JSON.stringify(body), {
        deadlineMs: askDeadlineMs,
      })
      .pipe(
        Effect.mapError((error) =>
          error.detail.includes("NoResponders")
            ? unreachable(
                `no node of site ${site.name} answers questions about jobs: start one with the role "resolver"`,
              )
            : ofJetStream(error),
        ),
      );
    const said = yield* Effect.try({
      try: () => answer.json<A & { readonly error?: boolean; readonly message?: string }>(),
      catch: () => failed("what answers questions about jobs here does not speak Orrery's language"),
    });
    if (said.error !== true) return said;
    const status = Number(answer.headers?.get("Nats-Service-Error-Code") ?? "500");
    const message = harmless(said.message ?? "the question was refused");
    return yield* status === 400 ? misused(message) : failed(message);
  });
