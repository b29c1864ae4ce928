/** The live view: a scene as lines that fit the terminal. Pure. */
import type { Line, Style } from "./paint.ts";
import { clock, cut, piece, spread } from "./paint.ts";
import type { NightEvent, Tone } from "./picture.ts";

export interface SceneLane {
  readonly name: string;
  /** Null where nobody counts them. */
  readonly received: number | null;
  readonly known: number;
  readonly failing: number;
  readonly waiting: number;
  readonly parked: number;
}

export interface SceneNode {
  readonly name: string;
  readonly pid: number | null;
  readonly state: string;
  readonly well: boolean;
  readonly inHand: number;
  /** Most items of one of its claims. */
  readonly inHandMax: number;
  readonly settled: number;
  readonly restarts: number;
}

export interface SceneExposure {
  readonly planned: number;
  readonly known: number;
  readonly state: "coming" | "complete" | "looked" | "lacking" | "failed";
}

export interface Scene {
  readonly site: string;
  readonly day: string;
  readonly phase: string;
  /** Since the night began. */
  readonly ms: number;
  readonly server: string;
  readonly durability: string;
  readonly lanes: ReadonlyArray<SceneLane>;
  readonly nodes: ReadonlyArray<SceneNode>;
  readonly exposures: ReadonlyArray<SceneExposure>;
  /** Exposures of the whole night. */
  readonly exposuresPlanned: number;
  readonly runs: {
    readonly ready: number;
    readonly running: number;
    readonly done: number;
    readonly failed: number;
  };
  readonly lookups: {
    readonly answered: number;
    readonly waiting: number;
    readonly failed: number;
    /** Milliseconds from webhook to answer; null before the first. */
    readonly p50: number | null;
    readonly p99: number | null;
  };
  /** Null until a node was killed. */
  readonly kill: SceneKill | null;
  readonly events: ReadonlyArray<NightEvent>;
}

export interface SceneKill {
  readonly victim: string;
  /** By the night's clock, ms. */
  readonly at: number;
  readonly items: number;
  readonly takenBack: { readonly by: string; readonly afterMs: number } | null;
  readonly revived: boolean;
}

export interface Size {
  readonly columns: number;
  readonly rows: number;
}

const viewColumnsMax = 120;

/** At most `rows` lines of at most `columns` columns. */
export function render(scene: Scene, size: Size): ReadonlyArray<Line> {
  const width = Math.min(size.columns, viewColumnsMax) - 1;
  const roomy = size.rows >= 22;
  const gap: ReadonlyArray<Line> = roomy ? [[]] : [];
  const rule: Line = [piece("─".repeat(Math.max(0, width)), "dim")];
  const top = [
    ...header(scene, width),
    rule,
    ...lanes(scene.lanes),
    ...gap,
    ...nodes(scene.nodes, width),
    ...(scene.kill === null ? gap : [story(scene.kill)]),
    ...sky(scene, width),
    presence(scene),
    rule,
  ];
  const room = Math.max(0, size.rows - top.length);
  const shown = scene.events.slice(Math.max(0, scene.events.length - room));
  return [...top, ...shown.map(eventLine)].slice(0, size.rows).map((line) => cut(line, width));
}

function header(scene: Scene, width: number): ReadonlyArray<Line> {
  const name: Line = [
    piece(" Orrery", "title"),
    piece("  site "),
    piece(scene.site, "bold"),
    piece("  night of "),
    piece(scene.day, "bold"),
  ];
  const phase: Line = [piece(scene.phase), piece(`  ${clock(scene.ms)} `, "bold")];
  return [spread(name, phase, width), [piece(` nats-server ${scene.server} · ${scene.durability}`, "dim")]];
}

const number = (value: number | null, style: Style = "plain"): ReturnType<typeof piece> =>
  value === null || value === 0
    ? piece((value === null ? "" : "·").padStart(9), "dim")
    : piece(String(value).padStart(9), style);

function lanes(all: ReadonlyArray<SceneLane>): ReadonlyArray<Line> {
  const words = ["received", "known", "failing", "waiting", "parked"];
  return [
    [piece(` ${"lane".padEnd(11)}${words.map((word) => word.padStart(9)).join("")}`, "dim")],
    ...all.map((lane): Line => [
      piece(` ${lane.name.padEnd(11)}`),
      number(lane.received),
      number(lane.known, "green"),
      number(lane.failing, "yellow"),
      number(lane.waiting, "cyan"),
      number(lane.parked, "red"),
    ]),
  ];
}

