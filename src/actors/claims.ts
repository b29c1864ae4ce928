/**
 * The claims behaviour: take a batch, claim it in the ledger, work on it, settle it in one transaction, and only then
 * acknowledge. Generic over what it records: a file, a run, or an item of a user's own actor.
 *
 * Receives  deliveries of one durable consumer.
 * Keeps     one claim slot a worker; one record an item.
 * Fails     `SystemFailure` from the work gives the whole claim back and backs off; a defect ends the worker, whose slot its
 *           successor recovers as a crash.
 */
import * as Cause from "effect/Cause";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Schema from "effect/Schema";
import { progressEveryMs } from "../limits.ts";
import type { ClaimSource, ClaimedWork, Item, Taken, TakesFrom } from "./claimSource.ts";
import type { NodeContextService } from "./NodeContext.ts";
import type { NotNow } from "./NotNow.ts";
import { inClaims } from "./inClaims.ts";
import { settlementOf } from "./settlement.ts";
import { settleWithRoom } from "./settleWithRoom.ts";
import { Queues } from "./queues.ts";
import { insistOnRead, reclaimSlot, Slot, writesOf } from "../jetstream/claims.ts";
import type { SettleResult } from "../jetstream/claims.ts";
import { mayUseName } from "../jetstream/lease.ts";
import { getManyUnsafe } from "../jetstream/ledger.ts";
import type { Entry, Held } from "../jetstream/ledger.ts";
import type { Mailbox } from "../jetstream/mailbox.ts";
import type { Write } from "../jetstream/transaction.ts";
import { ledgerPut } from "../jetstream/transaction.ts";
import { claimKey, ledgerBucket, recordKey } from "../protocol/keys.ts";
import type { Moment, Outcome } from "../protocol/lifecycle.ts";
import { aloneFromCrashes, judge } from "../protocol/lifecycle.ts";
import { recordOrNull, encodeJson, recordVersion } from "../protocol/records.ts";

/** NATS, the storage or the catalog is away: nobody's fault, nothing is recorded on the items. */
export class SystemFailure extends Schema.TaggedError<SystemFailure>()("SystemFailure", {
  what: Schema.String,
  detail: Schema.String,
}) {
  override get message(): string {
    return `${this.what} is away (${this.detail.replace(/[.\s]+$/, "")}). The batch was given back untouched and is tried again.`;
  }
}

const backoffFirstMs = 250;
const backoffMostMs = 10_000;
const conflictRounds = 5;
/**
 * A claim is ended however long NATS is away: given up on, it would look like a crash of its items. A node that is told to end
 * meanwhile abandons it.
 */
const whileConnected = new AbortController().signal;

/** Everything one worker keeps between batches. */
interface WorkerState<Body> {
  readonly node: NodeContextService;
  readonly source: ClaimSource<Body>;
  readonly queues: TakesFrom;
  readonly mailbox: Mailbox;
  readonly slotKey: string;
  /** Reply subjects of everything in hand, extended while the work goes on. */
  readonly inHand: Set<string>;
  slot: Slot | null;
  backoffMs: number;
}

/** One worker of a claims actor. Runs until interrupted; then its claim is given back before it ends. */
export const claimsWorker = <Body, R>(
  node: NodeContextService,
  source: ClaimSource<Body>,
  worker: number,
  work: ClaimedWork<Body, R>,
  ready: Effect.Effect<void>,
): Effect.Effect<never, never, R> =>
  Effect.scoped(
    Effect.gen(function* () {
      const queues = yield* Effect.acquireRelease(
        Effect.sync(() => source.queues?.(node.nats) ?? new Queues(node.nats, source)),
        (both) => Effect.sync(() => both.close()),
      );
      const state: WorkerState<Body> = {
        node,
        source,
        queues,
        mailbox: queues.first,
        slotKey: claimKey(source.mailbox, node.name, worker),
        inHand: new Set(),
        slot: null,
        backoffMs: backoffFirstMs,
      };
      yield* Effect.acquireRelease(
        Effect.sync(() => setInterval(() => state.mailbox.working(state.inHand), progressEveryMs)),
        (timer) => Effect.sync(() => clearInterval(timer)),
      );
      yield* abortable((signal) => openSlot(state, signal));
      node.troubles.watch(source.mailbox);
      yield* ready;
      return yield* Effect.forever(oneRound(state, work));
    }),
  );

