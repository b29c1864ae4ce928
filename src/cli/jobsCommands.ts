/** `jobs import`, `jobs lint` and `jobs graph`: what is said of the catalogue of jobs, without a site that runs; and the rest of `jobs`. */
import * as Argument from "effect/cli/Argument";
import * as Command from "effect/cli/Command";
import * as Flag from "effect/cli/Flag";
import { list, needs, preview } from "./operatorCommands.ts";
import { argument, json, plain, run, text } from "./spec.ts";

const importCommand = Command.make(
  "import",
  {
    dir: argument("DIR", "Folder of the mission's dependency files"),
    write: text("write", "OUT", "Write the jobs in our own YAML, one file an instrument, into this folder"),
    json,
  },
  (given) =>
    run(
      () => import("./catalogue.ts"),
      (module, io) => module.importJobs(io, plain(given)),
    ),
).pipe(
  Command.withDescription(
    "Read a mission's own dependency files as they are, and tell what they hold and what is refused. Exit 1 when something is.",
  ),
  Command.withShortDescription("Read a mission's own dependency files"),
  Command.withExamples([
    { command: "orrery jobs import dependencies --json" },
    { command: "orrery jobs import dependencies --write config/imap" },
  ]),
);

const lintCommand = Command.make(
  "lint",
  {
    paths: argument(
      "PATH",
      "Folders or files, in the mission's form or ours; default the site's catalogue",
    ).pipe(Argument.variadic()),
    json,
  },
  (given) =>
    run(
      () => import("./catalogue.ts"),
      (module, io, site) => module.lint(io, { ...given, site }),
    ),
).pipe(
  Command.withDescription(
    "Everything that is wrong with a catalogue of jobs, with file and line: producers that are unknown or two, cycles, jobs that nothing starts, date ranges, wrong indentation. Exit 1 when there is an error.",
  ),
  Command.withShortDescription("Everything that is wrong with a catalogue"),
  Command.withExamples([
    { command: "orrery jobs lint config/imap" },
    { command: "orrery jobs lint dependencies/imap_mag_dependencies.yaml" },
  ]),
);

const graphCommand = Command.make(
  "graph",
  {
    path: argument("PATH", "Folder or file; default the site's catalogue").pipe(Argument.optional),
    instrument: text("instrument", "NAME", "Only its jobs, and those of others that they are tied to"),
    format: Flag.Literals("format", ["mermaid", "dot"]).pipe(
      Flag.withDescription("mermaid (default) or dot"),
      Flag.withDefault("mermaid" as const),
    ),
  },
  (given) =>
    run(
      () => import("./catalogue.ts"),
      (module, io, site) => module.graph(io, { ...plain(given), site }),
    ),
).pipe(
  Command.withDescription(
    "Draw jobs and what flows between them. A dashed line is an input that is not waited for.",
  ),
  Command.withShortDescription("Draw jobs and what flows between them"),
  Command.withExamples([
    { command: "orrery jobs graph config/imap --instrument mag" },
    { command: "orrery jobs graph config/imap --format dot | dot -Tsvg > jobs.svg" },
  ]),
);

export const jobs = Command.make("jobs").pipe(
  Command.withDescription("The catalogue of jobs: what can be made of what, and how its partitions stand."),
  Command.withShortDescription("The catalogue of jobs: import, lint, graph, ls, needs, preview"),
  Command.withSubcommands([importCommand, lintCommand, graphCommand, list, needs, preview]),
  Command.withExamples([{ command: "orrery jobs lint config/imap" }]),
);
