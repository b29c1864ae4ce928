/**
 * S3 event notifications as their senders really write them: Ceph, AWS and MinIO, versitygw. Pure: bytes in, records out.
 *
 * Senders differ in three things that matter. Event names come with or without `s3:`. Keys are form-encoded (`+` is a space), but
 * versitygw writes them plain; it is told by its configuration id. Sizes are numbers or strings, etags quoted or not.
 */
import * as Predicate from "effect/Predicate";
import { bucketNameBytesMax, etagBytesMax, objectKeyBytesMax } from "../limits.ts";
import { isEncodable } from "./keys.ts";
import type { Given } from "./records.ts";
import { clipText } from "./records.ts";

export interface ObjectCreated extends Pick<Given, "range"> {
  readonly type: "created";
  /** Bucket without its `profile@` or `tenant:` prefix. */
  readonly bucket: string;
  /** Bucket as the sender wrote it. */
  readonly bucketAsSent: string;
  readonly key: string;
  readonly etag: string;
  readonly size: number | null;
  readonly sequencer: string;
  /** When the store says it was, ISO 8601; "" where it does not. */
  readonly eventTime: string;
  /** Shared secret that Ceph carries in each record; null where there is none. */
  readonly secret: string | null;
}

/** A record that says nothing we could act on. Its raw text is kept, cut to what a record may hold. */
export interface Malformed {
  readonly type: "malformed";
  readonly why: string;
  readonly raw: string;
  readonly secret: string | null;
}

/** A record of another event (a removal): nothing to do. */
export interface OtherEvent {
  readonly type: "other";
  readonly event: string;
  readonly secret: string | null;
}

export type NotificationRecord = ObjectCreated | Malformed | OtherEvent;

export type Notification =
  | { readonly type: "records"; readonly records: ReadonlyArray<NotificationRecord> }
  /** What stores send to see whether somebody listens. */
  | { readonly type: "test" }
  | { readonly type: "too-many"; readonly count: number }
  | { readonly type: "fault"; readonly why: string };

const plainKeySenders = new Set(["webhook-global", "kafka-global", "nats-global", "rabbitmq-global"]);

/** `profile@bucket` and `tenant:bucket` name the same bucket for our purposes. */
export function bucketName(text: string): string {
  return text.slice(Math.max(text.lastIndexOf("@"), text.lastIndexOf(":")) + 1);
}

/** @param body parsed JSON */
export function readNotification(body: unknown, recordsMax: number): Notification {
  if (!Predicate.isObject(body) || Array.isArray(body)) {
    return { type: "fault", why: "the body is no JSON object" };
  }
  const records: unknown = Reflect.get(body, "Records");
  if (records === undefined) {
    const event: unknown = Reflect.get(body, "Event");
    if (typeof event === "string" && event.includes("TestEvent")) return { type: "test" };
    return { type: "fault", why: 'the body has no "Records" array' };
  }
  if (!Array.isArray(records)) return { type: "fault", why: '"Records" is no array' };
  if (records.length > recordsMax) return { type: "too-many", count: records.length };
  return { type: "records", records: records.map(readRecord) };
}

function field(value: unknown, name: string): unknown {
  return Predicate.isObject(value) ? Reflect.get(value, name) : undefined;
}

function malformed(record: unknown, why: string, secret: string | null): Malformed {
  return { type: "malformed", why, raw: clipText(rawText(record)), secret };
}

function rawText(record: unknown): string {
  try {
    // The secret must not be kept with what is shown to people.
    return JSON.stringify(record, (name, value: unknown) => (name === "opaqueData" ? "«hidden»" : value));
  } catch {
    // What can be parsed without recursion cannot always be written without it.
    return "(nested too deeply to be shown)";
  }
}

/** `opaqueData` stands at the record's top (Ceph); older releases put it beside the object. */
function secretOf(record: unknown): string | null {
  const top = field(record, "opaqueData");
  if (typeof top === "string") return top;
  const inner = field(field(record, "s3"), "opaqueData");
  return typeof inner === "string" ? inner : null;
}

function decodeKey(key: string, plain: boolean): string | null {
  if (plain || !/[%+]/.test(key)) return key;
  try {
    return decodeURIComponent(key.replaceAll("+", " "));
  } catch {
    // A stray percent sign: the key is not form-encoded UTF-8.
    return null;
  }
}

