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
  const late = setTimeout(() => child.kill("SIGKILL"), 220_000);
  try {
    let said = "";
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (data: Buffer) => void (said += data.toString()));
    const exit = await new Promise<number | null>((resolve) => child.once("close", (code) => resolve(code)));
    expect([exit, said.trimEnd().split("\n").at(-1)]).toEqual([
      0,
      expect.stringMatching(
        /^600 files of 3 sites are known, each at its site and at the supernode alike, and present for whoever asks/,
      ),
    ]);
    const places = [...said.matchAll(/ {2}(\w+): asked for 600, (\d+) present/g)].map((found) =>
      [...found].slice(1, 3),
    );
    const everywhere = ["archive", "base", "hub", "summit"].map((place) => [place, "600"]);
    expect(places.toSorted(([a = ""], [b = ""]) => (a < b ? -1 : 1))).toEqual(everywhere);
    // One exposure in ten has the same name at all sites: there each site has its own first.
    expect(said).toContain("summit: asked for 600, 600 present: 240 its own, 360 at other sites");
  } finally {
    clearTimeout(late);
    child.kill("SIGKILL");
    rmSync(cwd, { recursive: true, force: true, maxRetries: 5 });
  }
});
