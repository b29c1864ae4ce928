/**
 * `orrery reprocess`: making anew what was made. First a plan; with --yes it begins. Then it goes on by itself, on whichever nodes the site
 * has: this command only asks for it, and looks.
 */
import * as Effect from "effect/Effect";
import * as Schedule from "effect/Schedule";
import type * as Scope from "effect/Scope";
import { randomBytes } from "node:crypto";
import { startOfDay } from "../jobs/instant.ts";
import { get, getUnsafe, scan } from "../jetstream/ledger.ts";
import type { NatsService } from "../jetstream/Nats.ts";
import { commitUnsafe, ledgerPut } from "../jetstream/transaction.ts";
import { recordHistoryMax } from "../limits.ts";
import type { RedoPlan, RedoProgress } from "../protocol/jobQuestions.ts";
import { ledgerBucket } from "../protocol/keys.ts";
import type { Redo } from "../protocol/orders.ts";
import { decodeRedo, redoKey } from "../protocol/orders.ts";
import { encodeJson, recordVersion } from "../protocol/records.ts";
import type { CommandFailed } from "./failures.ts";
import { exitCode, failed, misused, no, ofCause, ofJetStream } from "./failures.ts";
import type { IoService } from "./Io.ts";
import { say, sayJson, tell } from "./Io.ts";
import type { MissionLink } from "./mission.ts";
import { askJobs, jobNamed, openMission } from "./mission.ts";
import { operator } from "./operator.ts";
import { table } from "./table.ts";
import { count, harmless, plural } from "./words.ts";

export interface ReprocessOptions {
  readonly site: string | null;
  readonly jobs: ReadonlyArray<string>;
  readonly from: string | null;
  readonly to: string | null;
  readonly downstream: boolean;
  readonly yes: boolean;
  readonly watch: boolean;
  readonly note: string | null;
  readonly json: boolean;
}

const commitDeadlineMs = 5_000;
const lookEveryMs = 1_000;
const tries = 5;
const lookedAtMax = 20;

export const reprocess = (
  io: IoService,
  options: ReprocessOptions,
): Effect.Effect<void, CommandFailed, Scope.Scope> =>
  Effect.gen(function* () {
    if (options.jobs.length === 0)
      return yield* misused(
        "name at least one job: orrery reprocess mag/l1a/all --from 20260101 --to 20260131",
      );
    const from = yield* dayOf("--from", options.from);
    const to = yield* dayOf("--to", options.to);
    if (from > to) return yield* misused(`--from ${from} is after --to ${to}`);
    const link = yield* openMission(io, options.site);
    const jobs: Array<string> = [];
    for (const name of options.jobs) jobs.push((yield* jobNamed(link, name)).name);
    const plan = yield* askJobs<RedoPlan>(link, "redo", { jobs, from, to, downstream: options.downstream });
    if (!options.json) sayPlan(io, plan);
    if (plan.partitions === 0) {
      if (options.json) sayJson(io, { plan, id: null });
      return yield* no(options.json ? "" : "nothing was made in this time, so there is nothing to make anew");
    }
    if (!options.yes) {
      if (options.json) sayJson(io, { plan, id: null });
      else tell(io, "Nothing was begun: the same with --yes begins it.");
      return undefined;
    }
    const at = new Date(link.nats.now()).toISOString();
    const id = `redo-${at.slice(0, 19).replaceAll(/[-:]/g, "")}-${randomBytes(2).toString("hex")}`;
    const redo: Redo = {
      v: recordVersion,
      id,
      jobs: plan.jobs.filter((one) => one.partitions > 0).map((one) => one.job),
      from,
      to,
      downstream: options.downstream,
      partitions: plan.partitions,
      state: "running",
      at,
      by: operator(),
      note: options.note ?? "",
      history: [{ at, by: operator(), note: options.note ?? "", what: "begun" }],
    };
    const answer = yield* Effect.promise(() =>
      commitUnsafe(
        link.nats,
        "begin a reprocessing",
        [ledgerPut(redoKey(id), encodeJson(redo), 0)],
        commitDeadlineMs,
      ),
    );
    if ("_tag" in answer) return yield* ofJetStream(answer);
    if (options.json) sayJson(io, { plan, id });
    else
      say(
        io,
        `begun as ${id}: orrery reprocessing show ${id} tells how far it is; pause, resume and cancel take the same name`,
      );
    if (!options.watch) return undefined;
    yield* untilSeen(askJobs<RedoProgress>(link, "redo-progress", { id }));
    return yield* watchUntilDone(io, link, id);
  });

