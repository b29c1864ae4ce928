/**
 * Judges the files of a Nomad deployment without Nomad: HashiCorp's own parser reads them, jobspec.ts says what may stand where, and
 * each job is then resolved with each of the files of variables that fit it, and judged by rules.ts.
 *
 * `*.nomad.hcl` are jobs, `*.policy.hcl` access-control policies, other `*.hcl` files of variables.
 */
import { didYouMean } from "../../src/config/nearMiss.ts";
import type { Functions, Scope, Value } from "./expression.ts";
import { Unknown } from "./expression.ts";
import { parse } from "./hcl2json.ts";
import type { HclAttribute, HclBody } from "./hclTree.ts";
import { readTree } from "./hclTree.ts";
import type { Level } from "./jobspec.ts";
import type { Block } from "./model.ts";
import { childrenOf, Modeller, textOf } from "./model.ts";
import type { Refusal } from "./refusal.ts";
import { inOrder } from "./refusal.ts";
import { rules } from "./rules.ts";
import { concerns, goTogether, unmatchedRoles } from "./sitesAndRoles.ts";
import { kindFault, levelOf, structureFaults } from "./structure.ts";
import type { Declared, Type } from "./variables.ts";
import { declaredIn, typeFault, variableFaults } from "./variables.ts";

interface Parsed {
  readonly file: string;
  readonly json: Readonly<Record<string, unknown>>;
  readonly tree: HclBody;
}

export interface Checked {
  readonly refusals: ReadonlyArray<Refusal>;
  /** Each job with the files of variables that it was resolved with. */
  readonly jobs: ReadonlyArray<{
    readonly file: string;
    readonly variables: ReadonlyArray<string>;
    readonly job: Block;
  }>;
}

/** `files`: texts by their paths, relative to the folder of the deployment. */
export async function checkDeployment(files: ReadonlyMap<string, string>): Promise<Checked> {
  const refusals: Array<Refusal> = [];
  const parsed: Array<Parsed> = [];
  for (const [file, text] of files) {
    if (!file.endsWith(".hcl")) continue;
    const outcome = await parseFile(file, text);
    if ("tree" in outcome) parsed.push(outcome);
    else refusals.push(outcome);
  }
  const jobs = parsed.filter(({ file }) => file.endsWith(".nomad.hcl"));
  const policies = parsed.filter(({ file }) => file.endsWith(".policy.hcl"));
  const variables = parsed.filter((each) => !jobs.includes(each) && !policies.includes(each));
  for (const { file, tree } of policies) refusals.push(...structureFaults(file, tree, levelOf("acl"), 1));
  const broken = new Set<string>();
  for (const { file, tree } of jobs) {
    if (!tree.blocks.some(({ type }) => type === "job"))
      refusals.push({ file, line: 1, message: "has no job" });
    const faults = structureFaults(file, tree, levelOf("file"), 1);
    // What Nomad would not read is not resolved.
    if (faults.length > 0) broken.add(file);
    refusals.push(...faults, ...variableFaults(file, tree));
  }
  const concerned = (each: Parsed) => jobs.filter((job) => concerns(each, job, files));
  refusals.push(...variables.flatMap((each) => givenFaults(each, concerned(each))));
  refusals.push(...unmatchedRoles(variables));
  const done: Array<Checked["jobs"][number]> = [];
  const functions: Functions = {
    file: (path) => {
      const text = files.get(path);
      if (text === undefined) throw new Unknown(`there is no file ${path}`);
      return text;
    },
  };
  for (const job of jobs.filter(({ file }) => !broken.has(file))) {
    for (const chosen of choices(
      job,
      variables.filter((each) => concerned(each).includes(job)),
    )) {
      if (!goTogether(chosen)) continue;
      const modeller = new Modeller(job.file, functions);
      const scope = Object.assign({}, ...chosen.map(({ json }) => json)) as Scope;
      const model = await modeller.job(job.tree, job.json, scope);
      if (model === null) continue;
      const names = chosen.map(({ file }) => file);
      const found = [
        ...modeller.faults,
        ...kindFaults(model, levelOf("job")),
        ...rules.flatMap((rule) => rule(model)),
      ];
      refusals.push(...found);
      done.push({ file: job.file, variables: names, job: model });
    }
  }
  return { refusals: inOrder(refusals), jobs: done };
}

async function parseFile(file: string, text: string): Promise<Parsed | Refusal> {
  try {
    const json = (await parse(file, text)) as Readonly<Record<string, unknown>>;
    return { file, json, tree: readTree(text) };
  } catch (cause) {
    const words = cause instanceof Error ? cause.message : String(cause);
    const [, line = "1", detail = words] = /:(\d+),\d+-[\d,]+: ([\s\S]*?)\]?$/.exec(words) ?? [];
    return { file, line: Number(line), message: detail };
  }
}

