/**
 * The queues of a lane's runs. Which one a run stands in is the first part of its ready key, `ready.<queue>.<day>.<run>.<generation>`:
 *
 * - `<lane>`                              live, of no priority, beside any other run
 * - `<lane>/live-p5`, `<lane>/redo-m2`    live or reprocessed, of this priority (p: not below 0, m: below)
 * - `<lane>/live-p0/<instrument>`         one of them at a time for the instrument
 *
 * A queue whose runs go one at a time is of one instrument: what waits behind the one that runs needs the same, so that nobody else
 * is held up by it.
 */
import { decodeKeyPart, encodeToken, kvSubject, ledgerBucket } from "./keys.ts";
import type { RunPlan } from "./runs.ts";

export type Queueing = Pick<RunPlan, "origin" | "priority" | "exclusive">;

export interface RunQueue extends Queueing {
  /** The first part of its ready keys. */
  readonly name: string;
}

/** Of the jobs of a site file. */
const ordinary: Queueing = { origin: "live", priority: 0, exclusive: null };
const origins = { live: "live", reprocessing: "redo" } as const;

export function queueOf(lane: string, how: Queueing = ordinary): RunQueue {
  const { origin, priority, exclusive } = how;
  const plain = origin === "live" && priority === 0 && exclusive === null;
  const rank = `${origins[origin]}-${priority < 0 ? "m" : "p"}${Math.abs(priority)}`;
  const name = plain
    ? lane
    : [lane, rank, ...(exclusive === null ? [] : [exclusiveToken(exclusive)])].join("/");
  return { name, origin, priority, exclusive };
}

/** Reverses {@link queueOf}: of a name that stands in the ledger; null for what is none. */
export function parseQueue(name: string): RunQueue | null {
  const [lane = "", rank, exclusive, ...more] = name.split("/");
  if (lane === "" || more.length > 0) return null;
  if (rank === undefined) return queueOf(lane);
  const found = /^(live|redo)-([pm])(\d{1,9})$/.exec(rank);
  const instrument = exclusive === undefined ? null : decodeKeyPart(exclusive);
  if (found === null || (exclusive !== undefined && instrument === null)) return null;
  const origin = found[1] === "live" ? "live" : "reprocessing";
  const priority = Number(found[3]) * (found[2] === "m" ? -1 : 1) + 0;
  return { name, origin, priority, exclusive: instrument };
}

// A slash would be one more part of the queue's name.
const exclusiveToken = (instrument: string): string => encodeToken(instrument).replaceAll("/", "=2F");

/** The durable consumer of a queue: its name with what no consumer's name may hold replaced. */
export const runsConsumer = (queue: string): string => `run-${queue.replaceAll("/", "_")}`;

/** Subjects of a queue's ready keys. */
export const readySubjects = (queue: string): string => kvSubject(ledgerBucket, `ready.${queue}.>`);

/** Reverses {@link readySubjects}. */
export function queueOfFilter(filter: string): RunQueue | null {
  const prefix = kvSubject(ledgerBucket, "ready.");
  return filter.startsWith(prefix) && filter.endsWith(".>")
    ? parseQueue(filter.slice(prefix.length, -2))
    : null;
}

/** What starts first comes first: live before what is reprocessed, then by priority. */
export function byUrgency(a: RunQueue, b: RunQueue): number {
  if (a.origin !== b.origin) return a.origin === "live" ? -1 : 1;
  return b.priority - a.priority || (a.name < b.name ? -1 : 1);
}

/** A lane's queue names, of which only the first part is the lane. */
export const laneOfQueue = (queue: string): string => {
  const slash = queue.indexOf("/");
  return slash < 0 ? queue : queue.slice(0, slash);
};

/** The slot that only one run of the instrument has at a time. */
export const lockKey = (instrument: string): string => `lock.${exclusiveToken(instrument)}`;
