/** nats-server that dies, comes back and pauses under a load of webhooks. */
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import type { Cluster } from "./cluster.ts";
import { withCluster } from "./cluster.ts";

const nothing: ReadonlyArray<string> = [];
const times = 5;
/** Longer than a lease and the time after which others believe that it ran out. */
const betweenMs = 3_000;

/** Webhooks for as long as `faults` goes on; some of the objects have to be tried again, some are bad. */
async function underLoad(cluster: Cluster, faults: () => Promise<void>): Promise<void> {
  for (const name of ["a", "b", "c"]) await cluster.node(name, { delayMs: 700 });
  const over = new AbortController();
  const kinds = ["plain", "plain", "flaky", "plain", "bad"];
  const load = async (): Promise<void> => {
    for (let i = 0; !over.signal.aborted; i++) {
      const keys = Array.from({ length: 2 }, (_, k) => `20260101/${kinds[i % kinds.length]}-${i}-${k}.fits`);
      await Promise.all([cluster.sender.send(keys.map((key) => ({ key, etag: "1" }))), sleep(20)]);
    }
  };
  const senders = [load()];
  await faults().finally(() => over.abort());
  await Promise.all(senders);
}

describe("nats-server under a load of webhooks", () => {
  it(`is killed ${times} times: nothing is lost or settled twice, no live node is taken for dead`, () =>
    withCluster(
      async (cluster) => {
        await underLoad(cluster, async () => {
          for (let i = 0; i < times; i++) {
            await sleep(betweenMs);
            await cluster.crashServer();
          }
          await sleep(betweenMs);
        });
        await cluster.rest(60_000);
        expect(await cluster.check()).toEqual(nothing);
      },
      { syncAlways: true },
    ));

  it(`is paused for five seconds, ${times} times: nothing is lost or settled twice, no live node is taken for dead`, () =>
    withCluster(
      async (cluster) => {
        await underLoad(cluster, async () => {
          for (let i = 0; i < times; i++) {
            await sleep(betweenMs);
            cluster.server.pause();
            await sleep(5_000);
            cluster.server.resume();
          }
          await sleep(betweenMs);
        });
        await cluster.rest(60_000);
        expect(await cluster.check()).toEqual(nothing);
      },
      { syncAlways: true },
    ));
});
