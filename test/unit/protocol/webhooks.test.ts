import * as fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import {
  messageBytesMax,
  notifiedMarksMax,
  notifiedRefusalsMax,
  objectKeyBytesMax,
  webhookFilesMax,
} from "../../../src/limits.ts";
import type { FileBody, LedgerRecord, State } from "../../../src/protocol/records.ts";
import { encodeJson, LedgerCorrupt } from "../../../src/protocol/records.ts";
import type { Told } from "../../../src/protocol/webhooks.ts";
import {
  accepted,
  decodeNotified,
  idempotencyKey,
  judgeStatus,
  markOf,
  nothingNotified,
  refusedBy,
  toldOf,
  webhookBody,
} from "../../../src/protocol/webhooks.ts";
import { plainRecord } from "../../support/records.ts";

const exposure = "MC_O_20251121_000156";

function record(state: State, body: Partial<FileBody> = {}, etag = "e1"): LedgerRecord<FileBody> {
  const whole: FileBody = {
    bucket: "raw",
    key: `LSSTCam/20251121/${exposure}/${exposure}_R22_S11.fits`,
    size: null,
    uri: "",
    identity: {
      instrument: "LSSTCam",
      day: "20251121",
      exposure,
      group: null,
      snap: null,
      detector: null,
      seq: null,
    },
    metadata: null,
    via: "",
    receivedAt: "",
    sequence: 1,
    ...body,
  };
  return plainRecord(state, whole, { etag });
}

const told = (filename: string): Told => ({
  instrument: "LSSTCam",
  day: "20251121",
  exposure,
  filename,
  mark: markOf(filename, "e"),
});

test("a known file of an exposure is told by its name alone", () => {
  expect(toldOf("file.raw.x", record("known"))).toEqual({
    instrument: "LSSTCam",
    day: "20251121",
    exposure,
    filename: `${exposure}_R22_S11.fits`,
    mark: markOf("file.raw.x", "e1"),
  });
});

test.each([
  ["failing", record("failing")],
  ["waiting", record("waiting")],
  ["parked", record("parked")],
  ["a duplicate of the catalog", record("known", { catalogHadIt: true })],
  ["of no identity", record("known", { identity: null })],
])("%s: nothing is told", (_what, one) => expect(toldOf("k", one)).toBeNull());

test("the body is what receivers have always got", () => {
  expect(webhookBody(exposure, [told("b.fits"), told("a.fits")])).toBe(
    `{"exp_id":"${exposure}","filenames":["b.fits","a.fits"]}`,
  );
});

test("one content is one mark, and one set of files of one receiver one key", () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.string(), { minLength: 1 }), fc.string(), fc.string(), (names, a, b) => {
      expect(markOf(a, b) === markOf(b, a)).toBe(a === b);
      const files = names.map(told);
      const key = idempotencyKey("summit", exposure, files);
      expect(idempotencyKey("summit", exposure, files.toReversed())).toBe(key);
      expect(idempotencyKey("base", exposure, files)).not.toBe(key);
      expect(idempotencyKey("summit", exposure, files.slice(1))).not.toBe(key);
    }),
  );
});

describe("what an answer means", () => {
  it.each([200, 201, 202, 204, 299])("%i: taken", (status) =>
    expect(judgeStatus(status, undefined, "")).toEqual({ type: "accepted" }),
  );

  it.each([400, 402, 406, 409, 410, 411, 413, 415, 422, 451])("%i: this one it will not have", (status) =>
    expect(judgeStatus(status, "5", " no\n thanks ")).toEqual({
      type: "refused",
      reason: `HTTP ${status}: no thanks`,
    }),
  );

  it.each([301, 302, 307, 308, 401, 403, 404, 405, 407, 408, 421, 425, 429, 500, 502, 503, 504])(
    "%i: another time",
    (status) =>
      expect(judgeStatus(status, undefined, "")).toEqual({
        type: "again",
        reason: `HTTP ${status}`,
        afterMs: 0,
      }),
  );

  it.each([
    ["7", 7_000],
    [" 7 ", 7_000],
    ["Wed, 21 Oct 2026 07:28:00 GMT", 0],
    ["-1", 0],
    ["99999999999999", 0],
  ])("Retry-After: %s", (header, afterMs) =>
    expect(judgeStatus(503, header, "")).toMatchObject({ type: "again", afterMs }),
  );
});

describe("the record of what was told", () => {
  const [a, b] = [told("a"), told("b")];

  it("adds up", () => {
    const first = accepted(nothingNotified(exposure), [a], 0);
    const second = refusedBy(first, [b], "HTTP 422", 1_000);
    const third = accepted(second, [a], 2_000);
    expect(third).toEqual({
      v: 1,
      exposure,
      accepted: 2,
      at: "1970-01-01T00:00:02.000Z",
      told: [a.mark, b.mark],
      refused: [{ at: "1970-01-01T00:00:01.000Z", reason: "HTTP 422", filenames: ["b"] }],
    });
    expect(decodeNotified("k", encodeJson(third))).toEqual(third);
  });

  it("has an end: the oldest goes first", () => {
    const many = Array.from({ length: notifiedMarksMax + 1 }, (_, n) => told(`f${n}`));
    const full = accepted(nothingNotified(exposure), many, 0);
    expect([full.told.length, full.told[0], full.told.at(-1)]).toEqual([
      notifiedMarksMax,
      many[1]?.mark,
      many.at(-1)?.mark,
    ]);
    let refused = nothingNotified(exposure);
    for (let n = 0; n <= notifiedRefusalsMax; n++) refused = refusedBy(refused, [a], `r${n}`, 0);
    expect([refused.refused.length, refused.refused[0]?.reason]).toEqual([notifiedRefusalsMax, "r1"]);
  });

  it("that nobody of us wrote is told apart", () => {
    for (const data of [encodeJson({ v: 1 }), encodeJson(7), Buffer.from("")]) {
      expect(() => decodeNotified("k", data)).toThrow(LedgerCorrupt);
    }
  });
});

test("what was not taken is no more than a message holds, whatever the files are called", () => {
  let kept = nothingNotified(exposure);
  for (let i = 0; i < notifiedMarksMax + notifiedRefusalsMax * webhookFilesMax; i += webhookFilesMax) {
    const files = Array.from({ length: webhookFilesMax }, (_, n) =>
      told(`${i + n}`.padEnd(objectKeyBytesMax, "\u0001")),
    );
    kept = refusedBy(kept, files, "\u0001".repeat(10_000), 0);
  }
  expect(encodeJson(kept).length).toBeLessThan(messageBytesMax);
  const names = kept.refused.at(-1)?.filenames ?? [];
  expect(names.at(-1)).toBe(`… and ${webhookFilesMax + 1 - names.length} more`);
  // A whole exposure of usual names is named whole.
  const files = Array.from({ length: 205 }, (_, n) => told(`${exposure}_R22_S${n}.fits`));
  expect(refusedBy(nothingNotified(exposure), files, "no", 0).refused[0]?.filenames).toEqual(
    files.map(({ filename }) => filename),
  );
});
