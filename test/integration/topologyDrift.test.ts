/** A site's server drifts from what the site needs, each sort by itself: plan names it, apply mends it, and then there is nothing to do. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as Effect from "effect/Effect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { commit, ledgerPut, publish } from "../../src/jetstream/transaction.ts";
import type { CliResult } from "../support/cli.ts";
import { runCli } from "../support/cli.ts";
import type { TestNats } from "../support/nats.ts";
import { startNats } from "../support/nats.ts";
import { startSite, until } from "../support/testSite.ts";

let nats: TestNats;
let cwd: string;

const text = (lanes: string): string => `
name: drift
node: { name: one }
nats: { mode: external, servers: ["${nats.server.url}"] }
http: { host: 127.0.0.1, port: 0 }
lanes: { ${lanes} }
`;
const raw = "raw: { kind: object, buckets: [raw], metadata: key }";
const cal = "cal: { kind: object, buckets: [cal], metadata: key }";

interface Change {
  readonly kind: string;
  readonly asset: string;
  readonly words: string;
}

const topology = (...argv: ReadonlyArray<string>): Promise<CliResult> =>
  runCli(["topology", ...argv], { cwd, env: { ORRERY_SITE: join(cwd, "site.yaml") } });

async function planned(...argv: ReadonlyArray<string>): Promise<ReadonlyArray<Change>> {
  const { exit, stdout, stderr } = await topology("plan", "--json", ...argv);
  const { changes } = JSON.parse(stdout) as { changes: ReadonlyArray<Change> };
  expect([exit, stderr]).toEqual([changes.length === 0 ? 0 : 3, ""]);
  return changes;
}

/** Seen by plan, mended by apply, and gone. */
async function mended(): Promise<ReadonlyArray<Change>> {
  const changes = await planned();
  const made = await topology("apply");
  expect([made.exit, made.stderr]).toEqual([0, ""]);
  expect(await planned()).toEqual([]);
  const again = await topology("apply");
  expect(again).toMatchObject({ exit: 0, stdout: expect.stringContaining("has all that site drift needs") });
  return changes;
}

const put = (key: string): Promise<unknown> =>
  Effect.runPromise(commit(nats.nats, "a record", [ledgerPut(key, Buffer.from("{}"))]));

beforeAll(async () => {
  nats = await startNats({ topology: null });
  cwd = mkdtempSync(join(tmpdir(), "orrery-drift-"));
  writeFileSync(join(cwd, "site.yaml"), text(`${raw}, ${cal}`));
  expect((await topology("apply")).exit).toBe(0);
  expect(await planned()).toEqual([]);
});
afterAll(async () => {
  rmSync(cwd, { recursive: true, force: true });
  await nats?.stop();
});

describe("what was changed by hand", () => {
  it("a setting, a limit, and copies that are too few or too many", async () => {
    const { streams } = nats.nats.jsm;
    await streams.update("ARRIVALS", { max_age: 86_400_000_000_000 });
    await streams.update("KV_presence", { max_bytes: 1_000_000 });
    const changes = await mended();
    expect(changes.map(({ kind, words }) => [kind, words])).toEqual([
      ["update", "stream ARRIVALS: max_age: 1 d → 7 d"],
      ["update", "stream KV_presence: max_bytes: 1000000 → -1"],
    ]);
    expect((await streams.info("KV_presence")).config.max_bytes).toBe(-1);

    // One server cannot hold three copies: what is wanted is what differs.
    writeFileSync(join(cwd, "site.yaml"), text(raw).replace("mode: external", "mode: external, replicas: 3"));
    expect((await planned()).map(({ words }) => words)).toContainEqual(
      "stream KV_ledger: num_replicas: 1 → 3",
    );
    writeFileSync(join(cwd, "site.yaml"), text(`${raw}, ${cal}`));
  });

  it("a stream, an object bucket and a consumer that are gone, and a consumer that takes something else", async () => {
    const { streams, consumers } = nats.nats.jsm;
    await streams.delete("KV_seen");
    await streams.delete("OBJ_orrery-runs");
    await consumers.delete("ARRIVALS", "ingest-raw");
    await consumers.update("ARRIVALS", "ingest-cal", {
      filter_subject: "arrive.other.>",
      ack_wait: 30_000_000_000,
    });
    expect((await mended()).map(({ kind, words }) => [kind, words])).toEqual([
      ["create", "create stream KV_seen"],
      ["create", "create stream OBJ_orrery-runs"],
      ["create", "create consumer ARRIVALS/ingest-raw"],
      [
        "update",
        'consumer ARRIVALS/ingest-cal: filter_subject: "arrive.other.>" → "arrive.cal.>"; ack_wait: 30 s → 8 s',
      ],
    ]);
  });
});

