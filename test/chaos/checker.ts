/**
 * The history checker: from what was accepted, what the ledger says and said, and what the ingester did, it proves the ledger's
 * invariants or says in words which one was broken. Pure. Evidence is gathered when nothing is under way any more.
 */
import { claimOfKey, placeOfRecordKey } from "../../src/protocol/keys.ts";
import { indexKeyOf } from "../../src/protocol/lifecycle.ts";
import type { ClaimedItem, ClaimSlot, LedgerRecord } from "../../src/protocol/records.ts";
import { isTerminal } from "../../src/protocol/records.ts";
import type { IngestNote } from "../support/nodePlan.ts";

export interface Revision {
  readonly key: string;
  readonly revision: number;
  /** Epoch milliseconds. */
  readonly at: number;
  /** A delete marker. */
  readonly ended: boolean;
  readonly value: unknown;
}

/** An object whose notification was answered 200. */
export interface Accepted {
  readonly record: string;
  readonly etag: string;
}

export interface ArrivalSeen extends Accepted {
  readonly sequence: number;
  readonly generation: number;
}

/** A span in which a node's process ran, and was not stopped. */
export interface Life {
  readonly node: string;
  readonly from: number;
  /** Infinity while it goes on. */
  to: number;
}

export interface Evidence {
  readonly accepted: ReadonlyArray<Accepted>;
  /** Keys that have a value now. */
  readonly ledger: ReadonlyArray<Revision>;
  /** Every revision that was seen, in order; gaps are survived. */
  readonly history: ReadonlyArray<Revision>;
  readonly arrivals: ReadonlyArray<ArrivalSeen>;
  /** Messages not yet acknowledged, and the sequence up to which all are. */
  readonly pending: number;
  readonly ackFloor: number;
  readonly ingests: ReadonlyArray<IngestNote>;
  readonly lives: ReadonlyArray<Life>;
}

type Claimed = Extract<ClaimSlot, { state: "claimed" }>;

/** A node that has run for this long without a break and is reclaimed was taken for dead. */
const surelyAliveMs = 3_000;

const isRecord = (key: string): boolean => key.startsWith("file.");
const recordIn = (revision: Revision): LedgerRecord => revision.value as LedgerRecord;
const slotIn = (revision: Revision): ClaimSlot => revision.value as ClaimSlot;

function byKey(revisions: ReadonlyArray<Revision>): Map<string, Array<Revision>> {
  const keys = new Map<string, Array<Revision>>();
  for (const revision of revisions) {
    const of = keys.get(revision.key);
    if (of === undefined) keys.set(revision.key, [revision]);
    else of.push(revision);
  }
  return keys;
}

/** Every violation of the invariants; none when they hold. */
export function violations(evidence: Evidence): ReadonlyArray<string> {
  const claims = claimsOf(evidence);
  return [
    ...lostOrTwice(evidence),
    ...indexesDisagree(evidence),
    ...settledAgain(evidence),
    ...withoutWayBack(evidence),
    ...claimsMisused(evidence),
    ...generationsMisused(evidence, claims),
    ...staleWork(evidence, claims),
    ...cameBack(evidence),
    ...knownUnmade(evidence),
    ...takenForDead(evidence),
  ];
}

/** What is not ended: for a run that should have come to rest. */
export function unfinished({ accepted, ledger }: Evidence): ReadonlyArray<string> {
  const records = new Map(ledger.map((entry) => [entry.key, entry]));
  const keys = new Set(accepted.map(({ record }) => record));
  return [...keys].flatMap((key) => {
    const entry = records.get(key);
    if (entry === undefined) return [`${key} has no record`];
    const { state } = recordIn(entry);
    return isTerminal(state) ? [] : [`${key} is still ${state}`];
  });
}

