import { describe, expect, it } from "vitest";
import type { Told } from "../../../src/demo/account.ts";
import { accountOf } from "../../../src/demo/account.ts";
import type { Evidence } from "../../../src/demo/evidence.ts";
import type { Night, PlannedExposure, PlannedObject } from "../../../src/demo/nightPlan.ts";
import { nightBucket, otherContent, planExposure, planStrays } from "../../../src/demo/nightPlan.ts";
import { summaryLines } from "../../../src/demo/summary.ts";
import type { Kill } from "../../../src/demo/theKill.ts";
import type { Sent } from "../../../src/demo/sender.ts";
import { objectTail, parkedKey, placeOfRecordKey, recordKey } from "../../../src/protocol/keys.ts";
import type { ClaimSlot, FileBody, LedgerRecord, State } from "../../../src/protocol/records.ts";
import type { RunBody } from "../../../src/protocol/runs.ts";
import { plainRecord } from "../../support/records.ts";

const day = "20260714";
const night: Night = { day, seed: 1, needed: ["R21_S11", "R22_S01", "R22_S11", "R22_S21", "R23_S11"] };
const mark = "night-mark";
const uri = (bucket: string, key: string): string => `file:///${bucket}/${key}`;

/** Mutable, so that a test can spoil one thing of an otherwise perfect night. */
interface Scene {
  told: { -readonly [K in keyof Told]: Told[K] };
  files: Map<string, LedgerRecord<FileBody>>;
  runs: Map<string, LedgerRecord<RunBody>>;
  slots: Map<string, ClaimSlot>;
  indexes: Array<string>;
  arrivals: Map<string, Map<string, number>>;
  presence: Array<Evidence["presence"][number]>;
  pictures: Set<string>;
}

function record<Body>(state: State, etag: string, reason: string | null, body: Body): LedgerRecord<Body> {
  const at = "2026-07-15T00:00:00.000Z";
  return plainRecord(state, body, {
    etag,
    errors: reason === null ? [] : [{ at, class: "permanent", reason, detail: "" }],
    history: [{ at, event: state, node: "demo-1" }],
  });
}

const fileBody = (bucket: string, key: string, sequence: number, raw?: string): FileBody => ({
  bucket,
  key,
  size: 1,
  uri: "",
  identity: null,
  metadata: null,
  via: "webhook",
  receivedAt: "",
  sequence,
  ...(raw === undefined ? {} : { raw }),
});

function keyOf(object: PlannedObject): string {
  const tail = objectTail(object.bucket, object.key);
  if (object.bucket !== nightBucket) return recordKey({ mailbox: "unrouted", day: "-", tail });
  return recordKey({ mailbox: "demo", day: object.key.includes(`/${day}/`) ? day : "-", tail });
}

function play(): Scene {
  const exposures = Array.from({ length: 6 }, (_, i) => planExposure(night, i + 1));
  const objects = [...exposures.flatMap((one) => [...one.early, ...one.objects]), ...planStrays(night)];
  const scene: Scene = {
    told: {
      sent: new Map(),
      exposures,
      nameless: 1,
      webhooks: 60,
      wrongAnswers: [],
      mark,
      day,
      lane: "demo",
      products: { lane: "products", bucket: "demo-products" },
      uri,
      kill: null,
      faults: [],
    },
    files: new Map(),
    runs: new Map(),
    slots: new Map([
      ["claim.demo.demo-1.0", { v: 1, state: "idle", last: null, how: "settled", by: "demo-1" }],
    ]),
    indexes: [],
    arrivals: new Map(),
    presence: [],
    pictures: new Set(),
  };
  const sent = new Map<string, Sent>();
  for (const object of objects) happen(scene, sent, object);
  scene.told.sent = sent;
  const raw = `{"eventId":"${mark}"}`;
  const nameless = record("parked", "n", "MalformedNotification", fileBody("", "", 0, raw));
  scene.files.set("file.unrouted.-.malformed/0", nameless);
  scene.indexes.push("parked.unrouted.-.malformed/0");
  for (const exposure of exposures.filter(({ complete }) => complete)) look(scene, exposure);
  const held = objects.slice(0, 3).map((object) => ({
    record: keyOf(object),
    etag: object.content().etag,
    generation: 0,
    sequence: 1,
  }));
  const kill: Kill = {
    claim: "c",
    items: held,
    at: 1,
    takenBack: { by: "demo-1", afterMs: 2_000 },
    revived: true,
  };
  scene.told.kill = kill;
  return scene;
}

