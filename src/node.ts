/**
 * The node program on one page: site file → nats-server (when embedded) → link → supervision tree.
 *
 * The root restarts in order (`rest_for_one`): whatever happens to the link takes the actors with it, because they hold its
 * connection; an actor that fails takes nobody.
 */
import { join } from "node:path";
import * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import * as Schema from "effect/Schema";
import type * as Scope from "effect/Scope";
import type { Actor } from "./actors/Actor.ts";
import { makeCounters } from "./actors/counters.ts";
import { runsBucket } from "./protocol/runs.ts";
import { healthRoutes, metricsText, readinessOf } from "./actors/health.ts";
import type { Log, NodeContextService } from "./actors/NodeContext.ts";
import type { Site } from "./config/Site.ts";
import { findBinary, startEmbedded, storeBroken } from "./jetstream/embedded.ts";
import type { EmbeddedServer } from "./jetstream/embedded.ts";
import { openObjects } from "./jetstream/objects.ts";
import type { AroundDriver } from "./node/actors.ts";
import { actorSpecs } from "./node/actors.ts";
import type { Outward } from "./node/outward.ts";
import { supernodeSpecs } from "./node/supernode.ts";
import { serviceActors } from "./node/discovery.ts";
import { openStorages } from "./node/storages.ts";
import type { Link, SelfDescription } from "./node/link.ts";
import { openLink, untilAnswered } from "./node/link.ts";
import { actorStates, logEvent } from "./node/report.ts";
import { version } from "./node/version.ts";
import type { Handle, TreeNode } from "./supervisor/index.ts";
import * as Supervisor from "./supervisor/index.ts";

/** The node did not start, or had to stop by itself. What was accepted is on disk; what was in hand is taken back by others. */
export class NodeFailed extends Schema.TaggedError<NodeFailed>()("NodeFailed", {
  node: Schema.String,
  reason: Schema.String,
}) {
  override get message(): string {
    return `node ${this.node}: ${this.reason}`;
  }
}

export interface NodeOptions {
  readonly site: Site;
  /** The user's own actors. */
  readonly actors?: ReadonlyArray<Actor>;
  readonly log: Log;
  /** Told what the set-up of an embedded server does. Default: the log. */
  readonly say?: (line: string) => void;
  /** For tests that watch, hold up or break what a lane's driver does. Default: the lane's driver itself. */
  readonly aroundDriver?: AroundDriver;
  /** For tests of what time brings about: the site's clock as this node is to see it, epoch milliseconds. Default: as it is. */
  readonly aroundClock?: (siteMs: number) => number;
}

export interface RunningNode {
  readonly site: Site;
  readonly natsUrl: string;
  /** Monitoring endpoints of the embedded server; null for one elsewhere. */
  readonly monitorUrl: string | null;
  readonly serverPid: () => number | null;
  readonly httpUrl: () => string | null;
  readonly durability: string;
  readonly context: NodeContextService;
  readonly tree: Effect.Effect<TreeNode>;
  /** Ends when the node has stopped by itself; fails with the reason when it had to. */
  readonly ended: Effect.Effect<void, NodeFailed>;
}

/** What the children of the tree hand to each other, in the order in which they start. */
interface State {
  server: EmbeddedServer | null;
  link: Link | null;
  http: string | null;
  handle: Handle | null;
}

