import { describe, expect, it } from "vitest";
import { makeLog } from "../../src/log.ts";
import { nasties } from "../support/nasties.ts";

describe("a log for people", () => {
  it("has one line for each thing that is told, whatever is in it, and moves no cursor", () => {
    for (const nasty of nasties) {
      const written: Array<string> = [];
      const log = makeLog({ level: "info", format: "pretty" }, {}, (text) => written.push(text));
      log("warn", `refused ${nasty}`, { key: nasty, detail: { inner: nasty } });
      expect(written).toHaveLength(1);
      // oxlint-disable-next-line no-control-regex
      expect(written[0]).toMatch(/^[^\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]*\n$/);
    }
  });

  it("leaves what is harmless as it is", () => {
    const written: Array<string> = [];
    const log = makeLog({ level: "info", format: "pretty" }, {}, (text) => written.push(text));
    log("info", "a file is known", { key: "é/🔭 b.fits", size: 3 });
    expect(written[0]?.slice(13)).toBe("info  a file is known  key=é/🔭 b.fits size=3\n");
  });
});

describe("a line that speaks of another site", () => {
  it.each(["json", "pretty"] as const)("names it as ofSite (%s): each field stands once", (format) => {
    const written: Array<string> = [];
    const base = { site: "hub", node: "hub-1" };
    const log = makeLog({ level: "info", format }, base, (text) => written.push(text));
    log("error", "a site is not heard of", { site: "summit", silentMs: 3 });
    log("info", "of its own", { site: "hub", lag: 0 });
    const [other = "", own = ""] = written;
    if (format === "pretty") {
      expect(other).toContain("  ofSite=summit silentMs=3");
      return expect(own).toContain("of its own  lag=0");
    }
    expect(other.match(/"site":/g)).toHaveLength(1);
    expect(JSON.parse(other)).toMatchObject({ ...base, ofSite: "summit", silentMs: 3 });
    expect(own.match(/"site":/g)).toHaveLength(1);
    return expect(JSON.parse(own)).toMatchObject({ ...base, lag: 0 });
  });
});
