/** Node processes that die, stop, wake and drain with a batch in hand. */
import { describe, expect, it } from "vitest";
import { nodeLeaseMs } from "../../src/limits.ts";
import { parkedKey, placeOfRecordKey } from "../../src/protocol/keys.ts";
import { crashedReason } from "../../src/protocol/lifecycle.ts";
import type { ClaimSlot } from "../../src/protocol/records.ts";
import { promptly } from "../support/promptly.ts";
import type { Cluster } from "./cluster.ts";
import { withCluster } from "./cluster.ts";
import { recordOf } from "./sender.ts";

const nothing: ReadonlyArray<string> = [];
/** Longer than any test: whoever is held up so does not end its batch. */
const forEver = 600_000;
/** Longer than it takes, also on a slow machine, to see that a node has something in hand and to stop it. */
const inHandMs = 12_000;

/** Node a has a batch in hand that it will not end; node b works. */
async function aHolds(cluster: Cluster, delayMs = forEver, then?: "stops"): Promise<ReadonlyArray<string>> {
  await cluster.node("a", { delayMs });
  const sending = cluster.sender.load(200, { each: 5, pauseMs: 2 });
  const { items } = await cluster.holds("a");
  if (then === "stops") {
    // Not before it knows that the claim is its own: what it did not hear of it would not settle.
    const begun = (): boolean => cluster.ingests().some(({ what }) => what === "begin");
    await cluster.history.until("a is at work", 5_000, begun);
    cluster.stop("a");
    expect(cluster.held("a")?.items).toEqual(items);
  }
  await cluster.node("b", { delayMs: 20 });
  await sending;
  return items;
}

const settledSoon = (cluster: Cluster, items: ReadonlyArray<string>): Promise<true> =>
  promptly("taking back what a dead node had", nodeLeaseMs + 2_000, () => cluster.settled(items, 15_000));

describe("a node that is killed in mid-batch", () => {
  it("loses its batch to the other within its lease and two seconds, and nothing is settled twice", () =>
    withCluster(async (cluster) => {
      const items = await aHolds(cluster);
      await cluster.nodes.get("a")?.kill9();
      await settledSoon(cluster, items);
      for (const item of items) expect(cluster.record(item)?.crashes).toBe(1);
      await cluster.rest(20_000);
      expect(await cluster.check()).toEqual(nothing);
    }));

  it("recovers its own batch when it is started again at once", () =>
    withCluster(async (cluster) => {
      const items = await aHolds(cluster);
      await cluster.nodes.get("a")?.kill9();
      await cluster.node("a");
      const readyAt = Date.now();
      await settledSoon(cluster, items);
      const reclaimed = cluster.history.revisions.filter(
        ({ key, value }) =>
          key.startsWith("claim.") && (value as ClaimSlot & { how?: string }).how === "reclaimed",
      );
      expect(reclaimed).toHaveLength(1);
      // Where it needs longer for its start than its lease lasts, the other is right to be first.
      const tooLate = reclaimed.filter(
        ({ value, at }) => (value as { by: string }).by !== "a" && at > readyAt,
      );
      expect(tooLate).toEqual([]);
      await cluster.rest(20_000);
      expect(await cluster.check()).toEqual(nothing);
    }));

  it("leaves nothing behind, whichever step of its cycle it died at", () =>
    withCluster(async (cluster) => {
      await cluster.node("b", { delayMs: 20 });
      const slotOf = (node: string): ClaimSlot | null => {
        const slots = [...cluster.history.latest.values()].filter(({ key }) =>
          key.startsWith(`claim.files.${node}.`),
        );
        return (slots[0]?.value as ClaimSlot | undefined) ?? null;
      };
      const claimed = (): boolean => slotOf("a")?.state === "claimed";
      const settled = (): boolean => {
        const slot = slotOf("a");
        return slot?.state === "idle" && slot.how === "settled";
      };
      const begun = (): boolean =>
        cluster.ingests().some(({ what, pid }) => what === "begin" && pid === cluster.nodes.get("a")?.pid);
      for (const [step, reached] of Object.entries({ claimed, begun, settled })) {
        const node = await cluster.node("a", { delayMs: 100 });
        const sending = cluster.sender.load(40, { pauseMs: 1, name: (i) => `20260101/${step}-${i}.fits` });
        await cluster.history.until(`a is killed once ${step}`, 10_000, reached);
        await node.kill9();
        await sending;
      }
      // Dies while it takes a's batch back: as soon as the first of it is seen.
      await cluster.node("a", { delayMs: forEver });
      const sending = cluster.sender.load(40, { pauseMs: 1, name: (i) => `20260101/reclaimed-${i}.fits` });
      const { claim } = await cluster.holds("a");
      await sending;
      await cluster.nodes.get("a")?.kill9();
      await cluster.history.until("b takes a's claim", 10_000, () =>
        cluster.history.revisions.some(({ value }) => JSON.stringify(value)?.includes(`"claim":"${claim}"`)),
      );
      await cluster.nodes.get("b")?.kill9();
      await cluster.node("c");
      await cluster.rest(30_000);
      expect(await cluster.check()).toEqual(nothing);
    }));
});