function lostOrTwice({ accepted, ledger, arrivals, pending, ackFloor }: Evidence): ReadonlyArray<string> {
  const found: Array<string> = [];
  const records = new Map(ledger.map((entry) => [entry.key, entry]));
  const inClaims = new Set(
    ledger.flatMap((entry) => {
      const slot = entry.key.startsWith("claim.") ? slotIn(entry) : null;
      return slot?.state === "claimed" ? slot.items.map((item) => item.record) : [];
    }),
  );
  const underWay = new Set(
    pending === 0 ? [] : arrivals.filter(({ sequence }) => sequence > ackFloor).map(({ record }) => record),
  );
  for (const { record: key, etag } of accepted) {
    const entry = records.get(key);
    const pendingStill = inClaims.has(key) || underWay.has(key);
    if (entry === undefined) {
      if (!pendingStill) found.push(`lost: ${key} was answered 200 and has no record, and nothing brings it`);
      continue;
    }
    const record = recordIn(entry);
    const contents = [record, ...(record.refused ?? []), ...(record.superseded ?? [])];
    if (!pendingStill && isTerminal(record.state) && !contents.some((content) => content.etag === etag)) {
      found.push(`lost: content ${etag} of ${key} was answered 200 and its record does not know it`);
    }
  }
  const byObject = new Map<string, string>();
  for (const key of records.keys()) {
    const place = isRecord(key) ? placeOfRecordKey(key) : null;
    if (place === null) continue;
    const object = `${place.mailbox} ${place.tail}`;
    const other = byObject.get(object);
    if (other !== undefined) found.push(`twice: one object has two records, ${other} and ${key}`);
    byObject.set(object, key);
  }
  return found;
}

function indexesDisagree({ ledger }: Evidence): ReadonlyArray<string> {
  const found: Array<string> = [];
  const wanted = new Map<string, string>();
  for (const entry of ledger) {
    const place = isRecord(entry.key) ? placeOfRecordKey(entry.key) : null;
    const index = place === null ? null : indexKeyOf(place, recordIn(entry));
    if (index !== null) wanted.set(index, `${entry.key}, which is ${recordIn(entry).state}`);
  }
  const there = new Set(ledger.map(({ key }) => key).filter((key) => /^(due|waiting|parked)\./.test(key)));
  for (const [index, whose] of wanted)
    if (!there.has(index)) found.push(`no way back: ${index} is missing for ${whose}`);
  for (const index of there)
    if (!wanted.has(index)) found.push(`index without reason: ${index} stands, and no record asks for it`);
  return found;
}

/** Whether a terminal record may become the next one: replaced by name, refused, replayed or given up by a person. */
function mayFollow(before: LedgerRecord, after: LedgerRecord): boolean {
  const asked = after.history.at(-1)?.event;
  if (asked === "replayed" || asked === "discarded") return true;
  if (after.etag !== before.etag) {
    // A parked content was never taken in: another one of the same name is a new try.
    return before.state === "parked" || (after.superseded ?? []).some((old) => old.etag === before.etag);
  }
  if (after.state !== before.state) return false;
  return (after.refused?.length ?? 0) > (before.refused?.length ?? 0) || after.crashes > before.crashes;
}

function settledAgain({ history }: Evidence): ReadonlyArray<string> {
  const found: Array<string> = [];
  for (const [key, revisions] of byKey(history.filter(({ key }) => isRecord(key)))) {
    for (let i = 1; i < revisions.length; i++) {
      const [before, after] = [revisions[i - 1], revisions[i]];
      if (before === undefined || after === undefined) continue;
      if (after.ended) {
        found.push(`removed: ${key} ended at revision ${after.revision}, and no record may`);
        continue;
      }
      if (before.ended || !isTerminal(recordIn(before).state)) continue;
      if (!mayFollow(recordIn(before), recordIn(after))) {
        found.push(
          `settled twice: ${key} was ${recordIn(before).state} by ${recordIn(before).claim} at revision ${before.revision}, and was ` +
            `made ${recordIn(after).state} by ${recordIn(after).claim} at ${after.revision}`,
        );
      }
    }
  }
  return found;
}

