/** `orrery parked ls|show|replay|discard`: what was given up on, and what somebody decides about it. */
import * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import { didYouMean } from "../config/nearMiss.ts";
import type { Site } from "../config/Site.ts";
import { getManyUnsafe } from "../jetstream/ledger.ts";
import type { NatsService } from "../jetstream/Nats.ts";
import { ledgerBucket, recordKey } from "../protocol/keys.ts";
import type { FileBody, LedgerRecord } from "../protocol/records.ts";
import { decodeRecord } from "../protocol/records.ts";
import type { Decided, Decision, Target } from "./decide.ts";
import { decideAll } from "./decide.ts";
import { CommandFailed, exitCode, failed, misused, no, ofCause } from "./failures.ts";
import { nameOf, needRecord } from "./ids.ts";
import type { IoService } from "./Io.ts";
import { say, sayJson, tell } from "./Io.ts";
import { operator } from "./operator.ts";
import type { Parked } from "./parkedIndex.ts";
import { readParked } from "./parkedIndex.ts";
import { renderRecord } from "./recordView.ts";
import type { SiteLink } from "./site.ts";
import { openOwnSite } from "./site.ts";
import { isOpenToDecision, reasonOf } from "./standing.ts";
import { paint, table } from "./table.ts";
import { count, duration, harmless, plural } from "./words.ts";

const ageOf = (iso: string, now: number): string => {
  const at = Date.parse(iso);
  return Number.isNaN(at) ? "?" : duration(now - at);
};

export interface ListOptions {
  readonly site: string | null;
  readonly reason: string | null;
  readonly lane: string | null;
  readonly json: boolean;
}

function groupTable(io: IoService, parked: ReadonlyArray<Parked>, now: number): string {
  const groups = new Map<string, Array<Parked>>();
  for (const one of parked) groups.set(one.reason, [...(groups.get(one.reason) ?? []), one]);
  const rows = [...groups]
    .sort(([, a], [, b]) => b.length - a.length)
    .map(([reason, all]) => {
      const times = all.map((one) => one.at).sort();
      const last = all.at(-1);
      return [
        { text: reason, style: "red" as const },
        count(all.length),
        [...new Set(all.map((one) => one.place.mailbox))].sort().join(", "),
        ageOf(times[0] ?? "", now),
        ageOf(times.at(-1) ?? "", now),
        last === undefined ? "" : nameOf(last.place),
      ];
    });
  return table(
    [
      { title: "REASON", give: 16 },
      { title: "ITEMS", right: true },
      { title: "LANES", give: 10 },
      { title: "OLDEST", right: true },
      { title: "NEWEST", right: true },
      { title: "FOR INSTANCE", give: 16 },
    ],
    rows,
    { color: io.out.color, columns: io.out.columns() },
  );
}

function itemTable(io: IoService, parked: ReadonlyArray<Parked>, now: number): string {
  return table(
    [
      { title: "LANE" },
      { title: "DAY" },
      { title: "ITEM", give: 24 },
      { title: "SINCE", right: true },
      { title: "REASON" },
    ],
    parked.map((one) => [
      one.place.mailbox,
      one.place.day,
      nameOf(one.place),
      ageOf(one.at, now),
      { text: one.reason, style: "red" as const },
    ]),
    { color: io.out.color, columns: io.out.columns() },
  );
}

/** Parked items of a reason and a lane; a reason that nobody has is a slip, and so is a lane that is neither the site's nor theirs. */
function chosen(
  site: Site,
  parked: ReadonlyArray<Parked>,
  by: { readonly reason: string | null; readonly lane: string | null },
): Effect.Effect<ReadonlyArray<Parked>, CommandFailed> {
  const found = parked.filter(
    (one) =>
      (by.reason === null || one.reason === by.reason) && (by.lane === null || one.place.mailbox === by.lane),
  );
  if (found.length > 0 || parked.length === 0) return Effect.succeed(found);
  const { lane } = by;
  const lanes = [...new Set([...site.lanes.keys(), ...parked.map(({ place }) => place.mailbox)])];
  if (lane !== null && !lanes.includes(lane))
    return Effect.fail(
      no(`nothing is parked of lane ${lane}${didYouMean(lane, lanes)}; there is ${lanes.join(", ")}`),
    );
  if (by.reason === null) return Effect.succeed(found);
  const reasons = [...new Set(parked.map((one) => one.reason))];
  if (reasons.includes(by.reason)) return Effect.succeed(found);
  return Effect.fail(
    no(`nothing is parked as ${by.reason}${didYouMean(by.reason, reasons)}; there is ${reasons.join(", ")}`),
  );
}

export const list = (io: IoService, options: ListOptions): Effect.Effect<void, CommandFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const { site, nats } = yield* openOwnSite(io, options.site);
    const parked = yield* Effect.flatMap(readParked(nats), (all) => chosen(site, all, options));
    if (options.json) {
      return sayJson(
        io,
        parked.map(({ place, reason, at }) => ({
          key: recordKey(place),
          name: nameOf(place),
          lane: place.mailbox,
          day: place.day,
          reason,
          at,
        })),
      );
    }
    if (parked.length === 0) return tell(io, "nothing is parked");
    const now = Date.now();
    io.out.write(options.reason === null ? groupTable(io, parked, now) : itemTable(io, parked, now));
    const { color } = io.err;
    tell(
      io,
      options.reason === null
        ? paint(color, "dim", "orrery parked ls --reason REASON lists them; orrery parked show ID tells one")
        : paint(
            color,
            "dim",
            "orrery parked replay ID puts one back; --reason REASON puts all of these back",
          ),
    );
    return undefined;
  });

