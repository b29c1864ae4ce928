/**
 * The account of a night: what was sent against what is true at its end. Pure.
 *
 * Each announced object must have exactly one record, in the one state that was expected of it, reached once; nothing
 * may stand in the ledger that was not sent; each group must be present, or not, by both ways of asking; each complete
 * exposure must have one run that is done, with its products known.
 */
import { recordKey, objectTail, placeOfIndexKey, placeOfWaitingKey, noDay } from "../protocol/keys.ts";
import type { FileBody, LedgerRecord } from "../protocol/records.ts";
import { partitionName } from "../protocol/runs.ts";
import type { Evidence, Found, Presence } from "./evidence.ts";
import { nameOfRecord } from "./evidence.ts";
import type { PlannedExposure } from "./nightPlan.ts";
import type { Sent } from "./sender.ts";
import type { Kill } from "./theKill.ts";

export interface Told {
  readonly sent: ReadonlyMap<string, Sent>;
  readonly exposures: ReadonlyArray<PlannedExposure>;
  /** Records sent that name no object. */
  readonly nameless: number;
  readonly webhooks: number;
  readonly wrongAnswers: ReadonlyArray<string>;
  /** Text that only this night's nameless records hold. */
  readonly mark: string;
  readonly day: string;
  readonly lane: string;
  readonly products: { readonly lane: string; readonly bucket: string };
  /** URI that a look-up of an object must give. */
  readonly uri: (bucket: string, key: string) => string;
  readonly kill: Kill | null;
  readonly faults: ReadonlyArray<string>;
}

export interface Tally {
  readonly right: number;
  readonly of: number;
}

export interface Account {
  readonly objects: number;
  readonly webhooks: number;
  readonly known: Tally;
  readonly parked: Tally;
  /** Expected reasons and how many are parked for each. */
  readonly reasons: ReadonlyMap<string, number>;
  readonly repeated: Tally;
  readonly refused: Tally;
  readonly present: Tally;
  readonly absent: Tally;
  readonly looks: Tally;
  /** Exposures that lack a detector for good. */
  readonly lacking: number;
  /** Of the files that the killed node had in hand: those that are settled. */
  readonly rescued: Tally;
  /** Everything that is not as it should be, in words. */
  readonly faults: ReadonlyArray<string>;
}

const terminal = new Set(["known", "parked"]);
const ends = (record: LedgerRecord): number =>
  record.history.filter(({ event }) => terminal.has(event)).length;

export function accountOf(told: Told, evidence: Evidence): Account {
  const faults = [...told.faults, ...told.wrongAnswers];
  const expected = new Set<string>();
  const counts = { known: 0, parked: 0, repeated: 0, refused: 0 };
  const wanted = { known: 0, parked: told.nameless, repeated: 0, refused: 0 };
  const reasons = new Map<string, number>();
  for (const sent of told.sent.values()) {
    const { object, record } = sent;
    expected.add(record);
    const { state } = object.expected;
    wanted[state]++;
    const fault = faultOfFile(sent, evidence.files.get(record) ?? null) ?? faultOfArrivals(sent, evidence);
    if (fault !== null) {
      faults.push(`${nameOfRecord(record)}: ${fault}`);
    } else {
      counts[state]++;
      if (object.expected.state === "parked") addTo(reasons, object.expected.reason);
    }
    const repeated = sent.announced > sent.etags.length;
    if (repeated) wanted.repeated++;
    if (repeated && fault === null) counts.repeated++;
    if (sent.etags.length > 1) wanted.refused++;
    if (sent.etags.length > 1 && fault === null) counts.refused++;
  }
  counts.parked += nameless(told, evidence, expected, reasons, faults);
  const looks = accountOfLooks(told, evidence, expected, faults);
  faults.push(...strangers(told, evidence, expected), ...leftOver(told, evidence, expected));
  const presence = accountOfPresence(told, evidence.presence, faults);
  return {
    objects: told.sent.size + told.nameless,
    webhooks: told.webhooks,
    known: { right: counts.known, of: wanted.known },
    parked: { right: counts.parked, of: wanted.parked },
    repeated: { right: counts.repeated, of: wanted.repeated },
    refused: { right: counts.refused, of: wanted.refused },
    reasons,
    ...presence,
    looks,
    lacking: told.exposures.filter(({ complete }) => !complete).length,
    rescued: accountOfKill(told.kill, evidence, faults),
    faults,
  };
}

