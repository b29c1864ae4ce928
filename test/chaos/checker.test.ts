/** The history checker on made-up histories: a good one, and one for each way in which it can be bad. */
import { describe, expect, it } from "vitest";
import { dueKey, parkedKey, placeOfRecordKey } from "../../src/protocol/keys.ts";
import type { ClaimSlot, LedgerRecord } from "../../src/protocol/records.ts";
import type { Evidence, Revision } from "./checker.ts";
import { unfinished, violations } from "./checker.ts";
import { recordOf } from "./sender.ts";

const one = recordOf("20260101/one");
const two = recordOf("20260101/two");
const slotA = "claim.files.a.0";
const slotB = "claim.files.b.0";
const minute = 60_000;

function placeOf(key: string): NonNullable<ReturnType<typeof placeOfRecordKey>> {
  const place = placeOfRecordKey(key);
  if (place === null) throw new Error(`no record: ${key}`);
  return place;
}

const dueOf = (key: string): string => dueKey(placeOf(key));
const parkedOf = (key: string): string => parkedKey(placeOf(key));

type Told = Partial<LedgerRecord>;

const record = (told: Told): LedgerRecord => ({
  v: 1,
  state: "known",
  generation: 0,
  etag: "1",
  claim: null,
  attempts: 0,
  crashes: 0,
  crashesAlone: 0,
  errors: [],
  history: [],
  body: null,
  ...told,
});

const claimed = (id: string, items: ReadonlyArray<readonly [string, number, number]>): ClaimSlot => ({
  v: 1,
  state: "claimed",
  id,
  epoch: id,
  since: "",
  items: items.map(([key, generation, sequence]) => ({ record: key, etag: "1", generation, sequence })),
});

const idle = (
  last: string | null,
  how: "new" | "settled" | "reclaimed" = "settled",
  by = "a",
): ClaimSlot => ({
  v: 1,
  state: "idle",
  last,
  how,
  by,
});

/** Writes, one revision after another, a second apart. `null` ends the key; `skip` leaves a gap. */
type Step = readonly [key: string, value: unknown] | "skip";

function told(steps: ReadonlyArray<Step>): ReadonlyArray<Revision> {
  return steps.flatMap((step, i) =>
    step === "skip"
      ? []
      : [{ key: step[0], revision: i + 1, at: minute + i * 1_000, ended: step[1] === null, value: step[1] }],
  );
}

/** What stands after a history that nobody tampered with. */
function standing(history: ReadonlyArray<Revision>): ReadonlyArray<Revision> {
  const last = new Map<string, Revision>();
  for (const revision of history) last.set(revision.key, revision);
  return [...last.values()].filter(({ ended }) => !ended);
}

function evidence(steps: ReadonlyArray<Step>, more: Partial<Evidence> = {}): Evidence {
  const history = told(steps);
  return {
    accepted: [
      { record: one, etag: "1" },
      { record: two, etag: "1" },
    ],
    ledger: standing(history),
    history,
    arrivals: [
      { sequence: 1, record: one, etag: "1", generation: 0 },
      { sequence: 2, record: two, etag: "1", generation: 0 },
      { sequence: 3, record: two, etag: "1", generation: 1 },
    ],
    pending: 0,
    ackFloor: 3,
    ingests: [
      {
        what: "end",
        node: "a",
        pid: 1,
        at: 0,
        items: [
          { record: one, etag: "1" },
          { record: two, etag: "1" },
        ],
      },
    ],
    lives: [{ node: "b", from: 0, to: Infinity }],
    ...more,
  };
}

const due = (generation: number): unknown => ({ v: 1, notBefore: 0, generation, putBack: null });

