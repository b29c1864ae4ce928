/**
 * An operator's decision about parked records: each expects the revision that was read, so that a record which changed
 * meanwhile is left alone and said to be. What could never come back by being put into the queue is not put there.
 */
import * as Effect from "effect/Effect";
import { unrouted } from "../actors/frontDoor.ts";
import { arrivalSubject, mailboxKind } from "../protocol/keys.ts";
import type { Place } from "../protocol/keys.ts";
import { arrivalId, encodeArrival, replayed as announcedAgain } from "../protocol/arrival.ts";
import { discarded, replayed } from "../protocol/lifecycle.ts";
import type { Moment, Settlement } from "../protocol/lifecycle.ts";
import type { FileBody, LedgerRecord } from "../protocol/records.ts";
import { Router } from "../protocol/route.ts";
import { writesOf } from "../jetstream/claims.ts";
import type { Held } from "../jetstream/ledger.ts";
import { getRecordUnsafe } from "../jetstream/ledger.ts";
import type { Write } from "../jetstream/transaction.ts";
import { commitUnsafe, publishUnsafe } from "../jetstream/transaction.ts";
import type { JetStreamError } from "../protocol/errors.ts";
import type { CommandFailed } from "./failures.ts";
import { ofCause } from "./failures.ts";
import { nameOf } from "./ids.ts";
import type { SiteLink } from "./site.ts";
import { isOpenToDecision, standingOf } from "./standing.ts";

export type Decision = "replay" | "discard";

export interface Target {
  readonly place: Place;
  readonly held: Held<unknown>;
}

export interface Decided {
  readonly key: string;
  readonly name: string;
  readonly done: boolean;
  readonly words: string;
}

const commitMs = 5_000;
/** Three writes each: well below what one transaction holds. */
const together = 200;

const isError = (value: object): value is JetStreamError => "_tag" in value;

/** Why putting it back would lead nowhere; null where it would not. */
function deadEnd(link: SiteLink, place: Place, record: LedgerRecord): string | null {
  const { site } = link;
  if (mailboxKind(place.mailbox) !== "file") return null;
  const body = record.body as Partial<FileBody>;
  if ((body.bucket ?? "") === "" || (body.key ?? "") === "") {
    return "it cannot be put back: what came says of no object; discard it";
  }
  if (place.mailbox === unrouted || site.lanes.has(place.mailbox)) return null;
  return `it cannot be put back: site ${site.name} has no lane ${place.mailbox}; put the lane back into the site file, or discard it`;
}

/** The arrival under which an object that no lane took comes in again; null where still none takes it. */
function announcement(
  link: SiteLink,
  record: LedgerRecord,
): { readonly lane: string; readonly write: Write } | null {
  const { bucket, key, size } = record.body as FileBody;
  const routed = new Router(link.site.lanes.values()).route(bucket, key);
  if (routed.type !== "lane") return null;
  const { lane, facts } = routed;
  const { etag } = record;
  return {
    lane: lane.name,
    write: {
      subject: arrivalSubject(lane.name, facts.instrument, facts.day),
      messageId: arrivalId(bucket, key, etag, "replay", 0),
      data: encodeArrival({
        bucket,
        key,
        etag,
        size,
        instrument: facts.instrument,
        day: facts.day,
        generation: 0,
        via: announcedAgain,
        receivedAt: new Date(link.nats.now()).toISOString(),
      }),
    },
  };
}

function settlement(
  verb: Decision,
  { place, held }: Target,
  moment: Moment,
  note: string,
): Settlement<unknown> {
  return verb === "replay"
    ? replayed(place, held.record, moment, note)
    : discarded(place, held.record, moment, note);
}

function doneWords(verb: Decision, record: LedgerRecord): string {
  const refused = record.refused?.at(-1);
  if (verb === "discard") {
    return record.state === "parked" ? "given up for good" : "refused content dropped, the file stays known";
  }
  return refused === undefined
    ? "put back into its queue"
    : `put back into its queue to take the content that was refused (etag ${refused.etag})`;
}

