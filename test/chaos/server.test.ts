/** nats-server that dies, comes back and pauses under a load of webhooks. */
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { getUnsafe } from "../../src/jetstream/ledger.ts";
import { believeAfterMs, nodeLeaseMs } from "../../src/limits.ts";
import { encodeToken, nodesBucket } from "../../src/protocol/keys.ts";
import { until } from "../support/testSite.ts";
import type { Cluster } from "./cluster.ts";
import { withCluster } from "./cluster.ts";

const nothing: ReadonlyArray<string> = [];
const withinMs = 600_000;
const times = 5;
/** Down for a moment, and for longer than every lease: then all of them have run out when it is back. */
const downMs = [0, 3_000, 0, 3_000, 3_000];
/** Longer than a lease and the time after which others believe that it ran out. */
const betweenMs = 3_000;
/** In which a node that has just started looks for dead ones; long before it may believe what it sees. */
const firstSweepMs = 300;

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

describe("nats-server under a load of webhooks", { timeout: withinMs }, () => {
  it(`is killed ${downMs.length} times: nothing is lost or settled twice, no live node is taken for dead`, () =>
    withCluster(
      async (cluster) => {
        await underLoad(cluster, async () => {
          for (const ms of downMs) {
            await sleep(betweenMs);
            await cluster.crashServer(ms);
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

  it("comes back: a node that is slower than another to find it again is not taken for dead", () =>
    withCluster(async (cluster) => {
      const a = await cluster.node("a", { delayMs: 600_000 });
      const sending = cluster.sender.load(50, { each: 5, pauseMs: 2 });
      const { claim } = await cluster.holds("a");
      await sending;
      // Not marked as stopped: nobody but the server was away.
      a.stop();
      await cluster.crashServer(nodeLeaseMs + 500);
      // It knows nothing but that the other's lease is gone.
      const leased = until(
        () => getUnsafe(cluster.nats, nodesBucket, encodeToken("b")),
        (entry) => entry !== null && !entry.ended,
      ).then(() => performance.now());
      const b = await cluster.node("b");
      await sleep(firstSweepMs);
      // However long the other needs now: before it is heard of again, this one believes nothing.
      b.stop();
      // Where its start took so long that it may believe what it saw, it is right to act, and nothing can be judged here.
      const isTooLate = performance.now() - (await leased) > believeAfterMs / 2;
      a.cont();
      await until(
        () => getUnsafe(cluster.nats, nodesBucket, encodeToken("a")),
        (entry) => entry !== null && !entry.ended,
      );
      b.cont();
      if (isTooLate) {
        console.log("the machine had no time to start a node: nothing was judged");
        return;
      }
      await sleep(betweenMs);
      expect(cluster.held("a")?.claim).toBe(claim);
      expect(await a.term()).toBe(0);
      await cluster.rest(20_000);
      expect(await cluster.check()).toEqual(nothing);
    }));
});
