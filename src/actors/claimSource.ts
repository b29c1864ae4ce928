/** What tells one kind of claims actor from another: where its deliveries come from and what its records say. */
import type * as Effect from "effect/Effect";
import type { Held } from "../jetstream/ledger.ts";
import type { Delivery, Mailbox } from "../jetstream/mailbox.ts";
import type { NatsService } from "../jetstream/Nats.ts";
import type { Write } from "../jetstream/transaction.ts";
import type { Place } from "../protocol/keys.ts";
import type { Order } from "../protocol/eventOrder.ts";
import type { Outcome, RetryRules } from "../protocol/lifecycle.ts";
import type { ClaimedItem, LedgerRecord, State } from "../protocol/records.ts";
import type { SystemFailure } from "./claims.ts";
import type { NotNow } from "./NotNow.ts";

export interface Decoded<Body> {
  readonly place: Place;
  readonly etag: string;
  generation: number;
  readonly body: Body;
}

/** One item in hand: several deliveries may stand for it. */
export interface Item<Body> extends Decoded<Body> {
  readonly key: string;
  readonly replies: Array<string>;
  /** Stream sequence of its first delivery. */
  readonly sequence: number;
  /** The record as last read; null where there is none, or where it was taken as new. */
  held: Held<Body> | null;
  /** Revision that the next write of the record expects. */
  expected: number;
  /** Delivered before, to whomever: what its work does may have been done already. */
  readonly again: boolean;
  /** Other content under a known name, which the lane does not accept. */
  refused?: boolean;
}

export interface ClaimSource<Body> {
  readonly mailbox: string;
  readonly stream: string;
  readonly consumer: string;
  readonly batchMax: number;
  /**
   * A second queue of the same stream, from which something is taken only while the first has nothing. What comes by it has most
   * likely been here before, so its records are read.
   */
  readonly later?: { readonly consumer: string; readonly batchMax: number };
  readonly rules: RetryRules;
  readonly onContentChange: "refuse" | "supersede";
  /** The state of a good end. */
  readonly good: State;
  /** `doubtful`: a first delivery is taken as new without reading. `always`: the record is there before the delivery. */
  readonly reads: "doubtful" | "always";
  /** False: an item that is done at once leaves no record. Default true. */
  readonly keepsDone?: boolean;
  /** Each item is a claim of its own. */
  readonly alone?: boolean;
  /** Whether the item's content is newer than what its record has; without it nobody can tell. */
  readonly orderOf?: (body: Body, than: Body) => Order;
  /**
   * Of items that have no record as far as is known, those that had one: they were settled with this very content, and their day was
   * purged. They are dropped as duplicates.
   */
  readonly settledBefore?: (items: ReadonlyArray<Item<Body>>) => Promise<ReadonlySet<Item<Body>>>;
  /** A new body for content that has a record, with what stays of the record's; default: nothing but what is in the new one. */
  readonly carries?: (before: Body, body: Body) => Body;
  /** What of a refused item's body is needed to take its content later; default: it lies where the known one does. */
  readonly bodyOfRefused?: (body: Body) => object;
  /** Of content that is about to be refused for its tag: whether it is the known one nevertheless, and so a duplicate. Never rejects. */
  readonly sameContent?: (item: Item<Body>) => Promise<boolean>;
  /** Null: nothing to do with it, acknowledge. Bytes that cannot be understood become an item whose work parks it. */
  readonly decode: (delivery: Delivery) => Decoded<Body> | null;
  /** Further ledger keys that end with the item; at most one. */
  readonly endsOf?: (
    place: Place,
    item: ClaimedItem | Item<Body>,
    record: LedgerRecord | null,
  ) => ReadonlyArray<Write>;
  /** What a worker takes from, where it is more than the consumer (and `later`). */
  readonly queues?: (nats: NatsService) => TakesFrom;
}

export interface Taken {
  readonly deliveries: ReadonlyArray<Delivery>;
  /** Each may be settled already, also when it is delivered for the first time. */
  readonly doubtful: boolean;
}

/** One worker's view of all that it may take. */
export interface TakesFrom {
  /** Acknowledges, extends and gives back whatever was taken. */
  readonly first: Mailbox;
  /** Blocks for a while; nothing when nothing came, or `signal` aborted. */
  readonly take: (signal: AbortSignal) => Promise<Taken>;
  /** What was taken is worked on and about to be settled. */
  readonly prefetch: () => void;
  readonly close: () => void;
}

export interface ClaimInfo {
  readonly claim: string;
  readonly alone: boolean;
}

/** The work on one claim: exactly one outcome an item, in the items' order. */
export type ClaimedWork<Body, R> = (
  items: ReadonlyArray<Item<Body>>,
  claim: ClaimInfo,
) => Effect.Effect<ReadonlyArray<Outcome<Body>>, SystemFailure | NotNow, R>;
