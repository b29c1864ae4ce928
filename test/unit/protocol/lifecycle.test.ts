import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { recordErrorsMax, recordHistoryMax, recordTextBytesMax } from "../../../src/limits.ts";
import type { Place } from "../../../src/protocol/keys.ts";
import { dueKey, parkedKey, waitingKey } from "../../../src/protocol/keys.ts";
import type { Moment, Outcome, RetryRules, Settlement } from "../../../src/protocol/lifecycle.ts";
import {
  backoffMs,
  contentChangedReason,
  crashed,
  crashedReason,
  discarded,
  freed,
  indexKeyOf,
  judge,
  refuse,
  replayed,
  settle,
} from "../../../src/protocol/lifecycle.ts";
import type { LedgerRecord, State } from "../../../src/protocol/records.ts";
import { isTerminal } from "../../../src/protocol/records.ts";

interface Body {
  readonly text: string;
}

const place: Place = { mailbox: "lsstcam", day: "20250416", tail: "raw/a.fits" };
const rules: RetryRules = { attemptsMax: 3, crashesAloneMax: 2, backoffBaseMs: 100, backoffMaxMs: 1_000 };
const body: Body = { text: "as it came" };
const start = Date.UTC(2025, 3, 16);
const at = (now: number, claim = "epoch.1"): Moment => ({ now, random: 0.5, node: "n1", claim });
const subjectOf = (before: LedgerRecord<Body> | null, alone = false, etag = before?.etag ?? "A") => ({
  place,
  etag,
  generation: before === null ? 0 : etag === before.etag ? before.generation : before.generation + 1,
  before,
  body: before?.body ?? body,
  alone,
});

const transient: Outcome<Body> = { type: "transient", reason: "Slow", detail: "try again" };
const permanent: Outcome<Body> = { type: "permanent", reason: "Bad", detail: "no header" };
const done: Outcome<Body> = { type: "done", body: { text: "read" }, touches: ["exposure.x"] };
const crash: Outcome<Body> = { type: "crash", detail: "its process died" };
const wait: Outcome<Body> = {
  type: "not-yet",
  needs: "exposure.x",
  waitMaxMs: 5_000,
  reason: "ExposureNeverCame",
  detail: "not known yet",
};
const settled = (before: LedgerRecord<Body> | null, outcome: Outcome<Body>, now = start, alone = false) =>
  settle(subjectOf(before, alone), outcome, rules, at(now), "known");

/** One thing that can befall a file, drawn at random. */
type Step =
  | { readonly do: "work"; readonly outcome: Outcome<Body>; readonly alone: boolean }
  | {
      readonly do: "deliver";
      readonly etag: string;
      readonly generation: number;
      readonly outcome: Outcome<Body>;
    }
  | { readonly do: "reclaim"; readonly alone: boolean }
  | { readonly do: "free" | "replay" | "discard" | "time" };

const longText = fc.oneof(
  fc.constant("short"),
  // The limit is in bytes, and may fall into the middle of a character.
  fc
    .tuple(fc.nat(4), fc.constantFrom("a", "é", "日", "🔭"), fc.integer({ min: 250, max: 1_100 }))
    .map(([before, unit, times]) => "x".repeat(before) + unit.repeat(times)),
);
const outcome: fc.Arbitrary<Outcome<Body>> = fc.oneof(
  fc.constantFrom(done, transient, permanent, crash, wait, { ...wait, needs: "exposure.y" }),
  fc
    .tuple(fc.constantFrom(transient, permanent, crash, wait), longText)
    .map(([of, detail]) => ({ ...of, detail })),
);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant("work" as const), outcome, alone: fc.boolean() }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("deliver" as const),
      etag: fc.constantFrom("A", "B", "C", ..."DEFGHIJKLMNOP".split("")),
      generation: fc.nat(4),
      outcome,
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("reclaim" as const), alone: fc.boolean() }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constantFrom("free" as const, "replay" as const, "discard" as const, "time" as const),
    }),
  },
);

/** The ledger as far as one file goes, and what was seen on the way. */
class Model {
  record: LedgerRecord<Body> | null = null;
  readonly index = new Map<string, NonNullable<Settlement<Body>["begins"]>["value"]>();
  now = start;
  /** A parked record that was given up on has no index any more. */
  discarded = false;
  readonly onContentChange: "refuse" | "supersede";

