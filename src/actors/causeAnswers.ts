/** `why` and `expected`: what is not there, and what is at the root of it. */
import * as Schema from "effect/Schema";
import type { DatasetId } from "../jobs/dataset.ts";
import type { MissingGroup } from "../jobs/expected.ts";
import { expected } from "../jobs/expected.ts";
import type { Instant, Range } from "../jobs/instant.ts";
import { dayUs, formatInstant, startOfDay } from "../jobs/instant.ts";
import type { Node } from "../jobs/Node.ts";
import { sliceNamed } from "../jobs/partitions.ts";
import type { Cause, Root } from "../jobs/why.ts";
import { rootsOf, why } from "../jobs/why.ts";
import { causeDepthMax, expectedGroupsMax, expectedLookedMax, runsToldMax } from "../limits.ts";
import { partitionKey } from "../protocol/jobs.ts";
import { recordKey } from "../protocol/keys.ts";
import type {
  CauseTree,
  ExpectedAnswer,
  ExpectedGroup,
  RunOfPartition,
  WhyAnswer,
} from "../protocol/operatorQuestions.ts";
import { placeOfRun } from "../protocol/runs.ts";
import { agedOf } from "./ageAlarm.ts";
import type { Known } from "./answering.ts";
import { contactOf, isoOrNull, jobAsked, rootOf, stretchOf } from "./answering.ts";
import { BadQuestion } from "./BadQuestion.ts";
import { partitionOf } from "./catalogueRuns.ts";

const isPartition = Schema.is(Schema.Struct({ job: Schema.String, partition: Schema.String }));

export function whyAnswer(known: Known, said: unknown): WhyAnswer {
  if (!isPartition(said)) throw new BadQuestion("it needs job and partition");
  const { core } = known;
  const { definition } = jobAsked(known, said.job);
  const slice = sliceNamed(definition.partition, said.partition, core.index.calendar);
  if (slice === null) throw new BadQuestion(`${said.partition} is no partition of ${said.job}`);
  const cause = why(core, { job: said.job, partition: slice.name });
  if (cause === null) throw new BadQuestion(`the catalogue has no job ${said.job}`);
  const node = core.node({ job: said.job, partition: slice.name });
  const partition = partitionOf(definition, slice.name, core.index.calendar);
  return {
    record: partition === null ? null : partitionKey(definition.name, partition),
    cause: treeOf(known, cause, 0),
    roots: rootsOf(cause).map((root) => rootOf(known, root)),
    range: slice.range === null ? null : stretchOf(slice.range),
    contact: contactOf(known, definition.team),
    incomplete: cause.status.incomplete,
    order: node?.order ?? null,
    runs: node === undefined ? [] : runsOf(known, node),
  };
}

function treeOf(known: Known, { job, partition, team, status, lacks }: Cause, depth: number): CauseTree {
  return {
    job,
    partition,
    state: status.state,
    team,
    lacks: lacks.map(({ on, words, root, by }) => ({
      on,
      words,
      root: root === null ? null : rootOf(known, root),
      by: depth >= causeDepthMax ? [] : by.map((one) => treeOf(known, one, depth + 1)),
    })),
  };
}

export function runsOf({ core }: Known, node: Node): ReadonlyArray<RunOfPartition> {
  const { definition } = node.job;
  const partition = partitionOf(definition, node.name, core.index.calendar);
  if (partition === null) return [];
  return node.runs
    .toSorted((a, b) => a.at - b.at)
    .slice(-runsToldMax)
    .map(({ hash, state, minor, at, again, inputs }) => ({
      key: recordKey(placeOfRun(definition.lane, definition.name, partition, hash)),
      hash,
      state,
      minor,
      at: formatInstant(at),
      again,
      inputs: inputs.length,
    }));
}

const isExpected = Schema.is(
  Schema.Struct({
    day: Schema.optionalKey(Schema.String),
    limit: Schema.optionalKey(Schema.Number),
    team: Schema.optionalKey(Schema.String),
  }),
);

/** One cause, whenever it was and whosever it holds up: files of one data set that have not come are one thing to look after. */
interface Gathered {
  readonly root: Root | null;
  readonly late: boolean;
  since: Instant;
  readonly ranges: Array<Range>;
  readonly missing: Array<Missing>;
}

type Missing = MissingGroup["missing"][number] & Pick<MissingGroup, "team">;

const missingToldMax = 8;
const outputsToldMax = 8;
const rangesToldMax = 12;

