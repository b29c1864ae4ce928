/**
 * The notifier: tells one receiver of each exposure's files, at least once, in order for each exposure, never in the way of ingest.
 *
 * Receives  known files of its lanes, from a durable cursor that the nodes of a site take turns on.
 * Keeps     `notified.<receiver>.<day>.<instrument>/<exposure>`: what was told, so that a record which is rewritten is not told again.
 * Emits     `POST {"exp_id", "filenames"}`: what was settled together goes together, and so does what gathers while an earlier
 *           request of the exposure is under way. Each try of a request has the same `Idempotency-Key`.
 * Fails     never for good. A receiver that is away holds its own cursor and nothing else; the backlog stays in the ledger's
 *           stream. A request that the receiver refuses is recorded with the reason, and so is one that fails again
 *           and again while others are accepted.
 *
 * A delivery is acknowledged once its record is written. A node that dies between the receiver's answer and that write leaves
 * a request that is made again.
 */
import * as Effect from "effect/Effect";
import * as FiberSet from "effect/FiberSet";
import * as Random from "effect/Random";
import * as Redacted from "effect/Redacted";
import * as Result from "effect/Result";
import * as Semaphore from "effect/Semaphore";
import type { WebhookSettings } from "../config/Site.ts";
import { NoAnswer, Poster } from "../drivers/post.ts";
import type { Delivery } from "../jetstream/mailbox.ts";
import { Mailbox } from "../jetstream/mailbox.ts";
import { receiverConsumer } from "../jetstream/topology.ts";
import {
  notifierAckWaitMs,
  notifierInHandMax,
  notifierProgressEveryMs,
  notifierTakeMs,
  webhookAnswerBytesMax,
} from "../limits.ts";
import { kvStream, ledgerBucket, notifiedKey } from "../protocol/keys.ts";
import { backoffMs } from "../protocol/lifecycle.ts";
import type { FileBody } from "../protocol/records.ts";
import { decodeRecord, LedgerCorrupt } from "../protocol/records.ts";
import type { Told, WebhookVerdict } from "../protocol/webhooks.ts";
import {
  accepted,
  idempotencyKey,
  judgeStatus,
  refusedBy,
  toldOf,
  webhookBody,
} from "../protocol/webhooks.ts";
import type { NodeContextService } from "./NodeContext.ts";
import { Notified } from "./notified.ts";
import type { ExposureQueue, Group } from "./webhookQueue.ts";
import { WebhookQueue } from "./webhookQueue.ts";

const againMs = 1_000;
/** A node that lost its turn hears of it at its next take, and what it has in hand is due no later than ack_wait after that. */
const backMsMax = 3 * notifierTakeMs + notifierAckWaitMs;
const backLookEveryMs = 200;

interface State {
  readonly node: NodeContextService;
  readonly settings: WebhookSettings;
  readonly mailbox: Mailbox;
  readonly queue: WebhookQueue;
  readonly notified: Notified;
  readonly poster: Poster;
  readonly headers: Readonly<Record<string, string>>;
  readonly permits: Semaphore.Semaphore;
  turn: string;
  /** How long the server has said, since the queue was closed, that somebody else has something in hand. */
  waitedMs: number;
  /** Of `performance.now()`, when it said so last; null: it did not answer since. */
  lookedAt: number | null;
  /** Of `performance.now()`: everything in hand was extended. */
  extendedAt: number;
  /** Requests accepted by the receiver in this life. */
  accepted: number;
  /** Why the receiver takes nothing; null while it does. */
  away: string | null;
}

