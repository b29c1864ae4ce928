/** `notify`: webhooks of one record each, accepted: on disk before the answer. */
import type { Turn } from "../compare.ts";
import { compare } from "../compare.ts";
import { etagOf, objectKey } from "../arrivals.ts";
import { httpLoad, post } from "../http.ts";
import { rawStreams } from "../rawStreams.ts";
import type { Case, CaseOptions, Result } from "../result.ts";
import type { Program, Stage } from "../stage.ts";
import { bucket, withStage } from "../stage.ts";

const goalConnections = 16;
const manyConnections = 64;
const goal = 14_000;

interface Load {
  readonly node: Program;
  readonly raw: Program;
  readonly connections: number;
  /** Number of the first file of a turn: none is announced twice. */
  readonly next: () => number;
}

/** As Ceph writes it. */
export function notification(key: string, etag: string, from: string = bucket, secret = ""): string {
  return JSON.stringify({
    Records: [
      {
        eventVersion: "2.2",
        eventSource: "ceph:s3",
        awsRegion: "",
        eventTime: "2025-11-21T07:03:14.565Z",
        eventName: "ObjectCreated:Put",
        userIdentity: { principalId: "camera" },
        requestParameters: { sourceIPAddress: "" },
        responseElements: { "x-amz-request-id": etag, "x-amz-id-2": "1d3f-default-default" },
        s3: {
          s3SchemaVersion: "1.0",
          configurationId: "orrery",
          bucket: {
            name: from,
            ownerIdentity: { principalId: "camera" },
            arn: `arn:aws:s3:default::${from}`,
            id: "1d3f.1",
          },
          object: {
            key,
            size: 8_388_608,
            eTag: etag,
            versionId: "",
            sequencer: etag,
            metadata: [],
            tags: [],
          },
        },
        eventId: `1.${etag}`,
        opaqueData: secret,
      },
    ],
  });
}

async function one(stage: Stage, options: CaseOptions, load: Load): Promise<Result> {
  const { node, raw, connections } = load;
  const turn = async ({ ready }: Program): Promise<Turn> => {
    const start = load.next();
    const outcome = await httpLoad({
      url: ready.http ?? "",
      connections,
      ms: options.quick ? 1_000 : 1_200,
      request: (n) => post("/notify", notification(objectKey(start + n), etagOf(start + n))),
    });
    return { value: outcome.perSecond, done: outcome.answered, latencies: outcome.latencies };
  };
  const name = connections === goalConnections ? "notify" : `notify (${connections} connections)`;
  const compared = await compare(
    name,
    options,
    options.quick ? 1 : 5,
    { program: raw, turn: () => turn(raw) },
    { program: node, turn: () => turn(node) },
  );
  const isGoal = connections === goalConnections;
  return {
    name,
    unit: "webhooks/s",
    ...compared,
    goal: isGoal ? `≥ ${goal} webhooks/s` : "",
    goal_met: !isGoal || compared.ours >= goal,
    note:
      `one record a webhook, ${connections} connections, each waiting for its answer; load generator in another process. ` +
      "raw: node:http and one publish a record, nothing grouped, answered after its acknowledgement",
  };
}

export const notify: Case = {
  name: "notify",
  run: (options) =>
    withStage(async (stage) => {
      const plain = await rawStreams(stage.nats, "webhooks");
      const node = await stage.startNode({ name: "node", roles: ["enqueuer"] });
      const raw = await stage.start("rawWebhooks", [stage.natsUrl, plain.subject]);
      let turns = 0;
      const next = (): number => turns++ * 1_000_000;
      const results: Array<Result> = [];
      for (const connections of [goalConnections, manyConnections]) {
        results.push(await one(stage, options, { node, raw, connections, next }));
      }
      return results;
    }),
};
