/**
 * Every command's arguments, flags and help. What a command does is in a file of its own, loaded when it runs: a start
 * of the program costs only what is asked for.
 */
import * as Argument from "effect/cli/Argument";
import * as Command from "effect/cli/Command";
import * as Flag from "effect/cli/Flag";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import type * as Scope from "effect/Scope";
import type { CommandFailed } from "./failures.ts";
import type { IoService } from "./Io.ts";
import { Io } from "./Io.ts";

const siteFlag = Flag.String("site").pipe(
  Flag.withAlias("s"),
  Flag.withMetavar("FILE"),
  Flag.withDescription("Site file; default ORRERY_SITE, ./orrery.yaml, ./site.yaml, the demo's"),
  Flag.optional,
);

/** Shared by all: which site is meant. */
const root = Command.make("orrery").pipe(Command.withSharedFlags({ site: siteFlag }));

const toggle = (name: string, description: string) =>
  Flag.Boolean(name).pipe(Flag.withDescription(description), Flag.withoutNegation, Flag.withDefault(false));
const json = toggle("json", "One JSON document on stdout, for scripts");
const text = (name: string, metavar: string, description: string) =>
  Flag.String(name).pipe(Flag.withMetavar(metavar), Flag.withDescription(description), Flag.optional);
const siteArgument = Argument.String("SITE").pipe(
  Argument.withDescription("Site file; default as for --site"),
  Argument.optional,
);
const idArgument = Argument.String("ID").pipe(
  Argument.withDescription("BUCKET/KEY, s3://BUCKET/KEY, LANE/KEY, a ledger key, or the end of a name"),
);

/** Runs a command's own file: loaded now, with the terminal and a scope that ends with it. */
const run = <M>(
  load: () => Promise<M>,
  command: (module: M, io: IoService) => Effect.Effect<void, CommandFailed, Scope.Scope>,
): Effect.Effect<void, CommandFailed, Io> =>
  Effect.gen(function* () {
    const io = yield* Io;
    const module = yield* Effect.promise(load);
    yield* Effect.scoped(command(module, io));
  });

const site = Effect.map(root, (shared) => Option.getOrNull(shared.site));
const orNull = Option.getOrNull;

const start = Command.make(
  "start",
  {
    site: siteArgument,
    node: text("node", "NAME", "This node's name; two nodes of a site need two names"),
    httpPort: Flag.Int("http-port").pipe(
      Flag.withMetavar("PORT"),
      Flag.withDescription("Instead of the site file's; 0 picks a free one"),
      Flag.optional,
    ),
    readyFile: text("ready-file", "FILE", "Written, as JSON, once every actor is ready"),
  },
  (o) =>
    Effect.flatMap(site, (shared) =>
      run(
        () => import("./start.ts"),
        (m, io) =>
          m.start(io, {
            site: orNull(o.site) ?? shared,
            node: orNull(o.node),
            httpPort: orNull(o.httpPort),
            readyFile: orNull(o.readyFile),
          }),
      ),
    ),
).pipe(
  Command.withDescription("Run a node of a site until SIGTERM or ^C. Its log goes to stderr."),
  Command.withShortDescription("Run a node of a site"),
  Command.withExamples([
    { command: "orrery start site.yaml", description: "The node that the site file names" },
    { command: "orrery start site.yaml --node b --http-port 0", description: "A second one beside it" },
  ]),
);

const check = Command.make(
  "check",
  { site: siteArgument, schema: toggle("schema", "Print the JSON Schema of site files, for editors"), json },
  (o) =>
    Effect.flatMap(site, (shared) =>
      run(
        () => import("./check.ts"),
        (m, io) => m.check(io, { site: orNull(o.site) ?? shared, schema: o.schema, json: o.json }),
      ),
    ),
).pipe(
  Command.withDescription("Read a site file and tell everything that is wrong with it, each with its fix."),
  Command.withShortDescription("Check a site file"),
  Command.withExamples([
    { command: "orrery check site.yaml" },
    { command: "orrery check --schema > site.schema.json", description: "Completion and checks in an editor" },
  ]),
);

const plan = Command.make("plan", { site: siteArgument, json }, (o) =>
  Effect.flatMap(site, (shared) =>
    run(
      () => import("./topology.ts"),
      (m, io) => m.plan(io, { site: orNull(o.site) ?? shared, json: o.json }),
    ),
  ),
).pipe(
  Command.withDescription("Tell what differs. Exit 0: nothing; 3: something would be changed."),
  Command.withShortDescription("Tell what differs"),
);

