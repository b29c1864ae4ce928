/**
 * Hostile names and bodies at every way in: nothing of them reaches a shell, a path outside the store or a subject of somebody else's, none
 * of them crashes a node, and no secret is ever said. By default some hundred; with ORRERY_LONG=1 a hundred thousand.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { Agent, request } from "node:http";
import * as fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { scanUnsafe } from "../../src/jetstream/ledger.ts";
import { ledgerBucket } from "../../src/protocol/keys.ts";
import { canary } from "../support/canaries.ts";
import { nasties, nastyBody, nastyName } from "../support/nasties.ts";
import type { TestSite } from "../support/testSite.ts";
import { ask, patienceMs, startSite, until } from "../support/testSite.ts";

const count = process.env["ORRERY_LONG"] === "1" ? 100_000 : 800;
const minutes = 60_000;
const secrets = { NOTIFICATION_SECRET: canary("notification"), RECEIVER_TOKEN: canary("receiver") };
const folder = mkdtempSync(join(tmpdir(), "orrery-fuzz-"));
const store = join(folder, "store");
const outside = join(folder, "outside");
const agent = new Agent({ keepAlive: true, maxSockets: 8 });
let site: TestSite;

beforeAll(async () => {
  for (const path of [join(store, "raw"), join(store, "imap"), join(store, "made"), outside]) {
    mkdirSync(path, { recursive: true });
  }
  writeFileSync(join(outside, "canary.fits"), "SIMPLE  =                    T");
  writeFileSync(join(outside, "canary.json"), '{"GROUPID":"canary"}');
  const names = resolve(import.meta.dirname, "../../config/imap/names.yaml");
  site = await startSite(
    `
name: fuzz
node: { name: fuzz-1 }
dataDir: ${JSON.stringify(join(folder, "data"))}
nats: { mode: embedded, syncAlways: false }
http: { host: 127.0.0.1, port: 0 }
storage:
  disk: { driver: file, root: ${JSON.stringify(store)} }
lanes:
  raw:
    kind: exposure
    buckets: [raw]
    storage: disk
    accept: .
    pattern: '^(?<instrument>[^/]+)/(?<day>\\d{8})/(?<exposure>[^/]+)/[^/]*(?<detector>R\\d\\d_S\\d\\d)[^/]*$'
    metadata: header
    identity: rubin
    sidecar: .json
    attemptsMax: 1
    backoffBase: 10 ms
  imap:
    kind: object
    buckets: [imap]
    storage: disk
    names: ${JSON.stringify(names)}
    attemptsMax: 1
    backoffBase: 10 ms
  made:
    kind: object
    buckets: [made]
    storage: disk
enqueuer:
  secret: env:NOTIFICATION_SECRET
  secretIn: [bearer]
  natsSubject: s3.events
webhooks:
  nobody:
    url: http://127.0.0.1:9/
    headers: { authorization: env:RECEIVER_TOKEN }
    lanes: [raw]
presence: { instruments: [LSSTCam] }
jobs:
  look:
    version: "1"
    partition: exposure
    lane: look
    inputs: [{ lane: raw, count: 1 }]
    outputs: [{ name: out.txt, bucket: made, key: "{instrument}/{exposure}/out.txt" }]
    command: [/bin/sh, -ec, 'echo $ORRERY_EXPOSURE $ORRERY_INSTRUMENT $ORRERY_RUN > "$ORRERY_OUTPUTS/out.txt"']
    timeLimit: 2 min
`,
    { env: secrets },
  );
});

afterAll(async () => {
  agent.destroy();
  await site?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const bearer = { authorization: `Bearer ${secrets.NOTIFICATION_SECRET}`, "content-type": "application/json" };
const said: Array<string> = [];

const post = (body: string, headers: Record<string, string> = bearer) => ask(site, { body, headers, agent });

/** Runs the property over `count` values, a few at a time. */
async function all<A>(of: fc.Arbitrary<A>, most: number, each: (value: A) => Promise<void>): Promise<void> {
  const { seed = Math.floor(Math.random() * 2 ** 31) } = fc.readConfigureGlobal();
  const values = fc.sample(of, { numRuns: most, seed });
  for (let at = 0; at < values.length; at += 8) {
    await Promise.all(
      values.slice(at, at + 8).map(async (value) => {
        try {
          await each(value);
        } catch (cause) {
          throw new Error(`seed ${seed}: ${JSON.stringify(value).slice(0, 600)}`, { cause });
        }
      }),
    );
  }
}

