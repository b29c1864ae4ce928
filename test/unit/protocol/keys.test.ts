import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import * as keys from "../../../src/protocol/keys.ts";
import type { Place } from "../../../src/protocol/keys.ts";

/** What the KV clients accept as a key; as a subject it must have no empty token either. */
const validKey = /^[-/_=.a-zA-Z0-9]+$/;

function mustBeKey(key: string): void {
  expect(key).toMatch(validKey);
  expect(key.split(".")).not.toContain("");
}

/** Names that some encoding somewhere has lost. */
const awkward = [
  "",
  "=",
  "=_",
  "==",
  "=41",
  "_",
  "-",
  ".",
  "..",
  "...",
  ".a",
  "a.",
  "a..b",
  "a.=2E.b",
  "/",
  "//",
  "*",
  ">",
  "$KV.ledger.>",
  " ",
  "\t\r\n",
  "\0",
  "\x7f",
  "\u00ff",
  "\uFEFF",
  "\uFEFFa",
  "a\uFEFF",
  "2025-04-16T07:03:14.565#1",
  "ümlaut/日本語/🔭.fits",
  "e\u0301",
  "\u00e9",
  "\u{10FFFF}",
];

/** Every code point, and besides them the characters that mean something in a key. */
const anyText = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.string({ unit: fc.constantFrom(..."=._-/aA0 #:*>$%+@é".split("")) }),
  fc.constantFrom(...awkward),
);
const laneName = fc.stringMatching(/^[a-z][a-z0-9-]{0,20}$/).filter((name) => !/^(?:run|item)-/.test(name));
const day = fc.oneof(fc.constant(keys.noDay), anyText).map(keys.encodeToken);
const mailbox = fc.oneof(laneName, laneName.map(keys.runMailbox), laneName.map(keys.itemMailbox));
const place: fc.Arbitrary<Place> = fc.record({ mailbox, day, tail: anyText.map(keys.encodeTail) });

describe("a part of a key", () => {
  for (const [name, encode] of [
    ["token", keys.encodeToken],
    ["tail", keys.encodeTail],
  ] as const) {
    it(`${name}: any well-formed text is a valid key and comes back`, () => {
      fc.assert(
        fc.property(anyText, (text) => {
          mustBeKey(encode(text));
          expect(keys.decodeKeyPart(encode(text))).toBe(text);
        }),
        { numRuns: 2_000, examples: awkward.map((text) => [text]) },
      );
    });

    it(`${name}: texts that differ have keys that differ`, () => {
      expect(new Set(awkward.map(encode)).size).toBe(awkward.length);
      fc.assert(
        fc.property(anyText, anyText, (a, b) => {
          expect(encode(a) === encode(b)).toBe(a === b);
        }),
        { numRuns: 2_000 },
      );
    });

    it(`${name}: every code point`, () => {
      const points = Array.from({ length: 0x11_0000 }, (_, i) => i).filter((i) => i < 0xd800 || i > 0xdfff);
      const seen = new Set<string>();
      for (let at = 0; at < points.length; at += 64) {
        const text = String.fromCodePoint(...points.slice(at, at + 64));
        const encoded = encode(text);
        if (!validKey.test(encoded) || keys.decodeKeyPart(encoded) !== text) expect(encoded).toBe(text);
        seen.add(encoded);
      }
      expect(seen.size).toBe(points.length / 64);
    });

    it(`${name}: text that is plain already stays readable`, () => {
      for (const text of ["LSSTCam", "MC_O_20250416_000123", "a/b-c"]) expect(encode(text)).toBe(text);
    });
  }

  it("a token has no dot, a tail keeps those that may stand", () => {
    fc.assert(
      fc.property(anyText, (text) => {
        expect(keys.encodeToken(text)).not.toContain(".");
      }),
    );
    expect(keys.encodeTail("raw/R22_S11.fits")).toBe("raw/R22_S11.fits");
    expect(keys.encodeTail(".a..b.")).toBe("=2Ea.=2Eb=2E");
    expect(keys.encodeToken("2025-04-16T07:03:14.565#1")).toBe("2025-04-16T07=3A03=3A14=2E565=231");
  });

  it.each(["=", "=4", "=4g", "=4a", "a=", "=FF", "=C3", "=ED=A0=80", "=__"])(
    "%s is nobody's encoding",
    (text) => {
      expect(keys.decodeKeyPart(text)).toBeNull();
    },
  );

  it("decoding never throws", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.string({ unit: "binary" }), anyText), (text) => {
        const decoded = keys.decodeKeyPart(text);
        expect(decoded === null || typeof decoded === "string").toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });

  it("a lone surrogate is told apart: it has no reversible key", () => {
    expect(keys.isEncodable("a\uD800b")).toBe(false);
    expect(keys.isEncodable("\uDC00")).toBe(false);
    fc.assert(
      fc.property(anyText, (text) => {
        expect(keys.isEncodable(text)).toBe(true);
      }),
    );
  });
});

