/** What operators ask about a mission's products: `expected`, `lineage`, `withdraw`, and `jobs needs`, `preview` and `ls`. */
import * as Argument from "effect/cli/Argument";
import * as Command from "effect/cli/Command";
import * as Flag from "effect/cli/Flag";
import { argument, integer, json, plain, run, text, toggle } from "./spec.ts";

const limited = (unit: number, what: string) =>
  integer("limit", "N", `${what}; default ${unit}`).pipe(Flag.withAlias("n"), Flag.withDefault(unit));

export const expected = Command.make(
  "expected",
  {
    day: argument("DAY", "Only of partitions that this day is a part of: 20260310").pipe(Argument.optional),
    team: text("team", "TEAM", "Only this team's"),
    limit: limited(20, "Show so many causes"),
    json,
  },
  (given) =>
    run(
      () => import("./expected.ts"),
      (module, io, site) => module.expected(io, { ...plain(given), site }),
    ),
).pipe(
  Command.withDescription(
    "Products that should be there and are not, by what is at the root of it and by team, the oldest first; and files that grow old. Exit 3 when a product is missing.",
  ),
  Command.withShortDescription("Products that should be there and are not"),
  Command.withExamples([
    { command: "orrery expected 20260310" },
    { command: "orrery expected --team mag --json | jq '.groups[].words'" },
  ]),
);

export const lineage = Command.make(
  "lineage",
  {
    file: argument("FILE", "Its name, or any ID that orrery why takes"),
    depth: integer("depth", "N", "So many runs up and down; default 6").pipe(Flag.withDefault(6)),
    limit: limited(200, "At most so many runs"),
    only: Flag.Literals("only", ["both", "up", "down"]).pipe(
      Flag.withDescription("up: from what it was made; down: what was made of it; default both"),
      Flag.withDefault("both" as const),
    ),
    json,
  },
  (given) =>
    run(
      () => import("./lineage.ts"),
      (module, io, site) => module.lineage(io, { ...given, site }),
    ),
).pipe(
  Command.withDescription(
    "From what a file was made, down to what came from outside, and what was made of it; each file with the tag of its content. --json is a graph of files and runs.",
  ),
  Command.withShortDescription("What a file was made of, and what of it"),
  Command.withExamples([
    { command: "orrery lineage imap_swe_l2_sci_20260310_v001.0001.cdf" },
    { command: "orrery lineage imap_swe_l0_raw_20260310_v001.pkts --only down --depth 1" },
  ]),
);

export const withdraw = Command.make(
  "withdraw",
  {
    files: argument("FILE", "Names, or any IDs that orrery why takes").pipe(Argument.variadic()),
    note: text("note", "TEXT", "Why; needed with --yes, kept in the record"),
    yes: toggle("yes", "Do it; without it only what would follow is told"),
    json,
  },
  (given) =>
    run(
      () => import("./withdraw.ts"),
      (module, io, site) => module.withdraw(io, { ...plain(given), site }),
    ),
).pipe(
  Command.withDescription(
    "Take files back that should not have come: first what that makes stale, with --yes they are parked as Withdrawn and count as not there. orrery parked replay takes them in again.",
  ),
  Command.withShortDescription("Take a file back that should not have come"),
  Command.withExamples([
    { command: "orrery withdraw imap_swe_esa-lut_20250101_v002.csv" },
    { command: 'orrery withdraw imap_swe_esa-lut_20250101_v002.csv --yes --note "wrong units"' },
  ]),
);

export const needs = Command.make(
  "needs",
  {
    of: argument("FILE", "A file's name, which need not exist yet; or a job: swe/l1b/sci"),
    partition: argument("PARTITION", "Of the job: 20260310, repoint00209").pipe(Argument.optional),
    json,
  },
  (given) =>
    run(
      () => import("./missionLook.ts"),
      (module, io, site) => module.needs(io, { ...plain(given), site }),
    ),
).pipe(
  Command.withDescription(
    "What would be needed for this file, and is it there? Exit 3 when something that is required is not. Programs ask the same by a NATS request: orrery.jobs.needs.",
  ),
  Command.withShortDescription("What a file is made of, and is it there?"),
  Command.withExamples([
    { command: "orrery jobs needs imap_swe_l2_sci_20260310_v001.0001.cdf" },
    { command: "orrery jobs needs swe/l2/sci 20260310 --json" },
  ]),
);

export const preview = Command.make(
  "preview",
  {
    files: argument("FILE", "Names of files that would come; they need not exist").pipe(Argument.variadic()),
    withdrawn: Flag.String("withdrawn").pipe(
      Flag.withMetavar("FILE"),
      Flag.withDescription("A file that would go; may be given several times"),
      Flag.atLeast(0),
    ),
    json,
  },
  (given) =>
    run(
      () => import("./missionLook.ts"),
      (module, io, site) => module.preview(io, { ...given, site }),
    ),
).pipe(
  Command.withDescription(
    "What files would change if they came: partitions that would become stale, or would wake up. Nothing is changed by it.",
  ),
  Command.withShortDescription("What new files would change"),
  Command.withExamples([{ command: "orrery jobs preview imap_mag_l1b-calibration_20260101_v002.cdf" }]),
);

export const list = Command.make(
  "ls",
  {
    state: text("state", "STATE", "blocked, ready, running, done, failed or stale"),
    job: text("job", "JOB", "Only this job's"),
    day: text("day", "DAY", "Only those that this day is a part of"),
    limit: limited(50, "The first N, at most 1,000"),
    json,
  },
  (given) =>
    run(
      () => import("./missionLook.ts"),
      (module, io, site) => module.list(io, { ...plain(given), site }),
    ),
).pipe(
  Command.withDescription(
    "Partitions and how they stand, in the order of time; how many there are of each state.",
  ),
  Command.withShortDescription("Partitions and how they stand"),
  Command.withExamples([{ command: "orrery jobs ls --state blocked --day 20260310" }]),
);
