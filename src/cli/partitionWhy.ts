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
import { readParked } from "./parkedIndex.ts";
import { rootWords, stretchWords } from "./rootWords.ts";
import { setAsideOf, setAsideWords } from "./setAside.ts";
import { paint } from "./table.ts";
import type { Story } from "./story.ts";
import type { RunTold, Seen } from "./whyNext.ts";
import { outlook } from "./whyNext.ts";
import { harmless, moment, plural, timeOf } from "./words.ts";

const madeOfMax = 30;

const readOf = (link: MissionLink, job: string, partition: string, answer: WhyAnswer) =>
  Effect.tryPromise({
    try: async (): Promise<Omit<Seen, "setAside">> => {
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

/** Files that came and are of what is missing: only looked for where something is. */
const setAside = (link: MissionLink, { roots }: WhyAnswer) => {
  if (!roots.some(({ type }) => type === "arrival")) return Effect.succeed([]);
  const lanes = [...link.site.lanes.values()].filter((lane) => lane.names !== null);
  return Effect.map(
    readParked(
      link.nats,
      lanes.map((lane) => lane.name),
    ),
    (parked) => setAsideOf(parked, roots, link.catalogue.recogniser),
  );
};

/** Buckets by which files of jobs come in from outside: that of what jobs make only where there is no other. */
function bucketsOf({ site, catalogue }: MissionLink): ReadonlyArray<string> {
  const all = [...site.lanes.values()].flatMap((lane) =>
    lane.names === null || lane.storage === null ? [] : lane.buckets,
  );
  const others = all.filter((bucket) => bucket !== catalogue.products?.bucket);
  return others.length > 0 ? others : all;
}

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

const answers = (run: RunOfPartition, { id, at }: NonNullable<Order["again"]>): boolean =>
  run.again === id ||
  ((run.state === "done" || run.state === "no-data") && Date.parse(`${run.at}Z`) > Date.parse(at));

function orderLines({ order, jobOrder }: Seen, answer: WhyAnswer): ReadonlyArray<string> {
  const lines: Array<string> = [];
  for (const [one, what] of [
    [order?.hold, "held"],
    [jobOrder?.hold, "held with its whole job"],
  ] as const) {
    if (one != null) lines.push(`${what} by ${one.by} at ${one.at}${one.note === "" ? "" : `: ${one.note}`}`);
  }
  const again = order?.again;
  // One that was answered says nothing of what is to come; its run says whose it is.
  if (again != null && !answer.runs.some((run) => answers(run, again))) {
    const what = again.now ? "forced" : "asked for anew";
    lines.push(
      `${what} by ${again.by} at ${again.at}${again.note === "" ? "" : `: ${again.note}`}, not begun yet`,
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

/** Of a run that answers the last thing that was asked of the partition. */
function askedWords(run: RunOfPartition, order: Order | null): string {
  const again = order?.again;
  return again == null || run.again !== again.id
    ? ""
    : `, ${again.now ? "forced" : "asked for"} by ${again.by}`;
}

function headline(answer: WhyAnswer): string {
  const { state } = answer.cause;
  const roots = answer.roots.map((root) => rootWords(root, answer.range));
  const isOpen = state === "blocked" || state === "stale" || state === "none";
  return isOpen && roots[0] !== undefined ? `${state}: ${roots[0]}` : state;
}

const colors = { done: "green", failed: "red", blocked: "yellow", stale: "yellow" } as const;

function render(io: IoService, answer: WhyAnswer, seen: Seen, buckets: ReadonlyArray<string>): void {
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
  for (const one of seen.setAside) say(io, `  ${harmless(setAsideWords(one))}`);
  if (seen.runs.length > 0) {
    say(io, `\n${paint(color, "dim", "runs")}`);
    for (const run of seen.runs) {
      const tries =
        run.attempts === null || run.attempts === 0
          ? ""
          : `, ${plural(run.attempts, "failed try", "failed tries")}`;
      say(
        io,
        `  ${run.at.slice(0, 19)}  version ${run.minor}, ${run.state}${tries}, of ${plural(run.inputs, "input")}, ${run.hash}${harmless(askedWords(run, seen.order))}`,
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
  const { now, next, commands } = outlook(answer, seen, buckets);
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
    const buckets = bucketsOf(link);
    const seen = {
      ...(yield* readOf(link, job.name, partition, answer)),
      setAside: yield* setAside(link, answer),
    };
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
        setAside: seen.setAside,
        ...outlook(answer, seen, buckets),
      });
    } else render(io, answer, seen, buckets);
    return unknown ? yield* no("") : undefined;
  });
