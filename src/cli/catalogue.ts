/** `orrery jobs import|lint|graph`: the catalogue of jobs, in the mission's own form or ours. */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import * as Effect from "effect/Effect";
import { judgeCatalogue } from "../config/judgeCatalogue.ts";
import type { Judged } from "../config/judgeCatalogue.ts";
import { errorCode } from "../config/references.ts";
import { importedMark, writeInstrument } from "../jobs/catalogueYaml.ts";
import type { Fault } from "../jobs/faults.ts";
import type { GraphFormat } from "../jobs/graph.ts";
import { drawGraph, graphOf } from "../jobs/graph.ts";
import type { MissionJob } from "../jobs/missionFile.ts";
import { CommandFailed, exitCode, failed, misused } from "./failures.ts";
import type { IoService } from "./Io.ts";
import { say, sayJson, tell } from "./Io.ts";
import { findSite, readSite } from "./site.ts";
import { paint } from "./table.ts";
import { plural } from "./words.ts";

/** The faults are told; nothing more is to be said. */
const refused = new CommandFailed({ exit: exitCode.failure, message: "" });

export interface ImportOptions {
  readonly dir: string;
  readonly write: string | null;
  readonly json: boolean;
}

export const importJobs = (io: IoService, options: ImportOptions): Effect.Effect<void, CommandFailed> =>
  Effect.gen(function* () {
    const judged = yield* judge(io, [options.dir]);
    if (judged.mission.length === 0 && judged.jobs.length > 0) {
      return yield* misused(`${options.dir} holds a catalogue of ours: there is nothing to import`);
    }
    const jobs = judged.mission;
    const counts = {
      jobs: jobs.length,
      inputs: jobs.reduce((sum, job) => sum + job.inputs.length, 0),
      outputs: jobs.reduce((sum, job) => sum + job.outputs.length, 0),
    };
    const { errors, warnings } = sorted(judged.faults);
    if (options.json)
      sayJson(io, { ...counts, refused: errors.map(forJson), warnings: warnings.map(forJson) });
    else {
      sayFaults(io, judged.faults);
      const what = [
        plural(counts.jobs, "job"),
        plural(counts.inputs, "input"),
        plural(counts.outputs, "output"),
        `${errors.length} refused`,
        plural(warnings.length, "warning"),
      ];
      say(io, `${options.dir}: ${what.join(", ")}`);
    }
    if (errors.length > 0) {
      if (options.write !== null) tell(io, "nothing was written: something was refused");
      return yield* refused;
    }
    if (options.write !== null) yield* write(io, options.write, jobs);
    return undefined;
  });

/** One file an instrument. A file that somebody wrote by hand is left alone, and so is everything then. */
function write(
  io: IoService,
  folder: string,
  jobs: ReadonlyArray<MissionJob>,
): Effect.Effect<void, CommandFailed> {
  return Effect.suspend(() => {
    const instruments = [...new Set(jobs.map((job) => job.source))];
    const files = instruments.map((instrument) => ({
      path: resolve(io.cwd, folder, `${instrument}.yaml`),
      name: join(folder, `${instrument}.yaml`),
      text: writeInstrument(
        instrument,
        jobs.filter((job) => job.source === instrument),
      ),
    }));
    try {
      const own = files.find(
        ({ path }) => existsSync(path) && !readFileSync(path, "utf8").startsWith(importedMark),
      );
      if (own !== undefined) {
        return Effect.fail(
          failed(
            `${own.name} was not written by an import: nothing was written. Move it, or write elsewhere`,
          ),
        );
      }
      mkdirSync(resolve(io.cwd, folder), { recursive: true });
      for (const { path, text } of files) {
        writeFileSync(`${path}.new`, text);
        renameSync(`${path}.new`, path);
      }
    } catch (error) {
      return Effect.fail(failed(`${folder} could not be written (${errorCode(error)})`));
    }
    tell(io, `wrote ${plural(files.length, "file")} to ${folder}`);
    if (!existsSync(resolve(io.cwd, folder, "catalogue.yaml"))) {
      tell(
        io,
        `${join(folder, "catalogue.yaml")} is not there yet: it names these files; docs/catalogue.md shows one`,
      );
    }
    return Effect.void;
  });
}

