/** `orrery jobs import|lint|graph`, as a user types them. */
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { runCli } from "../../support/cli.ts";
import { dependencyFolder } from "../../support/imapData.ts";

const shipped = join(import.meta.dirname, "..", "..", "..", "config", "imap");
const folder = mkdtempSync(join(tmpdir(), "orrery-jobs-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let folders = 0;
function copyOf(from: string): string {
  const to = join(folder, String(folders++));
  mkdirSync(to);
  for (const name of readdirSync(from)) copyFileSync(join(from, name), join(to, name));
  return to;
}
/** Replaces a piece of text, which must be there, and returns the line, from 1, on which it began. */
function change(file: string, before: string, after: string): number {
  const text = readFileSync(file, "utf8");
  const at = text.indexOf(before);
  if (at < 0) throw new Error(`no ${before} in ${file}`);
  rmSync(file);
  writeFileSync(
    file,
    text.replace(before, () => after),
  );
  return text.slice(0, at).split("\n").length;
}
interface Told {
  readonly file: string;
  readonly line: number;
  readonly rule: string;
}

describe("orrery jobs import", () => {
  it("reads the mission's eleven files as they are", async () => {
    const { exit, stdout, stderr } = await runCli(["jobs", "import", dependencyFolder, "--json"]);
    expect({ exit, stderr }).toEqual({ exit: 0, stderr: "" });
    const said = JSON.parse(stdout) as { readonly warnings: ReadonlyArray<Told> };
    expect(said).toMatchObject({ jobs: 289, inputs: 2_333, outputs: 467, refused: [] });
    expect(said.warnings.length).toBe(28);
    expect(new Set(said.warnings.map((warning) => warning.rule))).toEqual(new Set(["level"]));
  });

  it("refuses a copy with a torn input, with file and line, and writes nothing", async () => {
    const copy = copyOf(dependencyFolder);
    const file = join(copy, "imap_swe_dependencies.yaml");
    const line = change(file, "      descriptor: l1b-in-flight-cal", "    - descriptor: l1b-in-flight-cal");
    const out = join(folder, "none");
    const { exit, stdout } = await runCli(["jobs", "import", copy, "--json", "--write", out]);
    expect(exit).toBe(1);
    const said = JSON.parse(stdout) as { readonly refused: ReadonlyArray<Told> };
    expect(said).toMatchObject({ jobs: 289, inputs: 2_332 });
    expect(said.refused).toMatchObject([{ file, line: line - 2, rule: "split-item" }]);
    expect(readdirSync(folder)).not.toContain("none");
  });

  it("writes what is shipped, also over what it wrote, and never over what somebody else did", async () => {
    const out = join(folder, "written");
    for (const _ of [1, 2]) {
      const { exit, stderr } = await runCli(["jobs", "import", dependencyFolder, "--write", out]);
      expect(exit, stderr).toBe(0);
    }
    const names = readdirSync(out);
    expect(names.length).toBe(11);
    for (const name of names) {
      expect(readFileSync(join(out, name), "utf8"), name).toBe(readFileSync(join(shipped, name), "utf8"));
    }
    writeFileSync(join(out, "ultra.yaml"), "# mine\n");
    writeFileSync(join(out, "codice.yaml"), `${readFileSync(join(out, "codice.yaml"), "utf8")}# old\n`);
    const { exit, stderr } = await runCli(["jobs", "import", dependencyFolder, "--write", out]);
    expect(exit).toBe(1);
    expect(stderr).toContain("ultra.yaml");
    expect(readFileSync(join(out, "ultra.yaml"), "utf8")).toBe("# mine\n");
    expect(readFileSync(join(out, "codice.yaml"), "utf8")).toMatch(/# old\n$/);
  });
});

describe("orrery jobs lint", () => {
  it("passes what is shipped, with its warnings", async () => {
    const { exit, stdout } = await runCli(["jobs", "lint", shipped, "--json"]);
    expect(exit).toBe(0);
    const said = JSON.parse(stdout) as { readonly warnings: ReadonlyArray<Told> };
    expect(said).toMatchObject({ ok: true, files: 12, jobs: 289, errors: [] });
    expect(said.warnings.length).toBe(28);
  });

  it("tells file and line for people, and ends with exit 1", async () => {
    const copy = copyOf(shipped);
    const line = change(join(copy, "swe.yaml"), "- swapi/l3a/proton-sw", "- swapi/l3a/protons");
    const all = await runCli(["jobs", "lint", copy]);
    expect(all.exit).toBe(1);
    expect(all.stdout).toContain(`${join(copy, "swe.yaml")}:${line}: error swe/l3/sci (unknown-producer)`);
    expect(all.stdout).toMatch(/1 error, 28 warnings\n$/);
    const one = await runCli(["jobs", "lint", join(copy, "swe.yaml"), "--json"]);
    expect(one.exit).toBe(1);
    const said = JSON.parse(one.stdout) as { readonly errors: ReadonlyArray<Told> };
    expect(said.errors).toMatchObject([{ file: join(copy, "swe.yaml"), line, rule: "unknown-producer" }]);
  });

  it("looks at the site's own where nothing is named", async () => {
    const site = join(folder, "site.yaml");
    writeFileSync(site, `name: s\nlanes: {}\ncatalogue: ${join(shipped, "catalogue.yaml")}\n`);
    const { exit, stdout } = await runCli(["--site", site, "jobs", "lint", "--json"]);
    expect(exit).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ ok: true, jobs: 289 });
    writeFileSync(site, "name: s\nlanes: {}\n");
    const none = await runCli(["--site", site, "jobs", "lint"]);
    expect(none.exit).toBe(2);
    expect(none.stderr).toContain("no catalogue");
  });

  it.each([[["jobs", "lint", "/nowhere/at/all"]], [["jobs", "import", "/nowhere/at/all"]]])(
    "%j is a usage error",
    async (argv) => {
      const { exit, stderr } = await runCli(argv);
      expect(exit).toBe(2);
      expect(stderr).toContain("there is no /nowhere/at/all");
    },
  );
});

describe("orrery jobs graph", () => {
  it("draws one instrument, in both formats", async () => {
    const mermaid = await runCli(["jobs", "graph", shipped, "--instrument", "hit"]);
    expect({ exit: mermaid.exit, first: mermaid.stdout.split("\n")[0] }).toEqual({
      exit: 0,
      first: "flowchart LR",
    });
    expect(mermaid.stdout).toContain('"hit/l0/raw"');
    const dot = await runCli(["jobs", "graph", shipped, "--instrument", "hit", "--format", "dot"]);
    expect({ exit: dot.exit, first: dot.stdout.split("\n")[0] }).toEqual({
      exit: 0,
      first: "digraph jobs {",
    });
  });

  it("names the instruments that there are", async () => {
    const { exit, stderr } = await runCli(["jobs", "graph", shipped, "--instrument", "hat"]);
    expect(exit).toBe(2);
    expect(stderr).toContain("codice, glows, hi, hit");
  });
});
