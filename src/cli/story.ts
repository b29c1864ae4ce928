/** The story of a file in words: pure, from what was gathered about it. */
import type { Arrival } from "../protocol/arrival.ts";
import type { FileBody, HistoryEntry, LedgerRecord } from "../protocol/records.ts";
import { recordHistoryMax } from "../limits.ts";
import type { Taken } from "./takenWords.ts";
import { isUntaken, takenWords } from "./takenWords.ts";
import { bytes, duration, moment, plural, sentence, timeOf, times } from "./words.ts";

/** An item's record has another body, with none of these. */
type FileContent = Partial<FileBody>;

export interface ArrivalFact {
  readonly sequence: number;
  /** Epoch milliseconds, the server's clock. */
  readonly at: number;
  readonly arrival: Pick<Arrival, "etag" | "size" | "via" | "generation">;
}

export interface ClaimFact {
  readonly node: string;
  readonly worker: number;
  readonly since: string;
  /** Items of the claim. */
  readonly items: number;
  readonly nodeIsAlive: boolean;
}

export interface QueueFact {
  /** Sequences up to this are dealt with. */
  readonly floor: number;
  readonly delivered: number;
  readonly queued: number;
  /** It is the queue of replays, from which is taken only while nothing else of the lane waits. */
  readonly isReplays?: boolean;
}

export interface FileFacts {
  readonly now: number;
  readonly name: string;
  readonly key: string;
  readonly lane: string;
  /** What the lane does with other content under a known name; null where the site has no such lane any more. */
  readonly onContentChange: "refuse" | "supersede" | null;
  readonly attemptsMax: number | null;
  readonly record: LedgerRecord<FileContent> | null;
  /** In order of sequence. */
  readonly arrivals: ReadonlyArray<ArrivalFact>;
  /** The stream that held them, where somebody deleted it. */
  readonly arrivalsLost?: string;
  readonly claims: ReadonlyArray<ClaimFact>;
  readonly due: { readonly notBefore: number; readonly putBack: number | null } | null;
  readonly queue: QueueFact | null;
  readonly group: { readonly words: string; readonly uri: string | null } | null;
  readonly exposure: { readonly name: string; readonly stands: boolean } | null;
  readonly runs: ReadonlyArray<{ readonly name: string; readonly state: string }>;
  /** What those that follow the ledger have made of it. */
  readonly followers?: ReadonlyArray<readonly [name: string, words: string]>;
  /** It has no record because its day was purged; what arrived had been here before that. */
  readonly purged?: boolean;
  /** Of a file that a job catalogue could have to do with. */
  readonly taken?: Taken | null;
  readonly nodes: number;
}

export interface StoryEvent {
  /** Epoch milliseconds; null where the time is not known. */
  readonly at: number | null;
  readonly event: string;
  readonly words: string;
}

export interface Story {
  readonly name: string;
  readonly key: string;
  readonly standing: string;
  /** One sentence. */
  readonly summary: string;
  readonly events: ReadonlyArray<StoryEvent>;
  readonly facts: ReadonlyArray<readonly [name: string, words: string]>;
  /** The end of a run's log. */
  readonly excerpt?: { readonly title: string; readonly text: string };
  readonly now: string;
  readonly next: string;
  /** Commands worth trying. */
  readonly commands: ReadonlyArray<string>;
}

const shortTag = (etag: string): string => (etag === "" ? "none given" : etag);

const viaWords = (via: string): string => {
  if (via === "webhook") return "by webhook";
  if (via === "nats") return "by a NATS notification";
  if (via === "replay") return "by orrery replay";
  if (via.startsWith("watch:")) return `seen in the watched directory ${via.slice(6)}`;
  if (via.startsWith("job:")) return `as an output of run ${via.slice(4)}`;
  return `via ${via}`;
};

interface Contents {
  readonly refused: ReadonlySet<string>;
  readonly superseded: ReadonlySet<string>;
}

function contentsOf(record: LedgerRecord<FileContent> | null): Contents {
  return {
    refused: new Set((record?.refused ?? []).map((other) => other.etag)),
    superseded: new Set((record?.superseded ?? []).map((other) => other.etag)),
  };
}

/** What became of an arrival with content that is neither the first nor what stands now. */
function otherContentWords(facts: FileFacts, etag: string, contents: Contents): string {
  const { record } = facts;
  if (contents.refused.has(etag)) return "refused, because the lane keeps the first";
  if (record !== null && record.etag === etag) {
    // Order is not promised: when the worker that had the first in hand is lost, the second may be settled before it.
    return contents.superseded.size > 0
      ? "it took the place of the former"
      : "it was the first to be settled";
  }
  if (contents.superseded.has(etag)) return "superseded since";
  return facts.onContentChange === "supersede"
    ? "it takes the place of the former"
    : "the lane keeps the first of a known name";
}

