import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { presenceKey } from "../../src/protocol/keys.ts";
import type { PresenceRules } from "../../src/protocol/presence.ts";
import {
  absentBody,
  absentBodyOf,
  announcedKey,
  askedKey,
  askedParts,
  errorBody,
  groupOfKey,
  presentAtBody,
  presentBodyOf,
  presentStart,
  readQuestion,
  readWait,
} from "../../src/protocol/presence.ts";

const rules: PresenceRules = {
  instruments: new Set(["LATISS", "LSSTComCam", "LSSTComCamSim", "LSSTCam", "LSST-TS8"]),
  detector: /^R\d\d_S\d\d/,
};
const group = "2025-04-16T07:03:14.565#1";
const utf8 = new TextEncoder();

describe("the question", () => {
  it.each([
    ["LSSTCam", group, "0", "R22_S11"],
    ["LSSTCam", group, "00", "R22_S11"],
    ["LSSTCam", group, "0000000000000000000000", "R22_S11"],
  ])("%s %s %s %s is looked up as snap 0", (instrument, name, snap, detector) => {
    expect(askedKey(rules, instrument, name, snap, detector)).toBe(
      "LSSTCam.2025-04-16T07=3A03=3A14=2E565=231.0.R22_S11",
    );
  });

  it("takes a detector that only begins well", () => {
    expect(askedKey(rules, "LATISS", "g", "1", "R22_S11junk")).toBe("LATISS.g.1.R22_S11junk");
  });

  const unknown = (name: string): string => errorBody(`Unknown instrument ${name}`);
  const unrecognized = (name: string): string => errorBody(`Unrecognized detector name ${name}`);
  it.each([
    ["an unknown instrument", "Unknown", group, "0", "R22_S11", 400, unknown("Unknown")],
    ["another case", "lsstcam", group, "0", "R22_S11", 400, unknown("lsstcam")],
    ["an unknown instrument before the detector", "X", group, "0", "SG0", 400, unknown("X")],
    ["a guider's detector", "LSSTCam", group, "0", "SG0", 400, unrecognized("SG0")],
    ["a wavefront detector", "LSSTCam", group, "0", "R44_SW0", 400, unrecognized("R44_SW0")],
    ["a detector that ends well", "LSSTCam", group, "0", "xR22_S11", 400, unrecognized("xR22_S11")],
  ])("refuses %s", (_, instrument, name, snap, detector, status, body) => {
    expect(askedKey(rules, instrument, name, snap, detector)).toEqual({ status, body });
  });

  it.each(["-1", "1.0", "1e3", "x", "", "+1", " 1", "0x1", "٣"])("finds nothing under snap %j", (snap) => {
    expect(askedKey(rules, "Unknown", group, snap, "SG0")).toMatchObject({ status: 404 });
  });

  it.each([
    [[]],
    [["LSSTCam", "g", "0"]],
    [["LSSTCam", "g", "0", "R22_S11", ""]],
    [["LSSTCam", "", "0", "R22_S11"]],
  ])("finds nothing under %j", (parts) => {
    expect(askedParts(rules, parts)).toMatchObject({ status: 404 });
  });

  it.each([
    ["a group longer than a subject may be", "g".repeat(4_000), "0"],
    ["a group that is no text", "\ud800", "0"],
    ["a snap beyond every number", "g", "9".repeat(40)],
  ])("knows without looking that %s is not here", (_, name, snap) => {
    expect(askedKey(rules, "LSSTCam", name, snap, "R22_S11")).toBeNull();
  });
});

describe("the answer", () => {
  it("says of another site's group where it is, and of an absence what was not heard, and nothing more", () => {
    expect(presentAtBody("s3://b/ü", "base")).toBe(
      '{"error":false,"present":true,"uri":"s3://b/\\u00fc","site":"base"}\n',
    );
    expect(absentBodyOf([])).toBe(absentBody);
    expect(absentBodyOf(["base", "*"])).toBe('{"error":false,"present":false,"unheard":["base","*"]}\n');
  });

  it("is today's, byte for byte", () => {
    expect(absentBody).toBe('{"error":false,"present":false}\n');
    expect(presentBodyOf(presentStart("s3://b/LSSTCam/20250416/"), "a_R22_S11.fits")).toBe(
      '{"error":false,"present":true,"uri":"s3://b/LSSTCam/20250416/a_R22_S11.fits"}\n',
    );
    expect(errorBody('Unknown instrument é\u007f"')).toBe(
      '{"error":true,"message":"Unknown instrument \\u00e9\\u007f\\""}\n',
    );
  });

  it("is ASCII and gives the uri back, whatever it is", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.string({ unit: "binary" }), (folder, name) => {
        const body = presentBodyOf(presentStart(folder), name);
        expect(body).toMatch(/^[\x20-\x7e]*\n$/);
        expect(JSON.parse(body)).toEqual({ error: false, present: true, uri: folder + name });
      }),
    );
  });
});

