/** The command beside a real server whose ledger was filled by the same functions that nodes use. */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  watch,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Scope from "effect/Scope";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { findNatsServer } from "../../scripts/nats-server/find.mjs";
import { decideAll } from "../../src/cli/decide.ts";
import { openSite } from "../../src/cli/site.ts";
import { sendItem } from "../../src/actors/userActors.ts";
import { writesOf } from "../../src/jetstream/claims.ts";
import { startEmbedded } from "../../src/jetstream/embedded.ts";
import { getRecordUnsafe, getUnsafe } from "../../src/jetstream/ledger.ts";
import type { NatsService } from "../../src/jetstream/Nats.ts";
import { connectNats } from "../../src/jetstream/Nats.ts";
import { openObjects } from "../../src/jetstream/objects.ts";
import { apply, topologyOf } from "../../src/jetstream/topology.ts";
import type { Write } from "../../src/jetstream/transaction.ts";
import { commit, ledgerPut, publish } from "../../src/jetstream/transaction.ts";
import { arrivalId, encodeArrival } from "../../src/protocol/arrival.ts";
import type { Place } from "../../src/protocol/keys.ts";
import {
  arrivalSubject,
  claimKey,
  dueKey,
  encodeTail,
  exposureKey,
  jobKey,
  kvStream,
  kvSubject,
  ledgerBucket,
  nodesBucket,
  objectTail,
  parkedKey,
  presenceBucket,
  presenceKey,
  presenceRequestSubject,
  recordKey,
  runMailbox,
} from "../../src/protocol/keys.ts";
import type { Outcome } from "../../src/protocol/lifecycle.ts";
import { crashed, refuse, settle } from "../../src/protocol/lifecycle.ts";
import type { FileBody, LedgerRecord, NodeRecord } from "../../src/protocol/records.ts";
import { encodeJson, encodeText } from "../../src/protocol/records.ts";
import type { RunBody } from "../../src/protocol/runs.ts";
import { beginRun } from "../../src/actors/runSource.ts";
import { runsBucket } from "../../src/protocol/runs.ts";
import { makeFileStorage } from "../../src/storage/file.ts";
import { beginCli, runCli } from "../support/cli.ts";

const day = "20251121";
const group = "2025-11-21T03:04:05.678#1";
const siteFile = `
name: clitest
dataDir: ./data
nats: { mode: embedded, syncAlways: false }
http: { host: 127.0.0.1, port: 0 }
log: { level: info, format: json }
storage:
  disk: { driver: file, root: ./night }
lanes:
  raw:
    kind: exposure
    buckets: [raw]
    storage: disk
    accept: '\\.fits$'
    pattern: '^(?<instrument>[^/]+)/(?<day>\\d{8})/(?<exposure>[^/]+)/[^/]+_(?<detector>R\\d\\d_S\\d\\d)\\.fits$'
    metadata: key
    sidecar: null
presence:
  instruments: [LSSTCam]
  detector: '^R\\d\\d_S\\d\\d'
jobs:
  quicklook:
    version: "1"
    partition: exposure
    lane: quick
    inputs: [{ lane: raw, detectors: [R22_S11, R22_S12] }]
    outputs: []
    command: ["true"]
    timeLimit: 10 s
`;

const rules = { attemptsMax: 3, crashesAloneMax: 3, backoffBaseMs: 60_000, backoffMaxMs: 60_000 };
const nameOf = (seq: number, detector = "R22_S11"): string => {
  const exposure = `MC_O_${day}_${String(seq).padStart(6, "0")}`;
  return `LSSTCam/${day}/${exposure}/${exposure}_${detector}.fits`;
};
const placeOf = (key: string): Place => ({ mailbox: "raw", day, tail: objectTail("raw", key) });

let folder: string;
let nats: NatsService;
const scope = Scope.makeUnsafe();
const inScope = <A, E>(effect: Effect.Effect<A, E, Scope.Scope>): Promise<A> =>
  Effect.runPromise(Scope.provide(effect, scope));
const cli = (...argv: ReadonlyArray<string>) => runCli(argv, { cwd: folder });
const json = async <A>(...argv: ReadonlyArray<string>): Promise<A> => {
  const { exit, stdout, stderr } = await cli(...argv, "--json");
  expect({ argv, exit, stderr }).toEqual({ argv, exit: 0, stderr: "" });
  return JSON.parse(stdout) as A;
};

function bodyOf(key: string, seq: number, detector: string, sequence: number): FileBody {
  return {
    bucket: "raw",
    key,
    size: 14_400,
    uri: `s3://raw/${key}`,
    identity: {
      instrument: "LSSTCam",
      day,
      exposure: `MC_O_${day}_${String(seq).padStart(6, "0")}`,
      group,
      snap: 0,
      detector,
      seq,
    },
    metadata: null,
    via: "webhook",
    receivedAt: new Date(Date.now() - 40).toISOString(),
    sequence,
  };
}

async function announce(key: string, etag = "e1", generation = 0, copy = ""): Promise<number> {
  const arrival = {
    bucket: "raw",
    key,
    etag,
    size: 14_400,
    instrument: "LSSTCam",
    day,
    generation,
    via: "webhook",
    receivedAt: new Date().toISOString(),
  };
  const sent = await inScope(
    publish(nats, "announce", {
      subject: arrivalSubject("raw", "LSSTCam", day),
      messageId: arrivalId("raw", key, etag, "", generation) + copy,
      data: encodeArrival(arrival),
    }),
  );
  return sent.seq;
}

/** A thousand writes at once, on a machine that does much else. */
const fillMs = 30_000;
const store = (writes: ReadonlyArray<Write>) => inScope(commit(nats, "fill", writes, fillMs));

/** Announces a file and settles it, as a worker would. */
async function file(seq: number, detector: string, outcome: Partial<Outcome<FileBody>> & { type: string }) {
  const key = nameOf(seq, detector);
  const sequence = await announce(key);
  const place = placeOf(key);
  const body = bodyOf(key, seq, detector, sequence);
  const moment = { now: Date.now(), random: 0.5, node: "a", claim: "epoch.1" };
  const subject = { place, etag: "e1", generation: 0, before: null, body, alone: false };
  const settlement = settle(subject, { ...outcome, body } as Outcome<FileBody>, rules, moment, "known");
  await store(writesOf(recordKey(place), 0, settlement));
  return { key, place, id: recordKey(place), body };
}