describe("an item that kills its worker", () => {
  it("is parked, and none of the 200 that shared claims with it", () =>
    withCluster(async (cluster) => {
      const killer = { killOn: "poison" };
      cluster.keepAlive("a", killer, 10);
      await cluster.nodes.get("a")?.ready;
      const names = Array.from({ length: 201 }, (_, i) =>
        i === 100 ? "20260101/poison" : `20260101/innocent-${i}`,
      );
      await cluster.sender.send(names.map((key) => ({ key, etag: "1" })));
      cluster.keepAlive("b", killer, 10);
      await cluster.settled(names.map(recordOf), 40_000);
      const poison = recordOf("20260101/poison");
      expect(cluster.record(poison)).toMatchObject({ state: "parked", crashesAlone: 2 });
      const place = placeOfRecordKey(poison);
      expect(place).not.toBeNull();
      if (place !== null) {
        expect(cluster.history.latest.get(parkedKey(place))?.value).toMatchObject({ reason: crashedReason });
      }
      const innocents = names.map(recordOf).filter((key) => key !== poison);
      expect(innocents.filter((key) => cluster.record(key)?.state !== "known")).toEqual(nothing);
      // They did share its claims; of what came with it a first few may have been taken before the rest was there.
      const shared = innocents.filter((key) => (cluster.record(key)?.crashes ?? 0) > 0);
      expect(shared.length).toBeGreaterThan(150);
      await cluster.rest(20_000);
      expect(await cluster.check()).toEqual(nothing);
    }));
});

describe("a node that is stopped and wakes up late", () => {
  it("finds its settle refused, and carries on", () =>
    withCluster(async (cluster) => {
      const items = await aHolds(cluster, inHandMs, "stops");
      await settledSoon(cluster, items);
      cluster.cont("a");
      await cluster.logged("a", "a settle was refused; nothing of it is acknowledged", 10_000);
      await cluster.rest(20_000);
      expect(await cluster.nodes.get("b")?.term()).toBe(0);
      // It has the lane for itself now.
      const a = cluster.nodes.get("a");
      const names = Array.from({ length: 20 }, (_, i) => `20260102/later-${i}.fits`);
      await cluster.sender.send(names.map((key) => ({ key, etag: "1" })));
      await cluster.settled(names.map(recordOf), 20_000);
      await cluster.rest(20_000);
      expect(await cluster.check()).toEqual(nothing);
      expect(await a?.term()).toBe(0);
    }));
});

describe("a node's name", () => {
  it("is refused to a second process, and lost by one that was stopped for too long, which then ends", () =>
    withCluster(async (cluster) => {
      const stopped = await cluster.node("a", { delayMs: inHandMs });
      expect(await cluster.launch("a").ended).toBe(2);
      cluster.nodes.set("a", stopped);
      const sending = cluster.sender.load(50, { each: 5, pauseMs: 2 });
      const { claim } = await cluster.holds("a");
      stopped.stop();
      await cluster.node("a", { delayMs: 3_000 });
      await sending;
      await cluster.history.until("the newer process has a batch", 20_000, () => {
        const held = cluster.held("a");
        return held !== null && held.claim !== claim;
      });
      stopped.cont();
      expect(await stopped.ended).toBe(1);
      await cluster.rest(30_000);
      // What the stopped one had in hand crashed with it; what the newer one has did not.
      const crashes = cluster.sender.accepted.map(({ record }) => cluster.record(record)?.crashes ?? 0);
      expect(Math.max(...crashes)).toBe(1);
      expect(await cluster.check()).toEqual(nothing);
    }));
});

describe("a node that is told to end", () => {
  it("gives its batch back and is gone within two seconds, with 0; nobody counts it as a crash", () =>
    withCluster(async (cluster) => {
      const items = await aHolds(cluster);
      const ended = await promptly("the end", 2_000, async () => cluster.nodes.get("a")?.term());
      expect(ended).toBe(0);
      expect(cluster.held("a")).toBeNull();
      await cluster.settled(items, 5_000);
      expect(items.filter((item) => cluster.record(item)?.crashes !== 0)).toEqual(nothing);
      await cluster.rest(20_000);
      expect(await cluster.check()).toEqual(nothing);
    }));
});