describe("the key", () => {
  it("is the one that a look-up asks for, and can be read back", () => {
    const text = fc.string({ unit: "grapheme", minLength: 1, maxLength: 15 });
    fc.assert(
      fc.property(text, fc.nat(), text, (name, snap, rest) => {
        const detector = `R22_S11${rest}`;
        const key = announcedKey({ instrument: "LSSTCam", group: name, snap, detector });
        expect(key).toBe(presenceKey("LSSTCam", name, snap, detector));
        expect(askedKey(rules, "LSSTCam", name, `0${snap}`, detector)).toBe(key);
        expect(groupOfKey(key ?? "")).toEqual({ instrument: "LSSTCam", group: name, snap, detector });
      }),
    );
  });

  it.each([
    ["no instrument", { instrument: "", group: "g", snap: 0, detector: "d" }],
    ["no group", { instrument: "i", group: "", snap: 0, detector: "d" }],
    ["a snap below 0", { instrument: "i", group: "g", snap: -1, detector: "d" }],
    ["a snap between", { instrument: "i", group: "g", snap: 0.5, detector: "d" }],
    ["a group too long", { instrument: "i", group: "#".repeat(1_200), snap: 0, detector: "d" }],
    ["a group that is no text", { instrument: "i", group: "\udfff", snap: 0, detector: "d" }],
  ])("is none for %s", (_, name) => {
    expect(announcedKey(name)).toBeNull();
  });
});

describe("a question over NATS", () => {
  const key = presenceKey("LSSTCam", "a/b#1:c.d%", 0, "R22_S11");
  const json = { instrument: "LSSTCam", group: "a/b#1:c.d%", snap: 0, detector: "R22_S11" };
  it.each([
    ["as text", "", "LSSTCam/a%2Fb%231%3Ac.d%25/0/R22_S11"],
    ["as text with a line's end", "", "LSSTCam/a%2Fb%231:c.d%25/00/R22_S11\n"],
    ["as JSON", "", JSON.stringify(json)],
    ["as JSON with the snap as text", "", JSON.stringify({ ...json, snap: "00" })],
    ["in the subject", key, ""],
  ])("%s", (_, tokens, body) => {
    expect(readQuestion(rules, tokens, utf8.encode(body))).toEqual({ asked: key, waitMs: 0 });
  });

  it("may wait", () => {
    expect(readQuestion(rules, "", utf8.encode(JSON.stringify({ ...json, wait: 2.5 })))).toEqual({
      asked: key,
      waitMs: 2_500,
    });
  });

  it("says for itself whose groups it is about, or leaves that to the site", () => {
    const scopeOf = (scope: unknown) =>
      readQuestion(rules, "", utf8.encode(JSON.stringify({ ...json, scope })));
    expect([scopeOf("site").scope, scopeOf("all").scope, scopeOf(null).scope]).toEqual([
      "site",
      "all",
      undefined,
    ]);
    for (const none of ["", "both", 1, ["all"]]) expect(scopeOf(none).asked).toMatchObject({ status: 400 });
  });

  it.each([
    ["half a JSON", "", '{"instrument":'],
    ["a JSON without detector", "", '{"instrument":"LSSTCam","group":"g","snap":0}'],
    ["a snap that is no number", "", JSON.stringify({ ...json, snap: null })],
    ["a wait below 0", "", JSON.stringify({ ...json, wait: -1 })],
    ["a wait that is no number", "", JSON.stringify({ ...json, wait: {} })],
    ["nothing", "", ""],
    ["three parts", "", "LSSTCam/g/0"],
    ["five parts", "", "LSSTCam/a/b/0/R22_S11"],
    ["broken percent-encoding", "", "LSSTCam/%zz/0/R22_S11"],
    ["a token that nobody wrote", "LSSTCam.g=ZZ.0.R22_S11", ""],
    ["an unknown instrument", "", "X/g/0/R22_S11"],
  ])("refuses %s", (_, tokens, body) => {
    expect(readQuestion(rules, tokens, utf8.encode(body)).asked).toMatchObject({ status: 400 });
  });

  it("refuses what is not UTF-8", () => {
    expect(readQuestion(rules, "", Uint8Array.of(0xff, 0xfe)).asked).toMatchObject({ status: 400 });
  });
});

it.each([
  ["0", 0],
  ["1", 1_000],
  ["2.5", 2_500],
  ["0.0001", 1],
  ["", null],
  ["-1", null],
  ["1e3", null],
  ["Infinity", null],
  ["NaN", null],
  ["1s", null],
])("wait=%s is %s ms", (text, ms) => {
  expect(readWait(text)).toBe(ms);
});
