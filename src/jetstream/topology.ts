/** A site's streams, buckets and consumers as data: `plan` says the difference in words, `apply` makes it so. */
import type { ConsumerConfig, StreamConfig } from "@nats-io/jetstream";
import { AckPolicy, DeliverPolicy, DiscardPolicy, RetentionPolicy, StorageType } from "@nats-io/jetstream";
import * as Effect from "effect/Effect";
import {
  ackWaitMs,
  mailKeptMs,
  nodeLeaseMs,
  notifierAckWaitMs,
  notifierInHandMax,
  notifierTurnMs,
  seenKeptMs,
} from "../limits.ts";
import type { JetStreamRejected, NatsUnavailable } from "../protocol/errors.ts";
import {
  arrivalsStream,
  itemsStream,
  kvStream,
  ledgerBucket,
  nodesBucket,
  presenceBucket,
  seenBucket,
} from "../protocol/keys.ts";
import { readySubjects, runsConsumer } from "../protocol/runQueue.ts";
import type { NatsService } from "./Nats.ts";
import { formatMetadata } from "./format.ts";
import { turnsGroup } from "./mailbox.ts";
import { managed } from "./Nats.ts";

const ns = (ms: number): number => ms * 1_000_000;

export interface TopologyNeeds {
  /** Lanes whose arrivals are claimed. */
  readonly lanes: ReadonlyArray<string>;
  /** Queues of runs: a lane's ordinary one has its name. */
  readonly runLanes: ReadonlyArray<string>;
  /** Queues whose runs go one at a time. */
  readonly oneAtATime?: ReadonlyArray<string>;
  /** User actors with a mailbox of their own. */
  readonly items: ReadonlyArray<string>;
  /** User actors that follow the ledger from a durable cursor, with the keys they follow. */
  readonly follows: ReadonlyArray<{ readonly name: string; readonly keys: ReadonlyArray<string> }>;
  /** Receivers of webhooks, each with the lanes whose files it is told of. */
  readonly receivers?: ReadonlyArray<{ readonly name: string; readonly lanes: ReadonlyArray<string> }>;
  /** Lanes whose files become visits. */
  readonly visitLanes?: ReadonlyArray<string>;
  readonly replicas: number;
  readonly duplicateWindowMs: number;
}

export interface Topology {
  readonly streams: ReadonlyArray<Partial<StreamConfig> & { readonly name: string }>;
  readonly consumers: ReadonlyArray<{
    readonly stream: string;
    readonly config: Partial<ConsumerConfig> & { readonly durable_name: string };
  }>;
}

export const arrivalsConsumer = (lane: string): string => `ingest-${lane}`;
/** A lane's second queue: what is announced once more by `orrery replay`. */
export const replaysConsumer = (lane: string): string => `replay-${lane}`;
export const itemsConsumer = (actor: string): string => `item-${actor}`;
export const followsConsumer = (actor: string): string => `follow-${actor}`;
export const receiverConsumer = (webhook: string): string => `notify-${webhook}`;
export const visitsConsumer = "visits";

function bucket(name: string, replicas: number, more: Partial<StreamConfig>) {
  return {
    name: kvStream(name),
    description: `Orrery: bucket ${name}`,
    subjects: [`$KV.${name}.>`],
    retention: RetentionPolicy.Limits,
    storage: StorageType.File,
    discard: DiscardPolicy.New,
    max_msgs_per_subject: 1,
    num_replicas: replicas,
    allow_direct: true,
    allow_rollup_hdrs: true,
    deny_delete: true,
    allow_msg_ttl: true,
    allow_atomic: true,
    max_age: 0,
    ...more,
  };
}

function mail(name: string, subjects: ReadonlyArray<string>, needs: TopologyNeeds) {
  return {
    name,
    description: `Orrery: ${name.toLowerCase()}`,
    subjects: [...subjects],
    retention: RetentionPolicy.Limits,
    storage: StorageType.File,
    discard: DiscardPolicy.Old,
    max_age: ns(mailKeptMs),
    duplicate_window: ns(needs.duplicateWindowMs),
    num_replicas: needs.replicas,
    allow_direct: true,
    allow_atomic: true,
  };
}

