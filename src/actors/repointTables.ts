/** The rows of repoint tables, read from where the files lie. */
import * as Effect from "effect/Effect";
import { getUnsafe } from "../jetstream/ledger.ts";
import { parseRepointTable } from "../jobs/calendar.ts";
import type { Fact } from "../jobs/fact.ts";
import { indexedFile } from "../jobs/indexed.ts";
import { tableBytesMax } from "../limits.ts";
import { ledgerBucket } from "../protocol/keys.ts";
import { recordOrNull } from "../protocol/records.ts";
import type { FileBody } from "../protocol/records.ts";
import type { TableFile } from "./catalogueFacts.ts";
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
  { name, record: key }: TableFile,
): Effect.Effect<TableRead> =>
  Effect.gen(function* () {
    const entry = yield* Effect.tryPromise(() => getUnsafe(node.nats, ledgerBucket, key));
    if (entry === null || entry.ended) return { type: "gone" } as const;
    const record = recordOrNull<FileBody>(key, entry.data);
    const file = record?.state === "known" ? indexedFile(record.body, record.etag) : null;
    if (record === null || file === null || file.range === null) return { type: "gone" } as const;
    const storage = storageOf(record.body.bucket);
    if (storage === null) {
      node.log("error", "a repoint table cannot be read: its bucket is of no lane with a storage", {
        table: name,
      });
      return { type: "gone" } as const;
    }
    const read = yield* storage.readAll(record.body.bucket, record.body.key, tableBytesMax);
    const table = parseRepointTable(new TextDecoder().decode(read.bytes));
    if (!table.ok) {
      const faults = table.faults.map(({ row, column, message }) => `row ${row} ${column ?? ""} ${message}`);
      node.log("error", "a repoint table cannot be understood; its pointings are not known", {
        table: name,
        faults,
      });
    }
    const fact: Fact = {
      type: "table",
      name,
      start: file.range.start,
      version: file.version,
      repoints: table.ok ? table.repoints : null,
    };
    return { type: "fact", fact } as const;
  }).pipe(Effect.catch((error) => Effect.succeed({ type: "unread", detail: String(error) } as const)));
