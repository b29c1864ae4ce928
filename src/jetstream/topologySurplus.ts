/**
 * What stands on the server, says of itself that Orrery made it, and is no longer wanted: consumers of a lane that is gone, buckets of
 * a former storage. Whatever does not say so is somebody else's, and is neither told of nor touched.
 */
import type { ConsumerInfo, StreamInfo } from "@nats-io/jetstream";
import * as Effect from "effect/Effect";
import type { JetStreamRejected, NatsUnavailable } from "../protocol/errors.ts";
import { kvStream, nodesBucket } from "../protocol/keys.ts";
import { liveNodes } from "./lease.ts";
import { filesOfStream, pairOfConsumer } from "../protocol/filesOf.ts";
import type { NatsService } from "./Nats.ts";
import { managed } from "./Nats.ts";
import type { Topology } from "./topology.ts";
import type { Change, MayLose } from "./topologyDiff.ts";
import { lossy } from "./topologyDiff.ts";

/** Every stream and durable consumer of ours begins its description so. */
const mark = "Orrery:";

type SurplusError = NatsUnavailable | JetStreamRejected;

const isOurs = (description: string | undefined): boolean => description?.startsWith(mark) === true;

const streamsOf = (nats: NatsService): Effect.Effect<ReadonlyArray<StreamInfo>, SurplusError> =>
  managed("list the streams", async () => {
    const all: Array<StreamInfo> = [];
    for await (const info of nats.jsm.streams.list()) all.push(info);
    return all;
  });

const consumersOf = (
  nats: NatsService,
  stream: string,
): Effect.Effect<ReadonlyArray<ConsumerInfo>, SurplusError> =>
  managed(`list the consumers of ${stream}`, async () => {
    const all: Array<ConsumerInfo> = [];
    for await (const info of nats.jsm.consumers.list(stream)) all.push(info);
    return all;
  });

/** Streams that are Orrery's, wanted or not. */
export const ourStreams = (
  nats: NatsService,
  topology: Topology,
): Effect.Effect<ReadonlyArray<StreamInfo>, SurplusError> => {
  const wanted = new Set(topology.streams.map(({ name }) => name));
  return Effect.map(streamsOf(nats), (all) =>
    all.filter(({ config }) => wanted.has(config.name) || isOurs(config.description)),
  );
};

const count = (n: number, what: string): string => `${n.toLocaleString("en-US")} ${what}`;

/** Mailboxes and cursors of actors of one's own: a program may give them to its node, and the site file says nothing of them. */
const ofOwnActors = /^(?:item|follow)-/;

/** Names of the actors that live nodes run: `ingest-raw-0`, `notify-prompt`. */
const actorsNow = (
  nats: NatsService,
  streams: ReadonlyArray<StreamInfo>,
): Effect.Effect<ReadonlyArray<string>, SurplusError> =>
  streams.some(({ config }) => config.name === kvStream(nodesBucket))
    ? Effect.map(liveNodes(nats), (nodes) =>
        [...nodes.values()].flatMap(({ actors }) => actors.map((actor) => actor.name)),
      )
    : Effect.succeed([]);

/** Whether an actor's name says that it takes from the consumer; one that has nothing to do asks for nothing for a while. */
function isTaken(
  durable: string,
  { num_waiting: waiting }: ConsumerInfo,
  actors: ReadonlyArray<string>,
): boolean {
  const actor = durable.replace(/^replay-/, "ingest-");
  return waiting > 0 || actors.some((name) => name === actor || name.replace(/-\d+$/, "") === actor);
}

function consumerSurplus(
  stream: string,
  info: ConsumerInfo,
  actors: ReadonlyArray<string>,
  mayLose: MayLose,
): Change {
  const name = `${stream}/${info.name}`;
  const asset = `consumer ${name}`;
  const said = `remove ${asset}, of which nothing is said any more`;
  const open = info.num_pending + info.num_ack_pending;
  const loses = [
    ...(open > 0 ? [`its queue, ${count(open, open === 1 ? "message" : "messages")}`] : []),
    ...(isTaken(info.name, info, actors) ? ["what a node takes from it now"] : []),
  ];
  if (loses.length === 0) return { kind: "remove", asset, words: said };
  return lossy("remove", name, asset, said, loses.join(", "), mayLose);
}

function streamSurplus({ config, state }: StreamInfo, mayLose: MayLose): Change {
  const asset = `stream ${config.name}`;
  const said = `remove ${asset}, of which nothing is said any more`;
  if (state.messages === 0) return { kind: "remove", asset, words: said };
  const stored = `all that is stored, ${count(state.messages, state.messages === 1 ? "message" : "messages")}`;
  return lossy("remove", config.name, asset, said, stored, mayLose);
}

/** What would be removed, or is not removed because of what would be lost. Consumers first. */
export const planSurplus = (
  nats: NatsService,
  topology: Topology,
  mayLose: MayLose,
): Effect.Effect<ReadonlyArray<Change>, SurplusError> =>
  Effect.gen(function* () {
    const wanted = new Map(topology.streams.map(({ name }) => [name, new Set<string>()]));
    for (const { stream, config } of topology.consumers) wanted.get(stream)?.add(config.durable_name);
    const consumers: Array<Change> = [];
    const streams: Array<Change> = [];
    const ours = yield* ourStreams(nats, topology);
    const actors = yield* actorsNow(nats, ours);
    for (const info of ours) {
      const { name } = info.config;
      const kept = wanted.get(name);
      if (kept === undefined) {
        streams.push(streamSurplus(info, mayLose));
        continue;
      }
      for (const consumer of yield* consumersOf(nats, name)) {
        const { durable_name: durable, description } = consumer.config;
        if (durable === undefined || !isOurs(description) || kept.has(durable)) continue;
        // Who is sent whose files is another plan's.
        if (name === filesOfStream && pairOfConsumer(durable) !== null) continue;
        if (ofOwnActors.test(durable)) continue;
        consumers.push(consumerSurplus(name, consumer, actors, mayLose));
      }
    }
    return [...consumers, ...streams];
  });

/** Makes a `remove` of {@link planSurplus} so. */
export const removeSurplus = (nats: NatsService, change: Change): Effect.Effect<boolean, SurplusError> => {
  const [sort = "", name = ""] = change.asset.split(" ");
  const [stream = "", consumer = ""] = name.split("/");
  return managed(`remove ${change.asset}`, () =>
    sort === "stream" ? nats.jsm.streams.delete(stream) : nats.jsm.consumers.delete(stream, consumer),
  );
};
