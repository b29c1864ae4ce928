import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { writeFitsHeader } from "../../src/demo/fitsHeader.ts";
import type { FitsHeader, FitsValue } from "../../src/protocol/fits.ts";
import { isGzip, parseFitsHeader } from "../../src/protocol/fits.ts";

/** A header of these cards after SIMPLE, as text, padded. */
function header(...cards: ReadonlyArray<string>): Uint8Array {
  const text = ["SIMPLE  =                    T", ...cards, "END"].map((card) => card.padEnd(80)).join("");
  return Buffer.from(text.padEnd(Math.ceil(text.length / 2880) * 2880), "latin1");
}

function read(bytes: Uint8Array, ended = false): FitsHeader {
  const parsed = parseFitsHeader(bytes, ended);
  if (parsed._tag !== "Complete") throw new Error(JSON.stringify(parsed));
  return parsed.header;
}

describe("values", () => {
  const cases: ReadonlyArray<readonly [string, FitsValue]> = [
    ["                   T / true", true],
    ["F", false],
    ["                  42 / comment", 42],
    ["-7", -7],
    ["+7", 7],
    ["007", 7],
    ["3.5", 3.5],
    ["-.5", -0.5],
    ["2.", 2],
    ["1.5E3", 1500],
    ["1.5e-3", 0.0015],
    ["6.02D23", 6.02e23],
    ["1d2", 100],
    ["9007199254740993", "9007199254740993"],
    ["1E999", "1E999"],
    ["(1.0, -2.5)", { re: 1, im: -2.5 }],
    ["(3,4) / complex", { re: 3, im: 4 }],
    ["                     / undefined", null],
    ["", null],
    ["'plain   '", "plain"],
    ["''", ""],
    ["'        '", ""],
    ["'  leading spaces stay  '", "  leading spaces stay"],
    ["'it''s'  / doubled quote", "it's"],
    ["''''", "'"],
    ["'a / b' / slash inside", "a / b"],
    ["'2025-04-16T07:03:14.565#1'", "2025-04-16T07:03:14.565#1"],
  ];
  test.each(cases)("%s is %j", (field, value) => {
    const { record, problems } = read(header(`KEY     = ${field}`));
    expect(record["KEY"]).toEqual(value);
    expect(problems).toEqual([]);
  });

  test("what is of no type is kept as text, and said", () => {
    const { record, problems } = read(header("KEY     = not/quoted text / comment"));
    expect(record["KEY"]).toBe("not/quoted text");
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain("KEY");
  });

  test("a string without its closing quote ends with its card", () => {
    const { record, problems } = read(header("KEY     = 'open", "NEXT    = 1"));
    expect(record).toMatchObject({ KEY: "open", NEXT: 1 });
    expect(problems[0]).toContain("closing quote");
  });

  test("= without a space after it still makes a value", () => {
    const { record, problems } = read(header("KEY     =5"));
    expect(record["KEY"]).toBe(5);
    expect(problems).toHaveLength(1);
  });
});

