/**
 * `npm run chaos -- --faults N --seed S`: random faults, the same ones for the same seed, over node processes and a server under load.
 * `npm run chaos -- --mutations`: takes each rule out of a copy of the source and looks whether its test fails.
 */
import { parseArgs } from "node:util";
import { runFaults } from "./faults.ts";
import { judge, mutations } from "./mutations.ts";

const usage = `Usage: npm run chaos -- [--faults N] [--seed S] [--nodes N]
       npm run chaos -- --mutations [--only WORD]`;

const say = (line: string): void => void process.stdout.write(`${line}\n`);

/** @returns the number of rules whose test stayed green */
async function runMutations(only: string): Promise<number> {
  let green = 0;
  for (const mutation of mutations.filter(({ rule }) => rule.includes(only))) {
    const { red, words } = await judge(mutation.test, mutation);
    if (!red) green++;
    say(
      `${red ? "red  " : "GREEN"}  without ${mutation.rule}: ${mutation.test.file} "${mutation.test.name}"`,
    );
    for (const line of words.slice(0, 6)) say(`         ${line.trim().slice(0, 200)}`);
  }
  say(
    green === 0
      ? "each rule that was taken out turned its test red"
      : `${green} rules were taken out and nobody noticed`,
  );
  return green;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      faults: { type: "string", default: "20" },
      seed: { type: "string", default: String(Math.floor(Math.random() * 1_000_000)) },
      nodes: { type: "string", default: "3" },
      mutations: { type: "boolean", default: false },
      only: { type: "string", default: "" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    say(usage);
    return 0;
  }
  if (values.mutations) return (await runMutations(values.only)) === 0 ? 0 : 1;
  const [faults, seed, nodes] = [values.faults, values.seed, values.nodes].map(Number);
  if (!Number.isInteger(faults) || !Number.isInteger(seed) || !Number.isInteger(nodes)) {
    say(usage);
    return 2;
  }
  return runFaults({ faults: faults ?? 0, seed: seed ?? 0, nodes: nodes ?? 0 }, say);
}

// Through the exit handlers, which end every process that was started.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));
process.exitCode = await main();
