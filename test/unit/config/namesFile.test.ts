import * as Schema from "effect/Schema";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadNames, NamesSchema, parseNames } from "../../../src/config/namesFile.ts";
import { retentionDaysMax } from "../../../src/config/laneDefaults.ts";
import { changed, problemsOf, siteOf } from "./site.ts";

const root = path.resolve(import.meta.dirname, "../../..");

const right = String.raw`kinds:
  picture:
    selection: product
    pattern: '^(?<camera>[a-z]+)_(?<start>\d{8})_v(?<version>\d)\.(?<extension>\w+)$'
    dataset: '{camera}/raw/picture'
    rules:
      extension:
        oneOf: [fits]
    product: '{camera}_{start}_v{number}.{extension}'
hints:
  - match: 'fits'
    say: a picture is called camera_day_vN.fits
`;

function problemOf(before: string, after: string): string {
  if (!right.includes(before)) throw new Error(`no ${before}`);
  const read = parseNames(right.replace(before, () => after));
  if (read.ok) return "accepted";
  return read.problems.map(({ line, path: at, message }) => `${line} ${at}: ${message}`).join("\n");
}

describe("a names file", () => {
  it("of another mission makes a recogniser, in YAML alone", () => {
    const read = parseNames(right);
    if (!read.ok) throw new Error(JSON.stringify(read.problems));
    const found = read.recogniser.recognise("wide_20260310_v3.fits");
    expect(found.ok ? found.file.dataset : found.reason).toBe("wide/raw/picture");
    expect(read.recogniser.recognise("wide.fits")).toMatchObject({
      reason: "a picture is called camera_day_vN.fits",
    });
  });

  it.each([
    ["selection: product", "selection: products", "3 kinds.picture.selection: expected one of product"],
    [
      "selection: product",
      "selected: product",
      '3 kinds.picture.selected: unknown key: did you mean "selection"?',
    ],
    ["(?<version>\\d)", "(?<version>\\d", "4 kinds.picture.pattern: is no regular expression"],
    ["(?<version>\\d)", "\\d", "4 kinds.picture.pattern: has no group `version`"],
    ["(?<start>", "(?<end>", "4 kinds.picture.pattern: has a group `end` and no group `start`"],
    [
      "{camera}/raw/picture",
      "{lens}/raw/picture",
      "5 kinds.picture.dataset: {lens} is no group of the pattern",
    ],
    ["{camera}/raw/picture", "{camera}/raw", "5 kinds.picture.dataset: must have three parts"],
    ["{camera}/raw/picture", "{camera}/{camera}/a", "5 kinds.picture.dataset: holds {camera} twice"],
    ["{camera}/raw/picture", "{camera}/raw/[a]", "5 kinds.picture.dataset: holds brackets"],
    ["{camera}/raw/picture", "{camera/raw/picture", 'cannot be read from "{camera/raw/picture" on'],
    ["extension:\n", "ending:\n", '7 kinds.picture.rules.ending: the pattern has no group "ending"'],
    ["oneOf: [fits]", "say: fits", "7 kinds.picture.rules.extension: says nothing"],
    ["oneOf: [fits]", "oneOf: []", "8 kinds.picture.rules.extension.oneOf: is empty"],
    ["oneOf: [fits]", "by: { group: level, allow: {} }", 'the pattern has no group "level"'],
    ["v{number}", "v{numbr}", "9 kinds.picture.product: {numbr} is no group of the pattern"],
    ["  - match: 'fits'\n    say", "  - say", "11 hints[0].match: is missing"],
    [right, "kinds: {}\n", "1 kinds: no kind of file is declared"],
    [right, "kinds: [", "not YAML"],
    [right, "", "the file is empty"],
  ])("with %j as %j is refused: %s", (before, after, problem) => {
    expect(problemOf(before, after)).toContain(problem);
  });

  it("that is not there is told by its path", () => {
    expect(loadNames("/nowhere/names.yaml")).toMatchObject({
      ok: false,
      problems: [{ message: "there is no such file" }],
    });
  });

  it("is described in docs/names-file.md, key by key", () => {
    const docs = readFileSync(path.join(root, "docs/names-file.md"), "utf8");
    const keys = (schema: unknown): ReadonlyArray<string> => {
      if (Array.isArray(schema)) return schema.flatMap(keys);
      if (typeof schema !== "object" || schema === null) return [];
      return Object.entries(schema).flatMap(([key, value]: [string, unknown]) =>
        key === "properties" && typeof value === "object" && value !== null
          ? [...Object.keys(value), ...keys(Object.values(value))]
          : keys(value),
      );
    };
    const all = keys(Schema.toJsonSchemaDocument(NamesSchema).schema);
    expect(all.length).toBeGreaterThan(18);
    for (const key of all)
      expect(docs).toContain(key === "kinds" || key === "hints" ? `${key}:` : `\`${key}\``);
  });
});

describe("a lane with names", () => {
  const folder = mkdtempSync(path.join(tmpdir(), "orrery-names-"));
  const file = path.join(folder, "names.yaml");
  beforeAll(() => writeFileSync(file, right));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const products = "buckets: [product-bucket]\n    storage: disk\n    pattern: '^(?<day>\\d{8})/'";
  const withNames = (more = "", names = file): string =>
    changed([products, `buckets: [product-bucket]\n    storage: disk\n    names: ${names}${more}`]);
  const said = (text: string): ReadonlyArray<string> =>
    problemsOf(text).map((problem) => `${problem.severity} ${problem.path}: ${problem.message}`);

  it("knows its files by them, keeps its records, and has nothing to be warned of", () => {
    expect(said(withNames())).toEqual([]);
    const lane = siteOf(withNames()).lanes.get("products");
    expect([...(lane?.names?.kinds.keys() ?? [])]).toEqual(["picture"]);
    expect(lane?.retentionDays).toBe(retentionDaysMax);
    expect(said(withNames("\n    sidecar: .json"))).toEqual([]);
  });

  it.each([
    ["\n    pattern: '^(?<day>a)'", "error lanes.products.pattern: names say what a file is"],
    [
      "\n    metadata: header",
      "error lanes.products.metadata: names say what a file is, so no header is read",
    ],
    [
      "\n    onContentChange: supersede",
      "error lanes.products.onContentChange: within a mission one name is one file",
    ],
  ])("refuses %j", (more, problem) => {
    expect(said(withNames(more)).join("\n")).toContain(problem);
  });

  it("is of kind object, and its sidecars are somewhere", () => {
    const exposures = changed([
      "storage: disk\n    pattern: '^(?<day>\\d{8})/(?<exposure>\\w+)'",
      `names: ${file}`,
    ]);
    expect(said(exposures).join("\n")).toContain("lanes.raw.kind: a lane with names is of kind object");
    const nowhere = withNames("\n    sidecar: .json").replace(
      "buckets: [product-bucket]\n    storage: disk\n",
      "buckets: [product-bucket]\n",
    );
    expect(said(nowhere).join("\n")).toContain("lanes.products.sidecar: no storage says where");
  });

  it("passes on what is wrong in its names file, with that file's line", () => {
    const bad = path.join(folder, "bad.yaml");
    writeFileSync(bad, right.replace("selection: product", "selection: all"));
    expect(said(withNames("", bad))).toEqual([
      expect.stringContaining(
        `error lanes.products.names: ${bad}:3 kinds.picture.selection: expected one of`,
      ),
    ]);
    expect(said(withNames("", "nowhere.yaml"))).toEqual([
      "error lanes.products.names: nowhere.yaml: there is no such file",
    ]);
  });
});