function nodes(all: ReadonlyArray<SceneNode>, width: number): ReadonlyArray<Line> {
  const bar = Math.max(6, Math.min(30, width - 62));
  return [
    [
      piece(
        ` ${"node".padEnd(8)}${"pid".padStart(8)}  ${"state".padEnd(11)}${"in hand".padEnd(bar + 5)}${"known by it".padStart(12)}${"restarts".padStart(10)}`,
        "dim",
      ),
    ],
    ...all.map((node): Line => {
      const filled =
        node.inHand === 0 ? 0 : Math.max(1, Math.min(bar, Math.round((bar * node.inHand) / node.inHandMax)));
      return [
        piece(` ${node.name.padEnd(8)}`),
        piece(String(node.pid ?? "-").padStart(8)),
        piece(`  ${node.state.padEnd(11)}`, node.well ? "green" : "red"),
        piece("█".repeat(filled), node.well ? "cyan" : "red"),
        piece("░".repeat(bar - filled), "dim"),
        piece(` ${String(node.inHand).padEnd(4)}`, node.inHand === 0 ? "dim" : "bold"),
        piece(String(node.settled).padStart(12)),
        piece(String(node.restarts).padStart(10), node.restarts === 0 ? "dim" : "yellow"),
      ];
    }),
  ];
}

/** Stays in sight when the events have moved on. */
function story({ victim, at, items, takenBack, revived }: SceneKill): Line {
  return [
    piece(` ${clock(at)} `, "dim"),
    piece(`${victim} killed -9 with ${items} in hand`, "red"),
    ...(takenBack === null
      ? [piece(" → its lease runs out", "yellow")]
      : [
          piece(
            ` → ${takenBack.by} took them back after ${(takenBack.afterMs / 1_000).toFixed(1)} s`,
            "green",
          ),
        ]),
    ...(revived ? [piece(" → runs again", "green")] : []),
  ];
}

const levels = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];
const tones: Readonly<Record<SceneExposure["state"], Style>> = {
  coming: "cyan",
  complete: "yellow",
  looked: "green",
  lacking: "red",
  failed: "red",
};

/** Each exposure a column, as high as the part of its detectors that is known. */
function sky(scene: Scene, width: number): ReadonlyArray<Line> {
  const label = " exposures  ";
  const columns: Array<ReturnType<typeof piece>> = scene.exposures.map(({ planned, known, state }) => {
    const level = planned === 0 ? 0 : Math.min(7, Math.floor((7 * known) / planned));
    return piece(levels[level] ?? "█", tones[state]);
  });
  const left = Math.max(0, scene.exposuresPlanned - columns.length);
  const line: Line = [
    ...columns.slice(-Math.max(1, width - label.length - 22)),
    piece("·".repeat(left), "dim"),
  ];
  const complete = scene.exposures.filter(({ state }) => state === "complete" || state === "looked").length;
  const total = Math.max(scene.exposuresPlanned, scene.exposures.length);
  const { ready, running, done, failed } = scene.runs;
  return [
    [piece(label, "dim"), ...line, piece(`  ${complete}`, "bold"), piece(` of ${total} complete`)],
    [
      piece(" quick-look ", "dim"),
      piece(`${done} made`, done > 0 ? "green" : "plain"),
      piece(` · ${running} running · ${ready} ready`),
      ...(failed > 0 ? [piece(` · ${failed} failed`, "red")] : []),
    ],
  ];
}

function duration(ms: number | null): string {
  if (ms === null) return "-";
  return ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`;
}

function presence({ lookups }: Scene): Line {
  const { answered, waiting, failed, p50, p99 } = lookups;
  return [
    piece(" presence   ", "dim"),
    piece(`${answered}`, "bold"),
    piece(` look-ups answered, ${waiting} waiting`),
    ...(failed > 0 ? [piece(`, ${failed} failed`, "red")] : []),
    piece(` · webhook → here ${duration(p50)}, p99 ${duration(p99)}`),
  ];
}

const marks: Readonly<Record<Tone, readonly [string, Style]>> = {
  plain: ["·", "plain"],
  good: ["✓", "green"],
  warn: ["↺", "yellow"],
  bad: ["✗", "red"],
  note: ["▸", "cyan"],
};

function eventLine(event: NightEvent): Line {
  const [mark, style] = marks[event.tone];
  return [piece(` ${clock(event.at)} `, "dim"), piece(`${mark} `, style), piece(event.text, style)];
}

/** One line a second where there is no terminal. */
export function statusLine(scene: Scene): string {
  const sum = (of: (lane: SceneLane) => number): number =>
    scene.lanes.reduce((total, lane) => total + of(lane), 0);
  const complete = scene.exposures.filter(({ state }) => state === "complete" || state === "looked").length;
  const hands = scene.nodes.map(
    (node) => `${node.name} ${node.well ? `${node.inHand} in hand` : node.state}`,
  );
  return [
    `received ${sum((lane) => lane.received ?? 0)}`,
    `known ${sum((lane) => lane.known)}`,
    `failing ${sum((lane) => lane.failing)}`,
    `waiting ${sum((lane) => lane.waiting)}`,
    `parked ${sum((lane) => lane.parked)}`,
    ...hands,
    `exposures ${complete}`,
    `quick-looks ${scene.runs.done}`,
    `look-ups ${scene.lookups.answered}`,
  ].join(", ");
}

/** An event as a line of its own. */
export const plainEvent = (event: NightEvent): string =>
  `${clock(event.at)}  ${marks[event.tone][0]} ${event.text}`;