/** Runs plain code with a signal that ends with the fiber's interruption; a rejection is a defect. */
const abortable = <A>(run: (signal: AbortSignal) => Promise<A>): Effect.Effect<A> => Effect.promise(run);

/** Opens the slot; what a former life of this worker left in it is put back first, as a crash. */
async function openSlot<Body>(state: WorkerState<Body>, signal: AbortSignal): Promise<void> {
  for (let attempt = 0; !signal.aborted; attempt++) {
    try {
      const slot = await Slot.open(state.node.nats, state.slotKey, state.node.epoch, signal);
      if (slot !== null) {
        state.slot = slot;
        return;
      }
      // Woken up late: the claim is the newer process's, and this one is about to hear of it.
      if (!(await mayUseName(state.node.nats, state.node.name, state.node.epoch)))
        throw new Error("a newer process has this node's name");
      const result = await reclaimSlot(
        state.node.nats,
        state.slotKey,
        state.node.name,
        crashOf(state.slotKey),
        state.node.reclaimRules,
        signal,
      );
      if (result.type === "reclaimed") {
        state.node.log("warn", "took back the claim that this worker ended with", {
          slot: state.slotKey,
          items: result.items,
          claim: result.claim,
        });
      }
    } catch (cause) {
      state.node.log("warn", "cannot open the claim slot yet", { slot: state.slotKey, cause: String(cause) });
      await new Promise((resolve) => setTimeout(resolve, Math.min(100 * 2 ** attempt, 2_000)));
    }
  }
}

/** How each worker of this process last failed, until its next life has recorded it on the items it had in hand. */
const lastDefects = new Map<string, string>();
const defectTextMax = 600;

function crashOf(slotKey: string): string {
  const defect = lastDefects.get(slotKey);
  lastDefects.delete(slotKey);
  return defect === undefined ? "its worker ended with it in hand" : `its worker failed: ${defect}`;
}

const oneRound = <Body, R>(
  state: WorkerState<Body>,
  work: ClaimedWork<Body, R>,
): Effect.Effect<void, never, R> =>
  Effect.gen(function* () {
    const taken = yield* abortable(async (signal) => {
      try {
        const some = await state.queues.take(signal);
        if (!signal.aborted) return some;
        // Nobody waits for them any more: without this they would come again only after ack_wait.
        const replies = some.deliveries.map((delivery) => delivery.reply);
        state.mailbox.release(replies, 1);
        return { deliveries: [], doubtful: false };
      } catch (cause) {
        state.node.log("warn", "the mailbox cannot be read", {
          mailbox: state.source.mailbox,
          cause: String(cause),
        });
        return null;
      }
    });
    if (taken === null) return yield* pause(state);
    if (taken.deliveries.length === 0) return;
    for (const delivery of taken.deliveries) state.inHand.add(delivery.reply);
    yield* Effect.uninterruptibleMask((restore) => inHand(state, taken, work, restore)).pipe(
      Effect.ensuring(Effect.sync(() => state.inHand.clear())),
    );
  });

const pause = <Body>(state: WorkerState<Body>): Effect.Effect<void> =>
  Effect.suspend(() => {
    const ms = state.backoffMs;
    state.backoffMs = Math.min(ms * 2, backoffMostMs);
    return Effect.sleep(ms);
  });

type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>;

