import { describe, expect, it } from "vitest";
import { added, changed, errorOf, lineOf, problemsOf, rightSite, siteOf } from "./site.ts";

describe("text that is no site file", () => {
  it.each([
    ["", /the file is empty/, null],
    ["# only a comment\n", /the file is empty/, null],
    ["name: a\n\tlanes: {}\n", /not YAML: .*[Tt]abs/, 2],
    ["name: a\nlanes: [\n", /not YAML/, 3],
    ["name: 'a\n", /not YAML: Missing closing 'quote/, 2],
    ["name: a\nhttp: !secret x\n", /not YAML: Unresolved tag$/, 2],
    ["name: a\nlanes: *nowhere\n", /an alias \(\*name\) has no anchor/, null],
    ['name: a\nlanes: { a: { accept: "\\d" } }\n', /this backslash escape does not exist/, 2],
    ["name: a\n? [b, c]\n: d\n", /not YAML/, 2],
    ["- a\n- b\n", /expected a section/, 1],
    ["just text\n", /expected a section/, 1],
  ])("%j", (text, message, line) => {
    const [problem] = errorOf(text).problems;
    expect(problem?.message).toMatch(message);
    expect(problem?.line ?? null).toBe(line);
    expect(problem?.fix).not.toBe("");
  });

  it("aliases of aliases", () => {
    const levels = "abcdefghij".split("").map((c, i, all) => {
      const of = all[i - 1];
      return `${c}: &${c} [${of === undefined ? "x" : Array.from({ length: 9 }, () => `*${of}`).join(", ")}]`;
    });
    expect(errorOf(levels.join("\n")).problems[0]?.message).toMatch(/aliases multiply beyond measure/);
  });

  it("nesting deeper than the stack", () => {
    expect(errorOf(`name: ${"[".repeat(20_000)}`).problems.length).toBeGreaterThan(0);
    expect(errorOf(`name: ${"{a: ".repeat(20_000)}`).problems.length).toBeGreaterThan(0);
  });
});

describe("one key twice", () => {
  const text = added("http:\n  host: 127.0.0.1");

  it("names the key, the second place, and the fix", () => {
    expect(problemsOf(text)).toEqual([
      {
        severity: "error",
        path: "http",
        line: text.split("\n").lastIndexOf("http:") + 1,
        value: null,
        message: "this key is here twice",
        fix: "keep one of the two, or give them different names",
      },
    ]);
  });

  it("deeper down, too", () => {
    const twice = changed(["    kind: exposure\n", "    kind: exposure\n    workers: 1\n    workers: 2\n"]);
    expect(problemsOf(twice).map((problem) => [problem.path, problem.line])).toEqual([
      ["lanes.raw.workers", lineOf(twice, "workers: 2")],
    ]);
  });
});

it("a second document", () => {
  const text = added("---\nname: other");
  const [problem] = errorOf(text).problems;
  expect(problem?.message).toMatch(/a second YAML document/);
  expect(problem?.line).toBe(lineOf(text, "---"));
});

describe("anchors", () => {
  const merged = (extra: string): string =>
    changed(
      ["  raw:\n", "  raw: &shared\n"],
      ["presence:\n", `  more: { <<: *shared, buckets: [more-bucket]${extra} }\npresence:\n`],
    );

  it("lanes share settings by merge keys", () => {
    const lane = siteOf(merged("")).lanes.get("more");
    expect(lane?.buckets).toEqual(["more-bucket"]);
    expect(lane?.kind).toBe("exposure");
  });

  it("a fault in shared settings is found where they are written, at each lane that has it", () => {
    const text = merged("").replace("kind: exposure", "kind: exposures");
    expect(problemsOf(text).map((problem) => [problem.path, problem.line])).toEqual([
      ["lanes.raw.kind", lineOf(text, "exposures")],
      ["lanes.more.kind", lineOf(text, "exposures")],
    ]);
  });

  it("keys of their own are found in their own place", () => {
    const text = merged(", workers: 0");
    expect(problemsOf(text).map((problem) => [problem.path, problem.line])).toEqual([
      ["lanes.more.workers", lineOf(text, "workers: 0")],
    ]);
  });
});

it("every fault at once, in the order of the file", () => {
  const text = changed(
    ["port: 0", "prot: 0"],
    ["kind: exposure", "kind: exposures\n    batchMax: 1000"],
    ["name: out.json", "nam: out.json"],
  );
  expect(problemsOf(text).map((problem) => problem.path)).toEqual([
    "http.prot",
    "lanes.raw.kind",
    "lanes.raw.batchMax",
    // Named where the list item begins, because the key itself is not there.
    "jobs.look.outputs[0].nam",
    "jobs.look.outputs[0].name",
  ]);
});

it("a value that two checks refuse alike is one fault", () => {
  const text = changed(["    kind: exposure\n", "    kind: exposure\n    workers: 0.5\n"]);
  expect(problemsOf(text).map((problem) => problem.path)).toEqual(["lanes.raw.workers"]);
});

it("keys that every JavaScript object has are unknown keys here", () => {
  for (const key of ["__proto__", "constructor", "toString", "hasOwnProperty"]) {
    expect(problemsOf(added(`${key}: { a: 1 }`)).map((problem) => [problem.path, problem.severity])).toEqual([
      [key, "error"],
    ]);
  }
  expect(errorOf(`${rightSite}__proto__: { insecure: true }\n`).problems.length).toBe(1);
});
