/**
 * Runs a command as a job of a Nomad cluster: a parameterised batch job is dispatched, with the try's id as its payload, and runs
 * `orrery run-task`, the command's keeper (runTask.ts).
 *
 * Scratch folder and tickets lie on a file system that the node and the cluster's hosts share under one path. The other design, inputs and
 * outputs through the object store, would stage everything twice, want the site's credentials on every host, and have a second
 * place that publishes; here only the runner does.
 *
 * Nomad places and starts, and is believed in nothing else. That the command starts at most once rests on the folder of the try, as does
 * how it ended: so Nomad may lose a dispatch or do it twice, forget a finished job, or be away while a command runs. Its log is
 * the scratch folder's too; what Nomad kept of the keeper's own words is fetched where the keeper came to grief.
 *
 * A dispatch that ends, or that Nomad knows nothing of, before its command began is made anew, once.
 */
import { appendFile, readdir, writeFile } from "node:fs/promises";
import * as Effect from "effect/Effect";
import {
  keeperBeatMs,
  keeperLagMs,
  keeperLookMs,
  keeperLostMs,
  nomadDispatchTriesMax,
  nomadPlaceMs,
  nomadRedoMax,
  nomadWaitMs,
  runInterruptGraceMs,
  runTermGraceMs,
} from "../limits.ts";
import type { Allocation, JobState, NomadAddress } from "./nomadApi.ts";
import { NomadApi, NomadRefused } from "./nomadApi.ts";
import { NomadEvents } from "./nomadEvents.ts";
import type { RunDriver, RunEnd, RunTask } from "./RunDriver.ts";
import { DriverFailed } from "./RunDriver.ts";
import type { Ticket, TryEnd } from "./tryFolder.ts";
import { isTryId, progressOf, stopWord, TryFolder } from "./tryFolder.ts";

export interface NomadOptions extends NomadAddress {
  /** Id of the parameterised job. */
  readonly job: string;
  /** Of tickets; its keepers have it under the same path. */
  readonly folder: string;
  readonly termMs: number;
  readonly interruptMs: number;
  readonly lostMs: number;
}

/** A try in hand. */
interface Try {
  readonly task: RunTask;
  readonly at: TryFolder;
  /** Ids of the jobs that were dispatched for it. */
  readonly jobs: Array<string>;
  readonly since: number;
  /** Nothing of it runs, or will. */
  isGone: boolean;
}

interface Nomad extends NomadOptions {
  readonly api: NomadApi;
  readonly events: NomadEvents;
}

const failed = (detail: string): DriverFailed => new DriverFailed({ driver: "nomad", detail });

const shared = <A>(call: () => Promise<A>): Effect.Effect<A, DriverFailed> =>
  Effect.tryPromise({ try: call, catch: (cause) => failed(`the shared folder: ${String(cause)}`) });

export const makeNomadDriver = (
  given: Partial<NomadOptions> & Pick<NomadOptions, "job" | "folder">,
): RunDriver => {
  const options: NomadOptions = {
    address: "http://127.0.0.1:4646",
    tokenFile: null,
    namespace: "default",
    termMs: runTermGraceMs,
    interruptMs: runInterruptGraceMs,
    lostMs: keeperLostMs,
    ...given,
  };
  const api = new NomadApi(options);
  const nomad: Nomad = { ...options, api, events: new NomadEvents(api) };
  return {
    name: "nomad",
    run: (task) =>
      Effect.gen(function* () {
        yield* endAll(nomad, [...task.leftovers, task.id]);
        return yield* Effect.acquireUseRelease(
          begin(nomad, task),
          (of) => Effect.raceFirst(untilEnded(nomad, of), kept(nomad, of)),
          (of) => letGo(nomad, of),
        );
      }),
    sweep: (owner) =>
      Effect.flatMap(
        shared(() => idsOf(nomad.folder, owner)),
        (ids) => endAll(nomad, ids),
      ),
  };
};

