/** What operators ask of a mission's jobs, on a whole node: why, expected, lineage, withdraw, and jobs needs, preview and ls. */
import { describe, expect, it } from "vitest";
import type {
  ExpectedAnswer,
  LineageAnswer,
  NeedsAnswer,
  PartitionsAnswer,
  PreviewAnswer,
} from "../../src/protocol/operatorQuestions.ts";
import type { FileTold } from "../../src/cli/lineage.ts";
import type { Mission } from "../support/missionSite.ts";
import { missionPerTest, orrery, reaches } from "../support/missionTests.ts";

const start = missionPerTest();

type TaggedLineage = Omit<LineageAnswer, "files"> & { readonly files: ReadonlyArray<FileTold> };

async function json<A>(of: Mission, ...argv: ReadonlyArray<string>): Promise<A> {
  const { stdout, stderr } = await orrery(of, ...argv, "--json");
  if (stdout === "") throw new Error(stderr);
  return JSON.parse(stdout) as A;
}

const swe = ["swe/l1a/all", "swe/l1b/sci", "swe/l2/sci", "swe/l3/sci"];
const constants = [
  "naif0012.tls",
  "imap_sclk_0183.tsc",
  "imap_swe_l1b-in-flight-cal_20250101_v001.csv",
  "imap_swe_esa-lut_20250101_v001.csv",
  "imap_swe_eu-conversion_20250101_v001.csv",
];
const raw = (day: string): string => `imap_swe_l0_raw_${day}_v001.pkts`;
/** Of a day of 2026. */
const spin = (day: number): string => {
  const of = `2026_${String(day).padStart(3, "0")}`;
  return `imap_${of}_${of}_01.spin.csv`;
};

/** A day up to L1B; L2 waits for the rest of the day's spin, and L3 for L2 and much else. */
async function dayWithoutSpin(): Promise<Mission> {
  const of = await start({ jobs: swe });
  await of.send([
    ...constants,
    ...[66, 67, 68].map(spin),
    // Of 10 March: it ends at noon.
    { name: spin(69), range: ["2026-03-10T00:00:00", "2026-03-10T12:00:00"] },
    raw("20260310"),
  ]);
  await reaches(of, "swe/l1b/sci", "20260310", "done");
  await reaches(of, "swe/l2/sci", "20260310", "blocked");
  await reaches(of, "swe/l3/sci", "20260310", "blocked");
  return of;
}

const rootOfSpin =
  "needs spin to 24:00, has to 12:00; the file of 2026-03-11 has not arrived; expected daily";

interface WhyJson {
  readonly state: string;
  readonly headline: string;
  readonly roots: ReadonlyArray<{ readonly type: string; readonly words: string }>;
  readonly runs: ReadonlyArray<Record<string, unknown>>;
  readonly order: { readonly hold: { readonly note: string } | null } | null;
}

