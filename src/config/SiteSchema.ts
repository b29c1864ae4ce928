/**
 * The YAML form of a site file: every key, its type, its bounds and its default, each with the sentence that
 * editors show. What it decodes to is `SiteFile`: durations in milliseconds, sizes in bytes, patterns compiled,
 * secrets still as references. Rules between keys are in `rules/`, what is outside the file in `resolve.ts`.
 */
import * as Schema from "effect/Schema";
import { startOfDay } from "../jobs/instant.ts";
import {
  claimItemsMax,
  httpConnectionsMax,
  nodeLeaseMs,
  notifyBodyBytesMax,
  notifyRecordsMax,
} from "../limits.ts";
import {
  Command,
  duration,
  Environment,
  Headers,
  optional,
  Pattern,
  required,
  Secret,
  size,
  Text,
  wholeNumber,
} from "./fields.ts";
import { retentionDaysMax } from "./laneDefaults.ts";
import { formatSize, msPerDay, msPerMinute } from "./quantity.ts";
import type { Role } from "./Site.ts";

/** What nodes of a site may run. */
export const siteRoles: ReadonlyArray<Role> = [
  "enqueuer",
  "ingester",
  "reclaimer",
  "presence",
  "resolver",
  "runner",
  "watcher",
  "notifier",
  "visits",
];

/** What nodes of a supernode may run. */
export const supernodeRoles: ReadonlyArray<Role> = ["keeper", "presence"];

const roles: ReadonlyArray<Role> = [...new Set([...siteRoles, ...supernodeRoles])];

const Node = Schema.Struct({
  name: optional(
    Schema.NullOr(Text),
    null,
    "Stable name of this node; --node and ORRERY_NODE come before it, the host's name after it.",
  ),
  roles: optional(
    Schema.Array(Schema.Literals(roles)).annotate({ fix: "write a list: [ingester, reclaimer]" }),
    siteRoles,
    "The actors that this node runs.",
  ),
  elsewhere: optional(
    Schema.Array(Schema.Literals(roles)).annotate({ fix: "write a list: [ingester]" }),
    [],
    "Roles that other nodes of the site run: what this node may leave out.",
  ),
});

const Nats = Schema.Struct({
  mode: optional(
    Schema.Literals(["embedded", "external"]),
    "embedded",
    "embedded: this process starts and supervises its own nats-server; external: it connects to yours.",
  ),
  servers: optional(
    Schema.Array(Text).annotate({ fix: "write a list: [nats://host:4222]" }),
    [],
    "External: nats:// or tls:// addresses.",
  ),
  credentialsFile: optional(Schema.NullOr(Text), null, "External: path of a .creds file."),
  user: optional(Schema.NullOr(Text), null, "External: user name."),
  password: optional(Schema.NullOr(Secret), null, "External: password, as env:NAME or file:PATH."),
  token: optional(Schema.NullOr(Secret), null, "External: token, as env:NAME or file:PATH."),
  tls: optional(
    Schema.NullOr(
      Schema.Struct({
        caFile: optional(Schema.NullOr(Text), null, "Certificate authority to trust; null: the system's."),
        certFile: optional(Schema.NullOr(Text), null, "Client certificate."),
        keyFile: optional(Schema.NullOr(Text), null, "Key of the client certificate."),
      }),
    ),
    null,
    "External: TLS; a tls:// address alone uses the system's authorities.",
  ),
  domain: optional(
    Schema.NullOr(Text),
    null,
    "JetStream domain of this site; needed when it joins a supernode.",
  ),
  replicas: optional(wholeNumber(1, 5), 1, "Copies of each stream: 1 for a single server, 3 for a cluster."),
  topology: optional(
    Schema.Literals(["apply", "verify"]),
    "apply",
    "apply: a node makes the streams and consumers that it needs; verify: it waits until somebody who may has made them.",
  ),
  syncAlways: optional(Schema.Boolean, true, "Embedded: fsync before every acknowledgement."),
  port: optional(wholeNumber(0, 65_535), 0, "Embedded: 0 picks a free port and keeps it."),
  monitor: optional(
    Schema.NullOr(Text),
    null,
    "External: http:// address of the server's monitoring, where a node reads whether what is acknowledged is on disk.",
  ),
  insecure: optional(Schema.Boolean, false, "Allow NATS in plain text to another machine."),
});

