/**
 * `npm run chaos -- --faults N --seed S [--json]`: random faults, the same ones for the same seed, over node processes and a server under load.
 * `--seed 1,2,3`: N faults of each, one after the other, and what they come to together.
 * `npm run chaos -- --upgrade`: nodes are replaced one by one under load, by the next version and back, three times.
 * `npm run chaos -- --receiver`: a receiver of webhooks that is away for a minute, and slow, beside a steady stream of exposures.
 * `npm run chaos -- --sites --faults N --seed S`: the same over three sites, their supernode and the links between.
 * `npm run chaos -- --cut [--seconds N]`: one of the sites cut off from the supernode for minutes.
 * `npm run chaos -- --mutations`: takes each rule out of a copy of the source and looks whether its test fails.
 */
import { parseArgs } from "node:util";
import type { FaultReport, FaultSettings } from "./faults.ts";
import { isGood, runFaults } from "./faults.ts";
import { judge, mutations } from "./mutations.ts";
import { runReceiver } from "./receiverDown.ts";
import { runUpgrade } from "./upgrade.ts";
import { merged, recoveryTable } from "./recovery.ts";
import { runSitesSeeds, tellCut } from "./sites/tell.ts";

const usage = `Usage: npm run chaos -- [--faults N] [--seed S[,S…]] [--nodes N] [--brisk] [--json]
       npm run chaos -- --receiver [--json]
       npm run chaos -- --upgrade [--json]
       npm run chaos -- --sites [--faults N] [--seed S[,S…]] [--brisk] [--json]
       npm run chaos -- --cut [--seconds N] [--json]
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

/** What happened, where something is wrong; the table; and in the last line what it comes to. */
function tell(report: FaultReport): void {
  const { settings, lost, twice, stuck, wrong } = report;
  if (!isGood(report)) {
    for (const line of report.timeline) say(line);
    for (const words of [...lost, ...twice, ...stuck, ...wrong].slice(0, 60)) say(words);
    for (const words of report.errors) say(words);
    const { faults, seed, nodes, brisk } = settings;
    say(
      `to see it again: npm run chaos -- --faults ${faults} --seed ${seed} --nodes ${nodes}${brisk ? " --brisk" : ""}`,
    );
  }
  const rested =
    report.restedMs === null ? "never" : `${(report.restedMs / 1_000).toFixed(1)} s after the load`;
  say(
    `seed ${settings.seed}: ${report.files} files accepted, ${report.told} requests told and ${report.lookUps} questions answered in ` +
      `${Math.round(report.seconds)} s; at rest ${rested}; ${wrong.length} other violations`,
  );
  for (const line of recoveryTable(report.rows)) say(line);
  say(lastLine([report]));
}

function lastLine(reports: ReadonlyArray<FaultReport>): string {
  const count = (of: (report: FaultReport) => ReadonlyArray<unknown>): number =>
    reports.reduce((sum, report) => sum + of(report).length, 0);
  const [faults, lost] = [count(({ done }) => done), count(({ lost }) => lost)];
  return `${faults} faults, ${lost} lost, ${count(({ twice }) => twice)} twice, ${count(({ stuck }) => stuck)} stuck`;
}

/** @returns the reports of the seeds, each told as soon as it is there */
async function runSeeds(
  seeds: ReadonlyArray<number>,
  settings: Omit<FaultSettings, "seed">,
  progress: (line: string) => void,
  json: boolean,
): Promise<ReadonlyArray<FaultReport>> {
  const reports: Array<FaultReport> = [];
  for (const seed of seeds) {
    const report = await runFaults({ ...settings, seed }, progress);
    reports.push(report);
    if (!json) tell(report);
  }
  if (json) say(JSON.stringify(reports.length === 1 ? reports[0] : reports, null, 2));
  else if (reports.length > 1) {
    say(`seeds ${seeds.join(", ")} together:`);
    for (const line of recoveryTable(merged(reports.flatMap(({ rows }) => rows)))) say(line);
    say(lastLine(reports));
  }
  return reports;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      faults: { type: "string", default: "20" },
      seed: { type: "string", default: String(Math.floor(Math.random() * 1_000_000)) },
      nodes: { type: "string", default: "3" },
      brisk: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      receiver: { type: "boolean", default: false },
      upgrade: { type: "boolean", default: false },
      sites: { type: "boolean", default: false },
      cut: { type: "boolean", default: false },
      seconds: { type: "string", default: "180" },
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
  const progress = values.json ? (line: string): void => void process.stderr.write(`${line}\n`) : say;
  if (values.upgrade) {
    const report = await runUpgrade({ rounds: 3, betweenMs: 5_000 }, progress);
    if (values.json) say(JSON.stringify(report, null, 2));
    for (const words of report.wrong.slice(0, 50)) progress(words);
    const { accepted, runs, ends, failed, triesMost, overNext, overThis, wrong } = report;
    progress(
      `${ends.length} nodes replaced (${ends.join(", ")}); ${accepted} files accepted, ${runs} runs; ${failed.length} requests refused ` +
        `while a node was away, at most ${triesMost} tries each; ${overNext} records of the next version rewritten by this one, ${overThis} the other way`,
    );
    progress(`${wrong.length} violations`);
    return wrong.length === 0 && ends.every((end) => end.endsWith(": 0")) ? 0 : 1;
  }
  if (values.receiver) {
    const report = await runReceiver({ phaseMs: 20_000, downMs: 60_000, slowMs: 5_000 }, progress);
    if (values.json) say(JSON.stringify(report, null, 2));
    for (const words of report.wrong.slice(0, 50)) progress(words);
    progress(
      `${report.exposures} exposures told in ${report.requests} requests, ${report.wrong.length} violations`,
    );
    return report.wrong.length === 0 ? 0 : 1;
  }
  const [faults = 0, nodes = 0, seconds = 0] = [values.faults, values.nodes, values.seconds].map(Number);
  const seeds = values.seed.split(",").map(Number);
  if (![faults, nodes, seconds, ...seeds].every(Number.isInteger)) {
    say(usage);
    return 2;
  }
  if (values.cut) return tellCut(seconds, progress, values.json ? null : say);
  if (values.sites)
    return runSitesSeeds(seeds, { faults, brisk: values.brisk }, progress, values.json ? null : say);
  const reports = await runSeeds(seeds, { faults, nodes, brisk: values.brisk }, progress, values.json);
  return reports.every(isGood) ? 0 : 1;
}

// Through the exit handlers, which end every process that was started.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));
// Not left to the end of the event loop: a process with nothing left to do was twice seen to hang in its own teardown.
process.exit(await main());
