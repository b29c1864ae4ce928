import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { parseRepointTable } from "../../../src/jobs/calendar.ts";
import type { CatalogueJob } from "../../../src/jobs/catalogue.ts";
import type { Fact, Start } from "../../../src/jobs/fact.ts";
import type { FileGiven } from "../../support/jobWorld.ts";
import { at, fileOf, JobWorld, loadMission, repointsFrom, repository } from "../../support/jobWorld.ts";

interface Sequence {
  readonly seq: string;
  readonly from: number;
  readonly to: number;
  readonly except: ReadonlyArray<number>;
  readonly n0: number;
  readonly d0: string;
}
type Given = string | FileGiven | Sequence;
type Event =
  | Given
  | { readonly batch: ReadonlyArray<Given> }
  | { readonly clock: string }
  | { readonly job: string; readonly partition: string; readonly outcome: "failed" };

interface ExpectedRun {
  readonly job: string;
  readonly partition: string;
  readonly minor: string;
  readonly inputs?: ReadonlyArray<string>;
  readonly incomplete?: boolean;
  readonly input_count?: number;
  readonly pointings?: number;
}
type ExpectedStates = Readonly<Record<string, string | ReadonlyArray<string>>>;
interface WorkedCase {
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
  readonly events: ReadonlyArray<Event>;
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
interface Cases {
  readonly sets: Readonly<Record<string, ReadonlyArray<Given>>>;
  readonly cases: ReadonlyArray<WorkedCase>;
}

const data = path.join(repository, "test/data/imap");
const { sets, cases } = JSON.parse(readFileSync(path.join(data, "cases.json"), "utf8")) as Cases;
const mission = loadMission();

const nameOf = (job: string): string => job.replaceAll(" ", "/");

function filesOf(given: Given): ReadonlyArray<string | FileGiven> {
  if (typeof given === "string") {
    return given.startsWith("@") ? (sets[given.slice(1)] ?? []).flatMap(filesOf) : [given];
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

/** One worked case in a world of its own. */
class Played {
  readonly world: JobWorld;
  readonly duplicates: Array<string> = [];
  readonly refused: Array<string> = [];
  readonly parked: Array<string> = [];

  constructor(it: WorkedCase) {
    const jobs = it.jobs.map((job): CatalogueJob => {
      const found = mission.jobs.get(nameOf(job));
      if (found === undefined) throw new Error(`no job ${job}`);
      const policy = it.policy?.[job];
      return policy === undefined
        ? { ...found, policy: null }
        : {
            ...found,
            policy: { coverage: policy.coverage, deadlineDays: policy.deadline_days, unit: "pointing" },
          };
    });
    this.world = new JobWorld(mission, jobs);
    const { pointings } = it;
    if (pointings !== undefined) {
      const read =
        pointings === "tcm8"
          ? parseRepointTable(readFileSync(path.join(data, "repoint_table_tcm8_2026-04.csv"), "utf8"))
          : null;
      const repoints =
        pointings === "tcm8"
          ? read?.ok === true
            ? read.repoints
            : []
          : repointsFrom(
              pointings.first_id,
              at(pointings.first_start),
              pointings.count,
              pointings.length_min,
              pointings.gap_min,
            );
      this.world.tell({
        type: "table",
        name: "table",
        start: 0,
        version: { legacy: true, major: 1, minor: 0 },
        repoints,
      });
    }
    if (it.clock !== undefined) this.world.tell({ type: "clock", now: at(it.clock) });
    for (const [job, partition] of it.running ?? []) this.world.tell(this.#given(job, partition, "running"));
  }

  #given(job: string, partition: string, state: "running" | "failed"): Fact {
    const run = {
      job: nameOf(job),
      partition,
      hash: "given",
      state,
      minor: 1,
      inputs: [],
      at: 0,
      again: null,
    };
    return { type: "run", run: { ...run, incomplete: null } };
  }

  event(event: Event): void {
    if (typeof event === "object" && "batch" in event) for (const one of event.batch) this.event(one);
    else if (typeof event === "object" && "clock" in event)
      this.world.tell({ type: "clock", now: at(event.clock) });
    else if (typeof event === "object" && "outcome" in event) {
      this.world.tell(this.#given(event.job, event.partition, event.outcome));
    } else for (const one of filesOf(event)) this.#file(one);
  }

  #file(given: string | FileGiven): void {
    const file = fileOf(mission, given);
    const name = typeof given === "string" ? given : given.n;
    if (file === null) return void this.parked.push(name);
    const applied = this.world.tell({ type: "file", file });
    if (applied === "duplicate") this.duplicates.push(name);
    if (applied === "refused") this.refused.push(name);
  }

  state(watched: string): string | ReadonlyArray<string> {
    const [job = "", partition = ""] = watched.split("|");
    const { state, incomplete, on } = this.world.status(nameOf(job), partition);
    if (state === "none") return "no such partition yet";
    if (state === "blocked") {
      expect(on).not.toEqual([]);
      const words = this.world
        .words(nameOf(job), partition)
        // Ours names data sets with slashes, and an instant where the case has none.
        .map((text) => text.replaceAll("/", " ").replace(/ covers to \S+$/, " covers"));
      return ["blocked", ...words.toSorted()];
    }
    return incomplete === null ? state : `${state}, incomplete ${incomplete.have}/${incomplete.of}`;
  }
}

const sorted = (states: ExpectedStates): ExpectedStates =>
  Object.fromEntries(
    Object.entries(states).map(([watched, state]) => [
      watched,
      typeof state === "string" ? state : [state[0] ?? "", ...state.slice(1).toSorted()],
    ]),
  );

const runsIn = (starts: ReadonlyArray<Start>): ReadonlyArray<Required<ExpectedRun>> =>
  starts
    .map((start) => ({
      job: start.job.replaceAll("/", " "),
      partition: start.partition,
      minor: String(start.minor).padStart(4, "0"),
      inputs: start.inputs.map(({ file }) => file.name).toSorted(),
      incomplete: start.incomplete !== null,
      input_count: start.inputs.length,
      pointings: start.inputs.filter(({ file }) => file.pointing !== null).length,
    }))
    .toSorted(byJob);

const byJob = (a: ExpectedRun, b: ExpectedRun): number =>
  a.job < b.job ? -1 : a.job > b.job ? 1 : a.partition < b.partition ? -1 : a.partition > b.partition ? 1 : 0;

function expectRuns(starts: ReadonlyArray<Start>, expected: ReadonlyArray<ExpectedRun>): void {
  const found = runsIn(starts);
  const wanted = expected.toSorted(byJob);
  expect(found.map(({ job, partition, minor }) => ({ job, partition, minor }))).toEqual(
    wanted.map(({ job, partition, minor }) => ({ job, partition, minor })),
  );
  for (const [index, run] of wanted.entries()) {
    const sortedInputs = run.inputs === undefined ? {} : { inputs: run.inputs.toSorted() };
    expect(found[index]).toMatchObject({ incomplete: false, ...run, ...sortedInputs });
  }
}

describe("the worked cases of the mission", () => {
  it("are all here", () => {
    expect(cases.map(({ id }) => id)).toEqual(Array.from({ length: 13 }, (_, index) => `O${index + 1}`));
  });

  for (const one of cases.filter((each) => each.any_order !== true)) {
    it(`${one.id}: ${one.title}`, () => {
      const played = new Played(one);
      const steps = one.expect.steps ?? [];
      expect(steps).toHaveLength(one.events.length + 1);
      for (const [index, step] of steps.entries()) {
        const event = one.events[index - 1];
        if (event === undefined) for (const given of one.given) played.event(given);
        else played.event(event);
        expectRuns(played.world.settle(), step.runs);
        const states = Object.fromEntries(
          Object.keys(step.states).map((watched) => [watched, played.state(watched)]),
        );
        expect(states).toEqual(sorted(step.states));
      }
      expect(played.duplicates).toEqual(one.expect.duplicates ?? []);
      expect(played.refused).toEqual(one.expect.refused ?? []);
      expect(played.parked).toEqual(one.expect.parked ?? []);
    });
  }

  for (const one of cases.filter((each) => each.any_order === true)) {
    it(`${one.id}, in 1,000 orders: ${one.title}`, () => {
      for (let seed = 0; seed < 1_000; seed++) {
        const played = new Played(one);
        for (const given of one.given) played.event(given);
        const starts = [...played.world.settle()];
        for (const event of shuffled(one.events, seed)) {
          played.event(event);
          starts.push(...played.world.settle());
        }
        expectRuns(starts, one.expect.runs_at_end ?? []);
        for (const [watched, state] of Object.entries(one.expect.states ?? {})) {
          expect(played.state(watched)).toEqual(state);
        }
      }
    });
  }
});

/** The same order for the same seed. */
function shuffled<A>(items: ReadonlyArray<A>, seed: number): ReadonlyArray<A> {
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
