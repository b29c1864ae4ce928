/**
 * The resolver: finds out which jobs are ready, and starts each run once.
 *
 * Receives  the ledger's files, runs and job records in order of last change (in memory, from the beginning at each start
 *           and again every few hours); the same of the files of other sites that inputs name.
 * Keeps     `job.<job>.<day>.<partition>`: blocked (on what), ready, running, done or failed.
 * Emits     `run.…` and `ready.…`, in one transaction with the job record that names them.
 * Fails     never for good: while the ledger is away it waits, and what it could not write stays to be decided.
 *
 * Several nodes run one at the same time. Who says the same writes nothing; who is second gets a conflict, and what made it
 * one comes down the ledger and is decided anew.
 */
import * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import * as Queue from "effect/Queue";
import * as Random from "effect/Random";
import type { Site } from "../config/Site.ts";
import type { Change } from "../jetstream/follower.ts";
import { follow } from "../jetstream/follower.ts";
import { getUnsafe } from "../jetstream/ledger.ts";
import { sourceStates } from "../jetstream/sitesBucket.ts";
import { drop, isAsBig, livesOf } from "../jetstream/sitesDrop.ts";
import { countSince } from "../jetstream/survey.ts";
import type { Write } from "../jetstream/transaction.ts";
import { commitUnsafe, ledgerPut } from "../jetstream/transaction.ts";
import { messageBytesMax, siteCountEveryMs, sourceLookEveryMs } from "../limits.ts";
import { filesOfStream } from "../protocol/filesOf.ts";
import type { Decision } from "../protocol/jobs.ts";
import { decodeJob, sameJob } from "../protocol/jobs.ts";
import { ledgerBucket } from "../protocol/keys.ts";
import { encodeJson, LedgerCorrupt } from "../protocol/records.ts";
import { lifeSubjects, sitesBucket } from "../protocol/sites.ts";
import { keptWords, overWords, watchOthers } from "./filesElsewhere.ts";
import type { Case } from "./jobFacts.ts";
import { JobFacts } from "./jobFacts.ts";
import type { NodeContextService } from "./NodeContext.ts";
import type { Rebuilt } from "./otherLives.ts";
import { OtherPurges } from "./otherPurges.ts";
import { beginRun } from "./runSource.ts";
import { ofFiles, SourceAlarm } from "./sourceAlarm.ts";

/** The memory is dropped and read anew this often: days past their retention go without a word. */
const reconcileEvery = "6 hours";
const decisionsAtOnce = 16;
/**
 * What an exposure of many detectors is blocked on changes with each file: it is written on a beat, not at each change.
 * Whatever begins a run, or follows one, is written at once.
 */
const tellEveryMs = 400;
const againMs = 500;
const commitDeadlineMs = 5_000;
/** Room in a message for its headers and for what the run's end adds to its record. */
const runBytesMax = messageBytesMax - 65_536;

interface State {
  readonly node: NodeContextService;
  readonly facts: JobFacts;
  readonly purges: OtherPurges;
  /** Where there is a catalogue its resolver says what goes of what is held of other sites. */
  readonly hasCatalogue: boolean;
  /** When lives of another site were last compared, ms of a clock that only goes on. */
  readonly comparedAt: Map<string, number>;
  /** To be decided at once; woken by `wake`. */
  readonly urgent: Set<Case>;
  /** To be decided on the next beat. */
  readonly patient: Set<Case>;
  readonly wake: Queue.Queue<void>;
}

export const resolverActor = (
  node: NodeContextService,
  site: Pick<Site, "jobs"> & Partial<Pick<Site, "catalogue" | "filesOf">>,
  ready: Effect.Effect<void>,
): Effect.Effect<never> =>
  site.jobs.size === 0
    ? Effect.andThen(ready, Effect.never)
    : Effect.gen(function* () {
        const wake = yield* Queue.sliding<void>(1);
        const alarm = new SourceAlarm(node.log, ofFiles);
        for (let first = true; ; first = false) {
          const state: State = {
            node,
            facts: new JobFacts(site.jobs),
            purges: new OtherPurges(),
            hasCatalogue: site.catalogue != null,
            comparedAt: new Map(),
            urgent: new Set(),
            patient: new Set(),
            wake,
          };
          // Where there is a catalogue its resolver does this for both.
          const others = site.catalogue == null ? [...(site.filesOf?.sites.keys() ?? [])] : [];
          yield* oneLife(state, { node, alarm, sites: others }, first ? ready : Effect.void).pipe(
            Effect.timeoutOption(reconcileEvery),
          );
        }
      });