describe("keys about one thing", () => {
  it("a record's key names its place, whatever the names", () => {
    fc.assert(
      fc.property(place, (where) => {
        mustBeKey(keys.recordKey(where));
        expect(keys.placeOfRecordKey(keys.recordKey(where))).toEqual(where);
      }),
      { numRuns: 1_000 },
    );
  });

  it("so do those of its indexes", () => {
    fc.assert(
      fc.property(place, anyText, (where, needed) => {
        for (const key of [keys.dueKey(where), keys.parkedKey(where)]) {
          mustBeKey(key);
          expect(keys.placeOfIndexKey(key)).toEqual(where);
          expect(keys.placeOfWaitingKey(key)).toBeNull();
          expect(keys.placeOfRecordKey(key)).toBeNull();
        }
        const waiting = keys.waitingKey(needed, where);
        mustBeKey(waiting);
        expect(keys.placeOfWaitingKey(waiting)).toEqual({ needed, place: where });
        expect(keys.placeOfIndexKey(waiting)).toBeNull();
      }),
      { numRuns: 1_000 },
    );
  });

  it("all that waits for one key shares a prefix, and nothing else has it", () => {
    fc.assert(
      fc.property(anyText, anyText, place, (one, other, where) => {
        const prefix = `waiting.${keys.encodeToken(one)}.`;
        expect(keys.waitingKey(one, where).startsWith(prefix)).toBe(true);
        expect(keys.waitingKey(other, where).startsWith(prefix)).toBe(one === other);
      }),
    );
  });

  it("places that differ have keys that differ", () => {
    fc.assert(
      fc.property(place, place, (a, b) => {
        const same = a.mailbox === b.mailbox && a.day === b.day && a.tail === b.tail;
        expect(keys.recordKey(a) === keys.recordKey(b)).toBe(same);
        expect(keys.dueKey(a) === keys.dueKey(b)).toBe(same);
      }),
    );
  });

  it("an object's bucket and key come back from its tail", () => {
    const bucket = anyText.filter((text) => text !== "" && !text.includes("/"));
    fc.assert(
      fc.property(bucket, anyText, (name, key) => {
        expect(keys.objectOfTail(keys.objectTail(name, key))).toEqual({ bucket: name, key });
      }),
      { numRuns: 1_000 },
    );
    expect(keys.objectOfTail("nobucket")).toBeNull();
    expect(keys.objectOfTail("/key")).toBeNull();
    expect(keys.objectOfTail("a/=ZZ")).toBeNull();
  });

  it("a claim's key names its worker", () => {
    fc.assert(
      fc.property(mailbox, anyText, fc.nat(10_000), (name, node, worker) => {
        const key = keys.claimKey(name, node, worker);
        mustBeKey(key);
        expect(keys.claimOfKey(key)).toEqual({ mailbox: name, node, worker });
      }),
    );
    for (const key of ["claim.a.b", "claim.a.b.", "claim.a.b.x", "file.a.b.1", "claim.a.=ZZ.1"])
      expect(keys.claimOfKey(key)).toBeNull();
  });

  it("a mailbox's name says what it holds", () => {
    expect([keys.mailboxKind("lsstcam"), keys.mailboxKind("run-x"), keys.mailboxKind("item-x")]).toEqual([
      "file",
      "run",
      "item",
    ]);
    const at = { day: "20250416", tail: "x" };
    expect(keys.recordKey({ mailbox: "lsstcam", ...at })).toBe("file.lsstcam.20250416.x");
    expect(keys.recordKey({ mailbox: keys.runMailbox("quick"), ...at })).toBe("run.quick.20250416.x");
    expect(keys.recordKey({ mailbox: keys.itemMailbox("thumb"), ...at })).toBe("item.thumb.20250416.x");
  });

  it("reading a key never throws", () => {
    const broken = fc.string({
      unit: fc.constantFrom(..."file.runitemclaimduewaitingparked=-/_20F.".split("")),
    });
    fc.assert(
      fc.property(fc.oneof(broken, fc.string({ unit: "binary" })), (text) => {
        for (const read of [
          keys.placeOfRecordKey,
          keys.placeOfIndexKey,
          keys.placeOfWaitingKey,
          keys.claimOfKey,
          keys.objectOfTail,
        ])
          expect(read(text) === null || typeof read(text) === "object").toBe(true);
      }),
      { numRuns: 2_000 },
    );
    for (const key of [
      "",
      ".",
      "...",
      "file",
      "file.a",
      "file.a.b",
      "file.a.b.",
      "due.a.b",
      "waiting.a.b.c",
    ]) {
      expect(keys.placeOfRecordKey(key)).toBeNull();
      expect(keys.placeOfWaitingKey(key)).toBeNull();
    }
  });
});

