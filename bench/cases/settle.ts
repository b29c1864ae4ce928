/** `settle`: arrivals to ledger records, one worker, the native driver, identity from the key. */
import { arrivalsConsumer } from "../../src/jetstream/topology.ts";
import { arrivalsStream, arrivalSubject } from "../../src/protocol/keys.ts";
import { arrival, day, store } from "../arrivals.ts";
import type { Turn } from "../compare.ts";
import { compare } from "../compare.ts";
import { drain, pause } from "../drain.ts";
import { rawStreams } from "../rawStreams.ts";
import type { Case } from "../result.ts";
import { lane, withStage } from "../stage.ts";

const batchMax = 300;

export const settle: Case = {
  name: "settle",
  run: (options) =>
    withStage(async (stage) => {
      const { nats } = stage;
      const items = batchMax * (options.quick ? 30 : 60);
      const plain = await rawStreams(nats, "files");
      const node = await stage.startNode({
        name: "node",
        roles: ["ingester"],
        lane: { batchMax, storage: null },
      });
      const raw = await stage.start("rawWorker", [
        stage.natsUrl,
        plain.stream,
        plain.consumer,
        plain.bucket,
        String(batchMax),
        "files",
      ]);
      let stored = 0;
      const turn = async (stream: string, consumer: string, subject: string): Promise<Turn> => {
        await pause(nats, stream, consumer);
        await store(
          nats,
          Array.from({ length: items }, () => arrival(stored++, subject)),
        );
        return { value: await drain(nats, stream, consumer), done: items };
      };
      const compared = await compare(
        "settle",
        options,
        options.quick ? 1 : 5,
        { program: raw, turn: () => turn(plain.stream, plain.consumer, plain.subject) },
        {
          program: node,
          turn: () => turn(arrivalsStream, arrivalsConsumer(lane), arrivalSubject(lane, "LSSTCam", day)),
        },
      );
      return [
        {
          name: "settle",
          unit: "items/s",
          ...compared,
          goal: "≥ 75 % of raw",
          goal_met: (compared.ratio ?? 0) >= 0.75,
          note:
            `${items} arrivals a round, in batches of ${batchMax}, 189 files an exposure. ` +
            "raw: take → slot → one atomic batch of the same records, exposures and slot → acks, with the client's own calls",
        },
      ];
    }),
};
