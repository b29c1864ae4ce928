/** `orrery why JOB PARTITION` of a job of the catalogue: from what it waits for, through what makes that, to what has not come. */
import * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import { getManyUnsafe } from "../jetstream/ledger.ts";
import type { CatalogueJob } from "../jobs/catalogue.ts";
import { decodeJob } from "../protocol/jobs.ts";
import { ledgerBucket } from "../protocol/keys.ts";
import type { RunOfPartition, Stretch, WhyAnswer } from "../protocol/operatorQuestions.ts";
import type { Order } from "../protocol/orders.ts";
import { decodeOrder, orderKey } from "../protocol/orders.ts";
import type { LedgerRecord } from "../protocol/records.ts";
import type { RunBody } from "../protocol/runs.ts";
import { decodeRun } from "../protocol/runs.ts";
import { causeLines } from "./causeTree.ts";
import type { CommandFailed } from "./failures.ts";
import { exitCode, no, ofCause } from "./failures.ts";
import type { IoService } from "./Io.ts";
import { say, sayJson, tell } from "./Io.ts";
import { partitionStory } from "./jobStory.ts";
import type { MissionLink } from "./mission.ts";
import { askJobs, partitionNamed } from "./mission.ts";
import { rootWords, stretchWords } from "./rootWords.ts";
import { paint } from "./table.ts";
import type { Story } from "./story.ts";
import { harmless, moment, plural, sentence, timeOf } from "./words.ts";

interface RunTold extends RunOfPartition {
  readonly attempts: number | null;
  readonly lastError: string | null;
  /** How to see what it wrote; null where it wrote nothing yet. */
  readonly log: string | null;
  readonly madeOf: ReadonlyArray<string>;
}

interface Read {
  readonly since: string | null;
  readonly order: Order | null;
  /** Of the whole job. */
  readonly jobOrder: Order | null;
  readonly runs: ReadonlyArray<RunTold>;
}

const madeOfMax = 30;

const read = (link: MissionLink, job: string, partition: string, answer: WhyAnswer) =>
  Effect.tryPromise({
    try: async (): Promise<Read> => {
      const orders = [orderKey(job, partition), orderKey(job, "")];
      const keys = [...orders, answer.record ?? orders[0] ?? "", ...answer.runs.map((run) => run.key)];
      const entries = await getManyUnsafe(link.nats, ledgerBucket, keys);
      const dataAt = (at: number): Uint8Array | null => {
        const entry = entries[at] ?? null;
        return entry === null || entry.ended ? null : entry.data;
      };
      const [own, all, record] = [dataAt(0), dataAt(1), answer.record === null ? null : dataAt(2)];
      return {
        order: own === null ? null : decodeOrder(orders[0] ?? "", own),
        jobOrder: all === null ? null : decodeOrder(orders[1] ?? "", all),
        since: record === null ? null : (decodeJob(answer.record ?? "", record).catalogue?.since ?? null),
        runs: answer.runs.map((run, i) => {
          const data = dataAt(i + 3);
          return runTold(run, data === null ? null : decodeRun(run.key, data));
        }),
      };
    },
    catch: ofCause,
  });

function runTold(run: RunOfPartition, record: LedgerRecord<RunBody> | null): RunTold {
  const last = record?.errors.at(-1);
  const ended = record?.body.ended;
  return {
    ...run,
    attempts: record?.attempts ?? null,
    lastError:
      last !== undefined
        ? `${last.reason}: ${last.detail}`
        : ended === undefined
          ? null
          : `${ended.how}: ${ended.detail}`,
    log: record?.body.result == null ? null : `orrery log ${run.hash}`,
    madeOf: (record?.body.inputs ?? []).slice(0, madeOfMax).map((input) => input.name ?? input.key),
  };
}

const rootsSaidMax = 3;

/** The first few: the tree has all of them. */
function rootsWords(answer: WhyAnswer): ReadonlyArray<string> {
  const words = answer.roots.map((root) => rootWords(root, answer.range));
  return words.length <= rootsSaidMax + 1
    ? words
    : [...words.slice(0, rootsSaidMax), `and ${words.length - rootsSaidMax} more`];
}

