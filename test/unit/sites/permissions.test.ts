/** The table of permissions as data: what it says, and that its document says the same. */
import { describe, expect, it } from "vitest";
import { covers, credentials, subjectsOf } from "../../../src/sites/permissions.ts";
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
    expect(publish.filter((subject) => !named.includes(subject))).toEqual(["$JSC.R.>"]);
    for (const subject of ["$SYS.REQ.CLAIMS.UPDATE", "$KV.sites.base.e.file.x", "$JS.API.STREAM.LIST"]) {
      expect(publish.some((pattern) => covers(pattern, subject))).toBe(false);
    }
    expect(subscribe.some((pattern) => covers(pattern, "$JS.summit.API.STREAM.DELETE.KV_ledger"))).toBe(
      false,
    );
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
