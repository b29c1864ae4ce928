/**
 * A supernode's node and its keeper, on real servers: a link is cut, and meanwhile keys end, a day is purged and comes again in part, and
 * another site is rebuilt. What the supernode has is afterwards what the sites have. Under ORRERY_LONG=1 the cut is long enough to be named.
 */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import * as Effect from "effect/Effect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { RetentionRule } from "../../src/actors/retention.ts";
import { dayText, purgeOldDays } from "../../src/actors/retention.ts";
import { SiteLives } from "../../src/actors/siteLives.ts";
import type { NatsService } from "../../src/jetstream/Nats.ts";
import { reconcile } from "../../src/jetstream/reconcile.ts";
import { sourceStates } from "../../src/jetstream/sitesBucket.ts";
import { apply, topologyOf } from "../../src/jetstream/topology.ts";
import { commit, ledgerEnd, ledgerPut } from "../../src/jetstream/transaction.ts";
import { runCli } from "../support/cli.ts";
import { Deployment } from "../support/deployment.ts";
import { Link } from "../support/link.ts";
import type { TestSite } from "../support/testSite.ts";
import { ask, startSite, until } from "../support/testSite.ts";

const long = process.env["ORRERY_LONG"] === "1";
const deployment = new Deployment();
const dir = ["--supernode", "hub", "--dir", deployment.folder];
let link: Link;
let hub: NatsService;
let summit: NatsService;
let node: TestSite;
let siteNode: TestSite;

const daysAgo = (n: number): string => dayText(Date.now() - n * 86_400_000);
const rules: ReadonlyArray<RetentionRule> = [
  { lane: "raw", days: 2, exposures: false },
  { lane: "", days: 2, exposures: true },
];
const needs = { lanes: [], runLanes: [], items: [], follows: [], replicas: 1, duplicateWindowMs: 120_000 };

/** A site file as `site init` writes it, for a node of this process. */
const fileOf = (name: string, more: string): string =>
  readFileSync(deployment.path(name, "site.yaml"), "utf8")
    .replace("tls/ca.pem", deployment.path(name, "tls", "ca.pem"))
    .replace("creds/node.creds", deployment.path(name, "creds", "node.creds"))
    .replace("data/node", deployment.path(name, "node"))
    .replace(/^lanes:(?:.|\n)*/m, "")
    .concat(`node: { name: ${name}-1 }\nhttp: { port: 0 }\n${more}`);

const record = (key: string): Uint8Array =>
  Buffer.from(
    JSON.stringify({
      v: 1,
      state: "known",
      generation: 0,
      etag: "e",
      claim: null,
      attempts: 0,
      crashes: 0,
      crashesAlone: 0,
      errors: [],
      history: [],
      body: { bucket: "raw", key },
    }),
  );
const put = (key: string) => ledgerPut(key, record(key));
const files = (day: string, count: number, name = "f"): ReadonlyArray<string> =>
  Array.from({ length: count }, (_, i) => `file.raw.${day}.raw/${name}-${i}`);
const write = (nats: NatsService, keys: ReadonlyArray<string>) =>
  Effect.runPromise(commit(nats, "files", keys.map(put)));

interface Row {
  readonly site: string;
  readonly epoch: string;
  readonly files: number;
  readonly former: number;
  readonly silent: boolean;
}

async function rowOf(site: string): Promise<Row | undefined> {
  const { stdout } = await deployment.cli("site", "sources", ...dir, "--json");
  return (JSON.parse(stdout) as { sites: ReadonlyArray<Row> }).sites.find((row) => row.site === site);
}

/** Which keys are here that the site has not, or the other way round, or not the same. */
async function compared(site: string): Promise<string> {
  const states = await Effect.runPromise(sourceStates(hub));
  const epoch = states.find((state) => state.site === site)?.epoch ?? "";
  const found = await Effect.runPromise(reconcile(hub, { name: site, epoch }, { lookOnly: true }));
  const { here, there, gone, missing, differs, behind } = found;
  return JSON.stringify({ gone, missing, differs, behind, more: here - there });
}
const alike = '{"gone":0,"missing":0,"differs":0,"behind":0,"more":0}';

const isAlike = (site: string): Promise<string> =>
  until(
    // While the link is away it is not reached.
    () => compared(site).catch(String),
    (found) => found === alike,
  );