  constructor(onContentChange: "refuse" | "supersede") {
    this.onContentChange = onContentChange;
  }

  take(next: Step): void {
    const { record } = this;
    this.now += 100;
    switch (next.do) {
      case "time":
        this.now += 10_000;
        return;
      case "work":
        // A new file, or what stands in the queue: the delivery of the record's own generation.
        if (record === null) this.#settle(null, "A", 0, next.outcome, next.alone);
        else if (!isTerminal(record.state))
          this.#deliver(record.etag, record.generation, next.outcome, next.alone);
        return;
      case "deliver":
        this.#deliver(next.etag, next.generation, next.outcome, false);
        return;
      case "reclaim":
        if (record !== null && !isTerminal(record.state)) {
          this.#write(
            crashed(subjectOf(record, next.alone), rules, at(this.now), "its node is gone"),
            "crash",
          );
          this.#judgeCrash(record, next.alone);
        }
        return;
      case "free":
        if (record?.state === "waiting") this.#write(freed(place, record, at(this.now), "it came"), "free");
        return;
      case "replay":
        if (record?.state === "parked" || (record?.refused?.length ?? 0) > 0) {
          if (record !== null) this.#write(replayed(place, record, at(this.now), "by hand"), "replay");
        }
        return;
      case "discard":
        if (record !== null && this.index.has(parkedKey(place)))
          this.#write(discarded(place, record, at(this.now), "by hand"), "discard");
    }
  }

  #deliver(etag: string, generation: number, outcome: Outcome<Body>, alone: boolean): void {
    const { record } = this;
    const verdict = judge({ etag, generation }, record, this.onContentChange);
    if (record !== null && record.etag === etag) {
      // The heart of it: what is settled is never worked on again, and of what is not only the latest generation.
      const stale = isTerminal(record.state) || record.generation !== generation;
      expect(verdict.type).toBe(stale ? "drop" : "work");
    }
    if (verdict.type === "drop") return;
    if (verdict.type === "refuse") {
      if (record === null) throw new Error("nothing stands that could stay");
      expect(this.onContentChange).toBe("refuse");
      expect(record.state).toBe("known");
      const content = { etag, size: null, at: "", sequence: 1 };
      const before = record;
      this.#write(refuse({ ...subjectOf(record), etag, before: record }, content, at(this.now)), "refuse");
      expect(this.record).toMatchObject({ state: "known", etag: before.etag, generation: before.generation });
      return;
    }
    this.#settle(record, etag, verdict.generation, outcome, alone);
  }

  #settle(
    before: LedgerRecord<Body> | null,
    etag: string,
    generation: number,
    outcome: Outcome<Body>,
    alone: boolean,
  ): void {
    const subject = { place, etag, generation, before, body, alone };
    const settlement = settle(subject, outcome, rules, at(this.now), "known");
    const { record: after } = settlement;
    const same = before?.etag === etag;
    expect(settlement.touches).toEqual(outcome.type === "done" ? ["exposure.x"] : []);
    expect(after.claim).toBe("epoch.1");
    expect(after.generation).toBe(generation + (isTerminal(after.state) ? 0 : 1));
    expect(after.attempts).toBe(
      (same ? (before?.attempts ?? 0) : 0) + (outcome.type === "transient" ? 1 : 0),
    );
    this.#write(settlement, "settle");
    if (before !== null && before.state === "known" && !same)
      expect(after.superseded).toContainEqual(expect.objectContaining({ etag: before.etag }));
    const until = same ? before?.waitUntil : undefined;
    switch (outcome.type) {
      case "done":
        expect([after.state, after.refused, after.waitUntil]).toEqual(["known", undefined, undefined]);
        break;
      case "permanent":
        expect(after.state).toBe("parked");
        break;
      case "transient":
        expect(after.state).toBe(after.attempts >= rules.attemptsMax ? "parked" : "failing");
        break;
      case "not-yet":
        expect(after.state).toBe(until !== undefined && this.now >= until ? "parked" : "waiting");
        if (after.state === "waiting") expect(after.waitUntil).toBe(until ?? this.now + 5_000);
        break;
      case "crash":
        this.#judgeCrash(same ? before : null, alone);
    }
    if (after.state === "failing") expect(after.waitUntil).toBe(until);
  }

  /** A crash costs no attempt and parks nobody who has not crashed alone, often enough. */
  #judgeCrash(before: LedgerRecord<Body> | null, alone: boolean): void {
    const after = this.record;
    const crashesAlone = (before?.crashesAlone ?? 0) + (alone ? 1 : 0);
    expect(after?.attempts).toBe(before?.attempts ?? 0);
    expect(after?.crashes).toBe((before?.crashes ?? 0) + 1);
    expect(after?.crashesAlone).toBe(crashesAlone);
    expect(after?.state).toBe(alone && crashesAlone >= rules.crashesAloneMax ? "parked" : "failing");
    if (after?.state === "failing") expect(after.waitUntil).toBe(before?.waitUntil);
  }

  #write(settlement: Settlement<Body>, how: string): void {
    const { record: before } = this;
    const { record: after, ends, begins } = settlement;
    if (ends !== null) {
      // It names what stands, or ends once more what an operator has ended.
      expect(this.index.has(ends) || this.discarded).toBe(true);
      expect(ends).not.toBe(begins?.key);
      this.index.delete(ends);
    }
    if (begins !== null) this.index.set(begins.key, begins.value);
    this.record = after;
    this.discarded = how === "discard" && after.state === "parked";
    const wanted = this.discarded ? null : indexKeyOf(place, after);
    expect([...this.index.keys()]).toEqual(wanted === null ? [] : [wanted]);
    if (!isTerminal(after.state)) {
      expect([dueKey(place), waitingKey("exposure.x", place), waitingKey("exposure.y", place)]).toContain(
        wanted,
      );
      expect(begins?.value).toMatchObject({ generation: after.generation });
      if (before !== null) expect(after.generation).toBeGreaterThan(before.generation);
    }
    if (how === "free" || how === "replay") {
      expect(after).toMatchObject({ state: "failing", generation: (before?.generation ?? 0) + 1 });
      expect(begins?.value).toMatchObject({ notBefore: this.now, putBack: null });
      expect(after.waitUntil).toBe(how === "free" ? before?.waitUntil : undefined);
    }
    expect(after.history.length).toBeLessThanOrEqual(recordHistoryMax);
    expect(after.history.length).toBeGreaterThanOrEqual(
      Math.min((before?.history.length ?? 0) + 1, recordHistoryMax),
    );
    expect(after.history[0]).toEqual(before?.history[0] ?? after.history[0]);
    for (const list of [after.errors, after.refused ?? [], after.superseded ?? []])
      expect(list.length).toBeLessThanOrEqual(recordErrorsMax);
    for (const { detail = "" } of [...after.errors, ...after.history]) {
      expect(Buffer.byteLength(detail)).toBeLessThanOrEqual(recordTextBytesMax);
      expect(detail.isWellFormed()).toBe(true);
    }
  }
}

