/** A site whose nodes have one role each, with credentials that may do no more than it takes: everything works, nothing is refused. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { afterEach, beforeEach, expect, it } from "vitest";
import { scanUnsafe } from "../../src/jetstream/ledger.ts";
import type { NatsService } from "../../src/jetstream/Nats.ts";
import type { CredentialName } from "../../src/sites/permissions.ts";
import { Deployment } from "../support/deployment.ts";
import { Receiver } from "../support/receiver.ts";
import type { TestSite } from "../support/testSite.ts";
import { ask, startSite, until } from "../support/testSite.ts";

const day = "20251121";
let deployment: Deployment;
let receiver: Receiver;
let operator: NatsService | null = null;
const sites: Array<TestSite> = [];

beforeEach(async () => {
  deployment = new Deployment();
  operator = null;
  mkdirSync(deployment.path("disk", "products"), { recursive: true });
  receiver = await Receiver.start();
  await deployment.init("summit");
  await deployment.start("summit");
});
afterEach(async () => {
  for (const site of sites.splice(0).toReversed()) await site.stop();
  await receiver.down();
  await deployment.end();
});

/** As an operator sees them. */
async function keys(filter: string): Promise<ReadonlyMap<string, Record<string, unknown>>> {
  const found = new Map<string, Record<string, unknown>>();
  operator ??= await deployment.connect("summit", "operator");
  await scanUnsafe(operator, "ledger", [filter], (entry) => {
    found.set(entry.key, JSON.parse(Buffer.from(entry.data).toString()) as Record<string, unknown>);
  });
  return found;
}

const siteText = (node: string, roles: string): string => `
name: summit
dataDir: ${deployment.path(`data-${node}`)}
node: { name: ${node}, roles: [${roles}], elsewhere: [enqueuer, presence, ingester, reclaimer, resolver, runner, notifier, visits, watcher] }
nats:
  mode: external
  servers: [${JSON.stringify(deployment.urls("summit")[0])}]
  credentialsFile: ${deployment.path("summit", "creds", `${node}.creds`)}
  tls: { caFile: ${deployment.path("summit", "tls", "ca.pem")} }
  topology: verify
http: { host: 127.0.0.1, port: 0 }
storage: { disk: { driver: file, root: ${deployment.path("disk")} } }
lanes:
  raw:
    kind: exposure
    buckets: [raw]
    pattern: '^(?<instrument>[^/]+)/(?<day>\\d{8})/(?<exposure>[^/]+)/(?<group>[^/_]+)_(?<snap>\\d)_(?<seq>\\d+)_(?<detector>R\\d\\d_S\\d\\d)\\.fits$'
    metadata: key
    backoffBase: 200 ms
  products:
    kind: object
    buckets: [products]
    storage: disk
    pattern: '^quick/(?<day>\\d{8})/(?<exposure>[^/]+)/'
    metadata: key
presence: { instruments: [LSSTCam] }
visits: { system: by-group }
webhooks: { told: { url: "${receiver.url}" } }
jobs:
  quick:
    version: "1"
    partition: exposure
    inputs: [{ lane: raw, detectors: [R22_S11] }]
    outputs: [{ name: out.txt, bucket: products, key: "quick/{day}/{exposure}/out.txt" }]
    command: ["{node}", "-e", "require('fs').writeFileSync(process.env.ORRERY_OUTPUTS + '/out.txt', 'made')"]
    workers: 1
`;

const nodes: Readonly<Record<string, string>> = {
  ingester: "ingester",
  runner: "runner",
  followers: "reclaimer, resolver, notifier, visits",
  enqueuer: "enqueuer",
  presence: "presence",
} satisfies Partial<Record<CredentialName, string>>;

/** Who was refused what. */
const violations = (): ReadonlyArray<string> => [
  ...new Set(
    deployment
      .log("summit")
      .split("\n")
      .filter((line) => line.includes("Violation"))
      .map((line) => line.replace(/^.*"v3[^:]*:([^"]*)".* - (?=\w+ Violation)/, "$1: ")),
  ),
];

it("takes files in, finds them, runs their jobs and tells of them, and no server refuses anything", async () => {
  const file = deployment.path("site.yaml");
  writeFileSync(file, siteText("admin", "ingester"));
  // Nodes may be there first, and wait.
  const starting = Promise.all(
    Object.entries(nodes).map(async ([node, roles]) => {
      const site = await startSite(siteText(node, roles));
      sites.push(site);
      return site;
    }),
  );
  // Waited for below; until then a start that fails is nobody's.
  starting.catch(() => undefined);
  const applied = await deployment.cli("topology", "apply", file);
  expect(applied.stderr).toBe("");
  expect(applied.exit).toBe(0);
  const [ingester, runner, followers, enqueuer, presence] = await starting;
  if (!ingester || !runner || !followers || !enqueuer || !presence) throw new Error("a node is missing");
  const detectors = ["R22_S11", "R22_S12"];
  const names = detectors.map((d) => `LSSTCam/${day}/MC_O_${day}_000001/g1_0_1_${d}.fits`);
  const body = (of: ReadonlyArray<string>): unknown => ({
    Records: of.map((key) => ({
      eventName: "ObjectCreated:Put",
      s3: { bucket: { name: key === "?" ? "unknown" : "raw" }, object: { key, eTag: "e1", size: 1 } },
    })),
  });
  expect((await ask(enqueuer, { body: body([...names, "?"]) })).status).toBe(200);
  // Announced again: counted, not taken twice.
  expect((await ask(enqueuer, { body: body(names) })).status).toBe(200);
  const look = await until(
    () => ask(presence, { method: "GET", path: `/presence/LSSTCam/g1/0/R22_S11` }),
    ({ status, body: found }) => status === 200 && (found as { present?: boolean }).present !== false,
  );
  expect(look.body).toMatchObject({ present: true });
  const runs = await until(
    () => keys("run.>"),
    (found) => [...found.values()].some((run) => ["known", "done"].includes(String(run["state"]))),
  );
  expect(runs.size).toBe(1);
  await until(
    () => keys("file.products.>"),
    (found) => [...found.values()].some((record) => record["state"] === "known"),
  );
  await until(
    () => keys("visit.>"),
    (found) => found.size === 1,
  );
  await until(
    () => receiver.requests.length,
    (count) => count > 0,
  );
  expect((await keys("parked.unrouted.>")).size).toBe(1);
  expect((await keys("repeats.>")).size).toBe(1);
  const creds = deployment.path("summit", "creds", "operator.creds");
  const cli = (...argv: ReadonlyArray<string>) =>
    deployment.cli("--site", file, ...argv).then((done) => [argv[0], done.exit, done.stderr]);
  writeFileSync(file, readFileSync(file, "utf8").replace(/credentialsFile: .*/, `credentialsFile: ${creds}`));
  expect(await cli("status")).toEqual(["status", 0, ""]);
  expect(await cli("stats", day)).toEqual(["stats", 0, ""]);
  expect(await cli("why", names[0] ?? "")).toEqual(["why", 0, ""]);
  expect(await cli("file", "ls")).toEqual(["file", 0, ""]);
  expect(await cli("presence", "LSSTCam", "g1", "0", "R22_S11")).toEqual(["presence", 0, ""]);
  expect(await cli("topology", "plan")).toEqual(["topology", 0, ""]);
  expect(violations()).toEqual([]);
});
