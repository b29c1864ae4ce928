import { describe, expect, it } from "vitest";
import { added, changed, lineOf, problemsOf, rightSite } from "./site.ts";

interface Rule {
  readonly rule: string;
  /** What is refused. */
  readonly red: string;
  /** The nearest thing to it that is right. */
  readonly green: string;
  readonly path: string;
  readonly message: RegExp;
  readonly value?: string | null;
  readonly severity?: "warning";
  /** A piece of the text whose line is the one that is named. */
  readonly at?: string;
  readonly env?: Readonly<Record<string, string>>;
}

const port = "http:\n  port: 0\n";
const rawBuckets = "buckets: [raw-bucket]";
const productBuckets = "buckets: [product-bucket]";
const instruments = "instruments: [LSSTCam]";
const input = "- lane: raw\n";
const rawPattern = String.raw`pattern: '^(?<day>\d{8})/(?<exposure>\w+)'`;

const groupPattern = String.raw`pattern: '^(?<day>\d{8})/(?<instrument>\w+)/(?<group>\w+)/(?<exposure>\w+)_(?<detector>\w+)'`;

const http = (lines: string): string => changed([port, `http:\n${lines}\n`]);
const external = (lines: string): string => added(`nats:\n  mode: external\n${lines}`);
const raw = (lines: string): string => changed([rawBuckets, `${rawBuckets}\n    ${lines}`]);
const s3 = (lines: string): string => changed(["driver: file\n    root: ./data", `driver: s3\n    ${lines}`]);

const schemaRules: ReadonlyArray<Rule> = [
  {
    rule: "an unknown key, near a known one",
    red: changed([rawBuckets, "bucket: [raw-bucket]"]),
    green: rightSite,
    path: "lanes.raw.bucket",
    message: /unknown key: did you mean "buckets"\?/,
    value: null,
    at: "bucket:",
  },
  {
    rule: "an unknown key, near none",
    red: added("zebra: 1"),
    green: rightSite,
    path: "zebra",
    message: /^unknown key$/,
    at: "zebra",
  },
  {
    rule: "a missing key",
    red: changed(["kind: exposure\n    ", ""]),
    green: rightSite,
    path: "lanes.raw.kind",
    message: /is missing/,
    at: "raw:",
  },
  {
    rule: "a pattern that is none",
    red: raw("accept: '(unclosed'"),
    green: raw("accept: '(closed)'"),
    path: "lanes.raw.accept",
    message: /is no regular expression: Unterminated group/,
    value: "(unclosed",
    at: "accept:",
  },
  {
    rule: "Python's named groups",
    red: changed([rawPattern, "pattern: '(?P<day>x)'"]),
    green: rightSite,
    path: "lanes.raw.pattern",
    message: /is no regular expression: Invalid/,
    value: "(?P<day>x)",
  },
  {
    rule: "a number for a pattern",
    red: raw("accept: 5"),
    green: raw("accept: '5'"),
    path: "lanes.raw.accept",
    message: /expected a regular expression or nothing \(null\), got a number/,
    value: "5",
  },
  {
    rule: "a duration without a unit",
    red: raw("backoffBase: 5"),
    green: raw("backoffBase: 5 s"),
    path: "lanes.raw.backoffBase",
    message: /expected a duration such as 5 s, got a number/,
    value: "5",
  },
  {
    rule: "a duration of an unknown unit",
    red: raw("backoffBase: 5 fortnights"),
    green: raw("backoffBase: 250 millis"),
    path: "lanes.raw.backoffBase",
    message: /is no duration/,
    value: "5 fortnights",
  },
  {
    rule: "a duration out of bounds",
    red: changed([instruments, `${instruments}\n  lifetime: 1 s`]),
    green: changed([instruments, `${instruments}\n  lifetime: 2 s`]),
    path: "presence.lifetime",
    message: /must be from 2 s to/,
    value: "1 s",
  },
  {
    rule: "a size without a unit",
    red: added("enqueuer:\n  bodyMax: 1000000"),
    green: added("enqueuer:\n  bodyMax: 1 MiB"),
    path: "enqueuer.bodyMax",
    message: /expected a size such as 8 MiB, got a number/,
  },
  {
    rule: "a size over the limit",
    red: added("enqueuer:\n  bodyMax: 9 MiB"),
    green: added("enqueuer:\n  bodyMax: 8 MiB"),
    path: "enqueuer.bodyMax",
    message: /must be from 1 KiB to 8 MiB/,
    value: "9 MiB",
  },
  {
    rule: "a batch larger than one transaction",
    red: raw("batchMax: 331"),
    green: raw("batchMax: 330"),
    path: "lanes.raw.batchMax",
    message: /must be a whole number from 1 to 330: a claim is settled in one transaction/,
    value: "331",
  },
  {
    rule: "a fraction for a whole number",
    red: raw("workers: 1.5"),
    green: raw("workers: 2"),
    path: "lanes.raw.workers",
    message: /must be a whole number from 1 to 64/,
    value: "1.5",
  },
  {
    rule: "one word of a few, mistyped",
    red: raw("metadata: headers"),
    green: raw("metadata: header"),
    path: "lanes.raw.metadata",
    message: /expected one of key, header.*did you mean "header"/,
    value: "headers",
  },
  {
    rule: "text for a list",
    red: changed([rawBuckets, "buckets: raw-bucket"]),
    green: rightSite,
    path: "lanes.raw.buckets",
    message: /expected a list, got text/,
    value: "raw-bucket",
  },
  {
    rule: "a number for text",
    red: changed(["name: test", "name: 5"]),
    green: changed(["name: test", "name: '5'"]),
    path: "name",
    message: /expected text, got a number/,
    value: "5",
  },
  {
    rule: "text for yes or no",
    red: http("  insecure: yes"),
    green: http("  insecure: true"),
    path: "http.insecure",
    message: /expected true or false, got text/,
    value: "yes",
  },
  {
    rule: "a section left empty",
    red: changed([port, "http:\n"]),
    green: changed([port, "http: {}\n"]),
    path: "http",
    message: /is empty; expected a section/,
    value: null,
  },
  {
    rule: "an empty text",
    red: changed(["root: ./data", "root: ''"]),
    green: rightSite,
    path: "storage.disk.root",
    message: /is empty/,
  },
  {
    rule: "a storage driver that does not exist",
    red: changed(["driver: file", "driver: fil"]),
    green: rightSite,
    path: "storage.disk.driver",
    message: /must be one of s3, file, objectstore \(did you mean "file"\?\)/,
    value: "fil",
    at: "driver: fil",
  },
  {
    rule: "a storage without a driver",
    red: changed(["driver: file\n    ", ""]),
    green: rightSite,
    path: "storage.disk",
    message: /driver is missing/,
  },
  {
    rule: "a key of another storage driver",
    red: changed(["root: ./data", "root: ./data\n    region: eu"]),
    green: rightSite,
    path: "storage.disk.region",
    message: /unknown key/,
  },
  {
    rule: "an empty command",
    red: changed(["command: ['{node}', look.js]", "command: []"]),
    green: rightSite,
    path: "jobs.look.command",
    message: /is empty/,
  },
  {
    rule: "a secret in clear",
    red: added("enqueuer:\n  secret: hunter2hunter2"),
    green: added("enqueuer:\n  secret: env:SECRET"),
    path: "enqueuer.secret",
    message: /a secret must not stand in the file itself/,
    value: "«hidden»",
    env: { SECRET: "x" },
  },
];