export function arrivalEvents(facts: FileFacts): ReadonlyArray<StoryEvent> {
  const contents = contentsOf(facts.record);
  const seen = new Set<string>();
  return facts.arrivals.map(({ sequence, at, arrival }): StoryEvent => {
    const size = arrival.size === null ? "" : `, ${bytes(arrival.size)}`;
    const place = `sequence ${sequence}`;
    if (arrival.generation > 0) {
      return {
        at,
        event: "put-back",
        words: `put back into the queue (${place}, generation ${arrival.generation})`,
      };
    }
    const first = seen.size === 0;
    const known = seen.has(arrival.etag);
    seen.add(arrival.etag);
    if (known) {
      return {
        at,
        event: "duplicate",
        words: `announced again ${viaWords(arrival.via)} (${place}): the same content, dropped as a duplicate`,
      };
    }
    if (first) {
      return {
        at,
        event: "arrived",
        words: `arrived ${viaWords(arrival.via)} (${place}${size}, etag ${shortTag(arrival.etag)})`,
      };
    }
    return {
      at,
      event: "other-content",
      words: `came with other content ${viaWords(arrival.via)} (${place}${size}, etag ${shortTag(arrival.etag)}): ${otherContentWords(facts, arrival.etag, contents)}`,
    };
  });
}

const eventWords: Readonly<Record<string, string>> = {
  known: "known",
  done: "done",
  ready: "ready to run",
  failing: "failed",
  waiting: "has to wait",
  freed: "let go",
  crashed: "the worker that had it in hand was lost",
  parked: "parked",
  refused: "other content was refused",
  replayed: "put back",
  discarded: "given up for good",
};

/** `by operator ada@host`, `on node a`. */
function who(entry: HistoryEntry): string {
  if (entry.node === undefined) return "";
  if (entry.node.startsWith("operator ")) return ` by ${entry.node}`;
  // A crash is written by whoever took the claim back.
  return entry.event === "crashed" ? ` (taken back by node ${entry.node})` : ` on node ${entry.node}`;
}

export function historyEvents(history: ReadonlyArray<HistoryEntry>): ReadonlyArray<StoryEvent> {
  const events = history.map((entry): StoryEvent => {
    const what = eventWords[entry.event] ?? entry.event;
    const detail = entry.detail === undefined ? "" : `: ${entry.detail}`;
    return { at: timeOf(entry.at), event: entry.event, words: `${what}${who(entry)}${detail}` };
  });
  if (history.length < recordHistoryMax) return events;
  // The record keeps its first two entries and the latest.
  const gap: StoryEvent = {
    at: events[1]?.at ?? null,
    event: "gap",
    words: "(what is between was too much to keep)",
  };
  return [...events.slice(0, 2), gap, ...events.slice(2)];
}

/** In order of time; what came from one source stays in its order. */
export function inOrder(...sources: ReadonlyArray<ReadonlyArray<StoryEvent>>): ReadonlyArray<StoryEvent> {
  const all: Array<StoryEvent & { readonly sort: number }> = [];
  for (const source of sources) {
    let last = Number.NEGATIVE_INFINITY;
    for (const event of source) {
      last = Math.max(last, event.at ?? last);
      all.push({ ...event, sort: last });
    }
  }
  return all.sort((a, b) => a.sort - b.sort).map(({ at, event, words }) => ({ at, event, words }));
}

function latencyWords(record: LedgerRecord<FileContent>): string {
  const received = timeOf(record.body.receivedAt);
  const known = timeOf(record.history.findLast((entry) => entry.event === "known")?.at);
  if (received === null || known === null || known < received) return "";
  return `, ${duration(known - received)} after it was received`;
}

/** The word for it; the sentence stands in the story above. */
const lastReason = (record: LedgerRecord): string =>
  record.errors.at(-1)?.reason ?? "for a reason that is not recorded";

function inHandWords(facts: FileFacts): string | null {
  const claim = facts.claims[0];
  if (claim === undefined) return null;
  const since = timeOf(claim.since);
  const age = since === null ? "" : ` for ${duration(facts.now - since)}`;
  const company = claim.items === 1 ? "alone" : `with ${plural(claim.items - 1, "other")}`;
  const gone = claim.nodeIsAlive ? "" : "; that node is gone";
  return `worker ${claim.worker} of node ${claim.node} has it in hand${age}, ${company}${gone}`;
}

