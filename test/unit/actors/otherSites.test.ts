/** What a site asks of the supernode, without either: who is answered, when, and how often it is asked. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { OtherSites } from "../../../src/actors/OtherSites.ts";
import {
  sitesAskMs,
  sitesAsksInFlightMax,
  sitesAsksQueuedMax,
  sitesAwayMs,
  sitesWatchMs,
} from "../../../src/limits.ts";
import type { SitesAnswer } from "../../../src/protocol/sitesPresence.ts";
import {
  nobodyAsked,
  readSitesQuestion,
  writeAnswer,
  writeRefusal,
} from "../../../src/protocol/sitesPresence.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const found = { site: "base", uri: "s3://b/x" };
const present: SitesAnswer = { found, unheard: [] };
const absent: SitesAnswer = { found: null, unheard: [] };
const key = (i: number): string => `LSSTCam.g${i}.0.R22_S11`;

interface Asked {
  readonly key: string;
  readonly waitMs: number;
  readonly answer: (answer: SitesAnswer | string) => void;
  readonly fail: () => void;
}

/** A supernode that answers when the test says so; a question ends at its deadline as a real one does. */
function supernode() {
  const asked: Array<Asked> = [];
  const told: Array<string> = [];
  const others = new OtherSites(
    (text, deadlineMs) =>
      new Promise((resolve, reject) => {
        const question = readSitesQuestion(bytes(text));
        if (question === null) throw new Error(`no question: ${text}`);
        const late = setTimeout(() => reject(new Error("timeout")), deadlineMs);
        const end = (done: () => void) => () => {
          clearTimeout(late);
          done();
        };
        asked.push({
          ...question,
          answer: (answer) =>
            end(() =>
              resolve(bytes(typeof answer === "string" ? writeRefusal(answer) : writeAnswer(answer))),
            )(),
          fail: end(() => reject(new Error("nobody serves the subject"))),
        });
      }),
    (level, message) => void told.push(`${level}: ${message}`),
  );
  return { asked, told, others };
}

function look(others: OtherSites, name: string): Array<SitesAnswer> {
  const answers: Array<SitesAnswer> = [];
  others.lookUp(name, (answer) => void answers.push(answer));
  return answers;
}

const settle = (): Promise<unknown> => vi.advanceTimersByTimeAsync(0);

describe("a look-up", () => {
  it("is answered with what the supernode says", async () => {
    const { asked, others } = supernode();
    const [one, two] = [look(others, key(1)), look(others, key(2))];
    expect(asked.map(({ key: name, waitMs }) => [name, waitMs])).toEqual([
      [key(1), 0],
      [key(2), 0],
    ]);
    asked[1]?.answer(absent);
    asked[0]?.answer(present);
    await settle();
    expect([one, two]).toEqual([[present], [absent]]);
  });

  it("shares a question that begins after it, and none that was asked before", async () => {
    const { asked, others } = supernode();
    const first = look(others, key(1));
    const later = [look(others, key(1)), look(others, key(1)), look(others, key(1))];
    expect(asked).toHaveLength(1);
    asked[0]?.answer(absent);
    await settle();
    expect(first).toEqual([absent]);
    expect(later).toEqual([[], [], []]);
    expect(asked).toHaveLength(2);
    asked[1]?.answer(present);
    await settle();
    expect(later).toEqual([[present], [present], [present]]);
  });

  it("is bounded in flight and in the queue: what is too much is told that nobody was asked", async () => {
    const { asked, others } = supernode();
    const all = Array.from({ length: sitesAsksQueuedMax }, (_, i) => look(others, key(i)));
    expect(asked).toHaveLength(sitesAsksInFlightMax);
    expect(look(others, "L.more.0.R22_S11")).toEqual([nobodyAsked]);
    for (let i = 0; i < asked.length; i++) {
      asked[i]?.answer(absent);
      if (i % 500 === 0) await settle();
    }
    while (asked.length < sitesAsksQueuedMax) {
      await settle();
      for (const { answer } of asked) answer(absent);
    }
    for (const { answer } of asked) answer(absent);
    await settle();
    expect(all.every((answers) => answers.length === 1 && answers[0]?.unheard.length === 0)).toBe(true);
  });
});

