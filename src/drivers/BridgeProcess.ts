/**
 * One life of a bridge: a child process that reads lines and writes lines, in a process group of its own which ends as a whole.
 *
 * The group holds besides it a guard, a few lines of sh with the read end of a pipe whose write end only this process has: when
 * this process is gone, however it went, the guard ends the group. A bridge that ends when its stdin does never needs it.
 * While the guard lives the group's number stays taken, so a signal to the group cannot reach a stranger.
 */
import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import type { Writable } from "node:stream";
import { subprocessErrorBytesMax, subprocessLineBytesMax, subprocessTermGraceMs } from "../limits.ts";

export interface BridgeCommand {
  /** Program and arguments; no shell reads them. */
  readonly command: ReadonlyArray<string>;
  /** Working folder; null: this process's own. */
  readonly cwd: string | null;
  /** Added to the few variables that are inherited. */
  readonly env: Readonly<Record<string, string>>;
}

export type Received =
  | { readonly type: "line"; readonly line: string }
  /** It wrote more than a line may hold. */
  | { readonly type: "overlong" }
  /** Nothing of its group is left; in words, how it ended. */
  | { readonly type: "ended"; readonly how: string };

/** What a program needs of this process's environment. The rest may hold secrets: what a bridge is to have is configured. */
const inherited = ["PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR"];

/** Output that something outside the group still holds open is closed after this. */
const outputCloseMs = 500;

// Plain POSIX sh. The guard is nobody's child (the outer subshell ends at once), so that a bridge which waits for all its
// children does not wait for it. Signals are ignored in the guard only: what exec starts would inherit that.
const guard = `
grace=$1; shift
( (
  trap '' TERM INT HUP
  while read -r line <&3; do :; done
  kill -TERM 0
  sleep $grace
  kill -KILL 0
) </dev/null >/dev/null 2>&1 & )
exec 3<&-
exec "$@"
`;

function environment(command: BridgeCommand): Record<string, string> {
  const env: Record<string, string> = {};
  for (const name of inherited) {
    const value = process.env[name];
    if (value !== undefined) env[name] = value;
  }
  return { ...env, ...command.env };
}

export class BridgeProcess {
  readonly #child: ChildProcess;
  readonly #onStderr: (line: string) => void;
  /** Resolves when nothing of the group is left, with the words of its end. */
  readonly ended: Promise<string>;
  #awaited: ((received: Received) => void) | null = null;
  #how: string | null = null;
  #groupGone = false;
  #stopping: Promise<string> | null = null;
  #out: Array<Buffer> = [];
  #outBytes = 0;
  #error = "";
  #errorLine = "";