interface Outlook {
  readonly now: string;
  readonly next: string;
  readonly commands: ReadonlyArray<string>;
}

function outlook(answer: WhyAnswer, { runs, order, jobOrder }: Read): Outlook {
  const { job, partition, state, lacks } = answer.cause;
  const roots = rootsWords(answer);
  const last = runs.at(-1);
  const force = `orrery force ${job} ${partition}`;
  const retry = `orrery retry ${job} ${partition}`;
  const isHeld = (order?.hold ?? jobOrder?.hold ?? null) !== null;
  switch (state) {
    case "none":
      return {
        now: roots.length === 0 ? "There is no such partition yet." : sentence(roots.join("; ")),
        next: "It begins to exist with the first data product that it takes.",
        commands: [`orrery jobs needs ${job} ${partition}`],
      };
    case "ready":
      return {
        now: "All that it needs is there; it waits for a worker.",
        next: "A runner of its lane starts it.",
        commands: ["orrery status"],
      };
    case "running":
      return {
        now: "It is being made.",
        next: "Its products are published when its program ends.",
        commands: last === undefined ? [] : [`orrery why ${last.key}`],
      };
    case "failed":
      return {
        now: sentence(last?.lastError ?? "Its run failed"),
        next: "Nothing, until what it is made of changes, or somebody asks for it anew.",
        commands: [...(last?.log == null ? [] : [last.log]), retry],
      };
    case "done":
      return {
        now:
          answer.incomplete === null
            ? "It is made, of what there is now."
            : `It is made of ${answer.incomplete.have} of ${answer.incomplete.of}: not of all that belongs to it.`,
        next: "It is made anew when what it is made of changes and triggers it.",
        commands: [retry],
      };
    default: {
      const what =
        state === "stale" ? "Made before, of what has changed since" : "Not all that it needs is there";
      if (lacks.length === 0) return { now: `${what}.`, next: "It is about to be made anew.", commands: [] };
      return {
        now: sentence(roots.length === 0 ? what : roots.join("; ")),
        next: isHeld
          ? "It starts when it is released and all that it waits for is there."
          : "It starts by itself as soon as that is there.",
        commands: isHeld ? [`orrery release ${job} ${partition}`, force] : [force],
      };
    }
  }
}

function orderLines({ order, jobOrder }: Read, answer: WhyAnswer): ReadonlyArray<string> {
  const lines: Array<string> = [];
  for (const [one, what] of [
    [order?.hold, "held"],
    [jobOrder?.hold, "held with its whole job"],
  ] as const) {
    if (one != null) lines.push(`${what} by ${one.by} at ${one.at}${one.note === "" ? "" : `: ${one.note}`}`);
  }
  const again = order?.again;
  if (again != null) {
    const isOpen = answer.order?.id === again.id && !answer.runs.some((run) => run.again === again.id);
    const what = again.now ? "forced" : "asked for anew";
    lines.push(
      `${what} by ${again.by} at ${again.at}${again.note === "" ? "" : `: ${again.note}`}${isOpen ? ", not begun yet" : ""}`,
    );
  }
  if (
    answer.order !== null &&
    answer.order.id !== again?.id &&
    !answer.runs.some((run) => run.again === answer.order?.id)
  ) {
    lines.push(`asked for anew: ${answer.order.id}`);
  }
  return lines;
}

function headline(answer: WhyAnswer): string {
  const { state } = answer.cause;
  const roots = answer.roots.map((root) => rootWords(root, answer.range));
  const isOpen = state === "blocked" || state === "stale" || state === "none";
  return isOpen && roots[0] !== undefined ? `${state}: ${roots[0]}` : state;
}

const colors = { done: "green", failed: "red", blocked: "yellow", stale: "yellow" } as const;

