/** A ledger that takes nothing for want of room: nobody's fault, so nothing of it is recorded on what was in hand. */
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import { afterEach, beforeEach, expect, it } from "vitest";
import { claimsWorker } from "../../src/actors/claims.ts";
import type { ClaimSource } from "../../src/actors/claimSource.ts";
import { getRecordUnsafe, getSlotUnsafe } from "../../src/jetstream/ledger.ts";
import { arrivalsConsumer } from "../../src/jetstream/topology.ts";
import { publishUnsafe } from "../../src/jetstream/transaction.ts";
import {
  arrivalsStream,
  arrivalSubject,
  claimKey,
  kvStream,
  ledgerBucket,
  recordKey,
} from "../../src/protocol/keys.ts";
import { encodeText } from "../../src/protocol/records.ts";
import type { TestNats } from "../support/nats.ts";
import { startNats } from "../support/nats.ts";
import { testNode } from "../support/testNode.ts";
import { until } from "../support/testSite.ts";

const lane = "files";
const place = { mailbox: lane, day: "20260101", tail: "bucket/key" };
const rules = { attemptsMax: 3, crashesAloneMax: 1, backoffBaseMs: 10, backoffMaxMs: 10 };
const source: ClaimSource<unknown> = {
  mailbox: lane,
  stream: arrivalsStream,
  consumer: arrivalsConsumer(lane),
  batchMax: 10,
  rules,
  onContentChange: "refuse",
  good: "known",
  reads: "doubtful",
  decode: () => ({ place, etag: "e1", generation: 0, body: {} }),
};

let server: TestNats;
beforeEach(async () => {
  server = await startNats({ topology: { lanes: [lane] } });
});
afterEach(() => server.stop());

async function limitLedger(bytes: "as it is" | "none"): Promise<void> {
  const { streams } = server.nats.jsm;
  const { config, state } = await streams.info(kvStream(ledgerBucket));
  await streams.update(config.name, { ...config, max_bytes: bytes === "none" ? -1 : state.bytes });
}

it("is waited for, and what was in hand is settled as it was worked on", async () => {
  const node = {
    ...testNode(await server.connect("worker"), "worker"),
    reclaimRules: () => ({ rules, bodyOf: () => Promise.resolve({}) }),
  };
  let worked = 0;
  const work = () =>
    Effect.promise(async () => {
      // The claim stands; from here on there is no room for what becomes of it.
      if (worked++ === 0) await limitLedger("as it is");
      return [{ type: "done" as const, body: {} }];
    });
  const worker = Effect.runFork(claimsWorker(node, source, 0, work, Effect.void));
  try {
    const sent = { subject: arrivalSubject(lane, "cam", place.day), data: encodeText("{}") };
    await publishUnsafe(server.nats, "send", sent, 5_000);
    await until(
      () => node.lines.map(({ message }) => message),
      (said) => said.includes("a settle waits for room in the ledger"),
    );
    expect(node.troubles.present()).toMatchObject([{ mailbox: lane, what: "ledger" }]);
    await limitLedger("none");
    const found = await until(
      () => getRecordUnsafe(server.nats, recordKey(place)),
      (held) => held !== null,
    );
    expect(found?.record).toMatchObject({ state: "known", crashes: 0, attempts: 0, errors: [] });
    expect(worked).toBe(1);
    await until(
      () => node.troubles.present(),
      (troubles) => troubles.length === 0,
    );
    expect((await getSlotUnsafe(server.nats, claimKey(lane, "worker", 0)))?.slot.state).toBe("idle");
  } finally {
    await Effect.runPromise(Fiber.interrupt(worker));
  }
});
