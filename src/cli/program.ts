/** The command line: parses, runs, and turns every end into an exit code. */
import * as Cause from "effect/Cause";
import * as CliConfig from "effect/cli/CliConfig";
import * as CliError from "effect/cli/CliError";
import * as CliOutput from "effect/cli/CliOutput";
import * as Command from "effect/cli/Command";
import * as GlobalFlag from "effect/cli/GlobalFlag";
import type { HelpDoc } from "effect/cli/HelpDoc";
import * as Context from "effect/Context";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Fiber from "effect/Fiber";
import * as FileSystem from "effect/FileSystem";
import * as Path from "effect/Path";
import * as ChildProcessSpawner from "effect/process/ChildProcessSpawner";
import * as Stdio from "effect/Stdio";
import * as Terminal from "effect/Terminal";
import { nearMiss } from "../config/nearMiss.ts";
import { version } from "../node/version.ts";
import { orrery } from "./commands.ts";
import { CommandFailed, exitCode } from "./failures.ts";
import type { IoService } from "./Io.ts";
import { Io } from "./Io.ts";
import { paint } from "./table.ts";
import { harmlessLines, harmlessPainted } from "./words.ts";

/**
 * What the CLI module asks for to be able to prompt, complete paths and run programs. None of our commands does any of it
 * through these; the real services would cost a tenth of a second of every start.
 */
function unused(io: IoService): Context.Context<Command.Environment> {
  const none = (): Effect.Effect<never> => Effect.die(new Error("not used by the orrery command"));
  const terminal = Terminal.make({
    columns: Effect.sync(() => io.out.columns() ?? 80),
    rows: Effect.succeed(24),
    size: none(),
    readInput: none(),
    readLine: none(),
    display: (text: string) => Effect.sync(() => io.out.write(text)),
  });
  return Context.make(Terminal.Terminal, terminal).pipe(
    Context.add(FileSystem.FileSystem, FileSystem.makeNoop({})),
    Context.add(Path.Path, Effect.runSync(Effect.provide(Path.Path, Path.layer))),
    Context.add(ChildProcessSpawner.ChildProcessSpawner, ChildProcessSpawner.make(none)),
    Context.add(
      Stdio.Stdio,
      Stdio.make({
        args: Effect.succeed([]),
        stdin: none() as never,
        stdout: none as never,
        stderr: none as never,
      }),
    ),
  );
}

/** A usage error is one line and the way to help, not a page of help with the error off the screen. */
function presenter(io: IoService): CliOutput.Presenter {
  const formatter = CliOutput.defaultFormatter({
    colors: io.out.color,
    inheritedFlags: "full",
    globalFlags: "none",
  });
  return {
    present: (event) =>
      Effect.sync(() => {
        switch (event._tag) {
          case "Help":
            return io.out.write(`${formatter.formatHelpDoc(trimmed(event.helpDoc))}\n`);
          case "Version":
            return io.out.write(`${event.name} ${event.version}\n`);
          case "InvalidInvocation": {
            const path = event.commandPath.join(" ");
            const mark = paint(io.err.color, "red", "error");
            for (const error of event.errors) {
              const message = withNearest(error, event.helpDoc);
              io.err.write(`${mark} ${harmlessLines(message)}${harmlessLines(siteHint(message))}\n`);
            }
            return io.err.write(`\nusage: ${event.helpDoc.usage}\n       ${path} --help tells more\n`);
          }
        }
      }),
  };
}

/** The module counts a swap of two letters as two slips, and names only what is nearest by that. */
function withNearest(error: CliError.CliError, { subcommands = [] }: HelpDoc): string {
  if (error._tag !== "UnknownSubcommand") return error.message;
  const { subcommand, parent, suggestions } = error;
  const near = nearMiss(
    subcommand,
    subcommands.flatMap(({ commands }) => commands.map(({ name }) => name)),
  );
  const named = near === null || suggestions.includes(near) ? suggestions : [near, ...suggestions];
  return new CliError.UnknownSubcommand({
    subcommand,
    ...(parent === undefined ? {} : { parent }),
    suggestions: [...named],
  }).message;
}

/** Some commands take the site file as an argument, so people try it with the others. */
function siteHint(message: string): string {
  const file = /^Unexpected positional argument: "(.+\.ya?ml)"$/.exec(message)?.[1];
  return file === undefined ? "" : `; a site file goes behind --site: --site ${file}`;
}

/** `--site` does not need to be told on every page of a command that has no site. */
function trimmed(doc: HelpDoc): HelpDoc {
  const path = doc.commandPath ?? [];
  return path.at(-1) === "decode" ? { ...doc, inheritedFlags: [] } : doc;
}

function codeOf(exit: Exit.Exit<void, unknown>, io: IoService): number {
  if (Exit.isSuccess(exit)) return exitCode.ok;
  const { cause } = exit;
  const failure = Cause.findErrorOption(cause);
  if (failure._tag === "None") {
    if (Cause.hasInterruptsOnly(cause)) return io.run.onSignal ?? exitCode.interrupted;
    io.err.write(`orrery: this is a defect of Orrery, please report it\n${Cause.pretty(cause)}\n`);
    return exitCode.failure;
  }
  const error = failure.value;
  if (error instanceof CommandFailed) {
    const words = io.err.color ? harmlessPainted(error.message) : harmlessLines(error.message);
    if (words !== "") io.err.write(`${paint(io.err.color, "red", "orrery:")} ${words}\n`);
    return error.exit;
  }
  if (CliError.isCliError(error)) {
    // Help that was asked for by naming no subcommand is no error.
    return error._tag === "ShowHelp" && error.errors.length === 0 ? exitCode.ok : exitCode.usage;
  }
  io.err.write(`orrery: ${harmlessLines(String(error))}\n`);
  return exitCode.failure;
}

export interface RunningCommand {
  /** The exit code. Never rejects. */
  readonly exit: Promise<number>;
  /** Ends it as ^C does: what it holds is given back before `exit` resolves. */
  readonly interrupt: () => void;
}

/** @param argv arguments behind the program's name */
export function runCommand(argv: ReadonlyArray<string>, io: IoService): RunningCommand {
  const program = Command.runWith(orrery, { version })(argv).pipe(
    Effect.provideService(Io, io),
    Effect.provideService(CliOutput.Presenter, presenter(io)),
    Effect.provideService(
      CliConfig.CliConfig,
      CliConfig.make({ builtIns: [GlobalFlag.Help, GlobalFlag.Version, GlobalFlag.Completions] }),
    ),
    Effect.provideContext(unused(io)),
    Effect.catch((error) =>
      error instanceof CommandFailed && io.run.way !== undefined
        ? Effect.flatMap(
            Effect.promise(() => import("./way.ts")),
            ({ explained }) => Effect.flatMap(explained(io, error), Effect.fail),
          )
        : Effect.fail(error),
    ),
  );
  const fiber = Effect.runFork(program);
  const exit = new Promise<number>((resolve) => {
    fiber.addObserver((end) => resolve(codeOf(end, io)));
  });
  return { exit, interrupt: () => void Effect.runFork(Fiber.interrupt(fiber)) };
}