/** From reading everything to the next full reconcile. */
const oneLife = (
  state: State,
  others: Parameters<typeof watchOthers>[0],
  ready: Effect.Effect<void>,
): Effect.Effect<never> =>
  Effect.scoped(
    Effect.gen(function* () {
      const { node, facts } = state;
      const caughtUp = yield* Deferred.make<void>();
      yield* follow(
        node.nats,
        {
          bucket: ledgerBucket,
          keys: facts.keys,
          trouble: (cause) => node.log("warn", "the ledger cannot be followed", { cause }),
          each: (change) => {
            for (const touched of take(state, change)) state.urgent.add(touched);
            Queue.offerUnsafe(state.wake, undefined);
          },
        },
        caughtUp,
      ).pipe(Effect.orDie, Effect.forkScoped);
      const heardOthers = yield* followOthers(state);
      // Ready before it has read what stands: of a large ledger that is a matter of many seconds, and nobody waits for it.
      yield* ready;
      // Nothing is decided on half of the facts.
      yield* Deferred.await(caughtUp);
      yield* heardOthers;
      yield* Effect.forkScoped(onTheBeat(state));
      if (others.sites.length > 0) yield* Effect.forkScoped(watchOthers(others));
      if (facts.otherKeys.length > 0) {
        const again = Effect.andThen(Effect.sleep(sourceLookEveryMs), tidy(state));
        yield* Effect.forkScoped(Effect.forever(again));
      }
      for (;;) {
        yield* Queue.take(state.wake);
        yield* decideAll(state, state.urgent, false);
      }
    }),
  );

/** @returns what waits until all is read that is held here of other sites: with a link that is cut as well */
const followOthers = (state: State) =>
  Effect.gen(function* () {
    const { node, facts, purges } = state;
    const keys = facts.otherKeys;
    if (keys.length === 0) return Effect.void;
    const caughtUp = yield* Deferred.make<void>();
    const sites = new Set(keys.map((key) => key.slice(0, key.indexOf("."))));
    const following = {
      bucket: sitesBucket,
      keys: [...keys, ...[...sites].map((site) => `${site}.*.purged.file.>`)],
      each: (change: Change) => {
        if (purges.see(change)) return;
        for (const touched of takeOther(state, change)) state.urgent.add(touched);
        Queue.offerUnsafe(state.wake, undefined);
      },
    };
    yield* follow(node.nats, following, caughtUp).pipe(Effect.orDie, Effect.forkScoped);
    return Deferred.await(caughtUp);
  });

function takeOther(state: State, change: Change): ReadonlyArray<Case> {
  try {
    return state.facts.applyOther(change);
  } catch (cause) {
    if (!(cause instanceof LedgerCorrupt)) throw cause;
    state.node.log("error", cause.message, { key: change.key });
    return [];
  }
}

/** What other sites have purged, or had in a former life only, goes here. */
const tidy = (state: State): Effect.Effect<void> =>
  Effect.gen(function* () {
    const { node, facts, purges, hasCatalogue } = state;
    if (!hasCatalogue) yield* purges.tick(node);
    if (!facts.hasFormerLives) return;
    for (const site of facts.rebuilt(node.nats.now(), yield* sourceStates(node.nats))) {
      if (!(yield* isOver(state, site))) continue;
      for (const touched of facts.endFormer(site.site)) state.urgent.add(touched);
      Queue.offerUnsafe(state.wake, undefined);
    }
  }).pipe(
    Effect.catch((error) =>
      Effect.sync(() =>
        state.node.log("warn", "what other sites have no more could not be purged", { error }),
      ),
    ),
  );

/** Whether nothing is held of the former lives of a site that was rebuilt: what of them has had its time is purged. */
const isOver = ({ node, facts, hasCatalogue, comparedAt }: State, { site, epoch, former, isTold }: Rebuilt) =>
  Effect.gen(function* () {
    const { nats, log } = node;
    const keysOf = (life: string) => countSince(nats, filesOfStream, lifeSubjects(site, life), 0);
    const counts = yield* Effect.forEach(former, keysOf);
    // By another node, or for the catalogue.
    if (counts.every((keys) => keys === 0)) return true;
    const now = performance.now();
    if (hasCatalogue || !isTold || now - (comparedAt.get(site) ?? -Infinity) < siteCountEveryMs) return false;
    comparedAt.set(site, now);
    const lives = yield* livesOf(nats, site);
    const present = lives.get(epoch) ?? { keys: 0, files: 0 };
    const bigger = former.flatMap((life) => lives.get(life) ?? []).find((life) => !isAsBig(present, life));
    if (bigger !== undefined) {
      if (facts.keep(site))
        log("error", keptWords, { of: site, epoch, had: bigger.files, has: present.files });
      return false;
    }
    for (const life of former) {
      log("info", overWords, { of: site, epoch: life });
      yield* drop(nats, lifeSubjects(site, life));
    }
    return true;
  });

