/**
 * What becomes of a record: pure functions from (what was read, what happened) to what is written. All rules of the failure
 * taxonomy stand here and nowhere else; who calls them only adds revisions.
 *
 * Invariant: a record that is not terminal leaves here together with its way back, a `due` or a `waiting` index.
 */
import { recordErrorsMax, recordHistoryMax } from "../limits.ts";
import type { Order } from "./eventOrder.ts";
import type { Place } from "./keys.ts";
import { dueKey, parkedKey, waitingKey } from "./keys.ts";
import type {
  DueRecord,
  HistoryEntry,
  LedgerRecord,
  OtherContent,
  ParkedIndex,
  RecordedError,
  State,
  WaitingIndex,
} from "./records.ts";
import { clipText, isoTime, isTerminal, recordVersion } from "./records.ts";

export interface RetryRules {
  /** Transient failures after which an item is parked. */
  readonly attemptsMax: number;
  /** Crashes alone in a claim after which an item is parked. */
  readonly crashesAloneMax: number;
  readonly backoffBaseMs: number;
  readonly backoffMaxMs: number;
}

/** What a worker says of one item. */
export type Outcome<Body> =
  | {
      readonly type: "done";
      readonly body: Body;
      /** Ledger keys to touch in the same transaction: at most one for each item. */
      readonly touches?: ReadonlyArray<string>;
      readonly note?: string;
    }
  | {
      readonly type: "transient";
      readonly reason: string;
      readonly detail: string;
      readonly body?: Body;
    }
  | {
      readonly type: "permanent";
      readonly reason: string;
      readonly detail: string;
      readonly body?: Body;
    }
  | {
      readonly type: "not-yet";
      /** The ledger key whose coming ends the wait. */
      readonly needs: string;
      readonly waitMaxMs: number;
      /** Reason under which the item is parked when it never comes. */
      readonly reason: string;
      readonly detail: string;
      readonly body?: Body;
    }
  /** Whatever did the work died with the item in hand. Costs no attempt. */
  | { readonly type: "crash"; readonly detail: string; readonly body?: Body };

export interface Moment {
  /** Epoch milliseconds. Decides when, never whether. */
  readonly now: number;
  /** In [0, 1). */
  readonly random: number;
  readonly node: string;
  readonly claim: string | null;
}

/** From this many crashes on, an item is worked on alone. */
export const aloneFromCrashes = 2;

export const crashedReason = "CrashedWorker";
export const contentChangedReason = "ContentChanged";
/** Of a file that somebody took back. */
export const withdrawnReason = "Withdrawn";

/** What one item adds to a settle: its record, the index that ends, the index that begins, keys touched. */
export interface Settlement<Body> {
  readonly record: LedgerRecord<Body>;
  readonly ends: string | null;
  readonly begins: { readonly key: string; readonly value: DueRecord | ParkedIndex | WaitingIndex } | null;
  readonly touches: ReadonlyArray<string>;
}

/** The one index key that stands for a record in this state; null where it needs none. */
export function indexKeyOf(place: Place, record: LedgerRecord): string | null {
  switch (record.state) {
    case "failing":
      return dueKey(place);
    case "waiting":
      return record.waitingFor === undefined ? dueKey(place) : waitingKey(record.waitingFor, place);
    case "parked":
      return parkedKey(place);
    default:
      // A good record with refused content is shown among the parked until somebody decides.
      return (record.refused?.length ?? 0) > 0 ? parkedKey(place) : null;
  }
}

/** Keeps the first entries, which say where it came from, and the latest. */
function bounded<A>(entries: ReadonlyArray<A>, max: number): ReadonlyArray<A> {
  return entries.length <= max
    ? entries
    : [...entries.slice(0, 2), ...entries.slice(entries.length - (max - 2))];
}

function historyWith<Body>(
  before: LedgerRecord<Body> | null,
  moment: Moment,
  event: string,
  detail?: string,
): ReadonlyArray<HistoryEntry> {
  const entry: HistoryEntry = {
    at: isoTime(moment.now),
    event,
    node: moment.node,
    ...(detail === undefined ? {} : { detail: clipText(detail) }),
  };
  return bounded([...(before?.history ?? []), entry], recordHistoryMax);
}

function errorsWith<Body>(
  before: LedgerRecord<Body> | null,
  error: RecordedError,
): ReadonlyArray<RecordedError> {
  return bounded([...(before?.errors ?? []), { ...error, detail: clipText(error.detail) }], recordErrorsMax);
}

