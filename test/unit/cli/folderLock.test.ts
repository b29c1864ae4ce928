/** One command at a time changes a folder of deployments. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { changing } from "../../../src/cli/folderLock.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "orrery-lock-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

it("the later waits for the former, also where that one fails, and nothing is left behind", async () => {
  const order: Array<string> = [];
  const end = Promise.withResolvers<never>();
  const first = changing(root, () => {
    order.push("first");
    return end.promise;
  });
  first.catch(() => undefined);
  while (order.length === 0) await new Promise(setImmediate);
  const second = changing(root, async () => order.push("second"));
  await new Promise(setImmediate);
  expect(order).toEqual(["first"]);
  end.reject(new Error("no"));
  await second;
  await expect(first).rejects.toThrow("no");
  expect([order, existsSync(join(root, ".lock"))]).toEqual([["first", "second"], false]);
});

it("one that a killed command left is told, with whose it is and what to do, and not taken", async () => {
  const lock = join(root, ".lock");
  writeFileSync(lock, "process 1 on elsewhere");
  const failure = await changing(root, async () => "done", 0).catch((cause: unknown) => String(cause));
  expect(failure).toContain("process 1 on elsewhere");
  expect(failure).toContain(`remove ${lock}`);
  expect(existsSync(lock)).toBe(true);
});

it("of a folder that is not there the work itself tells", async () => {
  expect(await changing(join(root, "none"), async () => "told")).toBe("told");
});