function filesUnder(path: string): ReadonlyArray<string> {
  return readdirSync(path, { recursive: true, encoding: "utf8" });
}

const isPwned = (): ReadonlyArray<string> =>
  [...filesUnder(folder), ...readdirSync(process.cwd())].filter((name) => /(?:^|\/)PWNED/.test(name));

/** A good file goes through: the node is well. */
async function isWell(mark: string): Promise<void> {
  const key = `LSSTCam/20251121/good-${mark}/good_${mark}_R22_S11.fits`;
  mkdirSync(join(store, "raw", "LSSTCam/20251121", `good-${mark}`), { recursive: true });
  writeFileSync(join(store, "raw", key), "x");
  writeFileSync(
    join(store, "raw", key.replace(/fits$/, "json")),
    JSON.stringify({
      INSTRUME: "LSSTCam",
      GROUPID: mark,
      CURINDEX: 1,
      RAFTBAY: "R22",
      CCDSLOT: "S11",
      DAYOBS: "20251121",
      SEQNUM: 1,
      OBSID: `good-${mark}`,
    }),
  );
  const sent = await post(
    JSON.stringify({
      Records: [
        {
          eventName: "ObjectCreated:Put",
          s3: { bucket: { name: "raw" }, object: { key, eTag: "g", size: 1 } },
        },
      ],
    }),
  );
  expect(sent.status).toBe(200);
  const { nats } = site.node.context;
  await until(
    async () => {
      const states: Array<string> = [];
      await scanUnsafe(nats, ledgerBucket, ["file.raw.20251121.>"], ({ key: at, data }) => {
        if (at.includes(`good_${mark}_`))
          states.push((JSON.parse(new TextDecoder().decode(data)) as { state: string }).state);
      });
      return states;
    },
    (states) => states.length === 1 && (states[0] === "known" || states[0] === "parked"),
  );
}

