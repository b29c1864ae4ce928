/** The link: one connection to NATS, the topology applied, the node's name taken. Everything else is started after it. */
import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import * as Effect from "effect/Effect";
import * as Schedule from "effect/Schedule";
import type * as Scope from "effect/Scope";
import type { Actor } from "../actors/Actor.ts";
import type { Counters } from "../actors/counters.ts";
import { queuesOf, runnerJobs } from "../actors/runJob.ts";
import { RunsInHand } from "../actors/RunsInHand.ts";
import type { Log, NodeContextService } from "../actors/NodeContext.ts";
import { Streams } from "../actors/streams.ts";
import { Troubles } from "../actors/troubles.ts";
import type { Site } from "../config/Site.ts";
import { readDurability } from "../jetstream/embedded.ts";
import { checkFormat } from "../jetstream/format.ts";
import type { NodeLease } from "../jetstream/lease.ts";
import { acquireLease } from "../jetstream/lease.ts";
import type { ConnectSettings, NatsService } from "../jetstream/Nats.ts";
import { connectNats } from "../jetstream/Nats.ts";
import { checkRestored } from "../jetstream/restoring.ts";
import { supernodeTopology } from "../jetstream/sitesBucket.ts";
import type { Topology } from "../jetstream/topology.ts";
import { apply, plan, topologyOf } from "../jetstream/topology.ts";
import type {
  FormatNewer,
  FormatOlder,
  NodeNameTaken,
  NatsUnavailable,
  JetStreamRejected,
  RestoreUnfinished,
} from "../protocol/errors.ts";
import type { NodeRecord } from "../protocol/records.ts";
import { recordVersion } from "../protocol/records.ts";
import type { Mailboxes } from "./mailboxes.ts";
import { mailboxesOf } from "./mailboxes.ts";

export interface Link {
  readonly context: NodeContextService;
  readonly lease: NodeLease;
  readonly mailboxes: Mailboxes;
  readonly durability: string;
  /** What its runners have under way: told with the lease. */
  readonly runs: RunsInHand;
}

/** What the node says of itself in its lease; filled in as the node comes up. */
export interface SelfDescription {
  http: string | null;
  actors: () => NodeRecord["actors"];
}

export interface LinkSettings {
  readonly site: Site;
  readonly actors: ReadonlyArray<Actor>;
  readonly servers: ReadonlyArray<string>;
  readonly monitor: string | null;
  readonly counters: Counters;
  readonly log: Log;
  readonly version: string;
  readonly self: SelfDescription;
  /** Null: the site's clock as it is. */
  readonly aroundClock: ((siteMs: number) => number) | null;
}

export function siteTopology(site: Site, actors: ReadonlyArray<Actor>): Topology {
  if (site.supernode) return supernodeTopology(site.nats.replicas);
  return topologyOf({
    lanes: [...site.lanes.keys()],
    ...queuesOf(runnerJobs(site)),
    items: actors.flatMap((actor) => (actor.behaviour === "claims" ? [actor.options.name] : [])),
    follows: actors.flatMap((actor) =>
      actor.behaviour === "follows" ? [{ name: actor.options.name, keys: actor.options.keys }] : [],
    ),
    receivers: [...site.webhooks.values()],
    visitLanes: site.visits?.lanes ?? [],
    ...(site.filesOf === null
      ? {}
      : {
          filesOf: {
            site: site.name,
            supernode: site.filesOf.supernode,
            sites: [...site.filesOf.sites.keys()],
          },
        }),
    replicas: site.nats.replicas,
    duplicateWindowMs: site.enqueuer.duplicateWindowMs,
  });
}

/** All but where: the site's own credentials. */
export const siteSettings = ({ nats }: Site, name: string): Omit<ConnectSettings, "servers"> => ({
  name,
  credentialsFile: nats.credentialsFile,
  user: nats.user,
  password: nats.password,
  token: nats.token,
  tls: nats.tls,
  domain: nats.domain,
});

/** Connects with the site's own credentials. */
export const connectSite = (
  site: Site,
  servers: ReadonlyArray<string>,
  name: string,
  options: { readonly firstMs?: number } = {},
): Effect.Effect<NatsService, NatsUnavailable, Scope.Scope> =>
  connectNats({ ...siteSettings(site, name), servers }, options);

/**
 * The server may go away while a node starts, as at any other time: what it did not answer is asked again. What it refused is a
 * failure.
 */
