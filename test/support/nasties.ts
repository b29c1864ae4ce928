/** Names and bodies that somebody might send by mistake or on purpose: what has broken parsers, shells, paths and subjects before. */
import * as fc from "fast-check";

export const nasties: ReadonlyArray<string> = [
  "../../../../etc/passwd",
  "..%2f..%2fetc%2fpasswd",
  "..\\..\\windows\\system32",
  "/etc/shadow",
  "./././x",
  "a/../../b",
  "a//b///c",
  "%00",
  "a\u0000b",
  "$(touch PWNED)",
  "`touch PWNED`",
  "; touch PWNED #",
  "| touch PWNED",
  "&& touch PWNED",
  "'; touch PWNED; '",
  '"; touch PWNED; "',
  "$IFS$()touch${IFS}PWNED",
  "${HOME}",
  "{node}{orrery}{run}",
  "-rf",
  "--help",
  ">",
  ">>",
  "*",
  "a.*.b",
  "$KV.ledger.>",
  "$JS.API.STREAM.DELETE.KV_ledger",
  "$SYS.REQ.SERVER.PING",
  "_INBOX.>",
  "file.raw.20251121.x",
  "a\r\nNats-Rollup: all\r\n",
  "a\r\nX-Injected: yes\r\n\r\n",
  "PUB x 0\r\n\r\n",
  "\r\n",
  "\n",
  "\t",
  " ",
  "",
  "a b",
  "a+b",
  "%25%2e%2e",
  "%ff%fe",
  "%",
  "%zz",
  "\uFEFFbom",
  "\u202Egnp.exe",
  "e\u0301",
  "🔭".repeat(40),
  "ﷺ".repeat(50),
  "\uD800",
  "=41=42",
  "=",
  "==_",
  "__proto__",
  "constructor",
  "toString",
  "hasOwnProperty",
  "null",
  "NaN",
  "1e400",
  "x".repeat(1_024),
  "x".repeat(5_000),
  "a/".repeat(400),
  ".".repeat(300),
  "<script>alert(1)</script>",
  "' OR 1=1 --",
  "{{7*7}}",
  "\u001b[2J\u001b[31m",
  "\u0007",
];

const piece = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...nasties) },
  { weight: 2, arbitrary: fc.string({ unit: "binary", maxLength: 60 }) },
  { weight: 1, arbitrary: fc.string({ unit: "grapheme", maxLength: 60 }) },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      "LSSTCam",
      "20251121",
      "MC_O_1",
      "x_R22_S11.fits",
      "imap_swe_l0_raw_20260310_v001.pkts",
    ),
  },
);

/** A key of an object, of pieces that may mean something to somebody. */
export const nastyName: fc.Arbitrary<string> = fc
  .tuple(fc.array(piece, { minLength: 1, maxLength: 5 }), fc.constantFrom("/", "", ".", "_"))
  .map(([pieces, glue]) => pieces.join(glue));

const nastyValue: fc.Arbitrary<unknown> = fc.oneof(
  nastyName,
  fc.double(),
  fc.integer(),
  fc.boolean(),
  fc.constant(null),
  fc.constant([]),
  fc.constant({}),
  fc.array(fc.string(), { maxLength: 3 }),
);

/** What a sender may write as one record, near to a good one or far from it. */
export const nastyRecord: fc.Arbitrary<unknown> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc
      .record({
        bucket: fc.oneof(
          { weight: 5, arbitrary: fc.constantFrom("raw", "imap", "t:raw", "p@imap") },
          nastyName,
        ),
        key: nastyName,
        isEncoded: fc.boolean(),
        etag: fc.oneof(fc.constant("e"), nastyName),
        size: nastyValue,
        event: fc.oneof({ weight: 6, arbitrary: fc.constant("ObjectCreated:Put") }, nastyName),
        metadata: nastyValue,
      })
      .map(({ bucket, key, isEncoded, etag, size, event, metadata }) => ({
        eventName: event,
        s3: {
          bucket: { name: bucket },
          object: {
            key: isEncoded ? encodeURIComponent(key.toWellFormed()) : key,
            eTag: etag,
            size,
            metadata,
          },
        },
      })),
  },
  fc.dictionary(nastyName, nastyValue, { maxKeys: 4 }),
  nastyValue,
);

/** Whole bodies: records, and what is no notification at all. */
export const nastyBody: fc.Arbitrary<string> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.array(nastyRecord, { maxLength: 6 }).map((records) => JSON.stringify({ Records: records })),
  },
  nastyValue.map((value) => JSON.stringify(value) ?? "undefined"),
  nastyName,
  fc.constantFrom(
    '{"Records":',
    `${"[".repeat(5_000)}${"]".repeat(5_000)}`,
    '{"__proto__":{"polluted":true},"Records":[{"__proto__":{"s3":1}}]}',
    '{"Records":[{"s3":{"bucket":{"name":"raw"},"object":{"key":"a","key":"b"}}}]}',
    `{"Records":[${Array.from({ length: 60 }, () => "null").join(",")}]}`,
    "\uFEFF{}",
    '{"Records":[{"eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"raw"},"object":{"key":"\\ud800"}}}]}',
  ),
);
