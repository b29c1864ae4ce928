/** What is parked, by the index of it: without reading a record. */
import * as Effect from "effect/Effect";
import { scan } from "../jetstream/ledger.ts";
import type { NatsService } from "../jetstream/Nats.ts";
import { ledgerBucket, placeOfIndexKey } from "../protocol/keys.ts";
import type { Place } from "../protocol/keys.ts";
import type { ParkedIndex } from "../protocol/records.ts";
import type { CommandFailed } from "./failures.ts";
import { ofJetStream } from "./failures.ts";

export interface Parked {
  readonly place: Place;
  readonly reason: string;
  readonly at: string;
}

function readIndex(data: Uint8Array): Pick<ParkedIndex, "reason" | "at"> {
  try {
    const value = JSON.parse(new TextDecoder().decode(data)) as Partial<ParkedIndex>;
    return { reason: value.reason ?? "?", at: value.at ?? "" };
  } catch {
    // Somebody else's bytes under an index key: listed, so that it is seen.
    return { reason: "unreadable index", at: "" };
  }
}

/** @param mailboxes null: of all */
export const readParked = (
  nats: NatsService,
  mailboxes: ReadonlyArray<string> | null = null,
): Effect.Effect<ReadonlyArray<Parked>, CommandFailed> =>
  Effect.gen(function* () {
    const all: Array<Parked> = [];
    const filters = mailboxes === null ? ["parked.>"] : mailboxes.map((mailbox) => `parked.${mailbox}.>`);
    if (filters.length === 0) return all;
    yield* scan(nats, ledgerBucket, filters, (entry) => {
      const place = placeOfIndexKey(entry.key);
      if (place !== null) all.push({ place, ...readIndex(entry.data) });
    }).pipe(Effect.mapError(ofJetStream));
    return all;
  });
