/** `start`, `check`, `topology` and `demo`: what runs a site, or gets it ready to run. */
import * as Command from "effect/cli/Command";
import * as Flag from "effect/cli/Flag";
import { argument, integer, json, plain, run, siteArgument, text, toggle } from "./spec.ts";

export const start = Command.make(
  "start",
  {
    site: siteArgument,
    node: text("node", "NAME", "This node's name; two nodes of a site need two names"),
    roles: text(
      "roles",
      "A,B",
      "Of the site file's roles those that this node takes; else ORRERY_ROLES, else all",
    ),
    httpPort: integer("http-port", "PORT", "Instead of the site file's; 0 picks a free one").pipe(
      Flag.optional,
    ),
    readyFile: text("ready-file", "FILE", "Written, as JSON, once every actor is ready"),
  },
  (given) =>
    run(
      () => import("./start.ts"),
      (module, io, site) => {
        const options = plain(given);
        return module.start(io, { ...options, site: options.site ?? site });
      },
    ),
).pipe(
  Command.withDescription("Run a node of a site until SIGTERM or ^C. Its log goes to stderr."),
  Command.withShortDescription("Run a node of a site"),
  Command.withExamples([
    { command: "orrery start site.yaml", description: "The node that the site file names" },
    { command: "orrery start site.yaml --node b --http-port 0", description: "A second one beside it" },
    {
      command: "orrery start site.yaml --roles enqueuer,presence",
      description: "Only what is asked from outside",
    },
  ]),
);

export const runTask = Command.make(
  "run-task",
  {
    folder: Flag.String("folder").pipe(
      Flag.withMetavar("FOLDER"),
      Flag.withDescription("Where runners leave their tickets"),
    ),
    file: argument("FILE", "Holds the try's id: the payload of the dispatched job"),
  },
  (given) =>
    run(
      () => import("./runTask.ts"),
      (module, io) => module.runTask(io, given),
    ),
).pipe(
  Command.withDescription(
    "Run the command of one try on a machine of a cluster, for the runner that dispatched it. At most once, whoever asks.",
  ),
  Command.withShortDescription("Run what a runner dispatched to a cluster"),
  Command.withExamples([{ command: "orrery run-task --folder /scratch/orrery/nomad local/try" }]),
);

export const check = Command.make(
  "check",
  { site: siteArgument, schema: toggle("schema", "Print the JSON Schema of site files, for editors"), json },
  (given) =>
    run(
      () => import("./check.ts"),
      (module, io, site) => {
        const options = plain(given);
        return module.check(io, { ...options, site: options.site ?? site });
      },
    ),
).pipe(
  Command.withDescription("Read a site file and tell everything that is wrong with it, each with its fix."),
  Command.withShortDescription("Check a site file"),
  Command.withExamples([
    { command: "orrery check site.yaml" },
    {
      command: "orrery check --schema > site.schema.json",
      description: "Completion and checks in an editor",
    },
  ]),
);

const target = {
  site: siteArgument,
  supernode: text("supernode", "NAME", "Of this supernode, instead of a site's"),
  dir: text("dir", "FOLDER", "Where deployments are kept; default ./sites"),
};
const lose = text(
  "lose",
  "A,B",
  "Assets, by the names that the plan tells, of which what is stored may be lost: KV_presence, ARRIVALS/ingest-raw",
);

/** The site's file as an argument, as --site, or as everywhere else; none where a supernode is spoken of. */
const named = <O extends { readonly site: string | null; readonly supernode: string | null }>(
  options: O,
  site: string | null,
): O => ({ ...options, site: options.site ?? (options.supernode === null ? site : null) });

const plan = Command.make("plan", { ...target, lose, json }, (given) =>
  run(
    () => import("./topology.ts"),
    (module, io, site) => module.plan(io, named(plain(given), site)),
  ),
).pipe(
  Command.withDescription(
    "Tell what differs: what is missing, what is set otherwise, what is not wanted any more, credentials of an earlier table. Exit 0: nothing; 3: something would be changed.",
  ),
  Command.withShortDescription("Tell what differs"),
);

const apply = Command.make("apply", { ...target, lose, json }, (given) =>
  run(
    () => import("./topology.ts"),
    (module, io, site) => module.apply(io, named(plain(given), site)),
  ),
).pipe(
  Command.withDescription(
    "Make it so. A change that would lose what is stored is not made, and told, unless --lose names the asset.",
  ),
  Command.withShortDescription("Make it so"),
);

const destroy = Command.make(
  "destroy",
  {
    ...target,
    yes: text(
      "yes",
      "NAME",
      "The name of the site or supernode, to do it; without it is only told what would be lost",
    ),
    whileNodesRun: toggle("while-nodes-run", "Also while nodes of it are alive"),
    json,
  },
  (given) =>
    run(
      () => import("./topology.ts"),
      (module, io, site) => module.destroy(io, named(plain(given), site)),
    ),
).pipe(
  Command.withDescription(
    "End all streams and buckets that Orrery made there, with what is in them. Streams of others, keys, credentials and buckets of files stay.",
  ),
  Command.withShortDescription("End what Orrery made there"),
);

export const topology = Command.make("topology").pipe(
  Command.withDescription(
    "Streams, buckets, consumers, sources and credentials of a site, or of the supernode, against what is needed.",
  ),
  Command.withShortDescription("Streams, buckets, …: plan, apply, destroy"),
  Command.withSubcommands([plan, apply, destroy]),
  Command.withExamples([
    { command: "orrery topology plan site.yaml" },
    { command: "orrery topology apply site.yaml" },
    { command: "orrery topology plan --supernode hub" },
    { command: "orrery topology destroy site.yaml --yes summit" },
  ]),
);

export const demo = Command.make(
  "demo",
  {
    once: toggle("once", "End when it is over: 0 when everything is accounted for, else 1"),
    plain: toggle("plain", "Lines instead of the live view"),
    exposures: integer("exposures", "N", "Exposures of the night, at least 8; default 30").pipe(
      Flag.optional,
    ),
    seed: integer("seed", "N", "Of the images; default 1").pipe(Flag.optional),
    days: integer("days", "N", "Days of a mission that is played for the first time; default 3").pipe(
      Flag.optional,
    ),
  },
  (given) =>
    run(
      () => import("./demo.ts"),
      (module, io, site) => module.demo(io, { ...plain(given), site }),
    ),
).pipe(
  Command.withDescription(
    "Play a short night on a site of its own, on this machine, everything under ./.orrery: files arrive, become known, start a job; a node is killed on the way. With --site config/imap.yaml some days of a mission: raw packets arrive, its jobs run through all levels. Any other site is just started.",
  ),
  Command.withShortDescription("Play a short night on this machine"),
  Command.withExamples([
    { command: "orrery demo" },
    { command: "orrery demo --once" },
    { command: "orrery demo --site config/imap.yaml --once", description: "A mission's pipeline" },
  ]),
);
