/** `orrery stats`: what came on a day and what became of it. Reads the day's arrivals and records, and counts. */
import * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import { didYouMean } from "../config/nearMiss.ts";
import { readStreamUnsafe, scan } from "../jetstream/ledger.ts";
import { subjectCounts } from "../jetstream/survey.ts";
import { decodeArrival } from "../protocol/arrival.ts";
import {
  arrivalsStream,
  decodeKeyPart,
  encodeToken,
  ledgerBucket,
  placeOfRecordKey,
} from "../protocol/keys.ts";
import type { FileBody } from "../protocol/records.ts";
import { decodeRecord } from "../protocol/records.ts";
import { decodeRepeats, placeOfRepeats } from "../protocol/repeats.ts";
import { dayOf } from "./days.ts";
import type { CommandFailed } from "./failures.ts";
import { misused, no, ofCause, ofJetStream } from "./failures.ts";
import type { IoService } from "./Io.ts";
import { sayJson } from "./Io.ts";
import type { SiteLink } from "./site.ts";
import { openOwnSite } from "./site.ts";
import { placeKey, renderStats } from "./statsView.ts";
import { Tally } from "./tally.ts";

export interface StatsOptions {
  readonly site: string | null;
  /** Null: the latest that has anything. */
  readonly day: string | null;
  readonly lane: string | null;
  readonly json: boolean;
}

const everyDay = "all";

/** Days of which the stream holds arrivals, encoded as in subjects. */
const daysHeld = (link: SiteLink, lane: string): Effect.Effect<ReadonlyArray<string>, CommandFailed> =>
  subjectCounts(link.nats, arrivalsStream, `*.${lane}.>`).pipe(
    Effect.map((subjects) => [
      ...new Set([...subjects.keys()].map((subject) => subject.split(".").at(-1) ?? "")),
    ]),
    Effect.mapError(ofJetStream),
  );

/** The latest obs day; `-`, for lanes without days, only when there is no other. */
function latest(days: ReadonlyArray<string>): string | null {
  const numbered = days.filter((day) => /^\d{8}$/.test(day)).sort();
  return numbered.at(-1) ?? [...days].sort().at(-1) ?? null;
}

const tallies = (
  link: SiteLink,
  lane: string,
  day: string,
): Effect.Effect<ReadonlyArray<Tally>, CommandFailed> =>
  Effect.gen(function* () {
    const found = new Map<string, Tally>();
    const tallyOf = (laneName: string, instrument: string, dayText: string): Tally => {
      const key = placeKey(laneName, instrument, dayText);
      const known = found.get(key);
      if (known !== undefined) return known;
      const fresh = new Tally(laneName, instrument, dayText);
      found.set(key, fresh);
      return fresh;
    };
    // Arrivals first: the instrument of a file that never came as far as its metadata is the one of its arrival.
    const instruments = new Map<string, string>();
    yield* Effect.tryPromise({
      try: () =>
        readStreamUnsafe(link.nats, arrivalsStream, `*.${lane}.*.${day}`, ({ subject, data }) => {
          const [, laneName = "", , dayToken = ""] = subject.split(".");
          const arrival = decodeArrival(data);
          if (arrival === null) return;
          instruments.set(`${laneName}/${arrival.bucket}/${arrival.key}`, arrival.instrument);
          tallyOf(laneName, arrival.instrument, decodeKeyPart(dayToken) ?? dayToken).arrival(arrival);
        }),
      catch: ofCause,
    });
    yield* scan(link.nats, ledgerBucket, [`file.${lane}.${day}.>`, `repeats.${lane}.${day}.>`], (entry) => {
      const repeated = placeOfRepeats(entry.key);
      if (repeated !== null) {
        tallyOf(repeated.lane, repeated.instrument, repeated.day).repeated(decodeRepeats(entry.data).count);
        return;
      }
      const place = placeOfRecordKey(entry.key);
      if (place === null) return;
      const record = decodeRecord<FileBody>(entry.key, entry.data);
      const { bucket, key, identity } = record.body;
      const instrument = instruments.get(`${place.mailbox}/${bucket}/${key}`) ?? identity?.instrument ?? "-";
      tallyOf(place.mailbox, instrument, decodeKeyPart(place.day) ?? place.day).record(record);
    }).pipe(Effect.mapError(ofJetStream));
    return [...found.values()].sort(
      (a, b) =>
        a.day.localeCompare(b.day) ||
        a.lane.localeCompare(b.lane) ||
        a.instrument.localeCompare(b.instrument),
    );
  });

export const stats = (
  io: IoService,
  options: StatsOptions,
): Effect.Effect<void, CommandFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const asked = options.day;
    const written = asked === null || asked === everyDay ? asked : dayOf(asked);
    if (asked !== null && written === null) {
      const hint = /\.ya?ml$/.test(asked) ? `; a site file goes behind --site: --site ${asked}` : "";
      return yield* misused(
        `${JSON.stringify(asked)} is no day: 20251121, 2025-11-21, - (files without a day) or all${hint}`,
      );
    }
    const link = yield* openOwnSite(io, options.site);
    const lanes = [...link.site.lanes.keys()];
    if (options.lane !== null && !lanes.includes(options.lane)) {
      return yield* misused(
        `--lane ${options.lane}${didYouMean(options.lane, lanes)}: the site has ${lanes.join(", ")}`,
      );
    }
    const lane = options.lane ?? "*";
    const day =
      written === everyDay
        ? "*"
        : written !== null
          ? encodeToken(written)
          : latest(yield* daysHeld(link, lane));
    const counted = day === null ? [] : yield* tallies(link, lane, day);
    const all = counted.map((tally) => tally.summary());
    if (options.json) sayJson(io, all);
    if (all.length === 0) {
      if (options.json) return yield* no("");
      return yield* no(
        asked === null || written === everyDay ? "nothing has arrived yet" : `nothing arrived on ${asked}`,
      );
    }
    if (options.json) return undefined;
    io.out.write(renderStats(all, { color: io.out.color, columns: io.out.columns() }));
    return undefined;
  });
