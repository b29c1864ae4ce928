/** Two nodes that take turns at one receiver, and a server that forgets whose turn it was. */
import { describe, expect, it } from "vitest";
import { Receiver } from "../support/receiver.ts";
import { until } from "../support/testSite.ts";
import type { Cluster } from "./cluster.ts";
import { withCluster } from "./cluster.ts";
import { recordIn } from "./sender.ts";

const lane = "raw";
const exposure = "MC_O_20260101_000001";
const fileOf = (detector: string): string => `${exposure}_${detector}.fits`;
const keyOf = (detector: string): string => `LSSTCam/20260101/${exposure}/${fileOf(detector)}`;

const siteText = (url: string): string => `  ${lane}:
    kind: exposure
    buckets: [${lane}]
    pattern: '^(?<instrument>[^/]+)/(?<day>\\d{8})/(?<exposure>[^/]+)/[^/]+_(?<detector>R\\d\\d_S\\d\\d)\\.fits$'
    metadata: key
webhooks:
  summit: { url: "${url}", timeout: 1 min }
`;

async function known(cluster: Cluster, detector: string): Promise<void> {
  await cluster.sender.send([{ key: keyOf(detector), etag: "1", bucket: lane }]);
  await cluster.settled([recordIn(lane, keyOf(detector))], 20_000);
}

describe("a server that is killed while a receiver is told", () => {
  it("lets another node go on, which tells no later file of an exposure before an earlier one", async () => {
    const receiver = await Receiver.start();
    try {
      await withCluster(
        async (cluster) => {
          await cluster.node("a");
          await known(cluster, "R00_S00");
          await until(
            () => receiver.filesOf(exposure).length,
            (count) => count === 1,
          );
          // It is a's turn, and b stands ready: what a is given now comes to another only when its wait has run out.
          await cluster.node("b");
          receiver.behaviour = () => "hold";
          await known(cluster, "R11_S11");
          await until(
            () => receiver.held,
            (held) => held === 1,
          );
          // It is b's turn when the server is back, and the second file is still in a's hands.
          cluster.stop("a");
          await cluster.crashServer();
          receiver.behaviour = () => 200;
          await known(cluster, "R22_S22");
          await until(
            () => new Set(receiver.filesOf(exposure)).size,
            (count) => count === 3,
          );
          expect(receiver.filesOf(exposure)[1]).toBe(fileOf("R11_S11"));
          cluster.cont("a");
        },
        { syncAlways: true, second: { lane, text: () => siteText(receiver.url) } },
      );
    } finally {
      receiver.release();
      await receiver.down();
    }
  });
});