/** One is settled at once; two crashes with its worker, which is dead, and is settled by another. */
const good: ReadonlyArray<Step> = [
  [slotA, idle(null, "new")],
  [slotB, idle(null, "new")],
  [slotA, claimed("A0", [[one, 0, 1]])],
  [one, record({ claim: "A0" })],
  [slotA, idle("A0")],
  [slotA, claimed("A1", [[two, 0, 2]])],
  [two, record({ state: "failing", generation: 1, claim: "A1", crashes: 1 })],
  [dueOf(two), due(1)],
  [slotA, idle("A1", "reclaimed", "b")],
  [slotB, claimed("B0", [[two, 1, 3]])],
  [two, record({ generation: 1, claim: "B0", crashes: 1 })],
  [dueOf(two), null],
  [slotB, idle("B0", "settled", "b")],
];

/** The good history with these steps changed, and more after it. */
function changed(at: Readonly<Record<number, Step>>, after: ReadonlyArray<Step> = []): ReadonlyArray<Step> {
  return [...good.map((step, i) => at[i + 1] ?? step), ...after];
}

const found = (steps: ReadonlyArray<Step>, more?: Partial<Evidence>): ReadonlyArray<string> =>
  violations(evidence(steps, more)).map((words) => words.slice(0, words.indexOf(":")));

