/** Keys of a directory tree, in the order in which S3 lists them. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";

interface Entry {
  /** Key of a file, or of a directory with a slash at its end: so sorting entries sorts all keys below them. */
  readonly key: string;
  readonly directory: boolean;
}

/**
 * At most `max` keys below `directory` that begin with `prefix` and come after `after`, by the bytes of their UTF-8.
 * Only directories that can hold such keys are read. Symbolic links and the directory named `hidden` are left out.
 */
export async function listKeys(
  directory: string,
  prefix: string,
  after: string,
  max: number,
  hidden: string,
): Promise<ReadonlyArray<string>> {
  const keys: Array<string> = [];
  // Depth first, the next in order on top. Holds what is left of each directory on the way down, no more.
  const open: Array<Entry> = await entriesOf(directory, "", hidden);
  for (let entry = open.pop(); entry !== undefined && keys.length < max; entry = open.pop()) {
    if (!entry.directory) {
      if (entry.key.startsWith(prefix) && compare(entry.key, after) > 0) keys.push(entry.key);
    } else if (mayHold(entry.key, prefix) && mayFollow(entry.key, after)) {
      open.push(...(await entriesOf(directory, entry.key, "")));
    }
  }
  return keys;
}

function compare(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

function mayHold(directory: string, prefix: string): boolean {
  return directory.startsWith(prefix) || prefix.startsWith(directory);
}

/** False when every key below the directory sorts before `after`. */
function mayFollow(directory: string, after: string): boolean {
  return after.startsWith(directory) || compare(directory, after) > 0;
}

/** In descending order: the last is the next. */
async function entriesOf(root: string, parent: string, hidden: string): Promise<Array<Entry>> {
  const entries: Array<Entry> = [];
  try {
    for (const entry of await readdir(join(root, parent), { withFileTypes: true })) {
      if (entry.name === hidden) continue;
      if (entry.isDirectory()) entries.push({ key: `${parent}${entry.name}/`, directory: true });
      else if (entry.isFile()) entries.push({ key: parent + entry.name, directory: false });
    }
  } catch (cause) {
    const gone = cause instanceof Error && "code" in cause && cause.code === "ENOENT" && parent !== "";
    // Removed since its parent was read: it holds nothing.
    if (!gone) throw cause;
  }
  return entries.sort((a, b) => compare(b.key, a.key));
}