const good = (seq: number, detector: string) => file(seq, detector, { type: "done" });
const bad = (seq: number, detector: string, reason = "HeaderUnreadable") =>
  file(seq, detector, { type: "permanent", reason, detail: "no END card" } as never);

const held = async (id: string) => {
  const found = await getRecordUnsafe<FileBody>(nats, id);
  if (found === null) throw new Error(`no record ${id}`);
  return found;
};

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "orrery-cli-"));
  writeFileSync(join(folder, "site.yaml"), siteFile);
  const server = await inScope(
    startEmbedded({
      dataDir: join(folder, "data", "nats"),
      syncAlways: false,
      port: 0,
      binary: (await findNatsServer()).path,
    }),
  );
  nats = await inScope(connectNats({ servers: [server.url], name: "test" }, { firstMs: 10_000 }));
  const topology = topologyOf({
    lanes: ["raw"],
    runLanes: ["quick"],
    items: ["thumbs"],
    follows: [],
    replicas: 1,
    duplicateWindowMs: 120_000,
  });
  await inScope(apply(nats, topology));
});

afterAll(async () => {
  await Effect.runPromise(Scope.close(scope, Exit.void));
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
});

describe("a site that is looked at", () => {
  const node: NodeRecord = {
    v: 1,
    epoch: "epoch",
    startedAt: new Date(Date.now() - 61_000).toISOString(),
    host: "host",
    pid: 4_242,
    version: "0.1.0",
    site: "clitest",
    actors: [
      { name: "ingest-raw-0", behaviour: "worker", status: "running", restarts: 2 },
      { name: "presence", behaviour: "worker", status: "restarting", restarts: 0 },
    ],
    http: "http://127.0.0.1:1",
    durability: "fsync before every acknowledgement",
    troubles: [
      {
        mailbox: "raw",
        what: "storage of lane raw",
        since: new Date(Date.now() - 85_000).toISOString(),
        lastAt: new Date(Date.now() - 2_000).toISOString(),
        detail: "503",
      },
    ],
  };

  it("tells nodes, lanes, claims and what is open", async () => {
    await store([
      ledgerPut(
        claimKey("raw", "a", 0),
        encodeJson({
          v: 1,
          state: "claimed",
          id: "epoch.2",
          epoch: "epoch",
          since: new Date().toISOString(),
          items: [{ record: "file.raw.x.y", etag: "e", generation: 0, sequence: 1 }],
        }),
      ),
      ledgerPut(
        claimKey("raw", "a", 1),
        encodeJson({ v: 1, state: "idle", last: null, how: "new", by: "a" }),
      ),
    ]);
    await inScope(publish(nats, "node", { subject: kvSubject(nodesBucket, "b"), data: encodeJson(node) }));
    await bad(1, "R22_S99");
    await file(2, "R22_S98", { type: "transient", reason: "Away", detail: "503" } as never);
    const status = await json<{
      nodes: ReadonlyArray<{ name: string; actors: ReadonlyArray<unknown> }>;
      mailboxes: ReadonlyArray<Record<string, unknown>>;
      claims: ReadonlyArray<Record<string, unknown>>;
      nextDueAt: string;
    }>("status");
    expect(status.nodes).toMatchObject([
      { name: "b", actors: [{ restarts: 2 }, {}], troubles: [{ mailbox: "raw", detail: "503" }] },
    ]);
    expect(status.mailboxes.find((one) => one["mailbox"] === "raw")).toMatchObject({
      queued: 2,
      inHand: 0,
      inLastMinute: 2,
      settledLastMinute: 2,
      due: 1,
      waiting: 0,
      parked: 1,
    });
    expect(status.mailboxes.map((one) => one["mailbox"])).toEqual(["raw", "run-quick", "item-thumbs"]);
    expect(status.claims).toMatchObject([{ node: "a", worker: 0, items: 1, nodeIsAlive: false }]);
    expect(Date.parse(status.nextDueAt)).toBeGreaterThan(Date.now());
    const { exit, stdout } = await cli("status");
    expect(exit).toBe(0);
    expect(stdout).toContain("fsync before every acknowledgement");
    expect(stdout).toMatch(/^b +1 min \d+ s +host\/4242 .*presence restarting/m);
    expect(stdout).toContain("b: ingest-raw-0 was restarted twice");
    expect(stdout).toMatch(/^raw: storage of lane raw is away for 1 min \d+ s: 503$/m);
    expect(stdout).toContain("its node is gone");
  });

  it("is watched until it is stopped, which is no failure", async () => {
    const run = beginCli(["status", "--watch", "--every", "0.2", "--json"], { cwd: folder });
    await run.says("\n{");
    run.interrupt();
    expect(await run.exit).toBe(0);
    const lines = run.stdout().trim().split("\n");
    expect(lines.length).toBeGreaterThan(1);
    for (const line of lines) expect(JSON.parse(line)).toMatchObject({ site: "clitest" });
  });

  it("agrees with its topology, or says what differs with exit 3", async () => {
    // Whichever node comes first makes the bucket for what runs write.
    expect((await cli("topology", "apply")).exit).toBe(0);
    // The actor's mailbox is not in the site file, and is left alone.
    const plan = await cli("topology", "plan");
    expect(plan).toMatchObject({ exit: 0 });
    const other = siteFile.replace(
      "  raw:\n",
      "  more:\n    kind: object\n    buckets: [more]\n    storage: disk\n    metadata: key\n  raw:\n",
    );
    writeFileSync(join(folder, "other.yaml"), other);
    const differs = await cli("topology", "plan", "other.yaml");
    expect(differs).toMatchObject({
      exit: 3,
      stdout: "+ create consumer ARRIVALS/ingest-more\n+ create consumer ARRIVALS/replay-more\n",
    });
    expect((await cli("topology", "apply", "other.yaml")).exit).toBe(0);
    expect((await cli("topology", "plan", "other.yaml")).exit).toBe(0);
  });
});

