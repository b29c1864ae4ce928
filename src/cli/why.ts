/** `orrery why`: the whole history of a file, a run, an item or a job's partition, and what happens next. */
import * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import { missingWords } from "../jetstream/missing.ts";
import { mailboxKind } from "../protocol/keys.ts";
import { atSitesStory, findAtSites, refusedWithOthers, withOthers } from "./atSites.ts";
import type { CommandFailed } from "./failures.ts";
import { no } from "./failures.ts";
import { gatherFile } from "./gather.ts";
import { findRecord } from "./ids.ts";
import type { IoService } from "./Io.ts";
import { sayJson } from "./Io.ts";
import { jobWhy } from "./jobWhy.ts";
import { partitionStory, runStory } from "./jobStory.ts";
import { partitionWhy } from "./partitionWhy.ts";
import { elsewhereStory, placeFields, placesOf } from "./places.ts";
import { openWholeSite } from "./site.ts";
import type { Story, StoryEvent } from "./story.ts";
import { fileStory } from "./story.ts";
import { fields } from "./recordView.ts";
import { paint } from "./table.ts";
import { clock, date, harmless, harmlessLines } from "./words.ts";

export interface WhyOptions {
  readonly site: string | null;
  readonly id: string;
  /** With a job's name as the id: the exposure whose partition is meant. */
  readonly partition: string | null;
  readonly json: boolean;
}

/** Broken at spaces, the first line already begun. */
export function wrap(text: string, width: number, indent: string): string {
  let line = "";
  const lines: Array<string> = [];
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + word.length + 1 > width) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line].join(`\n${indent}`);
}

function timeline(story: Story, color: boolean, columns: number | null): string {
  const days = new Set(story.events.flatMap((event) => (event.at === null ? [] : [date(event.at)])));
  const withDate = days.size > 1;
  const width = withDate ? 23 : 12;
  const room = columns === null ? Number.POSITIVE_INFINITY : Math.max(30, columns - width - 4);
  return story.events
    .map(({ at, words }) => {
      const time = at === null ? "" : withDate ? `${date(at)} ${clock(at)}` : clock(at);
      const text = wrap(harmless(words), room, " ".repeat(width + 4));
      return `  ${paint(color, "dim", time.padEnd(width))}  ${text}\n`;
    })
    .join("");
}

const standingStyles = {
  known: "green",
  done: "green",
  parked: "red",
  failed: "red",
  failing: "yellow",
} as const;

export function renderStory(story: Story, color: boolean, columns: number | null): string {
  const style =
    Object.entries(standingStyles).find(([standing]) => standing === story.standing)?.[1] ?? "cyan";
  const room = columns === null ? Number.POSITIVE_INFINITY : Math.max(30, columns - 6);
  const parts = [
    `${paint(color, "bold", harmless(story.name))}\n`,
    `${paint(color, style, harmless(story.summary))}\n`,
    `${paint(color, "dim", harmless(story.key))}\n`,
  ];
  if (story.events.length > 0) parts.push("\n", timeline(story, color, columns));
  if (story.facts.length > 0) parts.push("\n", fields(story.facts, color, "  "));
  if (story.excerpt !== undefined) {
    parts.push(`\n  ${paint(color, "dim", story.excerpt.title)}\n`);
    for (const line of harmlessLines(story.excerpt.text).trimEnd().split("\n")) parts.push(`  | ${line}\n`);
  }
  parts.push(`\n${paint(color, "bold", "Now")}   ${wrap(harmless(story.now), room, "      ")}\n`);
  parts.push(`${paint(color, "bold", "Next")}  ${wrap(harmless(story.next), room, "      ")}\n`);
  for (const command of story.commands) parts.push(`      ${paint(color, "cyan", harmless(command))}\n`);
  return parts.join("");
}

const withIsoTime = ({ at, ...event }: StoryEvent) => ({
  at: at === null ? null : new Date(at).toISOString(),
  ...event,
});

export const why = (io: IoService, options: WhyOptions): Effect.Effect<void, CommandFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const link = yield* openWholeSite(io, options.site);
    const show = (story: Story): void => {
      if (options.json) sayJson(io, { ...story, events: story.events.map(withIsoTime) });
      else io.out.write(renderStory(story, io.out.color, io.out.columns()));
    };
    const { catalogue } = link.site;
    const job = catalogue?.jobs.get(options.id.trim().replaceAll(/\s+/g, "/"));
    if (catalogue !== null && job !== undefined && options.partition !== null) {
      const { partition, json } = options;
      return yield* partitionWhy(io, { ...link, catalogue }, job, { partition, json }, show);
    }
    const name = job?.name ?? (link.site.jobs.has(options.id) ? options.id : null);
    if (name !== null && options.partition === null) {
      return yield* jobWhy(io, link, name, { isAsked: job !== undefined, json: options.json });
    }
    const story = link.site.supernode
      ? atSitesStory(yield* findAtSites(link, options.id))
      : yield* withOthers(
          io,
          options.site,
          link,
          yield* Effect.catch(storyOf(io, link, options), refusedWithOthers(io, options.site, link)),
        );
    show(story);
    if (story.standing === "unknown") return yield* no("");
    return undefined;
  });

const storyOf = Effect.fnUntraced(function* (
  io: IoService,
  link: Parameters<typeof gatherFile>[0],
  options: WhyOptions,
): Effect.fn.Return<Story, CommandFailed> {
  if (options.partition !== null) return yield* partitionStory(link, options.id, options.partition);
  if (options.id.startsWith("job.")) return yield* partitionStory(link, options.id, null);
  const told = yield* placesOf(io, link, options.id);
  const found = yield* findRecord(link.site, link.nats, options.id);
  const { held } = found;
  if (held === null && told !== null && told.places.length > 0) return elsewhereStory(told);
  if (mailboxKind(found.place.mailbox) === "run" && held !== null) return yield* runStory(link, found, held);
  const facts = yield* gatherFile(link, found);
  const { arrivalsLost } = facts;
  const whole = fileStory(facts);
  const story =
    arrivalsLost === undefined
      ? whole
      : { ...whole, facts: [...whole.facts, ["arrivals", missingWords([arrivalsLost], null)] as const] };
  return told === null ? story : { ...story, facts: [...story.facts, ...placeFields(told)] };
});