describe("the life of a file, whatever befalls it", () => {
  for (const onContentChange of ["refuse", "supersede"] as const)
    it(`keeps every invariant where other content means ${onContentChange}`, () => {
      fc.assert(
        fc.property(fc.array(step, { maxLength: 60, size: "max" }), (steps) => {
          const model = new Model(onContentChange);
          for (const next of steps) model.take(next);
        }),
        { numRuns: 600 },
      );
    });

  it("neighbours of a killer are never parked, however often it kills", () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { maxLength: 50 }), (settles) => {
        let record: LedgerRecord<Body> | null = null;
        for (const bySettle of settles) {
          const subject = subjectOf(record);
          record = (
            bySettle
              ? settle<Body>(subject, crash, rules, at(start), "known")
              : crashed<Body>(subject, rules, at(start), "killed")
          ).record;
          expect(record).toMatchObject({ state: "failing", attempts: 0, crashesAlone: 0 });
        }
      }),
    );
  });

  it("what a newer version wrote on a record is kept", () => {
    const before = { ...settled(null, transient).record, origin: "site-b" };
    for (const { record } of [
      settled(before, done),
      settled(before, permanent),
      settled(before, wait),
      settled(before, crash),
      freed(place, before, at(start), ""),
      replayed(place, before, at(start), ""),
      discarded(place, before, at(start), ""),
    ])
      expect(record).toHaveProperty("origin", "site-b");
  });
});

