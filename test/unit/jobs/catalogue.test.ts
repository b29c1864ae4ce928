/** Our own form of the catalogue: what is shipped for the mission, and what is refused. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as Effect from "effect/Effect";
import { afterAll, describe, expect, it } from "vitest";
import { loadCatalogue } from "../../../src/config/catalogue.ts";
import { CatalogueSchema, InstrumentSchema } from "../../../src/config/catalogueSchema.ts";
import { judgeCatalogue } from "../../../src/config/judgeCatalogue.ts";
import { checkSite } from "../../../src/config/loadSite.ts";
import type { CatalogueJob } from "../../../src/jobs/catalogue.ts";
import { writeInstrument } from "../../../src/jobs/catalogueYaml.ts";
import { cronFault } from "../../../src/jobs/cron.ts";
import type { Fault } from "../../../src/jobs/faults.ts";
import { importMission } from "../../../src/jobs/import.ts";
import { formatInstant } from "../../../src/jobs/instant.ts";
import { parseWindowTable } from "../../../src/jobs/windowTable.ts";
import { dependencyDocuments, dependencyText, haveImapData, imapText } from "../../support/imapData.ts";
import * as Schema from "effect/Schema";

const root = join(import.meta.dirname, "..", "..", "..");
const shipped = join(root, "config", "imap");

describe("config/imap", () => {
  const load = loadCatalogue(join(shipped, "catalogue.yaml"), { env: {} });
  const jobs = [...(load.catalogue?.jobs.values() ?? [])];
  const isMap = (job: CatalogueJob): boolean => job.partition.type === "calendar";
  const isScience = (job: CatalogueJob): boolean => job.inputs.some((input) => input.kind === "science");

  it("is in order but for the 28 outputs of another level", () => {
    expect(load.faults.filter((fault) => fault.severity === "error")).toEqual([]);
    expect(load.faults.length).toBe(28);
    expect(new Set(load.faults.map((fault) => fault.rule))).toEqual(new Set(["level"]));
    expect(jobs.length).toBe(289);
  });

  it("knows a kind for each data set, a team, a lane and a driver for each job", () => {
    const kinds = new Set(jobs.flatMap((job) => job.inputs.map((input) => input.kind)));
    const kernels =
      "attitude_history ephemeris_90days ephemeris_predicted ephemeris_reconstructed imap_frames";
    const others = "leapseconds planetary_constants planetary_ephemeris pointing_attitude science_frames";
    const expected = `ancillary repoint science spin spacecraft_clock ${kernels} ${others}`.split(" ");
    expect([...kinds].toSorted()).toEqual(expected.toSorted());
    for (const job of jobs) {
      expect(load.catalogue?.lanes.has(job.lane), job.name).toBe(true);
      expect(load.catalogue?.drivers.has(job.driver), job.name).toBe(true);
      expect(load.catalogue?.teams.has(job.team ?? "-"), job.name).toBe(true);
    }
  });

  it("gives each map of pointings a policy, and no job of a day", () => {
    const policies = new Map<string, number>();
    for (const job of jobs) {
      const { policy } = job;
      const said = policy === null ? "none" : `${policy.deadlineDays} ${policy.coverage} ${policy.unit}`;
      const key = `${job.partition.type} ${said}`;
      policies.set(key, (policies.get(key) ?? 0) + 1);
    }
    expect(Object.fromEntries(policies)).toEqual({
      "day none": 80,
      "pointing none": 43,
      "open none": 1,
      "days 7 0.9 any": 4,
      "windows 7 0.9 any": 1,
      // The maps of level 2; maps made of a daily job's product; maps made of one map of the same window.
      "calendar 7 0.9 pointing": 125,
      "calendar 7 0.9 any": 29,
      "calendar none": 6,
    });
    for (const job of jobs.filter(isMap)) {
      const producers = job.inputs
        .filter((input) => input.kind === "science")
        .map((input) => load.catalogue?.producerOf.get(input.dataset)?.partition.type);
      const unit = job.policy?.unit ?? null;
      if (producers.includes("pointing")) expect(unit, job.name).toBe("pointing");
      else expect(unit, job.name).toBe(producers.includes("day") ? "any" : null);
    }
  });

  it("schedules exactly the nine jobs without a data product among their inputs", () => {
    const scheduled = jobs.filter((job) => job.schedule !== null).map((job) => job.name);
    expect(scheduled.length).toBe(9);
    expect(scheduled).toEqual(jobs.filter((job) => !isScience(job)).map((job) => job.name));
    expect(
      jobs.map((job) => job.schedule).filter((cron) => cron !== null && cronFault(cron) !== null),
    ).toEqual([]);
  });

  it("makes the attitude kernel that 106 inputs need", () => {
    const kernel = "pointing_attitude/spice/historical";
    expect(load.catalogue?.producerOf.get(kernel)?.name).toBe("spacecraft/l1a/pointing-attitude");
    expect(jobs.flatMap((job) => job.inputs).filter((input) => input.dataset === kernel).length).toBe(106);
    expect(load.catalogue?.producerOf.has("spacecraft/l1a/pointing-attitude")).toBe(false);
  });

  it("has the windows of the mission", () => {
    const partition = (name: string) => load.catalogue?.jobs.get(name)?.partition;
    const dust = partition("idex/l2b/all-30days");
    const windows = dust?.type === "windows" ? dust.windows : [];
    expect(windows.length).toBe(156);
    expect(windows.slice(12, 14).map((w) => `${formatInstant(w.start)} ${formatInstant(w.end)}`)).toEqual([
      "2025-12-26T00:00:00 2026-01-01T00:00:00",
      "2026-01-01T00:00:00 2026-01-30T00:00:00",
    ]);
    expect(partition("idex/l1a/all")).toEqual({ type: "days", days: 10 });
    expect(partition("ultra/l2/u45-ena-h-hf-nsp-full-hae-2deg-3mo")).toEqual({
      type: "calendar",
      name: "3mo",
      boundaries: ["0117", "0418", "0718", "1017"],
    });
  });

  describe("against the mission's files", () => {
    const imported = importMission(dependencyDocuments(), windowsOf());

    it("each file is what the importer writes", () => {
      const instruments = new Set(imported.mission.map((job) => job.source));
      expect(instruments.size).toBe(11);
      for (const instrument of instruments) {
        const own = imported.mission.filter((job) => job.source === instrument);
        expect(readFileSync(join(shipped, `${instrument}.yaml`), "utf8"), instrument).toBe(
          writeInstrument(instrument, own),
        );
      }
    });

    it("each job is as imported, but for what the mission's files cannot say", () => {
      const differences: Array<string> = [];
      for (const job of jobs) {
        const theirs = imported.catalogue.jobs.get(job.name);
        expect(theirs, job.name).toBeDefined();
        const scheme = (it: CatalogueJob | undefined): unknown =>
          it?.partition.type === "windows" ? it.partition.windows : it?.partition;
        expect(scheme(job), job.name).toEqual(scheme(theirs));
        for (const list of ["inputs", "outputs"] as const) {
          const plain = (it: CatalogueJob | undefined): ReadonlyArray<string> =>
            (it?.[list] ?? []).map((one) => JSON.stringify({ ...one, at: undefined }));
          const ours = plain(job);
          const before = plain(theirs);
          for (const one of ours) if (!before.includes(one)) differences.push(`${job.name} + ${one}`);
          for (const one of before) if (!ours.includes(one)) differences.push(`${job.name} - ${one}`);
        }
      }
      expect(differences).toEqual([
        'mag/l1c/norm-magi + {"dataset":"mag/l1c/norm-magi","kind":"science","required":false,"triggers":false,"range":{"type":"last","count":1},"coverage":false}',
        'mag/l1c/norm-mago + {"dataset":"mag/l1c/norm-mago","kind":"science","required":false,"triggers":false,"range":{"type":"last","count":1},"coverage":false}',
        'spacecraft/l1a/pointing-attitude + {"dataset":"pointing_attitude/spice/historical","kind":"pointing_attitude","major":1}',
        'spacecraft/l1a/pointing-attitude - {"dataset":"spacecraft/l1a/pointing-attitude","kind":"science","major":1}',
      ]);
    });
  });
});

function windowsOf() {
  // Where the mission's own table is not at hand it is ours that is compared with itself.
  const own = readFileSync(join(shipped, "idex-30-day-windows.csv"), "utf8");
  const table = parseWindowTable(haveImapData ? imapText("idex_30_day_windows.csv") : own);
  if (!table.ok) throw new Error(table.message);
  return table.windows;
}

const folder = mkdtempSync(join(tmpdir(), "orrery-catalogue-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let folders = 0;

const small: Readonly<Record<string, string>> = {
  "catalogue.yaml": `names: ${join(shipped, "names.yaml")}
instruments: [swe.yaml]
arrives: ["^[^/]+/l0/raw$"]
windows:
  3mo: { boundaries: ["0117", "0418"] }
  30d: { table: windows.csv }
drivers:
  process: { type: process, command: ["{node}", x.js] }
lanes:
  swe: {}
teams:
  us: { instruments: [swe] }
settings:
  - jobs: ["swe/l2/*"]
    policy: { deadline: 3 days, coverage: 0.5 }
`,
  "windows.csv": "start_date,end_date\n20260101,20260131\n20260131,20260302\n",
  "swe.yaml": `instrument: swe
jobs:
  swe/l1a/all:
    partition: day
    inputs:
      - swe/l0/raw
      - dataset: leapseconds/spice/historical
        triggers: false
    outputs:
      - swe/l1a/sci
      - { dataset: swe/l1a/hk, major: 2 }
  swe/l2/map:
    partition: 3mo
    inputs:
      - { dataset: swe/l1a/sci, range: ["-3d", "0d"] }
    outputs: [swe/l2/map]
`,
};

/** The small catalogue in a folder of its own, with one piece of text replaced; the piece must be there. */
function written(file = "swe.yaml", before = "", after = ""): string {
  const path = join(folder, String(folders++));
  mkdirSync(path);
  for (const [name, text] of Object.entries(small)) {
    if (name === file && !text.includes(before)) throw new Error(`no ${before} in ${name}`);
    writeFileSync(join(path, name), name === file ? text.replace(before, () => after) : text);
  }
  return path;
}

