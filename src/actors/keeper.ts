/**
 * The keeper: what a supernode holds of its sites is what they have. Every node of a supernode may run one: all of them watch, one at a
 * time drops what is to go. Two that did would do no harm: it is dropped by what stands in the bucket, and not by what was done before.
 *
 * Receives  the sites' `purged` keys, as a follower; a tick.
 * Does      names sites that are not heard of; drops former lives of sites that were rebuilt, the days that sites have purged, and
 *           what a comparison with a site shows that it has no more.
 * Emits     metrics a site.
 * Fails     never for good: what a tick could not do, the next one does.
 */
import * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import { liveNodes } from "../jetstream/lease.ts";
import type { SourceState } from "../jetstream/sitesBucket.ts";
import { sourceStates } from "../jetstream/sitesBucket.ts";
import { countSince } from "../jetstream/survey.ts";
import { keepAgainEveryMs, siteCountEveryMs, sourceLookEveryMs } from "../limits.ts";
import { kvStream } from "../protocol/keys.ts";
import { sitesBucket, sitesPresenceBucket, siteSubjects } from "../protocol/sites.ts";
import type { NodeRecord } from "../protocol/records.ts";
import type { NodeContextService } from "./NodeContext.ts";
import { SiteReconcile } from "./siteReconcile.ts";
import { SiteLives } from "./siteLives.ts";
import { SitePurges } from "./sitePurges.ts";
import { ofGroups, SourceAlarm } from "./sourceAlarm.ts";
import { SourceWaker, wakingOf } from "./sourceWaker.ts";

const keeperName = "keeper";

/** Runs until interrupted. Ready once it has looked at all sites, and knows what they have purged. */
export const keeperActor = (
  node: NodeContextService,
  ready: Effect.Effect<void>,
): Effect.Effect<never, Error> =>
  Effect.gen(function* () {
    const purges = new SitePurges(node);
    const caughtUp = yield* Deferred.make<void>();
    const follower = yield* Effect.forkChild(purges.follow(caughtUp));
    yield* Deferred.await(caughtUp);
    const watch: Watch = {
      alarm: new SourceAlarm(node.log),
      groups: new SourceAlarm(node.log, ofGroups),
      lives: new SiteLives(node),
      purges,
      compared: new SiteReconcile(node),
      wakers: {
        ledgers: new SourceWaker(wakingOf(node, sitesBucket), node.log),
        groups: new SourceWaker(wakingOf(node, sitesPresenceBucket), node.log),
      },
      files: new Map(),
      countedAt: Number.NEGATIVE_INFINITY,
      hasTurn: false,
    };
    yield* look(node, watch);
    yield* ready;
    return yield* Effect.raceAllFirst([
      tickLoop(node, watch),
      watch.compared.run(() => watch.hasTurn),
      Effect.flatMap(Fiber.join(follower), () => Effect.never),
    ]);
  });

interface Watch {
  readonly alarm: SourceAlarm;
  readonly groups: SourceAlarm;
  readonly lives: SiteLives;
  readonly purges: SitePurges;
  readonly compared: SiteReconcile;
  readonly wakers: { readonly ledgers: SourceWaker; readonly groups: SourceWaker };
  /** Keys of files, by their subjects, as last counted: each count makes a consumer. */
  readonly files: Map<string, number>;
  countedAt: number;
  hasTurn: boolean;
}

const tickLoop = (node: NodeContextService, watch: Watch): Effect.Effect<never> =>
  Effect.gen(function* () {
    const { lives, purges } = watch;
    let againAt = performance.now() + keepAgainEveryMs;
    let { reconnects } = node.nats.link();
    for (;;) {
      // What a purge displaced may have come back with a server's restart: a new connection tells of one, of the others nothing does.
      const link = node.nats.link();
      if (link.reconnects !== reconnects || performance.now() >= againAt) {
        reconnects = link.reconnects;
        againAt = performance.now() + keepAgainEveryMs;
        lives.again();
        purges.again();
      }
      const states = yield* guarded(node, "look at how the sites' ledgers come in", look(node, watch), []);
      watch.hasTurn = yield* guarded(node, "look whose turn it is", hasTurn(node), false);
      if (watch.hasTurn) {
        for (const waker of Object.values(watch.wakers))
          yield* guarded(
            node,
            "ask sites that are back for what they hold",
            waker.tick(performance.now()),
            undefined,
          );
        yield* guarded(node, "drop former lives of sites", lives.tick(states), undefined);
        const epochs = new Map(states.map(({ site, epoch }) => [site, epoch]));
        yield* guarded(node, "purge what sites have purged", purges.tick(epochs), undefined);
      }
      yield* Effect.sleep(sourceLookEveryMs);
    }
  });

const look = (node: NodeContextService, watch: Watch): Effect.Effect<ReadonlyArray<SourceState>, Error> =>
  Effect.gen(function* () {
    const { alarm, groups, compared, wakers } = watch;
    const states = yield* sourceStates(node.nats);
    const now = performance.now();
    const standings = alarm.look(states, now);
    compared.saw(standings, now);
    wakers.ledgers.saw(standings, now);
    wakers.groups.saw(groups.look(yield* sourceStates(node.nats, sitesPresenceBucket), now), now);
    if (now - watch.countedAt >= siteCountEveryMs) {
      watch.countedAt = now;
      watch.files.clear();
    }
    for (const { site, epoch, lag, stalled, silentForMs } of standings) {
      const subjects = siteSubjects(site, epoch, "file");
      const files =
        watch.files.get(subjects) ?? (yield* countSince(node.nats, kvStream(sitesBucket), subjects, 0));
      watch.files.set(subjects, files);
      node.counters.site(site, { silentSeconds: silentForMs / 1_000, stalled, lag, files });
    }
    return states;
  });

/** Of all nodes whose keeper runs, the first by name; undefined where there is none. */
export const nodeWithTurn = (live: ReadonlyMap<string, Pick<NodeRecord, "actors">>): string | undefined =>
  [...live]
    .flatMap(([name, { actors }]) =>
      actors.some((actor) => actor.name === keeperName && actor.status === "running") ? [name] : [],
    )
    .toSorted()[0];

const hasTurn = (node: NodeContextService): Effect.Effect<boolean, Error> =>
  Effect.map(liveNodes(node.nats), (live) => nodeWithTurn(live) === node.name);

const guarded = <A, E>(
  node: NodeContextService,
  what: string,
  effect: Effect.Effect<A, E>,
  otherwise: A,
): Effect.Effect<A> =>
  Effect.catch(effect, (error) =>
    Effect.sync(() => {
      node.log("warn", `could not ${what}; the next tick tries again`, {
        cause: error instanceof Error ? error.message : String(error),
      });
      return otherwise;
    }),
  );
