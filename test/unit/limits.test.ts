/** Whom a request is limited as, and how much anybody gets: addresses, the token bucket, its table. */
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ConnectionLimit } from "../../src/actors/connectionLimit.ts";
import { LimitedLog } from "../../src/actors/limitedLog.ts";
import { RateLimit } from "../../src/actors/rateLimit.ts";
import { SourceAddresses } from "../../src/actors/sourceAddress.ts";
import { limitedToldEveryMs } from "../../src/limits.ts";
import { limitedAs, parseNetwork } from "../../src/protocol/networkAddress.ts";

const socketFrom = (remoteAddress: string): Socket =>
  ({ remoteAddress, once: () => undefined }) as unknown as Socket;
const requestFrom = (remoteAddress: string, forwarded?: string): IncomingMessage =>
  ({
    socket: socketFrom(remoteAddress),
    headers: forwarded === undefined ? {} : { "x-forwarded-for": forwarded },
  }) as unknown as IncomingMessage;

describe("an address", () => {
  it.each([
    ["192.0.2.7", "192.0.2.7"],
    ["2001:db8::7", "2001:db8:0:0::/64"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
    ["2001:0DB8:0001:0002::", "2001:db8:1:2::/64"],
    ["::1", "0:0:0:0::/64"],
    ["::", "0:0:0:0::/64"],
    ["fe80::1%eth0", "fe80:0:0:0::/64"],
    ["64:ff9b::192.0.2.7", "64:ff9b:0:0::/64"],
    ["2001:db8:1:2:3:4:192.0.2.7", "2001:db8:1:2::/64"],
  ])("%s is limited as %s", (address, as) => expect(limitedAs(address)).toBe(as));

  it("of IPv6 is limited with all of its /64 and nobody else, however it is written", () => {
    fc.assert(
      fc.property(fc.ipV6(), (address) => {
        const [network, rest] = [new URL(`http://[${address}]/`), limitedAs(address)];
        const canonical = network.hostname.slice(1, -1);
        expect(limitedAs(canonical)).toBe(rest);
        expect(rest).toMatch(/^(?:[0-9a-f]{1,4}:){4}:\/64$/);
      }),
    );
  });

  it.each(["10.0.0.5", "10.0.0.0/8", "2001:db8::/32", "::1", "0.0.0.0/0"])("%s is a network", (text) =>
    expect(parseNetwork(text)).not.toBeNull(),
  );
  it.each([
    "",
    "10.0.0",
    "10.0.0.0/33",
    "10.0.0.0/-1",
    "10.0.0.0/8/8",
    "::/129",
    "fe80::1%eth0",
    "host",
    "*",
    "10.0.0.0/",
  ])("%j is none", (text) => expect(parseNetwork(text)).toBeNull());
});

describe("a request", () => {
  const behind = new SourceAddresses({
    trustedProxies: ["10.0.0.5", "10.1.0.0/16", "127.0.0.1", "fd00::/8"],
  });

  it.each([
    // From somebody who is no proxy of ours: what it says of itself counts for nothing.
    ["192.0.2.7", undefined, "192.0.2.7"],
    ["192.0.2.7", "198.51.100.1", "192.0.2.7"],
    ["::ffff:192.0.2.7", undefined, "192.0.2.7"],
    // Through a proxy: the last that no proxy of ours is.
    ["10.0.0.5", "198.51.100.1", "198.51.100.1"],
    ["::ffff:10.0.0.5", "198.51.100.1", "198.51.100.1"],
    ["10.0.0.5", "203.0.113.9, 198.51.100.1", "198.51.100.1"],
    ["10.0.0.5", "203.0.113.9, 198.51.100.1, 10.1.2.3", "198.51.100.1"],
    ["fd00::5", "203.0.113.9,2001:db8::7", "2001:db8:0:0::/64"],
    ["10.0.0.5", "198.51.100.1:4711", "198.51.100.1"],
    ["10.0.0.5", "[2001:db8::7]:4711", "2001:db8:0:0::/64"],
    // What is no address ends it: the proxy that wrote it stands for whoever it was.
    ["10.0.0.5", "unknown", "10.0.0.5"],
    ["10.0.0.5", "198.51.100.1, ", "10.0.0.5"],
    ["10.0.0.5", "198.51.100.1, <script>, 10.1.2.3", "10.1.2.3"],
    ["10.0.0.5", `198.51.100.1, ${"9".repeat(10_000)}`, "10.0.0.5"],
    ["10.0.0.5", "10.1.0.1", "10.1.0.1"],
    ["10.0.0.5", undefined, "10.0.0.5"],
    // Of this machine nothing is limited, unless it is a proxy for others.
    ["127.0.0.1", undefined, null],
    ["127.0.0.1", "198.51.100.1", "198.51.100.1"],
    ["127.0.0.9", "198.51.100.1", null],
    ["::1", undefined, null],
    // A proxy writes what somebody else may have told it: only a connection itself comes from this machine.
    ["10.0.0.5", "127.0.0.1", "127.0.0.1"],
    ["10.0.0.5", "127.0.0.1, 10.1.0.6", "127.0.0.1"],
    ["10.0.0.5", "::1", "0:0:0:0::/64"],
    ["10.0.0.5", "::ffff:7f00:1", "127.0.0.1"],
    ["10.0.0.5", "0:0:0:0:0:FFFF:7F00:0001", "127.0.0.1"],
    ["10.0.0.5", "[::ffff:127.0.0.1]:80", "127.0.0.1"],
    ["10.0.0.5", "::ffff:198.51.100.1, ::ffff:0a01:6", "198.51.100.1"],
    ["::ffff:7f00:1", undefined, null],
    ["", undefined, null],
  ])("of %s that says %j comes from %j", (peer, forwarded, from) =>
    expect(behind.ofRequest(requestFrom(peer, forwarded))).toBe(from),
  );

  it("that says anything about itself is never taken for somebody whom no proxy named", () => {
    const hop = fc.oneof(fc.ipV4(), fc.ipV6(), fc.string({ maxLength: 30 }));
    fc.assert(
      fc.property(fc.array(hop, { maxLength: 20 }), (said) => {
        // The proxy writes whom it saw behind what the sender said.
        const forwarded = [...said, "198.51.100.1"].join(", ");
        expect(behind.ofRequest(requestFrom("10.0.0.5", forwarded))).toBe("198.51.100.1");
      }),
    );
  });
});

describe("a rate", () => {
  it("gives no address more than its burst and its share of the time, and always so much", () => {
    const steps = fc.array(
      fc.record({ waitMs: fc.integer({ min: 0, max: 400 }), takes: fc.integer({ min: 1, max: 12 }) }),
      {
        maxLength: 60,
      },
    );
    fc.assert(
      fc.property(
        steps,
        fc.integer({ min: 1, max: 50 }),
        fc.integer({ min: 1, max: 20 }),
        (all, perSecond, burst) => {
          const rate = new RateLimit({ perSecond, burst });
          let [now, given] = [0, 0];
          for (const { waitMs, takes } of all) {
            now += waitMs;
            for (let i = 0; i < takes; i++) {
              const wait = rate.take("a", now);
              if (wait === 0) given++;
              // Whoever waits as long as it is told gets it.
              else expect(new RateLimit({ perSecond, burst: 1 }).take("a", now + wait)).toBe(0);
              expect(given).toBeLessThanOrEqual(burst + (now * perSecond) / 1_000 + 1e-6);
            }
          }
        },
      ),
    );
  });

  it("is told when there is one again, and there is", () => {
    const rate = new RateLimit({ perSecond: 10, burst: 2 });
    expect([rate.take("a", 0), rate.take("a", 0), rate.take("b", 0)]).toEqual([0, 0, 0]);
    const wait = rate.take("a", 0);
    expect(wait).toBeCloseTo(100);
    expect(rate.take("a", wait - 1)).toBeGreaterThan(0);
    expect(rate.take("a", wait + 0.001)).toBe(0);
  });

  it("keeps a table that is bounded, and refuses nobody for want of room", () => {
    const rate = new RateLimit({ perSecond: 1, burst: 1 }, 100);
    for (let i = 0; i < 10_000; i++) expect(rate.take(`address ${i}`, i / 1_000)).toBe(0);
    expect(rate.addresses).toBeLessThanOrEqual(100);
    // Idle ones go first, a busy one is remembered.
    const fair = new RateLimit({ perSecond: 1, burst: 1 }, 3);
    for (const [address, at] of [
      ["idle", 0],
      ["busy", 5_000],
      ["later", 5_000],
      ["new", 5_001],
    ] as const)
      fair.take(address, at);
    expect(fair.take("busy", 5_002)).toBeGreaterThan(0);
  });
});

describe("connections", () => {
  it("of one address are so many at most, others' are not counted, and closed ones make room", () => {
    const closes: Array<() => void> = [];
    const from = (remoteAddress: string): Socket =>
      ({ remoteAddress, once: (_: string, close: () => void) => closes.push(close) }) as unknown as Socket;
    const limit = new ConnectionLimit(new SourceAddresses({ trustedProxies: ["10.0.0.5"] }), 2);
    const admitted = (address: string): boolean => limit.admit(from(address)) === null;
    expect([admitted("192.0.2.7"), admitted("192.0.2.7"), admitted("192.0.2.7")]).toEqual([
      true,
      true,
      false,
    ]);
    expect([
      admitted("192.0.2.8"),
      admitted("2001:db8::1"),
      admitted("2001:db8::2"),
      admitted("2001:db8::3"),
    ]).toEqual([true, true, true, false]);
    for (let i = 0; i < 5; i++) expect([admitted("127.0.0.1"), admitted("10.0.0.5")]).toEqual([true, true]);
    closes[0]?.();
    expect([admitted("192.0.2.7"), admitted("192.0.2.7")]).toEqual([true, false]);
  });
});

describe("the log of what is held back", () => {
  it("is one line in its time, however many there are, and names those that came most", () => {
    const lines: Array<Readonly<Record<string, unknown>> | undefined> = [];
    const log = new LimitedLog((_level, _message, fields) => void lines.push(fields), "refused");
    log.refused("first", 0);
    for (let i = 0; i < 100_000; i++) log.refused(i % 3 === 0 ? "loud" : `address ${i}`, i / 100);
    expect(lines).toHaveLength(1);
    log.refused("last", limitedToldEveryMs);
    expect(lines).toHaveLength(2);
    expect(lines[1]).toMatchObject({ refused: 100_001 });
    expect(lines[1]?.["most"]).toEqual(expect.arrayContaining(["loud (33334)"]));
  });
});