interface Outlook {
  readonly standing: string;
  readonly now: string;
  readonly next: string;
  readonly commands: ReadonlyArray<string>;
}

const nobody = (facts: FileFacts): string =>
  facts.nodes === 0 ? " No node of the site is running: nothing happens until one is started." : "";

function claimOutlook(facts: FileFacts, words: string): Outlook {
  const alive = facts.claims[0]?.nodeIsAlive === true;
  return {
    standing: "in hand",
    now: sentence(words),
    next: alive
      ? `The worker settles it, or its claim is taken back when the node dies.${nobody(facts)}`
      : `A node that is alive takes the claim back and puts it into the queue again.${nobody(facts)}`,
    commands: ["orrery status"],
  };
}

function queueWords(facts: FileFacts, sequence: number): string {
  const { queue } = facts;
  if (queue === null) return "The lane has no mailbox yet: start a node, or orrery topology apply.";
  if (sequence > queue.delivered) {
    const behind =
      queue.isReplays === true ? " It was replayed: whatever else of the lane comes goes first." : "";
    return `It stands in the queue of lane ${facts.lane}, in which ${plural(queue.queued, "message")} wait.${behind}${nobody(facts)}`;
  }
  if (sequence > queue.floor) {
    return `It was given to a worker that has not settled it; it is given out again by itself when that takes too long.${nobody(facts)}`;
  }
  return `Its place in the queue of lane ${facts.lane} is behind; the reclaimer puts it back.${nobody(facts)}`;
}

function unsettledOutlook(facts: FileFacts): Outlook {
  const last = facts.arrivals.at(-1);
  if (last === undefined) {
    return {
      standing: "unknown",
      now: "The ledger has no record of it, and no arrival of it is kept.",
      next: "Nothing: nobody announced it, or the notification was lost. orrery replay announces what lies in a bucket.",
      commands: ["orrery replay BUCKET PREFIX --dry-run"],
    };
  }
  if (facts.purged === true) {
    return {
      standing: "purged",
      now: "It was settled, and its day was purged: it is past the lane's retention, so the ledger has no record of it.",
      next: "Nothing: when it comes again it is dropped as a duplicate.",
      commands: [],
    };
  }
  return {
    standing: "accepted",
    now: "It is accepted, and no worker has settled it yet.",
    next: queueWords(facts, last.sequence),
    commands: ["orrery status"],
  };
}

function failingOutlook(facts: FileFacts, record: LedgerRecord): Outlook {
  const { due, now } = facts;
  const tries = facts.attemptsMax === null ? "" : ` of ${facts.attemptsMax}`;
  const tried = record.attempts === 0 ? "" : ` after attempt ${record.attempts}${tries}`;
  const next =
    due === null
      ? "Its due record is not there at this moment: it is about to be settled."
      : due.putBack !== null
        ? queueWords(facts, due.putBack)
        : due.notBefore > now
          ? `It is put back into the queue in ${duration(due.notBefore - now)}.${nobody(facts)}`
          : `It is due, and is put back into the queue at the next tick.${nobody(facts)}`;
  return {
    standing: "failing",
    now: `To be tried again${tried} (${lastReason(record)}).`,
    next,
    commands: [],
  };
}

function waitingOutlook(facts: FileFacts, record: LedgerRecord): Outlook {
  const until = record.waitUntil;
  const limit =
    until === undefined
      ? ""
      : until <= facts.now
        ? " Its time is up: it is judged a last time at the next tick."
        : ` It is parked when that has not come in ${duration(until - facts.now)}.`;
  return {
    standing: "waiting",
    now: `It waits for ${record.waitingFor ?? "something that is not named"}.`,
    next: `It goes back into the queue as soon as that stands in the ledger.${limit}${nobody(facts)}`,
    commands: [],
  };
}

/** What somebody may do about it. What says of no object cannot be put back. */
function decisions(facts: FileFacts): ReadonlyArray<string> {
  const nameless = facts.record?.body.bucket === "";
  const discard = `orrery parked discard '${facts.key}' --note "why"`;
  return nameless ? [discard] : [`orrery parked replay '${facts.key}'`, discard];
}

function parkedOutlook(facts: FileFacts, record: LedgerRecord, discarded: boolean): Outlook {
  if (discarded) {
    return {
      standing: "discarded",
      now: "Given up for good.",
      next: "Nothing. orrery parked replay would still put it back.",
      commands: [],
    };
  }
  return {
    standing: "parked",
    now: `Given up on: ${lastReason(record)}.`,
    next: "Nothing, until somebody decides.",
    commands: decisions(facts),
  };
}