const begin = (nomad: Nomad, task: RunTask): Effect.Effect<Try, DriverFailed> =>
  shared(async () => {
    const at = new TryFolder(nomad.folder, task.id);
    const { id, owner, command, cwd, env, scratch, logFile, logBytesMax, timeLimitMs } = task;
    const { termMs, interruptMs, lostMs } = nomad;
    const what = { id, owner, command, cwd, env, scratch, logFile, logBytesMax, timeLimitMs };
    const ticket: Ticket = { v: 1, ...what, termMs, interruptMs, lostMs };
    await at.write(ticket);
    return { task, at, jobs: [], since: Date.now(), isGone: false };
  });

/** What the keeper said last, as the end of a run; a failure where nothing ran. */
function runEndOf(of: Try, end: TryEnd): Effect.Effect<RunEnd, DriverFailed> {
  switch (end.type) {
    case "ended":
      return Effect.succeed(end.end);
    case "stopped":
      return endedFromOutside(of, end.why, null);
    case "failed":
      return Effect.fail(failed(`its keeper: ${end.detail}`));
  }
}

interface Look {
  readonly end: TryEnd | null;
  readonly pulse: string | null;
  readonly begun: boolean;
}

/** Null where the folder cannot be read now. */
const look = ({ at }: Try): Effect.Effect<Look | null> =>
  Effect.promise(async () => {
    try {
      const end = await at.end();
      const pulse = end === null ? await at.lastPulse() : null;
      return { end, pulse, begun: pulse !== null || (end === null && (await at.begun())) };
    } catch {
      // Whoever looks counts it as silence, of which there may only be so much.
      return null;
    }
  });

/** Beats for the keeper, and looks whether it has said how the command ended, or is not heard of any more. */
const untilEnded = Effect.fnUntraced(function* (nomad: Nomad, of: Try) {
  const { at, task } = of;
  let pulse: string | null = null;
  let heardAt = performance.now();
  for (let count = 1; ; count++) {
    // Its failure is found out by the keeper, and by the look that follows.
    yield* Effect.promise(() => at.beat(String(count)).catch(() => undefined));
    const until = performance.now() + keeperBeatMs;
    let seen: Look | null = null;
    while (performance.now() < until) {
      seen = yield* look(of);
      if (seen !== null && seen.end !== null) return yield* runEndOf(of, seen.end);
      yield* Effect.sleep(keeperLookMs);
    }
    const progress = progressOf(seen?.pulse ?? null);
    if (progress !== null) task.onProgress?.({ line: progress.line, peakRssBytes: progress.peakRssBytes });
    // Until it has begun it waits for a place, which is bounded elsewhere.
    if (seen !== null && (!seen.begun || seen.pulse !== pulse)) heardAt = performance.now();
    pulse = seen?.pulse ?? pulse;
    if (performance.now() - heardAt > nomad.lostMs)
      return yield* lost(nomad, of, "nothing is heard of its host");
  }
});

/** Sees to it that the try gets a place, and notices where Nomad has ended what should have said so itself. */
const kept = Effect.fnUntraced(function* (nomad: Nomad, of: Try) {
  for (let redone = 0; ; redone++) {
    const job = yield* dispatch(nomad, of, redone);
    const over = yield* Effect.raceFirst(untilOver(nomad, of, job), noRoom(of));
    // It may have begun, or said how it ended, in time, and only be seen late.
    if (yield* begunSoon(of)) {
      yield* Effect.sleep(keeperLagMs);
      of.isGone = true;
      return yield* lost(nomad, of, over);
    }
    if (redone < nomadRedoMax && over !== noRoomWords) continue;
    of.isGone = yield* takeBack(of);
    if (of.isGone) return yield* failed(over);
    // Now it has begun: what becomes of it is seen in its folder.
    return yield* Effect.never;
  }
});

const noRoomWords = `no host of the cluster had room for it within ${nomadPlaceMs / 60_000} min`;

const noRoom = Effect.fnUntraced(function* ({ at }: Try) {
  yield* Effect.sleep(nomadPlaceMs);
  return (yield* shared(() => at.begun())) ? yield* Effect.never : noRoomWords;
});

/** A host that has begun it is seen to have done so within the file system's lag. */
const begunSoon = ({ at }: Try): Effect.Effect<boolean, DriverFailed> =>
  shared(async () => {
    const until = performance.now() + keeperLagMs;
    while (!(await at.begun())) {
      if (performance.now() > until) return false;
      await new Promise((resolve) => setTimeout(resolve, keeperLookMs));
    }
    return true;
  });

