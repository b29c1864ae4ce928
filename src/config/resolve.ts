/** From a site file that is right in itself to a `Site`: the node's name, paths, secrets, programs. Reads the disk and the environment. */
import { statSync } from "node:fs";
import { hostname } from "node:os";
import { extname, isAbsolute, resolve } from "node:path";
import * as Redacted from "effect/Redacted";
import type { Finding } from "./document.ts";
import type { Recogniser } from "../jobs/names.ts";
import { bucketName } from "../protocol/notification.ts";
import { acceptOf, metadataOf, retentionDaysMax } from "./laneDefaults.ts";
import type { LoadedNames } from "./namesFile.ts";
import { loadNames } from "./namesFile.ts";
import { didYouMean } from "./nearMiss.ts";
import { msPerDay } from "./quantity.ts";
import { dereference, errorCode, isReference } from "./references.ts";
import type { Environment } from "./references.ts";
import { asName, isName, nameFinding } from "./rules/names.ts";
import { isLoopback } from "./rules/doors.ts";
import { show } from "./show.ts";
import type {
  JobSettings,
  Lane,
  LaneDriver,
  NatsSettings,
  Role,
  Site,
  StorageSettings,
  WebhookSettings,
} from "./Site.ts";
import type { Path } from "./SiteFileError.ts";
import type { JobFile, LaneFile, SiteFile, StorageFile, WebhookFile } from "./SiteSchema.ts";

export interface Surroundings {
  /** The folder of the site file: what its relative paths are relative to. */
  readonly folder: string;
  readonly env: Environment;
  /** From the command line; before everything else. */
  readonly node: string | undefined;
  /** The same: names of roles, with commas between them. */
  readonly roles?: string | undefined;
}

export interface Resolved {
  /** To be used only where `findings` holds no error. Its catalogue is in files of its own, read by catalogue.ts. */
  readonly site: Omit<Site, "catalogue" | "missionStart">;
  readonly findings: ReadonlyArray<Finding>;
}

type EnvironmentFile = JobFile["env"];

export function resolveSite(file: SiteFile, surroundings: Surroundings): Resolved {
  const resolver = new Resolver(surroundings);
  const site: Resolved["site"] = {
    name: file.name,
    supernode: file.supernode,
    node: resolver.node(file.node.name),
    roles: resolver.roles(file.node.roles),
    nats: natsOf(file.nats, resolver),
    http: {
      host: file.http.host,
      port: file.http.port,
      trustedProxies: file.http.trustedProxies,
      connectionsPerAddress: file.http.connectionsPerAddress,
    },
    storage: new Map(Object.entries(file.storage).map(([name, s]) => [name, storageOf(name, s, resolver)])),
    lanes: new Map(Object.entries(file.lanes).map(([name, lane]) => [name, laneOf(name, lane, resolver)])),
    enqueuer: {
      path: file.enqueuer.path,
      secret: resolver.secret(file.enqueuer.secret, ["enqueuer", "secret"]),
      secretIn: file.enqueuer.secretIn,
      natsSubject: file.enqueuer.natsSubject,
      bodyBytesMax: file.enqueuer.bodyMax,
      recordsMax: file.enqueuer.recordsMax,
      duplicateWindowMs: file.enqueuer.duplicateWindow,
      limits: limitsOf(file.enqueuer.limits),
    },
    watch: file.watch.map((watch) => ({
      directory: resolver.path(watch.directory),
      bucket: bucketName(watch.bucket),
      pollEveryMs: watch.pollEvery,
      quietMs: watch.quiet,
    })),
    presence: {
      instruments: file.presence?.instruments ?? [],
      detector: file.presence?.detector ?? /^R\d\d_S\d\d/u,
      lifetimeMs: file.presence?.lifetime ?? msPerDay,
      deleteWhenSeen: file.presence?.deleteWhenSeen ?? false,
      scope: file.presence?.scope ?? "site",
    },
    jobs: new Map(Object.entries(file.jobs).map(([name, job]) => [name, jobOf(name, job, resolver)])),
    webhooks: new Map(
      Object.entries(file.webhooks).map(([name, webhook]) => [
        name,
        webhookOf(name, webhook, exposureLanes(file, webhook.lanes), resolver),
      ]),
    ),
    visits:
      file.visits === null
        ? null
        : {
            system: file.visits.system,
            lanes: exposureLanes(file, file.visits.lanes),
            observationTypes: file.visits.observationTypes,
          },
    filesOf:
      file.filesOf === null
        ? null
        : { supernode: file.filesOf.supernode, sites: new Map(Object.entries(file.filesOf.sites)) },
    actorModules: file.actors.map((module, index) => resolver.existing(module, ["actors", index])),
    dataDir: resolver.dataDir(file.dataDir),
    log: file.log,
  };
  return { site, findings: resolver.findings };
}

