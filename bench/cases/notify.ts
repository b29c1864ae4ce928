/** `notify`: webhooks of one record each, accepted: on disk before the answer. */
import type { Turn } from "../compare.ts";
import { compare } from "../compare.ts";
import { etagOf, objectKey } from "../arrivals.ts";
import { httpLoad, post } from "../http.ts";
import { rawStreams } from "../rawStreams.ts";
import type { Case } from "../result.ts";
import type { Program } from "../stage.ts";
import { bucket, withStage } from "../stage.ts";

const connections = 16;
const goal = 14_000;

/** As Ceph writes it. */
export function notification(key: string, etag: string): string {
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
            name: bucket,
            ownerIdentity: { principalId: "camera" },
            arn: `arn:aws:s3:default::${bucket}`,
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
        opaqueData: "",
      },
    ],
  });
}

export const notify: Case = {
  name: "notify",
  run: (options) =>
    withStage(async (stage) => {
      const plain = await rawStreams(stage.nats, "webhooks");
      const node = await stage.startNode({ name: "node", roles: ["enqueuer"] });
      const raw = await stage.start("rawWebhooks", [stage.natsUrl, plain.subject]);
      let from = 0;
      const turn = async ({ ready }: Program): Promise<Turn> => {
        const start = from;
        const outcome = await httpLoad({
          url: ready.http ?? "",
          connections,
          ms: options.quick ? 1_000 : 1_500,
          request: (n) => post("/notify", notification(objectKey(start + n), etagOf(start + n))),
        });
        from += 1_000_000;
        return { value: outcome.perSecond, done: outcome.answered, latencies: outcome.latencies };
      };
      const compared = await compare(
        "notify",
        options,
        options.quick ? 1 : 5,
        { program: raw, turn: () => turn(raw) },
        { program: node, turn: () => turn(node) },
      );
      return [
        {
          name: "notify",
          unit: "webhooks/s",
          ...compared,
          goal: `≥ ${goal} webhooks/s`,
          goal_met: compared.ours >= goal,
          note:
            `one record a webhook, ${connections} connections, each waiting for its answer; load generator in another process. ` +
            "raw: node:http and one publish a record, nothing grouped, answered after its acknowledgement",
        },
      ];
    }),
};
