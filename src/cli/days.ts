/** Obs days as people write them. */
import { noDay } from "../protocol/keys.ts";

/** As in keys: 2025-11-21 and 20251121 are one day, `-` is none. Null for text that is no day. */
export function dayOf(text: string): string | null {
  if (text === noDay) return text;
  const [, year, month, day] = /^(\d{4})(?:-(?=..-))?(\d\d)-?(\d\d)$/.exec(text) ?? [];
  if (year === undefined || Number.isNaN(Date.parse(`${year}-${month}-${day}`))) return null;
  return `${year}${month}${day}`;
}
