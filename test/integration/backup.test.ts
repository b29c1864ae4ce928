/** Backups of a site that goes on, what a damaged one is told to be, and what a restored site is. */
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { createHash, randomBytes } from "node:crypto";
import { join } from "node:path";
import { Readable } from "node:stream";
import * as Effect from "effect/Effect";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { scanUnsafe } from "../../src/jetstream/ledger.ts";
import { Mailbox } from "../../src/jetstream/mailbox.ts";
import type { NatsService } from "../../src/jetstream/Nats.ts";
import { openObjects } from "../../src/jetstream/objects.ts";
import { archiveUnsafe, unarchiveUnsafe } from "../../src/jetstream/snapshot.ts";
import type { TailMessage } from "../../src/jetstream/tail.ts";
import { tailUnsafe, writeTailUnsafe } from "../../src/jetstream/tail.ts";
import { commit, commitUnsafe, ledgerEnd, ledgerPut, publish } from "../../src/jetstream/transaction.ts";
import { encodeJson } from "../../src/protocol/records.ts";
import type { CliResult } from "../support/cli.ts";
import { beginCli, runCli } from "../support/cli.ts";
import type { TestNats } from "../support/nats.ts";
import { startNats } from "../support/nats.ts";
import { patienceMs, startSite } from "../support/testSite.ts";

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
const bytes = (value: unknown): Uint8Array => encodeJson(value);
const key = (i: number): string => `file.raw.2025112${i % 3}.raw/${i}`;
const record = (i: number, generation: number) => ({
  v: 1,
  state: "known",
  generation,
  etag: `e${i}`,
  claim: null,
  attempts: 0,
  crashes: 0,
  crashesAlone: 0,
  errors: [],
  history: [],
  body: { bucket: "raw", key: String(i), size: i, identity: null, metadata: null },
});

/** One message beyond what the transactions of the site hold. */
async function written(count: number, from = 0): Promise<void> {
  for (let at = 0; at < count; at += 500) {
    const writes = Array.from({ length: Math.min(500, count - at) }, (_, i) =>
      ledgerPut(key(from + at + i), bytes(record(from + at + i, 0))),
    );
    await Effect.runPromise(commit(nats.nats, "files", writes));
  }
}

interface Stored {
  readonly values: ReadonlyMap<string, string>;
  readonly ended: ReadonlyArray<string>;
}

async function held(of: NatsService): Promise<Stored> {
  const values = new Map<string, string>();
  await scanUnsafe(of, "ledger", [">"], (entry) => {
    values.set(entry.key, Buffer.from(entry.data).toString());
  });
  const info = await of.jsm.streams.info("KV_ledger", { subjects_filter: ">" });
  const prefix = "$KV.ledger.".length;
  const ended = Object.keys(info.state.subjects ?? {})
    .map((subject) => subject.slice(prefix))
    .filter((name) => !values.has(name));
  return { values, ended: ended.toSorted() };
}

const freshFolder = (): string => join(cwd, `backup-${backups++}`);

async function emptied(): Promise<void> {
  const done = await orrery("topology", "destroy", "--yes", "kept");
  expect([0, 3]).toContain(done.exit);
}

