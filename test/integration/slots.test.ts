/** Claim slots where an answer was lost, and where a newer process has the node's name. */
import * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { claimsWorker } from "../../src/actors/claims.ts";
import type { ClaimSource } from "../../src/actors/claimSource.ts";
import { insistOnRead, Slot } from "../../src/jetstream/claims.ts";
import { getRecordUnsafe, getSlotUnsafe } from "../../src/jetstream/ledger.ts";
import { arrivalsConsumer } from "../../src/jetstream/topology.ts";
import { commitUnsafe, ledgerPut, publishUnsafe } from "../../src/jetstream/transaction.ts";
import { JetStreamRejected, NatsUnavailable, TransactionBusy } from "../../src/protocol/errors.ts";
import {
  arrivalsStream,
  claimKey,
  encodeToken,
  kvSubject,
  nodesBucket,
  recordKey,
} from "../../src/protocol/keys.ts";
import type { ClaimSlot } from "../../src/protocol/records.ts";
import { encodeJson } from "../../src/protocol/records.ts";
import type { TestNats } from "../support/nats.ts";
import { startNats } from "../support/nats.ts";
import { testNode } from "../support/testNode.ts";

const lane = "files";
const rules = { attemptsMax: 3, crashesAloneMax: 2, backoffBaseMs: 10, backoffMaxMs: 10 };
const item = {
  record: recordKey({ mailbox: lane, day: "20260101", tail: "bucket/key" }),
  etag: "1",
  generation: 0,
  sequence: 1,
};
const patient = new AbortController().signal;

let server: TestNats;
beforeAll(async () => {
  server = await startNats({ topology: { lanes: [lane] } });
});
afterAll(() => server.stop());

describe("a claim whose answer was lost", () => {
  it("is given back by the worker that never learnt its revision", async () => {
    const key = claimKey(lane, "lost-answer", 0);
    const open = (): Promise<Slot | null> => Slot.open(server.nats, key, "epoch", patient);
    const [told, untold] = [await open(), await open()];
    const id = await told?.claim([item], "", patient);
    expect(id).toEqual(expect.any(String));
    expect(await untold?.release(id ?? "", patient)).toMatchObject({ type: "settled" });
    expect((await getSlotUnsafe(server.nats, key))?.slot).toMatchObject({
      state: "idle",
      how: "released",
      last: id,
    });
    // And it can be used again.
    expect(await untold?.claim([item], "", patient)).toEqual(expect.any(String));
  });
});

describe("a look at what decides about a claim", () => {
  it("is made again while the server is away, or its cluster has no leader, and not while it is refused", async () => {
    const away = [
      new NatsUnavailable({ operation: "read", detail: "timeout" }),
      new TransactionBusy({ code: 10008, detail: "JetStream system temporarily unavailable" }),
    ];
    const read = (): Promise<string> => {
      const cause = away.shift();
      return cause === undefined ? Promise.resolve("seen") : Promise.reject(cause);
    };
    expect(await insistOnRead(server.nats, read, patient)).toBe("seen");
    const refused = new JetStreamRejected({ operation: "read", code: 10059, detail: "stream not found" });
    await expect(insistOnRead(server.nats, () => Promise.reject(refused), patient)).rejects.toBe(refused);
  });
});

describe("a claim's id", () => {
  it("is never given twice, also when the slot was opened anew: it tells what is settled from what is not", async () => {
    const key = claimKey(lane, "opened-anew", 0);
    const ids: Array<string | null | undefined> = [];
    for (let i = 0; i < 2; i++) {
      const slot = await Slot.open(server.nats, key, "epoch", patient);
      const id = await slot?.claim([item], "", patient);
      ids.push(id);
      await slot?.release(id ?? "", patient);
    }
    expect(ids).toEqual([expect.any(String), expect.any(String)]);
    expect(new Set(ids).size).toBe(2);
  });
});

describe("a worker whose process was stopped and wakes up late", () => {
  const source: ClaimSource<unknown> = {
    mailbox: lane,
    stream: arrivalsStream,
    consumer: arrivalsConsumer(lane),
    batchMax: 10,
    rules,
    onContentChange: "refuse",
    good: "known",
    reads: "doubtful",
    decode: () => null,
  };

  it("leaves the claim of a newer process of its node alone, and recovers it once that is gone", async () => {
    const node = {
      ...testNode(server.nats, "woken"),
      reclaimRules: () => ({ rules, bodyOf: () => Promise.resolve(null) }),
    };
    const key = claimKey(lane, node.name, 0);
    const newer: ClaimSlot = {
      v: 1,
      state: "claimed",
      id: "newer.0",
      epoch: "newer",
      since: "",
      items: [item],
    };
    await commitUnsafe(server.nats, "claim", [ledgerPut(key, encodeJson(newer), 0)], 5_000);
    const lease = kvSubject(nodesBucket, encodeToken(node.name));
    const renew = (write: { readonly data: Uint8Array; readonly marker?: boolean }) =>
      publishUnsafe(server.nats, "renew", { subject: lease, ttlSeconds: 60, ...write }, 5_000);
    await renew({ data: encodeJson({ epoch: "newer" }) });
    const ready = Deferred.makeUnsafe<void>();
    const worker = Effect.runFork(
      claimsWorker(
        node,
        source,
        0,
        () => Effect.succeed([]),
        Effect.asVoid(Deferred.succeed(ready, undefined)),
      ),
    );
    try {
      const refused = (): boolean =>
        node.lines.some(({ message }) => message === "cannot open the claim slot yet");
      while (!refused()) await new Promise((resolve) => setTimeout(resolve, 10));
      expect((await getSlotUnsafe(server.nats, key))?.slot).toEqual(newer);
      await renew({ data: new Uint8Array(), marker: true });
      await Effect.runPromise(Deferred.await(ready));
      expect((await getSlotUnsafe(server.nats, key))?.slot).toMatchObject({ state: "idle", last: "newer.0" });
      expect((await getRecordUnsafe(server.nats, item.record))?.record).toMatchObject({
        state: "failing",
        crashes: 1,
      });
    } finally {
      await Effect.runPromise(Fiber.interrupt(worker));
    }
  });
});