const dayOf = (flag: string, text: string | null): Effect.Effect<string, CommandFailed> => {
  const day = text?.replaceAll("-", "") ?? "";
  if (startOfDay(day) !== null) return Effect.succeed(day);
  return Effect.fail(
    misused(
      text === null
        ? `it needs ${flag}, a day: ${flag} 20260101`
        : `${flag} ${harmless(text)} is no day: ${flag} 20260101`,
    ),
  );
};

function sayPlan(io: IoService, plan: RedoPlan): void {
  const rows = plan.jobs.map((one) => [
    String(one.level),
    one.job,
    count(one.partitions),
    count(one.made),
    count(one.outputs),
    one.first === null ? "" : one.first === one.last ? one.first : `${one.first} … ${one.last ?? ""}`,
  ]);
  io.out.write(
    table(
      [
        { title: "LEVEL", right: true },
        { title: "JOB" },
        { title: "PARTITIONS", right: true },
        { title: "SUPERSEDES", right: true },
        { title: "FILES", right: true },
        { title: "WHICH" },
      ],
      rows,
      { color: io.out.color, columns: io.out.columns() },
    ),
  );
  say(
    io,
    `${plural(plan.partitions, "run")}, in the order of levels: what is made of something waits until that is made anew.`,
  );
}

export interface RedoOptions {
  readonly site: string | null;
  readonly id: string;
  readonly note: string | null;
  readonly watch: boolean;
  readonly json: boolean;
}

const readAll = (nats: NatsService): Effect.Effect<ReadonlyArray<Redo>, CommandFailed> =>
  Effect.suspend(() => {
    const all: Array<Redo> = [];
    return scan(nats, ledgerBucket, ["redo.>"], ({ key, data }) => void all.push(decodeRedo(key, data))).pipe(
      Effect.mapError(ofJetStream),
      Effect.as(all),
    );
  });

export const list = (
  io: IoService,
  options: { readonly site: string | null; readonly json: boolean },
): Effect.Effect<void, CommandFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const link = yield* openMission(io, options.site);
    const all = (yield* readAll(link.nats)).toSorted((a, b) => (a.at < b.at ? 1 : -1));
    // The record says what was decided; whether anything is left to do, only the resolver knows.
    const over = new Set<string>();
    for (const one of all.filter(({ state }) => state === "running").slice(0, lookedAtMax)) {
      const { jobs } = yield* askJobs<RedoProgress>(link, "redo-progress", { id: one.id });
      if (leftOf(jobs) === 0) over.add(one.id);
    }
    const stateOf = (one: Redo): string => (over.has(one.id) ? "over" : one.state);
    if (options.json)
      sayJson(
        io,
        all.map((one) => ({ ...one, state: stateOf(one) })),
      );
    if (all.length === 0) return yield* no(options.json ? "" : "nothing was ever reprocessed here");
    if (options.json) return undefined;
    const rows = all.map((one) => [
      one.id,
      stateOf(one),
      count(one.partitions),
      `${one.from} … ${one.to}`,
      one.by,
      harmless(one.note),
    ]);
    io.out.write(
      table(
        [
          { title: "ID" },
          { title: "STATE" },
          { title: "RUNS", right: true },
          { title: "DAYS" },
          { title: "BY" },
          { title: "NOTE" },
        ],
        rows,
        { color: io.out.color, columns: io.out.columns() },
      ),
    );
    return undefined;
  });

const noneWords = (id: string): string => `there is no reprocessing ${harmless(id)}: orrery reprocessing ls`;

export const show = (io: IoService, options: RedoOptions): Effect.Effect<void, CommandFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const link = yield* openMission(io, options.site);
    const there = yield* get(link.nats, ledgerBucket, redoKey(options.id)).pipe(Effect.mapError(ofJetStream));
    if (there === null || there.ended) return yield* no(noneWords(options.id));
    if (options.watch) return yield* watchUntilDone(io, link, options.id);
    const progress = yield* askJobs<RedoProgress>(link, "redo-progress", { id: options.id });
    if (options.json) sayJson(io, progress);
    else sayProgress(io, progress);
    return undefined;
  });

