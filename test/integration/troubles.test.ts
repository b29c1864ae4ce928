/** What is away shows while it is, and no longer. */
import * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import * as Metric from "effect/Metric";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { claimsWorker, SystemFailure } from "../../src/actors/claims.ts";
import type { ClaimSource } from "../../src/actors/claimSource.ts";
import { Troubles } from "../../src/actors/troubles.ts";
import { arrivalsConsumer } from "../../src/jetstream/topology.ts";
import { publishUnsafe } from "../../src/jetstream/transaction.ts";
import { arrivalsStream } from "../../src/protocol/keys.ts";
import type { TestNats } from "../support/nats.ts";
import { startNats } from "../support/nats.ts";
import { testNode } from "../support/testNode.ts";

const lane = "files";
const body = { size: 1 };
const source: ClaimSource<typeof body> = {
  mailbox: lane,
  stream: arrivalsStream,
  consumer: arrivalsConsumer(lane),
  batchMax: 1,
  rules: { attemptsMax: 3, crashesAloneMax: 2, backoffBaseMs: 10, backoffMaxMs: 10 },
  onContentChange: "refuse",
  good: "known",
  reads: "doubtful",
  decode: () => ({ place: { mailbox: lane, day: "20260101", tail: "b/k" }, etag: "e", generation: 0, body }),
};

let server: TestNats;
beforeAll(async () => {
  server = await startNats({ topology: { lanes: [lane] } });
});
afterAll(() => server.stop());

const gauge = (): number | undefined =>
  Effect.runSync(Metric.snapshot)
    .filter(({ id, attributes }) => id === "orrery_trouble" && attributes?.["mailbox"] === lane)
    .map(({ state }) => (state as { readonly value: number }).value)[0];

describe("a storage that is away and comes again", () => {
  it("is told with its time until a claim is settled, and then that it answers", async () => {
    const node = testNode(server.nats, "troubled");
    const seen: Array<unknown> = [];
    const settled = Deferred.makeUnsafe<void>();
    let tries = 0;
    const over = node.troubles.over.bind(node.troubles);
    node.troubles.over = (mailbox) => {
      seen.push({ gauge: gauge(), present: node.troubles.present() });
      over(mailbox);
      Deferred.doneUnsafe(settled, Effect.void);
    };
    const worker = Effect.runFork(
      claimsWorker(
        node,
        source,
        0,
        () =>
          Effect.suspend(() => {
            if (tries++ === 0) {
              seen.push({ gauge: gauge(), present: node.troubles.present() });
              return Effect.fail(new SystemFailure({ what: "the storage", detail: "it says 503." }));
            }
            return Effect.succeed([{ type: "done" as const, body }]);
          }),
        Effect.void,
      ),
    );
    try {
      await publishUnsafe(
        server.nats,
        "arrival",
        { subject: `arrive.${lane}.x`, data: new Uint8Array([1]) },
        5_000,
      );
      await Effect.runPromise(Deferred.await(settled));
    } finally {
      await Effect.runPromise(Fiber.interrupt(worker));
    }
    expect(seen).toMatchObject([
      { gauge: 0, present: [] },
      { gauge: 1, present: [{ mailbox: lane, what: "the storage", detail: "it says 503." }] },
    ]);
    expect(gauge()).toBe(0);
    expect(node.troubles.present()).toEqual([]);
    const said = node.lines.filter(({ message }) => message.startsWith("the storage"));
    expect(said).toMatchObject([
      {
        level: "warn",
        message: "the storage is away (it says 503). The batch was given back untouched and is tried again.",
      },
      { level: "info", message: "the storage answers again" },
    ]);
  });
});

describe("a trouble", () => {
  it("keeps its beginning while the same thing is away", () => {
    vi.useFakeTimers({ toFake: ["Date"], now: 0 });
    try {
      const troubles = new Troubles({ trouble: () => undefined }, () => undefined);
      troubles.met(lane, "the storage", "503");
      vi.setSystemTime(1_000);
      troubles.met(lane, "the storage", "x".repeat(10_000));
      expect(troubles.present()).toEqual([
        {
          mailbox: lane,
          what: "the storage",
          since: "1970-01-01T00:00:00.000Z",
          lastAt: "1970-01-01T00:00:01.000Z",
          detail: "x".repeat(400),
        },
      ]);
      troubles.met(lane, "the catalog", "503");
      expect(troubles.present()).toMatchObject([{ what: "the catalog", since: "1970-01-01T00:00:01.000Z" }]);
    } finally {
      vi.useRealTimers();
    }
  });
});
