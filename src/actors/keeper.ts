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
import * as Clock from "effect/Clock";
import * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import { liveNodes } from "../jetstream/lease.ts";
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
    const mayAct = (): boolean => watch.hasTurn;
    return yield* Effect.raceAllFirst([
      watchLoop(node, watch),
      ...keptOf(node, new SiteLives(node), purges).map((kept) => keepLoop(node, kept, mayAct)),
      watch.compared.run(mayAct),
      Effect.flatMap(Fiber.join(follower), () => Effect.never),
    ]);
  });

interface Watch {
  readonly alarm: SourceAlarm;
  readonly groups: SourceAlarm;
  readonly compared: SiteReconcile;
  readonly wakers: { readonly ledgers: SourceWaker; readonly groups: SourceWaker };
  /** Keys of files, by their subjects, as last counted: each count makes a consumer. */
  readonly files: Map<string, number>;
  countedAt: number;
  hasTurn: boolean;
}

/** Names who is not heard of, and wakes who is back. Nothing else is done here: what a site has written must not hold up an alarm. */
const watchLoop = (node: NodeContextService, watch: Watch): Effect.Effect<never> =>
  Effect.gen(function* () {
    for (;;) {
      yield* guarded(node, "look at how the sites' ledgers come in", look(node, watch), undefined);
      watch.hasTurn = yield* guarded(node, "look whose turn it is", hasTurn(node), false);
      if (watch.hasTurn) {
        for (const waker of Object.values(watch.wakers))
          yield* guarded(
            node,
            "ask sites that are back for what they hold",
            waker.tick(performance.now()),
            undefined,
          );
      }
      yield* Effect.sleep(sourceLookEveryMs);
    }
  });

/** What is dropped for one reason, in a loop of its own. */
export interface Kept {
  readonly what: string;
  /** The next tick does all of it once more. */
  readonly again: () => void;
  readonly tick: Effect.Effect<void, Error>;
}

/** Each looks for itself how the sites stand: by a look that is old, a life that has just begun would be a former one. */
export const keptOf = (
  { nats }: Pick<NodeContextService, "nats">,
  lives: Pick<SiteLives, "again" | "tick">,
  purges: Pick<SitePurges, "again" | "tick">,
): ReadonlyArray<Kept> => [
  {
    what: "drop former lives of sites",
    again: () => lives.again(),
    tick: Effect.flatMap(sourceStates(nats), (states) => lives.tick(states)),
  },
  {
    what: "purge what sites have purged",
    again: () => purges.again(),
    tick: Effect.flatMap(sourceStates(nats), (states) =>
      purges.tick(new Map(states.map(({ site, epoch }) => [site, epoch]))),
    ),
  },
];

/** Runs until interrupted. */
export const keepLoop = (
  node: Pick<NodeContextService, "nats" | "log">,
  { what, again, tick }: Kept,
  mayAct: () => boolean,
): Effect.Effect<never> =>
  Effect.gen(function* () {
    const now = Effect.map(Clock.currentTimeNanos, (ns) => Number(ns / 1_000_000n));
    let againAt = (yield* now) + keepAgainEveryMs;
    let { reconnects } = node.nats.link();
    for (;;) {
      // What a purge displaced may have come back with a server's restart: a new connection tells of one, of the others nothing does.
      const link = node.nats.link();
      if (link.reconnects !== reconnects || (yield* now) >= againAt) {
        reconnects = link.reconnects;
        againAt = (yield* now) + keepAgainEveryMs;
        again();
      }
      if (mayAct()) yield* guarded(node, what, tick, undefined);
      yield* Effect.sleep(sourceLookEveryMs);
    }
  });

const look = (node: NodeContextService, watch: Watch): Effect.Effect<void, Error> =>
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
  node: Pick<NodeContextService, "log">,
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
