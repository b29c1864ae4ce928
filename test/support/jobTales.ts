/** A small made-up mission with every kind of input and partition, and random tales of what happens to it. */
import * as fc from "fast-check";
import type { Repoint } from "../../src/jobs/calendar.ts";
import type {
  CatalogueInput,
  CatalogueJob,
  InputRange,
  PartitionScheme,
  WindowPolicy,
} from "../../src/jobs/catalogue.ts";
import type { DatasetKind, Selection } from "../../src/jobs/dataset.ts";
import type { IndexedFile } from "../../src/jobs/indexed.ts";
import { dayUs } from "../../src/jobs/instant.ts";
import type { RunState } from "../../src/jobs/fact.ts";
import { at } from "./jobWorld.ts";

const here = { file: "tale.yaml", line: 1 };
export const firstDay = at("2026-02-26");
export const dayCount = 12;
export const pointingCount = 14;

const kind = (
  name: string,
  selection: Selection,
  makesStale = true,
  alternatives: string | null = null,
): readonly [string, DatasetKind] => [name, { name, selection, makesStale, alternatives, rangeGiven: false }];
export const taleKinds: ReadonlyMap<string, DatasetKind> = new Map([
  kind("product", "product"),
  kind("calibration", "calibration"),
  kind("frames", "timeless"),
  kind("clock", "timeless", false),
  kind("attitude", "covering"),
  kind("orbit", "covering", true, "ephemeris"),
  kind("orbitPredicted", "covering", false, "ephemeris"),
  kind("spin", "timeline"),
  kind("table", "table", false),
]);

interface InputOptions {
  readonly required?: boolean;
  readonly triggers?: boolean;
  readonly range?: InputRange;
  readonly coverage?: boolean;
}
const take = (dataset: string, options: InputOptions = {}): CatalogueInput => ({
  dataset,
  kind: taleKinds.has(dataset) ? dataset : "product",
  required: options.required ?? true,
  triggers: options.triggers ?? true,
  range: options.range ?? null,
  coverage: options.coverage ?? false,
  at: here,
});

const job = (
  name: string,
  partition: PartitionScheme,
  inputs: ReadonlyArray<CatalogueInput>,
  more: { readonly policy?: WindowPolicy; readonly schedule?: string } = {},
): CatalogueJob => ({
  name,
  version: "1",
  instrument: "x",
  team: null,
  partition,
  inputs,
  outputs: [{ dataset: name.toLowerCase(), kind: "product", major: 1, at: here }],
  policy: more.policy ?? null,
  schedule: more.schedule ?? null,
  lane: "x",
  priority: 0,
  driver: "process",
  timeLimitMs: 1,
  attemptsMax: 1,
  at: here,
});

const daily: PartitionScheme = { type: "day" };
const pointing: PartitionScheme = { type: "pointing" };
const optional = { required: false } as const;
const quiet = { triggers: false } as const;

export const taleJobs: ReadonlyArray<CatalogueJob> = [
  job("A", daily, [take("raw"), take("clock")]),
  job("B", daily, [take("a"), take("calibration"), take("attitude")]),
  job("C", daily, [
    take("b"),
    take("a", { ...optional, ...quiet }),
    take("orbit"),
    take("orbitPredicted"),
    take("spin", { coverage: true }),
  ]),
  job("P", pointing, [take("rawp"), take("frames", quiet)]),
  job("Q", pointing, [take("p", { range: { type: "nearest", count: 4, unit: "pointing" } }), take("table")]),
  job("R", pointing, [
    take("q"),
    take("p", { range: { type: "span", past: -1, future: 1, unit: "pointing" }, coverage: true }),
    take("spin", quiet),
    take("raw", optional),
  ]),
  job("W", { type: "days", days: 4 }, [take("q"), take("frames")], {
    policy: { deadlineDays: 2, coverage: 0.5, unit: "pointing" },
  }),
  job("X", { type: "days", days: 3 }, [take("a", quiet), take("attitude", optional)], {
    policy: { deadlineDays: 1, coverage: 0.6, unit: "day" },
  }),
  job(
    "V",
    { type: "calendar", name: "5d", boundaries: ["0301", "0305"] },
    [take("c", optional), take("a", optional)],
    {
      policy: { deadlineDays: 0, coverage: 0, unit: "any" },
    },
  ),
  job("L", daily, [take("a"), take("l", { ...optional, range: { type: "last", count: 2 } })]),
  job("S", daily, [
    take("a"),
    take("c", { ...optional, range: { type: "span", past: -1, future: 1, unit: "day" } }),
  ]),
  job("N", daily, [take("a", { range: { type: "nearest", count: 2, unit: "day" } })]),
  job("T", daily, [take("frames"), take("table", quiet)], { schedule: "0 6 * * *" }),
  job("U", daily, [take("w"), take("t", optional), take("attitude", { ...quiet, ...optional })]),
  job("O", { type: "open" }, [take("attitude", quiet)], { schedule: "0 5 * * *" }),
];