const addTo = (counts: Map<string, number>, name: string): void =>
  void counts.set(name, (counts.get(name) ?? 0) + 1);

/** Null where the record is as it should be. */
function faultOfFile({ object, etags }: Sent, record: LedgerRecord<FileBody> | null): string | null {
  const { expected } = object;
  if (record === null) return "it was announced and has no record";
  if (record.state !== expected.state) {
    const why = record.errors.at(-1);
    return `${record.state}${why === undefined ? "" : ` (${why.reason})`}, should be ${expected.state}`;
  }
  const reason = record.errors.at(-1)?.reason ?? "";
  if (expected.state === "parked" && reason !== expected.reason) {
    return `parked as ${reason}, should be ${expected.reason}`;
  }
  if (record.etag !== etags[0]) return `its record has content ${record.etag}, the first was ${etags[0]}`;
  if (ends(record) !== 1) return `it ended ${ends(record)} times`;
  const refused = (record.refused ?? []).map(({ etag }) => etag);
  const other = expected.state === "known" && expected.refused === true ? etags.slice(1) : [];
  if (refused.join() !== other.join())
    return `${refused.length} other contents refused, should be ${other.length}`;
  return null;
}

/** However often it was announced, each content came in once. */
function faultOfArrivals({ object, etags, record }: Sent, { arrivals, files }: Evidence): string | null {
  // What no lane takes never becomes an arrival.
  if (files.get(record)?.body.sequence === 0) return null;
  const stored = arrivals.get(object.key) ?? new Map<string, number>();
  for (const etag of etags) {
    const times = stored.get(etag) ?? 0;
    if (times !== 1) return `its content ${etag} came in ${times} times, should be once`;
  }
  return stored.size === etags.length ? null : `${stored.size} contents came in, ${etags.length} were sent`;
}

/** Records that name no object are parked with their own text. @returns how many of them are */
function nameless(
  told: Told,
  evidence: Evidence,
  expected: Set<string>,
  reasons: Map<string, number>,
  faults: Array<string>,
): number {
  let found = 0;
  for (const [key, record] of evidence.files) {
    if (record.body.raw?.includes(told.mark) !== true) continue;
    expected.add(key);
    found++;
    addTo(reasons, record.errors.at(-1)?.reason ?? "?");
  }
  if (found !== told.nameless)
    faults.push(`${found} records without an object are parked, ${told.nameless} were sent`);
  return found;
}

function accountOfLooks(told: Told, evidence: Evidence, expected: Set<string>, faults: Array<string>): Tally {
  const byExposure = new Map<string, Array<string>>();
  for (const [key, { body }] of evidence.runs) {
    const exposure = partitionName(body.partition);
    byExposure.set(exposure, [...(byExposure.get(exposure) ?? []), key]);
  }
  let right = 0;
  let of = 0;
  for (const exposure of told.exposures) {
    const runs = byExposure.get(exposure.name) ?? [];
    byExposure.delete(exposure.name);
    if (!exposure.complete) {
      if (runs.length > 0)
        faults.push(`${exposure.name}: a quick-look was made although a detector is missing`);
      continue;
    }
    of++;
    const fault = faultOfLook(exposure.name, runs, told, evidence, expected);
    if (fault === null) right++;
    else faults.push(`quick-look of ${exposure.name}: ${fault}`);
  }
  for (const exposure of byExposure.keys())
    faults.push(`${exposure}: a run of an exposure that was not sent`);
  return { right, of };
}