const keysHere = async (filter: string): Promise<ReadonlyArray<string>> => {
  const info = await hub.jsm.streams.info("KV_sites", { subjects_filter: `$KV.sites.${filter}` });
  return Object.keys(info.state.subjects ?? {});
};
const said = (message: RegExp): ReadonlyArray<Readonly<Record<string, unknown>>> =>
  node.log.filter((line) => message.test(line.message)).map(({ fields }) => fields);

async function made(name: string): Promise<NatsService> {
  const nats = await deployment.connect(name, "admin");
  await Effect.runPromise(apply(nats, topologyOf(needs)));
  return nats;
}

beforeAll(async () => {
  await deployment.init("hub", "--supernode");
  for (const site of ["summit", "base"]) {
    await deployment.init(site);
    await deployment.join(site, "hub");
  }
  // Summit reaches one of the supernode's servers only, through a link that can be cut.
  const leaf = deployment.path("summit", "leaf.conf");
  const text = readFileSync(leaf, "utf8");
  link = await Link.start((/tls:\/\/[^"]+/.exec(text)?.[0] ?? "").replace("tls:", "nats:"));
  writeFileSync(leaf, text.replace(/urls: \[[^\]]*\]/, `urls: ["${link.url.replace("nats:", "tls:")}"]`));
  await Promise.all(["hub", "summit", "base"].map((name) => deployment.start(name)));
  await until(
    () => deployment.leaves("hub"),
    (leaves) => leaves.length === 2,
  );
  hub = await deployment.connect("hub", "admin");
  summit = await made("summit");
  await made("base");
  // A node that may make no streams waits until somebody has.
  const starting = startSite(fileOf("hub", ""));
  starting.catch(() => undefined);
  const applied = await deployment.cli("site", "apply", ...dir);
  expect([applied.exit, applied.stderr]).toEqual([0, ""]);
  node = await starting;
  const lane =
    "lanes: { raw: { kind: object, buckets: [raw], pattern: '^(?<day>\\d{8})/', retention: 2 days } }\n";
  const file = deployment.path("summit-node.yaml");
  writeFileSync(file, fileOf("summit", lane).replace("node.creds", "admin.creds"));
  expect((await deployment.cli("topology", "apply", file)).stderr).toBe("");
  siteNode = await startSite(fileOf("summit", lane));
});
afterAll(async () => {
  await siteNode?.stop();
  await node?.stop();
  await link?.end();
  await deployment.end();
});

describe("a supernode's node", () => {
  it("is a node like any other: healthy, found, and seen by orrery status", async () => {
    expect((await ask(node, { method: "GET", path: "/readyz" })).body).toMatchObject({
      ready: true,
      actors: expect.arrayContaining(
        ["keeper", "discovery", "http"].map((name) => ({ name, status: "running" })),
      ) as unknown,
    });
    const file = deployment.path("hub", "site.yaml");
    const services = await deployment.connect("hub", "operator");
    const answered = async (): Promise<ReadonlyArray<string>> => {
      const found: Array<string> = [];
      for await (const answer of await services.connection.requestMany("$SRV.PING", "", { maxWait: 500 }))
        found.push(answer.json<{ name: string }>().name);
      return found;
    };
    await until(answered, (found) => found.includes("orrery-keeper"));
    const status = await until(
      () => deployment.cli("--site", file, "status", "--json"),
      ({ stdout }) => stdout.includes('"silentMs":') && !stdout.includes('"silent":true'),
    );
    expect([status.exit, JSON.parse(status.stdout)]).toMatchObject([
      0,
      { supernode: "hub", nodes: [{ name: "hub-1" }], sites: [{ site: "base" }, { site: "summit" }] },
    ]);
    const shown = await deployment.cli("--site", file, "status");
    expect(shown.stdout).toMatch(/^supernode hub .*\n(?:.|\n)*hub-1 (?:.|\n)*summit /);
  });
});

describe("a link that is cut", () => {
  const purged = daysAgo(20);
  const today = daysAgo(0);

  it("keys that end, a day that is purged and a site that is rebuilt meanwhile are put right", async () => {
    const more = ["exposure.L", "visit.L", "run.quick", "job.quick"].map((kind) => `${kind}.${purged}.x`);
    await write(summit, [...files(purged, 200), ...files(today, 200), ...more]);
    const base = await deployment.connect("base", "admin");
    await write(base, [...files(today, 100, "former"), ...files(purged, 50, "former")]);
    await isAlike("summit");
    await isAlike("base");
    const former = (await rowOf("base"))?.epoch ?? "";
    expect(await keysHere(`base.${former}.>`)).toHaveLength(150);
    // What is compared when it is first heard of would find what is purged from here on by itself.
    await until(
      () => said(/has what is held of it/).map(({ site }) => site),
      (sites) => sites.includes("summit"),
    );
    link.cut();
    const ended = files(today, 200).slice(0, 50);
    await Effect.runPromise(commit(summit, "end", ended.map(ledgerEnd)));
    await Effect.runPromise(purgeOldDays(siteNode.node.context, rules));
    // One of the day comes again, and some that are new: they are of the day as well, and stay.
    await write(summit, [...files(purged, 1), ...files(purged, 4, "late")]);
    await write(summit, files(today, 100, "new"));

    await deployment.signal("base", 0, "SIGKILL");
    rmSync(deployment.path("base"), { recursive: true });
    await deployment.init("base");
    expect((await deployment.cli("site", "revoke", "base", ...dir)).exit).toBe(0);
    await deployment.join("base", "hub");
    // Nothing is dropped while there is nothing in its place.
    const unheard = { site: "base", epoch: "next", lag: 0, silentMs: null, error: null };
    await Effect.runPromise(new SiteLives(node.node.context).tick([unheard]));
    expect(await keysHere(`base.${former}.>`)).toHaveLength(150);
    await deployment.start("base");
    await until(
      () => deployment.leaves("hub"),
      (leaves) => leaves.includes("base"),
    );
    const rebuilt = await made("base");
    await write(rebuilt, files(today, 30, "rebuilt"));
    const applied = await deployment.cli("site", "apply", ...dir);
    expect([applied.exit, applied.stderr]).toEqual([0, ""]);
    const now = (await rowOf("base"))?.epoch ?? "";
    expect(now).not.toBe(former);
    const epoch = (await rowOf("summit"))?.epoch ?? "";
    expect(await keysHere(`summit.${epoch}.file.raw.${purged}.>`)).toHaveLength(200);
    link.heal();
    await Promise.all([isAlike("base"), isAlike("summit")]);
    // It has much less than it had: what is here of that may be the last of it.
    const kept = await until(
      () => said(/much less than before/),
      (lines) => lines.length > 0,
    );
    expect(kept).toMatchObject([{ site: "base", epoch: former, now, keys: 150, has: { keys: 30 } }]);
    expect((await rowOf("base"))?.former).toBe(150);
    const forget = (epoch: string) => deployment.cli("site", "forget", "base", "--epoch", epoch, ...dir);
    expect(await forget(now)).toMatchObject({ exit: 2, stderr: expect.stringContaining("present life") });
    expect(await forget("e9")).toMatchObject({ exit: 2, stderr: expect.stringContaining(former) });
    expect(await keysHere(`base.${former}.>`)).toHaveLength(150);
    expect(await forget(former)).toMatchObject({ exit: 0, stdout: expect.stringContaining("150 keys") });
    expect(await keysHere("base.>")).toHaveLength(30);
    expect(await keysHere(`summit.${epoch}.file.raw.${purged}.>`)).toHaveLength(5);
    // None of those that came again, although they may come from the site once more when they are taken away.
    const days = said(/^purged a day/).filter(
      ({ site, filter }) => site === "summit" && filter === `file.raw.${purged}.>`,
    );
    expect(days.reduce((sum, { keys }) => sum + Number(keys), 0)).toBe(199);
    const last = await hub.jsm.streams.getMessage("KV_sites", {
      last_by_subj: `$KV.sites.summit.${epoch}.${ended[0] ?? ""}`,
    });
    expect(last?.header.get("KV-Operation")).toBe("DEL");
    expect(await keysHere(`summit.${epoch}.file.raw.${today}.>`)).toHaveLength(300);
  }, 400_000);

  it("nobody is refused anything", () => {
    const refused = (["hub", "summit"] as const).flatMap((name) =>
      deployment
        .log(name)
        .split("\n")
        .filter((line) => line.includes("Violation")),
    );
    expect(refused).toEqual([]);
  });
});

describe("a site that joins late", () => {
  it("brings all that it knew before", async () => {
    await deployment.init("late");
    await deployment.join("late", "hub");
    await deployment.start("late");
    const late = await made("late");
    await write(late, files(daysAgo(3), 30));
    // What came to the supernode since is newer than all of it, and the first that came there is gone.
    await write(summit, files(daysAgo(0), 1, "newer"));
    await isAlike("summit");
    expect((await hub.jsm.streams.info("KV_sites")).state.first_seq).toBeGreaterThan(1);
    await until(
      () => deployment.leaves("hub"),
      (leaves) => leaves.includes("late"),
    );
    expect((await deployment.cli("site", "apply", ...dir)).stderr).toBe("");
    await isAlike("late");
    expect((await rowOf("late"))?.files).toBe(30);
  });
});

describe("a site whose ledger went back, with no new epoch yet", () => {
  it("loses nothing here that came of it, neither at once nor when it has written as much again", async () => {
    const found = async (...more: ReadonlyArray<string>) => {
      const { exit, stdout, stderr } = await deployment.cli("site", "reconcile", "late", ...dir, ...more);
      const { epoch = "" } = (await rowOf("late")) ?? {};
      return {
        exit,
        stdout,
        stderr,
        held: (await keysHere(`late.${epoch}.file.raw.${daysAgo(3)}.>`)).length,
      };
    };
    const before = await deployment.connect("late", "admin");
    await write(before, files(daysAgo(3), 20, "after"));
    await isAlike("late");
    await before.jsm.streams.delete("KV_ledger");
    const late = await made("late");
    await write(late, files(daysAgo(3), 30));
    const back = await until(
      () => found(),
      ({ exit }) => exit === 3,
    );
    expect(back.stdout).toContain("its sequences went back");
    expect([back.stderr, back.held]).toEqual([expect.stringContaining("nothing of it is dropped"), 50]);
    expect(await found("--even-most")).toMatchObject({ exit: 3, held: 50 });
    // Past where it was: what it wrote below is not here, and never comes.
    await write(late, files(daysAgo(4), 15));
    await write(late, files(daysAgo(3), 30));
    const other = await found();
    expect(other).toMatchObject({
      exit: 3,
      held: 50,
      stderr: expect.stringContaining("other keys than came"),
    });
  });
});

describe("keys whose end never came", () => {
  const day = daysAgo(1);
  const reconciled = async (...more: ReadonlyArray<string>) => {
    const argv = ["--json", ...more];
    const { exit, stdout, stderr } = await deployment.cli("site", "reconcile", "summit", ...dir, ...argv);
    if (stdout === "") throw new Error(`exit ${exit}: ${stderr}`);
    return { exit, ...(JSON.parse(stdout) as { gone: number; dropped: number; refused: boolean }) };
  };

  it("are named and dropped by orrery site reconcile, and not when most of a site would go", async () => {
    await write(summit, files(day, 20, "kept"));
    await isAlike("summit");
    for (const key of files(day, 3, "kept"))
      await summit.jsm.streams.purge("KV_ledger", { filter: `$KV.ledger.${key}` });
    expect(await reconciled("--dry-run")).toMatchObject({ exit: 3, gone: 3, dropped: 0 });
    const { stdout } = await deployment.cli("site", "reconcile", "summit", ...dir, "--dry-run");
    expect(stdout).toContain(`gone    ${files(day, 1, "kept")[0] ?? ""}`);
    expect(await reconciled()).toMatchObject({ exit: 0, gone: 3, dropped: 3 });
    expect(await compared("summit")).toBe(alike);
    const epoch = (await rowOf("summit"))?.epoch ?? "";
    expect(await keysHere(`summit.${epoch}.file.raw.${day}.>`)).toHaveLength(17);
    // Keys of a whole day.
    await summit.jsm.streams.purge("KV_ledger", { filter: `$KV.ledger.file.raw.${day}.>` });
    expect(await reconciled()).toMatchObject({ exit: 0, gone: 17, dropped: 17 });
    expect(await compared("summit")).toBe(alike);
    await summit.jsm.streams.purge("KV_ledger", { filter: "$KV.ledger.file.raw.>" });
    expect(await reconciled()).toMatchObject({ exit: 3, dropped: 0, refused: true });
    expect(await reconciled("--even-most")).toMatchObject({ exit: 0, refused: false });
    expect(await compared("summit")).toBe(alike);
  });

  it("the site's own status tells whether it is linked, on its server's machine", async () => {
    const status = async () => {
      const file = deployment.path("summit", "site.yaml");
      const env = { ORRERY_CREDENTIALS: deployment.path("summit", "creds", "operator.creds") };
      const { stdout } = await runCli(["status", "--json", "--site", file], { cwd: deployment.folder, env });
      return (JSON.parse(stdout) as { readonly supernode: unknown }).supernode;
    };
    expect(await status()).toEqual({ name: "hub", linked: true });
    link.cut();
    await until(status, (found) => JSON.stringify(found) === '{"name":"hub","linked":false}');
    link.heal();
    await until(status, (found) => JSON.stringify(found) === '{"name":"hub","linked":true}');
  });

  it("a site that is not sourced, or not reached, is told", async () => {
    const unknown = await deployment.cli("site", "reconcile", "nowhere", ...dir);
    expect([unknown.exit, unknown.stderr]).toEqual([2, expect.stringContaining("base, late, summit are")]);
    link.cut();
    const away = await deployment.cli("site", "reconcile", "summit", ...dir);
    expect([away.exit, away.stderr]).toEqual([4, expect.stringContaining("summit is not reached from hub")]);
    link.heal();
  });
});

describe.runIf(long)("a site that is cut off for longer", () => {
  it("is named within a minute, once, and its end is told with how long it was", async () => {
    await isAlike("summit");
    const lost = files(daysAgo(0), 10, "lost");
    await write(summit, lost);
    await isAlike("summit");
    const lines = node.log.length;
    const since = (message: RegExp) => node.log.slice(lines).filter((line) => message.test(line.message));
    link.cut();
    const began = performance.now();
    await until(
      () => since(/is not heard of/),
      (found) => found.length > 0,
      60_000,
    );
    const namedAfter = performance.now() - began;
    expect(namedAfter).toBeLessThan(60_000);
    const sources = await deployment.cli("site", "sources", ...dir);
    expect([sources.exit, sources.stderr]).toEqual([
      3,
      expect.stringContaining("1 site not heard of: summit"),
    ]);
    const status = await deployment.cli("--site", deployment.path("hub", "site.yaml"), "status");
    expect(status.stdout).toMatch(/summit .* not heard of: \d+ s ago/);
    const metrics = String((await ask(node, { method: "GET", path: "/metrics" })).body);
    expect(metrics).toMatch(/^orrery_site_stalled\{site="summit"\} 1$/m);
    expect(metrics).toMatch(/^orrery_site_stalled\{site="base"\} 0$/m);
    await write(summit, files(daysAgo(0), 500, "held"));
    // What ends without a trace comes by no message: the keeper finds it when it compares.
    for (const key of lost) await summit.jsm.streams.purge("KV_ledger", { filter: `$KV.ledger.${key}` });
    await new Promise((resolve) => setTimeout(resolve, 12_000));
    link.heal();
    await until(
      () => since(/is heard of again/),
      (found) => found.length > 0,
      150_000,
    );
    await until(
      () => since(/all that a site held back is here/),
      (found) => found.length > 0,
      30_000,
    );
    await isAlike("summit");
    expect(since(/^dropped keys/).map(({ fields }) => fields)).toMatchObject([{ site: "summit", gone: 10 }]);
    expect(since(/is not heard of/).map(({ fields }) => fields["site"])).toEqual(["summit"]);
    expect(Number(since(/is heard of again/)[0]?.fields["silentForMs"])).toBeGreaterThan(40_000);
  }, 300_000);
});

describe("of two nodes", () => {
  it("the first by name drops, and the other when that one is gone", async () => {
    const other = await startSite(fileOf("hub", "").replace("name: hub-1", "name: hub-2"));
    try {
      const dropped = (site: TestSite): number =>
        site.log.filter((line) => /^(?:purged a day|dropped keys)/.test(line.message)).length;
      const before = dropped(node);
      const purgedAt = async (day: string): Promise<void> => {
        await write(summit, files(day, 5, "again"));
        await isAlike("summit");
        await Effect.runPromise(purgeOldDays(siteNode.node.context, rules));
        const epoch = (await rowOf("summit"))?.epoch ?? "";
        await until(
          () => keysHere(`summit.${epoch}.file.raw.${day}.>`),
          (keys) => keys.length === 0,
        );
      };
      await purgedAt(daysAgo(30));
      expect([dropped(node) > before, dropped(other)]).toEqual([true, 0]);
      await node.stop();
      await purgedAt(daysAgo(31));
      expect(dropped(other)).toBeGreaterThan(0);
    } finally {
      await other.stop();
    }
  });
});
