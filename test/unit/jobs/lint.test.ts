/** Each fault of a catalogue is refused with its file and line, in the mission's form. */
import { describe, expect, it } from "vitest";
import type { Fault } from "../../../src/jobs/faults.ts";
import { importMission } from "../../../src/jobs/import.ts";
import { lintJobs, missionRules } from "../../../src/jobs/lint.ts";
import { dependencyDocuments, dependencyTexts, documentOf } from "../../support/imapData.ts";

/** Jobs of one file, lines counted from the first. */
function faultsOf(text: string, file = "imap_swe_dependencies.yaml"): ReadonlyArray<Fault> {
  const imported = importMission([documentOf(file, text)]);
  return [...imported.faults, ...lintJobs(imported.jobs, missionRules)];
}

const shown = (faults: ReadonlyArray<Fault>): ReadonlyArray<string> =>
  faults.map(
    (fault) => `${fault.severity} ${fault.rule} ${fault.at.file}:${fault.at.line} ${fault.job ?? "-"}`,
  );

const job = (key: string, inputs: ReadonlyArray<string>, outputs: ReadonlyArray<string>): string =>
  [
    `${key}:`,
    "  partition: daily",
    "  inputs:",
    ...inputs.map((input) => `    - { ${input} }`),
    "  outputs:",
    ...outputs.map((output) => `    - { ${output} }`),
    "",
  ].join("\n");
const swe = (level: string, descriptor: string): string =>
  `source: swe, data_type: ${level}, descriptor: ${descriptor}`;

describe("the mission's files", () => {
  const imported = importMission(dependencyDocuments());

  it("have exactly 28 outputs of another level than their job, and nothing that is refused", () => {
    const faults = lintJobs(imported.jobs, missionRules);
    expect(new Set(shown(faults).map((line) => line.split(" ").slice(0, 2).join(" ")))).toEqual(
      new Set(["warning level"]),
    );
    const byJob = new Map<string, number>();
    for (const fault of faults) byJob.set(fault.job ?? "-", (byJob.get(fault.job ?? "-") ?? 0) + 1);
    expect(faults.length).toBe(28);
    expect(byJob.size).toBe(7);
    const glows = faults.filter((fault) => fault.job?.startsWith("glows/l3b/"));
    expect(glows.length).toBe(19);
  });

  it("a copy in which one field of an input got a dash of its own is refused there", () => {
    const texts = dependencyTexts();
    const whole = texts.get("imap_mag_dependencies.yaml") ?? "";
    const torn = whole.replace("      descriptor: norm-mago\n", "    - descriptor: norm-mago\n");
    expect(torn).not.toBe(whole);
    const at = torn.split("\n").indexOf("    - descriptor: norm-mago");
    const documents = dependencyDocuments().map((document) =>
      document.file === "imap_mag_dependencies.yaml" ? documentOf(document.file, torn) : document,
    );
    const faults = importMission(documents).faults;
    expect(faults.map((fault) => [fault.rule, fault.at.line])).toEqual([["split-item", at - 1]]);
    expect(faults[0]?.message).toContain(`lines ${at - 1}, ${at + 1}`);
  });
});

describe("lint", () => {
  it("tells an input that no job makes", () => {
    const text = job("(l1b, sci)", [swe("l0", "raw"), swe("l1a", "sci")], [swe("l1b", "sci")]);
    expect(shown(faultsOf(text))).toEqual([
      "error unknown-producer imap_swe_dependencies.yaml:5 swe/l1b/sci",
    ]);
  });

  it("tells the second of two producers, and names the first", () => {
    const text =
      job("(l1a, all)", [swe("l0", "raw")], [swe("l1a", "sci")]) +
      job("(l1a, more)", [swe("l0", "raw")], [swe("l1a", "hk"), swe("l1a", "sci")]);
    const faults = faultsOf(text);
    expect(shown(faults)).toEqual(["error two-producers imap_swe_dependencies.yaml:13 swe/l1a/more"]);
    expect(faults[0]?.message).toContain("swe/l1a/all (imap_swe_dependencies.yaml:6)");
  });

  it("tells each cycle once, and what hangs on it as not to be reached", () => {
    const text =
      job("(l1b, a)", [swe("l0", "raw"), swe("l1b", "c")], [swe("l1b", "a")]) +
      job("(l1b, b)", [swe("l1b", "a")], [swe("l1b", "b")]) +
      job("(l1b, c)", [swe("l1b", "b")], [swe("l1b", "c")]) +
      job("(l2, d)", [swe("l1b", "c")], [swe("l2", "d")]) +
      job("(l2, self)", [swe("l2", "self")], [swe("l2", "self")]);
    const faults = faultsOf(text);
    expect(shown(faults)).toEqual([
      "error cycle imap_swe_dependencies.yaml:5 swe/l1b/a",
      "error unreachable imap_swe_dependencies.yaml:23 swe/l2/d",
      "error cycle imap_swe_dependencies.yaml:29 swe/l2/self",
    ]);
    expect(faults[0]?.message).toContain("swe/l1b/a needs swe/l1b/c needs swe/l1b/b needs swe/l1b/a");
  });

  it("the last before the partition are no cycle", () => {
    const own = `${swe("l1b", "a")}, date_range: ["-1l"], required: false`;
    expect(shown(faultsOf(job("(l1b, a)", [swe("l0", "raw"), own], [swe("l1b", "a")])))).toEqual([]);
    const nearest = `${swe("l1b", "a")}, date_range: ["2nd"], required: false`;
    expect(shown(faultsOf(job("(l1b, a)", [swe("l0", "raw"), nearest], [swe("l1b", "a")])))).toEqual([
      "error cycle imap_swe_dependencies.yaml:5 swe/l1b/a",
    ]);
  });

  it("tells a job that nothing ever starts", () => {
    const text = `(l1a, all):\n  partition: daily\n  inputs: []\n  outputs:\n    - { ${swe("l1a", "sci")} }\n`;
    expect(shown(faultsOf(text))).toEqual(["error unreachable imap_swe_dependencies.yaml:1 swe/l1a/all"]);
    const optional = `${swe("l9", "gone")}, required: false`;
    const faults = faultsOf(
      job("(l1a, all)", [optional], [swe("l1a", "sci")]) +
        job("(l1b, sci)", [swe("l1a", "sci")], [swe("l1b", "sci")]),
    );
    expect(shown(faults)).toEqual([
      "error unknown-producer imap_swe_dependencies.yaml:4 swe/l1a/all",
      "error unreachable imap_swe_dependencies.yaml:10 swe/l1b/sci",
    ]);
  });

  it.each([
    ["8np", "is no part"],
    ['["-3x"]', "is no part"],
    ['["3p", "3p"]', "at most 0"],
    ['["-3p", "-1p"]', "at least 0"],
    ['["-3p", "3d"]', "two units"],
    ['["-1l", "1l"]', "no past and future"],
    ['["1l"]', "in the past"],
    ['["0np"]', "at least one"],
    ['["-1p", "1p", "2p"]', "one or two"],
    ["[]", "one or two"],
    ['["99999p"]', "too far"],
    ['["1.5d"]', "is no part"],
  ])("refuses the date range %s", (range, said) => {
    const text = job("(l1a, all)", [swe("l0", "raw")], [swe("l1a", "sci")]).replace(
      "raw }",
      `raw, date_range: ${range} }`,
    );
    const faults = faultsOf(text);
    expect(shown(faults)).toEqual(["error date-range imap_swe_dependencies.yaml:4 swe/l1a/all"]);
    if (range.startsWith("[")) expect(faults[0]?.message).toContain(said);
  });
});
