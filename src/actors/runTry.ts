/**
 * One try of a run in the ledger: its record, as this try knows it, is written with the revision that it expects. Whoever else wrote
 * meanwhile has taken the run away, or wants it cancelled.
 */
import * as Effect from "effect/Effect";
import * as Schedule from "effect/Schedule";
import { getRecordUnsafe, getSlotUnsafe } from "../jetstream/ledger.ts";
import { watchPassing } from "../jetstream/passing.ts";
import type { Held } from "../jetstream/ledger.ts";
import { commitUnsafe, ledgerPut } from "../jetstream/transaction.ts";
import { runStorageTriesMax, runWatchEveryMs } from "../limits.ts";
import { ledgerBucket } from "../protocol/keys.ts";
import type { LedgerRecord } from "../protocol/records.ts";
import { encodeJson } from "../protocol/records.ts";
import type { RunBody } from "../protocol/runs.ts";
import { cancelledReason } from "../protocol/runs.ts";
import { SystemFailure } from "./claims.ts";
import type { ClaimInfo, Item } from "./claimSource.ts";
import type { NodeContextService } from "./NodeContext.ts";
import { NotNow } from "./NotNow.ts";
import { RunFailed } from "./runFiles.ts";

export interface TryRecord {
  readonly node: NodeContextService;
  /** Key of this worker's claim slot. */
  readonly slot: string;
  readonly item: Item<RunBody>;
  readonly claim: ClaimInfo;
}

const patience = { times: runStorageTriesMax - 1, schedule: Schedule.exponential("500 millis") };

const claimLost = (detail: string): RunFailed =>
  new RunFailed({ class: "transient", reason: "ClaimLost", detail });

/** The failure of a try that somebody ends; null where nobody does. */
export function cancelOf({ cancel }: RunBody): RunFailed | null {
  if (cancel === undefined) return null;
  const note = cancel.note === "" ? "" : `: ${cancel.note}`;
  return new RunFailed({ class: "permanent", reason: cancelledReason, detail: `by ${cancel.by}${note}` });
}

/** Somebody wrote the record. Where that was to cancel this very try, the try goes on from there, to its end. */
function changed(of: TryRecord, now: Held<RunBody> | null, detail: string): RunFailed {
  const cancelled = now === null ? null : cancelOf(now.record.body);
  if (now === null || cancelled === null || now.record.body.started?.claim !== of.claim.claim) {
    return claimLost(detail);
  }
  of.item.expected = now.revision;
  of.item.held = now;
  return cancelled;
}

export const readRun = ({ node, item }: TryRecord) =>
  Effect.tryPromise({
    try: () => getRecordUnsafe<RunBody>(node.nats, item.key),
    catch: (cause) => new SystemFailure({ what: "the ledger", detail: String(cause) }),
  }).pipe(Effect.retry(patience));

/**
 * A delivery can come twice while its run is going (the server was away longer than a delivery is kept waiting for): whoever
 * has it in hand keeps it, and this delivery is given back until it is settled, or its claim taken.
 */
export const notInHand = Effect.fnUntraced(function* (of: TryRecord, record: LedgerRecord<RunBody>) {
  const { started } = record.body;
  if (started === null || started.generation !== record.generation || started.slot === of.slot) return;
  const found = yield* Effect.tryPromise({
    try: () => getSlotUnsafe(of.node.nats, started.slot),
    catch: (cause) => new SystemFailure({ what: "the ledger", detail: String(cause) }),
  });
  if (found?.slot.state === "claimed" && found.slot.id === started.claim) {
    // Nothing is away: no trouble is to show, and the worker goes on with other runs.
    yield* new NotNow({ detail: `node ${started.node} has it in hand`, againMs: runWatchEveryMs });
  }
});

/** Fails where another try may have begun meanwhile. The settle is refused then, too: nothing of this try is recorded. */
export const stillOurs = (of: TryRecord): Effect.Effect<void, RunFailed | SystemFailure> =>
  Effect.flatMap(readRun(of), (held) =>
    held?.revision === of.item.expected
      ? Effect.void
      : Effect.fail(
          changed(of, held, "the run's record changed while its command ran; nothing was published"),
        ),
  );

/** Fails as soon as the record is somebody else's. Otherwise it has no end: it goes on beside the command, which it ends. */
export const untilChanged = (of: TryRecord): Effect.Effect<never, RunFailed> =>
  Effect.scoped(
    Effect.gen(function* () {
      const bell = { rang: false, wake: (): void => undefined };
      const { nats } = of.node;
      yield* Effect.acquireRelease(
        Effect.sync(() =>
          watchPassing(nats, ledgerBucket, [of.item.key], () => {
            bell.rang = true;
            bell.wake();
          }),
        ),
        (end) => Effect.sync(end),
      );
      for (;;) {
        bell.rang = false;
        // The ledger is away: its answer is waited for elsewhere, and the command need not suffer.
        const held = yield* Effect.exit(readRun(of));
        if (held._tag === "Success" && held.value?.revision !== of.item.expected) {
          return yield* changed(of, held.value, "the run's record changed while its command ran");
        }
        yield* Effect.callback<void>((resume) => {
          let timer = setTimeout(() => resume(Effect.void), runWatchEveryMs);
          // What passes by is stored a moment later.
          bell.wake = () => {
            clearTimeout(timer);
            timer = setTimeout(() => resume(Effect.void), 20);
          };
          if (bell.rang) bell.wake();
          return Effect.sync(() => clearTimeout(timer));
        });
      }
    }),
  );

/** Writes the run's record in the middle of a try, expecting the revision that this try knows. */
export const mark = Effect.fnUntraced(function* (of: TryRecord, body: RunBody) {
  const { item, node } = of;
  const before = item.held;
  if (before === null) return yield* claimLost("the run has no record");
  const record: LedgerRecord<RunBody> = { ...before.record, claim: of.claim.claim, body };
  const data = encodeJson(record);
  const write = Effect.suspend(() =>
    Effect.promise(() =>
      commitUnsafe(node.nats, "run record", [ledgerPut(item.key, data, item.expected)], 5_000),
    ),
  ).pipe(
    Effect.flatMap((answer) =>
      "_tag" in answer && answer._tag !== "TransactionConflict"
        ? Effect.fail(new SystemFailure({ what: "the ledger", detail: answer.message }))
        : Effect.succeed(answer),
    ),
    Effect.retry(patience),
  );
  const answer = yield* write;
  const stored = { key: item.key, revision: "_tag" in answer ? 0 : (answer[0] ?? 0), record };
  // After a conflict: an earlier send may have got through, and its answer been lost.
  const now = "_tag" in answer ? yield* readRun(of) : stored;
  if (now === null || JSON.stringify(now.record) !== JSON.stringify(record)) {
    return yield* changed(of, now, "the run's record was changed by somebody else");
  }
  item.expected = now.revision;
  item.held = now;
  return undefined;
});
