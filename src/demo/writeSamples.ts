/** Writes the sample files into a directory: `node src/demo/writeSamples.ts samples`. */
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { sampleFiles } from "./samples.ts";

const [directory] = process.argv.slice(2);
if (directory === undefined) {
  process.stderr.write("usage: writeSamples DIRECTORY\n");
  process.exitCode = 2;
} else {
  for (const [name, content] of sampleFiles()) {
    const path = join(directory, name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, content);
    process.stdout.write(`${path} (${content.length} bytes)\n`);
  }
}