/** A record that is not terminal is written together with the index that brings it back: next to it, in one transaction. */
function withoutWayBack({ history }: Evidence): ReadonlyArray<string> {
  const at = new Map(history.map((revision) => [revision.revision, revision]));
  return history.flatMap((revision) => {
    if (!isRecord(revision.key) || revision.ended || isTerminal(recordIn(revision).state)) return [];
    const place = placeOfRecordKey(revision.key);
    const index = place === null ? null : indexKeyOf(place, recordIn(revision));
    if (index === null)
      return [`no way back: ${revision.key} is ${recordIn(revision).state} at ${revision.revision}`];
    const next = [at.get(revision.revision + 1), at.get(revision.revision + 2)];
    // What was not seen is not judged.
    if (next.includes(undefined)) return [];
    return next.some((beside) => beside?.key === index && !beside.ended)
      ? []
      : [
          `no way back: ${revision.key} became ${recordIn(revision).state} at ${revision.revision} without ${index}`,
        ];
  });
}

interface ClaimSeen {
  readonly slot: string;
  readonly revision: number;
  readonly claim: Claimed;
}

function claimsOf({ history }: Evidence): Map<string, ClaimSeen> {
  const claims = new Map<string, ClaimSeen>();
  for (const { key, revision, value, ended } of history) {
    if (!key.startsWith("claim.") || ended) continue;
    const slot = value as ClaimSlot;
    if (slot.state === "claimed") claims.set(slot.id, { slot: key, revision, claim: slot });
  }
  return claims;
}

/** A slot goes from idle to claimed and back; a claim ends once, in the slot that held it. */
function claimsMisused({ history }: Evidence): ReadonlyArray<string> {
  const found: Array<string> = [];
  const ended = new Map<string, number>();
  const begun = new Map<string, number>();
  const seen = new Set(history.map(({ revision }) => revision));
  for (const [key, revisions] of byKey(history.filter(({ key }) => key.startsWith("claim.")))) {
    let before: { readonly slot: ClaimSlot; readonly revision: number } | null = null;
    for (const revision of revisions) {
      if (revision.ended) {
        found.push(`removed: claim slot ${key} ended at revision ${revision.revision}`);
        continue;
      }
      const slot = slotIn(revision);
      if (slot.state === "claimed") {
        const first = begun.get(slot.id);
        if (first !== undefined)
          found.push(`claimed twice: ${slot.id} at revisions ${first} and ${revision.revision}`);
        begun.set(slot.id, revision.revision);
        if (before?.slot.state === "claimed" && isWhole(seen, before.revision, revision.revision)) {
          found.push(
            `claim lost: ${before.slot.id} in ${key} was overwritten by ${slot.id} without having ended`,
          );
        }
      } else if (slot.last !== null) {
        const first = ended.get(slot.last);
        if (first !== undefined) {
          found.push(
            `ended twice: claim ${slot.last} at revisions ${first} and ${revision.revision} (${slot.how})`,
          );
        }
        ended.set(slot.last, revision.revision);
      }
      before = { slot, revision: revision.revision };
    }
  }
  return found;
}

function isWhole(seen: ReadonlySet<number>, from: number, to: number): boolean {
  for (let revision = from; revision <= to; revision++) if (!seen.has(revision)) return false;
  return true;
}

