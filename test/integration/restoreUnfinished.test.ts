/** A restore that is interrupted, killed or fails: nothing takes what it left for a site, and it can be done again. */
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import * as Effect from "effect/Effect";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { takeBackMark } from "../../src/cli/restore.ts";
import { folderOf, theDeployment } from "../../src/cli/siteFolder.ts";
import type { Home } from "../../src/cli/siteLife.ts";
import { newLives } from "../../src/cli/siteLife.ts";
import { noteRestoring, unfinishedChanges } from "../../src/cli/siteRestoring.ts";
import { markUnfinished } from "../../src/jetstream/restoring.ts";
import { apply, topologyOf } from "../../src/jetstream/topology.ts";
import { commit, ledgerPut, publish } from "../../src/jetstream/transaction.ts";
import { encodeJson } from "../../src/protocol/records.ts";
import type { CliResult } from "../support/cli.ts";
import { beginCli, runCli } from "../support/cli.ts";
import type { TestNats } from "../support/nats.ts";
import { startNats } from "../support/nats.ts";
import { startSite } from "../support/testSite.ts";

let nats: TestNats;
let cwd: string;
let backups = 0;

const text = (): string => `
name: kept
node: { name: one }
nats: { mode: external, servers: ["${nats.server.url}"] }
http: { host: 127.0.0.1, port: 0 }
lanes: { raw: { kind: object, buckets: [raw], metadata: key } }
`;
const orrery = (...argv: ReadonlyArray<string>): Promise<CliResult> =>
  runCli(argv, { cwd, env: { ORRERY_SITE: join(cwd, "site.yaml") } });

async function written(count: number): Promise<void> {
  for (let at = 0; at < count; at += 500) {
    const writes = Array.from({ length: Math.min(500, count - at) }, (_, i) =>
      ledgerPut(`file.raw.20251121.raw/${at + i}`, encodeJson({ v: 1, state: "known", etag: `e${at + i}` })),
    );
    await Effect.runPromise(commit(nats.nats, "files", writes));
  }
}

const records = async (): Promise<number> => (await nats.nats.jsm.streams.info("KV_ledger")).state.messages;

const freshFolder = (): string => join(cwd, `backup-${backups++}`);

async function emptied(): Promise<void> {
  const done = await orrery("topology", "destroy", "--yes", "kept");
  expect([0, 3]).toContain(done.exit);
}

const needs = {
  lanes: ["raw"],
  runLanes: [],
  items: [],
  follows: [],
  visitLanes: [],
  replicas: 1,
  duplicateWindowMs: 120_000,
};

beforeAll(async () => {
  nats = await startNats({ topology: null });
  cwd = mkdtempSync(join(tmpdir(), "orrery-unfinished-"));
  writeFileSync(join(cwd, "site.yaml"), text());
});
beforeEach(async () => {
  await emptied();
  expect((await orrery("topology", "apply")).exit).toBe(0);
});
afterAll(async () => {
  rmSync(cwd, { recursive: true, force: true });
  await nats?.stop();
});

