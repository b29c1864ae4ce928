/** A site as it stands: nodes, mailboxes, claims, what is due, waits or is parked. Reads only. */
import * as Effect from "effect/Effect";
import { readDurability } from "../jetstream/embedded.ts";
import type { Entry } from "../jetstream/ledger.ts";
import { scan } from "../jetstream/ledger.ts";
import { liveNodes } from "../jetstream/lease.ts";
import type { MailboxState } from "../jetstream/survey.ts";
import { consumerNames, countSince, mailboxState } from "../jetstream/survey.ts";
import { arrivalsConsumer, itemsConsumer, replaysConsumer } from "../jetstream/topology.ts";
import type { RunQueue } from "../protocol/runQueue.ts";
import { runsConsumer } from "../protocol/runQueue.ts";
import type { RunnerJobs } from "../actors/runJob.ts";
import { queuesOfLane, runnerJobs } from "../actors/runJob.ts";
import { runLanes } from "../actors/runSource.ts";
import type { JetStreamRejected, NatsUnavailable } from "../protocol/errors.ts";
import {
  arrivalsStream,
  claimOfKey,
  itemMailbox,
  itemsStream,
  kvStream,
  kvSubject,
  ledgerBucket,
  mailboxKind,
  placeOfIndexKey,
  placeOfWaitingKey,
  runMailbox,
} from "../protocol/keys.ts";
import { jobsSubject } from "../protocol/jobQuestions.ts";
import type { AgedAnswer, AgedKind, UntakenFiles } from "../protocol/operatorQuestions.ts";
import type { NodeRecord } from "../protocol/records.ts";
import { decodeDue, decodeSlot } from "../protocol/records.ts";
import type { SiteLink } from "./site.ts";
import type { SupernodeLink } from "./supernodeLink.ts";

const rateMs = 60_000;

export interface MailboxStatus {
  /** `lsstcam`, `run-quicklook`, `item-thumbnails`. */
  readonly mailbox: string;
  /** Messages that no worker was given yet; null when the mailbox is not made yet. */
  readonly queued: number | null;
  /** Given to a worker and not settled. */
  readonly inHand: number;
  /** Replayed files that wait until nothing else of the lane does. */
  readonly replays: number;
  /** ISO time of the oldest that is not settled. */
  readonly oldestAt: string | null;
  /** Messages that came in the last minute. */
  readonly inLastMinute: number;
  /** Records written in the last minute, whatever their state. */
  readonly settledLastMinute: number;
  readonly due: number;
  readonly waiting: number;
  readonly parked: number;
}

export interface ClaimStatus {
  readonly mailbox: string;
  readonly node: string;
  readonly worker: number;
  readonly items: number;
  readonly since: string;
  /** False: its node is gone, and the claim is about to be taken back. */
  readonly nodeIsAlive: boolean;
}

export interface NodeStatus extends Omit<NodeRecord, "v"> {
  readonly name: string;
}

export interface SiteStatus {
  readonly at: string;
  readonly site: string;
  readonly nats: string;
  readonly durability: string;
  readonly nodes: ReadonlyArray<NodeStatus>;
  readonly mailboxes: ReadonlyArray<MailboxStatus>;
  readonly claims: ReadonlyArray<ClaimStatus>;
  /** ISO time at which the next due item is tried again. */
  readonly nextDueAt: string | null;
  /** Files of a mission that have grown old, as a node that decides about its jobs sees it. */
  readonly aged: ReadonlyArray<AgedKind>;
  /** Known files that no job takes, as such a node sees it; null where none answers, or there is no catalogue. */
  readonly untaken: UntakenFiles | null;
  /** How it is linked to the supernode that it has joined; null where it has joined none, or nothing here says so. */
  readonly supernode?: SupernodeLink | null;
}

/** What stands in the index keys and claim slots. */
interface Open {
  readonly due: Map<string, number>;
  readonly waiting: Map<string, number>;
  readonly parked: Map<string, number>;
  readonly claims: Array<Omit<ClaimStatus, "nodeIsAlive">>;
  nextDue: number | null;
}

