import { describe, expect, it } from "vitest";
import type { Place } from "../../../src/protocol/keys.ts";
import { dueKey, parkedKey } from "../../../src/protocol/keys.ts";
import type { Moment, RetryRules } from "../../../src/protocol/lifecycle.ts";
import { indexKeyOf, judge, replayed, settle, withdrawn } from "../../../src/protocol/lifecycle.ts";

const place: Place = { mailbox: "imap", day: "20260310", tail: "a.csv" };
const rules: RetryRules = { attemptsMax: 3, crashesAloneMax: 2, backoffBaseMs: 100, backoffMaxMs: 1_000 };
const at = (now: number, node = "one"): Moment => ({ now, random: 0.5, node, claim: "epoch.1" });
const known = settle(
  { place, etag: "A", generation: 0, before: null, body: { text: "a" }, alone: false },
  { type: "done", body: { text: "a" } },
  rules,
  at(1_000),
  "known",
).record;

describe("a file that is withdrawn", () => {
  const gone = withdrawn(place, known, { ...at(2_000, "operator ada@host"), claim: null }, "wrong units");

  it("is parked with its reason, its note and who did it, and stands in the index of what is parked", () => {
    expect(gone.record).toMatchObject({ state: "parked", etag: "A", claim: null, body: { text: "a" } });
    expect(gone.record.errors.at(-1)).toMatchObject({ reason: "Withdrawn", detail: "wrong units" });
    expect(gone.record.history.at(-1)).toMatchObject({ event: "parked", node: "operator ada@host" });
    expect(gone.begins).toMatchObject({ key: parkedKey(place), value: { reason: "Withdrawn" } });
    expect(gone.ends).toBeNull();
    expect(indexKeyOf(place, gone.record)).toBe(parkedKey(place));
  });

  it("stays so when it is announced again, and goes back into the queue when it is replayed", () => {
    expect(judge({ etag: "A", generation: 0 }, gone.record, "refuse")).toEqual({
      type: "drop",
      why: "duplicate",
    });
    const back = replayed(place, gone.record, at(3_000), "it was right");
    expect(back.record.state).toBe("failing");
    expect(back.ends).toBe(parkedKey(place));
    expect(back.begins?.key).toBe(dueKey(place));
    expect(judge({ etag: "A", generation: back.record.generation }, back.record, "refuse").type).toBe("work");
  });
});