/** A claims consumer: short ack_wait, delivered for ever; attempts are counted in the ledger. */
function claims(durable: string, filter: string, inHandMax = 20_000) {
  return {
    durable_name: durable,
    description: `Orrery: mailbox ${durable}`,
    filter_subject: filter,
    ack_policy: AckPolicy.Explicit,
    deliver_policy: DeliverPolicy.All,
    ack_wait: ns(ackWaitMs),
    max_deliver: -1,
    max_ack_pending: inHandMax,
    max_waiting: 512,
  };
}

/** Follows the files of some lanes. The bucket keeps one value a key, so "all" is the latest of each. */
function files(durable: string, lanes: ReadonlyArray<string>, inHandMax: number) {
  return {
    durable_name: durable,
    description: `Orrery: ${durable} follows the ledger`,
    filter_subjects: lanes.map((lane) => `$KV.${ledgerBucket}.file.${lane}.>`),
    ack_policy: AckPolicy.Explicit,
    deliver_policy: DeliverPolicy.All,
    ack_wait: ns(ackWaitMs),
    max_deliver: -1,
    max_ack_pending: inHandMax,
  };
}

export function topologyOf(needs: TopologyNeeds): Topology {
  const { replicas } = needs;
  return {
    streams: [
      mail(arrivalsStream, ["arrive.>", "replay.>"], needs),
      mail(itemsStream, ["items.>"], needs),
      bucket(ledgerBucket, replicas, { metadata: { ...formatMetadata } }),
      bucket(nodesBucket, replicas, { subject_delete_marker_ttl: ns(nodeLeaseMs * 2) }),
      bucket(presenceBucket, replicas, { subject_delete_marker_ttl: ns(60_000) }),
      // Each key is written once, so that nothing can come back when it ends by age.
      bucket(seenBucket, replicas, { max_age: ns(seenKeptMs) }),
    ],
    consumers: [
      ...needs.lanes.map((lane) => ({
        stream: arrivalsStream,
        config: claims(arrivalsConsumer(lane), `arrive.${lane}.>`),
      })),
      ...needs.lanes.map((lane) => ({
        stream: arrivalsStream,
        config: claims(replaysConsumer(lane), `replay.${lane}.>`),
      })),
      ...needs.runLanes.map((queue) => ({
        stream: kvStream(ledgerBucket),
        config: claims(runsConsumer(queue), readySubjects(queue)),
      })),
      // One delivery at a time only saves the others the way: that no two run at once is the lock's.
      ...(needs.oneAtATime ?? []).map((queue) => ({
        stream: kvStream(ledgerBucket),
        config: claims(runsConsumer(queue), readySubjects(queue), 1),
      })),
      ...needs.items.map((actor) => ({
        stream: itemsStream,
        config: claims(itemsConsumer(actor), `items.${actor}.>`),
      })),
      ...needs.follows.map((actor) => ({
        stream: kvStream(ledgerBucket),
        config: {
          durable_name: followsConsumer(actor.name),
          description: `Orrery: ${actor.name} follows the ledger`,
          filter_subjects: actor.keys.map((keys) => `$KV.${ledgerBucket}.${keys}`),
          ack_policy: AckPolicy.Explicit,
          deliver_policy: DeliverPolicy.LastPerSubject,
          ack_wait: ns(30_000),
          max_deliver: -1,
          max_ack_pending: 5_000,
        },
      })),
      ...(needs.receivers ?? []).map((receiver) => ({
        stream: kvStream(ledgerBucket),
        config: {
          ...files(receiverConsumer(receiver.name), receiver.lanes, notifierInHandMax),
          ack_wait: ns(notifierAckWaitMs),
          // One node at a time, or what one of them tries again would be overtaken by what another gets.
          priority_policy: "pinned_client" as const,
          priority_groups: [turnsGroup],
          priority_timeout: ns(notifierTurnMs),
        },
      })),
      ...(needs.visitLanes === undefined || needs.visitLanes.length === 0
        ? []
        : [{ stream: kvStream(ledgerBucket), config: files(visitsConsumer, needs.visitLanes, 10_000) }]),
    ],
  };
}

export interface Change {
  readonly kind: "create" | "update" | "refuse";
  readonly asset: string;
  /** In words: what is, what should be. */
  readonly words: string;
}

/** Settings whose change the server refuses, or which would lose what is stored. */
const fixedSettings = new Set([
  "retention",
  "storage",
  "deliver_policy",
  "ack_policy",
  "max_msgs_per_subject",
]);

