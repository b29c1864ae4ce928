/**
 * The YAML form of a job catalogue: one file with what is common, one an instrument. Each key with its type, its default and the
 * sentence that editors and docs/catalogue.md show. Rules between keys are in catalogueJobs.ts.
 */
import * as Schema from "effect/Schema";
import { cronFault } from "../jobs/cron.ts";
import { Command, duration, Environment, optional, Pattern, required, Text, wholeNumber } from "./fields.ts";
import { msPerDay } from "./quantity.ts";

const Texts = (example: string) => Schema.Array(Text).annotate({ fix: `write a list: ${example}` });

const Dataset = Schema.String.check(
  Schema.isPattern(/^[^/\s]+\/[^/\s]+\/[^/\s]+$/, {
    expected: "source/level/descriptor",
    message: "is no data set",
    fix: "write source/level/descriptor: swe/l1b/sci",
  }),
);

const Range = Texts('["-3p", "3p"], ["-1l"], ["8np"]');

const Input = Schema.Struct({
  dataset: required(Dataset, "What is taken: source/level/descriptor."),
  required: optional(Schema.Boolean, true, "false: taken when there, not waited for."),
  triggers: optional(Schema.Boolean, true, "false: a new file of it makes nothing stale that is done."),
  coverage: optional(Schema.Boolean, false, "true: the files must leave no gap in the partition."),
  range: optional(
    Schema.NullOr(Range),
    null,
    "Files beside the partition's own: [-3p, 3p] from 3 pointings before to 3 after (p, h, d), [-1l] the last one before, [8np] the 8 nearest pointings, [6nd] the 6 nearest days.",
  ),
});

const Output = Schema.Struct({
  dataset: required(Dataset, "What is made: source/level/descriptor."),
  major: optional(wholeNumber(0, 999), 1, "Major version of its files; the minor one is counted."),
});

const Inputs = Schema.Array(Schema.Union([Dataset, Input]));
const Outputs = Schema.Array(Schema.Union([Dataset, Output]));

const Policy = Schema.Struct({
  deadline: optional(
    duration(0, 3_650 * msPerDay),
    "7 days",
    "After the window's end: then it is made of what is there, if that is enough.",
  ),
  coverage: optional(
    Schema.Finite.check(
      Schema.isBetween(
        { minimum: 0, maximum: 1 },
        { message: "must be from 0 to 1", fix: "write a ratio: 0.9" },
      ),
    ),
    0.9,
    "Ratio of the units in the window that is enough at the deadline.",
  ),
  unit: optional(
    Schema.Literals(["pointing", "day", "any"]),
    "pointing",
    "What is counted; any: made at the window's end of what is there.",
  ),
});

const Cron = Schema.String.check(
  Schema.makeFilter((text: string) => cronFault(text) ?? undefined, {
    message: "is no cron expression of five fields",
    fix: 'write minute, hour, day, month, weekday, UTC: "0 6 * * *"',
  }),
);

/** What a job may say of itself, and what catalogue.yaml may say of many. */
const settable = {
  version: optional(
    Schema.NullOr(Text),
    null,
    "Raise it when the program changes: part of a run's hash; default 1.",
  ),
  team: optional(Schema.NullOr(Text), null, "Who is told of it: a name of teams; default: its instrument's."),
  lane: optional(
    Schema.NullOr(Text),
    null,
    "Whose workers it shares: a name of lanes; default: its instrument's.",
  ),
  driver: optional(Schema.NullOr(Text), null, "What runs it: a name of drivers; default process."),
  priority: optional(Schema.NullOr(wholeNumber(-1_000, 1_000)), null, "Higher starts first; default 0."),
  timeLimit: optional(
    Schema.NullOr(duration(100, 30 * msPerDay)),
    null,
    "Then a run is killed; default 1 h.",
  ),
  attemptsMax: optional(
    Schema.NullOr(wholeNumber(1, 1_000)),
    null,
    "Tries before a run is given up; default 3.",
  ),
  schedule: optional(
    Schema.NullOr(Cron),
    null,
    "When it runs by the clock: five cron fields, UTC. For jobs that no data product starts.",
  ),
  policy: optional(Schema.NullOr(Policy), null, "When a window is made."),
};

const Job = Schema.Struct({
  partition: required(Text, "day, pointing, or a name of the catalogue's windows."),
  inputs: required(Inputs, "What it is made of: data sets, with what is to be said of them."),
  outputs: required(Outputs, "What a run must leave behind."),
  ...settable,
});

export const InstrumentSchema = Schema.Struct({
  instrument: required(Text, "Whose jobs these are."),
  jobs: required(Schema.Record(Schema.String, Job), "Each job, by its name: source/level/descriptor."),
});

const Window = Schema.Struct({
  days: optional(
    Schema.NullOr(wholeNumber(2, 366)),
    null,
    "So many days each, from 1 January; the year's last is shorter.",
  ),
  boundaries: optional(
    Schema.NullOr(Texts('["0117", "0718"]')),
    null,
    "Between these days of each year: month and day.",
  ),
  table: optional(
    Schema.NullOr(Text),
    null,
    "As a CSV file says: columns start_date and end_date, days as 20260101, the end exclusive.",
  ),
  open: optional(Schema.Boolean, false, "true: one partition, from the mission's start to now."),
});