const Http = Schema.Struct({
  host: optional(Text, "127.0.0.1", "Address to listen on."),
  port: optional(wholeNumber(0, 65_535), 8686, "Port to listen on; 0 picks a free one."),
  insecure: optional(Schema.Boolean, false, "Allow plain HTTP on an address that other machines reach."),
  trustedProxies: optional(
    Schema.Array(Text).annotate({ fix: "write a list: [10.0.0.5, 10.1.0.0/16]" }),
    [],
    "Addresses and networks of proxies whose X-Forwarded-For says whom a request comes from.",
  ),
  connectionsPerAddress: optional(
    wholeNumber(1, httpConnectionsMax),
    4_096,
    "Open connections from one address; not of this machine and of trusted proxies.",
  ),
});

const Storage = Schema.Union([
  Schema.Struct({
    driver: required(Schema.Literal("s3"), "s3: an S3 server: AWS, Ceph, MinIO, versitygw."),
    endpoint: optional(Schema.NullOr(Text), null, "URL of the server; null: AWS."),
    region: optional(Text, "us-east-1", "Region; most servers other than AWS take any."),
    forcePathStyle: optional(Schema.Boolean, true, "host/bucket/key instead of bucket.host/key."),
    accessKeyId: optional(
      Schema.NullOr(Secret),
      null,
      "As env:NAME or file:PATH; null: the AWS client's own chain.",
    ),
    secretAccessKey: optional(
      Schema.NullOr(Secret),
      null,
      "As env:NAME or file:PATH; null: the AWS client's own chain.",
    ),
    insecure: optional(Schema.Boolean, false, "Allow an http:// endpoint on another machine."),
  }),
  Schema.Struct({
    driver: required(Schema.Literal("file"), "file: folders on disk, root/bucket/key."),
    root: required(Text, "The folder that holds one folder a bucket."),
  }),
  Schema.Struct({
    driver: required(Schema.Literal("objectstore"), "objectstore: the site's own JetStream object store."),
  }),
]);

const LaneDriver = Schema.Union([
  Schema.Struct({ type: required(Schema.Literal("native"), "native: the ledger is the catalog.") }),
  Schema.Struct({
    type: required(
      Schema.Literal("subprocess"),
      "subprocess: a long-lived child that is fed batches as JSON lines.",
    ),
    command: required(Command, "Program and arguments; {node}, {orrery}, {ext} and {site} are replaced."),
    cwd: optional(Schema.NullOr(Text), null, "Working folder; null: the site file's folder."),
    env: optional(Environment, {}, "Added to the environment; a value may be env:NAME or file:PATH."),
    startDeadline: optional(duration(100, msPerDay), "60 s", "From start to its `ready` line."),
    batchDeadline: optional(
      duration(100, msPerDay),
      "60 s",
      "From a batch to its answer; then it is killed and started again.",
    ),
  }),
  Schema.Struct({
    type: required(Schema.Literal("http"), "http: a service that is posted batches and answers them."),
    url: required(Text, "Where batches are posted to: http:// or https://, or env:NAME or file:PATH."),
    headers: optional(Headers, {}, "Sent with each request; a value may be env:NAME or file:PATH."),
    startDeadline: optional(
      duration(100, msPerDay),
      "60 s",
      "For a service that lost a batch to answer again; longer, and the batch is given back.",
    ),
    batchDeadline: optional(duration(100, msPerDay), "60 s", "From a batch to the end of its answer."),
    insecure: optional(Schema.Boolean, false, "Allow http:// to another machine."),
  }),
]);

