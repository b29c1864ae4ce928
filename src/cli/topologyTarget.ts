/** What a `topology` command speaks of: a site, by its file, or a supernode, by its folder of deployments. */
import { resolve } from "node:path";
import * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import { applyFilesOf } from "../jetstream/filesOf.ts";
import type { Taker } from "../jetstream/filesOf.ts";
import { checkFormat } from "../jetstream/format.ts";
import type { NatsService } from "../jetstream/Nats.ts";
import { checkRestored } from "../jetstream/restoring.ts";
import { objectsStream } from "../jetstream/objects.ts";
import { sitesTopology, supernodeTopology } from "../jetstream/sitesBucket.ts";
import type { Topology } from "../jetstream/topology.ts";
import { apply, plan } from "../jetstream/topology.ts";
import type { Change, MayLose } from "../jetstream/topologyDiff.ts";
import { planFilesOf } from "../jetstream/filesOfPlan.ts";
import { madeAt } from "../jetstream/survey.ts";
import { siteTopology } from "../node/link.ts";
import { kvStream, ledgerBucket } from "../protocol/keys.ts";
import { runsBucket } from "../protocol/runs.ts";
import type { Site } from "../config/Site.ts";
import type { Actor } from "../actors/Actor.ts";
import type { Deployment } from "../sites/deployment.ts";
import { loadActors } from "./actorModules.ts";
import type { CommandFailed } from "./failures.ts";
import { failed, misused, ofCause, ofJetStream, unreachable } from "./failures.ts";
import type { IoService } from "./Io.ts";
import { lostWith } from "./lostStreams.ts";
import { findSite, openSite } from "./site.ts";
import { connectDeployment, wayTo } from "./siteConnect.ts";
import { folderOf, theDeployment } from "./siteFolder.ts";
import { rootOf, urlsOf } from "./siteInit.ts";
import type { Home } from "./siteLife.ts";
import { homeOf, isOtherLedger, newLives, noteLedger, noteLives } from "./siteLife.ts";
import { unfinishedChanges } from "./siteRestoring.ts";
import { applyAccount, planAccount } from "./topologyAccount.ts";
import { applyUsers, planUsers } from "./topologyUsers.ts";

export interface TargetOptions {
  readonly site: string | null;
  readonly supernode: string | null;
  readonly dir: string | null;
}

export interface Target {
  readonly kind: Deployment["kind"];
  readonly name: string;
  readonly nats: NatsService;
  /** For people: no password in it. */
  readonly url: string;
  /** Where its keys and credentials are; null where that is not beside the site file. */
  readonly home: Home | null;
  readonly topology: Topology;
  readonly plan: (mayLose: MayLose) => Effect.Effect<ReadonlyArray<Change>, CommandFailed>;
  readonly apply: (mayLose: MayLose) => Effect.Effect<ReadonlyArray<Change>, CommandFailed>;
  /** What was lost with streams that these changes make anew, a line each. */
  readonly lost: (changes: ReadonlyArray<Change>) => Effect.Effect<ReadonlyArray<string>, CommandFailed>;
}

/** A site's streams with those of its object buckets: what runs write, and what lanes keep in JetStream. */
function wholeTopology(site: Site, actors: ReadonlyArray<Actor>): Topology {
  const topology = siteTopology(site, actors);
  if (site.supernode) return topology;
  const inJetStream = [...site.lanes.values()].flatMap(({ storage, buckets }) =>
    storage !== null && site.storage.get(storage)?.driver === "objectstore" ? buckets : [],
  );
  const buckets = [...new Set([runsBucket, ...inJetStream])];
  const objects = buckets.map((bucket) => objectsStream(bucket, site.nats.replicas));
  return { ...topology, streams: [...topology.streams, ...objects] };
}

const refusesUnfinished = (nats: NatsService): Effect.Effect<void, CommandFailed> =>
  checkRestored(nats, Effect.void).pipe(
    Effect.mapError((error) =>
      error._tag === "RestoreUnfinished" ? failed(error.message) : ofJetStream(error),
    ),
  );

const refusesFormat = (nats: NatsService): Effect.Effect<void, CommandFailed> =>
  checkFormat(nats).pipe(
    Effect.mapError((error) =>
      error._tag === "FormatNewer" || error._tag === "FormatOlder"
        ? failed(error.message)
        : ofJetStream(error),
    ),
  );

const attempt = <A>(run: () => Promise<A>): Effect.Effect<A, CommandFailed> =>
  Effect.tryPromise({ try: run, catch: ofCause });

const siteTarget = (io: IoService, named: string | null): Effect.Effect<Target, CommandFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const { file } = yield* findSite(io, named);
    const { site, nats, url } = yield* openSite(io, named);
    const topology = wholeTopology(site, yield* loadActors(site));
    const home = yield* attempt(() => homeOf(site, resolve(io.cwd, file)));
    const users = home === null ? Effect.succeed([]) : attempt(() => planUsers(home));
    const ledger = madeAt(nats, kvStream(ledgerBucket)).pipe(Effect.mapError(ofJetStream));
    const life = Effect.map(ledger, (made) => (home === null ? [] : ledgerWords(home, made)));
    return {
      kind: site.supernode ? "supernode" : "site",
      name: site.name,
      nats,
      url,
      home,
      topology,
      lost: (changes) =>
        site.supernode
          ? Effect.succeed([])
          : lostWith(nats, site, changes).pipe(Effect.mapError(ofJetStream)),
      plan: (mayLose) =>
        Effect.gen(function* () {
          yield* refusesUnfinished(nats);
          const found = yield* plan(nats, topology, { mayLose, surplus: true }).pipe(
            Effect.mapError(ofJetStream),
          );
          return [...found, ...(yield* life), ...(yield* users)];
        }),
      apply: (mayLose) =>
        Effect.gen(function* () {
          yield* refusesUnfinished(nats);
          if (!site.supernode) yield* refusesFormat(nats);
          const made = yield* apply(nats, topology, { mayLose, surplus: true }).pipe(
            Effect.mapError(ofJetStream),
          );
          if (home === null) return made;
          const lived = yield* life;
          const now = yield* ledger;
          yield* attempt(() => noteLedger(home, now));
          return [...made, ...lived, ...(yield* attempt(() => applyUsers(home)))];
        }),
    };
  });