/** Exponential backoff with full jitter, never below a tenth of its step so that a retry is a retry. */
export function backoffMs(attempt: number, rules: RetryRules, random: number): number {
  const step = Math.min(rules.backoffMaxMs, rules.backoffBaseMs * 2 ** Math.min(attempt - 1, 30));
  return Math.round(step * (0.1 + 0.9 * random));
}

/** What the record was before, as a base that keeps fields this version does not know. */
function base<Body>(subject: Subject<Body>, moment: Moment): LedgerRecord<Body> {
  const { before, etag, generation, body } = subject;
  const { claim } = moment;
  const fresh: LedgerRecord<Body> = {
    v: recordVersion,
    state: "failing",
    generation,
    etag,
    claim,
    attempts: 0,
    crashes: 0,
    crashesAlone: 0,
    errors: [],
    history: [],
    body,
  };
  if (before === null) return fresh;
  const { waitingFor: _for, waitUntil: _until, ...kept } = before;
  const superseded = supersededBy(subject, moment);
  return {
    ...kept,
    generation,
    etag,
    claim,
    body,
    ...(superseded === undefined ? {} : { superseded }),
    ...(before.etag === etag ? {} : { attempts: 0, crashes: 0, crashesAlone: 0 }),
  };
}

interface Subject<Body> {
  readonly place: Place;
  readonly etag: string;
  readonly generation: number;
  /** The record as read; null when there is none. */
  readonly before: LedgerRecord<Body> | null;
  /** What is known of the item when the outcome says nothing. */
  readonly body: Body;
  /** Whether it was the only item of its claim. */
  readonly alone: boolean;
}

function endsOf<Body>(subject: Subject<Body>, next: LedgerRecord<Body>): string | null {
  if (subject.before === null) return null;
  const old = indexKeyOf(subject.place, subject.before);
  return old === indexKeyOf(subject.place, next) ? null : old;
}

function parked<Body>(
  subject: Subject<Body>,
  record: LedgerRecord<Body>,
  moment: Moment,
  reason: string,
): Settlement<Body> {
  const next: LedgerRecord<Body> = { ...record, state: "parked" };
  return {
    record: next,
    ends: endsOf(subject, next),
    begins: { key: parkedKey(subject.place), value: { v: recordVersion, reason, at: isoTime(moment.now) } },
    touches: [],
  };
}

/** When this content's wait ends, if it ever began: nothing that happens on the way makes it begin anew. */
function waitUntilOf<Body>({ before, etag }: Subject<Body>): number | undefined {
  return before?.etag === etag ? before.waitUntil : undefined;
}

function due<Body>(subject: Subject<Body>, record: LedgerRecord<Body>, notBefore: number): Settlement<Body> {
  const waitUntil = waitUntilOf(subject);
  const next: LedgerRecord<Body> = {
    ...record,
    state: "failing",
    generation: record.generation + 1,
    ...(waitUntil === undefined ? {} : { waitUntil }),
  };
  return {
    record: next,
    ends: endsOf(subject, next),
    begins: {
      key: dueKey(subject.place),
      value: { v: recordVersion, notBefore, generation: next.generation, putBack: null },
    },
    touches: [],
  };
}

function supersededBy<Body>(subject: Subject<Body>, moment: Moment): ReadonlyArray<OtherContent> | undefined {
  const { before } = subject;
  if (before === null || before.etag === subject.etag) return before?.superseded;
  if (before.state !== "known" && before.state !== "done") return before.superseded;
  const old: OtherContent = { etag: before.etag, size: null, at: isoTime(moment.now), sequence: null };
  return bounded([...(before.superseded ?? []), old], recordErrorsMax);
}

type Of<Body, Type extends Outcome<Body>["type"]> = Extract<Outcome<Body>, { readonly type: Type }>;
type Failure<Body> = Of<Body, "transient" | "permanent" | "not-yet">;

/** @param good `known` for a file, `done` for a run or an item */
export function settle<Body>(
  subject: Subject<Body>,
  outcome: Outcome<Body>,
  rules: RetryRules,
  moment: Moment,
  good: State,
): Settlement<Body> {
  const told = { ...subject, body: outcome.body ?? subject.body };
  switch (outcome.type) {
    case "done":
      return settledGood(told, outcome, moment, good);
    case "permanent":
      return gaveUp(told, outcome, base(told, moment), moment, "");
    case "transient":
      return failed(told, outcome, rules, moment);
    case "crash":
      return crashed(told, rules, moment, outcome.detail);
    default:
      return heldBack(told, outcome, moment);
  }
}

function settledGood<Body>(
  subject: Subject<Body>,
  outcome: Of<Body, "done">,
  moment: Moment,
  good: State,
): Settlement<Body> {
  const { refused: _decided, ...record } = base(subject, moment);
  const history = historyWith(subject.before, moment, good, outcome.note);
  const next: LedgerRecord<Body> = { ...record, state: good, history };
  return { record: next, ends: endsOf(subject, next), begins: null, touches: outcome.touches ?? [] };
}

