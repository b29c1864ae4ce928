import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  bucketNameBytesMax,
  etagBytesMax,
  objectKeyBytesMax,
  recordTextBytesMax,
} from "../../../src/limits.ts";
import type { Notification, NotificationRecord } from "../../../src/protocol/notification.ts";
import { bucketName, readNotification } from "../../../src/protocol/notification.ts";

const ceph = {
  Records: [
    {
      eventVersion: "2.2",
      eventSource: "ceph:s3",
      awsRegion: "",
      eventTime: "2025-04-16T07:03:20.123456Z",
      eventName: "ObjectCreated:Put",
      userIdentity: { principalId: "writer" },
      requestParameters: { sourceIPAddress: "" },
      responseElements: { "x-amz-request-id": "r", "x-amz-id-2": "i" },
      s3: {
        s3SchemaVersion: "1.0",
        configurationId: "notify-orrery",
        bucket: {
          name: "rubinobs-raw",
          ownerIdentity: { principalId: "writer" },
          arn: "arn:aws:s3:::x",
          id: "x",
        },
        object: {
          key: "LSSTCam%2F20250416%2Fa+b%2Bc.fits",
          size: 20160,
          eTag: "d41d8cd98f00b204e9800998ecf8427e",
          versionId: "",
          sequencer: "E8B1FF6734D30B12",
          metadata: [],
          tags: [],
        },
      },
      eventId: "1744786980.1.d41d8cd9",
      opaqueData: "s3cr3t",
    },
  ],
};
const minio = {
  EventName: "s3:ObjectCreated:Put",
  Key: "raw/LSSTCam/a.fits",
  Records: [
    {
      eventVersion: "2.0",
      eventSource: "minio:s3",
      eventName: "s3:ObjectCreated:CompleteMultipartUpload",
      s3: {
        s3SchemaVersion: "1.0",
        configurationId: "Config",
        bucket: { name: "raw", arn: "arn:aws:s3:::raw" },
        object: { key: "LSSTCam%2F%C3%BC%231.fits", size: 5, eTag: "5fc7-2", sequencer: "15CFEDF8D5304D1A" },
      },
    },
  ],
};
const versitygw = {
  Records: [
    {
      eventVersion: "2.2",
      eventSource: "aws:s3",
      eventName: "s3:ObjectCreated:Put",
      userIdentity: { PrincipalId: "root" },
      s3: {
        s3SchemaVersion: "1.0",
        configurationId: "webhook-global",
        bucket: {
          name: "raw",
          ownerIdentity: { PrincipalId: "root" },
          arn: "arn:aws:s3:::/raw/a+b%20c.fits",
        },
        object: { key: "a+b%20c 100%.fits", size: 5, eTag: '"5fc7"', versionId: null, sequencer: "0061" },
      },
      glacierEventData: { restoreEventData: {} },
    },
  ],
};

function records(body: unknown, max = 10): ReadonlyArray<NotificationRecord> {
  const read = readNotification(body, max);
  if (read.type !== "records") throw new Error(`${read.type} instead of records`);
  return read.records;
}

/** A record of Ceph's with some of its object or its whole changed. */
function changed(object: Readonly<Record<string, unknown>>, record: Readonly<Record<string, unknown>> = {}) {
  const [original] = ceph.Records;
  if (original === undefined) throw new Error("no record");
  return {
    Records: [
      { ...original, s3: { ...original.s3, object: { ...original.s3.object, ...object } }, ...record },
    ],
  };
}
const inBucket = (name: unknown) =>
  changed({}, { s3: { bucket: { name }, object: { key: "k", eTag: "e", size: 1 } } });

