/** The rebuild drill as people run it, small: a site destroyed and rebuilt from its backup, and from its bucket of files alone. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { drill } from "../../src/demo/drill.ts";

const long = process.env["ORRERY_LONG"] === "1";
const files = long ? 30_000 : 2_400;

it(`${files} files: both ledgers agree with the one that was lost`, async () => {
  const folder = mkdtempSync(join(tmpdir(), "orrery-drill-"));
  const said: Array<string> = [];
  try {
    const { restored, replayed, lacking } = await drill({
      folder,
      files,
      say: (line) => void said.push(line),
    });
    // Files, with an exposure and a visit for ten of them; of twenty exposures a product, its run and its job.
    const records = files + (2 * files) / 10 + 3 * 20;
    for (const end of [restored, replayed]) {
      expect([end.exit, end.stdout.split("\n").at(-2)]).toEqual([
        0,
        expect.stringContaining(`agree in all ${records.toLocaleString("en-US")} records`),
      ]);
    }
    // Some came after the backup began, and were not in it: else the drill would not show that replay brings them.
    expect(lacking).toBeGreaterThan(0);
  } catch (cause) {
    console.log(said.join("\n"));
    throw cause;
  } finally {
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  }
}, 900_000);