const takeBack = ({ at }: Try): Effect.Effect<boolean, DriverFailed> => shared(() => at.begin("taken back"));

/** An answer that is lost is asked for again by the same token: it is the same job then. */
const dispatch = Effect.fnUntraced(function* (nomad: Nomad, of: Try, redone: number) {
  const { task, at } = of;
  const token = `${task.id}.${redone}`;
  let waitMs = 500;
  for (let tries = 1; ; tries++) {
    const answer = yield* Effect.promise((signal) =>
      nomad.api.dispatch(nomad.job, token, at.id, { owner: task.owner }, signal).catch(refusalOf),
    );
    if (typeof answer === "string") {
      of.jobs.push(answer);
      return answer;
    }
    if (!answer.passes || tries >= nomadDispatchTriesMax) return yield* failed(answer.message);
    yield* Effect.sleep(waitMs);
    waitMs *= 2;
  }
});

function refusalOf(cause: unknown): NomadRefused {
  return cause instanceof NomadRefused
    ? cause
    : new NomadRefused({ what: "answer", status: 0, detail: String(cause) });
}

/** Waits until Nomad has ended the job, or knows nothing of it, and says which. While Nomad is away nothing has changed. */
const untilOver = Effect.fnUntraced(function* (nomad: Nomad, of: Try, job: string) {
  const { api, events } = nomad;
  const bell = { rang: false, wake: (): void => undefined };
  const listening = Effect.acquireRelease(
    Effect.sync(() =>
      events.listen(job, () => {
        bell.rang = true;
        bell.wake();
      }),
    ),
    (end) => Effect.sync(end),
  );
  return yield* Effect.scoped(
    Effect.gen(function* () {
      yield* listening;
      let state: JobState = { status: "pending", index: 0 };
      for (;;) {
        bell.rang = false;
        const index = events.isUp ? 0 : state.index;
        const now = yield* Effect.promise((signal) =>
          api.job(job, index, nomadWaitMs, signal).catch(refusalOf),
        );
        if (now instanceof NomadRefused) {
          yield* Effect.sleep(keeperBeatMs);
          continue;
        }
        state = now;
        if (state.status === "gone") return "Nomad knows nothing of it any more";
        if (state.status === "dead") return "Nomad ended it";
        if (!events.isUp || bell.rang) continue;
        yield* Effect.callback<void>((resume) => {
          const timer = setTimeout(() => resume(Effect.void), nomadWaitMs);
          bell.wake = () => resume(Effect.void);
          if (bell.rang) bell.wake();
          return Effect.sync(() => clearTimeout(timer));
        });
      }
    }),
  );
});

/** The command began, and its keeper did not say how it ended. */
const lost = Effect.fnUntraced(function* (nomad: Nomad, of: Try, why: string) {
  yield* shared(() => of.at.beat(stopWord));
  // The stop word ends it where Nomad is away; what Nomad kept of it is an extra.
  yield* Effect.ignore(stopJobs(nomad, of.jobs));
  const found = yield* Effect.promise(() => remains(nomad, of.jobs).catch(() => ({ exit: null, words: "" })));
  return yield* endedFromOutside(of, `${why}\n${found.words}`, found.exit);
});

const endedFromOutside = (of: Try, why: string, exit: number | null): Effect.Effect<RunEnd, DriverFailed> =>
  shared(async () => {
    const { logFile, logBytesMax } = of.task;
    const words = `\n[${why.trim()}]\n`.slice(0, logBytesMax);
    await appendFile(logFile, words).catch(() => writeFile(logFile, words));
    const lastLine = why.trim().split("\n")[0] ?? "";
    return {
      exit,
      timedOut: false,
      startedAt: of.since,
      endedAt: Date.now(),
      peakRssBytes: null,
      cpuMs: null,
      logBytes: Buffer.byteLength(words),
      lastLine,
    };
  });

