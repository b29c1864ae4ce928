import { Packr } from "msgpackr";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decode, decodeBytes } from "../../../src/cli/decode.ts";
import { encodeArrival } from "../../../src/protocol/arrival.ts";

const packr = new Packr({ useRecords: false, variableMapSize: true });
const arrival = {
  bucket: "raw",
  key: "LSSTCam/20251121/é.fits",
  etag: "abc",
  size: 12,
  instrument: "LSSTCam",
  day: "20251121",
  generation: 0,
  via: "webhook",
  receivedAt: "2025-11-21T03:04:05.678Z",
};

async function run(data: Uint8Array | string, json = false) {
  let out = "";
  let err = "";
  const exit = await decode(
    {
      out: (text) => (out += text),
      err: (text) => (err += text),
      readStdin: async () => Buffer.from(data),
    },
    { json },
  );
  return { exit, out, err };
}

describe("orrery decode", () => {
  it("shows an arrival as JSON, indented or on one line", async () => {
    const data = encodeArrival(arrival);
    const pretty = await run(data);
    expect(pretty.exit).toBe(0);
    expect(JSON.parse(pretty.out)).toEqual({ v: 1, ...arrival });
    expect(pretty.out.split("\n").length).toBeGreaterThan(5);
    const line = await run(data, true);
    expect(line.out).toMatch(/^\{.*\}\n$/);
    expect(JSON.parse(line.out)).toEqual({ v: 1, ...arrival });
  });

  it("shows several values in a row", async () => {
    const data = Buffer.concat([encodeArrival(arrival), encodeArrival({ ...arrival, key: "b" })]);
    const { out } = await run(data, true);
    expect(
      out
        .trim()
        .split("\n")
        .map((line) => (JSON.parse(line) as { key: string }).key),
    ).toEqual([arrival.key, "b"]);
  });

  it("passes JSON through, a record of the ledger and lines of JSON", async () => {
    expect(JSON.parse((await run('{"v":1,"state":"known"}')).out)).toEqual({ v: 1, state: "known" });
    expect((await run('{"a":1}\n{"a":2}\n', true)).out).toBe('{"a":1}\n{"a":2}\n');
  });

  it("leaves text as text: what a presence key holds is a URI", async () => {
    expect((await run("s3://raw/LSSTCam/a.fits")).out).toBe("s3://raw/LSSTCam/a.fits\n");
  });

  it("writes bytes and large integers so that JSON can hold them", async () => {
    const data = packr.pack({ raw: Buffer.from([1, 2, 255]), big: 2n ** 60n, small: 7n });
    expect(JSON.parse((await run(data)).out)).toEqual({
      raw: "base64:AQL/",
      big: "1152921504606846976",
      small: 7,
    });
  });

  it("says so, with exit 1, of what is nothing of the kind", async () => {
    // A list cut short, and a row of small numbers.
    for (const bytes of [
      [0x93, 0xff],
      [0xff, 0x00, 0x80, 0x01],
    ]) {
      const { exit, out, err } = await run(Uint8Array.from(bytes));
      expect({ bytes, exit, out }).toEqual({ bytes, exit: 1, out: "" });
      expect(err).toContain(Buffer.from(bytes).toString("hex"));
    }
  });

  it("decodes whatever was packed, and never throws", () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.string({ minLength: 1 }), fc.oneof(fc.integer(), fc.string(), fc.boolean())),
        (value) => {
          if (Object.hasOwn(value, "__proto__")) return;
          const decoded = decodeBytes(packr.pack(value));
          expect(decoded).toEqual({ ok: true, values: [value] });
        },
      ),
    );
    fc.assert(
      fc.property(fc.uint8Array(), (data) => {
        decodeBytes(data);
      }),
    );
  });
});
