/** What a command says, up to a limit, in a file: the rest is read on, or the command would hang, counted, and dropped. */
import type { Readable } from "node:stream";
import { createWriteStream } from "node:fs";
import { once } from "node:events";

const tailBytes = 4_096;
const lastLineMax = 200;

export interface LogEnd {
  readonly bytes: number;
  readonly lastLine: string;
  /** Why the file is not complete, other than by its limit; null when it is. */
  readonly fault: string | null;
}

export interface BoundedLog {
  /** Ends with the source, or at once when asked to; then the file is closed. */
  readonly end: Promise<LogEnd>;
  /** The last line so far that is not blank. */
  readonly lastLine: () => string;
  readonly cut: () => void;
}

export function boundedLog(source: Readable, file: string, bytesMax: number): BoundedLog {
  const out = createWriteStream(file);
  let bytes = 0;
  let tail = Buffer.alloc(0);
  let fault: string | null = null;
  out.on("error", (error) => {
    fault = error.message;
    source.resume();
  });
  out.on("drain", () => source.resume());
  source.on("data", (chunk: Buffer) => {
    const room = bytesMax - bytes;
    bytes += chunk.length;
    tail = Buffer.concat([tail, chunk.subarray(-tailBytes)]).subarray(-tailBytes);
    if (room > 0 && fault === null && !out.write(chunk.subarray(0, room))) source.pause();
  });
  const over = new Promise<void>((resolve) => {
    source.once("close", resolve);
    source.once("error", () => resolve());
  });
  const finish = async (): Promise<LogEnd> => {
    await over;
    if (fault === null) {
      const closed = once(out, "close");
      out.end(bytes > bytesMax ? `\n[cut off here: ${bytes - bytesMax} more bytes were written]\n` : "");
      // A file that cannot be closed has told why by its error already.
      await closed.catch(() => undefined);
    }
    return { bytes, lastLine: lastLineOf(tail), fault };
  };
  return { end: finish(), lastLine: () => lastLineOf(tail), cut: () => source.destroy() };
}

/** The last that is not blank, clipped. */
export function lastLineOf(tail: Buffer): string {
  const lines = tail.toString("utf8").split("\n");
  const last = lines.findLast((line) => line.trim() !== "")?.trim() ?? "";
  return last.length <= lastLineMax ? last : `${last.slice(0, lastLineMax - 1)}…`;
}
