/**
 * The reclaimer: everything that must not depend on a worker being alive. Each node may run one; transactions make it safe.
 *
 * Receives  the ledger's `due`, `waiting` and `exposure` keys, as a follower; a tick.
 * Does      takes dead nodes' claims back; puts due items back into their queues; frees what waited; purges whole days.
 * Fails     never for good: what a tick could not do, the next one does.
 */
import * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import * as Result from "effect/Result";
import { putBackPerTickMax, reclaimEveryMs } from "../limits.ts";
import { reclaimSlot } from "../jetstream/claims.ts";
import type { Change } from "../jetstream/follower.ts";
import { follow } from "../jetstream/follower.ts";
import type { NodeLease } from "../jetstream/lease.ts";
import { liveNodes, subjectsOf } from "../jetstream/lease.ts";
import { get } from "../jetstream/ledger.ts";
import { kvStream, kvSubject, claimOfKey, ledgerBucket, nodesBucket, encodeToken } from "../protocol/keys.ts";
import { dueOrNull } from "../protocol/records.ts";
import type { DueRecord } from "../protocol/records.ts";
import type { NodeContextService } from "./NodeContext.ts";
import type { PutBackRules } from "./putBack.ts";
import { freeWaiting, putBackDue } from "./putBack.ts";
import type { RetentionRule } from "./retention.ts";
import { purgeOldDays } from "./retention.ts";

export interface ReclaimerNeeds {
  readonly lease: NodeLease;
  /** Slots that workers of this process own, or are about to open. */
  readonly ownSlots: ReadonlySet<string>;
  readonly putBack: PutBackRules;
  readonly retention: ReadonlyArray<RetentionRule>;
}

const waitingSweepMs = 2_000;
/** Between two ticks, at least. */
const breathMs = 20;
const retentionEveryMs = 3_600_000;
const retentionAgainMs = 60_000;

/** The follower's picture of what has to come back. Indexes only: the records decide. */
interface Picture {
  readonly due: Map<string, { readonly record: DueRecord; readonly revision: number }>;
  /** Index keys by the key they wait for. */
  readonly waiting: Map<string, Set<string>>;
  /** Needed keys that were touched since the last tick. */
  readonly came: Set<string>;
  /** There is something for the next tick, which is not waited for. */
  isWoken: boolean;
  /** Up to here, by the site's clock, the last tick saw what was due. */
  lookedUpTo: number;
  wake: () => void;
}

function neededOf(key: string): string {
  const from = "waiting.".length;
  return key.slice(from, key.indexOf(".", from));
}

function see(picture: Picture, change: Change): void {
  if (change.key.startsWith("due.")) {
    if (change.ended) picture.due.delete(change.key);
    else {
      const record = dueOrNull(change.key, change.data);
      if (record === null) return;
      picture.due.set(change.key, { record, revision: change.revision });
      // What is put back already waits for its lane.
      if (record.putBack === null) picture.wake();
    }
  } else if (change.key.startsWith("waiting.")) {
    const needed = neededOf(change.key);
    const waiting = picture.waiting.get(needed) ?? new Set<string>();
    if (change.ended) waiting.delete(change.key);
    else waiting.add(change.key);
    if (waiting.size === 0) picture.waiting.delete(needed);
    else picture.waiting.set(needed, waiting);
  } else if (!change.ended) {
    const needed = encodeToken(change.key);
    if (picture.waiting.has(needed)) {
      picture.came.add(needed);
      picture.wake();
    }
  }
}

/** Of a due key, without decoding more of it. */
function mailboxOf(key: string): string {
  const from = "due.".length;
  return key.slice(from, key.indexOf(".", from));
}

