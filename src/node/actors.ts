/** From a site file to the children of the supervision tree: one function a role. */
import * as Effect from "effect/Effect";
import type { Actor } from "../actors/Actor.ts";
import { claimsWorker, SystemFailure } from "../actors/claims.ts";
import type { Log } from "../actors/NodeContext.ts";
import { catalogueResolverActor } from "../actors/catalogueResolver.ts";
import { backlogPoll, notifyRoutes } from "../actors/enqueuer.ts";
import { FrontDoor } from "../actors/frontDoor.ts";
import { fileSource, ingestWork } from "../actors/ingester.ts";
import type { Route } from "../actors/listens.ts";
import { madeAnew } from "../actors/madeAnew.ts";
import { natsNotifications } from "../actors/natsNotifications.ts";
import { notifierActor } from "../actors/notifier.ts";
import { OtherSites } from "../actors/OtherSites.ts";
import { presenceActor, presenceRoutes } from "../actors/presence.ts";
import { PresenceIndex } from "../actors/PresenceIndex.ts";
import { reclaimerActor } from "../actors/reclaimer.ts";
import { resolverActor } from "../actors/resolver.ts";
import type { RetentionRule } from "../actors/retention.ts";
import type { RunnerDeps } from "../actors/runner.ts";
import { RunBell } from "../actors/RunBell.ts";
import { runnerJobs } from "../actors/runJob.ts";
import { runLanes } from "../actors/runSource.ts";
import { SeenDays } from "../actors/seen.ts";
import { runnerWorker } from "../actors/runner.ts";
import { runsBacklog } from "../actors/runsBacklog.ts";
import { claimsActor, followsActor, repliesActor, ticksActor } from "../actors/userActors.ts";
import { UnknownJobs } from "../actors/UnknownJobs.ts";
import { visitsActor } from "../actors/visits.ts";
import { watchDirectory } from "../actors/watcher.ts";
import type { Lane, Role, Site } from "../config/Site.ts";
import type { OpenDriver } from "../drivers/Driver.ts";
import { openHttp } from "../drivers/http.ts";
import { nativeDriver } from "../drivers/native.ts";
import { shareDriver } from "../drivers/shared.ts";
import { openSubprocess } from "../drivers/subprocess.ts";
import { makeDockerDriver } from "../drivers/docker.ts";
import { makeNomadDriver } from "../drivers/nomad.ts";
import type { RunDriver } from "../drivers/RunDriver.ts";
import { makeProcessDriver } from "../drivers/process.ts";
import { workersPerBridge } from "../limits.ts";
import type { ObjectBucket } from "../jetstream/objects.ts";
import { sitesAsks } from "../jetstream/sitesAsks.ts";
import { claimKey, itemMailbox, runMailbox } from "../protocol/keys.ts";
import type { StorageDriver } from "../storage/Storage.ts";
import type { PlainChildSpec } from "../supervisor/index.ts";
import type { OutwardNeeds } from "./outward.ts";
import { outwardSpecs, worker } from "./outward.ts";

export interface ActorNeeds extends OutwardNeeds {
  readonly actors: ReadonlyArray<Actor>;
  readonly storage: ReadonlyMap<string, StorageDriver>;
  /** Where logs and manifests of runs are kept. */
  readonly runs: ObjectBucket;
  readonly aroundDriver: AroundDriver;
}

/** What stands between a lane and its driver: given the lane's own, it says which one is opened. */
export type AroundDriver = (lane: Lane, open: OpenDriver) => OpenDriver;

function openDriver(lane: Lane, log: Log): OpenDriver {
  switch (lane.driver.type) {
    case "native":
      return Effect.succeed(nativeDriver);
    case "subprocess":
      return openSubprocess({ name: lane.name, ...lane.driver }, log);
    case "http":
      return openHttp({ name: lane.name, ...lane.driver }, log);
  }
}

/** The driver of each of a lane's workers: a bridge is shared by some, so that it need not wait for what is done around it. */
function driversOf(lane: Lane, log: Log): (worker: number) => OpenDriver {
  const open = openDriver(lane, log);
  if (lane.driver.type !== "subprocess") return () => open;
  const bridges = Array.from({ length: Math.ceil(lane.workers / workersPerBridge) }, () => shareDriver(open));
  return (worker) => bridges[Math.floor(worker / workersPerBridge)] ?? open;
}

function storageOf(needs: ActorNeeds, lane: Lane): StorageDriver | null {
  return lane.storage === null ? null : (needs.storage.get(lane.storage) ?? null);
}