const apply = Command.make("apply", { site: siteArgument, json }, (o) =>
  Effect.flatMap(site, (shared) =>
    run(
      () => import("./topology.ts"),
      (m, io) => m.apply(io, { site: orNull(o.site) ?? shared, json: o.json }),
    ),
  ),
).pipe(
  Command.withDescription("Make it so. A change that would lose what is stored is not made, and told."),
  Command.withShortDescription("Make it so"),
);

const topology = Command.make("topology").pipe(
  Command.withDescription("The streams, buckets and consumers on the NATS server against what the site needs."),
  Command.withShortDescription("Streams, buckets and consumers: plan, apply"),
  Command.withSubcommands([plan, apply]),
  Command.withExamples([
    { command: "orrery topology plan site.yaml" },
    { command: "orrery topology apply site.yaml" },
  ]),
);

const status = Command.make(
  "status",
  {
    watch: Flag.Boolean("watch").pipe(
      Flag.withAlias("w"),
      Flag.withDescription("Again and again, until ^C"),
      Flag.withoutNegation,
      Flag.withDefault(false),
    ),
    every: Flag.Finite("every").pipe(
      Flag.withMetavar("SECONDS"),
      Flag.withDescription("Between two looks with --watch; default 1"),
      Flag.withDefault(1),
    ),
    json,
  },
  (o) =>
    Effect.flatMap(site, (shared) =>
      run(
        () => import("./status.ts"),
        (m, io) => m.status(io, { site: shared, ...o }),
      ),
    ),
).pipe(
  Command.withDescription("Nodes and their actors, lanes and their backlog, what workers have in hand."),
  Command.withShortDescription("How the site stands now"),
  Command.withExamples([
    { command: "orrery status --watch" },
    { command: "orrery status --json | jq '.mailboxes[] | {mailbox, queued}'" },
  ]),
);

const stats = Command.make(
  "stats",
  {
    day: Argument.String("DAY").pipe(
      Argument.withDescription("Obs day, 20251121; `all`; default the latest"),
      Argument.optional,
    ),
    lane: text("lane", "LANE", "Only this lane"),
    json,
  },
  (o) =>
    Effect.flatMap(site, (shared) =>
      run(
        () => import("./stats.ts"),
        (m, io) => m.stats(io, { site: shared, day: orNull(o.day), lane: orNull(o.lane), json: o.json }),
      ),
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
    lane: text("lane", "LANE", "Only this lane"),
    day: text("day", "DAY", "Only this obs day"),
    state: text("state", "STATE", "known, failing, waiting, parked or discarded"),
    limit: Flag.Int("limit").pipe(
      Flag.withAlias("n"),
      Flag.withMetavar("N"),
      Flag.withDescription("The newest N; 0 for all; default 50"),
      Flag.withDefault(50),
    ),
    json,
  },
  (o) =>
    Effect.flatMap(site, (shared) =>
      run(
        () => import("./file.ts"),
        (m, io) =>
          m.list(io, {
            site: shared,
            lane: orNull(o.lane),
            day: orNull(o.day),
            state: orNull(o.state),
            limit: o.limit,
            json: o.json,
          }),
      ),
    ),
).pipe(
  Command.withDescription("List files, the last changed first."),
  Command.withExamples([{ command: "orrery file ls --lane lsstcam --state failing" }]),
);

const fileGet = Command.make("get", { id: idArgument, json }, (o) =>
  Effect.flatMap(site, (shared) =>
    run(
      () => import("./file.ts"),
      (m, io) => m.get(io, { site: shared, id: o.id, json: o.json }),
    ),
  ),
).pipe(
  Command.withDescription("Show the one record of a file, a run or an item as the ledger has it."),
  Command.withShortDescription("Show a record"),
);

const file = Command.make("file").pipe(
  Command.withDescription("Files as the ledger knows them."),
  Command.withShortDescription("Records: ls, get"),
  Command.withSubcommands([fileList, fileGet]),
  Command.withExamples([
    { command: "orrery file ls --day 20251121" },
    { command: "orrery file get MC_O_20251121_000156_R22_S11.fits" },
  ]),
);

