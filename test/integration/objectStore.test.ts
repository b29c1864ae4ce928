/**
 * The whole way of a file behind a real S3 server: uploaded with the AWS client, announced by the server's own webhook, known or
 * parked with its reason, and found by presence look-ups over HTTP and NATS.
 */
import { PutObjectCommand } from "@aws-sdk/client-s3";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Scope from "effect/Scope";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseSite } from "../../src/config/loadSite.ts";
import { makeSample } from "../../src/demo/fitsWriter.ts";
import { freePorts } from "../../src/demo/ports.ts";
import { get, scan } from "../../src/jetstream/ledger.ts";
import { makeLog } from "../../src/log.ts";
import type { RunningNode } from "../../src/node.ts";
import { startNode } from "../../src/node.ts";
import { identityFromHeader } from "../../src/protocol/identity.ts";
import { objectTail, recordKey } from "../../src/protocol/keys.ts";
import { decodeRecord } from "../../src/protocol/records.ts";
import type { FileBody, LedgerRecord } from "../../src/protocol/records.ts";
import { canary } from "../support/canaries.ts";
import { haveRubinData, rubinFiles } from "../support/rubinData.ts";
import { patienceMs } from "../support/testSite.ts";
import type { Versitygw } from "../support/versitygw.ts";
import { startVersitygw, versitygwCredentials } from "../support/versitygw.ts";

const bucket = "raw-images";
const secret = canary("path");
const instruments = ["LATISS", "LSSTComCam", "LSSTComCamSim", "LSSTCam", "LSST-TS8"];

const siteText = (port: number, s3Port: number, dataDir: string): string => `
name: s3-test
node: { name: s3-test-1 }
dataDir: ${JSON.stringify(dataDir)}
nats: { mode: embedded, syncAlways: false }
http: { host: 127.0.0.1, port: ${port} }
log: { level: warn, format: pretty }
storage:
  summit:
    driver: s3
    endpoint: http://127.0.0.1:${s3Port}
    region: ${versitygwCredentials.region}
    forcePathStyle: true
    accessKeyId: env:TEST_S3_KEY
    secretAccessKey: env:TEST_S3_SECRET
lanes:
  raw:
    kind: exposure
    buckets: [${bucket}]
    storage: summit
    accept: '\\.fits$'
    pattern: '^(?<instrument>[^/]+)/(?<day>\\d{8})/(?<exposure>[^/]+)/[^/]+\\.fits$'
    metadata: header
    identity: rubin
    sidecar: .json
    attemptsMax: 2
    backoffBase: 100 ms
    backoffMax: 200 ms
enqueuer:
  secret: env:TEST_NOTIFY_SECRET
  secretIn: [path, bearer]
presence:
  instruments: [${instruments.join(", ")}]
  detector: '^R\\d\\d_S\\w\\d'
  lifetime: 1 day
`;

/** Uploads, in the order in which the observatory does it: the sidecar before its image. */
interface Upload {
  readonly key: string;
  readonly body: Uint8Array;
}

function decode(bytes: Uint8Array): Record<string, unknown> {
  return JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>;
}

function dayOf(header: Record<string, unknown>): string {
  const day = header["DAYOBS"];
  return typeof day === "string" ? day.replaceAll("-", "") : "20200101";
}

