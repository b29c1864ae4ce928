/**
 * What else a site shares, besides its files: exposures, visits, runs and jobs, written by the run itself in place of the actors that
 * would, so that keys of each kind come, change and end all the time.
 */
import { setTimeout as sleep } from "node:timers/promises";
import * as Effect from "effect/Effect";
import type { NatsService } from "../../../src/jetstream/Nats.ts";
import { commit, ledgerEnd, ledgerPut } from "../../../src/jetstream/transaction.ts";
import type { Write } from "../../../src/jetstream/transaction.ts";
import type { sharedKinds } from "../../../src/protocol/sites.ts";

const others = ["exposure", "visit", "run", "job"] satisfies ReadonlyArray<(typeof sharedKinds)[number]>;
const endsBehind = 12;

const bytes = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

export class Facts {
  readonly #nats: NatsService;
  readonly #site: string;
  readonly #day: string;
  /** Keys whose end was acknowledged. */
  readonly ended = new Set<string>();
  #count = 0;
  #marks = 0;

  constructor(nats: NatsService, site: string, day: string) {
    this.#nats = nats;
    this.#site = site;
    this.#day = day;
  }

  #key(i: number): string {
    return `${others[i % others.length] ?? ""}.chaos.${this.#day}.${i}`;
  }

  /** Whether it was done, as far as the server says. */
  async #done(writes: ReadonlyArray<Write>): Promise<boolean> {
    return Effect.runPromise(commit(this.#nats, "facts", writes)).then(
      () => true,
      // The server is away, or its answer was lost. What stands at the site is what counts.
      () => false,
    );
  }

  /** Writes until it is told to end. Of three keys one ends, and one is written again. */
  async write(over: AbortSignal, everyMs: number): Promise<void> {
    for (let i = 0; !over.aborted; i++) {
      await Promise.all([this.#step(i), sleep(everyMs)]);
    }
  }

  async #step(i: number): Promise<void> {
    const fresh = ledgerPut(this.#key(this.#count++), bytes({ site: this.#site, i }));
    const before = this.#key(Math.max(0, this.#count - endsBehind));
    if (i % 3 === 0 && this.#count > endsBehind) {
      if (await this.#done([fresh, ledgerEnd(before)])) this.ended.add(before);
    } else if (i % 3 === 1 && this.#count > endsBehind && !this.ended.has(before)) {
      await this.#done([fresh, ledgerPut(before, bytes({ site: this.#site, i, again: true }))]);
    } else await this.#done([fresh]);
  }

  /** Ends so many of the keys that it wrote; resolves with them once the site's server has said that they are. */
  async end(count: number): Promise<ReadonlyArray<string>> {
    const keys = Array.from({ length: this.#count }, (_, i) => this.#key(i)).filter(
      (key) => !this.ended.has(key),
    );
    const some = keys.slice(0, count);
    await Effect.runPromise(commit(this.#nats, "facts", some.map(ledgerEnd)));
    for (const key of some) this.ended.add(key);
    return some;
  }

  /** Writes a key that stands behind all that the ledger holds now; again until it is there. @returns the key */
  async mark(over: AbortSignal): Promise<string | null> {
    const key = `job.mark.${this.#day}.${this.#marks++}`;
    while (!over.aborted) {
      if (await this.#done([ledgerPut(key, bytes({ site: this.#site }))])) return key;
      await sleep(100);
    }
    return null;
  }
}