const LaneNeed = Schema.Struct({
  match: required(Pattern, "Searched in the object's key: which objects wait."),
  needs: optional(
    Schema.Literal("exposure"),
    "exposure",
    "What they wait for: the first file of their exposure.",
  ),
  waitMax: optional(duration(0, 30 * msPerDay), "5 s", "Then they are parked."),
});

const Lane = Schema.Struct({
  kind: required(
    Schema.Literals(["exposure", "object"]),
    "exposure: files that belong to exposures; object: files that stand alone.",
  ),
  buckets: optional(
    Schema.Array(Text).annotate({ fix: "write a list: [bucket-name]" }),
    [],
    "Buckets whose arrivals this lane takes.",
  ),
  profile: optional(
    Schema.NullOr(Text),
    null,
    "Written as profile@bucket in answers to notifications and in the files' URIs, for who chooses credentials by it.",
  ),
  storage: optional(
    Schema.NullOr(Text),
    null,
    "Name of the storage that objects are read from; null only with metadata: key.",
  ),
  accept: optional(
    Schema.NullOr(Pattern),
    null,
    "Searched in the decoded key, not anchored; a miss is skipped and counted. Default fits$ for kind exposure, everything for kind object.",
  ),
  pattern: optional(
    Schema.NullOr(Pattern),
    null,
    "Named groups give identity from the key: instrument, day, exposure, group, snap, detector, seq.",
  ),
  names: optional(
    Schema.NullOr(Text),
    null,
    "Names file of a mission, e.g. imap/names.yaml: what a file is, by its name; instead of a pattern, kind object only.",
  ),
  metadata: optional(
    Schema.NullOr(Schema.Literals(["key", "header"])),
    null,
    "key: the pattern's groups only; header: the sidecar, else the FITS primary header. Default header for kind exposure, key for kind object.",
  ),
  identity: optional(Schema.Literals(["rubin", "generic"]), "generic", "How header fields become identity."),
  sidecar: optional(
    Schema.NullOr(Text),
    null,
    "Ending of the sidecar that replaces the object's own, e.g. .json.",
  ),
  driver: optional(LaneDriver, { type: "native" }, "What ingests: native, subprocess or http."),
  workers: optional(wholeNumber(1, 64), 1, "Workers of this lane on this node."),
  batchMax: optional(
    wholeNumber(
      1,
      claimItemsMax,
      `: a claim is settled in one transaction, which holds ${claimItemsMax} items at most`,
    ),
    300,
    "Most items in one claim.",
  ),
  readsMax: optional(wholeNumber(1, 1_000), 32, "Most items whose metadata is read at once."),
  attemptsMax: optional(wholeNumber(1, 1_000), 3, "Tries before an item is parked."),
  crashesAloneMax: optional(
    wholeNumber(1, 100),
    2,
    "Times an item may end its worker when alone in a claim, before it is parked.",
  ),
  backoffBase: optional(duration(1, msPerDay), "1 s", "Before the second try; doubled for each one after."),
  backoffMax: optional(duration(1, 30 * msPerDay), "1 min", "Longest time between two tries."),
  workDeadline: optional(duration(100, msPerDay), "3 min", "For the work on one claim."),
  onContentChange: optional(
    Schema.Literals(["refuse", "supersede"]),
    "refuse",
    "A known key arrives with other content: refuse it visibly, or record it as the newer one.",
  ),
  needs: optional(Schema.Array(LaneNeed), [], "Objects that wait for something before they are worked on."),
  retention: optional(
    duration(msPerDay, retentionDaysMax * msPerDay),
    "7 days",
    "Records kept; whole days beyond it are purged.",
  ),
  backlogMax: optional(
    wholeNumber(1, 1_000_000_000),
    1_000_000,
    "Pending arrivals above which new ones are refused with 503.",
  ),
});