describe("files", () => {
  it("are found by key, object, URI, lane and the end of a name", async () => {
    const { key, id } = await good(10, "R22_S11");
    for (const typed of [
      id,
      `raw/${key}`,
      `s3://raw/${key}`,
      key.slice(key.lastIndexOf("/") + 1),
      "000010_R22_S11",
    ]) {
      const found = await json<{ key: string }>("file", "get", typed);
      expect({ typed, key: found.key }).toEqual({ typed, key: id });
    }
  });

  it("are asked for again where several could be meant, and hinted at where none is", async () => {
    await good(11, "R22_S11");
    await good(11, "R22_S12");
    const several = await cli("file", "get", "MC_O_20251121_000011");
    expect(several.exit).toBe(2);
    expect(several.stderr).toContain("000011_R22_S11.fits");
    expect(several.stderr).toContain("000011_R22_S12.fits");
    const none = await cli("file", "get", "MC_O_20251121_000011_R22_S17.fits");
    expect(none.exit).toBe(3);
    expect(none.stderr).toMatch(/did you mean MC_O_20251121_0000\d\d_R22_S/);
    const absent = await cli("why", `raw/${nameOf(77)}`);
    expect(absent.exit).toBe(3);
    expect(absent.stdout).toContain("no record of it");
  });

  it("of a day are asked for as people write it, and what is no day is said to be none", async () => {
    await good(9, "R22_S11");
    const listed = async (text: string) =>
      (await json<{ matched: number }>("file", "ls", "--day", text)).matched;
    const all = await listed(day);
    expect(all).toBeGreaterThan(0);
    expect(await listed(`${day.slice(0, 4)}-${day.slice(4, 6)}-${day.slice(6)}`)).toBe(all);
    for (const text of ["abc", "20251301", "all"]) {
      const { exit, stdout, stderr } = await cli("file", "ls", "--day", text);
      expect([exit, stdout, stderr]).toEqual([2, "", expect.stringContaining(`--day ${text} is no day`)]);
    }
  });

  it("are listed newest first, by state, and no more than asked for", async () => {
    await bad(12, "R22_S11");
    await good(12, "R22_S12");
    const listed = await json<{ matched: number; files: ReadonlyArray<{ name: string; state: string }> }>(
      "file",
      "ls",
      "--limit",
      "1",
    );
    expect(listed.files).toMatchObject([{ name: `raw/${nameOf(12, "R22_S12")}`, state: "known" }]);
    expect(listed.matched).toBeGreaterThan(1);
    const parked = await json<typeof listed>(
      "file",
      "ls",
      "--state",
      "parked",
      "--lane",
      "raw",
      "--day",
      day,
    );
    expect(parked.files[0]?.name).toBe(`raw/${nameOf(12)}`);
    expect(new Set(parked.files.map((one) => one.state))).toEqual(new Set(["parked"]));
    const { stderr } = await cli("file", "ls", "--limit", "1");
    expect(stderr).toContain("--limit 0 shows all");
    expect(await cli("file", "ls", "--lane", "rwa")).toMatchObject({
      exit: 2,
      stderr: expect.stringContaining('"raw"'),
    });
  });
});

describe("orrery why", () => {
  it("tells of arrivals, duplicates, the group, the exposure and the runs of a known file", async () => {
    const { key, id, body } = await good(20, "R22_S11");
    await announce(key, "e1", 0, "again");
    const exposure = body.identity?.exposure ?? "";
    const place = {
      mailbox: runMailbox("quick"),
      day,
      tail: encodeTail(`quicklook/LSSTCam/${exposure}/00112233aabbccdd`),
    };
    await store([ledgerPut(exposureKey("LSSTCam", day, exposure), encodeJson({ v: 1 }))]);
    await inScope(
      publish(nats, "present", {
        subject: kvSubject(presenceBucket, presenceKey("LSSTCam", group, 0, "R22_S11")),
        data: encodeText(body.uri),
      }),
    );
    await store([ledgerPut(recordKey(place), encodeJson(runRecord(exposure, id, "done")))]);
    const { exit, stdout } = await cli("why", id);
    expect(exit).toBe(0);
    expect(stdout).toContain("1 duplicate dropped");
    expect(stdout).toContain(`snap 0 R22_S11: present, ${body.uri}`);
    expect(stdout).toContain(`exposure  LSSTCam ${exposure}`);
    expect(stdout).toContain(`run quicklook/LSSTCam/${exposure}/00112233aabbccdd, done`);
    const story = await json<{ standing: string; events: ReadonlyArray<{ event: string }> }>("why", id);
    expect(story.standing).toBe("known");
    // All within a millisecond or two: in which order they are told is not this test's matter.
    expect(story.events.map((one) => one.event).sort()).toEqual(["arrived", "duplicate", "known"]);
  });

  it("tells which node was killed, and that it comes again", async () => {
    const key = nameOf(21);
    const sequence = await announce(key);
    const place = placeOf(key);
    const body = bodyOf(key, 21, "R22_S11", sequence);
    const subject = { place, etag: "e1", generation: 0, before: null, body, alone: false };
    const moment = { now: Date.now(), random: 0, node: "b", claim: "epoch.9" };
    await store(
      writesOf(recordKey(place), 0, crashed(subject, rules, moment, "node c died with it in hand")),
    );
    const { stdout } = await cli("why", `raw/${key}`);
    expect(stdout).toContain("(taken back by node b): node c died with it in hand");
    expect(stdout).toContain("put back into the queue at the next tick");
  });

  it("tells who has it in hand, and what stands in the queue", async () => {
    const key = nameOf(22);
    const sequence = await announce(key);
    const queued = await cli("why", `raw/${key}`);
    expect(queued.exit).toBe(0);
    expect(queued.stdout).toContain("accepted");
    expect(queued.stdout).toContain("stands in the queue of lane raw");
    // The ledger has nothing of it yet: the end of its name is looked for among what was received.
    const byEnd = await cli("why", key.slice(key.lastIndexOf("/") + 1));
    expect(byEnd).toMatchObject({ exit: 0, stdout: queued.stdout });
    const slot = {
      v: 1,
      state: "claimed",
      id: "epoch.3",
      epoch: "epoch",
      since: new Date().toISOString(),
      items: [{ record: recordKey(placeOf(key)), etag: "e1", generation: 0, sequence }],
    };
    await store([ledgerPut(claimKey("raw", "a", 2), encodeJson(slot))]);
    expect((await cli("why", `raw/${key}`)).stdout).toContain("worker 2 of node a has it in hand");
  });

  it("tells what an item that was sent is about", async () => {
    await sendItem({ nats }, "thumbs", "frame-1", { path: "1.fits" });
    const place = {
      mailbox: "item-thumbs",
      day: new Date().toISOString().slice(0, 10).replaceAll("-", ""),
      tail: "frame-1",
    };
    const record: LedgerRecord = {
      ...runRecord("x", "y", "done"),
      history: [{ at: new Date().toISOString(), event: "done", node: "a" }],
      body: { id: "frame-1", item: { path: "1.fits" } },
    };
    await store([ledgerPut(recordKey(place), encodeJson(record))]);
    const { exit, stdout } = await cli("why", "frame-1");
    expect(exit).toBe(0);
    expect(stdout).toContain("arrived via send");
    expect(stdout).toContain("done on node a");
  });
});

