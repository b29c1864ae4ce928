/**
 * `npm run bench [NAME…] [-- --json] [--quick]`: Orrery beside plain programs that do the same, in one run on one server with
 * fsync on. Progress goes to stderr, the results to stdout: a table, or with --json one JSON document.
 */
import { parseArgs } from "node:util";
import { actor } from "./cases/actor.ts";
import { butler } from "./cases/butler.ts";
import { jobs } from "./cases/jobs.ts";
import { jobsSite } from "./cases/jobsSite.ts";
import { million } from "./cases/million.ts";
import { nights } from "./cases/night.ts";
import { notify } from "./cases/notify.ts";
import { presenceHttp, presenceNats } from "./cases/presence.ts";
import { reclaim } from "./cases/reclaim.ts";
import { settle } from "./cases/settle.ts";
import { webhookToPresent } from "./cases/webhookToPresent.ts";
import type { Case, Result } from "./result.ts";
import { machine, table } from "./result.ts";

const cases: ReadonlyArray<Case> = [
  notify,
  settle,
  actor,
  presenceNats,
  presenceHttp,
  webhookToPresent,
  reclaim,
  jobs,
  jobsSite,
];

/** Several minutes: only where they are named. */
const long: ReadonlyArray<Case> = [...nights, million, butler];
const all = [...cases, ...long];

const usage = `npm run bench -- [NAME…] [--quick] [--json]    (npm run --silent bench -- --json: the document and nothing else)
Names: ${cases.map(({ name }) => name).join(" ")}
Long ones, only by name: ${long.map(({ name }) => name).join(" ")}
`;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { json: { type: "boolean" }, quick: { type: "boolean" }, help: { type: "boolean", short: "h" } },
  });
  if (values.help === true) {
    process.stdout.write(usage);
    return 0;
  }
  const unknown = positionals.filter((name) => !all.some((one) => one.name === name));
  if (unknown.length > 0) {
    process.stderr.write(`no bench is called ${unknown.join(", ")}\n${usage}`);
    return 2;
  }
  const chosen = positionals.length === 0 ? cases : all.filter(({ name }) => positionals.includes(name));
  const say = (line: string): void => void process.stderr.write(`${line}\n`);
  const results: Array<Result> = [];
  for (const one of chosen) {
    say(`${one.name} …`);
    results.push(...(await one.run({ quick: values.quick === true, say })));
  }
  process.stdout.write(
    values.json === true
      ? `${JSON.stringify({ results, machine: machine() }, null, 2)}\n`
      : `${table(results)}\n`,
  );
  return 0;
}

process.exitCode = await main();
