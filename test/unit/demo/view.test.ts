import { describe, expect, it } from "vitest";
import type { Line } from "../../../src/demo/paint.ts";
import { asciiOf, clock, cut, paint, piece, showsUnicode, spread, widthOf } from "../../../src/demo/paint.ts";
import { openScreen } from "../../../src/demo/screen.ts";
import type { Output } from "../../../src/demo/screen.ts";
import type { Scene } from "../../../src/demo/view.ts";
import { plainEvent, render, statusLine } from "../../../src/demo/view.ts";

const text = (line: Line): string => line.map((one) => one.text).join("");

const scene: Scene = {
  site: "demo",
  day: "20260714",
  phase: "the night goes on",
  ms: 83_456,
  server: "127.0.0.1:4222",
  durability: "fsync before every acknowledgement",
  lanes: [
    { name: "demo", received: 214, known: 180, failing: 2, waiting: 1, parked: 9 },
    { name: "unrouted", received: null, known: 0, failing: 0, waiting: 0, parked: 2 },
  ],
  nodes: [
    {
      name: "demo-1",
      pid: 4_711,
      state: "running",
      well: true,
      inHand: 0,
      inHandMax: 12,
      settled: 120,
      restarts: 0,
    },
    {
      name: "demo-2",
      pid: 4_712,
      state: "killed -9",
      well: false,
      inHand: 46,
      inHandMax: 46,
      settled: 60,
      restarts: 1,
    },
  ],
  exposures: [
    { planned: 9, known: 9, state: "looked" },
    { planned: 9, known: 4, state: "coming" },
    { planned: 8, known: 8, state: "lacking" },
    { planned: 9, known: 9, state: "complete" },
  ],
  exposuresPlanned: 30,
  runs: { ready: 1, running: 2, done: 3, failed: 4 },
  lookups: { answered: 512, waiting: 7, failed: 0, p50: 12.4, p99: 2_377 },
  kill: {
    victim: "demo-2",
    at: 6_200,
    items: 46,
    takenBack: { by: "demo-1", afterMs: 2_040 },
    revived: false,
  },
  events: Array.from({ length: 50 }, (_, i) => ({
    at: i * 1_000,
    tone: "plain" as const,
    text: `event ${i}`,
  })),
};

describe("the live view", () => {
  it("fits every terminal", () => {
    for (const columns of [1, 20, 40, 79, 80, 120, 200]) {
      for (const rows of [1, 5, 10, 17, 24, 50]) {
        const lines = render(scene, { columns, rows });
        expect(lines.length).toBeLessThanOrEqual(rows);
        for (const line of lines) expect(widthOf(line)).toBeLessThan(Math.max(1, columns));
      }
    }
  });

  it("shows at 80 × 24 what there is to see, and the latest events", () => {
    const lines = render(scene, { columns: 80, rows: 24 }).map(text);
    expect(lines).toHaveLength(24);
    const all = lines.join("\n");
    expect(lines[0]).toMatch(/site demo {2}night of 20260714 .* 01:23\.4/);
    expect(all).toContain("fsync before every acknowledgement");
    expect(all).toMatch(/demo +214 +180 +2 +1 +9/);
    expect(all).toMatch(/unrouted +· +· +· +2/);
    expect(all).toMatch(/demo-2 +4712 {2}killed -9 +█+ 46 +60 +1/);
    expect(all).toMatch(/demo-2 killed -9 with 46 in hand → demo-1 took them back after 2\.0 s\n/);
    expect(all).toMatch(/exposures {2}█▄██·{26} {2}2 of 30 complete/);
    expect(all).toContain("3 made · 2 running · 1 ready · 4 failed");
    expect(all).toContain("512 look-ups answered, 7 waiting · webhook → here 12 ms, p99 2.4 s");
    expect(lines.at(-1)).toContain("event 49");
    expect(all).not.toContain("…");
  });

  it("tells how far the killed node's story is", () => {
    const kill = { ...scene.kill, takenBack: null } as Scene["kill"];
    const shown = render({ ...scene, kill }, { columns: 80, rows: 24 })
      .map(text)
      .join("\n");
    expect(shown).toContain("→ its lease runs out");
    expect(
      render({ ...scene, kill: null }, { columns: 80, rows: 24 })
        .map(text)
        .join("\n"),
    ).not.toContain("in hand →");
  });

  it("says the same in one line", () => {
    expect(statusLine(scene)).toBe(
      "received 214, known 180, failing 2, waiting 1, parked 11, demo-1 0 in hand, demo-2 killed -9, exposures 2, quick-looks 3, look-ups 512",
    );
    expect(plainEvent({ at: 61_234, tone: "bad", text: "it fell" })).toBe("01:01.2  ✗ it fell");
  });
});