function runRecord(exposure: string, input: string, state: "done" | "parked"): LedgerRecord<RunBody> {
  const time = new Date().toISOString();
  return {
    v: 1,
    state,
    generation: 0,
    etag: "00112233aabbccdd",
    claim: null,
    attempts: 0,
    crashes: 0,
    crashesAlone: 0,
    errors: [],
    history: [{ at: time, event: "ready", node: "a", detail: "1 inputs" }],
    body: {
      job: "quicklook",
      version: "1",
      partition: { instrument: "LSSTCam", day, exposure },
      hash: "00112233aabbccdd",
      inputs: [{ record: input, bucket: "raw", key: "k", etag: "e1", uri: "s3://raw/k", detector: null }],
      createdAt: time,
      started: null,
      outputs: [],
      result: {
        exit: 0,
        timedOut: false,
        startedAt: time,
        endedAt: time,
        peakRssBytes: null,
        log: `${exposure}/log`,
        manifest: `${exposure}/inputs.json`,
        version: "1",
        node: "a",
      },
    },
  };
}

describe("runs", () => {
  it("have a story with their inputs and the end of their log, and a log", async () => {
    const { id } = await good(30, "R22_S11");
    const exposure = "MC_O_20251121_000030";
    const place = {
      mailbox: runMailbox("quick"),
      day,
      tail: encodeTail(`quicklook/LSSTCam/${exposure}/00112233aabbccdd`),
    };
    await store([ledgerPut(recordKey(place), encodeJson(runRecord(exposure, id, "done")))]);
    const objects = await inScope(openObjects(nats, runsBucket, 1));
    const lines = Array.from({ length: 30 }, (_, i) => `line ${i + 1}`);
    await inScope(objects.put(`${exposure}/log`, Buffer.from(`${lines.join("\n")}\n`)));
    const name = `${exposure}/00112233aabbccdd`;
    const story = await cli("why", name);
    expect(story.exit).toBe(0);
    expect(story.stdout).toContain("input     raw/k (known)");
    expect(story.stdout).toContain("exit 0 after");
    expect(story.stdout).toContain("| line 30");
    expect(story.stdout).not.toContain("| line 15\n");
    expect((await cli("log", name)).stdout).toBe(`${lines.join("\n")}\n`);
    const missing = await cli("log", name, "--inputs");
    expect(missing).toMatchObject({ exit: 3, stdout: "" });
    expect((await cli("log", id)).exit).toBe(1);
    // What it took has the same words in its name; a log is a run's.
    expect((await cli("log", exposure)).stdout).toBe(`${lines.join("\n")}\n`);
    expect((await cli("why", exposure)).stderr).toContain("could be any of 2");
  });

  it("can be cancelled, by their name or by their job's partition; what is over cannot", async () => {
    const exposure = "MC_O_20251121_000032";
    const place = {
      mailbox: runMailbox("quick"),
      day,
      tail: encodeTail(`quicklook/LSSTCam/${exposure}/00112233aabbccdd`),
    };
    const { body, ...record } = runRecord(exposure, "file.raw.-.none", "done");
    const waiting = { ...record, state: "ready" as const, body: { ...body, outputs: null, result: null } };
    const job = {
      v: 1,
      job: "quicklook",
      version: "1",
      partition: body.partition,
      state: "ready",
      blockedOn: [],
      inputs: body.hash,
      run: recordKey(place),
    };
    await store([
      ...beginRun(place, waiting),
      ledgerPut(jobKey("quicklook", day, `LSSTCam/${exposure}`), encodeJson(job)),
    ]);
    const cancelled = await cli("cancel", "quicklook", exposure, "--note", "wrong flat");
    expect(cancelled).toMatchObject({ exit: 0, stderr: "" });
    expect(cancelled.stdout).toMatch(/nobody had it in hand. It is parked/);
    expect((await cli("why", recordKey(place))).stdout).toMatch(/Cancelled: by operator .*: wrong flat/);
    expect(await cli("cancel", recordKey(place))).toMatchObject({
      exit: 3,
      stderr: expect.stringContaining("parked already"),
    });
    expect((await cli("cancel", "quicklook", "no-such-exposure")).exit).toBe(3);
    expect((await cli("parked", "replay", recordKey(place))).exit).toBe(0);
    expect((await cli("cancel", recordKey(place), "--json")).stdout).toContain('"type": "parked"');
  });

  it("that never began are explained by what their job waits for", async () => {
    await bad(31, "R22_S12");
    const exposure = "MC_O_20251121_000031";
    const job = {
      v: 1,
      job: "quicklook",
      version: "1",
      partition: { instrument: "LSSTCam", day, exposure },
      state: "blocked",
      blockedOn: ["raw: R22_S12"],
      inputs: null,
      run: null,
    };
    await store([ledgerPut(jobKey("quicklook", day, `LSSTCam/${exposure}`), encodeJson(job))]);
    const { exit, stdout } = await cli("why", "quicklook", exposure);
    expect(exit).toBe(0);
    expect(stdout).toContain("raw: R22_S12");
    expect(stdout).toContain("000031_R22_S12.fits: parked, HeaderUnreadable: no END card");
    expect(await cli("why", "quicklok", exposure)).toMatchObject({
      exit: 3,
      stderr: expect.stringContaining('"quicklook"'),
    });
  });
});

