/** How far a mission's processing is, by instrument and level. */
import type { JobRecord } from "../protocol/jobs.ts";
import type { Line } from "./paint.ts";
import { clock, piece } from "./paint.ts";
import type { MissionPicture } from "./missionPicture.ts";

export interface Cell {
  done: number;
  /** All that there are but those that only wait for their time. */
  of: number;
  running: number;
  failed: number;
}

export interface Progress {
  readonly levels: ReadonlyArray<string>;
  /** By instrument, then level. */
  readonly rows: ReadonlyMap<string, ReadonlyMap<string, Cell>>;
  readonly all: Cell & { readonly ready: number; readonly waiting: number };
}

const placeOf = (job: string): readonly [string, string] => {
  const [instrument = "", level = ""] = job.split("/");
  return [instrument, level];
};

const timed = new Set(["windowOpen", "windowShare", "schedule", "neighbours"]);

/** Whether it waits for its time alone. */
function isEarly({ state, catalogue }: JobRecord): boolean {
  const on = (catalogue?.on ?? []) as ReadonlyArray<{ readonly type: string }>;
  return state === "blocked" && on.length > 0 && on.every(({ type }) => timed.has(type));
}

export function progressOf({ jobs }: Pick<MissionPicture, "jobs">): Progress {
  const rows = new Map<string, Map<string, Cell>>();
  const levels = new Set<string>();
  const all = { done: 0, of: 0, running: 0, failed: 0, ready: 0, waiting: 0 };
  for (const record of jobs.values()) {
    if (isEarly(record)) {
      all.waiting++;
      continue;
    }
    const [instrument, level] = placeOf(record.job);
    levels.add(level);
    const row = rows.get(instrument) ?? new Map<string, Cell>();
    rows.set(instrument, row);
    const cell = row.get(level) ?? { done: 0, of: 0, running: 0, failed: 0 };
    row.set(level, cell);
    for (const one of [cell, all]) {
      one.of++;
      if (record.state === "done") one.done++;
      else if (record.state === "running") one.running++;
      else if (record.state === "failed") one.failed++;
    }
    if (record.state === "ready") all.ready++;
  }
  return { levels: [...levels].sort(), rows: new Map([...rows].sort(([a], [b]) => (a < b ? -1 : 1))), all };
}

export function statusText({ all }: Progress, ms: number, phase: string, files: number): string {
  const blocked = all.of - all.done - all.running - all.ready - all.failed;
  const failed = all.failed === 0 ? "" : `, ${all.failed} failed`;
  return `${clock(ms)}  ${phase}: ${files} files; partitions: ${all.done} done, ${all.running} running, ${all.ready} ready, ${blocked} blocked${failed}, ${all.waiting} early`;
}

/** `l1a 12/33  l1b 4/30`: of all instruments together. */
export function levelsText({ levels, rows }: Progress): string {
  const texts = levels.map((level) => {
    const cells = [...rows.values()].flatMap((row) => row.get(level) ?? []);
    const sum = (of: (cell: Cell) => number): number => cells.reduce((total, cell) => total + of(cell), 0);
    return `${level} ${sum((cell) => cell.done)}/${sum((cell) => cell.of)}`;
  });
  return texts.join("  ");
}

const nameColumns = 12;
const cellColumns = 9;

function cellText(cell: Cell | undefined): Line[number] {
  if (cell === undefined) return piece(" ".repeat(cellColumns));
  const { done, of, running, failed } = cell;
  const mark = running > 0 ? "▸" : "";
  const text = `${done}/${of}${mark}`.padStart(cellColumns);
  return piece(text, failed > 0 ? "red" : done === of ? "green" : running > 0 ? "cyan" : "plain");
}

/** A row an instrument, a column a level; each cell says how many partitions are done, of how many. */
export function tableLines({ levels, rows }: Progress): ReadonlyArray<Line> {
  const header: Line = [
    piece(" ".repeat(nameColumns)),
    ...levels.map((level) => piece(level.padStart(cellColumns), "dim")),
  ];
  return [
    header,
    ...[...rows].map(([instrument, row]): Line => [
      piece(`  ${instrument}`.padEnd(nameColumns), "bold"),
      ...levels.map((level) => cellText(row.get(level))),
    ]),
  ];
}
