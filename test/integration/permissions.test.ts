/**
 * The table of permissions against real servers, both ways: what it allows is let through, and everything else, of every other role,
 * other sites, the server and the supernode, is refused with its subject. And a site that is put out is out.
 */
import { errors } from "@nats-io/transport-node";
import { connect, credsAuthenticator } from "@nats-io/transport-node";
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { NatsService } from "../../src/jetstream/Nats.ts";
import { leafSubjects } from "../../src/sites/leaf.ts";
import type { CredentialName, Subjects } from "../../src/sites/permissions.ts";
import { covers, credentials, subjectsOf } from "../../src/sites/permissions.ts";
import type { SupernodeCredentialName } from "../../src/sites/supernodePermissions.ts";
import { supernodeCredentials, supernodeSubjectsOf } from "../../src/sites/supernodePermissions.ts";
import { Deployment } from "../support/deployment.ts";
import { until } from "../support/testSite.ts";

const names = Object.keys(credentials) as ReadonlyArray<CredentialName>;
const supernodeNames = Object.keys(supernodeCredentials) as ReadonlyArray<SupernodeCredentialName>;
const deployment = new Deployment();

beforeAll(async () => {
  await deployment.init("hub", "--supernode");
  for (const site of ["summit", "base"]) {
    await deployment.init(site);
    await deployment.join(site, "hub");
  }
  await Promise.all(["hub", "summit", "base"].map((name) => deployment.start(name)));
  await until(
    () => deployment.leaves("hub"),
    (leaves) => leaves.join() === "base,summit",
  );
});
afterAll(() => deployment.end());

/** A subject that a pattern covers. */
const oneOf = (pattern: string): string =>
  pattern
    .split(".")
    .map((part) => (part === "*" ? "some" : part === ">" ? "any.thing" : part))
    .join(".");

const streams = [
  "ARRIVALS",
  "ITEMS",
  "KV_ledger",
  "KV_nodes",
  "KV_presence",
  "KV_seen",
  "KV_sites",
  "OBJ_orrery-runs",
];
const sitesOwn = (side: keyof Subjects): ReadonlyArray<string> => [
  ...names.flatMap((name) => subjectsOf(name, "_INBOX.SOMEBODY")[side]),
  ...supernodeNames.flatMap((name) => supernodeSubjectsOf(name, "_INBOX.SOMEBODY")[side]),
];

/** What anybody could try to publish: all that some role may, and what none may. */
const published = [
  ...new Set([
    ...sitesOwn("publish").map(oneOf),
    ...leafSubjects("summit").publish.map(oneOf),
    ...leafSubjects("base").publish.map(oneOf),
    ...leafSubjects("base").subscribe.map(oneOf),
    ...streams.flatMap((stream) =>
      ["CREATE", "UPDATE", "DELETE", "PURGE", "MSG.DELETE", "SNAPSHOT", "RESTORE", "LEADER.STEPDOWN"].map(
        (verb) => `$JS.API.STREAM.${verb}.${stream}`,
      ),
    ),
    ...streams.flatMap((stream) => [
      `$JS.API.CONSUMER.DURABLE.CREATE.${stream}.some`,
      `$JS.API.CONSUMER.CREATE.${stream}.some`,
      `$JS.API.CONSUMER.DELETE.${stream}.some`,
    ]),
    // What a site hears of another's files, and what its server asked for: no other site may answer it.
    "$JSC.R.hub.h.KV_sites.base=summit.x",
    "$JSC.R.keeper.some.x",
    "$JS.API.ACCOUNT.PURGE.some",
    "$JS.API.STREAM.LIST",
    "$JS.hub.API.STREAM.LIST",
    "$JS.hub.API.STREAM.DELETE.KV_sites",
    "$JS.base.API.STREAM.PURGE.KV_ledger",
    "$JS.base.API.STREAM.MSG.GET.KV_ledger",
    "$SYS.REQ.CLAIMS.UPDATE",
    "$SYS.REQ.SERVER.PING",
    "$SYS.REQ.ACCOUNT.SOME.CONNZ",
    "$KV.ledger.file.raw.20251121.some",
    "$KV.ledger.something.some",
    "$KV.sites.base.e1.file.raw.20251121.some",
    "$KV.other.some",
    "$O.other.C.some",
    "_INBOX.SOMEBODY.any",
    "something.else",
  ]),
];