/** What Nomad still has of the keeper: its exit code, what happened to it, its own words. */
async function remains(
  { api }: Nomad,
  jobs: ReadonlyArray<string>,
): Promise<{ readonly exit: number | null; readonly words: string }> {
  const lines: Array<string> = [];
  let exit: number | null = null;
  for (const job of jobs) {
    for (const allocation of await api.allocations(job)) {
      for (const [task, { Events }] of statesOf(allocation)) {
        for (const event of Events ?? []) {
          lines.push(`${task}: ${event.DisplayMessage ?? event.Type}`);
          // The keeper ends with 0 when it did not run the command.
          if (event.Type === "Terminated" && (event.ExitCode ?? 0) > 0) exit = event.ExitCode ?? null;
        }
        for (const type of ["stdout", "stderr"] as const) {
          // Collected already, or its host is gone: the events say what there is to say.
          lines.push((await api.logs(allocation.ID, task, type).catch(() => "")).trim());
        }
      }
    }
  }
  return { exit, words: lines.filter((line) => line !== "").join("\n") };
}

const statesOf = ({ TaskStates }: Allocation) => Object.entries(TaskStates ?? {});

const stopJobs = ({ api }: Nomad, jobs: ReadonlyArray<string>): Effect.Effect<void, NomadRefused> =>
  Effect.tryPromise({
    try: async () => {
      for (const job of jobs) await api.stop(job);
    },
    catch: refusalOf,
  });

/** The keeper looks often enough to end the command within this. */
const untilGoneMs = (nomad: Nomad): number => nomad.interruptMs + 6 * keeperLookMs;

/** A try that has not ended is taken back or stopped. What is still there then, the next who meets it ends. */
const letGo = Effect.fnUntraced(function* (nomad: Nomad, of: Try) {
  const { at } = of;
  const isOver = Effect.promise(async () => (await at.end().catch(() => null)) !== null);
  if (!(yield* isOver)) {
    yield* Effect.promise(() => at.beat(stopWord).catch(() => undefined));
    const back: boolean = yield* Effect.promise(() => at.begin("taken back").catch(() => false));
    // Beside the wait: Nomad's own signal reaches a keeper that cannot read the folder.
    yield* Effect.forkDetach(Effect.ignore(stopJobs(nomad, of.jobs)));
    const isSettled = back || of.isGone;
    const until = performance.now() + untilGoneMs(nomad);
    for (let over = isSettled; !over; over = yield* isOver) {
      if (performance.now() > until) return;
      yield* Effect.sleep(keeperLookMs / 2);
    }
  }
  yield* Effect.promise(() => at.remove().catch(() => undefined));
});

/** Of tries that nobody has in hand: none of them runs, or will run, when this has ended. */
const endAll = (nomad: Nomad, ids: ReadonlyArray<string>): Effect.Effect<void, DriverFailed> =>
  Effect.forEach(ids, (id) => endOne(nomad, id), { concurrency: 8, discard: true });

const endOne = Effect.fnUntraced(function* (nomad: Nomad, id: string) {
  const at = yield* shared(async () => new TryFolder(nomad.folder, id));
  if ((yield* shared(() => at.ticket())) === null) return yield* shared(() => at.remove());
  if (!(yield* shared(() => at.begin("taken back")))) {
    yield* shared(() => at.beat(stopWord));
    // Nomad is away: the stop word ends it, and its silence is waited for below.
    const running = yield* Effect.promise(() => nomad.api.dispatched(nomad.job, id).catch(() => []));
    yield* Effect.ignore(stopJobs(nomad, running));
    // Its keeper has ended it, or nothing is heard of that for so long that it has ended, too.
    let last: string | null = null;
    let until = performance.now() + nomad.lostMs;
    while ((yield* shared(() => at.end())) === null && performance.now() < until) {
      const now = yield* shared(() => at.lastPulse());
      if (now !== last) until = performance.now() + nomad.lostMs;
      last = now;
      yield* Effect.sleep(keeperLookMs);
    }
  }
  return yield* shared(() => at.remove());
});

async function idsOf(folder: string, owner: string): Promise<ReadonlyArray<string>> {
  const names = await readdir(folder).catch((cause: unknown) => {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw cause;
  });
  const owned: Array<string> = [];
  for (const name of names.filter(isTryId)) {
    const ticket = await new TryFolder(folder, name).ticket();
    if (ticket?.owner === owner) owned.push(name);
  }
  return owned;
}