function faultOfLook(
  exposure: string,
  runs: ReadonlyArray<string>,
  told: Told,
  evidence: Evidence,
  expected: Set<string>,
): string | null {
  if (runs.length !== 1) return `${runs.length} runs, should be one`;
  const run = evidence.runs.get(runs[0] ?? "");
  if (run === undefined || run.state !== "done") return `its run is ${run?.state ?? "gone"}`;
  const times = run.history.filter(({ event }) => event === "done").length;
  if (times !== 1) return `its run was done ${times} times`;
  if (run.body.outputs === null || run.body.outputs.length === 0) return "its run has no products";
  for (const { bucket, key } of run.body.outputs) {
    const place = { mailbox: told.products.lane, day: told.day, tail: objectTail(bucket, key) };
    const record = recordKey(place);
    expected.add(record);
    const file = evidence.files.get(record);
    if (file === undefined || file.state !== "known")
      return `its product ${key} is ${file?.state ?? "not known"}`;
    if (ends(file) !== 1) return `its product ${key} ended ${ends(file)} times`;
  }
  return evidence.pictures.has(exposure) ? null : "its picture is not there, or is no PNG";
}

/** Records that nobody sent. Those that name no day may be of other nights. */
function strangers(told: Told, { files }: Evidence, expected: ReadonlySet<string>): ReadonlyArray<string> {
  return [...files.keys()]
    .filter((key) => key.split(".")[2] === told.day && !expected.has(key))
    .map((key) => `${nameOfRecord(key)}: it has a record, but was never sent`);
}

/** Everything in hand, due or waiting, and every parked index that has no parked record. */
function leftOver(told: Told, evidence: Evidence, expected: ReadonlySet<string>): ReadonlyArray<string> {
  const faults: Array<string> = [];
  for (const [key, slot] of evidence.slots) {
    if (slot.state === "claimed") faults.push(`${key} still holds ${slot.items.length} items`);
  }
  const parked = new Set<string>();
  for (const key of evidence.indexes) {
    const place = key.startsWith("waiting.") ? placeOfWaitingKey(key)?.place : placeOfIndexKey(key);
    const record = place == null ? key : recordKey(place);
    if (place?.day !== told.day && !(place?.day === noDay && expected.has(record))) continue;
    if (key.startsWith("parked.")) parked.add(record);
    else faults.push(`${key} was left behind`);
  }
  for (const record of expected) {
    const file = evidence.files.get(record);
    const shown = file?.state === "parked" || (file?.refused?.length ?? 0) > 0;
    if (file !== undefined && shown !== parked.has(record)) {
      faults.push(
        `${nameOfRecord(record)}: ${shown ? "parked, but not listed as such" : "listed as parked, but is not"}`,
      );
    }
  }
  return faults;
}

function accountOfPresence(
  told: Told,
  presence: ReadonlyArray<Presence>,
  faults: Array<string>,
): { readonly present: Tally; readonly absent: Tally } {
  const present = { right: 0, of: 0 };
  const absent = { right: 0, of: 0 };
  for (const { group, object, http, nats } of presence) {
    const here = object.expected.state === "known";
    const wanted = here ? told.uri(object.bucket, object.key) : null;
    const tally = here ? present : absent;
    tally.of++;
    if (http === wanted && nats === wanted) tally.right++;
    else {
      const name = `${group.group}/${group.snap}/${group.detector}`;
      faults.push(
        `presence of ${name}: HTTP ${wordsOf(http)}, NATS ${wordsOf(nats)}, should be ${wordsOf(wanted)}`,
      );
    }
  }
  return { present, absent };
}

const wordsOf = (found: Found): string =>
  found === null ? "absent" : typeof found === "string" ? `present (${found})` : `no answer (${found.fault})`;

function accountOfKill(kill: Kill | null, { files }: Evidence, faults: Array<string>): Tally {
  if (kill === null) {
    faults.push("the second node was never caught with a batch in hand");
    return { right: 0, of: 0 };
  }
  if (kill.takenBack === null) faults.push("nobody took the killed node's batch back");
  let right = 0;
  for (const { record } of kill.items) {
    const file = files.get(record);
    if (file !== undefined && terminal.has(file.state) && ends(file) === 1) right++;
    else
      faults.push(
        `${nameOfRecord(record)}: it was in hand when its node was killed, and is ${file?.state ?? "gone"}`,
      );
  }
  return { right, of: kill.items.length };
}