/** Runs until interrupted. Ready once it has seen everything that stands due or waiting. */
export const reclaimerActor = (
  node: NodeContextService,
  needs: ReclaimerNeeds,
  ready: Effect.Effect<void>,
): Effect.Effect<never> =>
  Effect.gen(function* () {
    const signal = { fire: (): void => undefined };
    const picture: Picture = {
      due: new Map(),
      waiting: new Map(),
      came: new Set(),
      isWoken: false,
      lookedUpTo: 0,
      wake: () => {
        picture.isWoken = true;
        signal.fire();
      },
    };
    const caughtUp = yield* Deferred.make<void>();
    const follower = yield* Effect.forkChild(
      follow(
        node.nats,
        {
          bucket: ledgerBucket,
          keys: ["due.>", "waiting.>", "exposure.>"],
          trouble: (cause) => node.log("warn", "the ledger cannot be followed", { cause }),
          each: (change) => see(picture, change),
        },
        caughtUp,
      ),
    );
    yield* Deferred.await(caughtUp);
    yield* ready;
    return yield* Effect.raceAllFirst([
      tickLoop(node, needs, picture, signal),
      retentionLoop(node, needs),
      Effect.flatMap(Fiber.join(follower), () => Effect.never),
    ]).pipe(Effect.orDie);
  });

const tickLoop = (
  node: NodeContextService,
  needs: ReclaimerNeeds,
  picture: Picture,
  signal: { fire: () => void },
): Effect.Effect<never> =>
  Effect.gen(function* () {
    let sweptAt = 0;
    for (;;) {
      const now = performance.now();
      const sweep = now - sweptAt >= waitingSweepMs;
      if (sweep) sweptAt = now;
      picture.isWoken = false;
      yield* guarded(node, "take back dead nodes' claims", reclaimDead(node, needs));
      yield* guarded(node, "free what waited", freeTick(node, needs, picture, sweep));
      yield* guarded(node, "put back what is due", dueTick(node, needs, picture));
      yield* pauseOrWake(node, picture, signal);
    }
  });

/** Beside the ticks, not in one: a whole day's marks are read and written before it goes, and what is due must not wait for that. */
const retentionLoop = (node: NodeContextService, needs: ReclaimerNeeds): Effect.Effect<never> =>
  Effect.gen(function* () {
    let purgedAt = Number.NEGATIVE_INFINITY;
    let reconnects = node.nats.link().reconnects;
    for (;;) {
      const now = performance.now();
      // After a restart of the server, purged days are purged again: what a purge displaced may have come back.
      const restarted = node.nats.link().reconnects !== reconnects;
      if (restarted || now - purgedAt >= retentionEveryMs) {
        reconnects = node.nats.link().reconnects;
        const done = yield* Effect.result(purgeOldDays(node, needs.retention));
        purgedAt = Result.isSuccess(done) ? now : now - retentionEveryMs + retentionAgainMs;
        if (Result.isFailure(done)) {
          const cause = done.failure.message;
          node.log("warn", "could not purge old days; it is tried again in a minute", { cause });
        }
      }
      yield* Effect.sleep(reclaimEveryMs);
    }
  });

const guarded = <E>(
  node: NodeContextService,
  what: string,
  effect: Effect.Effect<void, E>,
): Effect.Effect<void> =>
  Effect.catch(effect, (error) =>
    Effect.sync(() =>
      node.log("warn", `could not ${what}; the next tick tries again`, {
        cause: error instanceof Error ? error.message : String(error),
      }),
    ),
  );

/** Sleeps until the next tick, the next due time, or a wake, whichever is first; never less than a breath. */
const pauseOrWake = (
  node: NodeContextService,
  picture: Picture,
  signal: { fire: () => void },
): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    let next = picture.isWoken ? breathMs : reclaimEveryMs;
    const now = node.nats.now();
    // What was due at this tick has been tried: where that was in vain, the next one is soon enough.
    for (const { record } of picture.due.values()) {
      if (record.putBack !== null || record.notBefore <= picture.lookedUpTo) continue;
      next = Math.min(next, Math.max(breathMs, record.notBefore - now));
    }
    const done = (): void => {
      clearTimeout(timer);
      signal.fire = () => undefined;
      resume(Effect.void);
    };
    const timer = setTimeout(done, next);
    let woken = false;
    signal.fire = () => {
      // A burst of changes is one wake.
      if (!woken) setTimeout(done, 5);
      woken = true;
    };
    return Effect.sync(() => clearTimeout(timer));
  });