const reasonFlag = text("reason", "REASON", "Those parked for this reason");
const parkedList = Command.make(
  "ls",
  { reason: reasonFlag, lane: text("lane", "LANE", "Only this lane"), json },
  (o) =>
    Effect.flatMap(site, (shared) =>
      run(
        () => import("./parked.ts"),
        (m, io) => m.list(io, { site: shared, reason: orNull(o.reason), lane: orNull(o.lane), json: o.json }),
      ),
    ),
).pipe(Command.withDescription("What is parked, by reason; with --reason one by one."));

const parkedShow = Command.make("show", { id: idArgument, json }, (o) =>
  Effect.flatMap(site, (shared) =>
    run(
      () => import("./parked.ts"),
      (m, io) => m.show(io, { site: shared, id: o.id, json: o.json }),
    ),
  ),
).pipe(Command.withDescription("Why this one is parked, what came before, and as what it came."));

const decision = {
  ids: Argument.String("ID").pipe(
    Argument.withDescription("One or several, as for orrery why"),
    Argument.variadic(),
  ),
  reason: reasonFlag,
  lane: text("lane", "LANE", "With --reason or --all: only this lane"),
  all: toggle("all", "Everything that is parked"),
  yes: toggle("yes", "Said with --all: yes, everything"),
  json,
};

