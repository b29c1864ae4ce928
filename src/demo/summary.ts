/** The account in words: the last lines of a night. */
import type { Account, Tally } from "./account.ts";
import type { Line, Style } from "./paint.ts";
import { piece } from "./paint.ts";
import type { Kill } from "./theKill.ts";

const faultsShown = 20;

export interface SummaryFacts {
  readonly day: string;
  /** Length of the night, ms. */
  readonly ms: number;
  readonly kill: Kill | null;
  readonly victim: string;
  readonly lookups: number;
  readonly p50: number | null;
  readonly durability: string;
}

const styleOf = ({ right, of }: Tally): Style => (right === of ? "green" : "red");

function row(name: string, tally: Tally, note: string): Line {
  return [
    piece(`  ${name.padEnd(14)}`, "dim"),
    piece(`${tally.right}`.padStart(4), styleOf(tally)),
    piece(` of ${String(tally.of).padEnd(5)}`),
    piece(note),
  ];
}

export function summaryLines(account: Account, facts: SummaryFacts): ReadonlyArray<Line> {
  const reasons = [...account.reasons]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([reason, count]) => (count === 1 ? reason : `${reason} ${count}`));
  const seconds = (facts.ms / 1_000).toFixed(0);
  return [
    [
      piece(`The night of ${facts.day}`, "title"),
      piece(
        `  ${account.objects} objects announced in ${account.webhooks} webhooks, ${seconds} s, ${facts.durability}`,
      ),
    ],
    [],
    row("known", account.known, "each once"),
    row("parked", account.parked, "each for the reason that was expected:"),
    ...wrapped(reasons, 60).map((text): Line => [piece(" ".repeat(28)), piece(text, "dim")]),
    row("sent twice", account.repeated, "answered 200 each time, stored once"),
    row("other content", account.refused, "refused: the first stays, and it is listed"),
    row("present", account.present, `groups, by HTTP and by NATS; ${lookupWords(facts)}`),
    row("absent", account.absent, "groups of bad files, by HTTP and by NATS"),
    row(
      "quick-looks",
      account.looks,
      account.lacking === 0 ? "" : `${account.lacking} exposure lacks a detector for good`,
    ),
    row("in dead hands", account.rescued, killWords(facts)),
    [],
    ...account.faults.slice(0, faultsShown).map((fault): Line => [piece("  ✗ ", "red"), piece(fault)]),
    ...(account.faults.length > faultsShown
      ? [[piece(`  … and ${account.faults.length - faultsShown} more`, "red")]]
      : []),
    account.faults.length === 0
      ? [
          piece("  ✓ ", "green"),
          piece(`every item is accounted for: ${account.objects} objects, each in exactly one state`, "bold"),
        ]
      : [
          piece("  ✗ ", "red"),
          piece(`not accounted for: ${account.faults.length} things are not as they should be`, "bold"),
        ],
  ];
}

const lookupWords = ({ lookups, p50 }: SummaryFacts): string =>
  p50 === null
    ? `${lookups} look-ups on the way`
    : `${lookups} look-ups on the way, ${p50.toFixed(0)} ms from webhook to "here"`;

function killWords({ kill, victim }: SummaryFacts): string {
  if (kill === null) return `${victim} was never killed with a batch in hand`;
  const { takenBack } = kill;
  if (takenBack === null) return `${victim} was killed -9, and nobody took its batch back`;
  return `${victim} killed -9; ${takenBack.by} had them back after ${(takenBack.afterMs / 1_000).toFixed(1)} s`;
}

function wrapped(words: ReadonlyArray<string>, width: number): ReadonlyArray<string> {
  const lines: Array<string> = [];
  let line = "";
  for (const word of words) {
    if (line !== "" && line.length + word.length + 2 > width) {
      lines.push(`${line},`);
      line = "";
    }
    line = line === "" ? word : `${line}, ${word}`;
  }
  return line === "" ? lines : [...lines, line];
}
