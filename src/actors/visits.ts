/**
 * Visits: says which exposures are observed as one, as they appear, and again as more of them comes.
 *
 * Receives  known files of its lanes, from a durable cursor that the nodes of a site share.
 * Keeps     `visit.<instrument>.<day>.<visit>`, by compare-and-set: whoever is second adds to what the first wrote.
 * Fails     never for good: while the ledger is away the files stay in the cursor.
 *
 * Nothing is ever taken out of a visit: a file whose header is corrected to another exposure is added there, and the former
 * stays where it was until its day is purged.
 */
import * as Effect from "effect/Effect";
import type { VisitSettings } from "../config/Site.ts";
import { getManyUnsafe } from "../jetstream/ledger.ts";
import type { Delivery } from "../jetstream/mailbox.ts";
import { Mailbox } from "../jetstream/mailbox.ts";
import { visitsConsumer } from "../jetstream/topology.ts";
import type { Write } from "../jetstream/transaction.ts";
import { commitUnsafe, ledgerPut } from "../jetstream/transaction.ts";
import { commitBatchFrom, subjectBytesMax, visitBytesMax, visitFilesMax, visitsEveryMs } from "../limits.ts";
import { kvStream, kvSubject, ledgerBucket } from "../protocol/keys.ts";
import type { FileBody } from "../protocol/records.ts";
import { decodeRecord, encodeJson, LedgerCorrupt } from "../protocol/records.ts";
import type { VisitFact, VisitRecord } from "../protocol/visits.ts";
import { decodeVisit, visitFactOf, visitKeyOf, withFact } from "../protocol/visits.ts";
import type { NodeContextService } from "./NodeContext.ts";

const takeWaitMs = 5_000;
const againMs = 1_000;
const commitDeadlineMs = 5_000;
const conflictRounds = 10;
const nameShownMax = 100;
const prefix = `$KV.${ledgerBucket}.`;

export const visitsActor = (
  node: NodeContextService,
  settings: VisitSettings,
  ready: Effect.Effect<void>,
): Effect.Effect<never> =>
  Effect.scoped(
    Effect.gen(function* () {
      const mailbox = yield* Effect.acquireRelease(
        Effect.sync(() => new Mailbox(node.nats, kvStream(ledgerBucket), visitsConsumer)),
        (box) => Effect.sync(() => box.close()),
      );
      yield* ready;
      return yield* Effect.forever(oneRound(node, settings, mailbox));
    }),
  );

const oneRound = (node: NodeContextService, settings: VisitSettings, mailbox: Mailbox): Effect.Effect<void> =>
  Effect.gen(function* () {
    const deliveries = yield* Effect.promise((signal) =>
      mailbox.take(visitFilesMax, takeWaitMs, signal).catch((cause: unknown) => {
        node.log("warn", "visits cannot read their mailbox", { cause: String(cause) });
        return null;
      }),
    );
    if (deliveries === null) return yield* Effect.sleep(againMs);
    const facts = byVisit(node, settings, deliveries);
    const written = yield* Effect.promise(() => write(node, settings, facts).catch(String));
    if (typeof written === "string") {
      node.log("warn", "visits cannot be written yet; their files come again", { cause: written });
      mailbox.release(
        deliveries.map((delivery) => delivery.reply),
        againMs,
      );
      return yield* Effect.sleep(againMs);
    }
    for (const delivery of deliveries) mailbox.ack(delivery.reply);
    // An exposure comes as many small settles: what gathers meanwhile is one write of its visit. A backlog has gathered already.
    if (deliveries.length > 0 && deliveries.length < visitFilesMax) yield* Effect.sleep(visitsEveryMs);
  });

