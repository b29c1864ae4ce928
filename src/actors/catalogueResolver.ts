/**
 * The resolver of the job catalogue: what can be made of what there is, and each run of it started once.
 *
 * Receives  files of lanes with names, runs, orders and reprocessings, in order of last change (in memory, from the beginning at each
 *           start and again every few hours); the same of the files of other sites that the site file names; the rows of repoint tables
 *           from where they lie; the site's clock.
 * Keeps     `job.<job>.<day>.<instrument>/<partition>`: blocked (on what), ready, running, done, failed or stale.
 * Emits     `run.…` and `ready.…`, in one transaction with the job's record.
 * Fails     never for good: while the ledger is away it waits, and what it could not write stays to be written.
 *
 * What is decided is src/jobs/Resolver.ts's; here it is only told and written. Several nodes run one at the same time. A run begins in a
 * transaction that expects the job's record as it was seen: of two that decide the same one is first, and the other hears of it.
 */
import * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import * as Queue from "effect/Queue";
import type * as Scope from "effect/Scope";
import type { JobCatalogue } from "../config/JobCatalogue.ts";
import type { Site } from "../config/Site.ts";
import { follow } from "../jetstream/follower.ts";
import type { Change as LedgerChange } from "../jetstream/follower.ts";
import { getManyUnsafe } from "../jetstream/ledger.ts";
import type { Write } from "../jetstream/transaction.ts";
import { commitUnsafe, ledgerPut } from "../jetstream/transaction.ts";
import type { RunFact, Start } from "../jobs/fact.ts";
import { Resolver } from "../jobs/Resolver.ts";
import { beginAgainFirstMs, messageBytesMax, redoRunsPerWorkerMax } from "../limits.ts";
import type { JobRecord } from "../protocol/jobs.ts";
import { partitionKey } from "../protocol/jobs.ts";
import { ledgerBucket, recordKey } from "../protocol/keys.ts";
import { encodeJson } from "../protocol/records.ts";
import type { LedgerRecord } from "../protocol/records.ts";
import type { RunBody, RunInput } from "../protocol/runs.ts";
import { decodeRun, placeOfRun } from "../protocol/runs.ts";
import { AgeAlarm } from "./ageAlarm.ts";
import type { Learnt, TableFile } from "./catalogueFacts.ts";
import { CatalogueFacts, runFactOf } from "./catalogueFacts.ts";
import { inputOf, jobRecordOf, outputsOf, partitionOf, runOf } from "./catalogueRuns.ts";
import type { Known } from "./jobAnswers.ts";
import { serveJobs } from "./jobService.ts";
import type { FilesElsewhere } from "./filesElsewhere.ts";
import { followOthers, tidyOthers, watchOthers } from "./filesElsewhere.ts";
import { JobTelling, learnStanding } from "./jobTelling.ts";
import type { NodeContextService } from "./NodeContext.ts";
import { OtherPurges } from "./otherPurges.ts";
import { NotBegun } from "./notBegun.ts";
import { readTable } from "./repointTables.ts";
import { Redos, RedoShare } from "./redos.ts";
import type { StorageOf } from "./runFiles.ts";
import { beginRun } from "./runSource.ts";
import { ofFiles, SourceAlarm } from "./sourceAlarm.ts";

/** The memory is dropped and read anew this often. */
const reconcileEvery = "6 hours";
/** Partitions that are decided before other work of the node has its turn. */
const decidedAtOnce = 64;
/** Runs that are being begun; more are not decided on. */
const beginsAtOnce = 192;
/** Of what is written in one transaction, about. */
const beginBytesAtOnce = 2 * 1_048_576;
const tablesAtOnce = 16;
const clockEveryMs = 1_000;
const commitDeadlineMs = 5_000;
/** Room in a message for its headers and for what the run's end adds to its record. */
const runBytesMax = messageBytesMax - 65_536;

export interface CatalogueDeps {
  readonly storageOf: StorageOf;
}

interface State {
  readonly node: NodeContextService;
  readonly catalogue: JobCatalogue;
  readonly deps: CatalogueDeps;
  readonly facts: CatalogueFacts;
  readonly core: Resolver;
  readonly telling: JobTelling;
  /** Tables whose rows are still to be read, by name. */
  readonly unread: Map<string, TableFile>;
  readonly redos: Redos;
  readonly redoShare: RedoShare;
  readonly ages: AgeAlarm;
  readonly wake: Queue.Queue<void>;
  readonly notBegun: NotBegun;
  beginning: number;
}