describe("notifications as their senders write them", () => {
  it("Ceph: encoded key, secret in the record", () => {
    expect(records(ceph)).toEqual([
      {
        type: "created",
        bucket: "rubinobs-raw",
        bucketAsSent: "rubinobs-raw",
        key: "LSSTCam/20250416/a b+c.fits",
        etag: "d41d8cd98f00b204e9800998ecf8427e",
        size: 20_160,
        sequencer: "E8B1FF6734D30B12",
        eventTime: "2025-04-16T07:03:20.123456Z",
        secret: "s3cr3t",
      },
    ]);
  });

  it.each(["yesterday", "2025-04-16T07:03:20Z".padEnd(100), 17, null])(
    "%s is no time of an event",
    (eventTime) => {
      expect(records(changed({}, { eventTime }))).toMatchObject([{ type: "created", eventTime: "" }]);
    },
  );

  it("AWS and MinIO: an event's name with its prefix, no secret", () => {
    expect(records(minio)).toMatchObject([
      { type: "created", key: "LSSTCam/ü#1.fits", etag: "5fc7-2", secret: null },
    ]);
  });

  it("versitygw: a plain key, a quoted etag", () => {
    expect(records(versitygw)).toMatchObject([
      { type: "created", key: "a+b%20c 100%.fits", etag: "5fc7", sequencer: "0061", size: 5 },
    ]);
  });

  it.each([
    ["Ceph", { Service: "Ceph", Event: "s3:TestEvent" }],
    ["AWS", { Service: "Amazon S3", Event: "s3:TestEvent", Time: "2025-04-16T07:03:14Z", Bucket: "raw" }],
    [
      "versitygw",
      { Service: "S3", Event: "s3:TestEvent", Time: "2025-04-16T07:03:14Z", Bucket: "Test-Bucket" },
    ],
  ])("%s asks whether somebody listens", (_, body) => {
    expect(readNotification(body, 10)).toEqual({ type: "test" });
  });

  it("the secret may stand beside the object; the record's own wins", () => {
    expect(records(changed({}, { opaqueData: undefined, s3: { opaqueData: "inner" } }))).toMatchObject([
      { secret: "inner" },
    ]);
    expect(records(changed({}, { s3: { opaqueData: "inner" } }))).toMatchObject([{ secret: "s3cr3t" }]);
    expect(records(changed({}, { opaqueData: 17 }))).toMatchObject([{ secret: null }]);
  });

  it.each([
    "ObjectRemoved:Delete",
    "s3:ObjectRemoved:DeleteMarkerCreated",
    "s3:TestEvent",
    "",
    "xObjectCreated:Put",
  ])("%s is another event", (eventName) => {
    expect(records(changed({}, { eventName }))).toEqual([
      { type: "other", event: eventName, secret: "s3cr3t" },
    ]);
  });

  it.each([
    [17, 17],
    ["17", 17],
    [0, 0],
    ["0", 0],
    ["", null],
    [-1, null],
    ["x", null],
    [1.5, null],
    [2 ** 60, null],
    [null, null],
    [undefined, null],
    [[3], null],
    [true, null],
  ])("a size written as %j is %j", (written, size) => {
    expect(records(changed({ size: written }))).toMatchObject([{ type: "created", size }]);
  });

  it.each([
    [{ eTag: undefined, etag: "low" }, "low"],
    [{ eTag: undefined }, ""],
    [{ eTag: null }, ""],
    [{ eTag: 5 }, ""],
    [{ eTag: '"q"' }, "q"],
  ])("etag in %j is %j", (object, etag) => {
    expect(records(changed(object))).toMatchObject([{ type: "created", etag }]);
  });

  it.each([
    ["embargo@rubinobs-raw", "rubinobs-raw"],
    ["tenant:rubinobs-raw", "rubinobs-raw"],
    ["embargo@tenant:rubinobs-raw", "rubinobs-raw"],
    ["rubinobs-raw", "rubinobs-raw"],
  ])("the bucket %s is %s", (sent, bucket) => {
    expect(bucketName(sent)).toBe(bucket);
    expect(records(inBucket(sent))).toMatchObject([{ type: "created", bucket, bucketAsSent: sent }]);
  });
});