const surroundingRules: ReadonlyArray<Rule> = [
  {
    rule: "an environment variable that is not set",
    red: added("enqueuer:\n  secret: env:MISSING"),
    green: added("enqueuer:\n  secret: env:SECRET"),
    path: "enqueuer.secret",
    message: /the environment variable MISSING is not set/,
    value: "env:MISSING",
    env: { SECRET: "x" },
  },
  {
    rule: "an environment variable that is empty",
    red: added("enqueuer:\n  secret: env:EMPTY"),
    green: added("enqueuer:\n  secret: env:SECRET"),
    path: "enqueuer.secret",
    message: /the environment variable EMPTY is empty/,
    env: { EMPTY: "", SECRET: "x" },
  },
  {
    rule: "a secret's file that is not there",
    red: added("enqueuer:\n  secret: file:no/such/file"),
    green: rightSite,
    path: "enqueuer.secret",
    message: /sites\/no\/such\/file cannot be read \(ENOENT\)/,
    value: "file:no/such/file",
  },
  {
    rule: "a secret's file that is a folder",
    red: added("enqueuer:\n  secret: file:/"),
    green: rightSite,
    path: "enqueuer.secret",
    message: /is no file/,
  },
  {
    rule: "a secret in clear in a program's environment",
    red: changed(["command:", "env: { DB_PASSWORD: hunter2 }\n    command:"]),
    green: changed([
      "command:",
      "env: { DB_PASSWORD: env:SECRET, PASSWORD_FILE: /x, URI: 'file:///x', N: 4 }\n    command:",
    ]),
    path: "jobs.look.env.DB_PASSWORD",
    message: /a secret must not stand in the file itself/,
    value: null,
    env: { SECRET: "x" },
  },
  {
    rule: "no name of an environment variable",
    red: changed(["command:", "env: { 'A=B': x }\n    command:"]),
    green: changed(["command:", "env: { A_B: x }\n    command:"]),
    path: 'jobs.look.env["A=B"]',
    message: /is no name of an environment variable/,
  },
  {
    rule: "an unknown word in a command",
    red: changed(["look.js", "'{oreery}/look.js'"]),
    green: changed(["look.js", "'{orrery}/look{ext}', '{site}', '{\"json\": 1}'"]),
    path: "jobs.look.command[1]",
    message: /\{oreery\} is not known here \(did you mean "orrery"\?\)/,
    value: "«hidden»",
  },
  {
    rule: "a user's module that is not there",
    red: added("actors: [./nowhere.ts]"),
    green: rightSite,
    path: "actors[0]",
    message: /sites\/nowhere\.ts cannot be read \(ENOENT\)/,
    value: "./nowhere.ts",
  },
  {
    rule: "credentials that are not there",
    red: external("  servers: [localhost:4222]\n  credentialsFile: site.creds"),
    green: external("  servers: [localhost:4222]"),
    path: "nats.credentialsFile",
    message: /cannot be read \(ENOENT\)/,
  },
  {
    rule: "a node's name in the file",
    red: added("node:\n  name: Node.One"),
    green: added("node:\n  name: node-one"),
    path: "node.name",
    message: /is no name for a node/,
    value: "Node.One",
    at: "Node.One",
  },
  {
    rule: "a node's name in the environment",
    red: rightSite,
    green: rightSite,
    path: "ORRERY_NODE",
    message: /is no name for a node/,
    value: "a b",
    env: { ORRERY_NODE: "a b" },
  },
];

