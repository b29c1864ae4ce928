/**
 * The front door as its callers find it: what a notification is answered, what becomes of each of its records, and that nothing
 * which is sent stops the lane behind it.
 */
import { Agent } from "node:http";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { recordTextBytesMax } from "../../src/limits.ts";
import { canary } from "../support/canaries.ts";
import type { TestNats } from "../support/nats.ts";
import { startNats } from "../support/nats.ts";
import type { Answer, Ask, FileRecord, TestSite } from "../support/testSite.ts";
import { arrivals, ask, counted, keysOf, recordOf, settled, startSite, until } from "../support/testSite.ts";

const secret = canary("notification");
const day = "20251121";
const notificationSubject = "s3.events";

const siteText = (server: string): string => `
name: door
node: { name: door-1 }
nats: { mode: external, servers: ["${server}"] }
http: { host: 127.0.0.1, port: 0 }
lanes:
  raw:
    kind: exposure
    buckets: [embargo@rubin-raw]
    pattern: '^(?<instrument>[^/]+)/(?<day>\\d{8})/(?<exposure>[^/]+)/(?:[^/]+_(?<detector>R\\d\\d_S[\\dGW]\\d)(?:_guider)?|[^/]+)\\.fits$'
    metadata: key
    needs:
      - { match: _guider, waitMax: 30 s }
      - { match: _orphan, waitMax: 200 ms }
  lfa:
    kind: object
    buckets: [rubinobs-lfa-cp]
    pattern: '^(?<instrument>[^/]+(?:/[^/]+)?)/(?<day>\\d{4}/\\d\\d/\\d\\d)/(?:[^/]+/)?[^/]+$'
    metadata: key
  anything:
    kind: object
    buckets: [anything]
  wordy:
    kind: exposure
    buckets: [wordy]
    accept: .
    pattern: '^(?<instrument>[^/]*)/(?<day>[^/]*)/(?<exposure>[^/]*)/'
    metadata: key
    needs: [{ match: late$ }]
  newer:
    kind: object
    buckets: [newer]
    onContentChange: supersede
enqueuer:
  secret: env:NOTIFICATION_SECRET
  secretIn: [opaqueData, bearer, path]
  natsSubject: ${notificationSubject}
  duplicateWindow: 2 s
presence:
  instruments: [LSSTCam]
`;

interface Sent {
  readonly bucket?: string;
  readonly key: string;
  readonly etag?: string;
  readonly secret?: string | null;
  readonly plain?: boolean;
}

/** A record as Ceph writes it. */
function record({
  bucket = "rubin-raw",
  key,
  etag = "e1",
  secret: shown = secret,
  plain = false,
}: Sent): object {
  return {
    eventSource: "ceph:s3",
    eventName: "ObjectCreated:Put",
    s3: {
      bucket: { name: bucket },
      object: { key: plain ? key : encodeURIComponent(key).replaceAll("%20", "+"), size: "2880", eTag: etag },
    },
    ...(shown === null ? {} : { opaqueData: shown }),
  };
}