/** Starts the node and returns once each actor is ready. The scope's end drains and stops it. */
export const startNode = (options: NodeOptions): Effect.Effect<RunningNode, NodeFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const { site, log } = options;
    const actors = options.actors ?? [];
    const state: State = { server: null, link: null, http: null, handle: null };
    const fatal = yield* Deferred.make<never, NodeFailed>();
    const counters = yield* makeCounters;
    const fail = (reason: unknown): NodeFailed =>
      new NodeFailed({ node: site.node, reason: reason instanceof Error ? reason.message : String(reason) });

    const binary =
      site.nats.mode === "embedded"
        ? yield* Effect.tryPromise({
            try: () => findBinary(options.say ?? ((line) => log("info", line.trim()))),
            catch: fail,
          })
        : null;

    const server: Supervisor.WorkerSpec = {
      name: "nats-server",
      shutdown: "10 seconds",
      run: (ready) =>
        Effect.gen(function* () {
          const running = yield* startEmbedded({
            dataDir: join(site.dataDir, "nats"),
            syncAlways: site.nats.syncAlways,
            port: site.nats.port,
            binary: binary ?? "nats-server",
          });
          state.server = running;
          yield* ready;
          const dataDir = join(site.dataDir, "nats");
          const broken = storeBroken(running, dataDir, (fault) =>
            log("error", `nats-server cannot write in ${dataDir}: make room there, and it is started anew`, {
              fault,
            }),
          );
          return yield* Effect.fail(fail(`nats-server ${yield* Effect.raceFirst(running.exited, broken)}`));
        }),
    };

    const self: SelfDescription = {
      http: null,
      actors: () => (state.handle === null ? [] : actorStates(Effect.runSync(state.handle.tree))),
    };

    const link: Supervisor.WorkerSpec = {
      name: "link",
      startTimeout: "1 hour",
      run: (ready) =>
        Effect.gen(function* () {
          const opened = yield* openLink({
            site,
            actors,
            servers: state.server === null ? site.nats.servers : [state.server.url],
            monitor: state.server?.monitor ?? site.nats.monitor,
            counters,
            log,
            version,
            self,
            aroundClock: options.aroundClock ?? null,
          });
          state.link = opened;
          yield* ready;
          return yield* opened.lease.renew;
        }).pipe(
          Effect.tapError((error) =>
            // Another process has our name: going on, or trying again, would only disturb it.
            error._tag === "NodeSuperseded" ||
            error._tag === "NodeNameTaken" ||
            error._tag === "RestoreUnfinished" ||
            error._tag === "FormatNewer" ||
            error._tag === "FormatOlder"
              ? Deferred.fail(fatal, fail(error))
              : Effect.void,
          ),
        ),
    };

    const running: Supervisor.WorkerSpec = {
      name: "actors",
      startTimeout: "5 minutes",
      shutdown: "5 seconds",
      run: (ready) => runActors(options, state, self, ready),
    };

    const started = Supervisor.start(
      {
        name: "node",
        strategy: "rest_for_one",
        intensity: 3,
        period: "1 minute",
        children: [
          ...(binary === null
            ? []
            : [{ name: "servers", intensity: 20, period: "1 minute", children: [server] } as const]),
          link,
          running,
        ],
      },
      { onEvent: (event) => logEvent(log, event) },
    ).pipe(Effect.mapError(fail));
    const root = yield* Effect.raceFirst(started, Deferred.await(fatal));
    const opened = state.link;
    if (opened === null) return yield* fail("the link was not opened");
    return {
      site,
      natsUrl: state.server?.url ?? site.nats.servers.join(","),
      monitorUrl: state.server?.monitor ?? null,
      serverPid: () => state.server?.pid ?? null,
      httpUrl: () => state.http,
      durability: opened.durability,
      context: opened.context,
      tree: Effect.flatMap(root.tree, (tree) => withActors(tree, state)),
      ended: Effect.raceFirst(root.await.pipe(Effect.mapError(fail), Effect.asVoid), Deferred.await(fatal)),
    };
  });

/** The actors' own supervisor: made anew with each link, because they hold its connection. */
const runActors = (
  options: NodeOptions,
  state: State,
  self: SelfDescription,
  ready: Effect.Effect<void>,
): Effect.Effect<unknown, unknown, Scope.Scope> =>
  Effect.gen(function* () {
    const { log } = options;
    const { link } = state;
    if (link === null) return yield* Effect.die(new Error("actors before the link"));
    const claimsActors = new Set(
      (options.actors ?? []).filter((a) => a.behaviour === "claims").map((a) => a.options.name),
    );
    const handle = yield* Supervisor.start(
      {
        name: "actors",
        intensity: 50,
        period: "1 minute",
        backoff: { base: "50 millis", max: "5 seconds", stableAfter: "10 seconds" },
        children: yield* childrenOf(options, link, {
          healthRoutes: healthRoutes(
            link.context,
            readinessOf(link.context, self.actors),
            yield* metricsText,
          ),
          discovered: () =>
            state.handle === null
              ? []
              : serviceActors(link.context, Effect.runSync(state.handle.tree), version, claimsActors),
          listening: (url) => {
            state.http = url;
            self.http = url;
          },
        }),
      },
      { onEvent: (event) => logEvent(log, event) },
    );
    state.handle = handle;
    yield* ready;
    return yield* handle.await;
  });

/** A site's actors, or a supernode's. */
const childrenOf = (
  { site, log, actors = [], aroundDriver = (_lane, open) => open }: NodeOptions,
  link: Link,
  outward: Outward,
): Effect.Effect<ReadonlyArray<Supervisor.PlainChildSpec>, unknown, Scope.Scope> =>
  Effect.gen(function* () {
    if (site.supernode) return supernodeSpecs({ ...outward, site, link });
    const storage = yield* openStorages(site, link.context.nats);
    const runs = yield* untilAnswered(log, openObjects(link.context.nats, runsBucket, site.nats.replicas));
    return actorSpecs({ ...outward, site, link, actors, storage, runs, aroundDriver });
  });

const withActors = (tree: TreeNode, state: State): Effect.Effect<TreeNode> =>
  state.handle === null
    ? Effect.succeed(tree)
    : Effect.map(state.handle.tree, (actors) => ({
        ...tree,
        children: tree.children.map((child) =>
          child.name === "actors" ? { ...child, children: actors.children } : child,
        ),
      }));
