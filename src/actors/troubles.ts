/** What a node's mailboxes cannot reach at present: the storage, a catalog. For `orrery status` and `/metrics`; nothing acts on it. */
import type { Trouble } from "../protocol/records.ts";
import type { Counters } from "./counters.ts";
import type { Log } from "./NodeContext.ts";

/** The trouble is part of the node's lease, which is to stay small. */
const detailCharsMax = 400;

export class Troubles {
  readonly #counters: Pick<Counters, "trouble">;
  readonly #log: Log;
  readonly #present = new Map<string, Trouble>();

  constructor(counters: Pick<Counters, "trouble">, log: Log) {
    this.#counters = counters;
    this.#log = log;
  }

  /** Shows the mailbox in the metrics, also while nothing is wrong. */
  watch(mailbox: string): void {
    this.#counters.trouble(mailbox, this.#present.has(mailbox));
  }

  /** Work was given back because `what` is away. Told again it goes on, unless something else is away now. */
  met(mailbox: string, what: string, detail: string): void {
    const lastAt = new Date().toISOString();
    const before = this.#present.get(mailbox);
    const since = before?.what === what ? before.since : lastAt;
    this.#present.set(mailbox, { mailbox, what, since, lastAt, detail: detail.slice(0, detailCharsMax) });
    this.#counters.trouble(mailbox, true);
  }

  /** A claim of the mailbox was worked on and settled. */
  over(mailbox: string): void {
    const trouble = this.#present.get(mailbox);
    if (trouble === undefined) return;
    this.#present.delete(mailbox);
    this.#counters.trouble(mailbox, false);
    this.#log("info", `${trouble.what} answers again`, {
      mailbox,
      awayMs: Date.now() - Date.parse(trouble.since),
    });
  }

  present(): ReadonlyArray<Trouble> {
    return [...this.#present.values()];
  }
}