/** Runs until interrupted; what then is in hand is given back for the next node's turn. */
export const notifierActor = (
  node: NodeContextService,
  settings: WebhookSettings,
  ready: Effect.Effect<void>,
): Effect.Effect<never> =>
  Effect.scoped(
    Effect.gen(function* () {
      const queue = new WebhookQueue();
      const mailbox = yield* Effect.acquireRelease(
        Effect.sync(
          () => new Mailbox(node.nats, kvStream(ledgerBucket), receiverConsumer(settings.name), true),
        ),
        (box) =>
          Effect.sync(() => {
            box.release(queue.replies, 1);
            box.close();
          }),
      );
      const poster = yield* Effect.acquireRelease(
        Effect.sync(() => new Poster(Redacted.value(settings.url), settings.inFlightMax)),
        (one) => Effect.sync(() => one.close()),
      );
      const state: State = {
        node,
        settings,
        mailbox,
        queue,
        notified: new Notified(node),
        poster,
        headers: {
          "user-agent": "orrery",
          ...Object.fromEntries([...settings.headers].map(([name, value]) => [name, Redacted.value(value)])),
        },
        permits: yield* Semaphore.make(settings.inFlightMax),
        turn: "",
        waitedMs: 0,
        lookedAt: null,
        extendedAt: performance.now(),
        accepted: 0,
        away: null,
      };
      yield* Effect.acquireRelease(
        Effect.sync(() => setInterval(() => extend(state), notifierProgressEveryMs)),
        (timer) => Effect.sync(() => clearInterval(timer)),
      );
      const tellers = yield* FiberSet.make<void, never>();
      yield* ready;
      const taking = Effect.forever(
        Effect.gen(function* () {
          yield* takeSome(state);
          if (queue.closed) yield* openWhenWhole(state);
          for (const exposure of queue.start()) yield* FiberSet.run(tellers, tell(state, exposure));
        }),
      );
      // A teller that dies is a defect of the actor: the supervisor must see it.
      return yield* Effect.raceFirst(taking, Effect.andThen(FiberSet.join(tellers), Effect.never));
    }),
  );

/** A process that was stopped for longer than its deliveries last has lost them, whatever its memory says. */
function extend(state: State): void {
  const now = performance.now();
  if (now - state.extendedAt > notifierAckWaitMs) giveUp(state);
  state.extendedAt = now;
  state.mailbox.working(state.queue.replies);
}

/** Nothing in hand is ours any more. Given back, so that whose turn it is need not wait for ack_wait; what he has already stays his. */
function giveUp(state: State): void {
  state.mailbox.release(state.queue.drop(), 1);
  // Whoever has the turn meanwhile notes what it tells.
  state.notified.forget();
  state.waitedMs = 0;
  state.lookedAt = null;
}

const takeSome = (state: State): Effect.Effect<void> =>
  Effect.gen(function* () {
    const { node, mailbox, queue, settings } = state;
    const room = Math.max(1, notifierInHandMax - queue.size);
    const forMs = queue.closed && queue.size > 0 ? backLookEveryMs : notifierTakeMs;
    const deliveries = yield* Effect.promise((signal) =>
      mailbox.take(room, forMs, signal).catch((cause: unknown) => {
        node.log("warn", `the notifier of ${settings.name} cannot read its mailbox`, {
          cause: String(cause),
        });
        return null;
      }),
    );
    if (mailbox.turn !== state.turn) {
      state.turn = mailbox.turn;
      giveUp(state);
    }
    if (deliveries === null) return yield* Effect.sleep(againMs);
    if (state.turn === "") {
      // Taken before it was said that the turn is another's.
      mailbox.release(
        deliveries.map((delivery) => delivery.reply),
        1,
      );
      return;
    }
    for (const delivery of deliveries) keep(state, delivery);
    const last = deliveries.at(-1);
    if (last !== undefined) node.counters.untold(settings.name, last.pending + queue.size);
    else if (queue.size === 0) node.counters.untold(settings.name, 0);
  });

/**
 * Opens the queue once nobody else has older files in hand than those taken. A server that was killed has forgotten whose turn it was, but
 * not what was delivered: the next turn begins at once, and what the former had in hand comes back into it when he hears of
 * that, or after ack_wait. Told before that, later files of an exposure would come first.
 */
