/**
 * Pointings: the stretches between two manoeuvres, numbered by the repoint before them.
 *
 * The calendar is made of repoint tables, of which a newer one repeats the rows of the older and adds to them. A pointing is there
 * once the repoint after it is: until then nobody knows its end.
 */
import { calendarRowsMax } from "../limits.ts";
import type { Instant, Range } from "./instant.ts";
import { overlap, parseInstant } from "./instant.ts";
import { firstWhere } from "./select/sorted.ts";

export interface Pointing {
  /** Number of the repoint that it follows. */
  readonly number: number;
  /** End of its repoint to the start of the next one. Of the last row there is no end: it is no pointing yet. */
  readonly range: Range;
}

/** `repoint00209`. */
export const pointingName = (number: number): string => `repoint${String(number).padStart(5, "0")}`;

/** One row of a repoint table: one manoeuvre. */
export interface Repoint {
  readonly number: number;
  readonly start: Instant;
  /** Null while it goes on: it closes the pointing before it and begins none. */
  readonly end: Instant | null;
}

/** What is wrong with a table, by row (from 1, the header counted) and column; `column` is null for the row as a whole. */
export interface TableFault {
  readonly row: number;
  readonly column: string | null;
  readonly message: string;
}

export type RepointTable =
  | { readonly ok: true; readonly repoints: ReadonlyArray<Repoint> }
  /** Everything that is wrong, as far as `faultsMax` of them. */
  | { readonly ok: false; readonly faults: ReadonlyArray<TableFault> };

const columns = { start: "repoint_start_utc", end: "repoint_end_utc", number: "repoint_id" } as const;
const faultsMax = 20;

/**
 * Reads a repoint table: CSV with a header, numbers and UTC times without quotes. Columns other than the three that are needed may
 * be there. Rows go on in number and in time; a number may be left out. Never throws.
 */
export function parseRepointTable(text: string): RepointTable {
  const faults: Array<TableFault> = [];
  const refuse = (row: number, column: string | null, message: string): null => {
    if (faults.length < faultsMax) faults.push({ row, column, message });
    return null;
  };
  const lines = text.replace(/^\uFEFF/, "").split(/\r?\n/);
  const header = (lines[0] ?? "").split(",").map((name) => name.trim());
  for (const column of Object.values(columns)) {
    if (!header.includes(column)) refuse(1, column, "the first row does not name this column");
    else if (header.indexOf(column) !== header.lastIndexOf(column))
      refuse(1, column, "the first row names this column twice");
  }
  if (lines.length > calendarRowsMax) refuse(1, null, `the table has more than ${calendarRowsMax} rows`);
  if (faults.length > 0) return { ok: false, faults };
  const repoints: Array<Repoint> = [];
  for (const [index, line] of lines.entries()) {
    if (index === 0 || line.trim() === "") continue;
    const row = index + 1;
    const cells = line.split(",").map((cell) => cell.trim());
    if (cells.length !== header.length) {
      refuse(row, null, `has ${cells.length} cells, the first row ${header.length}`);
      continue;
    }
    const cell = (column: string): string => cells[header.indexOf(column)] ?? "";
    const repoint = readRow(cell, (column, message) => refuse(row, column, message));
    const before = repoints.at(-1);
    if (repoint === null || (before !== undefined && !follows(before, repoint, row, refuse))) continue;
    repoints.push(repoint);
  }
  if (faults.length === 0 && repoints.length === 0) refuse(1, null, "the table has no row below the first");
  return faults.length > 0 ? { ok: false, faults } : { ok: true, repoints };
}

function readRow(
  cell: (column: string) => string,
  refuse: (column: string, message: string) => null,
): Repoint | null {
  const shown = (column: string): string => JSON.stringify(cell(column).slice(0, 40));
  const numberText = cell(columns.number);
  // A table that went through a program with gaps in its columns writes 208.0.
  const number = /^\d{1,5}(?:\.0)?$/.test(numberText)
    ? Number(numberText)
    : refuse(columns.number, `${shown(columns.number)} is no repoint number of at most five digits`);
  const start =
    parseInstant(cell(columns.start)) ?? refuse(columns.start, `${shown(columns.start)} is no UTC time`);
  const open = /^(?:|nan|nat|null|none)$/i.test(cell(columns.end));
  const end = open
    ? null
    : (parseInstant(cell(columns.end)) ?? refuse(columns.end, `${shown(columns.end)} is no UTC time`));
  if (number === null || start === null || (end === null && !open)) return null;
  if (end !== null && end <= start) return refuse(columns.end, "is not after the start");
  return { number, start, end };
}

