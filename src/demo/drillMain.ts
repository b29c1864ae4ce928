/** `npm run drill`: the rebuild drill on this machine, below ./.orrery/drill. Exit 0 when both rebuilt ledgers agree with the former. */
import { resolve } from "node:path";
import { drill } from "./drill.ts";
import { readCount, readOptions } from "./options.ts";

const say = (line: string): void => void process.stdout.write(`${line}\n`);

const usage = "npm run drill -- [--files N]";
const values = readOptions({ files: { type: "string", default: "6000" } }, usage);
const files = readCount("--files", values.files, 30, 1_000_000, usage);
try {
  const { restored, replayed } = await drill({ folder: resolve(".orrery", "drill"), files, say });
  const agree = restored.exit === 0 && replayed.exit === 0;
  say(
    agree
      ? `a site of ${files} files was rebuilt from its backup, and from its bucket alone: both ledgers agree with the one that was lost`
      : "not rebuilt: a ledger differs from the one that was lost",
  );
  process.exitCode = agree ? 0 : 1;
} catch (cause) {
  say(`not rebuilt: ${cause instanceof Error ? cause.message : String(cause)}`);
  process.exitCode = 1;
}
process.exit();
