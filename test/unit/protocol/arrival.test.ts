import * as fc from "fast-check";
import { decode } from "msgpackr";
import { describe, expect, it } from "vitest";
import type { Arrival } from "../../../src/protocol/arrival.ts";
import { arrivalId, decodeArrival, encodeArrival, pack, unpack } from "../../../src/protocol/arrival.ts";
import { recordVersion } from "../../../src/protocol/records.ts";

const anyText = fc.oneof(
  fc.string({ unit: "binary", maxLength: 40 }),
  // Long enough for the decoder's other branches, which have lost a leading U+FEFF elsewhere.
  fc.string({ unit: "binary", minLength: 60, maxLength: 200 }),
  fc
    .string({ unit: fc.constantFrom(..."@#%/~+ a\uFEFF🔭".split("")), size: "small" })
    .map((text) => text.toWellFormed()),
  fc.constantFrom("", "\uFEFFa", "2025-04-16T07:03:14.565#1", "ümlaut/日本語/🔭.fits"),
);

const arrival: fc.Arbitrary<Omit<Arrival, "v">> = fc.record({
  bucket: anyText,
  key: anyText,
  etag: anyText,
  size: fc.option(fc.maxSafeNat()),
  instrument: anyText,
  day: anyText,
  generation: fc.nat(1_000_000),
  via: anyText,
  receivedAt: anyText,
});

const one: Omit<Arrival, "v"> = {
  bucket: "raw",
  key: "LSSTCam/20250416/a.fits",
  etag: "0123",
  size: 20_160,
  instrument: "LSSTCam",
  day: "20250416",
  generation: 0,
  via: "webhook",
  receivedAt: "2025-04-16T07:03:14.565Z",
};

describe("an arrival's message", () => {
  it("comes back as it was sent", () => {
    fc.assert(
      fc.property(arrival, (sent) => {
        expect(decodeArrival(encodeArrival(sent))).toEqual({ v: recordVersion, ...sent });
      }),
      { numRuns: 1_000 },
    );
  });

  it("is a plain map, which any reader of MessagePack can show", () => {
    expect(decode(encodeArrival(one))).toEqual({ v: recordVersion, ...one });
    // fixmap, one entry a field: no extension, no record definition.
    expect(encodeArrival(one)[0]).toBe(0x80 + 10);
  });

  it("of a newer version, with more fields, is understood", () => {
    expect(decodeArrival(pack({ ...one, v: 2, origin: "elsewhere" }))).toMatchObject({ ...one, v: 2 });
  });

  it("is not shared with the next one: encoded bytes stay as they are", () => {
    const first = encodeArrival(one);
    const before = Buffer.from(first).toString("hex");
    for (let i = 0; i < 1_000; i++) encodeArrival({ ...one, key: `other/${i}` });
    expect(Buffer.from(first).toString("hex")).toBe(before);
  });

  it.each(Object.keys({ v: 0, ...one }))("without %s is none", (field) => {
    const { [field]: _, ...rest } = { v: 1, ...one } as Record<string, unknown>;
    expect(decodeArrival(pack(rest))).toBeNull();
    expect(decodeArrival(pack({ ...rest, [field]: [] }))).toBeNull();
  });

  it("is told from garbage without throwing", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        expect(decodeArrival(bytes)).toBeNull();
      }),
      { numRuns: 5_000 },
    );
    fc.assert(
      fc.property(
        fc.anything().filter((value) => {
          try {
            pack(value);
            return true;
          } catch {
            return false;
          }
        }),
        (value) => {
          expect(decodeArrival(pack(value))).toBeNull();
        },
      ),
    );
  });

  it("cut short or with something behind it is none", () => {
    const whole = encodeArrival(one);
    for (let length = 0; length < whole.length; length++)
      expect(decodeArrival(whole.slice(0, length))).toBeNull();
    expect(decodeArrival(Buffer.concat([whole, Buffer.from([0xc0])]))).toBeNull();
  });

  it("lengths that the bytes do not hold cost nothing", () => {
    for (const claim of ["ddffffffff", "dfffffffff", "dbffffffff", "c6ffffffff", "c9ffffffff01", "c1"])
      expect(decodeArrival(Buffer.from(claim, "hex"))).toBeNull();
    expect(() => unpack(Buffer.from("ddffffffff", "hex"))).toThrow();
  });
});

describe("an arrival's message id", () => {
  const parts = fc.tuple(
    anyText.map((text) => text.replaceAll("/", "")).filter((text) => text !== ""),
    anyText,
    anyText,
    anyText,
    fc.nat(3),
  );

  it("is a header value: printable ASCII, no space", () => {
    fc.assert(
      fc.property(parts, (of) => {
        expect(arrivalId(...of)).toMatch(/^[\x21-\x7e]+$/);
      }),
      { numRuns: 2_000 },
    );
  });

  it("differs for all that must be stored apart", () => {
    fc.assert(
      fc.property(parts, parts, (a, b) => {
        // The sequencer speaks only where there is no etag.
        const told = ([bucket, key, etag, sequencer, generation]: typeof a): string =>
          JSON.stringify([bucket, key, etag, etag === "" ? sequencer : "", generation]);
        expect(arrivalId(...a) === arrivalId(...b)).toBe(told(a) === told(b));
      }),
      { numRuns: 2_000 },
    );
    const ids = [
      ["a b", "e", ""],
      ["a%20b", "e", ""],
      ["a+b", "e", ""],
      ["a@e", "x", ""],
      ["a", "e@x", ""],
      ["a@", "x", ""],
      ["a", "", "x"],
      ["a", "", "@x"],
      ["a", "@x", ""],
      ["a", "~x", ""],
      ["a", "x#1", ""],
      ["a#1", "x", ""],
      ["🔭.fits", "e", ""],
      ["%F0%9F%94%AD.fits", "e", ""],
    ].map(([key = "", etag = "", sequencer = ""]) => arrivalId("b", key, etag, sequencer, 0));
    expect(new Set(ids).size).toBe(ids.length);
  });

  it("is the same for the same content announced twice, whatever the sequencer", () => {
    expect(arrivalId("b", "k", "e", "1", 0)).toBe(arrivalId("b", "k", "e", "2", 0));
    expect(arrivalId("b", "k", "e", "1", 0)).not.toBe(arrivalId("b", "k", "e", "1", 1));
  });

  it("with an event, is one for each event and the same for the same", () => {
    const at = (time: string, sequencer: string): string =>
      arrivalId("b", "k", "e", sequencer, 0, { time, sequencer });
    const ids = [
      at("2025-11-21T07:03:14Z", "1"),
      at("2025-11-21T07:03:14Z", "2"),
      at("2025-11-21T07:03:15Z", "1"),
      at("", "1@2"),
      at("1", "2"),
      arrivalId("b", "k", "e", "1", 0),
      arrivalId("b", "k", "e@1@2", "", 0),
      arrivalId("b", "k", "", "1", 0),
      arrivalId("b", "k", "", "1", 0, { sequencer: "1" }),
    ];
    expect(new Set(ids).size).toBe(ids.length);
    expect(at("2025-11-21T07:03:14Z", "1")).toBe(at("2025-11-21T07:03:14Z", "1"));
    for (const id of ids) expect(id).toMatch(/^[\x21-\x7e]+$/);
  });

  it("is one for ill-formed text, too", () => {
    expect(arrivalId("b", "a\uD800", "\uDC00", "", 0)).toMatch(/^[\x21-\x7e]+$/);
  });
});