const shown = (faults: ReadonlyArray<Fault>): ReadonlyArray<string> =>
  faults.map(
    ({ severity, rule, at, job }) =>
      `${severity} ${rule} ${at.file.split("/").at(-1)}:${at.line} ${job ?? "-"}`,
  );

describe("a catalogue", () => {
  it("decodes to jobs with what settings say of them", () => {
    const load = loadCatalogue(join(written(), "catalogue.yaml"), { env: {} });
    expect(load.faults).toEqual([]);
    const map = load.catalogue?.jobs.get("swe/l2/map");
    expect(map).toMatchObject({
      instrument: "swe",
      team: "us",
      lane: "swe",
      driver: "process",
      policy: { deadlineDays: 3, coverage: 0.5, unit: "pointing" },
      inputs: [{ kind: "science", range: { type: "span", past: -3, future: 0, unit: "day" } }],
    });
    expect(map?.at.line).toBe(12);
    expect(load.catalogue?.jobs.get("swe/l1a/all")).toMatchObject({
      policy: null,
      timeLimitMs: 3_600_000,
      inputs: [
        { triggers: true },
        { dataset: "leapseconds/spice/historical", kind: "leapseconds", triggers: false },
      ],
      outputs: [{ major: 1 }, { major: 2 }],
    });
    expect(load.catalogue?.drivers.get("process")).toMatchObject({ command: [process.execPath, "x.js"] });
  });

  it("a later setting comes before an earlier one, the job's own word before all", () => {
    const path = written(
      "catalogue.yaml",
      "settings:\n",
      'settings:\n  - { jobs: ["*/*/*"], priority: 1, version: "2" }\n  - { jobs: [swe/l2/map], priority: 2, timeLimit: 5 min }\n',
    );
    writeFileSync(
      join(path, "swe.yaml"),
      small["swe.yaml"]?.replace("3mo\n", "3mo\n    timeLimit: 1 min\n") ?? "",
    );
    const load = loadCatalogue(join(path, "catalogue.yaml"), { env: {} });
    expect(load.catalogue?.jobs.get("swe/l1a/all")).toMatchObject({ priority: 1, version: "2" });
    expect(load.catalogue?.jobs.get("swe/l2/map")).toMatchObject({
      priority: 2,
      version: "2",
      timeLimitMs: 60_000,
    });
  });

  it.each([
    [
      "a field with a dash of its own",
      "swe.yaml",
      "        triggers: false",
      "      - triggers: false",
      "error split-item swe.yaml:7 swe/l1a/all",
    ],
    [
      "a data set without a field of its own",
      "swe.yaml",
      "- swe/l0/raw",
      "- swe/l0/raw\n      - required: false",
      "error split-item swe.yaml:6 swe/l1a/all",
    ],
    [
      "an unknown producer",
      "swe.yaml",
      "{ dataset: swe/l1a/sci, r",
      "{ dataset: swe/l1a/science, r",
      "error unknown-producer swe.yaml:15 swe/l2/map",
    ],
    [
      "two producers",
      "swe.yaml",
      "[swe/l2/map]",
      "[swe/l1a/hk]",
      "error two-producers swe.yaml:16 swe/l2/map",
    ],
    ["a cycle", "swe.yaml", "- swe/l0/raw", "- swe/l2/map", "error cycle swe.yaml:6 swe/l1a/all"],
    [
      "a job that nothing starts",
      "swe.yaml",
      "- swe/l0/raw",
      "- spin/spin/historical",
      "error unreachable swe.yaml:3 swe/l1a/all",
    ],
    [
      "a date range that is none",
      "swe.yaml",
      '["-3d", "0d"]',
      '["3d", "0d"]',
      "error date-range swe.yaml:15 swe/l2/map",
    ],
    ["an unknown key", "swe.yaml", "triggers:", "trigger:", "error form swe.yaml:8 swe/l1a/all"],
    [
      "a value of the wrong type",
      "swe.yaml",
      "triggers: false",
      'triggers: "no"',
      "error form swe.yaml:8 swe/l1a/all",
    ],
    ["no YAML", "swe.yaml", "outputs: [swe/l2/map]", "outputs: [swe/l2/map", "error form swe.yaml:17 -"],
    [
      "a job of another instrument",
      "swe.yaml",
      "swe/l2/map:",
      "mag/l2/map:",
      "error form swe.yaml:12 mag/l2/map",
    ],
    [
      "an unknown partition",
      "swe.yaml",
      "partition: 3mo",
      "partition: 3months",
      "error form swe.yaml:13 swe/l2/map",
    ],
    [
      "an unknown lane",
      "swe.yaml",
      "partition: 3mo",
      "partition: 3mo\n    lane: fast",
      "error form swe.yaml:12 swe/l2/map",
    ],
    [
      "an unknown driver",
      "swe.yaml",
      "partition: 3mo",
      "partition: 3mo\n    driver: nomad",
      "error form swe.yaml:12 swe/l2/map",
    ],
    [
      "a schedule that is none",
      "swe.yaml",
      "partition: 3mo",
      'partition: 3mo\n    schedule: "0 25 * * *"',
      "error form swe.yaml:14 swe/l2/map",
    ],
    [
      "a data set of no kind",
      "swe.yaml",
      "- swe/l0/raw",
      "- swe/l0/raw\n      - swe/l9/raw",
      "error form swe.yaml:7 swe/l1a/all",
    ],
    ["a policy of a day", "catalogue.yaml", "swe/l2/*", "swe/*/*", "error form swe.yaml:3 swe/l1a/all"],
    ["a setting for no job", "catalogue.yaml", "swe/l2/*", "swe/l3/*", "error form catalogue.yaml:14 -"],
    [
      "a window that says two things",
      "catalogue.yaml",
      "{ table:",
      "{ days: 5, table:",
      "error form catalogue.yaml:6 -",
    ],
    ["a boundary that is no day", "catalogue.yaml", '"0418"', '"0231"', "error form catalogue.yaml:5 -"],
    [
      "a file that is not there",
      "catalogue.yaml",
      "[swe.yaml]",
      "[swe.yaml, mag.yaml]",
      "error form catalogue.yaml:2 -",
    ],
    [
      "a names file that is not there",
      "catalogue.yaml",
      "names.yaml",
      "no.yaml",
      "error form catalogue.yaml:1 -",
    ],
    [
      "a table with a fault",
      "windows.csv",
      "20260131,20260302",
      "20260130,20260302",
      "error form windows.csv:3 -",
    ],
    [
      "an output that nobody has",
      "catalogue.yaml",
      "drivers:",
      "deliveredAs: { swe/l1a/x: swe/l1a/y }\ndrivers:",
      "error form catalogue.yaml:7 -",
    ],
  ])("refuses %s, with file and line", (_, file, before, after, expected) => {
    const load = loadCatalogue(join(written(file, before, after), "catalogue.yaml"), { env: {} });
    expect(load.catalogue).toBeNull();
    expect(shown(load.faults)).toContain(expected);
  });

  it.each([
    ["address: http://127.0.0.1:4646, tokenFile: t", { address: "http://127.0.0.1:4646", tokenFile: "t" }],
    ["address: http://hub:4646, insecure: true", { address: "http://hub:4646", tokenFile: null }],
    ["address: https://hub:4646, namespace: science", { address: "https://hub:4646", namespace: "science" }],
    ["address: unix:../secrets/api.sock", { address: "unix:../secrets/api.sock" }],
  ])("takes a driver that dispatches to a Nomad: %s", (text, expected) => {
    const path = written(
      "catalogue.yaml",
      'process, command: ["{node}", x.js] }',
      `nomad, job: run, folder: f, command: [x], ${text} }`,
    );
    const { catalogue, faults } = loadCatalogue(join(path, "catalogue.yaml"), { env: {} });
    expect(faults).toEqual([]);
    const driver = catalogue?.drivers.get("process");
    // Paths begin at the catalogue's folder.
    const shownPaths = JSON.parse(
      JSON.stringify(driver).replaceAll(`${path}/`, "").replaceAll(folder, ".."),
    ) as unknown;
    expect(shownPaths).toMatchObject({ type: "nomad", job: "run", folder: "f", command: ["x"], ...expected });
  });

  it.each(["address: http://hub:4646", "address: nonsense", "address: ftp://127.0.0.1"])(
    "refuses one that would ask in plain text, or nobody: %s",
    (text) => {
      const path = written(
        "catalogue.yaml",
        'process, command: ["{node}", x.js] }',
        `nomad, job: run, folder: f, command: [x], ${text} }`,
      );
      expect(shown(loadCatalogue(join(path, "catalogue.yaml"), { env: {} }).faults)).toEqual([
        "error form catalogue.yaml:8 -",
      ]);
    },
  );

  it("what is wrong with a file is told once, without all that follows from it", () => {
    const load = loadCatalogue(
      join(written("swe.yaml", "        triggers", "      - triggers"), "catalogue.yaml"),
    );
    expect(shown(load.faults)).toEqual(["error split-item swe.yaml:7 swe/l1a/all"]);
  });

  it("is the site's, where the site names it", () => {
    const path = written();
    const site = join(path, "site.yaml");
    writeFileSync(site, "name: s\nlanes: {}\ncatalogue: catalogue.yaml\n");
    const checked = Effect.runSync(checkSite(site, { env: {} }));
    expect([...(checked.site.catalogue?.jobs.keys() ?? [])]).toEqual(["swe/l1a/all", "swe/l2/map"]);
    writeFileSync(join(path, "swe.yaml"), "instrument: swe\njobs: {}\nmore: 1\n");
    const error = Effect.runSync(Effect.flip(checkSite(site, { env: {} })));
    expect(error.problems.map((problem) => [problem.severity, problem.path, problem.line])).toContainEqual([
      "error",
      "catalogue",
      3,
    ]);
    expect(error.message).toContain(`${join(path, "swe.yaml")}:3: `);
  });
});

