/** A day of a mission, played for real on the shipped site: embedded server, watched folder, the stand-in processor. */
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { runDemo } from "../../src/demo/demo.ts";
import type { Output } from "../../src/demo/screen.ts";

const folder = mkdtempSync(join(tmpdir(), "orrery-mission-play-"));
const site = join(folder, "config", "imap.yaml");
const data = join(folder, ".orrery", "imap");
afterAll(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));

mkdirSync(join(folder, "config"));
cpSync(new URL("../../config/imap", import.meta.url), join(folder, "config", "imap"), { recursive: true });
const shipped = readFileSync(new URL("../../config/imap.yaml", import.meta.url), "utf8");
writeFileSync(
  site,
  shipped.replace("port: 8687", "port: 0").replace("syncAlways: true", "syncAlways: false"),
);

async function play(): Promise<{ readonly code: number; readonly text: string }> {
  let text = "";
  const output: Output = {
    write: (more) => void (text += more),
    size: () => null,
    color: false,
    unicode: true,
  };
  const code = await runDemo({ site, once: true, plain: true, days: 1, instruments: ["swe"], output });
  return { code, text };
}

const runsOf = (text: string): number => Number(/runs\s+(\d+) of \1 done/.exec(text)?.[1]);

describe("a mission's days", () => {
  it("go through all levels; what is open is what was held back, and goes on when that comes", async () => {
    const first = await play();
    expect([first.code, first.text]).toEqual([0, expect.stringMatching(/✓ everything is made that can be/)]);
    expect(runsOf(first.text)).toBeGreaterThan(10);
    const [, right, of] = /lineage\s+(\d+) of (\d+) inputs/.exec(first.text) ?? [];
    expect(Number(right)).toBeGreaterThan(50);
    expect(right).toBe(of);
    expect(first.text).toMatch(
      /○ spin: gap \S+T12:00:00 to \S+T00:00:00\n[^\n]*_02\.spin\.csv\n[^\n]*swe\/l2\/sci/,
    );

    // The spin data come after all; and meanwhile somebody has changed a product by hand.
    const spin = readdirSync(join(data, "held-back")).find((name) => name.endsWith("_02.spin.csv")) ?? "";
    renameSync(join(data, "held-back", spin), join(data, "files", "delivered", spin));
    const products = readdirSync(join(data, "files", "imap"), { recursive: true, encoding: "utf8" });
    const product = products.find((name) => /imap_swe_l1a_sci_\d{8}_v001\.0001\.cdf$/.test(name)) ?? "";
    const path = join(data, "files", "imap", product);
    writeFileSync(path, readFileSync(path, "utf8").replace(/"sha256": "..../, '"sha256": "0000'));

    const second = await play();
    expect(second.text).not.toMatch(/spin: gap/);
    expect(runsOf(second.text)).toBeGreaterThan(runsOf(first.text));
    expect(second.text.match(/✗ .*/g)).toEqual([
      expect.stringMatching(/imap_swe_l1a_sci_\d{8}_v001\.0001\.cdf was made of another \S+ than is known$/),
      "✗ 1 thing is not as it should be",
    ]);
    expect(second.code).toBe(1);
  });
});