describe("a restore that does not end", () => {
  const ours = async (): Promise<ReadonlyArray<string>> => {
    const names: Array<string> = [];
    for await (const info of nats.nats.jsm.streams.list()) names.push(info.config.name);
    return names.toSorted();
  };
  const refusal = expect.stringMatching(
    /a restore of this site began at .* and has not ended: .*orrery restore/,
  );
  /** Nothing takes what is there for a site. */
  async function isNone(folder: string): Promise<void> {
    expect(await ours()).toContain("RESTORE_UNFINISHED");
    const before = await ours();
    for (const argv of [
      ["topology", "plan"],
      ["topology", "apply"],
      ["backup", freshFolder()],
      ["replay", "raw"],
      ["file", "ls"],
      ["file", "get", "raw/1"],
      ["why", "raw/1", "--json"],
      ["stats"],
      ["parked", "ls"],
      ["ledger", "save", freshFolder()],
    ]) {
      const { exit, stdout, stderr } = await orrery(...argv);
      expect([argv, exit, stdout, stderr]).toEqual([argv, 1, "", refusal]);
    }
    const status = await orrery("status");
    expect([status.exit, status.stderr]).toEqual([3, refusal]);
    // At once, and for that reason: trying again would change nothing.
    const reason = expect.stringMatching(/^a restore of this site began at .* and has not ended: /);
    await expect(startSite(text())).rejects.toMatchObject({ _tag: "NodeFailed", reason });
    const destroyed = await orrery("topology", "destroy");
    expect([destroyed.exit, destroyed.stderr]).toEqual([
      3,
      expect.stringContaining(`a restore from ${folder} began at`),
    ]);
    // And nobody changed anything.
    expect(await ours()).toEqual(before);
  }
  async function backedUp(files: number): Promise<string> {
    await written(files);
    const folder = freshFolder();
    expect((await orrery("backup", folder)).exit).toBe(0);
    return folder;
  }
  const restoring = (folder: string, ...more: ReadonlyArray<string>) =>
    beginCli(["restore", folder, ...more], { cwd, env: { ORRERY_SITE: join(cwd, "site.yaml") } });

  it.each([
    ["before the ledger", "ARRIVALS: 0 messages restored"],
    ["in the ledger", "KV_seen: 0 messages restored"],
    ["behind the ledger", "KV_ledger: 20,000 messages restored"],
  ])(
    "interrupted %s: what was written is deleted, and nothing takes it for a site before it is done again",
    async (_where, words) => {
      const folder = await backedUp(20_000);
      const run = restoring(folder, "--replace");
      await run.says(words);
      run.interrupt();
      expect(await run.exit).toBe(130);
      expect(run.stderr()).toContain("the site is not restored: what was written is deleted again");
      expect(run.stderr()).toContain(`run orrery restore ${folder} again`);
      const left = await ours();
      expect(left).toContain("RESTORE_UNFINISHED");
      expect(left).not.toContain("KV_ledger");
      expect(left).not.toContain("ARRIVALS");
      await isNone(folder);
      // That it replaces was said.
      const again = await orrery("restore", folder);
      expect([again.exit, again.stderr]).toEqual([0, expect.stringContaining("and has not ended: all anew")]);
      expect(await records()).toBe(20_000);
      expect(await ours()).not.toContain("RESTORE_UNFINISHED");
      expect((await orrery("topology", "apply")).exit).toBe(0);
    },
  );

  it("killed: what it left is marked, and is done again without a word of what is there", async () => {
    const mail = { subject: "arrive.raw.-.-", data: Buffer.from("m") };
    await Effect.runPromise(publish(nats.nats, "mail", mail));
    const folder = await backedUp(20_000);
    const bin = fileURLToPath(new URL("../../src/bin.ts", import.meta.url));
    const killed = async (): Promise<unknown> => {
      const child = spawn(process.execPath, [bin, "restore", folder, "--replace"], {
        cwd,
        env: { ...process.env, ORRERY_SITE: join(cwd, "site.yaml") },
        stdio: ["ignore", "ignore", "pipe"],
      });
      const ended = new Promise((resolve) => child.once("exit", (_code, signal) => resolve(signal)));
      try {
        for await (const part of child.stderr) if (String(part).includes("KV_seen: ")) break;
      } finally {
        child.kill("SIGKILL");
      }
      return ended;
    };
    // One that had ended before its turn came to be killed was none.
    let how = await killed();
    for (let tried = 1; how !== "SIGKILL" && tried < 5; tried++) how = await killed();
    expect(how).toBe("SIGKILL");
    expect(await ours()).toContain("ARRIVALS");
    await isNone(folder);
    expect((await nats.nats.jsm.streams.info("ARRIVALS")).state.messages).toBe(1);
    expect((await orrery("restore", folder)).exit).toBe(0);
    expect(await records()).toBe(20_000);
    expect(await ours()).not.toContain("RESTORE_UNFINISHED");
  });

  it("gives way to one that began after it, and deletes nothing of that", async () => {
    const folder = await backedUp(10);
    const run = restoring(folder, "--replace");
    await run.says("ARRIVALS: 0 messages restored");
    const mark = { since: "2025-11-21T00:00:00.000Z", from: folder, run: "another" };
    await Effect.runPromise(markUnfinished(nats.nats, "kept", mark, 1));
    expect(await run.exit).toBe(1);
    expect(run.stderr()).toContain("another orrery restore of this site began meanwhile");
    expect(await ours()).toEqual(expect.arrayContaining(["ARRIVALS", "RESTORE_UNFINISHED"]));
    // Where that is said, the site is given up.
    await emptied();
    expect(await ours()).toEqual([]);
    expect((await orrery("topology", "apply")).exit).toBe(0);
  });

  it("which began while a node came up is seen by it, when it has its name", async () => {
    const waiting = text().replace("mode: external", "mode: external, topology: verify");
    await nats.nats.jsm.streams.delete("KV_seen");
    const started = startSite(waiting).then(
      async (site) => {
        await site.stop();
        return null;
      },
      (cause: unknown) => cause,
    );
    // It has looked for the mark, and waits for its streams.
    await new Promise((later) => setTimeout(later, 1_000));
    const mark = { since: "2025-11-21T00:00:00.000Z", from: "/backups/a", run: "another" };
    await Effect.runPromise(markUnfinished(nats.nats, "kept", mark, 1));
    expect((await orrery("topology", "apply")).stderr).toContain(
      "a restore of this site began at 2025-11-21T00:00:00.000Z",
    );
    await Effect.runPromise(apply(nats.nats, topologyOf(needs)));
    expect(await started).toMatchObject({ _tag: "NodeFailed", reason: refusal });
  });
});

