/**
 * The resolver's core alone, in this process: a year of the IMAP mission in memory, what one fact costs that touches few partitions,
 * also while one that touches thousands is being decided, and how fast the thousands go. No server, no disk.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { Fact } from "../../src/jobs/fact.ts";
import { dayOf, dayUs } from "../../src/jobs/instant.ts";
import type { Resolver } from "../../src/jobs/Resolver.ts";
import { emptyResolver, makeYear, runOf, yearDays, yearStart } from "../jobsYear.ts";
import type { Year } from "../jobsYear.ts";
import type { Case, Result } from "../result.ts";
import { aloneOf, percentile, round } from "../result.ts";

/** What the actor decides before it looks at its mail again. */
const sliceOf = 64;

function collect(): number {
  setFlagsFromString("--expose-gc");
  const gc: unknown = runInNewContext("gc");
  if (typeof gc === "function") gc();
  return process.memoryUsage().heapUsed / 1e6;
}

const result = aloneOf("jobs");

export const jobs: Case = {
  name: "jobs",
  run: async ({ quick, say }) => {
    const before = collect();
    say("making a year of the mission …");
    const year = makeYear();
    const results: Array<Result> = [];
    const files = year.facts.filter((fact) => fact.type === "file").length;
    const begun = performance.now();
    const resolver = emptyResolver(year.catalogue);
    for (const fact of year.facts) resolver.apply(fact);
    const cold = resolver.decide();
    const coldMs = performance.now() - begun;
    const load = `${cold.evaluated} partitions of ${year.catalogue.jobs.size} jobs, ${files} files`;
    results.push(
      result(
        "cold start",
        "s",
        coldMs / 1_000,
        "< 10 s",
        coldMs < 10_000,
        `${load}, every fact told from nothing`,
      ),
    );
    results.push(
      result(
        "year from arrivals",
        "1/s",
        (year.evaluated * 1_000) / year.madeMs,
        "",
        true,
        `${year.evaluated} evaluations until all is made, hashes, names and facts of runs included`,
      ),
    );
    const held = collect();
    results.push(
      result(
        "memory",
        "MB",
        held - before,
        "",
        true,
        `heap after ${load}, with the list of facts that the load is told from and one resolver`,
      ),
    );
    results.push(...small(resolver, year, quick ? 200 : 2_000));
    results.push(...big(resolver, year));
    await Promise.resolve();
    return results;
  },
};

/** A new version of raw packets: what few partitions are made of. They are made, so that the next one finds all settled. */
function small(resolver: Resolver, year: Year, count: number): ReadonlyArray<Result> {
  const times: Array<number> = [];
  let most = 0;
  for (let index = 0; index < count; index++) {
    const fact = rawFile(year, index, 2 + Math.floor(index / yearDays));
    const begun = performance.now();
    resolver.apply(fact);
    const { starts, evaluated } = resolver.decide(sliceOf);
    times.push(performance.now() - begun);
    most = Math.max(most, evaluated);
    for (const start of starts) resolver.apply(runOf(start, "no-data"));
    while (resolver.left > 0) {
      for (const start of resolver.decide().starts) resolver.apply(runOf(start, "no-data"));
    }
  }
  const p99 = percentile(times, 0.99) ?? Number.NaN;
  const note = `${count} times raw packets of a day anew, from the fact to the runs; at most ${most} partitions each`;
  return [result("a fact of few partitions, p99", "ms", p99, "< 20 ms", p99 < 20, note, times)];
}

/** One job of SWE takes its raw packets, nine of HIT, CoDICE and MAG theirs; what is made of them waits below. */
const instruments = ["swe", "hit", "codice", "mag"];

function rawFile(year: Year, index: number, version: number): Fact {
  const day = dayOf(yearStart + (index % yearDays) * dayUs);
  const name = `imap_${instruments[index % instruments.length] ?? "swe"}_l0_raw_${day}_v${String(version).padStart(3, "0")}.pkts`;
  const found = year.catalogue.recogniser.recognise(name);
  if (!found.ok || found.file.range === null) throw new Error(name);
  return { type: "file", file: { ...found.file, range: found.file.range, content: name } };
}

function big(resolver: Resolver, year: Year): ReadonlyArray<Result> {
  const bigs = [
    ["an ephemeris for all time", "imap_recon_20251201_20270228_v02.bsp"],
    ["frames for all time", "imap_131.tf"],
    ["an open-ended calibration", "imap_mag_l1d-calibration_20250101_v002.cdf"],
  ] as const;
  const results: Array<Result> = [];
  for (const [what, name] of bigs) {
    const found = year.catalogue.recogniser.recognise(name);
    if (!found.ok || found.file.range === null) throw new Error(name);
    const file = { ...found.file, range: found.file.range, content: name };
    let evaluated = 0;
    let spentMs = 0;
    let longestMs = 0;
    const others: Array<number> = [];
    const timed = (work: () => void): number => {
      const begun = performance.now();
      work();
      return performance.now() - begun;
    };
    spentMs += timed(() => void resolver.apply({ type: "file", file }));
    longestMs = spentMs;
    let index = 0;
    while (resolver.left > 0) {
      const spent = timed(() => {
        evaluated += resolver.decide(sliceOf).evaluated;
      });
      spentMs += spent;
      longestMs = Math.max(longestMs, spent);
      const other = rawFile(year, index++ * 7, 50 + results.length);
      others.push(
        timed(() => {
          resolver.apply(other);
          resolver.decide(16);
        }),
      );
    }
    const rate = (evaluated * 1_000) / spentMs;
    const p99 = percentile(others, 0.99) ?? Number.NaN;
    results.push(
      result(
        what,
        "1/s",
        rate,
        "≥ 20,000/s",
        rate >= 20_000,
        `${evaluated} partitions in slices of ${sliceOf}, the longest ${round(longestMs, 1)} ms; a fact of few meanwhile as p50, p99`,
        others,
      ),
    );
    results.push(
      result(
        `${what}: others meanwhile, p99`,
        "ms",
        p99,
        "< 20 ms",
        p99 < 20,
        `${others.length} facts of few partitions`,
      ),
    );
  }
  return results;
}