export const catalogueResolverActor = (
  node: NodeContextService,
  site: Pick<Site, "lanes" | "missionStart" | "filesOf">,
  catalogue: JobCatalogue,
  deps: CatalogueDeps,
  ready: Effect.Effect<void>,
): Effect.Effect<never, never, Scope.Scope> =>
  Effect.gen(function* () {
    const wake = yield* Queue.sliding<void>(1);
    let answering: Known | null = null;
    // A life that has not read everything yet knows less than the one before it.
    const known = (now: Known): void => void (answering = now);
    yield* Effect.forkScoped(Effect.flatten(serveJobs(node, () => answering)).pipe(Effect.orDie));
    const ages = new AgeAlarm();
    const alarm = new SourceAlarm(node.log, ofFiles);
    for (let first = true; ; first = false) {
      const facts = new CatalogueFacts(site, catalogue);
      const core = new Resolver({
        kinds: catalogue.recogniser.kinds,
        jobs: [...catalogue.jobs.values()],
        missionStart: site.missionStart ?? Number.POSITIVE_INFINITY,
      });
      const state: State = {
        node,
        catalogue,
        deps,
        facts,
        core,
        telling: new JobTelling({ node, catalogue, facts, core }),
        unread: new Map(),
        redos: new Redos(),
        redoShare: new RedoShare(),
        notBegun: new NotBegun(),
        beginning: 0,
        ages,
        wake,
      };
      const others: FilesElsewhere = {
        node,
        facts: state.facts,
        sites: [...(site.filesOf?.sites.keys() ?? [])],
        purges: new OtherPurges(),
        alarm,
        learn: (learnt, key) => {
          learn(state, learnt, key);
          Queue.offerUnsafe(wake, undefined);
        },
      };
      yield* oneLife(state, others, known, first ? ready : Effect.void).pipe(
        Effect.timeoutOption(reconcileEvery),
      );
    }
  });

/** From reading everything to the next full reconcile. */
const oneLife = (
  state: State,
  others: FilesElsewhere,
  known: (now: Known) => void,
  ready: Effect.Effect<void>,
): Effect.Effect<never> =>
  Effect.scoped(
    Effect.gen(function* () {
      const { node, core } = state;
      const caughtUp = yield* Deferred.make<void>();
      yield* follow(
        node.nats,
        {
          bucket: ledgerBucket,
          keys: state.facts.keys,
          trouble: (cause) => node.log("warn", "the ledger cannot be followed", { cause }),
          each: (change) => {
            take(state, change);
            Queue.offerUnsafe(state.wake, undefined);
          },
        },
        caughtUp,
      ).pipe(Effect.orDie, Effect.forkScoped);
      const heardOthers = yield* followOthers(others);
      // Nothing is decided on half of the facts; but the rest of the node need not wait for a year to be read.
      yield* ready;
      yield* Deferred.await(caughtUp);
      yield* heardOthers;
      yield* readTables(state);
      core.apply({ type: "clock", now: clockOf(state) });
      known(state);
      Queue.offerUnsafe(state.wake, undefined);
      // Together: a life in which one of them has ended would go on deaf or dumb, and nobody would hear of it.
      yield* Effect.all(
        [forEverTick(state, others), watchOthers(others), state.telling.forEver, forEverDecide(state)],
        {
          concurrency: "unbounded",
          discard: true,
        },
      );
      return yield* Effect.never;
    }),
  );

const forEverDecide = (state: State): Effect.Effect<never> =>
  Effect.forever(
    Effect.andThen(
      Queue.take(state.wake),
      Effect.suspend(() => decideAll(state)),
    ),
  );

const take = (state: State, change: LedgerChange): void =>
  learn(state, state.facts.apply(change), change.key);

function learn(state: State, learnt: Learnt, key: string): void {
  // One bad value must not hold every job of the mission: told, and left out.
  if (learnt.corrupt !== null) state.node.log("error", learnt.corrupt, { key });
  if (learnt.conflict !== null) state.node.log("warn", learnt.conflict, { key });
  for (const fact of learnt.facts) {
    if (fact.type === "run") learnRun(state, fact.run);
    if (state.core.apply(fact) !== "refused" || fact.type !== "file") continue;
    // Somebody took the other content after all: what the ledger says now is what is so.
    state.core.apply({ type: "withdrawn", name: fact.file.name });
    state.core.apply(fact);
  }
  for (const table of learnt.tables) state.unread.set(table.name, table);
  if (learnt.redo !== null) state.redos.set(learnt.redo);
}

const clockOf = (state: State): number => Math.floor(state.node.nats.now() * 1_000);

/** Reads what is to be read; what could not be stays for the next beat. */
const readTables = (state: State): Effect.Effect<void> =>
  Effect.forEach(
    [...state.unread],
    ([name, table]) =>
      Effect.map(readTable(state.node, state.deps.storageOf, table), (read) => {
        if (read.type === "unread") {
          state.node.log("warn", "a repoint table cannot be read yet", { table: name, cause: read.detail });
          return;
        }
        if (state.unread.get(name) === table) state.unread.delete(name);
        if (read.type === "fact") state.core.apply(read.fact);
      }),
    { concurrency: tablesAtOnce, discard: true },
  );

