/**
 * The keeper of one command on a machine of a cluster: `orrery run-task`. It runs what the try's ticket says by the process driver, so
 * time limit, log and the end of everything that was started are the same there as on a node's own machine, and says how it
 * ended in the try's folder.
 *
 * It ends the command when the runner says so, when the runner is not heard of any more, and when it is itself told to end. A ticket
 * that somebody else has begun, or that is not there, is not run: that is no failure.
 */
import * as Effect from "effect/Effect";
import * as Schema from "effect/Schema";
import { keeperBeatMs, keeperLookMs } from "../limits.ts";
import { makeProcessDriver } from "./process.ts";
import type { RunProgress } from "./RunDriver.ts";
import type { Ticket, TryEnd } from "./tryFolder.ts";
import { stopWord, TryFolder } from "./tryFolder.ts";

/** The shared folder could not be read or written. Whether the command ran is not known; its runner notices that nothing is heard. */
export class KeeperFailed extends Schema.TaggedError<KeeperFailed>()("KeeperFailed", {
  detail: Schema.String,
}) {
  override get message(): string {
    return `the folder of the try cannot be used: ${this.detail}`;
  }
}

export type Kept = TryEnd | { readonly type: "not-run"; readonly why: string };

const shared = <A>(call: () => Promise<A>): Effect.Effect<A, KeeperFailed> =>
  Effect.tryPromise({ try: call, catch: (cause) => new KeeperFailed({ detail: String(cause) }) });

/** `who` is kept beside the ticket, for people. Its interruption ends the command first. */
export const runTask = Effect.fnUntraced(function* (folder: string, id: string, who: string) {
  const at = yield* shared(async () => new TryFolder(folder, id));
  const ticket = yield* shared(() => at.ticket());
  if (ticket === null) return { type: "not-run", why: "there is no ticket of that name" } satisfies Kept;
  if (!(yield* shared(() => at.begin(who)))) {
    return { type: "not-run", why: "it was begun elsewhere, or taken back" } satisfies Kept;
  }
  const progress = { line: "", peakRssBytes: null as number | null };
  const command = makeProcessDriver(ticket)
    .run({
      ...ticket,
      leftovers: [],
      image: null,
      reads: [],
      onProgress: (now: RunProgress) => Object.assign(progress, now),
    })
    .pipe(
      Effect.map((end): TryEnd => ({ type: "ended", end })),
      Effect.catchTag("DriverFailed", ({ detail }) => Effect.succeed<TryEnd>({ type: "failed", detail })),
    );
  const kept = yield* Effect.raceFirst(
    command,
    Effect.raceFirst(untilUnwanted(at, ticket), pulses(at, progress)),
  ).pipe(
    Effect.onInterrupt(() =>
      // A folder that cannot be written: its runner takes the silence for the end.
      Effect.ignore(shared(() => at.finish({ type: "stopped", why: "its keeper was told to end" }))),
    ),
  );
  yield* shared(() => at.finish(kept));
  return kept satisfies Kept;
});

/** Until the runner wants it no more, or has given no sign of life for too long; a file system that is away is none. */
const untilUnwanted = Effect.fnUntraced(function* (at: TryFolder, { lostMs }: Ticket) {
  let last: string | null = null;
  let changedAt = performance.now();
  for (;;) {
    // Not to be read is as silent as not written.
    const word = yield* Effect.promise(() => at.lastBeat().catch(() => last));
    if (word === stopWord) return { type: "stopped", why: "its runner ended it" } satisfies TryEnd;
    if (word !== last) changedAt = performance.now();
    last = word;
    if (performance.now() - changedAt > lostMs) {
      return { type: "stopped", why: "nothing was heard of its runner" } satisfies TryEnd;
    }
    yield* Effect.sleep(keeperLookMs);
  }
});

const pulses = Effect.fnUntraced(function* (at: TryFolder, progress: RunProgress) {
  for (let count = 0; ; count++) {
    // Nobody hears of it meanwhile, which is what the file is for.
    yield* Effect.promise(() => at.pulse({ count, ...progress }).catch(() => undefined));
    yield* Effect.sleep(keeperBeatMs);
  }
});
