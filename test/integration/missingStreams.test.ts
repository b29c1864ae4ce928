/** Somebody deletes a stream under a site that runs: it is named wherever one looks, and is no NATS that is away. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as Effect from "effect/Effect";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { CliResult } from "../support/cli.ts";
import { commit, ledgerPut } from "../../src/jetstream/transaction.ts";
import { runCli } from "../support/cli.ts";
import type { TestNats } from "../support/nats.ts";
import { startNats } from "../support/nats.ts";
import type { TestSite } from "../support/testSite.ts";
import { ask, startSite, until } from "../support/testSite.ts";

let nats: TestNats;
let cwd: string;
let site: TestSite;

const orrery = (...argv: ReadonlyArray<string>): Promise<CliResult> =>
  runCli([...argv], { cwd, env: { ORRERY_SITE: join(cwd, "site.yaml") } });
const ready = () => ask(site, { method: "GET", path: "/readyz" });

beforeAll(async () => {
  nats = await startNats({ topology: null });
  cwd = mkdtempSync(join(tmpdir(), "orrery-missing-"));
  const text = `
name: gone
node: { name: one }
nats: { mode: external, servers: ["${nats.server.url}"] }
http: { host: 127.0.0.1, port: 0 }
lanes:
  raw: { kind: object, buckets: [raw], metadata: key }
  shots: { kind: exposure, buckets: [shots], metadata: key, pattern: '(?<exposure>x)' }
`;
  writeFileSync(join(cwd, "site.yaml"), text);
  site = await startSite(text);
});
afterAll(async () => {
  await site?.stop();
  rmSync(cwd, { recursive: true, force: true });
  await nats?.stop();
});

const notification = (key: string) => ({
  Records: [
    { eventName: "ObjectCreated:Put", s3: { bucket: { name: "raw" }, object: { key, size: 1, eTag: key } } },
  ],
});
const words = "stream ARRIVALS is missing: orrery topology apply";

it("is said by the webhook, /readyz, the log and status, until topology apply has made it anew", async () => {
  expect((await ready()).status).toBe(200);
  expect(await orrery("status")).toMatchObject({ exit: 0, stderr: "" });
  expect((await ask(site, { body: notification("kept") })).status).toBe(200);
  await until(
    () => orrery("file", "get", "raw/kept"),
    ({ stdout }) => stdout.includes("known"),
  );
  await nats.nats.jsm.streams.purge("ARRIVALS");
  const purged = await orrery("why", "raw/kept");
  expect([purged.exit, purged.stdout]).toEqual([0, expect.stringContaining("known on node one")]);
  const nothing = await orrery("why", "raw/other");
  expect([nothing.exit, nothing.stdout]).toEqual([3, expect.stringContaining("no arrival of it is kept")]);
  await nats.nats.jsm.streams.delete("ARRIVALS");

  const refused = await ask(site, { body: notification("a") });
  expect([refused.status, refused.body]).toMatchObject([503, { error: words }]);
  expect(await ready()).toMatchObject({
    status: 503,
    body: { ready: false, nats: { ok: true }, jetstream: { ok: false, detail: words } },
  });
  expect(site.log).toContainEqual({ level: "error", message: words, fields: { streams: ["ARRIVALS"] } });
  const status = await orrery("status");
  expect([status.exit, status.stderr]).toEqual([3, expect.stringContaining(words)]);
  expect(status.stdout).toContain("NODE");
  const json = await orrery("status", "--json");
  expect([json.exit, JSON.parse(json.stdout)]).toMatchObject([3, { missing: ["ARRIVALS"] }]);

  // What the ledger knows can be told without it, and what it does not know cannot be said to be unknown.
  const told = await orrery("why", "raw/kept");
  expect([told.exit, told.stdout]).toEqual([
    0,
    expect.stringMatching(new RegExp(`arrivals +${words}\n[^]*Now   It is known`)),
  ]);
  for (const argv of [["why", "raw/20251121"], ["stats"], ["stats", "all", "--json"]]) {
    const { exit, stdout, stderr } = await orrery(...argv);
    expect([argv, exit, stdout, stderr]).toEqual([argv, 1, "", `orrery: ${words}\n`]);
  }
  const applied = await orrery("topology", "apply");
  expect([applied.exit, applied.stdout]).toEqual([
    0,
    expect.stringContaining(
      "lost: ARRIVALS: what had arrived and was not settled is lost with it: orrery replay BUCKET",
    ),
  ]);
  await until(ready, ({ status: code }) => code === 200);
  expect((await orrery("status")).exit).toBe(0);
  expect((await ask(site, { body: notification("b") })).status).toBe(200);
  await until(
    () => orrery("file", "get", "raw/b"),
    ({ stdout }) => stdout.includes("known"),
  );
});

it("groups are lost with their bucket: of how many files, and what brings them back, is said", async () => {
  const lost = async (): Promise<ReadonlyArray<string>> => {
    await nats.nats.jsm.streams.delete("KV_presence");
    const { stdout } = await orrery("topology", "plan", "--json");
    const { exit } = await orrery("topology", "apply");
    expect(exit).toBe(0);
    return (JSON.parse(stdout) as { lost: ReadonlyArray<string> }).lost;
  };
  expect(await lost()).toEqual([]);
  const writes = ["a", "b"].map((name) => ledgerPut(`file.shots.20251121.${name}`, Buffer.from("{}")));
  await Effect.runPromise(commit(nats.nats, "files", writes));
  expect(await lost()).toEqual([
    expect.stringMatching(
      /^KV_presence: the groups of up to 2 files of the last 1 d.* are lost with it: orrery regroup puts them back/,
    ),
  ]);
});

it("without the ledger nothing else is told, and without any stream there is no site", async () => {
  const { streams } = nats.nats.jsm;
  await site.stop();
  await streams.delete("KV_ledger");
  const ledgerless = await orrery("status");
  expect([ledgerless.exit, ledgerless.stderr]).toEqual([
    3,
    expect.stringContaining("stream KV_ledger is missing: orrery topology apply"),
  ]);
  expect((await orrery("topology", "destroy", "--yes", "gone", "--while-nodes-run")).exit).toBe(0);
  for (const argv of [["status"], ["file", "get", "raw/b"], ["file", "ls"]]) {
    const { exit, stderr } = await orrery(...argv);
    expect([argv, exit, stderr]).toEqual([argv, 1, expect.stringContaining("holds no Orrery site yet")]);
  }
  // A site that is made anew has lost nothing.
  const fresh = await orrery("topology", "apply");
  expect([fresh.exit, fresh.stdout]).toEqual([0, expect.not.stringContaining("lost:")]);
});