it("a mark of what has replaced nothing is taken back, and one that cannot be is told, with the way out", async () => {
  const { io, stderr } = beginCli(["--version"]);
  const mark = { since: "2025-11-21T00:00:00.000Z", from: "/b", run: "r" };
  await Effect.runPromise(markUnfinished(nats.nats, "kept", mark, 1));
  const streams = new Proxy(nats.nats.jsm.streams, {
    get: (of, name) =>
      name === "delete" ? () => Promise.reject(new Error("no answer")) : Reflect.get(of, name),
  });
  const away = { ...nats.nats, jsm: new Proxy(nats.nats.jsm, { get: () => streams }) };
  await Effect.runPromise(takeBackMark(io, away, "/b"));
  expect(stderr()).toMatch(
    /^nothing was replaced, but the stream RESTORE_UNFINISHED, .*no answer.* While it stands no node starts: .* orrery restore \/b again\n$/,
  );
  expect((await orrery("status")).exit).toBe(3);
  await Effect.runPromise(takeBackMark(io, nats.nats, "/b"));
  await Effect.runPromise(takeBackMark(io, nats.nats, "/b"));
  expect(stderr().match(/nothing was replaced/g)).toHaveLength(1);
  expect((await orrery("status")).exit).toBe(0);
});

it("status of a site that is all there shows it, and says what has to end", async () => {
  const since = "2025-11-21T00:00:00.000Z";
  await Effect.runPromise(markUnfinished(nats.nats, "kept", { since, from: "/b", run: "r" }, 1));
  const { exit, stdout, stderr } = await orrery("status");
  expect([exit, stdout]).toEqual([3, expect.stringContaining("LANE")]);
  expect(stderr).toMatch(/^orrery: a restore of this site began at .* \(orrery restore \/b\)/);
  const json = await orrery("status", "--json");
  expect([json.exit, json.stderr]).toEqual([3, ""]);
  expect(JSON.parse(json.stdout)).toMatchObject({ restoring: { since, from: "/b" }, missing: [] });
});

