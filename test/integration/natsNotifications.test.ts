/** Notifications on NATS whose answer is another thing than the webhook's. */
import { afterEach, beforeEach, expect, it } from "vitest";
import { subjectCounts } from "../../src/jetstream/survey.ts";
import { arrivalsStream } from "../../src/protocol/keys.ts";
import * as Effect from "effect/Effect";
import type { TestNats } from "../support/nats.ts";
import { startNats } from "../support/nats.ts";
import type { TestSite } from "../support/testSite.ts";
import { startSite } from "../support/testSite.ts";

const subject = "s3.events";
let nats: TestNats;
let site: TestSite;

beforeEach(async () => {
  nats = await startNats({ topology: null });
  site = await startSite(`
name: notified
node: { name: notified-1 }
nats: { mode: external, servers: ["${nats.server.url}"] }
http: { host: 127.0.0.1, port: 0 }
enqueuer: { natsSubject: ${subject} }
lanes:
  files: { kind: object, buckets: [files], metadata: key }
`);
});
afterEach(async () => {
  await site.stop();
  await nats.stop();
});

const request = async (keys: ReadonlyArray<string>): Promise<unknown> => {
  const Records = keys.map((key) => ({ s3: { bucket: { name: "files" }, object: { key, eTag: "e" } } }));
  const answer = await nats.nats.connection.request(subject, JSON.stringify({ Records }), {
    timeout: 90_000,
  });
  return answer.json();
};

it("an answer that is larger than a message says only that all is stored, and the node lives on", async () => {
  // Each key stands in the answer twice.
  const long = (i: number): string => `${"k".repeat(1_000)}${i}`;
  const count = 4_200;
  expect(await request(Array.from({ length: count }, (_, i) => long(i)))).toEqual({
    status: 200,
    body: null,
  });
  const stored = await Effect.runPromise(subjectCounts(nats.nats, arrivalsStream, "arrive.files.>"));
  expect([...stored.values()]).toEqual([count]);
  expect(await request(["short"])).toMatchObject({ status: 200, body: [{ filename: "short" }] });
});
