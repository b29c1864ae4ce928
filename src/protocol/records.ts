/**
 * What the ledger keeps. Values are JSON so that `nats kv get ledger KEY` shows them; unknown fields are kept when a
 * record is rewritten, so that nodes of neighbouring versions can share a site.
 */
import * as Schema from "effect/Schema";
import { recordTextBytesMax } from "../limits.ts";
import type { Fields } from "./beyond.ts";
import { beyond } from "./beyond.ts";
import type { EventOrder } from "./eventOrder.ts";

/** Version of the records and messages that this program writes. */
export const recordVersion = 1;
/**
 * Format of the ledger. It is raised only with a change that programs of the format before would misread: what is merely added they
 * keep as they find it, so that nodes of neighbouring versions can share a site.
 */
export const ledgerFormat = 1;

/** `known` is a file's good end, `done` a run's or an item's. `parked` is given up on, until somebody replays it. */
export type State = "ready" | "failing" | "waiting" | "known" | "done" | "parked";

/** True where no worker may settle the record again. */
export function isTerminal(state: State): boolean {
  return state === "known" || state === "done" || state === "parked";
}

export type FailureClass = "transient" | "permanent" | "not-yet" | "crash";

export interface RecordedError {
  /** ISO 8601, UTC. */
  readonly at: string;
  readonly class: FailureClass;
  /** A word that groups equal failures: `HeaderUnreadable`, `CrashedWorker`. */
  readonly reason: string;
  readonly detail: string;
}

export interface HistoryEntry {
  readonly at: string;
  readonly event: string;
  readonly node?: string;
  readonly detail?: string;
}

/** Content that arrived under a known name and was refused, or was there before and is superseded. */
export interface OtherContent {
  readonly etag: string;
  readonly size: number | null;
  readonly at: string;
  readonly sequence: number | null;
  /** Refused content that lies elsewhere than the known one: what its record's body takes over when it is accepted. */
  readonly body?: object;
}

export interface Identity {
  readonly instrument: string | null;
  readonly day: string | null;
  readonly exposure: string | null;
  readonly group: string | null;
  readonly snap: number | null;
  readonly detector: string | null;
  readonly seq: number | null;
}

/** What a mission's file is: by its name, and where more is known of its content or of the run that made it, by that. */
export interface DatasetFacts {
  /** Name without folders: within a mission, one name is one file. */
  readonly name: string;
  readonly kind: string;
  /** `source/level/descriptor`. */
  readonly dataset: string;
  /** Null exactly where the calendar has it: a pointing is the time key, and nobody gave a range. */
  readonly range: {
    /** ISO 8601, UTC, end exclusive; null where that side is open. */
    readonly start: string | null;
    readonly end: string | null;
    readonly from: RangeSource;
  } | null;
  readonly pointing: number | null;
  /** `v001.0002`, or the older `v012`. */
  readonly version: string;
  /** SHA-256 of the content, hexadecimal; only of files in stores whose tags say when a file was written and not what is in it. */
  readonly digest?: string;
}

/** `arrival`: with what announced it, be that a run or a store's notification. `metadata`: the store's own, of the object. */
export type RangeSource = "name" | "arrival" | "sidecar" | "metadata";

/** What came with an arrival beside the object itself. */
export interface Given {
  /** ISO 8601, UTC; an open side is "-". */
  readonly range?: readonly [string, string];
  readonly pointing?: number;
}

export interface FileBody {
  readonly bucket: string;
  readonly key: string;
  /** Bytes; null when the sender did not say. */
  readonly size: number | null;
  readonly uri: string;
  readonly identity: Identity | null;
  /** Small extract of the header: what statistics and jobs ask for. */
  readonly metadata: Readonly<Record<string, string | number | boolean | null>> | null;
  readonly via: string;
  readonly receivedAt: string;
  /** Stream sequence of the arrival in ARRIVALS. */
  readonly sequence: number;
  /** The event that announced this content, on lanes where newer content supersedes. */
  readonly event?: EventOrder;
  /** The catalog had it before it was ever handed over: a duplicate, of which nobody is told. */
  readonly catalogHadIt?: true;
  /** Only in lanes with names. */
  readonly dataset?: DatasetFacts;
  /** As it came with the arrival: it must go along when that is put back. */
  readonly given?: Given;
  /** What could not be understood, as it came; only in records parked by the enqueuer. */
  readonly raw?: string;
  /** Fields of its arrival that this version does not know: they go along when it is put back. */
  readonly beyond?: Readonly<Record<string, unknown>>;
}

const fileFields: Fields<FileBody> = {
  bucket: true,
  key: true,
  size: true,
  uri: true,
  identity: true,
  metadata: true,
  via: true,
  receivedAt: true,
  sequence: true,
  event: true,
  catalogHadIt: true,
  dataset: true,
  given: true,
  raw: true,
  beyond: true,
};