function byVisit(
  node: NodeContextService,
  settings: VisitSettings,
  deliveries: ReadonlyArray<Delivery>,
): Map<string, Array<VisitFact>> {
  const visits = new Map<string, Array<VisitFact>>();
  for (const delivery of deliveries) {
    const fact = delivery.operation === "" ? readFact(node, settings, delivery) : null;
    if (fact === null) continue;
    const key = visitKeyOf(fact);
    if (kvSubject(ledgerBucket, key).length > subjectBytesMax) {
      // A header may give its group any name. Nothing could be written for as long as one such file comes again.
      node.log("error", "a visit's name is too long for a key of the ledger; the file is in none", {
        exposure: fact.exposure.slice(0, nameShownMax),
        visit: fact.visit.slice(0, nameShownMax),
      });
      continue;
    }
    const facts = visits.get(key);
    if (facts === undefined) visits.set(key, [fact]);
    else facts.push(fact);
  }
  return visits;
}

function readFact(node: NodeContextService, settings: VisitSettings, delivery: Delivery): VisitFact | null {
  const key = delivery.subject.slice(prefix.length);
  try {
    const record = decodeRecord<FileBody>(key, delivery.data);
    return visitFactOf(settings.system, settings.observationTypes, record);
  } catch (cause) {
    if (!(cause instanceof LedgerCorrupt)) throw cause;
    // One bad value must not hold the visits of a site: told, and left out.
    node.log("error", cause.message, { key });
    return null;
  }
}

/** Adds the facts to their visits. Rejects while the ledger is away; what was written before that is only written again. */
async function write(
  node: NodeContextService,
  settings: VisitSettings,
  visits: ReadonlyMap<string, ReadonlyArray<VisitFact>>,
): Promise<void> {
  let left = [...visits.keys()];
  for (let round = 0; left.length > 0; round++) {
    if (round >= conflictRounds)
      throw new Error(`${left.length} visits are written by others again and again`);
    const entries = await getManyUnsafe(node.nats, ledgerBucket, left);
    const writes = left.flatMap((key, i): ReadonlyArray<Write & { readonly key: string }> => {
      const entry = entries[i] ?? null;
      const before = entry === null || entry.ended ? null : stands(node, key, entry.data);
      const after = (visits.get(key) ?? []).reduce<VisitRecord | null>(withFact, before);
      if (after === null || after === before) return [];
      const data = encodeJson(after);
      if (data.length > visitBytesMax) {
        node.log(
          "error",
          "a visit has more exposures than a visit can have; what more comes of it is left out",
          {
            key,
            exposures: after.exposures.length,
          },
        );
        return [];
      }
      return [{ ...ledgerPut(key, data, entry?.revision ?? 0), key }];
    });
    left = await commitSome(node, settings, writes);
  }
}

function stands(node: NodeContextService, key: string, data: Uint8Array): VisitRecord | null {
  try {
    return decodeVisit(key, data);
  } catch (cause) {
    if (!(cause instanceof LedgerCorrupt)) throw cause;
    // What can be known of it comes from its files; those of the past are only read again from an empty cursor.
    node.log("error", cause.message, { key });
    return null;
  }
}

/** Many go together, and each alone where that is refused, so that one conflict is not the others'. @returns the keys in conflict */
async function commitSome(
  node: NodeContextService,
  settings: VisitSettings,
  writes: ReadonlyArray<Write & { readonly key: string }>,
): Promise<Array<string>> {
  // A few are cheaper for the server side by side: see commitBatchFrom.
  if (writes.length >= commitBatchFrom) {
    const together = await commitUnsafe(node.nats, "visits", writes, commitDeadlineMs);
    if (!("_tag" in together)) {
      node.counters.visits(settings.system, writes.length);
      return [];
    }
    if (together._tag !== "TransactionConflict") throw together;
  }
  const conflicts: Array<string> = [];
  await Promise.all(
    writes.map(async ({ key, ...one }) => {
      const answer = await commitUnsafe(node.nats, "visit", [one], commitDeadlineMs);
      if (!("_tag" in answer)) node.counters.visits(settings.system, 1);
      else if (answer._tag === "TransactionConflict") conflicts.push(key);
      else throw answer;
    }),
  );
  return conflicts;
}