function limitsOf(limits: SiteFile["enqueuer"]["limits"]): Site["enqueuer"]["limits"] {
  if (limits === null) return null;
  const { requestsPerSecond, burst } = limits;
  return { requestsPerSecond, burst: burst ?? requestsPerSecond * 2 };
}

function natsOf(nats: SiteFile["nats"], resolver: Resolver): NatsSettings {
  const existing = (path: string | null, key: string): string | null =>
    path === null ? null : resolver.existing(path, ["nats", ...key.split(".")]);
  return {
    mode: nats.mode,
    servers: nats.servers,
    credentialsFile: resolver.credentials(nats.mode, nats.credentialsFile),
    user: nats.user,
    password: resolver.secret(nats.password, ["nats", "password"]),
    token: resolver.secret(nats.token, ["nats", "token"]),
    tls:
      nats.tls === null
        ? null
        : {
            caFile: existing(nats.tls.caFile, "tls.caFile"),
            certFile: existing(nats.tls.certFile, "tls.certFile"),
            keyFile: existing(nats.tls.keyFile, "tls.keyFile"),
          },
    domain: nats.domain,
    replicas: nats.replicas,
    topology: nats.topology,
    syncAlways: nats.syncAlways,
    port: nats.port,
    monitor: nats.monitor,
  };
}

function storageOf(name: string, storage: StorageFile, resolver: Resolver): StorageSettings {
  if (storage.driver === "file") return { driver: "file", root: resolver.path(storage.root) };
  if (storage.driver === "objectstore") return { driver: "objectstore" };
  return {
    driver: "s3",
    endpoint: storage.endpoint,
    region: storage.region,
    forcePathStyle: storage.forcePathStyle,
    accessKeyId: resolver.secret(storage.accessKeyId, ["storage", name, "accessKeyId"]),
    secretAccessKey: resolver.secret(storage.secretAccessKey, ["storage", name, "secretAccessKey"]),
  };
}

function laneOf(name: string, lane: LaneFile, resolver: Resolver): Lane {
  return {
    name,
    kind: lane.kind,
    buckets: lane.buckets.map(bucketName),
    profile: lane.profile,
    storage: lane.storage,
    accept: acceptOf(lane),
    pattern: lane.pattern,
    names: lane.names === null ? null : resolver.names(lane.names, ["lanes", name, "names"]),
    metadata: metadataOf(lane),
    identity: lane.identity,
    sidecar: lane.sidecar === null || lane.sidecar.startsWith(".") ? lane.sidecar : `.${lane.sidecar}`,
    driver: driverOf(lane.driver, ["lanes", name, "driver"], resolver),
    workers: lane.workers,
    batchMax: lane.batchMax,
    readsMax: lane.readsMax,
    attemptsMax: lane.attemptsMax,
    crashesAloneMax: lane.crashesAloneMax,
    backoffBaseMs: lane.backoffBase,
    backoffMaxMs: lane.backoffMax,
    workDeadlineMs: lane.workDeadline,
    onContentChange: lane.onContentChange,
    needs: lane.needs.map((need) => ({ match: need.match, needs: need.needs, waitMaxMs: need.waitMax })),
    retentionDays: lane.names === null ? Math.ceil(lane.retention / msPerDay) : retentionDaysMax,
    backlogMax: lane.backlogMax,
  };
}