const forEverTick = (state: State, others: FilesElsewhere): Effect.Effect<never> =>
  Effect.forever(
    Effect.gen(function* () {
      yield* Effect.sleep(clockEveryMs);
      yield* tidyOthers(others);
      if (state.unread.size > 0) yield* readTables(state);
      state.core.apply({ type: "clock", now: clockOf(state) });
      state.ages.look(state, state.node);
      Queue.offerUnsafe(state.wake, undefined);
    }),
  );

/**
 * Decides slice by slice: between two of them the rest of the node has its turn, and so has what has come meanwhile, which touches less
 * and is decided first. So no more is decided while many runs are still being begun.
 */
const decideAll = (state: State): Effect.Effect<void> =>
  Effect.gen(function* () {
    for (;;) {
      for (const fact of state.redos.facts(state.core)) state.core.apply(fact);
      const { changed, starts, left } = state.core.decide(decidedAtOnce);
      for (const change of changed) state.telling.add(change);
      if (starts.length > 0) {
        state.beginning += starts.length;
        void beginAll(state, starts).finally(() => {
          state.beginning -= starts.length;
          // Whoever waits for room, and whoever has come since.
          Queue.offerUnsafe(state.wake, undefined);
        });
      }
      if (left === 0) return;
      if (state.beginning >= beginsAtOnce) yield* Queue.take(state.wake);
      else yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)));
    }
  });

/** Up to which minor version runs of the partition have begun; null where we have not seen all of them. */
function begunSoFar({ core, facts }: State, start: Start): number | null {
  const partition = partitionOf(start.definition, start.partition, core.index.calendar);
  if (partition === null) return null;
  const key = partitionKey(start.job, partition);
  const { minor } = facts.standing(key);
  const isSeen = minor === 0 || (core.node(start)?.runs ?? []).some((run) => run.minor >= minor);
  return isSeen || facts.isUnreadable(key) ? minor : null;
}

/** A run that is about to begin, and everything that is written with it. */
interface Beginning {
  readonly start: Start;
  /** Of the job's record. */
  readonly key: string;
  readonly record: JobRecord;
  readonly runKey: string;
  readonly run: LedgerRecord<RunBody>;
  readonly writes: ReadonlyArray<Write>;
}

const isRedone = (state: State, { again }: Start): boolean => again !== null && state.redos.has(again);

/**
 * What is to be written: the run, its way to a runner and the job's record, which expects that no run began which was not known when
 * it was decided: else two could have one version, and the older inputs the last word. A text says why it cannot begin yet; null: not
 * at all, as it stands.
 */
function prepare(state: State, decided: Start, begun: number | null): Beginning | string | null {
  const { node, catalogue, core, facts } = state;
  const { definition: job } = decided;
  const partition = partitionOf(job, decided.partition, core.index.calendar);
  const place = catalogue.products;
  if (partition === null || place === null) return null;
  const lane = catalogue.lanes.get(job.lane);
  const most = redoRunsPerWorkerMax * (lane?.workers ?? 1);
  if (isRedone(state, decided) && !state.redoShare.admits(job.lane, decided, most)) return null;
  if (begun === null) return "a run of it that has begun is not seen yet";
  const key = partitionKey(job.name, partition);
  // The version of a run that cannot be read stands in the job's record alone.
  const start = facts.isUnreadable(key) ? { ...decided, minor: Math.max(decided.minor, begun + 1) } : decided;
  const outputs = outputsOf(start, catalogue, place);
  if ("reason" in outputs) {
    node.log("error", "a run cannot be begun: its product cannot be named", { job: job.name, ...outputs });
    return null;
  }
  const inputs = inputsOf(state, start);
  if (inputs === null) return "a file that it takes has changed since";
  const at = { now: node.nats.now(), node: node.name };
  const exclusive = lane?.oneAtATime === true ? job.instrument : null;
  const origin = isRedone(state, start) ? "reprocessing" : "live";
  const run = runOf(start, partition, { inputs, outputs, exclusive, origin }, at);
  const where = placeOfRun(job.lane, job.name, partition, start.hash);
  const ready = { state: "ready", on: [], incomplete: null, hash: start.hash } as const;
  const record = jobRecordOf(job, partition, ready, recordKey(where), at.now, Math.max(begun, start.minor));
  const ways = beginRun(where, run);
  if (ways.some(({ data }) => data.length > runBytesMax)) {
    node.log("error", "a run cannot be begun: its record has no room for all of its inputs", {
      job: job.name,
      partition: partition.name,
      inputs: inputs.length,
    });
    return null;
  }
  const { revision, minor } = facts.standing(key);
  if (minor !== begun) return "another run of it has begun since";
  const writes = [ledgerPut(key, encodeJson(record), revision), ...ways];
  return { start, key, record, runKey: recordKey(where), run, writes };
}