function happen(scene: Scene, sent: Map<string, Sent>, object: PlannedObject): void {
  const { expected } = object;
  const key = keyOf(object);
  const { etag } = object.content();
  const other = expected.state === "known" && expected.refused === true ? otherContent(object).etag : null;
  const etags = other === null ? [etag] : [etag, other];
  sent.set(object.key, { object, record: key, etags, announced: object.times + etags.length - 1 });
  const unrouted = object.bucket !== nightBucket;
  const reason = expected.state === "parked" ? expected.reason : null;
  const file = record(expected.state, etag, reason, fileBody(object.bucket, object.key, unrouted ? 0 : 1));
  const refused = other === null ? {} : { refused: [{ etag: other, size: 1, at: "", sequence: 2 }] };
  scene.files.set(key, { ...file, ...refused });
  const place = placeOfRecordKey(key);
  if (place !== null && (reason !== null || other !== null)) scene.indexes.push(parkedKey(place));
  if (!unrouted) scene.arrivals.set(object.key, new Map(etags.map((one) => [one, 1])));
  if (object.group !== null) {
    const found = expected.state === "known" ? uri(object.bucket, object.key) : null;
    scene.presence.push({ group: object.group, object, http: found, nats: found });
  }
}

function look(scene: Scene, { name }: PlannedExposure): void {
  const outputs = ["statistics.json", "quicklook.png"].map((file) => {
    const key = `quicklook/${day}/${name}/${file}`;
    const place = { mailbox: "products", day, tail: objectTail("demo-products", key) };
    scene.files.set(recordKey(place), record("known", "p", null, fileBody("demo-products", key, 9)));
    return { name: file, bucket: "demo-products", key, etag: "p", size: 1 };
  });
  const body: RunBody = {
    job: "quicklook",
    version: "1",
    partition: { instrument: "LSSTCam", day, exposure: name },
    hash: "0",
    inputs: [],
    createdAt: "",
    started: null,
    outputs,
    result: null,
  };
  scene.runs.set(`run.quicklook.${day}.${name}`, record("done", "0", null, body));
  scene.pictures.add(name);
}

const account = (scene: Scene) => accountOf(scene.told, scene);

const entry = <V>(map: ReadonlyMap<string, V>, like: RegExp): readonly [string, V] => {
  const found = [...map].find(([key]) => like.test(key));
  if (found === undefined) throw new Error(`nothing like ${like}`);
  return found;
};

