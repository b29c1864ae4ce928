/** Puts sample files where a mission's files arrive: whole, each behind its sidecar, and never twice. What is held back lies beside. */
import { mkdir, rename, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { SampleFile } from "./missionSample.ts";

const isThere = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    (cause: NodeJS.ErrnoException) => {
      if (cause.code === "ENOENT") return false;
      throw cause;
    },
  );

/** The ending of a sidecar stands in the place of the file's own. */
const sidecarOf = (name: string, ending: string): string =>
  `${name.slice(0, name.lastIndexOf("."))}${ending}`;

/** Under another name first: a file that is still being written is none of the watcher's business. */
async function writeWhole(folder: string, name: string, content: string): Promise<void> {
  await writeFile(join(folder, `${name}.part`), content);
  await rename(join(folder, `${name}.part`), join(folder, name));
}

export interface Delivery {
  /** Watched. */
  readonly folder: string;
  /** For what is held back: moved over by hand, it has arrived. */
  readonly heldBack: string;
  /** Ending of sidecars; null where the lane reads none. */
  readonly sidecar: string | null;
}

export async function deliver(delivery: Delivery, files: ReadonlyArray<SampleFile>): Promise<void> {
  await mkdir(delivery.folder, { recursive: true });
  await mkdir(delivery.heldBack, { recursive: true });
  for (const { name, content, range, heldBack } of files) {
    const folder = heldBack === null ? delivery.folder : delivery.heldBack;
    // One that was held back and has been delivered since is where it was put.
    if ((await isThere(join(folder, name))) || (await isThere(join(delivery.folder, name)))) continue;
    if (range !== null) {
      if (delivery.sidecar === null)
        throw new Error(`${name} needs a sidecar for its range, and its lane reads none`);
      await writeWhole(folder, sidecarOf(name, delivery.sidecar), `${JSON.stringify({ range })}\n`);
    }
    await writeWhole(folder, name, content);
  }
}
