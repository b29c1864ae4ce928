import * as fc from "fast-check";
import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import type { Repoint } from "../../../src/jobs/calendar.ts";
import { Calendar, parseRepointTable, pointingName } from "../../../src/jobs/calendar.ts";
import { formatInstant, overlap, parseInstant } from "../../../src/jobs/instant.ts";

const table = readFileSync(
  path.resolve(import.meta.dirname, "../../data/imap/repoint_table_tcm8_2026-04.csv"),
  "utf8",
);

function repointsOf(text: string): ReadonlyArray<Repoint> {
  const read = parseRepointTable(text);
  if (!read.ok) throw new Error(JSON.stringify(read.faults));
  return read.repoints;
}

const at = (text: string): number => parseInstant(text) ?? Number.NaN;
const shown = (calendar: Calendar): ReadonlyArray<string> =>
  calendar.pointings.map(
    ({ number, range }) => `${number} ${formatInstant(range.start)} ${formatInstant(range.end)}`,
  );

describe("the repoint table of a course correction", () => {
  const calendar = Calendar.of([repointsOf(table)]);

  it("has four pointings in five rows, to the microsecond; the last row has no end", () => {
    expect(shown(calendar)).toEqual([
      "208 2026-04-06T10:03:21.748756 2026-04-07T10:00:02.673645",
      "209 2026-04-07T10:03:23.673469 2026-04-07T19:55:29.642514",
      "210 2026-04-07T19:58:51.642338 2026-04-07T20:14:01.641545",
      "211 2026-04-07T20:27:07.640860 2026-04-08T09:59:59.598459",
    ]);
    expect(calendar.pointing(212)).toBeNull();
    expect(calendar.has(212)).toBe(true);
    expect(calendar.has(213)).toBe(false);
    expect(calendar.startOf(212)).toBe(at("2026-04-08T10:06:21.598127"));
    expect(calendar.last).toBe(212);
    expect(pointingName(209)).toBe("repoint00209");
  });

  it("finds a day's pointings, and none within a manoeuvre", () => {
    const numbers = (start: string, end: string): ReadonlyArray<number> =>
      calendar.overlapping({ start: at(start), end: at(end) }).map((one) => one.number);
    expect(numbers("2026-04-07", "2026-04-08")).toEqual([208, 209, 210, 211]);
    expect(numbers("2026-04-07T10:00:02.673645", "2026-04-07T10:03:23.673469")).toEqual([]);
    expect(numbers("2026-04-07T10:00:02.673644", "2026-04-07T10:03:23.673470")).toEqual([208, 209]);
    expect(numbers("2026-04-08T10:00", "2026-04-09")).toEqual([]);
  });
});

const lines = table.trimEnd().split("\n");
const swapped = (row: number, change: (line: string) => string): string =>
  lines.map((line, index) => (index === row - 1 ? change(line) : line)).join("\n");

describe("a table that is wrong names row and column", () => {
  it.each<[string, string, { row: number; column: string | null; message: string }]>([
    [
      "a number",
      swapped(3, (line) => line.replace(/209$/, "2o9")),
      { row: 3, column: "repoint_id", message: '"2o9" is no repoint number of at most five digits' },
    ],
    [
      "a time",
      swapped(4, (line) => line.replace("2026-04-07 19:55", "2026-04-31 19:55")),
      { row: 4, column: "repoint_start_utc", message: '"2026-04-31 19:55:29.642514" is no UTC time' },
    ],
    [
      "an end before the start",
      swapped(2, (line) => line.replace("10:03:21", "09:03:21")),
      { row: 2, column: "repoint_end_utc", message: "is not after the start" },
    ],
    [
      "a row twice",
      swapped(4, () => lines[2] ?? ""),
      { row: 4, column: "repoint_id", message: "209 comes after 209" },
    ],
    [
      "rows out of time",
      swapped(4, (line) =>
        line.replace("2026-04-07 19:55", "2026-04-07 09:55").replace("2026-04-07 19:58", "2026-04-07 09:58"),
      ),
      { row: 4, column: "repoint_start_utc", message: "begins before repoint 209 has ended" },
    ],
    [
      "a cell too few",
      swapped(5, (line) => line.replace(/,211$/, "")),
      { row: 5, column: null, message: "has 6 cells, the first row 7" },
    ],
    [
      "a column too few",
      swapped(1, (line) => line.replace("repoint_id", "id")),
      { row: 1, column: "repoint_id", message: "the first row does not name this column" },
    ],
    ["no row", lines[0] ?? "", { row: 1, column: null, message: "the table has no row below the first" }],
    [
      "nothing",
      "",
      { row: 1, column: "repoint_start_utc", message: "the first row does not name this column" },
    ],
  ])("%s", (_, text, fault) => {
    const read = parseRepointTable(text);
    expect(read.ok ? [] : read.faults).toContainEqual(fault);
  });

  it("takes windows' line ends, an unfinished last manoeuvre and numbers with a fraction of 0", () => {
    const unfinished = swapped(6, (line) =>
      line.replace("2026-04-08 10:06:21.598127", "NaN").replace(/212$/, "212.0"),
    );
    const calendar = Calendar.of([repointsOf(unfinished.replaceAll("\n", "\r\n"))]);
    expect(calendar.pointings).toHaveLength(4);
    expect(calendar.has(212)).toBe(true);
    expect(calendar.startOf(212)).toBeNull();
  });
});