/** A body that is made anew for the same content, with what another version said there of it. */
export const withBeyond = (before: FileBody, body: FileBody): FileBody => ({
  ...beyond(before, fileFields),
  ...body,
});

/** The one record of a file, a run or an item. `Body` is what the kind adds. */
export interface LedgerRecord<Body = unknown> {
  readonly v: number;
  readonly state: State;
  /** Raised whenever the record is put back; a delivery of another generation is stale. */
  readonly generation: number;
  readonly etag: string;
  /** Claim that wrote this record last; tells a lost answer from a lost settle. */
  readonly claim: string | null;
  readonly attempts: number;
  readonly crashes: number;
  /** Of `crashes`, those in which this item was alone in its claim. */
  readonly crashesAlone: number;
  readonly errors: ReadonlyArray<RecordedError>;
  readonly history: ReadonlyArray<HistoryEntry>;
  readonly waitingFor?: string;
  /** Epoch milliseconds after which a waiting record is given up on. */
  readonly waitUntil?: number;
  readonly refused?: ReadonlyArray<OtherContent>;
  readonly superseded?: ReadonlyArray<OtherContent>;
  readonly body: Body;
}

/** One item of a claim: enough to judge, settle and reclaim it without asking anybody. */
export interface ClaimedItem {
  readonly record: string;
  readonly etag: string;
  readonly generation: number;
  readonly sequence: number;
}

/** A worker's slot. Never removed: `idle`, or what the worker has in hand. */
export type ClaimSlot =
  | {
      readonly v: number;
      readonly state: "idle";
      /** The claim that ended here, and how: `settled` by its worker, `released` by a drain, `reclaimed` by another. */
      readonly last: string | null;
      readonly how: "new" | "settled" | "released" | "reclaimed";
      readonly by: string;
      /** As of a claimed one. */
      readonly triedTo?: number;
    }
  | {
      readonly v: number;
      readonly state: "claimed";
      readonly id: string;
      readonly epoch: string;
      readonly since: string;
      readonly items: ReadonlyArray<ClaimedItem>;
      /**
       * Highest stream sequence of all that was ever given back unsettled from this slot. Such an item may have been worked on, and
       * nothing else in the ledger says so.
       */
      readonly triedTo?: number;
    };

export interface DueRecord {
  readonly v: number;
  /** Epoch milliseconds. */
  readonly notBefore: number;
  readonly generation: number;
  /** Stream sequence under which it was put back last; null: not yet. */
  readonly putBack: number | null;
  /** The consumer that it was put back for, where it is not the mailbox's first. */
  readonly consumer?: string;
}

export interface ParkedIndex {
  readonly v: number;
  readonly reason: string;
  readonly at: string;
}

export interface WaitingIndex {
  readonly v: number;
  readonly waitUntil: number;
  readonly generation: number;
}

/** What a node's workers of a mailbox could not reach when they last tried. */
export interface Trouble {
  readonly mailbox: string;
  /** `storage of lane raw`, `catalog (butler)` */
  readonly what: string;
  /** ISO 8601, UTC: the first failure, and the latest. */
  readonly since: string;
  readonly lastAt: string;
  readonly detail: string;
}

export interface NodeRecord {
  readonly v: number;
  readonly epoch: string;
  readonly startedAt: string;
  readonly host: string;
  readonly pid: number;
  readonly version: string;
  readonly site: string;
  readonly actors: ReadonlyArray<{
    readonly name: string;
    readonly behaviour: string;
    readonly status: string;
    readonly restarts: number;
  }>;
  readonly http: string | null;
  readonly durability: string;
  /** One a mailbox at most; nodes of before say nothing. */
  readonly troubles?: ReadonlyArray<Trouble>;
  /** Runs whose commands it has under way: the oldest, where they are many. */
  readonly runs?: ReadonlyArray<RunningNow>;
}

/** A run whose command is under way, as its node tells with each renewal of its lease. */
export interface RunningNow {
  /** Ledger key. */
  readonly run: string;
  /** ISO 8601, UTC. */
  readonly since: string;
  /** The last line that it wrote, clipped. */
  readonly line: string;
  /** Bytes, so far; null where the system does not say. */
  readonly peakRssBytes: number | null;
}

const envelope = Schema.Struct({
  v: Schema.Number,
  state: Schema.Literals(["ready", "failing", "waiting", "known", "done", "parked"]),
  generation: Schema.Number,
  etag: Schema.String,
  attempts: Schema.Number,
  crashes: Schema.Number,
  crashesAlone: Schema.Number,
});
const isEnvelope = Schema.is(envelope);