describe("parked items", () => {
  const drop = async (): Promise<void> => {
    await cli("parked", "discard", "--all", "--yes", "--note", "the test before");
  };
  beforeEach(drop);

  it("are listed by reason, and one by one", async () => {
    await bad(40, "R22_S11");
    await bad(40, "R22_S12");
    await bad(40, "R22_S13", "EmptyFile");
    const grouped = await cli("parked", "ls");
    expect(grouped.stdout).toMatch(/^HeaderUnreadable +2 +raw/m);
    expect(grouped.stdout).toMatch(/^EmptyFile +1 +raw/m);
    const single = await json<ReadonlyArray<{ name: string }>>("parked", "ls", "--reason", "EmptyFile");
    expect(single.map((one) => one.name)).toEqual([`raw/${nameOf(40, "R22_S13")}`]);
    const slip = await cli("parked", "ls", "--reason", "EmptyFil");
    expect(slip).toMatchObject({ exit: 3, stderr: expect.stringContaining('"EmptyFile"') });
    for (const argv of [
      ["ls", "--lane", "rav"],
      ["replay", "--all", "--yes", "--lane", "rav"],
    ]) {
      const { exit, stdout, stderr } = await cli("parked", ...argv);
      expect([exit, stdout, stderr]).toEqual([3, "", expect.stringMatching(/of lane rav.*"raw"/)]);
    }
    const shown = await cli("parked", "show", "000040_R22_S13");
    expect(shown.stdout).toContain("EmptyFile: no END card");
  });

  it("are put back: failing with a new generation, due at once, their index ended, the note kept", async () => {
    const { id, place } = await bad(41, "R22_S11");
    const before = await held(id);
    const { exit, stdout } = await cli("parked", "replay", id, "--note", "the disk is mended");
    expect({ exit, stdout }).toMatchObject({ exit: 0, stdout: expect.stringContaining("put back") });
    const { record } = await held(id);
    expect(record).toMatchObject({ state: "failing", generation: before.record.generation + 1, attempts: 0 });
    expect(record.history.at(-1)).toMatchObject({ event: "replayed", detail: "the disk is mended" });
    expect(record.history.at(-1)?.node).toMatch(/^operator .+@.+/);
    const due = await getUnsafe(nats, ledgerBucket, dueKey(place));
    expect(JSON.parse(Buffer.from(due?.data ?? []).toString())).toMatchObject({
      generation: record.generation,
      putBack: null,
    });
    expect((await getUnsafe(nats, ledgerBucket, parkedKey(place)))?.ended).toBe(true);
    const again = await cli("parked", "replay", id);
    expect(again).toMatchObject({ exit: 1, stderr: expect.stringContaining("it is failing") });
  });

  it("are put back by their hundreds", async () => {
    const ids = await Promise.all(Array.from({ length: 450 }, (_, i) => bad(1_000 + i, "R22_S11", "Many")));
    const { exit, stdout } = await cli("parked", "replay", "--reason", "Many");
    expect({ exit, stdout }).toEqual({ exit: 0, stdout: "450 items put back\n" });
    const states = await Promise.all(ids.map(async ({ id }) => (await held(id)).record.state));
    expect(new Set(states)).toEqual(new Set(["failing"]));
    expect((await cli("parked", "ls")).stderr).toContain("nothing is parked");
  });

  it("are given up for good, with the reason why; the record stays", async () => {
    const { id, place } = await bad(42, "R22_S11");
    expect((await cli("parked", "discard", id)).exit).toBe(2);
    expect((await held(id)).record.history.at(-1)?.event).toBe("parked");
    expect((await cli("parked", "discard", id, "--note", "a test image")).exit).toBe(0);
    const { record } = await held(id);
    expect(record.history.at(-1)).toMatchObject({ event: "discarded", detail: "a test image" });
    expect((await getUnsafe(nats, ledgerBucket, parkedKey(place)))?.ended).toBe(true);
    expect(
      (await json<{ files: ReadonlyArray<{ key: string }> }>("file", "ls", "--state", "discarded")).files[0]
        ?.key,
    ).toBe(id);
  });

  it("that change while somebody decides are left alone, and said to be", async () => {
    const first = await bad(43, "R22_S11");
    const second = await bad(43, "R22_S12");
    const { io } = beginCli(["--version"], { cwd: folder });
    const link = await inScope(openSite(io, null));
    const targets = await Promise.all(
      [first, second].map(async ({ place, id }) => ({ place, held: await held(id) })),
    );
    // Somebody else is quicker with the first.
    await cli("parked", "replay", first.id, "--note", "the other one");
    const decided = await inScope(decideAll(link, "discard", targets, "too late", "operator test"));
    expect(decided.map((one) => one.done)).toEqual([false, true]);
    expect(decided[0]?.words).toContain("it was parked, it is failing now");
    expect((await held(first.id)).record.history.at(-1)?.detail).toBe("the other one");
    expect((await held(second.id)).record.history.at(-1)?.event).toBe("discarded");
  });

  it("with refused content: replay takes it, discard drops it", async () => {
    const { id, place, body } = await good(44, "R22_S11");
    const content = { etag: "e2", size: 1, at: new Date().toISOString(), sequence: 9 };
    const put = async (): Promise<void> => {
      const { record, revision } = await held(id);
      const subject = { place, etag: "e2", generation: 0, before: record, body, alone: false };
      const moment = { now: Date.now(), random: 0, node: "a", claim: null };
      await store(writesOf(id, revision, refuse(subject, content, moment)));
    };
    await put();
    expect((await cli("parked", "ls")).stdout).toContain("ContentChanged");
    expect((await cli("parked", "discard", id, "--note", "a slip")).stdout).toContain(
      "refused content dropped, the file stays known",
    );
    expect((await held(id)).record).toMatchObject({ state: "known", etag: "e1" });
    await put();
    expect((await cli("parked", "replay", id)).stdout).toContain("etag e2");
    expect((await held(id)).record).toMatchObject({
      state: "failing",
      etag: "e2",
      superseded: [{ etag: "e1" }],
    });
  });

  it("that no lane took: announced to the lane that takes them by now, else left", async () => {
    const key = nameOf(45);
    const lost: Place = { mailbox: "unrouted", day: "-", tail: objectTail("raw", key) };
    const nobody: Place = { mailbox: "unrouted", day: "-", tail: objectTail("nobody", key) };
    const nameless: Place = { mailbox: "unrouted", day: "-", tail: "malformed/1" };
    for (const [place, bucket] of [
      [lost, "raw"],
      [nobody, "nobody"],
      [nameless, ""],
    ] as const) {
      const body = { ...bodyOf(key, 45, "R22_S11", 0), bucket, key: bucket === "" ? "" : key };
      const subject = { place, etag: "e1", generation: 0, before: null, body, alone: false };
      const moment = { now: Date.now(), random: 0, node: "a", claim: null };
      const outcome = { type: "permanent", reason: "UnknownBucket", detail: "no lane", body } as const;
      await store(writesOf(recordKey(place), 0, settle(subject, outcome, rules, moment, "known")));
    }
    const { exit, stdout, stderr } = await cli("parked", "replay", "--reason", "UnknownBucket");
    expect(exit).toBe(1);
    expect(stdout).toContain("announced again, to lane raw");
    expect(stderr).toContain("still no lane takes it");
    expect(stderr).toContain("says of no object");
    expect((await held(recordKey(lost))).record.history.at(-1)?.event).toBe("discarded");
    expect((await held(recordKey(nobody))).record.history.at(-1)?.event).toBe("parked");
    expect((await cli("why", `raw/${key}`)).stdout).toContain("arrived by orrery replay");
  });
});

