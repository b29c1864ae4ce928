/**
 * Every actor as a service of NATS' own discovery protocol (`$SRV`, ADR-32), so that `nats service list|info|stats` sees it. The
 * client library for this protocol has no stable release: see docs/decisions/service-discovery.md.
 */
import type * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import type { NatsUnavailable } from "../protocol/errors.ts";
import type { NatsService } from "./Nats.ts";
import type { NatsRequest } from "./requests.ts";
import { serve } from "./requests.ts";

export interface ServiceEndpoint {
  readonly name: string;
  /** Where it takes its work from: a request subject, or the subject of its mailbox. */
  readonly subject: string;
  /** Left out: not in a queue group. */
  readonly queueGroup?: string;
  /** Since the start of the process. */
  readonly requests: number;
  readonly errors: number;
  /** "" for none. */
  readonly lastError: string;
  /** Time spent on all requests together, ms. */
  readonly processingMs: number;
  /** Whatever else is worth a look: shown by `nats service stats --json`. */
  readonly data?: unknown;
}

export interface ServiceActor {
  /** Any text; characters that the protocol does not allow are written as `_`. */
  readonly name: string;
  /** Unique in the whole system, and the same for as long as the actor's node runs. */
  readonly id: string;
  /** Semantic version. */
  readonly version: string;
  readonly description: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly startedAt: Date;
  readonly endpoints: ReadonlyArray<ServiceEndpoint>;
}

type Verb = "PING" | "INFO" | "STATS";

const verbs: ReadonlyArray<Verb> = ["PING", "INFO", "STATS"];
const nsOfMs = (ms: number): number => Math.round(ms * 1_000_000);

/** The name under which an actor is found. */
export const serviceName = (name: string): string => name.replaceAll(/[^A-Za-z0-9_-]/g, "_") || "_";

const identity = (actor: ServiceActor) => ({
  name: serviceName(actor.name),
  id: serviceName(actor.id),
  version: actor.version,
  metadata: actor.metadata,
});

const address = ({ name, subject, queueGroup }: ServiceEndpoint) => ({
  name: serviceName(name),
  subject,
  ...(queueGroup === undefined ? {} : { queue_group: queueGroup }),
});

const answers: Readonly<Record<Verb, (actor: ServiceActor) => unknown>> = {
  PING: (actor) => ({ type: "io.nats.micro.v1.ping_response", ...identity(actor) }),
  INFO: (actor) => ({
    type: "io.nats.micro.v1.info_response",
    ...identity(actor),
    description: actor.description,
    endpoints: actor.endpoints.map((endpoint) => ({ ...address(endpoint), metadata: {} })),
  }),
  STATS: (actor) => ({
    type: "io.nats.micro.v1.stats_response",
    ...identity(actor),
    started: actor.startedAt.toISOString(),
    endpoints: actor.endpoints.map((endpoint) => ({
      ...address(endpoint),
      num_requests: endpoint.requests,
      num_errors: endpoint.errors,
      last_error: endpoint.lastError,
      processing_time: nsOfMs(endpoint.processingMs),
      average_processing_time:
        endpoint.requests === 0 ? 0 : nsOfMs(endpoint.processingMs / endpoint.requests),
      ...(endpoint.data === undefined ? {} : { data: endpoint.data }),
    })),
  }),
};

/** `$SRV.<VERB>[.<name>[.<id>]]`: the verb, and whom it asks; null for anything else. */
export function readServiceSubject(
  subject: string,
): { readonly verb: Verb; readonly name: string | null; readonly id: string | null } | null {
  const [prefix, verb, name, id, ...more] = subject.split(".");
  const known = verbs.find((one) => one === verb);
  if (prefix !== "$SRV" || known === undefined || more.length > 0) return null;
  return { verb: known, name: name ?? null, id: id ?? null };
}

function answer(actors: () => ReadonlyArray<ServiceActor>, request: NatsRequest): void {
  const asked = readServiceSubject(request.subject);
  if (asked === null) return;
  for (const actor of actors()) {
    if (asked.name !== null && asked.name !== serviceName(actor.name)) continue;
    if (asked.id !== null && asked.id !== serviceName(actor.id)) continue;
    request.respond(JSON.stringify(answers[asked.verb](actor)));
  }
}

/**
 * Answers discovery for these actors until the scope ends; asked anew for each question, so restarts and counts show. The
 * effect it gives fails when the server ends the subscription.
 */
export const registerActors = (
  nats: NatsService,
  actors: () => ReadonlyArray<ServiceActor>,
): Effect.Effect<Effect.Effect<never, NatsUnavailable>, NatsUnavailable, Scope.Scope> =>
  serve(nats, {
    // Not `$SRV.PING.>`: other services' own endpoints may stand below `$SRV.<VERB>.<name>.<id>`.
    subjects: verbs.flatMap((verb) => [`$SRV.${verb}`, `$SRV.${verb}.*`, `$SRV.${verb}.*.*`]),
    queue: null,
    each: (request) => answer(actors, request),
  });