describe("what is not wanted any more", () => {
  it("the consumers of a lane that is gone are removed, those of others never", async () => {
    const { consumers, streams } = nats.nats.jsm;
    await streams.add({ name: "THEIRS", subjects: ["theirs.>"] });
    await consumers.add("ARRIVALS", { durable_name: "auditor", filter_subject: "arrive.>" });
    writeFileSync(join(cwd, "site.yaml"), text(raw));
    expect((await mended()).map(({ kind, asset }) => [kind, asset])).toEqual([
      ["remove", "consumer ARRIVALS/ingest-cal"],
      ["remove", "consumer ARRIVALS/replay-cal"],
    ]);
    expect((await consumers.info("ARRIVALS", "auditor")).name).toBe("auditor");
    expect((await streams.info("THEIRS")).config.name).toBe("THEIRS");
    await consumers.delete("ARRIVALS", "auditor");
    await streams.delete("THEIRS");
  });

  it("a queue in which something waits is lost only by its name", async () => {
    writeFileSync(join(cwd, "site.yaml"), text(`${raw}, ${cal}`));
    await mended();
    await Effect.runPromise(
      publish(nats.nats, "an arrival", { subject: "arrive.cal.x.-", data: Buffer.from("x") }),
    );
    writeFileSync(join(cwd, "site.yaml"), text(raw));
    const refused = await topology("apply");
    expect(refused.exit).toBe(1);
    expect(refused.stdout).toContain(
      "! remove consumer ARRIVALS/ingest-cal, of which nothing is said any more; would lose its queue, 1 message: --lose ARRIVALS/ingest-cal allows it",
    );
    expect((await topology("apply", "--lose", "ARRIVALS/ingest-raw")).exit).toBe(2);
    const lost = await topology("apply", "--lose", "ARRIVALS/ingest-cal");
    expect([lost.exit, lost.stdout]).toEqual([0, expect.stringContaining("lost: its queue, 1 message")]);
    expect(await planned()).toEqual([]);
  });

  it("what a node of another site file takes from now is not taken from under it", async () => {
    writeFileSync(join(cwd, "site.yaml"), text(`${raw}, ${cal}`));
    const site = await startSite(text(`${raw}, ${cal}`));
    try {
      writeFileSync(join(cwd, "site.yaml"), text(raw));
      // A node tells what it runs with its lease, a moment after it has begun.
      const changes = await until(planned, (found) => found.every(({ kind }) => kind === "refuse"));
      expect(changes.map(({ asset }) => asset)).toEqual([
        "consumer ARRIVALS/ingest-cal",
        "consumer ARRIVALS/replay-cal",
      ]);
      expect(changes[0]?.words).toContain("what a node takes from it now");
    } finally {
      await site.stop();
      writeFileSync(join(cwd, "site.yaml"), text(`${raw}, ${cal}`));
    }
  });
});