describe("the front door", () => {
  let nats: TestNats;
  let site: TestSite;
  let serial = 0;

  beforeAll(async () => {
    nats = await startNats({ topology: null });
    site = await startSite(siteText(nats.server.url), { env: { NOTIFICATION_SECRET: secret } });
  });
  afterAll(async () => {
    await site.stop();
    await nats.stop();
  });

  const post = (body: unknown, more: Ask = {}): Promise<Answer> => ask(site, { body, ...more });
  const notify = (...sent: ReadonlyArray<Sent>): Promise<Answer> => post({ Records: sent.map(record) });
  const rawKey = (): string => {
    const exposure = `MC_O_${day}_${String(++serial).padStart(6, "0")}`;
    return `LSSTCam/${day}/${exposure}/${exposure}_R22_S11.fits`;
  };

  const namesOf = async (filter: string, part: string): Promise<ReadonlyArray<string>> =>
    [...(await keysOf(site, filter)).keys()].filter((name) => name.includes(part));

  /** The lane is alive: what is announced now is known soon. */
  async function goesOn(): Promise<void> {
    const key = rawKey();
    const answer = await notify({ key });
    expect([answer.status, (answer.body as Array<unknown>).length]).toEqual([200, 1]);
    expect((await settled(site, "raw", day, "rubin-raw", key)).state).toBe("known");
  }

  describe("the answer", () => {
    it("names each queued record of an exposure field by field", async () => {
      const key = `LSSTCam/${day}/MC_C_${day}_000042/MC_C_${day}_000042_R22_S12.fits`;
      expect(await notify({ bucket: "embargo@rubin-raw", key })).toMatchObject({
        status: 200,
        body: [
          {
            bucket: "embargo@rubin-raw",
            instrument: "LSSTCam",
            obs_day: day,
            exp_id: `MC_C_${day}_000042`,
            filename: `MC_C_${day}_000042_R22_S12.fits`,
            path: `embargo@rubin-raw/${key}`,
            instrument_code: "MC",
            controller: "C",
            seq_num: "000042",
          },
        ],
      });
      const known = await settled(site, "raw", day, "rubin-raw", key);
      expect([known.state, known.etag, known.body.size, known.body.via]).toEqual([
        "known",
        "e1",
        2880,
        "webhook",
      ]);
    });

    it.each([
      ["GenericCamera/1/2025/11/21/folder/a.jpg", "GenericCamera/1", "a.jpg"],
      ["GenericCamera/1/2025/11/21/b.jpg", "GenericCamera/1", "b.jpg"],
      ["ATCamera/2025/11/21/c.txt", "ATCamera", "c.txt"],
    ])("of the Large File Annex has five fields: %s", async (key, instrument, filename) => {
      const bucket = "rubinobs-lfa-cp";
      expect(await notify({ bucket, key })).toMatchObject({
        status: 200,
        body: [{ bucket, filename, instrument, obs_day: day, path: `${bucket}/${key}` }],
      });
      expect((await settled(site, "lfa", day, bucket, key)).state).toBe("known");
    });

    it("keeps the records' order and leaves out those that are not queued", async () => {
      const keys = [rawKey(), rawKey()];
      const answer = await notify(
        { key: keys[0] ?? "" },
        { key: "LSSTCam/notes.txt" },
        { key: rawKey(), secret: "wrong" },
        { key: keys[1] ?? "" },
      );
      expect((answer.body as Array<{ path: string }>).map(({ path }) => path)).toEqual(
        keys.map((key) => `rubin-raw/${key}`),
      );
    });

    it("of a test event and of no records is an empty array", async () => {
      expect(await post({ Service: "Amazon S3", Event: "s3:TestEvent", Bucket: "b" })).toMatchObject({
        status: 200,
        body: [],
      });
      expect(await post({ Records: [] })).toMatchObject({ status: 200, body: [] });
    });

    it("comes whatever the content type says: a sender that is refused for it would send for ever", async () => {
      for (const type of ["text/plain", "application/x-www-form-urlencoded", undefined]) {
        const headers = type === undefined ? {} : { "content-type": type };
        const answer = await post({ Records: [record({ key: rawKey() })] }, { headers });
        expect([type, answer.status]).toEqual([type, 200]);
      }
    });

    it("to another method is 405 and says which is meant", async () => {
      for (const method of ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"]) {
        const answer = await ask(site, { method });
        expect([method, answer.status, answer.headers["allow"]]).toEqual([method, 405, "POST"]);
      }
      expect((await ask(site, { path: "/notify/" + secret, method: "GET" })).status).toBe(405);
      expect((await post({ Records: [] }, { path: "/notified" })).status).toBe(404);
    });
  });

  describe("the secret", () => {
    it("in a record: a wrong or missing one is skipped and counted, and nothing tells the sender", async () => {
      const before = counted(site, "skipped.secret");
      const key = rawKey();
      for (const shown of ["wrong", "", null, `${secret} `]) {
        expect(await notify({ key, secret: shown })).toMatchObject({ status: 200, body: [] });
      }
      expect(await post({ Records: [17, null, { opaqueData: [secret] }] })).toMatchObject({
        status: 200,
        body: [],
      });
      expect(counted(site, "skipped.secret") - before).toBe(7);
      expect(await recordOf(site, "raw", day, "rubin-raw", key)).toBeNull();
    });

    it("as a bearer token: right, its records need none; wrong, 403", async () => {
      const body = (): unknown => ({ Records: [record({ key: rawKey(), secret: null })] });
      const bearer = (token: string): Ask => ({ headers: { authorization: `Bearer ${token}` } });
      expect(await post(body(), bearer(secret))).toMatchObject({
        status: 200,
        body: [{ bucket: "rubin-raw" }],
      });
      expect((await post(body(), bearer("wrong"))).status).toBe(403);
      expect((await post(body(), bearer(""))).status).toBe(403);
    });

    it("in the path likewise", async () => {
      const body = (): unknown => ({ Records: [record({ key: rawKey(), secret: null })] });
      expect(await post(body(), { path: `/notify/${secret}` })).toMatchObject({
        status: 200,
        body: [{ bucket: "rubin-raw" }],
      });
      expect((await post(body(), { path: "/notify/wrong" })).status).toBe(403);
      // No secret in the path is none at all: each record must carry it.
      expect(await post(body(), { path: "/notify/" })).toMatchObject({ status: 200, body: [] });
      expect((await post(body(), { path: "/notify/%zz" })).status).toBe(400);
    });

    it("in the record counts beside what a proxy puts into Authorization for itself", async () => {
      const answer = await post(
        { Records: [record({ key: rawKey() })] },
        { headers: { authorization: "Basic cHJveHk6eA==" } },
      );
      expect(answer).toMatchObject({ status: 200, body: [{ bucket: "rubin-raw" }] });
    });

    it("is asked for with 401 where it cannot stand in the record", async () => {
      const strict = await startSite(
        siteText(nats.server.url)
          .replace("[opaqueData, bearer, path]", "[bearer]")
          .replace("door-1", "door-2"),
        { env: { NOTIFICATION_SECRET: secret } },
      );
      try {
        const body = JSON.stringify({ Records: [record({ key: rawKey() })] });
        expect((await ask(strict, { body })).status).toBe(401);
        expect((await ask(strict, { body, path: `/notify/${secret}` })).status).toBe(404);
      } finally {
        await strict.stop();
      }
    });
  });

  describe("keys and buckets", () => {
    it("are searched for the accept pattern, which need not stand at the beginning", async () => {
      const before = counted(site, "skipped.pattern");
      expect(await notify({ key: `LSSTCam/${day}/x/y.fits.txt` }, { key: "fits/z" })).toMatchObject({
        status: 200,
        body: [],
      });
      expect(counted(site, "skipped.pattern") - before).toBe(2);
    });

    it("`profile@bucket` and `tenant:bucket` are the lane's bucket", async () => {
      for (const bucket of ["embargo@rubin-raw", "lsst:rubin-raw", "embargo@lsst:rubin-raw"]) {
        const key = rawKey();
        expect((await notify({ bucket, key })).body).toMatchObject([{ bucket, path: `${bucket}/${key}` }]);
        expect((await settled(site, "raw", day, "rubin-raw", key)).body.bucket).toBe("rubin-raw");
      }
    });

    it("a day in the exposure other than in the path: the path's counts, with a warning", async () => {
      const key = `LSSTCam/${day}/MC_O_20251120_000077/MC_O_20251120_000077_R22_S11.fits`;
      expect((await notify({ key })).body).toMatchObject([{ obs_day: day, exp_id: "MC_O_20251120_000077" }]);
      expect((await settled(site, "raw", day, "rubin-raw", key)).state).toBe("known");
      expect(site.log.filter((line) => line.level === "warn" && line.fields["key"] === key)).toHaveLength(1);
    });

    const encoded = [
      "a b+c%20d.fits",
      "übungen/日本語/😀.fits",
      "...",
      ". . .",
      "../../etc/passwd",
      "/",
      "//",
      "*.>.$KV.ledger.>",
      "> * >",
      ".".repeat(1_000),
      "a.".repeat(500) + "fits",
      " ",
      "\n",
      "\r\nNats-Msg-Id: x\r\n\r\n",
      "\u007f\u0001\ufeff\u2028",
      "__proto__",
      "constructor/prototype/__proto__",
      "=",
      "=2E",
      "k".repeat(1_024),
      "é".repeat(512),
      "😀".repeat(256),
    ];
    it.each(encoded.map((key) => [key.length > 60 ? `${key.slice(0, 60)}… (${key.length})` : key, key]))(
      "%j arrives as it is",
      async (_name, key) => {
        expect(await notify({ bucket: "anything", key })).toMatchObject({
          status: 200,
          body: [{ path: `anything/${key}` }],
        });
        const known = await settled(site, "anything", "-", "anything", key);
        expect([known.state, known.body.key]).toEqual(["known", key]);
      },
    );

    it("a name whose ledger key would be longer than a subject may be is parked, and its neighbours are queued", async () => {
      // The lane's pattern repeats parts of the key in the record's name.
      const long = `x/${"é".repeat(500)}/1/`;
      const answer = await notify(
        { bucket: "wordy", key: long },
        { bucket: "wordy", key: `x/1/${"é".repeat(490)}/` },
        { bucket: "wordy", key: `x/1/${"é".repeat(490)}/late` },
        { bucket: "é".repeat(127), key: "é".repeat(512) },
        { bucket: "wordy", key: "x/1/good/" },
      );
      expect(answer.status).toBe(200);
      expect((await settled(site, "wordy", "1", "wordy", "x/1/good/")).state).toBe("known");
      const parked = [...(await keysOf(site, "file.unrouted.>")).values()].filter((file) =>
        JSON.stringify(file).includes("NameTooLong"),
      );
      expect(parked).toHaveLength(2);
      expect(parked).toContainEqual(
        expect.objectContaining({ body: expect.objectContaining({ raw: `wordy/${long}` }) as unknown }),
      );
      expect((await settled(site, "wordy", "1", "wordy", `x/1/${"é".repeat(490)}/`)).state).toBe("known");
      const late = await settled(site, "wordy", "1", "wordy", `x/1/${"é".repeat(490)}/late`);
      expect([late.state, late.errors[0]?.reason]).toEqual(["parked", "IdentityUnusable"]);
      await goesOn();
    });
  });

  describe("bad input", () => {
    it.each([
      ["truncated JSON", `{"Records": [{"eventName": "ObjectCr`],
      ["no JSON", "fits"],
      ["nothing", ""],
      ["broken UTF-8", Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d])],
      ["a string", `"Records"`],
      ["null", "null"],
      ["an array", "[]"],
      ["no Records", `{"records": []}`],
      ["Records that are no array", `{"Records": {"0": {}}}`],
      ["Records by the prototype", `{"__proto__": {"Records": []}}`],
    ])("%s is 400 and says what is wrong", async (_name, body) => {
      const answer = await post(body);
      expect(answer).toMatchObject({
        status: 400,
        body: { error: expect.any(String) as string, fix: expect.any(String) as string },
      });
      await goesOn();
    });

    it("JSON nested without end is refused or read, never fatal", async () => {
      expect((await post("[".repeat(1_000_000))).status).toBe(400);
      expect((await post(`{"Records":[${"[".repeat(100_000)}${"]".repeat(100_000)}]}`)).status).toBe(200);
      await goesOn();
    });

    it("10,000 records are 413, and nothing of them is queued", async () => {
      const before = await arrivals(site);
      const answer = await post({ Records: Array.from({ length: 10_000 }, () => record({ key: rawKey() })) });
      expect(answer).toMatchObject({
        status: 413,
        body: { error: expect.stringContaining("10000") as string },
      });
      expect(await arrivals(site)).toBe(before);
      await goesOn();
    });

    it("as many as allowed are queued, answered and known", async () => {
      const keys = Array.from({ length: 5_000 }, (_, i) => `many/${i}`);
      const answer = await notify(...keys.map((key) => ({ bucket: "anything", key })));
      expect(answer.status).toBe(200);
      expect((answer.body as Array<{ path: string }>).map(({ path }) => path)).toEqual(
        keys.map((key) => `anything/${key}`),
      );
      await until(
        () => namesOf("file.anything.>", "/many/"),
        (names) => names.length === 5_000,
      );
    });

    it("as many for a bucket that nobody takes are parked and answered, once and again", async () => {
      const sent = Array.from({ length: 5_000 }, (_, i) => ({ bucket: "nobodys", key: `n/${i}` }));
      for (let i = 0; i < 2; i++) expect(await notify(...sent)).toMatchObject({ status: 200, body: [] });
      expect(await namesOf("parked.unrouted.>", "nobodys/")).toHaveLength(5_000);
      expect(await recordOf(site, "unrouted", "-", "nobodys", "n/4999")).toMatchObject({
        state: "parked",
        errors: [{ reason: "UnknownBucket" }],
      });
      await goesOn();
    });

    it("a key that the lane's pattern does not match is queued and parked", async () => {
      const key = "LSSTCam/calibration.fits";
      expect((await notify({ key })).status).toBe(200);
      const parked = await settled(site, "raw", "-", "rubin-raw", key);
      expect([parked.state, parked.errors[0]?.reason, parked.attempts]).toEqual([
        "parked",
        "KeyNotUnderstood",
        0,
      ]);
      await goesOn();
    });

    it("records that cannot be understood are parked without the secret; the good ones beside them are queued", async () => {
      const good = rawKey();
      const bad: ReadonlyArray<object> = [
        { eventName: "ObjectCreated:Put", opaqueData: secret, marker: "no-s3" },
        record({ key: "100%25".slice(0, 4), plain: true }),
        record({ key: `nul\0${serial}`, plain: true }),
        record({ key: "lone\ud800", plain: true }),
        record({ key: "k".repeat(1_025) }),
        record({ key: "é".repeat(513) }),
        record({ key: "etag", etag: "e".repeat(257) }),
        { ...record({ key: "deep" }), s3: { opaqueData: secret, bucket: {}, filler: "x".repeat(5_000) } },
        JSON.parse(`{"__proto__": {"eventName": "ObjectCreated:Put"}, "opaqueData": "${secret}"}`) as object,
      ];
      const before = (await namesOf("parked.unrouted.>", "malformed/")).length;
      const answer = await post({ Records: [...bad.slice(0, 4), record({ key: good }), ...bad.slice(4)] });
      expect(answer).toMatchObject({ status: 200, body: [{ path: `rubin-raw/${good}` }] });
      expect((await settled(site, "raw", day, "rubin-raw", good)).state).toBe("known");
      expect((await namesOf("parked.unrouted.>", "malformed/")).length - before).toBe(bad.length);
      const files = [...(await keysOf(site, "file.unrouted.>"))].flatMap(([key, file]) =>
        key.includes("malformed/") ? [JSON.stringify(file)] : [],
      );
      expect(files).toHaveLength(before + bad.length);
      expect(files.filter((text) => text.includes("no-s3"))).toHaveLength(1);
      for (const text of files) {
        const file = JSON.parse(text) as FileRecord;
        expect([file.state, file.errors[0]?.reason]).toEqual(["parked", "MalformedNotification"]);
        expect(text).not.toContain(secret);
        expect(Buffer.byteLength(file.body.raw ?? "")).toBeLessThanOrEqual(recordTextBytesMax);
      }
      // Sent again, as a sender does that saw no answer: nothing more is parked.
      expect((await post({ Records: bad })).status).toBe(200);
      expect((await namesOf("parked.unrouted.>", "malformed/")).length - before).toBe(bad.length);
    });
  });

  describe("bodies", () => {
    const chunk = Buffer.alloc(65_536, 0x20);

    /** Writes by hand, as much as the other side takes, and gives what came back until the connection's end. */
    function bySocket(
      head: string,
      bytes: number,
      frame: (part: Buffer) => Buffer,
    ): Promise<{ text: string; error: string | null }> {
      return new Promise((resolve) => {
        const { hostname, port } = new URL(site.url);
        const socket = connect(Number(port), hostname);
        let text = "";
        let error: string | null = null;
        let left = bytes;
        const pump = (): void => {
          while (left > 0 && socket.writable) {
            left -= chunk.length;
            if (!socket.write(frame(chunk))) return;
          }
        };
        socket.on("connect", () => {
          socket.write(`POST /notify HTTP/1.1\r\nHost: x\r\n${head}\r\n\r\n`);
          pump();
        });
        socket.on("drain", pump);
        socket.on("data", (data) => (text += data.toString()));
        socket.on("error", (cause) => (error = String(cause)));
        socket.on("close", () => resolve({ text, error }));
      });
    }
    const plain = (part: Buffer): Buffer => part;
    const chunked = (part: Buffer): Buffer =>
      Buffer.concat([Buffer.from(`${part.length.toString(16)}\r\n`), part, Buffer.from("\r\n")]);

    it.each([
      ["of 50 MB", "Content-Length: 52428800", plain],
      ["of 50 MB in chunks", "Transfer-Encoding: chunked", chunked],
      // What still comes is read for two seconds, which a machine with much to do can need for as much: then it is sent again.
    ])("%s: 413, and the sender gets to read it", { retry: 4 }, async (_name, head, frame) => {
      const answers = await Promise.all(Array.from({ length: 4 }, () => bySocket(head, 52_428_800, frame)));
      for (const { text, error } of answers) {
        expect(error).toBeNull();
        expect(text).toMatch(/^HTTP\/1\.1 413 /);
        expect(text).toMatch(/connection: close/i);
        expect(text).toContain('"fix"');
      }
      await goesOn();
    });

    it("that wait for leave to be sent are refused before a byte is sent", async () => {
      const { text } = await bySocket("Content-Length: 52428800\r\nExpect: 100-continue", 0, plain);
      expect(text).toMatch(/^HTTP\/1\.1 413 /);
    });

    it("whose sum is over the limit wait outside: 503 before memory is gone", async () => {
      // Each is within its own limit and none of them ends.
      const { hostname, port } = new URL(site.url);
      const rss = process.memoryUsage().rss;
      const size = 8 * 1_048_576;
      const sockets = Array.from({ length: 40 }, () => connect(Number(port), hostname));
      let refused = 0;
      try {
        for (const socket of sockets) {
          socket.on("error", () => undefined);
          socket.on("data", (data) => (refused += data.toString().startsWith("HTTP/1.1 503") ? 1 : 0));
          socket.write(`POST /notify HTTP/1.1\r\nHost: x\r\nContent-Length: ${size}\r\n\r\n`);
          for (let left = size - chunk.length; left > 0; left -= chunk.length) socket.write(chunk);
        }
        await until(
          () => refused,
          (count) => count > 0,
        );
        expect(process.memoryUsage().rss - rss).toBeLessThan(1_500 * 1_048_576);
      } finally {
        for (const socket of sockets) socket.destroy();
      }
      await until(
        async () => (await notify({ key: rawKey() })).status,
        (status) => status === 200,
      );
      await goesOn();
    });

    it("that come slowly are waited for", async () => {
      const key = rawKey();
      const text = JSON.stringify({ Records: [record({ key })] });
      const { hostname, port } = new URL(site.url);
      const socket = connect(Number(port), hostname);
      const answered = new Promise<string>((resolve) =>
        socket.once("data", (data) => resolve(data.toString())),
      );
      socket.write(`POST /notify HTTP/1.1\r\nHost: x\r\nContent-Length: ${text.length}\r\n\r\n`);
      for (let at = 0; at < text.length; at += 40) {
        socket.write(text.slice(at, at + 40));
        await sleep(5);
      }
      expect(await answered).toMatch(/^HTTP\/1\.1 200 /);
      socket.destroy();
      expect((await settled(site, "raw", day, "rubin-raw", key)).state).toBe("known");
    });
  });

  describe("a sender that hangs up", () => {
    const half = (key: string, share: number): Promise<void> =>
      new Promise((resolve) => {
        const text = JSON.stringify({ Records: [record({ bucket: "anything", key })] });
        const { hostname, port } = new URL(site.url);
        const socket = connect(Number(port), hostname);
        socket.on("error", () => undefined);
        socket.on("close", () => resolve());
        socket.write(`POST /notify HTTP/1.1\r\nHost: x\r\nContent-Length: ${text.length}\r\n\r\n`);
        socket.write(text.slice(0, Math.floor(text.length * share)), () => socket.destroy());
      });

    it("in the middle of its body has queued nothing", async () => {
      const before = await arrivals(site, "arrive.anything.>");
      await Promise.all(Array.from({ length: 20 }, (_, i) => half(`hang/half/${i}`, 0.6)));
      await goesOn();
      expect(await arrivals(site, "arrive.anything.>")).toBe(before);
    });

    it("after its body, before the answer, has queued all of it", async () => {
      const keys = Array.from({ length: 20 }, (_, i) => `hang/whole/${i}`);
      await Promise.all(keys.map((key) => half(key, 1)));
      for (const key of keys)
        expect((await settled(site, "anything", "-", "anything", key)).state).toBe("known");
    });
  });

  describe("duplicates", () => {
    const twoConnections = (): ReadonlyArray<Agent> =>
      [1, 2].map(() => new Agent({ keepAlive: true, maxSockets: 1 }));

    it("one notification 50 times over two connections is one arrival and one file, and so again later", async () => {
      const bucket = "rubinobs-lfa-cp";
      const agents = twoConnections();
      let [key, subject, body, before] = ["", "", {}, 0];
      for (let attempt = 0; attempt < 10; attempt++) {
        key = `GenericCamera/${attempt}/2025/11/21/fifty-${attempt}.jpg`;
        subject = `arrive.lfa.GenericCamera/${attempt}.>`;
        body = { Records: [record({ bucket, key })] };
        before = counted(site, "received.lfa");
        const began = performance.now();
        const answers = await Promise.all(
          Array.from({ length: 50 }, (_, i) => post(body, { agent: agents[i % 2] ?? new Agent() })),
        );
        for (const answer of answers)
          expect(answer).toMatchObject({ status: 200, body: [{ path: `${bucket}/${key}` }] });
        // Where they came further apart than the stream remembers, it is done again.
        if (performance.now() - began < 1_000) break;
      }
      expect(await arrivals(site, subject)).toBe(1);
      expect(counted(site, "received.lfa") - before).toBe(1);
      const first = await settled(site, "lfa", day, bucket, key);
      // Once the stream has forgotten it the arrival is stored again, and the ledger knows it.
      const duplicates = counted(site, "duplicates.lfa");
      await until(
        async () => {
          expect((await post(body, { agent: agents[0] ?? new Agent() })).status).toBe(200);
          return arrivals(site, subject);
        },
        (count) => count > 1,
      );
      await until(
        () => counted(site, "duplicates.lfa"),
        (count) => count > duplicates,
      );
      expect(await recordOf(site, "lfa", day, bucket, key)).toEqual(first);
      expect(await namesOf("file.lfa.>", key.slice(key.indexOf("fifty"), -4))).toHaveLength(1);
      for (const agent of agents) agent.destroy();
    });

    it("a hundred at once with duplicates among them are each answered for themselves", async () => {
      const keys = Array.from({ length: 100 }, (_, i) => `twice/${i % 10}`);
      const answer = await notify(...keys.map((key) => ({ bucket: "anything", key })));
      expect((answer.body as Array<{ path: string }>).map(({ path }) => path)).toEqual(
        keys.map((key) => `anything/${key}`),
      );
    });

    it("other content under a known name is refused and shown, once for each content", async () => {
      const key = "changed";
      await notify({ bucket: "anything", key, etag: "first" });
      const first = await settled(site, "anything", "-", "anything", key);
      await notify({ bucket: "anything", key, etag: "second" });
      const refused = await until(
        () => recordOf(site, "anything", "-", "anything", key),
        (now) => (now?.refused?.length ?? 0) > 0,
      );
      expect(refused).toMatchObject({
        state: "known",
        etag: "first",
        body: first.body,
        refused: [{ etag: "second" }],
      });
      expect(
        (await keysOf(site, "parked.anything.-.anything/changed")).get("parked.anything.-.anything/changed"),
      ).toMatchObject({
        reason: "ContentChanged",
      });
      const duplicates = counted(site, "duplicates.anything");
      await until(
        async () => {
          await notify({ bucket: "anything", key, etag: "second" });
          return counted(site, "duplicates.anything");
        },
        (count) => count > duplicates,
      );
      expect(await recordOf(site, "anything", "-", "anything", key)).toEqual(refused);
    });

    it("or supersedes it, as the lane says, and the record remembers", async () => {
      const key = "changed";
      for (const etag of ["first", "second", "third"]) {
        await notify({ bucket: "newer", key, etag });
        await until(
          () => recordOf(site, "newer", "-", "newer", key),
          (now) => now?.etag === etag && now.state === "known",
        );
      }
      expect(await recordOf(site, "newer", "-", "newer", key)).toMatchObject({
        etag: "third",
        superseded: [{ etag: "first" }, { etag: "second" }],
      });
      expect((await keysOf(site, "parked.newer.>")).size).toBe(0);
    });
  });

  describe("notifications on NATS", () => {
    it("a request gets the answer that the webhook gives", async () => {
      const key = rawKey();
      const said = async (payload: unknown): Promise<unknown> =>
        (
          await nats.nats.connection.request(
            notificationSubject,
            typeof payload === "string" ? payload : JSON.stringify(payload),
          )
        ).json();
      expect(await said({ Records: [record({ key, secret: null })] })).toMatchObject({
        status: 200,
        body: [{ path: `rubin-raw/${key}` }],
      });
      expect((await settled(site, "raw", day, "rubin-raw", key)).body.via).toBe("nats");
      expect(await said("{")).toMatchObject({ status: 400 });
      expect(await said({ Records: Array.from({ length: 5_001 }, () => 0) })).toMatchObject({ status: 413 });
      expect(await said({ Event: "s3:TestEvent" })).toMatchObject({ status: 200, body: [] });
    });

    it("what is merely published is stored as well, bad ones beside it or not", async () => {
      const keys = Array.from({ length: 300 }, (_, i) => `published/${i}`);
      for (const key of keys) {
        nats.nats.connection.publish(
          notificationSubject,
          JSON.stringify({ Records: [record({ bucket: "anything", key, secret: null })] }),
        );
        nats.nats.connection.publish(notificationSubject, "no JSON");
      }
      for (const key of keys)
        expect((await settled(site, "anything", "-", "anything", key)).state).toBe("known");
    });
  });

  describe("a guider", () => {
    const guider = (exposure: string, kind: string): string =>
      `LSSTCam/${day}/${exposure}/${exposure}_R00_SG0${kind}.fits`;

    it("waits for its exposure and is known when that has come", async () => {
      const exposure = `MC_O_${day}_009001`;
      await notify({ key: guider(exposure, "_guider") });
      const waiting = await settled(site, "raw", day, "rubin-raw", guider(exposure, "_guider"), [
        "waiting",
        "known",
      ]);
      expect([waiting.state, waiting.waitingFor, waiting.attempts]).toEqual([
        "waiting",
        `exposure.LSSTCam.${day}.${exposure}`,
        0,
      ]);
      await notify({ key: `LSSTCam/${day}/${exposure}/${exposure}_R22_S11.fits` });
      const known = await settled(site, "raw", day, "rubin-raw", guider(exposure, "_guider"));
      expect([known.state, known.attempts, known.crashes, known.errors]).toEqual(["known", 0, 0, []]);
      expect((await keysOf(site, "waiting.>")).size).toBe(0);
    });

    it("is parked when it never comes, and no attempt was spent on it", async () => {
      const key = guider(`MC_O_${day}_009002`, "")
        .replace("SG0", "SG0_orphan")
        .replace("_R00_SG0_orphan", "_orphan");
      await notify({ key });
      const parked = await settled(site, "raw", day, "rubin-raw", key);
      expect([parked.state, parked.errors.map(({ reason }) => reason), parked.attempts]).toEqual([
        "parked",
        ["ExposureNeverCame"],
        0,
      ]);
    });
  });
});