function ingesters(needs: ActorNeeds): ReadonlyArray<PlainChildSpec> {
  const { site, link } = needs;
  const seen = new SeenDays(link.context.nats);
  return [...site.lanes.values()].flatMap((lane) => {
    const drivers = driversOf(lane, link.context.log);
    return Array.from({ length: lane.workers }, (_, index) =>
      worker(`ingest-${lane.name}-${index}`, (ready) =>
        Effect.gen(function* () {
          const driver = yield* needs.aroundDriver(lane, drivers(index));
          const work = ingestWork(link.context, { site, lane, storage: storageOf(needs, lane), driver });
          return yield* claimsWorker(
            link.context,
            fileSource(lane, seen, storageOf(needs, lane)),
            index,
            work,
            ready,
          );
        }),
      ),
    );
  });
}

/** The way to what other sites have: nothing is asked before a look-up wants it. */
const othersOf = ({ site, link: { context } }: ActorNeeds): OtherSites =>
  new OtherSites(sitesAsks(context.nats, site.name), context.log);

/** The storage behind a bucket: that of the lane which takes it; another site's as the site file says. */
function storageOfBucket(needs: ActorNeeds, bucket: string, site?: string): StorageDriver | null {
  if (site !== undefined) {
    const name = needs.site.filesOf?.sites.get(site)?.storage;
    return name === undefined ? null : (needs.storage.get(name) ?? null);
  }
  for (const lane of needs.site.lanes.values()) {
    if (lane.buckets.includes(bucket)) return storageOf(needs, lane);
  }
  return null;
}

/** One of each kind; of clusters one for each way in, whatever its jobs run there. */
function runDrivers(): RunnerDeps["driverOf"] {
  const [process, docker] = [makeProcessDriver(), makeDockerDriver()];
  const clusters = new Map<string, RunDriver>();
  return (driver) => {
    if (driver.type !== "nomad") return driver.type === "docker" ? docker : process;
    const { job, folder, address, tokenFile, namespace } = driver;
    const name = JSON.stringify([job, folder, address, tokenFile, namespace]);
    const cluster = clusters.get(name) ?? makeNomadDriver({ job, folder, address, tokenFile, namespace });
    clusters.set(name, cluster);
    return cluster;
  };
}

/** What runs make comes in by the front door like everything else. */
function runnerDeps(needs: ActorNeeds, door: FrontDoor): RunnerDeps {
  return {
    driverOf: runDrivers(),
    bell: new RunBell(needs.link.context.nats),
    runs: needs.link.runs,
    unknown: new UnknownJobs(),
    storageOf: (bucket, from) => storageOfBucket(needs, bucket, from),
    objects: needs.runs,
    announce: (arrivals) =>
      Effect.flatMap(
        Effect.promise(() => Promise.all(arrivals.map((arrival) => door.announce(arrival, arrival.via)))),
        (admissions) => {
          const failed = admissions.find((admission) => admission.type === "failed");
          return failed === undefined
            ? Effect.void
            : Effect.fail(new SystemFailure({ what: "the arrivals stream", detail: failed.error.message }));
        },
      ),
  };
}

function runners(needs: ActorNeeds, door: FrontDoor): ReadonlyArray<PlainChildSpec> {
  const { site, link } = needs;
  const deps = runnerDeps(needs, door);
  const jobs = { ...runnerJobs(site), dataDir: site.dataDir };
  return [...runLanes(jobs)].flatMap(([lane, workers]) =>
    Array.from({ length: workers }, (_, index) =>
      worker(`run-${lane}-${index}`, (ready) => runnerWorker(link.context, jobs, lane, index, deps, ready)),
    ),
  );
}

/** The slots that workers of this process own, or are about to open. */
function ownSlots(needs: ActorNeeds): ReadonlySet<string> {
  const { site, link } = needs;
  const slots = new Set<string>();
  const add = (mailbox: string, workers: number): void => {
    for (let i = 0; i < workers; i++) slots.add(claimKey(mailbox, link.context.name, i));
  };
  if (site.roles.has("ingester")) for (const lane of site.lanes.values()) add(lane.name, lane.workers);
  if (site.roles.has("runner"))
    for (const [lane, workers] of runLanes(runnerJobs(site))) add(runMailbox(lane), workers);
  for (const actor of needs.actors) {
    if (actor.behaviour === "claims") add(itemMailbox(actor.options.name), actor.options.workers ?? 1);
  }
  return slots;
}

function retentionOf(site: Site): ReadonlyArray<RetentionRule> {
  const lanes = [...site.lanes.values()];
  const longest = Math.max(...lanes.map((lane) => lane.retentionDays), 1);
  return [
    ...lanes.map((lane) => ({ lane: lane.name, days: lane.retentionDays, exposures: false })),
    { lane: "", days: longest, exposures: true },
  ];
}

