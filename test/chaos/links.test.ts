/** A node whose link to the server fails in a moment that matters. */
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { nodeLeaseMs, requestDeadlineMs } from "../../src/limits.ts";
import { withCluster } from "./cluster.ts";

describe("a link that fails while a worker looks why its settle was refused", () => {
  it("is waited for: the worker goes on, and what it has in hand has not crashed for it", () =>
    withCluster(
      async (cluster) => {
        await cluster.node("a", { delayMs: 10_000 });
        const sending = cluster.sender.load(50, { each: 5, pauseMs: 2 });
        const { items } = await cluster.holds("a");
        await sending;
        const begun = (): boolean => cluster.ingests().some(({ what }) => what === "begin");
        await cluster.history.until("a is at work", 5_000, begun);
        // Its claim is taken from it while it is stopped.
        cluster.stop("a");
        await cluster.node("b", { delayMs: 20 });
        await cluster.settled(items, nodeLeaseMs + 4_000);
        const link = cluster.links.get("a");
        const asked = new Promise<void>((resolve) => {
          const steps = [
            { way: "up", text: `"how":"settled"` },
            { way: "up", text: "STREAM.MSG.GET.KV_ledger" },
          ] as const;
          link?.aim({ steps, through: false }, resolve);
        });
        cluster.cont("a");
        await asked;
        // Longer than it waits for one answer.
        await sleep(requestDeadlineMs + 500);
        cluster.sever("a", "cut");
        cluster.mend("a");
        await cluster.logged("a", "a settle was refused; nothing of it is acknowledged", 20_000);
        await cluster.rest(30_000);
        expect(cluster.log("a").filter(({ message }) => message === "actor failed")).toEqual([]);
        expect(await cluster.check()).toEqual([]);
      },
      { links: true },
    ));
});
