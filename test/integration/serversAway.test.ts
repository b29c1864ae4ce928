/** A supernode of which some servers are down: what is said of it, by name, and that nothing is claimed that only some of them know. */
import { afterAll, beforeAll, expect, it } from "vitest";
import type { CliResult } from "../support/cli.ts";
import { runCli } from "../support/cli.ts";
import { Deployment } from "../support/deployment.ts";
import { until } from "../support/testSite.ts";

const deployment = new Deployment();
beforeAll(async () => {
  await deployment.init("hub", "--supernode");
  for (const site of ["summit"]) {
    await deployment.init(site);
    await deployment.join(site, "hub");
  }
  await deployment.start("hub");
  expect((await atHub("topology", "apply")).exit).toBe(0);
});
afterAll(() => deployment.end());

const atHub = (...argv: ReadonlyArray<string>): Promise<CliResult> =>
  deployment.cli(...argv, "--supernode", "hub", "--dir", deployment.folder);
it("while one server of three is down plan does not say that all is there", async () => {
  expect([(await atHub("topology", "plan")).exit]).toEqual([0]);
  await deployment.signal("hub", 2, "SIGKILL");
  // A bucket that it led is led anew within seconds.
  const plan = await until(
    () => atHub("topology", "plan"),
    ({ exit }) => exit === 3,
  );
  expect([plan.exit, plan.stdout]).toEqual([
    3,
    expect.stringMatching(/^! server hub-2 \(tls:\/\/\S+\) does not answer: not known /),
  ]);
  const made = await atHub("topology", "apply");
  expect([made.exit, made.stderr]).toEqual([1, expect.stringContaining("hub-2 did not answer")]);
});

it("a site is put out once each server knows: until then it says which do not, and that it is not done", async () => {
  await deployment.signal("hub", 1, "SIGKILL");
  const some = await atHub("site", "revoke", "summit");
  expect([some.exit, some.stdout]).toEqual([1, ""]);
  expect(some.stderr).toContain("1 of 3 servers knows");
  expect(some.stderr).toContain("Do it again when hub-1 and hub-2 are back");
  const told = JSON.parse((await atHub("site", "revoke", "summit", "--json")).stdout) as object;
  expect(told).toMatchObject({ told: ["hub-0"], untold: ["hub-1", "hub-2"] });
});

it("two of three servers down are named by whoever needs the supernode", async () => {
  const port = (i: number): string => deployment.urls("hub")[i] ?? "none";
  const site = deployment.path("hub", "site.yaml");
  const env = { ORRERY_CREDENTIALS: deployment.path("hub", "creds", "admin.creds") };
  const commands = [
    () => atHub("site", "sources"),
    () => atHub("topology", "plan"),
    () => runCli(["status", "--site", site], { env }),
  ];
  // Until the one that is left knows that it is alone, it answers.
  const asked = await Promise.all(commands.map((command) => until(command, ({ exit }) => exit === 4)));
  for (const { exit, stderr } of asked)
    expect([exit, stderr]).toEqual([
      4,
      expect.stringMatching(/2 of 3 servers do not answer: .*; 2 of them are needed/),
    ]);
  const [sources, plan, status] = asked.map(({ stderr }) => stderr);
  expect([sources, plan]).toEqual(
    [1, 2].map(() => expect.stringContaining(`hub-1 (${port(1)}), hub-2 (${port(2)});`)),
  );
  // From the site file alone.
  expect(status).toContain(`: ${port(1)}, ${port(2)};`);
});

it("once all are back it is done", async () => {
  await Promise.all([1, 2].map((i) => deployment.launch("hub", i)));
  const again = await until(
    () => atHub("site", "revoke", "summit"),
    ({ exit }) => exit === 0,
  );
  expect([again.stderr, again.stdout]).toEqual(["", expect.stringContaining("all of its 3 servers know")]);
});
