import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { EventOrder } from "../../../src/protocol/eventOrder.ts";
import { eventOrder, orderOf } from "../../../src/protocol/eventOrder.ts";

const time = fc
  .date({ min: new Date("2020-01-01"), max: new Date("2040-01-01"), noInvalidDate: true })
  .map((date) => date.toISOString());
const hex = fc.string({ unit: fc.constantFrom("0", "1", "9", "A", "F"), maxLength: 18 });
const event = fc.record<EventOrder>({ time, sequencer: hex }, { requiredKeys: [] });

describe("which of two events is the newer", () => {
  it("is the other way round from the other side", () => {
    const opposite = { newer: "older", older: "newer", unknown: "unknown" };
    fc.assert(
      fc.property(event, event, (a, b) => {
        expect(orderOf(a, b)).toBe(opposite[orderOf(b, a)]);
      }),
    );
  });

  it("is told by the store's time, to the microsecond that Ceph gives", () => {
    const at = (text: string): EventOrder => ({ time: text });
    expect(orderOf(at("2025-11-21T07:03:14.124725Z"), at("2025-11-21T07:03:14.124724Z"))).toBe("newer");
    expect(orderOf(at("2025-11-21T07:03:14Z"), at("2025-11-21T07:03:14.001Z"))).toBe("older");
    expect(orderOf(at("2025-11-21T07:03:14.100Z"), at("2025-11-21T07:03:14.1Z"))).toBe("unknown");
  });

  it("is told by the sequencer where the times are equal or not given: the shorter filled up at its right", () => {
    const same = "2025-11-21T07:03:14.565Z";
    const of = (sequencer: string): EventOrder => ({ time: same, sequencer });
    expect(orderOf(of("0055AED6DCD90281E6"), of("0055AED6DCD90281E5"))).toBe("newer");
    expect(orderOf(of("0055"), of("00550"))).toBe("unknown");
    expect(orderOf({ sequencer: "ab" }, { sequencer: "AA0" })).toBe("newer");
  });

  it("is the time's word where the two disagree: Ceph's sequencer is bytes of its clock, lowest first", () => {
    const former = { time: "2025-11-21T07:03:14.9Z", sequencer: "FF000000" };
    const later = { time: "2025-11-21T07:03:15.1Z", sequencer: "00010000" };
    expect(orderOf(later, former)).toBe("newer");
  });

  it("is not known where one of them says nothing, or no time", () => {
    expect(orderOf(undefined, { time: "2025-11-21T07:03:14Z" })).toBe("unknown");
    expect(orderOf({ time: "yesterday" }, { time: "2025-11-21T07:03:14Z" })).toBe("unknown");
    expect(orderOf({ time: "2025-11-21T07:03:14Z" }, { sequencer: "1" })).toBe("unknown");
    expect(eventOrder("", "")).toBeUndefined();
    expect(eventOrder("2025-11-21T07:03:14Z", "")).toEqual({ time: "2025-11-21T07:03:14Z" });
  });
});