const nameAndNatsRules: ReadonlyArray<Rule> = [
  {
    rule: "a site's name",
    red: changed(["name: test", "name: Test Site"]),
    green: changed(["name: test", "name: test-site_2"]),
    path: "name",
    message: /is no name for a site/,
    value: "Test Site",
  },
  {
    rule: "a lane's name",
    red: changed(["  products:\n", "  data.products:\n"]),
    green: rightSite,
    path: 'lanes["data.products"]',
    message: /is no name for a lane/,
    at: "data.products",
  },
  {
    rule: "a lane's name that means something else in the ledger",
    red: changed(["  products:\n", "  run-products:\n"]),
    green: changed(["  products:\n", "  runs:\n"]),
    path: "lanes.run-products",
    message: /must not begin with run-/,
  },
  {
    rule: "a run lane's name",
    red: changed(["    inputs:", "    lane: Quick.Look\n    inputs:"]),
    green: changed(["    inputs:", "    lane: quick\n    inputs:"]),
    path: "jobs.look.lane",
    message: /is no name for a run lane/,
  },
  {
    rule: "a storage's and a domain's name",
    red: added("nats:\n  domain: a.b"),
    green: added("nats:\n  domain: SITE_A"),
    path: "nats.domain",
    message: /is no name for a JetStream domain/,
  },
  {
    rule: "external without a server",
    red: external("  servers: []"),
    green: external("  servers: [nats://127.0.0.1:4222]"),
    path: "nats.servers",
    message: /needs at least one server/,
  },
  {
    rule: "servers of an embedded server",
    red: added("nats:\n  servers: [nats://127.0.0.1:4222]"),
    green: external("  servers: [nats://127.0.0.1:4222]"),
    path: "nats.servers",
    message: /has no meaning with nats\.mode embedded/,
  },
  {
    rule: "fsync of an external server",
    red: external("  servers: [localhost]\n  syncAlways: true"),
    green: added("nats:\n  syncAlways: false"),
    path: "nats.syncAlways",
    message: /has no meaning with nats\.mode external/,
  },
  {
    rule: "copies on one server",
    red: added("nats:\n  replicas: 3"),
    green: external("  servers: [localhost]\n  replicas: 3"),
    path: "nats.replicas",
    message: /cannot hold several copies/,
  },
  {
    rule: "an even number of copies",
    red: external("  servers: [localhost]\n  replicas: 2"),
    green: external("  servers: [localhost]\n  replicas: 3"),
    path: "nats.replicas",
    message: /an even number/,
    severity: "warning",
  },
  {
    rule: "no address",
    red: external("  servers: ['http://localhost:4222']"),
    green: external("  servers: ['[::1]:4222', 'tls://far.example.org']"),
    path: "nats.servers[0]",
    message: /is no NATS address/,
  },
  {
    rule: "NATS in plain text to another machine",
    red: external("  servers: [localhost, nats://far.example.org]"),
    green: external("  servers: [localhost, nats://far.example.org]\n  insecure: true"),
    path: "nats.servers[1]",
    message: /in plain text/,
    value: "nats://far.example.org",
  },
  {
    rule: "NATS with a tls section",
    red: external("  servers: [nats://far.example.org]"),
    green: external("  servers: [nats://far.example.org]\n  tls: {}"),
    path: "nats.servers[0]",
    message: /in plain text/,
  },
  {
    rule: "credentials in an address",
    red: external("  servers: ['tls://me:hunter2@far.example.org']"),
    green: external("  servers: ['tls://far.example.org']\n  user: me\n  password: env:SECRET"),
    path: "nats.servers[0]",
    message: /credentials must not stand in an address/,
    value: "tls://«hidden»@far.example.org",
    env: { SECRET: "x" },
  },
  {
    rule: "an address of monitoring that is none",
    red: external("  servers: [localhost]\n  monitor: localhost:8222"),
    green: external("  servers: [localhost]\n  monitor: http://localhost:8222"),
    path: "nats.monitor",
    message: /is no address of a monitoring endpoint/,
  },
  {
    rule: "monitoring of another machine in plain text",
    red: external("  servers: [localhost]\n  monitor: http://far.example.org:8222"),
    green: external("  servers: [localhost]\n  monitor: https://far.example.org:8222"),
    path: "nats.monitor",
    message: /in plain text/,
  },
  {
    rule: "credentials in an address of monitoring",
    red: external("  servers: [localhost]\n  monitor: https://me:hunter2@far.example.org"),
    green: external("  servers: [localhost]"),
    path: "nats.monitor",
    message: /credentials must not stand in an address/,
    value: "https://«hidden»@far.example.org",
  },
  {
    rule: "a user without a password",
    red: external("  servers: [localhost]\n  user: me"),
    green: external("  servers: [localhost]\n  user: me\n  password: env:SECRET"),
    path: "nats.user",
    message: /go together/,
    env: { SECRET: "x" },
  },
  {
    rule: "two ways to be known",
    red: external("  servers: [localhost]\n  user: me\n  password: env:SECRET\n  token: env:SECRET"),
    green: external("  servers: [localhost]\n  token: env:SECRET"),
    path: "nats",
    message: /more than one of/,
    env: { SECRET: "x" },
  },
  {
    rule: "half a client certificate",
    red: external("  servers: [localhost]\n  tls: { certFile: site.ts }"),
    green: external("  servers: [localhost]\n  tls: {}"),
    path: "nats.tls",
    message: /needs both/,
  },
];

