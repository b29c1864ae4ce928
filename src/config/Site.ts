/**
 * A site file, decoded: defaults filled in, durations in milliseconds, patterns compiled, names checked.
 * This is what every other part of the program sees; the YAML form and its checks live beside it.
 */
import type * as Redacted from "effect/Redacted";
import type { Recogniser } from "../jobs/names.ts";
import type { JobCatalogue } from "./JobCatalogue.ts";

export interface Site {
  readonly name: string;
  /** It is a supernode: it takes nothing in, and holds what its sites let others see. */
  readonly supernode: boolean;
  /** Stable node name: `--node`, else `ORRERY_NODE`, else `node.name`, else the host's name. */
  readonly node: string;
  /** The actors that this node runs: `--roles`, else `ORRERY_ROLES`, else `node.roles`, else all. */
  readonly roles: ReadonlySet<Role>;
  readonly nats: NatsSettings;
  readonly http: HttpSettings;
  readonly storage: ReadonlyMap<string, StorageSettings>;
  readonly lanes: ReadonlyMap<string, Lane>;
  readonly enqueuer: EnqueuerSettings;
  readonly watch: ReadonlyArray<WatchSettings>;
  readonly presence: PresenceSettings;
  readonly jobs: ReadonlyMap<string, JobSettings>;
  /** Jobs of a mission, which start when their inputs' data sets are there; null: none. */
  readonly catalogue: JobCatalogue | null;
  /** Other sites whose files are inputs of jobs; null: none. */
  readonly filesOf: FilesOfSettings | null;
  /**
   * Microseconds since 1970: from this day on jobs of the catalogue that take no data product have a partition for each day. null: they
   * have none.
   */
  readonly missionStart: number | null;
  /** Receivers that are told of each exposure's files. */
  readonly webhooks: ReadonlyMap<string, WebhookSettings>;
  /** null: no visits are defined. */
  readonly visits: VisitSettings | null;
  /** Modules with the user's own actors, absolute paths; each default-exports an actor or an array of them. */
  readonly actorModules: ReadonlyArray<string>;
  /** Everything that Orrery writes on local disk (embedded server, logs, job scratch): `ORRERY_DATA_DIR`, else as the file says. Absolute. */
  readonly dataDir: string;
  readonly log: { readonly level: "debug" | "info" | "warn" | "error"; readonly format: "json" | "pretty" };
}

export type Role =
  | "enqueuer"
  | "ingester"
  | "reclaimer"
  | "presence"
  | "resolver"
  | "runner"
  | "watcher"
  | "notifier"
  | "visits"
  | "keeper";

export interface NatsSettings {
  /** `embedded`: this process starts and supervises its own nats-server under `dataDir`. */
  readonly mode: "embedded" | "external";
  readonly servers: ReadonlyArray<string>;
  /** `ORRERY_CREDENTIALS`, else as the file says. */
  readonly credentialsFile: string | null;
  readonly user: string | null;
  readonly password: Redacted.Redacted | null;
  readonly token: Redacted.Redacted | null;
  readonly tls: {
    readonly caFile: string | null;
    readonly certFile: string | null;
    readonly keyFile: string | null;
  } | null;
  readonly domain: string | null;
  /** Number of copies of each stream: 1 for a single server, 3 for a cluster. */
  readonly replicas: number;
  /** `verify`: nodes may not change streams and consumers, and wait until they are there. */
  readonly topology: "apply" | "verify";
  /** Embedded only: fsync before every acknowledgement. */
  readonly syncAlways: boolean;
  /** Embedded only; 0 picks a free port and keeps it in `dataDir` for the next start. */
  readonly port: number;
  /** External only: base URL of the server's monitoring endpoints. */
  readonly monitor: string | null;
}

export interface HttpSettings {
  readonly host: string;
  /** 0 picks a free port. */
  readonly port: number;
  /** Addresses and networks whose `X-Forwarded-For` is believed. */
  readonly trustedProxies: ReadonlyArray<string>;
  /** Of one source address that is neither this machine nor a trusted proxy. */
  readonly connectionsPerAddress: number;
}

export type StorageSettings =
  | {
      readonly driver: "s3";
      readonly endpoint: string | null;
      readonly region: string;
      readonly forcePathStyle: boolean;
      readonly accessKeyId: Redacted.Redacted | null;
      readonly secretAccessKey: Redacted.Redacted | null;
    }
  | { readonly driver: "file"; readonly root: string }
  | { readonly driver: "objectstore" };

export interface Lane {
  readonly name: string;
  readonly kind: "exposure" | "object";
  /** Plain names: a `profile@` or `tenant:` before one is taken off, here as in notifications. */
  readonly buckets: ReadonlyArray<string>;
  /** Written before the bucket in answers and addresses, as `profile@bucket`; null: nothing is. */
  readonly profile: string | null;
  /** Key into `Site.storage`; null only when nothing of the object is ever read (metadata: key). */
  readonly storage: string | null;
  /** Searched in the decoded key, not anchored; a miss is skipped and counted. */
  readonly accept: RegExp;
  /**
   * Named groups give identity from the key: instrument, day, exposure, group, snap, detector, seq.
   * `day` may hold `/` and `-` (`2025/11/21`): whoever reads it takes them out.
   */
  readonly pattern: RegExp | null;
  /** What the names of its files say; null: the lane is of no mission. Then `pattern` is null. */
  readonly names: Recogniser | null;
  /** `key`: named groups only. `header`: the sidecar, else the FITS primary header. */
  readonly metadata: "key" | "header";
  /** How header fields become identity. */
  readonly identity: "rubin" | "generic";
  /** Ending of the sidecar that replaces the object's own ending, e.g. ".json". */
  readonly sidecar: string | null;
  readonly driver: LaneDriver;
  readonly workers: number;
  readonly batchMax: number;
  /** Most items whose metadata is read at once. */
  readonly readsMax: number;
  readonly attemptsMax: number;
  readonly crashesAloneMax: number;
  readonly backoffBaseMs: number;
  readonly backoffMaxMs: number;
  readonly workDeadlineMs: number;
  readonly onContentChange: "refuse" | "supersede";
  readonly needs: ReadonlyArray<LaneNeed>;
  /** Days of records kept; whole days beyond are purged. In lanes with names as long as can be: jobs are decided on all that is known. */
  readonly retentionDays: number;
  /** Arrivals pending above this are refused with 503. */
  readonly backlogMax: number;
}

