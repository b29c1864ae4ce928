import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { seenMarksPerKeyMax } from "../../../src/limits.ts";
import { encodeMarks, Marks, seenMark } from "../../../src/protocol/seen.ts";

const stored = (values: ReadonlyArray<Uint8Array>): Marks => {
  const marks = new Marks();
  for (const value of values) marks.add(value);
  return marks;
};

describe("what is remembered of a purged day", () => {
  it("holds each mark that was put in, and no other", () => {
    const mark = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
    fc.assert(
      fc.property(fc.array(mark), fc.array(mark), (put, others) => {
        const marks = stored(encodeMarks(put));
        expect(put.every((one) => marks.has(one))).toBe(true);
        expect(marks.count).toBe(new Set(put).size);
        for (const other of others) expect(marks.has(other)).toBe(put.includes(other));
      }),
    );
  });

  it("is spread over as many values as it needs, searched together", () => {
    const put = Array.from({ length: seenMarksPerKeyMax + 2 }, (_, n) => BigInt(n) * 3n);
    const values = encodeMarks(put);
    expect(values.map((value) => value.length)).toEqual([seenMarksPerKeyMax * 8, 16]);
    const marks = stored(values);
    for (const n of [0, 1, seenMarksPerKeyMax - 1, seenMarksPerKeyMax, seenMarksPerKeyMax + 1])
      expect(marks.has(BigInt(n) * 3n)).toBe(true);
    expect(marks.has(1n)).toBe(false);
    expect(marks.has(BigInt(seenMarksPerKeyMax) * 3n + 1n)).toBe(false);
  });

  it("leaves bytes out that are no marks", () => {
    const marks = stored([new Uint8Array(7)]);
    expect(marks.count).toBe(0);
  });

  it("tells names and contents apart, whatever stands in them", () => {
    const parts = [
      ["a/b", "e"],
      ["a/b", ""],
      ["a/b/e", ""],
      ["a/b", "E"],
      ["a", "b/e"],
    ] as const;
    expect(new Set(parts.map(([tail, etag]) => seenMark(tail, etag))).size).toBe(parts.length);
  });
});
