/** The supernode's topology, and permissions as a part of it, on real servers: each sort of drift is named, mended, and gone. */
import { readFileSync, writeFileSync } from "node:fs";
import { Readable } from "node:stream";
import { jetstream } from "@nats-io/jetstream";
import * as Effect from "effect/Effect";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { NatsService } from "../../src/jetstream/Nats.ts";
import { archiveUnsafe, unarchiveUnsafe } from "../../src/jetstream/snapshot.ts";
import { commit, ledgerPut, publish } from "../../src/jetstream/transaction.ts";
import { newUser, readUser, renewUser } from "../../src/jetstream/trust.ts";
import type { CliResult } from "../support/cli.ts";
import { runCli } from "../support/cli.ts";
import { Deployment } from "../support/deployment.ts";
import { until } from "../support/testSite.ts";

const deployment = new Deployment();
let hub: NatsService;

beforeAll(async () => {
  await deployment.init("hub", "--supernode");
  for (const site of ["summit", "base"]) {
    await deployment.init(site);
    await deployment.join(site, "hub");
  }
  await Promise.all(["hub", "summit", "base"].map((name) => deployment.start(name)));
  hub = await deployment.connect("hub", "admin");
});
afterAll(() => deployment.end());

interface Change {
  readonly kind: string;
  readonly asset: string;
  readonly words: string;
}

const atHub = (verb: string, ...more: ReadonlyArray<string>): Promise<CliResult> =>
  deployment.cli("topology", verb, "--supernode", "hub", "--dir", deployment.folder, ...more);
const atSite = (site: string, verb: string, ...more: ReadonlyArray<string>): Promise<CliResult> =>
  runCli(["topology", verb, deployment.path(site, "site.yaml"), ...more], {
    env: { ORRERY_CREDENTIALS: deployment.path(site, "creds", "admin.creds") },
  });

function changesOf({ exit, stdout, stderr }: CliResult): ReadonlyArray<Change> {
  const { changes } = JSON.parse(stdout) as { changes: ReadonlyArray<Change> };
  expect([exit, stderr]).toEqual([changes.length === 0 ? 0 : 3, ""]);
  return changes;
}

/** Named by plan, made by apply, and gone. */
async function mended(at: (verb: string, ...more: ReadonlyArray<string>) => Promise<CliResult>) {
  const changes = changesOf(await at("plan", "--json"));
  const made = await at("apply");
  expect([made.exit, made.stderr]).toEqual([0, ""]);
  expect(changesOf(await at("plan", "--json"))).toEqual([]);
  return changes;
}

const summit = (verb: string, ...more: ReadonlyArray<string>) => atSite("summit", verb, ...more);
const words = (changes: ReadonlyArray<Change>): ReadonlyArray<string> =>
  changes.map((change) => change.words);

it("what a supernode needs is made, with the sources of all sites that have joined", async () => {
  const before = await deployment.cli("site", "sources", "--supernode", "hub", "--dir", deployment.folder);
  expect([before.exit, before.stderr]).toEqual([
    1,
    expect.stringContaining("has not its streams yet: orrery topology apply --supernode hub"),
  ]);
  const changes = await mended(atHub);
  expect(changes.every(({ kind }) => kind === "create")).toBe(true);
  expect(changes.map(({ asset }) => asset).toSorted()).toEqual([
    "stream KV_nodes",
    "stream KV_sites",
    "stream KV_sitesPresence",
  ]);
  const { config, sources } = await hub.jsm.streams.info("KV_sites");
  expect([config.num_replicas, sources?.length]).toEqual([3, 2]);
  await mended(summit);
  await mended((verb, ...more) => atSite("base", verb, ...more));
  // A site's file names the monitoring of its server, as its configuration has it.
  const { stdout } = await runCli(["status", "--site", deployment.path("summit", "site.yaml")], {
    env: { ORRERY_CREDENTIALS: deployment.path("summit", "creds", "operator.creds") },
  });
  expect(stdout.split("\n")[1]).toBe("fsync before every acknowledgement");
});

it("what destroy tells of a supernode names no backup, which a supernode has none of", async () => {
  const { exit, stderr } = await atHub("destroy");
  expect([exit, stderr]).toEqual([3, expect.stringContaining("What it holds comes again from the sites")]);
  expect(stderr).not.toContain("backup");
});