function bump(counts: Map<string, number>, mailbox: string | undefined): void {
  if (mailbox !== undefined) counts.set(mailbox, (counts.get(mailbox) ?? 0) + 1);
}

function note(open: Open, entry: Entry): void {
  const { key, data } = entry;
  if (key.startsWith("due.")) {
    bump(open.due, placeOfIndexKey(key)?.mailbox);
    const { notBefore, putBack } = decodeDue(key, data);
    if (putBack === null) open.nextDue = Math.min(open.nextDue ?? notBefore, notBefore);
  } else if (key.startsWith("waiting.")) bump(open.waiting, placeOfWaitingKey(key)?.place.mailbox);
  else if (key.startsWith("parked.")) bump(open.parked, placeOfIndexKey(key)?.mailbox);
  else {
    const owner = claimOfKey(key);
    const slot = decodeSlot(key, data);
    if (owner !== null && slot.state === "claimed") {
      open.claims.push({ ...owner, items: slot.items.length, since: slot.since });
    }
  }
}

interface MailboxName {
  readonly mailbox: string;
  readonly stream: string;
  readonly consumer: string;
  /** Consumers of further queues, where it has some. */
  readonly others?: ReadonlyArray<string>;
  /** Those of queues that wait for all of these: replays, and runs that are reprocessed. */
  readonly later?: ReadonlyArray<string>;
  /** Messages that come in. */
  readonly incoming: string;
  /** Record keys. */
  readonly records: string;
}

function mailboxNames(link: SiteLink, items: ReadonlyArray<string>): ReadonlyArray<MailboxName> {
  const { site } = link;
  const ofActor = itemsConsumer("").length;
  return [
    ...[...site.lanes.keys()].map((lane) => ({
      mailbox: lane,
      stream: arrivalsStream,
      consumer: arrivalsConsumer(lane),
      later: [replaysConsumer(lane)],
      incoming: `*.${lane}.>`,
      records: `file.${lane}.>`,
    })),
    ...[...runLanes(runnerJobs(site)).keys()].map((lane) => ({
      mailbox: runMailbox(lane),
      stream: kvStream(ledgerBucket),
      consumer: runsConsumer(lane),
      ...queuesBeside(runnerJobs(site), lane),
      incoming: kvSubject(ledgerBucket, `ready.${lane}.>`),
      records: `run.${lane}.>`,
    })),
    ...items.map((consumer) => ({
      mailbox: itemMailbox(consumer.slice(ofActor)),
      stream: itemsStream,
      consumer,
      incoming: `items.${consumer.slice(ofActor)}.>`,
      records: `item.${consumer.slice(ofActor)}.>`,
    })),
  ];
}

function queuesBeside(jobs: RunnerJobs, lane: string): Pick<MailboxName, "others" | "later"> {
  const queues = queuesOfLane(jobs, lane).filter((queue) => queue.name !== lane);
  const of = (origin: RunQueue["origin"]) =>
    queues.filter((queue) => queue.origin === origin).map((queue) => runsConsumer(queue.name));
  return { others: of("live"), later: of("reprocessing") };
}

type ReadError = NatsUnavailable | JetStreamRejected;

export const readStatus = (link: SiteLink): Effect.Effect<SiteStatus, ReadError> =>
  Effect.gen(function* () {
    const { nats, site } = link;
    const now = nats.now();
    const open: Open = { due: new Map(), waiting: new Map(), parked: new Map(), claims: [], nextDue: null };
    yield* scan(nats, ledgerBucket, ["due.>", "waiting.>", "parked.>", "claim.>"], (entry) =>
      note(open, entry),
    );
    const live = yield* liveNodes(nats);
    const items = yield* consumerNames(nats, itemsStream);
    const mailboxes = yield* Effect.forEach(
      mailboxNames(link, items),
      (name) => Effect.map(readMailbox(link, name, now), (read) => statusOf(open, name.mailbox, read)),
      { concurrency: 8 },
    );
    const strays = strayMailboxes(open, new Set(mailboxes.map((one) => one.mailbox)));
    const told = [...live.values()].find((node) => node.durability !== "")?.durability;
    const durability =
      told ?? (yield* Effect.promise(() => readDurability(link.monitor, nats.connection.info?.server_id)));
    const { aged = [], untaken = null } = site.catalogue === null ? {} : yield* readAged(link);
    return {
      at: new Date(now).toISOString(),
      site: site.name,
      nats: link.url,
      durability,
      nodes: [...live].map(([name, { v: _version, ...node }]) => ({ name, ...node })),
      mailboxes: [...mailboxes, ...strays.map((mailbox) => statusOf(open, mailbox, null))],
      claims: open.claims.map((claim) => ({ ...claim, nodeIsAlive: live.has(claim.node) })),
      nextDueAt: open.nextDue === null ? null : new Date(open.nextDue).toISOString(),
      aged,
      untaken,
    };
  });