const doorRules: ReadonlyArray<Rule> = [
  {
    rule: "plain HTTP to other machines",
    red: http("  host: 0.0.0.0\nenqueuer:\n  insecure: true"),
    green: http("  host: 0.0.0.0\n  insecure: true\nenqueuer:\n  insecure: true"),
    path: "http.host",
    message: /plain HTTP on an address that other machines reach/,
    value: "0.0.0.0",
  },
  {
    rule: "a proxy that is no address",
    red: http("  port: 0\n  trustedProxies: [10.0.0.5, 10.0.0.0/40]"),
    green: http("  port: 0\n  trustedProxies: [10.0.0.5, 10.0.0.0/24, 2001:db8::/32]"),
    path: "http.trustedProxies[1]",
    message: /neither an address nor a network/,
    value: "10.0.0.0/40",
  },
  {
    rule: "everybody as a proxy",
    red: http("  port: 0\n  trustedProxies: [0.0.0.0/0]"),
    green: http("  port: 0\n  trustedProxies: [10.0.0.0/8]"),
    path: "http.trustedProxies[0]",
    message: /every address there is/,
  },
  {
    rule: "a webhook open to all",
    red: http("  host: 0.0.0.0\n  insecure: true"),
    green: http("  host: 0.0.0.0\n  insecure: true\nenqueuer:\n  secret: env:SECRET"),
    path: "enqueuer.secret",
    message: /no secret is asked for/,
    env: { SECRET: "x" },
  },
  {
    rule: "loopback by its other names",
    red: http("  host: 10.0.0.1\nenqueuer:\n  insecure: true"),
    green: http("  host: '::1'"),
    path: "http.host",
    message: /plain HTTP/,
  },
  {
    rule: "a webhook's path",
    red: added("enqueuer:\n  path: notify"),
    green: added("enqueuer:\n  path: /hooks/s3"),
    path: "enqueuer.path",
    message: /is no path/,
  },
  {
    rule: "a webhook on a path of Orrery's own",
    red: added("enqueuer:\n  path: /metrics"),
    green: added("enqueuer:\n  path: /metrics2"),
    path: "enqueuer.path",
    message: /\/metrics is Orrery's own/,
  },
  {
    rule: "a secret looked for nowhere",
    red: added("enqueuer:\n  secret: env:SECRET\n  secretIn: []"),
    green: added("enqueuer:\n  secret: env:SECRET\n  secretIn: [path]"),
    path: "enqueuer.secretIn",
    message: /looked for nowhere/,
    env: { SECRET: "x" },
  },
  {
    rule: "a NATS subject",
    red: added("enqueuer:\n  natsSubject: s3..events"),
    green: added("enqueuer:\n  natsSubject: s3.*.events.>"),
    path: "enqueuer.natsSubject",
    message: /is no NATS subject/,
  },
  {
    rule: "half of an S3 key",
    red: s3("accessKeyId: env:SECRET"),
    green: s3("accessKeyId: env:SECRET\n    secretAccessKey: env:SECRET"),
    path: "storage.disk",
    message: /go together/,
    env: { SECRET: "x" },
  },
  {
    rule: "an endpoint that is none",
    red: s3("endpoint: s3.example.org"),
    green: s3("endpoint: https://s3.example.org"),
    path: "storage.disk.endpoint",
    message: /is no URL/,
  },
  {
    rule: "S3 in plain text to another machine",
    red: s3("endpoint: http://s3.example.org"),
    green: s3("endpoint: http://s3.example.org\n    insecure: true"),
    path: "storage.disk.endpoint",
    message: /over plain HTTP/,
  },
  {
    rule: "credentials in an endpoint",
    red: s3("endpoint: https://me:hunter2@s3.example.org"),
    green: s3("endpoint: http://127.0.0.1:7070"),
    path: "storage.disk.endpoint",
    message: /credentials must not stand in a URL/,
    value: "https://«hidden»@s3.example.org",
  },
  {
    rule: "presence of nothing",
    red: changed([instruments, "instruments: []"]),
    green: rightSite,
    path: "presence.instruments",
    message: /no instrument/,
  },
  {
    rule: "an instrument named twice",
    red: changed([instruments, "instruments: [LSSTCam, LSSTCam]"]),
    green: changed([instruments, "instruments: [LSSTCam, lsstcam]"]),
    path: "presence.instruments[1]",
    message: /is named twice/,
  },
  {
    rule: "exposures and no presence",
    red: changed([`presence:\n  ${instruments}\n`, ""]),
    green: changed([`presence:\n  ${instruments}\n`, ""], ["kind: exposure", "kind: object"]),
    path: "presence",
    message: /no instruments/,
    severity: "warning",
  },
  {
    rule: "a node that runs nothing",
    red: added("node:\n  roles: []"),
    green: rightSite,
    path: "node.roles",
    message: /would run nothing/,
  },
  {
    rule: "lanes nobody reads",
    red: added("node:\n  roles: [enqueuer, reclaimer, presence, resolver, runner]"),
    green: added(
      "node:\n  roles: [enqueuer, reclaimer, presence, resolver, runner]\n  elsewhere: [ingester]",
    ),
    path: "node.roles",
    message: /a lane nobody reads: raw, products/,
  },
  {
    rule: "jobs nobody runs",
    red: added("node:\n  roles: [enqueuer, ingester, reclaimer, presence, resolver]"),
    green: added("node:\n  roles: [enqueuer, ingester, reclaimer, presence, resolver, runner]"),
    path: "node.roles",
    message: /no runner on this node/,
    severity: "warning",
  },
];

