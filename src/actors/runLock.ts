/** One run at a time for an instrument: its lock in the ledger, taken before the command starts and freed behind it. */
import * as Effect from "effect/Effect";
import { getSlotUnsafe, getUnsafe } from "../jetstream/ledger.ts";
import type { NatsService } from "../jetstream/Nats.ts";
import { commitUnsafe, ledgerPut } from "../jetstream/transaction.ts";
import { ledgerBucket } from "../protocol/keys.ts";
import { encodeJson, recordVersion } from "../protocol/records.ts";
import type { RunLock } from "../protocol/runLock.ts";
import { decodeLock, freeLock } from "../protocol/runLock.ts";
import { lockKey } from "../protocol/runQueue.ts";
import { SystemFailure } from "./claims.ts";
import { NotNow } from "./NotNow.ts";

export type Holder = NonNullable<RunLock["holder"]>;

const writeDeadlineMs = 5_000;
/** Who finds the lock taken asks no more until it is told that it is free; this is for what no telling reaches. */
const againMs = 1_000;

async function read(
  nats: NatsService,
  key: string,
): Promise<{ readonly revision: number; readonly standing: Holder | null; readonly named: Holder | null }> {
  const entry = await getUnsafe(nats, ledgerBucket, key);
  const named = entry === null || entry.ended ? null : decodeLock(entry.data).holder;
  const revision = entry?.revision ?? 0;
  if (named === null) return { revision, standing: null, named };
  const slot = (await getSlotUnsafe(nats, named.slot))?.slot;
  const stands = slot?.state === "claimed" && slot.id === named.claim;
  return { revision, standing: stands ? named : null, named };
}

/** Who holds the lock; null where it is free, or its holder's claim has ended. */
export const standingHolder = async (nats: NatsService, key: string): Promise<Holder | null> =>
  (await read(nats, key)).standing;

const ledger = <A>(call: () => Promise<A>): Effect.Effect<A, SystemFailure> =>
  Effect.tryPromise({
    try: call,
    catch: (cause) => new SystemFailure({ what: "the ledger", detail: String(cause) }),
  });

/** Takes the lock for a claim that stands. Fails with `NotNow` where another run has it. */
export const takeLock = (
  nats: NatsService,
  instrument: string,
  holder: Holder,
): Effect.Effect<void, NotNow | SystemFailure> =>
  Effect.gen(function* () {
    const key = lockKey(instrument);
    const { revision, standing } = yield* ledger(() => read(nats, key));
    if (standing?.claim === holder.claim) return;
    const busy = (run: string) =>
      new NotNow({ detail: `${instrument} runs one at a time, and ${run} runs`, againMs });
    if (standing !== null) return yield* busy(standing.run);
    const data = encodeJson({ v: recordVersion, holder } satisfies RunLock);
    const answer = yield* Effect.promise(() =>
      commitUnsafe(nats, "take a lock", [ledgerPut(key, data, revision)], writeDeadlineMs),
    );
    if (!("_tag" in answer)) return;
    if (answer._tag !== "TransactionConflict")
      return yield* new SystemFailure({ what: "the ledger", detail: answer.message });
    // Somebody was quicker; or it was us, and the answer was lost.
    const now = yield* ledger(() => read(nats, key));
    if (now.standing?.claim !== holder.claim) return yield* busy(now.standing?.run ?? "another");
    return undefined;
  });

/** Frees it where it is still this claim's. Best-effort: it is void by itself once the claim has ended, and this only tells sooner. */
export const freeLockOf = (nats: NatsService, instrument: string, claim: string): Effect.Effect<void> =>
  Effect.promise(async () => {
    const key = lockKey(instrument);
    const { revision, named } = await read(nats, key);
    if (named?.claim !== claim) return;
    await commitUnsafe(
      nats,
      "free a lock",
      [ledgerPut(key, encodeJson(freeLock), revision)],
      writeDeadlineMs,
    );
  }).pipe(Effect.catchDefect(() => Effect.void));