const parkedReplay = Command.make(
  "replay",
  { ...decision, note: text("note", "TEXT", "Kept in its history") },
  (o) =>
    Effect.flatMap(site, (shared) =>
      run(
        () => import("./parked.ts"),
        (m, io) =>
          m.decide(io, "replay", {
            ...o,
            site: shared,
            reason: orNull(o.reason),
            lane: orNull(o.lane),
            note: orNull(o.note),
          }),
      ),
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

const parkedDiscard = Command.make(
  "discard",
  { ...decision, note: text("note", "TEXT", "Why; required, kept in its history") },
  (o) =>
    Effect.flatMap(site, (shared) =>
      run(
        () => import("./parked.ts"),
        (m, io) =>
          m.decide(io, "discard", {
            ...o,
            site: shared,
            reason: orNull(o.reason),
            lane: orNull(o.lane),
            note: orNull(o.note),
          }),
      ),
    ),
).pipe(
  Command.withDescription("Give up for good. The record stays, with the note; content that was refused is dropped."),
  Command.withShortDescription("Give up for good"),
  Command.withExamples([{ command: 'orrery parked discard --reason HeaderUnreadable --note "test images"' }]),
);

const parked = Command.make("parked").pipe(
  Command.withDescription("What was given up on, and what is decided about it."),
  Command.withShortDescription("Given up on: ls, show, replay, discard"),
  Command.withSubcommands([parkedList, parkedShow, parkedReplay, parkedDiscard]),
  Command.withExamples([
    { command: "orrery parked ls" },
    { command: "orrery parked replay --reason StorageUnavailable" },
  ]),
);

const why = Command.make(
  "why",
  {
    id: idArgument,
    partition: Argument.String("EXPOSURE").pipe(
      Argument.withDescription("With a job's name as the ID: the exposure that is meant"),
      Argument.optional,
    ),
    json,
  },
  (o) =>
    Effect.flatMap(site, (shared) =>
      run(
        () => import("./why.ts"),
        (m, io) => m.why(io, { site: shared, id: o.id, partition: orNull(o.partition), json: o.json }),
      ),
    ),
).pipe(
  Command.withDescription(
    "The whole history of a file, a run or an item in words: every arrival, crash and retry, where it stands, what happens next.",
  ),
  Command.withShortDescription("The whole story of one thing"),
  Command.withExamples([
    { command: "orrery why MC_O_20251121_000156_R22_S11.fits", description: "The end of a name is enough" },
    { command: "orrery why s3://demo-raw/LSSTCam/20251121/…" },
    { command: "orrery why quicklook MC_O_20251121_000156", description: "Why has this job not run?" },
  ]),
);

const presence = Command.make(
  "presence",
  {
    instrument: Argument.String("INSTRUMENT"),
    group: Argument.String("GROUP"),
    snap: Argument.String("SNAP"),
    detector: Argument.String("DETECTOR"),
    wait: Flag.Finite("wait").pipe(
      Flag.withMetavar("SECONDS"),
      Flag.withDescription("Wait for it; default 0"),
      Flag.withDefault(0),
    ),
    json,
  },
  (o) =>
    Effect.flatMap(site, (shared) =>
      run(
        () => import("./presence.ts"),
        (m, io) => m.presence(io, { site: shared, ...o }),
      ),
    ),
).pipe(
  Command.withDescription("Is it here? Prints its URI and exits 0, or exits 3 when it is absent."),
  Command.withShortDescription("Is this group here?"),
  Command.withExamples([
    { command: "orrery presence LSSTCam '2025-11-21T03:04:05.678#1' 0 R22_S11 --wait 30" },
  ]),
);

const decode = Command.make("decode", { json: toggle("json", "One line a value") }, (o) =>
  Effect.gen(function* () {
    const io = yield* Io;
    const module = yield* Effect.promise(() => import("./decode.ts"));
    const { CommandFailed } = yield* Effect.promise(() => import("./failures.ts"));
    const exit = yield* Effect.promise(() =>
      module.decode({ out: io.out.write, err: io.err.write, readStdin: io.readStdin }, o),
    );
    if (exit !== 0) return yield* new CommandFailed({ exit, message: "" });
  }),
).pipe(
  Command.withDescription("One message of Orrery's streams, read from stdin, as JSON. What is JSON stays as it is."),
  Command.withShortDescription("MessagePack on stdin to JSON"),
  Command.withExamples([{ command: "nats stream view ARRIVALS --translate 'orrery decode'" }]),
);

const replay = Command.make(
  "replay",
  {
    bucket: Argument.String("BUCKET"),
    prefix: Argument.String("PREFIX").pipe(
      Argument.withDescription("Keys that begin so; default all"),
      Argument.withDefault(""),
    ),
    rate: Flag.Finite("rate").pipe(
      Flag.withMetavar("N"),
      Flag.withDescription("At most N objects a second"),
      Flag.optional,
    ),
    dryRun: toggle("dry-run", "Only tell what would be announced"),
    restart: toggle("restart", "From the beginning, not from where an earlier run stopped"),
    json,
  },
  (o) =>
    Effect.flatMap(site, (shared) =>
      run(
        () => import("./replay.ts"),
        (m, io) => m.replay(io, { ...o, site: shared, rate: orNull(o.rate) }),
      ),
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

const send = Command.make(
  "send",
  {
    actor: Argument.String("ACTOR"),
    id: Argument.String("ID").pipe(Argument.withDescription("Unique a day; the same again changes nothing")),
    body: Argument.String("JSON").pipe(Argument.withDescription("- reads stdin; default null"), Argument.optional),
  },
  (o) =>
    Effect.flatMap(site, (shared) =>
      run(
        () => import("./send.ts"),
        (m, io) => m.send(io, { site: shared, actor: o.actor, id: o.id, body: orNull(o.body) }),
      ),
    ),
).pipe(
  Command.withDescription("Send one item to a claims actor of your own. Returns once it is on disk."),
  Command.withShortDescription("Send an item to an actor of your own"),
  Command.withExamples([{ command: `orrery send thumbnails frame-17 '{"path":"17.fits"}'` }]),
);

const log = Command.make(
  "log",
  {
    run: Argument.String("RUN").pipe(Argument.withDescription("Its name, or the end of it: the hash will do")),
    inputs: toggle("inputs", "The manifest of its inputs instead"),
  },
  (o) =>
    Effect.flatMap(site, (shared) =>
      run(
        () => import("./log.ts"),
        (m, io) => m.log(io, { site: shared, ...o }),
      ),
    ),
).pipe(
  Command.withDescription("What a run's command wrote, of its last try."),
  Command.withShortDescription("A run's log"),
);

export const orrery = root.pipe(
  Command.withDescription(
    "Orrery carries science files from arrival to archive: each known exactly once, looked up at once, its jobs started once.",
  ),
  Command.withSubcommands([
    { group: "Run", commands: [start, check, topology] },
    { group: "Look", commands: [status, stats, why, file, presence, log] },
    { group: "Act", commands: [parked, replay, send] },
    { group: "Tools", commands: [decode] },
  ]),
  Command.withExamples([
    { command: "orrery status --watch" },
    { command: "orrery why MC_O_20251121_000156_R22_S11.fits" },
  ]),
);