function differences(
  want: Readonly<Record<string, unknown>>,
  have: Readonly<Record<string, unknown>>,
): ReadonlyArray<{ readonly field: string; readonly from: unknown; readonly to: unknown }> {
  const out: Array<{ field: string; from: unknown; to: unknown }> = [];
  for (const [field, to] of Object.entries(want)) {
    const from = field === "metadata" ? ofOurs(have[field], to) : have[field];
    const same =
      JSON.stringify(from) === JSON.stringify(to) ||
      // The server leaves out what is off, zero or empty.
      (from === undefined && (to === false || to === 0 || to === ""));
    if (!same) out.push({ field, from, to });
  }
  return out;
}

/** The server writes into the metadata as well: only what is wanted there is compared. */
function ofOurs(have: unknown, want: unknown): unknown {
  if (!isRecord(have) || !isRecord(want)) return have;
  return Object.fromEntries(Object.keys(want).flatMap((key) => (key in have ? [[key, have[key]]] : [])));
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null;

const say = (value: unknown): string => (value === undefined ? "unset" : JSON.stringify(value));

function compare(
  asset: string,
  want: Readonly<Record<string, unknown>>,
  have: Readonly<Record<string, unknown>> | null,
): Change | null {
  if (have === null) return { kind: "create", asset, words: `create ${asset}` };
  const found = differences(want, have);
  if (found.length === 0) return null;
  const words = found.map((d) => `${d.field}: ${say(d.from)} → ${say(d.to)}`).join("; ");
  const fixed = found.filter((d) => fixedSettings.has(d.field));
  return fixed.length > 0
    ? {
        kind: "refuse",
        asset,
        words: `${asset}: ${words} (${fixed.map((d) => d.field).join(", ")} cannot be changed without losing what is stored)`,
      }
    : { kind: "update", asset, words: `${asset}: ${words}` };
}

type TopologyError = NatsUnavailable | JetStreamRejected;

const orNull = <A>(effect: Effect.Effect<A, TopologyError>): Effect.Effect<A | null, TopologyError> =>
  Effect.catchIf(
    effect,
    (error): error is JetStreamRejected =>
      error._tag === "JetStreamRejected" && (error.code === 10059 || error.code === 10014),
    () => Effect.succeed(null),
  );

/** What differs between the server and the topology; empty when there is nothing to do. */
export const plan = (
  nats: NatsService,
  topology: Topology,
): Effect.Effect<ReadonlyArray<Change>, TopologyError> =>
  Effect.gen(function* () {
    const changes: Array<Change> = [];
    for (const stream of topology.streams) {
      const info = yield* orNull(
        managed(`look at stream ${stream.name}`, () => nats.jsm.streams.info(stream.name)),
      );
      const change = compare(`stream ${stream.name}`, stream, info === null ? null : { ...info.config });
      if (change !== null) changes.push(change);
    }
    for (const { stream, config } of topology.consumers) {
      const name = config.durable_name;
      const info = yield* orNull(
        managed(`look at consumer ${name}`, () => nats.jsm.consumers.info(stream, name)),
      );
      const change = compare(`consumer ${stream}/${name}`, config, info === null ? null : { ...info.config });
      if (change !== null) changes.push(change);
    }
    return changes;
  });

/**
 * Makes the server agree with the topology. Idempotent; several nodes may apply at once.
 * Changes that would lose data are refused and returned as such, with everything else applied.
 */
export const apply = (
  nats: NatsService,
  topology: Topology,
): Effect.Effect<ReadonlyArray<Change>, TopologyError> =>
  Effect.gen(function* () {
    const changes = yield* plan(nats, topology);
    const byAsset = new Map(changes.map((change) => [change.asset, change]));
    for (const stream of topology.streams) {
      const change = byAsset.get(`stream ${stream.name}`);
      if (change === undefined || change.kind === "refuse") continue;
      yield* managed(change.words, () =>
        change.kind === "create"
          ? nats.jsm.streams.add(stream)
          : nats.jsm.streams.update(stream.name, stream),
      );
    }
    for (const { stream, config } of topology.consumers) {
      const change = byAsset.get(`consumer ${stream}/${config.durable_name}`);
      if (change === undefined || change.kind === "refuse") continue;
      yield* managed(change.words, () =>
        change.kind === "create"
          ? nats.jsm.consumers.add(stream, config)
          : nats.jsm.consumers.update(stream, config.durable_name, config),
      );
    }
    return changes;
  });
