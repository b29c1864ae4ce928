/** A table of windows, as CSV: `start_date,end_date` and what else it likes, days as `20250101`, the end exclusive. */
import type { Range } from "./instant.ts";
import { startOfDay } from "./instant.ts";

export type WindowTable =
  | { readonly ok: true; readonly windows: ReadonlyArray<Range> }
  | { readonly ok: false; readonly line: number; readonly message: string };

/** Windows must follow each other without overlap; gaps may be. Never throws. */
export function parseWindowTable(text: string): WindowTable {
  const lines = text.split(/\r?\n/);
  const refuse = (index: number, message: string): WindowTable => ({ ok: false, line: index + 1, message });
  const header = (lines[0] ?? "").split(",").map((name) => name.trim());
  const start = header.indexOf("start_date");
  const end = header.indexOf("end_date");
  if (start < 0 || end < 0) return refuse(0, "the first line must name start_date and end_date");
  const windows: Array<Range> = [];
  for (const [index, line] of lines.entries()) {
    if (index === 0 || line.trim() === "") continue;
    const cells = line.split(",").map((cell) => cell.trim());
    const from = startOfDay(cells[start] ?? "");
    const to = startOfDay(cells[end] ?? "");
    if (from === null || to === null) return refuse(index, "start_date and end_date must be days: 20250101");
    if (to <= from) return refuse(index, "the window ends before it begins");
    const before = windows.at(-1);
    if (before !== undefined && from < before.end)
      return refuse(index, "begins before the one above it ends");
    windows.push({ start: from, end: to });
  }
  return windows.length === 0 ? refuse(0, "holds no window") : { ok: true, windows };
}
