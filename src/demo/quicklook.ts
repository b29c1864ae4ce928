/**
 * A job's program: statistics and a picture of one exposure. It knows nothing of Orrery but two variables:
 *
 *   ORRERY_INPUTS    file with a JSON array of inputs: {"path": …} or {"uri": "file://…"}, with "detector" and "key"
 *   ORRERY_OUTPUTS   directory, into which statistics.json and quicklook.png are written
 *
 * Exit 0: both are there. 1: an input cannot be read; nothing is written. 2: started without its variables.
 */
import { join } from "node:path";
import { quicklook } from "./look.ts";

async function main(): Promise<number> {
  const manifest = process.env["ORRERY_INPUTS"];
  const outputs = process.env["ORRERY_OUTPUTS"];
  if (!manifest || !outputs) {
    process.stderr.write("quicklook: set ORRERY_INPUTS (a manifest) and ORRERY_OUTPUTS (a directory)\n");
    return 2;
  }
  try {
    for (const { detector, width, height, median, rms } of await quicklook(manifest, outputs)) {
      const numbers = `median ${median.toFixed(1)}, rms ${rms.toFixed(1)}`;
      process.stdout.write(`${detector}: ${width} x ${height}, ${numbers}\n`);
    }
    process.stdout.write(`written: ${join(outputs, "statistics.json")}, ${join(outputs, "quicklook.png")}\n`);
    return 0;
  } catch (cause) {
    process.stderr.write(`quicklook: ${cause instanceof Error ? cause.message : String(cause)}\n`);
    return 1;
  }
}

process.exitCode = await main();
