/**
 * What operators ask of jobs of the catalogue. An order is a fact beside the job's record, not a part of it: whoever gives one needs not
 * know how the job stands just then, and the resolver reads it like any other fact.
 */
import * as Schema from "effect/Schema";
import { encodeTail, encodeToken } from "./keys.ts";
import { LedgerCorrupt } from "./records.ts";

const Said = {
  /** ISO 8601, UTC, by the site's clock. */
  at: Schema.String,
  by: Schema.String,
  note: Schema.String,
};

/** `order.<job>.<partition>`, and `order.<job>.=_` for all partitions of a job. */
const OrderShape = Schema.Struct({
  v: Schema.Number,
  job: Schema.String,
  /** "" for all of them. */
  partition: Schema.String,
  /** Nothing is started while it is held. */
  hold: Schema.NullOr(Schema.Struct(Said)),
  /** To be made anew, once for each id. `now`: past what is upstream, its window, its schedule and a hold. */
  again: Schema.NullOr(Schema.Struct({ ...Said, id: Schema.String, now: Schema.Boolean })),
  /** What was asked before, oldest first. */
  history: Schema.Array(Schema.Struct({ ...Said, what: Schema.String })),
});

export type Order = typeof OrderShape.Type;

/** `redo.<id>`: a reprocessing. */
const RedoShape = Schema.Struct({
  v: Schema.Number,
  id: Schema.String,
  jobs: Schema.Array(Schema.String),
  /** Days, `20260101`, both inclusive. */
  from: Schema.String,
  to: Schema.String,
  /** Whether jobs that are made of these were added. */
  downstream: Schema.Boolean,
  /** As planned: how many partitions. */
  partitions: Schema.Number,
  state: Schema.Literals(["running", "paused", "cancelled"]),
  ...Said,
  history: Schema.Array(Schema.Struct({ ...Said, what: Schema.String })),
});

export type Redo = typeof RedoShape.Type;

export const orderKey = (job: string, partition: string): string =>
  `order.${encodeToken(job)}.${encodeTail(partition)}`;
/** All orders of a job: of the whole, and of each of its partitions. */
export const ordersFilter = (job: string): string => `order.${encodeToken(job)}.>`;
export const redoKey = (id: string): string => `redo.${encodeToken(id)}`;

const text = new TextDecoder();

function decoded<A>(key: string, data: Uint8Array, is: (value: unknown) => value is A, what: string): A {
  let value: unknown;
  try {
    value = JSON.parse(text.decode(data));
  } catch {
    throw new LedgerCorrupt(key, what);
  }
  if (!is(value)) throw new LedgerCorrupt(key, what);
  return value;
}

const isOrder = Schema.is(OrderShape);
const isRedo = Schema.is(RedoShape);

/** Throws `LedgerCorrupt` for what is no order. */
export const decodeOrder = (key: string, data: Uint8Array): Order => decoded(key, data, isOrder, "an order");
/** Throws `LedgerCorrupt` for what is no reprocessing. */
export const decodeRedo = (key: string, data: Uint8Array): Redo =>
  decoded(key, data, isRedo, "a reprocessing");
