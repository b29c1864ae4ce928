/** The folder that a backup is written into. */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { openFolder } from "../../../src/cli/backupFolder.ts";

let disk: string;
beforeEach(() => (disk = mkdtempSync(join(tmpdir(), "orrery-disk-"))));
afterEach(() => rmSync(disk, { recursive: true, force: true }));

it("is made, or taken up; the folders above it are not, as where a disk is not mounted", async () => {
  const folder = join(disk, "summit");
  await openFolder(folder);
  expect(existsSync(folder)).toBe(true);
  writeFileSync(join(folder, "KV_ledger.archive"), "unfinished");
  await openFolder(folder);
  expect(existsSync(join(folder, "KV_ledger.archive"))).toBe(false);

  const gone = join(disk, "not", "mounted", "summit");
  await expect(openFolder(gone)).rejects.toMatchObject({
    exit: 2,
    message: `${join(disk, "not", "mounted")} is not there: make it, or mount the disk that it is on`,
  });
  expect(existsSync(join(disk, "not"))).toBe(false);

  mkdirSync(join(disk, "other"));
  writeFileSync(join(disk, "other", "theirs"), "");
  await expect(openFolder(join(disk, "other"))).rejects.toMatchObject({ exit: 2 });
});