describe("cards", () => {
  test("CONTINUE makes one string of several cards", () => {
    const { record, problems } = read(
      header("LONG    = 'one &'", "CONTINUE  'two&'", "CONTINUE   ' & three' / comment", "NEXT    = 1"),
    );
    expect(record).toMatchObject({ LONG: "one two & three", NEXT: 1 });
    expect(problems).toEqual([]);
  });

  test("an & that nothing continues is the string's own", () => {
    expect(read(header("AMP     = 'R&'", "NEXT    = 1")).record).toMatchObject({ AMP: "R&", NEXT: 1 });
  });

  test("CONTINUE without a string before it changes nothing", () => {
    const { record, problems } = read(header("KEY     = 'whole'", "CONTINUE  'lost'"));
    expect(record["KEY"]).toBe("whole");
    expect(problems[0]).toContain("continues nothing");
  });

  test("HIERARCH keywords stand without that word, with single spaces", () => {
    const { record } = read(
      header(
        "HIERARCH ESO  TEL ALT = 45.5 / [deg]",
        "HIERARCH STUTTER ROWS=  / none",
        "HIERARCH Mixed.case= 'v'",
      ),
    );
    expect(record).toMatchObject({ "ESO TEL ALT": 45.5, "STUTTER ROWS": null, "Mixed.case": "v" });
  });

  test("a HIERARCH card without = is no value", () => {
    const { record, problems } = read(header("HIERARCH nothing here"));
    expect(Object.keys(record)).toEqual(["SIMPLE"]);
    expect(problems).toHaveLength(1);
  });

  test("COMMENT and HISTORY are collected, blank keywords are not values", () => {
    const parsed = read(
      header("COMMENT   a = b", "HISTORY done", "         ---- Heading ----  = 3", "COMMENT", "NOTE a"),
    );
    expect(parsed.comments).toEqual(["  a = b", ""]);
    expect(parsed.history).toEqual(["done"]);
    expect(Object.keys(parsed.record)).toEqual(["SIMPLE"]);
  });

  test("of duplicates the first counts, with its continuation, and they are named", () => {
    const parsed = read(
      header("KEY     = 'a&'", "CONTINUE  'b'", "KEY     = 'c&'", "CONTINUE  'd'", "KEY     = 3"),
    );
    expect(parsed.record["KEY"]).toBe("ab");
    expect(parsed.duplicates).toEqual(["KEY", "KEY"]);
  });

  test("a keyword may be called like an object's own property", () => {
    const { record } = read(header("HIERARCH __proto__ = 1", "HIERARCH constructor = 2"));
    expect(Object.getPrototypeOf(record)).toBe(Object.prototype);
    expect(Object.entries(record)).toContainEqual(["__proto__", 1]);
  });

  test("bytes that are no ASCII stay readable and are named", () => {
    const { record, problems } = read(header("OBSERVER= 'Andr\u00e9\u0007'", "NEXT    = 1"));
    expect(record).toMatchObject({ OBSERVER: "Andr\u00e9", NEXT: 1 });
    expect(problems[0]).toContain("OBSERVER");
  });

  test("END must stand alone: ENDTIME and a text that says END do not end a header", () => {
    const { record } = read(header("ENDTIME = 5", "KEY     = 'END'", "END OF STORY", "LAST    = 1"));
    expect(record).toMatchObject({ ENDTIME: 5, KEY: "END", LAST: 1 });
  });
});

describe("bytes", () => {
  const whole = header(...Array.from({ length: 50 }, (_, i) => `KEY${i}`.padEnd(8) + `= ${i}`));

  test("any prefix needs more, or is complete once END is in it, padding or not", () => {
    const end = 52 * 80;
    for (let length = 0; length <= whole.length; length++) {
      const parsed = parseFitsHeader(whole.subarray(0, length));
      if (length >= end) expect(parsed, `${length}`).toMatchObject({ header: { headerBytes: 5_760 } });
      else {
        if (parsed._tag !== "NeedMore") throw new Error(`${length}: ${parsed._tag}`);
        expect(parsed.bytes).toBeGreaterThan(length);
        expect(parsed.bytes % 2_880).toBe(0);
      }
    }
  });

  test.each([
    ["no bytes", new Uint8Array(0), "Empty"],
    ["cut inside a card", whole.subarray(0, 1_234), "Truncated"],
    ["cut between cards", whole.subarray(0, 160), "Truncated"],
    ["whole blocks without END", whole.subarray(0, 2_880), "MissingEnd"],
    ["text", Buffer.from("<html>502 Bad Gateway</html>"), "NotFits"],
    ["a JPEG", Uint8Array.from([0xff, 0xd8, 0xff, 0xe0, 0, 16]), "NotFits"],
    ["SIMPLE without =", Buffer.from("SIMPLE but not FITS".padEnd(2_880)), "NotFits"],
    ["gzip", Uint8Array.from([0x1f, 0x8b, 8, 0]), "NotFits"],
    ["binary after the first card", Buffer.concat([whole.subarray(0, 80), Buffer.alloc(2_800)]), "BadCard"],
  ] as const)("%s at the file's end: %s", (_what, bytes, reason) => {
    expect(parseFitsHeader(bytes, true)).toMatchObject({ _tag: "Refused", reason });
  });

  test("what cannot become FITS is refused at once, not after more bytes", () => {
    expect(parseFitsHeader(Buffer.from("S"))).toMatchObject({ _tag: "NeedMore", bytes: 2_880 });
    expect(parseFitsHeader(Buffer.from("SX"))).toMatchObject({ reason: "NotFits" });
  });

  test("reads a view into a larger buffer", () => {
    const larger = Buffer.concat([Buffer.from("garbage"), whole]);
    expect(read(larger.subarray(7)).record["KEY49"]).toBe(49);
  });

  test("gzip is told by its first two bytes", () => {
    expect(isGzip(Uint8Array.from([0x1f, 0x8b]))).toBe(true);
    expect(isGzip(Uint8Array.from([0x1f]))).toBe(false);
    expect(isGzip(whole)).toBe(false);
  });
});