function render(io: IoService, answer: WhyAnswer, seen: Read): void {
  const { color } = io.out;
  const { job, partition, state, team } = answer.cause;
  const style = Object.entries(colors).find(([name]) => name === state)?.[1] ?? "cyan";
  say(io, paint(color, "bold", `${job} ${partition}`));
  say(io, paint(color, style, harmless(headline(answer))));
  const since = timeOf(seen.since ?? undefined);
  const about = [
    ...(since === null ? [] : [`since ${moment(since)} UTC`]),
    ...(answer.range === null ? [] : [stretchWords(answer.range)]),
    ...(team === null ? [] : [`team ${team}${answer.contact === null ? "" : ` (${answer.contact})`}`]),
  ];
  say(io, paint(color, "dim", about.join(", ")));
  for (const line of orderLines(seen, answer)) say(io, `  ${harmless(line)}`);
  if (answer.cause.lacks.length > 0) {
    say(io, `\n${paint(color, "dim", "waits for")}`);
    for (const line of causeLines(answer.cause, answer.range)) say(io, `  ${harmless(line)}`);
  }
  if (seen.runs.length > 0) {
    say(io, `\n${paint(color, "dim", "runs")}`);
    for (const run of seen.runs) {
      const tries =
        run.attempts === null || run.attempts === 0
          ? ""
          : `, ${plural(run.attempts, "failed try", "failed tries")}`;
      say(
        io,
        `  ${run.at.slice(0, 19)}  version ${run.minor}, ${run.state}${tries}, of ${plural(run.inputs, "input")}, ${run.hash}`,
      );
      if (run.lastError !== null) say(io, `    ${harmless(run.lastError)}`);
      if (run.log !== null && run.state === "failed") say(io, `    ${run.log}`);
    }
  }
  const last = seen.runs.findLast((run) => run.state === "done" || run.state === "failed");
  if (last !== undefined && last.madeOf.length > 0) {
    say(io, `\n${paint(color, "dim", `made of (version ${last.minor})`)}`);
    for (const name of last.madeOf) say(io, `  ${harmless(name)}`);
    if (last.inputs > last.madeOf.length)
      say(io, `  … and ${plural(last.inputs - last.madeOf.length, "more", "more")}`);
  }
  const { now, next, commands } = outlook(answer, seen);
  say(io, `\n${paint(color, "bold", "Now")}   ${harmless(now)}`);
  say(io, `${paint(color, "bold", "Next")}  ${harmless(next)}`);
  for (const command of commands) say(io, `      ${paint(color, "cyan", harmless(command))}`);
}

/** Prints it; nothing answers: what the ledger says of the partition, which is as it was last told. */
export const partitionWhy = (
  io: IoService,
  link: MissionLink,
  job: CatalogueJob,
  options: { readonly partition: string; readonly json: boolean },
  instead: (story: Story) => void,
): Effect.Effect<void, CommandFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const partition = yield* partitionNamed(job, options.partition);
    const asked = yield* Effect.result(askJobs<WhyAnswer>(link, "why", { job: job.name, partition }));
    if (asked._tag === "Failure") {
      if (asked.failure.exit !== exitCode.unreachable) return yield* asked.failure;
      tell(io, `${asked.failure.message}; as it was last told:`);
      return instead(yield* partitionStory(link, job.name, partition));
    }
    const answer = asked.success;
    const seen = yield* read(link, job.name, partition, answer);
    const unknown = answer.cause.state === "none";
    if (options.json) {
      sayJson(io, {
        job: job.name,
        partition,
        state: answer.cause.state,
        headline: headline(answer),
        since: seen.since,
        team: answer.cause.team,
        contact: answer.contact,
        range: answer.range satisfies Stretch | null,
        incomplete: answer.incomplete,
        roots: answer.roots.map((root) => ({ ...root, words: rootWords(root, answer.range) })),
        cause: answer.cause,
        order: seen.order,
        jobOrder: seen.jobOrder,
        runs: seen.runs,
        ...outlook(answer, seen),
      });
    } else render(io, answer, seen);
    return unknown ? yield* no("") : undefined;
  });