export function expectedAnswer(known: Known, said: unknown): ExpectedAnswer {
  if (!isExpected(said)) throw new BadQuestion("day is a day: 20260310; limit a number; team a name");
  const start = said.day === undefined ? null : startOfDay(said.day);
  if (said.day !== undefined && start === null) throw new BadQuestion("day is a day: 20260310");
  const { core } = known;
  const range = start === null ? null : { start, end: start + dayUs };
  const found = expected(core, range, expectedLookedMax, said.team ?? null);
  const gathered = new Map<string, Gathered>();
  for (const { root, team, missing } of found.groups) {
    for (const of of missing) {
      const one = { ...of, team };
      const late = isLate(root, one.range, core.now);
      const key = JSON.stringify([late, root?.type, root?.dataset ?? root?.words]);
      const group = gathered.get(key);
      const ranges = root?.range === null || root?.range === undefined ? [] : [root.range];
      if (group === undefined)
        gathered.set(key, { root, late, since: one.range.end, ranges, missing: [one] });
      else {
        group.since = Math.min(group.since, one.range.end);
        group.ranges.push(...ranges);
        group.missing.push(one);
      }
    }
  }
  const groups = [...gathered.values()]
    .sort((a, b) => Number(b.late) - Number(a.late) || a.since - b.since)
    .slice(0, Math.min(said.limit ?? expectedGroupsMax, expectedGroupsMax))
    .map((group) => groupOf(known, group));
  return {
    groups,
    partitions: found.count,
    told: groups.reduce((sum, group) => sum + group.partitions, 0),
    products: groups.reduce((sum, group) => sum + group.products, 0),
    aged: agedOf(known),
  };
}

/** What waits for time alone, is being made, or whose time is not over yet, is not late. */
function isLate(root: Root | null, range: Range, now: Instant): boolean {
  if (root !== null && (root.type === "time" || root.type === "waiting")) return false;
  return !Number.isFinite(range.end) || range.end <= now;
}

const productsOf = (missing: ReadonlyArray<Missing>): number =>
  missing.reduce((sum, one) => sum + one.outputs.length, 0);

/** Whose they are, the most first. */
function teamsOf(known: Known, missing: ReadonlyArray<Missing>): ExpectedGroup["teams"] {
  const byTeam = new Map<string | null, Array<Missing>>();
  for (const one of missing) {
    const own = byTeam.get(one.team);
    if (own === undefined) byTeam.set(one.team, [one]);
    else own.push(one);
  }
  return [...byTeam]
    .map(([team, own]) => ({
      team,
      contact: contactOf(known, team),
      partitions: own.length,
      products: productsOf(own),
    }))
    .sort((a, b) => b.products - a.products || ((a.team ?? "") < (b.team ?? "") ? -1 : 1));
}

function groupOf(known: Known, { root, late, since, ranges, missing }: Gathered): ExpectedGroup {
  const teams = teamsOf(known, missing);
  const [only = null, ...others] = teams;
  const team = others.length > 0 ? null : (only?.team ?? null);
  const stretches = merged(ranges);
  const [first = null] = stretches;
  return {
    root: root === null ? null : rootOf(known, { ...root, range: first ?? root.range }),
    late,
    team,
    contact: contactOf(known, team),
    teams,
    since: isoOrNull(since),
    ranges: stretches.slice(0, rangesToldMax).map(stretchOf),
    rangesMore: Math.max(0, stretches.length - rangesToldMax),
    partitions: missing.length,
    products: productsOf(missing),
    missing: missing
      .toSorted((a, b) => a.range.end - b.range.end)
      .slice(0, missingToldMax)
      .map(({ job, partition, state, outputs }) => ({
        job,
        partition,
        state,
        outputs: outputsTold(outputs),
      })),
  };
}

const outputsTold = (outputs: ReadonlyArray<DatasetId>): ReadonlyArray<DatasetId> =>
  outputs.slice(0, outputsToldMax);

/** In order of time, those that touch together. */
function merged(ranges: ReadonlyArray<Range>): ReadonlyArray<Range> {
  const out: Array<Range> = [];
  for (const range of ranges.toSorted((a, b) => a.start - b.start)) {
    const last = out.at(-1);
    if (last !== undefined && range.start <= last.end) {
      out[out.length - 1] = { start: last.start, end: Math.max(last.end, range.end) };
    } else out.push(range);
  }
  return out;
}