describe("orrery replay", () => {
  const objects = (prefix: string, n: number): void => {
    for (let seq = 1; seq <= n; seq++) {
      const path = join(folder, "night", "raw", nameOf(seq).replace(`LSSTCam/${day}`, `LSSTCam/${prefix}`));
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, "SIMPLE");
      writeFileSync(path.replace(".fits", ".json"), "{}");
    }
  };
  interface Counts {
    readonly listed: number;
    readonly announced: number;
    readonly known: number;
    readonly skipped: number;
  }

  it("announces what lies there, and nothing for --dry-run", async () => {
    objects("20251201", 6);
    const dry = await json<Counts>("replay", "raw", "LSSTCam/20251201/", "--dry-run");
    expect(dry).toMatchObject({ listed: 12, announced: 6, skipped: 6, known: 0 });
    expect(await cli("stats", "2025-12-01", "--json")).toEqual({ exit: 3, stdout: "[]\n", stderr: "" });
    expect(await cli("stats", "20251201")).toMatchObject({ exit: 3, stdout: "" });
    const { exit, stdout } = await cli("replay", "raw", "LSSTCam/20251201/", "--json");
    expect(exit).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ announced: 6 });
    expect(await json<ReadonlyArray<unknown>>("stats", "20251201")).toMatchObject([{ received: 6, open: 6 }]);
  });

  it("passes over what the ledger knows with the same content", async () => {
    objects("20251202", 3);
    const key = nameOf(1).replace(day, "20251202");
    const { etag } = await inScope(makeFileStorage({ root: join(folder, "night") }).head("raw", key));
    const place = { mailbox: "raw", day: "20251202", tail: objectTail("raw", key) };
    const body = bodyOf(key, 1, "R22_S11", 1);
    const subject = { place, etag, generation: 0, before: null, body, alone: false };
    const moment = { now: Date.now(), random: 0, node: "a", claim: null };
    await store(
      writesOf(recordKey(place), 0, settle(subject, { type: "done", body }, rules, moment, "known")),
    );
    const { stdout } = await cli("replay", "raw", "LSSTCam/20251202/", "--json");
    expect(JSON.parse(stdout)).toMatchObject({ announced: 2, known: 1 });
  });

  it("compares by size what a notification brought with an etag of another kind, and only that", async () => {
    objects("20251204", 4);
    const md5 = "0cc175b9c0f1b6a831c399e269772661";
    const { size } = await inScope(
      makeFileStorage({ root: join(folder, "night") }).head("raw", nameOf(1).replace(day, "20251204")),
    );
    const know = async (seq: number, etag: string, bytes: number | null): Promise<void> => {
      const key = nameOf(seq).replace(day, "20251204");
      const place = { mailbox: "raw", day: "20251204", tail: objectTail("raw", key) };
      const body = { ...bodyOf(key, seq, "R22_S11", seq), size: bytes };
      const subject = { place, etag, generation: 0, before: null, body, alone: false };
      const moment = { now: Date.now(), random: 0, node: "a", claim: null };
      await store(
        writesOf(recordKey(place), 0, settle(subject, { type: "done", body }, rules, moment, "known")),
      );
    };
    await know(1, md5, size);
    await know(2, md5, size + 1);
    await know(3, md5, null);
    await know(4, `${size.toString(16)}-1-1`, size);
    const { stdout } = await cli("replay", "raw", "LSSTCam/20251204/", "--dry-run", "--json");
    expect(JSON.parse(stdout)).toMatchObject({ announced: 3, known: 1, bySize: 1 });
    expect((await cli("replay", "raw", "LSSTCam/20251204/", "--dry-run")).stderr).toContain(
      "1 known (1 of them compared by size only",
    );
  });

  it("goes on where it was stopped, without missing or repeating one", async () => {
    objects("20251203", 40);
    const run = beginCli(["replay", "raw", "LSSTCam/20251203/", "--rate", "8", "--json"], { cwd: folder });
    await run.says("at LSSTCam/20251203/");
    run.interrupt();
    expect(await run.exit).toBe(130);
    expect(run.stderr()).toContain("The same command goes on from here");
    const [part] = await json<ReadonlyArray<{ received: number }>>("stats", "20251203");
    expect(part?.received).toBeGreaterThan(0);
    expect(part?.received).toBeLessThan(40);
    const rest = await cli("replay", "raw", "LSSTCam/20251203/", "--json");
    expect(rest.stderr).toContain("going on behind");
    expect(JSON.parse(rest.stdout)).toMatchObject({ listed: 80, announced: 40, skipped: 40 });
    expect(await json<ReadonlyArray<unknown>>("stats", "20251203")).toMatchObject([
      { received: 40, duplicates: 0 },
    ]);
  });

  it("of a storage that is away ends, and does not promise to try again", async () => {
    rmSync(join(folder, "night"), { recursive: true, force: true });
    const { exit, stdout, stderr } = await cli("replay", "raw", "--json");
    expect([exit, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(
      /no usable answer .*: check that the storage is up and the bucket exists, and do it again/,
    );
  });

  it("knows the site's buckets", async () => {
    expect(await cli("replay", "rwa", "")).toMatchObject({
      exit: 3,
      stderr: expect.stringContaining('"raw"'),
    });
  });
});