const heard = [
  ...new Set([
    ...sitesOwn("subscribe"),
    "$SYS.>",
    "$KV.>",
    "$KV.ledger.>",
    "$JS.>",
    "$JS.API.>",
    "$JSC.>",
    "_INBOX.>",
    "_INBOX.SOMEBODY.>",
    "arrive.>",
    "replay.>",
    "items.>",
    "orrery.>",
    "$SRV.>",
    ">",
    "*",
    "something.else",
  ]),
];

/** What the server refuses the user, each by the subject that its error names. */
async function refusals(
  site: NatsService,
): Promise<{ readonly publish: Set<string>; readonly subscribe: Set<string> }> {
  const refused = { publish: new Set<string>(), subscribe: new Set<string>() };
  const { connection } = site;
  const listening = (async () => {
    for await (const event of connection.status()) {
      if (event.type !== "error" || !(event.error instanceof errors.PermissionViolationError)) continue;
      const { operation, subject, message } = event.error;
      expect(message).toContain(subject);
      refused[operation === "publish" ? "publish" : "subscribe"].add(subject);
    }
  })();
  for (const subject of published) connection.publish(subject, "{}");
  for (const subject of heard) connection.subscribe(subject, { callback: () => undefined });
  // Errors come in order before the answer to this.
  await connection.flush();
  await connection.close();
  await listening;
  return refused;
}

const without = (all: ReadonlyArray<string>, patterns: ReadonlyArray<string>): ReadonlyArray<string> =>
  all.filter((subject) => !patterns.some((pattern) => covers(pattern, subject))).toSorted();

describe("within a site", () => {
  it.each(names)("%s may do what the table says, and nothing else", async (name) => {
    const user = await deployment.connect("summit", name);
    expect(user.inboxPrefix).toMatch(/^_INBOX\.U[A-Z0-9]{55}$/);
    const may = subjectsOf(name, user.inboxPrefix);
    const refused = await refusals(user);
    expect([...refused.publish].toSorted()).toEqual(without(published, may.publish));
    expect([...refused.subscribe].toSorted()).toEqual(without(heard, may.subscribe));
    // Neither half is empty, or this would show nothing.
    expect(refused.publish.size).toBeGreaterThan(50);
    expect(refused.publish.size).toBeLessThan(published.length);
  });

  it("admin may do everything but look at the server", async () => {
    const refused = await refusals(await deployment.connect("summit", "admin"));
    expect([...refused.publish].toSorted()).toEqual(
      published.filter((s) => s.startsWith("$SYS.")).toSorted(),
    );
    expect([...refused.subscribe]).toEqual(["$SYS.>"]);
  });
});

describe("at the supernode", () => {
  it.each(supernodeNames)("%s may do what the table says, and nothing else", async (name) => {
    const user = await deployment.connect("hub", name);
    expect(user.inboxPrefix).toMatch(/^_INBOX\.U[A-Z0-9]{55}$/);
    const may = supernodeSubjectsOf(name, user.inboxPrefix);
    const refused = await refusals(user);
    // What is asked of the servers by their own domain they judge, and name, without it.
    const asked = new Set(published.map((subject) => subject.replace(/^\$JS\.hub\.API/, "$JS.API")));
    expect([...refused.publish].toSorted()).toEqual(without([...asked], may.publish));
    expect([...refused.subscribe].toSorted()).toEqual(without(heard, may.subscribe));
    expect(refused.publish.size).toBeGreaterThan(50);
    expect(refused.publish.size).toBeLessThan(published.length);
  });
});