const Limits = Schema.Struct({
  requestsPerSecond: required(
    wholeNumber(1, 1_000_000),
    "Notifications a second from one address, sustained; what comes faster is answered 429.",
  ),
  burst: optional(
    Schema.NullOr(wholeNumber(1, 10_000_000)),
    null,
    "Notifications at once after a pause; null: as many as two seconds of the above.",
  ),
});

const Enqueuer = Schema.Struct({
  path: optional(Text, "/notify", "Path of the webhook."),
  secret: optional(
    Schema.NullOr(Secret),
    null,
    "Shared secret of the senders, as env:NAME or file:PATH; null: none is asked for.",
  ),
  secretIn: optional(
    Schema.Array(Schema.Literals(["opaqueData", "bearer", "path"])).annotate({
      fix: "write a list: [opaqueData]",
    }),
    ["opaqueData", "bearer"],
    "Where the secret is looked for.",
  ),
  insecure: optional(Schema.Boolean, false, "Allow senders on other machines without a secret."),
  natsSubject: optional(Schema.NullOr(Text), null, "NATS subject on which S3 servers publish notifications."),
  bodyMax: optional(
    size(1_024, notifyBodyBytesMax),
    formatSize(notifyBodyBytesMax),
    "Larger requests are answered 413.",
  ),
  recordsMax: optional(
    wholeNumber(1, notifyRecordsMax),
    notifyRecordsMax,
    "Requests with more records are answered 413.",
  ),
  duplicateWindow: optional(
    duration(100, 7 * msPerDay),
    "2 min",
    "How long the stream itself knows a notification again; the ledger always does.",
  ),
  limits: optional(
    Schema.NullOr(Limits),
    null,
    "Of each source address, but this machine's; null: none but what the node can take.",
  ),
});

const Watch = Schema.Struct({
  directory: required(Text, "Folder whose files are announced; their paths below it are the keys."),
  bucket: required(Text, "The bucket they are announced in."),
  pollEvery: optional(
    duration(50, msPerDay),
    "1 s",
    "How often the folder is read where the system reports no changes.",
  ),
  quiet: optional(
    duration(0, msPerDay),
    "2 s",
    "A file is taken when its size and time have not changed for this long.",
  ),
});

const Presence = Schema.Struct({
  instruments: required(
    Schema.Array(Text).annotate({ fix: "write a list: [LSSTCam]" }),
    "Instruments that may be asked for, case-sensitive.",
  ),
  detector: optional(Pattern, "^R\\d\\d_S\\d\\d", "A detector that this is not found in is answered 400."),
  lifetime: optional(duration(nodeLeaseMs, 3_650 * msPerDay), "1 day", "How long a group is known."),
  deleteWhenSeen: optional(Schema.Boolean, false, "Forget a group once it was asked for and found."),
  scope: optional(
    Schema.Literals(["site", "all"]),
    "site",
    "Whose groups look-ups are about: this site's, or all that it may see, its own first; for a site that has joined a supernode.",
  ),
});

const JobInput = Schema.Struct({
  lane: required(Text, "Lane whose files are the input."),
  site: optional(
    Schema.NullOr(Text),
    null,
    "Another site whose lane it is, one of filesOf; null: this site's own.",
  ),
  match: optional(Schema.NullOr(Pattern), null, "Searched in the key: only these files."),
  required: optional(Schema.Boolean, true, "false: taken when there, not waited for."),
  count: optional(
    Schema.NullOr(wholeNumber(1, 1_000_000)),
    null,
    "Ready at this many files; default 1 where no detectors are named.",
  ),
  detectors: optional(
    Schema.Array(Text).annotate({ fix: "write a list: [R22_S11]" }),
    [],
    "Ready when a file of each of these is known.",
  ),
});