const agedDeadlineMs = 2_000;

/** None where nobody answers: a status is told all the same. */
const readAged = ({ nats }: SiteLink): Effect.Effect<Partial<AgedAnswer>> =>
  nats.request("ask for aged files", `${jobsSubject}.aged`, "{}", { deadlineMs: agedDeadlineMs }).pipe(
    Effect.map((answer) => answer.json<Partial<AgedAnswer>>()),
    Effect.orElseSucceed(() => ({})),
  );

interface MailboxRead {
  readonly state: Queued | null;
  readonly later: Queued | null;
  readonly incoming: number;
  readonly settled: number;
}

const readMailbox = (
  { nats }: SiteLink,
  name: MailboxName,
  now: number,
): Effect.Effect<MailboxRead, ReadError> =>
  Effect.gen(function* () {
    const look = (consumers: ReadonlyArray<string>) =>
      Effect.map(
        Effect.forEach(consumers, (consumer) => mailboxState(nats, name.stream, consumer), {
          concurrency: 4,
        }),
        together,
      );
    const state = yield* look([name.consumer, ...(name.others ?? [])]);
    const later = yield* look(name.later ?? []);
    if (state === null) return { state, later, incoming: 0, settled: 0 };
    const since = now - rateMs;
    const settled = yield* countSince(
      nats,
      kvStream(ledgerBucket),
      kvSubject(ledgerBucket, name.records),
      since,
    );
    // A run's ready key is ended as it settles: what came is what was settled and what is left.
    const incoming =
      mailboxKind(name.mailbox) === "run"
        ? settled + state.queued
        : yield* countSince(nats, name.stream, name.incoming, since);
    return { state, later, incoming, settled };
  });

type Queued = Pick<MailboxState, "queued" | "inHand" | "oldestAt">;

/** Several queues as one; null where the server has none of them. */
function together(states: ReadonlyArray<MailboxState | null>): Queued | null {
  const found = states.filter((state) => state !== null);
  if (found.length === 0) return null;
  const times = found.flatMap(({ oldestAt }) => oldestAt ?? []);
  return {
    queued: found.reduce((sum, { queued }) => sum + queued, 0),
    inHand: found.reduce((sum, { inHand }) => sum + inHand, 0),
    oldestAt: times.length === 0 ? null : Math.min(...times),
  };
}

function statusOf(open: Open, mailbox: string, read: MailboxRead | null): MailboxStatus {
  const state = read?.state ?? null;
  return {
    mailbox,
    queued: state?.queued ?? null,
    inHand: (state?.inHand ?? 0) + (read?.later?.inHand ?? 0),
    replays: read?.later?.queued ?? 0,
    oldestAt: state?.oldestAt == null ? null : new Date(state.oldestAt).toISOString(),
    inLastMinute: read?.incoming ?? 0,
    settledLastMinute: read?.settled ?? 0,
    due: open.due.get(mailbox) ?? 0,
    waiting: open.waiting.get(mailbox) ?? 0,
    parked: open.parked.get(mailbox) ?? 0,
  };
}

/** Mailboxes with something open that the site file does not name: `unrouted`, and lanes that were taken out. */
function strayMailboxes(open: Open, known: ReadonlySet<string>): ReadonlyArray<string> {
  const all = new Set([...open.due.keys(), ...open.waiting.keys(), ...open.parked.keys()]);
  return [...all].filter((mailbox) => !known.has(mailbox)).sort();
}