function errorOf<Body>({ type, reason, detail }: Failure<Body>, moment: Moment): RecordedError {
  return { at: isoTime(moment.now), class: type, reason, detail };
}

function gaveUp<Body>(
  subject: Subject<Body>,
  outcome: Failure<Body>,
  record: LedgerRecord<Body>,
  moment: Moment,
  note: string,
): Settlement<Body> {
  const errors = errorsWith(subject.before, errorOf(outcome, moment));
  const why = `${outcome.reason}: ${outcome.detail}${note}`;
  const history = historyWith(subject.before, moment, "parked", why);
  return parked(subject, { ...record, errors, history }, moment, outcome.reason);
}

function failed<Body>(
  subject: Subject<Body>,
  outcome: Of<Body, "transient">,
  rules: RetryRules,
  moment: Moment,
): Settlement<Body> {
  const record = base(subject, moment);
  const attempts = record.attempts + 1;
  const count = `attempt ${attempts} of ${rules.attemptsMax}`;
  if (attempts >= rules.attemptsMax) {
    return gaveUp(subject, outcome, { ...record, attempts }, moment, ` (${count})`);
  }
  const delay = backoffMs(attempts, rules, moment.random);
  const errors = errorsWith(subject.before, errorOf(outcome, moment));
  const why = `${outcome.reason}: ${outcome.detail} (${count}, again in ${delay} ms)`;
  const history = historyWith(subject.before, moment, "failing", why);
  return due(subject, { ...record, attempts, errors, history }, moment.now + delay);
}

function heldBack<Body>(
  subject: Subject<Body>,
  outcome: Of<Body, "not-yet">,
  moment: Moment,
): Settlement<Body> {
  const record = base(subject, moment);
  const waitUntil = waitUntilOf(subject) ?? moment.now + outcome.waitMaxMs;
  if (moment.now >= waitUntil) return gaveUp(subject, outcome, record, moment, "");
  const generation = record.generation + 1;
  const why = `for ${outcome.needs}: ${outcome.detail}`;
  const next: LedgerRecord<Body> = {
    ...record,
    state: "waiting",
    generation,
    waitingFor: outcome.needs,
    waitUntil,
    history: historyWith(subject.before, moment, "waiting", why),
  };
  const value = { v: recordVersion, waitUntil, generation };
  const begins = { key: waitingKey(outcome.needs, subject.place), value };
  return { record: next, ends: endsOf(subject, next), begins, touches: [] };
}

/** Whatever had the item in hand is gone. Costs no attempt; only crashing alone can park it. */
export function crashed<Body>(
  subject: Subject<Body>,
  rules: RetryRules,
  moment: Moment,
  detail: string,
): Settlement<Body> {
  const { before } = subject;
  const record = base(subject, moment);
  const crashesAlone = record.crashesAlone + (subject.alone ? 1 : 0);
  const marked: LedgerRecord<Body> = {
    ...record,
    crashes: record.crashes + 1,
    crashesAlone,
    errors: errorsWith(before, { at: isoTime(moment.now), class: "crash", reason: crashedReason, detail }),
  };
  if (crashesAlone >= rules.crashesAloneMax) {
    const why = `${crashedReason}: ${detail} (crashed alone ${crashesAlone} times)`;
    return parked(
      subject,
      { ...marked, history: historyWith(before, moment, "parked", why) },
      moment,
      crashedReason,
    );
  }
  return due(subject, { ...marked, history: historyWith(before, moment, "crashed", detail) }, moment.now);
}

/** Other content came under the name of a good record, and the lane says the first stays. */
export function refuse<Body>(
  subject: Subject<Body> & { readonly before: LedgerRecord<Body> },
  content: OtherContent,
  moment: Moment,
): Settlement<Body> {
  const { before } = subject;
  const known = (before.refused ?? []).some((other) => other.etag === content.etag);
  const next: LedgerRecord<Body> = {
    ...before,
    refused: known ? (before.refused ?? []) : bounded([...(before.refused ?? []), content], recordErrorsMax),
    history: historyWith(
      before,
      moment,
      "refused",
      `${contentChangedReason}: content ${content.etag} under a name that is known with ${before.etag}`,
    ),
  };
  return {
    record: next,
    ends: null,
    begins: {
      key: parkedKey(subject.place),
      value: { v: recordVersion, reason: contentChangedReason, at: isoTime(moment.now) },
    },
    touches: [],
  };
}

