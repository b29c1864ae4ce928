/** The Nomad files of deploy/: as they are, as other sites would have them, and with mistakes, each refused with file and line. */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as Effect from "effect/Effect";
import { describe, expect, it } from "vitest";
import { loadSite } from "../../src/config/loadSite.ts";
import { isOnPath } from "../support/onPath.ts";
import { checkDeployment } from "./checkDeployment.ts";
import type { Checked } from "./checkDeployment.ts";
import { isList } from "./expression.ts";
import { mistakesIn } from "./mistakes.ts";
import { childrenOf, numberOf, settingOf, textOf, within } from "./model.ts";
import { renderRefusal } from "./refusal.ts";

const folder = join(import.meta.dirname, "../../deploy/nomad");
const files: ReadonlyMap<string, string> = new Map(
  readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((file) => /\.(?:hcl|yaml)$/.test(file))
    .map((file) => [file, readFileSync(join(folder, file), "utf8")]),
);

/** The same files with a piece of one of them replaced, and the line on which that begins. */
function changed(
  file: string,
  from: string,
  to: string,
  of: ReadonlyMap<string, string> = files,
): readonly [ReadonlyMap<string, string>, number] {
  const text = of.get(file) ?? "";
  const at = text.indexOf(from);
  if (at === -1) throw new Error(`${file} has no ${from}`);
  const line = text.slice(0, at).split("\n").length;
  return [new Map([...of, [file, text.slice(0, at) + to + text.slice(at + from.length)]]), line];
}

const combination = ({ file, variables }: Checked["jobs"][number]): string => [file, ...variables].join(" ");
const checked = checkDeployment(files);