/** It came under a name that no lane took: announced to the lane that takes it by now, then its old record is closed. */
async function reroute(link: SiteLink, target: Target, moment: Moment, note: string): Promise<Decided> {
  const { place, held } = target;
  const base = { key: held.key, name: nameOf(place) };
  const found = announcement(link, held.record);
  if (found === null) {
    const { bucket } = held.record.body as FileBody;
    return {
      ...base,
      done: false,
      words: `still no lane takes it: add bucket ${bucket} to a lane of the site file, or discard it`,
    };
  }
  const sent = await publishUnsafe(link.nats, "announce again", found.write, commitMs);
  if (isError(sent)) throw sent;
  const closed = discarded(place, held.record, moment, `announced to lane ${found.lane}: ${note}`);
  const answer = await commitUnsafe(
    link.nats,
    "discard",
    writesOf(held.key, held.revision, closed),
    commitMs,
  );
  if (isError(answer) && answer._tag !== "TransactionConflict") throw answer;
  return { ...base, done: true, words: `announced again, to lane ${found.lane}` };
}

async function conflict(link: SiteLink, { place, held }: Target): Promise<Decided> {
  const now = await getRecordUnsafe(link.nats, held.key);
  const state = now === null ? "gone" : standingOf(now.record);
  return {
    key: held.key,
    name: nameOf(place),
    done: false,
    words: `it changed while you decided (it was ${standingOf(held.record)}, it is ${state} now); nothing was done to it`,
  };
}

async function decideOne(
  link: SiteLink,
  verb: Decision,
  target: Target,
  moment: Moment,
  note: string,
): Promise<Decided> {
  const { place, held } = target;
  const writes = writesOf(held.key, held.revision, settlement(verb, target, moment, note));
  const answer = await commitUnsafe(link.nats, verb, writes, commitMs);
  if (!isError(answer)) {
    return { key: held.key, name: nameOf(place), done: true, words: doneWords(verb, held.record) };
  }
  if (answer._tag === "TransactionConflict") return conflict(link, target);
  throw answer;
}

async function decideBatch(
  link: SiteLink,
  verb: Decision,
  targets: ReadonlyArray<Target>,
  moment: Moment,
  note: string,
): Promise<ReadonlyArray<Decided>> {
  if (targets.length > 1) {
    const writes = targets.flatMap((target) =>
      writesOf(target.held.key, target.held.revision, settlement(verb, target, moment, note)),
    );
    const answer = await commitUnsafe(link.nats, verb, writes, commitMs);
    if (!isError(answer)) {
      return targets.map(({ place, held }) => ({
        key: held.key,
        name: nameOf(place),
        done: true,
        words: doneWords(verb, held.record),
      }));
    }
    if (answer._tag !== "TransactionConflict") throw answer;
  }
  // One of them changed: singly, its conflict is not the others'.
  const decided: Array<Decided> = [];
  for (const target of targets) decided.push(await decideOne(link, verb, target, moment, note));
  return decided;
}

async function decideUnsafe(
  link: SiteLink,
  verb: Decision,
  targets: ReadonlyArray<Target>,
  note: string,
  who: string,
): Promise<ReadonlyArray<Decided>> {
  const moment: Moment = { now: link.nats.now(), random: Math.random(), node: who, claim: null };
  const decided: Array<Decided> = [];
  const batch: Array<Target> = [];
  for (const target of targets) {
    const { place, held } = target;
    const refuse = (words: string): void => {
      decided.push({ key: held.key, name: nameOf(place), done: false, words });
    };
    const why = verb === "replay" ? deadEnd(link, place, held.record) : null;
    if (!isOpenToDecision(held.record)) {
      refuse(`it is not parked: it is ${standingOf(held.record)}`);
    } else if (verb === "discard" && standingOf(held.record) === "discarded") {
      refuse("it is discarded already");
    } else if (why !== null) refuse(why);
    else if (verb === "replay" && place.mailbox === unrouted) {
      decided.push(await reroute(link, target, moment, note));
    } else batch.push(target);
  }
  for (let at = 0; at < batch.length; at += together) {
    decided.push(...(await decideBatch(link, verb, batch.slice(at, at + together), moment, note)));
  }
  return decided;
}

/** Fails when NATS is away: what was decided before that stands, and deciding again is harmless. */
export const decideAll = (
  link: SiteLink,
  verb: Decision,
  targets: ReadonlyArray<Target>,
  note: string,
  who: string,
): Effect.Effect<ReadonlyArray<Decided>, CommandFailed> =>
  Effect.tryPromise({ try: () => decideUnsafe(link, verb, targets, note, who), catch: ofCause });