it("a source that is gone, copies that are too few, a consumer of a pair that is sent nothing", async () => {
  const { streams, consumers } = hub.jsm;
  const { config } = await streams.info("KV_sites");
  const sources = (config.sources ?? []).filter(({ external }) => external?.api === "$JS.base.API");
  await streams.update("KV_sites", { ...config, sources, num_replicas: 1 });
  await consumers.add("KV_sites", {
    durable_name: "summit=base",
    description: "Orrery: files of base for summit",
  });
  await consumers.add("KV_sites", { durable_name: "theirs" });
  await streams.add({ name: "THEIRS", subjects: ["theirs.>"] });
  const changes = words(await mended(atHub));
  expect(changes).toHaveLength(2);
  expect(changes[0]).toMatch(
    /^stream KV_sites: num_replicas: 1 → 3; source summit\/KV_ledger: none → \$KV\.sites\.summit\./,
  );
  expect(changes[1]).toBe("remove consumer KV_sites/summit=base: summit is sent no files of base any more");
  expect((await streams.info("KV_sites")).config.num_replicas).toBe(3);
  expect((await consumers.info("KV_sites", "theirs")).name).toBe("theirs");
  expect((await streams.info("THEIRS")).config.name).toBe("THEIRS");
});

it("a stream of three copies is archived and made anew, with its consumers' places", async () => {
  const { streams, consumers } = hub.jsm;
  await streams.add({ name: "KEPT", subjects: ["kept.>"], num_replicas: 3, allow_atomic: true });
  await consumers.add("KEPT", { durable_name: "reader", ack_policy: "explicit" });
  for (let i = 0; i < 20; i++)
    await Effect.runPromise(publish(hub, "a message", { subject: `kept.${i}`, data: Buffer.from(`${i}`) }));
  const reader = await jetstream(hub.connection).consumers.get("KEPT", "reader");
  for await (const message of await reader.fetch({ max_messages: 5, expires: 60_000 }))
    await message.ackAck();
  const pieces: Array<Uint8Array> = [];
  const signal = new AbortController().signal;
  const archived = await archiveUnsafe(hub, "KEPT", signal, async (piece) => void pieces.push(piece));
  const before = (await streams.info("KEPT")).state;
  await streams.delete("KEPT");
  const state = await unarchiveUnsafe(hub, archived, signal, Readable.from(pieces), () => undefined);
  expect([state.messages, state.last_seq]).toEqual([before.messages, before.last_seq]);
  const now = await streams.info("KEPT");
  expect([now.config.num_replicas, now.state.last_seq]).toEqual([3, 20]);
  // Its copies agree on a consumer a moment after they have the stream.
  const reached = await until(
    () => consumers.info("KEPT", "reader").then(({ ack_floor }) => ack_floor.stream_seq),
    (floor) => floor > 0,
  );
  expect(reached).toBe(5);
  await streams.delete("KEPT");
});

it("credentials that may not are told so, with those that may; and none but the site's own are let in", async () => {
  const file = deployment.path("summit", "site.yaml");
  const backup = deployment.path("refused");
  const looks = [
    ["status", "--site", file],
    ["topology", "plan", file],
    ["backup", backup, "--site", file],
    ["parked", "discard", "raw/20251121/x.fits", "--note", "no", "--site", file],
    ["why", "raw/20251121/x.fits", "--site", file],
  ];
  for (const argv of looks) {
    const { exit, stderr } = await runCli(argv, { cwd: deployment.folder });
    expect([argv[0], exit, stderr]).toEqual([
      argv[0],
      1,
      expect.stringContaining("these credentials may not"),
    ]);
    expect(stderr).toContain(`These are summit/creds/node.creds (named by ${file})`);
    expect(stderr).toContain("to look: ORRERY_CREDENTIALS=summit/creds/operator.creds");
    expect(stderr).toContain("ORRERY_CREDENTIALS=summit/creds/admin.creds");
    expect(stderr).not.toContain("Check that nats-server runs");
  }
  const by = (credentials: string) =>
    runCli(["status", "--site", file], {
      cwd: deployment.folder,
      env: { ORRERY_CREDENTIALS: deployment.path(...credentials.split("/")) },
    });
  const foreign = await by("base/creds/operator.creds");
  expect([foreign.exit, foreign.stderr]).toEqual([
    1,
    expect.stringContaining("does not let in base/creds/operator.creds (named by ORRERY_CREDENTIALS)"),
  ]);
  const missing = await by("summit/creds/none.creds");
  expect([missing.exit, missing.stderr]).toEqual([1, expect.stringContaining("ORRERY_CREDENTIALS")]);
  expect(missing.stderr).not.toMatch(/site\.yaml:\d/);
  const operator = await by("summit/creds/operator.creds");
  expect([operator.exit, operator.stderr]).toEqual([0, ""]);
});