describe("other keys and subjects", () => {
  it("are valid for any names", () => {
    fc.assert(
      fc.property(anyText, anyText, anyText, fc.nat(99), place, (a, b, c, n, where) => {
        for (const key of [
          keys.exposureKey(a, b, c),
          keys.presenceKey(a, b, n, c),
          keys.jobKey("quick-look", a, b),
          keys.readyKey(where, n),
          keys.arrivalSubject("lsstcam", a, b),
          keys.itemSubject("thumb", a),
          keys.presentSubject(keys.presenceKey(a, b, n, c)),
        ])
          mustBeKey(key);
      }),
    );
  });

  it("differ when the names do", () => {
    fc.assert(
      fc.property(fc.tuple(anyText, anyText, anyText), fc.tuple(anyText, anyText, anyText), (a, b) => {
        const same = a.every((part, i) => part === b[i]);
        expect(keys.exposureKey(...a) === keys.exposureKey(...b)).toBe(same);
        expect(keys.presenceKey(a[0], a[1], 0, a[2]) === keys.presenceKey(b[0], b[1], 0, b[2])).toBe(same);
      }),
    );
    expect(keys.presenceKey("a", "b", 0, "c")).not.toBe(keys.presenceKey("a", "b", 1, "c"));
  });

  it("are those that people look for", () => {
    expect(keys.kvSubject(keys.ledgerBucket, "claim.a.b.0")).toBe("$KV.ledger.claim.a.b.0");
    expect(keys.kvStream(keys.ledgerBucket)).toBe("KV_ledger");
    expect(keys.presenceKey("LSSTCam", "2025-04-16T07:03:14.565#1", 0, "R22_S11")).toBe(
      "LSSTCam.2025-04-16T07=3A03=3A14=2E565=231.0.R22_S11",
    );
    expect(keys.arrivalSubject("lsstcam", "LSSTCam", "20250416")).toBe("arrive.lsstcam.LSSTCam.20250416");
  });
});
