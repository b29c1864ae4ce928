/**
 * What the world outside was told, judged against the ledger: receivers of webhooks, and whoever asks whether a file is there. Pure.
 * Evidence is gathered when nothing is under way any more.
 */
import { toldOf } from "../../src/protocol/webhooks.ts";
import type { FileBody, LedgerRecord } from "../../src/protocol/records.ts";
import type { Revision } from "./checker.ts";

/** One request that the receiver has answered 2xx. */
export interface ToldRequest {
  readonly exposure: string;
  readonly filenames: ReadonlyArray<string>;
}

export interface LookUp {
  readonly group: string;
  /** Epoch milliseconds: when the question was sent. */
  readonly askedAt: number;
  /** 0: there was no answer. */
  readonly status: number;
  /** Null: the answer says that it is not there. */
  readonly uri: string | null;
}

export interface OutsideEvidence {
  readonly ledger: ReadonlyArray<Revision>;
  /** As the checker's. */
  readonly history: ReadonlyArray<Revision>;
  /** In order. */
  readonly told: ReadonlyArray<ToldRequest>;
  /** By group: when it was announced first, in epoch milliseconds. */
  readonly announced: ReadonlyMap<string, number>;
  /** By group: the uri that it may have; groups that nobody ever sent are not here. */
  readonly sent: ReadonlyMap<string, string>;
  readonly lookUps: ReadonlyArray<LookUp>;
}

/** Everything that was told wrongly, or not at all; none when all is well. */
export function toldWrongly(evidence: OutsideEvidence): ReadonlyArray<string> {
  return [...untold(evidence), ...presenceWrong(evidence), ...presenceMissing(evidence)];
}

interface KnownFile {
  readonly key: string;
  readonly filename: string;
  readonly revision: number;
}

function knownByExposure(ledger: ReadonlyArray<Revision>): Map<string, Array<KnownFile>> {
  const found = new Map<string, Array<KnownFile>>();
  for (const { key, value, revision } of ledger) {
    if (!key.startsWith("file.")) continue;
    const told = toldOf(key, value as LedgerRecord<FileBody>);
    if (told === null) continue;
    const of = found.get(told.exposure);
    const file = { key, filename: told.filename, revision };
    if (of === undefined) found.set(told.exposure, [file]);
    else of.push(file);
  }
  return found;
}

/** Nobody but the site puts anything into the catalog: what is taken for the catalog's own is never told. */
function takenForOlder(ledger: ReadonlyArray<Revision>): ReadonlyArray<string> {
  return ledger.flatMap(({ key, value }) =>
    key.startsWith("file.") && (value as LedgerRecord<FileBody>).body.catalogHadIt === true
      ? [`untold: ${key} was taken for something that the catalog had before`]
      : [],
  );
}

/** Each known file of each exposure was told at least once, and what was told stands in the ledger. */
function untold({ ledger, told }: OutsideEvidence): ReadonlyArray<string> {
  const known = knownByExposure(ledger);
  const heard = new Map<string, Set<string>>();
  for (const { exposure, filenames } of told) {
    const of = heard.get(exposure) ?? new Set();
    heard.set(exposure, of);
    for (const filename of filenames) of.add(filename);
  }
  const found: Array<string> = [...takenForOlder(ledger)];
  for (const [exposure, files] of known) {
    for (const { filename } of files) {
      if (heard.get(exposure)?.has(filename) !== true)
        found.push(`untold: the receiver never heard of ${filename} of ${exposure}, which is known`);
    }
  }
  for (const [exposure, filenames] of heard) {
    const there = new Set(known.get(exposure)?.map(({ filename }) => filename));
    for (const filename of filenames) {
      if (!there.has(filename))
        found.push(`told too much: the receiver heard of ${filename} of ${exposure}, which is not known`);
    }
  }
  return found;
}

/**
 * Of each exposure, what was told first comes in the order of the ledger. A record that is written again once it is known takes a later
 * place there; told before or after that, it has two places, and either is right.
 */
export function outOfOrder({ ledger, history, told }: OutsideEvidence): ReadonlyArray<string> {
  const since = new Map<string, number>();
  for (const { key, value, revision } of history) {
    if (key.startsWith("file.") && (value as LedgerRecord | null)?.state === "known" && !since.has(key))
      since.set(key, revision);
  }
  const requests = new Map<string, Array<ToldRequest>>();
  for (const request of told)
    requests.set(request.exposure, [...(requests.get(request.exposure) ?? []), request]);
  return [...knownByExposure(ledger)].flatMap(([exposure, files]) => {
    const byName = new Map(files.map((file) => [file.filename, file]));
    const first = ({ key, revision }: KnownFile): number => since.get(key) ?? revision;
    const found: Array<string> = [];
    const before: Array<KnownFile> = [];
    const heard = new Set<string>();
    for (const request of requests.get(exposure) ?? []) {
      // Within one request the order says nothing: its files are told together.
      const fresh = request.filenames.flatMap((name) => (heard.has(name) ? [] : (byName.get(name) ?? [])));
      for (const file of fresh) {
        heard.add(file.filename);
        const late = before.find((one) => one.revision > file.revision && first(one) > first(file));
        if (late !== undefined)
          found.push(
            `out of order: ${file.filename} of ${exposure}, known since revision ${first(file)} and written last at ${file.revision}, was ` +
              `told after ${late.filename}, known since ${first(late)} and written last at ${late.revision}`,
          );
      }
      before.push(...fresh);
    }
    return found;
  });
}

/** Once announced, a group is there whoever is asked, with its uri; a group that nobody sent never is. */
function presenceWrong({ announced, sent, lookUps }: OutsideEvidence): ReadonlyArray<string> {
  return lookUps.flatMap(({ group, askedAt, status, uri }) => {
    const when = new Date(askedAt).toISOString();
    if (status === 0 || status === 503) return [];
    if (status !== 200) return [`presence wrong: ${group} was answered ${status} at ${when}`];
    const announcedAt = announced.get(group) ?? Infinity;
    if (uri === null) {
      return announcedAt < askedAt
        ? [
            `presence wrong: ${group} was announced at ${new Date(announcedAt).toISOString()} and said to be absent at ${when}`,
          ]
        : [];
    }
    return uri === sent.get(group) ? [] : [`presence wrong: ${group} was said to be ${uri} at ${when}`];
  });
}

/** The group of each known file is there at the end: looked up at rest. */
function presenceMissing({ ledger, lookUps }: OutsideEvidence): ReadonlyArray<string> {
  const last = new Map(lookUps.filter(({ status }) => status === 200).map((one) => [one.group, one]));
  return ledger.flatMap(({ key, value }) => {
    if (!key.startsWith("file.")) return [];
    const { state, body } = value as LedgerRecord<FileBody>;
    const { group = null, detector = null } = body.identity ?? {};
    if (state !== "known" || group === null || detector === null) return [];
    const looked = last.get(`${group}/${detector}`);
    if (looked === undefined) return [`presence unknown: nobody could say whether ${key} is there`];
    return looked.uri === null ? [`presence wrong: ${key} is known and its group is absent`] : [];
  });
}