export interface ShowOptions {
  readonly site: string | null;
  readonly id: string;
  readonly json: boolean;
}

export const show = (io: IoService, options: ShowOptions): Effect.Effect<void, CommandFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const { site, nats } = yield* openOwnSite(io, options.site);
    const { held, key, place } = yield* needRecord(site, nats, options.id);
    if (options.json) return sayJson(io, { key, revision: held.revision, record: held.record });
    const record = held.record as LedgerRecord<Partial<FileBody>>;
    if (!isOpenToDecision(record)) tell(io, `it is not parked: it is ${record.state}`);
    else {
      say(io, paint(io.out.color, "red", harmless(reasonOf(record))));
      say(io, "");
    }
    io.out.write(renderRecord(key, nameOf(place), held.revision, record, io.out.color));
    if (isOpenToDecision(record)) {
      // What says of no object cannot be put back.
      if (record.body.bucket !== "") tell(io, `\norrery parked replay '${key}'`);
      tell(io, `orrery parked discard '${key}' --note "why"`);
    }
    return undefined;
  });

export interface DecideOptions {
  readonly site: string | null;
  readonly ids: ReadonlyArray<string>;
  readonly reason: string | null;
  readonly lane: string | null;
  readonly all: boolean;
  readonly yes: boolean;
  readonly note: string | null;
  readonly json: boolean;
}

function faultOf(verb: Decision, options: DecideOptions): CommandFailed | null {
  const ways = [options.ids.length > 0, options.reason !== null, options.all].filter(Boolean).length;
  if (ways === 0) return misused(`${verb} what? Give an ID, --reason REASON, or --all`);
  if (ways > 1) return misused(`${verb} either the IDs, or --reason REASON, or --all: not several of them`);
  if (options.all && !options.yes) {
    return misused(`${verb} --all touches everything that is parked: say --yes, too, when that is meant`);
  }
  if (verb === "discard" && (options.note ?? "").trim() === "") {
    return misused('say why it is given up for good: --note "the camera was in test mode"');
  }
  return null;
}

async function holdAll(nats: NatsService, parked: ReadonlyArray<Parked>): Promise<ReadonlyArray<Target>> {
  const targets: Array<Target> = [];
  const step = 500;
  for (let at = 0; at < parked.length; at += step) {
    const some = parked.slice(at, at + step);
    const keys = some.map((one) => recordKey(one.place));
    const entries = await getManyUnsafe(nats, ledgerBucket, keys);
    some.forEach(({ place }, i) => {
      const entry = entries[i] ?? null;
      const key = keys[i] ?? "";
      if (entry === null || entry.ended) return;
      targets.push({ place, held: { key, revision: entry.revision, record: decodeRecord(key, entry.data) } });
    });
  }
  return targets;
}

const targetsOf = (
  link: SiteLink,
  options: DecideOptions,
): Effect.Effect<ReadonlyArray<Target>, CommandFailed> =>
  options.ids.length > 0
    ? Effect.forEach([...new Set(options.ids)], (id) => needRecord(link.site, link.nats, id))
    : Effect.gen(function* () {
        const parked = yield* Effect.flatMap(readParked(link.nats), (all) => chosen(link.site, all, options));
        return yield* Effect.tryPromise({ try: () => holdAll(link.nats, parked), catch: ofCause });
      });

const past: Readonly<Record<Decision, string>> = { replay: "put back", discard: "given up for good" };

function report(io: IoService, verb: Decision, decided: ReadonlyArray<Decided>, json: boolean): void {
  if (json) {
    sayJson(
      io,
      decided.map(({ key, name, done, words }) => ({ key, name, done, words })),
    );
    return;
  }
  const good = decided.filter((one) => one.done);
  if (good.length <= 10) for (const one of good) say(io, `${harmless(one.name)}: ${one.words}`);
  else say(io, `${plural(good.length, "item")} ${past[verb]}`);
  for (const one of decided) if (!one.done) tell(io, `${harmless(one.name)}: ${harmless(one.words)}`);
}

export const decide = (
  io: IoService,
  verb: Decision,
  options: DecideOptions,
): Effect.Effect<void, CommandFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const fault = faultOf(verb, options);
    if (fault !== null) return yield* fault;
    const link = yield* openOwnSite(io, options.site);
    const targets = yield* targetsOf(link, options);
    if (targets.length === 0) return yield* no("nothing is parked");
    const note = options.note ?? `orrery parked ${verb}`;
    const decided = yield* decideAll(link, verb, targets, note, operator());
    report(io, verb, decided, options.json);
    const left = decided.filter((one) => !one.done).length;
    if (left === 0) return undefined;
    if (options.json) return yield* new CommandFailed({ exit: exitCode.failure, message: "" });
    return yield* failed(`${plural(left, "item")} of ${count(decided.length)} left as before`);
  });
