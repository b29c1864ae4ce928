/** What a site is, as plain data for people and scripts. Secrets appear as where they come from, never as what they are. */
import type * as Redacted from "effect/Redacted";
import { dayOf } from "../jobs/instant.ts";
import { unusedKinds } from "../jobs/taken.ts";
import { formatDuration, formatSize } from "./quantity.ts";
import { maskUserInfo } from "./show.ts";
import type { JobSettings, Lane, LaneDriver, Site, StorageSettings, WebhookSettings } from "./Site.ts";

export type Described =
  | string
  | number
  | boolean
  | null
  | ReadonlyArray<Described>
  | { readonly [key: string]: Described };
export type SiteDescription = { readonly [key: string]: Described };

/** JSON-safe. Durations and sizes are in the units of the site file; `env` of a program lists names only. */
export function describeSite(site: Site): SiteDescription {
  return {
    name: site.name,
    supernode: site.supernode,
    node: site.node,
    roles: [...site.roles],
    dataDir: site.dataDir,
    filesOf:
      site.filesOf === null
        ? null
        : { supernode: site.filesOf.supernode, sites: Object.fromEntries(site.filesOf.sites) },
    nats: describeNats(site.nats),
    http: {
      host: site.http.host,
      port: site.http.port,
      url: `http://${hostOf(site.http.host)}:${site.http.port}`,
      trustedProxies: site.http.trustedProxies,
      connectionsPerAddress: site.http.connectionsPerAddress,
    },
    storage: describeAll(site.storage, describeStorage),
    lanes: describeAll(site.lanes, describeLane),
    enqueuer: {
      path: site.enqueuer.path,
      secret: reference(site.enqueuer.secret),
      secretIn: site.enqueuer.secretIn,
      natsSubject: site.enqueuer.natsSubject,
      bodyMax: formatSize(site.enqueuer.bodyBytesMax),
      recordsMax: site.enqueuer.recordsMax,
      duplicateWindow: formatDuration(site.enqueuer.duplicateWindowMs),
      limits: site.enqueuer.limits,
    },
    watch: site.watch.map((watch) => ({
      directory: watch.directory,
      bucket: watch.bucket,
      pollEvery: formatDuration(watch.pollEveryMs),
      quiet: formatDuration(watch.quietMs),
    })),
    presence: {
      instruments: site.presence.instruments,
      detector: site.presence.detector.source,
      lifetime: formatDuration(site.presence.lifetimeMs),
      deleteWhenSeen: site.presence.deleteWhenSeen,
      scope: site.presence.scope,
    },
    jobs: describeAll(site.jobs, describeJob),
    catalogue: describeCatalogue(site.catalogue),
    missionStart: site.missionStart === null ? null : dayOf(site.missionStart),
    webhooks: describeAll(site.webhooks, describeWebhook),
    visits:
      site.visits === null
        ? null
        : {
            system: site.visits.system,
            lanes: site.visits.lanes,
            observationTypes: site.visits.observationTypes,
          },
    actors: site.actorModules,
    log: { level: site.log.level, format: site.log.format },
  };
}

function describeNats(nats: Site["nats"]): Described {
  const { mode, domain, replicas, topology } = nats;
  const shared = { mode, domain, replicas, topology };
  if (nats.mode === "embedded") return { ...shared, port: nats.port, syncAlways: nats.syncAlways };
  return {
    ...shared,
    servers: nats.servers.map(maskUserInfo),
    monitor: nats.monitor,
    credentialsFile: nats.credentialsFile,
    user: nats.user,
    password: reference(nats.password),
    token: reference(nats.token),
    tls: nats.tls === null ? null : { ...nats.tls },
  };
}

function describeStorage(storage: StorageSettings): Described {
  if (storage.driver !== "s3") return { ...storage };
  return {
    driver: "s3",
    endpoint: storage.endpoint,
    region: storage.region,
    forcePathStyle: storage.forcePathStyle,
    accessKeyId: reference(storage.accessKeyId),
    secretAccessKey: reference(storage.secretAccessKey),
  };
}