const JobOutput = Schema.Struct({
  name: required(Text, "The file's name in the run's output folder."),
  bucket: required(Text, "Bucket of a lane: it comes back as an arrival there."),
  key: required(Text, "Key; {exposure}, {day}, {instrument} and {run} are replaced."),
});

const Job = Schema.Struct({
  version: optional(Text, "1", "Part of the inputs' hash: a new version runs again."),
  partition: optional(Schema.Literal("exposure"), "exposure", "What one run is for."),
  lane: optional(
    Schema.NullOr(Text),
    null,
    "Run lane whose worker slots it shares; default: the job's own name.",
  ),
  inputs: required(Schema.Array(JobInput), "What must be known before it is ready."),
  outputs: optional(Schema.Array(JobOutput), [], "What a run must leave behind."),
  command: required(Command, "Program and arguments; {node}, {orrery}, {ext} and {site} are replaced."),
  cwd: optional(Schema.NullOr(Text), null, "Working folder; null: a scratch folder of the run."),
  env: optional(Environment, {}, "Added to the environment; a value may be env:NAME or file:PATH."),
  timeLimit: optional(duration(100, 30 * msPerDay), "10 min", "Then the run is killed."),
  attemptsMax: optional(wholeNumber(1, 1_000), 3, "Tries before the run is given up."),
  workers: optional(wholeNumber(1, 256), 1, "Runs at once on this node."),
});

const Webhook = Schema.Struct({
  url: required(Text, "Where it is told: http:// or https://, or env:NAME or file:PATH."),
  headers: optional(Headers, {}, "Sent with each request; a value may be env:NAME or file:PATH."),
  lanes: optional(
    Schema.Array(Text).annotate({ fix: "write a list: [lsstcam]" }),
    [],
    "Lanes whose files it is told of; empty: every lane of kind exposure.",
  ),
  timeout: optional(duration(10, 10 * msPerMinute), "15 s", "For one request and its answer."),
  inFlightMax: optional(
    wholeNumber(1, 64),
    4,
    "Requests under way at once; those of one exposure go one by one.",
  ),
  attemptsMax: optional(
    wholeNumber(1, 10_000),
    10,
    "Failures of one request, while others are accepted, after which it is given up.",
  ),
  backoffBase: optional(duration(1, msPerDay), "1 s", "Before the second try; doubled for each one after."),
  backoffMax: optional(duration(1, msPerDay), "30 s", "Longest time between two tries."),
  insecure: optional(Schema.Boolean, false, "Allow http:// to another machine."),
});

const FilesOf = Schema.Struct({
  supernode: required(Text, "JetStream domain of the supernode that this site has joined: its name."),
  sites: required(
    Schema.Record(
      Schema.String,
      Schema.Struct({
        storage: required(
          Text,
          "Name of the storage of this file through which the site's buckets are read here.",
        ),
      }),
    ),
    "The sites whose files are inputs here, by their names.",
  ),
});

const Visits = Schema.Struct({
  system: optional(
    Schema.Literals(["one-to-one", "by-group", "by-counter"]),
    "one-to-one",
    "What makes a visit: one exposure, the exposures of a group, or those that one sequence counts.",
  ),
  lanes: optional(
    Schema.Array(Text).annotate({ fix: "write a list: [lsstcam]" }),
    [],
    "Lanes whose exposures make visits; empty: every lane of kind exposure.",
  ),
  observationTypes: optional(
    Schema.Array(Text).annotate({ fix: "write a list: [science]" }),
    [],
    "Only exposures of these types make visits; empty: all.",
  ),
});

const Log = Schema.Struct({
  level: optional(
    Schema.Literals(["debug", "info", "warn", "error"]),
    "info",
    "Least severity that is written.",
  ),
  format: optional(
    Schema.Literals(["json", "pretty"]),
    "json",
    "json: one object a line; pretty: for people.",
  ),
});