function follows(
  before: Repoint,
  { number, start }: Repoint,
  row: number,
  refuse: (row: number, column: string, message: string) => null,
): boolean {
  const counted = number > before.number;
  if (!counted) refuse(row, columns.number, `${number} comes after ${before.number}`);
  const later = start >= (before.end ?? before.start);
  if (!later) refuse(row, columns.start, `begins before repoint ${before.number} has ended`);
  return counted && later;
}

/** The pointings that are known. Immutable; look-ups are binary searches. */
export class Calendar {
  readonly #repoints: ReadonlyArray<Repoint>;
  /** In the order of their numbers, which is that of time. */
  readonly pointings: ReadonlyArray<Pointing>;

  private constructor(repoints: ReadonlyArray<Repoint>) {
    this.#repoints = repoints;
    this.pointings = repoints.flatMap((repoint, index) => {
      const next = repoints[index + 1];
      // Where a number is left out, its neighbour's end is not known; two manoeuvres that touch leave nothing between them.
      if (repoint.end === null || next?.number !== repoint.number + 1 || next.start <= repoint.end) return [];
      return [{ number: repoint.number, range: { start: repoint.end, end: next.start } }];
    });
  }

  static readonly empty = new Calendar([]);

  /**
   * @param tables oldest first. Rows of a newer table replace those of the same number; older rows that contradict the newer ones in
   * time are left out.
   */
  static of(tables: ReadonlyArray<ReadonlyArray<Repoint>>): Calendar {
    let merged: ReadonlyArray<Repoint> = [];
    for (const table of tables) merged = mergedWith(merged, table);
    return new Calendar(merged);
  }

  /** Null for what is no pointing (yet). */
  pointing(number: number): Pointing | null {
    const found = this.pointings[firstWhere(this.pointings, (one) => one.number >= number)];
    return found?.number === number ? found : null;
  }

  /** Whether a table has the repoint of this number, closed or not. */
  has(number: number): boolean {
    return this.#repoints[firstWhere(this.#repoints, (one) => one.number >= number)]?.number === number;
  }

  /** When the pointing after this repoint begins, also where its end is not known yet; null where that is not known either. */
  startOf(number: number): Instant | null {
    const found = this.#repoints[firstWhere(this.#repoints, (one) => one.number >= number)];
    return found?.number === number ? found.end : null;
  }

  /** Pointings that overlap the range (touching is none), in order. */
  overlapping(range: Range): ReadonlyArray<Pointing> {
    const from = firstWhere(this.pointings, (one) => one.range.end > range.start);
    const to = firstWhere(this.pointings, (one) => one.range.start >= range.end);
    // Of an empty range within a pointing both searches find that pointing.
    return this.pointings.slice(from, to).filter((one) => overlap(one.range, range));
  }

  /** The number of the last repoint that is known; null where there is none. */
  get last(): number | null {
    return this.#repoints.at(-1)?.number ?? null;
  }

  /** Where a newer calendar says other than this one: pointings that came, went, or have another range; in order. */
  changed(newer: Calendar): ReadonlyArray<number> {
    const before = new Map(this.pointings.map((one) => [one.number, one.range]));
    const changed = new Set<number>();
    for (const { number, range } of newer.pointings) {
      const was = before.get(number);
      if (was?.start !== range.start || was.end !== range.end) changed.add(number);
      before.delete(number);
    }
    for (const number of before.keys()) changed.add(number);
    return [...changed].toSorted((a, b) => a - b);
  }
}

/** A newer table says more of each row that it has, and of all that lies between its first and its last. */
function mergedWith(older: ReadonlyArray<Repoint>, newer: ReadonlyArray<Repoint>): ReadonlyArray<Repoint> {
  const first = newer[0];
  const last = newer.at(-1);
  if (first === undefined || last === undefined) return older;
  const before = older.filter((one) => one.number < first.number && (one.end ?? one.start) <= first.start);
  const after = older.filter((one) => one.number > last.number && one.start >= (last.end ?? last.start));
  return [...before, ...newer, ...after];
}
