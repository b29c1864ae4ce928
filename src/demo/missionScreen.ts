/** Where a mission's progress is shown: a table that is written over on a terminal, else a line a second. */
import type { Output } from "./screen.ts";
import { lineText } from "./screen.ts";
import type { Line } from "./paint.ts";
import { cut, piece } from "./paint.ts";
import type { Progress } from "./missionView.ts";
import { levelsText, statusText, tableLines } from "./missionView.ts";

export interface MissionScene {
  readonly progress: Progress;
  readonly ms: number;
  readonly phase: string;
  readonly files: number;
}

const framesEveryMs = 250;
const linesEveryMs = 1_000;

/** @returns ends it; the last state stays on the screen */
export function openMissionScreen(output: Output, scene: () => MissionScene, plain: boolean): () => void {
  const status = ({ progress, ms, phase, files }: MissionScene): Line => [
    piece(statusText(progress, ms, phase, files)),
  ];
  if (plain || output.size() === null) {
    let before = "";
    const line = (): void => {
      const now = scene();
      const levels = levelsText(now.progress);
      // What has not changed is not said again.
      const text = levels === before ? "" : `  |  ${levels}`;
      before = levels;
      output.write(`${lineText(output, [...status(now), piece(text, "dim")])}\n`);
    };
    const timer = setInterval(line, linesEveryMs);
    return () => {
      clearInterval(timer);
      line();
    };
  }
  let drawn = 0;
  const frame = (): void => {
    const now = scene();
    const { columns, rows } = output.size() ?? { columns: 80, rows: 24 };
    // A terminal that is lower than the table gets what fits: what has scrolled away cannot be written over.
    const lines = [status(now), ...tableLines(now.progress)].slice(0, Math.max(1, rows - 2));
    const text = lines.map((line) => `${lineText(output, cut(line, columns))}\x1b[K\n`).join("");
    output.write(`\x1b[?2026h${drawn === 0 ? "" : `\x1b[${drawn}A`}${text}\x1b[J\x1b[?2026l`);
    drawn = lines.length;
  };
  frame();
  const timer = setInterval(frame, framesEveryMs);
  return () => {
    clearInterval(timer);
    frame();
  };
}
