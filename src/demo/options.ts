/** What a demonstration's command was given. What it does not know ends it as a usage error of `orrery` does: one line, exit 2. */
import { parseArgs } from "node:util";
import type { ParseArgsOptionsConfig } from "node:util";

export function usageError(message: string, usage: string): never {
  process.stderr.write(`error ${message}\n\nusage: ${usage}\n`);
  process.exit(2);
}

/** @returns the options' values, defaults filled in */
export function readOptions<Options extends ParseArgsOptionsConfig>(options: Options, usage: string) {
  try {
    return parseArgs({ options }).values;
  } catch (cause) {
    return usageError(cause instanceof Error ? cause.message : String(cause), usage);
  }
}

/** @returns a whole number within the bounds */
export function readCount(flag: string, text: string, min: number, max: number, usage: string): number {
  const count = Number(text);
  if (Number.isInteger(count) && count >= min && count <= max) return count;
  return usageError(`${flag} ${text}: a number from ${min} to ${max}`, usage);
}
