/** The same notification again and again, and other content under a known name. */
import { Agent, request } from "node:http";
import { describe, expect, it } from "vitest";
import { parkedKey, placeOfRecordKey } from "../../src/protocol/keys.ts";
import { contentChangedReason } from "../../src/protocol/lifecycle.ts";
import type { Cluster } from "./cluster.ts";
import { withCluster } from "./cluster.ts";
import { notification, recordOf } from "./sender.ts";

const name = "20260101/one.fits";
const one = recordOf(name);
const times = 50;

function postOver(agent: Agent, url: string, body: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = request(`${url}/notify`, { method: "POST", agent }, (answer) => {
      answer.resume().once("end", () => resolve(answer.statusCode ?? 0));
    });
    sent.once("error", reject);
    sent.end(body);
  });
}

/** Sends one notification {@link times} times over two connections at once; all are answered 200. */
async function sendOften(url: string, etag: string): Promise<void> {
  const connections = Array.from({ length: 2 }, () => new Agent({ keepAlive: true, maxSockets: 1 }));
  const body = notification([{ key: name, etag }]);
  try {
    const answers = connections.flatMap((agent) =>
      Array.from({ length: times / 2 }, () => postOver(agent, url, body)),
    );
    expect(new Set(await Promise.all(answers))).toEqual(new Set([200]));
  } finally {
    for (const agent of connections) agent.destroy();
  }
}

const ingestsOf = (cluster: Cluster, etag: string): number =>
  cluster.ingests().filter(({ what, items }) => what === "end" && items.some((item) => item.etag === etag))
    .length;

const nextRecord = (cluster: Cluster, what: string, is: () => boolean): Promise<true> =>
  cluster.history.until(what, 10_000, is);

describe("one notification, sent fifty times over two connections", () => {
  it("is one file", () =>
    withCluster(async (cluster) => {
      const { http } = await cluster.node("a");
      await sendOften(http ?? "", "1");
      await cluster.sender.send([{ key: name, etag: "1" }]);
      await cluster.rest(10_000);
      expect(ingestsOf(cluster, "1")).toBe(1);
      expect((await cluster.history.scan(["file.>"])).map(({ key }) => key)).toEqual([one]);
      expect(await cluster.check()).toEqual([]);
    }));

  it("is one file when the stream has forgotten it each time, and the ledger alone knows it", () =>
    withCluster(
      async (cluster) => {
        await cluster.node("a", { delayMs: 20 });
        await cluster.node("b", { delayMs: 20 });
        for (let i = 0; i < 20; i++) {
          const before = (await cluster.evidence()).arrivals.length;
          do await cluster.sender.send([{ key: name, etag: "1" }]);
          while ((await cluster.evidence()).arrivals.length === before);
        }
        await cluster.rest(20_000);
        expect(cluster.history.revisions.filter(({ key }) => key === one)).toHaveLength(1);
        expect(await cluster.check()).toEqual([]);
      },
      { duplicateWindow: "100 ms" },
    ));
});

describe("a notification of what is known already", () => {
  it("is dropped while the file waits for its next try", () =>
    withCluster(
      async (cluster) => {
        const name = "20260101/flaky.fits";
        const flaky = recordOf(name);
        // Longer than the stream remembers the notification.
        await cluster.node("a", { delayMs: 200 });
        await cluster.sender.send([{ key: name, etag: "1" }]);
        await nextRecord(cluster, "its first try fails", () => cluster.record(flaky)?.state === "failing");
        await cluster.sender.send([{ key: name, etag: "1" }]);
        expect((await cluster.evidence()).arrivals.filter(({ generation }) => generation === 0)).toHaveLength(
          2,
        );
        await cluster.rest(20_000);
        expect(cluster.record(flaky)).toMatchObject({ state: "known", generation: 1, attempts: 1 });
        expect(await cluster.check()).toEqual([]);
      },
      { duplicateWindow: "100 ms", lane: { backoffBase: "6 s", backoffMax: "6 s" } },
    ));
});

describe("other content under a known name", () => {
  it("is refused, and the refusal seen, where the lane says so", () =>
    withCluster(async (cluster) => {
      await cluster.node("a");
      await cluster.sender.send([{ key: name, etag: "1" }]);
      await cluster.settled([one], 10_000);
      await cluster.sender.send([{ key: name, etag: "2" }]);
      await nextRecord(cluster, "it is refused", () => cluster.record(one)?.refused?.[0]?.etag === "2");
      await cluster.rest(10_000);
      expect(cluster.record(one)).toMatchObject({ state: "known", etag: "1" });
      const place = placeOfRecordKey(one);
      expect(place === null ? null : cluster.history.latest.get(parkedKey(place))?.value).toMatchObject({
        reason: contentChangedReason,
      });
      expect(await cluster.check()).toEqual([]);
    }));

  it("supersedes it, and the old one is remembered, where the lane says so", () =>
    withCluster(
      async (cluster) => {
        await cluster.node("a");
        await cluster.sender.send([{ key: name, etag: "1" }]);
        await cluster.settled([one], 10_000);
        await cluster.sender.send([{ key: name, etag: "2" }]);
        await nextRecord(cluster, "it is superseded", () => cluster.record(one)?.etag === "2");
        await cluster.rest(10_000);
        expect(cluster.record(one)).toMatchObject({ state: "known", superseded: [{ etag: "1" }] });
        expect(await cluster.check()).toEqual([]);
      },
      { lane: { onContentChange: "supersede" } },
    ));
});
