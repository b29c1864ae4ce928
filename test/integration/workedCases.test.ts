/**
 * The mission's worked cases through a running site: a real server and ledger, runners with the stand-in processor, files by the webhook.
 *
 * Where a running site cannot do what the cases suppose, it is done as it would be there:
 * - pointings are known by a repoint table, which is a file. So it comes before what is given, and `repoint: none` is no reason that
 *   anything can be blocked on (O6).
 * - a run that is under way has inputs, and ends when its program does. So what it is made of is given as well (O10).
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Repoint } from "../../src/jobs/calendar.ts";
import { formatInstant } from "../../src/jobs/instant.ts";
import type { JobRecord } from "../../src/protocol/jobs.ts";
import { decodeKeyPart, placeOfIndexKey } from "../../src/protocol/keys.ts";
import type { LedgerRecord } from "../../src/protocol/records.ts";
import type { RunBody } from "../../src/protocol/runs.ts";
import { partitionName } from "../../src/protocol/runs.ts";
import { at } from "../support/jobWorld.ts";
import type { AtRest } from "../support/missionAtRest.ts";
import { probeJob, Rest } from "../support/missionAtRest.ts";
import type { Mission, MissionFile } from "../support/missionSite.ts";
import { startMission } from "../support/missionSite.ts";
import { counted, keysOf, until } from "../support/testSite.ts";
import type { CaseEvent, ExpectedRun, ExpectedStates, Given, WorkedCase } from "../support/workedCases.ts";
import {
  byJob,
  cases,
  filesOf,
  nameOfJob,
  repointsOf,
  shuffled,
  sortedStates,
  tcm8Text,
} from "../support/workedCases.ts";

const tableText = (repoints: ReadonlyArray<Repoint>): string =>
  [
    "repoint_start_utc,repoint_end_utc,repoint_id",
    ...repoints.map(({ number, start, end }) =>
      [formatInstant(start), end === null ? "" : formatInstant(end), number].join(","),
    ),
  ].join("\n");

/** Ends, as failed for good, once the file is there. */
const untilTold = (file: string): ReadonlyArray<string> => [
  "/bin/sh",
  "-c",
  `while ! test -e ${JSON.stringify(file)}; do sleep 0.02; done; exit 65`,
];

/** What of the run that the case has under way it is made of; its pointing's own, so that nothing else comes of it. */
const madeOf: Readonly<Record<string, ReadonlyArray<string>>> = {
  O10: [
    "@FIX",
    "@AH",
    "@PRED",
    "imap_2026_072_2026_073_01.spin.csv",
    "imap_hi_45sensor-esa-energies_20250101_v001.csv",
    "imap_hi_l1a_45sensor-de_20260313-repoint00184_v001.0001.cdf",
    "imap_hi_l1b_45sensor-hk_20260313-repoint00184_v001.0001.cdf",
  ],
};

/** The resolver looks at the clock, and reads tables that have come, once a second. */
const nextSecond = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 2_500));

/** One worked case on a site of its own. */
class Played {
  readonly mission: Mission;
  readonly #case: WorkedCase;
  readonly #table: string;
  readonly #rest: Rest;
  readonly #setClock: (text: string) => void;
  readonly #known = new Set<string>();

  private constructor(of: WorkedCase, mission: Mission, setClock: (text: string) => void) {
    this.mission = mission;
    this.#case = of;
    this.#table = of.pointings === "tcm8" ? tcm8Text() : tableText(repointsOf(of));
    this.#setClock = setClock;
    this.#rest = new Rest(mission.site.node.context.nats, (files) => mission.send(files));
  }