describe("a settle", () => {
  it("of a new file that is good: one record, no index", () => {
    expect(settled(null, done)).toEqual({
      record: {
        v: 1,
        state: "known",
        generation: 0,
        etag: "A",
        claim: "epoch.1",
        attempts: 0,
        crashes: 0,
        crashesAlone: 0,
        errors: [],
        history: [{ at: "2025-04-16T00:00:00.000Z", event: "known", node: "n1" }],
        body: { text: "read" },
      },
      ends: null,
      begins: null,
      touches: ["exposure.x"],
    });
  });

  it("of a run ends as done", () => {
    expect(settle(subjectOf(null), done, rules, at(start), "done").record.state).toBe("done");
  });

  it("tries again with backoff, then parks with the reason and every error", () => {
    const first = settled(null, transient);
    expect(first.begins).toEqual({
      key: dueKey(place),
      value: { v: 1, notBefore: start + 55, generation: 1, putBack: null },
    });
    const second = settled(first.record, transient);
    expect([second.ends, second.begins?.key, second.record.generation]).toEqual([null, dueKey(place), 2]);
    const third = settled(second.record, transient);
    expect([third.ends, third.begins?.key, third.record.state]).toEqual([
      dueKey(place),
      parkedKey(place),
      "parked",
    ]);
    expect(third.begins?.value).toMatchObject({ reason: "Slow" });
    expect(third.record.errors.map((error) => error.reason)).toEqual(["Slow", "Slow", "Slow"]);
  });

  it("says what it found when the outcome brings a body, and keeps what was known when not", () => {
    expect(settled(null, { ...transient, body: { text: "found" } }).record.body).toEqual({ text: "found" });
    expect(settled(null, crash).record.body).toEqual(body);
  });

  it("a second wait keeps the first one's end", () => {
    const first = settled(null, wait);
    expect(first.record).toMatchObject({
      state: "waiting",
      waitUntil: start + 5_000,
      waitingFor: "exposure.x",
    });
    const back = freed(place, first.record, at(start + 4_000), "it came");
    expect([back.ends, back.record.waitingFor]).toEqual([waitingKey("exposure.x", place), undefined]);
    for (const between of [crash, transient]) {
      const again = settled(settled(back.record, between, start + 4_100).record, wait, start + 4_500);
      expect(again.record).toMatchObject({ state: "waiting", waitUntil: start + 5_000 });
      expect(
        settled(freed(place, again.record, at(start + 5_000), "").record, wait, start + 5_000).record,
      ).toMatchObject({
        state: "parked",
        errors: expect.arrayContaining([expect.objectContaining({ reason: "ExposureNeverCame" })]) as unknown,
      });
    }
  });

  it("other content waits its own time, and owes nothing for what was before", () => {
    const old = settled(settled(null, wait).record, crash, start, true).record;
    const subject = { ...subjectOf(old, false, "B"), body };
    const next = settle(subject, wait, rules, at(start + 60_000), "known");
    expect(next.record).toMatchObject({
      state: "waiting",
      waitUntil: start + 65_000,
      crashes: 0,
      crashesAlone: 0,
    });
    const killed = settle(subject, crash, rules, at(start + 60_000), "known");
    expect(killed.record).toMatchObject({ state: "failing", crashes: 1 });
    expect(killed.record.waitUntil).toBeUndefined();
  });

  it.each(["known", "done"] as const)(
    "%s content that is superseded is remembered, even when its successor kills",
    (good) => {
      const before = settle(subjectOf(null), done, rules, at(start), good).record;
      for (const outcome of [done, transient, permanent, wait, crash]) {
        const { record } = settle(subjectOf(before, false, "B"), outcome, rules, at(start), good);
        expect(record.superseded).toMatchObject([{ etag: "A" }]);
        // The first content's delivery, come again late, must not take the place back.
        expect(judge({ etag: "A", generation: 0 }, record, "supersede")).toEqual({
          type: "drop",
          why: "duplicate",
        });
      }
    },
  );
});

