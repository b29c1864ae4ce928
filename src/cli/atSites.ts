/**
 * What can be told of a file where it was not taken in: at a supernode, which sites know it, from what is sourced of their ledgers; at a
 * site, that the others' files are not known to it.
 */
import { resolve } from "node:path";
import * as Effect from "effect/Effect";
import { nearMiss } from "../config/nearMiss.ts";
import { get } from "../jetstream/ledger.ts";
import { sourceStates } from "../jetstream/sitesBucket.ts";
import { subjectCounts } from "../jetstream/survey.ts";
import { siteKeyOf } from "../protocol/filesOf.ts";
import { kvStream, kvSubject, placeOfRecordKey } from "../protocol/keys.ts";
import type { FileBody, LedgerRecord } from "../protocol/records.ts";
import { decodeRecord, LedgerCorrupt } from "../protocol/records.ts";
import { sitesBucket } from "../protocol/sites.ts";
import { CommandFailed, exitCode, failed, misused, no, ofJetStream } from "./failures.ts";
import { fitness, nameOf } from "./ids.ts";
import type { IoService } from "./Io.ts";
import type { Field } from "./recordView.ts";
import type { SiteLink } from "./site.ts";
import { findSite } from "./site.ts";
import { homeOf } from "./siteLife.ts";
import { reasonOf, standingOf } from "./standing.ts";
import type { Story } from "./story.ts";
import { bytes } from "./words.ts";

export interface KnownAt {
  readonly site: string;
  readonly epoch: string;
  /** The site lives under another epoch by now: it may know nothing of it any more. */
  readonly former: boolean;
  /** In the site's own ledger. */
  readonly key: string;
  readonly lane: string;
  readonly day: string;
  readonly record: LedgerRecord<Partial<FileBody>>;
}

export interface FoundAt {
  readonly name: string;
  readonly sites: ReadonlyArray<KnownAt>;
  /** Sites that have something under the name that is no record: it says nothing, and hides no other's. */
  readonly unreadable: ReadonlyArray<string>;
}

/** Null for a value that nobody of us wrote. */
function recordOrNull(key: string, data: Uint8Array): KnownAt["record"] | null {
  try {
    return decodeRecord<Partial<FileBody>>(key, data);
  } catch (cause) {
    if (cause instanceof LedgerCorrupt) return null;
    throw cause;
  }
}

const namesShownMax = 20;
const recordKinds = ["file", "run"];
const prefix = kvSubject(sitesBucket, "");

/** Keys of the bucket by the names that fit best. A day in what was typed narrows the search. */
const search = (
  { nats }: SiteLink,
  wanted: string,
): Effect.Effect<
  { readonly best: ReadonlyMap<string, ReadonlyArray<string>>; readonly names: ReadonlySet<string> },
  CommandFailed
> =>
  Effect.gen(function* () {
    const day = /(?<!\d)\d{8}(?!\d)/.exec(wanted)?.[0];
    const names = new Set<string>();
    for (const filterDay of day === undefined ? ["*"] : [day, "*"]) {
      const best = new Map<string, Array<string>>();
      let bestFitness = 1;
      for (const kind of recordKinds) {
        const filter = kvSubject(sitesBucket, `*.*.${kind}.*.${filterDay}.>`);
        const found = yield* subjectCounts(nats, kvStream(sitesBucket), filter).pipe(
          Effect.mapError(ofJetStream),
        );
        for (const subject of found.keys()) {
          const key = subject.slice(prefix.length);
          const place = placeOfRecordKey(siteKeyOf(key)?.key ?? "");
          if (place === null) continue;
          const name = nameOf(place);
          if (names.size < 10_000) names.add(name.slice(name.lastIndexOf("/") + 1));
          const fits = key === wanted || siteKeyOf(key)?.key === wanted ? 5 : fitness(name, wanted);
          if (fits < bestFitness) continue;
          if (fits > bestFitness) best.clear();
          bestFitness = fits;
          best.set(name, [...(best.get(name) ?? []), key]);
        }
      }
      if (best.size > 0) return { best, names };
    }
    return { best: new Map(), names };
  });

