/** A disk of its own, in memory, that a test can fill. Only root may mount one, and only on Linux. */
import { execFileSync } from "node:child_process";
import { mkdirSync, statfsSync } from "node:fs";

/** Nothing of it is used before it is written. */
const sizeMiB = 2_048;
const fillTriesMax = 20;
const mounted = new Set<Disk>();
process.on("exit", () => {
  for (const disk of mounted) disk.unmount();
});

export class Disk {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  /** Null where this user may not mount one. */
  static mount(folder: string): Disk | null {
    mkdirSync(folder, { recursive: true });
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", `size=${sizeMiB}m`, "tmpfs", folder], { stdio: "ignore" });
    } catch {
      // Not root, or no such mount: whoever asked does without.
      return null;
    }
    const disk = new Disk(folder);
    mounted.add(disk);
    return disk;
  }

  /** From now on hardly a byte more can be stored: the disk is as large as what is on it. */
  fill(): void {
    // Somebody may be writing meanwhile, and no disk can be smaller than what is on it.
    for (let tries = 1; ; tries++) {
      const { bsize, blocks, bfree } = statfsSync(this.folder);
      try {
        return this.#resize(`${Math.ceil(((blocks - bfree + tries) * bsize) / 1_024)}k`);
      } catch (cause) {
        if (tries === fillTriesMax) throw cause;
      }
    }
  }

  free(): void {
    this.#resize(`${sizeMiB}m`);
  }

  #resize(size: string): void {
    execFileSync("mount", ["-o", `remount,size=${size}`, this.folder], { stdio: "ignore" });
  }

  unmount(): void {
    if (mounted.delete(this)) execFileSync("umount", ["-l", this.folder], { stdio: "ignore" });
  }
}