describe("the account of a night", () => {
  it("finds no fault where everything is as it should be", () => {
    const { faults, known, parked, looks, rescued, present, absent, refused, repeated, lacking } =
      account(play());
    expect(faults).toEqual([]);
    for (const tally of [known, parked, looks, rescued, present, absent, refused, repeated]) {
      expect(tally.of).toBeGreaterThan(0);
      expect(tally.right).toBe(tally.of);
    }
    expect(lacking).toBe(1);
  });

  const known = /000001_R22_S11\.fits$/;
  const truncated = /000002_R22_S00\.fits$/;
  const spoils: ReadonlyArray<readonly [string, (scene: Scene) => void, RegExp]> = [
    ["a file without a record", (s) => s.files.delete(entry(s.files, known)[0]), /has no record/],
    [
      "a file that is still failing",
      (s) => {
        const [key, file] = entry(s.files, known);
        s.files.set(key, { ...file, state: "failing" });
      },
      /failing, should be known/,
    ],
    [
      "a bad file that is known",
      (s) => {
        const [key, file] = entry(s.files, truncated);
        s.files.set(key, { ...file, state: "known" });
      },
      /should be parked/,
    ],
    [
      "another reason",
      (s) => {
        const [key, file] = entry(s.files, truncated);
        s.files.set(key, {
          ...file,
          errors: file.errors.map((error) => ({ ...error, reason: "NoMetadata" })),
        });
      },
      /parked as NoMetadata, should be HeaderUnreadable/,
    ],
    [
      "a file that ended twice",
      (s) => {
        const [key, file] = entry(s.files, known);
        s.files.set(key, { ...file, history: [...file.history, ...file.history] });
      },
      /ended 2 times/,
    ],
    [
      "other content that took the first one's place",
      (s) => {
        const [key, file] = entry(s.files, /000004_R22_S00\.fits$/);
        s.files.set(key, { ...file, etag: "other" });
      },
      /content other, the first was/,
    ],
    [
      "other content that was refused silently",
      (s) => {
        const [key, file] = entry(s.files, /000004_R22_S00\.fits$/);
        s.files.set(key, { ...file, refused: [] });
      },
      /0 other contents refused, should be 1/,
    ],
    [
      "an arrival that was stored twice",
      (s) => {
        const [, contents] = entry(s.arrivals, known);
        for (const etag of contents.keys()) contents.set(etag, 2);
      },
      /came in 2 times/,
    ],
    [
      "an arrival that is not stored",
      (s) => s.arrivals.delete(entry(s.arrivals, known)[0]),
      /came in 0 times/,
    ],
    [
      "a record that nobody sent",
      (s) =>
        s.files.set(
          `file.demo.${day}.demo-raw/x.fits`,
          record("known", "x", null, fileBody("demo-raw", "x", 1)),
        ),
      /never sent/,
    ],
    [
      "a nameless record that is lost",
      (s) => s.files.delete("file.unrouted.-.malformed/0"),
      /0 records without an object are parked, 1 were sent/,
    ],
    ["an item left due", (s) => s.indexes.push(`due.demo.${day}.demo-raw/x.fits`), /left behind/],
    [
      "an item left waiting",
      (s) => s.indexes.push(`waiting.exposure=2EX.demo.${day}.demo-raw/x.fits`),
      /left behind/,
    ],
    ["a parked file that is not listed", (s) => s.indexes.splice(0, 1), /not listed as such/],
    [
      "a good file that is listed as parked",
      (s) => s.indexes.push(entry(s.files, known)[0].replace("file.", "parked.")),
      /listed as parked, but is not/,
    ],
    [
      "a claim that still holds something",
      (s) =>
        s.slots.set("claim.demo.demo-2.0", {
          v: 1,
          state: "claimed",
          id: "x",
          epoch: "e",
          since: "",
          items: s.told.kill?.items ?? [],
        }),
      /still holds 3 items/,
    ],
    [
      "a group that is absent by NATS",
      (s) => s.presence.push({ ...s.presence[0], nats: null } as Scene["presence"][number]),
      /NATS absent, should be present/,
    ],
    [
      "a bad file's group that is present",
      (s) => {
        const bad = s.presence.find(({ http }) => http === null);
        if (bad !== undefined) s.presence.push({ ...bad, http: "file:///x" });
      },
      /should be absent/,
    ],
    [
      "a quick-look that was not made",
      (s) => s.runs.delete(entry(s.runs, /000001$/)[0]),
      /0 runs, should be one/,
    ],
    [
      "a quick-look that was made twice",
      (s) => s.runs.set(`run.quicklook.${day}.again`, entry(s.runs, /000001$/)[1]),
      /2 runs, should be one/,
    ],
    [
      "a run that was done twice",
      (s) => {
        const [key, run] = entry(s.runs, /000001$/);
        s.runs.set(key, { ...run, history: [...run.history, ...run.history] });
      },
      /done 2 times/,
    ],
    [
      "a product that is not known",
      (s) => s.files.delete(entry(s.files, /000001\/quicklook\.png$/)[0]),
      /its product .* is not known/,
    ],
    ["a picture that is none", (s) => s.pictures.clear(), /its picture is not there/],
    [
      "a quick-look although a detector is missing",
      (s) => {
        const lacking = s.told.exposures.find(({ complete }) => !complete);
        const [, run] = entry(s.runs, /000001$/);
        const partition = { instrument: "LSSTCam", day, exposure: lacking?.name ?? "" };
        s.runs.set("run.quicklook.x", { ...run, body: { ...run.body, partition } });
      },
      /although a detector is missing/,
    ],
    ["no kill", (s) => (s.told.kill = null), /never caught/],
    [
      "a batch that nobody took back",
      (s) => s.told.kill !== null && (s.told.kill = { ...s.told.kill, takenBack: null }),
      /nobody took/,
    ],
    ["a fault beside the files", (s) => (s.told.faults = ["demo-2 ended by itself"]), /ended by itself/],
    ["a wrong answer to a webhook", (s) => (s.told.wrongAnswers = ["answered with 0 queued"]), /0 queued/],
  ];

  it.each(spoils)("tells of %s", (_, spoil, words) => {
    const scene = play();
    spoil(scene);
    const { faults } = account(scene);
    expect(faults.length).toBeGreaterThan(0);
    expect(faults.join("\n")).toMatch(words);
  });

  it("does not count other nights' records that name no day", () => {
    const scene = play();
    const others = record("parked", "o", "MalformedNotification", fileBody("", "", 0, "{}"));
    scene.files.set("file.unrouted.-.malformed/1", others);
    scene.indexes.push("parked.unrouted.-.malformed/1");
    expect(account(scene).faults).toEqual([]);
  });

  it("ends its summary with what it comes to", () => {
    const facts = {
      day,
      ms: 20_000,
      kill: null,
      victim: "demo-2",
      lookups: 1,
      p50: null,
      durability: "fsync",
    };
    const lastOf = (scene: Scene): string =>
      (summaryLines(account(scene), facts).at(-1) ?? []).map(({ text }) => text).join("");
    expect(lastOf(play())).toMatch(/^ {2}✓ every item is accounted for: \d+ objects/);
    const scene = play();
    scene.pictures.clear();
    expect(lastOf(scene)).toMatch(/^ {2}✗ not accounted for: 5 things/);
  });
});
