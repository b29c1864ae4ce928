/** The account of a mission in words, and what to try next. */
import type { Instant } from "../jobs/instant.ts";
import { dayOf } from "../jobs/instant.ts";
import { partitionName } from "../protocol/runs.ts";
import { ext } from "./demoSite.ts";
import type { MissionAccount, RootCause } from "./missionAccount.ts";
import type { Line, Style } from "./paint.ts";
import { piece } from "./paint.ts";

const faultsShown = 20;
const partitionsShown = 4;

const row = (name: string, text: string, style: Style = "plain"): Line => [
  piece(`  ${name.padEnd(12)}`, "dim"),
  piece(text, style),
];

const counts = (of: ReadonlyMap<string, number>): string =>
  [...of].map(([word, count]) => `${word} ${count}`).join("  ");

const tally = ({ right, of }: { readonly right: number; readonly of: number }): Style =>
  right === of ? "green" : "red";

function rootLines({ cause, heldBack, partitions }: RootCause): ReadonlyArray<Line> {
  const names = partitions.map(({ record }) => `${record.job} ${partitionName(record.partition)}`);
  const more = names.length > partitionsShown ? ` and ${names.length - partitionsShown} more` : "";
  const why = heldBack?.heldBack ?? "it was not held back";
  return [
    [piece("  ○ ", "yellow"), piece(cause.words, "bold")],
    [piece(`    ${why}: ${heldBack?.name ?? ""}`, "dim")],
    [
      piece(
        `    ${names.length === 1 ? "one waits" : `${names.length} wait`}: ${names.slice(0, partitionsShown).join(", ")}${more}`,
      ),
    ],
  ];
}

export interface MissionSummaryFacts {
  readonly days: ReadonlyArray<Instant>;
  readonly ms: number;
  readonly durability: string;
}

export function missionSummary(
  account: MissionAccount,
  { days, ms, durability }: MissionSummaryFacts,
): ReadonlyArray<Line> {
  const { delivered, products, runs, lineage, partitions, roots, waiting, faults } = account;
  const [first = 0] = days;
  const last = days.at(-1) ?? first;
  const made = [...products.values()].reduce((sum, count) => sum + count, 0);
  return [
    [
      piece(`The mission, ${dayOf(first)} to ${dayOf(last)}`, "title"),
      piece(`  ${(ms / 1_000).toFixed(0)} s, ${durability}`),
    ],
    [],
    row("delivered", `${delivered.right} of ${delivered.of} files are known`, tally(delivered)),
    row("products", `${made}: ${counts(products)}`),
    row("runs", `${runs.done} of ${runs.all} done`, tally({ right: runs.done, of: runs.all })),
    row(
      "lineage",
      `${lineage.right} of ${lineage.of} inputs have the content that their product names`,
      tally(lineage),
    ),
    row("partitions", counts(partitions)),
    row(
      "in time",
      `${waiting} wait for their time (a window's end, a later pointing, the clock), or are of windows that began before`,
    ),
    [],
    ...(roots.length === 0 ? [] : [[piece("Open, for want of a file:", "bold")]]),
    ...roots.flatMap(rootLines),
    ...(roots.length === 0 ? [] : [[]]),
    ...faults.slice(0, faultsShown).map((fault): Line => [piece("  ✗ ", "red"), piece(fault)]),
    ...(faults.length > faultsShown ? [[piece(`  … and ${faults.length - faultsShown} more`, "red")]] : []),
    faults.length === 0
      ? [
          piece("✓ ", "green"),
          piece("everything is made that can be, and what is open is what was held back", "green"),
        ]
      : [
          piece("✗ ", "red"),
          piece(
            faults.length === 1
              ? "1 thing is not as it should be"
              : `${faults.length} things are not as they should be`,
            "red",
          ),
        ],
  ];
}

export interface MissionSteps {
  /** Path of the site file, as the user would write it. */
  readonly site: string;
  /** A file that is held back, where it is to be moved, and a partition that waits for it; null where there is none. */
  readonly held: {
    readonly from: string;
    readonly to: string;
    readonly job: string;
    readonly partition: string;
  } | null;
  /** Name of a product. */
  readonly product: string | null;
  readonly log: string;
}

export function missionSteps({ site, held, product, log }: MissionSteps): ReadonlyArray<Line> {
  const step = (command: string, what: string): ReadonlyArray<Line> => [
    [piece(`  # ${what}`, "dim")],
    [piece(`  ${command}`, "cyan")],
  ];
  return [
    [piece("It stays up; ", "bold"), piece("^C ends it, and the next start goes on with the same days.")],
    [],
    [piece("In another terminal, in this folder:")],
    ...step(
      ext === ".ts" ? "alias orrery='npx node src/cli.ts'" : "alias orrery='npx orrery'",
      "the command",
    ),
    ...step(`export ORRERY_SITE=${site}`, "the site to speak of"),
    ...step("orrery expected", "what should be there and is not, by what it lacks"),
    ...(held === null ? [] : step(`orrery why ${held.job} ${held.partition}`, "down to what it lacks")),
    ...(product === null
      ? []
      : step(`orrery lineage ${product}`, "what it was made of, and what was made of it")),
    ...step("orrery jobs graph --instrument mag", "what is made of what"),
    ...(held === null
      ? []
      : step(`mv ${held.from} ${held.to}`, "deliver what was held back, and see what follows")),
    [],
    [piece(`The node's log: ${log}`, "dim")],
  ];
}