describe("paint", () => {
  it("cuts before it paints", () => {
    const line = [piece("abc", "red"), piece("def")];
    expect(text(cut(line, 6))).toBe("abcdef");
    expect(text(cut(line, 5))).toBe("abcd…");
    expect(text(cut(line, 1))).toBe("…");
    expect(text(cut(line, 0))).toBe("");
    expect(paint(line, false)).toBe("abcdef");
    expect(paint(line, true)).toBe("\x1b[31mabc\x1b[0mdef");
  });

  it("spreads to both sides where there is room", () => {
    expect(text(spread([piece("a")], [piece("b")], 5))).toBe("a   b");
    expect(text(spread([piece("abc")], [piece("def")], 6))).toBe("abc");
  });

  it("writes ASCII of the same width where the terminal shows no more", () => {
    const all = render(scene, { columns: 80, rows: 24 }).map(text);
    for (const line of all) {
      expect(asciiOf(line)).toHaveLength(line.length);
      expect(asciiOf(line)).toMatch(/^[ -~]*$/);
      expect(asciiOf(line)).not.toContain("?");
    }
    expect(showsUnicode({ LANG: "C" })).toBe(false);
    expect(showsUnicode({ LANG: "en_GB.UTF-8" })).toBe(true);
    expect(showsUnicode({ LC_ALL: "C", LANG: "en_GB.UTF-8" })).toBe(false);
    expect(showsUnicode({})).toBe(true);
  });

  it("tells time in tenths", () => {
    expect([0, 99, 59_999, 60_000, 3_600_000].map(clock)).toEqual([
      "00:00.0",
      "00:00.0",
      "00:59.9",
      "01:00.0",
      "60:00.0",
    ]);
  });
});

describe("the screen", () => {
  const output = (size: { columns: number; rows: number } | null) => {
    const written: Array<string> = [];
    const face: Output = {
      write: (s) => void written.push(s),
      size: () => size,
      color: false,
      unicode: true,
    };
    return { face, written };
  };

  it("gives the terminal back, once", () => {
    const { face, written } = output({ columns: 80, rows: 24 });
    const screen = openScreen(face, () => scene, false);
    screen.event({ at: 0, tone: "note", text: "not a line of its own" });
    screen.end();
    screen.end();
    const all = written.join("");
    expect(all.split("\x1b[?1049h")).toHaveLength(2);
    expect(all.split("\x1b[?1049l")).toHaveLength(2);
    expect(all.endsWith("\x1b[?25h\x1b[?1049l")).toBe(true);
    expect(all).not.toContain("not a line of its own");
    expect(all).toContain("night of");
  });

  it.each([
    ["is no terminal", null, false],
    ["is one and plain lines are wanted", { columns: 80, rows: 24 }, true],
  ])("writes lines without an escape where it %s", (_, size, plain) => {
    const { face, written } = output(size);
    const screen = openScreen(face, () => scene, plain);
    screen.event({ at: 1_000, tone: "good", text: "one thing" });
    screen.end();
    expect(written).toEqual(["00:01.0  ✓ one thing\n"]);
  });
});
