/** How far a mission's processing is, by instrument and level. */
import { stripVTControlCharacters } from "node:util";
import { describe, expect, it } from "vitest";
import { openMissionScreen } from "../../../src/demo/missionScreen.ts";
import { levelsText, progressOf, statusText, tableLines } from "../../../src/demo/missionView.ts";
import { paint } from "../../../src/demo/paint.ts";
import type { Output } from "../../../src/demo/screen.ts";
import type { JobRecord, JobState } from "../../../src/protocol/jobs.ts";

let count = 0;
function standing(job: string, state: JobState, ...on: ReadonlyArray<string>): JobRecord {
  return {
    v: 1,
    job,
    version: "1",
    partition: {
      kind: "day",
      instrument: "mag",
      day: "20260310",
      name: String(++count),
      range: null,
      pointing: null,
    },
    state,
    blockedOn: on,
    inputs: null,
    run: null,
    catalogue: { on: on.map((type) => ({ type })), incomplete: null, since: "" },
  };
}

const records = [
  standing("mag/l1a/all", "done"),
  standing("mag/l1a/all", "running"),
  standing("mag/l2/norm", "blocked", "product"),
  standing("swe/l1a/all", "ready"),
  standing("swe/l3/sci", "failed"),
  standing("hi/l2/map", "blocked", "windowOpen"),
  standing("hi/l3/map", "blocked", "windowShare", "product"),
];
const progress = progressOf({ jobs: new Map(records.map((record, i) => [String(i), record])) });

describe("the progress of a mission", () => {
  it("counts each partition once, and those that only wait for their time apart", () => {
    expect(progress.all).toEqual({ done: 1, of: 6, running: 1, failed: 1, ready: 1, waiting: 1 });
    expect(statusText(progress, 61_000, "processing", 9)).toBe(
      "01:01.0  processing: 9 files; partitions: 1 done, 1 running, 1 ready, 2 blocked, 1 failed, 1 early",
    );
    expect(levelsText(progress)).toBe("l1a 1/3  l2 0/1  l3 0/2");
  });

  it("is a table of instruments and levels", () => {
    const lines = tableLines(progress).map((line) => paint(line, false).trimEnd());
    const row = (name: string, ...cells: ReadonlyArray<string>): string =>
      name.padEnd(12) + cells.map((cell) => cell.padStart(9)).join("");
    expect(lines).toEqual([
      row("", "l1a", "l2", "l3"),
      row("  hi", "", "", "0/1"),
      row("  mag", "1/2▸", "0/1"),
      row("  swe", "0/1", "", "0/1"),
    ]);
  });

  it("is written over on a terminal, no higher than that is, and stays there at the end", () => {
    let text = "";
    const output: Output = {
      write: (more) => void (text += more),
      size: () => ({ columns: 40, rows: 5 }),
      color: false,
      unicode: true,
    };
    const end = openMissionScreen(output, () => ({ progress, ms: 0, phase: "processing", files: 9 }), false);
    end();
    const [first = "", second = ""] = text.split("\x1b[?2026l");
    expect(first.split("\n")).toHaveLength(4);
    expect(second).toContain("\x1b[3A");
    for (const line of stripVTControlCharacters(first).split("\n")) {
      expect(line.length).toBeLessThanOrEqual(40);
    }
  });
});