describe("the history checker", () => {
  it("has nothing to say of a good history", () => {
    expect(violations(evidence(good))).toEqual([]);
    expect(unfinished(evidence(good))).toEqual([]);
  });

  it("has nothing to say of a history with gaps", () => {
    for (let i = 1; i <= good.length; i++) {
      const whole = evidence(good);
      const steps = changed({ [i]: "skip" });
      expect(violations(evidence(steps, { ledger: whole.ledger })), `without revision ${i}`).toEqual([]);
    }
  });

  it.each<readonly [string, ReadonlyArray<Step>]>([
    [
      "refused content",
      [
        [one, record({ claim: "A0", refused: [{ etag: "2", size: null, at: "", sequence: 9 }] })],
        [parkedOf(one), {}],
      ],
    ],
    [
      "superseding content",
      [
        [
          one,
          record({
            etag: "2",
            generation: 1,
            superseded: [{ etag: "1", size: null, at: "", sequence: null }],
          }),
        ],
      ],
    ],
    ["a crash on other content", [[one, record({ claim: "A0", crashes: 1 })]]],
  ])("lets a good record be followed by %s", (_, after) => {
    const ingests = [{ what: "end" as const, node: "a", pid: 1, at: 0, items: [{ record: one, etag: "2" }] }];
    const more = { ingests: [...evidence(good).ingests, ...ingests] };
    expect(found(changed({}, after), more)).toEqual([]);
  });

  it("finds what was answered 200 and is nowhere", () => {
    const accepted = [{ record: recordOf("20260101/three"), etag: "1" }];
    expect(found(good, { accepted })).toEqual(["lost"]);
    expect(found(good, { accepted: [{ record: one, etag: "2" }] })).toEqual(["lost"]);
  });

  it("does not call lost what is in a claim, or still pending", () => {
    const three = recordOf("20260101/three");
    const accepted = [{ record: three, etag: "1" }];
    const arrivals = [...evidence(good).arrivals, { sequence: 4, record: three, etag: "1", generation: 0 }];
    expect(found([...good, [slotA, claimed("A2", [[three, 0, 4]])]], { accepted, arrivals })).toEqual([]);
    expect(found(good, { accepted, arrivals, pending: 1 })).toEqual([]);
    expect(unfinished(evidence(good, { accepted }))).toEqual([`${three} has no record`]);
  });

  it("finds an object with two records", () => {
    const place = { ...placeOf(one), day: "20260102" };
    const other = `file.${place.mailbox}.${place.day}.${place.tail}`;
    const ingests = [
      ...evidence(good).ingests,
      { ...evidence(good).ingests[0], items: [{ record: other, etag: "1" }] },
    ];
    expect(found([...good, [other, record({})]], { ingests: ingests as Evidence["ingests"] })).toEqual([
      "twice",
    ]);
  });

  it("finds a record without its index, and an index without its record", () => {
    const late: ReadonlyArray<Step> = [...good, "skip", [one, record({ state: "failing", generation: 5 })]];
    expect(found(late)).toContain("no way back");
    expect(found(changed({ 12: "skip" }))).toEqual(["index without reason"]);
    expect(found([...good, [parkedOf(one), {}]])).toEqual(["index without reason"]);
  });

  it("finds a record that was put back without its due record in the same transaction", () => {
    // The index comes two transactions later: a crash in between would have lost it.
    const [crash, index, slot] = [good[6], good[7], good[8]];
    if (crash === undefined || index === undefined || slot === undefined)
      throw new Error("the good history is shorter");
    const steps = changed({ 7: crash, 8: slot, 9: [slotB, claimed("B0", [[two, 1, 3]])], 10: index });
    expect(found(steps)).toContain("no way back");
  });

  it("finds a terminal record that was settled again", () => {
    expect(found([...good, [one, record({ claim: "B9", generation: 1 })]])).toEqual(["settled twice"]);
    expect(found([...good, [one, record({ state: "parked", claim: "B9" })], [parkedOf(one), {}]])).toEqual([
      "settled twice",
    ]);
    expect(found([...good, [one, record({ etag: "2", claim: "B9" })]])).toContain("settled twice");
  });

  it("finds a generation that two claims settled", () => {
    const failing = record({ state: "failing", generation: 1, claim: "A0" });
    const steps: ReadonlyArray<Step> = [
      [slotA, claimed("A0", [[one, 0, 1]])],
      [slotB, claimed("B0", [[one, 0, 1]])],
      [one, failing],
      [dueOf(one), due(1)],
      [slotA, idle("A0")],
      [one, { ...failing, claim: "B0", generation: 2 }],
      [dueOf(one), due(2)],
      [slotB, idle("B0")],
    ];
    expect(found(steps, { accepted: [{ record: one, etag: "1" }] })).toEqual(["settled twice"]);
  });

  it("finds a generation that fell", () => {
    expect(found(changed({ 11: [two, record({ generation: 0, claim: "B0" })] }))).toEqual(["went back"]);
  });

  it("finds a claim that ended twice, began twice, or was overwritten", () => {
    expect(found([...good, [slotA, idle("A1")]])).toEqual(["ended twice"]);
    expect(found([...good, [slotA, claimed("A1", [[one, 0, 1]])], [slotA, idle("A2")]])).toContain(
      "claimed twice",
    );
    expect(
      found([...good, [slotA, claimed("A2", [])], [slotA, claimed("A3", [])], [slotA, idle("A3")]]),
    ).toEqual(["claim lost"]);
  });

  it("finds work on a stale delivery", () => {
    // The message of generation 0 comes again after the crash, and is worked on as if it were the one put back.
    expect(found(changed({ 10: [slotB, claimed("B0", [[two, 1, 2]])] }))).toEqual(["stale work"]);
  });

  it("finds a key that came back after its end, and a value that came back after its successor", () => {
    const whole = evidence(good);
    const back = (revision: number): Partial<Evidence> => {
      const old = whole.history.find((seen) => seen.revision === revision);
      if (old === undefined) throw new Error("no such revision");
      return { ledger: [...whole.ledger.filter(({ key }) => key !== old.key), old] };
    };
    expect(found(good, back(8))).toEqual(["index without reason", "came back"]);
    expect(found(good, back(7))).toContain("came back");
  });

  it("finds a record or a slot that was removed", () => {
    expect(found([...good, [one, null]])).toEqual(["lost", "removed"]);
    expect(found([...good, [slotA, null]])).toEqual(["removed"]);
  });

  it("finds a known file that nobody took in", () => {
    expect(found(good, { ingests: [] })).toEqual(["never made", "never made"]);
  });

  it("finds a live node that was taken for dead, and no dead one", () => {
    const life = (from: number, to: number): Partial<Evidence> => ({ lives: [{ node: "a", from, to }] });
    expect(found(good, life(0, Infinity))).toEqual(["taken for dead"]);
    expect(found(good, life(0, minute))).toEqual([]);
    expect(found(good, life(minute + 7_000, Infinity))).toEqual([]);
  });
});
