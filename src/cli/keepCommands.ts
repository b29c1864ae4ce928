/** `backup`, `restore` and `ledger`: keeping a site's data apart from its server, and telling whether two lives of it agree. */
import * as Command from "effect/cli/Command";
import * as Flag from "effect/cli/Flag";
import * as Argument from "effect/cli/Argument";
import { argument, integer, json, plain, run, toggle } from "./spec.ts";

const folder = argument("DIR", "Folder of the backup");

export const backup = Command.make(
  "backup",
  { dir: folder, verify: toggle("verify", "Read a backup, and tell which of its files are damaged"), json },
  (given) =>
    run(
      () => import("./backup.ts"),
      (module, io, site) => module.backup(io, { ...plain(given), site }),
    ),
).pipe(
  Command.withDescription(
    "Keep a copy of the site's streams and buckets, object store included, in a new folder: one archive each, with checksums. Nodes may go on meanwhile.",
  ),
  Command.withShortDescription("Keep a copy of a site's streams and buckets"),
  Command.withExamples([
    { command: "orrery backup /backups/summit-20251121" },
    { command: "orrery backup /backups/summit-20251121 --verify" },
  ]),
);

export const restore = Command.make(
  "restore",
  {
    dir: folder,
    replace: toggle("replace", "Put it in the place of streams that hold something"),
    json,
  },
  (given) =>
    run(
      () => import("./restore.ts"),
      (module, io, site) => module.restore(io, { ...plain(given), site }),
    ),
).pipe(
  Command.withDescription(
    "Make the site's streams and buckets what a backup holds. Checked whole before anything is written; refused while nodes are alive.",
  ),
  Command.withShortDescription("Make a site what a backup holds"),
  Command.withExamples([{ command: "orrery restore /backups/summit-20251121" }]),
);

const save = Command.make("save", { file: argument("FILE", "Where to"), json }, (given) =>
  run(
    () => import("./ledger.ts"),
    (module, io, site) => module.save(io, { ...plain(given), site }),
  ),
).pipe(
  Command.withDescription("Write down which records the ledger holds, and what they say, one a line."),
  Command.withShortDescription("Write down what a site knows"),
);

const compare = Command.make(
  "compare",
  {
    before: argument("BEFORE", "A ledger that was saved"),
    after: argument("AFTER", "Another; default: the site as it is now").pipe(Argument.optional),
    limit: integer("limit", "N", "Differences that are named; default 50").pipe(Flag.optional),
    json,
  },
  (given) =>
    run(
      () => import("./ledger.ts"),
      (module, io, site) => module.compare(io, { ...plain(given), site }),
    ),
).pipe(
  Command.withDescription(
    "Hold two ledgers against each other: files, exposures, visits, runs, jobs and items, how they stand and what is in them. Exit 0: they agree; 3: they differ.",
  ),
  Command.withShortDescription("Whether a site knows the same as before"),
);

export const ledger = Command.make("ledger").pipe(
  Command.withDescription("What a site knows, for holding it against what it knew: save, compare."),
  Command.withShortDescription("What a site knows: save, compare"),
  Command.withSubcommands([save, compare]),
  Command.withExamples([
    { command: "orrery ledger save before" },
    { command: "orrery ledger compare before" },
  ]),
);
