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
import { ackWaitMs, notifierInHandMax, progressEveryMs, webhookAnswerBytesMax } from "../limits.ts";
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

/** Shorter than the turn: taking is what keeps it. */
const takeWaitMs = 3_000;
const againMs = 1_000;
/** What is due after ack_wait is delivered within this. */
const backMarginMs = 2_000;
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
  /** Of `performance.now()`: by then whatever a former turn had in hand is back. */
  backBy: number;
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
        backBy: 0,
        extendedAt: performance.now(),
        accepted: 0,
        away: null,
      };
      yield* Effect.acquireRelease(
        Effect.sync(() => setInterval(() => extend(state), progressEveryMs)),
        (timer) => Effect.sync(() => clearInterval(timer)),
      );
      const tellers = yield* FiberSet.make<void, never>();
      yield* ready;
      const taking = Effect.forever(
        Effect.gen(function* () {
          yield* takeSome(state);
          if (yield* othersHold(state)) return;
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
  if (now - state.extendedAt > ackWaitMs) state.queue.drop();
  state.extendedAt = now;
  state.mailbox.working(state.queue.replies);
}

const takeSome = (state: State): Effect.Effect<void> =>
  Effect.gen(function* () {
    const { node, mailbox, queue, settings } = state;
    const room = Math.max(1, notifierInHandMax - queue.size);
    const deliveries = yield* Effect.promise((signal) =>
      mailbox.take(room, takeWaitMs, signal).catch((cause: unknown) => {
        node.log("warn", `the notifier of ${settings.name} cannot read its mailbox`, {
          cause: String(cause),
        });
        return null;
      }),
    );
    if (mailbox.turn !== state.turn) {
      queue.drop();
      state.turn = mailbox.turn;
      state.backBy = performance.now() + ackWaitMs + backMarginMs;
    }
    if (deliveries === null) return yield* Effect.sleep(againMs);
    for (const delivery of deliveries) keep(state, delivery);
    const last = deliveries.at(-1);
    if (last !== undefined) node.counters.untold(settings.name, last.pending + queue.size);
    else if (queue.size === 0) node.counters.untold(settings.name, 0);
  });

/**
 * Whether somebody else may still have older files in hand than those taken. A server that was killed has forgotten whose turn it was, but
 * not what was delivered: the next turn begins at once, and what the former had in hand comes back into it only after ack_wait. Told
 * before that, later files of an exposure would come first.
 */
const othersHold = (state: State): Effect.Effect<boolean> =>
  performance.now() >= state.backBy || state.queue.size === 0
    ? Effect.succeed(false)
    : Effect.promise(async () => {
        const { jsm } = state.node.nats;
        try {
          const consumer = receiverConsumer(state.settings.name);
          const { num_ack_pending } = await jsm.consumers.info(kvStream(ledgerBucket), consumer);
          if (num_ack_pending > state.queue.size) return true;
          state.backBy = 0;
          return false;
        } catch {
          // Not answered: what is not known to be back is waited for, no longer than until then.
          return true;
        }
      }).pipe(Effect.tap((wait) => (wait ? Effect.sleep(backLookEveryMs) : Effect.void)));

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
      group.files.filter((file) => told.has(file.told.mark)),
    );
    return { ...group, files: group.files.filter((file) => !told.has(file.told.mark)) };
  });

function acknowledge(state: State, files: Group["files"]): void {
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
    acknowledge(state, group.files);
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
    if (performance.now() - state.extendedAt > ackWaitMs) extend(state);
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