describe("the Nomad files", () => {
  it("pass, each job with each site and role", async () => {
    const { refusals, jobs } = await checked;
    expect(refusals.map(renderRefusal)).toEqual([]);
    expect(jobs.map(combination).toSorted()).toEqual([
      "node.nomad.hcl vars/hub.hcl roles/keepers.hcl",
      "node.nomad.hcl vars/summit.hcl roles/followers.hcl",
      "node.nomad.hcl vars/summit.hcl roles/front.hcl",
      "node.nomad.hcl vars/summit.hcl roles/ingesters.hcl",
      "node.nomad.hcl vars/summit.hcl roles/runners.hcl",
      "run.nomad.hcl vars/summit.hcl",
      "site-server.nomad.hcl vars/summit.hcl",
      "supernode.nomad.hcl vars/supernode.hcl",
    ]);
  });

  it.each(["exec", "raw_exec"])(
    "pass with the driver %s, which needs a program, a user by name and no image",
    async (driver) => {
      const [named] = changed("vars/summit.hcl", '"1000:1000"', '"orrery"');
      const [other] = changed("vars/summit.hcl", 'driver  = "docker"', `driver  = "${driver}"`, named);
      const { refusals, jobs } = await checkDeployment(other);
      expect(refusals.map(renderRefusal)).toEqual([]);
      const ofSummit = jobs.filter(({ variables }) => variables.includes("vars/summit.hcl"));
      for (const { job } of ofSummit.filter(({ file }) => /^(?:node|run)\./.test(file))) {
        const [config] = within(job, "config");
        expect(config?.settings.get("command")?.value).toBe("/usr/local/bin/orrery");
        expect(config?.settings.has("image")).toBe(false);
        expect(within(job, "volume")).toHaveLength(
          driver === "exec" && /runners|run$/.test(textOf(job, "id")) ? 1 : 0,
        );
      }
    },
  );

  it("are what they say: three servers apart, two keepers apart, canaries in front, runs of one try", async () => {
    const byId = new Map((await checked).jobs.map(({ job }) => [textOf(job, "id"), job]));
    const job = (id: string) => byId.get(id) ?? expect.fail(`there is no job ${id}`);
    const [hub] = childrenOf(job("orrery-supernode"), "group");
    expect(hub === undefined ? null : numberOf(hub, "count")).toBe(3);
    expect(within(job("orrery-supernode"), "constraint").map((each) => textOf(each, "operator"))).toContain(
      "distinct_hosts",
    );
    const [keepers] = childrenOf(job("orrery-hub-keepers"), "group");
    expect(keepers === undefined ? null : numberOf(keepers, "count")).toBe(2);
    const apart = (id: string) => within(job(id), "constraint").map((each) => textOf(each, "operator"));
    expect([apart("orrery-hub-keepers"), apart("orrery-summit-front")]).toEqual([["distinct_hosts"], []]);
    for (const id of ["orrery-summit-front", "orrery-hub-keepers"]) {
      const [update] = childrenOf(job(id), "update");
      expect(update === undefined ? null : settingOf(update, "auto_promote")).toBe(true);
      expect(update === undefined ? null : settingOf(update, "auto_revert")).toBe(true);
    }
    const secretsOf = (id: string) =>
      within(job(id), "template").flatMap(
        (each) => /^secrets\/(.*)/.exec(textOf(each, "destination"))?.[1] ?? [],
      );
    expect(secretsOf("orrery-hub-keepers").toSorted()).toEqual(["ca.pem", "node.creds"]);
    const queries = ["ingesters", "runners"].map((role) =>
      within(job(`orrery-summit-${role}`), "check").map((check) => textOf(check, "query")),
    );
    expect(queries.map((each) => each.filter((query) => query.includes('{site="summit"}')).length)).toEqual([
      1, 1,
    ]);
    expect(within(job("orrery-summit-followers"), "scaling")).toEqual([]);
    const [config] = within(job("orrery-summit-run"), "config");
    const args = config === undefined ? undefined : settingOf(config, "args");
    expect(isList(args) ? args[0] : null).toBe("run-task");
  });

  it.each([
    ["site-server.nomad.hcl", ["site.conf", "leaf.conf"]],
    ["supernode.nomad.hcl", ["supernode.conf"]],
  ])("configure servers as everywhere else: %s", async (file, sources) => {
    const { jobs } = await checked;
    const [model] = jobs.filter((each) => each.file === file).map(({ job }) => job);
    const templates =
      model === undefined ? [] : within(model, "template").map((each) => textOf(each, "data"));
    const conf = templates.find((text) => text.includes("server_name:")) ?? "";
    const given = conf.split("\n").map((line) => line.trim());
    const wanted = sources
      .flatMap((source) => readFileSync(join(folder, "../../nats", source), "utf8").split("\n"))
      .map((line) => line.trim())
      .filter((line) => /^\w+: [^{[]+$/.test(line) && !line.includes("{{"));
    expect(wanted.length).toBeGreaterThan(3);
    expect(wanted.filter((line) => !given.includes(line))).toEqual([]);
    const names = [...conf.matchAll(/^(\w+)\b/gm)].map(([, name]) => name);
    expect(names.filter((name, index) => names.indexOf(name) < index)).toEqual([]);
  });

  it("have no lines in common that ought to stand once", () => {
    const jobs = [...files].filter(([file]) => file.endsWith(".nomad.hcl"));
    const seen = new Map<string, string>();
    const twice: Array<string> = [];
    const linesMax = 24;
    for (const [file, text] of jobs) {
      const lines = text
        .split("\n")
        .map((line) => line.trim())
        .filter((line) => line !== "" && !line.startsWith("#"));
      for (let at = 0; at + linesMax <= lines.length; at++) {
        const piece = lines.slice(at, at + linesMax).join("\n");
        const other = seen.get(piece);
        if (other !== undefined && other !== file) twice.push(`${file} and ${other}: ${lines[at] ?? ""}`);
        seen.set(piece, file);
      }
    }
    expect(twice).toEqual([]);
  });

  it("bring a site file that a node of each role starts with", async () => {
    const folderOfTasks = mkdtempSync(join(tmpdir(), "orrery-task-"));
    try {
      for (const { job } of (await checked).jobs.filter(({ file }) => file === "node.nomad.hcl")) {
        const task = join(folderOfTasks, textOf(job, "id"));
        for (const name of ["local", "secrets"]) mkdirSync(join(task, name), { recursive: true });
        for (const template of within(job, "template")) {
          const to = textOf(template, "destination");
          writeFileSync(join(task, to), to === "local/site.yaml" ? textOf(template, "data") : "secret");
        }
        const env = within(job, "task").map((each) => settingOf(each, "env"))[0] as Record<string, string>;
        const surroundings = { ...env, ORRERY_NODE: "front-1234abcd" };
        const site = await Effect.runPromise(loadSite(join(task, "local/site.yaml"), { env: surroundings }));
        expect([...site.roles].toSorted()).toEqual(env["ORRERY_ROLES"]?.split(",").toSorted());
      }
    } finally {
      rmSync(folderOfTasks, { recursive: true, force: true });
    }
  });
});

describe("a mistake is refused, with file and line:", () => {
  it.each(mistakesIn(files).map((mistake) => [mistake[0], mistake] as const))(
    "%s",
    async (_what, mistake) => {
      const [, file, from, to, message, below = 0] = mistake;
      const [other, line] = changed(file, from, to);
      const { refusals } = await checkDeployment(other);
      const found = refusals.find((refusal) => message.test(refusal.message));
      expect(found, refusals.map(renderRefusal).join("\n")).toBeDefined();
      const text = other.get(found?.file ?? "") ?? "";
      expect(found?.line).toBeGreaterThan(0);
      expect(found?.line).toBeLessThanOrEqual(text.split("\n").length);
      if (!Number.isNaN(below))
        expect(`${found?.file ?? ""}:${found?.line ?? 0}`).toBe(`${file}:${line + below}`);
    },
  );
});

describe.skipIf(!isOnPath("nomad"))("nomad itself, where there is one: job validate", () => {
  it("takes every job with its variables", async () => {
    for (const { file, variables } of (await checked).jobs) {
      const given = variables.flatMap((each) => [`-var-file=${each}`]);
      execFileSync("nomad", ["job", "validate", ...given, file], { cwd: folder, stdio: "pipe" });
    }
  });
});

if (!isOnPath("nomad"))
  console.log("no nomad on the PATH: `nomad job validate` of the deployment's files is left out");
