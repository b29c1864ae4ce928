/**
 * Former lives of sites: when a site was rebuilt, what came of its life before is dropped. Only once the present one is heard of: until
 * then what was is all there is. Of a site that is not sourced any more everything stays.
 */
import * as Effect from "effect/Effect";
import type { SourceState } from "../jetstream/sitesBucket.ts";
import { drop, formerLives } from "../jetstream/sitesDrop.ts";
import type { JetStreamRejected, NatsUnavailable } from "../protocol/errors.ts";
import { lifeSubjects } from "../protocol/sites.ts";
import type { NodeContextService } from "./NodeContext.ts";

export class SiteLives {
  readonly #node: NodeContextService;
  /** Epochs beside which nothing was found. */
  readonly #alone = new Map<string, string>();

  constructor(node: NodeContextService) {
    this.#node = node;
  }

  /** All sites are looked at once more at the next tick. */
  again(): void {
    this.#alone.clear();
  }

  tick(states: ReadonlyArray<SourceState>): Effect.Effect<void, NatsUnavailable | JetStreamRejected> {
    return Effect.gen({ self: this }, function* () {
      const { nats, counters, log } = this.#node;
      for (const { site, epoch, silentMs, error } of states) {
        if (silentMs === null || error !== null || this.#alone.get(site) === epoch) continue;
        const former = yield* formerLives(nats, site, epoch);
        for (const life of former ?? []) {
          const keys = yield* drop(nats, lifeSubjects(site, life));
          counters.dropped(site, "epoch", keys);
          log("info", "dropped what a site knew before it was rebuilt", {
            site,
            epoch: life,
            now: epoch,
            keys,
          });
        }
        if (former !== null && former.length === 0) this.#alone.set(site, epoch);
      }
    });
  }
}
