/**
 * Who is alive: each node renews one key in `nodes`. A lease decides only how soon others act, never whether they may:
 * what a dead node had in hand is taken from it by a transaction on its claim slots.
 */
import { performance } from "node:perf_hooks";
import { hostname } from "node:os";
import * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import { believeAfterMs, nodeLeaseMs, nodeRenewEveryMs } from "../limits.ts";
import type { JetStreamRejected, NatsUnavailable } from "../protocol/errors.ts";
import { NodeNameTaken, NodeSuperseded } from "../protocol/errors.ts";
import { encodeToken, decodeKeyPart, kvStream, kvSubject, nodesBucket } from "../protocol/keys.ts";
import { encodeJson } from "../protocol/records.ts";
import type { NodeRecord } from "../protocol/records.ts";
import { get, getUnsafe } from "./ledger.ts";
import type { NatsService } from "./Nats.ts";
import { managed } from "./Nats.ts";
import { publishUnsafe } from "./transaction.ts";

/** Two answered renewals further apart than this break the observer's steadiness, as does a new connection. */
export const renewalGapMsMax = nodeRenewEveryMs * 2;
/**
 * How long a renewal waits for each of its answers. A request that was under way when the server went down is never answered: waited out
 * for a whole lease, it would let the lease run out although the server was away for a moment only.
 */
const renewalDeadlineMs = nodeRenewEveryMs * 2;