describe("behind a real S3 server", () => {
  const dataDir = mkdtempSync(join(tmpdir(), "orrery-s3-site-"));
  const scope = Scope.makeUnsafe();
  let s3: Versitygw | undefined;
  let node: RunningNode;

  beforeAll(async () => {
    const port = await freePorts(1);
    const s3Port = await freePorts(1);
    const env = {
      TEST_S3_KEY: versitygwCredentials.accessKeyId,
      TEST_S3_SECRET: versitygwCredentials.secretAccessKey,
      TEST_NOTIFY_SECRET: secret,
    };
    const text = siteText(port, s3Port, dataDir);
    const { site } = await Effect.runPromise(parseSite(text, "s3-test.yaml", { env }));
    node = await Effect.runPromise(
      Scope.provide(startNode({ site, log: makeLog(site.log, {}, () => undefined) }), scope),
    );
    // The store tells its webhook of its start, and does not start where nobody answers.
    const webhookUrl = `http://127.0.0.1:${port}/notify/${secret}`;
    s3 = await startVersitygw({ buckets: [bucket], port: s3Port, webhookUrl });
  }, 900_000);

  afterAll(async () => {
    await Effect.runPromise(Scope.close(scope, Exit.void));
    await s3?.stop();
    rmSync(dataDir, { recursive: true, force: true });
  });

  async function put(upload: Upload): Promise<void> {
    if (s3 === undefined) throw new Error("no S3 server");
    await s3.client.send(new PutObjectCommand({ Bucket: bucket, Key: upload.key, Body: upload.body }));
  }

  /** The record once it is settled; rejects after a while. */
  async function settled(key: string): Promise<LedgerRecord<FileBody>> {
    const day = /\/(\d{8})\//.exec(key)?.[1] ?? "-";
    const name = recordKey({ mailbox: "raw", day, tail: objectTail(bucket, key) });
    for (const until = Date.now() + patienceMs; Date.now() < until;) {
      const entry = await Effect.runPromise(get(node.context.nats, "ledger", name));
      if (entry !== null) {
        const record = decodeRecord<FileBody>(name, entry.data);
        if (record.state === "known" || record.state === "parked") return record;
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error(`${name} was not settled`);
  }

  async function present(record: LedgerRecord<FileBody>): Promise<void> {
    const { instrument, group, snap, detector } = record.body.identity ?? {};
    if (instrument == null || group == null || snap == null || detector == null) {
      throw new Error(`no group: ${JSON.stringify(record.body.identity)}`);
    }
    const path = [instrument, group, String(snap), detector].map(encodeURIComponent).join("/");
    const http = await fetch(`${node.httpUrl()}/presence/${path}`);
    expect(await http.json()).toEqual({ error: false, present: true, uri: record.body.uri });
    const reply = await node.context.nats.connection.request(
      "orrery.presence",
      JSON.stringify({ instrument, group, snap, detector }),
      { timeout: patienceMs },
    );
    expect(reply.json()).toEqual({ error: false, present: true, uri: record.body.uri });
  }

  it.runIf(haveRubinData)(
    "real sidecars beside generated FITS: known with their group, or parked with the reason",
    async () => {
      const fits = makeSample({
        instrument: "LSSTCam",
        day: "20251121",
        seqNum: 1,
        raftBay: "R22",
        ccdSlot: "S11",
        seed: 1,
      }).fits;
      const outcomes: Array<string> = [];
      for (const [name, sidecar] of rubinFiles("sidecars")) {
        const header = decode(sidecar);
        const day = dayOf(header);
        const key = `camera/${day}/${name.replace(/\.json$/, "")}/${name.replace(/\.json$/, ".fits")}`;
        await put({ key: key.replace(/\.fits$/, ".json"), body: sidecar });
        await put({ key, body: fits });
        const record = await settled(key);
        const identity = identityFromHeader(header);
        outcomes.push(`${name} ${record.state} ${record.errors.at(-1)?.reason ?? ""}`.trim());
        expect(record.state, `${name}: ${JSON.stringify(record.errors)}`).toBe(
          identity._tag === "Success" ? "known" : "parked",
        );
        if (identity._tag === "Success" && identity.success.detector !== null) await present(record);
      }
      expect(outcomes).toMatchSnapshot();
    },
  );

  it.runIf(haveRubinData)("FITS alone, two of them gzip-compressed under their plain name", async () => {
    for (const [name, body] of rubinFiles("fits")) {
      const key = `camera/20240404/${name.replace(/\.fits$/, "")}/${name}`;
      await put({ key, body });
      const record = await settled(key);
      expect(record.state, JSON.stringify(record.errors)).toBe("known");
      expect(record.body.metadata?.["source"]).toBe("fits");
      await present(record);
    }
  });

  it("groups with # and : in them are found by HTTP and by NATS", async () => {
    const sample = makeSample({
      instrument: "LSSTCam",
      day: "20251121",
      seqNum: 7,
      raftBay: "R22",
      ccdSlot: "S11",
      group: "2025-11-21T07:03:14.565#1",
      seed: 2,
    });
    await put({ key: sample.sidecarKey, body: sample.sidecar });
    await put({ key: sample.key, body: sample.fits });
    const record = await settled(sample.key);
    expect(record.body.identity?.group).toBe("2025-11-21T07:03:14.565#1");
    await present(record);
  });

  it("keys that URL encoding would mangle arrive as they are", async () => {
    const sample = makeSample({
      instrument: "LSSTCam",
      day: "20251121",
      seqNum: 8,
      raftBay: "R22",
      ccdSlot: "S12",
      seed: 3,
    });
    const folder = "camera/20251121/a b+c%20d";
    await put({ key: `${folder}/x y+z.json`, body: sample.sidecar });
    await put({ key: `${folder}/x y+z.fits`, body: sample.fits });
    const record = await settled(`${folder}/x y+z.fits`);
    expect(record.state, JSON.stringify(record.errors)).toBe("known");
  });

  it.each([
    ["an empty file", "empty", new Uint8Array(), "EmptyFile"],
    ["no FITS at all", "text", new TextEncoder().encode("this is no FITS file\n".repeat(300)), "NoMetadata"],
    [
      "a header that breaks off",
      "cut",
      makeSample({
        instrument: "LSSTCam",
        day: "20251121",
        seqNum: 9,
        raftBay: "R22",
        ccdSlot: "S11",
        seed: 4,
      }).fits.slice(0, 1_000),
      "HeaderUnreadable",
    ],
  ])("%s is parked", async (_name, file, body, reason) => {
    const key = `camera/20251121/bad/${file}.fits`;
    await put({ key, body });
    const record = await settled(key);
    expect([record.state, record.errors.at(-1)?.reason]).toEqual(["parked", reason]);
  });

  it("an object that is gone again is tried, then parked", async () => {
    const key = "camera/20251121/gone/gone.fits";
    const answer = await fetch(`${node.httpUrl()}/notify`, {
      method: "POST",
      headers: { authorization: `Bearer ${secret}` },
      body: JSON.stringify({
        Records: [
          {
            eventName: "ObjectCreated:Put",
            s3: { bucket: { name: bucket }, object: { key, eTag: "abc", size: 3 } },
          },
        ],
      }),
    });
    expect(answer.status).toBe(200);
    const record = await settled(key);
    expect([record.state, record.errors.at(-1)?.reason, record.attempts]).toEqual([
      "parked",
      "ObjectMissing",
      2,
    ]);
  });

  it("sidecars that are no JSON, or full of nulls, do not stop the lane", async () => {
    const sample = makeSample({
      instrument: "LSSTCam",
      day: "20251121",
      seqNum: 10,
      raftBay: "R22",
      ccdSlot: "S11",
      seed: 5,
    });
    await put({ key: "camera/20251121/sidecars/broken.json", body: new TextEncoder().encode("{not json") });
    await put({ key: "camera/20251121/sidecars/broken.fits", body: sample.fits });
    const fallen = await settled("camera/20251121/sidecars/broken.fits");
    expect([fallen.state, fallen.body.metadata?.["source"]]).toEqual(["known", "fits"]);
    const nulls = Object.fromEntries(Object.keys(decode(sample.sidecar)).map((name) => [name, null]));
    await put({
      key: "camera/20251121/sidecars/nulls.json",
      body: new TextEncoder().encode(JSON.stringify(nulls)),
    });
    await put({ key: "camera/20251121/sidecars/nulls.fits", body: sample.fits });
    const empty = await settled("camera/20251121/sidecars/nulls.fits");
    expect([empty.state, empty.errors.at(-1)?.reason]).toEqual(["parked", "MetadataIncomplete"]);
  });

  it("nothing is left over: every record is known or parked, every parked one is in the index", async () => {
    const parked = new Set<string>();
    const states = new Map<string, string>();
    await Effect.runPromise(
      scan(node.context.nats, "ledger", ["file.>", "parked.>", "due.>", "waiting.>"], (entry) => {
        if (entry.key.startsWith("parked.")) parked.add(entry.key.slice("parked.".length));
        else if (entry.key.startsWith("file.")) {
          states.set(entry.key.slice("file.".length), decodeRecord(entry.key, entry.data).state);
        } else throw new Error(`${entry.key} is still open`);
      }),
    );
    expect(new Set(states.values())).toEqual(new Set(["known", "parked"]));
    expect(parked).toEqual(
      new Set([...states].filter(([, state]) => state === "parked").map(([key]) => key)),
    );
  });
});