export const untilAnswered = <A, E extends { readonly _tag: string }, R>(
  log: Log,
  effect: Effect.Effect<A, E, R>,
): Effect.Effect<A, E, R> =>
  effect.pipe(
    Effect.tapError((error) =>
      Effect.sync(() => {
        if (error._tag === "NatsUnavailable")
          log("warn", "NATS does not answer; it is asked again", { error });
      }),
    ),
    Effect.retry({
      while: (error) => error._tag === "NatsUnavailable",
      schedule: Schedule.spaced("250 millis"),
    }),
  );

const topologyEveryMs = 1_000;

/** Makes the streams and consumers, or waits until all are there: somebody who may make them can do so later, too. */
export const settleTopology = (
  nats: NatsService,
  site: Pick<Site, "name" | "nats">,
  topology: Topology,
  log: Log,
): Effect.Effect<void, NatsUnavailable | JetStreamRejected> =>
  Effect.gen(function* () {
    if (site.nats.topology === "apply") {
      for (const change of yield* untilAnswered(log, apply(nats, topology))) {
        log(change.kind === "refuse" ? "error" : "info", `topology: ${change.words}`);
      }
      return;
    }
    let told = "";
    for (;;) {
      const changes = yield* untilAnswered(log, plan(nats, topology));
      const missing = changes.filter((change) => change.kind === "create");
      const words = changes.map((change) => change.words).join("; ");
      if (words === "" && told !== "") log("info", "streams and consumers are as they should be");
      if (words !== "" && words !== told) {
        log("warn", "streams and consumers are not as they should be: run orrery topology apply", {
          site: site.name,
          differs: words,
          waits: missing.length > 0,
        });
      }
      told = words;
      if (missing.length === 0) return;
      yield* Effect.sleep(topologyEveryMs);
    }
  });

export const openLink = (
  settings: LinkSettings,
): Effect.Effect<
  Link,
  NatsUnavailable | JetStreamRejected | NodeNameTaken | FormatNewer | FormatOlder | RestoreUnfinished,
  Scope.Scope
> =>
  Effect.gen(function* () {
    const { site, log } = settings;
    const connected = yield* connectSite(site, settings.servers, `orrery ${site.name}/${site.node}`);
    const { aroundClock } = settings;
    const nats = aroundClock === null ? connected : { ...connected, now: () => aroundClock(connected.now()) };
    const unseen = Effect.sync(() =>
      log(
        "warn",
        "these credentials do not allow to see an unfinished restore: orrery topology apply renews them",
      ),
    );
    const whole = site.supernode ? Effect.void : untilAnswered(log, checkRestored(nats, unseen));
    yield* whole;
    if (!site.supernode) yield* untilAnswered(log, checkFormat(nats));
    const topology = siteTopology(site, settings.actors);
    yield* settleTopology(nats, site, topology, log);
    yield* untilAnswered(log, nats.setClock);
    const durability = yield* Effect.promise(() =>
      readDurability(settings.monitor, nats.connection.info?.server_id),
    );
    const epoch = `${Date.now().toString(36)}${randomBytes(4).toString("hex")}`;
    const startedAt = new Date().toISOString();
    const troubles = new Troubles(settings.counters, log);
    const names = topology.streams.map(({ name }) => name);
    const streams = new Streams(nats, names, site.supernode ? site.name : null, log);
    yield* Effect.forkScoped(streams.watch);
    const runs = new RunsInHand();
    const describe = (): NodeRecord => ({
      v: recordVersion,
      epoch,
      startedAt,
      host: hostname(),
      pid: process.pid,
      version: settings.version,
      site: site.name,
      actors: settings.self.actors(),
      http: settings.self.http,
      durability,
      troubles: troubles.present(),
      runs: runs.present(),
    });
    const lease = yield* untilAnswered(log, acquireLease(nats, site.node, epoch, describe));
    // A restore that began meanwhile sees the lease, or its mark is seen here.
    yield* whole;
    const mailboxes = mailboxesOf(nats, site, settings.actors);
    return {
      lease,
      mailboxes,
      durability,
      runs,
      context: {
        site: site.name,
        name: site.node,
        epoch,
        nats,
        counters: settings.counters,
        log,
        troubles,
        streams,
        reclaimRules: mailboxes.reclaim,
      },
    };
  });