const laneRules: ReadonlyArray<Rule> = [
  {
    rule: "no lane at all",
    red: "name: test\nlanes: {}\n",
    green: "name: test\nlanes: { a: { kind: object, buckets: [a], pattern: '(?<day>x)' } }\n",
    path: "lanes",
    message: /no lane/,
    severity: "warning",
  },
  {
    rule: "a storage that is not defined",
    red: changed(["buckets: [raw-bucket]\n    storage: disk", "buckets: [raw-bucket]\n    storage: dsk"]),
    green: rightSite,
    path: "lanes.raw.storage",
    message: /no storage of this name \(did you mean "disk"\?\)/,
    value: "dsk",
  },
  {
    rule: "a profile with its bucket",
    red: raw("profile: embargo@raw-bucket"),
    green: raw("profile: embargo"),
    path: "lanes.raw.profile",
    message: /is no name of a profile/,
  },
  {
    rule: "headers and nowhere to read them",
    red: changed(["buckets: [raw-bucket]\n    storage: disk", "buckets: [raw-bucket]"]),
    green: changed(
      ["buckets: [raw-bucket]\n    storage: disk", "buckets: [raw-bucket]\n    metadata: key"],
      [rawPattern, groupPattern],
    ),
    path: "lanes.raw.storage",
    message: /no storage says where they are/,
  },
  {
    rule: "a storage that no lane uses",
    red: changed(["storage:\n", "storage:\n  spare: { driver: objectstore }\n"]),
    green: rightSite,
    path: "storage.spare",
    message: /no lane uses this storage/,
    severity: "warning",
    at: "spare",
  },
  {
    rule: "a sidecar that is never read",
    red: raw("metadata: key\n    sidecar: .json"),
    green: raw("metadata: header\n    sidecar: .json"),
    path: "lanes.raw.sidecar",
    message: /is never read/,
    severity: "warning",
  },
  {
    rule: "no ending",
    red: raw("sidecar: /etc/x"),
    green: raw("sidecar: _meta.json"),
    path: "lanes.raw.sidecar",
    message: /is no ending/,
  },
  {
    rule: "exposures that cannot be told",
    red: changed([rawPattern, String.raw`pattern: '^(?<day>\d{8})/(?<exposre>\w+)'` + "\n    metadata: key"]),
    green: raw("metadata: key").replace(rawPattern, groupPattern),
    path: "lanes.raw.pattern",
    message: /cannot tell its exposures/,
  },
  {
    rule: "waiting for an exposure that cannot be told",
    red: changed([productBuckets, `${productBuckets}\n    needs: [{ match: x }]`]),
    green: raw("needs: [{ match: x }]"),
    path: "lanes.products.pattern",
    message: /which cannot be told/,
  },
  {
    rule: "a group that is not used",
    red: changed(["(?<exposure>", "(?<exposre>"]),
    green: rightSite,
    path: "lanes.raw.pattern",
    message: /the group "exposre" is not used \(did you mean "exposure"\?\)/,
    severity: "warning",
  },
  {
    rule: "no day",
    red: changed([rawPattern, "pattern: '(?<exposure>x)'"]),
    green: rightSite,
    path: "lanes.raw.pattern",
    message: /no group `day`/,
    severity: "warning",
  },
  {
    rule: "presence, and files of no group",
    red: raw("metadata: key"),
    green: raw("metadata: key").replace(rawPattern, groupPattern),
    path: "lanes.raw.pattern",
    message: /never present: no group `instrument`, `group`, `detector`, and metadata: key/,
    severity: "warning",
  },
  {
    rule: "a pattern that takes for ever",
    red: raw("accept: '([a-z]+)+$'"),
    green: raw("accept: '([a-z]+_)+$'"),
    path: "lanes.raw.accept",
    message: /repeats what is itself repeated/,
    severity: "warning",
  },
  {
    rule: "back-off the wrong way round",
    red: raw("backoffBase: 2 min"),
    green: raw("backoffBase: 1 min"),
    path: "lanes.raw.backoffBase",
    message: /is longer than backoffMax/,
  },
  {
    rule: "half a day of retention",
    red: raw("retention: 36 h"),
    green: raw("retention: 48 h"),
    path: "lanes.raw.retention",
    message: /whole days/,
  },
  {
    rule: "a bridge given more time than its lane",
    red: raw("driver: { type: subprocess, command: [x], batchDeadline: 2 min }"),
    green: raw("workDeadline: 4 min\n    driver: { type: subprocess, command: [x], batchDeadline: 2 min }"),
    path: "lanes.raw.workDeadline",
    message: /must be longer than the driver's startDeadline and batchDeadline together/,
  },
];

const bucketRules: ReadonlyArray<Rule> = [
  {
    rule: "a lane that nothing leads to",
    red: changed([rawBuckets, "buckets: []"]),
    green: rightSite,
    path: "lanes.raw.buckets",
    message: /a lane that nothing leads to/,
  },
  {
    rule: "a bucket of two lanes",
    red: changed([productBuckets, "buckets: [product-bucket, p@raw-bucket]"]),
    green: changed([
      productBuckets,
      String.raw`buckets: [product-bucket, p@raw-bucket]` + "\n    accept: 'json$'",
    ]),
    path: "lanes.products.buckets[1]",
    message: /lane raw takes this bucket too/,
    value: "p@raw-bucket",
  },
  {
    rule: "a bucket twice in one lane",
    red: changed([rawBuckets, "buckets: [raw-bucket, 't:raw-bucket']"]),
    green: changed([rawBuckets, "buckets: [raw-bucket, 't:raw-bucket2']"]),
    path: "lanes.raw.buckets[1]",
    message: /is named twice in this lane/,
  },
  {
    rule: "a bucket with a path",
    red: changed([rawBuckets, "buckets: [raw/2025]"]),
    green: rightSite,
    path: "lanes.raw.buckets[0]",
    message: /is no bucket's name/,
    value: "raw/2025",
  },
  {
    rule: "only what stands before a bucket's name",
    red: changed([rawBuckets, "buckets: ['tenant:']"]),
    green: changed([rawBuckets, "buckets: ['tenant:b']"]),
    path: "lanes.raw.buckets[0]",
    message: /is no bucket's name/,
  },
  {
    rule: "a watched folder that no lane takes",
    red: added("watch:\n  - { directory: data/raw-bucket, bucket: rw-bucket }"),
    green: added("watch:\n  - { directory: data/raw-bucket, bucket: raw-bucket }"),
    path: "watch[0].bucket",
    message: /no lane takes this bucket \(did you mean "raw-bucket"\?\)/,
    value: "rw-bucket",
  },
  {
    rule: "a folder watched twice",
    red: added(
      "watch:\n  - { directory: data/raw-bucket, bucket: raw-bucket }\n  - { directory: data/raw-bucket, bucket: raw-bucket }",
    ),
    green: added("watch:\n  - { directory: data/raw-bucket, bucket: raw-bucket }"),
    path: "watch[1].directory",
    message: /is watched already/,
  },
  {
    rule: "a watched folder where nobody will look",
    red: added("watch:\n  - { directory: data, bucket: raw-bucket }"),
    green: added("watch:\n  - { directory: ./data/raw-bucket/, bucket: raw-bucket }"),
    path: "watch[0].directory",
    message: /lane raw will look for these files in data\/raw-bucket/,
    severity: "warning",
  },
];