/** Judges what was taken and works on it claim by claim. Interruption reaches only the work itself. */
const inHand = <Body, R>(
  state: WorkerState<Body>,
  taken: Taken,
  work: ClaimedWork<Body, R>,
  restore: Restore,
): Effect.Effect<void, never, R> =>
  Effect.gen(function* () {
    const judged = yield* Effect.promise(() =>
      judgeTaken(state, taken).catch((cause: unknown) => String(cause)),
    );
    if (typeof judged === "string") {
      state.node.log("warn", "cannot read the records of a batch", {
        mailbox: state.source.mailbox,
        cause: judged,
      });
      yield* giveBack(
        state,
        taken.deliveries.map((d) => d.reply),
        backoffFirstMs,
      );
      return yield* restore(pause(state));
    }
    for (const reply of judged.dropped) done(state, reply);
    for (let at = 0; at < judged.claims.length; at++) {
      const items = judged.claims[at];
      if (items === undefined) continue;
      const last = at === judged.claims.length - 1;
      const verdict = yield* claimAndWork(state, items, work, restore, last);
      if (verdict === "on") continue;
      // Interrupted, or the system is away: what was not begun goes back too.
      const rest = judged.claims.slice(at + 1).flatMap((left) => left.flatMap((item) => item.replies));
      yield* giveBack(state, rest, verdict === "away" ? backoffFirstMs : 1);
      return verdict === "away" ? yield* restore(pause(state)) : undefined;
    }
    state.backoffMs = backoffFirstMs;
  });

const giveBack = <Body>(
  state: WorkerState<Body>,
  replies: ReadonlyArray<string>,
  delayMs: number,
): Effect.Effect<void> =>
  Effect.sync(() => {
    state.mailbox.release(replies, delayMs);
    for (const reply of replies) state.inHand.delete(reply);
  });

function done<Body>(state: WorkerState<Body>, reply: string): void {
  state.mailbox.ack(reply);
  state.inHand.delete(reply);
}

interface Judged<Body> {
  readonly dropped: ReadonlyArray<string>;
  /** What is claimed together; an item that must be alone is a claim of its own, after the others. */
  readonly claims: ReadonlyArray<ReadonlyArray<Item<Body>>>;
}

/**
 * Equal objects in one take are one item with several messages. Only what may not be new is read: redelivered, or put back. The
 * rest is taken as new, and the compare-and-set at the settle catches what was not.
 */
async function judgeTaken<Body>(
  state: WorkerState<Body>,
  { deliveries, doubtful }: Taken,
): Promise<Judged<Body>> {
  const { source } = state;
  const dropped: Array<string> = [];
  const byKey = new Map<string, Item<Body>>();
  const toRead: Array<Item<Body>> = [];
  for (const delivery of deliveries) {
    const decoded = delivery.operation === "" ? source.decode(delivery) : null;
    if (decoded === null) {
      dropped.push(delivery.reply);
      continue;
    }
    const key = recordKey(decoded.place);
    const twin = byKey.get(key);
    if (twin !== undefined) {
      if (twin.etag === decoded.etag && twin.generation >= decoded.generation) {
        twin.replies.push(delivery.reply);
        state.node.counters.duplicates(source.mailbox, 1);
      } else {
        // Another content or a later generation of what is in this take already: judged when that one is settled.
        state.mailbox.release([delivery.reply], 50);
        state.inHand.delete(delivery.reply);
      }
      continue;
    }
    const item: Item<Body> = {
      ...decoded,
      key,
      replies: [delivery.reply],
      sequence: delivery.sequence,
      held: null,
      expected: 0,
      again: delivery.deliveries > 1,
    };
    byKey.set(key, item);
    const mayBeKnown = doubtful || source.reads === "always" || delivery.deliveries > 1;
    if (mayBeKnown || decoded.generation > 0) toRead.push(item);
  }
  if (toRead.length > 0) await readAndJudge(state, toRead, byKey, dropped);
  if (source.settledBefore !== undefined) {
    const unknown = [...byKey.values()].filter((item) => item.held === null && item.generation === 0);
    for (const item of await source.settledBefore(unknown)) {
      state.node.counters.duplicates(source.mailbox, 1);
      byKey.delete(item.key);
      dropped.push(...item.replies);
    }
  }
  const together: Array<Item<Body>> = [];
  const alone: Array<Array<Item<Body>>> = [];
  for (const item of byKey.values()) {
    const crashes = item.held?.record.crashes ?? 0;
    if (crashes >= aloneFromCrashes || source.alone === true) alone.push([item]);
    else together.push(item);
  }
  return { dropped, claims: [...inClaims(together), ...alone] };
}

