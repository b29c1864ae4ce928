import { describe, expect, it } from "vitest";
import { answerLength } from "../../bench/http.ts";
import { median, ofRounds, percentile } from "../../bench/result.ts";

describe("what a benchmark says", () => {
  it.each([
    [[3, 1, 2], 2],
    [[4, 1, 2, 3], 2.5],
    [[7], 7],
  ])("the median of %j is %d", (values, expected) => {
    expect(median(values)).toBe(expected);
  });

  it("is the value that a share of all do not exceed", () => {
    const hundred = Array.from({ length: 100 }, (_, i) => 100 - i);
    expect([0.5, 0.99, 1].map((share) => percentile(hundred, share))).toEqual([50, 99, 100]);
    expect(percentile([], 0.5)).toBeNull();
  });

  it("compares within each round, so that a round in which the machine was busy counts like any other", () => {
    const rounds = [
      { ours: 90, raw: 100 },
      { ours: 9, raw: 10 },
      { ours: 45, raw: 50 },
    ];
    expect(ofRounds(rounds)).toMatchObject({ ours: 45, raw: 50, ratio: 0.9 });
  });

  it("has no ratio without a plain program", () => {
    expect(ofRounds([{ ours: 2, raw: null }])).toMatchObject({ ours: 2, raw: null, ratio: null });
  });
});

describe("the load generator", () => {
  const answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]";

  it("takes one whole answer", () => {
    expect(answerLength(answer)).toBe(answer.length);
    expect(answerLength(`${answer}HTTP/1.1 200`)).toBe(answer.length);
  });

  it.each([10, answer.length - 1])("waits for the rest of one of which %d bytes came", (bytes) => {
    expect(answerLength(answer.slice(0, bytes))).toBe(0);
  });

  it("does not count what was refused", () => {
    expect(() => answerLength("HTTP/1.1 503 no\r\nContent-Length: 0\r\n\r\n")).toThrow("503");
  });
});
