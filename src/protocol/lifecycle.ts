/**
 * What becomes of a record: pure functions from (what was read, what happened) to what is written. All rules of the failure
 * taxonomy stand here and nowhere else; who calls them only adds revisions.
 *
 * Invariant: a record that is not terminal leaves here together with its way back, a `due` or a `waiting` index.
 */
import { recordErrorsMax, recordHistoryMax, recordTextBytesMax } from "../limits.ts";
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
import { isTerminal, recordVersion } from "./records.ts";

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

const iso = (ms: number): string => new Date(ms).toISOString();

function clip(text: string): string {
  return text.length <= recordTextBytesMax ? text : `${text.slice(0, recordTextBytesMax - 1)}…`;
}

/** Keeps the first entries, which say where it came from, and the latest. */
function bounded<A>(entries: ReadonlyArray<A>, max: number): ReadonlyArray<A> {
  return entries.length <= max ? entries : [...entries.slice(0, 2), ...entries.slice(entries.length - (max - 2))];
}

function historyWith<Body>(
  before: LedgerRecord<Body> | null,
  moment: Moment,
  event: string,
  detail?: string,
): ReadonlyArray<HistoryEntry> {
  const entry: HistoryEntry = {
    at: iso(moment.now),
    event,
    node: moment.node,
    ...(detail === undefined ? {} : { detail: clip(detail) }),
  };
  return bounded([...(before?.history ?? []), entry], recordHistoryMax);
}

function errorsWith<Body>(
  before: LedgerRecord<Body> | null,
  error: RecordedError,
): ReadonlyArray<RecordedError> {
  return bounded([...(before?.errors ?? []), { ...error, detail: clip(error.detail) }], recordErrorsMax);
}

/** Exponential backoff with full jitter, never below a tenth of its step so that a retry is a retry. */
export function backoffMs(attempt: number, rules: RetryRules, random: number): number {
  const step = Math.min(rules.backoffMaxMs, rules.backoffBaseMs * 2 ** Math.min(attempt - 1, 30));
  return Math.round(step * (0.1 + 0.9 * random));
}

/** What the record was before, as a base that keeps fields this version does not know. */
function base<Body>(
  before: LedgerRecord<Body> | null,
  etag: string,
  generation: number,
  body: Body,
): LedgerRecord<Body> {
  const fresh: LedgerRecord<Body> = {
    v: recordVersion,
    state: "failing",
    generation,
    etag,
    claim: null,
    attempts: 0,
    crashes: 0,
    crashesAlone: 0,
    errors: [],
    history: [],
    body,
  };
  if (before === null) return fresh;
  const { waitingFor: _for, waitUntil: _until, ...kept } = before;
  const sameContent = before.etag === etag;
  return {
    ...kept,
    generation,
    etag,
    body,
    ...(sameContent ? {} : { attempts: 0, crashes: 0, crashesAlone: 0 }),
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
    begins: { key: parkedKey(subject.place), value: { v: recordVersion, reason, at: iso(moment.now) } },
    touches: [],
  };
}

function due<Body>(
  subject: Subject<Body>,
  record: LedgerRecord<Body>,
  notBefore: number,
): Settlement<Body> {
  const next: LedgerRecord<Body> = { ...record, state: "failing", generation: record.generation + 1 };
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
  if (before === null || before.etag === subject.etag || before.state !== "known") return before?.superseded;
  const old: OtherContent = { etag: before.etag, size: null, at: iso(moment.now), sequence: null };
  return bounded([...(before.superseded ?? []), old], recordErrorsMax);
}