describe("presence", () => {
  it("answers by exit code", async () => {
    const subscription = nats.connection.subscribe(presenceRequestSubject, {
      callback: (_error, message) => {
        const { detector } = JSON.parse(new TextDecoder().decode(message.data)) as { detector: string };
        message.respond(
          detector === "R22_S11"
            ? '{"error":false,"present":true,"uri":"s3://raw/a"}\n'
            : '{"error":false,"present":false}\n',
        );
      },
    });
    expect(await cli("presence", "LSSTCam", group, "0", "R22_S11")).toMatchObject({
      exit: 0,
      stdout: "s3://raw/a\n",
    });
    expect(await cli("presence", "LSSTCam", group, "0", "R22_S12")).toMatchObject({ exit: 3, stdout: "" });
    subscription.unsubscribe();
    await nats.connection.flush();
    const nobody = await cli("presence", "LSSTCam", group, "0", "R22_S11");
    expect(nobody).toMatchObject({ exit: 4, stderr: expect.stringContaining('role "presence"') });
    const slip = await cli("presence", "LSSTCam", group, "zero", "R22_S11");
    expect([slip.exit, slip.stderr]).toEqual([2, expect.stringContaining("zero is no SNAP")]);
  });
});

describe("orrery send", () => {
  it("puts an item into the mailbox, and knows the actors", async () => {
    expect((await cli("send", "thumbs", "frame-7", '{"a":1}')).exit).toBe(0);
    expect(await cli("send", "thums", "frame-8")).toMatchObject({
      exit: 3,
      stderr: expect.stringContaining('"thumbs"'),
    });
    const status = await json<{ mailboxes: ReadonlyArray<{ mailbox: string; queued: number }> }>("status");
    expect(status.mailboxes.find((one) => one.mailbox === "item-thumbs")?.queued).toBeGreaterThan(0);
  });
});

describe("a site that does not run", () => {
  it("is said to be away, and how to start it, with exit 4", async () => {
    const other = mkdtempSync(join(tmpdir(), "orrery-cli-"));
    try {
      writeFileSync(join(other, "site.yaml"), siteFile);
      const absent = await runCli(["status"], { cwd: other });
      expect(absent).toMatchObject({ exit: 4, stdout: "" });
      expect(absent.stderr).toContain("orrery start site.yaml");
      // A port that was remembered, and nobody listens there any more.
      mkdirSync(join(other, "data", "nats"), { recursive: true });
      writeFileSync(join(other, "data", "nats", "ports.json"), '{"client":1,"monitor":2}');
      expect(await runCli(["status"], { cwd: other })).toMatchObject({ exit: 4 });
      const external = siteFile.replace(
        "{ mode: embedded, syncAlways: false }",
        '{ mode: external, servers: ["nats://127.0.0.1:1"] }',
      );
      writeFileSync(join(other, "site.yaml"), external);
      const away = await runCli(["status"], { cwd: other });
      expect(away).toMatchObject({ exit: 4 });
      expect(away.stderr).toContain("nats://127.0.0.1:1");
      expect(away.stderr).not.toContain("tried again");
      expect(away.stderr).toContain("credentials are none (site.yaml names none)");
    } finally {
      rmSync(other, { recursive: true, force: true });
    }
  });
});

describe("what is on disk and cannot be used", () => {
  it("credentials that are none are said to be, and that is no server that is away", async () => {
    const other = mkdtempSync(join(tmpdir(), "orrery-cli-"));
    try {
      const external = siteFile.replace(
        "{ mode: embedded, syncAlways: false }",
        `{ mode: external, servers: ["${nats.connection.getServer()}"] }`,
      );
      writeFileSync(join(other, "site.yaml"), external);
      expect((await runCli(["status"], { cwd: other })).exit).toBe(0);
      const broken = ["no credentials", "-----BEGIN NATS USER JWT-----\nx\n------END NATS USER JWT------\n"];
      for (const text of broken) {
        writeFileSync(join(other, "my.creds"), text);
        const { exit, stderr } = await runCli(["status"], {
          cwd: other,
          env: { ORRERY_CREDENTIALS: join(other, "my.creds") },
        });
        expect([exit, stderr]).toEqual([
          1,
          expect.stringContaining("my.creds (named by ORRERY_CREDENTIALS) is no file of credentials"),
        ]);
      }
    } finally {
      rmSync(other, { recursive: true, force: true });
    }
  });

  it("whether it is on disk at all is read from the server's monitoring, where the site file names it", async () => {
    // What a node tells comes first.
    await nats.jsm.streams.purge(kvStream(nodesBucket));
    const other = mkdtempSync(join(tmpdir(), "orrery-cli-"));
    const ports = JSON.parse(readFileSync(join(folder, "data", "nats", "ports.json"), "utf8")) as {
      readonly monitor: number;
    };
    const stranger = createServer((_request, response) =>
      response.end(JSON.stringify({ server_id: "OTHER", jetstream: { config: { sync_always: true } } })),
    );
    await new Promise<void>((resolve) => {
      stranger.listen(0, "127.0.0.1", resolve);
    });
    try {
      const told = async (monitor: string): Promise<string | undefined> => {
        const external = `{ mode: external, servers: ["${nats.connection.getServer()}"]${monitor} }`;
        const text = siteFile.replace("{ mode: embedded, syncAlways: false }", external);
        writeFileSync(join(other, "site.yaml"), text);
        const { stdout } = await runCli(["status"], { cwd: other });
        return stdout.split("\n")[1];
      };
      const at = (port: number) => `, monitor: "http://127.0.0.1:${port}/"`;
      expect(await told("")).toMatch(/^fsync unknown/);
      expect(await told(at(ports.monitor))).toMatch(/^fsync every 120 s: a power cut can lose/);
      // Another server's word is none about this one.
      const address = stranger.address();
      const port = typeof address === "object" && address !== null ? address.port : 0;
      expect(await told(at(port))).toMatch(/^unknown \(.* is another nats-server\)$/);
      expect(await told(at(1))).toMatch(/does not answer/);
    } finally {
      stranger.close();
      rmSync(other, { recursive: true, force: true });
    }
  });

  it("a folder that is not there to save a ledger into is named, and nothing is made", async () => {
    const { exit, stdout, stderr } = await cli("ledger", "save", "not/mounted/before");
    expect([exit, stdout, stderr]).toEqual([
      2,
      "",
      expect.stringMatching(/not\/mounted is not there: make it, or mount the disk/),
    ]);
  });
});

