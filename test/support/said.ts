/**
 * What the processes of a test run say: each text is looked through for secrets as it is said, and what is found is written down for
 * test/secretsReporter.ts, which fails the run. Nothing of it is kept: only how much was looked at.
 */
import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { leaksIn } from "./canaries.ts";

/** The folder of the notes; set by the reporter. Without it nobody asks. */
export const saidFolder = "ORRERY_TEST_SAID";
/** The test file in hand; set by saidSetup.ts, for the processes that it starts, too. */
export const saidBy = "ORRERY_TEST_FILE";

export interface SaidNote {
  readonly test: string;
  /** Where it was said: `log of node a`, `stdout of orrery status`. */
  readonly source: string;
  readonly line: number;
  readonly what: string;
}

let characters = 0;
let told = 0;
const tellEvery = 1_000_000;

function write(note: SaidNote | { readonly characters: number }): void {
  const folder = process.env[saidFolder];
  if (folder !== undefined) appendFileSync(join(folder, `${process.pid}.jsonl`), `${JSON.stringify(note)}\n`);
}

/** Notes how much was looked at since it was noted last. */
export function tellSaid(): void {
  if (characters === told) return;
  write({ characters: characters - told });
  told = characters;
}

/** @param source what of the process it was */
export function said(source: string, text: string): void {
  if (process.env[saidFolder] === undefined) return;
  characters += text.length;
  if (characters - told > tellEvery) tellSaid();
  const test = process.env[saidBy] ?? "no test";
  for (const { line, what } of leaksIn(text)) write({ test, source, line, what });
}

/** As JSON says it: errors with all that they hold, and no end. */
export const saidLine = (source: string, value: unknown): void =>
  said(
    source,
    JSON.stringify(value, (_, one: unknown) =>
      one instanceof Error
        ? { ...Object.fromEntries(Object.entries(one)), text: String(one), stack: one.stack }
        : one,
    ) ?? "",
  );
