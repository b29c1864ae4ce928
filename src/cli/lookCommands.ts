/** `status`, `stats`, `why`, `file`, `presence`, `log` and `decode`: what only looks. */
import * as Argument from "effect/cli/Argument";
import * as Command from "effect/cli/Command";
import * as Flag from "effect/cli/Flag";
import * as Effect from "effect/Effect";
import { CommandFailed } from "./failures.ts";
import { Io } from "./Io.ts";
import { argument, idArgument, integer, json, laneFlag, number, plain, run, text, toggle } from "./spec.ts";

export const status = Command.make(
  "status",
  {
    watch: toggle("watch", "Again and again, until ^C").pipe(Flag.withAlias("w")),
    every: number("every", "SECONDS", "Between two looks with --watch; default 1").pipe(Flag.withDefault(1)),
    json,
  },
  (given) =>
    run(
      () => import("./status.ts"),
      (module, io, site) => module.status(io, { ...given, site }),
    ),
).pipe(
  Command.withDescription("Nodes and their actors, lanes and their backlog, what workers have in hand."),
  Command.withShortDescription("How the site stands now"),
  Command.withExamples([
    { command: "orrery status --watch" },
    { command: "orrery status --json | jq '.mailboxes[] | {mailbox, queued}'" },
  ]),
);

export const stats = Command.make(
  "stats",
  {
    day: argument("DAY", "Obs day, 20251121; `all`; default the latest").pipe(Argument.optional),
    lane: laneFlag,
    json,
  },
  (given) =>
    run(
      () => import("./stats.ts"),
      (module, io, site) => module.stats(io, { ...plain(given), site }),
    ),
).pipe(
  Command.withDescription(
    "What was received and what became of it, by lane, instrument and obs day: gaps in the sequence, detectors an exposure, latency.",
  ),
  Command.withShortDescription("Counts, gaps and latencies of a night"),
  Command.withExamples([{ command: "orrery stats 20251121" }, { command: "orrery stats all --json" }]),
);

const fileList = Command.make(
  "ls",
  {
    lane: laneFlag,
    day: text("day", "DAY", "Only this obs day"),
    state: text("state", "STATE", "known, failing, waiting, parked or discarded"),
    limit: integer("limit", "N", "The newest N; 0 for all; default 50").pipe(
      Flag.withAlias("n"),
      Flag.withDefault(50),
    ),
    json,
  },
  (given) =>
    run(
      () => import("./file.ts"),
      (module, io, site) => module.list(io, { ...plain(given), site }),
    ),
).pipe(
  Command.withDescription("List files, the last changed first."),
  Command.withExamples([{ command: "orrery file ls --lane lsstcam --state failing" }]),
);

const fileGet = Command.make("get", { id: idArgument, json }, (given) =>
  run(
    () => import("./file.ts"),
    (module, io, site) => module.get(io, { ...given, site }),
  ),
).pipe(
  Command.withDescription("Show the one record of a file, a run or an item as the ledger has it."),
  Command.withShortDescription("Show a record"),
);

export const file = Command.make("file").pipe(
  Command.withDescription("Files as the ledger knows them."),
  Command.withShortDescription("Records: ls, get"),
  Command.withSubcommands([fileList, fileGet]),
  Command.withExamples([
    { command: "orrery file ls --day 20251121" },
    { command: "orrery file get MC_O_20251121_000156_R22_S11.fits" },
  ]),
);

export const why = Command.make(
  "why",
  {
    id: idArgument,
    partition: argument(
      "PARTITION",
      "With a job's name as the ID: the exposure, day, pointing or window that is meant",
    ).pipe(Argument.optional),
    json,
  },
  (given) =>
    run(
      () => import("./why.ts"),
      (module, io, site) => module.why(io, { ...plain(given), site }),
    ),
).pipe(
  Command.withDescription(
    "The whole history of a file, a run or an item in words: every arrival, crash and retry, where it stands, what happens next. Of a job's partition: what it waits for, and through what makes that, what has not come.",
  ),
  Command.withShortDescription("The whole story of one thing"),
  Command.withExamples([
    { command: "orrery why MC_O_20251121_000156_R22_S11.fits", description: "The end of a name is enough" },
    { command: "orrery why s3://demo-raw/LSSTCam/20251121/…" },
    { command: "orrery why quicklook MC_O_20251121_000156", description: "Why has this job not run?" },
    {
      command: "orrery why swe/l1b/sci 20260310",
      description: "The same, down to the file that has not come",
    },
  ]),
);

export const presence = Command.make(
  "presence",
  {
    instrument: Argument.String("INSTRUMENT"),
    group: Argument.String("GROUP"),
    snap: argument("SNAP", "Place of the exposure within its group, from 0"),
    detector: Argument.String("DETECTOR"),
    wait: number("wait", "SECONDS", "Wait for it; default 0").pipe(Flag.withDefault(0)),
    scope: Flag.Literals("scope", ["site", "all"]).pipe(
      Flag.withDescription(
        "This site's groups, or those of all that it may see; default: as its site file says",
      ),
      Flag.optional,
    ),
    json,
  },
  (given) =>
    run(
      () => import("./presence.ts"),
      (module, io, site) => module.presence(io, { ...plain(given), site }),
    ),
).pipe(
  Command.withDescription("Is it here? Prints its URI and exits 0, or exits 3 when it is absent."),
  Command.withShortDescription("Is this group here?"),
  Command.withExamples([
    { command: "orrery presence LSSTCam '2025-11-21T03:04:05.678#1' 0 R22_S11 --wait 30" },
  ]),
);

export const log = Command.make(
  "log",
  {
    run: argument("RUN", "Its name, or the end of it: the hash will do"),
    inputs: toggle("inputs", "The manifest of its inputs instead"),
  },
  (given) =>
    run(
      () => import("./log.ts"),
      (module, io, site) => module.log(io, { ...given, site }),
    ),
).pipe(
  Command.withDescription("What a run's command wrote, of its last try."),
  Command.withShortDescription("A run's log"),
);

export const decode = Command.make("decode", { json: toggle("json", "One line a value") }, (given) =>
  Effect.gen(function* () {
    const { out, err, readStdin } = yield* Io;
    const module = yield* Effect.promise(() => import("./decode.ts"));
    const exit = yield* Effect.promise(() =>
      module.decode({ out: out.write, err: err.write, readStdin }, given),
    );
    if (exit !== 0) yield* new CommandFailed({ exit, message: "" });
  }),
).pipe(
  Command.withDescription(
    "One message of Orrery's streams, read from stdin, as JSON. What is JSON stays as it is.",
  ),
  Command.withShortDescription("MessagePack on stdin to JSON"),
  Command.withExamples([{ command: "nats stream view ARRIVALS --translate 'orrery decode'" }]),
);