const ledgerWords = (home: Home, made: string | null): ReadonlyArray<Change> =>
  isOtherLedger(home, made)
    ? [
        {
          kind: "update",
          asset: `site ${home.deployment.name}`,
          words: `site ${home.deployment.name}: its ledger is another than that of epoch ${home.deployment.epoch}: a new one begins`,
        },
      ]
    : [];

/** Sites that have joined and were not put out, each with its present life. */
export function membersOf({ members }: Deployment) {
  return Object.entries(members).flatMap(([name, { revokedAt, epoch, sees, filesOf = [] }]) =>
    revokedAt === null ? [{ name, epoch, filesOf, ...(sees === undefined ? {} : { sees }) }] : [],
  );
}

function supernodeWants(deployment: Deployment): {
  readonly topology: Topology;
  readonly takers: ReadonlyArray<Taker>;
} {
  const members = membersOf(deployment);
  const copies = deployment.servers.length;
  const sourced = sitesTopology(members, copies);
  const names = new Set(sourced.streams.map(({ name }) => name));
  const others = supernodeTopology(copies).streams.filter(({ name }) => !names.has(name));
  return { topology: { ...sourced, streams: [...sourced.streams, ...others] }, takers: members };
}

const lifeWords = (before: Deployment, lives: ReadonlyMap<string, string>): ReadonlyArray<Change> =>
  [...lives].map(([name, epoch]) => ({
    kind: "update",
    asset: `site ${name}`,
    words: `site ${name}: it was rebuilt; epoch ${before.members[name]?.epoch ?? "none"} → ${epoch}`,
  }));

export const openSupernode = (
  io: IoService,
  name: string,
  dir: string | null,
): Effect.Effect<
  { readonly home: Home; readonly nats: NatsService; readonly url: string },
  CommandFailed,
  Scope.Scope
> =>
  Effect.gen(function* () {
    const folder = folderOf(rootOf(io, dir), name);
    const deployment = yield* attempt(() => theDeployment(folder, "supernode"));
    const url = urlsOf(deployment.servers).join(", ");
    io.run.way = wayTo(folder, deployment, "admin");
    const nats = yield* connectDeployment(folder, deployment, "admin").pipe(
      Effect.mapError(({ detail }) => unreachable(`none of ${url} answers (${detail})`)),
    );
    return { home: { folder, deployment }, nats, url };
  });

const supernodeTarget = (
  io: IoService,
  name: string,
  dir: string | null,
): Effect.Effect<Target, CommandFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const { home, nats, url } = yield* openSupernode(io, name, dir);
    const lives = yield* attempt(() => newLives(home));
    const unfinished = yield* attempt(() => unfinishedChanges(home));
    const asNoted = { ...home, deployment: withLives(home.deployment, lives) };
    const { topology, takers } = supernodeWants(asNoted.deployment);
    const rebuilt = lifeWords(home.deployment, lives);
    return {
      kind: "supernode",
      name,
      nats,
      url,
      home,
      topology,
      // All that it holds comes again from the sites.
      lost: () => Effect.succeed([]),
      plan: (mayLose) =>
        Effect.gen(function* () {
          const found = yield* plan(nats, topology, { mayLose, surplus: true }).pipe(
            Effect.mapError(ofJetStream),
          );
          const sent = yield* planFilesOf(nats, takers).pipe(Effect.mapError(ofJetStream));
          const users = yield* attempt(() => planUsers(home));
          return [...unfinished, ...rebuilt, ...found, ...sent, ...users, ...(yield* planAccount(home))];
        }),
      apply: (mayLose) =>
        Effect.gen(function* () {
          yield* attempt(() => noteLives(home, lives));
          const made = yield* apply(nats, topology, { mayLose, surplus: true }).pipe(
            Effect.mapError(ofJetStream),
          );
          const sent = yield* planFilesOf(nats, takers).pipe(Effect.mapError(ofJetStream));
          yield* applyFilesOf(nats, takers).pipe(Effect.mapError(ofJetStream));
          const users = yield* attempt(() => applyUsers(asNoted));
          return [...unfinished, ...rebuilt, ...made, ...sent, ...users, ...(yield* applyAccount(asNoted))];
        }),
    };
  });

function withLives(deployment: Deployment, lives: ReadonlyMap<string, string>): Deployment {
  const members = Object.entries(deployment.members).map(([name, member]) => {
    const epoch = lives.get(name);
    return [name, epoch === undefined ? member : { ...member, epoch }];
  });
  return { ...deployment, members: Object.fromEntries(members) as Deployment["members"] };
}

export const openTarget = (
  io: IoService,
  { site, supernode, dir }: TargetOptions,
): Effect.Effect<Target, CommandFailed, Scope.Scope> => {
  if (supernode !== null && site !== null)
    return Effect.fail(misused("a site's file or --supernode NAME: one of the two"));
  if (supernode === null && dir !== null) return Effect.fail(misused("--dir goes with --supernode NAME"));
  return supernode === null ? siteTarget(io, site) : supernodeTarget(io, supernode, dir);
};
