import { describe, expect, it } from "vitest";
import { serverTime, SiteClock } from "../../src/jetstream/SiteClock.ts";

const hour = 3_600_000;

describe("the site's clock", () => {
  it("is the local one until the server has said its time", () => {
    const clock = new SiteClock();
    expect(clock.learnt).toBe(false);
    expect(Math.abs(clock.now() - Date.now())).toBeLessThan(1_000);
  });

  it("is the server's from its first answer on, however far the local one is off", () => {
    const clock = new SiteClock();
    const at = performance.now();
    clock.learn(Date.now() + hour, at - 10, at);
    expect(clock.learnt).toBe(true);
    const ahead = clock.now() - Date.now() - hour;
    expect(Math.abs(ahead)).toBeLessThan(1_000);
  });

  it("believes a slow answer less than a quick one, and an old one less with time", () => {
    const clock = new SiteClock();
    const at = performance.now();
    clock.learn(Date.now() + hour, at, at + 2);
    clock.learn(Date.now() + 2 * hour, at, at + 4_000);
    expect(clock.now() - Date.now()).toBeLessThan(1.5 * hour);
    // A day later a round trip of four seconds is the better knowledge.
    clock.learn(Date.now() + 2 * hour, at + 24 * hour, at + 24 * hour + 4_000);
    expect(clock.now() - Date.now()).toBeLessThan(0);
  });

  it("reads the time of an answer, and nothing from what tells none", () => {
    expect(serverTime('{"type":"x","ts":"2026-03-01T00:00:00.123456789Z"}')).toBe(
      Date.parse("2026-03-01T00:00:00.123Z"),
    );
    expect(serverTime('{"error":{"code":404}}')).toBeNull();
    expect(serverTime("not json")).toBeNull();
  });
});
