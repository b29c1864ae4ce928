import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { recordTextBytesMax } from "../../../src/limits.ts";
import type { IngestItem } from "../../../src/drivers/Driver.ts";
import {
  cutRequests,
  encodeItem,
  encodeRequest,
  judgeAnswer,
  protocolReason,
  readBridgeLine,
} from "../../../src/drivers/bridgeProtocol.ts";
import { restartDelayMs } from "../../../src/drivers/subprocess.ts";

const item = (name: string, more: Partial<IngestItem> = {}): IngestItem => ({
  record: `file.lsstcam.20250416.${name}`,
  bucket: "raw",
  key: name,
  uri: `s3://raw/${name}`,
  etag: "e",
  size: 1,
  identity: null,
  header: null,
  dependent: false,
  ...more,
});

describe("a request", () => {
  it("is one line of ASCII, which any reader of JSON reads back", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.tuple(
            fc.oneof(
              fc.string({ unit: "binary" }),
              fc.constantFrom("\u2028", "\u0085\x0b\x0c\x1c\x1d\x1e", "\uD800"),
            ),
            fc.dictionary(fc.string({ unit: "binary" }), fc.jsonValue()),
          ),
        ),
        (drawn) => {
          const batch = drawn.map(([name, header]) => item(name, { header }));
          const line = encodeRequest("b1", 60_000, batch.map(encodeItem));
          expect(line).toMatch(/^[\x20-\x7e]*\n$/);
          expect(JSON.parse(line)).toMatchObject({
            batch: "b1",
            deadline_ms: 60_000,
            items: drawn.map(([name, header]) => ({
              object: name,
              header: JSON.parse(JSON.stringify(header)) as unknown,
            })),
          });
        },
      ),
    );
  });

  it("carries integers beyond a double as text", () => {
    expect(JSON.parse(encodeItem(item("a", { header: { NANOS: 2n ** 62n } })))).toMatchObject({
      header: { NANOS: "4611686018427387904" },
    });
  });
});

describe("a batch", () => {
  it("is cut into as few requests as keep within the limit, in order, and nothing is lost", () => {
    const limit = 1_000;
    fc.assert(
      fc.property(fc.array(fc.nat(1_000)), (sizes) => {
        const batch = sizes.map((size, i) => item(`${i}-${"x".repeat(size / 2)}`));
        const { requests, tooLong } = cutRequests(batch, limit);
        for (const [i, request] of requests.entries()) {
          const line = encodeRequest("b4294967295", 86_400_000, request.items);
          expect(Buffer.byteLength(line)).toBeLessThanOrEqual(limit);
          expect(request.items).toEqual(request.places.map((place) => encodeItem(batch[place] ?? item("?"))));
          expect(request.places.length).toBeGreaterThan(0);
          // The first of the next would not have gone in here.
          const next = requests[i + 1]?.items[0];
          if (next !== undefined)
            expect(256 + request.items.join(",").length + next.length + 2).toBeGreaterThan(limit);
        }
        const places = [...requests.flatMap((request) => request.places), ...tooLong];
        expect(places.toSorted((a, b) => a - b)).toEqual(batch.map((_, i) => i));
        expect(requests.flatMap((request) => request.places)).toEqual(
          batch.flatMap((of, i) => (encodeItem(of).length + 257 > limit ? [] : [i])),
        );
      }),
    );
  });

  it("of nothing is no request", () => {
    expect(cutRequests([], 1_000)).toEqual({ requests: [], tooLong: [] });
  });
});

describe("a line of a bridge", () => {
  it.each([
    ['{"ready":true,"universe":8}', { type: "ready", about: { ready: true, universe: 8 } }],
    [
      '{"fatal":"repo_unavailable","detail":"gone"}',
      { type: "fatal", fatal: "repo_unavailable", detail: "gone" },
    ],
    ['{"batch":"b1","fatal":true}', { type: "fatal", fatal: "fatal", detail: "it gave no detail" }],
    ['{"batch":"b1","items":[]}', { type: "answer", batch: "b1", items: [] }],
    ['{"ready":false}', { type: "garbage" }],
    ['{"batch":1,"items":[]}', { type: "garbage" }],
    ['{"batch":"b1"}', { type: "garbage" }],
    ['{"batch":"b1","items":{}}', { type: "garbage" }],
    ["[]", { type: "garbage" }],
    ["null", { type: "garbage" }],
    ["17", { type: "garbage" }],
    ["", { type: "garbage" }],
    ["{", { type: "garbage" }],
  ])("%s", (line, message) => {
    expect(readBridgeLine(line)).toMatchObject(message);
  });

  it("of anything never throws", () => {
    fc.assert(fc.property(fc.string({ unit: "binary" }), (line) => void readBridgeLine(line)));
    fc.assert(fc.property(fc.json(), (line) => void readBridgeLine(line)));
  });
});