describe("a change that would lose what is stored", () => {
  it("is refused, and made for the asset that is named alone", async () => {
    const { streams } = nats.nats.jsm;
    await put("file.raw.20251121.a");
    const { config } = await streams.info("KV_ledger");
    await streams.delete("KV_presence");
    await streams.add({
      ...config,
      name: "KV_presence",
      subjects: ["$KV.presence.>"],
      max_msgs_per_subject: 5,
    });
    await Effect.runPromise(
      publish(nats.nats, "a group", { subject: "$KV.presence.x", data: Buffer.from("1") }),
    );
    await streams.delete("ITEMS");
    await streams.add({ name: "ITEMS", subjects: ["items.>"], retention: "interest" });
    await nats.nats.jsm.consumers.add("ITEMS", { durable_name: "keeps", filter_subject: "items.>" });
    await Effect.runPromise(publish(nats.nats, "an item", { subject: "items.x.-", data: Buffer.from("1") }));

    const changes = await planned();
    const refused = changes.filter(({ kind }) => kind === "refuse").map(({ asset }) => asset);
    expect(refused).toEqual(["stream ITEMS", "stream KV_presence"]);
    expect(changes.find(({ asset }) => asset === "stream ITEMS")?.words).toContain(
      'retention: "interest" → "limits"',
    );
    expect(changes.find(({ asset }) => asset === "stream ITEMS")?.words).toContain(
      "would lose all that is stored, 1 message: --lose ITEMS allows it",
    );
    expect((await topology("apply")).exit).toBe(1);
    expect((await streams.info("ITEMS")).state.messages).toBe(1);

    const some = await topology("apply", "--lose", "ITEMS");
    expect([some.exit, some.stdout]).toEqual([1, expect.stringContaining("± stream ITEMS")]);
    expect((await streams.info("ITEMS")).state.messages).toBe(0);
    expect((await streams.info("KV_presence")).config.max_msgs_per_subject).toBe(5);
    expect((await topology("apply", "--lose", "KV_presence")).exit).toBe(0);
    expect(await planned()).toEqual([]);
    expect((await streams.info("KV_ledger")).state.messages).toBeGreaterThan(0);
  });
});

describe("a node", () => {
  it("makes what is missing and sets what is set otherwise, and ends nothing", async () => {
    const { streams, consumers } = nats.nats.jsm;
    expect((await topology("apply")).exit).toBe(0);
    await streams.delete("ITEMS");
    await streams.add({ name: "ITEMS", subjects: ["items.>"], retention: "interest" });
    await streams.delete("KV_seen");
    await streams.update("ARRIVALS", { max_age: 86_400_000_000_000 });
    // Of a lane that its site file does not have.
    const site = await startSite(text(raw));
    await site.stop();
    expect((await streams.info("ITEMS")).config.retention).toBe("interest");
    expect((await streams.info("KV_seen")).config.name).toBe("KV_seen");
    expect((await streams.info("ARRIVALS")).config.max_age).toBe(7 * 86_400_000_000_000);
    expect((await consumers.info("ARRIVALS", "ingest-cal")).name).toBe("ingest-cal");
    expect((await mended()).map(({ kind, asset }) => [kind, asset])).toEqual([["replace", "stream ITEMS"]]);
  });
});

describe("destroy", () => {
  it("tells what would be lost, wants the name, refuses while nodes are alive, and leaves what is others'", async () => {
    const { streams } = nats.nats.jsm;
    await streams.add({ name: "THEIRS", subjects: ["theirs.>"] });
    await put("file.raw.20251121.b");
    const told = await topology("destroy");
    expect([told.exit, told.stderr]).toEqual([
      3,
      expect.stringMatching(/would be lost: --yes drift destroys them/),
    ]);
    expect(told.stdout).toContain("KV_ledger");
    expect((await topology("destroy", "--yes", "other")).exit).toBe(2);
    const site = await startSite(text(`${raw}, ${cal}`));
    try {
      const alive = await topology("destroy", "--yes", "drift");
      expect([alive.exit, alive.stderr]).toEqual([
        1,
        expect.stringContaining("1 node of the site is alive (one)"),
      ]);
    } finally {
      await site.stop();
    }
    expect((await streams.info("KV_ledger")).state.messages).toBeGreaterThan(0);
    const done = await topology("destroy", "--yes", "drift");
    expect([done.exit, done.stderr]).toEqual([0, ""]);
    const left: Array<string> = [];
    for await (const { config } of streams.list()) left.push(config.name);
    expect(left).toEqual(["THEIRS"]);
    expect((await topology("destroy", "--yes", "drift")).exit).toBe(3);
  });
});