const slotSchema = Schema.Union([
  Schema.Struct({ v: Schema.Number, state: Schema.Literal("idle") }),
  Schema.Struct({
    v: Schema.Number,
    state: Schema.Literal("claimed"),
    id: Schema.String,
    epoch: Schema.String,
    items: Schema.Array(
      Schema.Struct({
        record: Schema.String,
        etag: Schema.String,
        generation: Schema.Number,
        sequence: Schema.Number,
      }),
    ),
  }),
]);
const isSlot = Schema.is(slotSchema);

/** Thrown for a ledger value that this program did not write: a broken invariant, seen by the supervisor. */
export class LedgerCorrupt extends Error {
  override readonly name = "LedgerCorrupt";
  readonly key: string;
  constructor(key: string, what: string) {
    super(`ledger key ${key} does not hold ${what}; read it with: nats kv get ledger '${key}'`);
    this.key = key;
  }
}

const text = new TextDecoder();

function parseJson(key: string, data: Uint8Array, what: string): unknown {
  try {
    return JSON.parse(text.decode(data));
  } catch {
    throw new LedgerCorrupt(key, what);
  }
}

/** Decodes a record's envelope; the body is trusted to be what this site wrote under that key. */
export function decodeRecord<Body>(key: string, data: Uint8Array): LedgerRecord<Body> {
  const value = parseJson(key, data, "a record");
  if (!isEnvelope(value)) throw new LedgerCorrupt(key, "a record");
  return value as unknown as LedgerRecord<Body>;
}

/**
 * As {@link decodeRecord}, for whoever must go on: null for bytes that are no record. They stand under a record's name because
 * somebody wrote there by hand; the next write expects their revision and puts a record in their place.
 */
export function recordOrNull<Body>(key: string, data: Uint8Array): LedgerRecord<Body> | null {
  try {
    return decodeRecord<Body>(key, data);
  } catch (cause) {
    if (cause instanceof LedgerCorrupt) return null;
    throw cause;
  }
}

/** As {@link decodeSlot}: bytes that are no slot hold nobody's claim, and its worker writes over them. */
export function slotOrIdle(key: string, data: Uint8Array): ClaimSlot {
  try {
    return decodeSlot(key, data);
  } catch (cause) {
    if (!(cause instanceof LedgerCorrupt)) throw cause;
    return { v: recordVersion, state: "idle", last: null, how: "new", by: "unknown" };
  }
}

/** As {@link decodeDue}: bytes that are no due record put nothing back. */
export function dueOrNull(key: string, data: Uint8Array): DueRecord | null {
  try {
    return decodeDue(key, data);
  } catch (cause) {
    if (cause instanceof LedgerCorrupt) return null;
    throw cause;
  }
}

export function decodeSlot(key: string, data: Uint8Array): ClaimSlot {
  const value = parseJson(key, data, "a claim slot");
  if (!isSlot(value)) throw new LedgerCorrupt(key, "a claim slot");
  return value as unknown as ClaimSlot;
}

const isDue = Schema.is(
  Schema.Struct({
    v: Schema.Number,
    notBefore: Schema.Number,
    generation: Schema.Number,
    putBack: Schema.NullOr(Schema.Number),
  }),
);

export function decodeDue(key: string, data: Uint8Array): DueRecord {
  const value = parseJson(key, data, "a due record");
  if (!isDue(value)) throw new LedgerCorrupt(key, "a due record");
  return value;
}

export function encodeJson(value: unknown): Uint8Array {
  return encodeText(JSON.stringify(value));
}

const textEncoder = new TextEncoder();

/** Not by TextEncoder: a Buffer comes from a pool, which for texts as short as these is four times as fast. */
export function encodeText(value: string): Uint8Array {
  return Buffer.from(value);
}

let lastMs = Number.NaN;
let lastIso = "";

/** ISO 8601, UTC. The last one is kept: whatever works on a batch asks for the same moment for each item. */
export function isoTime(ms: number): string {
  if (ms !== lastMs) {
    lastIso = new Date(ms).toISOString();
    lastMs = ms;
  }
  return lastIso;
}

const clipped = new Uint8Array(recordTextBytesMax);
const ellipsis = "…";
const ellipsisBytes = textEncoder.encode(ellipsis).length;

/** Text as a record may hold it: at most `recordTextBytesMax` bytes of UTF-8, cut between characters. */
export function clipText(text: string): string {
  if (textEncoder.encodeInto(text, clipped).read === text.length) return text;
  const { read } = textEncoder.encodeInto(text, clipped.subarray(0, recordTextBytesMax - ellipsisBytes));
  return `${text.slice(0, read)}${ellipsis}`;
}