async function readAndJudge<Body>(
  state: WorkerState<Body>,
  toRead: ReadonlyArray<Item<Body>>,
  byKey: Map<string, Item<Body>>,
  dropped: Array<string>,
): Promise<void> {
  const entries = await getManyUnsafe(
    state.node.nats,
    ledgerBucket,
    toRead.map((item) => item.key),
  );
  for (let i = 0; i < toRead.length; i++) {
    const item = toRead[i];
    if (item === undefined) continue;
    const entry = entries[i] ?? null;
    item.expected = entry?.revision ?? 0;
    item.held = heldOf(item.key, entry);
    if (!judgeItem(state, item)) {
      byKey.delete(item.key);
      dropped.push(...item.replies);
    }
  }
  for (const item of await sameAsKnown(state, toRead)) {
    byKey.delete(item.key);
    dropped.push(...item.replies);
  }
}

/** What was refused by its tag and has the content that is known. */
async function sameAsKnown<Body>(
  state: WorkerState<Body>,
  items: ReadonlyArray<Item<Body>>,
): Promise<ReadonlySet<Item<Body>>> {
  const { sameContent, mailbox } = state.source;
  const same = new Set<Item<Body>>();
  if (sameContent === undefined) return same;
  for (const item of items) {
    if (item.refused !== true || !(await sameContent(item))) continue;
    state.node.counters.duplicates(mailbox, 1);
    same.add(item);
  }
  return same;
}

function heldOf<Body>(
  key: string,
  entry: Pick<Entry, "revision" | "ended" | "data"> | null,
): Held<Body> | null {
  if (entry === null || entry.ended) return null;
  const record = recordOrNull<Body>(key, entry.data);
  return record === null ? null : { key, revision: entry.revision, record };
}

/** Applies the judgement to the item; false where it is to be dropped. */
function judgeItem<Body>(state: WorkerState<Body>, item: Item<Body>): boolean {
  const record = item.held?.record ?? null;
  const order = record === null ? "unknown" : state.source.orderOf?.(item.body, record.body);
  const verdict = judge(item, record, state.source.onContentChange, order);
  switch (verdict.type) {
    case "drop":
      state.node.counters[verdict.why === "duplicate" ? "duplicates" : "stale"](state.source.mailbox, 1);
      return false;
    case "refuse":
      item.refused = true;
      return true;
    case "work": {
      item.generation = verdict.generation;
      const held = item.held?.record;
      // New content for a good record that killed its worker again and again is refused like any other bad item is parked.
      if (
        (held?.state === "known" || held?.state === "done") &&
        held.etag !== item.etag &&
        held.crashesAlone >= state.source.rules.crashesAloneMax
      ) {
        item.refused = true;
      }
      return true;
    }
  }
}

type Verdict = "on" | "stop" | "away";