/** @param good `known` for a file, `done` for a run or an item */
export function settle<Body>(
  subject: Subject<Body>,
  outcome: Outcome<Body>,
  rules: RetryRules,
  moment: Moment,
  good: State,
): Settlement<Body> {
  const { before } = subject;
  const body = outcome.body ?? subject.body;
  const superseded = supersededBy(subject, moment);
  const record: LedgerRecord<Body> = {
    ...base(before, subject.etag, subject.generation, body),
    claim: moment.claim,
    ...(superseded === undefined ? {} : { superseded }),
  };
  const error = (classOf: RecordedError["class"], reason: string, detail: string): RecordedError => ({
    at: iso(moment.now),
    class: classOf,
    reason,
    detail,
  });
  switch (outcome.type) {
    case "done": {
      const { refused: _decided, ...rest } = record;
      const next: LedgerRecord<Body> = {
        ...rest,
        state: good,
        history: historyWith(before, moment, good, outcome.note),
      };
      return { record: next, ends: endsOf(subject, next), begins: null, touches: outcome.touches ?? [] };
    }
    case "permanent":
      return parked(
        subject,
        {
          ...record,
          errors: errorsWith(before, error("permanent", outcome.reason, outcome.detail)),
          history: historyWith(before, moment, "parked", `${outcome.reason}: ${outcome.detail}`),
        },
        moment,
        outcome.reason,
      );
    case "transient": {
      const attempts = record.attempts + 1;
      const tried: LedgerRecord<Body> = {
        ...record,
        attempts,
        errors: errorsWith(before, error("transient", outcome.reason, outcome.detail)),
      };
      if (attempts >= rules.attemptsMax) {
        const why = `${outcome.reason}: ${outcome.detail} (attempt ${attempts} of ${rules.attemptsMax})`;
        return parked(
          subject,
          { ...tried, history: historyWith(before, moment, "parked", why) },
          moment,
          outcome.reason,
        );
      }
      const delay = backoffMs(attempts, rules, moment.random);
      const why = `${outcome.reason}: ${outcome.detail} (attempt ${attempts} of ${rules.attemptsMax}, again in ${delay} ms)`;
      return due(
        subject,
        { ...tried, history: historyWith(before, moment, "failing", why) },
        moment.now + delay,
      );
    }
    case "not-yet": {
      const waitUntil = before?.waitUntil ?? moment.now + outcome.waitMaxMs;
      if (moment.now >= waitUntil) {
        return parked(
          subject,
          {
            ...record,
            errors: errorsWith(before, error("not-yet", outcome.reason, outcome.detail)),
            history: historyWith(before, moment, "parked", `${outcome.reason}: ${outcome.detail}`),
          },
          moment,
          outcome.reason,
        );
      }
      const generation = record.generation + 1;
      const next: LedgerRecord<Body> = {
        ...record,
        state: "waiting",
        generation,
        waitingFor: outcome.needs,
        waitUntil,
        history: historyWith(before, moment, "waiting", `for ${outcome.needs}: ${outcome.detail}`),
      };
      return {
        record: next,
        ends: endsOf(subject, next),
        begins: {
          key: waitingKey(outcome.needs, subject.place),
          value: { v: recordVersion, waitUntil, generation },
        },
        touches: [],
      };
    }
    case "crash":
      return crashed({ ...subject, body }, rules, moment, outcome.detail);
  }
}

/** Whatever had the item in hand is gone. Costs no attempt; only crashing alone can park it. */
export function crashed<Body>(
  subject: Subject<Body>,
  rules: RetryRules,
  moment: Moment,
  detail: string,
): Settlement<Body> {
  const { before } = subject;
  const record = base(before, subject.etag, subject.generation, subject.body);
  const crashesAlone = record.crashesAlone + (subject.alone ? 1 : 0);
  const marked: LedgerRecord<Body> = {
    ...record,
    claim: moment.claim,
    crashes: record.crashes + 1,
    crashesAlone,
    errors: errorsWith(before, { at: iso(moment.now), class: "crash", reason: crashedReason, detail }),
  };
  // Waiting has its own end: a crash must not make the wait begin anew.
  const waiting = before?.waitUntil === undefined ? marked : { ...marked, waitUntil: before.waitUntil };
  if (crashesAlone >= rules.crashesAloneMax) {
    const why = `${crashedReason}: ${detail} (crashed alone ${crashesAlone} times)`;
    return parked(
      subject,
      { ...marked, history: historyWith(before, moment, "parked", why) },
      moment,
      crashedReason,
    );
  }
  return due(
    subject,
    { ...waiting, history: historyWith(before, moment, "crashed", detail) },
    moment.now,
  );
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
      value: { v: recordVersion, reason: contentChangedReason, at: iso(moment.now) },
    },
    touches: [],
  };
}

/** A waiting record goes back into the queue: what it waits for has come, or its time has run out and it is judged once more. */
export function freed<Body>(
  place: Place,
  before: LedgerRecord<Body>,
  moment: Moment,
  why: string,
): Settlement<Body> {
  const subject = {
    place,
    etag: before.etag,
    generation: before.generation,
    before,
    body: before.body,
    alone: false,
  };
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
  const subject = {
    place,
    etag: before.etag,
    generation: before.generation,
    before,
    body: before.body,
    alone: false,
  };
  const { refused, waitingFor: _for, waitUntil: _until, ...rest } = before;
  const latest = refused?.at(-1);
  const superseded: ReadonlyArray<OtherContent> = [
    ...(before.superseded ?? []),
    ...(latest === undefined
      ? []
      : [{ etag: before.etag, size: null, at: iso(moment.now), sequence: null }]),
  ];
  return due(
    subject,
    {
      ...rest,
      claim: null,
      etag: latest?.etag ?? before.etag,
      attempts: 0,
      crashes: 0,
      crashesAlone: 0,
      ...(superseded.length > 0 ? { superseded } : {}),
      history: historyWith(before, moment, "replayed", note),
    },
    moment.now,
  );
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
  if ((record.superseded ?? []).some((old) => old.etag === delivery.etag)) {
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
