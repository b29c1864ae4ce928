/** Reprocessings that ask for the same partitions, at the same time or one after the other. */
import { describe, expect, it } from "vitest";
import { answers } from "../../../src/actors/jobAnswers.ts";
import type { Known } from "../../../src/actors/jobAnswers.ts";
import { Redos } from "../../../src/actors/redos.ts";
import type { Start } from "../../../src/jobs/fact.ts";
import { formatInstant } from "../../../src/jobs/instant.ts";
import { Resolver } from "../../../src/jobs/Resolver.ts";
import type { Redo } from "../../../src/protocol/orders.ts";
import { at, fileOf, JobWorld, loadMission, missionStart, runFactOf } from "../../support/jobWorld.ts";

const mission = loadMission();
const l1a = "swe/l1a/all";
const days = ["20260310", "20260311"];
const asked = (minute: number) => at(`2026-04-01T00:${String(minute).padStart(2, "0")}:00`);

function redoOf(id: string, minute: number, from: string, state: Redo["state"] = "running"): Redo {
  const said = { at: formatInstant(asked(minute)), by: "me", note: "" };
  return {
    v: 1,
    id,
    jobs: [l1a],
    from,
    to: "20260311",
    downstream: false,
    partitions: 1,
    state,
    ...said,
    history: [],
  };
}

class Redone {
  readonly world: JobWorld;
  redos = new Redos();

  constructor() {
    const job = mission.jobs.get(l1a);
    if (job === undefined) throw new Error("no such job");
    this.world = new JobWorld(mission, [job]);
    this.clock(0);
    for (const name of [
      "naif0012.tls",
      "imap_sclk_0183.tsc",
      ...days.map((day) => `imap_swe_l0_raw_${day}_v001.pkts`),
    ]) {
      const file = fileOf(mission, name);
      if (file !== null) this.world.tell({ type: "file", file });
    }
    this.world.settle();
  }

  clock(minute: number): void {
    this.world.tell({ type: "clock", now: asked(minute) });
  }

  ask(...some: ReadonlyArray<Redo>): void {
    for (const redo of some) this.redos.set(redo);
    for (const fact of this.redos.facts(this.world.resolver)) this.world.tell(fact);
  }

  settle(minute: number): ReadonlyArray<string> {
    this.clock(minute);
    return this.world
      .settle()
      .map(({ partition, minor, again }: Start) => `${partition} ${minor} ${again}`)
      .toSorted();
  }

  /** What a node makes that has just read all of it. */
  afterRestart(...some: ReadonlyArray<Redo>): ReadonlyArray<Start> {
    const job = mission.jobs.get(l1a);
    const core = new Resolver({
      kinds: mission.recogniser.kinds,
      jobs: job === undefined ? [] : [job],
      missionStart,
    });
    for (const fact of this.world.facts) if (fact.type !== "again" && fact.type !== "never") core.apply(fact);
    const redos = new Redos();
    for (const redo of some) redos.set(redo);
    for (const fact of redos.facts(core)) core.apply(fact);
    return core.decide().starts;
  }

  progress(id: string): unknown {
    const known = { core: this.world.resolver, redos: this.redos };
    return answers.get("redo-progress")?.(known as unknown as Known, { id });
  }
}

describe("reprocessings of the same partitions", () => {
  const both = redoOf("both", 1, "20260310");
  const second = redoOf("second", 2, "20260311");

  it("are both answered by one run that was decided on after both were asked for", () => {
    const of = new Redone();
    of.ask(both);
    of.ask(second);
    expect(of.settle(3)).toEqual(["20260310 2 both", "20260311 2 second"]);
    expect(of.progress("both")).toMatchObject({ jobs: [{ waiting: 0, running: 0, done: 2, failed: 0 }] });
    expect(of.progress("second")).toMatchObject({ jobs: [{ waiting: 0, running: 0, done: 1, failed: 0 }] });
    expect(of.afterRestart(both, second)).toEqual([]);
    expect(of.afterRestart(second, both)).toEqual([]);
  });

  it("are made one after the other where the second is asked for when the first is done", () => {
    const of = new Redone();
    of.ask(both);
    expect(of.settle(1)).toEqual(["20260310 2 both", "20260311 2 both"]);
    of.ask(second);
    expect(of.settle(3)).toEqual(["20260311 3 second"]);
    expect(of.afterRestart(second, both)).toEqual([]);
  });

  it("leave alone what an operator asked, whichever came first", () => {
    for (const forcedFirst of [true, false]) {
      const of = new Redone();
      const force = () =>
        of.world.tell({
          type: "again",
          id: "force",
          now: true,
          at: asked(forcedFirst ? 1 : 3),
          job: l1a,
          partition: "20260311",
        });
      of.world.tell({ type: "hold", job: l1a, partition: null, held: true });
      if (forcedFirst) force();
      of.ask(second);
      if (!forcedFirst) force();
      // Past the hold goes the force alone; it was decided on after both were asked for, so it is both's answer.
      expect(of.settle(4)).toEqual(["20260311 2 force"]);
      of.world.tell({ type: "hold", job: l1a, partition: null, held: false });
      expect(of.settle(5)).toEqual([]);
      expect(of.progress("second")).toMatchObject({ jobs: [{ waiting: 0, done: 1 }] });
    }
  });

  it("are made where what an operator asked failed, whichever was asked later", () => {
    for (const isLater of [false, true]) {
      const of = new Redone();
      const at = asked(isLater ? 3 : 1);
      if (isLater) of.ask(second);
      of.world.tell({ type: "again", id: "force", now: true, at, job: l1a, partition: "20260311" });
      of.clock(isLater ? 3 : 1);
      const [start] = of.world.resolver.decide().starts;
      expect(start?.again).toBe("force");
      if (start !== undefined) of.world.tell(runFactOf(start, "failed"));
      if (!isLater) of.ask(second);
      expect(of.settle(4)).toEqual(["20260311 3 second"]);
      expect(of.world.status(l1a, "20260311").state).toBe("done");
    }
  });

  it("stand where an operator takes back what was asked", () => {
    const of = new Redone();
    of.world.tell({ type: "again", id: "force", now: true, job: l1a, partition: "20260320" });
    of.settle(1);
    expect(of.world.status(l1a, "20260320").state).toBe("blocked");
    of.world.tell({ type: "never", id: null, job: l1a, partition: "20260320" });
    of.settle(2);
    // Nothing of that day has come: there is no such partition any more.
    expect(of.world.status(l1a, "20260320").state).toBe("none");
    of.ask(second);
    of.world.tell({ type: "never", id: null, job: l1a, partition: "20260311" });
    expect(of.settle(3)).toEqual(["20260311 2 second"]);
  });

  it("go on where the one that asked last is cancelled", () => {
    const of = new Redone();
    of.ask(both);
    of.ask(second);
    of.ask({ ...second, state: "cancelled" });
    expect(of.progress("both")).toMatchObject({ jobs: [{ waiting: 2, done: 0 }] });
    expect(of.settle(3)).toEqual(["20260310 2 both", "20260311 2 both"]);
  });
});
