/** When a site is named, and how often. */
import { describe, expect, it } from "vitest";
import { SourceAlarm } from "../../src/actors/sourceAlarm.ts";
import type { SourceState } from "../../src/jetstream/sitesBucket.ts";

interface Line {
  readonly level: string;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

function alarmed() {
  const lines: Array<Line> = [];
  const alarm = new SourceAlarm((level, message, fields = {}) => void lines.push({ level, message, fields }));
  const state = (silentMs: number | null, lag = 0, error: string | null = null): SourceState => ({
    site: "summit",
    epoch: "e1",
    lag,
    silentMs,
    error,
  });
  return {
    lines,
    alarm,
    state,
    said: () => lines.splice(0).map(({ level, message }) => `${level}: ${message}`),
  };
}

const notHeard = "error: a site is not heard of: what it knows is not seen here until it is";
const again = "info: a site is heard of again";
const allIsHere = "info: all that a site held back is here";

describe("a source", () => {
  it("that is cut is named once after 30 s, although it lags behind in nothing, and once when it is back and when all is here", () => {
    const { lines, alarm, state, said } = alarmed();
    expect(alarm.look([state(1_000)], 0)).toMatchObject([{ stalled: false, silentForMs: 1_000 }]);
    alarm.look([state(30_000)], 29_000);
    expect(said()).toEqual([]);
    expect(alarm.look([state(35_000)], 34_000)).toMatchObject([{ stalled: true, silentForMs: 35_000 }]);
    alarm.look([state(40_000)], 39_000);
    expect(lines).toMatchObject([{ fields: { site: "summit", silentMs: 35_000, error: null } }]);
    expect(said()).toEqual([notHeard]);
    alarm.look([state(500, 70)], 94_000);
    alarm.look([state(500, 20)], 99_000);
    expect(lines).toMatchObject([{ fields: { site: "summit", silentForMs: 94_500, lag: 70 } }]);
    expect(said()).toEqual([again]);
    alarm.look([state(500, 0)], 104_000);
    alarm.look([state(500, 5)], 109_000);
    alarm.look([state(500, 0)], 114_000);
    expect(said()).toEqual([allIsHere]);
  });

  it("with an error is named at once, with what the server says", () => {
    const { lines, alarm, state, said } = alarmed();
    expect(alarm.look([state(100, 0, "stream not found")], 0)).toMatchObject([{ stalled: true }]);
    expect(lines).toMatchObject([{ fields: { error: "stream not found" } }]);
    expect(said()).toEqual([notHeard]);
  });

  it("that nothing was ever heard of has as long as any other", () => {
    const { alarm, state, said } = alarmed();
    alarm.look([state(null)], 1_000_000);
    alarm.look([state(null)], 1_030_000);
    expect(said()).toEqual([]);
    expect(alarm.look([state(null)], 1_031_000)).toMatchObject([{ stalled: true, silentForMs: 31_000 }]);
    expect(said()).toEqual([notHeard]);
  });

  it("of which a new leader knows nothing yet is not taken for one that is heard of", () => {
    const { alarm, state, said } = alarmed();
    alarm.look([state(0)], 0);
    alarm.look([state(31_000)], 31_000);
    expect(said()).toEqual([notHeard]);
    expect(alarm.look([state(null)], 32_000)).toMatchObject([{ stalled: true, silentForMs: 32_000 }]);
    expect(said()).toEqual([]);
  });

  it("that is taken out is forgotten, and begins anew", () => {
    const { alarm, state, said } = alarmed();
    alarm.look([state(31_000)], 0);
    alarm.look([], 5_000);
    alarm.look([state(31_000)], 10_000);
    expect(said()).toEqual([notHeard, notHeard]);
  });
});