describe("judging", () => {
  it("one of our files alone: with the others, but only its own faults", () => {
    const path = written("swe.yaml", "{ dataset: swe/l1a/sci, r", "{ dataset: swe/l1a/science, r");
    const one = judgeCatalogue([join(path, "swe.yaml")], {});
    expect(one.ok && shown(one.judged.faults)).toEqual(["error unknown-producer swe.yaml:15 swe/l2/map"]);
    const common = judgeCatalogue([path], {});
    expect(common.ok && common.judged.files.length).toBe(2);
    writeFileSync(join(path, "stranger.yaml"), "a: 1\n");
    const stranger = judgeCatalogue([join(path, "stranger.yaml")], {});
    expect(stranger.ok && shown(stranger.judged.faults)).toEqual(["error form stranger.yaml:1 -"]);
  });

  it("one of the mission's files alone: its producers are in the others", () => {
    const path = join(folder, String(folders++));
    mkdirSync(path);
    const names = dependencyDocuments().map((document) => document.file);
    for (const name of names) writeFileSync(join(path, name), dependencyText(name));
    const swe = join(path, "imap_swe_dependencies.yaml");
    const one = judgeCatalogue([swe]);
    expect(one.ok && [one.judged.jobs.length, one.judged.faults]).toEqual([4, []]);
    const text = dependencyText("imap_swe_dependencies.yaml").replace("proton-sw", "protons");
    const copy = join(path, "imap_swe_copy.yaml");
    writeFileSync(copy, text);
    const bad = judgeCatalogue([copy]);
    // Its item begins two lines above the descriptor.
    const line = text.split("\n").findIndex((each) => each.includes("protons")) - 1;
    expect(bad.ok && shown(bad.judged.faults)).toEqual([
      `error unknown-producer imap_swe_copy.yaml:${line} swe/l3/sci`,
    ]);
    // The file stands for its instrument: the whole one beside it does not help it out.
    writeFileSync(
      copy,
      text
        .replace("protons", "proton-sw")
        .replace("(l1b, sci):", "(l1b, other):")
        .replace(/(\n {6}data_type: l1b\n {6}descriptor: )sci(\n {6}major)/, "$1other$2"),
    );
    const lacking = judgeCatalogue([copy]);
    expect(lacking.ok && lacking.judged.faults.map((fault) => `${fault.rule} ${fault.job}`)).toEqual([
      "unknown-producer swe/l2/sci",
      "unknown-producer swe/l3/sci",
    ]);
  });

  it("says what is not there, or holds no catalogue", () => {
    expect(judgeCatalogue([join(folder, "gone")])).toMatchObject({ ok: false });
    const empty = join(folder, String(folders++));
    mkdirSync(empty);
    expect(judgeCatalogue([empty])).toMatchObject({ ok: false });
  });
});