describe("a site in its deployment's folder", () => {
  interface Told {
    readonly epoch: string;
    readonly restoring?: string;
    readonly ledger?: string;
  }
  let root: string;
  const file = (...parts: ReadonlyArray<string>): string => join(root, ...parts);
  const told = (): Told => JSON.parse(readFileSync(file("kept", "deployment.json"), "utf8")) as Told;
  const deployment = (name: string, more: Record<string, unknown>) => ({
    v: 1,
    name,
    kind: "site",
    madeAt: "2025-11-21T00:00:00.000Z",
    epoch: "e1",
    operator: "O",
    account: "A",
    system: "S",
    servers: [],
    supernode: "hub",
    members: {},
    revoked: {},
    ...more,
  });
  const env = (): Record<string, string> => ({ ORRERY_SITE: file("kept", "site.yaml") });
  const hub = async (): Promise<Home> => {
    const folder = folderOf(root, "hub");
    return { folder, deployment: await theDeployment(folder, "supernode") };
  };
  let folder: string;
  beforeEach(async () => {
    root = mkdtempSync(join(cwd, "sites-"));
    for (const name of ["kept", "hub"]) mkdirSync(file(name));
    writeFileSync(file("kept", "site.yaml"), text());
    writeFileSync(file("kept", "deployment.json"), JSON.stringify(deployment("kept", {})));
    const member = { user: "U", epoch: "e0", joinedAt: "2025-11-21T00:00:00.000Z", revokedAt: null };
    writeFileSync(
      file("hub", "deployment.json"),
      JSON.stringify(deployment("hub", { kind: "supernode", supernode: null, members: { kept: member } })),
    );
    await written(10);
    folder = freshFolder();
    expect((await orrery("backup", folder)).exit).toBe(0);
  });

  it("lives anew when it is restored, and not before: the supernode keeps what it has as long", async () => {
    // It is of a life of which the supernode does not know yet.
    expect([...(await newLives(await hub())).keys()]).toEqual(["kept"]);
    expect(await unfinishedChanges(await hub())).toEqual([]);
    const run = beginCli(["restore", folder, "--replace"], { cwd, env: env() });
    await run.says("KV_seen: 0 messages restored");
    expect(told()).toMatchObject({ epoch: "e1", restoring: expect.any(String) });
    run.interrupt();
    expect(await run.exit).toBe(130);
    expect(told()).toMatchObject({ epoch: "e1", restoring: expect.any(String) });
    expect([...(await newLives(await hub())).keys()]).toEqual([]);
    expect(await unfinishedChanges(await hub())).toEqual([
      expect.objectContaining({
        kind: "refuse",
        words: expect.stringContaining("site kept: its restore began"),
      }),
    ]);

    const { exit, stdout, stderr } = await runCli(["restore", folder, "--json"], { cwd, env: env() });
    const { epoch, warnings } = JSON.parse(stdout) as { epoch: string; warnings: unknown };
    expect([exit, warnings, stderr.includes("no new epoch")]).toEqual([0, [], false]);
    const info = await nats.nats.jsm.streams.info("KV_ledger");
    expect(told()).toEqual(deployment("kept", { epoch, ledger: info.created }));
    expect(epoch).not.toBe("e1");
    expect(await newLives(await hub())).toEqual(new Map([["kept", epoch]]));
    expect(await unfinishedChanges(await hub())).toEqual([]);
  });

  it("is unfinished until its new epoch is written", async () => {
    const run = beginCli(["restore", folder, "--replace"], { cwd, env: env() });
    await run.says("KV_ledger: 10 messages restored");
    // The file is written beside, and then put in its place.
    mkdirSync(file("kept", "deployment.json.new"));
    expect(await run.exit).toBe(1);
    expect(told()).toMatchObject({ epoch: "e1", restoring: expect.any(String) });
    await nats.nats.jsm.streams.info("RESTORE_UNFINISHED");
    expect(run.stderr()).toContain("the site is not restored: what was written is deleted again");
    rmSync(file("kept", "deployment.json.new"), { recursive: true });
    expect((await runCli(["restore", folder], { cwd, env: env() })).exit).toBe(0);
    expect(told().restoring).toBeUndefined();
  });

  it("ends that with its destruction as well", async () => {
    await noteRestoring(
      { folder: folderOf(root, "kept"), deployment: (await hub()).deployment },
      "2025-11-21T00:00:00.000Z",
    );
    const done = await runCli(["topology", "destroy", "--yes", "kept"], { cwd, env: env() });
    expect(done.exit).toBe(0);
    expect([told().restoring, told().epoch === "e1"]).toEqual([undefined, false]);
  });
});