const asciiText = (maxLength: number) =>
  fc
    .array(fc.integer({ min: 0x20, max: 0x7e }), { maxLength })
    .map((codes) => String.fromCharCode(...codes).trimEnd());
const standardKeyword = fc
  .stringMatching(/^[A-Z0-9_-]{1,8}$/)
  .filter((keyword) => !["END", "COMMENT", "HISTORY", "CONTINUE", "HIERARCH", "SIMPLE"].includes(keyword));
const hierarchKeyword = fc.stringMatching(/^[A-Za-z0-9_.]{9,15}( [A-Za-z0-9_.]{1,8}){0,2}$/);
const finite = fc.double({ noNaN: true, noDefaultInfinity: true });
const value: fc.Arbitrary<FitsValue> = fc.oneof(
  asciiText(300),
  fc.string({ unit: fc.constantFrom("'", "&", "x", " "), maxLength: 200 }).map((text) => text.trimEnd()),
  fc.boolean(),
  fc.constant(null),
  fc.maxSafeInteger(),
  finite,
);
const cards = fc.uniqueArray(
  fc.record({ keyword: fc.oneof(standardKeyword, hierarchKeyword), value, comment: asciiText(60) }),
  { selector: (card) => card.keyword, maxLength: 60 },
);
const withBeginning = (body: ReadonlyArray<{ keyword: string; value: FitsValue; comment: string }>) => [
  { keyword: "SIMPLE", value: true },
  ...body,
];

describe("properties", () => {
  test("what is written is read", () => {
    fc.assert(
      fc.property(cards, (body) => {
        const { record, problems } = read(writeFitsHeader(withBeginning(body)));
        expect(record).toEqual(
          Object.fromEntries(withBeginning(body).map((card) => [card.keyword, card.value])),
        );
        expect(problems).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });

  test("any bytes lead to an answer, never to an exception", () => {
    const beginning = Buffer.from("SIMPLE  =                    T".padEnd(80));
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 400 }),
      fc.uint8Array({ maxLength: 3_000 }).map((tail) => Buffer.concat([beginning, tail])),
      fc
        .array(
          fc.tuple(
            fc.constantFrom("KEY     = ", "HIERARCH ", "CONTINUE ", "END", "COMMENT ", ""),
            fc.string(),
          ),
          { maxLength: 40 },
        )
        .map((lines) => {
          const text = lines.map(([begin, tail]) => (begin + tail).slice(0, 80).padEnd(80)).join("");
          return Buffer.concat([beginning, Buffer.from(text, "latin1")]);
        }),
    );
    fc.assert(
      fc.property(bytes, fc.boolean(), (input, ended) => {
        const parsed = parseFitsHeader(input, ended);
        expect(["Complete", "NeedMore", "Refused"]).toContain(parsed._tag);
        if (ended) expect(parsed._tag).not.toBe("NeedMore");
      }),
      { numRuns: 2_000 },
    );
  });

  test("damage to one byte of a header is survived", () => {
    fc.assert(
      fc.property(cards, fc.nat(), fc.nat(255), (body, where, byte) => {
        const bytes = Uint8Array.from(writeFitsHeader(withBeginning(body)));
        bytes[where % bytes.length] = byte;
        expect(["Complete", "Refused"]).toContain(parseFitsHeader(bytes, true)._tag);
      }),
      { numRuns: 500 },
    );
  });
});
