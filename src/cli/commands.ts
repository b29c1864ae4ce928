/**
 * Every command's arguments, flags and help. What a command does is in a file of its own, loaded when it runs: a start
 * of the program costs only what is asked for.
 */
import * as Command from "effect/cli/Command";
import { cancel, parked, regroup, replay, send } from "./actCommands.ts";
import { jobs } from "./jobsCommands.ts";
import { backup, ledger, restore } from "./keepCommands.ts";
import { force, hold, release, reprocess, reprocessing, retry } from "./missionCommands.ts";
import { decode, file, log, presence, stats, status, why } from "./lookCommands.ts";
import { expected, lineage, withdraw } from "./operatorCommands.ts";
import { check, demo, runTask, start, topology } from "./runCommands.ts";
import { site } from "./siteCommands.ts";
import { root } from "./spec.ts";

export const orrery = root.pipe(
  Command.withDescription(
    "Orrery carries science files from arrival to archive: each known exactly once, looked up at once, its jobs started once.",
  ),
  Command.withSubcommands([
    { group: "Run", commands: [start, check, topology, demo] },
    { group: "Look", commands: [status, stats, why, expected, lineage, file, presence, log] },
    { group: "Act", commands: [parked, replay, regroup, cancel, send] },
    {
      group: "Act on a mission's jobs",
      commands: [reprocess, reprocessing, hold, release, force, retry, withdraw],
    },
    { group: "Keep", commands: [backup, restore, ledger] },
    { group: "Tools", commands: [site, jobs, decode, runTask] },
  ]),
  Command.withExamples([
    { command: "orrery status --watch" },
    { command: "orrery why MC_O_20251121_000156_R22_S11.fits" },
  ]),
);