/** At a supernode: which of its sites know the file or run that is meant. Fails with "no" where none does. */
export const findAtSites = (link: SiteLink, id: string): Effect.Effect<FoundAt, CommandFailed> =>
  Effect.gen(function* () {
    const wanted = id.replace(/^[a-z][a-z0-9+]*:\/\//i, "");
    const { best, names } = yield* search(link, wanted);
    if (best.size > 1) {
      const shown = [...best.keys()].slice(0, namesShownMax).map((name) => `  ${name}`);
      const more = best.size > shown.length ? [`  … and ${best.size - shown.length} more`] : [];
      return yield* misused(
        [`${JSON.stringify(id)} could be any of ${best.size}; say more of it:`, ...shown, ...more].join("\n"),
      );
    }
    const sources = yield* sourceStates(link.nats).pipe(Effect.mapError(ofJetStream));
    const present = new Map(sources.map(({ site, epoch }) => [site, epoch]));
    const [name = "", keys = []] = [...best][0] ?? [];
    const sites: Array<KnownAt> = [];
    const unreadable: Array<string> = [];
    for (const key of keys) {
      const at = siteKeyOf(key);
      const place = placeOfRecordKey(at?.key ?? "");
      const entry = yield* get(link.nats, sitesBucket, key).pipe(Effect.mapError(ofJetStream));
      if (at === null || place === null || entry === null || entry.ended) continue;
      const record = recordOrNull(key, entry.data);
      if (record === null) {
        unreadable.push(at.site);
        continue;
      }
      const former = (present.get(at.site) ?? at.epoch) !== at.epoch;
      sites.push({ ...at, former, lane: place.mailbox, day: place.day, record });
    }
    if (sites.length > 0) return { name, sites, unreadable };
    if (unreadable.length > 0)
      return yield* failed(`what ${unreadable.join(", ")} has as ${name} is no record`);
    const near = nearMiss(wanted.slice(wanted.lastIndexOf("/") + 1), names);
    const hint = near === null ? "" : `; did you mean ${near}?`;
    const all = sources.length === 0 ? "none is sourced" : [...present.keys()].join(", ");
    return yield* no(
      `no site that ${link.site.name} takes over (${all}) knows ${JSON.stringify(id)}${hint}; what a site has not settled is asked for there`,
    );
  });

const words = ({ site, former, lane, day, record }: KnownAt): string => {
  const { uri, size } = record.body;
  const reason = reasonOf(record);
  const parts = [
    `${standingOf(record)}${reason === "" ? "" : ` (${reason})`}`,
    `lane ${lane}, day ${day}`,
    ...(uri === undefined || uri === "" ? [] : [uri]),
    ...(size == null ? [] : [bytes(size)]),
    ...(former ? ["of a former life of the site"] : []),
  ];
  return `${site}: ${parts.join(", ")}`;
};

export const siteFields = ({ sites, unreadable }: FoundAt): ReadonlyArray<Field> => [
  ...sites.map((known): Field => ["site", words(known)]),
  ...unreadable.map((site): Field => ["site", `${site}: what it has under this name is no record`]),
];

/** Of a file, at the supernode: its history is at the site. */
export function atSitesStory(found: FoundAt): Story {
  const { name, sites } = found;
  const [first] = sites;
  const where = [...new Set(sites.map(({ site }) => site))].join(" and ");
  const standing = first === undefined ? "unknown" : standingOf(first.record);
  return {
    name,
    key: first?.key ?? "",
    summary: `${standing} at ${where}`,
    standing,
    events: [],
    facts: siteFields(found),
    now: `This is a supernode, which holds what its sites know: ${where}.`,
    next: `What happened to it, and what happens next, is told at the site.`,
    commands: sites.map(({ site, key }) => `at ${site}: orrery why '${key}'`),
  };
}

/** At a site that has joined a supernode: that it cannot tell of others' files. Null at one that works alone. */
const othersWords = (io: IoService, named: string | null, { site }: SiteLink): Effect.Effect<string | null> =>
  Effect.gen(function* () {
    const { file } = yield* findSite(io, named);
    const home = yield* Effect.tryPromise({
      try: () => homeOf(site, resolve(io.cwd, file)),
      catch: (cause) => cause,
    });
    const supernode = home?.deployment.supernode ?? site.filesOf?.supernode ?? null;
    if (supernode === null) return null;
    const known = [...(site.filesOf?.sites.keys() ?? [])];
    const but = known.length === 0 ? "" : `, but for files of ${known.join(", ")} that jobs here take`;
    return `What other sites have is not known here${but}: ask at supernode ${supernode}, or at the site that took it in.`;
  }).pipe(Effect.orElseSucceed(() => null));

/** Says so beside "unknown". */
export const withOthers = (
  io: IoService,
  named: string | null,
  link: SiteLink,
  story: Story,
): Effect.Effect<Story> =>
  story.standing !== "unknown"
    ? Effect.succeed(story)
    : Effect.map(othersWords(io, named, link), (others) =>
        others === null ? story : { ...story, next: `${story.next} ${others}` },
      );

/** Says so beside "nothing is known of it". */
export const refusedWithOthers =
  (io: IoService, named: string | null, link: SiteLink) =>
  (error: CommandFailed): Effect.Effect<never, CommandFailed> =>
    error.exit !== exitCode.no || error.message === ""
      ? Effect.fail(error)
      : Effect.flatMap(othersWords(io, named, link), (others) =>
          Effect.fail(
            others === null
              ? error
              : new CommandFailed({ exit: error.exit, message: `${error.message}. ${others}` }),
          ),
        );