beforeAll(async () => {
  nats = await startNats({ topology: null });
  cwd = mkdtempSync(join(tmpdir(), "orrery-backup-"));
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

describe("a backup", () => {
  it("is the ledger to the byte, with ended keys, mail, its consumers' places, and objects", async () => {
    await written(2_000);
    await Effect.runPromise(commit(nats.nats, "end", [ledgerEnd(key(0)), ledgerEnd(key(1))]));
    for (let i = 0; i < 10; i++)
      await Effect.runPromise(
        publish(nats.nats, "mail", { subject: "arrive.raw.-.-", data: Buffer.from(`m${i}`) }),
      );
    const { jsm } = nats.nats;
    await jsm.consumers.info("ARRIVALS", "ingest-raw");
    const objects = await Effect.runPromise(openObjects(nats.nats, "orrery-runs", 1));
    const large = new Uint8Array(1_500_000).map((_, i) => i % 251);
    await Effect.runPromise(objects.put("logs/a", large));
    const before = await held(nats.nats);
    const sequences = (await jsm.streams.info("KV_ledger")).state;

    const folder = freshFolder();
    const made = await orrery("backup", folder);
    expect([made.exit, made.stderr]).toEqual([0, ""]);
    expect(made.stdout).toContain("site kept as of ");
    expect((await orrery("backup", folder, "--verify")).exit).toBe(0);
    const again = await orrery("backup", folder);
    expect([again.exit, again.stderr]).toEqual([1, expect.stringContaining("holds a backup already")]);

    await emptied();
    const restored = await orrery("restore", folder);
    expect([restored.exit, restored.stdout]).toEqual([0, expect.stringContaining("orrery replay")]);
    expect(await held(nats.nats)).toEqual(before);
    const now = (await jsm.streams.info("KV_ledger")).state;
    expect([now.first_seq, now.last_seq, now.messages]).toEqual([
      sequences.first_seq,
      sequences.last_seq,
      sequences.messages,
    ]);
    expect((await jsm.streams.info("ARRIVALS")).state.messages).toBe(10);
    expect((await jsm.consumers.info("ARRIVALS", "ingest-raw")).num_pending).toBe(10);
    const found = await Effect.runPromise(
      Effect.flatMap(openObjects(nats.nats, "orrery-runs", 1), (bucket) => bucket.get("logs/a")),
    );
    const hash = createHash("sha256");
    for await (const part of found?.data ?? []) hash.update(part);
    expect(hash.digest("hex")).toBe(createHash("sha256").update(large).digest("hex"));
    // What is not backed up, who is alive, is made by the topology.
    const plan = await orrery("topology", "plan");
    expect([plan.exit, plan.stdout.trim()]).toEqual([3, "+ create stream KV_nodes"]);
  });

  it("of keys that are written again and again meanwhile lacks none, and no half of a transaction", async () => {
    const pairs = 300;
    const files = 40_000;
    // So many that archiving them takes longer than some writes.
    await written(files);
    let round = 0;
    const writer = { going: true };
    const write = async (): Promise<void> => {
      while (writer.going) {
        round++;
        // Keys that always agree, wherever a backup falls: the third is ended where the others are odd.
        for (let at = 0; at < pairs; at += 100) {
          const writes = Array.from({ length: 100 }, (_, i) => [
            ledgerPut(`file.raw.-.left/${at + i}`, bytes(record(round, round))),
            ledgerPut(`file.raw.-.right/${at + i}`, bytes(record(round, round))),
            round % 2 === 0
              ? ledgerPut(`file.raw.-.even/${at + i}`, bytes(record(round, round)))
              : ledgerEnd(`file.raw.-.even/${at + i}`),
          ]).flat();
          const answer = await commitUnsafe(nats.nats, "pairs", writes, patienceMs);
          if ("_tag" in answer) throw answer;
        }
        const rewrites = Array.from({ length: 500 }, (_, i) =>
          ledgerPut(
            key((round * 4_999 + i * 77) % files),
            bytes(record((round * 4_999 + i * 77) % files, round)),
          ),
        );
        await commitUnsafe(nats.nats, "rewrites", rewrites, patienceMs);
      }
    };
    const writing = write();
    // Told by whoever awaits it.
    writing.catch(() => undefined);
    let [folder, tail] = ["", 0];
    // Of one during which little was written little is tried: it is done again.
    try {
      for (let tried = 0; tried < 5 && tail <= 500; tried++) {
        folder = freshFolder();
        const made = await orrery("backup", folder, "--json");
        expect([made.exit, made.stderr]).toEqual([0, ""]);
        const { streams } = JSON.parse(made.stdout) as {
          streams: ReadonlyArray<{ name: string; tail: { messages: number } | null }>;
        };
        tail = streams.find(({ name }) => name === "KV_ledger")?.tail?.messages ?? 0;
      }
    } finally {
      writer.going = false;
    }
    await writing;
    expect(tail).toBeGreaterThan(500);

    await emptied();
    expect((await orrery("restore", folder)).exit).toBe(0);
    const { values } = await held(nats.nats);
    const lacking = Array.from({ length: files }, (_, i) => key(i)).filter((name) => !values.has(name));
    expect(lacking).toEqual([]);
    const torn = Array.from({ length: pairs }, (_, i) => i).filter(
      (i) => values.get(`file.raw.-.left/${i}`) !== values.get(`file.raw.-.right/${i}`),
    );
    expect(torn).toEqual([]);
    const wrong = Array.from({ length: pairs }, (_, i) => i).filter((i) => {
      const left = values.get(`file.raw.-.left/${i}`);
      const { generation } = JSON.parse(left ?? "{}") as { generation?: number };
      return values.get(`file.raw.-.even/${i}`) !== ((generation ?? 0) % 2 === 0 ? left : undefined);
    });
    expect(wrong).toEqual([]);
  });

  it("keeps of what came meanwhile what it is: ended, for how long it lives, what it rolls up", async () => {
    const { jsm } = nats.nats;
    const objects = await Effect.runPromise(openObjects(nats.nats, "orrery-runs", 1));
    await Effect.runPromise(objects.put("logs/a", new TextEncoder().encode("first")));
    const seen: Array<TailMessage> = [];
    const presence = (await jsm.streams.info("KV_presence")).state.last_seq;
    await Effect.runPromise(
      publish(nats.nats, "a group", { subject: "$KV.presence.a", data: Buffer.from("1"), ttlSeconds: 3_600 }),
    );
    await Effect.runPromise(
      publish(nats.nats, "an end", { subject: "$KV.presence.b", data: new Uint8Array(), marker: true }),
    );
    await tailUnsafe(nats.nats, "KV_presence", presence, (message) => void seen.push(message));
    expect(seen.map(({ headers }) => headers)).toEqual([{ "Nats-TTL": "3600s" }, { "KV-Operation": "DEL" }]);
    await jsm.streams.purge("KV_presence");
    expect(await writeTailUnsafe(nats.nats, "KV_presence", Readable.from(seen))).toBe(2);
    const a = await jsm.streams.getMessage("KV_presence", { last_by_subj: "$KV.presence.a" });
    const b = await jsm.streams.getMessage("KV_presence", { last_by_subj: "$KV.presence.b" });
    expect([a?.header.get("Nats-TTL"), b?.header.get("KV-Operation")]).toEqual(["3600s", "DEL"]);

    // An object that is replaced: its description takes the place of the former.
    const from = (await jsm.streams.info("OBJ_orrery-runs")).state.last_seq;
    await Effect.runPromise(objects.put("logs/a", new TextEncoder().encode("second")));
    const pieces: Array<TailMessage> = [];
    await tailUnsafe(nats.nats, "OBJ_orrery-runs", from, (message) => void pieces.push(message));
    await writeTailUnsafe(nats.nats, "OBJ_orrery-runs", Readable.from(pieces));
    const found = await Effect.runPromise(objects.list());
    expect(found.map(({ name, size }) => [name, size])).toEqual([["logs/a", 6]]);
  });

  it("holds its consumers where they were when it was begun: the server archives them first, and a restore relies on it", async () => {
    const consumer = "ingest-raw";
    const mailOf = (count: number): Promise<unknown> =>
      Effect.runPromise(
        Effect.forEach(Array.from({ length: count }), () =>
          publish(nats.nats, "mail", { subject: "arrive.raw.-.-", data: randomBytes(160_000) }),
        ),
      );
    const acknowledged = async (count: number): Promise<void> => {
      const box = new Mailbox(nats.nats, "ARRIVALS", consumer);
      try {
        const taken = await box.take(count, 10_000);
        expect(taken.length).toBe(count);
        for (const { reply } of taken) await nats.nats.connection.request(reply, "+ACK", { timeout: 10_000 });
      } finally {
        box.close();
      }
    };
    // More than the server reads and sends ahead, and nothing that could be compressed: it waits for the first piece to be stored.
    await mailOf(200);
    await acknowledged(50);
    const pieces: Array<Uint8Array> = [];
    const { signal } = new AbortController();
    const archived = await archiveUnsafe(nats.nats, "ARRIVALS", signal, async (piece) => {
      if (pieces.push(piece.slice()) > 1) return;
      await mailOf(5);
      await acknowledged(155);
    });
    const { jsm } = nats.nats;
    await jsm.streams.delete("ARRIVALS");
    await unarchiveUnsafe(nats.nats, archived, signal, Readable.from(pieces), () => undefined);
    const { ack_floor, delivered } = await jsm.consumers.info("ARRIVALS", consumer);
    // Were they beyond what is archived, new mail would get the sequences that they have had, and never be given out.
    expect([ack_floor.stream_seq, delivered.stream_seq]).toEqual([50, 50]);
    await mailOf(5);
    await acknowledged(155);
  });

  it("that is interrupted is none, and the folder can be used again", async () => {
    await written(2_000);
    const objects = await Effect.runPromise(openObjects(nats.nats, "orrery-runs", 1));
    await Effect.runPromise(
      objects.put(
        "logs/large",
        new Uint8Array(8_000_000).map((_, i) => (i * 7919) % 256),
      ),
    );
    const folder = freshFolder();
    const run = beginCli(["backup", folder], { cwd, env: { ORRERY_SITE: join(cwd, "site.yaml") } });
    // The first archive is there: the rest is under way.
    while (!existsSync(join(folder, "ARRIVALS.archive"))) await new Promise((later) => setTimeout(later, 1));
    run.interrupt();
    expect(await run.exit).toBe(130);
    expect(existsSync(join(folder, "manifest.json"))).toBe(false);
    for (const argv of [
      ["backup", folder, "--verify"],
      ["restore", folder],
    ]) {
      const { exit, stderr } = await orrery(...argv);
      expect([exit, stderr]).toEqual([1, expect.stringContaining("holds no whole backup")]);
    }
    expect((await orrery("backup", folder)).exit).toBe(0);
    expect((await orrery("backup", folder, "--verify")).exit).toBe(0);
  });
});

describe("a backup that is not as it was written", () => {
  const flip = (file: string): void => {
    const all = readFileSync(file);
    const middle = Math.floor(all.length / 2);
    all[middle] = (all[middle] ?? 0) ^ 1;
    writeFileSync(file, all);
  };
  const archive = "KV_ledger.archive";
  const withSum = (file: string, change: (text: string) => string): void => {
    const body = change(readFileSync(file, "utf8").replace(/\nsha256 .*\n$/, ""));
    writeFileSync(file, `${body}\nsha256 ${createHash("sha256").update(body).digest("hex")}\n`);
  };

  it.each([
    ["a bit that flipped", archive, "is damaged", (folder: string) => flip(join(folder, archive))],
    ["cut short", archive, "is cut short", (folder: string) => truncateSync(join(folder, archive), 100)],
    [
      "with something behind it",
      archive,
      "is longer",
      (folder: string) => appendFileSync(join(folder, archive), "x"),
    ],
    [
      "a file that is missing",
      "ARRIVALS.archive",
      "is missing",
      (folder: string) => unlinkSync(join(folder, "ARRIVALS.archive")),
    ],
    [
      "two files exchanged",
      archive,
      "KV_ledger.archive is",
      (folder: string) => {
        renameSync(join(folder, archive), join(folder, "x"));
        renameSync(join(folder, "ITEMS.archive"), join(folder, archive));
        renameSync(join(folder, "x"), join(folder, "ITEMS.archive"));
      },
    ],
    [
      "a manifest that was changed",
      "manifest.json",
      "is damaged",
      (folder: string) => flip(join(folder, "manifest.json")),
    ],
    [
      "a newer format",
      "manifest.json",
      "is of format 2, and this program knows formats up to 1",
      (folder: string) => withSum(join(folder, "manifest.json"), (all) => all.replace('"v": 1', '"v": 2')),
    ],
    [
      "a ledger of a newer format",
      "ledger",
      "is of format 9",
      (folder: string) =>
        withSum(join(folder, "manifest.json"), (all) =>
          all.replace(/"ledgerFormat": \d+/, '"ledgerFormat": 9'),
        ),
    ],
  ] as const)("%s: refused by name before anything is written", async (_what, file, words, damage) => {
    await written(600);
    const folder = freshFolder();
    expect((await orrery("backup", folder)).exit).toBe(0);
    const copy = `${folder}-damaged`;
    cpSync(folder, copy, { recursive: true });
    damage(copy);
    const before = await held(nats.nats);
    const refused = await orrery("restore", copy, "--replace");
    expect([refused.exit, refused.stdout]).toEqual([1, ""]);
    expect(refused.stderr).toContain(file);
    expect(refused.stderr).toContain(words);
    expect(await held(nats.nats)).toEqual(before);
    if (file !== "ledger") expect((await orrery("backup", copy, "--verify")).exit).toBe(1);
  });
});

describe("a restore", () => {
  it("is refused over what is there unless that is said, of another site, and while nodes are alive", async () => {
    await written(500);
    const folder = freshFolder();
    expect((await orrery("backup", folder)).exit).toBe(0);
    await written(100, 10_000);
    const there = await orrery("restore", folder);
    expect([there.exit, there.stderr]).toEqual([
      1,
      expect.stringMatching(/KV_ledger \(600 messages\).*--replace/),
    ]);
    writeFileSync(join(cwd, "site.yaml"), text().replace("name: kept", "name: other"));
    const other = await orrery("restore", folder, "--replace");
    expect([other.exit, other.stderr]).toEqual([1, expect.stringContaining("is a backup of site kept")]);
    writeFileSync(join(cwd, "site.yaml"), text());
    const site = await startSite(text());
    try {
      const alive = await orrery("restore", folder, "--replace");
      expect([alive.exit, alive.stderr]).toEqual([
        1,
        expect.stringContaining("1 node of the site is alive (one)"),
      ]);
    } finally {
      await site.stop();
    }
    expect((await orrery("restore", folder, "--replace")).exit).toBe(0);
    const files = [...(await held(nats.nats)).values.keys()].filter((name) => name.startsWith("file."));
    expect(files).toHaveLength(500);
  });

  it("begins with the mail and ends with the ledger, which names the rest", async () => {
    await written(10);
    const folder = freshFolder();
    expect((await orrery("backup", folder)).exit).toBe(0);
    await emptied();
    const { exit, stderr } = await orrery("restore", folder);
    const told = [...stderr.matchAll(/^(\w[\w-]*): [\d,]+ messages? restored$/gm)].map(([, name]) => name);
    expect([exit, told.length > 3, told.at(-1)]).toEqual([0, true, "KV_ledger"]);
  });

  it("says loudly that it began no epoch, where the site file is in no deployment's folder", async () => {
    const folder = freshFolder();
    expect((await orrery("backup", folder)).exit).toBe(0);
    const said = await orrery("restore", folder, "--replace");
    expect([said.exit, said.stderr]).toEqual([
      0,
      expect.stringMatching(/^! no new epoch was begun: .*--site/m),
    ]);
    const { epoch, warnings } = JSON.parse(
      (await orrery("restore", folder, "--replace", "--json")).stdout,
    ) as { epoch: unknown; warnings: unknown };
    expect([epoch, warnings]).toEqual([null, [expect.stringContaining("no new epoch was begun")]]);
  });

  it("lets go of mail that came after the mail was archived: it would be taken for what comes next", async () => {
    const slot = "claim.raw.gone.0";
    const item = { record: key(1), etag: "e", generation: 0 };
    const claimed = {
      v: 1,
      state: "claimed",
      id: "c",
      epoch: "e",
      since: "2025-11-21T00:00:00.000Z",
      items: [
        { ...item, sequence: 1 },
        { ...item, record: key(2), sequence: 90 },
      ],
    };
    await Effect.runPromise(
      publish(nats.nats, "mail", { subject: "arrive.raw.-.-", data: Buffer.from("m") }),
    );
    const due = (putBack: number) => ({ v: 1, notBefore: 0, generation: 1, putBack });
    await Effect.runPromise(
      commit(nats.nats, "in hand", [
        ledgerPut(slot, bytes(claimed)),
        ledgerPut("due.raw.-.raw/1", bytes(due(1))),
        ledgerPut("due.raw.-.raw/2", bytes(due(90))),
      ]),
    );
    const folder = freshFolder();
    expect((await orrery("backup", folder)).exit).toBe(0);
    await emptied();
    const restored = await orrery("restore", folder);
    expect([restored.exit, restored.stdout]).toEqual([
      0,
      expect.stringContaining("2 claims and due records"),
    ]);
    const { values } = await held(nats.nats);
    const parsed = (name: string): unknown => JSON.parse(values.get(name) ?? "null");
    expect(parsed(slot)).toEqual({
      ...claimed,
      items: [claimed.items[0], { ...claimed.items[1], sequence: 0 }],
    });
    expect(parsed("due.raw.-.raw/1")).toEqual(due(1));
    expect(parsed("due.raw.-.raw/2")).toEqual({ ...due(90), putBack: null });
  });
});

describe("two ledgers", () => {
  it("agree where only times and tries differ, and are told apart by what is in them", async () => {
    await written(300);
    const before = join(cwd, "before");
    expect((await orrery("ledger", "save", before)).stdout).toContain("300 records of site kept");
    await Effect.runPromise(
      commit(nats.nats, "another try", [
        ledgerPut(key(7), bytes({ ...record(7, 3), attempts: 2, claim: "x" })),
      ]),
    );
    const same = await orrery("ledger", "compare", before);
    expect([same.exit, same.stdout]).toEqual([0, expect.stringContaining("agree in all 300 records")]);
    await Effect.runPromise(
      commit(nats.nats, "other content", [
        ledgerPut(key(1), bytes({ ...record(1, 0), etag: "other" })),
        ledgerPut(key(2), bytes({ ...record(2, 0), state: "parked" })),
        ledgerPut(key(3), bytes({ ...record(3, 0), body: { ...record(3, 0).body, metadata: { a: 1 } } })),
        ledgerEnd(key(4)),
        ledgerPut(key(999), bytes(record(999, 0))),
        ledgerPut("order.x", bytes({})),
      ]),
    );
    const told = await orrery("ledger", "compare", before, "--json");
    expect(told.exit).toBe(3);
    const { differences, same: kept } = JSON.parse(told.stdout) as {
      differences: ReadonlyArray<{ key: string; words: string }>;
      same: number;
    };
    expect(Object.fromEntries(differences.map(({ key: name, words }) => [name, words]))).toEqual({
      [key(1)]: "content e1 → other",
      [key(2)]: "known → parked",
      [key(3)]: "other metadata",
      [key(4)]: "only before: known",
      [key(999)]: "only after: known",
    });
    expect(kept).toBe(296);
    // Cut between two records, it would be a smaller ledger.
    const lines = readFileSync(before, "utf8").split("\n");
    writeFileSync(before, `${lines.slice(0, 100).join("\n")}\n`);
    const cut = await orrery("ledger", "compare", before);
    expect([cut.exit, cut.stderr]).toEqual([1, expect.stringContaining("is cut short: it holds 99 records")]);
  });
});