function sayProgress(io: IoService, { redo, jobs }: RedoProgress): void {
  const rows = jobs.map((one) => [
    String(one.level),
    one.job,
    count(one.waiting),
    count(one.running),
    count(one.done),
    count(one.failed),
  ]);
  const number = (title: string) => ({ title, right: true });
  io.out.write(
    table(
      [
        number("LEVEL"),
        { title: "JOB" },
        number("WAITING"),
        number("RUNNING"),
        number("DONE"),
        number("FAILED"),
      ],
      rows,
      { color: io.out.color, columns: io.out.columns() },
    ),
  );
  say(io, summaryOf(redo, jobs));
}

const leftOf = (jobs: RedoProgress["jobs"]): number =>
  jobs.reduce((all, one) => all + one.waiting + one.running, 0);

function summaryOf(redo: Redo, jobs: RedoProgress["jobs"]): string {
  const sum = (of: "waiting" | "running" | "done" | "failed") => jobs.reduce((all, one) => all + one[of], 0);
  const left = leftOf(jobs);
  const state = redo.state === "running" && left === 0 ? "over" : redo.state;
  return `${redo.id}: ${state}; ${count(sum("done"))} of ${count(redo.partitions)} made anew, ${count(sum("failed"))} failed, ${count(left)} to come`;
}

const seenTriesMax = 100;
const seenEvery = "100 millis";

/**
 * A reprocessing that was just written is not at once in the memory of the resolver that is asked: for 10 s its "there is no such" is
 * taken for "not yet". For an id that somebody typed the same answer is final.
 */
export const untilSeen = <A, R>(
  ask: Effect.Effect<A, CommandFailed, R>,
): Effect.Effect<A, CommandFailed, R> =>
  ask.pipe(
    Effect.retry({
      while: (refused) => refused.exit === exitCode.usage,
      schedule: Schedule.spaced(seenEvery),
      times: seenTriesMax,
    }),
  );

/** Until it is over, cancelled, or ^C, after which it goes on without anybody looking. */
const watchUntilDone = (io: IoService, link: MissionLink, id: string): Effect.Effect<void, CommandFailed> =>
  Effect.gen(function* () {
    let told = "";
    for (;;) {
      const progress = yield* askJobs<RedoProgress>(link, "redo-progress", { id });
      const line = summaryOf(progress.redo, progress.jobs);
      if (line !== told) say(io, line);
      told = line;
      const left = leftOf(progress.jobs);
      if (progress.redo.state === "cancelled") return;
      if (left === 0) {
        if (progress.jobs.some((one) => one.failed > 0)) {
          return yield* failed("some runs failed: orrery parked ls tells why");
        }
        return;
      }
      yield* Effect.sleep(lookEveryMs);
    }
  });

export type RedoVerb = "pause" | "resume" | "cancel";

const states: Readonly<Record<RedoVerb, Redo["state"]>> = {
  pause: "paused",
  resume: "running",
  cancel: "cancelled",
};

export const change = (
  io: IoService,
  verb: RedoVerb,
  options: RedoOptions,
): Effect.Effect<void, CommandFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const link = yield* openMission(io, options.site);
    const redo = yield* Effect.tryPromise({ try: () => write(link.nats, verb, options), catch: ofCause });
    if (options.json) sayJson(io, redo);
    else say(io, `${redo.id}: ${redo.state}; runs that are under way end as they would`);
    return undefined;
  });

async function write(nats: NatsService, verb: RedoVerb, { id, note }: RedoOptions): Promise<Redo> {
  const key = redoKey(id);
  for (let attempt = 0; attempt < tries; attempt++) {
    const entry = await getUnsafe(nats, ledgerBucket, key);
    if (entry === null || entry.ended) throw no(noneWords(id));
    const before = decodeRedo(key, entry.data);
    if (before.state === "cancelled") throw no(`${before.id} was cancelled`);
    const said = { at: new Date(nats.now()).toISOString(), by: operator(), note: note ?? "" };
    const next: Redo = {
      ...before,
      state: states[verb],
      history: [...before.history, { ...said, what: verb }].slice(-recordHistoryMax),
    };
    const answer = await commitUnsafe(
      nats,
      "change a reprocessing",
      [ledgerPut(key, encodeJson(next), entry.revision)],
      commitDeadlineMs,
    );
    if (!("_tag" in answer)) return next;
    if (answer._tag !== "TransactionConflict") throw answer;
  }
  throw failed("somebody else changes the same reprocessing all the time; try again");
}