it("a record that names no event is somebody's own replay, and taken", () => {
  expect(records(changed({}, { eventName: undefined }))).toEqual(records(changed({}, {})));
});

describe("a record that cannot be understood", () => {
  const nul = String.fromCharCode(0);
  it.each<readonly [string, unknown, RegExp]>([
    ["is no object", { Records: [17] }, /no eventName/],
    ["is null", { Records: [null] }, /no eventName/],
    [
      "is nested without end",
      { Records: [JSON.parse(`${"[".repeat(99_999)}${"]".repeat(99_999)}`)] },
      /no eventName/,
    ],
    ["has an event that is no text", changed({}, { eventName: 7 }), /no eventName/],
    ["has no s3", changed({}, { s3: undefined }), /no s3\.bucket\.name/],
    ["has no bucket", inBucket(undefined), /no s3\.bucket\.name/],
    ["has an empty bucket behind its tenant", inBucket("tenant:"), /no s3\.bucket\.name/],
    ["has a bucket with a slash", inBucket("a/b"), /slash/],
    ["has a bucket without end", inBucket("b".repeat(bucketNameBytesMax + 1)), /more than 255 bytes/],
    ["has a bucket of half a character", inBucket("\uD800"), /well-formed/],
    ["has no key", changed({ key: undefined }), /no s3\.object\.key/],
    ["has an empty key", changed({ key: "" }), /no s3\.object\.key/],
    ["has a key that is a number", changed({ key: 5 }), /no s3\.object\.key/],
    ["has a key with a stray percent sign", changed({ key: "100%.fits" }), /form-encoded/],
    ["has a key of broken UTF-8", changed({ key: "%C3%28" }), /form-encoded/],
    ["has a key of half a character", changed({ key: "a\uD800" }), /well-formed/],
    ["has a key with a NUL", changed({ key: `a${nul}b` }), /NUL/],
    ["has a key with an encoded NUL", changed({ key: "a%00b" }), /NUL/],
    [
      "has a key without end",
      changed({ key: "é".repeat(objectKeyBytesMax / 2 + 1) }),
      /more than 1024 bytes/,
    ],
    ["has an etag without end", changed({ eTag: "e".repeat(etagBytesMax + 1) }), /eTag/],
    ["has an etag of half a character", changed({ eTag: "\uDC00" }), /eTag/],
    ["has a sequencer without end", changed({ sequencer: "1".repeat(etagBytesMax + 1) }), /sequencer/],
  ])("%s", (_, body, why) => {
    const [record] = records(body);
    expect(record).toMatchObject({ type: "malformed", why: expect.stringMatching(why) as unknown });
  });

  it("at the very limits is understood", () => {
    expect(
      records(changed({ key: "é".repeat(objectKeyBytesMax / 2), eTag: "e".repeat(etagBytesMax) })),
    ).toMatchObject([{ type: "created" }]);
    expect(records(inBucket("b".repeat(bucketNameBytesMax)))).toMatchObject([{ type: "created" }]);
  });

  it("does not hold those beside it, whose order stays", () => {
    const [good] = ceph.Records;
    const kinds = records({ Records: [good, 17, { ...good, eventName: "ObjectRemoved:Delete" }, good] });
    expect(kinds.map((record) => record.type)).toEqual(["created", "malformed", "other", "created"]);
  });

  it("is kept as it came, cut to what a record may hold, without the secret", () => {
    const [record] = records(
      changed({ key: "" }, { note: "🔭".repeat(2_000), s3: { opaqueData: "s3cr3t", object: { key: "" } } }),
    );
    if (record?.type !== "malformed") throw new Error("understood");
    expect(record.raw).toContain("ObjectCreated:Put");
    expect(record.raw).not.toContain("s3cr3t");
    expect(Buffer.byteLength(record.raw)).toBeLessThanOrEqual(recordTextBytesMax);
    expect(record.raw.isWellFormed()).toBe(true);
    expect(record.secret).toBe("s3cr3t");
  });
});

