/** Fields of another version: what is kept of them by whoever rewrites what they stand in. */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { beyondCharsMax } from "../../../src/limits.ts";
import type { Arrival } from "../../../src/protocol/arrival.ts";
import { bodyBeyond, decodeArrival, encodeArrival, pack } from "../../../src/protocol/arrival.ts";
import { beyond, beyondMessage } from "../../../src/protocol/beyond.ts";
import type { FileBody } from "../../../src/protocol/records.ts";
import { withBeyond } from "../../../src/protocol/records.ts";
import { withFact } from "../../../src/protocol/visits.ts";

const arrival: Omit<Arrival, "v"> = {
  bucket: "raw",
  key: "k",
  etag: "e",
  size: 1,
  instrument: "LSSTCam",
  day: "20260101",
  generation: 0,
  via: "webhook",
  receivedAt: "2026-01-01T00:00:00.000Z",
};
const decoded = (bytes: Uint8Array): Arrival => {
  const found = decodeArrival(bytes);
  if (found === null) throw new Error("no arrival");
  return found;
};

describe("what is beyond this version", () => {
  it("is all that is no field of it, and nothing where there is no more", () => {
    const fields = { a: true, b: true } as const;
    expect(beyond({ a: 1, b: undefined }, fields)).toBeNull();
    expect(beyond({ a: 1, c: { d: 2 }, constructor: 3 }, fields)).toEqual({ c: { d: 2 }, constructor: 3 });
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (value) => {
        const found = beyond(value, fields) ?? {};
        const known = Object.fromEntries(
          Object.entries(value).filter(([name]) => name in fields && name.length === 1),
        );
        expect({ ...known, ...found }).toEqual(
          Object.fromEntries(Object.entries(value).filter(([name]) => name !== "__proto__")),
        );
      }),
    );
    const poisoned = beyond(JSON.parse('{"__proto__":{"polluted":true},"x":1}') as object, fields);
    expect(Object.getPrototypeOf(poisoned)).toBe(Object.prototype);
  });

  it("of a message is only what a record can hold, and not without end", () => {
    expect(beyondMessage({ big: 10n ** 18n }, {})).toBeNull();
    expect(beyondMessage({ long: "x".repeat(beyondCharsMax) }, {})).toBeNull();
    expect(beyondMessage({ at: new Date(0), list: [1, undefined] }, {})).toEqual({
      at: "1970-01-01T00:00:00.000Z",
      list: [1, null],
    });
  });

  it("goes with an arrival into its record, and from there into the arrival that is put back", () => {
    const came = decoded(pack({ v: 2, ...arrival, told: { by: "next" }, urgent: true }));
    const body = bodyBeyond(came);
    expect(body).toEqual({ beyond: { told: { by: "next" }, urgent: true } });
    const again = decoded(encodeArrival({ ...arrival, generation: 1 }, body.beyond));
    expect(again).toMatchObject({ generation: 1, told: { by: "next" }, urgent: true });
    expect(bodyBeyond(again)).toEqual(body);
    expect(bodyBeyond(decoded(encodeArrival(arrival)))).toEqual({});
    // It overrules nothing that this version says.
    expect(decoded(encodeArrival(arrival, { key: "another", generation: 7 }))).toMatchObject({
      key: "k",
      generation: 0,
    });
  });

  it("stays in a body that is made anew, and in a visit that grows", () => {
    const body = {
      bucket: "raw",
      key: "k",
      size: 1,
      uri: "",
      identity: null,
      metadata: null,
      via: "",
      receivedAt: "",
      sequence: 1,
    };
    const before = { ...body, raw: "old", weighed: 3 } as FileBody;
    expect(withBeyond(before, { ...body, size: 2 })).toEqual({ ...body, size: 2, weighed: 3 });
    const fact = {
      system: "one-to-one",
      instrument: "L",
      day: "20260101",
      visit: "v",
      exposure: "v",
      group: null,
      detector: "R22_S11",
      promised: 1,
    } as const;
    const visit = { ...withFact(null, fact), v: 2, seeing: 0.7 };
    expect(withFact(visit, { ...fact, detector: "R22_S12" })).toMatchObject({
      seeing: 0.7,
      detectors: { v: ["R22_S11", "R22_S12"] },
    });
  });
});