describe("orrery why JOB PARTITION", () => {
  it("walks through what makes a thing to what has not come, and tells orders and runs", async () => {
    const of = await dayWithoutSpin();
    const blocked = await orrery(of, "why", "swe/l2/sci", "2026-03-10");
    expect(blocked.exit).toBe(0);
    expect(blocked.stdout).toContain(`blocked: ${rootOfSpin}`);

    const below = await json<WhyJson>(of, "why", "swe l3 sci", "20260310");
    expect(below.roots[0]).toMatchObject({
      type: "arrival",
      dataset: "spin/spin/historical",
      words: rootOfSpin,
    });
    // Of day, spin file and calibrations nothing is brought by a force.
    expect(blocked.stdout).not.toContain("orrery force");
    expect(blocked.stdout).toContain("orrery replay imap --dry-run");
    const config = below.roots.find((root) => root.words.includes("swe/ancillary/config"));
    expect(config?.words).toBe("needs swe/ancillary/config for 2026-03-10; none is known up to then");
    const tree = await orrery(of, "why", "swe/l3/sci", "20260310");
    expect(tree.stdout).toMatch(/swe\/l2\/sci 20260310 is blocked\n.*spin: gap/);

    expect((await orrery(of, "hold", "swe/l1b/sci", "20260310", "--note", "new tables")).exit).toBe(0);
    expect((await orrery(of, "retry", "swe/l1b/sci", "20260310")).exit).toBe(0);
    await reaches(of, "swe/l1b/sci", "20260310", "stale");
    const held = await json<WhyJson>(of, "why", "swe/l1b/sci", "20260310");
    expect(held).toMatchObject({ state: "stale", headline: "stale: held by an operator" });
    expect(held.order?.hold?.note).toBe("new tables");
    expect(held.runs).toHaveLength(1);
    expect(held.runs[0]).toMatchObject({ state: "done", minor: 1, attempts: 0, lastError: null });
    const words = await orrery(of, "why", "swe/l1b/sci", "20260310");
    expect(words.stdout).toMatch(/held by operator .*: new tables/);
    expect(words.stdout).toContain("not begun yet");
    expect(words.stdout).toContain("imap_swe_l1a_sci_20260310_v001.0001.cdf");
    expect(words.stdout).toContain("orrery release swe/l1b/sci 20260310");
    expect(words.stdout).toContain("orrery force swe/l1b/sci 20260310");

    // Nothing of that day has come: it is said all the same what would have to.
    const none = await json<WhyJson>(of, "why", "swe/l2/sci", "20260320");
    expect(none.state).toBe("none");
    expect(none.roots.map((root) => root.words).join()).toContain("swe/l0/raw for 2026-03-20");
    expect((await orrery(of, "why", "swe/l2/sci", "20260320")).exit).toBe(3);
  });

  it("tells how a run failed, and the way to its log", async () => {
    const of = await start({ jobs: ["swe/l1a/all"], env: { STAND_IN_EXIT: "65" } });
    await of.send([...constants, raw("20260310")]);
    await reaches(of, "swe/l1a/all", "20260310", "failed");
    const why = await json<WhyJson & { readonly commands: ReadonlyArray<string> }>(
      of,
      "why",
      "swe/l1a/all",
      "20260310",
    );
    expect(why.roots).toMatchObject([{ type: "failed", words: "swe/l1a/all 20260310 failed" }]);
    const [run] = why.runs;
    expect(String(run?.["lastError"])).toContain("BadInput: exit 65");
    expect(why.commands).toContain(run?.["log"]);
    expect(why.commands).toContain("orrery retry swe/l1a/all 20260310");
    const log = await orrery(of, "log", String(run?.["hash"]));
    expect(log.exit).toBe(0);
  });
});

describe("orrery expected", () => {
  it("groups what is missing by what is at the root of it, and exits 3; 0 where nothing is", async () => {
    const of = await dayWithoutSpin();
    const missing = await orrery(of, "expected");
    expect(missing.exit).toBe(3);
    expect(missing.stdout).toContain("2 products missing, of 1 cause");
    const answer = await json<ExpectedAnswer>(of, "expected", "2026-03-10");
    expect(answer).toMatchObject({ partitions: 2, told: 2, products: 2 });
    expect(answer.groups).toHaveLength(1);
    expect(answer.groups[0]).toMatchObject({
      late: true,
      team: "swe",
      since: "2026-03-11T00:00:00",
      partitions: 2,
      root: { type: "arrival", dataset: "spin/spin/historical" },
      missing: [
        { job: "swe/l2/sci", partition: "20260310", state: "blocked" },
        { job: "swe/l3/sci", partition: "20260310", state: "blocked" },
      ],
    });
    // Spin data of March are old by now; leap seconds may be as old as they like.
    expect(answer.aged.map((one) => one.kind)).toEqual(["spin"]);
    expect(missing.stdout).toContain("spin is");
    const status = await orrery(of, "status", "--json");
    expect(JSON.parse(status.stdout)).toMatchObject({ aged: [{ kind: "spin", newest: spin(69) }] });
    expect((await orrery(of, "status")).stdout).toContain("spin is");

    const other = await orrery(of, "expected", "20260401");
    expect(other.exit).toBe(0);
    expect(other.stdout).toContain("Nothing is missing");
    expect((await orrery(of, "expected", "--team", "mag")).exit).toBe(0);
    expect((await orrery(of, "expected", "--team", "nobody")).exit).toBe(2);
    expect((await orrery(of, "expected", "soon")).exit).toBe(2);
  });
});

