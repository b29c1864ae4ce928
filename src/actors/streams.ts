/**
 * Whether the streams that a node needs are there. Of one that somebody deleted the server says the same as of a NATS that is away,
 * nothing, and every actor waits for it: so it is looked for by name.
 */
import * as Effect from "effect/Effect";
import { missingStreams, missingWords } from "../jetstream/missing.ts";
import type { NatsService } from "../jetstream/Nats.ts";
import { streamsEveryMs } from "../limits.ts";
import type { Log } from "./NodeContext.ts";

export class Streams {
  readonly #nats: NatsService;
  readonly #names: ReadonlyArray<string>;
  readonly #supernode: string | null;
  readonly #log: Log;
  #missing: ReadonlyArray<string> = [];
  #looking: Promise<void> | null = null;

  /** @param supernode its name, where the node is one's and not a site's */
  constructor(nats: NatsService, names: ReadonlyArray<string>, supernode: string | null, log: Log) {
    this.#nats = nats;
    this.#names = names;
    this.#supernode = supernode;
    this.#log = log;
  }

  /** In words, as of the last look; null while all are there. */
  get fault(): string | null {
    return this.#missing.length === 0 ? null : missingWords(this.#missing, this.#supernode);
  }

  /** Looks now; who asks meanwhile waits for the same look. A server that does not answer changes nothing. @returns the fault */
  async look(): Promise<string | null> {
    this.#looking ??= this.#look().finally(() => (this.#looking = null));
    await this.#looking;
    return this.fault;
  }

  async #look(): Promise<void> {
    const found = await Effect.runPromise(
      Effect.orElseSucceed(missingStreams(this.#nats, this.#names), () => null),
    );
    if (found === null) return;
    const before = this.#missing;
    this.#missing = found;
    const gone = found.filter((name) => !before.includes(name));
    const back = before.filter((name) => !found.includes(name));
    if (gone.length > 0) this.#log("error", missingWords(gone, this.#supernode), { streams: gone });
    if (back.length > 0) this.#log("info", "streams that were missing are there again", { streams: back });
  }

  /** Runs until interrupted. */
  readonly watch: Effect.Effect<never> = Effect.forever(
    Effect.andThen(
      Effect.sleep(streamsEveryMs),
      Effect.promise(() => this.look()),
    ),
  );
}
