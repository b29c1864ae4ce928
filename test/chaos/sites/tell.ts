/** What a run over sites says: what happened, where something is wrong; the table; and in the last line what it comes to. */
import type { SitesReport, SitesSettings } from "./faults.ts";
import { isGood, runSites } from "./faults.ts";
import type { CutReport } from "./cut.ts";
import { runCut } from "./cut.ts";
import { merged, recoveryTable } from "./recovery.ts";

type Say = (line: string) => void;

const inSeconds = (ms: number | null, since: string): string =>
  ms === null ? `never within the bound after ${since}` : `${(ms / 1_000).toFixed(1)} s after ${since}`;

function tell(report: SitesReport, say: Say): void {
  const { settings, lost, twice, stuck, wrong } = report;
  if (!isGood(report)) {
    for (const line of report.timeline) say(line);
    for (const words of [...lost, ...twice, ...stuck, ...wrong].slice(0, 60)) say(words);
    for (const words of report.errors) say(words);
    const { faults, seed, brisk } = settings;
    say(
      `to see it again: npm run chaos -- --sites --faults ${faults} --seed ${seed}${brisk ? " --brisk" : ""}`,
    );
  }
  say(
    `seed ${settings.seed}: ${report.files} files accepted at the sites and ${report.keys} keys and ${report.groups} groups at the supernode in ${Math.round(report.seconds)} s; ` +
      `it had all of each heal ${inSeconds(report.caughtUpMs, "the last fault")} and was equal ${inSeconds(report.equalMs, "rest")}; ` +
      `${wrong.length} other violations`,
  );
  for (const line of recoveryTable(report.rows)) say(line);
  say(lastLine([report]));
}

function lastLine(reports: ReadonlyArray<SitesReport>): string {
  const count = (of: (report: SitesReport) => ReadonlyArray<unknown>): number =>
    reports.reduce((sum, report) => sum + of(report).length, 0);
  const [faults, lost] = [count(({ done }) => done), count(({ lost }) => lost)];
  return `${faults} faults, ${lost} lost, ${count(({ twice }) => twice)} twice, ${count(({ stuck }) => stuck)} stuck`;
}

/**
 * Runs the seeds one after the other.
 * @param say null: one JSON document on stdout instead
 * @returns the exit code
 */
export async function runSitesSeeds(
  seeds: ReadonlyArray<number>,
  settings: Omit<SitesSettings, "seed">,
  progress: Say,
  say: Say | null,
): Promise<number> {
  const reports: Array<SitesReport> = [];
  for (const seed of seeds) {
    const report = await runSites({ ...settings, seed }, progress);
    reports.push(report);
    if (say !== null) tell(report, say);
  }
  if (say === null)
    process.stdout.write(`${JSON.stringify(reports.length === 1 ? reports[0] : reports, null, 2)}\n`);
  else if (reports.length > 1) {
    say(`seeds ${seeds.join(", ")} together:`);
    for (const line of recoveryTable(merged(reports.flatMap(({ rows }) => rows)))) say(line);
    say(lastLine(reports));
  }
  return reports.every(isGood) ? 0 : 1;
}

const since = (ms: number | null): string => (ms === null ? "never" : `${(ms / 1_000).toFixed(1)} s`);

/** @param say null: one JSON document on stdout instead. @returns the exit code */
export async function tellCut(seconds: number, progress: Say, say: Say | null): Promise<number> {
  const report: CutReport = await runCut({ seconds }, progress);
  const { before, during, control, namedMs, healMs, equalMs, files, wrong, timeline } = report;
  if (say === null) process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
  else {
    for (const line of timeline) say(line);
    for (const words of wrong.slice(0, 60)) say(words);
    say(
      `cut off for ${seconds} s: ${during.toFixed(1)} files/s settled, ${(during / before).toFixed(2)} of before (${control.toFixed(2)} at a site beside it); ${namedMs === null ? "over before it had to be named" : `named after ${since(namedMs)}`}; ` +
        `all at the supernode ${since(healMs)} after the heal, equal ${since(equalMs)} after rest; ${files} files, ${wrong.length} violations`,
    );
  }
  return wrong.length === 0 ? 0 : 1;
}
