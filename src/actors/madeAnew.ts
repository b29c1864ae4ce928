/**
 * Runs that were given up on and whose partition another run has made since: nothing is left to decide about them, so they leave the
 * list of what is parked. Their records stay, with their history; a day that only they held open can be purged.
 *
 * Ticks. Reads the index of parked runs, their records, and the records of their jobs; writes those of runs that are outdated, each
 * expecting the revision that was read. Keeps nothing: what is missed, or written by somebody else meanwhile, is looked at again.
 */
import * as Effect from "effect/Effect";
import { writesOf } from "../jetstream/claims.ts";
import { getManyUnsafe, scanUnsafe } from "../jetstream/ledger.ts";
import type { Entry } from "../jetstream/ledger.ts";
import { commitUnsafe } from "../jetstream/transaction.ts";
import { madeAnewEveryMs } from "../limits.ts";
import { jobOrNull, partitionKey } from "../protocol/jobs.ts";
import type { JobRecord } from "../protocol/jobs.ts";
import { ledgerBucket, placeOfIndexKey, recordKey, runMailbox } from "../protocol/keys.ts";
import type { Place } from "../protocol/keys.ts";
import { discarded } from "../protocol/lifecycle.ts";
import { LedgerCorrupt } from "../protocol/records.ts";
import type { LedgerRecord } from "../protocol/records.ts";
import type { RunBody } from "../protocol/runs.ts";
import { decodeRun } from "../protocol/runs.ts";
import type { NodeContextService } from "./NodeContext.ts";

const together = 200;
const commitMs = 5_000;
/** So many runs that nobody has decided about make each look so much rarer. */
const manyRuns = 1_000;

/** @param lanes whose runs are looked at */
export const madeAnew = (node: NodeContextService, lanes: ReadonlyArray<string>): Effect.Effect<never> =>
  Effect.gen(function* () {
    for (;;) {
      const looked = yield* Effect.tryPromise(() => closeOutdated(node, lanes)).pipe(
        Effect.catch((error) => {
          // NATS is away, which is told elsewhere: the next look finds the same.
          node.log("debug", "parked runs could not be looked at", { cause: String(error.cause) });
          return Effect.succeed(0);
        }),
      );
      yield* Effect.sleep(madeAnewEveryMs * (1 + Math.floor(looked / manyRuns)));
    }
  });

/** @returns how many parked runs there were */
async function closeOutdated(node: NodeContextService, lanes: ReadonlyArray<string>): Promise<number> {
  const places: Array<Place> = [];
  const filters = lanes.map((lane) => `parked.${runMailbox(lane)}.>`);
  if (filters.length > 0) {
    await scanUnsafe(node.nats, ledgerBucket, filters, ({ key }) => {
      const place = placeOfIndexKey(key);
      if (place !== null) places.push(place);
    });
  }
  for (let at = 0; at < places.length; at += together) await closeSome(node, places.slice(at, at + together));
  return places.length;
}

interface Parked {
  readonly place: Place;
  readonly key: string;
  readonly revision: number;
  readonly record: LedgerRecord<RunBody>;
}

async function closeSome(node: NodeContextService, places: ReadonlyArray<Place>): Promise<void> {
  const keys = places.map(recordKey);
  const entries = await getManyUnsafe(node.nats, ledgerBucket, keys);
  const parked = places.flatMap((place, i): ReadonlyArray<Parked> => {
    const [key = "", entry = null] = [keys[i], entries[i]];
    const record = entry === null || entry.ended ? null : runOrNull(key, entry.data);
    return record?.state === "parked" ? [{ place, key, revision: entry?.revision ?? 0, record }] : [];
  });
  const jobs = await getManyUnsafe(
    node.nats,
    ledgerBucket,
    parked.map(({ record: { body } }) => partitionKey(body.job, body.partition)),
  );
  for (const [i, one] of parked.entries()) {
    const job = jobOf(one, jobs[i] ?? null);
    if (job !== null && isOutdated(one.record.body, job)) await close(node, one, job);
  }
}

function jobOf({ record: { body } }: Parked, entry: Entry | null): JobRecord | null {
  if (entry === null || entry.ended) return null;
  return jobOrNull(partitionKey(body.job, body.partition), entry.data);
}

/** What the partition is made of by now is another run's. */
export const isOutdated = (
  { hash }: Pick<RunBody, "hash">,
  { state, run, inputs }: Pick<JobRecord, "state" | "run" | "inputs">,
): boolean => state === "done" && run !== null && inputs !== null && inputs !== hash;

async function close(
  node: NodeContextService,
  { place, key, revision, record }: Parked,
  job: JobRecord,
): Promise<void> {
  const moment = { now: node.nats.now(), random: 0, node: node.name, claim: null };
  const settlement = discarded(place, record, moment, `made since by ${job.run ?? "another run"}`);
  const answer = await commitUnsafe(node.nats, "close a run", writesOf(key, revision, settlement), commitMs);
  // Of a conflict somebody decided just now: what they did stands.
  if ("_tag" in answer && answer._tag !== "TransactionConflict") throw answer;
}

/** What nobody of us wrote is told of by whoever follows it. */
function runOrNull(key: string, data: Uint8Array): LedgerRecord<RunBody> | null {
  try {
    return decodeRun(key, data);
  } catch (cause) {
    if (cause instanceof LedgerCorrupt) return null;
    throw cause;
  }
}