const jobInput = (lines: string): string => changed([input, `- lane: raw\n        ${lines}\n`]);
const outputKey = "key: '{day}/{exposure}.json'";

const jobRules: ReadonlyArray<Rule> = [
  {
    rule: "an input lane that does not exist",
    red: changed([input, "- lane: row\n"]),
    green: rightSite,
    path: "jobs.look.inputs[0].lane",
    message: /no lane of this name \(did you mean "raw"\?\)/,
    value: "row",
  },
  {
    rule: "an input lane named like a property of every object",
    red: changed([input, "- lane: constructor\n"]),
    green: rightSite,
    path: "jobs.look.inputs[0].lane",
    message: /no lane of this name/,
  },
  {
    rule: "an input without exposures",
    red: changed([input, "- lane: raw\n      - lane: products\n"]),
    green: rightSite,
    path: "jobs.look.inputs[1].lane",
    message: /cannot be told apart by exposure/,
  },
  {
    rule: "count and detectors",
    red: jobInput("count: 2\n        detectors: [A]"),
    green: jobInput("detectors: [A]"),
    path: "jobs.look.inputs[0].count",
    message: /two answers to one question/,
  },
  {
    rule: "a detector twice",
    red: jobInput("detectors: [A, B, A]"),
    green: jobInput("detectors: [A, B]"),
    path: "jobs.look.inputs[0].detectors[2]",
    message: /is named twice/,
  },
  {
    rule: "nothing that makes it ready",
    red: jobInput("required: false"),
    green: changed([input, "- lane: raw\n      - { lane: raw, required: false }\n"]),
    path: "jobs.look.inputs",
    message: /no required input/,
  },
  {
    rule: "an output that no lane takes",
    red: changed(["bucket: product-bucket", "bucket: elsewhere"]),
    green: rightSite,
    path: "jobs.look.outputs[0].bucket",
    message: /no lane takes this bucket/,
    value: "elsewhere",
  },
  {
    rule: "an output that comes back as its own input",
    red: changed(
      ["bucket: product-bucket", "bucket: raw-bucket"],
      [outputKey, "key: '{day}/{exposure}.fits'"],
    ),
    green: changed(
      ["bucket: product-bucket", "bucket: raw-bucket"],
      [outputKey, "key: '{day}/{exposure}.fits'"],
      [input, "- { lane: raw, match: raw }\n"],
    ),
    path: "jobs.look.outputs[0].bucket",
    message: /would run again for ever/,
  },
  {
    rule: "an output that its lane does not accept",
    red: changed([productBuckets, `${productBuckets}\n    accept: 'png$'`]),
    green: changed([productBuckets, `${productBuckets}\n    accept: 'json$'`]),
    path: "jobs.look.outputs[0].key",
    message: /is not accepted by lane products/,
    severity: "warning",
  },
  {
    rule: "an output with nowhere to put it",
    red: changed([`${productBuckets}\n    storage: disk`, productBuckets]),
    green: rightSite,
    path: "jobs.look.outputs[0].bucket",
    message: /nowhere to put the output/,
  },
  {
    rule: "an unknown word in a key",
    red: changed([outputKey, "key: '{dya}/{exposure}.json'"]),
    green: rightSite,
    path: "jobs.look.outputs[0].key",
    message: /\{dya\} is not known here/,
  },
  {
    rule: "one key for every exposure",
    red: changed([outputKey, "key: '{day}/out.json'"]),
    green: changed([outputKey, "key: '{day}/{run}.json'"]),
    path: "jobs.look.outputs[0].key",
    message: /every exposure's output would have the same key/,
  },
  {
    rule: "a key that leaves its bucket",
    red: changed([outputKey, "key: '../{exposure}.json'"]),
    green: rightSite,
    path: "jobs.look.outputs[0].key",
    message: /is no key of an object/,
  },
  {
    rule: "a file name with folders",
    red: changed(["name: out.json", "name: a/out.json"]),
    green: rightSite,
    path: "jobs.look.outputs[0].name",
    message: /is no plain file name/,
  },
  {
    rule: "two outputs of one name and key",
    red: changed([
      "    command:",
      "      - { name: out.json, bucket: product-bucket, key: '{run}' }\n    command:",
    ]),
    green: changed([
      "    command:",
      "      - { name: out.png, bucket: product-bucket, key: '{run}' }\n    command:",
    ]),
    path: "jobs.look.outputs[1].name",
    message: /is the name of another output too/,
  },
  {
    rule: "two outputs of one key",
    red: changed([
      "    command:",
      `      - { name: b, bucket: 'x@product-bucket', ${outputKey} }\n    command:`,
    ]),
    green: changed([
      "    command:",
      "      - { name: b, bucket: 'x@product-bucket', key: '{run}' }\n    command:",
    ]),
    path: "jobs.look.outputs[1].key",
    message: /is the key of another output too/,
  },
];

