/** Days past their retention: what is purged, what holds a day, and what comes again after it. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as Effect from "effect/Effect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { RetentionRule } from "../../src/actors/retention.ts";
import { dayText, isPast, purgeOldDays } from "../../src/actors/retention.ts";
import {
  commit,
  commitUnsafe,
  ledgerEnd,
  ledgerPut,
  publishUnsafe,
} from "../../src/jetstream/transaction.ts";
import { encodeArrival } from "../../src/protocol/arrival.ts";
import {
  arrivalSubject,
  exposureKey,
  itemMailbox,
  objectTail,
  parkedKey,
  recordKey,
} from "../../src/protocol/keys.ts";
import { encodeJson } from "../../src/protocol/records.ts";
import { runCli } from "../support/cli.ts";
import { plainRecord } from "../support/records.ts";
import { ServerProcess } from "../support/server.ts";
import type { TestSite } from "../support/testSite.ts";
import { counted, keysOf, recordOf, settled, startSite, until } from "../support/testSite.ts";

const dayMs = 86_400_000;
const daysAgo = (n: number): string => dayText(Date.now() - n * dayMs);
const lane = "camera";

const siteText = (server: string): string => `
name: keeps
node: { name: keeps-1 }
nats: { mode: external, servers: ["${server}"] }
http: { host: 127.0.0.1, port: 0 }
lanes:
  ${lane}:
    kind: exposure
    buckets: [raw]
    metadata: key
    accept: 'fits$'
    pattern: '^(?<instrument>[^/]+)/(?<day>\\d{8})/(?<exposure>[^/]+)/[^/]+_(?<detector>R\\d\\d_S\\d\\d)\\.fits$'
    retention: 2 days
    onContentChange: supersede
`;
const rules: ReadonlyArray<RetentionRule> = [
  { lane, days: 2, exposures: false },
  { lane: "", days: 2, exposures: true },
];

describe("days past their retention", () => {
  let server: ServerProcess;
  let site: TestSite;
  let folder: string;
  const given: Array<string> = [];
  const refused = new Set<string>();

  const start = (): Promise<TestSite> =>
    startSite(siteText(server.url), {
      aroundDriver: (_lane, open) =>
        Effect.map(open, (driver) => ({
          name: driver.name,
          ingest: (items) => {
            given.push(...items.map(({ key, etag }) => `${key}@${etag}`));
            return Effect.map(driver.ingest(items), (results) =>
              results.map((result, i) =>
                refused.has(items[i]?.key ?? "")
                  ? ({ status: "permanent", reason: "NoGood", detail: "said so" } as const)
                  : result,
              ),
            );
          },
        })),
    });
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "orrery-keeps-"));
    server = await ServerProcess.start();
    writeFileSync(join(folder, "site.yaml"), siteText(server.url));
    site = await start();
  });
  afterAll(async () => {
    await site.stop();
    await server.end();
    rmSync(folder, { recursive: true, force: true });
  });

  const nats = () => site.node.context.nats;
  const keyOf = (day: string, n: number): string => `LSSTCam/${day}/E${n}/E${n}_R22_S11.fits`;
  /** As a sender does after the duplicate window: the stream takes it for new. */
  async function announce(day: string, key: string, etag = "e1"): Promise<void> {
    const write = {
      subject: arrivalSubject(lane, "LSSTCam", day),
      data: encodeArrival({
        bucket: "raw",
        key,
        etag,
        size: 1,
        instrument: "LSSTCam",
        day,
        generation: 0,
        via: "webhook",
        receivedAt: new Date().toISOString(),
      }),
    };
    const answer = await publishUnsafe(nats(), "announce", write, 5_000);
    if ("_tag" in answer) throw answer;
  }
  const known = (day: string, key: string) => settled(site, lane, day, "raw", key, ["known"]);
  const purge = (): Promise<void> => Effect.runPromise(purgeOldDays(site.node.context, rules));
  const filesOf = async (day: string): Promise<number> => (await keysOf(site, `file.${lane}.${day}.>`)).size;
  const duplicates = (): number => counted(site, `duplicates.${lane}`);
  /** Announces it, and waits until it was dropped as a duplicate, without the driver being asked. */
  async function isDuplicate(day: string, key: string, etag = "e1"): Promise<void> {
    given.length = 0;
    const before = duplicates();
    await announce(day, key, etag);
    await until(duplicates, (n) => n === before + 1);
    expect(given).toEqual([]);
    expect(await recordOf(site, lane, day, "raw", key)).toBeNull();
  }

  it("a file that comes again after its day was purged is a duplicate, another one of the day is not", async () => {
    const day = daysAgo(20);
    const keys = Array.from({ length: 400 }, (_, n) => keyOf(day, n));
    for (const key of keys) await announce(day, key);
    for (const key of keys) await known(day, key);
    // Under another etag it takes the place of the first; both are remembered.
    await announce(day, keyOf(day, 0), "e2");
    await until(
      () => recordOf(site, lane, day, "raw", keyOf(day, 0)),
      (record) => record?.etag === "e2" && record.state === "known",
    );
    await purge();
    expect(await filesOf(day)).toBe(0);
    expect((await keysOf(site, `exposure.*.${day}.>`)).size).toBe(0);
    await isDuplicate(day, keyOf(day, 399));
    await isDuplicate(day, keyOf(day, 0), "e1");
    await isDuplicate(day, keyOf(day, 0), "e2");
    await announce(day, keyOf(day, 1), "e9");
    await announce(day, keyOf(day, 1_000));
    expect(await known(day, keyOf(day, 1_000))).toMatchObject({ etag: "e1" });
    expect(await known(day, keyOf(day, 1))).toMatchObject({ etag: "e9" });
    // It came late; the next purge takes it, too, and adds it to what is known of the day.
    await purge();
    await isDuplicate(day, keyOf(day, 1_000));
    await isDuplicate(day, keyOf(day, 1), "e9");
    await isDuplicate(day, keyOf(day, 399));
  });

  it("orrery why says that its day was purged", async () => {
    const key = keyOf(daysAgo(20), 399);
    const { exit, stdout } = await runCli(["why", `raw/${key}`, "--json"], { cwd: folder });
    const story = JSON.parse(stdout) as { readonly standing: string; readonly now: string };
    expect({ exit, standing: story.standing }).toEqual({ exit: 0, standing: "purged" });
    expect(story.now).toContain("its day was purged");
  });

  it("so it is for a node that was started since", async () => {
    await site.stop();
    site = await start();
    await isDuplicate(daysAgo(20), keyOf(daysAgo(20), 7));
  });

  it("a lane that is called like a day holds its days like any other", async () => {
    const place = { mailbox: "20200101", day: daysAgo(23), tail: "raw/key" };
    const parked = plainRecord("parked", {});
    const writes = [
      ledgerPut(recordKey(place), encodeJson(parked)),
      ledgerPut(parkedKey(place), encodeJson({ v: 1, reason: "NoGood", at: "" })),
    ];
    expect(await commitUnsafe(nats(), "park", writes, 5_000)).toHaveLength(2);
    const ofLane = [{ lane: place.mailbox, days: 2, exposures: false }];
    await Effect.runPromise(purgeOldDays(site.node.context, ofLane));
    expect([...(await keysOf(site, `file.${place.mailbox}.>`)).keys()]).toEqual([recordKey(place)]);
    await Effect.runPromise(commit(nats(), "decide", [ledgerEnd(parkedKey(place))]));
    await Effect.runPromise(purgeOldDays(site.node.context, ofLane));
    expect((await keysOf(site, `file.${place.mailbox}.>`)).size).toBe(0);
  });

  it("a day within its retention stays, and what is parked holds its day until somebody decides", async () => {
    const recent = daysAgo(1);
    await announce(recent, keyOf(recent, 1));
    await known(recent, keyOf(recent, 1));
    const held = daysAgo(10);
    refused.add(keyOf(held, 2));
    await announce(held, keyOf(held, 1));
    await announce(held, keyOf(held, 2));
    await known(held, keyOf(held, 1));
    await settled(site, lane, held, "raw", keyOf(held, 2), ["parked"]);
    await purge();
    expect(await filesOf(recent)).toBe(1);
    expect(await filesOf(held)).toBe(2);
  });

  it("what is written while a day is purged is left, with its way back", async () => {
    const day = daysAgo(30);
    await announce(day, keyOf(day, 1));
    await known(day, keyOf(day, 1));
    const late = { mailbox: lane, day, tail: objectTail("raw", keyOf(day, 2)) };
    const { streams } = nats().jsm;
    const real = streams.purge.bind(streams);
    let wrote = false;
    streams.purge = async (...args) => {
      if (!wrote) {
        wrote = true;
        const index = encodeJson({ v: 1, reason: "Late", at: new Date().toISOString() });
        const record = {
          v: 1,
          state: "parked",
          generation: 0,
          etag: "e1",
          claim: null,
          attempts: 0,
          crashes: 0,
          crashesAlone: 0,
          errors: [],
          history: [],
          body: { bucket: "raw", key: keyOf(day, 2) },
        };
        await commitUnsafe(
          nats(),
          "late",
          [ledgerPut(recordKey(late), encodeJson(record), 0), ledgerPut(parkedKey(late), index)],
          5_000,
        );
      }
      return real(...args);
    };
    try {
      await purge();
    } finally {
      streams.purge = real;
    }
    expect(await recordOf(site, lane, day, "raw", keyOf(day, 1))).toBeNull();
    expect(await recordOf(site, lane, day, "raw", keyOf(day, 2))).toMatchObject({ state: "parked" });
    expect((await keysOf(site, `parked.${lane}.${day}.>`)).size).toBe(1);
  });

  it("exposures, items and ended indexes go with the longest retention of all lanes", async () => {
    const day = daysAgo(40);
    const item = { mailbox: itemMailbox("thumbs"), day, tail: "x" };
    await commitUnsafe(
      nats(),
      "fill",
      [
        ledgerPut(exposureKey("LSSTCam", day, "E1"), encodeJson({ v: 1 })),
        ledgerPut(recordKey(item), encodeJson({ v: 1 })),
      ],
      5_000,
    );
    await purge();
    expect((await keysOf(site, `*.*.${day}.>`)).size).toBe(0);
  });

  it("a day is past by the same rule by which it is purged", () => {
    const now = Date.parse("2026-05-10T12:00:00Z");
    expect(isPast("20260507", now, 2)).toBe(true);
    expect(isPast("20260508", now, 2)).toBe(false);
    expect(isPast("20200101", now, 2)).toBe(true);
    expect(isPast("-", now, 2)).toBe(false);
  });
});
