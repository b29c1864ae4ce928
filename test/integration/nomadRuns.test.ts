/** Runs of a site whose commands run on a Nomad: taken from the ledger, published, cancelled, given back, by real runners. */
import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { cancelRun } from "../../src/actors/runCancel.ts";
import { makeNomadDriver } from "../../src/drivers/nomad.ts";
import type { RunDriver } from "../../src/drivers/RunDriver.ts";
import { dayOf, planOf, RunStage, scriptJob } from "../support/catalogueRuns.ts";
import { FakeNomad } from "../support/fakeNomad.ts";
import { patienceMs } from "../support/testSite.ts";

const onNomad = (script: string) => ({
  type: "nomad" as const,
  job: "orrery-run",
  folder: "",
  command: ["/bin/sh", "-ec", script],
  env: {} as Record<string, string>,
  address: "",
  tokenFile: null,
  namespace: "default",
});
const makes = `echo "$ORRERY_PARTITION" > "$ORRERY_OUTPUTS/map"; echo made`;
const waits = `echo "$ORRERY_ATTEMPT" >> "$FOLDER/begun"
  while ! test -e "$FOLDER/go"; do echo alive > "$FOLDER/alive"; sleep 0.05; done; ${makes}`;

let stage: RunStage;
let nomad: FakeNomad;
let driver: RunDriver;
const inFolder = (name: string): string => join(stage.folder, name);
const lines = (name: string): ReadonlyArray<string> =>
  existsSync(inFolder(name)) ? readFileSync(inFolder(name), "utf8").trim().split("\n") : [];

beforeAll(async () => {
  const jobs = [
    scriptJob("makes", "", { driver: onNomad(makes) }),
    scriptJob("waits", "", { driver: onNomad(waits) }),
  ];
  stage = await RunStage.start(jobs);
  for (const job of jobs) (job.driver.env as Record<string, string>)["FOLDER"] = stage.folder;
  nomad = new FakeNomad({ gcAfterMs: 500 });
  const folder = inFolder("tickets");
  nomad.register("orrery-run", {
    command: process.execPath,
    args: [join(import.meta.dirname, "../support/keeperMain.ts"), folder, "${NOMAD_TASK_DIR}/try"],
    metaRequired: ["owner"],
    payloadFile: "try",
  });
  await nomad.start();
  driver = makeNomadDriver({ address: nomad.address, job: "orrery-run", folder, interruptMs: 300 });
});
afterEach(() => stage.stopAll());
afterAll(async () => {
  await stage.end();
  await nomad.end();
});

const runner = (name: string) => stage.runner(name, 0, { driverOf: () => driver });
const done = (run: string) => stage.until(run, "done", (record) => record.state === "done");
async function until(is: () => boolean): Promise<void> {
  const end = performance.now() + patienceMs;
  while (!is()) {
    if (performance.now() > end) throw new Error("never");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe("runs on a Nomad", () => {
  it("are dispatched once each, and only the runner publishes", async () => {
    const one = await runner("publishes");
    const days = ["20260310", "20260311", "20260312"];
    const runs: Array<string> = [];
    for (const day of days) {
      const plan = planOf([]);
      const outputs = [{ dataset: "mag/l2/map", name: "map", bucket: "products", key: `${day}.map` }];
      runs.push(await stage.begin("makes", { ...plan, outputs }, dayOf(day)));
    }
    for (const run of runs) expect((await done(run)).body.result).toMatchObject({ exit: 0, timedOut: false });
    expect(await Promise.all(days.map((day) => stage.text(`${day}.map`)))).toEqual(
      days.map((day) => `${day}\n`),
    );
    expect(one.announced.map(({ key }) => key)).toEqual(days.map((day) => `${day}.map`));
    expect(nomad.dispatched).toHaveLength(3);
    expect(readdirSync(inFolder("tickets"))).toEqual([]);
  });

  it("end when they are cancelled, and when their node drains; another node then begins anew", async () => {
    const first = await runner("drains");
    const run = await stage.begin("waits", planOf(["map"]), dayOf("20260401"));
    await until(() => lines("begun").length === 1);
    await first.stop();
    writeFileSync(inFolder("alive"), "");
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(lines("alive")).toEqual([""]);
    await runner("takes-over");
    await until(() => lines("begun").length === 2);
    const { nats } = stage.server;
    expect(await cancelRun(nats, run, "somebody", "not wanted")).toEqual({
      type: "asked",
      node: "takes-over",
    });
    const record = await stage.until(run, "parked", ({ state }) => state === "parked");
    expect(record.errors.at(-1)).toMatchObject({ reason: "Cancelled" });
    writeFileSync(inFolder("alive"), "");
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(lines("alive")).toEqual([""]);
    // The drain cost no attempt.
    expect(lines("begun")).toEqual(["1", "1"]);
  });
});