function take(state: State, change: Parameters<JobFacts["apply"]>[0]): ReadonlyArray<Case> {
  try {
    return state.facts.apply(change);
  } catch (cause) {
    if (!(cause instanceof LedgerCorrupt)) throw cause;
    // One bad value must not hold every job of the site: told, and left out.
    state.node.log("error", cause.message, { key: change.key });
    return [];
  }
}

const onTheBeat = (state: State): Effect.Effect<never> =>
  Effect.forever(
    Effect.gen(function* () {
      // Nodes of a site tell the same things: out of step, the second finds it said.
      const random = yield* Random.next;
      yield* Effect.sleep(tellEveryMs * (0.5 + random));
      yield* decideAll(state, state.patient, true);
    }),
  );

const decideAll = (state: State, cases: Set<Case>, patient: boolean): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (cases.size === 0) return Effect.void;
    const now = [...cases];
    cases.clear();
    return Effect.forEach(now, (of) => Effect.promise(() => decideOne(state, of, patient)), {
      concurrency: decisionsAtOnce,
      discard: true,
    });
  });

async function decideOne(state: State, of: Case, patient: boolean): Promise<void> {
  const { node } = state;
  const decision = bounded(state.facts.decide(of, { now: node.nats.now(), node: node.name }), of);
  if (decision.type === "nothing") return;
  if (decision.type === "tell" && decision.record.state === "blocked" && !patient) {
    state.patient.add(of);
    return;
  }
  const writes: Array<Write> = [ledgerPut(of.key, encodeJson(decision.record), of.revision)];
  if (decision.type === "start") {
    writes.push(...beginRun(decision.place, decision.run));
  }
  const answer = await commitUnsafe(node.nats, "job record", writes, commitDeadlineMs);
  if (!("_tag" in answer)) {
    state.facts.learn(of, answer[0] ?? 0, decision.record);
    if (decision.type === "start") node.log("info", "a run is ready", { run: decision.record.run });
    return;
  }
  if (answer._tag === "TransactionConflict") {
    await outrun(state, of, decision.record.run);
    return;
  }
  node.log("warn", "a job record could not be written yet", { key: of.key, cause: answer.message });
  later(state, of);
}

/** A run whose record would be no message is told as blocked, with the reason, instead of being refused for ever. */
function bounded(decision: Decision, of: Case): Decision {
  if (decision.type !== "start" || encodeJson(decision.run).length <= runBytesMax) return decision;
  const blockedOn = [`${decision.run.body.inputs.length} inputs, more than one run's record can hold`];
  const record = { ...decision.record, state: "blocked" as const, blockedOn, inputs: null, run: null };
  return of.record !== null && sameJob(of.record, record) ? { type: "nothing" } : { type: "tell", record };
}

/**
 * Somebody else wrote first. What we have not seen yet comes down the ledger by itself and is decided then; deciding
 * sooner, on older facts, would write the other's record back. Only what will not come is read.
 */
async function outrun(state: State, of: Case, runKey: string | null): Promise<void> {
  const { node, facts } = state;
  try {
    const entry = await getUnsafe(node.nats, ledgerBucket, of.key);
    if (entry !== null && entry.revision > facts.seen) return;
    const record = entry === null || entry.ended ? null : decodeJob(of.key, entry.data);
    facts.stands(of, entry?.revision ?? 0, record);
    const run = runKey === null ? null : await getUnsafe(node.nats, ledgerBucket, runKey);
    if (run !== null) take(state, run);
  } catch (cause) {
    node.log("warn", "a job record in conflict could not be read yet", { key: of.key, cause: String(cause) });
  }
  later(state, of);
}

/** Decided again after a moment, by whatever is known then. */
function later(state: State, of: Case): void {
  setTimeout(() => {
    state.urgent.add(of);
    Queue.offerUnsafe(state.wake, undefined);
  }, againMs);
}
