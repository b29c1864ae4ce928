/**
 * Presence: "is it here?" within a millisecond, and "tell me when it is".
 *
 * Receives  requests on `orrery.presence` (JSON or text) and `orrery.presence.<instrument>.<group>.<snap>.<detector>`, in a queue
 *           group; HTTP `GET /presence/{instrument}/{group}/{snap}/{detector}`, `?wait=SECONDS`, `?scope=site|all`.
 * Keeps     a mirror of the bucket `presence` in memory.
 * Emits     answers; questions to the supernode about what is not here, where other sites' groups count; `announceGroups` puts groups into the bucket, then tells `orrery.present.>`.
 * Fails     400/404 for a question that is none; 503 when a miss cannot be read, never a wrong "absent".
 */
import * as Effect from "effect/Effect";
import type { PresenceSettings } from "../config/Site.ts";
import { countersFlushMs, requestDeadlineMs, transactionMessagesMax } from "../limits.ts";
import { follow } from "../jetstream/follower.ts";
import type { NatsRequest } from "../jetstream/requests.ts";
import { announce, errorHeaders, serve } from "../jetstream/requests.ts";
import type { Write } from "../jetstream/transaction.ts";
import { storeEach } from "../jetstream/transaction.ts";
import type { JetStreamError, NatsUnavailable } from "../protocol/errors.ts";
import { kvSubject, presenceBucket, presenceRequestSubject, presentSubject } from "../protocol/keys.ts";
import type { Asked, GroupName, PresenceRules, Scope } from "../protocol/presence.ts";
import {
  announcedKey,
  askedParts,
  errorBody,
  readQuestion,
  readScope,
  readWait,
} from "../protocol/presence.ts";
import type { FileBody } from "../protocol/records.ts";
import { encodeText } from "../protocol/records.ts";
import type { Route } from "./listens.ts";
import { sendJson } from "./listens.ts";
import type { NodeContextService } from "./NodeContext.ts";
import type { Answer, Leave, PresenceIndex } from "./PresenceIndex.ts";
import { lifetimeSeconds } from "./PresenceIndex.ts";

export const presenceQueue = "presence";
const tokensFrom = presenceRequestSubject.length + 1;

/** Runs until interrupted; `ready` once it answers. What waits when it ends is answered 503. */
export const presenceActor = (
  node: NodeContextService,
  index: PresenceIndex,
  ready: Effect.Effect<void>,
): Effect.Effect<never, NatsUnavailable> =>
  Effect.scoped(
    Effect.gen(function* () {
      index.reset();
      yield* Effect.acquireRelease(
        Effect.sync(() => setInterval(() => index.tick(node.nats.now()), countersFlushMs)),
        (timer) =>
          Effect.sync(() => {
            clearInterval(timer);
            index.release();
            index.tick(node.nats.now());
          }),
      );
      const ended = yield* serve(node.nats, {
        subjects: [presenceRequestSubject, `${presenceRequestSubject}.>`],
        queue: presenceQueue,
        each: (request) => answerRequest(index, request),
      });
      // Ready before the mirror is full: until then every miss is read, slower and just as right.
      yield* ready;
      const mirror = follow(node.nats, {
        bucket: presenceBucket,
        keys: [">"],
        each: (change) => index.learn(change),
      });
      return yield* Effect.raceFirst(mirror, ended);
    }),
  );

function answerRequest(index: PresenceIndex, request: NatsRequest): void {
  const { asked, waitMs, scope } = readQuestion(index.rules, request.subject.slice(tokensFrom), request.data);
  const answer: Answer = (status, body) => {
    if (status === 200) request.respond(body);
    else request.respond(body, { headers: errorHeaders(status, "see the body") });
  };
  index.lookUp(asked, waitMs, answer, scope);
}

/** `GET /presence/{instrument}/{group}/{snap}/{detector}` */
export const presenceRoutes = (index: PresenceIndex): ReadonlyArray<Route> => [
  presenceRoute(
    index.rules,
    (asked, waitMs, scope, answer) => index.lookUp(asked, waitMs, answer, scope),
    () => index.release(),
  ),
];

/** The way in over HTTP, wherever the answer comes from. */
export const presenceRoute = (
  rules: PresenceRules,
  lookUp: (asked: Asked, waitMs: number, scope: Scope | undefined, answer: Answer) => Leave,
  drain: () => void,
): Route => ({
  method: "GET",
  path: "/presence/",
  handle: (_request, response, path, query) => {
    const answer: Answer = (status, body) => {
      if (status === 503) response.setHeader("retry-after", "1");
      sendJson(response, status, body);
    };
    const wait = query.get("wait");
    const waitMs = wait === null ? 0 : readWait(wait);
    const wanted = query.get("scope");
    const scope = wanted === null ? undefined : readScope(wanted);
    const asked = askedParts(rules, path);
    const isGroup = asked === null || typeof asked === "string";
    if (isGroup && waitMs === null) {
      answer(400, errorBody(`wait must be seconds, a number from 0, and is ${wait}`));
      return;
    }
    if (isGroup && scope === null) {
      answer(400, errorBody(`scope must be site or all, and is ${wanted}`));
      return;
    }
    const leave = lookUp(asked, waitMs ?? 0, scope ?? undefined, answer);
    if (waitMs !== null && waitMs > 0) response.once("close", leave);
  },
  drain,
});

export interface AnnouncedGroup extends GroupName {
  readonly uri: string;
}

/** The group behind which a file is looked up; null where nobody would ask for it. */
export function groupOf(
  { detector: asked }: Pick<PresenceSettings, "detector">,
  { identity, uri }: Pick<FileBody, "identity" | "uri">,
): AnnouncedGroup | null {
  if (identity == null) return null;
  const { instrument, group, snap, detector } = identity;
  if (instrument === null || group === null || detector === null || !asked.test(detector)) return null;
  return { instrument, group, snap: snap ?? 0, detector, uri };
}

/** A group's key in its bucket, which lives so long from now on. */
export const groupWrite = (key: string, uri: string, lifetimeMs: number): Write => ({
  subject: kvSubject(presenceBucket, key),
  data: encodeText(uri),
  ttlSeconds: lifetimeSeconds(lifetimeMs),
});

/**
 * Makes groups present, for `lifetimeMs`: stored first, then announced, so that whoever hears of one finds it on every node.
 * Idempotent. A group whose name is no key (too long, no text) is left out with a warning: nobody can ask for it.
 *
 * After an error some of them may be stored and none of these is announced: call it again.
 */
export const announceGroups = (
  node: NodeContextService,
  groups: ReadonlyArray<AnnouncedGroup>,
  lifetimeMs: number,
): Effect.Effect<void, JetStreamError> =>
  Effect.suspend(() => {
    const uris = new Map<string, string>();
    for (const group of groups) {
      const key = announcedKey(group);
      if (key === null) node.log("warn", "a group cannot be announced: its name is no key", { ...group });
      else uris.set(key, group.uri);
    }
    const entries = [...uris];
    const batches: Array<typeof entries> = [];
    for (let at = 0; at < entries.length; at += transactionMessagesMax) {
      batches.push(entries.slice(at, at + transactionMessagesMax));
    }
    return Effect.forEach(
      batches,
      (batch) => {
        const writes = batch.map(([key, uri]) => groupWrite(key, uri, lifetimeMs));
        return Effect.map(storeEach(node.nats, "store groups", writes, requestDeadlineMs), () => {
          for (const [key, uri] of batch) announce(node.nats, presentSubject(key), uri);
        });
      },
      { discard: true },
    );
  });
