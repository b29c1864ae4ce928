/**
 * What has ended stays ended. A value that another displaced comes back after kill -9 of the server once the one that displaced it is
 * itself gone; so the last word on a key, the empty marker, is never removed.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { getManyUnsafe } from "../../src/jetstream/ledger.ts";
import type { NatsService } from "../../src/jetstream/Nats.ts";
import type { Write } from "../../src/jetstream/transaction.ts";
import { commitUnsafe, ledgerEnd, ledgerPut } from "../../src/jetstream/transaction.ts";
import { kvStream, kvSubject, ledgerBucket } from "../../src/protocol/keys.ts";
import { encodeJson } from "../../src/protocol/records.ts";
import { patienceMs, until } from "../support/testSite.ts";
import { withCluster } from "./cluster.ts";
import { recordOf } from "./sender.ts";

const ttlSeconds = 1;
/** Until whatever has a time to live is gone. No event tells of it. */
const expiredMs = ttlSeconds * 1_000 + 1_500;
const keys = Array.from({ length: 100 }, (_, i) => `due.ended.20260101.key-${i}`);

async function written(nats: NatsService, writes: ReadonlyArray<Write>): Promise<void> {
  const answer = await commitUnsafe(nats, "test", writes, patienceMs);
  if ("_tag" in answer) throw answer;
}

/** Nothing stands there any more, no marker either. */
async function areGone(nats: NatsService): Promise<boolean> {
  const filter = kvSubject(ledgerBucket, "due.ended.>");
  const info = await nats.jsm.streams.info(kvStream(ledgerBucket), { subjects_filter: filter });
  const subjects = info.state.subjects ?? {};
  return keys.every((key) => subjects[kvSubject(ledgerBucket, key)] === undefined);
}

/** Puts neighbouring keys, ends them, waits, kills the server, and counts those that have a value again. */
async function comeBack(end: (nats: NatsService) => Promise<void>, isRemoval = false): Promise<number> {
  let count = 0;
  await withCluster(
    async (cluster) => {
      const { nats } = cluster;
      // What lies between them stays: the server gives up a block of its store when nothing in it is of use any more.
      const put = (text: string) => (key: string) => [
        ledgerPut(key, encodeJson({ text })),
        ledgerPut(`${key}-neighbour-${text}`, encodeJson({ text: text.repeat(100) })),
      ];
      await written(nats, keys.flatMap(put("once")));
      await written(nats, keys.flatMap(put("twice")));
      await end(nats);
      if (isRemoval)
        await until(
          () => areGone(nats),
          (gone) => gone,
        );
      else await sleep(expiredMs);
      await cluster.crashServer();
      const entries = await getManyUnsafe(nats, ledgerBucket, keys);
      count = entries.filter((entry) => entry !== null && !entry.ended).length;
    },
    { syncAlways: true },
  );
  return count;
}

describe("a key that has ended", () => {
  it("stays ended behind its marker", async () => {
    expect(await comeBack((nats) => written(nats, keys.map(ledgerEnd)))).toBe(0);
  });

  it("would come back if its marker had a time to live", async () => {
    const passing = (key: string): Write => ({ ...ledgerEnd(key), ttlSeconds });
    expect(await comeBack((nats) => written(nats, keys.map(passing)), true)).toBeGreaterThan(0);
  });

  it("would come back if it were purged", async () => {
    const purge = async (nats: NatsService): Promise<void> => {
      for (const key of keys) {
        await nats.jsm.streams.purge(kvStream(ledgerBucket), { filter: kvSubject(ledgerBucket, key) });
      }
    };
    expect(await comeBack(purge, true)).toBeGreaterThan(0);
  });

  it("stays ended in a site whose server is killed: what was tried again is not due again", () =>
    withCluster(
      async (cluster) => {
        await cluster.node("a");
        const names = Array.from({ length: 100 }, (_, i) => `20260101/flaky-${i}.fits`);
        await cluster.sender.send(names.map((key) => ({ key, etag: "1" })));
        await cluster.settled(names.map(recordOf), 20_000);
        await cluster.rest(20_000);
        await sleep(expiredMs);
        await cluster.crashServer();
        expect(await cluster.check()).toEqual([]);
      },
      { syncAlways: true },
    ));
});