const eventTimeCharsMax = 40;

const textOf = (value: unknown): string => (typeof value === "string" ? value : "");

const tagRule = `is no well-formed Unicode of at most ${etagBytesMax} bytes`;
const isTag = (text: string): boolean => isEncodable(text) && Buffer.byteLength(text) <= etagBytesMax;

function sizeOf(value: unknown): number | null {
  const size = typeof value === "string" && value !== "" ? Number(value) : value;
  return typeof size === "number" && Number.isSafeInteger(size) && size >= 0 ? size : null;
}

function readRecord(record: unknown): NotificationRecord {
  const secret = secretOf(record);
  const event = field(record, "eventName");
  const s3 = field(record, "s3");
  // A record that names no event is somebody's own replay: what it names is taken to be there.
  const silent = event === undefined && Predicate.isObject(record) && !Array.isArray(record);
  if (typeof event !== "string" && !silent) return malformed(record, "no eventName", secret);
  if (typeof event === "string" && !event.replace(/^s3:/, "").startsWith("ObjectCreated"))
    return { type: "other", event, secret };
  const bucket = field(field(s3, "bucket"), "name");
  if (typeof bucket !== "string" || bucketName(bucket) === "") {
    return malformed(record, "no s3.bucket.name", secret);
  }
  const object = field(s3, "object");
  const sent = field(object, "key");
  if (typeof sent !== "string" || sent === "") return malformed(record, "no s3.object.key", secret);
  const sender = field(s3, "configurationId");
  const key = decodeKey(sent, typeof sender === "string" && plainKeySenders.has(sender));
  if (key === null) return malformed(record, "s3.object.key is not form-encoded UTF-8", secret);
  if (!isEncodable(key) || !isEncodable(bucket))
    return malformed(record, "the name is no well-formed Unicode", secret);
  if (key.includes("\0") || bucket.includes("/"))
    return malformed(record, "the name holds a NUL or a bucket with a slash", secret);
  if (Buffer.byteLength(key) > objectKeyBytesMax) {
    return malformed(record, `s3.object.key has more than ${objectKeyBytesMax} bytes`, secret);
  }
  if (Buffer.byteLength(bucket) > bucketNameBytesMax) {
    return malformed(record, `s3.bucket.name has more than ${bucketNameBytesMax} bytes`, secret);
  }
  const etag = textOf(field(object, "eTag") ?? field(object, "etag")).replaceAll('"', "");
  const sequencer = textOf(field(object, "sequencer"));
  if (!isTag(etag)) return malformed(record, `s3.object.eTag ${tagRule}`, secret);
  if (!isTag(sequencer)) return malformed(record, `s3.object.sequencer ${tagRule}`, secret);
  const eventTime = textOf(field(record, "eventTime"));
  return {
    type: "created",
    bucket: bucketName(bucket),
    bucketAsSent: bucket,
    key,
    etag,
    size: sizeOf(field(object, "size")),
    sequencer,
    // One that is no time says nothing, and must not become a part of what is kept.
    eventTime: Number.isNaN(Date.parse(eventTime)) || eventTime.length > eventTimeCharsMax ? "" : eventTime,
    secret,
    ...rangeOf(object),
  };
}

/**
 * `x-amz-meta-range` of the object, where the sender passes it on: Ceph as `metadata: [{key, val}]`, MinIO as `userMetadata: {…}`.
 * Whether it is a range is judged with the file; what is none is passed on so that it is seen.
 */
function rangeOf(object: unknown): Pick<Given, "range"> {
  const listed = field(object, "metadata");
  const named = field(object, "userMetadata");
  const pairs: ReadonlyArray<readonly [unknown, unknown]> = [
    ...(Array.isArray(listed)
      ? listed.slice(0, 64).map((pair: unknown) => [field(pair, "key"), field(pair, "val")] as const)
      : []),
    ...(Predicate.isObject(named) && !Array.isArray(named) ? Object.entries(named) : []),
  ];
  const found = pairs.find(
    ([name]) => typeof name === "string" && name.toLowerCase() === "x-amz-meta-range",
  )?.[1];
  if (typeof found !== "string") return {};
  const [start = "", end = "", more] = found
    .split("/")
    .map((part) => part.trim().slice(0, 64).toWellFormed());
  return { range: [start, more === undefined ? end : `${end}/${more}`] };
}