  static async start(of: WorkedCase, folder: string): Promise<Played> {
    const held = (of.running ?? []).map(([job]) => nameOfJob(job));
    let offsetMs = 0;
    const setClock = (text: string): void => void (offsetMs = at(text) / 1_000 - Date.now());
    if (of.clock !== undefined) setClock(of.clock);
    const mission = await startMission({
      folder,
      jobs: [...of.jobs.map(nameOfJob), probeJob],
      ...(of.clock === undefined ? {} : { aroundClock: (siteMs: number) => siteMs + offsetMs }),
      change: (job, fields) => {
        const policy = of.policy?.[job.replaceAll("/", " ")];
        return {
          ...fields,
          ...(held.includes(job) ? { driver: "held" } : {}),
          ...(policy === undefined
            ? {}
            : {
                policy: {
                  deadline: `${policy.deadline_days} days`,
                  coverage: policy.coverage,
                  unit: "pointing",
                },
              }),
        };
      },
      common: (file) => ({
        ...file,
        ...(held.length === 0
          ? {}
          : {
              drivers: {
                ...(file["drivers"] as object),
                held: { type: "process", command: untilTold(join(folder, "fail")) },
              },
            }),
      }),
    });
    const played = new Played(of, mission, setClock);
    await played.#begin().catch(async (cause: unknown) => {
      await mission.stop();
      throw cause;
    });
    return played;
  }

  /** What the case supposes to be so before anything is given. */
  async #begin(): Promise<void> {
    const { pointings, running, id } = this.#case;
    if (pointings !== undefined) {
      await this.#send(["imap_2026_001_01.repoint.csv"]);
      await this.settled();
      await nextSecond();
    }
    if (running === undefined) return;
    await this.#send((madeOf[id] ?? []).flatMap(filesOf));
    for (const [job, partition] of running) {
      await until(
        () => this.mission.job(nameOfJob(job), partition),
        (record) => record?.state === "running",
      );
    }
    for (const run of await this.mission.runs()) this.#known.add(keyOf(run));
  }

  async #send(files: ReadonlyArray<ReturnType<typeof filesOf>[number]>): Promise<void> {
    const sent = files.map((given): MissionFile => {
      const { n, h, range } =
        typeof given === "string" ? { n: given, h: undefined, range: undefined } : given;
      const text = n.endsWith(".repoint.csv") ? this.#table : h;
      return { name: n, ...(text === undefined ? {} : { text }), ...(range === undefined ? {} : { range }) };
    });
    if (sent.length > 0) await this.mission.send(sent);
  }

  async give(given: ReadonlyArray<Given>): Promise<void> {
    await this.#send(given.flatMap(filesOf));
  }

  async event(event: CaseEvent): Promise<void> {
    if (typeof event === "object" && "batch" in event) return this.give(event.batch);
    if (typeof event === "object" && "outcome" in event)
      return writeFileSync(join(this.mission.files.folder, "fail"), "");
    if (typeof event !== "object" || !("clock" in event)) return this.give([event]);
    this.#setClock(event.clock);
    await nextSecond();
  }

  /** The runs that began since it was last asked, and how all stands. */
  async settled(): Promise<AtRest> {
    const goesOn = ({ job, partition }: RunBody): boolean =>
      (this.#case.running ?? []).some(
        ([name, of]) => job === nameOfJob(name) && partitionName(partition) === of,
      );
    const { jobs, runs } = await this.#rest.reached({ goesOn });
    const fresh = runs.filter((run) => !this.#known.has(keyOf(run)));
    for (const run of fresh) this.#known.add(keyOf(run));
    return { jobs, runs: fresh };
  }

  /** As the case has it, less what no running site can say. */
  expected(states: ExpectedStates): ExpectedStates {
    if (this.#case.pointings === undefined) return sortedStates(states);
    const known = Object.entries(states).map(([watched, state]): [string, string | ReadonlyArray<string>] => [
      watched,
      typeof state === "string" ? state : state.filter((reason) => reason !== "repoint: none"),
    ]);
    return sortedStates(Object.fromEntries(known));
  }
}

const keyOf = ({ body }: LedgerRecord<RunBody>): string =>
  `${body.job} ${partitionName(body.partition)} ${body.hash}`;

function stateOf(jobs: ReadonlyArray<JobRecord>, watched: string): string | ReadonlyArray<string> {
  const [job = "", partition = ""] = watched.split("|");
  const found = jobs.find((one) => one.job === nameOfJob(job) && partitionName(one.partition) === partition);
  if (found === undefined) return "no such partition yet";
  if (found.state === "blocked") {
    // Ours names data sets with slashes, and an instant where the case has none.
    const words = found.blockedOn.map((text) =>
      text.replaceAll("/", " ").replace(/ covers to \S+$/, " covers"),
    );
    return ["blocked", ...words.toSorted()];
  }
  const share = found.catalogue?.incomplete ?? null;
  return share === null ? found.state : `${found.state}, incomplete ${share.have}/${share.of}`;
}

const runsIn = (runs: ReadonlyArray<LedgerRecord<RunBody>>): ReadonlyArray<Required<ExpectedRun>> =>
  runs
    .map(({ body }) => ({
      job: body.job.replaceAll("/", " "),
      partition: partitionName(body.partition),
      minor: String(body.plan?.minor).padStart(4, "0"),
      inputs: body.inputs.map(({ name }) => name ?? "").toSorted(),
      incomplete: body.plan?.incomplete ?? false,
      input_count: body.inputs.length,
      pointings: body.inputs.filter(({ name }) => /-repoint\d{5}_/.test(name ?? "")).length,
    }))
    .toSorted(byJob);

function expectRuns({ runs }: Pick<AtRest, "runs">, expected: ReadonlyArray<ExpectedRun>): void {
  const found = runsIn(runs);
  const wanted = expected.toSorted(byJob);
  expect(found.map(({ job, partition, minor }) => ({ job, partition, minor }))).toEqual(
    wanted.map(({ job, partition, minor }) => ({ job, partition, minor })),
  );
  for (const [index, run] of wanted.entries()) {
    const inputs = run.inputs === undefined ? {} : { inputs: run.inputs.toSorted() };
    expect(found[index]).toMatchObject({ incomplete: false, ...run, ...inputs });
  }
  // All of them ended well, and what they made is there under the version that was counted.
  for (const { state, body } of runs) {
    expect(state).toBe("done");
    expect(body.outputs?.map(({ name }) => name)).toEqual(body.plan?.outputs.map(({ name }) => name));
  }
}

async function withCase(of: WorkedCase, test: (played: Played) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "orrery-case-"));
  try {
    const played = await Played.start(of, folder);
    try {
      await test(played);
    } finally {
      await played.mission.stop();
    }
  } finally {
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

/** Names of what was refused or parked, by why. */
async function parkedIn(mission: Mission): Promise<Readonly<Record<string, ReadonlyArray<string>>>> {
  const found: Record<string, Array<string>> = {};
  for (const [key, value] of await keysOf(mission.site, "parked.imap.>")) {
    const tail = decodeKeyPart(placeOfIndexKey(key)?.tail ?? "") ?? key;
    (found[String(value["reason"])] ??= []).push(tail.slice(tail.lastIndexOf("/") + 1));
  }
  return found;
}

describe.concurrent("the worked cases of the mission, on a running site", () => {
  for (const one of cases.filter((each) => each.any_order !== true)) {
    it(`${one.id}: ${one.title}`, () =>
      withCase(one, async (played) => {
        for (const [index, step] of (one.expect.steps ?? []).entries()) {
          const event = one.events[index - 1];
          if (event === undefined) await played.give(one.given);
          else await played.event(event);
          const found = await played.settled();
          expectRuns(found, step.runs);
          const states = Object.fromEntries(
            Object.keys(step.states).map((watched) => [watched, stateOf(found.jobs, watched)]),
          );
          expect(states).toEqual(played.expected(step.states));
        }
        const { duplicates = [], refused = [], parked = [] } = one.expect;
        const { mission } = played;
        // Told again within some minutes it is the stream that knows it, later it is the ledger.
        const again = counted(mission.site, "skipped.duplicate") + counted(mission.site, "duplicates.imap");
        if (duplicates.length > 0) expect(again).toBe(duplicates.length);
        const why = await parkedIn(mission);
        expect(why["ContentChanged"] ?? []).toEqual(refused);
        expect((why["NameNotRecognised"] ?? []).toSorted()).toEqual(parked.toSorted());
      }));
  }

  for (const one of cases.filter((each) => each.any_order === true)) {
    it(`${one.id}, in an order of its own: ${one.title}`, () =>
      withCase(one, async (played) => {
        await played.give(one.given);
        expectRuns(await played.settled(), []);
        for (const event of shuffled(one.events, 12)) await played.event(event);
        const found = await played.settled();
        expectRuns(found, one.expect.runs_at_end ?? []);
        for (const [watched, state] of Object.entries(one.expect.states ?? {}))
          expect(stateOf(found.jobs, watched)).toEqual(state);
      }));
  }
});
