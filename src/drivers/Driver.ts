/**
 * The seam behind which a catalog takes files in. A driver is given a batch and answers for each item, exactly once and in
 * order; how it stores them is its own business. A driver serves one batch at a time.
 */
import type * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import type { HeaderFields } from "../protocol/identity.ts";
import type { Identity } from "../protocol/records.ts";

export interface IngestItem {
  /** The file's ledger key: unique in the batch, and what an answer names. */
  readonly record: string;
  readonly bucket: string;
  readonly key: string;
  readonly uri: string;
  readonly etag: string;
  /** Bytes; null when nobody said. */
  readonly size: number | null;
  readonly identity: Identity | null;
  /** All fields of the sidecar or header; null on lanes that read none, and for a driver that {@link IngestDriver.ignoresHeaders}. */
  readonly header: HeaderFields | null;
  /** True for what only makes sense once its exposure is known (guiders). */
  readonly dependent: boolean;
}

export type IngestResult =
  | { readonly status: "ingested"; readonly detail?: string }
  /** The catalog has it already, with this content. */
  | { readonly status: "duplicate"; readonly detail?: string }
  /** Will never work as it is. `reason` is a word that groups equal failures. */
  | { readonly status: "permanent"; readonly reason: string; readonly detail: string }
  /** May work later. */
  | { readonly status: "retry"; readonly reason: string; readonly detail: string }
  /** The catalog's process died with the item in hand. */
  | { readonly status: "crash"; readonly detail: string };

/** The catalog as a whole cannot be reached or will not start: nobody's fault, nothing was recorded. */
export interface CatalogAway {
  readonly _tag: "CatalogAway";
  readonly detail: string;
}

export interface IngestDriver {
  readonly name: string;
  /** It looks at no item's `header`. Then the hundreds of fields of each file are let go of at once, and not kept for the whole batch. */
  readonly ignoresHeaders?: true;
  /** Exactly one result an item, in the items' order. */
  readonly ingest: (
    items: ReadonlyArray<IngestItem>,
  ) => Effect.Effect<ReadonlyArray<IngestResult>, CatalogAway>;
  /** Where workers share it: waits until it is free, which no deadline for the work counts. */
  readonly turn?: <A, E, R>(work: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>;
}

/** Opens a driver; its scope's end stops whatever it started. */
export type OpenDriver = Effect.Effect<IngestDriver, CatalogAway, Scope.Scope>;