describe("between a site and the supernode", () => {
  /** What of `sent` reaches somebody who hears everything on the other side, once `last` is there. */
  async function passes(
    from: NatsService,
    to: NatsService,
    sent: ReadonlyArray<string>,
    last: string,
  ): Promise<Array<string>> {
    const arrived: Array<string> = [];
    const subscription = to.connection.subscribe(">", {
      // The site's server calls what is asked of it by its own name.
      callback: (_error, { subject }) => void arrived.push(subject.replace(/^\$JS\.API/, "$JS.base.API")),
    });
    await to.connection.flush();
    // Interest travels behind the flush: only when this one passes does any other.
    await until(
      async () => {
        from.connection.publish(last, "ready");
        await from.connection.flush();
        return arrived.includes(last);
      },
      (there) => there,
    );
    arrived.length = 0;
    for (const subject of sent) from.connection.publish(subject, "{}");
    await from.connection.flush();
    from.connection.publish(`${last}.last`, "{}");
    await until(
      () => arrived.includes(`${last}.last`),
      (there) => there,
    );
    subscription.unsubscribe();
    return [...new Set(arrived)].filter((subject) => sent.includes(subject)).toSorted();
  }

  it("a site's server passes on what the table says, whatever it is told to send", async () => {
    const hub = await deployment.connect("hub", "admin");
    const site = await deployment.connect("summit", "admin");
    const sent = published.filter((subject) => !subject.startsWith("$SYS."));
    const may = leafSubjects("summit").publish;
    const arrived = await passes(site, hub, sent, "orrery.src.summit.x");
    expect(arrived).toEqual(
      sent.filter((subject) => may.some((pattern) => covers(pattern, subject))).toSorted(),
    );
    expect(arrived.length).toBeGreaterThan(0);
    expect(arrived).not.toContain("orrery.src.base.any.thing");
    expect(arrived.filter((subject) => subject.startsWith("$JSC."))).toEqual([
      "$JSC.R.keeper.some",
      "$JSC.R.some",
    ]);
  });

  it("the supernode can ask of a site what the table says, and nothing else", async () => {
    const hub = await deployment.connect("hub", "admin");
    const site = await deployment.connect("base", "admin");
    const sent = published.filter((subject) => !subject.startsWith("$SYS."));
    const may = leafSubjects("base").subscribe;
    const arrived = await passes(hub, site, sent, "$JS.FC.KV_ledger.x");
    expect(arrived).toEqual(
      sent.filter((subject) => may.some((pattern) => covers(pattern, subject))).toSorted(),
    );
    expect(arrived.length).toBeGreaterThan(0);
  });

  it("a site sees neither the supernode's servers nor its accounts, and no client comes in with its key", async () => {
    const system = await deployment.connect("summit", "system");
    const answered = async (): Promise<ReadonlyArray<string>> => {
      const servers: Array<string> = [];
      for await (const answer of await system.connection.requestMany("$SYS.REQ.SERVER.PING", "", {
        maxWait: 1_000,
      })) {
        servers.push(answer.json<{ server: { name: string } }>().server.name);
      }
      return servers;
    };
    expect(await until(answered, (servers) => servers.length > 0)).toEqual(["summit"]);
    const asLeaf = connect({
      servers: [...deployment.urls("hub")],
      authenticator: credsAuthenticator(readFileSync(deployment.path("summit", "creds", "leaf.creds"))),
      tls: { caFile: deployment.path("hub", "tls", "ca.pem") },
      reconnect: false,
    });
    await expect(asLeaf).rejects.toThrow(/authorization violation/i);
  });

  it("a site that is put out is out, and the others are not", async () => {
    const revoked = await deployment.cli(
      "site",
      "revoke",
      "summit",
      "--supernode",
      "hub",
      "--dir",
      deployment.folder,
    );
    expect([revoked.exit, revoked.stderr]).toEqual([0, ""]);
    await until(
      () => deployment.leaves("hub"),
      (leaves) => leaves.join() === "base",
    );
    // It tries again, and is refused.
    await until(
      () => deployment.log("summit"),
      (log) => log.includes("Authorization Violation"),
    );
    expect(await deployment.leaves("hub")).toEqual(["base"]);
    const listed = await deployment.cli("site", "ls", "--dir", deployment.folder, "--json");
    const { deployments } = JSON.parse(listed.stdout) as {
      deployments: Array<{ name: string; state: string }>;
    };
    expect(deployments.map(({ name, state }) => [name, state.split(" ").slice(0, 3).join(" ")])).toEqual([
      ["base", expect.stringMatching(/^joined hub/)],
      ["hub", "joined: base"],
      ["summit", "revoked by hub"],
    ]);
    // Alone it goes on.
    const site = await deployment.connect("summit", "operator");
    await site.connection.flush();
  });
});