/** A record's generation never falls, and each generation of a content is ended by one claim at most. */
function generationsMisused(
  { history }: Evidence,
  claims: ReadonlyMap<string, ClaimSeen>,
): ReadonlyArray<string> {
  const found: Array<string> = [];
  for (const [key, revisions] of byKey(history.filter(({ key, ended }) => isRecord(key) && !ended))) {
    const endedBy = new Map<string, string>();
    let before: LedgerRecord | null = null;
    for (const revision of revisions) {
      const record = recordIn(revision);
      if (before !== null && record.generation < before.generation) {
        found.push(
          `went back: ${key} fell from generation ${before.generation} to ${record.generation} at revision ${revision.revision}`,
        );
      }
      const item =
        record.claim === null || record.claim === before?.claim
          ? undefined
          : claims.get(record.claim)?.claim.items.find((held) => held.record === key);
      if (item !== undefined && record.claim !== null) {
        const generation = `${item.etag} of generation ${item.generation}`;
        const other = endedBy.get(generation);
        if (other !== undefined)
          found.push(`settled twice: ${key}, ${generation}, by ${other} and by ${record.claim}`);
        endedBy.set(generation, record.claim);
      }
      before = record;
    }
  }
  return found;
}

/** What is worked on carries the generation of the message that stands for it, unless it is other content than the record's. */
function staleWork(
  { arrivals, history }: Evidence,
  claims: ReadonlyMap<string, ClaimSeen>,
): ReadonlyArray<string> {
  const bySequence = new Map(arrivals.map((arrival) => [arrival.sequence, arrival]));
  const records = byKey(history.filter(({ key }) => isRecord(key)));
  const etagBefore = (item: ClaimedItem, revision: number): string | null => {
    const before = (records.get(item.record) ?? []).filter((r) => r.revision < revision).at(-1);
    return before === undefined ? null : recordIn(before).etag;
  };
  return [...claims.values()].flatMap(({ revision, claim, slot }) =>
    claim.items.flatMap((item) => {
      const arrival = bySequence.get(item.sequence);
      if (arrival === undefined || arrival.generation === item.generation) return [];
      const known = etagBefore(item, revision);
      if (known === null || known !== item.etag) return [];
      return [
        `stale work: ${item.record} was claimed in ${slot} as generation ${item.generation} for message ${item.sequence} of ` +
          `generation ${arrival.generation}`,
      ];
    }),
  );
}

/** Nothing that was displaced or ended stands again. */
function cameBack({ ledger, history }: Evidence): ReadonlyArray<string> {
  const last = new Map<string, Revision>();
  for (const revision of history) last.set(revision.key, revision);
  return ledger.flatMap((entry) => {
    const newest = last.get(entry.key);
    if (newest === undefined || newest.revision <= entry.revision) return [];
    const what = newest.ended ? "was ended" : "was written";
    return [
      `came back: ${entry.key} stands at revision ${entry.revision}, although it ${what} at ${newest.revision}`,
    ];
  });
}

/** What is known was taken in: the ingester ended a batch with that content in it. */
function knownUnmade({ ledger, ingests }: Evidence): ReadonlyArray<string> {
  const made = new Set(
    ingests.flatMap(({ what, items }) =>
      what === "end" ? items.map(({ record, etag }) => `${record} ${etag}`) : [],
    ),
  );
  return ledger.flatMap(({ key, value }) => {
    if (!isRecord(key)) return [];
    const { state, etag } = value as LedgerRecord;
    return state !== "known" || made.has(`${key} ${etag}`)
      ? []
      : [`never made: ${key} is known with content ${etag}, which no ingester has taken in`];
  });
}

/** A claim is taken only from a node that is dead or stopped, or by the node itself. */
function takenForDead({ history, lives }: Evidence): ReadonlyArray<string> {
  return history.flatMap((revision) => {
    if (!revision.key.startsWith("claim.") || revision.ended) return [];
    const slot = slotIn(revision);
    const owner = claimOfKey(revision.key);
    if (slot.state !== "idle" || slot.how !== "reclaimed" || owner === null || slot.by === owner.node)
      return [];
    const alive = lives.some(
      (life) =>
        life.node === owner.node && life.from <= revision.at - surelyAliveMs && life.to >= revision.at,
    );
    return alive
      ? [
          `taken for dead: ${slot.by} took claim ${slot.last} from ${owner.node}, which was alive (revision ${revision.revision}, ${new Date(revision.at).toISOString()})`,
        ]
      : [];
  });
}