function describeLane(lane: Lane): Described {
  return {
    kind: lane.kind,
    buckets: lane.buckets,
    profile: lane.profile,
    storage: lane.storage,
    accept: lane.accept.source,
    pattern: lane.pattern?.source ?? null,
    names: lane.names === null ? null : [...lane.names.kinds.keys()],
    metadata: lane.metadata,
    identity: lane.identity,
    sidecar: lane.sidecar,
    driver: describeDriver(lane.driver),
    workers: lane.workers,
    batchMax: lane.batchMax,
    readsMax: lane.readsMax,
    attemptsMax: lane.attemptsMax,
    crashesAloneMax: lane.crashesAloneMax,
    backoff: [formatDuration(lane.backoffBaseMs), formatDuration(lane.backoffMaxMs)],
    workDeadline: formatDuration(lane.workDeadlineMs),
    onContentChange: lane.onContentChange,
    needs: lane.needs.map((need) => ({
      match: need.match.source,
      needs: need.needs,
      waitMax: formatDuration(need.waitMaxMs),
    })),
    retentionDays: lane.retentionDays,
    backlogMax: lane.backlogMax,
  };
}

function describeDriver(driver: LaneDriver): Described {
  if (driver.type === "native") return { type: "native" };
  if (driver.type === "http") {
    return {
      type: "http",
      url: driver.url.label ?? "",
      headers: [...driver.headers.keys()],
      startDeadline: formatDuration(driver.startDeadlineMs),
      batchDeadline: formatDuration(driver.batchDeadlineMs),
    };
  }
  return {
    type: "subprocess",
    command: driver.command,
    cwd: driver.cwd,
    env: Object.keys(driver.env),
    startDeadline: formatDuration(driver.startDeadlineMs),
    batchDeadline: formatDuration(driver.batchDeadlineMs),
  };
}

function describeWebhook(webhook: WebhookSettings): Described {
  return {
    url: webhook.url.label ?? "",
    headers: [...webhook.headers.keys()],
    lanes: webhook.lanes,
    timeout: formatDuration(webhook.timeoutMs),
    inFlightMax: webhook.inFlightMax,
    attemptsMax: webhook.attemptsMax,
    backoff: [formatDuration(webhook.backoffBaseMs), formatDuration(webhook.backoffMaxMs)],
  };
}

function describeJob(job: JobSettings): Described {
  return {
    version: job.version,
    partition: job.partition,
    lane: job.lane,
    inputs: job.inputs.map((input) => ({
      lane: input.lane,
      site: input.site ?? null,
      match: input.match?.source ?? null,
      required: input.required,
      count: input.count,
      detectors: input.detectors,
    })),
    outputs: job.outputs.map((output) => ({ name: output.name, bucket: output.bucket, key: output.key })),
    command: job.driver.command,
    cwd: job.driver.cwd,
    env: Object.keys(job.driver.env),
    timeLimit: formatDuration(job.timeLimitMs),
    attemptsMax: job.attemptsMax,
    workers: job.workers,
  };
}

/** How much there is of it: the jobs themselves are in files of their own. */
function describeCatalogue(catalogue: Site["catalogue"]): Described {
  if (catalogue === null) return null;
  return {
    file: catalogue.file,
    jobs: catalogue.jobs.size,
    kinds: catalogue.recogniser.kinds.size,
    unusedKinds: unusedKinds(catalogue, catalogue.recogniser.kinds),
    warnings: catalogue.warnings,
    drivers: [...catalogue.drivers.keys()],
    lanes: [...catalogue.lanes.keys()],
    teams: [...catalogue.teams.keys()],
  };
}

/** `«env:NAME»`; null where there is no secret. */
function reference(secret: Redacted.Redacted | null): string | null {
  return secret === null ? null : `«${secret.label ?? "secret"}»`;
}

function hostOf(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}

function describeAll<A>(all: ReadonlyMap<string, A>, describe: (one: A) => Described): Described {
  return Object.fromEntries([...all].map(([name, one]) => [name, describe(one)]));
}
