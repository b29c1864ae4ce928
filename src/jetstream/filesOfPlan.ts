/** Which site is to be sent which other's files, against what stands at the supernode: in words, as every other change. */
import type { ConsumerConfig } from "@nats-io/jetstream";
import * as Effect from "effect/Effect";
import type { JetStreamRejected, NatsUnavailable } from "../protocol/errors.ts";
import { filesOfConsumer, filesOfStream, pairOfConsumer } from "../protocol/filesOf.ts";
import type { Taker } from "./filesOf.ts";
import { isAsWanted } from "./filesOf.ts";
import type { NatsService } from "./Nats.ts";
import { managed } from "./Nats.ts";
import type { Change } from "./topologyDiff.ts";

const streamNotFound = 10059;

export const planFilesOf = (
  nats: NatsService,
  takers: ReadonlyArray<Taker>,
): Effect.Effect<ReadonlyArray<Change>, NatsUnavailable | JetStreamRejected> =>
  managed("list the supernode's consumers", async () => {
    const there = new Map<string, ConsumerConfig>();
    for await (const { name, config } of nats.jsm.consumers.list(filesOfStream)) there.set(name, config);
    return there;
  }).pipe(
    Effect.catchIf(
      (error): error is JetStreamRejected =>
        error._tag === "JetStreamRejected" && error.code === streamNotFound,
      () => Effect.succeed(new Map<string, ConsumerConfig>()),
    ),
    Effect.map((there) => {
      const changes: Array<Change> = [];
      const wanted = new Set<string>();
      for (const taker of takers) {
        for (const of of taker.filesOf) {
          const name = filesOfConsumer(taker.name, of);
          const asset = `consumer ${filesOfStream}/${name}`;
          const have = there.get(name);
          wanted.add(name);
          if (have === undefined)
            changes.push({
              kind: "create",
              asset,
              words: `create ${asset}: ${taker.name} is sent the files of ${of}`,
            });
          else if (!isAsWanted(have, taker, of))
            changes.push({
              kind: "replace",
              asset,
              words: `${asset}: made anew; ${taker.name} is sent all files of ${of} again`,
            });
        }
      }
      for (const name of there.keys()) {
        const pair = pairOfConsumer(name);
        if (pair === null || wanted.has(name)) continue;
        const asset = `consumer ${filesOfStream}/${name}`;
        changes.push({
          kind: "remove",
          asset,
          words: `remove ${asset}: ${pair.site} is sent no files of ${pair.of} any more`,
        });
      }
      return changes;
    }),
  );
