/**
 * A stand-in for a mission's processing: reads what it is given, and writes every file that is expected of it, each a small text that
 * says what it is, of which run, and what it was made of, with the digest of each input's content. So what came from what can be proven
 * from the files alone, and a chain of jobs can be played without their programs. The same inputs make the same bytes.
 *
 *   ORRERY_INPUTS, ORRERY_EXPECTED, ORRERY_JOB, ORRERY_PARTITION and the others that a run's command is given
 *
 * To be as a program that fails, a driver of the catalogue says in its `env`:
 *
 *   STAND_IN_SLEEP_MS   waits so long before it does anything
 *   STAND_IN_EXIT       ends with this code and writes nothing: 66 no data, 69 not yet, 75 for the moment, 1 failed
 *   STAND_IN_OMIT       leaves out the files in whose name this text is found, and ends as if all were there
 *
 * Exit 0: written. 2: started without its variables. 65: an input is not here, or the manifests cannot be read.
 *
 * It imports nothing but Node's own: of a chain with hundreds of runs, its start is what takes time.
 */
import { createHash } from "node:crypto";
import { createReadStream, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const inputsMax = 100_000;
const sleepMsMax = 3_600_000;

type Fields = Readonly<Record<string, unknown>>;

/** One input, as the product says it: proven by its content. */
interface Ingredient {
  readonly dataset: string | null;
  readonly name: string;
  /** Hexadecimal, of its bytes. */
  readonly sha256: string;
  readonly bytes: number;
}

interface Expected {
  readonly name: string;
  readonly dataset: string | null;
  readonly path: string;
}

class Unreadable extends Error {}

const textIn = (fields: Fields, name: string): string | null => {
  const value = fields[name];
  return typeof value === "string" && value !== "" ? value : null;
};

function listIn(path: string): ReadonlyArray<Fields> {
  const list: unknown = JSON.parse(readFileSync(path, "utf8"));
  if (!Array.isArray(list) || list.length > inputsMax) {
    throw new Unreadable(`${path} is no array of at most ${inputsMax}`);
  }
  return list.map((one: unknown) => (typeof one === "object" && one !== null ? (one as Fields) : {}));
}

async function ingredientOf(fields: Fields, index: number): Promise<Ingredient> {
  const [key, uri] = [textIn(fields, "key"), textIn(fields, "uri")];
  const name = textIn(fields, "name") ?? key?.slice(key.lastIndexOf("/") + 1) ?? `input ${index + 1}`;
  const path = textIn(fields, "path") ?? (uri?.startsWith("file:") === true ? fileURLToPath(uri) : null);
  if (path === null) throw new Unreadable(`${name} has neither a path nor a file: uri`);
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const chunk of createReadStream(path)) {
    hash.update(chunk as Uint8Array);
    bytes += (chunk as Uint8Array).length;
  }
  return { dataset: textIn(fields, "dataset"), name, sha256: hash.digest("hex"), bytes };
}

function expectedOf(fields: Fields, index: number): Expected {
  const [name, path] = [textIn(fields, "name"), textIn(fields, "path")];
  if (name === null || path === null) throw new Unreadable(`output ${index + 1} has no name or no path`);
  return { name, path, dataset: textIn(fields, "dataset") };
}

type Environment = Readonly<Record<string, string | undefined>>;

/** What one product says. */
export function productText(
  output: Omit<Expected, "path">,
  env: Environment,
  inputs: ReadonlyArray<Ingredient>,
): string {
  const product = {
    what: "stand-in product: it says what it was made of, and holds no science",
    name: output.name,
    dataset: output.dataset,
    job: env["ORRERY_JOB"] ?? null,
    jobVersion: env["ORRERY_JOB_VERSION"] ?? null,
    partition: env["ORRERY_PARTITION"] ?? null,
    start: env["ORRERY_START"] ?? null,
    end: env["ORRERY_END"] ?? null,
    incomplete: env["ORRERY_INCOMPLETE"] === "1",
    inputs,
  };
  return `${JSON.stringify(product, null, 1)}\n`;
}

/** Makes what is expected. Throws where an input is not here. */
async function make(inputsFile: string, expectedFile: string, env: Environment): Promise<string> {
  const inputs: Array<Ingredient> = [];
  for (const [index, fields] of listIn(inputsFile).entries()) inputs.push(await ingredientOf(fields, index));
  inputs.sort((a, b) => (a.name < b.name ? -1 : 1));
  const omit = env["STAND_IN_OMIT"] ?? "";
  const outputs = listIn(expectedFile).map(expectedOf);
  for (const output of outputs) {
    if (omit === "" || !output.name.includes(omit))
      writeFileSync(output.path, productText(output, env, inputs));
  }
  return `${inputs.length} inputs, ${outputs.length} outputs`;
}

async function main(env: Environment): Promise<number> {
  const [inputs, expected] = [env["ORRERY_INPUTS"], env["ORRERY_EXPECTED"]];
  if (!inputs || !expected) {
    process.stderr.write("processor: set ORRERY_INPUTS and ORRERY_EXPECTED, the manifests of a run\n");
    return 2;
  }
  const sleepMs = Math.min(Number(env["STAND_IN_SLEEP_MS"] ?? 0) || 0, sleepMsMax);
  if (sleepMs > 0) await new Promise((resolve) => setTimeout(resolve, sleepMs));
  const exit = Number(env["STAND_IN_EXIT"] ?? 0) || 0;
  if (exit !== 0) {
    process.stdout.write(`told to end with ${exit}\n`);
    return exit;
  }
  try {
    process.stdout.write(`${await make(inputs, expected, env)}\n`);
    return 0;
  } catch (cause) {
    process.stderr.write(`processor: ${cause instanceof Error ? cause.message : String(cause)}\n`);
    return 65;
  }
}

process.exitCode = await main(process.env);
