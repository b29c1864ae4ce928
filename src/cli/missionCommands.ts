/** What is decided about a mission's jobs: `hold`, `release`, `force`, `retry`, `reprocess` and `reprocessing`. */
import * as Argument from "effect/cli/Argument";
import * as Command from "effect/cli/Command";
import { argument, json, plain, run, text, toggle } from "./spec.ts";

const jobArgument = argument("JOB", "A job of the catalogue: swe/l1a/all");
const partitionArgument = argument("PARTITION", "A day, a pointing or a window: 20260310, repoint00209");
const noteFlag = text("note", "TEXT", "Why; kept in its history");

const whole = {
  job: jobArgument,
  partition: partitionArgument.pipe(Argument.optional),
  note: noteFlag,
  json,
};

const again = (verb: "force" | "retry", short: string, description: string) =>
  Command.make(verb, { job: jobArgument, partition: partitionArgument, note: noteFlag, json }, (given) =>
    run(
      () => import("./orders.ts"),
      (module, io, site) => module.order(io, verb, { ...plain(given), site }),
    ),
  ).pipe(
    Command.withDescription(description),
    Command.withShortDescription(short),
    Command.withExamples([{ command: `orrery ${verb} swe/l1a/all 20260310` }]),
  );

export const hold = Command.make("hold", whole, (given) =>
  run(
    () => import("./orders.ts"),
    (module, io, site) => module.order(io, "hold", { ...plain(given), site }),
  ),
).pipe(
  Command.withDescription("Start nothing of this job, or of this partition of it, until it is released."),
  Command.withShortDescription("Start nothing of a job, or of a partition of it"),
  Command.withExamples([{ command: "orrery hold swe/l1a/all 20260310" }]),
);
export const release = Command.make(
  "release",
  { ...whole, asked: toggle("asked", "Take back a force or a retry that has not begun, instead of a hold") },
  (given) =>
    run(
      () => import("./orders.ts"),
      (module, io, site) => {
        const { asked, ...options } = plain(given);
        return module.order(io, asked ? "recall" : "release", { ...options, site });
      },
    ),
).pipe(
  Command.withDescription("Take a hold back; with --asked a force or a retry that has not begun."),
  Command.withShortDescription("Take a hold back, or an order that has not begun"),
  Command.withExamples([
    { command: "orrery release swe/l1a/all 20260310" },
    { command: "orrery release swe/l1a/all 20260310 --asked" },
  ]),
);
export const force = again(
  "force",
  "Make a partition now, once",
  "Make this partition now, once: past a hold, its window, its schedule and what is upstream; its inputs must be there.",
);
export const retry = again(
  "retry",
  "Make a partition anew, once",
  "Make this partition anew, once, as soon as its inputs are there: after it failed, say.",
);

export const reprocess = Command.make(
  "reprocess",
  {
    jobs: jobArgument.pipe(Argument.variadic()),
    from: text("from", "DAY", "First day: 20260101"),
    to: text("to", "DAY", "Last day, inclusive"),
    downstream: toggle("downstream", "And whatever is made of it, at any depth"),
    yes: toggle("yes", "Begin; without it only the plan is told"),
    watch: toggle("watch", "Tell how far it is until it is over"),
    note: noteFlag,
    json,
  },
  (given) =>
    run(
      () => import("./reprocess.ts"),
      (module, io, site) => module.reprocess(io, { ...plain(given), site }),
    ),
).pipe(
  Command.withDescription(
    "Make anew what was made: first the plan (what, how many, in which order, what it supersedes), with --yes it begins. What is made of something waits until that is made anew; live data goes first.",
  ),
  Command.withShortDescription("Make anew what was made"),
  Command.withExamples([
    { command: "orrery reprocess mag/l1a/all --from 20260101 --to 20261231 --downstream" },
    { command: "orrery reprocess mag/l1a/all --from 20260101 --to 20260131 --yes --watch" },
  ]),
);

const idArgument = argument("ID", "As orrery reprocessing ls names it");

const ls = Command.make("ls", { json }, (given) =>
  run(
    () => import("./reprocess.ts"),
    (module, io, site) => module.list(io, { ...given, site }),
  ),
).pipe(Command.withDescription("What was ever begun, the latest first."));

const show = Command.make(
  "show",
  { id: idArgument, watch: toggle("watch", "Again and again, until it is over"), json },
  (given) =>
    run(
      () => import("./reprocess.ts"),
      (module, io, site) => module.show(io, { ...given, note: null, site }),
    ),
).pipe(Command.withDescription("How far it is, by job."));

const change = (verb: "pause" | "resume" | "cancel", description: string) =>
  Command.make(verb, { id: idArgument, note: noteFlag, json }, (given) =>
    run(
      () => import("./reprocess.ts"),
      (module, io, site) => module.change(io, verb, { ...plain(given), watch: false, site }),
    ),
  ).pipe(Command.withDescription(description));

export const reprocessing = Command.make("reprocessing").pipe(
  Command.withDescription("Reprocessings that were begun: how far they are, and what is decided about them."),
  Command.withShortDescription("Reprocessings: ls, show, pause, resume, cancel"),
  Command.withSubcommands([
    ls,
    show,
    change("pause", "Begin no more runs of it; those under way end."),
    change("resume", "Go on with it."),
    change("cancel", "Give the rest of it up for good."),
  ]),
);
