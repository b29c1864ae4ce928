/** `parked`, `replay`, `regroup`, `cancel` and `send`: what changes something. */
import * as Argument from "effect/cli/Argument";
import * as Command from "effect/cli/Command";
import * as Flag from "effect/cli/Flag";
import { argument, idArgument, json, laneFlag, number, plain, run, text, toggle } from "./spec.ts";

const reasonFlag = text("reason", "REASON", "Those parked for this reason");

const list = Command.make("ls", { reason: reasonFlag, lane: laneFlag, json }, (given) =>
  run(
    () => import("./parked.ts"),
    (module, io, site) => module.list(io, { ...plain(given), site }),
  ),
).pipe(Command.withDescription("What is parked, by reason; with --reason one by one."));

const show = Command.make("show", { id: idArgument, json }, (given) =>
  run(
    () => import("./parked.ts"),
    (module, io, site) => module.show(io, { ...given, site }),
  ),
).pipe(Command.withDescription("Why this one is parked, what came before, and as what it came."));

const which = {
  ids: argument("ID", "One or several, as for orrery why").pipe(Argument.variadic()),
  reason: reasonFlag,
  lane: text("lane", "LANE", "With --reason or --all: only this lane"),
  all: toggle("all", "Everything that is parked"),
  yes: toggle("yes", "Said with --all: yes, everything"),
  json,
};

const putBack = Command.make(
  "replay",
  { ...which, note: text("note", "TEXT", "Kept in its history") },
  (given) =>
    run(
      () => import("./parked.ts"),
      (module, io, site) => module.decide(io, "replay", { ...plain(given), site }),
    ),
).pipe(
  Command.withDescription(
    "Put back into the queue, counters anew. For a known file whose new content was refused: take the new content.",
  ),
  Command.withShortDescription("Put back into the queue"),
  Command.withExamples([
    { command: "orrery parked replay MC_O_20251121_000156_R22_S11.fits" },
    { command: "orrery parked replay --reason HeaderUnreadable" },
  ]),
);

const discard = Command.make(
  "discard",
  { ...which, note: text("note", "TEXT", "Why; required, kept in its history") },
  (given) =>
    run(
      () => import("./parked.ts"),
      (module, io, site) => module.decide(io, "discard", { ...plain(given), site }),
    ),
).pipe(
  Command.withDescription(
    "Give up for good. The record stays, with the note; content that was refused is dropped.",
  ),
  Command.withShortDescription("Give up for good"),
  Command.withExamples([{ command: 'orrery parked discard --reason HeaderUnreadable --note "test images"' }]),
);

export const parked = Command.make("parked").pipe(
  Command.withDescription("What was given up on, and what is decided about it."),
  Command.withShortDescription("Given up on: ls, show, replay, discard"),
  Command.withSubcommands([list, show, putBack, discard]),
  Command.withExamples([
    { command: "orrery parked ls" },
    { command: "orrery parked replay --reason StorageUnavailable" },
  ]),
);

export const replay = Command.make(
  "replay",
  {
    bucket: Argument.String("BUCKET"),
    prefix: argument("PREFIX", "Keys that begin so; default all").pipe(Argument.withDefault("")),
    rate: number("rate", "N", "At most N objects a second").pipe(Flag.optional),
    dryRun: toggle("dry-run", "Only tell what would be announced"),
    restart: toggle("restart", "From the beginning, not from where an earlier run stopped"),
    json,
  },
  (given) =>
    run(
      () => import("./replay.ts"),
      (module, io, site) => module.replay(io, { ...plain(given), site }),
    ),
).pipe(
  Command.withDescription(
    "Announce what lies in a bucket as if it had just come. What the ledger knows with the same content is passed over. ^C, and the same command goes on from there.",
  ),
  Command.withShortDescription("Announce a bucket's objects again"),
  Command.withExamples([
    { command: "orrery replay demo-raw LSSTCam/20251121/ --dry-run" },
    { command: "orrery replay demo-raw LSSTCam/20251121/ --rate 500" },
  ]),
);

export const regroup = Command.make(
  "regroup",
  { dryRun: toggle("dry-run", "Only tell how many would be put back"), json },
  (given) =>
    run(
      () => import("./regroup.ts"),
      (module, io, site) => module.regroup(io, { ...given, site }),
    ),
).pipe(
  Command.withDescription(
    "Put groups back that were lost with the bucket KV_presence: of files that the ledger knows, for what is left of their lifetime. What is there stays as it is.",
  ),
  Command.withShortDescription("Put lost groups back"),
);

export const cancel = Command.make(
  "cancel",
  {
    id: argument("RUN", "As for orrery why; or a job's name, with PARTITION behind it"),
    partition: argument("PARTITION", "Of a job: the exposure, day, pointing or window that is meant").pipe(
      Argument.optional,
    ),
    note: text("note", "TEXT", "Why; kept in its history"),
    json,
  },
  (given) =>
    run(
      () => import("./cancel.ts"),
      (module, io, site) => module.cancel(io, { ...plain(given), site }),
    ),
).pipe(
  Command.withDescription(
    "End a run: its command is ended where it runs, and it is parked as Cancelled. Nothing of it is published; orrery parked replay puts it back.",
  ),
  Command.withShortDescription("End a run"),
  Command.withExamples([{ command: "orrery cancel mag/l1a/all 20260310 --note 'wrong calibration'" }]),
);

export const send = Command.make(
  "send",
  {
    actor: Argument.String("ACTOR"),
    id: argument("ID", "Unique a day; the same again changes nothing"),
    body: argument("JSON", "- reads stdin; default null").pipe(Argument.optional),
  },
  (given) =>
    run(
      () => import("./send.ts"),
      (module, io, site) => module.send(io, { ...plain(given), site }),
    ),
).pipe(
  Command.withDescription("Send one item to a claims actor of your own. Returns once it is on disk."),
  Command.withShortDescription("Send an item to an actor of your own"),
  Command.withExamples([{ command: `orrery send thumbnails frame-17 '{"path":"17.fits"}'` }]),
);
