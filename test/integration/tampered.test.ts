/** Somebody wrote into the ledger by hand: the lane goes on, and what is ours stands there again. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as Effect from "effect/Effect";
import { afterAll, beforeAll, expect, it } from "vitest";
import { commit, ledgerEnd, ledgerPut } from "../../src/jetstream/transaction.ts";
import { arrivalSubject, claimKey, dueKey, objectTail, recordKey } from "../../src/protocol/keys.ts";
import type { FileBody } from "../../src/protocol/records.ts";
import { encodeJson, encodeText } from "../../src/protocol/records.ts";
import { plainRecord } from "../support/records.ts";
import type { TestSite } from "../support/testSite.ts";
import { ask, keysOf, recordOf, settled, startSite, until } from "../support/testSite.ts";

const dataDir = mkdtempSync(join(tmpdir(), "orrery-tampered-"));
let site: TestSite;

beforeAll(async () => {
  site = await startSite(`
name: tampered
node: { name: one }
dataDir: ${JSON.stringify(dataDir)}
nats: { mode: embedded, syncAlways: false }
http: { host: 127.0.0.1, port: 0 }
lanes:
  raw:
    kind: object
    buckets: [raw]
    pattern: '^(?<instrument>[^/]+)/(?<day>\\d{8})/'
    metadata: key
`);
});

afterAll(async () => {
  await site.stop();
  rmSync(dataDir, { recursive: true, force: true });
});

const place = (key: string) => ({ mailbox: "raw", day: "20260101", tail: objectTail("raw", key) });
const garbage = encodeText("not what stands here");
const write = (key: string) =>
  Effect.runPromise(commit(site.node.context.nats, "tamper", [ledgerPut(key, garbage)]));

const notify = (key: string, etag = "e1") =>
  ask(site, {
    method: "POST",
    path: "/notify",
    body: {
      Records: [
        {
          eventName: "ObjectCreated:Put",
          s3: { bucket: { name: "raw" }, object: { key, eTag: etag, size: 1 } },
        },
      ],
    },
  });

it("in a file's record: the next arrival puts a record in its place", async () => {
  const key = "cam/20260101/overwritten";
  await write(recordKey(place(key)));
  await notify(key);
  const record = await until(
    // Until then the garbage stands there, which is read as an error.
    () => recordOf(site, "raw", "20260101", "raw", key).catch(() => null),
    (found) => found !== null,
  );
  expect(record?.state).toBe("known");
});

it("in a worker's slot, or by ending it: the worker claims on", async () => {
  const slot = claimKey("raw", "one", 0);
  await write(slot);
  await notify("cam/20260101/after-garbage");
  expect((await settled(site, "raw", "20260101", "raw", "cam/20260101/after-garbage")).state).toBe("known");
  await Effect.runPromise(commit(site.node.context.nats, "tamper", [ledgerEnd(slot)]));
  await notify("cam/20260101/after-end");
  expect((await settled(site, "raw", "20260101", "raw", "cam/20260101/after-end")).state).toBe("known");
}, 60_000);

it("in the lane's pattern, which reads another day now: what was failing comes back as what it was", async () => {
  const key = "cam/20260102/moved";
  const before = { mailbox: "raw", day: "20250101", tail: objectTail("raw", key) };
  const body: FileBody = {
    bucket: "raw",
    key,
    size: 1,
    uri: "",
    identity: null,
    metadata: null,
    via: "webhook",
    receivedAt: "",
    sequence: 1,
  };
  await Effect.runPromise(
    commit(site.node.context.nats, "as it was", [
      ledgerPut(recordKey(before), encodeJson(plainRecord("failing", body, { generation: 1 }))),
      ledgerPut(dueKey(before), encodeJson({ v: 1, notBefore: 0, generation: 1, putBack: null })),
    ]),
  );
  expect((await settled(site, "raw", before.day, "raw", key)).state).toBe("known");
  expect(await recordOf(site, "raw", "20260102", "raw", key)).toBeNull();
});

it("in a due record, and on the stream itself: nothing is put back, what is no arrival is parked", async () => {
  await write(dueKey(place("cam/20260101/never-was")));
  const sent = await Effect.runPromise(
    commit(site.node.context.nats, "tamper", [
      { subject: arrivalSubject("raw", "cam", "20260101"), data: garbage },
    ]),
  );
  const parkedOnes = await until(
    () => keysOf(site, "parked.raw.>"),
    (keys) => keys.size > 0,
  );
  expect([...parkedOnes]).toEqual([
    [`parked.raw.-.undecodable/${sent[0] ?? 0}`, expect.objectContaining({ reason: "UndecodableArrival" })],
  ]);
  await notify("cam/20260101/at-last");
  expect((await settled(site, "raw", "20260101", "raw", "cam/20260101/at-last")).state).toBe("known");
  expect(site.log.filter((line) => line.level === "error")).toEqual([]);
});