/** Every way of giving a job its variables: one file for each. */
function choices(job: Parsed, variables: ReadonlyArray<Parsed>): ReadonlyArray<ReadonlyArray<Parsed>> {
  const names = [...declaredIn(job.tree)].filter(([, { hasDefault }]) => !hasDefault).map(([name]) => name);
  return names.reduce<ReadonlyArray<ReadonlyArray<Parsed>>>(
    (ways, name) => {
      const giving = variables.filter(({ tree }) => tree.attributes.has(name));
      return ways.flatMap((way) => giving.map((each) => [...way, each]));
    },
    [[]],
  );
}

/** A file of variables gives what jobs declare: all of it, nothing else, of the right types. */
function givenFaults({ file, json, tree }: Parsed, jobs: ReadonlyArray<Parsed>): ReadonlyArray<Refusal> {
  const faults: Array<Refusal> = [];
  const declaring = jobs.map((job) => ({ file: job.file, declared: declaredIn(job.tree) }));
  const all = new Set(declaring.flatMap(({ declared }) => [...declared.keys()]));
  for (const block of tree.blocks) {
    faults.push({
      file,
      line: block.line,
      message: `${block.type} is a block: a file of variables has none`,
    });
  }
  for (const [name, given] of tree.attributes) {
    const types: Array<Type> = [];
    for (const job of declaring) {
      const declared: Declared | undefined = job.declared.get(name);
      if (declared === undefined) continue;
      types.push(declared.type);
      const fault = typeFault(declared.type, json[name] as Value);
      if (fault === null) continue;
      const line = given.fields.get(fault.split(" ")[0] ?? "")?.line ?? given.line;
      faults.push({ file, line, message: `${name}: ${fault}, as ${job.file} declares it` });
    }
    if (types.length === 0) {
      faults.push({ file, line: given.line, message: `no job declares ${name}${didYouMean(name, all)}` });
    } else faults.push(...extraFaults(file, name, given, types));
  }
  return faults;
}

function extraFaults(
  file: string,
  name: string,
  given: HclAttribute,
  types: ReadonlyArray<Type>,
): ReadonlyArray<Refusal> {
  if (types.some((type) => type.name !== "object")) return [];
  const known = new Set(types.flatMap((type) => [...type.fields.keys()]));
  return [...given.fields].flatMap(([field, below]) => {
    if (!known.has(field)) {
      return [
        { file, line: below.line, message: `no job declares ${name}.${field}${didYouMean(field, known)}` },
      ];
    }
    return extraFaults(
      file,
      `${name}.${field}`,
      below,
      types.flatMap((type) => type.fields.get(field) ?? []),
    );
  });
}

/** Values of the wrong kind, and what stands in the `config` of the task's own driver. */
function kindFaults(block: Block, level: Level): ReadonlyArray<Refusal> {
  const { file } = block;
  const faults: Array<Refusal> = [];
  for (const [name, { line, value }] of block.settings) {
    const kind = level.attributes[name];
    const fault = kind === undefined || value === undefined ? null : kindFault(kind, value);
    if (fault !== null) faults.push({ file, line, message: `${name} ${fault}` });
  }
  for (const child of block.blocks) {
    const below = level.blocks[child.type];
    if (below === undefined) continue;
    if (child.type === "config" && block.type === "task")
      faults.push(...configFaults(child, textOf(block, "driver")));
    else faults.push(...kindFaults(child, levelOf(below.level)));
  }
  for (const [type, { once }] of Object.entries(level.blocks)) {
    const second = once ? childrenOf(block, type)[1] : undefined;
    if (second !== undefined) faults.push({ file, line: second.line, message: `a second ${type} block` });
  }
  return faults;
}

const configured = ["docker", "exec", "raw_exec"];

function configFaults(config: Block, driver: string): ReadonlyArray<Refusal> {
  // That there is no such driver is said elsewhere.
  if (!configured.includes(driver)) return [];
  const { file, line } = config;
  const level = levelOf(`config ${driver}`);
  const known = [...Object.keys(level.attributes), ...Object.keys(level.blocks)];
  const names = [...config.settings.entries(), ...config.blocks.map((block) => [block.type, block] as const)];
  return [
    ...names
      .filter(([name]) => !known.includes(name))
      .map(([name, at]) => ({
        file,
        line: at.line,
        message: `${name} is nothing that the driver ${driver} knows${didYouMean(name, known)}`,
      })),
    ...level.required
      .filter((name) => !config.settings.has(name))
      .map((name) => ({ file, line, message: `the driver ${driver} needs ${name}` })),
    ...kindFaults(config, level),
  ];
}
