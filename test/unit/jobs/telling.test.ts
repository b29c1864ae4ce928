/** What is told of a partition, and when: not what is being written with its run anyway. */
import { describe, expect, it } from "vitest";
import { CatalogueFacts } from "../../../src/actors/catalogueFacts.ts";
import { JobTelling } from "../../../src/actors/jobTelling.ts";
import type { TellingOf } from "../../../src/actors/jobTelling.ts";
import { arrive, jobsOf, JobWorld, loadMission } from "../../support/jobWorld.ts";

const mission = loadMission();
const job = "swe/l1a/all";
const key = `job.${job}.20260310.swe/20260310`;

function started(): {
  readonly world: JobWorld;
  readonly telling: JobTelling;
  readonly facts: CatalogueFacts;
} {
  const world = new JobWorld(mission, jobsOf(mission, job));
  const site = { lanes: new Map(), filesOf: null };
  const facts = new CatalogueFacts(
    site,
    mission as unknown as ConstructorParameters<typeof CatalogueFacts>[1],
  );
  const of: Omit<TellingOf, "node"> = { catalogue: { jobs: mission.jobs }, facts, core: world.resolver };
  const node = { nats: { now: () => 0 } } as unknown as TellingOf["node"];
  const telling = new JobTelling({ ...of, node });
  arrive(world, "naif0012.tls", "imap_sclk_0183.tsc", "imap_swe_l0_raw_20260310_v001.pkts");
  const { changed, starts } = world.resolver.decide();
  expect(starts).toHaveLength(1);
  for (const change of changed) telling.add(change);
  return { world, telling, facts };
}

const told = (telling: JobTelling) => telling.due().map(({ key: of, record }) => `${of} ${record.state}`);

describe("that a run is ready", () => {
  it("is not told while the run begins, which says it itself", () => {
    const { telling, facts } = started();
    const [ready] = telling.due();
    if (ready === undefined) throw new Error("nothing is due");
    telling.begins([key]);
    expect(told(telling)).toEqual([]);
    // It got through: the record says so by now.
    facts.stands(key, 7, ready.record);
    telling.begun([key]);
    expect(told(telling)).toEqual([]);
  });

  it("is told where the run could not begin", () => {
    const { telling } = started();
    telling.begins([key]);
    telling.begun([key]);
    expect(told(telling)).toEqual([`${key} ready`]);
  });

  it("is told as it was decided last", () => {
    const { world, telling } = started();
    telling.begins([key]);
    world.tell({ type: "withdrawn", name: "naif0012.tls" });
    for (const change of world.resolver.decide().changed) telling.add(change);
    expect(told(telling)).toEqual([]);
    telling.begun([key]);
    expect(told(telling)).toEqual([`${key} blocked`]);
  });
});
