/** A day of a mission, played for real on the shipped site: embedded server, watched folder, the stand-in processor, an operator who asks. */
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
import { runCli } from "../support/cli.ts";

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

interface Played {
  readonly code: Promise<number>;
  readonly text: () => string;
  /** Resolves once this was written. */
  readonly says: (what: RegExp) => Promise<RegExpExecArray>;
  readonly stop: () => void;
}

const sayMsMax = 240_000;

function play(once: boolean): Played {
  let text = "";
  const waiting = new Set<() => void>();
  const output: Output = {
    write: (more) => {
      text += more;
      for (const look of waiting) look();
    },
    size: () => null,
    color: false,
    unicode: true,
  };
  const stop = new AbortController();
  const code = runDemo({
    site,
    once,
    plain: true,
    days: 1,
    instruments: ["swe"],
    output,
    signal: stop.signal,
  });
  const says = (what: RegExp) =>
    new Promise<RegExpExecArray>((resolve, reject) => {
      const end = (then: () => void): void => {
        clearTimeout(timer);
        waiting.delete(look);
        then();
      };
      const timer = setTimeout(() => end(() => reject(new Error(`never said ${what}:\n${text}`))), sayMsMax);
      const look = (): void => {
        const found = what.exec(text);
        if (found !== null) end(() => resolve(found));
      };
      waiting.add(look);
      look();
      void code.then((exit) => end(() => reject(new Error(`ended with ${exit}, without ${what}:\n${text}`))));
    });
  return { code, says, text: () => text, stop: () => stop.abort() };
}

const runsOf = (text: string): number => Number(/runs\s+(\d+) of \1 done/.exec(text)?.[1]);
const ask = async (...words: ReadonlyArray<string>): Promise<string> => {
  const { stdout, stderr } = await runCli(words, { env: { ORRERY_SITE: site } });
  return stdout + stderr;
};

describe("a mission's days", () => {
  it("go through all levels; what is open is what was held back, and goes on when that comes", async () => {
    const first = play(false);
    try {
      await first.says(/It stays up/);
      const text = first.text();
      expect(text).toMatch(/✓ everything is made that can be/);
      expect(runsOf(text)).toBeGreaterThan(10);
      const [, right, of] = /lineage\s+(\d+) of (\d+) inputs/.exec(text) ?? [];
      expect(Number(right)).toBeGreaterThan(50);
      expect(right).toBe(of);
      expect(text).toMatch(
        /○ spin: gap \S+T12:00:00 to \S+T00:00:00\n[^\n]*_02\.spin\.csv\n[^\n]*swe\/l2\/sci/,
      );

      const [, day = ""] = /orrery why \S+ (\d{8})/.exec(text) ?? [];
      expect(await ask("why", `imap_swe_l1b_sci_${day}_v001.0001.cdf`)).toContain(
        `run swe/l1b/sci/swe/${day}/`,
      );
      expect(await ask("jobs", "graph", "--instrument", "swe")).toContain("swe/l3/sci");
      // Down to the file that has not come, though two jobs stand between.
      expect(await ask("why", "swe/l3/sci", day)).toMatch(/blocked: needs spin to 24:00, has to 12:00/);
      expect(await ask("expected")).toMatch(/needs spin [^\n]+ 12:00;[^]+swe\/l2\/sci \d{8} {2}blocked/);
      const lineage = await ask("lineage", `imap_swe_l1b_sci_${day}_v001.0001.cdf`);
      for (const name of [`imap_swe_l1a_sci_${day}_v001.0001.cdf`, `imap_swe_l0_raw_${day}_v001.pkts`]) {
        expect(lineage).toContain(name);
      }

      // The spin data come after all.
      const spin = readdirSync(join(data, "held-back")).find((name) => name.endsWith("_02.spin.csv")) ?? "";
      renameSync(join(data, "held-back", spin), join(data, "files", "delivered", spin));
      await first.says(new RegExp(`done +swe/l2/sci ${day}`));
      first.stop();
      expect(await first.code).toBe(0);
    } finally {
      first.stop();
      await first.code;
    }

    // Meanwhile somebody has changed a product by hand.
    const products = readdirSync(join(data, "files", "imap"), { recursive: true, encoding: "utf8" });
    const product = products.find((name) => /imap_swe_l1a_sci_\d{8}_v001\.0001\.cdf$/.test(name)) ?? "";
    const path = join(data, "files", "imap", product);
    writeFileSync(path, readFileSync(path, "utf8").replace(/"sha256": "..../, '"sha256": "0000'));
    const second = play(true);
    const code = await second.code;
    expect(second.text()).not.toMatch(/spin: gap/);
    expect(runsOf(second.text())).toBeGreaterThan(runsOf(first.text()));
    expect(second.text().match(/✗ .*/g)).toEqual([
      expect.stringMatching(/imap_swe_l1a_sci_\d{8}_v001\.0001\.cdf was made of another \S+ than is known$/),
      "✗ 1 thing is not as it should be",
    ]);
    expect(code).toBe(1);
  }, 600_000);
});
