/**
 * What a restored ledger says of messages that were not restored with it: the mail was archived before the ledger, so a claim or a due
 * record can name a sequence that the mail has not reached. New mail would get that sequence, and be taken for the old.
 */
import { transactionMessagesMax } from "../limits.ts";
import { arrivalsStream, itemsStream, kvStream, ledgerBucket, mailboxKind } from "../protocol/keys.ts";
import { claimOfKey, placeOfIndexKey } from "../protocol/keys.ts";
import { decodeSlot, dueOrNull, encodeJson, LedgerCorrupt } from "../protocol/records.ts";
import type { ClaimSlot } from "../protocol/records.ts";
import { scanUnsafe } from "./ledger.ts";
import type { NatsService } from "./Nats.ts";
import type { Write } from "./transaction.ts";
import { commitUnsafe, ledgerPut } from "./transaction.ts";

const streamOf = (mailbox: string): string => {
  switch (mailboxKind(mailbox)) {
    case "file":
      return arrivalsStream;
    case "item":
      return itemsStream;
    case "run":
      return kvStream(ledgerBucket);
  }
};

function slotOrNull(key: string, data: Uint8Array): ClaimSlot | null {
  try {
    return decodeSlot(key, data);
  } catch (cause) {
    // Whoever owns it writes over it.
    if (cause instanceof LedgerCorrupt) return null;
    throw cause;
  }
}

/**
 * Lets go of such sequences: an item is then known by its key, and what is due is put back anew. No node may run.
 * @param reached last sequence of each stream's archive
 * @returns records that were mended
 */
export async function mendSequencesUnsafe(
  nats: NatsService,
  reached: ReadonlyMap<string, number>,
): Promise<number> {
  const last = (mailbox: string): number => reached.get(streamOf(mailbox)) ?? 0;
  const writes: Array<Write> = [];
  await scanUnsafe(nats, ledgerBucket, ["claim.>", "due.>"], ({ key, data, revision }) => {
    if (key.startsWith("claim.")) {
      const slot = slotOrNull(key, data);
      const owner = claimOfKey(key);
      if (slot === null || owner === null || slot.state !== "claimed") return;
      const end = last(owner.mailbox);
      if (slot.items.every(({ sequence }) => sequence <= end)) return;
      const items = slot.items.map((item) => (item.sequence > end ? { ...item, sequence: 0 } : item));
      writes.push(ledgerPut(key, encodeJson({ ...slot, items }), revision));
      return;
    }
    const due = dueOrNull(key, data);
    const place = placeOfIndexKey(key);
    if (due === null || place === null || due.putBack === null || due.putBack <= last(place.mailbox)) return;
    writes.push(ledgerPut(key, encodeJson({ ...due, putBack: null }), revision));
  });
  for (let at = 0; at < writes.length; at += transactionMessagesMax) {
    const step = writes.slice(at, at + transactionMessagesMax);
    const answer = await commitUnsafe(nats, "mend what was restored", step, 10_000);
    if ("_tag" in answer) throw answer;
  }
  return writes.length;
}
