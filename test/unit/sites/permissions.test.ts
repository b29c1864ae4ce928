/** The table of permissions as data: what it says, and that its document says the same. */
import { describe, expect, it } from "vitest";
import { covers, credentials, subjectsOf } from "../../../src/sites/permissions.ts";
import type { SupernodeCredentialName } from "../../../src/sites/supernodePermissions.ts";
import { supernodeCredentials, supernodeSubjectsOf } from "../../../src/sites/supernodePermissions.ts";
import { leafSubjects } from "../../../src/sites/leaf.ts";
import { permissionsDoc } from "../../../src/sites/permissionsDoc.ts";
import { fill } from "../../../src/sites/template.ts";
import { addresses, listenOn } from "../../../src/sites/deployment.ts";

const allowed = (name: keyof typeof credentials, subject: string): boolean =>
  subjectsOf(name, "_INBOX.ME").publish.some((pattern) => covers(pattern, subject));

it("docs/permissions.md is what the table says", async () => {
  await expect(permissionsDoc()).toMatchFileSnapshot("../../../docs/permissions.md");
});

describe("a pattern covers", () => {
  it.each([
    ["a.b", "a.b", true],
    ["a.*", "a.b", true],
    ["a.>", "a.b.c", true],
    ["a.>", "a", false],
    ["a.*", "a.b.c", false],
    ["a.b", "a", false],
    ["a.b", "a.*", false],
    ["a.*", "a.*", true],
    ["a.*", "a.>", false],
    ["a.>", "a.>", true],
    ["*.b", ">", false],
    [">", ">", true],
  ])("%s, %s: %s", (pattern, subject, expected) => {
    expect(covers(pattern, subject)).toBe(expected);
  });
});

describe("least privilege", () => {
  it("nobody but the admin makes, changes or removes a stream, and purges are the reclaimer's and the runner's own", () => {
    for (const name of Object.keys(credentials) as ReadonlyArray<keyof typeof credentials>) {
      for (const verb of ["CREATE", "UPDATE", "DELETE", "RESTORE", "SNAPSHOT", "MSG.DELETE"]) {
        expect([name, verb, allowed(name, `$JS.API.STREAM.${verb}.KV_ledger`)]).toEqual([name, verb, false]);
      }
      const purges = allowed(name, "$JS.API.STREAM.PURGE.KV_ledger");
      expect([name, purges]).toEqual([name, ["followers", "node"].includes(name)]);
    }
  });

  it("the enqueuer's only way into the ledger's files is what no lane takes, and presence writes nothing", () => {
    expect(allowed("enqueuer", "arrive.raw.LSSTCam.20251121")).toBe(true);
    expect(allowed("enqueuer", "$KV.ledger.file.unrouted.-.x")).toBe(true);
    expect(allowed("enqueuer", "$KV.ledger.file.raw.20251121.x")).toBe(false);
    for (const kind of ["file", "claim", "due", "run", "job", "parked"]) {
      expect(allowed("presence", `$KV.ledger.${kind}.raw.20251121.x`)).toBe(false);
    }
    expect(allowed("presence", "$KV.presence.LSSTCam.g.0.R22_S11")).toBe(false);
    expect(allowed("presence", "arrive.raw.LSSTCam.20251121")).toBe(false);
  });

  it("what a site may send to the supernode names the site in all that is kept there", () => {
    const { publish, subscribe } = leafSubjects("summit");
    const named = publish.filter((subject) => subject.split(".").includes("summit"));
    expect(publish.filter((subject) => !named.includes(subject))).toEqual(["$JSC.R.*", "$JSC.R.keeper.*"]);
    for (const subject of [
      "$JSC.R.hub.h.KV_sites.base=summit.x",
      "$SYS.REQ.CLAIMS.UPDATE",
      "$KV.sites.base.e.file.x",
      "$JS.API.STREAM.LIST",
    ]) {
      expect(publish.some((pattern) => covers(pattern, subject))).toBe(false);
    }
    expect(subscribe.some((pattern) => covers(pattern, "$JS.summit.API.STREAM.DELETE.KV_ledger"))).toBe(
      false,
    );
  });
});

describe("least privilege at the supernode", () => {
  const may = (name: SupernodeCredentialName, subject: string): boolean =>
    supernodeSubjectsOf(name, "_INBOX.ME").publish.some((pattern) => covers(pattern, subject));
  const names = Object.keys(supernodeCredentials) as ReadonlyArray<SupernodeCredentialName>;
  const streams = ["KV_nodes", "KV_sites", "KV_sitesPresence"];

  it("nobody but the admin makes, changes, removes or writes into a stream, and only the keeper purges, of the ledgers", () => {
    for (const name of names) {
      for (const verb of ["CREATE", "UPDATE", "DELETE", "RESTORE", "SNAPSHOT", "MSG.DELETE"])
        for (const stream of streams)
          expect([name, verb, may(name, `$JS.API.STREAM.${verb}.${stream}`)]).toEqual([name, verb, false]);
      const purged = streams.filter((stream) => may(name, `$JS.API.STREAM.PURGE.${stream}`));
      expect([name, purged]).toEqual([name, ["keeper", "node"].includes(name) ? ["KV_sites"] : []]);
      for (const subject of [
        "$KV.sites.base.e.file.x",
        "$KV.sitesPresence.base.e.x",
        "$SYS.REQ.CLAIMS.UPDATE",
      ])
        expect([name, subject, may(name, subject)]).toEqual([name, subject, false]);
    }
  });

  it("of a site's streams its nodes reach the ledger, and there no more than a consumer", () => {
    for (const name of names) {
      const reaches = may(name, "$JS.base.API.CONSUMER.CREATE.KV_ledger.some");
      expect([name, reaches]).toEqual([name, ["keeper", "node"].includes(name)]);
      for (const request of [
        "STREAM.PURGE.KV_ledger",
        "STREAM.DELETE.KV_ledger",
        "CONSUMER.CREATE.KV_nodes.some",
      ])
        expect([name, request, may(name, `$JS.base.API.${request}`)]).toEqual([name, request, false]);
    }
  });
});

describe("configurations", () => {
  it("a template's name without a value is a defect", () => {
    expect(fill("{{a}}-{{a}}", { a: "$&" })).toBe("$&-$&");
    expect(() => fill("{{b}}", { a: "1" })).toThrow("{{b}}");
  });

  it("servers on one host take the ports that follow, and listen on loopback where they are reached by it", () => {
    const ports = { client: 4222, monitor: 8222, cluster: 6222, leaf: 7422 };
    expect(addresses(["h", "h", "i"], "supernode", ports).map(({ client, leaf }) => [client, leaf])).toEqual([
      [4222, 7422],
      [4223, 7423],
      [4222, 7422],
    ]);
    expect(addresses(["h"], "site", ports)).toEqual([{ host: "h", client: 4222, monitor: 8222 }]);
    expect([listenOn("127.0.0.1", 1), listenOn("::1", 1), listenOn("h.example.org", 1)]).toEqual([
      "127.0.0.1:1",
      "[::1]:1",
      "0.0.0.0:1",
    ]);
  });
});
