/** What every ingest driver must do, whatever it stores and where. */
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Fiber from "effect/Fiber";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { IngestItem, IngestResult, OpenDriver } from "../../src/drivers/Driver.ts";

export const item = (name: string, more: Partial<IngestItem> = {}): IngestItem => ({
  record: `file.lsstcam.20250416.${name}`,
  bucket: "raw",
  key: name,
  uri: `s3://raw/${name}`,
  etag: `etag-of-${name}`,
  size: 20_160,
  identity: null,
  header: null,
  dependent: false,
  ...more,
});

export const items = (count: number, prefix = "f"): ReadonlyArray<IngestItem> =>
  Array.from({ length: count }, (_, i) => item(`${prefix}${i}`));

/** Names and headers that some encoding somewhere has lost. */
const awkward = [
  item("ümlaut/日本語/🔭.fits"),
  item("line\nbreak\r\u2028\u2029"),
  item('quote"back\\slash'),
  item("\uFEFF\0\x7f"),
  item("headers", {
    header: {
      "HIERARCH ESO DET": 1.5,
      COMMENT: ["a", "b\n"],
      EMPTY: null,
      NAN: Number.NaN,
      BIG: 2n ** 70n,
      deep: [[[{}]]],
    },
  }),
  item("identity", {
    identity: {
      instrument: "LSSTCam",
      day: "20250416",
      exposure: "MC_O_20250416_000123",
      group: "2025-04-16T07:03:14.565#1",
      snap: 0,
      detector: "R22_S11",
      seq: 123,
    },
  }),
  item("dependent", { dependent: true }),
  item("nothing known", { etag: "", size: null, header: {} }),
];

const good: ReadonlyArray<IngestResult["status"]> = ["ingested", "duplicate"];

/** Registers the suite. Each test opens a driver of its own. */
export function driverConformance(name: string, open: () => OpenDriver): void {
  const withDriver = (
    use: (
      ingest: (batch: ReadonlyArray<IngestItem>) => Effect.Effect<ReadonlyArray<IngestResult>, unknown>,
    ) => Effect.Effect<void, unknown>,
  ): Promise<void> =>
    Effect.runPromise(
      Effect.scoped(Effect.flatMap(open(), (driver) => use((batch) => driver.ingest(batch)))),
    );

  const answersAll = (batch: ReadonlyArray<IngestItem>, results: ReadonlyArray<IngestResult>): void => {
    expect(results).toHaveLength(batch.length);
    for (const result of results) expect(good).toContain(result.status);
  };

  describe(`driver ${name}`, () => {
    test("answers for each item, whatever the size of the batch", () =>
      withDriver((ingest) =>
        Effect.gen(function* () {
          for (const count of [1, 2, 330]) {
            const batch = items(count, `n${count}-`);
            answersAll(batch, yield* ingest(batch));
          }
        }),
      ));

    test("has nothing to say of an empty batch", () =>
      withDriver((ingest) => Effect.map(ingest([]), (results) => expect(results).toEqual([]))));

    test("takes awkward names and headers", () =>
      withDriver((ingest) => Effect.map(ingest(awkward), (results) => answersAll(awkward, results))));

    test("takes any names and headers", () =>
      withDriver((ingest) =>
        Effect.promise(() =>
          fc.assert(
            fc.asyncProperty(
              fc.uniqueArray(
                fc.tuple(fc.string({ unit: "binary" }), fc.dictionary(fc.string(), fc.jsonValue())),
                {
                  minLength: 1,
                  maxLength: 20,
                  selector: ([text]) => text,
                },
              ),
              async (drawn) => {
                const batch = drawn.map(([text, header]) => item(text, { header }));
                answersAll(batch, await Effect.runPromise(ingest(batch)));
              },
            ),
            { numRuns: 50 },
          ),
        ),
      ));

    test("a batch that comes again is answered again", () =>
      withDriver((ingest) =>
        Effect.gen(function* () {
          for (let i = 0; i < 3; i++) answersAll(items(10), yield* ingest(items(10)));
        }),
      ));

    test("batches that come at the same time are answered each", () =>
      withDriver((ingest) =>
        Effect.gen(function* () {
          const batches = [1, 2, 3, 5, 8].map((count) => items(count, `at-once-${count}-`));
          const results = yield* Effect.forEach(batches, ingest, { concurrency: "unbounded" });
          batches.forEach((batch, i) => answersAll(batch, results[i] ?? []));
        }),
      ));

    test("an interrupted batch does not disturb the next", () =>
      withDriver((ingest) =>
        Effect.gen(function* () {
          for (let i = 0; i < 3; i++) {
            const fiber = yield* Effect.forkChild(ingest(items(100, "cut-")), { startImmediately: true });
            yield* Effect.yieldNow;
            const exit = yield* Effect.andThen(Fiber.interrupt(fiber), Fiber.await(fiber));
            if (Exit.isSuccess(exit)) answersAll(items(100), exit.value);
            const batch = items(2, `after-${i}-`);
            answersAll(batch, yield* ingest(batch));
          }
        }),
      ));
  });
}