describe("orrery lineage", () => {
  it("goes up to the raw and down to what was made, with the content of each", async () => {
    const of = await dayWithoutSpin();
    const l1b = "imap_swe_l1b_sci_20260310_v001.0001.cdf";
    const up = await json<TaggedLineage>(of, "lineage", l1b);
    expect(up.runs.map((run) => run.job)).toEqual(["swe/l1b/sci", "swe/l1a/all"]);
    const file = (name: string) => up.files.find((one) => one.name === name);
    expect(file(l1b)?.madeBy).toBe(up.runs[0]?.key);
    expect(file("imap_swe_l1a_sci_20260310_v001.0001.cdf")?.madeBy).toBe(up.runs[1]?.key);
    expect(file(raw("20260310"))).toMatchObject({ madeBy: null });
    expect(up.cut).toEqual({ up: false, down: false });
    const records = await of.runs();
    const made = records.find(({ body }) => body.job === "swe/l1b/sci");
    const recorded = new Map(made?.body.inputs.map((input) => [input.name, input.etag]));
    expect(recorded.size).toBe(6);
    for (const input of up.runs[0]?.inputs ?? []) {
      expect(input.content).toBe(recorded.get(input.name));
      expect(file(input.name)?.etag).toBe(input.content);
    }

    const down = await json<LineageAnswer>(of, "lineage", raw("20260310"), "--only", "down");
    expect(down.runs.map((run) => [run.job, run.outputs.length])).toEqual([
      ["swe/l1a/all", 3],
      ["swe/l1b/sci", 1],
    ]);
    const near = await json<LineageAnswer>(of, "lineage", raw("20260310"), "--depth", "1");
    expect(near.runs).toHaveLength(1);
    expect(near.cut).toEqual({ up: false, down: true });
    const text = await orrery(of, "lineage", l1b);
    expect(text.stdout).toContain(`${raw("20260310")}  ${recordedTag(up, raw("20260310"))}`);
    expect((await orrery(of, "lineage", "imap_swe_l1b_sci_20260401_v001.0001.cdf")).exit).toBe(3);
  });
});

const recordedTag = (of: TaggedLineage, name: string): string =>
  of.files.find((file) => file.name === name)?.content ?? "";

describe("orrery withdraw", () => {
  it("tells what follows first, takes the file away with --yes, and replay takes it in again", async () => {
    const of = await dayWithoutSpin();
    const lut = "imap_swe_esa-lut_20250101_v001.csv";
    const first = await json<{ readonly preview: PreviewAnswer; readonly withdrawn: ReadonlyArray<unknown> }>(
      of,
      "withdraw",
      lut,
    );
    expect(first.withdrawn).toEqual([]);
    expect(first.preview.counts).toEqual([
      { job: "swe/l1b/sci", before: "done", after: "stale", partitions: 1 },
    ]);
    expect(first.preview.changes[0]?.words).toEqual(["swe/ancillary/esa-lut: none covers 2026-03-10"]);
    expect((await of.job("swe/l1b/sci", "20260310"))?.state).toBe("done");

    expect((await orrery(of, "withdraw", lut, "--yes")).exit).toBe(2);
    const done = await orrery(of, "withdraw", lut, "--yes", "--note", "wrong units");
    expect(done.exit).toBe(0);
    const stale = await reaches(of, "swe/l1b/sci", "20260310", "stale");
    expect(stale?.blockedOn).toEqual(["swe/ancillary/esa-lut: none covers 2026-03-10"]);
    const parked = await orrery(of, "parked", "ls", "--json");
    expect(JSON.parse(parked.stdout)).toMatchObject([{ reason: "Withdrawn" }]);
    // What is announced once more stays withdrawn.
    await of.send([lut]);
    expect((await orrery(of, "withdraw", lut, "--yes", "--note", "twice")).exit).toBe(3);
    const lineage = await orrery(of, "lineage", "imap_swe_l1b_sci_20260310_v001.0001.cdf");
    expect(lineage.stdout).toMatch(new RegExp(`${lut}.*not known any more`));

    expect((await orrery(of, "parked", "replay", lut)).exit).toBe(0);
    await reaches(of, "swe/l1b/sci", "20260310", "done");
    // The same content again: nothing is to be made anew.
    expect((await of.runs()).length).toBe(2);
    expect((await orrery(of, "withdraw", "imap_swe_none_20250101_v001.csv")).exit).toBe(3);
  });
});

