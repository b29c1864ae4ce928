/** What `orrery site init` and `join` write, and keep to themselves. Certificates are given: making them is openssl's. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { compareEpochs } from "../../src/protocol/filesOf.ts";
import { credentials } from "../../src/sites/permissions.ts";
import { supernodeCredentials } from "../../src/sites/supernodePermissions.ts";
import type { CliResult } from "../support/cli.ts";
import { runCli } from "../support/cli.ts";

let cwd: string;
beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), "orrery-site-"));
  for (const file of ["cert.pem", "key.pem", "ca.pem"]) writeFileSync(join(cwd, file), `given ${file}`);
});
afterEach(() => rmSync(cwd, { recursive: true, force: true }));

const site = (...argv: ReadonlyArray<string>): Promise<CliResult> => runCli(["site", ...argv], { cwd });
const given = ["--tls-cert", "cert.pem", "--tls-key", "key.pem", "--tls-ca", "ca.pem"];
const read = (...parts: ReadonlyArray<string>): string => readFileSync(join(cwd, "sites", ...parts), "utf8");
const files = (): ReadonlyArray<string> =>
  readdirSync(join(cwd, "sites"), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));

it("secrets stand only in keys, .creds and TLS keys, and nobody else may read these", async () => {
  const said = [
    await site("init", "hub", "--supernode", ...given),
    await site("init", "summit", ...given, "--json"),
    await site("join", "summit", "--supernode", "hub"),
    await site("ls", "--json"),
  ];
  for (const { exit, stderr } of said) expect([exit, stderr]).toEqual([0, ""]);
  const secret = /\bS[OAU][A-Z2-7]{50,}/;
  const secretFiles = files().filter((file) => /\.(nk|creds|key)$/.test(file));
  // Per deployment three keys and one TLS key, admin and system, and its roles; of the site leaf.
  const roles = Object.keys(credentials).length + Object.keys(supernodeCredentials).length;
  expect(secretFiles).toHaveLength(2 * (4 + 2) + roles + 1);
  for (const file of files()) {
    const isSecret = secretFiles.includes(file);
    expect([file, isSecret || !secret.test(readFileSync(file, "utf8"))]).toEqual([file, true]);
    if (isSecret) expect([file, statSync(file).mode & 0o077]).toEqual([file, 0]);
  }
  expect(said.map(({ stdout, stderr }) => stdout + stderr).join("")).not.toMatch(secret);
  expect(read("summit", "tls", "hub-ca.pem")).toBe("given ca.pem");
});

it("what is there is not made anew, and what cannot be is refused with the fix", async () => {
  const made = await site("init", "summit", ...given);
  expect([made.exit, made.stdout]).toEqual([
    0,
    expect.stringMatching(/ORRERY_CREDENTIALS=\S+\/operator\.creds orrery status --site \S+\/site\.yaml/),
  ]);
  const before = read("summit", "keys", "operator.nk");
  const again = await site("init", "summit", ...given);
  expect([again.exit, again.stderr]).toEqual([1, expect.stringContaining("holds a deployment already")]);
  expect(read("summit", "keys", "operator.nk")).toBe(before);
  const cases: ReadonlyArray<readonly [ReadonlyArray<string>, string]> = [
    [["init", "Summit Site", ...given], "summit-site"],
    [["init", "base", "--hosts", "a,b", ...given], "one server"],
    [["init", "hub", "--supernode", "--hosts", "a,b", ...given], "odd number"],
    [["init", "base", "--hosts", 'a"; }', ...given], "no host name"],
    [["init", "base", "--tls-cert", "cert.pem"], "go together"],
    [["init", "base", "--tls-cert", "no.pem", ...given.slice(2)], "no.pem is not there"],
    [["init", "base", "--port", "99999", ...given], "a port is 1 to 65535, and 99999"],
    [["init", "hub", "--supernode", "--leaf-port", "65534", ...given], "and 65536"],
    [["join", "summit", "--supernode", "hub"], "orrery site init hub --supernode makes it"],
    [["join", "summit", "--supernode", "summit"], "is a site, and no supernode"],
    [["revoke", "summit", "--supernode", "hub"], "there is no supernode hub"],
  ];
  for (const [argv, words] of cases) {
    const { exit, stderr } = await site(...argv);
    expect([argv, exit, stderr]).toEqual([argv, 2, expect.stringContaining(words)]);
  }
  expect((await runCli(["site", "ls", "--dir", "elsewhere"], { cwd })).exit).toBe(3);
  const none = await runCli(["site", "ls", "--dir", "elsewhere", "--json"], { cwd });
  expect([none.exit, JSON.parse(none.stdout)]).toMatchObject([3, { deployments: [] }]);
});

it("a supernode that cannot be reached remembers whom it put out", async () => {
  await site("init", "hub", "--supernode", ...given, "--port", "1");
  await site("init", "summit", ...given);
  await site("join", "summit", "--supernode", "hub");
  const twice = await site("join", "summit", "--supernode", "hub");
  expect([twice.exit, twice.stderr]).toEqual([2, expect.stringContaining("has joined hub already")]);
  const trust = read("hub", "trust.conf");
  const { exit, stderr } = await site("revoke", "summit", "--supernode", "hub");
  expect([exit, stderr]).toEqual([4, expect.stringContaining("not yet at the servers")]);
  expect(read("hub", "trust.conf")).not.toBe(trust);
  expect((await site("ls")).stdout).toContain("revoked by hub");
  // It may come back, as somebody new.
  expect((await site("join", "summit", "--supernode", "hub")).exit).toBe(0);
  expect((await site("ls")).stdout).toContain("joined: summit");
});

it("a site that comes back from a machine whose clock is behind comes after the life that was put out", async () => {
  await site("init", "hub", "--supernode", ...given, "--port", "1");
  await site("init", "summit", ...given);
  await site("join", "summit", "--supernode", "hub");
  await site("revoke", "summit", "--supernode", "hub");
  const epochOf = (): string => (JSON.parse(read("summit", "deployment.json")) as { epoch: string }).epoch;
  const atHub = () =>
    JSON.parse(read("hub", "deployment.json")) as { members: Record<string, { epoch: string }> };
  const before = epochOf();
  const behind = (Number.parseInt(before, 36) - 3_600_000).toString(36);
  const file = join(cwd, "sites", "summit", "deployment.json");
  writeFileSync(
    file,
    JSON.stringify({ ...(JSON.parse(read("summit", "deployment.json")) as object), epoch: behind }),
  );
  expect((await site("join", "summit", "--supernode", "hub")).exit).toBe(0);
  expect(compareEpochs(epochOf(), before)).toBeGreaterThan(0);
  expect(atHub().members["summit"]?.epoch).toBe(epochOf());
  // Nor is one behind that is made anew where its supernode is known.
  const hub = join(cwd, "sites", "hub", "deployment.json");
  const later = (Date.now() + 3_600_000).toString(36);
  writeFileSync(hub, read("hub", "deployment.json").replaceAll(epochOf(), later));
  rmSync(join(cwd, "sites", "summit"), { recursive: true });
  await site("init", "summit", ...given);
  expect(compareEpochs(epochOf(), later)).toBeGreaterThan(0);
});

it("the file of a supernode's nodes is one that they take, and nothing of a site's stands in it", async () => {
  await site("init", "hub", "--supernode", ...given);
  const { exit, stdout } = await runCli(["check", join(cwd, "sites", "hub", "site.yaml"), "--json"], { cwd });
  expect([exit, JSON.parse(stdout)]).toMatchObject([
    0,
    {
      ok: true,
      problems: [],
      site: { name: "hub", supernode: true, roles: ["keeper", "presence"], lanes: {}, nats: { replicas: 3 } },
    },
  ]);
});

it("a name that is no site's lets nobody in, and the one that was meant is named", async () => {
  await site("init", "hub", "--supernode", ...given);
  for (const name of ["summit", "base"]) await site("init", name, ...given);
  const cases: ReadonlyArray<readonly [ReadonlyArray<string>, string]> = [
    [["join", "summit", "--supernode", "hubb"], 'no supernode hubb (did you mean "hub"?) in'],
    [["join", "summit", "--supernode", "other"], "; there is hub: orrery site init other --supernode"],
    [["join", "sumit", "--supernode", "hub"], 'no site sumit (did you mean "summit"?)'],
    [
      ["join", "summit", "--supernode", "hub", "--files-of", "bse"],
      '--files-of: there is no site bse (did you mean "base"?); there are base, summit',
    ],
    [["join", "summit", "--supernode", "hub", "--sees", "base,nosuch"], "there is no site nosuch; there are"],
  ];
  for (const [argv, words] of cases) {
    const { exit, stderr } = await site(...argv);
    expect([argv, exit, stderr]).toEqual([argv, 2, expect.stringContaining(words)]);
  }
  const joined = await site("join", "summit", "--supernode", "hub", "--files-of", "base");
  expect([joined.exit, joined.stdout]).toEqual([
    0,
    expect.stringMatching(/nats\.conf, which includes .*leaf\.conf/),
  ]);
  expect(joined.stdout).toContain("next: orrery site apply --supernode hub");
  const slip = await site("sees", "summit", "nosuch", "--supernode", "hub");
  expect([slip.exit, slip.stderr]).toEqual([2, expect.stringContaining("sees: there is no site nosuch")]);
  expect((await site("sees", "summit", "base", "--supernode", "hub")).exit).toBe(0);
});

it("of commands at once none undoes what another wrote", async () => {
  await site("init", "hub", "--supernode", ...given);
  const names = ["a", "b", "c", "d"];
  for (const name of names) await site("init", name, ...given);
  const joined = await Promise.all(names.map((name) => site("join", name, "--supernode", "hub")));
  expect(joined.map(({ exit, stderr }) => [exit, stderr])).toEqual(names.map(() => [0, ""]));
  const members = () => (JSON.parse(read("hub", "deployment.json")) as { members: object }).members;
  expect(Object.keys(members()).toSorted()).toEqual(names);
  await Promise.all(names.map((name) => site("sees", name, "none", "--supernode", "hub")));
  expect(Object.values(members())).toEqual(names.map(() => expect.objectContaining({ sees: [] }) as unknown));
  expect(files().filter((file) => file.endsWith(".lock"))).toEqual([]);
  const lock = join(cwd, "sites", ".lock");
  writeFileSync(lock, "process 1 on elsewhere");
  const late = site("sees", "a", "all", "--supernode", "hub");
  setTimeout(() => rmSync(lock), 100);
  expect((await late).exit).toBe(0);
});
