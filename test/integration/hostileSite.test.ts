/**
 * A site that means harm, on real servers: whoever may write its ledger, and whoever is its admin. What it sends to the supernode takes
 * nothing from the other sites, and says nothing of them.
 */
import { headers } from "@nats-io/transport-node";
import * as Effect from "effect/Effect";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { NatsService } from "../../src/jetstream/Nats.ts";
import { reconcile } from "../../src/jetstream/reconcile.ts";
import { sourceStates } from "../../src/jetstream/sitesBucket.ts";
import { apply, topologyOf } from "../../src/jetstream/topology.ts";
import { commit, ledgerPut } from "../../src/jetstream/transaction.ts";
import { Deployment } from "../support/deployment.ts";
import { until } from "../support/testSite.ts";

const deployment = new Deployment();
const needs = { lanes: [], runLanes: [], items: [], follows: [], replicas: 1, duplicateWindowMs: 120_000 };
let hub: NatsService;
let base: NatsService;
/** Of the present life of summit, at the supernode. */
let summits = "";

const put = (nats: NatsService, keys: ReadonlyArray<string>, text: string) =>
  Effect.runPromise(
    commit(
      nats,
      "files",
      keys.map((key) => ledgerPut(key, Buffer.from(text))),
    ),
  );
const held = async (): Promise<ReadonlyArray<string>> => {
  const { state } = await hub.jsm.streams.info("KV_sites", { subjects_filter: ">" });
  return Object.keys(state.subjects ?? {}).toSorted();
};

beforeAll(async () => {
  await deployment.init("hub", "--supernode");
  for (const site of ["summit", "base"]) {
    await deployment.init(site);
    await deployment.join(site, "hub");
  }
  await Promise.all(["hub", "summit", "base"].map((name) => deployment.start(name)));
  await until(
    () => deployment.leaves("hub"),
    (leaves) => leaves.length === 2,
  );
  for (const site of ["summit", "base"]) {
    const nats = await deployment.connect(site, "admin");
    await Effect.runPromise(apply(nats, topologyOf(needs)));
    await put(
      nats,
      ["a", "b"].map((name) => `file.raw.20260310.${name}`),
      site,
    );
  }
  const made = await deployment.cli("site", "apply", "--supernode", "hub", "--dir", deployment.folder);
  expect([made.exit, made.stderr]).toEqual([0, ""]);
  hub = await deployment.connect("hub", "admin");
  base = await deployment.connect("base", "admin");
  await until(held, (keys) => keys.length === 4, 240_000);
  const states = await Effect.runPromise(sourceStates(hub));
  summits = `$KV.sites.summit.${states.find(({ site }) => site === "summit")?.epoch ?? ""}`;
}, 600_000);
afterAll(() => deployment.end());

it("whoever may write its ledger can roll up neither that nor all sites' at the supernode", async () => {
  const node = await deployment.connect("base", "ingester");
  for (const how of ["all", "sub"]) {
    const rolls = headers();
    rolls.set("Nats-Rollup", how);
    const subject = "$KV.ledger.file.raw.20260310.c";
    const rolled = node.request(`roll up ${how}`, subject, "x", { headers: rolls });
    const answer = (await Effect.runPromise(rolled)).string();
    expect([how, answer]).toEqual([how, expect.stringContaining("rollup not permitted")]);
  }
  // What was sent before has come when this has.
  await put(base, ["file.raw.20260310.d"], "base");
  await until(held, (keys) => keys.some((key) => key.endsWith(".d")));
  expect((await held()).length).toBe(5);
});

it("its admin, who can have anything delivered where the supernode listens, says nothing of other sites", async () => {
  const { connection } = base;
  const made: Array<{
    readonly stream_name?: string;
    readonly name?: string;
    readonly config?: { readonly deliver_subject?: string };
  }> = [];
  connection.subscribe("$JSC.R.>", { callback: (_error, message) => void made.push(message.json()) });
  await connection.flush();
  await Effect.runPromise(hub.request("lead anew", "$JS.API.STREAM.LEADER.STEPDOWN.KV_sites", ""));
  await base.jsm.streams.add({ name: "EVIL", subjects: ["$KV.sites.>"] });
  // Of a sequence that the supernode has not had yet.
  for (let i = 0; i < 20; i++) await connection.request(`${summits}.file.raw.20260310.a`, "forged");
  /** In the name of the supernode's consumer, whichever it is by now; what came before the supernode listens is sent once more. */
  const deliver = async (): Promise<void> => {
    const source = made.findLast(({ stream_name: stream }) => stream === "KV_ledger");
    const { name = "", config: { deliver_subject = "" } = {} } = source ?? {};
    if (name === "") return;
    await base.jsm.consumers.delete("EVIL", name).catch(() => false);
    const config = { name, deliver_subject, deliver_policy: "last", ack_policy: "none", mem_storage: true };
    const request = JSON.stringify({ stream_name: "EVIL", config });
    await connection.request(`$JS.API.CONSUMER.CREATE.EVIL.${name}`, request, { timeout: 5_000 });
    await new Promise((resolve) => setTimeout(resolve, 300));
  };
  const strays = await until(
    async () => {
      await deliver();
      return (await held()).filter((key) => key.includes("summit") && !key.startsWith(summits));
    },
    (keys) => keys.length > 0,
  );
  const [, , , epoch = ""] = summits.split(".");
  expect(strays).toEqual([
    expect.stringMatching(new RegExp(`\\.stray\\.summit\\.${epoch}\\.file\\.raw\\.20260310\\.a$`)) as unknown,
  ]);
  const theirs = await hub.jsm.streams.getMessage("KV_sites", {
    last_by_subj: `${summits}.file.raw.20260310.a`,
  });
  expect(theirs?.string()).toBe("summit");
  // Whoever compares the two is told that this is not what was sourced.
  const own = (await Effect.runPromise(sourceStates(hub))).find(({ site }) => site === "base");
  const found = await Effect.runPromise(reconcile(hub, { name: "base", epoch: own?.epoch ?? "" }));
  expect(found).toMatchObject({ refused: true, dropped: 0 });
}, 400_000);

it("what the supernode lost all the same comes again from the sites, when its streams are made anew", async () => {
  const ours = (keys: ReadonlyArray<string>) => keys.filter((key) => !key.includes(".stray."));
  const before = ours(await held());
  await hub.jsm.streams.delete("KV_sites");
  const argv = ["topology", "apply", "--supernode", "hub", "--dir", deployment.folder];
  const { exit, stderr } = await deployment.cli(...argv);
  expect([exit, stderr]).toEqual([0, ""]);
  await until(
    async () => ours(await held()),
    (keys) => keys.join() === before.join(),
    240_000,
  );
}, 600_000);
