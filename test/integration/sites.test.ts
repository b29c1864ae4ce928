/** `npm run sites -- --once`, with few files: the whole of it, as its own process. */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";

const entry = join(import.meta.dirname, "../../src/demo/sites.ts");

it("three sites and a supernode, from keys to equal ledgers", async () => {
  const cwd = mkdtempSync(join(tmpdir(), "orrery-three-"));
  const child = spawn(process.execPath, [entry, "--once", "--files", "200"], {
    cwd,
    stdio: ["ignore", "pipe", "pipe"],
  });
  // Everything it has started ends with it.
  const late = setTimeout(() => child.kill("SIGKILL"), 55_000);
  try {
    let said = "";
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (data: Buffer) => void (said += data.toString()));
    const exit = await new Promise<number | null>((resolve) => child.once("close", (code) => resolve(code)));
    expect([exit, said.trimEnd().split("\n").at(-1)]).toEqual([
      0,
      expect.stringMatching(
        /^600 files of 3 sites are known, each at its site and at the supernode alike, \d+ s after/,
      ),
    ]);
  } finally {
    clearTimeout(late);
    child.kill("SIGKILL");
    rmSync(cwd, { recursive: true, force: true, maxRetries: 5 });
  }
});