it("docs/catalogue.md has a row for every key, with its default and what it is for, and for no other", () => {
  const docs = readFileSync(join(root, "docs", "catalogue.md"), "utf8").replaceAll(/ +/g, " ");
  const rows = [...rowsOf(CatalogueSchema), ...rowsOf(InstrumentSchema)];
  for (const row of rows) expect(docs).toContain(row);
  const told = docs
    .split("\n")
    .filter((line) => /^\| `[^`]+` \| (?:required|none|empty|`.*?`) \| /.test(line));
  expect(told.filter((row) => !rows.includes(row))).toEqual([]);
});

function rowsOf(schema: Schema.Top): ReadonlyArray<string> {
  const document = Schema.toJsonSchemaDocument(schema, { onExcessProperty: "error" });
  return propertiesOf([document.schema, document.definitions]).map(([name, property]) => {
    const standard = property["default"];
    const text = typeof standard === "string" ? standard : JSON.stringify(standard);
    const said = standard === null ? "none" : text === "{}" || text === "[]" ? "empty" : `\`${text}\``;
    return `| \`${name}\` | ${standard === undefined ? "required" : said} | ${String(property["description"])} |`;
  });
}

type Json = Readonly<Record<string, unknown>>;

function propertiesOf(schema: unknown): ReadonlyArray<readonly [string, Json]> {
  if (Array.isArray(schema)) return schema.flatMap(propertiesOf);
  if (typeof schema !== "object" || schema === null) return [];
  return Object.entries(schema).flatMap(([key, value]: [string, unknown]) =>
    key === "properties" && typeof value === "object" && value !== null
      ? [...Object.entries(value as Readonly<Record<string, Json>>), ...propertiesOf(Object.values(value))]
      : key === "default"
        ? []
        : propertiesOf(value),
  );
}
