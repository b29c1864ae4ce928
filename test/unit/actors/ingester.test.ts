/** What the ingester makes of a store that answers for some of a batch and not for others. */
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import { TestClock } from "effect/testing";
import { expect, test } from "vitest";
import type { Item } from "../../../src/actors/claimSource.ts";
import { ingestWork } from "../../../src/actors/ingester.ts";
import { parseSite } from "../../../src/config/loadSite.ts";
import { makeSample } from "../../../src/demo/fitsWriter.ts";
import type { IngestDriver } from "../../../src/drivers/Driver.ts";
import type { NatsService } from "../../../src/jetstream/Nats.ts";
import type { FileBody } from "../../../src/protocol/records.ts";
import { StorageUnavailable } from "../../../src/storage/errors.ts";
import { makeMemoryStorage } from "../../../src/storage/memory.ts";
import type { StorageDriver } from "../../../src/storage/Storage.ts";
import { testNode } from "../../support/testNode.ts";

const bucket = "raw";
const text = `
name: throttled
storage: { disk: { driver: file, root: /nowhere } }
lanes:
  ${bucket}: { kind: object, buckets: [${bucket}], accept: fits$, storage: disk, metadata: header, identity: rubin, sidecar: .json }
`;

const samples = [1, 2].map((seqNum) =>
  makeSample({
    instrument: "LSSTCam",
    day: "20251121",
    seqNum,
    raftBay: "R22",
    ccdSlot: "S11",
    seed: seqNum,
  }),
);
const [well, throttled] = samples.map(({ key }) => key);

const itemOf = (key: string): Item<FileBody> => ({
  place: { mailbox: bucket, day: "-", tail: key },
  key: `file.${bucket}.-.${key}`,
  etag: "e",
  generation: 0,
  replies: [],
  sequence: 1,
  held: null,
  expected: 0,
  again: false,
  body: {
    bucket,
    key,
    size: null,
    uri: "",
    identity: null,
    metadata: null,
    via: "webhook",
    receivedAt: "",
    sequence: 1,
  },
});

/** A store that says 503 to the first calls about one object. */
function throttling(store: StorageDriver, calls: number): StorageDriver & { readonly refused: () => number } {
  let refused = 0;
  const guard =
    <A extends ReadonlyArray<unknown>, R, E>(
      call: (bucketName: string, key: string, ...more: A) => Effect.Effect<R, E>,
    ) =>
    (bucketName: string, key: string, ...more: A): Effect.Effect<R, E | StorageUnavailable> =>
      Effect.suspend((): Effect.Effect<R, E | StorageUnavailable> => {
        if (!key.includes(throttled?.slice(0, -5) ?? "") || refused >= calls)
          return call(bucketName, key, ...more);
        refused++;
        return Effect.fail(new StorageUnavailable({ uri: key, operation: "read", detail: "503: SlowDown" }));
      });
  return {
    ...store,
    head: guard(store.head),
    readRange: guard(store.readRange),
    readAll: guard(store.readAll),
    refused: () => refused,
  };
}

test.each([
  [false, "lsstCam"],
  [true, null],
] as const)(
  "a driver that ignores headers (%s) is given %j of a sidecar's fields",
  async (ignores, instrument) => {
    const given: Array<unknown> = [];
    const done = await Effect.gen(function* () {
      const { site } = yield* parseSite(text, "test.yaml", { env: {} });
      const lane = site.lanes.get(bucket);
      const [sample] = samples;
      if (lane === undefined || sample === undefined) throw new Error("no lane");
      const storage = makeMemoryStorage([bucket]);
      yield* storage.write(bucket, sample.sidecarKey, sample.sidecar);
      yield* storage.write(bucket, sample.key, sample.fits);
      const driver: IngestDriver = {
        name: "native",
        ...(ignores ? { ignoresHeaders: true } : {}),
        ingest: (batch) => {
          given.push(...batch.map(({ header }) => header?.["INSTRUME"] ?? null));
          return Effect.succeed(batch.map(() => ({ status: "ingested" })));
        },
      };
      const work = ingestWork(testNode({} as NatsService), { site, lane, storage, driver });
      return yield* work([itemOf(sample.key)], { claim: "c", alone: false });
    }).pipe(Effect.runPromise);
    expect(given).toEqual([instrument]);
    // What is kept of the header is kept either way.
    expect(done).toMatchObject([
      { type: "done", body: { identity: { detector: "R22_S11" }, metadata: { source: "sidecar" } } },
    ]);
  },
);

const outcomes = (refusals: number) =>
  Effect.gen(function* () {
    const { site } = yield* parseSite(text, "test.yaml", { env: {} });
    const lane = site.lanes.get(bucket);
    if (lane === undefined) throw new Error("no lane");
    const memory = makeMemoryStorage([bucket]);
    for (const { key, sidecarKey, sidecar, fits } of samples) {
      yield* memory.write(bucket, sidecarKey, sidecar);
      yield* memory.write(bucket, key, fits);
    }
    const storage = throttling(memory, refusals);
    const driver = {
      name: "native",
      ingest: (batch: ReadonlyArray<unknown>) =>
        Effect.succeed(batch.map(() => ({ status: "ingested" }) as const)),
    };
    // Nothing here asks NATS: objects announce no groups and wait for no exposure.
    const work = ingestWork(testNode({} as NatsService), { site, lane, storage, driver });
    const items = [well, throttled].map((key) => itemOf(key ?? ""));
    const fiber = yield* Effect.forkChild(work(items, { claim: "c", alone: false }));
    yield* TestClock.adjust("10 seconds");
    const done = yield* Fiber.join(fiber);
    expect(storage.refused()).toBeGreaterThan(0);
    return done;
  }).pipe(Effect.provide(TestClock.layer()), Effect.runPromise);

test("a file whose store says 503 a few times while it answers for its neighbours is read after all", async () => {
  expect(await outcomes(2)).toMatchObject([{ type: "done" }, { type: "done" }]);
});

test("one for which it says so again and again is tried later, and its neighbour is not held", async () => {
  expect(await outcomes(1_000)).toMatchObject([
    { type: "done" },
    { type: "transient", reason: "StorageUnavailable" },
  ]);
});