const hook = (lines: string): string => added(`webhooks:\n  summit:\n    ${lines}`);
const rightHook = hook("url: https://h.example.org/x");
const service = (lines: string): string => raw(`driver: { type: http, ${lines} }`);

const receiverRules: ReadonlyArray<Rule> = [
  {
    rule: "an address that is none",
    red: hook("url: h.example.org"),
    green: rightHook,
    path: "webhooks.summit.url",
    message: /is no http:/,
    value: "h.example.org",
  },
  {
    rule: "an address with credentials",
    red: hook("url: https://me:pass@h.example.org/x"),
    green: rightHook,
    path: "webhooks.summit.url",
    message: /credentials must not stand/,
    value: "https://«hidden»@h.example.org/x",
  },
  {
    rule: "a receiver in plain text on another machine",
    red: hook("url: http://h.example.org/x"),
    green: hook("url: http://h.example.org/x\n    insecure: true"),
    path: "webhooks.summit.url",
    message: /plain HTTP to another machine/,
  },
  {
    rule: "an address that a variable holds, in plain text",
    red: hook("url: env:WEBHOOK_URI"),
    green: hook("url: env:OTHER"),
    env: { WEBHOOK_URI: "http://h.example.org/x", OTHER: "https://h.example.org/x" },
    path: "webhooks.summit.url",
    message: /plain HTTP/,
    value: "env:WEBHOOK_URI",
  },
  {
    rule: "an address that no variable holds",
    red: hook("url: env:WEBHOOK_URI"),
    green: rightHook,
    path: "webhooks.summit.url",
    message: /WEBHOOK_URI is not set/,
  },
  {
    rule: "a secret in a header",
    red: hook("url: https://h.example.org\n    headers: { X-Api-Key: abc }"),
    green: hook("url: https://h.example.org\n    headers: { X-Api-Key: env:K, X-Site: a }"),
    env: { K: "abc" },
    path: "webhooks.summit.headers.X-Api-Key",
    message: /a secret must not stand in the file/,
    value: null,
  },
  {
    rule: "a header that the request sets",
    red: hook("url: https://h.example.org\n    headers: { content-type: text/plain }"),
    green: rightHook,
    path: "webhooks.summit.headers.content-type",
    message: /is set by the request itself/,
  },
  {
    rule: "a header that is none",
    red: hook("url: https://h.example.org\n    headers: { 'a b': x }"),
    green: rightHook,
    path: 'webhooks.summit.headers["a b"]',
    message: /is no name of a header/,
  },
  {
    rule: "a header of two lines",
    red: hook("url: https://h.example.org\n    headers: { Authorization: env:K }"),
    green: hook("url: https://h.example.org\n    headers: { Authorization: env:GOOD }"),
    env: { K: "a\nb", GOOD: "a b" },
    path: "webhooks.summit.headers.Authorization",
    message: /holds what no header may/,
    value: null,
  },
  {
    rule: "a receiver that is told of no such lane",
    red: hook("url: https://h.example.org\n    lanes: [rav]"),
    green: hook("url: https://h.example.org\n    lanes: [raw]"),
    path: "webhooks.summit.lanes[0]",
    message: /no lane of this name \(did you mean "raw"\?\)/,
  },
  {
    rule: "a receiver that is told of objects",
    red: hook("url: https://h.example.org\n    lanes: [raw, products]"),
    green: hook("url: https://h.example.org\n    lanes: [raw]"),
    path: "webhooks.summit.lanes[1]",
    message: /is a lane of kind object/,
  },
  {
    rule: "a lane named twice",
    red: added("visits: { lanes: [raw, raw] }"),
    green: added("visits: { lanes: [raw] }"),
    path: "visits.lanes[1]",
    message: /is named twice/,
  },
  {
    rule: "visits of no exposure",
    red: changed([`presence:\n  ${instruments}\n`, ""], ["kind: exposure", "kind: object"]) + "visits: {}\n",
    green: added("visits: {}"),
    path: "visits.lanes",
    message: /no lane of kind exposure/,
  },
  {
    rule: "a first wait longer than the longest",
    red: hook("url: https://h.example.org\n    backoffBase: 1 min"),
    green: hook("url: https://h.example.org\n    backoffBase: 30 s"),
    path: "webhooks.summit.backoffBase",
    message: /is longer than backoffMax/,
  },
  {
    rule: "a receiver whose name is none",
    red: added("webhooks: { Summit: { url: 'https://h.example.org' } }"),
    green: added("webhooks: { summit: { url: 'https://h.example.org' } }"),
    path: "webhooks.Summit",
    message: /is no name for a webhook/,
  },
  {
    rule: "receivers that nobody tells",
    red: `${rightHook}node:\n  roles: [enqueuer, ingester, reclaimer, presence, resolver, runner]\n`,
    green: `${rightHook}node:\n  roles: [enqueuer, ingester, reclaimer, presence, resolver, runner, notifier]\n`,
    path: "node.roles",
    message: /no notifier on this node/,
    severity: "warning",
  },
  {
    rule: "visits that nobody defines",
    red: added("visits: {}\nnode:\n  roles: [enqueuer, ingester, reclaimer, presence, resolver, runner]"),
    green: added(
      "visits: {}\nnode:\n  roles: [enqueuer, ingester, reclaimer, presence, resolver, runner, visits]",
    ),
    path: "node.roles",
    message: /no visits on this node/,
    severity: "warning",
  },
  {
    rule: "a service that is slower than its lane",
    red: service("url: 'https://h.example.org', batchDeadline: 2 min"),
    green: service("url: 'https://h.example.org', batchDeadline: 1 min"),
    path: "lanes.raw.workDeadline",
    message: /must be longer than the driver's/,
  },
  {
    rule: "a service in plain text on another machine",
    red: service("url: 'http://h.example.org'"),
    green: service("url: 'http://127.0.0.1:9'"),
    path: "lanes.raw.driver.url",
    message: /plain HTTP/,
  },
];