/** A record that somebody decides about without having it in hand. */
const asItStands = <Body>(place: Place, before: LedgerRecord<Body>): Subject<Body> => ({
  place,
  etag: before.etag,
  generation: before.generation,
  before,
  body: before.body,
  alone: false,
});

/** A waiting record goes back into the queue: what it waits for has come, or its time has run out and it is judged once more. */
export function freed<Body>(
  place: Place,
  before: LedgerRecord<Body>,
  moment: Moment,
  why: string,
): Settlement<Body> {
  const subject = asItStands(place, before);
  const { waitingFor: _for, ...rest } = before;
  return due(subject, { ...rest, history: historyWith(before, moment, "freed", why) }, moment.now);
}

/**
 * An operator puts a parked record back: counters start anew. For a good record with refused content this accepts the
 * latest refused content.
 */
export function replayed<Body>(
  place: Place,
  before: LedgerRecord<Body>,
  moment: Moment,
  note: string,
): Settlement<Body> {
  const subject = asItStands(place, before);
  const { refused, waitingFor: _for, waitUntil: _until, ...rest } = before;
  const latest = refused?.at(-1);
  const superseded: ReadonlyArray<OtherContent> = [
    ...(before.superseded ?? []),
    ...(latest === undefined
      ? []
      : [{ etag: before.etag, size: null, at: isoTime(moment.now), sequence: null }]),
  ];
  return due(
    subject,
    {
      ...rest,
      claim: null,
      etag: latest?.etag ?? before.etag,
      body: latest?.body === undefined ? before.body : { ...before.body, ...latest.body },
      attempts: 0,
      crashes: 0,
      crashesAlone: 0,
      ...(superseded.length > 0 ? { superseded: bounded(superseded, recordErrorsMax) } : {}),
      history: historyWith(before, moment, "replayed", note),
    },
    moment.now,
  );
}

/** An operator takes a known file back: it counts as not there until {@link replayed} takes it in again. Its object stays. */
export function withdrawn<Body>(
  place: Place,
  before: LedgerRecord<Body>,
  moment: Moment,
  note: string,
): Settlement<Body> {
  const { etag, generation, body } = before;
  const subject = { place, etag, generation, before, body, alone: false };
  const outcome = { type: "permanent", reason: withdrawnReason, detail: note } as const;
  return gaveUp(subject, outcome, base(subject, moment), moment, "");
}

/** An operator gives a parked record up for good, or drops refused content. The record stays; its index ends. */
export function discarded<Body>(
  place: Place,
  before: LedgerRecord<Body>,
  moment: Moment,
  note: string,
): Settlement<Body> {
  const { refused: _refused, ...rest } = before;
  return {
    record: { ...rest, history: historyWith(before, moment, "discarded", note) },
    ends: parkedKey(place),
    begins: null,
    touches: [],
  };
}

export type Judgement =
  /** New, or rightly put back: work on it. `generation` is what the claim carries. */
  | { readonly type: "work"; readonly generation: number }
  /** Settled already, or a stale delivery: acknowledge and forget. */
  | { readonly type: "drop"; readonly why: "duplicate" | "stale" }
  /** Other content under a known name, and the first stays. */
  | { readonly type: "refuse" };

/** Decides what a delivery means in the light of the record that stands. */
export function judge(
  delivery: { readonly etag: string; readonly generation: number },
  record: LedgerRecord | null,
  onContentChange: "refuse" | "supersede",
  /** Whether the delivery's event is newer than the one that the record's content came by. */
  order: Order = "unknown",
): Judgement {
  if (record === null) return { type: "work", generation: delivery.generation };
  if (record.etag === delivery.etag) {
    if (isTerminal(record.state)) return { type: "drop", why: "duplicate" };
    return record.generation === delivery.generation
      ? { type: "work", generation: record.generation }
      : { type: "drop", why: "stale" };
  }
  // A put-back message carries the content of its time; the record has moved on since.
  if (delivery.generation > 0) return { type: "drop", why: "stale" };
  if (onContentChange === "supersede" && order === "older") return { type: "drop", why: "stale" };
  // Known content that was superseded: announced late or twice, unless its event says that it was written once more.
  if (order !== "newer" && (record.superseded ?? []).some((old) => old.etag === delivery.etag)) {
    return { type: "drop", why: "duplicate" };
  }
  if (record.state === "known" || record.state === "done") {
    if (onContentChange === "refuse") {
      return (record.refused ?? []).some((other) => other.etag === delivery.etag)
        ? { type: "drop", why: "duplicate" }
        : { type: "refuse" };
    }
  }
  return { type: "work", generation: record.generation + 1 };
}
