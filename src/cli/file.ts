/** `orrery file ls|get`: records of the ledger. */
import * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import { didYouMean } from "../config/nearMiss.ts";
import type { Entry } from "../jetstream/ledger.ts";
import { scan } from "../jetstream/ledger.ts";
import { encodeToken, ledgerBucket, placeOfRecordKey } from "../protocol/keys.ts";
import type { FileBody, LedgerRecord } from "../protocol/records.ts";
import { decodeRecord } from "../protocol/records.ts";
import { fileName } from "../protocol/route.ts";
import { findAtSites, refusedWithOthers, siteFields } from "./atSites.ts";
import { dayOf } from "./days.ts";
import type { CommandFailed } from "./failures.ts";
import { misused, ofJetStream } from "./failures.ts";
import { findRecord, nameOf, needRecord } from "./ids.ts";
import type { IoService } from "./Io.ts";
import { say, sayJson, tell } from "./Io.ts";
import { placeFields, placesIn, placesOf } from "./places.ts";
import { fields, renderRecord } from "./recordView.ts";
import { openWholeSite } from "./site.ts";
import type { Standing } from "./standing.ts";
import { reasonOf, standingOf, standings, standingStyle } from "./standing.ts";
import { table } from "./table.ts";
import { takenOf, takenWords } from "./takenWords.ts";
import { bytes, count, duration, harmless, plural } from "./words.ts";

export interface ListOptions {
  readonly site: string | null;
  readonly lane: string | null;
  readonly day: string | null;
  readonly state: string | null;
  /** 0: all. */
  readonly limit: number;
  readonly json: boolean;
}

interface Listed {
  readonly key: string;
  readonly name: string;
  readonly lane: string;
  readonly day: string;
  readonly state: Standing;
  readonly size: number | null;
  readonly etag: string;
  readonly reason: string;
  readonly changedAt: string;
}

function listed(entry: Entry): Listed | null {
  const place = placeOfRecordKey(entry.key);
  if (place === null) return null;
  const record = decodeRecord<Partial<FileBody>>(entry.key, entry.data);
  return {
    key: entry.key,
    name: nameOf(place),
    lane: place.mailbox,
    day: place.day,
    state: standingOf(record),
    size: record.body.size ?? null,
    etag: record.etag,
    reason: reasonOf(record),
    changedAt: new Date(entry.at).toISOString(),
  };
}

/** Keeps the newest `limit`; 0 keeps all. Twice the limit at most is held. */
function newest<A>(limit: number): { readonly add: (one: A) => void; readonly take: () => ReadonlyArray<A> } {
  let kept: Array<A> = [];
  return {
    add: (one) => {
      kept.push(one);
      if (limit > 0 && kept.length >= limit * 2) kept = kept.slice(-limit);
    },
    take: () => (limit > 0 ? kept.slice(-limit) : kept).reverse(),
  };
}

function checkOptions(options: ListOptions, lanes: Iterable<string>): CommandFailed | null {
  const { state, lane, limit } = options;
  if (state !== null && !standings.some((known) => known === state)) {
    return misused(`--state ${state}${didYouMean(state, standings)}: it is one of ${standings.join(", ")}`);
  }
  const known = [...lanes];
  if (lane !== null && !known.includes(lane) && lane !== "unrouted") {
    return misused(`--lane ${lane}${didYouMean(lane, known)}: the site has ${known.join(", ")}`);
  }
  if (!Number.isInteger(limit) || limit < 0) return misused(`--limit ${limit}: a number from 0 (all)`);
  return null;
}

export const list = (io: IoService, options: ListOptions): Effect.Effect<void, CommandFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const { site, nats } = yield* openWholeSite(io, options.site);
    if (site.supernode)
      return yield* misused(
        `${site.name} is a supernode: ask a site, or for one file: orrery file get NAME tells which sites know it`,
      );
    const fault = checkOptions(options, site.lanes.keys());
    if (fault !== null) return yield* fault;
    const { lane, state, limit } = options;
    const day = options.day === null ? null : dayOf(options.day);
    if (options.day !== null && day === null)
      return yield* misused(
        `--day ${harmless(options.day)} is no day: 20251121, 2025-11-21, or - (files without a day)`,
      );
    const filter = `file.${lane ?? "*"}.${day === null ? "*" : encodeToken(day)}.>`;
    const kept = newest<Listed>(limit);
    let matched = 0;
    yield* scan(nats, ledgerBucket, [filter], (entry) => {
      const one = listed(entry);
      if (one === null || (state !== null && one.state !== state)) return;
      matched++;
      kept.add(one);
    }).pipe(Effect.mapError(ofJetStream));
    const shown = kept.take();
    if (options.json) return sayJson(io, { matched, files: shown });
    if (matched === 0) return tell(io, "no file matches");
    const now = Date.now();
    const rows = shown.map((one) => [
      { text: one.state, style: standingStyle[one.state] },
      one.lane,
      one.day,
      one.name,
      one.size === null ? "-" : bytes(one.size),
      duration(now - Date.parse(one.changedAt)),
      one.reason,
    ]);
    io.out.write(
      table(
        [
          { title: "STATE" },
          { title: "LANE" },
          { title: "DAY" },
          { title: "OBJECT", give: 24 },
          { title: "SIZE", right: true },
          { title: "CHANGED", right: true },
          { title: "WHY", give: 12, prose: true },
        ],
        rows,
        { color: io.out.color, columns: io.out.columns() },
      ),
    );
    if (matched > shown.length) {
      tell(io, `${plural(shown.length, "file")} of ${count(matched)}, the newest first; --limit 0 shows all`);
    }
    return undefined;
  });

export interface GetOptions {
  readonly site: string | null;
  readonly id: string;
  readonly json: boolean;
}

export const get = (io: IoService, options: GetOptions): Effect.Effect<void, CommandFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const link = yield* openWholeSite(io, options.site);
    const { site, nats } = link;
    if (site.supernode) {
      const known = yield* findAtSites(link, options.id);
      if (options.json) return sayJson(io, known);
      say(io, harmless(known.name));
      io.out.write(fields(siteFields(known), io.out.color, "  "));
      return undefined;
    }
    const told = yield* placesOf(io, link, options.id);
    const orOthers = Effect.catch(refusedWithOthers(io, options.site, link));
    const found = yield* orOthers(findRecord(site, nats, options.id));
    if (found.held === null && told !== null && told.places.length > 0) {
      if (options.json) return sayJson(io, { key: null, revision: null, record: null, ...told });
      say(io, harmless(told.name));
      io.out.write(fields(placeFields(told), io.out.color, "  "));
      return undefined;
    }
    const { held, key, place } = yield* orOthers(needRecord(site, nats, options.id));
    if (options.json) {
      return sayJson(io, { key, revision: held.revision, record: held.record, ...placesIn(told) });
    }
    const record = held.record as LedgerRecord<Partial<FileBody>>;
    io.out.write(renderRecord(key, nameOf(place), held.revision, record, io.out.color));
    if (told !== null) io.out.write(`\n${fields(placeFields(told), io.out.color, "  ")}`);
    const isNamed = site.lanes.get(place.mailbox)?.names != null;
    const taken =
      site.catalogue === null || !isNamed ? null : takenOf(site.catalogue, fileName(nameOf(place)));
    if (taken !== null) say(io, `\njobs  ${harmless(takenWords(taken))}`);
    return undefined;
  });
