/**
 * Presence at the supernode: "is it here?" for the groups of all sites.
 *
 * Receives  what sites ask, on `orrery.sites.presence.<site>` in a queue group: the subject says who asks, and the servers let no
 *           site ask as another. Requests on `orrery.presence`, as at a site, and HTTP
 *           `GET /presence/{instrument}/{group}/{snap}/{detector}`, `?wait=SECONDS`.
 * Keeps     a mirror of the bucket `sitesPresence` in memory, and how each site stands, looked up every two seconds.
 * Emits     answers that name the site; an answer "absent" names the sites of which nothing was heard lately.
 * Fails     not served, over HTTP 503, until it has caught up; a site that has not joined is refused.
 */
import * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import { countersFlushMs, sitesLookEveryMs } from "../limits.ts";
import { follow } from "../jetstream/follower.ts";
import type { NatsRequest } from "../jetstream/requests.ts";
import { errorHeaders, serve } from "../jetstream/requests.ts";
import { sitesStanding } from "../jetstream/sitesBucket.ts";
import type { NatsUnavailable } from "../protocol/errors.ts";
import { presenceRequestSubject } from "../protocol/keys.ts";
import type { Asked, PresenceRules } from "../protocol/presence.ts";
import { absentBody, absentBodyOf, errorBody, presentAtBody, readQuestion } from "../protocol/presence.ts";
import { sitesAnswerPrefix, sitesAskSubject, sitesPresenceBucket } from "../protocol/sites.ts";
import { readSitesQuestion, writeAnswer, writeRefusal } from "../protocol/sitesPresence.ts";
import type { Route } from "./listens.ts";
import type { NodeContextService } from "./NodeContext.ts";
import type { Answer, Leave } from "./PresenceIndex.ts";
import { presenceQueue, presenceRoute } from "./presence.ts";
import type { SitesIndex } from "./SitesIndex.ts";

/** What the supernode's callers may ask for: each site has judged its own names, so every name is one. */
export const anyGroup: PresenceRules = { instruments: { has: () => true }, detector: /(?:)/u };

const tokensFrom = presenceRequestSubject.length + 1;
const askerFrom = sitesAskSubject("").length;

/** Runs until interrupted; `ready` at once, because there may be no site yet. Until it has caught up HTTP is answered 503. */
export const sitesPresenceActor = (
  node: NodeContextService,
  index: SitesIndex,
  ready: Effect.Effect<void>,
): Effect.Effect<never, NatsUnavailable> =>
  Effect.scoped(
    Effect.gen(function* () {
      index.reset();
      const tick = (): void => {
        index.tick(node.nats.now());
        const { present, absent } = index.takeCounts();
        node.counters.lookups(true, present);
        node.counters.lookups(false, absent);
      };
      yield* Effect.acquireRelease(
        Effect.sync(() => setInterval(tick, countersFlushMs)),
        (timer) =>
          Effect.sync(() => {
            clearInterval(timer);
            index.release();
            tick();
          }),
      );
      yield* ready;
      const [caughtUp, known] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()];
      const mirror = follow(
        node.nats,
        { bucket: sitesPresenceBucket, keys: [">"], lifetimes: true, each: (change) => index.learn(change) },
        caughtUp,
      );
      const serving = Effect.gen(function* () {
        yield* Deferred.await(caughtUp);
        yield* Deferred.await(known);
        index.caughtUp();
        return yield* serveAll(node, index);
      });
      return yield* Effect.raceAllFirst([mirror, serving, look(node, index, known)]);
    }),
  );

/** Only from a full mirror: of several nodes the others answer meanwhile. */
const serveAll = (
  node: NodeContextService,
  index: SitesIndex,
): Effect.Effect<never, NatsUnavailable, Scope.Scope> =>
  Effect.gen(function* () {
    const asked = yield* serve(node.nats, {
      subjects: [sitesAskSubject("*")],
      queue: presenceQueue,
      each: (request) => answerSite(node, index, request),
    });
    const ended = yield* serve(node.nats, {
      subjects: [presenceRequestSubject, `${presenceRequestSubject}.>`],
      queue: presenceQueue,
      each: (request) => answerHere(index, request),
    });
    return yield* Effect.raceFirst(asked, ended);
  });

/** How the sites stand, again and again. What cannot be looked up grows old, and the answers say so. */
const look = (
  node: NodeContextService,
  index: SitesIndex,
  known: Deferred.Deferred<void>,
): Effect.Effect<never> =>
  sitesStanding(node.nats).pipe(
    Effect.flatMap((standing) => {
      index.stands(standing);
      return Deferred.succeed(known, undefined);
    }),
    Effect.catch((error) =>
      Effect.sync(() =>
        node.log("debug", "how the sites stand cannot be looked up", { cause: error.message }),
      ),
    ),
    Effect.andThen(Effect.sleep(sitesLookEveryMs)),
    Effect.forever,
  );

function answerSite(node: NodeContextService, index: SitesIndex, request: NatsRequest): void {
  const site = request.subject.slice(askerFrom);
  // An answer goes where the site's own answers are heard, or nowhere: whoever asks could name any subject.
  if (request.reply?.startsWith(`${sitesAnswerPrefix(site)}.`) !== true) {
    node.log("warn", "a site asks what others have, with a place for the answer that is not its own", {
      site,
      reply: request.reply ?? "",
    });
    return;
  }
  const question = readSitesQuestion(request.data);
  if (question === null) {
    request.respond(writeRefusal("not a question about a group"));
    return;
  }
  index.lookUp(site, question.key, question.waitMs, (answer) =>
    request.respond(typeof answer === "string" ? writeRefusal(answer) : writeAnswer(answer)),
  );
}

function answerHere(index: SitesIndex, request: NatsRequest): void {
  const { asked, waitMs } = readQuestion(anyGroup, request.subject.slice(tokensFrom), request.data);
  lookUpHere(index, asked, waitMs, (status, body) => {
    if (status === 200) request.respond(body);
    else request.respond(body, { headers: errorHeaders(status, "see the body") });
  });
}

function lookUpHere(index: SitesIndex, asked: Asked, waitMs: number, answer: Answer): Leave {
  if (asked === null) {
    answer(200, absentBody);
    return () => undefined;
  }
  if (typeof asked !== "string") {
    answer(asked.status, asked.body);
    return () => undefined;
  }
  return index.lookUp(null, asked, waitMs, (found) => {
    if (typeof found === "string") answer(503, errorBody(found));
    else if (found.found === null) answer(200, absentBodyOf(found.unheard));
    else answer(200, presentAtBody(found.found.uri, found.found.site));
  });
}

/** `GET /presence/{instrument}/{group}/{snap}/{detector}` */
export const sitesPresenceRoutes = (index: SitesIndex): ReadonlyArray<Route> => [
  presenceRoute(
    anyGroup,
    (asked, waitMs, _scope, answer) => lookUpHere(index, asked, waitMs, answer),
    () => index.release(),
  ),
];