it("credentials of an earlier table, of nobody, and that are gone are told, and signed anew", async () => {
  const seed = readFileSync(deployment.path("summit", "keys", "account.nk"), "utf8").trim();
  const file = (role: string): string => deployment.path("summit", "creds", `${role}.creds`);
  const before = await readUser(readFileSync(file("ingester"), "utf8"));
  // Less than it needs, and more.
  const old = await newUser("summit ingester", seed, (inbox) => ({
    publish: [...before.publish.filter((subject) => subject !== "$KV.ledger.file.>"), "$KV.ledger.>"],
    subscribe: [`${inbox}.>`],
  }));
  writeFileSync(file("ingester"), old.creds);
  writeFileSync(file("presence"), "none");
  writeFileSync(file("operator"), "");
  const changes = await mended(summit);
  expect(changes.map(({ kind, asset }) => `${kind} ${asset}`).toSorted()).toEqual([
    "replace credentials summit/operator",
    "replace credentials summit/presence",
    "update credentials summit/ingester",
  ]);
  const told = changes.find(({ asset }) => asset.endsWith("ingester"))?.words ?? "";
  expect(told).toContain("made from an earlier table: does not let it publish $KV.ledger.file.>");
  expect(told).toContain("still lets it publish $KV.ledger.>");
  const now = await readUser(readFileSync(file("ingester"), "utf8"));
  expect([now.publicKey, now.publish.toSorted()]).toEqual([old.publicKey, before.publish.toSorted()]);
  // The server takes it.
  const nats = await deployment.connect("summit", "ingester");
  await Effect.runPromise(commit(nats, "a file", [ledgerPut("file.files.-.x", Buffer.from("{}"))]));
});

it("what a site joins by is told at the supernode", async () => {
  const seed = readFileSync(deployment.path("hub", "keys", "account.nk"), "utf8").trim();
  const file = deployment.path("base", "creds", "leaf.creds");
  const joined = readFileSync(file, "utf8");
  const before = await readUser(joined);
  const earlier = { publish: ["$JSC.R.>"], subscribe: before.subscribe, leaf: true };
  writeFileSync(file, await renewUser(joined, seed, () => earlier));
  const changes = await mended(atHub);
  expect(changes.map(({ asset }) => asset)).toEqual(["credentials base/leaf"]);
  const now = await readUser(readFileSync(file, "utf8"));
  expect([now.publicKey, now.publish.toSorted(), now.leaf]).toEqual([
    before.publicKey,
    before.publish.toSorted(),
    true,
  ]);
  // Signed by the right account, but of a user whom nobody could put out.
  const other = await newUser("leaf base", seed, () => earlier);
  writeFileSync(file, other.creds);
  const refused = await atHub("plan");
  expect([refused.exit, refused.stdout]).toEqual([3, expect.stringContaining("of another user than joined")]);
  expect((await atHub("apply")).exit).toBe(1);
  expect(readFileSync(file, "utf8")).toBe(other.creds);
  writeFileSync(file, joined);
  expect(changesOf(await atHub("plan", "--json"))).toEqual([]);
});

it("a site that was destroyed lives anew under another epoch, and what it knew before is told to be of its former life", async () => {
  await until(
    () => deployment.leaves("hub"),
    (leaves) => leaves.length === 2,
  );
  const epochOf = (site: string): string =>
    (JSON.parse(readFileSync(deployment.path(site, "deployment.json"), "utf8")) as { epoch: string }).epoch;
  const before = epochOf("summit");
  expect((await summit("destroy", "--yes", "summit")).exit).toBe(0);
  const epoch = epochOf("summit");
  expect(epoch).not.toBe(before);
  await mended(summit);
  const nats = await deployment.connect("summit", "admin");
  await Effect.runPromise(commit(nats, "a file", [ledgerPut("file.files.-.new", Buffer.from("{}"))]));
  // Until it is taken over: nothing of the present life is here, however much of the former one is.
  const folder = ["--supernode", "hub", "--dir", deployment.folder];
  const sources = await deployment.cli("site", "sources", ...folder);
  const apply = `orrery topology apply ${folder.join(" ")}`;
  expect([sources.exit, sources.stdout, sources.stderr]).toEqual([
    3,
    expect.stringMatching(/summit .*rebuilt: orrery topology apply --supernode hub/),
    expect.stringContaining(`1 site rebuilt: summit; ${apply}`),
  ]);
  const status = await runCli(["status", "--site", deployment.path("hub", "site.yaml")], {
    env: { ORRERY_CREDENTIALS: deployment.path("hub", "creds", "operator.creds") },
  });
  expect([status.exit, status.stdout]).toEqual([
    0,
    expect.stringMatching(/summit .*rebuilt: orrery topology/),
  ]);
  const compared = await deployment.cli("site", "reconcile", "summit", "--dry-run", ...folder);
  expect([compared.exit, compared.stderr]).toEqual([3, expect.stringContaining(`former life: ${apply}`)]);
  const changes = words(await mended(atHub));
  expect((await deployment.cli("site", "sources", ...folder)).stdout).not.toContain("rebuilt");
  expect(changes).toContain(`site summit: it was rebuilt; epoch ${before} → ${epoch}`);
  expect(changes.join("\n")).toContain(`$KV.sites.summit.${epoch}.file.>`);
  const found = await until(
    () =>
      hub.jsm.streams.getMessage("KV_sites", { last_by_subj: `$KV.sites.summit.${epoch}.file.files.-.new` }),
    (message) => message !== null,
    240_000,
  );
  expect(found?.string()).toBe("{}");
}, 600_000);