export interface LintOptions {
  readonly paths: ReadonlyArray<string>;
  readonly site: string | null;
  readonly json: boolean;
}

export const lint = (io: IoService, options: LintOptions): Effect.Effect<void, CommandFailed> =>
  Effect.gen(function* () {
    const paths = options.paths.length > 0 ? options.paths : [yield* ofSite(io, options.site)];
    const judged = yield* judge(io, paths);
    const { errors, warnings } = sorted(judged.faults);
    const ok = errors.length === 0;
    if (options.json) {
      sayJson(io, {
        ok,
        files: judged.files.length,
        jobs: judged.jobs.length,
        errors: errors.map(forJson),
        warnings: warnings.map(forJson),
      });
    } else {
      sayFaults(io, judged.faults);
      const found = [plural(errors.length, "error"), plural(warnings.length, "warning")].join(", ");
      say(io, `${plural(judged.jobs.length, "job")} in ${plural(judged.files.length, "file")}: ${found}`);
    }
    if (!ok) yield* refused;
  });

export interface GraphOptions {
  readonly path: string | null;
  readonly instrument: string | null;
  readonly format: GraphFormat;
  readonly site: string | null;
}

export const graph = (io: IoService, options: GraphOptions): Effect.Effect<void, CommandFailed> =>
  Effect.gen(function* () {
    const path = options.path ?? (yield* ofSite(io, options.site));
    const judged = yield* judge(io, [path]);
    const instruments = [...new Set(judged.jobs.map((job) => job.instrument))];
    if (options.instrument !== null && !instruments.includes(options.instrument)) {
      const known = instruments.length === 0 ? "none" : instruments.join(", ");
      return yield* misused(`no job is of the instrument ${options.instrument}; there are ${known}`);
    }
    const { errors } = sorted(judged.faults);
    if (errors.length > 0)
      tell(io, `${plural(errors.length, "error")} in it: orrery jobs lint ${path} tells them`);
    const { isProduct } = judged;
    io.out.write(
      drawGraph(graphOf(judged.jobs, { instrument: options.instrument, isProduct }), options.format),
    );
    return undefined;
  });

function judge(io: IoService, paths: ReadonlyArray<string>): Effect.Effect<Judged, CommandFailed> {
  return Effect.suspend(() => {
    // Files are named as they were given where that leads to them, which it does from the current folder alone.
    const named = paths.map((path) => (io.cwd === process.cwd() ? path : resolve(io.cwd, path)));
    const judgement = judgeCatalogue(named, io.env);
    return judgement.ok ? Effect.succeed(judgement.judged) : Effect.fail(misused(judgement.message));
  });
}

/** The catalogue of the site that is spoken of. */
const ofSite = (io: IoService, named: string | null): Effect.Effect<string, CommandFailed> =>
  Effect.gen(function* () {
    const { file } = yield* findSite(io, named);
    const { site } = yield* readSite(io, file);
    if (site.catalogue !== null) return site.catalogue.file;
    return yield* misused(`the site ${file} has no catalogue of jobs: name a folder or a file`);
  });

interface Sorted {
  readonly errors: ReadonlyArray<Fault>;
  readonly warnings: ReadonlyArray<Fault>;
}

const sorted = (faults: ReadonlyArray<Fault>): Sorted => ({
  errors: faults.filter((fault) => fault.severity === "error"),
  warnings: faults.filter((fault) => fault.severity === "warning"),
});

const forJson = ({ at, rule, job, message, fix }: Fault) => ({
  file: at.file,
  line: at.line,
  rule,
  job,
  message,
  fix,
});

function sayFaults(io: IoService, faults: ReadonlyArray<Fault>): void {
  for (const fault of faults) {
    const mark = paint(io.out.color, fault.severity === "error" ? "red" : "yellow", fault.severity);
    const job = fault.job === null ? "" : ` ${paint(io.out.color, "bold", fault.job)}`;
    say(io, `${fault.at.file}:${fault.at.line}: ${mark}${job} (${fault.rule})`);
    say(io, `  ${fault.message}`);
    if (fault.severity === "error") say(io, `  fix: ${fault.fix}`);
  }
  if (faults.length > 0) say(io, "");
}
