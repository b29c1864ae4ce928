/** What to try on a demonstration that stays up. */
import { ext } from "./demoSite.ts";
import type { Line } from "./paint.ts";
import { piece } from "./paint.ts";
import type { PlannedGroup } from "./nightPlan.ts";
import { presencePath } from "./lookups.ts";

export interface NextStepsFacts {
  readonly natsUrl: string;
  readonly httpUrl: string;
  /** Path of the site file where the command would not find it by itself. */
  readonly site: string | null;
  /** File names; null where the night had none. */
  readonly killed: string | null;
  readonly parked: string | null;
  readonly group: PlannedGroup | null;
  /** Ledger key of a file that is known. */
  readonly record: string | null;
  readonly picture: string | null;
  readonly logs: ReadonlyArray<string>;
}

const commandColumns = 38;

/** Beside what is short, above what is long. */
const step = (command: string, what: string): ReadonlyArray<Line> =>
  command.length <= commandColumns
    ? [[piece(`  ${command.padEnd(commandColumns + 2)}`, "cyan"), piece(`# ${what}`, "dim")]]
    : [[piece(`  # ${what}`, "dim")], [piece(`  ${command}`, "cyan")]];

const quote = (text: string): string => (/^[\w./:@%+-]+$/.test(text) ? text : `'${text}'`);

export function nextSteps(facts: NextStepsFacts): ReadonlyArray<Line> {
  const { natsUrl, httpUrl, site, killed, parked, group, record, picture, logs } = facts;
  const nats = `nats -s ${natsUrl}`;
  const lines: Array<Line> = [
    [piece("It stays up; ", "bold"), piece("^C ends it, and the next start plays the next night.")],
    [],
    [piece("In another terminal, in this folder:")],
  ];
  const add = (command: string, what: string): void => void lines.push(...step(command, what));
  if (ext === ".ts") add("alias orrery='npx node src/cli.ts'", "the command, from its source");
  else add("alias orrery='npx orrery'", "the command");
  if (site !== null) add(`export ORRERY_SITE=${quote(site)}`, "the site to speak of");
  add("orrery status", "nodes, lanes, claims, durability; --watch: live");
  if (killed !== null) add(`orrery why ${quote(killed)}`, "it was in hand when its node was killed");
  if (parked !== null) add(`orrery why ${quote(parked)}`, "why it is parked");
  add("orrery parked ls", "everything that was given up on");
  if (group !== null) add(`curl ${quote(httpUrl + presencePath(group))}`, "is it here?");
  add(`curl ${httpUrl}/metrics`, "for Prometheus");
  if (record !== null)
    add(`${nats} kv get ledger ${quote(record)} --raw`, "one record of the ledger, with the nats command");
  add(`${nats} service list`, "every actor answers");
  lines.push([], [piece("A quick-look's picture, and the nodes' logs:")]);
  for (const path of picture === null ? logs : [picture, ...logs]) lines.push([piece(`  ${path}`)]);
  return lines;
}