const Driver = Schema.Union([
  Schema.Struct({
    type: required(Schema.Literal("process"), "process: a program on the node's own machine."),
    command: required(Command, "Program and arguments; {node}, {orrery}, {ext} and {site} are replaced."),
    cwd: optional(Schema.NullOr(Text), null, "Working folder; null: a scratch folder of the run."),
    env: optional(Environment, {}, "Added to the environment; a value may be env:NAME or file:PATH."),
  }),
  Schema.Struct({
    type: required(Schema.Literal("docker"), "docker: a container of this image."),
    image: required(Text, "The image, with its tag or digest."),
    command: optional(Schema.Array(Text), [], "Arguments to the image; empty: as it says itself."),
    env: optional(Environment, {}, "Added to the environment; a value may be env:NAME or file:PATH."),
  }),
  Schema.Struct({
    type: required(Schema.Literal("nomad"), "nomad: a job that is dispatched to a Nomad cluster."),
    job: required(Text, "Id of the parameterised job; it runs `orrery run-task`."),
    folder: required(
      Text,
      "Where tickets of runs are left: on a file system that the cluster shares, as dataDir is.",
    ),
    command: required(
      Schema.NonEmptyArray(Text).annotate({ fix: "write a list: [/opt/pipeline/run, --verbose]" }),
      "Program and arguments, as the hosts of runs have them.",
    ),
    env: optional(Environment, {}, "Added to the environment; a value may be env:NAME or file:PATH."),
    address: optional(
      Text,
      "http://127.0.0.1:4646",
      "Of an agent: http://, https://, or unix:PATH of the socket that a task finds in its secrets.",
    ),
    tokenFile: optional(Schema.NullOr(Text), null, "File with a token; it is read for each question."),
    namespace: optional(Text, "default", "Where the job is."),
    insecure: optional(Schema.Boolean, false, "Allow http:// to another machine."),
  }),
]);

const Lane = Schema.Struct({
  workers: optional(wholeNumber(1, 256), 1, "Runs at once on each node."),
  oneAtATime: optional(
    Schema.Boolean,
    false,
    "true: one run at a time for each instrument, on all nodes together.",
  ),
});

const Team = Schema.Struct({
  instruments: optional(Texts("[mag]"), [], "Instruments whose jobs are theirs, where nothing else is said."),
  contact: optional(Schema.NullOr(Text), null, "How they are told; shown beside what is late."),
});

const Products = Schema.Struct({
  bucket: required(Text, "A bucket of a lane with names: so what is made comes back as an arrival."),
  key: optional(
    Text,
    "{source}/{level}/{year}/{month}/{name}",
    "Under which key: {source}, {level}, {descriptor} of the data set, {year}, {month}, {day} of its start, {name}.",
  ),
});

const Setting = Schema.Struct({
  jobs: required(Texts("[mag/*/*]"), "Names of jobs; * stands for any text without a slash."),
  partitions: optional(Texts("[3mo, 1yr]"), [], "Only jobs of these partitions; empty: all."),
  ...settable,
  inputs: optional(Inputs, [], "Inputs that the jobs take besides their own."),
});

export const CatalogueSchema = Schema.Struct({
  names: required(Text, "File that says how the mission's files are named."),
  instruments: required(Texts("[mag.yaml]"), "Files with the jobs, one an instrument."),
  arrives: optional(
    Schema.Array(Pattern).annotate({ fix: "write a list: ['/l0/']" }),
    [],
    "Searched in data sets: these products come from outside, all others a job makes.",
  ),
  deliveredAs: optional(
    Schema.Record(Schema.String, Dataset),
    {},
    "Outputs whose files come back as another data set, by the output's.",
  ),
  products: optional(
    Schema.NullOr(Products),
    null,
    "Where what jobs make is put; without it the jobs can be read and drawn, and not run.",
  ),
  windows: optional(
    Schema.Record(Schema.String, Window),
    {},
    "Partitions other than day and pointing, by a name of your own.",
  ),
  drivers: required(Schema.Record(Schema.String, Driver), "What runs jobs, by a name of your own."),
  lanes: required(Schema.Record(Schema.String, Lane), "Queues of runs, by a name of your own."),
  teams: optional(Schema.Record(Schema.String, Team), {}, "Who is told of what, by a name of your own."),
  ages: optional(
    Schema.Record(Schema.String, Schema.NullOr(duration(msPerDay / 24, 3_650 * msPerDay))),
    {},
    "How old the newest file of a kind may become before there is an alarm, null: as old as it likes. Where nothing is said, 7 days for kernels that cover a time, timelines and tables.",
  ),
  settings: optional(
    Schema.Array(Setting),
    [],
    "What is said of many jobs; a later one comes before an earlier, a job's own before all.",
  ),
});

export type CatalogueFile = typeof CatalogueSchema.Type;
export type InstrumentFile = typeof InstrumentSchema.Type;
export type JobFile = InstrumentFile["jobs"][string];
export type SettingFile = CatalogueFile["settings"][number];
export type WindowFile = CatalogueFile["windows"][string];
export type DriverFile = CatalogueFile["drivers"][string];
