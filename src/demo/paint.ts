/** Lines for a terminal: pieces of text with a style, cut to a width before any escape code is in them. */

export type Style = "plain" | "dim" | "bold" | "red" | "green" | "yellow" | "cyan" | "title";

export interface Piece {
  readonly text: string;
  readonly style: Style;
}

export type Line = ReadonlyArray<Piece>;

/** Colours of the terminal's own palette, so that they fit light and dark ones. */
const codes: Readonly<Record<Style, string>> = {
  plain: "",
  dim: "\x1b[2m",
  bold: "\x1b[1m",
  red: "\x1b[31m",
  green: "\x1b[32m",
  yellow: "\x1b[33m",
  cyan: "\x1b[36m",
  title: "\x1b[1;36m",
};

export const piece = (text: string, style: Style = "plain"): Piece => ({ text, style });

export const widthOf = (line: Line): number => line.reduce((sum, { text }) => sum + text.length, 0);

/** Cuts a line to a width in columns; what is cut ends in `…`. Every glyph used is one column wide. */
export function cut(line: Line, width: number): Line {
  if (widthOf(line) <= width) return line;
  const out: Array<Piece> = [];
  let left = Math.max(0, width - 1);
  for (const { text, style } of line) {
    if (left <= 0) break;
    out.push(piece(text.slice(0, left), style));
    left -= text.length;
  }
  return width > 0 ? [...out, piece("…", "dim")] : [];
}

/** Text to the left, text to the right. */
export function spread(left: Line, right: Line, width: number): Line {
  const room = width - widthOf(left) - widthOf(right);
  return room < 1 ? left : [...left, piece(" ".repeat(room)), ...right];
}

export function paint(line: Line, color: boolean): string {
  if (!color) return line.map(({ text }) => text).join("");
  return line
    .map(({ text, style }) => (codes[style] === "" ? text : `${codes[style]}${text}\x1b[0m`))
    .join("");
}

/** False where the terminal says that it shows no UTF-8. */
export function showsUnicode(env: Readonly<Record<string, string | undefined>>): boolean {
  const locale = env["LC_ALL"] || env["LC_CTYPE"] || env["LANG"] || "";
  return locale === "" || /utf-?8/i.test(locale);
}

const plainGlyphs: Readonly<Record<string, string>> = {
  "─": "-",
  "·": "-",
  "…": "~",
  "█": "#",
  "▇": "#",
  "▆": "+",
  "▅": "+",
  "▄": "=",
  "▃": "=",
  "▂": "-",
  "▁": "_",
  "░": ".",
  "▸": ">",
  "→": ">",
  "●": "*",
  "○": "o",
  "✓": "+",
  "✗": "x",
  "↺": "<",
};

/** The same columns in ASCII. */
export function asciiOf(text: string): string {
  return text.replaceAll(/[\u0080-\uffff]/g, (glyph) => plainGlyphs[glyph] ?? "?");
}

/** `01:23.4` */
export function clock(ms: number): string {
  const tenths = Math.floor(ms / 100);
  const minutes = String(Math.floor(tenths / 600)).padStart(2, "0");
  const seconds = String(Math.floor(tenths / 10) % 60).padStart(2, "0");
  return `${minutes}:${seconds}.${tenths % 10}`;
}
