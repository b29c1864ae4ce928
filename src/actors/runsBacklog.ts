/**
 * Tells by the node's metrics how many runs are ready and in hand: what an autoscaler goes by.
 *
 * Ticks. Asks the consumers of each lane's queues, keeps and emits nothing; a question without an answer leaves the last count.
 */
import * as Effect from "effect/Effect";
import { mailboxState } from "../jetstream/survey.ts";
import { runsBacklogEveryMs } from "../limits.ts";
import { kvStream, ledgerBucket } from "../protocol/keys.ts";
import { runsConsumer } from "../protocol/runQueue.ts";
import type { NodeContextService } from "./NodeContext.ts";
import type { RunnerJobs } from "./runJob.ts";
import { queuesOfLane } from "./runJob.ts";
import { runLanes } from "./runSource.ts";

const questionsAtOnce = 4;

export const runsBacklog = (node: NodeContextService, site: RunnerJobs): Effect.Effect<never> =>
  Effect.gen(function* () {
    for (;;) {
      for (const lane of runLanes(site).keys()) {
        const states = yield* Effect.option(
          Effect.forEach(
            queuesOfLane(site, lane),
            (queue) => mailboxState(node.nats, kvStream(ledgerBucket), runsConsumer(queue.name)),
            { concurrency: questionsAtOnce },
          ),
        );
        if (states._tag === "None") continue;
        const counts = states.value.map((state) => (state === null ? 0 : state.queued + state.inHand));
        node.counters.runsBacklog(
          lane,
          counts.reduce((sum, count) => sum + count, 0),
        );
      }
      yield* Effect.sleep(runsBacklogEveryMs);
    }
  });