const dueTick = (
  node: NodeContextService,
  needs: ReclaimerNeeds,
  picture: Picture,
): Effect.Effect<void, Error> =>
  Effect.gen(function* () {
    const now = node.nats.now();
    picture.lookedUpTo = now;
    const ripe: Array<{ key: string; record: DueRecord; revision: number }> = [];
    const fresh = new Map<string, number>();
    for (const [key, { record, revision }] of picture.due) {
      if (record.notBefore > now) continue;
      const mailbox = mailboxOf(key);
      // Of a lane that this site file does not name: for whoever knows it.
      if (needs.putBack(mailbox) === null) continue;
      if (record.putBack === null) {
        // Each mailbox has a turn of its own: a lane of which much fails must not take the others'.
        const before = fresh.get(mailbox) ?? 0;
        if (before >= putBackPerTickMax) {
          picture.isWoken = true;
          continue;
        }
        fresh.set(mailbox, before + 1);
      }
      ripe.push({ key, record, revision });
    }
    if (ripe.length > 0) yield* putBackDue(node, needs.putBack, ripe);
  });

const freeTick = (
  node: NodeContextService,
  needs: ReclaimerNeeds,
  picture: Picture,
  sweep: boolean,
): Effect.Effect<void, Error> =>
  Effect.gen(function* () {
    const came = new Set(picture.came);
    const candidates = sweep ? [...picture.waiting.keys()] : [...came];
    picture.came.clear();
    const waits = candidates.flatMap((needed) =>
      [...(picture.waiting.get(needed) ?? [])].map((key) => ({ needed, key, swept: !came.has(needed) })),
    );
    if (waits.length > 0) yield* freeWaiting(node, needs.putBack, waits);
  });

/** Nodes that have slots but no lease. Believed only after a whole lease of our own answered renewals, and a second look. */
const reclaimDead = (node: NodeContextService, needs: ReclaimerNeeds): Effect.Effect<void, Error> =>
  Effect.gen(function* () {
    const prefix = kvSubject(ledgerBucket, "");
    const subjects = yield* subjectsOf(node.nats, kvStream(ledgerBucket), kvSubject(ledgerBucket, "claim.>"));
    const slots = subjects.map((subject) => subject.slice(prefix.length));
    const live = yield* liveNodes(node.nats);
    for (const key of slots) {
      const owner = claimOfKey(key);
      if (owner === null) continue;
      const own = owner.node === node.name;
      if (own ? needs.ownSlots.has(key) : live.has(owner.node)) continue;
      if (!needs.lease.mayBelieveExpiry()) return;
      if (!own) {
        const lease = yield* get(node.nats, nodesBucket, encodeToken(owner.node));
        if (lease !== null && !lease.ended) continue;
      }
      const why = own ? "no worker of this node owns it any more" : `node ${owner.node} died with it in hand`;
      const tried = yield* Effect.result(
        Effect.tryPromise(() => reclaimSlot(node.nats, key, node.name, why, node.reclaimRules)),
      );
      if (Result.isFailure(tried)) {
        // Its own trouble: those of others, which may be quite well, are looked at all the same.
        node.log("warn", "could not take a claim back; the next tick tries again", {
          slot: key,
          cause: String(tried.failure.cause),
        });
        if (!node.nats.link().connected) return;
        continue;
      }
      const result = tried.success;
      if (result.type === "reclaimed") {
        node.counters.reclaimed(owner.mailbox, result.items);
        node.log("warn", "took a claim back", { slot: key, items: result.items, why, claim: result.claim });
      }
    }
  });
