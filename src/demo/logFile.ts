/** The log of one start, in a file: the screen belongs to the view. */
import { closeSync, mkdirSync, openSync, renameSync, writeSync } from "node:fs";
import { join } from "node:path";

const logBytesMax = 64 * 1_048_576;

export interface LogFile {
  readonly path: string;
  /** Written when it returns. Beyond its bound the file takes nothing more. */
  readonly write: (text: string) => void;
  readonly close: () => void;
}

/** `<dataDir>/log/<name>.log`; the one of the start before is kept as `<name>.log.1`. */
export function openLogFile(dataDir: string, name: string): LogFile {
  const folder = join(dataDir, "log");
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${name}.log`);
  try {
    renameSync(path, `${path}.1`);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "ENOENT") throw cause;
  }
  let fd: number | null = openSync(path, "w");
  let bytes = 0;
  return {
    path,
    write: (text) => {
      if (fd === null || bytes > logBytesMax) return;
      bytes += writeSync(fd, text);
    },
    close: () => {
      if (fd !== null) closeSync(fd);
      fd = null;
    },
  };
}