const openWhenWhole = (state: State): Effect.Effect<void> =>
  Effect.gen(function* () {
    const { node, queue, settings, turn } = state;
    if (queue.size === 0) return;
    // Not answered: what is not known to be back is waited for.
    const held = yield* Effect.promise(() => heldBySomebody(state).catch(() => null));
    const now = performance.now();
    state.waitedMs += held === null ? 0 : now - (state.lookedAt ?? now);
    state.lookedAt = held === null ? null : now;
    if (held === null || state.turn !== turn) return;
    if (held > queue.size) {
      if (state.waitedMs < backMsMax) return yield* Effect.sleep(backLookEveryMs);
      node.log("warn", "a receiver is told although older files of the same exposures may be elsewhere", {
        receiver: settings.name,
        elsewhere: held - queue.size,
      });
    }
    queue.open();
  });

async function heldBySomebody({ node, settings }: State): Promise<number> {
  const consumer = receiverConsumer(settings.name);
  const { num_ack_pending } = await node.nats.jsm.consumers.info(kvStream(ledgerBucket), consumer);
  return num_ack_pending;
}

function keep({ node, mailbox, queue, settings }: State, delivery: Delivery): void {
  const told = readTold(node, delivery);
  if (told === null) {
    mailbox.ack(delivery.reply);
    return;
  }
  const key = notifiedKey(settings.name, told.day, told.instrument, told.exposure);
  queue.add(key, delivery.sequence, delivery.reply, told);
}

function readTold(node: NodeContextService, delivery: Delivery): Told | null {
  if (delivery.operation !== "") return null;
  const key = delivery.subject.slice(`$KV.${ledgerBucket}.`.length);
  try {
    return toldOf(key, decodeRecord<FileBody>(key, delivery.data));
  } catch (cause) {
    if (!(cause instanceof LedgerCorrupt)) throw cause;
    // One bad value must not hold a receiver: told, and left out.
    node.log("error", cause.message, { key });
    return null;
  }
}

/** Makes the exposure's requests, one after the other, until nothing of it waits. */
const tell = (state: State, of: ExposureQueue): Effect.Effect<void> =>
  Effect.gen(function* () {
    for (;;) {
      // Formed with the permit in hand: what comes while it waits for one goes with it.
      const first = yield* state.permits.withPermit(
        Effect.gen(function* () {
          const group = state.queue.form(of);
          if (group === null) return null;
          const untold = yield* notYetTold(state, of, group);
          return { group, untold, verdict: yield* attempt(state, of, untold) };
        }),
      );
      if (first === null) return;
      yield* insist(state, of, first.group, first.untold, first.verdict);
    }
  });

/** Those of the group that the exposure's record does not name; the others are acknowledged. */
const notYetTold = (state: State, of: ExposureQueue, group: Group): Effect.Effect<Group> =>
  Effect.map(state.notified.read(of.key, of.exposure), (record) => {
    const told = new Set(record.told);
    acknowledge(
      state,
      group,
      group.files.filter((file) => told.has(file.told.mark)),
    );
    return { ...group, files: group.files.filter((file) => !told.has(file.told.mark)) };
  });

/** In another turn that is for whose turn it is: what is in his hands must not vanish from the server's count of it. */
function acknowledge(state: State, of: Group, files: Group["files"]): void {
  if (!state.queue.stands(of)) return;
  for (const reply of state.queue.done(files)) state.mailbox.ack(reply);
}