describe("hostile input", () => {
  it(
    "is answered by the webhook without a 5xx, and the node goes on",
    { timeout: 20 * minutes },
    async () => {
      await all(nastyBody, count, async (body) => {
        const answer = await post(body);
        said.push(JSON.stringify(answer.body));
        if (said.length > 5_000) said.splice(0, 4_000);
        expect(answer.status).toBeLessThan(500);
      });
      for (const name of nasties) {
        const wrong = await post(JSON.stringify({ Records: [{ opaqueData: name }] }), {
          authorization: `Bearer ${encodeURIComponent(name.toWellFormed())}`,
        });
        expect([401, 403]).toContain(wrong.status);
        said.push(JSON.stringify(wrong.body));
      }
      await isWell("webhook");
    },
  );

  it("is no question that presence falls over, by HTTP or by NATS", { timeout: 20 * minutes }, async () => {
    const { connection } = site.node.context.nats;
    await all(nastyName, Math.ceil(count / 4), async (name) => {
      const path = `/presence/LSSTCam/${encodeURIComponent(name.toWellFormed())}/0/${encodeURIComponent(name.toWellFormed())}`;
      const answer = await ask(site, { method: "GET", path, agent });
      expect(answer.status).toBeLessThan(500);
      const reply = await connection.request(
        "orrery.presence",
        JSON.stringify({ instrument: name, group: name, snap: name, detector: name }),
        { timeout: patienceMs },
      );
      expect(reply.string()).toMatch(/^\{/);
      connection.publish("s3.events", name);
    });
    await isWell("presence");
  });

  it("is no path of HTTP that the listener falls over", { timeout: 5 * minutes }, async () => {
    const url = new URL(site.url);
    for (const name of nasties) {
      const path = `/${name.replaceAll(/[^\x21-\x7e]/g, (letter) => encodeURIComponent(letter.toWellFormed()))}`;
      const status = await new Promise<number>((answered) => {
        const sent = request({ host: url.hostname, port: url.port, path, method: "PUT" }, (response) => {
          response.resume();
          answered(response.statusCode ?? 0);
        });
        sent.on("error", () => answered(0));
        sent.end();
      });
      expect(status).toBeLessThan(500);
    }
    await isWell("paths");
  });

  it("is an exposure's name that no shell and no folder understands", { timeout: 10 * minutes }, async () => {
    // What a folder can be called, and a shell would gladly read.
    const folders = nasties.filter(
      (name) =>
        name !== "" &&
        !/[/\0]/.test(name) &&
        name.isWellFormed() &&
        Buffer.byteLength(name) < 200 &&
        !/^\.+$/.test(name),
    );
    for (const [i, name] of folders.entries()) {
      const key = `LSSTCam/20251122/${name}/n${i}_R22_S11.fits`;
      mkdirSync(join(store, "raw", "LSSTCam/20251122", name), { recursive: true });
      writeFileSync(join(store, "raw", key), "x");
      writeFileSync(
        join(store, "raw", key.replace(/fits$/, "json")),
        JSON.stringify({
          INSTRUME: "LSSTCam",
          GROUPID: name,
          CURINDEX: 1,
          RAFTBAY: "R22",
          CCDSLOT: "S11",
          DAYOBS: "20251122",
          SEQNUM: i,
          OBSID: name,
        }),
      );
      const answer = await post(
        JSON.stringify({
          Records: [
            {
              eventName: "ObjectCreated:Put",
              s3: { bucket: { name: "raw" }, object: { key: encodeURIComponent(key), eTag: "g", size: 1 } },
            },
          ],
        }),
      );
      expect(answer.status).toBe(200);
    }
    const { nats } = site.node.context;
    const runs = await until(
      async () => {
        const states: Array<string> = [];
        await scanUnsafe(nats, ledgerBucket, ["run.>"], ({ data }) => {
          states.push((JSON.parse(new TextDecoder().decode(data)) as { state: string }).state);
        });
        return states;
      },
      (states) =>
        states.length >= folders.length / 2 &&
        states.every((state) => state === "done" || state === "parked"),
      240_000,
    );
    expect(runs.filter((state) => state === "done").length).toBeGreaterThan(folders.length / 2);
    expect(isPwned()).toEqual([]);
  });

  it("has left nothing outside the store, has ended no actor, and no secret was said", async () => {
    expect(isPwned()).toEqual([]);
    expect(readdirSync(outside).toSorted()).toEqual(["canary.fits", "canary.json"]);
    expect(readFileSync(join(outside, "canary.json"), "utf8")).toContain("canary");
    expect(readdirSync(folder).toSorted()).toEqual(["data", "outside", "store"]);
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
    const lines = site.log.map((line) =>
      JSON.stringify(line, (_, value: unknown) => (value instanceof Error ? String(value) : value)),
    );
    expect(lines.filter((line) => /died|defect|restart/i.test(line))).toEqual([]);
    const { nats } = site.node.context;
    const stored: Array<string> = [];
    await scanUnsafe(nats, ledgerBucket, [">"], ({ key, data }) => {
      stored.push(key);
      const text = new TextDecoder().decode(data);
      for (const secret of Object.values(secrets)) expect(text.includes(secret)).toBe(false);
    });
    expect(stored.length).toBeGreaterThan(10);
    for (const secret of Object.values(secrets)) {
      expect(lines.filter((line) => line.includes(secret))).toEqual([]);
      expect(said.filter((answer) => answer.includes(secret))).toEqual([]);
    }
  });
});