describe("a body", () => {
  it.each<readonly [string, unknown, Notification]>([
    ["no object", 17, { type: "fault", why: "the body is no JSON object" }],
    ["null", null, { type: "fault", why: "the body is no JSON object" }],
    ["a list", [], { type: "fault", why: "the body is no JSON object" }],
    ["without Records", {}, { type: "fault", why: 'the body has no "Records" array' }],
    ["another event", { Event: "s3:Other" }, { type: "fault", why: 'the body has no "Records" array' }],
    ["Records that is no list", { Records: {} }, { type: "fault", why: '"Records" is no array' }],
    ["Records that is null", { Records: null }, { type: "fault", why: '"Records" is no array' }],
    ["without a record", { Records: [] }, { type: "records", records: [] }],
    ["with one record too many", { Records: [1, 2, 3] }, { type: "too-many", count: 3 }],
  ])("%s", (_, body, read) => {
    expect(readNotification(body, 2)).toEqual(read);
  });

  const holds = (body: unknown): void => {
    const read = readNotification(body, 1_000);
    if (read.type !== "records") return;
    for (const record of read.records) {
      if (record.type === "malformed") {
        expect(Buffer.byteLength(record.raw)).toBeLessThanOrEqual(recordTextBytesMax);
        expect(record.why).not.toBe("");
      }
      if (record.type === "created") {
        expect(record.key.isWellFormed() && record.bucket !== "").toBe(true);
        expect(Buffer.byteLength(record.key)).toBeLessThanOrEqual(objectKeyBytesMax);
      }
    }
  };

  it("of any JSON never throws", () => {
    fc.assert(fc.property(fc.jsonValue(), holds), { numRuns: 1_000 });
    fc.assert(
      fc.property(fc.array(fc.jsonValue()), (Records) => holds({ Records })),
      { numRuns: 1_000 },
    );
  });

  it("of a good notification with anything anywhere never throws", () => {
    const field = fc.constantFrom(
      "eventName",
      "s3",
      "bucket",
      "name",
      "object",
      "key",
      "eTag",
      "size",
      "sequencer",
      "configurationId",
      "opaqueData",
    );
    const put = (value: unknown, name: string, garbage: unknown): unknown =>
      typeof value !== "object" || value === null
        ? value
        : Object.fromEntries(
            Object.entries(value).map(([key, inner]) => [
              key,
              key === name ? garbage : put(inner, name, garbage),
            ]),
          );
    fc.assert(
      fc.property(
        fc.constantFrom(...ceph.Records, ...minio.Records, ...versitygw.Records),
        fc.array(
          fc.tuple(
            field,
            fc.oneof(fc.jsonValue(), fc.string({ unit: "binary" }), fc.constant({ toString: 1, valueOf: 1 })),
          ),
          { minLength: 1, maxLength: 3 },
        ),
        (record, garbage) => {
          let broken: unknown = record;
          for (const [name, value] of garbage) broken = put(broken, name, value);
          holds({ Records: [broken] });
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it("any key that its sender encodes comes back", () => {
    const key = fc
      .string({ unit: "binary", minLength: 1, maxLength: 60 })
      .filter((text) => !text.includes("\0"));
    fc.assert(
      fc.property(key, (name) => {
        const percent = encodeURIComponent(name);
        const form = percent.replaceAll("%20", "+");
        for (const sent of [percent, form])
          expect(records(changed({ key: sent }))).toMatchObject([{ type: "created", key: name }]);
        const plain = { configurationId: "webhook-global", bucket: { name: "raw" }, object: { key: name } };
        expect(records(changed({}, { s3: plain }))).toMatchObject([{ type: "created", key: name }]);
      }),
      { numRuns: 500 },
    );
  });
});