describe("orrery jobs", () => {
  it("preview tells what files that do not exist would change, and changes nothing", async () => {
    const of = await dayWithoutSpin();
    const lut = "imap_swe_esa-lut_20250101_v002.csv";
    const better = "imap_2026_069_2026_069_02.spin.csv";
    const answer = await json<PreviewAnswer>(of, "jobs", "preview", lut, better, spin(66));
    expect(answer.counts).toEqual([
      { job: "swe/l1b/sci", before: "done", after: "stale", partitions: 1 },
      { job: "swe/l2/sci", before: "blocked", after: "ready", partitions: 1 },
    ]);
    expect(answer.leftOut).toEqual([{ name: spin(66), why: "it is here already" }]);
    expect((await orrery(of, "jobs", "preview", "what.ever")).exit).toBe(2);
    expect((await of.job("swe/l1b/sci", "20260310"))?.state).toBe("done");
    expect((await of.runs()).length).toBe(2);
  });

  it("needs tells of a file that does not exist what it would be made of, and whether that is there", async () => {
    const of = await dayWithoutSpin();
    const name = "imap_swe_l2_sci_20260310_v001.0001.cdf";
    const asked = await of.site.node.context.nats.connection.request(
      "orrery.jobs.needs",
      JSON.stringify({ file: name }),
    );
    const answer = asked.json<NeedsAnswer>();
    expect(answer).toMatchObject({
      job: "swe/l2/sci",
      partition: "20260310",
      state: "blocked",
      complete: false,
      file: { name, known: false },
    });
    const input = (dataset: string) => answer.inputs.find((one) => one.dataset === dataset);
    expect(input("swe/l1b/sci")).toMatchObject({ there: true, producer: "swe/l1b/sci", required: true });
    expect(input("spin/spin/historical")).toMatchObject({ there: false, producer: null });

    const there = await orrery(of, "jobs", "needs", "swe/l1b/sci", "20260310");
    expect(there.exit).toBe(0);
    expect(there.stdout).toContain("All that is required is there");
    const later = await json<NeedsAnswer>(of, "jobs", "needs", "swe/l1b/sci", "20260401");
    expect(later).toMatchObject({ state: "none", complete: false });
    const outside = await orrery(of, "jobs", "needs", raw("20260310"));
    expect(outside.stdout).toContain("No job makes it");
    expect(outside.exit).toBe(0);
    expect((await orrery(of, "jobs", "needs", "what.ever")).exit).toBe(2);
  });

  it("ls tells how partitions stand", async () => {
    const of = await dayWithoutSpin();
    const all = await json<PartitionsAnswer>(of, "jobs", "ls", "--day", "20260310");
    expect(all).toMatchObject({ total: 4, counts: { done: 2, blocked: 2, failed: 0 } });
    const blocked = await json<PartitionsAnswer>(of, "jobs", "ls", "--state", "blocked", "--limit", "1");
    expect(blocked).toMatchObject({ total: 2, partitions: [{ job: "swe/l2/sci", partition: "20260310" }] });
    expect((await orrery(of, "jobs", "ls", "--job", "swe/l1a/all", "--state", "failed")).exit).toBe(3);
    expect((await orrery(of, "jobs", "ls", "--state", "lost")).exit).toBe(2);
    const which = await orrery(of, "jobs", "needs", "swe/l1b/sci");
    expect([which.exit, which.stderr]).toEqual([
      2,
      expect.stringContaining("of which partition? swe/l1b/sci is made for a day: 20260310"),
    ]);
  });

  it("reprocessings that there are not are a no, for people and for scripts", async () => {
    const of = await start({ jobs: swe });
    const none = "there is no reprocessing nosuch: orrery reprocessing ls";
    for (const [argv, stdout, stderr] of [
      [["ls"], "", "nothing was ever reprocessed here"],
      [["ls", "--json"], "[]\n", ""],
      [["show", "nosuch"], "", none],
      [["cancel", "nosuch"], "", none],
    ] as const) {
      const told = await orrery(of, "reprocessing", ...argv);
      expect([argv, told.exit, told.stdout, told.stderr]).toEqual([
        argv,
        3,
        stdout,
        expect.stringContaining(stderr),
      ]);
    }
  });
});

describe("without a node that decides about jobs", () => {
  it("why says so, and the others end with exit 4", async () => {
    const of = await start({
      jobs: swe,
      site: "node: { name: one, roles: [enqueuer, ingester] }\nnats: { mode: embedded, syncAlways: false }\nhttp: { host: 127.0.0.1, port: 0 }",
    });
    const why = await orrery(of, "why", "swe/l1a/all", "20260310");
    expect(why.stderr).toContain('start one with the role "resolver"');
    expect(why.exit).toBe(3);
    for (const argv of [
      ["expected"],
      ["jobs", "ls"],
      ["jobs", "needs", raw("20260310")],
      ["lineage", raw("20260310")],
    ]) {
      expect([argv[0], (await orrery(of, ...argv)).exit]).toEqual([argv[0], 4]);
    }
    const status = await orrery(of, "status", "--json");
    expect(JSON.parse(status.stdout)).toMatchObject({ aged: [] });
  });
});
