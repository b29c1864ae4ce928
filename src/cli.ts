/** The `orrery` command. Parsing and the commands are in cli/; this is what belongs to a process: signals, pipes, exit. */
import { realpathSync } from "node:fs";
import { constants } from "node:os";
import { processIo } from "./cli/terminal.ts";

/** A command that was told to stop and has not after this is ended. */
const stopMsMax = 15_000;

/** Runs the command and ends the process with its exit code. */
export function main(argv: ReadonlyArray<string>): void {
  void run(argv);
}

async function run(argv: ReadonlyArray<string>): Promise<void> {
  const io = processIo();
  // `nats stream view` runs this once a message: it does not wait for the rest of the program.
  if (argv[0] === "decode" && argv.every((word, i) => i === 0 || word === "--json")) {
    const { decode } = await import("./cli/decode.ts");
    leaveWhenUnread(
      () => process.exit(0),
      (error) => {
        io.err.write(`orrery decode: ${unwrittenWords(error)}\n`);
        process.exit(1);
      },
    );
    process.exitCode = await decode(
      { out: io.out.write, err: io.err.write, readStdin: io.readStdin },
      { json: argv.length > 1 },
    ).catch((cause: unknown) => {
      io.err.write(`orrery decode: ${cause instanceof Error ? cause.message : String(cause)}\n`);
      return 1;
    });
    return;
  }
  const { runCommand } = await import("./cli/program.ts");
  const command = runCommand(argv, io);
  let signalled: NodeJS.Signals | null = null;
  let unread: "no error" | "an error" | null = null;
  const leave = (error: NodeJS.ErrnoException | null): void => {
    if (io.run.survivesClosedOutput || unread !== null) return;
    unread = error === null ? "no error" : "an error";
    if (error !== null) io.err.write(`orrery: ${unwrittenWords(error)}\n`);
    command.interrupt();
  };
  leaveWhenUnread(() => leave(null), leave);
  const stop = (signal: NodeJS.Signals): void => {
    // Asked twice, the user does not want to wait for anything any more.
    if (signalled !== null) process.exit(128 + constants.signals[signal]);
    signalled = signal;
    if (!io.run.ownSignals) command.interrupt();
    setTimeout(() => {
      io.err.write(`orrery: not stopped within ${stopMsMax / 1_000} s; ended\n`);
      process.exit(1);
    }, stopMsMax).unref();
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, stop);
  const code = await command.exit;
  await Promise.all([written(process.stdout), written(process.stderr)]);
  if (unread !== null) process.exit(unread === "no error" ? 0 : 1);
  if (signalled !== null && code === 130) process.exit(128 + constants.signals[signalled]);
  // Sockets that are still closing must not hold the shell's prompt.
  process.exit(code);
}

/** A pipe holds little: what its reader has not taken yet would be lost by an exit. Also after the reader has gone. */
function written(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    stream.write("", () => resolve());
  });
}

const unwrittenWords = ({ message }: Error): string => `its answer could not be written: ${message}`;

/** `orrery file ls | head`: whoever reads has seen enough, and that is no error. A disk that is full is one. */
function leaveWhenUnread(leave: () => void, broken: (error: NodeJS.ErrnoException) => void): void {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") leave();
    else broken(error);
  });
  // Nobody reads what goes wrong either: nothing can be told.
  process.stderr.on("error", () => undefined);
}

const entry = process.argv[1];
if (entry !== undefined && realpathSync(entry) === import.meta.filename) main(process.argv.slice(2));
