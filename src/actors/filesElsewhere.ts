/** What the catalogue's resolver hears of other sites: their files, as held here, and what of these goes. */
import * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import type { Change } from "../jetstream/follower.ts";
import { follow } from "../jetstream/follower.ts";
import { managed } from "../jetstream/Nats.ts";
import { sourceStates } from "../jetstream/sitesBucket.ts";
import { sourceLookEveryMs } from "../limits.ts";
import { filesOfKeys, filesOfStream } from "../protocol/filesOf.ts";
import { lifeSubjects, sitesBucket } from "../protocol/sites.ts";
import type { CatalogueFacts, Learnt } from "./catalogueFacts.ts";
import type { NodeContextService } from "./NodeContext.ts";
import type { OtherPurges } from "./otherPurges.ts";
import type { SourceAlarm } from "./sourceAlarm.ts";

export interface FilesElsewhere {
  readonly node: NodeContextService;
  /** Goes on from life to life. */
  readonly alarm: SourceAlarm;
  readonly facts: Pick<CatalogueFacts, "applyOther" | "formerLives" | "hasFormerLives">;
  readonly sites: ReadonlyArray<string>;
  readonly purges: OtherPurges;
  /** Takes in what was learnt of a key. */
  readonly learn: (learnt: Learnt, key: string) => void;
}

export const keptWords =
  "a site has much less than before it was rebuilt: what it had then stays an input until it has grown";
export const overWords = "a site was rebuilt: what only its former life had is no input any more";

/** @returns what waits until all is read that is held here of other sites: with a link that is cut as well */
export const followOthers = ({ node, facts, sites, purges, learn }: FilesElsewhere) =>
  Effect.gen(function* () {
    if (sites.length === 0) return Effect.void;
    const caughtUp = yield* Deferred.make<void>();
    const following = {
      bucket: sitesBucket,
      keys: sites.flatMap(filesOfKeys),
      each: (change: Change) => {
        if (!purges.see(change)) learn(facts.applyOther(change), change.key);
      },
    };
    yield* follow(node.nats, following, caughtUp).pipe(Effect.orDie, Effect.forkScoped);
    return Deferred.await(caughtUp);
  });

/** What sites that were rebuilt have no more is no input any more. Its keys are of no use to anybody then, as those of purged days. */
export const tidyOthers = ({ node, facts, purges, learn }: FilesElsewhere): Effect.Effect<void> =>
  Effect.gen(function* () {
    const { nats, log } = node;
    const sources = facts.hasFormerLives ? yield* sourceStates(nats) : [];
    const { learnt, lives, kept } = facts.formerLives(nats.now(), sources);
    for (const { site, epoch, gone, has } of kept) {
      log("error", keptWords, { of: site, epoch, gone, has });
    }
    for (const one of learnt) learn(one, "");
    for (const { site, epoch } of lives) {
      log("info", overWords, { of: site, epoch });
      const purge = () => nats.jsm.streams.purge(filesOfStream, { filter: lifeSubjects(site, epoch) });
      yield* managed("purge a site's former life", purge);
    }
    yield* purges.tick(node);
  }).pipe(
    Effect.catch((error) =>
      Effect.sync(() => node.log("warn", "what other sites have no more could not be purged", { error })),
    ),
  );

/** Says in the log and in the node's troubles of which site nothing comes. A server that does not answer is others' to tell of. */
export const watchOthers = ({
  node,
  alarm,
  sites,
}: Pick<FilesElsewhere, "node" | "alarm" | "sites">): Effect.Effect<never> =>
  sites.length === 0
    ? Effect.never
    : Effect.forever(
        Effect.andThen(
          Effect.sleep(sourceLookEveryMs),
          sourceStates(node.nats).pipe(
            Effect.map((states) => {
              for (const { site, stalled, silentForMs, error } of alarm.look(states, performance.now())) {
                const silent = `nothing was heard of its files for ${Math.round(silentForMs / 1_000)} s`;
                if (stalled) node.troubles.met(`filesOf.${site}`, `site ${site}`, error ?? silent);
                else node.troubles.over(`filesOf.${site}`);
              }
            }),
            Effect.ignore,
          ),
        ),
      );