function goodOutlook(facts: FileFacts, record: LedgerRecord<FileContent>): Outlook {
  const refused = record.refused?.at(-1);
  const change =
    facts.onContentChange === null
      ? ""
      : facts.onContentChange === "refuse"
        ? " Other content under its name would be refused, and shown."
        : " Other content under its name would take its place.";
  if (refused === undefined) {
    const { taken } = facts;
    return {
      standing: record.state,
      now: `It is ${record.state}${latencyWords(record)}.`,
      next: `${taken != null && isUntaken(taken) ? `Nothing: ${takenWords(taken)}.` : "Nothing is left to do with it."}${change}`,
      commands: [],
    };
  }
  return {
    standing: record.state,
    now: `It is ${record.state}${latencyWords(record)}; other content (etag ${shortTag(refused.etag)}) came under its name and was refused.`,
    next: "Nothing, until somebody decides: replay takes the refused content, discard drops it.",
    commands: decisions(facts),
  };
}

function outlook(facts: FileFacts): Outlook {
  const { record } = facts;
  const inHand = inHandWords(facts);
  if (inHand !== null) return claimOutlook(facts, inHand);
  if (record === null) return unsettledOutlook(facts);
  switch (record.state) {
    case "failing":
    case "ready":
      return failingOutlook(facts, record);
    case "waiting":
      return waitingOutlook(facts, record);
    case "parked":
      return parkedOutlook(facts, record, record.history.at(-1)?.event === "discarded");
    default:
      return goodOutlook(facts, record);
  }
}

function factLines(facts: FileFacts): ReadonlyArray<readonly [string, string]> {
  const { record, group, exposure, runs } = facts;
  const out: Array<readonly [string, string]> = [];
  const uri = record?.body.uri ?? "";
  if (uri !== "") out.push(["uri", uri]);
  if (group !== null) {
    out.push([
      "group",
      group.uri === null
        ? `${group.words}: not present (announced longer ago than groups are kept, or deleted when seen)`
        : `${group.words}: present, ${group.uri}`,
    ]);
  }
  if (exposure !== null) {
    out.push(["exposure", `${exposure.name}${exposure.stands ? "" : ": not in the ledger (yet)"}`]);
  }
  out.push(...(facts.followers ?? []));
  const { taken } = facts;
  if (taken != null) out.push(["jobs", takenWords(taken)]);
  for (const run of runs) out.push(["used by", `run ${run.name}, ${run.state}`]);
  if (record?.body.raw !== undefined) out.push(["as it came", record.body.raw]);
  return out;
}

/** Parkings that an attempt's own failure led to: not crashes, and not what waited too long. */
function parkedByFailure(record: FileFacts["record"]): number {
  const failed = new Set(
    (record?.errors ?? [])
      .filter((error) => error.class === "transient" || error.class === "permanent")
      .map((error) => error.at),
  );
  return (record?.history ?? []).filter((entry) => entry.event === "parked" && failed.has(entry.at)).length;
}

/** When it came to stand so. What came after (a duplicate, refused content) does not change it. */
function standsSince(facts: FileFacts, standing: string, events: ReadonlyArray<StoryEvent>): number | null {
  if (standing === "in hand") return timeOf(facts.claims[0]?.since);
  const entry = facts.record?.history.findLast((one) => one.event === standing);
  return timeOf(entry?.at) ?? events.at(-1)?.at ?? null;
}

function countsWords(facts: FileFacts, events: ReadonlyArray<StoryEvent>): string {
  const number = (event: string): number => events.filter((one) => one.event === event).length;
  const parts: Array<string> = [];
  const duplicates = number("duplicate");
  if (duplicates > 0) parts.push(`${plural(duplicates, "duplicate")} dropped`);
  const crashes = facts.record?.crashes ?? 0;
  if (crashes > 0) parts.push(`its worker was lost ${times(crashes)}`);
  const failures = number("failing") + parkedByFailure(facts.record);
  if (failures > 0) parts.push(plural(failures, "failed attempt"));
  return parts.length === 0 ? "" : ` (${parts.join(", ")})`;
}

export function fileStory(facts: FileFacts): Story {
  const events = inOrder(arrivalEvents(facts), historyEvents(facts.record?.history ?? []));
  const { standing, now, next, commands } = outlook(facts);
  const since = standsSince(facts, standing, events);
  return {
    name: facts.name,
    key: facts.key,
    standing,
    summary: `${standing}${since === null ? "" : ` since ${moment(since)} UTC`}${countsWords(facts, events)}`,
    events,
    facts: factLines(facts),
    now,
    next,
    commands,
  };
}
