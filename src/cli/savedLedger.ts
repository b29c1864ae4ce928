/**
 * A ledger in a file, one record a line, for holding another against it later: `orrery ledger save`. The first line says whose it is,
 * the last how many records there are; a file without that is cut short.
 */
import { createReadStream } from "node:fs";
import { basename, dirname } from "node:path";
import { createInterface } from "node:readline";
import * as Schema from "effect/Schema";
import { scanUnsafe } from "../jetstream/ledger.ts";
import type { NatsService } from "../jetstream/Nats.ts";
import { ledgerBucket } from "../protocol/keys.ts";
import { isoTime } from "../protocol/records.ts";
import { PieceWriter } from "./backupFolder.ts";
import type { Comparable } from "./comparable.ts";
import { comparableOf, countedKinds } from "./comparable.ts";
import { failed, misused } from "./failures.ts";

const Head = Schema.Struct({
  orrery: Schema.Literal("ledger"),
  v: Schema.Literal(1),
  site: Schema.String,
  /** ISO 8601, by the server. */
  at: Schema.String,
});
export type Head = typeof Head.Type;

export interface Saved {
  readonly head: Head;
  readonly records: number;
  /** By kind: of what is not compared. */
  readonly counted: Readonly<Record<string, number>>;
}

const isHead = Schema.is(Head);
const flushEvery = 1_000;

/** @param each told after each step how many records there are so far */
export async function saveLedger(
  nats: NatsService,
  site: string,
  file: string,
  each: (more: number) => void,
): Promise<Saved> {
  const head: Head = { orrery: "ledger", v: 1, site, at: isoTime(nats.now()) };
  const counted: Record<string, number> = {};
  const writer = await PieceWriter.open(dirname(file), basename(file)).catch((cause: unknown) => {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT")
      throw misused(`${dirname(file)} is not there: make it, or mount the disk that it is on`);
    throw cause;
  });
  try {
    let lines = [JSON.stringify(head)];
    let records = 0;
    const flush = (): void => {
      writer.writeNow(Buffer.from(lines.map((line) => `${line}\n`).join("")));
      each(lines.length);
      lines = [];
    };
    await scanUnsafe(nats, ledgerBucket, [">"], ({ key, data }) => {
      const kind = key.slice(0, key.indexOf("."));
      if (countedKinds.some((one) => one === kind)) counted[kind] = (counted[kind] ?? 0) + 1;
      const found = comparableOf(key, data);
      if (found === null) return;
      records++;
      lines.push(JSON.stringify([found.key, found.state, found.tag, found.size, found.facts]));
      if (lines.length >= flushEvery) flush();
    });
    lines.push(JSON.stringify({ records, counted }));
    flush();
    await writer.end();
    return { head, records, counted };
  } catch (cause) {
    await writer.abandon().catch(() => undefined);
    throw cause;
  }
}

const isLine = Schema.is(
  Schema.Tuple([Schema.String, Schema.String, Schema.String, Schema.NullOr(Schema.Number), Schema.String]),
);
const isEnd = Schema.is(
  Schema.Struct({ records: Schema.Number, counted: Schema.Record(Schema.String, Schema.Number) }),
);

/** Reads it from its first record to its last. Rejects with what is wrong with it. */
export async function readSaved(file: string, each: (record: Comparable) => void): Promise<Saved> {
  let head: Head | null = null;
  let end: { readonly records: number; readonly counted: Readonly<Record<string, number>> } | null = null;
  let records = 0;
  const input = createReadStream(file);
  try {
    for await (const line of createInterface({ input })) {
      let value: unknown;
      try {
        value = JSON.parse(line);
      } catch {
        throw failed(`${file} is no ledger that was saved, or was changed since`);
      }
      if (head === null) {
        if (!isHead(value))
          throw failed(`${file} is no ledger that was saved: orrery ledger save FILE makes one`);
        head = value;
      } else if (isEnd(value)) end = value;
      else if (isLine(value) && end === null) {
        const [key, state, tag, size, facts] = value;
        records++;
        each({ key, state, tag, size, facts });
      } else throw failed(`${file} is no ledger that was saved, or was changed since`);
    }
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") throw misused(`there is no file ${file}`);
    throw cause;
  } finally {
    input.destroy();
  }
  if (head === null || end === null || end.records !== records)
    throw failed(`${file} is cut short: it holds ${records} records`);
  return { head, records, counted: end.counted };
}