/** Tries until the receiver has taken it, or it is given up, or the turn is over. */
const insist = (
  state: State,
  of: ExposureQueue,
  group: Group,
  untold: Group,
  first: WebhookVerdict,
): Effect.Effect<void> =>
  Effect.gen(function* () {
    const { settings, node } = state;
    let verdict = first;
    let held = 0;
    let acceptedThen = state.accepted;
    for (let tries = 1; verdict.type === "again"; tries++) {
      // A failure counts against the request only while the receiver takes others.
      if (state.accepted > acceptedThen) held++;
      acceptedThen = state.accepted;
      if (held >= settings.attemptsMax) {
        const reason = `given up after ${tries} tries: ${verdict.reason}`;
        return yield* conclude(state, of, untold, { type: "refused", reason }, "given-up");
      }
      node.counters.webhooks(settings.name, "again");
      const rules = { ...settings, attemptsMax: 0, crashesAloneMax: 0 };
      const pause = backoffMs(tries, rules, yield* Random.next);
      yield* Effect.sleep(Math.max(pause, Math.min(verdict.afterMs, settings.backoffMaxMs)));
      if (!state.queue.stands(group)) return;
      verdict = yield* state.permits.withPermit(attempt(state, of, untold));
    }
    yield* conclude(state, of, untold, verdict, verdict.type);
  });

const conclude = (
  state: State,
  of: ExposureQueue,
  group: Group,
  verdict: Exclude<WebhookVerdict, { type: "again" }>,
  outcome: "accepted" | "refused" | "given-up",
): Effect.Effect<void> =>
  Effect.gen(function* () {
    if (group.files.length === 0) return;
    const { node, settings } = state;
    const files = filesOf(group);
    node.counters.webhooks(settings.name, outcome);
    if (verdict.type === "refused") {
      node.log("error", "a receiver was not told of some files of an exposure", {
        receiver: settings.name,
        exposure: of.exposure,
        files: files.length,
        reason: verdict.reason,
        record: of.key,
      });
    }
    yield* state.notified.update(of.key, of.exposure, (before) =>
      verdict.type === "accepted"
        ? accepted(before, files, state.node.nats.now())
        : refusedBy(before, files, verdict.reason, state.node.nats.now()),
    );
    acknowledge(state, group, group.files);
  });

/** A record that was rewritten while in hand stands there twice. */
const filesOf = (group: Group): ReadonlyArray<Told> => [
  ...new Map(group.files.map((file) => [file.told.mark, file.told])).values(),
];

const attempt = (state: State, of: ExposureQueue, group: Group): Effect.Effect<WebhookVerdict> =>
  Effect.gen(function* () {
    if (group.files.length === 0) return { type: "accepted" };
    const { settings, poster } = state;
    // A process that wakes up after a long stop gets here before its timers.
    if (performance.now() - state.extendedAt > notifierAckWaitMs) extend(state);
    if (!state.queue.stands(group)) return { type: "again", reason: "the turn is over", afterMs: 0 };
    const files = filesOf(group);
    const answer = yield* Effect.result(
      Effect.tryPromise({
        try: (signal) =>
          poster.post({
            headers: {
              ...state.headers,
              "idempotency-key": idempotencyKey(settings.name, of.exposure, files),
            },
            body: webhookBody(of.exposure, files),
            deadlineMs: settings.timeoutMs,
            answerBytesMax: webhookAnswerBytesMax,
            signal,
          }),
        catch: (cause) => (cause instanceof NoAnswer ? cause.message : String(cause)),
      }),
    );
    const verdict: WebhookVerdict = Result.isSuccess(answer)
      ? judgeStatus(answer.success.status, answer.success.retryAfter, answer.success.body)
      : { type: "again", reason: answer.failure, afterMs: 0 };
    note(state, verdict);
    return verdict;
  });

/** Said when it changes, not at each try. */
function note(state: State, verdict: WebhookVerdict): void {
  const { node, settings } = state;
  if (verdict.type === "accepted") state.accepted++;
  const away = verdict.type === "again" ? verdict.reason : null;
  if (away !== null && state.away === null) {
    node.log("warn", "a receiver takes nothing; what it is to be told waits", {
      receiver: settings.name,
      cause: away,
    });
  }
  if (away === null && state.away !== null) {
    node.log("info", "a receiver answers again", { receiver: settings.name, waiting: state.queue.size });
  }
  state.away = away;
}
