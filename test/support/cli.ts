/** Runs the `orrery` command in this process, with a terminal that remembers. */
import { runCommand } from "../../src/cli/program.ts";
import type { IoService } from "../../src/cli/terminal.ts";
import { said } from "./said.ts";

export interface CliResult {
  readonly exit: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CliOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly stdin?: Uint8Array | string;
  /** null: no terminal. */
  readonly columns?: number | null;
  readonly color?: boolean;
}

export interface CliRun {
  readonly io: IoService;
  readonly stdout: () => string;
  readonly stderr: () => string;
  readonly exit: Promise<number>;
  readonly interrupt: () => void;
  /** Resolves once stdout and stderr together hold this. */
  readonly says: (text: string) => Promise<void>;
}

export function beginCli(argv: ReadonlyArray<string>, options: CliOptions = {}): CliRun {
  let stdout = "";
  let stderr = "";
  const waiting = new Set<{ readonly text: string; readonly resolve: () => void }>();
  const check = (): void => {
    for (const one of waiting) {
      if (!(stdout + stderr).includes(one.text)) continue;
      waiting.delete(one);
      one.resolve();
    }
  };
  const columns = options.columns ?? null;
  const face = (write: (text: string) => void) => ({
    write: (text: string) => {
      write(text);
      check();
    },
    color: options.color ?? false,
    columns: () => columns,
  });
  const io: IoService = {
    out: face((text) => (stdout += text)),
    err: face((text) => (stderr += text)),
    env: options.env ?? {},
    cwd: options.cwd ?? process.cwd(),
    readStdin: async () => Buffer.from(options.stdin ?? ""),
    run: { onSignal: null, survivesClosedOutput: false, ownSignals: false },
  };
  const { exit, interrupt } = runCommand(argv, io);
  return {
    io,
    stdout: () => stdout,
    stderr: () => stderr,
    exit,
    interrupt,
    says: (text) =>
      new Promise((resolve) => {
        waiting.add({ text, resolve });
        check();
      }),
  };
}

export async function runCli(argv: ReadonlyArray<string>, options: CliOptions = {}): Promise<CliResult> {
  const run = beginCli(argv, options);
  const exit = await run.exit;
  said(`orrery ${argv.slice(0, 3).join(" ")}`, `${run.stdout()}\n${run.stderr()}`);
  return { exit, stdout: run.stdout(), stderr: run.stderr() };
}
