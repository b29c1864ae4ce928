/** What `why` says of a partition's next, and what it suggests: nothing that could not help. */
import { describe, expect, it } from "vitest";
import type { Parked } from "../../../src/cli/parkedIndex.ts";
import { setAsideOf, setAsideWords } from "../../../src/cli/setAside.ts";
import type { Seen } from "../../../src/cli/whyNext.ts";
import { outlook } from "../../../src/cli/whyNext.ts";
import type { CauseTree, LackTree, RootCause, WhyAnswer } from "../../../src/protocol/operatorQuestions.ts";
import { loadMission } from "../../support/jobWorld.ts";

const job = "swe/l2/sci";
const partition = "20260310";
const range = { start: "2026-03-10T00:00:00", end: "2026-03-11T00:00:00" };

const rootOf = (type: RootCause["type"], words: string, dataset: string | null = null): RootCause => ({
  type,
  dataset,
  what: dataset,
  range,
  words,
  arrivals: null,
});
const lack = (type: string, root: RootCause | null, by: ReadonlyArray<CauseTree> = []): LackTree => ({
  on: { type },
  words: type,
  root,
  by,
});
const cause = (of: Partial<CauseTree>): CauseTree => ({
  job,
  partition,
  state: "blocked",
  team: null,
  lacks: [],
  ...of,
});
const answer = (lacks: ReadonlyArray<LackTree>, roots: ReadonlyArray<RootCause>): WhyAnswer => ({
  record: null,
  cause: cause({ lacks }),
  roots,
  range,
  contact: null,
  incomplete: null,
  order: null,
  runs: [],
});
const nothingSeen: Seen = { since: null, order: null, jobOrder: null, runs: [], setAside: [] };
const hold = { at: "2026-03-10T00:00:00Z", by: "ada", note: "" };
const orderOf = (of: string): Seen["order"] => ({ v: 1, job, partition: of, hold, again: null, history: [] });

describe("what is suggested for a partition that waits", () => {
  const arrival = rootOf("arrival", "swe/l0/raw has not arrived", "swe/l0/raw");

  it("is no force where a file is missing, but what may bring it", () => {
    const said = outlook(answer([lack("product", arrival)], [arrival]), nothingSeen, ["delivered"]);
    expect(said.commands).toEqual([
      `orrery jobs needs ${job} ${partition}`,
      "orrery replay delivered --dry-run",
      "orrery expected",
    ]);
    expect(said.next).toContain("a force would wait for it, too");
  });

  it.each(["windowOpen", "windowShare", "schedule", "upstream", "held"])(
    "is a force where it goes past it: %s",
    (type) => {
      const time = rootOf("time", "runs on its schedule");
      const { commands, next } = outlook(answer([lack(type, time)], [time]), nothingSeen, ["delivered"]);
      expect(commands).toEqual([`orrery force ${job} ${partition}`]);
      expect(next).toBe("It starts by itself as soon as that is there.");
    },
  );

  it("is a retry where its program said not yet", () => {
    const waiting = rootOf("waiting", "its program said: not yet");
    const { commands } = outlook(answer([lack("notYet", waiting)], [waiting]), nothingSeen, []);
    expect(commands).toEqual([`orrery retry ${job} ${partition}`]);
  });

  it("is what ends the wait upstream: a retry of what failed, the release of what is held", () => {
    const failed = cause({ job: "swe/l1a/all", state: "failed" });
    const held = cause({ job: "swe/l1b/hk", lacks: [lack("held", rootOf("operator", "held"))] });
    const between = cause({ job: "swe/l1b/sci", lacks: [lack("product", null, [failed])] });
    const root = rootOf("failed", "swe/l1a/all 20260310 failed");
    const of = answer([lack("product", null, [between]), lack("product", null, [held])], [root]);
    expect(outlook(of, nothingSeen, ["delivered"]).commands).toEqual([
      `orrery retry swe/l1a/all ${partition}`,
      `orrery release swe/l1b/hk ${partition}`,
    ]);
  });

  it("is the release of whatever is held: the partition, its job, or both", () => {
    const held = answer([lack("held", rootOf("operator", "held"))], [rootOf("operator", "held")]);
    const commands = (seen: Partial<Seen>) => outlook(held, { ...nothingSeen, ...seen }, []).commands;
    const force = `orrery force ${job} ${partition}`;
    expect(commands({ jobOrder: orderOf("") })).toEqual([`orrery release ${job}`, force]);
    expect(commands({ order: orderOf(partition), jobOrder: orderOf("") })).toEqual([
      `orrery release ${job} ${partition}`,
      `orrery release ${job}`,
      force,
    ]);
  });

  it("is to take in again what was withdrawn", () => {
    const setAside = [
      { key: "file.imap.-.a.csv", name: "a.csv", dataset: "swe/ancillary/a", reason: "Withdrawn" },
    ];
    const of = answer([lack("calibration", arrival)], [arrival]);
    const { commands } = outlook(of, { ...nothingSeen, setAside }, []);
    expect(commands[0]).toBe("orrery parked replay 'file.imap.-.a.csv'");
  });
});

describe("files that came and do not count", () => {
  const { recogniser } = loadMission();
  const parked = (name: string, reason: string, at: string): Parked => ({
    place: { mailbox: "imap", day: "-", tail: name },
    reason,
    at,
  });
  const lut = (start: string, version = 1) => `imap_swe_esa-lut_${start}_v00${version}.csv`;
  const root = rootOf("arrival", "swe/ancillary/esa-lut has not arrived", "swe/ancillary/esa-lut");

  it("are those of the data set and the time that is waited for, the latest first", () => {
    const all = [
      parked(lut("20250101"), "Withdrawn", "2026-03-01T00:00:00Z"),
      parked(lut("20250101", 2), "NoMetadata", "2026-03-02T00:00:00Z"),
      // Begins too late; is of another data set; is no name of the mission.
      parked(lut("20260401"), "Withdrawn", "2026-03-03T00:00:00Z"),
      parked("imap_swe_eu-conversion_20250101_v001.csv", "Withdrawn", "2026-03-03T00:00:00Z"),
      parked("other.csv", "Withdrawn", "2026-03-03T00:00:00Z"),
    ];
    const found = setAsideOf(all, [root], recogniser);
    expect(found.map(setAsideWords)).toEqual([
      `${lut("20250101", 2)} came and was given up on: NoMetadata`,
      `${lut("20250101")} came and was withdrawn`,
    ]);
    expect(found[1]?.key).toBe(`file.imap.-.${lut("20250101")}`);
    expect(setAsideOf(all, [{ ...root, type: "failed" }], recogniser)).toEqual([]);
  });
});
