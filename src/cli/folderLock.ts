/**
 * One command at a time changes what a folder of deployments says. Each reads a deployment, and writes it whole: of two that join sites
 * at once the former's would be lost, and a site whose key the supernode's list does not hold could never be put out.
 */
import { existsSync, unlinkSync } from "node:fs";
import { open, readFile, unlink } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { folderLockWaitMs } from "../limits.ts";
import { failed } from "./failures.ts";

const againMs = 20;

/** Whoever has it, in words; empty where it was let go of meanwhile. */
const holder = (file: string): Promise<string> => readFile(file, "utf8").catch(() => "");

async function taken(file: string): Promise<boolean> {
  try {
    const handle = await open(file, "wx");
    await handle.writeFile(`process ${process.pid} on ${hostname()}`).finally(() => handle.close());
    return true;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw cause;
  }
}

/**
 * Rejects where another command has it for too long. One that was killed leaves it behind: it is not taken from whoever seems to be gone,
 * because two that did so would both have it.
 */
export async function changing<A>(
  root: string,
  work: () => Promise<A>,
  waitMs = folderLockWaitMs,
): Promise<A> {
  // Nothing to change: the work says so.
  if (!existsSync(root)) return work();
  const file = join(root, ".lock");
  const until = performance.now() + waitMs;
  while (!(await taken(file))) {
    if (performance.now() > until) {
      throw failed(
        `another command changes ${root} (${await holder(file)}): do it again when that has ended; where it runs no more, remove ${file}`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, againMs));
  }
  const leave = (): void => unlinkSync(file);
  process.once("exit", leave);
  try {
    return await work();
  } finally {
    process.off("exit", leave);
    await unlink(file);
  }
}