async function withinMs<A>(answer: Promise<A>, ms: number): Promise<A | "late"> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<"late">((resolve) => {
    timer = setTimeout(() => resolve("late"), ms);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}

const decoder = new TextDecoder();

function decodeNode(data: Uint8Array): NodeRecord | null {
  try {
    const value: unknown = JSON.parse(decoder.decode(data));
    return typeof value === "object" && value !== null && "epoch" in value ? (value as NodeRecord) : null;
  } catch {
    // Somebody else's bytes under a node's name: treated as no node; the lease is then taken over by compare-and-set.
    return null;
  }
}

/** True where the process that holds the lease is on this host and gone: its lease need not be waited out. */
function isDeadHere(node: NodeRecord): boolean {
  if (node.host !== hostname()) return false;
  try {
    process.kill(node.pid, 0);
    return false;
  } catch (cause) {
    return (cause as NodeJS.ErrnoException).code === "ESRCH";
  }
}

/** False where a newer process has the node's name: what stands in the node's slots is then in good hands. */
export async function mayUseName(nats: NatsService, node: string, epoch: string): Promise<boolean> {
  const entry = await getUnsafe(nats, nodesBucket, encodeToken(node));
  const holder = entry === null || entry.ended ? null : decodeNode(entry.data);
  return holder === null || holder.epoch === epoch;
}

export interface NodeLease {
  readonly node: string;
  readonly epoch: string;
  /** How long this node's own renewals have been answered without a gap, in ms. */
  readonly steadyMs: () => number;
  /** The rule for believing that another's lease ran out: {@link believeAfterMs} of steadiness. */
  readonly mayBelieveExpiry: () => boolean;
  /** Keeps renewing; fails with `NodeSuperseded` when a newer process has the name. Never succeeds. */
  readonly renew: Effect.Effect<never, NodeSuperseded>;
}

type AcquireError = NodeNameTaken | NatsUnavailable | JetStreamRejected;

/**
 * Takes the node's name. Waits out the lease of a former process of that name (at once when it is seen to be dead on this host),
 * and fails with `NodeNameTaken` when that one renews meanwhile. The scope's end gives the name back.
 */
export const acquireLease = (
  nats: NatsService,
  node: string,
  epoch: string,
  describe: () => NodeRecord,
): Effect.Effect<NodeLease, AcquireError, Scope.Scope> =>
  Effect.gen(function* () {
    const key = encodeToken(node);
    const subject = kvSubject(nodesBucket, key);
    const ttlSeconds = nodeLeaseMs / 1_000;
    const write = (expected: number, deadlineMs = renewalDeadlineMs) =>
      publishUnsafe(
        nats,
        "renew the node's lease",
        { subject, data: encodeJson(describe()), ttlSeconds, expected },
        deadlineMs,
      );
    let revision = yield* takeName(nats, node, epoch, key, (expected) => write(expected, nodeLeaseMs));
    let steadySince = performance.now();
    let lastAnswer = steadySince;
    let connection = nats.link().reconnects;

    const renewOnce = async (): Promise<NodeSuperseded | null> => {
      const answer = await write(revision);
      const now = performance.now();
      if (!("_tag" in answer)) {
        revision = answer.seq;
      } else if (answer._tag === "TransactionConflict") {
        const entry = await withinMs(getUnsafe(nats, nodesBucket, key), renewalDeadlineMs);
        if (entry === "late") return null;
        const other = entry === null || entry.ended ? null : decodeNode(entry.data);
        if (other !== null && other.epoch !== epoch) {
          return new NodeSuperseded({ node, epoch, newer: other.epoch });
        }
        // Our own lease ran out while we were stopped or cut off, or an answer was lost: go on from what stands there.
        revision = entry?.revision ?? 0;
        const again = await write(revision);
        if ("_tag" in again) return null;
        revision = again.seq;
      } else {
        return null;
      }
      // After a new connection everybody begins anew: others may be slower than this node to find the server again.
      const { reconnects } = nats.link();
      if (now - lastAnswer > renewalGapMsMax || reconnects !== connection) steadySince = now;
      connection = reconnects;
      lastAnswer = now;
      return null;
    };

    const steadyMs = (): number => {
      const now = performance.now();
      const broken = now - lastAnswer > renewalGapMsMax || nats.link().reconnects !== connection;
      return broken ? 0 : now - steadySince;
    };

    yield* Effect.addFinalizer(() =>
      // Given back best-effort: a lease that stays runs out by itself.
      Effect.promise(() =>
        publishUnsafe(
          nats,
          "give the node's name back",
          { subject, data: new Uint8Array(), marker: true, expected: revision, ttlSeconds: 60 },
          500,
        ).then(() => undefined),
      ),
    );

    return {
      node,
      epoch,
      steadyMs,
      mayBelieveExpiry: () => steadyMs() >= believeAfterMs,
      renew: Effect.suspend(() => {
        const began = performance.now();
        return Effect.flatMap(
          Effect.promise(() => renewOnce().catch(() => null)),
          (superseded) => {
            if (superseded !== null) return Effect.fail(superseded);
            // What was waited for an answer is not waited again; a connection that refuses at once is not asked in a loop.
            return Effect.sleep(
              Math.max(nodeRenewEveryMs / 5, nodeRenewEveryMs - (performance.now() - began)),
            );
          },
        );
      }).pipe(Effect.forever),
    };
  });

const takeName = (
  nats: NatsService,
  node: string,
  epoch: string,
  key: string,
  write: (expected: number) => ReturnType<typeof publishUnsafe>,
): Effect.Effect<number, AcquireError> =>
  Effect.gen(function* () {
    let seenRevision = -1;
    let waitedMs = 0;
    for (;;) {
      const entry = yield* get(nats, nodesBucket, key);
      const other = entry === null || entry.ended ? null : decodeNode(entry.data);
      // Its own: an earlier try got through, and its answer was lost.
      if (entry === null || other === null || other.epoch === epoch || isDeadHere(other)) {
        const answer = yield* Effect.promise(() => write(entry?.revision ?? 0));
        if (!("_tag" in answer)) return answer.seq;
        if (answer._tag === "NatsUnavailable" || answer._tag === "JetStreamRejected") return yield* answer;
        // Somebody wrote in between: look again.
        yield* Effect.sleep(50);
        continue;
      }
      const renewed = seenRevision >= 0 && entry.revision !== seenRevision;
      // A lease that outlives its TTL twice is being renewed by a server clock we cannot see: do not wait for ever.
      if (renewed || waitedMs > nodeLeaseMs * 5) {
        return yield* new NodeNameTaken({ node, host: other.host, pid: other.pid });
      }
      seenRevision = entry.revision;
      yield* Effect.sleep(100);
      waitedMs += 100;
    }
  });

/** The nodes whose leases stand now. */
export const liveNodes = (
  nats: NatsService,
): Effect.Effect<ReadonlyMap<string, NodeRecord>, NatsUnavailable | JetStreamRejected> =>
  Effect.gen(function* () {
    const keys = yield* subjectsOf(nats, kvStream(nodesBucket), kvSubject(nodesBucket, ">"));
    const live = new Map<string, NodeRecord>();
    for (const subject of keys) {
      const key = subject.slice(kvSubject(nodesBucket, "").length);
      const entry = yield* get(nats, nodesBucket, key);
      const record = entry === null || entry.ended ? null : decodeNode(entry.data);
      const name = decodeKeyPart(key);
      if (record !== null && name !== null) live.set(name, record);
    }
    return live;
  });

/** Subjects of a stream that match, without reading a message. For the few keys of `nodes` and `claim`. */
export const subjectsOf = (
  nats: NatsService,
  stream: string,
  filter: string,
): Effect.Effect<ReadonlyArray<string>, NatsUnavailable | JetStreamRejected> =>
  managed(`list ${filter}`, () => nats.jsm.streams.info(stream, { subjects_filter: filter })).pipe(
    Effect.map((info) => Object.keys(info.state.subjects ?? {})),
  );