describe("content that comes back", () => {
  const first = settled(null, done).record;
  const second = settle(subjectOf(first, false, "B"), done, rules, at(start), "known").record;

  it("takes its place again where its event is the newer, and only there", () => {
    const delivery = { etag: "A", generation: 0 };
    expect(judge(delivery, second, "supersede", "newer")).toMatchObject({ type: "work" });
    expect(judge(delivery, second, "supersede", "unknown")).toEqual({ type: "drop", why: "duplicate" });
    expect(judge(delivery, second, "supersede", "older")).toEqual({ type: "drop", why: "stale" });
    const third = settle(subjectOf(second, false, "A"), done, rules, at(start), "known").record;
    expect(third).toMatchObject({ etag: "A", state: "known", superseded: [{ etag: "A" }, { etag: "B" }] });
    expect(judge({ etag: "B", generation: 0 }, third, "supersede", "unknown")).toMatchObject({
      type: "drop",
    });
    expect(judge(delivery, third, "supersede", "newer")).toEqual({ type: "drop", why: "duplicate" });
  });

  it("new content of an older event takes no place, whatever stands", () => {
    const delivery = { etag: "C", generation: 0 };
    expect(judge(delivery, second, "supersede", "older")).toEqual({ type: "drop", why: "stale" });
    expect(judge(delivery, second, "refuse", "older")).toEqual({ type: "refuse" });
    expect(judge(delivery, second, "supersede", "newer")).toMatchObject({ type: "work" });
  });
});

describe("refused content", () => {
  const good = settled(null, done).record;
  const content = { etag: "B", size: null, at: "", sequence: 7 };
  const refused = refuse({ ...subjectOf(good), before: good }, content, at(start));

  it("leaves the good record as it is, and shows", () => {
    expect(refused.record).toMatchObject({ state: "known", etag: "A", generation: 0, refused: [content] });
    expect([refused.ends, refused.begins]).toEqual([
      null,
      {
        key: parkedKey(place),
        value: { v: 1, reason: contentChangedReason, at: "2025-04-16T00:00:00.000Z" },
      },
    ]);
    expect(
      refuse({ ...subjectOf(good), before: refused.record }, content, at(start)).record.refused,
    ).toHaveLength(1);
  });

  it("is accepted by a replay: the first is then superseded", () => {
    const { record, ends } = replayed(place, refused.record, at(start), "accepted");
    expect([record.etag, record.state, record.generation, ends]).toEqual([
      "B",
      "failing",
      1,
      parkedKey(place),
    ]);
    expect(record.superseded).toMatchObject([{ etag: "A" }]);
    expect(record.refused).toBeUndefined();
    expect(settled(record, done).ends).toBe(dueKey(place));
  });

  it("accepted again and again, does not make the record grow without end", () => {
    let record = good;
    for (let i = 0; i < 3 * recordErrorsMax; i++) {
      const next = { ...content, etag: `B${i}` };
      const shown = refuse({ ...subjectOf(record), before: record }, next, at(start)).record;
      record = settled(replayed(place, shown, at(start), "accepted").record, done).record;
    }
    expect(record.superseded).toHaveLength(recordErrorsMax);
    expect(record.superseded?.at(-1)?.etag).toBe(`B${3 * recordErrorsMax - 2}`);
  });

  it("is dropped by a discard: the first stays", () => {
    const { record, ends, begins } = discarded(place, refused.record, at(start), "dropped");
    expect([record.state, record.etag, record.refused, ends, begins]).toEqual([
      "known",
      "A",
      undefined,
      parkedKey(place),
      null,
    ]);
  });
});

describe("a crash", () => {
  it("alone, often enough, parks, and says so", () => {
    const once = crashed(subjectOf(null, true), rules, at(start), "its node is gone");
    expect(once.record).toMatchObject({ state: "failing", crashes: 1, crashesAlone: 1, attempts: 0 });
    expect(once.begins?.value).toMatchObject({ notBefore: start });
    const twice = crashed(subjectOf(once.record, true), rules, at(start), "its node is gone");
    expect(twice.record).toMatchObject({ state: "parked", crashes: 2, attempts: 0 });
    expect(twice.begins).toMatchObject({ key: parkedKey(place), value: { reason: crashedReason } });
    expect(twice.ends).toBe(dueKey(place));
    expect(replayed(place, twice.record, at(start), "mended").record).toMatchObject({
      state: "failing",
      crashes: 0,
      crashesAlone: 0,
      generation: 2,
    });
  });
});