const hub =
  "name: hub\nsupernode: true\nnats: { mode: external, servers: ['nats://127.0.0.1:4222'], replicas: 3 }\n";

const supernodeRules: ReadonlyArray<Rule> = [
  {
    rule: "a supernode with lanes",
    red: `${hub}lanes: { a: { kind: object, buckets: [a], pattern: '(?<day>x)' } }\n`,
    green: hub,
    path: "lanes",
    message: /has no meaning at a supernode/,
    at: "lanes",
  },
  {
    rule: "a supernode with what works on files",
    red: `${hub}webhooks: { told: { url: 'http://127.0.0.1:9' } }\n`,
    green: hub,
    path: "webhooks",
    message: /has no meaning at a supernode/,
  },
  {
    rule: "a supernode on a server of its own",
    red: "name: hub\nsupernode: true\n",
    green: hub,
    path: "nats.mode",
    message: /servers of their own/,
  },
  {
    rule: "a site's role at a supernode",
    red: `${hub}node: { roles: [keeper, ingester] }\n`,
    green: `${hub}node: { roles: [keeper] }\n`,
    path: "node.roles[1]",
    message: /is a role of a site's nodes/,
  },
  {
    rule: "a supernode's role at a site",
    red: added("node:\n  roles: [enqueuer, ingester, reclaimer, presence, resolver, runner, keeper]"),
    green: added("node:\n  roles: [enqueuer, ingester, reclaimer, presence, resolver, runner]"),
    path: "node.roles[6]",
    message: /is a role of a supernode's nodes/,
  },
];

const filesOf = (sites: string): string => added(`filesOf:\n  supernode: hub\n  sites: ${sites}`);

const filesOfRules: ReadonlyArray<Rule> = [
  {
    rule: "files of other sites, and no job of a catalogue",
    red: filesOf("{ summit: { storage: disk } }"),
    green: rightSite,
    path: "filesOf",
    message: /nothing is made of these files/,
    severity: "warning",
  },
  {
    rule: "an input of a site whose files are not taken",
    red: changed(["- lane: raw\n", "- lane: raw\n        site: summit\n"]),
    green: rightSite,
    path: "jobs.look.inputs[0].site",
    message: /no site of filesOf/,
    value: "summit",
  },
  {
    rule: "an input of a site by a name that is nearly one",
    red: `${changed(["- lane: raw\n", "- lane: far\n        site: sumit\n"])}filesOf: { supernode: hub, sites: { summit: { storage: disk } } }\n`,
    green: `${changed(["- lane: raw\n", "- lane: far\n        site: summit\n"])}filesOf: { supernode: hub, sites: { summit: { storage: disk } } }\n`,
    path: "jobs.look.inputs[0].site",
    message: /did you mean "summit"/,
  },
  {
    rule: "files of no site",
    red: filesOf("{}"),
    green: rightSite,
    path: "filesOf.sites",
    message: /names no site/,
  },
  {
    rule: "files of a site by no name",
    red: filesOf("{ Summit: { storage: disk } }"),
    green: rightSite,
    path: "filesOf.sites.Summit",
    message: /is no name for a site/,
  },
  {
    rule: "files of the site itself",
    red: filesOf("{ test: { storage: disk } }"),
    green: rightSite,
    path: "filesOf.sites.test",
    message: /is this site/,
  },
  {
    rule: "files of another site in a storage that is not there",
    red: filesOf("{ summit: { storage: disc } }"),
    green: rightSite,
    path: "filesOf.sites.summit.storage",
    message: /names no storage of this file/,
    value: "disc",
  },
  {
    rule: "files of another site in the site's own object store",
    red: changed([
      "storage:\n",
      "filesOf: { supernode: hub, sites: { summit: { storage: store } } }\nstorage:\n  store: { driver: objectstore }\n",
    ]),
    green: rightSite,
    path: "filesOf.sites.summit.storage",
    message: /own object store/,
  },
  {
    rule: "files by a supernode of no name",
    red: added("filesOf:\n  supernode: Hub 1\n  sites: { summit: { storage: disk } }"),
    green: rightSite,
    path: "filesOf.supernode",
    message: /is no name for a supernode/,
  },
];

describe.each([
  ["schema", schemaRules],
  ["surroundings", surroundingRules],
  ["names and NATS", nameAndNatsRules],
  ["doors", doorRules],
  ["lanes", laneRules],
  ["buckets", bucketRules],
  ["jobs", jobRules],
  ["receivers", receiverRules],
  ["supernodes", supernodeRules],
  ["files of other sites", filesOfRules],
])("%s", (_name, rules) => {
  it.each(rules.map((rule) => [rule.rule, rule] as const))("%s", (_rule, rule) => {
    const env = rule.env ?? {};
    const found = problemsOf(rule.red, { env });
    const problem = found.find((one) => one.path === rule.path && rule.message.test(one.message));
    expect(problem, JSON.stringify(found, null, 1)).toBeDefined();
    expect(problem?.severity).toBe(rule.severity ?? "error");
    expect(problem?.fix).not.toBe("");
    if (rule.value !== undefined) expect(problem?.value).toBe(rule.value);
    if (rule.at !== undefined) expect(problem?.line).toBe(lineOf(rule.red, rule.at));
    if (rule.path !== "ORRERY_NODE") expect(problem?.line).toBeGreaterThan(0);
    const others = problemsOf(rule.green, { env, ...(rule.path === "ORRERY_NODE" ? { node: "good" } : {}) });
    expect(others).toEqual([]);
  });
});
