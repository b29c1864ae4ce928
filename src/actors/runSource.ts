/** The mailbox of a lane's runs: `ready` keys of the ledger, and the way back into it. */
import type { ReclaimRules } from "../jetstream/claims.ts";
import type { NatsService } from "../jetstream/Nats.ts";
import { runsConsumer } from "../protocol/runQueue.ts";
import type { Write } from "../jetstream/transaction.ts";
import { ledgerEnd, ledgerPut } from "../jetstream/transaction.ts";
import type { Place } from "../protocol/keys.ts";
import { kvStream, ledgerBucket, readyKey, recordKey, runMailbox } from "../protocol/keys.ts";
import type { RetryRules } from "../protocol/lifecycle.ts";
import type { LedgerRecord } from "../protocol/records.ts";
import { encodeJson, recordVersion } from "../protocol/records.ts";
import type { RunBody } from "../protocol/runs.ts";
import { hashOfRun, readyOfSubject } from "../protocol/runs.ts";
import { queueOf } from "../protocol/runQueue.ts";
import type { ClaimSource, TakesFrom } from "./claimSource.ts";
import type { RunnerJobs } from "./runJob.ts";

type Jobs = RunnerJobs;

/** Lanes on which runs are claimed, with the number of workers of each: of jobs that share one, the largest. */
export function runLanes(site: Jobs): ReadonlyMap<string, number> {
  const lanes = new Map<string, number>();
  for (const job of site.jobs.values()) {
    lanes.set(job.lane, Math.max(lanes.get(job.lane) ?? 0, job.workers));
  }
  return lanes;
}

/** Jobs of one lane may allow different numbers of attempts: the lane allows the most, the runner a job's own. */
export function runRules(site: Jobs, lane: string): RetryRules {
  const attempts = [...site.jobs.values()].filter((job) => job.lane === lane).map((job) => job.attemptsMax);
  return {
    attemptsMax: Math.max(1, ...attempts),
    crashesAloneMax: 3,
    backoffBaseMs: 2_000,
    backoffMaxMs: 300_000,
  };
}

/** The queue in which the run stands, by its record; the lane's ordinary one where there is none. */
export const queueOfRun = (lane: string, record: LedgerRecord | null): string =>
  queueOf(lane, (record as LedgerRecord<RunBody> | null)?.body.plan).name;

const laneOf = ({ mailbox }: Place): string => mailbox.slice(runMailbox("").length);

const readyKeyOf = (place: Place, generation: number, record: LedgerRecord | null): string =>
  readyKey(place, generation, queueOfRun(laneOf(place), record));

/**
 * Puts a run into its queue, as the generation that its record has: at first, and again when it is due. A conflict says that
 * it is there already, or was and has been taken. What stands under the key is for people: all that counts is in its name.
 */
export const putBackRun = (place: Place, record: LedgerRecord): Write =>
  ledgerPut(
    readyKeyOf(place, record.generation, record),
    encodeJson({ v: recordVersion, run: recordKey(place) }),
    0,
  );

/** The run is in the queue no more. */
export const endsReady = (place: Place, generation: number, record: LedgerRecord | null): Write =>
  ledgerEnd(readyKeyOf(place, generation, record));

/** A run and its way to a runner, in one transaction with whatever says that it is ready. A conflict: it has begun already. */
export const beginRun = (place: Place, run: LedgerRecord<RunBody>): ReadonlyArray<Write> => [
  ledgerPut(recordKey(place), encodeJson(run), 0),
  putBackRun(place, run),
];

export const runReclaimRules = (site: Jobs, lane: string): ReclaimRules => ({
  rules: runRules(site, lane),
  // A run's record is written with its ready key, so a claim always finds one.
  bodyOf: (place) => Promise.resolve(unknownRun(place)),
  endsOf: (place, item, record) => [endsReady(place, item.generation, record)],
});

/** Stands for a run whose record is gone (its day was purged): its delivery is parked with the reason. */
function unknownRun(place: Place): RunBody {
  return {
    job: "",
    version: "",
    partition: { instrument: "", day: place.day, exposure: "" },
    hash: hashOfRun(place.tail) ?? "",
    inputs: [],
    createdAt: "",
    started: null,
    outputs: null,
    result: null,
  };
}

export const runSource = (
  site: Jobs,
  lane: string,
  queues: (nats: NatsService) => TakesFrom,
): ClaimSource<RunBody> => ({
  queues,
  mailbox: runMailbox(lane),
  stream: kvStream(ledgerBucket),
  consumer: runsConsumer(lane),
  batchMax: 1,
  rules: runRules(site, lane),
  onContentChange: "refuse",
  good: "done",
  reads: "always",
  alone: true,
  decode: (delivery) => {
    const ready = readyOfSubject(lane, delivery.subject);
    const hash = ready === null ? null : hashOfRun(ready.place.tail);
    if (ready === null || hash === null) return null;
    const { place, generation } = ready;
    return { place, etag: hash, generation, body: unknownRun(place) };
  },
  endsOf: (place, item, record) => [endsReady(place, item.generation, record)],
});