describe("a supernode that is away", () => {
  it("is waited for once, then by nobody, then asked by one at a time until it is back", async () => {
    const { asked, told, others } = supernode();
    const first = look(others, key(1));
    await vi.advanceTimersByTimeAsync(sitesAskMs - 1);
    expect(first).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(first).toEqual([nobodyAsked]);
    for (let i = 0; i < 1_000; i++) expect(look(others, key(i))).toEqual([nobodyAsked]);
    expect(asked).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(sitesAwayMs);
    const probe = look(others, key(2));
    for (let i = 0; i < 1_000; i++) expect(look(others, key(3))).toEqual([nobodyAsked]);
    expect(asked).toHaveLength(2);
    asked[1]?.answer(present);
    await settle();
    expect(probe).toEqual([present]);
    look(others, key(4));
    look(others, key(5));
    expect(asked).toHaveLength(4);
    expect(told.map((line) => line.split(":")[0])).toEqual(["warn", "info"]);
  });

  it("is away at once where nobody serves the subject, and where it refuses", async () => {
    for (const end of [(one: Asked) => one.fail(), (one: Asked) => one.answer("summit has not joined")]) {
      const { asked, others } = supernode();
      const first = look(others, key(1));
      const one = asked[0];
      if (one !== undefined) end(one);
      await settle();
      expect(first).toEqual([nobodyAsked]);
      expect(look(others, key(2))).toEqual([nobodyAsked]);
      expect(asked).toHaveLength(1);
    }
  });

  it("is not, where one question is lost and another answered", async () => {
    const { asked, told, others } = supernode();
    const lost = look(others, key(1));
    await vi.advanceTimersByTimeAsync(sitesAskMs / 2);
    look(others, key(2));
    asked[1]?.answer(absent);
    await vi.advanceTimersByTimeAsync(sitesAskMs / 2);
    expect(lost).toEqual([nobodyAsked]);
    look(others, key(3));
    expect(asked).toHaveLength(3);
    expect(told).toEqual([]);
  });

  it("lets go of those who wait behind it: none of them waits for a deadline of its own", async () => {
    const { asked, others } = supernode();
    const all = Array.from({ length: sitesAsksInFlightMax * 3 }, (_, i) => look(others, key(i)));
    await vi.advanceTimersByTimeAsync(sitesAskMs);
    expect(all.every(([answer]) => answer === nobodyAsked)).toBe(true);
    expect(asked).toHaveLength(sitesAsksInFlightMax);
  });
});

describe("who waits", () => {
  it("is told when the group comes, by questions that are held back, and shares them", async () => {
    const { asked, others } = supernode();
    const [one, two] = [vi.fn(), vi.fn()];
    others.watch(key(1), 60_000, one);
    others.watch(key(1), 30_000, two);
    expect(asked.map(({ waitMs }) => waitMs)).toEqual([sitesWatchMs]);
    await vi.advanceTimersByTimeAsync(sitesWatchMs);
    asked[0]?.answer(absent);
    await settle();
    await settle();
    expect(asked).toHaveLength(2);
    asked[1]?.answer(present);
    await settle();
    expect([one.mock.calls, two.mock.calls]).toEqual([[[found]], [[found]]]);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(asked).toHaveLength(2);
  });

  it("asks no more once everybody has gone", async () => {
    const { asked, others } = supernode();
    const leaves = [others.watch(key(1), 60_000, vi.fn()), others.watch(key(1), 60_000, vi.fn())];
    leaves[0]?.();
    await vi.advanceTimersByTimeAsync(sitesWatchMs);
    asked[0]?.answer(absent);
    await settle();
    await settle();
    expect(asked).toHaveLength(2);
    leaves[1]?.();
    asked[1]?.answer(absent);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(asked).toHaveLength(2);
  });

  it("does not ask again and again what is not held back, or not answered", async () => {
    const { asked, others } = supernode();
    others.watch(key(1), 10_000, vi.fn());
    asked[0]?.answer(absent);
    await vi.advanceTimersByTimeAsync(sitesAwayMs - 1);
    expect(asked).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(asked).toHaveLength(2);
    asked[1]?.fail();
    await vi.advanceTimersByTimeAsync(sitesAwayMs - 1);
    expect(asked).toHaveLength(2);
  });
});
