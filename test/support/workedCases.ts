/** The mission's 13 worked cases as test/data/imap/cases.json has them: its own how_to_read says what each field means. */
import { readFileSync } from "node:fs";
import path from "node:path";
import type { Repoint } from "../../src/jobs/calendar.ts";
import { parseRepointTable } from "../../src/jobs/calendar.ts";
import type { FileGiven } from "./jobWorld.ts";
import { at, repointsFrom, repository } from "./jobWorld.ts";

export interface Sequence {
  readonly seq: string;
  readonly from: number;
  readonly to: number;
  readonly except: ReadonlyArray<number>;
  readonly n0: number;
  readonly d0: string;
}
export type Given = string | FileGiven | Sequence;
export type CaseEvent =
  | Given
  | { readonly batch: ReadonlyArray<Given> }
  | { readonly clock: string }
  | { readonly job: string; readonly partition: string; readonly outcome: "failed" };

export interface ExpectedRun {
  readonly job: string;
  readonly partition: string;
  readonly minor: string;
  readonly inputs?: ReadonlyArray<string>;
  readonly incomplete?: boolean;
  readonly input_count?: number;
  readonly pointings?: number;
}
/** By `job|partition`: a state, or `blocked` and its reasons. */
export type ExpectedStates = Readonly<Record<string, string | ReadonlyArray<string>>>;
export interface WorkedCase {
  readonly id: string;
  readonly title: string;
  readonly jobs: ReadonlyArray<string>;
  readonly any_order?: boolean;
  readonly pointings?:
    | "tcm8"
    | {
        readonly first_id: number;
        readonly first_start: string;
        readonly count: number;
        readonly length_min: number;
        readonly gap_min: number;
      };
  readonly policy?: Readonly<Record<string, { readonly coverage: number; readonly deadline_days: number }>>;
  readonly clock?: string;
  readonly running?: ReadonlyArray<readonly [string, string]>;
  readonly given: ReadonlyArray<Given>;
  readonly events: ReadonlyArray<CaseEvent>;
  readonly expect: {
    readonly steps?: ReadonlyArray<{
      readonly runs: ReadonlyArray<ExpectedRun>;
      readonly states: ExpectedStates;
    }>;
    readonly runs_at_end?: ReadonlyArray<ExpectedRun>;
    readonly states?: ExpectedStates;
    readonly duplicates?: ReadonlyArray<string>;
    readonly refused?: ReadonlyArray<string>;
    readonly parked?: ReadonlyArray<string>;
  };
}

const data = path.join(repository, "test/data/imap");
const read = JSON.parse(readFileSync(path.join(data, "cases.json"), "utf8")) as {
  readonly sets: Readonly<Record<string, ReadonlyArray<Given>>>;
  readonly cases: ReadonlyArray<WorkedCase>;
};
export const { cases } = read;

/** `swe l1a all` as the catalogue has it: `swe/l1a/all`. */
export const nameOfJob = (job: string): string => job.replaceAll(" ", "/");

/** The files that are meant: a set's, one for each pointing of a sequence, or the one. */
export function filesOf(given: Given): ReadonlyArray<string | FileGiven> {
  if (typeof given === "string") {
    return given.startsWith("@") ? (read.sets[given.slice(1)] ?? []).flatMap(filesOf) : [given];
  }
  if (!("seq" in given)) return [given];
  const found: Array<string> = [];
  for (let n = given.from; n <= given.to; n++) {
    if (given.except.includes(n)) continue;
    const first = at(`${given.d0.slice(0, 4)}-${given.d0.slice(4, 6)}-${given.d0.slice(6)}`);
    const day = new Date(first / 1_000 + (n - given.n0) * 86_400_000)
      .toISOString()
      .slice(0, 10)
      .replaceAll("-", "");
    found.push(given.seq.replace("{d}", day).replace("{n:05d}", String(n).padStart(5, "0")));
  }
  return found;
}

/** The mission's table of three pointings in one day. */
export const tcm8Text = (): string => readFileSync(path.join(data, "repoint_table_tcm8_2026-04.csv"), "utf8");

/** The pointings that a case knows from the beginning. */
export function repointsOf({ pointings }: WorkedCase): ReadonlyArray<Repoint> {
  if (pointings === undefined) return [];
  if (pointings === "tcm8") {
    const table = parseRepointTable(tcm8Text());
    return table.ok ? table.repoints : [];
  }
  const { first_id, first_start, count, length_min, gap_min } = pointings;
  return repointsFrom(first_id, at(first_start), count, length_min, gap_min);
}

/** States in an order in which they can be compared: of reasons nobody says which comes first. */
export const sortedStates = (states: ExpectedStates): ExpectedStates =>
  Object.fromEntries(
    Object.entries(states).map(([watched, state]) => [
      watched,
      typeof state === "string" ? state : [state[0] ?? "", ...state.slice(1).toSorted()],
    ]),
  );

export const byJob = (a: ExpectedRun, b: ExpectedRun): number =>
  a.job < b.job ? -1 : a.job > b.job ? 1 : a.partition < b.partition ? -1 : a.partition > b.partition ? 1 : 0;

/** The same order for the same seed. */
export function shuffled<A>(items: ReadonlyArray<A>, seed: number): ReadonlyArray<A> {
  const list = [...items];
  let state = seed + 1;
  for (let index = list.length - 1; index > 0; index--) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    const other = state % (index + 1);
    const [a, b] = [list[index], list[other]];
    if (a !== undefined && b !== undefined) [list[index], list[other]] = [b, a];
  }
  return list;
}