/** Objects whose key matches wait for a ledger key (an exposure's first file) before they are worked on. */
export interface LaneNeed {
  readonly match: RegExp;
  readonly needs: "exposure";
  readonly waitMaxMs: number;
}

export type LaneDriver =
  | { readonly type: "native" }
  | {
      readonly type: "subprocess";
      readonly command: ReadonlyArray<string>;
      readonly cwd: string | null;
      readonly env: Readonly<Record<string, string>>;
      readonly startDeadlineMs: number;
      readonly batchDeadlineMs: number;
    }
  | {
      readonly type: "http";
      /** Its label is what may be shown of it. */
      readonly url: Redacted.Redacted;
      readonly headers: ReadonlyMap<string, Redacted.Redacted>;
      readonly startDeadlineMs: number;
      readonly batchDeadlineMs: number;
    };

export interface EnqueuerSettings {
  readonly path: string;
  /** null: no secret is asked for (refused off loopback unless `insecure` is said). */
  readonly secret: Redacted.Redacted | null;
  readonly secretIn: ReadonlyArray<"opaqueData" | "bearer" | "path">;
  /** Core NATS subject on which S3 servers publish notifications; null: none. */
  readonly natsSubject: string | null;
  readonly bodyBytesMax: number;
  readonly recordsMax: number;
  readonly duplicateWindowMs: number;
  /** Of each source address; null: as many as come. */
  readonly limits: { readonly requestsPerSecond: number; readonly burst: number } | null;
}

export interface WatchSettings {
  readonly directory: string;
  readonly bucket: string;
  readonly pollEveryMs: number;
  /** A file is taken when its size and mtime have not changed for this long. */
  readonly quietMs: number;
}

export interface PresenceSettings {
  readonly instruments: ReadonlyArray<string>;
  readonly detector: RegExp;
  readonly lifetimeMs: number;
  readonly deleteWhenSeen: boolean;
  /** Whose groups a look-up is about where it does not say: this site's, or all that it may see. */
  readonly scope: "site" | "all";
}

export interface JobSettings {
  readonly name: string;
  readonly version: string;
  /** The seam: other kinds of partition (day, pointing, window) are added here. */
  readonly partition: "exposure";
  /** Runs of jobs on one lane wait for each other's worker slots. */
  readonly lane: string;
  readonly inputs: ReadonlyArray<JobInput>;
  readonly outputs: ReadonlyArray<JobOutput>;
  readonly driver: {
    readonly type: "process";
    readonly command: ReadonlyArray<string>;
    readonly cwd: string | null;
    readonly env: Readonly<Record<string, string>>;
  };
  readonly timeLimitMs: number;
  readonly attemptsMax: number;
  readonly workers: number;
}

export interface JobInput {
  readonly lane: string;
  /** Another site whose lane it is, one of `filesOf`; absent: this site's own. */
  readonly site?: string;
  /** Only files whose object key matches. */
  readonly match: RegExp | null;
  readonly required: boolean;
  /** The partition is ready when at least `count` files are known, or all of `detectors`. */
  readonly count: number | null;
  readonly detectors: ReadonlyArray<string>;
}

export interface JobOutput {
  readonly name: string;
  /** Where it goes: a bucket of a lane, so that it comes back as an arrival; `{exposure}`, `{day}`, `{instrument}`, `{run}` are replaced. */
  readonly bucket: string;
  readonly key: string;
}

/** One receiver of webhooks. */
export interface WebhookSettings {
  readonly name: string;
  /** Its label is what may be shown of it. */
  readonly url: Redacted.Redacted;
  readonly headers: ReadonlyMap<string, Redacted.Redacted>;
  /** Lanes of kind exposure, at least one. */
  readonly lanes: ReadonlyArray<string>;
  /** For one request, from its first byte to the last of its answer. */
  readonly timeoutMs: number;
  /** Requests under way at once. */
  readonly inFlightMax: number;
  /** Failures of one request, while others are accepted, after which it is given up. */
  readonly attemptsMax: number;
  readonly backoffBaseMs: number;
  readonly backoffMaxMs: number;
}

export interface FilesOfSettings {
  /** JetStream domain of the supernode. */
  readonly supernode: string;
  /** By the site's name. */
  readonly sites: ReadonlyMap<
    string,
    {
      /** Key into `Site.storage`: through which its buckets are read here. */
      readonly storage: string;
    }
  >;
}

export interface VisitSettings {
  readonly system: "one-to-one" | "by-group" | "by-counter";
  /** Lanes of kind exposure, at least one. */
  readonly lanes: ReadonlyArray<string>;
  /** Only exposures of these types make visits; empty: all of them. */
  readonly observationTypes: ReadonlyArray<string>;
}