/** Whatever could not be written is tried again for as long as it is what is to be done: the core hands a start out once. */
function tryAgain(state: State, start: Start, why: string): void {
  const { node, notBegun } = state;
  const afterMs = notBegun.failed(start, why, performance.now(), node.log);
  // Nobody waits for it here: one that can never be begun must not hold the others up.
  setTimeout(() => handBack(state, start), afterMs).unref();
}

function handBack(state: State, start: Start): void {
  // Its room is for whoever comes first.
  if (isRedone(state, start)) makeRoom(state, start.hash, start.definition.lane);
  state.core.unheard(start);
  Queue.offerUnsafe(state.wake, undefined);
}

/** Begins what one decision says, in few transactions. Returns once each has begun, or is to be tried again. */
async function beginAll(state: State, starts: ReadonlyArray<Start>): Promise<void> {
  const waits: Array<Promise<void>> = [];
  let group: Array<Beginning> = [];
  let bytes = 0;
  const flush = (): void => {
    if (group.length > 0) waits.push(commitAll(state, group));
    group = [];
    bytes = 0;
  };
  for (const start of starts) {
    const prepared = prepare(state, start, begunSoFar(state, start));
    if (prepared === null) {
      state.notBegun.over(start);
      continue;
    }
    if (typeof prepared === "string") {
      tryAgain(state, start, prepared);
      continue;
    }
    bytes += prepared.writes.reduce((sum, { data }) => sum + data.length, 0);
    group.push(prepared);
    if (bytes > beginBytesAtOnce) flush();
  }
  flush();
  await Promise.all(waits);
}

async function commitAll(state: State, group: ReadonlyArray<Beginning>): Promise<void> {
  const { node, facts } = state;
  const writes = group.flatMap((one) => one.writes);
  const keys = group.map(({ key }) => key);
  state.telling.begins(keys);
  const answer = await commitUnsafe(node.nats, "begin runs", writes, commitDeadlineMs);
  state.telling.begun(keys);
  if (!("_tag" in answer)) {
    let at = 0;
    for (const { start, key, record, run, writes: own } of group) {
      facts.stands(key, answer[at] ?? 0, record);
      state.notBegun.over(start);
      applyRun(state, run);
      at += own.length;
    }
    return;
  }
  if (answer._tag !== "TransactionConflict") {
    for (const { start } of group) tryAgain(state, start, answer.message);
    // The server is away: no more is decided meanwhile than it can be asked for.
    await new Promise((later) => setTimeout(later, beginAgainFirstMs));
    return;
  }
  const [only] = group;
  if (group.length === 1 && only !== undefined) {
    tryAgain(state, only.start, await outrun(state, only));
    return;
  }
  // Of a conflict nobody says whose it is: one by one, all but that one get through.
  await Promise.all(group.map((one) => commitAll(state, [one])));
}

/** null where a file is another than was decided on: what it is now is being decided on. */
function inputsOf(state: State, start: Start): ReadonlyArray<RunInput> | null {
  const inputs: Array<RunInput> = [];
  for (const input of start.inputs) {
    const lying = state.facts.whereabouts(input.file.name);
    if (lying?.etag !== input.file.content) return null;
    inputs.push(inputOf(input, lying));
  }
  return inputs;
}

function applyRun(state: State, run: LedgerRecord<RunBody>): void {
  const fact = runFactOf(run);
  if (fact === null) return;
  learnRun(state, fact);
  state.core.apply({ type: "run", run: fact });
}

/** A run of a reprocessing that has ended makes room for another. */
function learnRun(state: State, run: RunFact): void {
  const lane = state.catalogue.jobs.get(run.job)?.lane;
  if (lane === undefined || run.again === null || !state.redos.has(run.again)) return;
  if (run.state === "ready" || run.state === "running") state.redoShare.learn(run, lane);
  else makeRoom(state, run.hash, lane);
}

function makeRoom(state: State, hash: string, lane: string): void {
  for (const next of state.redoShare.learn({ hash, state: "done" }, lane)) state.core.unheard(next);
}

/**
 * Somebody else wrote first. What we have not seen yet comes down the ledger by itself and is decided on then; deciding
 * sooner, on older facts, would begin another run beside theirs.
 */
async function outrun(state: State, { key, runKey }: Beginning): Promise<string> {
  const { node } = state;
  try {
    const [job, run] = await getManyUnsafe(node.nats, ledgerBucket, [key, runKey]);
    if (run !== null && run !== undefined && !run.ended) applyRun(state, decodeRun(runKey, run.data));
    learnStanding(state.facts, key, job ?? null);
    return "another node has written of it";
  } catch (cause) {
    return String(cause);
  }
}