function driverOf(driver: LaneFile["driver"], path: Path, resolver: Resolver): LaneDriver {
  if (driver.type === "native") return { type: "native" };
  if (driver.type === "http") {
    return {
      type: "http",
      url: resolver.url(driver.url, [...path, "url"], driver.insecure),
      headers: resolver.headers(driver.headers, [...path, "headers"]),
      startDeadlineMs: driver.startDeadline,
      batchDeadlineMs: driver.batchDeadline,
    };
  }
  return {
    type: "subprocess",
    command: resolver.command(driver.command, [...path, "command"]),
    cwd: driver.cwd === null ? resolver.folder : resolver.path(driver.cwd),
    env: resolver.environment(driver.env, [...path, "env"]),
    startDeadlineMs: driver.startDeadline,
    batchDeadlineMs: driver.batchDeadline,
  };
}

function jobOf(name: string, job: JobFile, resolver: Resolver): JobSettings {
  const path = ["jobs", name];
  return {
    name,
    version: job.version,
    partition: job.partition,
    lane: job.lane ?? name,
    inputs: job.inputs.map((input) => ({
      lane: input.lane,
      ...(input.site === null ? {} : { site: input.site }),
      match: input.match,
      required: input.required,
      count: input.count ?? (input.detectors.length > 0 ? null : 1),
      detectors: input.detectors,
    })),
    outputs: job.outputs.map((output) => ({ ...output, bucket: bucketName(output.bucket) })),
    driver: {
      type: "process",
      command: resolver.command(job.command, [...path, "command"]),
      cwd: job.cwd === null ? null : resolver.path(job.cwd),
      env: resolver.environment(job.env, [...path, "env"]),
    },
    timeLimitMs: job.timeLimit,
    attemptsMax: job.attemptsMax,
    workers: job.workers,
  };
}

/** The lanes named, or every one of kind exposure. */
function exposureLanes(file: SiteFile, named: ReadonlyArray<string>): ReadonlyArray<string> {
  if (named.length > 0) return named;
  return Object.entries(file.lanes).flatMap(([name, lane]) => (lane.kind === "exposure" ? [name] : []));
}

function webhookOf(
  name: string,
  webhook: WebhookFile,
  lanes: ReadonlyArray<string>,
  resolver: Resolver,
): WebhookSettings {
  const path = ["webhooks", name];
  return {
    name,
    url: resolver.url(webhook.url, [...path, "url"], webhook.insecure),
    headers: resolver.headers(webhook.headers, [...path, "headers"]),
    lanes,
    timeoutMs: webhook.timeout,
    inFlightMax: webhook.inFlightMax,
    attemptsMax: webhook.attemptsMax,
    backoffBaseMs: webhook.backoffBase,
    backoffMaxMs: webhook.backoffMax,
  };
}

/** Orrery's own sources in a checkout, its compiled files where it is installed: this file is in `config/` below either. */
const ownFolder = resolve(import.meta.dirname, "..");
const ownEnding = extname(import.meta.filename);

/** Names of environment variables whose values are secrets, unless they only say where one is. */
const secretVariable =
  /(?:^|_)(?:PASSWORD|PASSWD|PASS|SECRET|TOKEN|CREDENTIALS?|API_?KEY|ACCESS_KEY|SECRET_KEY|PRIVATE_KEY)$/i;

/** Headers that are the request's own, and not the site's to say. */
const ownHeaders =
  /^(?:host|connection|content-length|content-type|transfer-encoding|expect|te|trailer|upgrade|idempotency-key)$/i;
/** Names of headers whose values are secrets. */
const secretHeader = /authorization|cookie|token|secret|password|credential|signature|api-?key|access-?key/i;

export class Resolver {
  readonly folder: string;
  readonly #env: Environment;
  readonly #node: string | undefined;
  readonly #roles: string | undefined;
  readonly #found: Array<Finding> = [];
  /** By path: lanes may share a names file. */
  readonly #names = new Map<string, LoadedNames>();

  constructor(surroundings: Surroundings) {
    this.folder = surroundings.folder;
    this.#env = surroundings.env;
    this.#node = surroundings.node;
    this.#roles = surroundings.roles;
  }

  get findings(): ReadonlyArray<Finding> {
    return this.#found;
  }