const minutes = (count: number): number => count * 60_000_000;
/** Manoeuvres of three minutes, a day apart. */
const daily = (first: number, count: number, shift = 0): ReadonlyArray<Repoint> =>
  Array.from({ length: count }, (_, k) => {
    const start = at("2026-01-01") + (first + k) * minutes(1_440) + minutes(shift);
    return { number: first + k, start, end: start + minutes(3) };
  });

describe("several tables", () => {
  it("the newest wins, row by row; older rows stay before and after it", () => {
    const calendar = Calendar.of([daily(1, 10), daily(4, 3, 30)]);
    expect(calendar.pointings.map((one) => one.number)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(calendar.pointing(4)?.range.start).toBe(at("2026-01-05T00:33"));
    expect(calendar.pointing(6)?.range).toEqual({ start: at("2026-01-07T00:33"), end: at("2026-01-08") });
    expect(Calendar.of([daily(1, 10)]).changed(calendar)).toEqual([3, 4, 5, 6]);
  });

  it("older rows that contradict a newer table are left out", () => {
    // Planned for days 5 and 6, really flown two days later.
    const calendar = Calendar.of([daily(1, 6), daily(1, 4, 2 * 1_440 + 30)]);
    expect(calendar.last).toBe(4);
    expect(Calendar.of([daily(1, 6)]).changed(calendar)).toEqual([1, 2, 3, 4, 5]);
  });

  it("a longer one closes the pointing that was open", () => {
    const before = Calendar.of([daily(1, 5)]);
    const after = Calendar.of([daily(1, 5), daily(1, 7)]);
    expect(before.pointing(5)).toBeNull();
    expect(after.pointing(5)).not.toBeNull();
    expect(before.changed(after)).toEqual([5, 6]);
  });

  it("the pointing before a number that is left out has no end", () => {
    const calendar = Calendar.of([[...daily(1, 3), ...daily(5, 2)]]);
    expect(calendar.pointings.map((one) => one.number)).toEqual([1, 2, 5]);
  });
});

describe("look-ups", () => {
  it("agree with going through all", () => {
    const gaps = fc.array(
      fc.tuple(
        fc.integer({ min: 1, max: 9 }),
        fc.integer({ min: 0, max: 9 }),
        fc.integer({ min: 1, max: 2 }),
      ),
      {
        maxLength: 30,
      },
    );
    fc.assert(
      fc.property(
        gaps,
        fc.integer({ min: -5, max: 300 }),
        fc.integer({ min: 0, max: 60 }),
        (steps, start, length) => {
          let now = 0;
          let number = 0;
          const repoints = steps.map(([turn, stay, step]): Repoint => {
            const begin = now;
            now += turn + stay;
            number += step;
            return { number, start: begin, end: begin + turn };
          });
          const calendar = Calendar.of([repoints]);
          const range = { start, end: start + length };
          expect(calendar.overlapping(range)).toEqual(
            calendar.pointings.filter((one) => overlap(one.range, range)),
          );
          for (let n = -1; n < 62; n++) {
            expect(calendar.pointing(n)).toEqual(calendar.pointings.find((one) => one.number === n) ?? null);
            expect(calendar.has(n)).toBe(repoints.some((one) => one.number === n));
          }
        },
      ),
    );
  });
});
