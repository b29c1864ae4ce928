/** A mission of one's own, as small as can be, and the slips that are made in it. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as Effect from "effect/Effect";
import * as Result from "effect/Result";
import { afterEach, describe, expect, it } from "vitest";
import { checkSite } from "../../../src/config/loadSite.ts";

const files = {
  "site.yaml": `name: own
nats: { mode: embedded }
storage: { disk: { driver: file, root: files } }
lanes:
  files: { kind: object, buckets: [incoming, made], storage: disk, names: names.yaml }
  other: { kind: object, buckets: [other], storage: disk, pattern: '^(?<day>\\d{8})/' }
catalogue: catalogue.yaml
`,
  "names.yaml": `kinds:
  product:
    selection: product
    pattern: '^own_(?<source>[^_]+)_(?<level>l\\d)_(?<descriptor>[^_]+)_(?<start>\\d{8})_(?<version>v[^_]*)\\.txt$'
    dataset: "{source}/{level}/{descriptor}"
    rules: { level: { oneOf: [l0, l1, l2] } }
    product: "own_{source}_{level}_{descriptor}_{start}_{version}.txt"
`,
  "catalogue.yaml": `names: names.yaml
instruments: [cam.yaml]
arrives: ["/l0/"]
products: { bucket: made }
drivers: { process: { type: process, command: ["true"] } }
lanes: { cam: {} }
`,
  "cam.yaml": `instrument: cam
jobs:
  cam/l1/image: { partition: day, inputs: [cam/l0/raw], outputs: [cam/l1/image] }
  cam/l2/map: { partition: day, inputs: [cam/l1/image], outputs: [cam/l2/map] }
`,
};

let folder: string | null = null;

afterEach(() => {
  if (folder !== null) rmSync(folder, { recursive: true, force: true });
  folder = null;
});

/** What is told of it with one slip in one file: message and fix of each fault. */
function told(name: keyof typeof files | null, from = "", to = ""): ReadonlyArray<string> {
  folder = mkdtempSync(join(tmpdir(), "orrery-own-"));
  for (const [file, text] of Object.entries(files)) {
    if (file === name) expect(text).toContain(from);
    writeFileSync(join(folder, file), file === name ? text.replace(from, to) : text);
  }
  const loaded = Effect.runSync(Effect.result(checkSite(join(folder, "site.yaml"), { env: {} })));
  const problems = Result.isSuccess(loaded) ? loaded.success.warnings : loaded.failure.problems;
  return problems.map(({ message, fix }) => `${message.replace(`${folder}/`, "")} | ${fix}`);
}

describe("a mission of one's own", () => {
  it("is in order", () => {
    expect(told(null)).toEqual([]);
  });

  it("is told what was meant by a data set that nobody makes, and that it may come from outside", () => {
    const [typo, ...others] = told("cam.yaml", "inputs: [cam/l1/image]", "inputs: [cam/l1/imgae]");
    expect(others).toEqual([]);
    expect(typo).toBe(
      'cam.yaml:4: cam/l2/map: no job makes cam/l1/imgae, a data product of kind product (did you mean "cam/l1/image"?) | ' +
        "correct the name, add the job that makes it, or say by arrives that it comes from outside",
    );
    expect(told("cam.yaml", "cam/l0/raw", "cam/l0/raws").length).toBe(0);
    expect(told("cam.yaml", "inputs: [cam/l1/image]", "inputs: [cam/l0/raw, cam/l1/raw]")[0]).toContain(
      'did you mean "cam/l0/raw"?',
    );
  });

  it("is told of a bucket for what is made that no lane takes, or a lane without names", () => {
    const [slip] = told("catalogue.yaml", "bucket: made", "bucket: maed");
    expect(slip).toContain(
      'catalogue.yaml: products.bucket (maed): no lane takes this bucket (did you mean "made"?) | ',
    );
    expect(told("catalogue.yaml", "bucket: made", "bucket: other")).toEqual([
      "catalogue.yaml: products.bucket (other): its lane tells no files by their names | name a bucket of a lane with names",
    ]);
  });
});