  node(inFile: string | null): string {
    const fromEnv = this.#env["ORRERY_NODE"];
    const given = [
      { name: this.#node, path: ["--node"] },
      { name: fromEnv === "" ? undefined : fromEnv, path: ["ORRERY_NODE"] },
      { name: inFile ?? undefined, path: ["node", "name"] },
    ];
    for (const { name, path } of given) {
      if (name === undefined) continue;
      if (!isName(name)) this.#found.push(nameFinding(name, path, "node"));
      return name;
    }
    // A host's full name has dots, which would be two tokens of a subject.
    return asName(hostname().split(".")[0] ?? "");
  }

  /** Of the site file's roles those that this node takes: one file may serve nodes of different roles. */
  roles(inFile: ReadonlyArray<Role>): ReadonlySet<Role> {
    const fromEnv = this.#env["ORRERY_ROLES"] ?? "";
    const [given, at] = this.#roles === undefined ? [fromEnv, "ORRERY_ROLES"] : [this.#roles, "--roles"];
    if (given === "" && at === "ORRERY_ROLES") return new Set(inFile);
    const taken = given.split(",").map((name) => name.trim());
    const known = inFile.filter((role) => taken.includes(role));
    for (const name of taken.filter((each) => !inFile.some((role) => role === each))) {
      this.#found.push({
        path: [at],
        value: given,
        message: name === "" ? "names no role" : `${name} is none of the site file's node.roles`,
        fix: `name some of ${inFile.join(",")}${didYouMean(name, inFile)}`,
      });
    }
    return new Set(known);
  }

  /** One site file serves nodes of different roles, and people: each with credentials of its own. */
  credentials(mode: "embedded" | "external", inFile: string | null): string | null {
    const fromEnv = this.#env["ORRERY_CREDENTIALS"] ?? "";
    if (mode === "external" && fromEnv !== "")
      return this.existing(resolve(fromEnv), ["ORRERY_CREDENTIALS"], process.cwd());
    return inFile === null ? null : this.existing(inFile, ["nats", "credentialsFile"]);
  }

  refuse(path: Path, value: string, message: string, fix: string): void {
    this.#found.push({ path, value, message, fix });
  }

  /** From the environment it is relative to where the node is started. */
  dataDir(inFile: string): string {
    const fromEnv = this.#env["ORRERY_DATA_DIR"] ?? "";
    return fromEnv === "" ? this.path(inFile) : resolve(fromEnv);
  }

  path(path: string): string {
    return isAbsolute(path) ? path : resolve(this.folder, path);
  }

  /** A file that must be there and readable now. */
  existing(path: string, at: Path, from = this.folder): string {
    const full = this.path(path);
    const failed = (message: string): void => {
      this.#found.push({
        path: at,
        value: path,
        message,
        fix: `create it, or correct the path; relative paths begin at ${from}`,
      });
    };
    try {
      if (!statSync(full).isFile()) failed(`${full} is no file`);
    } catch (error) {
      failed(`${full} cannot be read (${errorCode(error)})`);
    }
    return full;
  }

  /** Null where it is not to be had; why stands among the findings. */
  names(path: string, at: Path): Recogniser | null {
    const full = this.path(path);
    const known = this.#names.get(full) ?? loadNames(full);
    const reported = this.#names.has(full);
    this.#names.set(full, known);
    if (known.ok) return known.recogniser;
    if (reported) return null;
    for (const { path: place, line, message, fix } of known.problems) {
      const where = `${path}${line === null ? "" : `:${line}`}${place === "" ? "" : ` ${place}`}`;
      this.#found.push({ path: at, value: path, message: `${where}: ${message}`, fix });
    }
    return null;
  }

  secret(reference: string | null, at: Path): Redacted.Redacted | null {
    if (reference === null) return null;
    return Redacted.make(this.#dereference(reference, at), { label: reference });
  }

  environment(env: EnvironmentFile, at: Path): Readonly<Record<string, string>> {
    const out: Record<string, string> = {};
    for (const [name, value] of Object.entries(env)) {
      const path = [...at, name];
      // file:// is the beginning of a URL, which programs are given often; a file of ours is written file:/path.
      const reference = typeof value === "string" && isReference(value) && !value.startsWith("file://");
      if (!/^[A-Za-z_]\w*$/.test(name)) {
        this.#found.push({
          path,
          atKey: true,
          value: null,
          message: "is no name of an environment variable",
          fix: "use letters, digits and _",
        });
      } else if (!reference && secretVariable.test(name)) {
        this.#found.push({
          path,
          value: null,
          message: "a secret must not stand in the file itself",
          fix: `write ${name}: env:${name} or ${name}: file:PATH`,
        });
      }
      out[name] = reference ? this.#dereference(value, path) : String(value);
    }
    return out;
  }

  /** An address of a service, in the file itself or where a reference leads. */
  url(text: string, at: Path, insecure: boolean): Redacted.Redacted {
    const reference = isReference(text) && !text.startsWith("file://");
    const value = reference ? this.#dereference(text, at) : text;
    // A reference that leads nowhere has been reported.
    if (value !== "") this.#checkUrl(value, at, insecure);
    return Redacted.make(value, { label: reference ? text : (show(value, at) ?? "") });
  }

  #checkUrl(value: string, at: Path, insecure: boolean): void {
    const url = URL.canParse(value) ? new URL(value) : null;
    if (url === null || !/^https?:$/.test(url.protocol)) {
      this.#found.push({
        path: at,
        message: "is no http:// or https:// address",
        fix: "write https://host/path, or env:NAME where the variable holds one",
      });
    } else if (url.username !== "" || url.password !== "") {
      this.#found.push({
        path: at,
        message: "credentials must not stand in an address",
        fix: "take them out, and set a header: headers: { Authorization: env:NAME }",
      });
    } else if (url.protocol === "http:" && !isLoopback(url.hostname) && !insecure) {
      this.#found.push({
        path: at,
        message: "plain HTTP to another machine: it can be read and changed on the way",
        fix: "use https://…, or accept it with insecure: true beside it",
      });
    }
  }

  headers(headers: Readonly<Record<string, string>>, at: Path): ReadonlyMap<string, Redacted.Redacted> {
    const out = new Map<string, Redacted.Redacted>();
    for (const [name, text] of Object.entries(headers)) {
      const path = [...at, name];
      const reference = isReference(text);
      const refused = (message: string, fix: string): void => {
        this.#found.push({ path, atKey: true, value: null, message, fix });
      };
      if (!/^[\w!#$%&'*+.^`|~-]+$/.test(name)) refused("is no name of a header", "use letters, digits and -");
      else if (ownHeaders.test(name)) refused("is set by the request itself", "remove it");
      else if (!reference && secretHeader.test(name)) {
        refused(
          "a secret must not stand in the file itself",
          `write ${name}: env:NAME or ${name}: file:PATH`,
        );
      }
      const value = reference ? this.#dereference(text, path) : text;
      if (/[^\t\x20-\x7e\x80-\xff]/.test(value)) {
        refused("its value holds what no header may", "use one line of plain characters");
      }
      out.set(name, Redacted.make(value, { label: reference ? text : "header" }));
    }
    return out;
  }

  command(words: ReadonlyArray<string>, at: Path): ReadonlyArray<string> {
    const known: Readonly<Record<string, string>> = {
      node: process.execPath,
      orrery: ownFolder,
      ext: ownEnding,
      site: this.folder,
    };
    return words.map((word, index) =>
      word.replaceAll(/\{([a-z]+)\}/g, (whole, name: string) => {
        const value = Object.hasOwn(known, name) ? known[name] : undefined;
        if (value === undefined) {
          this.#found.push({
            path: [...at, index],
            value: whole,
            message: `${whole} is not known here${didYouMean(name, Object.keys(known))}`,
            fix: "use {node}, {orrery}, {ext} or {site}; what a run is for comes in its environment",
          });
        }
        return value ?? whole;
      }),
    );
  }

  #dereference(reference: string, at: Path): string {
    const result = dereference(reference, this.folder, this.#env);
    if (result.ok) return result.value;
    this.#found.push({ path: at, value: reference, message: result.message, fix: result.fix });
    return "";
  }
}
