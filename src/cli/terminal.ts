/** The process's own terminal. Imports nothing at run time: `orrery decode` must start at once. */
import type { Way } from "./way.ts";

export interface Face {
  /** Text as it is, newlines included. */
  readonly write: (text: string) => void;
  readonly color: boolean;
  /** Width in columns; null where it is no terminal: then nothing is cut. */
  readonly columns: () => number | null;
}

/** Set by the command that runs. */
export interface RunMode {
  /** Exit code after SIGINT or SIGTERM; null: 128 and the signal's number. */
  onSignal: number | null;
  /** Goes on when nobody reads its stdout any more. */
  survivesClosedOutput: boolean;
  /** It listens to signals itself, and ends by itself after the first. */
  ownSignals: boolean;
  /** To the servers, once it is known. */
  way?: Way;
}

/** What a command says and reads: answers on stdout, everything else on stderr. */
export interface IoService {
  readonly out: Face;
  readonly err: Face;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** All of stdin, refused above a bound. */
  readonly readStdin: (bytesMax: number) => Promise<Uint8Array>;
  readonly run: RunMode;
}

/** NO_COLOR and FORCE_COLOR as https://no-color.org and Node have them. */
export function wantsColor(env: Readonly<Record<string, string | undefined>>, isTerminal: boolean): boolean {
  if ((env["NO_COLOR"] ?? "") !== "") return false;
  const forced = env["FORCE_COLOR"] ?? "";
  if (forced !== "") return forced !== "0" && forced !== "false";
  return isTerminal && env["TERM"] !== "dumb";
}

interface OutputStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly write: (text: string) => unknown;
}

function face(stream: OutputStream, env: IoService["env"]): Face {
  return {
    write: (text) => void stream.write(text),
    color: wantsColor(env, stream.isTTY === true),
    columns: () => (stream.isTTY === true ? (stream.columns ?? 80) : null),
  };
}

export async function readAll(
  chunks: AsyncIterable<Uint8Array | string>,
  bytesMax: number,
): Promise<Uint8Array> {
  const parts: Array<Uint8Array> = [];
  let size = 0;
  for await (const chunk of chunks) {
    const bytes = typeof chunk === "string" ? Buffer.from(chunk) : chunk;
    size += bytes.length;
    if (size > bytesMax) throw new Error(`stdin has more than ${bytesMax} bytes`);
    parts.push(bytes);
  }
  return Buffer.concat(parts);
}

export function processIo(): IoService {
  return {
    out: face(process.stdout, process.env),
    err: face(process.stderr, process.env),
    env: process.env,
    cwd: process.cwd(),
    readStdin: (bytesMax) => readAll(process.stdin, bytesMax),
    run: { onSignal: null, survivesClosedOutput: false, ownSignals: false },
  };
}
