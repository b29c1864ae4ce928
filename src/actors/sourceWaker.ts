/** Sources of a bucket that were lost with a link, and whose site is there again: asked for at once, and not when the server would. */
import * as Effect from "effect/Effect";
import { leadAnew, siteAnswersUnsafe } from "../jetstream/sourceAgain.ts";
import { unavailable } from "../jetstream/wire.ts";
import { sourceLostMs, sourceWakeEveryMs, sourceWakeEveryMsMax } from "../limits.ts";
import type { JetStreamRejected, NatsUnavailable } from "../protocol/errors.ts";
import type { Log, NodeContextService } from "./NodeContext.ts";
import type { Standing } from "./sourceAlarm.ts";

type WakeError = NatsUnavailable | JetStreamRejected;

/** What is done to a bucket's sources. */
export interface Waking {
  readonly bucket: string;
  /** Whether a site's server answers now. */
  readonly answers: (site: string) => Effect.Effect<boolean, WakeError>;
  /** Has all sources of the bucket asked for, from where they are. */
  readonly leadAnew: Effect.Effect<void, WakeError>;
}

export const wakingOf = ({ nats }: NodeContextService, bucket: string): Waking => ({
  bucket,
  answers: (site) =>
    Effect.tryPromise({
      try: () => siteAnswersUnsafe(nats, site),
      catch: unavailable(`ask whether ${site} is there`),
    }),
  leadAnew: leadAnew(nats, bucket),
});

export class SourceWaker {
  readonly #waking: Waking;
  readonly #log: Log;
  #lost: ReadonlyArray<string> = [];
  /** On the clock of {@link saw}: when it may be done again; and how much later than that the next time. */
  #notBefore = Number.NEGATIVE_INFINITY;
  #pauseMs = sourceWakeEveryMs;

  constructor(waking: Waking, log: Log) {
    this.#waking = waking;
    this.#log = log;
  }

  /** @param now milliseconds of any clock that only goes on */
  saw(standings: ReadonlyArray<Pick<Standing, "site" | "silentForMs">>, now: number): void {
    this.#lost = standings.flatMap(({ site, silentForMs }) => (silentForMs > sourceLostMs ? [site] : []));
    // What it was done for has come: the next link that is cut is another matter.
    if (this.#lost.length === 0 && now >= this.#notBefore) this.#pauseMs = sourceWakeEveryMs;
  }

  /** One keeper at a time. The other sites' sources pause for a second: so it is done less and less often where it does not help. */
  readonly tick = (now: number): Effect.Effect<void, WakeError> =>
    Effect.gen({ self: this }, function* () {
      if (this.#lost.length === 0 || now < this.#notBefore) return;
      const sites = yield* Effect.filter(this.#lost, this.#waking.answers, { concurrency: "unbounded" });
      if (sites.length === 0) return;
      this.#notBefore = now + this.#pauseMs;
      this.#pauseMs = Math.min(this.#pauseMs * 2, sourceWakeEveryMsMax);
      yield* this.#waking.leadAnew;
      this.#log("info", "sites that were away are there again: what they hold is asked for", {
        sites,
        bucket: this.#waking.bucket,
      });
    });
}