describe("an answer", () => {
  const keys = ["a", "b", "c"];
  const of = (key: string, status: string, more: Readonly<Record<string, unknown>> = {}) => ({
    key,
    status,
    ...more,
  });

  it("gives each item what is said of it, in any order", () => {
    expect(
      judgeAnswer(keys, [
        of("c", "retry", { class: "db_busy", detail: "locked" }),
        of("a", "ingested", { exposure_new: true }),
        of("b", "duplicate", { detail: "same uri" }),
      ]),
    ).toEqual({
      results: [
        { status: "ingested" },
        { status: "duplicate", detail: "same uri" },
        { status: "retry", reason: "db_busy", detail: "locked" },
      ],
      breach: null,
    });
  });

  it.each([
    [
      { class: "metadata", detail: "x" },
      { reason: "metadata", detail: "x" },
    ],
    [{}, { reason: "CatalogRefused", detail: "the bridge gave no detail" }],
    [{ class: "two words" }, { reason: "CatalogRefused", detail: '"two words": the bridge gave no detail' }],
    [{ class: "x".repeat(65), detail: "d" }, { reason: "CatalogRefused" }],
    [
      { class: 7, detail: 8 },
      { reason: "CatalogRefused", detail: "7: the bridge gave no detail" },
    ],
    [{ class: null }, { reason: "CatalogRefused" }],
  ])("a refusal with %j", (more, result) => {
    expect(judgeAnswer(["a"], [of("a", "permanent", more)])).toMatchObject({
      results: [{ status: "permanent", ...result }],
      breach: null,
    });
  });

  it("keeps what is clear beside what is not, and any fault is told", () => {
    const status = (answers: ReadonlyArray<unknown>): unknown => {
      const { results, breach } = judgeAnswer(keys, answers);
      return [...results.map((result) => result.status), breach === null];
    };
    const all = [of("a", "ingested"), of("b", "ingested"), of("c", "ingested")];
    expect(status(all)).toEqual(["ingested", "ingested", "ingested", true]);
    expect(status(all.slice(1))).toEqual(["retry", "ingested", "ingested", false]);
    expect(status([])).toEqual(["retry", "retry", "retry", false]);
    expect(status([...all, of("a", "ingested")])).toEqual(["ingested", "ingested", "ingested", false]);
    expect(status([...all, of("a", "permanent")])).toEqual(["retry", "ingested", "ingested", false]);
    // Contradicted once is contradicted, whatever is said after.
    expect(status([...all, of("a", "permanent"), of("a", "ingested")])).toEqual([
      "retry",
      "ingested",
      "ingested",
      false,
    ]);
    expect(status([...all, of("d", "ingested")])).toEqual(["ingested", "ingested", "ingested", false]);
    expect(status([...all, { status: "ingested" }, 7, null])).toEqual([
      "ingested",
      "ingested",
      "ingested",
      false,
    ]);
    expect(status([of("a", "Ingested"), ...all.slice(1)])).toEqual(["retry", "ingested", "ingested", false]);
    expect(status([{ key: "a" }, ...all.slice(1)])).toEqual(["retry", "ingested", "ingested", false]);
  });

  it("of anything gives each item one result, bounded, and good ones only to what is said to be good", () => {
    const answer = fc.oneof(
      fc.jsonValue(),
      fc.record(
        {
          key: fc.oneof(fc.constantFrom(...keys), fc.jsonValue()),
          status: fc.oneof(fc.constantFrom("ingested", "duplicate", "permanent", "retry"), fc.jsonValue()),
          class: fc.jsonValue(),
          detail: fc.oneof(fc.jsonValue(), fc.constant("é".repeat(recordTextBytesMax))),
        },
        { requiredKeys: [] },
      ),
    );
    fc.assert(
      fc.property(fc.array(answer, { maxLength: 6 }), (answers) => {
        const { results, breach } = judgeAnswer(keys, answers);
        expect(results).toHaveLength(keys.length);
        results.forEach((result, i) => {
          expect(Buffer.byteLength(result.detail ?? "")).toBeLessThanOrEqual(recordTextBytesMax);
          const said = answers.filter((given) => (given as { key?: unknown } | null)?.key === keys[i]);
          const told = new Set(said.map((given) => (given as { status?: unknown }).status));
          if (result.status === "ingested" || result.status === "duplicate")
            expect([...told]).toEqual([result.status]);
          if (result.status === "retry" && result.reason === protocolReason) expect(breach).not.toBeNull();
        });
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("the next start", () => {
  const rules = { firstMs: 500, mostMs: 30_000 };

  it("is at once after a life that served, and later and later after those that did not", () => {
    expect(restartDelayMs(1, true, rules, 0.5)).toBe(0);
    expect([2, 3, 4].map((failures) => restartDelayMs(failures, true, rules, 0.5))).toEqual([
      275, 550, 1_100,
    ]);
    // One that does not start is never started again at once.
    expect([1, 2, 3].map((failures) => restartDelayMs(failures, false, rules, 0.5))).toEqual([
      275, 550, 1_100,
    ]);
    fc.assert(
      fc.property(
        fc.nat(1_000_000),
        fc.boolean(),
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        (failures, started, random) => {
          const ms = restartDelayMs(failures, started, rules, random);
          expect(ms).toBeLessThanOrEqual(rules.mostMs);
          if (!started || failures > 1) expect(ms).toBeGreaterThan(0);
        },
      ),
    );
  });
});
