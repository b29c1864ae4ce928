/**
 * Files of other sites, from the supernode's bucket into a bucket of the site's own: the consumers there, and the stream here.
 *
 * The site's stream is made from consumers that are there already, and not from such as its server makes for itself (which is how the
 * supernode takes the ledgers): whoever may make a consumer chooses what it gets and where it is delivered.
 */
import type { ConsumerConfig } from "@nats-io/jetstream";
import { DeliverPolicy, ReplayPolicy } from "@nats-io/jetstream";
import * as Effect from "effect/Effect";
import { filesOfInHandMax } from "../limits.ts";
import type { JetStreamRejected, NatsUnavailable } from "../protocol/errors.ts";
import { allSubjects as siteKeys, sitesBucket } from "../protocol/sites.ts";
import {
  filesOfConsumer,
  filesOfDelivery,
  filesOfStream,
  filesOfSubjects,
  pairOfConsumer,
} from "../protocol/filesOf.ts";
import { bucketSettings } from "./bucket.ts";
import type { NatsService } from "./Nats.ts";
import { managed } from "./Nats.ts";

/** A site that takes other sites' files. */
export interface Taker {
  readonly name: string;
  /** Its present life: another one has nothing yet of what the former was sent. */
  readonly epoch: string;
  readonly filesOf: ReadonlyArray<string>;
}

const epochField = "orrery.epoch";
const second = 1_000_000_000;

/** As the server wants it of a consumer that a stream is made from. */
const consumerOf = (taker: Taker, of: string) =>
  ({
    durable_name: filesOfConsumer(taker.name, of),
    description: `Orrery: files of ${of} for ${taker.name}`,
    deliver_subject: filesOfDelivery(taker.name, of),
    filter_subjects: [...filesOfSubjects(of)],
    deliver_policy: DeliverPolicy.All,
    replay_policy: ReplayPolicy.Instant,
    ack_policy: "flow_control",
    flow_control: true,
    idle_heartbeat: second,
    max_ack_pending: filesOfInHandMax,
    max_deliver: -1,
    metadata: { [epochField]: taker.epoch },
  }) as unknown as Partial<ConsumerConfig>;

export const isAsWanted = (have: ConsumerConfig, { epoch }: Taker, of: string): boolean =>
  have.metadata?.[epochField] === epoch &&
  have.filter_subjects?.join(" ") === filesOfSubjects(of).join(" ") &&
  have.max_ack_pending === filesOfInHandMax;

/**
 * Makes the supernode's consumers what is wanted. One that was made for a former life of its site is made anew: what that had been
 * sent is gone. @returns in words what was done
 */
export const applyFilesOf = (
  nats: NatsService,
  takers: ReadonlyArray<Taker>,
): Effect.Effect<ReadonlyArray<string>, NatsUnavailable | JetStreamRejected> =>
  Effect.gen(function* () {
    const { consumers } = nats.jsm;
    const wanted = new Map(
      takers.flatMap((taker) =>
        taker.filesOf.map((of) => [filesOfConsumer(taker.name, of), { taker, of }] as const),
      ),
    );
    const there = yield* managed("list the supernode's consumers", async () => {
      const found: Array<ConsumerConfig> = [];
      for await (const { config } of consumers.list(filesOfStream)) found.push(config);
      return found;
    });
    const words: Array<string> = [];
    for (const have of there) {
      const name = have.durable_name ?? "";
      const pair = pairOfConsumer(name);
      if (pair === null) continue;
      const want = wanted.get(name);
      if (want !== undefined && isAsWanted(have, want.taker, want.of)) {
        wanted.delete(name);
        continue;
      }
      yield* managed(`remove consumer ${name}`, () => consumers.delete(filesOfStream, name));
      if (want === undefined) words.push(`${pair.site} is sent no files of ${pair.of} any more`);
    }
    for (const [name, { taker, of }] of wanted) {
      yield* managed(`make consumer ${name}`, () => consumers.add(filesOfStream, consumerOf(taker, of)));
      words.push(`${taker.name} is sent the files of ${of}`);
    }
    return words;
  });

export interface FilesOfNeeds {
  /** The site itself. */
  readonly site: string;
  readonly supernode: string;
  readonly sites: ReadonlyArray<string>;
}

/**
 * The site's part of the supernode's bucket: no subjects of its own, what is in it was sent. It goes on being there while the link is
 * cut, so that a node that starts then knows as much as the others.
 */
export const filesOfStreamOf = ({ site, supernode, sites }: FilesOfNeeds, replicas: number) => ({
  ...bucketSettings(sitesBucket, "files of other sites", replicas),
  // In the order in which the server tells it.
  sources: sites.toSorted().map((of) => ({
    name: filesOfStream,
    // As they are: by these the server tells which source is which.
    subject_transforms: [{ src: siteKeys(of), dest: siteKeys(of) }],
    external: { api: `$JS.${supernode}.API`, deliver: "" },
    consumer: { name: filesOfConsumer(site, of), deliver_subject: filesOfDelivery(site, of) },
  })),
});
