/** What nodes of every kind have in common: how an actor becomes a child of the tree, and the ways in from outside. */
import * as Effect from "effect/Effect";
import * as Predicate from "effect/Predicate";
import * as Schedule from "effect/Schedule";
import type * as Scope from "effect/Scope";
import { ConnectionLimit } from "../actors/connectionLimit.ts";
import type { ListenSettings, Route } from "../actors/listens.ts";
import { listensActor } from "../actors/listens.ts";
import { SourceAddresses } from "../actors/sourceAddress.ts";
import type { HttpSettings, Site } from "../config/Site.ts";
import type { ServiceActor } from "../jetstream/services.ts";
import { registerActors } from "../jetstream/services.ts";
import { drainMs } from "../limits.ts";
import type { PlainChildSpec } from "../supervisor/index.ts";
import type { Link } from "./link.ts";

export interface Outward {
  readonly healthRoutes: ReadonlyArray<Route>;
  /** The actors as `$SRV` shows them. */
  readonly discovered: () => ReadonlyArray<ServiceActor>;
  /** Told where HTTP listens, once it does. */
  readonly listening: (url: string) => void;
}

export interface OutwardNeeds extends Outward {
  readonly site: Site;
  readonly link: Link;
}

type Run = (ready: Effect.Effect<void>) => Effect.Effect<unknown, unknown, Scope.Scope>;

/** A start that NATS did not answer is begun again: the server may go away then as at any other time, and comes back. */
const patient =
  (run: Run): Run =>
  (ready) =>
    Effect.suspend(() => {
      let isReady = false;
      const told = Effect.andThen(
        ready,
        Effect.sync(() => {
          isReady = true;
        }),
      );
      return Effect.scoped(run(told)).pipe(
        Effect.retry({
          while: (error) => !isReady && Predicate.isTagged(error, "NatsUnavailable"),
          schedule: Schedule.spaced("250 millis"),
        }),
      );
    });

export const worker = (name: string, run: Run, shutdownMs: number = drainMs - 300): PlainChildSpec => ({
  name,
  restart: "permanent",
  shutdown: shutdownMs,
  run: patient(run),
});

const listenSettings = ({
  host,
  port,
  trustedProxies,
  connectionsPerAddress,
}: HttpSettings): ListenSettings => ({
  host,
  port,
  connections: new ConnectionLimit(new SourceAddresses({ trustedProxies }), connectionsPerAddress),
});

/** The last to start: `$SRV`, and the node's one listener with its own routes and those of its actors. */
export const outwardSpecs = (
  { site, link, healthRoutes, discovered, listening }: OutwardNeeds,
  routes: ReadonlyArray<Route>,
): ReadonlyArray<PlainChildSpec> => [
  worker("discovery", (ready) =>
    Effect.flatMap(registerActors(link.context.nats, discovered), (ended) => Effect.andThen(ready, ended)),
  ),
  worker("http", (ready) =>
    listensActor(link.context, listenSettings(site.http), [...healthRoutes, ...routes], (listener) =>
      Effect.andThen(
        Effect.sync(() => listening(listener.url)),
        ready,
      ),
    ),
  ),
];
