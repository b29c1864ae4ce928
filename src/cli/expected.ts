/** `orrery expected [DAY]`: products that should be there and are not, by what is at the root of it and whose they are. */
import * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import { startOfDay } from "../jobs/instant.ts";
import type { ExpectedAnswer, ExpectedGroup } from "../protocol/operatorQuestions.ts";
import type { CommandFailed } from "./failures.ts";
import { limitFault, misused, no } from "./failures.ts";
import type { IoService } from "./Io.ts";
import { say, sayJson, tell } from "./Io.ts";
import { askJobs, openMission } from "./mission.ts";
import { agedWords, rootWords, stretchWords } from "./rootWords.ts";
import { paint } from "./table.ts";
import { count, harmless, plural } from "./words.ts";

export interface ExpectedOptions {
  readonly site: string | null;
  readonly day: string | null;
  readonly team: string | null;
  readonly limit: number;
  readonly json: boolean;
}

export const expected = (
  io: IoService,
  options: ExpectedOptions,
): Effect.Effect<void, CommandFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const fault = limitFault(options.limit);
    if (fault !== null) return yield* fault;
    const day = options.day?.replaceAll("-", "") ?? null;
    if (day !== null && startOfDay(day) === null)
      return yield* misused(`${harmless(options.day ?? "")} is no day: 20260310`);
    const link = yield* openMission(io, options.site);
    const { teams } = link.catalogue;
    if (options.team !== null && !teams.has(options.team)) {
      return yield* misused(
        `the catalogue has no team ${harmless(options.team)}: ${[...teams.keys()].join(", ")}`,
      );
    }
    const { groups, ...answer } = yield* askJobs<ExpectedAnswer>(link, "expected", {
      ...(day === null ? {} : { day }),
      ...(options.team === null ? {} : { team: options.team }),
    });
    const late = groups.filter((group) => group.late);
    if (options.json) {
      sayJson(io, { ...answer, groups: groups.map((group) => ({ ...group, words: causeWords(group) })) });
    } else
      render(
        io,
        answer,
        late,
        groups.filter((one) => !one.late),
        options.limit,
      );
    if (late.length === 0) return undefined;
    return yield* no("");
  });

const causeWords = ({ root, ranges, rangesMore }: ExpectedGroup): string => {
  if (root === null) return "nothing that can be named";
  const several = ranges.length > 1 || rangesMore > 0;
  if (root.type !== "arrival" || root.what === null || !several) return rootWords(root, null);
  const shown = ranges.slice(0, 4).map(stretchWords).join(", ");
  const more = ranges.length - 4 + rangesMore;
  const every = root.arrivals?.every ?? null;
  return `${root.what} has not arrived for ${shown}${more > 0 ? ` and ${count(more)} more` : ""}${every === null ? "" : `; expected ${every}`}`;
};

/** `mag (mag@x.org)`; of several teams each with how many products are missing to it. */
export function whose({ teams }: Pick<ExpectedGroup, "teams">): string {
  const named = teams.map(({ team, contact, products }) => {
    const name = team === null ? "no team" : contact === null ? team : `${team} (${contact})`;
    return teams.length === 1 ? name : `${name} ${count(products)}`;
  });
  const shown = named.slice(0, teamsShownMax);
  const more = named.length > shown.length ? `, … ${count(named.length - shown.length)} teams more` : "";
  return `${shown.join(", ")}${more}`;
}

function render(
  io: IoService,
  answer: Omit<ExpectedAnswer, "groups">,
  late: ReadonlyArray<ExpectedGroup>,
  others: ReadonlyArray<ExpectedGroup>,
  limit: number,
): void {
  const { color } = io.out;
  for (const aged of answer.aged) say(io, paint(color, "red", harmless(agedWords(aged))));
  if (answer.aged.length > 0) say(io, "");
  for (const group of late.slice(0, limit)) {
    say(io, paint(color, "bold", harmless(causeWords(group))));
    say(
      io,
      paint(
        color,
        "dim",
        `  ${harmless(whose(group))}, since ${group.since?.slice(0, 10) ?? "always"}: ${plural(group.products, "product")} of ${plural(group.partitions, "partition")}`,
      ),
    );
    for (const one of group.missing.slice(0, missingShownMax)) {
      say(io, `    ${one.job} ${one.partition}  ${one.state}`);
    }
    const more = group.partitions - Math.min(group.missing.length, missingShownMax);
    if (more > 0) say(io, `    … and ${count(more)} more`);
  }
  if (late.length > limit) {
    say(io, `… and ${plural(late.length - limit, "cause")} more: --limit ${late.length}`);
  }
  const sum = (of: ReadonlyArray<ExpectedGroup>): number => of.reduce((all, one) => all + one.products, 0);
  const notYet = sum(others);
  const early = notYet === 0 ? "" : `; ${plural(notYet, "product")} under way or not due yet`;
  if (late.length === 0) say(io, `Nothing is missing${early}.`);
  else {
    say(io, `${plural(sum(late), "product")} missing, of ${plural(late.length, "cause")}${early}.`);
    const [oldest] = late[0]?.missing ?? [];
    if (oldest !== undefined)
      tell(
        io,
        paint(io.err.color, "dim", `orrery why ${oldest.job} ${oldest.partition} tells the way to it`),
      );
  }
  if (answer.told < answer.partitions) {
    tell(
      io,
      `${count(answer.partitions - answer.told)} partitions of further causes are not told: ask for a day`,
    );
  }
}

const missingShownMax = 4;
const teamsShownMax = 6;