describe("the process", () => {
  const program = join(import.meta.dirname, "../../src/cli.ts");
  const children: Array<ChildProcess> = [];
  const begin = (cwd: string, ...argv: ReadonlyArray<string>): ChildProcess => {
    const child = spawn(process.execPath, [program, ...argv], { cwd, stdio: ["pipe", "pipe", "pipe"] });
    children.push(child);
    return child;
  };
  const ended = (child: ChildProcess): Promise<number | null> =>
    new Promise((resolve) => child.once("exit", (code) => resolve(code)));
  const allOf = async (stream: NodeJS.ReadableStream | null): Promise<string> => {
    let text = "";
    if (stream !== null) for await (const chunk of stream) text += String(chunk);
    return text;
  };
  afterAll(() => {
    for (const child of children) child.kill("SIGKILL");
  });

  it("starts a node, is looked at, and is gone with exit 0 soon after SIGTERM", async () => {
    const home = mkdtempSync(join(tmpdir(), "orrery-cli-"));
    try {
      writeFileSync(join(home, "site.yaml"), siteFile);
      const ready = new Promise<void>((resolve) => {
        const watcher = watch(home, (_event, name) => {
          if (name !== "ready.json") return;
          watcher.close();
          resolve();
        });
      });
      const child = begin(home, "start", "--node", "one", "--ready-file", "ready.json");
      const errors = allOf(child.stderr);
      const out = allOf(child.stdout);
      const end = ended(child);
      await Promise.race([
        ready,
        end.then(async (code) => Promise.reject(new Error(`${code}: ${await errors}`))),
      ]);
      const said = JSON.parse(readFileSync(join(home, "ready.json"), "utf8")) as {
        node: string;
        httpUrl: string;
      };
      expect(said.node).toBe("one");
      const health = await fetch(`${said.httpUrl}/healthz`);
      expect(health.status).toBe(200);
      const status = await runCli(["status", "--json"], { cwd: home });
      expect(JSON.parse(status.stdout)).toMatchObject({ nodes: [{ name: "one", pid: child.pid }] });
      child.kill("SIGTERM");
      expect(await end).toBe(0);
      const banner = await out;
      for (const words of [
        "site   clitest",
        "node   one",
        "nats   nats://",
        "fsync every",
        `health ${said.httpUrl}/readyz, ${said.httpUrl}/metrics`,
        "look   orrery status --site site.yaml",
        "raw (raw)",
        "quicklook",
      ]) {
        expect(banner).toContain(words);
      }
    } finally {
      rmSync(home, { recursive: true, force: true, maxRetries: 5 });
    }
  });

  it("ends with the reason when it cannot run", async () => {
    const home = mkdtempSync(join(tmpdir(), "orrery-cli-"));
    try {
      const broken = siteFile.replace("jobs:", "actors: [./missing.ts]\njobs:");
      writeFileSync(join(home, "site.yaml"), broken);
      writeFileSync(join(home, "missing.ts"), "export default 7;\n");
      const child = begin(home, "start");
      const errors = allOf(child.stderr);
      expect(await ended(child)).toBe(1);
      expect(await errors).toContain("is no actor");
    } finally {
      rmSync(home, { recursive: true, force: true });
    }
  });

  it("says all it has to say, into a pipe that holds less", async () => {
    await Promise.all(Array.from({ length: 300 }, (_, i) => good(5_000 + i, "R22_S11")));
    // A pipe of the shell's: what Node gives its children instead holds more.
    const words = [process.execPath, program, "file", "ls", "--limit", "0", "--json"];
    const child = spawn("/bin/sh", ["-c", '"$@" | cat', "sh", ...words], { cwd: folder });
    children.push(child);
    const end = ended(child);
    const text = await allOf(child.stdout);
    // More than a pipe holds.
    expect(text.length).toBeGreaterThan(100_000);
    const { matched, files } = JSON.parse(text) as { matched: number; files: ReadonlyArray<unknown> };
    expect(files.length).toBe(matched);
    expect(await end).toBe(0);
  });

  it("is quiet when its reader has seen enough", async () => {
    const child = begin(folder, "status", "--watch", "--every", "0.2", "--json");
    const errors = allOf(child.stderr);
    const end = ended(child);
    await new Promise((resolve) => child.stdout?.once("data", resolve));
    child.stdout?.destroy();
    expect(await end).toBe(0);
    expect(await errors).toBe("");
  });

  it.skipIf(!existsSync("/dev/full"))(
    "says that its answer could not be written, without a trace",
    async () => {
      const full = openSync("/dev/full", "w");
      try {
        for (const argv of [["file", "ls"], ["--help"], ["decode"]]) {
          const child = spawn(process.execPath, [program, ...argv], {
            cwd: folder,
            stdio: ["pipe", full, "pipe"],
          });
          children.push(child);
          child.stdin?.end('"x"');
          const errors = allOf(child.stderr);
          expect([argv, await ended(child)]).toEqual([argv, 1]);
          const told = await errors;
          expect(told).toMatch(/^orrery(?: decode)?: its answer could not be written: ENOSPC[^\n]*\n$/m);
          expect(told).not.toContain("    at ");
        }
      } finally {
        closeSync(full);
      }
    },
  );

  it("says by which signal it was ended", async () => {
    const child = begin(folder, "presence", "LSSTCam", group, "0", "R22_S11", "--wait", "60");
    const asked = new Promise<void>((resolve) => {
      const subscription = nats.connection.subscribe(presenceRequestSubject, {
        callback: () => {
          subscription.unsubscribe();
          resolve();
        },
      });
    });
    await nats.connection.flush();
    await asked;
    const end = ended(child);
    child.kill("SIGINT");
    expect(await end).toBe(130);
  });

  it("decodes a message at once", async () => {
    const child = begin(folder, "decode", "--json");
    const out = allOf(child.stdout);
    child.stdin?.end(encodeArrival(arrivalOf("k")));
    expect(await ended(child)).toBe(0);
    expect(JSON.parse(await out)).toMatchObject({ key: "k", bucket: "raw" });
  });
});

const arrivalOf = (key: string) => ({
  bucket: "raw",
  key,
  etag: "e",
  size: 1,
  instrument: "LSSTCam",
  day,
  generation: 0,
  via: "webhook",
  receivedAt: "2025-11-21T00:00:00.000Z",
});