function userActor(needs: ActorNeeds, actor: Actor): ReadonlyArray<PlainChildSpec> {
  const { context } = needs.link;
  const { name, shutdownMs } = actor.options;
  switch (actor.behaviour) {
    case "claims":
      return Array.from({ length: actor.options.workers ?? 1 }, (_, index) =>
        worker(`${name}-${index}`, (ready) => claimsActor(context, actor.options, index, ready), shutdownMs),
      );
    case "replies":
      return [worker(name, (ready) => repliesActor(context, actor.options, ready), shutdownMs)];
    case "follows":
      return [worker(name, (ready) => followsActor(context, actor.options, ready), shutdownMs)];
    case "ticks":
      return [worker(name, (ready) => ticksActor(context, actor.options, ready), shutdownMs)];
    case "listens":
      // Its routes are on the node's one listener.
      return [];
  }
}

/** Every actor of the node, in the order in which they start; they stop in reverse, the ways in first. */
export function actorSpecs(needs: ActorNeeds): ReadonlyArray<PlainChildSpec> {
  const { site, link } = needs;
  const { context } = link;
  const has = (role: Role): boolean => site.roles.has(role);
  const door = new FrontDoor(context, site);
  const presence = has("presence") ? new PresenceIndex(context, site.presence, othersOf(needs)) : null;
  const specs: Array<PlainChildSpec> = [];
  if (has("ingester")) specs.push(...ingesters(needs));
  if (has("reclaimer")) {
    specs.push(
      worker("reclaimer", (ready) =>
        reclaimerActor(
          context,
          {
            lease: link.lease,
            ownSlots: ownSlots(needs),
            putBack: link.mailboxes.putBack,
            retention: retentionOf(site),
          },
          ready,
        ),
      ),
    );
  }
  if (has("resolver") && site.jobs.size > 0) {
    specs.push(worker("resolver", (ready) => resolverActor(context, site, ready)));
  }
  const { catalogue } = site;
  if (has("resolver") && catalogue !== null) {
    const deps = { storageOf: (bucket: string, from?: string) => storageOfBucket(needs, bucket, from) };
    specs.push(worker("catalogue", (ready) => catalogueResolverActor(context, site, catalogue, deps, ready)));
  }
  const jobs = runnerJobs(site);
  if (has("resolver") && jobs.jobs.size > 0) {
    specs.push(worker("runs-backlog", (ready) => Effect.andThen(ready, runsBacklog(context, jobs))));
    const lanes = [...runLanes(jobs).keys()];
    specs.push(worker("made-anew", (ready) => Effect.andThen(ready, madeAnew(context, lanes))));
  }
  if (has("runner")) specs.push(...runners(needs, door));
  if (has("notifier")) {
    for (const webhook of site.webhooks.values()) {
      specs.push(worker(`notify-${webhook.name}`, (ready) => notifierActor(context, webhook, ready)));
    }
  }
  const { visits } = site;
  if (has("visits") && visits !== null) {
    specs.push(worker("visits", (ready) => visitsActor(context, visits, ready)));
  }
  if (presence !== null) specs.push(worker("presence", (ready) => presenceActor(context, presence, ready)));
  for (const actor of needs.actors) specs.push(...userActor(needs, actor));
  if (has("enqueuer")) {
    specs.push(worker("backlog", (ready) => Effect.andThen(ready, backlogPoll(context, site, door))));
    const subject = site.enqueuer.natsSubject;
    if (subject !== null) {
      specs.push(
        worker("nats-notifications", (ready) => natsNotifications(context, site, subject, door, ready)),
      );
    }
  }
  if (has("watcher")) {
    for (const watch of site.watch) {
      const lane = [...site.lanes.values()].find((l) => l.buckets.includes(watch.bucket));
      const storage = lane === undefined ? null : storageOf(needs, lane);
      specs.push(
        worker(`watch-${watch.bucket}`, (ready) =>
          Effect.andThen(ready, watchDirectory(context, site, watch, storage, door)),
        ),
      );
    }
  }
  const routes: ReadonlyArray<Route> = [
    ...(has("enqueuer") ? notifyRoutes(context, site, door) : []),
    ...(presence === null ? [] : presenceRoutes(presence)),
    ...needs.actors.flatMap((actor) => (actor.behaviour === "listens" ? actor.options.routes : [])),
  ];
  return [...specs, ...outwardSpecs(needs, routes)];
}