  /** @param onStderr gets each line of its stderr */
  constructor(command: BridgeCommand, onStderr: (line: string) => void) {
    this.#onStderr = onStderr;
    const grace = String(subprocessTermGraceMs / 1_000);
    const child = spawn("/bin/sh", ["-c", guard, "orrery-bridge", grace, ...command.command], {
      stdio: ["pipe", "pipe", "pipe", "pipe"],
      // A group of its own; and a terminal's ^C must reach this process first, which then ends the bridge in order.
      detached: true,
      env: environment(command),
      ...(command.cwd === null ? {} : { cwd: command.cwd }),
    });
    this.#child = child;
    // A write that finds nobody is told by the end of the process.
    child.stdin?.on("error", () => undefined);
    child.stdio[3]?.on("error", () => undefined);
    child.stdout?.on("data", (chunk: Buffer) => this.#take(chunk));
    child.stderr?.setEncoding("utf8").on("data", (text: string) => this.#complain(text));
    this.ended = this.#end();
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** True from the moment it has ended or was told to. */
  get isOver(): boolean {
    return this.#how !== null || this.#stopping !== null;
  }

  /** The last that it wrote to stderr, at most `subprocessErrorBytesMax`. */
  get lastWords(): string {
    return this.#error.trim();
  }

  /** The next thing that happens; a line that comes while nobody waits ends the bridge. One caller at a time. */
  receive(): Promise<Received> {
    if (this.#how !== null) return Promise.resolve({ type: "ended", how: this.#how });
    return new Promise((resolve) => {
      this.#awaited = resolve;
    });
  }

  /** Writes one line and waits for what comes of it. */
  request(line: string): Promise<Received> {
    const received = this.receive();
    this.#child.stdin?.write(line);
    return received;
  }

  /** Ends the group: EOF and SIGTERM, SIGKILL after the grace. Resolves when nothing of it is left. */
  stop(): Promise<string> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<string> {
    this.#child.stdin?.end();
    this.#signal("SIGTERM");
    // A process that is stopped (SIGSTOP, a debugger) takes no SIGTERM.
    const timer = setTimeout(() => this.#signal("SIGKILL"), subprocessTermGraceMs);
    const how = await this.ended;
    clearTimeout(timer);
    return how;
  }

  #signal(signal: "SIGTERM" | "SIGKILL"): void {
    if (this.#child.pid === undefined || this.#groupGone) return;
    try {
      process.kill(-this.#child.pid, signal);
    } catch {
      // ESRCH: nothing of the group is left, which is what was wanted.
    }
  }

  async #end(): Promise<string> {
    const child = this.#child;
    // Asked for before the exit: where the pipes close first, both come in one turn.
    const closed = new Promise<void>((resolve) => child.once("close", () => resolve()));
    const how = await new Promise<string>((resolve) => {
      child.once("error", (cause) => resolve(`cannot be started (${cause.message}): is its cwd there?`));
      child.once("exit", (code, signal) =>
        resolve(signal === null ? `ended with exit code ${code}${meaning(code)}` : `was ended by ${signal}`),
      );
    });
    // What it started goes with it, and so does the guard.
    this.#signal("SIGKILL");
    this.#groupGone = true;
    for (const pipe of [child.stdin, child.stdio[3] as Writable | null]) pipe?.destroy();
    if (child.pid !== undefined) {
      const timer = setTimeout(() => {
        child.stdout?.destroy();
        child.stderr?.destroy();
      }, outputCloseMs);
      await closed;
      clearTimeout(timer);
    }
    this.#complain("\n");
    this.#how = how;
    this.#tell({ type: "ended", how });
    return how;
  }

  #tell(received: Received): void {
    const awaited = this.#awaited;
    this.#awaited = null;
    if (awaited !== null) return awaited(received);
    if (received.type !== "ended" && !this.isOver) {
      this.#onStderr("(wrote to stdout without being asked, and is ended for it)");
      void this.stop();
    }
  }

  #take(chunk: Buffer): void {
    let rest = chunk;
    for (let at = rest.indexOf(10); at >= 0; at = rest.indexOf(10)) {
      this.#out.push(rest.subarray(0, at));
      rest = rest.subarray(at + 1);
      const line = Buffer.concat(this.#out);
      this.#out = [];
      this.#outBytes = 0;
      this.#tell(
        line.length > subprocessLineBytesMax ? { type: "overlong" } : { type: "line", line: line.toString() },
      );
    }
    // Beyond the limit the rest of a line is thrown away as it comes; it was told once.
    if (this.#outBytes > subprocessLineBytesMax) return;
    if (rest.length === 0) return;
    this.#out.push(rest);
    this.#outBytes += rest.length;
    if (this.#outBytes > subprocessLineBytesMax) {
      this.#out = [];
      this.#tell({ type: "overlong" });
    }
  }

  #complain(text: string): void {
    this.#error = (this.#error + text).slice(-subprocessErrorBytesMax);
    const lines = (this.#errorLine + text).split("\n");
    this.#errorLine = lines.pop() ?? "";
    while (this.#errorLine.length > subprocessErrorBytesMax) {
      lines.push(this.#errorLine.slice(0, subprocessErrorBytesMax));
      this.#errorLine = this.#errorLine.slice(subprocessErrorBytesMax);
    }
    for (const line of lines) if (line.trim() !== "") this.#onStderr(line.slice(0, subprocessErrorBytesMax));
  }
}

/** What the guard's shell means by these, in words for whoever wrote the command. */
function meaning(code: number | null): string {
  if (code === 127) return " (a program was not found)";
  return code === 126 ? " (a program may not be executed)" : "";
}