export const SiteSchema = Schema.Struct({
  name: required(Text, "Name of the site."),
  supernode: optional(
    Schema.Boolean,
    false,
    "true: a supernode, which holds what its sites let others see; it has no lanes, and nothing that works on files.",
  ),
  node: optional(Node, {}, "This node."),
  nats: optional(Nats, {}, "The NATS server."),
  http: optional(Http, {}, "The HTTP server: webhook, presence, health, metrics."),
  storage: optional(Schema.Record(Schema.String, Storage), {}, "Where the bytes are, by a name of your own."),
  lanes: required(Schema.Record(Schema.String, Lane), "The queues, by a name of your own."),
  enqueuer: optional(Enqueuer, {}, "How notifications come in."),
  watch: optional(Schema.Array(Watch), [], "Folders that are watched for new files."),
  presence: optional(Schema.NullOr(Presence), null, "The look-up `is it here?`."),
  jobs: optional(
    Schema.Record(Schema.String, Job),
    {},
    "What to make when files have arrived, by a name of your own.",
  ),
  catalogue: optional(
    Schema.NullOr(Text),
    null,
    "Job catalogue of a mission, e.g. imap/catalogue.yaml: what is made of which data sets.",
  ),
  filesOf: optional(
    Schema.NullOr(FilesOf),
    null,
    "Other sites whose files jobs are made of besides the own ones.",
  ),
  missionStart: optional(
    Schema.NullOr(
      Schema.String.check(
        Schema.makeFilter((text: string) => startOfDay(text) !== null, {
          message: "is no day",
          fix: 'write year, month and day in quotes: "20250924"',
        }),
      ),
    ),
    null,
    "From this day on jobs of the catalogue that take no data product have a partition for each day; without it they have none.",
  ),
  webhooks: optional(
    Schema.Record(Schema.String, Webhook),
    {},
    "Receivers that are told of each exposure's files, by a name of your own.",
  ),
  visits: optional(Schema.NullOr(Visits), null, "Which exposures are observed as one visit."),
  actors: optional(
    Schema.Array(Text).annotate({ fix: "write a list: [./my-actor.ts]" }),
    [],
    "Modules with actors of your own.",
  ),
  dataDir: optional(Text, ".orrery", "Folder for everything that Orrery writes on local disk."),
  log: optional(Log, {}, "The process's own log."),
});

export type SiteFile = typeof SiteSchema.Type;
export type LaneFile = SiteFile["lanes"][string];
export type JobFile = SiteFile["jobs"][string];
export type WebhookFile = SiteFile["webhooks"][string];
export type StorageFile = SiteFile["storage"][string];

/** Keys that the file of a supernode may not have. */
export const keysOfSites = [
  "storage",
  "lanes",
  "enqueuer",
  "watch",
  "jobs",
  "catalogue",
  "missionStart",
  "webhooks",
  "visits",
  "actors",
] as const satisfies ReadonlyArray<keyof SiteFile>;

/**
 * JSON Schema (draft 2020-12) of a site file, for editors: `# yaml-language-server: $schema=…`. What a supernode's file has to have and
 * may not have differs, as `decodeSiteFile` and the rules have it.
 */
export function siteJsonSchema(): Readonly<Record<string, unknown>> {
  const { schema, definitions } = Schema.toJsonSchemaDocument(SiteSchema, { onExcessProperty: "error" });
  const required = Array.isArray(schema["required"]) ? schema["required"].map(String) : [];
  const ofSites = new Set<string>(keysOfSites);
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "Orrery site file",
    ...schema,
    required: required.filter((key) => !ofSites.has(key)),
    if: { properties: { supernode: { const: true } }, required: ["supernode"] },
    // oxlint-disable-next-line unicorn/no-thenable -- a keyword of JSON Schema
    then: { propertyNames: { not: { enum: keysOfSites } } },
    else: { required: required.filter((key) => ofSites.has(key)) },
    $defs: definitions,
  };
}
