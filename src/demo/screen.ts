/** Where the view is shown: in place on a terminal, or as lines. */
import type { Line } from "./paint.ts";
import { asciiOf, paint } from "./paint.ts";
import type { NightEvent } from "./picture.ts";
import type { Scene, Size } from "./view.ts";
import { plainEvent, render, statusLine } from "./view.ts";
import { clock } from "./paint.ts";

export interface Output {
  readonly write: (text: string) => void;
  /** Null where it is no terminal. */
  readonly size: () => Size | null;
  readonly color: boolean;
  readonly unicode: boolean;
}

export interface Screen {
  readonly event: (event: NightEvent) => void;
  /** Gives the terminal back as it was. Harmless when called again. */
  readonly end: () => void;
}

const framesEveryMs = 200;
const statusEveryMs = 1_000;
const enter = "\x1b[?1049h\x1b[?25l\x1b[2J";
const leave = "\x1b[?25h\x1b[?1049l";

export const lineText = (output: Output, line: Line): string => {
  const text = paint(line, output.color);
  return output.unicode ? text : asciiOf(text);
};

/** Shows the scene until its end, five times a second: on the terminal's other screen, so that what stood there stays. */
export function openScreen(output: Output, scene: () => Scene, plain: boolean): Screen {
  return plain || output.size() === null ? openLines(output, scene) : openFrames(output, scene);
}

function openFrames(output: Output, scene: () => Scene): Screen {
  let open = true;
  output.write(enter);
  const frame = (): void => {
    const size = output.size();
    if (size === null) return;
    const lines = render(scene(), size).map((line) => `${lineText(output, line)}\x1b[K`);
    // Each frame is written over the last one and never clears the screen: no flicker.
    output.write(`\x1b[?2026h\x1b[H${lines.join("\r\n")}\x1b[J\x1b[?2026l`);
  };
  frame();
  const timer = setInterval(frame, framesEveryMs);
  return {
    event: () => undefined,
    end: () => {
      if (!open) return;
      open = false;
      clearInterval(timer);
      output.write(leave);
    },
  };
}

function openLines(output: Output, scene: () => Scene): Screen {
  const line = (text: string): void => output.write(`${output.unicode ? text : asciiOf(text)}\n`);
  const timer = setInterval(() => {
    const now = scene();
    line(`${clock(now.ms)}    ${statusLine(now)}`);
  }, statusEveryMs);
  return {
    event: (event) => line(plainEvent(event)),
    end: () => clearInterval(timer),
  };
}
