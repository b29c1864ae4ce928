/**
 * The folder of one try whose command runs on another machine, on a file system that both share. It is all that the runner and the
 * command's keeper say to each other:
 *
 * - `ticket.json`  what to run; written whole before anybody is told of it
 * - `begun`        made by whoever comes first, exclusively: the keeper, who then runs the command, or the runner, who takes the try
 *                  back. So the command starts at most once, however often it is dispatched
 * - `beat`         the runner's: a number that changes while it wants the command to go on, then `stop`
 * - `pulse`        the keeper's: the same, with what is told of a running command
 * - `end.json`     how it ended; written whole
 *
 * `beat` and `pulse` are rewritten in place and opened anew for each look, which is what a network file system keeps consistent. Nobody
 * compares clocks: each side only sees, by its own, that the other's file does not change any more.
 */
import { mkdir, open, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { RunEnd, RunProgress, RunTask } from "./RunDriver.ts";

export interface Ticket extends Omit<RunTask, "onProgress" | "leftovers" | "image" | "reads"> {
  readonly v: 1;
  /** How long the command has to end when it is asked to: at its time limit, and when it is not wanted any more. */
  readonly termMs: number;
  readonly interruptMs: number;
  /** A runner that gives no sign of life for this long is gone, and the command is ended. */
  readonly lostMs: number;
}

export type TryEnd =
  | { readonly type: "ended"; readonly end: RunEnd }
  /** The command was ended from outside, because of this. */
  | { readonly type: "stopped"; readonly why: string }
  /** Nothing ran. */
  | { readonly type: "failed"; readonly detail: string };

export interface Pulse extends RunProgress {
  readonly count: number;
}

/** An id that is a name of a folder and nothing else; ids come from outside. */
export const isTryId = (id: string): boolean => /^(?!\.)[\w=.-]{1,200}$/.test(id);

export const stopWord = "stop";

/** The text of a file; null where there is none. */
const textOf = async (path: string): Promise<string | null> => {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw cause;
  }
};

async function writeWhole(path: string, value: unknown): Promise<void> {
  // It holds what a job is told in secret.
  await writeFile(`${path}.new`, JSON.stringify(value), { mode: 0o600 });
  await rename(`${path}.new`, path);
}

export class TryFolder {
  readonly id: string;
  readonly path: string;

  /** Throws where the id is none. */
  constructor(folder: string, id: string) {
    if (!isTryId(id)) throw new Error(`${JSON.stringify(id.slice(0, 200))} is no id of a try`);
    this.id = id;
    this.path = join(folder, id);
  }

  async write(ticket: Ticket): Promise<void> {
    await mkdir(this.path, { recursive: true, mode: 0o700 });
    await this.beat("0");
    await writeWhole(join(this.path, "ticket.json"), ticket);
  }

  async ticket(): Promise<Ticket | null> {
    const text = await textOf(join(this.path, "ticket.json"));
    return text === null ? null : (JSON.parse(text) as Ticket);
  }

  /** True for exactly one caller, ever. Rejects where the folder is gone. */
  async begin(who: string): Promise<boolean> {
    try {
      const file = await open(join(this.path, "begun"), "wx", 0o600);
      await file.writeFile(who).finally(() => file.close());
      return true;
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === "EEXIST") return false;
      throw cause;
    }
  }

  async begun(): Promise<boolean> {
    return (await textOf(join(this.path, "begun"))) !== null;
  }

  beat(word: string): Promise<void> {
    return writeFile(join(this.path, "beat"), word, { mode: 0o600 });
  }

  lastBeat(): Promise<string | null> {
    return textOf(join(this.path, "beat"));
  }

  pulse(pulse: Pulse): Promise<void> {
    return writeFile(join(this.path, "pulse"), JSON.stringify(pulse), { mode: 0o600 });
  }

  /** As it stands in the file; null where there is none. It may be half written. */
  lastPulse(): Promise<string | null> {
    return textOf(join(this.path, "pulse"));
  }

  finish(end: TryEnd): Promise<void> {
    return writeWhole(join(this.path, "end.json"), end);
  }

  async end(): Promise<TryEnd | null> {
    const text = await textOf(join(this.path, "end.json"));
    return text === null ? null : (JSON.parse(text) as TryEnd);
  }

  remove(): Promise<void> {
    return rm(this.path, { recursive: true, force: true, maxRetries: 3 });
  }
}

/** What a pulse says, where it is whole. */
export function progressOf(text: string | null): RunProgress | null {
  try {
    return text === null ? null : (JSON.parse(text) as Pulse);
  } catch {
    // Half written: the next look finds it whole.
    return null;
  }
}