describe("what a delivery means", () => {
  const record = (state: State, more: Partial<LedgerRecord<Body>> = {}): LedgerRecord<Body> => ({
    ...settled(null, done).record,
    generation: 2,
    ...more,
    state,
  });
  const other = [{ etag: "B", size: null, at: "", sequence: null }];
  const drop = (why: "duplicate" | "stale") => ({ type: "drop", why });
  const work = (generation: number) => ({ type: "work", generation });

  it.each<readonly [string, { etag: string; generation: number }, LedgerRecord | null, unknown, unknown]>([
    // What it is, the delivery, the record, what it means on a lane that refuses other content and on one that supersedes.
    ["new", { etag: "A", generation: 0 }, null, work(0), work(0)],
    ["put back, its record gone with its day", { etag: "A", generation: 3 }, null, work(3), work(3)],
    ...(["known", "done", "parked"] as const).map(
      (state) =>
        [
          `again, ${state}`,
          { etag: "A", generation: 0 },
          record(state),
          drop("duplicate"),
          drop("duplicate"),
        ] as const,
    ),
    ...(["ready", "failing", "waiting"] as const).flatMap((state) => [
      [`${state}, its own`, { etag: "A", generation: 2 }, record(state), work(2), work(2)] as const,
      [
        `${state}, an older one`,
        { etag: "A", generation: 1 },
        record(state),
        drop("stale"),
        drop("stale"),
      ] as const,
      [
        `${state}, a newer one`,
        { etag: "A", generation: 3 },
        record(state),
        drop("stale"),
        drop("stale"),
      ] as const,
      [`${state}, other content`, { etag: "B", generation: 0 }, record(state), work(3), work(3)] as const,
      [
        `${state}, other content put back`,
        { etag: "B", generation: 2 },
        record(state),
        drop("stale"),
        drop("stale"),
      ] as const,
    ]),
    ...(["known", "done"] as const).flatMap((state) => [
      [
        `${state}, other content`,
        { etag: "B", generation: 0 },
        record(state),
        { type: "refuse" },
        work(3),
      ] as const,
      [
        `${state}, other content again`,
        { etag: "B", generation: 0 },
        record(state, { refused: other }),
        drop("duplicate"),
        work(3),
      ] as const,
      [
        `${state}, other content put back`,
        { etag: "B", generation: 2 },
        record(state),
        drop("stale"),
        drop("stale"),
      ] as const,
    ]),
    ["parked, other content", { etag: "B", generation: 0 }, record("parked"), work(3), work(3)],
    ...(["known", "parked", "failing"] as const).map(
      (state) =>
        [
          `${state}, what it superseded`,
          { etag: "B", generation: 0 },
          record(state, { superseded: other }),
          drop("duplicate"),
          drop("duplicate"),
        ] as const,
    ),
  ])("%s", (_, delivery, stands, refusing, superseding) => {
    expect(judge(delivery, stands, "refuse")).toEqual(refusing);
    expect(judge(delivery, stands, "supersede")).toEqual(superseding);
  });
});

describe("the backoff", () => {
  it("lies between a tenth of its step and its step, and its step grows to the most", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1_000_000 }),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        fc.integer({ min: 1, max: 60_000 }),
        fc.integer({ min: 0, max: 3_600_000 }),
        (attempt, random, backoffBaseMs, more) => {
          const of = { ...rules, backoffBaseMs, backoffMaxMs: backoffBaseMs + more };
          const ms = backoffMs(attempt, of, random);
          expect(Number.isSafeInteger(ms)).toBe(true);
          expect(ms).toBeLessThanOrEqual(of.backoffMaxMs);
          expect(ms).toBeGreaterThanOrEqual(Math.floor(of.backoffBaseMs / 10));
          expect(backoffMs(attempt + 1, of, random)).toBeGreaterThanOrEqual(ms);
        },
      ),
    );
    expect([1, 2, 3, 4, 5, 99].map((attempt) => backoffMs(attempt, rules, 0))).toEqual([
      10, 20, 40, 80, 100, 100,
    ]);
  });
});
