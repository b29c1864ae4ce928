/**
 * Counts on disk what was announced again and stored only once, for the day's statistics. What comes while a count is being written
 * goes with the next write: a sender that repeats itself without end costs one write at a time.
 */
import { getUnsafe } from "../jetstream/ledger.ts";
import { commitUnsafe, ledgerPut } from "../jetstream/transaction.ts";
import { repeatCountsMax, requestDeadlineMs } from "../limits.ts";
import { ledgerBucket } from "../protocol/keys.ts";
import { decodeRepeats, encodeRepeats, repeatsKey } from "../protocol/repeats.ts";
import type { NodeContextService } from "./NodeContext.ts";

interface Count {
  readonly key: string;
  /** As last read or written; null: to be read. */
  held: { readonly revision: number; readonly count: number } | null;
  /** The last write had no answer: it added so many to this count, or did not. */
  unsure: { readonly base: number; readonly added: number } | null;
  /** Not yet written. */
  pending: number;
  waiting: Array<() => void>;
  writing: boolean;
}

const conflictRounds = 4;

export class Repeats {
  readonly #node: NodeContextService;
  readonly #counts = new Map<string, Count>();

  constructor(node: NodeContextService) {
    this.#node = node;
  }

  /** Resolves once it is counted on disk. Where that fails it resolves too, and goes with the next write: no announcement is refused for it. */
  note(lane: string, day: string, instrument: string): Promise<void> {
    const of = this.#countOf(repeatsKey(lane, day, instrument, this.#node.name));
    of.pending++;
    return new Promise((resolve) => {
      of.waiting.push(resolve);
      if (of.writing) return;
      of.writing = true;
      void this.#writeAll(of).finally(() => {
        of.writing = false;
      });
    });
  }

  #countOf(key: string): Count {
    const known = this.#counts.get(key);
    if (known !== undefined) return known;
    if (this.#counts.size >= repeatCountsMax) this.#forgetOne();
    const fresh: Count = { key, held: null, unsure: null, pending: 0, waiting: [], writing: false };
    this.#counts.set(key, fresh);
    return fresh;
  }

  /** The oldest with nothing to write; it is read again when it is needed. */
  #forgetOne(): void {
    for (const [key, { pending, writing }] of this.#counts) {
      if (pending > 0 || writing) continue;
      this.#counts.delete(key);
      return;
    }
  }

  async #writeAll(of: Count): Promise<void> {
    while (of.waiting.length > 0) {
      const waiting = of.waiting;
      of.waiting = [];
      const why = await this.#write(of).catch(String);
      if (why !== null) {
        this.#node.log("warn", "cannot count yet what was announced again", { key: of.key, cause: why });
      }
      for (const resolve of waiting) resolve();
    }
  }

  /** Writes what is pending. @returns why it could not */
  async #write(of: Count): Promise<string | null> {
    const { nats, epoch } = this.#node;
    for (let round = 0; round < conflictRounds; round++) {
      const held = of.held ?? (await this.#read(of));
      of.held = held;
      const added = of.pending;
      if (added === 0) return null;
      const count = held.count + added;
      const write = ledgerPut(of.key, encodeRepeats(count, epoch), held.revision);
      const answer = await commitUnsafe(nats, "count what was announced again", [write], requestDeadlineMs);
      if (!("_tag" in answer)) {
        of.pending -= added;
        of.held = { revision: answer[0] ?? 0, count };
        return null;
      }
      of.held = null;
      if (answer._tag === "TransactionConflict") continue;
      of.unsure = { base: held.count, added };
      return answer.message;
    }
    return "another process writes it under this node's name";
  }

  async #read(of: Count): Promise<NonNullable<Count["held"]>> {
    const entry = await getUnsafe(this.#node.nats, ledgerBucket, of.key);
    const found = entry === null || entry.ended ? null : decodeRepeats(entry.data);
    const count = found?.count ?? 0;
    const { unsure } = of;
    of.unsure = null;
    // The write whose answer was lost got through: it is not written a second time.
    if (unsure !== null && found?.epoch === this.#node.epoch && count === unsure.base + unsure.added) {
      of.pending -= unsure.added;
    }
    return { revision: entry?.revision ?? 0, count };
  }
}