it("a site whose server lost its ledger, and one that was restored, live anew as well", async () => {
  const epochOf = (): string =>
    (JSON.parse(readFileSync(deployment.path("summit", "deployment.json"), "utf8")) as { epoch: string })
      .epoch;
  const env = {
    ORRERY_SITE: deployment.path("summit", "site.yaml"),
    ORRERY_CREDENTIALS: deployment.path("summit", "creds", "admin.creds"),
  };
  const backup = deployment.path("backup");
  expect((await runCli(["backup", backup], { env })).exit).toBe(0);
  expect(changesOf(await summit("plan", "--json"))).toEqual([]);
  const first = epochOf();
  const nats = await deployment.connect("summit", "admin");
  await nats.jsm.streams.delete("KV_ledger");
  await mended(summit);
  const second = epochOf();
  expect(second).not.toBe(first);
  const restored = await runCli(["restore", backup, "--replace"], { env });
  expect(restored.exit).toBe(0);
  const third = epochOf();
  expect([third === second, restored.stdout]).toEqual([
    false,
    expect.stringContaining(`its epoch is ${third} from now on: orrery topology apply --supernode hub`),
  ]);
  await mended(summit);
  // What was restored is no other ledger once more.
  expect(epochOf()).toBe(third);

  // As a restore that has not ended leaves it: the supernode stays with the life that it has.
  const file = deployment.path("summit", "deployment.json");
  const whole = readFileSync(file, "utf8");
  const known = (): string => readFileSync(deployment.path("hub", "deployment.json"), "utf8");
  const before = known();
  const since = "2025-11-21T00:00:00.000Z";
  writeFileSync(file, JSON.stringify({ ...JSON.parse(whole), restoring: since }));
  const unfinished = `site summit: its restore began at ${since} and has not ended`;
  const planned = await atHub("plan");
  expect([planned.exit, planned.stdout]).toEqual([3, expect.stringContaining(unfinished)]);
  const applied = await atHub("apply");
  expect([applied.exit, applied.stdout]).toEqual([1, expect.stringContaining(unfinished)]);
  const taken = await deployment.cli("site", "apply", "--supernode", "hub", "--dir", deployment.folder);
  expect([taken.exit, taken.stderr]).toEqual([1, expect.stringContaining(unfinished)]);
  expect(known()).toBe(before);
  expect(known()).not.toContain(third);
  writeFileSync(file, whole);
  expect(words(await mended(atHub))).toContainEqual(expect.stringContaining(`→ ${third}`));
});

it("a site that was put out while no server answered is told of by plan, and out after apply", async () => {
  const file = deployment.path("hub", "deployment.json");
  const noted = JSON.parse(readFileSync(file, "utf8")) as {
    members: Record<string, { user: string; revokedAt: string | null }>;
    revoked: Record<string, number>;
  };
  const base = noted.members["base"];
  // As `site revoke` leaves it when the push failed.
  if (base !== undefined) base.revokedAt = new Date().toISOString();
  noted.revoked[base?.user ?? ""] = Math.floor(Date.now() / 1_000);
  writeFileSync(file, JSON.stringify(noted));
  const logged = deployment.log("base").length;
  const changes = words(await mended(atHub));
  expect(changes).toContain("account hub: hub-0, hub-1 and hub-2 do not know that base was put out");
  expect(changes.join("\n")).toContain("source base/KV_ledger: there → none");
  // It comes again a second later, and is not let in.
  await until(
    () => deployment.log("base"),
    (log) => /Authorization Violation/i.test(log.slice(logged)),
  );
  expect(await deployment.leaves("hub")).toEqual(["summit"]);
  // What came of it stays, and the supernode's own streams go only when its name is given.
  expect((await atHub("destroy")).exit).toBe(3);
  expect((await atHub("destroy", "--yes", "hub")).exit).toBe(0);
  const left: Array<string> = [];
  for await (const { config } of hub.jsm.streams.list()) left.push(config.name);
  expect(left).toEqual(["THEIRS"]);
});
