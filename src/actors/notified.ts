/** The records of what a receiver was told, with the latest of them in memory. Reads and writes wait for the ledger as long as it is away. */
import * as Effect from "effect/Effect";
import { getUnsafe } from "../jetstream/ledger.ts";
import { commitUnsafe, ledgerPut } from "../jetstream/transaction.ts";
import { notifiedCachedMax } from "../limits.ts";
import { ledgerBucket } from "../protocol/keys.ts";
import { encodeJson, LedgerCorrupt } from "../protocol/records.ts";
import type { NotifiedRecord } from "../protocol/webhooks.ts";
import { decodeNotified, nothingNotified } from "../protocol/webhooks.ts";
import type { NodeContextService } from "./NodeContext.ts";

interface Held {
  readonly revision: number;
  readonly record: NotifiedRecord;
}

const againMs = 500;
const commitDeadlineMs = 5_000;

export class Notified {
  readonly #node: NodeContextService;
  /** In order of use. */
  readonly #held = new Map<string, Held>();

  constructor(node: NodeContextService) {
    this.#node = node;
  }

  read(key: string, exposure: string): Effect.Effect<NotifiedRecord> {
    return Effect.map(this.#hold(key, exposure), (held) => held.record);
  }

  /** What others may have written since. */
  forget(): void {
    this.#held.clear();
  }

  /** `change` may be asked again, with another record: somebody else wrote it meanwhile. */
  update(
    key: string,
    exposure: string,
    change: (before: NotifiedRecord) => NotifiedRecord,
  ): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      for (;;) {
        const held = yield* this.#hold(key, exposure);
        const record = change(held.record);
        const write = ledgerPut(key, encodeJson(record), held.revision);
        const answer = yield* Effect.promise(() =>
          commitUnsafe(this.#node.nats, "note what was told", [write], commitDeadlineMs),
        );
        if (!("_tag" in answer)) {
          this.#keep(key, { revision: answer[0] ?? 0, record });
          return;
        }
        this.#held.delete(key);
        if (answer._tag === "TransactionConflict") continue;
        this.#node.log("warn", "cannot note yet what a receiver was told", { key, cause: answer.message });
        yield* Effect.sleep(againMs);
      }
    });
  }

  #hold(key: string, exposure: string): Effect.Effect<Held> {
    return Effect.gen({ self: this }, function* () {
      for (;;) {
        const known = this.#held.get(key);
        if (known !== undefined) {
          this.#keep(key, known);
          return known;
        }
        const found = yield* Effect.promise(() => this.#fetch(key, exposure).catch(String));
        if (typeof found !== "string") {
          this.#keep(key, found);
          return found;
        }
        this.#node.log("warn", "cannot read yet what a receiver was told", { key, cause: found });
        yield* Effect.sleep(againMs);
      }
    });
  }

  async #fetch(key: string, exposure: string): Promise<Held> {
    const entry = await getUnsafe(this.#node.nats, ledgerBucket, key);
    const revision = entry?.revision ?? 0;
    if (entry === null || entry.ended) return { revision, record: nothingNotified(exposure) };
    try {
      return { revision, record: decodeNotified(key, entry.data) };
    } catch (cause) {
      if (!(cause instanceof LedgerCorrupt)) throw cause;
      // Telling again is allowed, and waiting for somebody to mend it is not.
      this.#node.log("error", cause.message, { key });
      return { revision, record: nothingNotified(exposure) };
    }
  }

  #keep(key: string, held: Held): void {
    this.#held.delete(key);
    this.#held.set(key, held);
    if (this.#held.size <= notifiedCachedMax) return;
    const oldest = this.#held.keys().next();
    if (oldest.done !== true) this.#held.delete(oldest.value);
  }
}
