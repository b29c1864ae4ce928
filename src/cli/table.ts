/** Aligned tables that fit the terminal. Columns marked `give` are cut in the middle when there is not room for all. */
import { harmless } from "./words.ts";

export type Style = "bold" | "dim" | "red" | "green" | "yellow" | "cyan";

const codes: Readonly<Record<Style, string>> = {
  bold: "1",
  dim: "2",
  red: "31",
  green: "32",
  yellow: "33",
  cyan: "36",
};

export const paint = (color: boolean, style: Style, text: string): string =>
  color && text !== "" ? `\u001b[${codes[style]}m${text}\u001b[0m` : text;

export interface Cell {
  readonly text: string;
  readonly style?: Style;
}

export interface Column {
  readonly title: string;
  readonly right?: boolean;
  /** May be cut down to this many characters, in the middle. */
  readonly give?: number;
  /** Cut at the end instead: a sentence, of which the beginning matters. */
  readonly prose?: boolean;
}

export type Row = ReadonlyArray<string | Cell>;

const gap = 2;

/** Columns that a text takes: exact for what names of files and groups are made of, near enough for the rest. */
export function widthOf(text: string): number {
  // oxlint-disable-next-line no-control-regex
  if (/^[\x20-\x7e]*$/.test(text)) return text.length;
  let width = 0;
  for (const char of text) width += isWide(char) ? 2 : /\p{Mark}/u.test(char) ? 0 : 1;
  return width;
}

function isWide(char: string): boolean {
  const code = char.codePointAt(0) ?? 0;
  return (
    (code >= 0x1100 && code <= 0x115f) ||
    (code >= 0x2e80 && code <= 0xa4cf) ||
    (code >= 0xac00 && code <= 0xd7a3) ||
    (code >= 0xf900 && code <= 0xfaff) ||
    (code >= 0xfe30 && code <= 0xfe6f) ||
    (code >= 0xff00 && code <= 0xff60) ||
    (code >= 0x1f300 && code <= 0x1faff) ||
    (code >= 0x20000 && code <= 0x3fffd)
  );
}

/** Cut in the middle: the beginning and, more of it, the end, where names differ. */
export function cut(text: string, width: number, prose = false): string {
  if (widthOf(text) <= width) return text;
  if (width <= 1) return width === 1 ? "…" : "";
  const chars = Array.from(text);
  const head = prose ? width - 1 : Math.floor((width - 1) / 3);
  let left = "";
  for (const char of chars) {
    if (widthOf(left + char) > head) break;
    left += char;
  }
  if (prose) return `${left.trimEnd()}…`;
  let right = "";
  for (let i = chars.length - 1; i >= 0; i--) {
    const next = `${chars[i]}${right}`;
    if (widthOf(next) + widthOf(left) + 1 > width) break;
    right = next;
  }
  return `${left}…${right}`;
}

const cellOf = (cell: string | Cell): Cell => (typeof cell === "string" ? { text: cell } : cell);

function fit(columns: ReadonlyArray<Column>, widths: Array<number>, room: number): void {
  let over = widths.reduce((sum, width) => sum + width, 0) + gap * (columns.length - 1) - room;
  while (over > 0) {
    // The widest that may still give, one character at a time: bounded by the excess.
    let widest = -1;
    columns.forEach((column, i) => {
      const width = widths[i] ?? 0;
      if (column.give !== undefined && width > column.give && (widest < 0 || width > (widths[widest] ?? 0))) {
        widest = i;
      }
    });
    if (widest < 0) return;
    widths[widest] = (widths[widest] ?? 0) - 1;
    over--;
  }
}

export interface TableOptions {
  readonly color: boolean;
  /** null: nothing is cut. */
  readonly columns: number | null;
  readonly indent?: string;
}

/** Lines with a newline each; a header line first, also when there are no rows. */
export function table(
  columns: ReadonlyArray<Column>,
  rows: ReadonlyArray<Row>,
  options: TableOptions,
): string {
  const indent = options.indent ?? "";
  const cells = rows.map((row) =>
    row.map((cell) => {
      const { text, style } = cellOf(cell);
      return { text: harmless(text), style };
    }),
  );
  const widths = columns.map((column, i) =>
    cells.reduce((most, row) => Math.max(most, widthOf(row[i]?.text ?? "")), widthOf(column.title)),
  );
  if (options.columns !== null) fit(columns, widths, options.columns - indent.length);
  const line = (texts: ReadonlyArray<Cell>): string => {
    const parts = columns.map((column, i) => {
      const { text, style } = texts[i] ?? { text: "" };
      const width = widths[i] ?? 0;
      const shown = cut(text, width, column.prose);
      const pad = " ".repeat(Math.max(0, width - widthOf(shown)));
      const painted = style === undefined ? shown : paint(options.color, style, shown);
      if (column.right === true) return `${pad}${painted}`;
      // No blanks at the end of a line.
      return i === columns.length - 1 ? painted : `${painted}${pad}`;
    });
    return `${indent}${parts.join(" ".repeat(gap)).trimEnd()}\n`;
  };
  const head = columns.map((column): Cell => ({ text: column.title, style: "dim" }));
  return [line(head), ...cells.map((row) => line(row.map(cleaned)))].join("");
}

function cleaned(cell: { readonly text: string; readonly style: Style | undefined }): Cell {
  return cell.style === undefined ? { text: cell.text } : { text: cell.text, style: cell.style };
}