/** The same with changes of every sort: an input more, another version, a job less, another partition. */
export const otherJobs: ReadonlyArray<CatalogueJob> = taleJobs
  .filter(({ name }) => name !== "L")
  .map((one) => {
    if (one.name === "B") return { ...one, version: "2" };
    if (one.name === "C") return { ...one, inputs: [...one.inputs, take("frames")] };
    if (one.name === "X") return { ...one, partition: { type: "days", days: 2 } };
    return one;
  });

export type Happening =
  | { readonly type: "file"; readonly file: IndexedFile }
  | { readonly type: "withdraw"; readonly pick: number }
  | { readonly type: "table"; readonly count: number; readonly shift: number }
  | { readonly type: "hours"; readonly hours: number }
  /** Of the runs that were to begin and have not ended. */
  | { readonly type: "run"; readonly pick: number; readonly state: RunState }
  | { readonly type: "hold"; readonly pick: number; readonly held: boolean; readonly whole: boolean }
  | { readonly type: "again"; readonly pick: number; readonly now: boolean }
  | { readonly type: "never"; readonly pick: number }
  | { readonly type: "decide"; readonly most: number }
  | { readonly type: "catalogue"; readonly other: boolean };

const fileArb: fc.Arbitrary<IndexedFile> = fc
  .record({
    sort: fc.oneof(
      fc.constantFrom("raw", "rawp", "p", "q", "a", "c"),
      fc.constantFrom("raw", "rawp"),
      fc.constantFrom("calibration", "frames", "clock", "table", "spin"),
      fc.constantFrom("attitude", "orbit", "orbitPredicted", "spin"),
    ),
    from: fc.integer({ min: 0, max: dayCount - 1 }),
    // Mostly wide: else nothing covers anything.
    days: fc.oneof(fc.integer({ min: 1, max: 3 }), fc.constantFrom(6, dayCount, 2 * dayCount)),
    hours: fc.constantFrom(0, 0, 0, 7),
    version: fc.integer({ min: 1, max: 3 }),
    content: fc.constantFrom("x", "x", "y"),
  })
  .map(({ sort, from, days, hours, version, content }) => {
    const isProduct = !taleKinds.has(sort);
    const isPointing = ["rawp", "p", "q"].includes(sort);
    const start = firstDay + from * dayUs;
    const isTimeless = ["frames", "clock"].includes(sort);
    const length = isProduct || sort === "table" ? 1 : days;
    const end = start + length * dayUs - (isProduct ? 0 : hours * (dayUs / 24));
    const range = isTimeless
      ? { start: Number.NEGATIVE_INFINITY, end: Number.POSITIVE_INFINITY }
      : { start, end };
    return {
      name: `${sort}_${isTimeless ? "" : `${from}_${isProduct ? "" : `${length}.${hours}`}`}_v${version}`,
      content,
      kind: isProduct ? "product" : sort,
      dataset: sort,
      range: isPointing ? null : range,
      pointing: isPointing ? from : null,
      version: { legacy: true, major: version, minor: 0 },
    };
  });

const pick = fc.nat({ max: 10_000 });

export const happeningArb: fc.Arbitrary<Happening> = fc.oneof(
  { weight: 12, arbitrary: fileArb.map((file): Happening => ({ type: "file", file })) },
  { weight: 2, arbitrary: pick.map((n): Happening => ({ type: "withdraw", pick: n })) },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant("table" as const),
      count: fc.integer({ min: 2, max: pointingCount }),
      shift: fc.constantFrom(0, 0, 0, 1),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.integer({ min: 1, max: 60 }).map((hours): Happening => ({ type: "hours", hours })),
  },
  {
    weight: 14,
    arbitrary: fc.record({
      type: fc.constant("run" as const),
      pick,
      state: fc.constantFrom<Array<RunState>>(
        ...([
          "done",
          "done",
          "done",
          "done",
          "done",
          "ready",
          "running",
          "failed",
          "not-yet",
          "no-data",
        ] as const),
      ),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant("hold" as const),
      pick,
      held: fc.boolean(),
      whole: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("again" as const), pick, now: fc.boolean() }) },
  { weight: 1, arbitrary: pick.map((n): Happening => ({ type: "never", pick: n })) },
  { weight: 8, arbitrary: fc.constantFrom(1, 5, 1_000).map((most): Happening => ({ type: "decide", most })) },
  { weight: 1, arbitrary: fc.boolean().map((other): Happening => ({ type: "catalogue", other })) },
);

/** Pointings of 20 hours with a manoeuvre of one hour between them. */
export const repoints = (count: number, shift: number): ReadonlyArray<Repoint> =>
  Array.from({ length: count + 1 }, (_, number) => {
    const end = firstDay + ((number * 21 + shift) * dayUs) / 24;
    return { number, start: end - dayUs / 24, end: number === count ? null : end };
  });
