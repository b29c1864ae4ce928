/**
 * Former lives of sites: when a site was rebuilt, what came of its life before is dropped. Only once the present one has been heard of
 * for a while, all of it is here, and it is about as big: until then what was is all there is. A site that was destroyed and never
 * filled again is as alive as any other, and what is here of it is the last of it. Of a site that is not sourced any more everything
 * stays.
 */
import * as Effect from "effect/Effect";
import type { SourceState } from "../jetstream/sitesBucket.ts";
import { drop, hasFormerLives, isAsBig, livesOf } from "../jetstream/sitesDrop.ts";
import { countSince } from "../jetstream/survey.ts";
import { dropShareMax, siteCountEveryMs, siteSettledMs, sourceLookEveryMs } from "../limits.ts";
import type { JetStreamRejected, NatsUnavailable } from "../protocol/errors.ts";
import { kvStream } from "../protocol/keys.ts";
import { lifeSubjects, sitesBucket } from "../protocol/sites.ts";
import type { NodeContextService } from "./NodeContext.ts";

/** Of a source that sends something every few seconds: it has not broken off. */
const heardMsMax = 2 * sourceLookEveryMs;
/** Whoever has not looked for so long does not know what was meanwhile. */
const lookedMsMax = 4 * sourceLookEveryMs;

interface Watched {
  readonly epoch: string;
  readonly heardSince: number;
  /** Its lives are compared by reading all of its keys: not before it has so many. */
  least: number;
  /** Nor too often, where that many were not enough. */
  comparedAt: number;
  /** Nothing was found beside it. */
  alone: boolean;
  /** It was said that a former life is kept. */
  told: boolean;
}

export class SiteLives {
  readonly #node: NodeContextService;
  readonly #sites = new Map<string, Watched>();
  #lookedAt = Number.NEGATIVE_INFINITY;

  constructor(node: NodeContextService) {
    this.#node = node;
  }

  /** All sites are looked at once more at the next tick. */
  again(): void {
    for (const watched of this.#sites.values()) watched.alone = false;
  }

  /** @param now milliseconds of any clock that only goes on, always the same one */
  tick(
    states: ReadonlyArray<SourceState>,
    now = performance.now(),
  ): Effect.Effect<void, NatsUnavailable | JetStreamRejected> {
    return Effect.gen({ self: this }, function* () {
      const forgotten = now - this.#lookedAt > lookedMsMax;
      this.#lookedAt = now;
      for (const state of states) {
        const watched = this.#watch(state, now, forgotten);
        if (watched === null || watched.alone) continue;
        const found = yield* hasFormerLives(this.#node.nats, state.site, state.epoch);
        if (found === false) {
          watched.alone = true;
          watched.told = false;
          this.#node.counters.formerKeys(state.site, 0);
        }
        if (found !== true || state.lag > 0 || now - watched.heardSince < siteSettledMs) continue;
        if (now - watched.comparedAt < siteCountEveryMs) continue;
        if (watched.least > 0) {
          const subjects = lifeSubjects(state.site, state.epoch);
          if ((yield* countSince(this.#node.nats, kvStream(sitesBucket), subjects, 0)) < watched.least)
            continue;
        }
        yield* this.#judge(state, watched, now);
      }
    });
  }

  /** Null while it is not heard of. */
  #watch({ site, epoch, silentMs, error }: SourceState, now: number, forgotten: boolean): Watched | null {
    const before = this.#sites.get(site);
    const same = before?.epoch === epoch ? before : undefined;
    if (silentMs === null || silentMs > heardMsMax || error !== null) {
      // Told stays told: a link that comes and goes makes no second line.
      if (same !== undefined) this.#sites.set(site, { ...same, heardSince: Number.POSITIVE_INFINITY });
      return null;
    }
    const comparedAt = Number.NEGATIVE_INFINITY;
    const known = same ?? { epoch, heardSince: now, least: 0, comparedAt, alone: false, told: false };
    const anew = forgotten || known.heardSince === Number.POSITIVE_INFINITY;
    const watched = anew ? { ...known, heardSince: now } : known;
    this.#sites.set(site, watched);
    return watched;
  }

  #judge({ site, epoch }: SourceState, watched: Watched, now: number) {
    return Effect.gen({ self: this }, function* () {
      const { nats, counters, log } = this.#node;
      const lives = yield* livesOf(nats, site);
      const present = lives.get(epoch) ?? { keys: 0, files: 0 };
      let kept = 0;
      let least = Number.POSITIVE_INFINITY;
      for (const [life, former] of lives) {
        if (life === epoch) continue;
        if (isAsBig(present, former)) {
          const keys = yield* drop(nats, lifeSubjects(site, life));
          counters.dropped(site, "epoch", keys);
          const words = "dropped what a site knew before it was rebuilt";
          log("info", words, { site, epoch: life, now: epoch, keys });
          continue;
        }
        kept += former.keys;
        least = Math.min(least, former.keys * dropShareMax);
        if (watched.told) continue;
        log(
          "error",
          "a site has much less than before it was rebuilt: what it knew then is kept here until it has grown, or orrery site forget lets go of it",
          { site, epoch: life, now: epoch, keys: former.keys, files: former.files, has: present },
        );
      }
      watched.told = kept > 0;
      watched.least = kept > 0 ? least : 0;
      watched.comparedAt = present.keys >= watched.least && kept > 0 ? now : Number.NEGATIVE_INFINITY;
      counters.formerKeys(site, kept);
    });
  }
}