const claimAndWork = <Body, R>(
  state: WorkerState<Body>,
  items: ReadonlyArray<Item<Body>>,
  work: ClaimedWork<Body, R>,
  restore: Restore,
  last: boolean,
): Effect.Effect<Verdict, never, R> =>
  Effect.gen(function* () {
    const replies = items.flatMap((item) => item.replies);
    const started = performance.now();
    const claim = yield* restore(abortable((signal) => claimItems(state, items, signal))).pipe(Effect.exit);
    if (Exit.isFailure(claim)) {
      if (!Cause.hasInterruptsOnly(claim.cause)) return yield* Effect.failCause(claim.cause);
      // The claim may be written: opening the slot again finds it and puts it back.
      yield* Effect.promise(() => releaseUnknown(state));
      yield* giveBack(state, replies, 1);
      return "stop";
    }
    const id = claim.value;
    if (id === null) {
      yield* giveBack(state, replies, backoffFirstMs);
      yield* abortable((signal) => openSlot(state, signal));
      return "away";
    }
    const worked = items.filter((item) => item.refused !== true);
    const exit = yield* Effect.exit(
      worked.length === 0
        ? Effect.succeed<ReadonlyArray<Outcome<Body>>>([])
        : restore(work(worked, { claim: id, alone: items.length === 1 })),
    );
    if (Exit.isFailure(exit)) return yield* unfinished(state, id, replies, exit.cause);
    if (exit.value.length !== worked.length) {
      return yield* Effect.die(
        new Error(`${state.source.mailbox}: ${exit.value.length} outcomes for ${worked.length} items`),
      );
    }
    const outcomes = new Map<Item<Body>, Outcome<Body>>();
    worked.forEach((item, i) => {
      const outcome = exit.value[i];
      if (outcome !== undefined) outcomes.set(item, outcome);
    });
    // Not before all work is done: it may take hours, what is fetched would wait for it, and be somebody else's by then.
    if (last) state.queues.prefetch();
    const result = yield* Effect.promise(() => settleItems(state, id, items, outcomes));
    if (result.type === "settled") {
      for (const reply of replies) done(state, reply);
      state.node.counters.settled(state.source.mailbox, items, outcomes, performance.now() - started);
      // What was only refused has asked nobody.
      if (worked.length > 0) state.node.troubles.over(state.source.mailbox);
      return "on";
    }
    state.node.counters.refusedSettles(state.source.mailbox, 1);
    state.node.log("warn", "a settle was refused; nothing of it is acknowledged", {
      slot: state.slotKey,
      claim: id,
      why:
        result.type === "lost" ? result.how : result.type === "failed" ? result.error.message : result.type,
    });
    for (const reply of replies) state.inHand.delete(reply);
    if (result.type === "lost") return "on";
    yield* abortable((signal) => openSlot(state, signal));
    return "away";
  });

/** After an interrupted claim: whatever stands in the slot under our epoch is given back without a crash. */
async function releaseUnknown<Body>(state: WorkerState<Body>): Promise<void> {
  const { slot } = state;
  if (slot === null) return;
  const found = await slot.current().catch(() => null);
  if (found !== null && found.slot.state === "claimed" && found.slot.epoch === state.node.epoch) {
    await slot.release(found.slot.id, AbortSignal.timeout(1_000));
  }
}

/** The work did not end by itself: interrupted, the system away, or a defect. */
const unfinished = <Body>(
  state: WorkerState<Body>,
  id: string,
  replies: ReadonlyArray<string>,
  cause: Cause.Cause<SystemFailure | NotNow>,
): Effect.Effect<Verdict> =>
  Effect.gen(function* () {
    const failure = Cause.findErrorOption(cause);
    const interrupted = Cause.hasInterruptsOnly(cause);
    if (!interrupted && failure._tag === "None") {
      // A defect: the slot stays as it is, and the next life of this worker records the crash.
      lastDefects.set(state.slotKey, Cause.pretty(cause).slice(0, defectTextMax));
      for (const reply of replies) state.inHand.delete(reply);
      return yield* Effect.failCause(cause as Cause.Cause<never>);
    }
    const notNow = failure._tag === "Some" && failure.value._tag === "NotNow" ? failure.value : null;
    if (failure._tag === "Some" && failure.value._tag === "SystemFailure") {
      state.node.troubles.met(state.source.mailbox, failure.value.what, failure.value.detail);
      state.node.log("warn", failure.value.message, { slot: state.slotKey, claim: id });
    }
    const { slot } = state;
    if (slot !== null) {
      const released = yield* Effect.promise(() =>
        slot.release(id, interrupted ? AbortSignal.timeout(800) : whileConnected),
      );
      if (released.type === "failed") {
        state.node.log("warn", "a claim could not be given back; it is recovered at the next start", {
          slot: state.slotKey,
          claim: id,
        });
      }
    }
    yield* giveBack(state, replies, interrupted ? 1 : (notNow?.againMs ?? state.backoffMs));
    return interrupted ? "stop" : notNow === null ? "away" : "on";
  });

