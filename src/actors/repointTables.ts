/** The rows of repoint tables, read from where the files lie. */
import * as Effect from "effect/Effect";
import { getUnsafe } from "../jetstream/ledger.ts";
import { parseRepointTable } from "../jobs/calendar.ts";
import type { Fact } from "../jobs/fact.ts";
import type { Place } from "../jobs/places.ts";
import { tableBytesMax } from "../limits.ts";
import { ledgerBucket } from "../protocol/keys.ts";
import { recordOrNull } from "../protocol/records.ts";
import type { FileBody } from "../protocol/records.ts";
import type { TableFile } from "./catalogueFacts.ts";
import { placeOfRecord } from "./filePlaces.ts";
import type { NodeContextService } from "./NodeContext.ts";
import type { StorageOf } from "./runFiles.ts";

/**
 * `unread`: to be tried again. A table that cannot be understood is told once and has no rows: the calendar goes on without it, and
 * what needs its pointings waits, with that as the reason in the log.
 */
export type TableRead =
  | { readonly type: "fact"; readonly fact: Fact }
  | { readonly type: "unread"; readonly detail: string }
  | { readonly type: "gone" };

export const readTable = (
  node: NodeContextService,
  storageOf: StorageOf,
  table: TableFile,
): Effect.Effect<TableRead> =>
  Effect.gen(function* () {
    const { name } = table;
    const place = table.elsewhere ?? (yield* Effect.tryPromise(() => ownPlace(node, table.record)));
    if (place === null || place.file.range === null) return { type: "gone" } as const;
    const { file, bucket, key } = place;
    const { start } = place.file.range;
    const storage = storageOf(bucket, place.site ?? undefined);
    if (storage === null) {
      node.log("error", "a repoint table cannot be read: its bucket is of no lane with a storage", {
        table: name,
      });
      return { type: "gone" } as const;
    }
    const read = yield* storage.readAll(bucket, key, tableBytesMax);
    const rows = parseRepointTable(new TextDecoder().decode(read.bytes));
    if (!rows.ok) {
      const faults = rows.faults.map(({ row, column, message }) => `row ${row} ${column ?? ""} ${message}`);
      node.log("error", "a repoint table cannot be understood; its pointings are not known", {
        table: name,
        faults,
      });
    }
    const fact: Fact = {
      type: "table",
      name,
      start,
      version: file.version,
      repoints: rows.ok ? rows.repoints : null,
    };
    return { type: "fact", fact } as const;
  }).pipe(Effect.catch((error) => Effect.succeed({ type: "unread", detail: String(error) } as const)));

async function ownPlace(node: NodeContextService, key: string): Promise<Place | null> {
  const entry = await getUnsafe(node.nats, ledgerBucket, key);
  const record = entry === null || entry.ended ? null : recordOrNull<FileBody>(key, entry.data);
  return record === null ? null : placeOfRecord(null, key, record);
}
