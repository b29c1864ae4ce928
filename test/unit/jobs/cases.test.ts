import { describe, expect, it } from "vitest";
import type { CatalogueJob } from "../../../src/jobs/catalogue.ts";
import type { Fact, Start } from "../../../src/jobs/fact.ts";
import type { FileGiven } from "../../support/jobWorld.ts";
import { at, fileOf, JobWorld, loadMission } from "../../support/jobWorld.ts";
import type { CaseEvent, ExpectedRun, WorkedCase } from "../../support/workedCases.ts";
import {
  byJob,
  cases,
  filesOf,
  nameOfJob,
  repointsOf,
  shuffled,
  sortedStates,
} from "../../support/workedCases.ts";

const mission = loadMission();

/** One worked case in a world of its own. */
class Played {
  readonly world: JobWorld;
  readonly duplicates: Array<string> = [];
  readonly refused: Array<string> = [];
  readonly parked: Array<string> = [];

  constructor(it: WorkedCase) {
    const jobs = it.jobs.map((job): CatalogueJob => {
      const found = mission.jobs.get(nameOfJob(job));
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
    if (it.pointings !== undefined) {
      this.world.tell({
        type: "table",
        name: "table",
        start: 0,
        version: { legacy: true, major: 1, minor: 0 },
        repoints: repointsOf(it),
      });
    }
    if (it.clock !== undefined) this.world.tell({ type: "clock", now: at(it.clock) });
    for (const [job, partition] of it.running ?? []) this.world.tell(this.#given(job, partition, "running"));
  }

  #given(job: string, partition: string, state: "running" | "failed"): Fact {
    const run = {
      job: nameOfJob(job),
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

  event(event: CaseEvent): void {
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
    const { state, incomplete, on } = this.world.status(nameOfJob(job), partition);
    if (state === "none") return "no such partition yet";
    if (state === "blocked") {
      expect(on).not.toEqual([]);
      const words = this.world
        .words(nameOfJob(job), partition)
        // Ours names data sets with slashes, and an instant where the case has none.
        .map((text) => text.replaceAll("/", " ").replace(/ covers to \S+$/, " covers"));
      return ["blocked", ...words.toSorted()];
    }
    return incomplete === null ? state : `${state}, incomplete ${incomplete.have}/${incomplete.of}`;
  }
}

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
        expect(states).toEqual(sortedStates(step.states));
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
