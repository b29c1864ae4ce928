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
import { bucketSettings } from "./bucket.ts";
import type { FilesOfNeeds } from "./filesOf.ts";
import { filesOfStreamOf } from "./filesOf.ts";
import { begun } from "./filesOfBegin.ts";
import type { NatsService } from "./Nats.ts";
import { formatMetadata } from "./format.ts";
import { turnsGroup } from "./mailbox.ts";
import { managed } from "./Nats.ts";
import { orNull } from "./survey.ts";
import type { Change, MayLose } from "./topologyDiff.ts";
import { consumerChange, nothingMayBeLost, streamChange, unlimited } from "./topologyDiff.ts";
import { planSurplus, removeSurplus } from "./topologySurplus.ts";

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
  /** Other sites whose files are held here, too. */
  readonly filesOf?: FilesOfNeeds;
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
    ...bucketSettings(name, `bucket ${name}`, replicas),
    subjects: [`$KV.${name}.>`],
    allow_atomic: true,
    // Nothing of ours rolls up. A message that rolls up all would purge the supernode's bucket as well, of all sites: a server takes that
    // from a source whatever its own stream allows, so it has to be refused where it is written. Where keys expire with a marker the
    // server wants it allowed.
    allow_rollup_hdrs: more.subject_delete_marker_ttl !== undefined,
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

/** Who is alive, and what it runs. */
export const nodesStream = (replicas: number) =>
  bucket(nodesBucket, replicas, { subject_delete_marker_ttl: ns(nodeLeaseMs * 2) });

export function topologyOf(needs: TopologyNeeds): Topology {
  const { replicas } = needs;
  return {
    streams: [
      mail(arrivalsStream, ["arrive.>", "replay.>"], needs),
      mail(itemsStream, ["items.>"], needs),
      bucket(ledgerBucket, replicas, { metadata: { ...formatMetadata } }),
      nodesStream(replicas),
      bucket(presenceBucket, replicas, { subject_delete_marker_ttl: ns(60_000) }),
      // Each key is written once, so that nothing can come back when it ends by age.
      bucket(seenBucket, replicas, { max_age: ns(seenKeptMs) }),
      ...(needs.filesOf === undefined ? [] : [filesOfStreamOf(needs.filesOf, replicas)]),
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

type TopologyError = NatsUnavailable | JetStreamRejected;

export interface PlanOptions {
  /** Assets that a person named, of which something may be lost. */
  readonly mayLose?: MayLose;
  /**
   * A person asks: also what is there, is Orrery's, and is not wanted any more, and what has to be made anew. Never a node's business:
   * it may be of another version, or site file.
   */
  readonly surplus?: boolean;
}

/** What differs between the server and the topology; empty when there is nothing to do. */
export const plan = (
  nats: NatsService,
  topology: Topology,
  { mayLose = nothingMayBeLost, surplus = false }: PlanOptions = {},
): Effect.Effect<ReadonlyArray<Change>, TopologyError> =>
  Effect.gen(function* () {
    const changes: Array<Change> = [];
    for (const stream of topology.streams) {
      const info = yield* orNull(
        managed(`look at stream ${stream.name}`, () => nats.jsm.streams.info(stream.name)),
      );
      const messages = info?.state.messages ?? 0;
      const change = streamChange(
        stream.name,
        { ...stream },
        info === null ? null : { ...info.config },
        {
          messages,
          oldestAt: messages === 0 || info === null ? null : Date.parse(info.state.first_ts),
          now: nats.now(),
        },
        mayLose,
      );
      if (change !== null) changes.push(change);
    }
    for (const { stream, config } of topology.consumers) {
      const name = config.durable_name;
      const info = yield* orNull(
        managed(`look at consumer ${name}`, () => nats.jsm.consumers.info(stream, name)),
      );
      const change = consumerChange(
        `${stream}/${name}`,
        { ...config },
        info === null ? null : { ...info.config },
        {
          open: (info?.num_pending ?? 0) + (info?.num_ack_pending ?? 0),
          delivered: info?.delivered.consumer_seq ?? 0,
        },
        mayLose,
      );
      if (change !== null) changes.push(change);
    }
    if (surplus) return [...changes, ...(yield* planSurplus(nats, topology, mayLose))];
    // What was empty when it was looked at may hold something when it is ended: that is for a person to do.
    return changes.map((change) => (change.kind === "replace" ? { ...change, kind: "refuse" } : change));
  });

/** Words in the metadata that are none of ours, a newer version's say, stay as they are. */
async function updateStream(nats: NatsService, stream: Topology["streams"][number]): Promise<unknown> {
  const { config } = await nats.jsm.streams.info(stream.name);
  const metadata =
    stream.metadata === undefined ? {} : { metadata: { ...config.metadata, ...stream.metadata } };
  return nats.jsm.streams.update(stream.name, { ...unlimited, ...stream, ...metadata });
}

/**
 * Makes the server agree with the topology. Idempotent; several nodes may apply at once.
 * Changes that would lose data are refused and returned as such, with everything else applied.
 */
export const apply = (
  nats: NatsService,
  topology: Topology,
  options: PlanOptions = {},
): Effect.Effect<ReadonlyArray<Change>, TopologyError> =>
  Effect.gen(function* () {
    const changes = yield* plan(nats, topology, options);
    const byAsset = new Map(changes.map((change) => [change.asset, change]));
    const replaced = new Set<string>();
    const left: Array<Change> = [];
    for (const wanted of topology.streams) {
      const change = byAsset.get(`stream ${wanted.name}`);
      if (change === undefined || change.kind === "refuse") continue;
      const { stream, left: others } = yield* begun(nats, wanted);
      left.push(...others);
      if (change.kind === "replace") {
        // Its consumers go with it, and are made anew below.
        replaced.add(stream.name);
        yield* managed(`end ${change.asset}`, () => nats.jsm.streams.delete(stream.name));
      }
      yield* managed(change.words, () =>
        change.kind === "update" ? updateStream(nats, stream) : nats.jsm.streams.add(stream),
      );
    }
    for (const { stream, config } of topology.consumers) {
      const change = byAsset.get(`consumer ${stream}/${config.durable_name}`);
      if (!replaced.has(stream)) {
        if (change === undefined || change.kind === "refuse") continue;
        if (change.kind === "replace") {
          yield* managed(`end ${change.asset}`, () => nats.jsm.consumers.delete(stream, config.durable_name));
        }
      }
      yield* managed(change?.words ?? `create consumer ${config.durable_name}`, () =>
        change?.kind === "update" && !replaced.has(stream)
          ? nats.jsm.consumers.update(stream, config.durable_name, config)
          : nats.jsm.consumers.add(stream, config),
      );
    }
    for (const change of changes) if (change.kind === "remove") yield* removeSurplus(nats, change);
    return [...changes, ...left];
  });