async function claimItems<Body>(
  state: WorkerState<Body>,
  items: ReadonlyArray<Item<Body>>,
  signal: AbortSignal,
): Promise<string | null> {
  if (state.slot === null) return null;
  try {
    return await state.slot.claim(
      items.map((item) => ({
        record: item.key,
        etag: item.etag,
        generation: item.generation,
        sequence: item.sequence,
      })),
      new Date(state.node.nats.now()).toISOString(),
      signal,
    );
  } catch (cause) {
    state.node.log("warn", "cannot claim", { slot: state.slotKey, cause: String(cause) });
    return null;
  }
}

/** One transaction; on a conflict the records are read and what is terminal by now is left out. */
async function settleItems<Body>(
  state: WorkerState<Body>,
  id: string,
  items: ReadonlyArray<Item<Body>>,
  outcomes: ReadonlyMap<Item<Body>, Outcome<Body>>,
): Promise<SettleResult> {
  const { slot, source, node } = state;
  if (slot === null) return { type: "lost", how: "no slot" };
  let left = items;
  for (let round = 0; round < conflictRounds; round++) {
    const moment: Moment = { now: node.nats.now(), random: Math.random(), node: node.name, claim: id };
    const writes: Array<Write> = [];
    const touched = new Set<string>();
    for (const item of left) {
      const outcome = outcomes.get(item);
      if (source.keepsDone === false && outcome?.type === "done" && item.expected === 0) continue;
      const settlement = settlementOf(source, item, outcome, items.length === 1, moment);
      writes.push(...writesOf(item.key, item.expected, settlement));
      for (const key of settlement.touches) touched.add(key);
      if (source.endsOf !== undefined) {
        writes.push(...source.endsOf(item.place, item, item.held?.record ?? null));
      }
    }
    for (const key of touched) writes.push(ledgerPut(key, touch(source.mailbox, moment.now)));
    const result = await settleWithRoom(node, source.mailbox, slot, { id, writes, until: whileConnected });
    if (result.type !== "conflict") return result;
    const kept: Array<Item<Body>> = [];
    const keys = left.map((item) => item.key);
    const entries = await insistOnRead(
      node.nats,
      () => getManyUnsafe(node.nats, ledgerBucket, keys),
      whileConnected,
    );
    left.forEach((item, i) => {
      if (standsAfterConflict(state, item, entries[i] ?? null)) kept.push(item);
    });
    const same = await sameAsKnown(state, kept);
    left = kept.filter((item) => !same.has(item));
  }
  // The slot is still ours and full: opened anew, it puts its items back as a crash.
  return { type: "conflict" };
}

function standsAfterConflict<Body>(
  state: WorkerState<Body>,
  item: Item<Body>,
  entry: { readonly revision: number; readonly ended: boolean; readonly data: Uint8Array } | null,
): boolean {
  const revision = entry?.revision ?? 0;
  if (revision === item.expected) return true;
  item.expected = revision;
  item.held = heldOf(item.key, entry);
  item.refused = false;
  return judgeItem(state, item);
}

function touch(mailbox: string, now: number): Uint8Array {
  return encodeJson({ v: recordVersion, at: new Date(now).toISOString(), lane: mailbox });
}
