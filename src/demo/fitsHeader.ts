/** Writes FITS headers (FITS standard 4.0, section 4), with CONTINUE for long strings and HIERARCH for long keywords. */
import type { FitsValue } from "../protocol/fits.ts";
import { blockBytes, cardBytes } from "../protocol/fits.ts";

export interface FitsCard {
  readonly keyword: string;
  readonly value: FitsValue;
  readonly comment?: string;
}

/** A whole header: cards, END, padded to blocks. Throws a RangeError for what no header can hold. */
export function writeFitsHeader(cards: ReadonlyArray<FitsCard>): Uint8Array {
  const text = [...cards.flatMap(writeCard), "END".padEnd(cardBytes)].join("");
  const padded = Math.ceil(text.length / blockBytes) * blockBytes;
  return Buffer.from(text.padEnd(padded), "latin1");
}

const standardKeyword = /^[A-Z0-9_-]{1,8}$/;
const hierarchKeyword = /^[\x21-\x3c\x3e-\x7e]+(?: [\x21-\x3c\x3e-\x7e]+)*$/;
const ascii = /^[\x20-\x7e]*$/;

function writeCard(card: FitsCard): ReadonlyArray<string> {
  const { keyword, value, comment = "" } = card;
  if (!ascii.test(comment)) throw new RangeError(`comment of ${keyword} is no ASCII text`);
  const prefix = prefixOf(keyword);
  if (typeof value === "string") return writeString(prefix, keyword, value, comment);
  const field = writeScalar(value).padStart(20);
  if (prefix.length + field.length > cardBytes) throw new RangeError(`no room for the value of ${keyword}`);
  return [withComment(prefix + field, comment)];
}

function prefixOf(keyword: string): string {
  if (standardKeyword.test(keyword)) return `${keyword.padEnd(8)}= `;
  if (!hierarchKeyword.test(keyword) || keyword.length > 50) {
    throw new RangeError(`${JSON.stringify(keyword)} is no keyword`);
  }
  return `HIERARCH ${keyword} = `;
}

function writeScalar(value: Exclude<FitsValue, string>): string {
  if (value === null) return "";
  if (typeof value === "boolean") return value ? "T" : "F";
  if (typeof value === "number") return writeNumber(value);
  return `(${writeNumber(value.re)}, ${writeNumber(value.im)})`;
}

function writeNumber(value: number): string {
  if (!Number.isFinite(value)) throw new RangeError(`${value} is no FITS number`);
  if (Object.is(value, -0)) return "-0.0";
  // Whole numbers that a double holds only roughly must not look exact.
  const text =
    Number.isInteger(value) && !Number.isSafeInteger(value) ? value.toExponential() : String(value);
  return text.toUpperCase();
}

/** One card, or several where the string does not fit: all but the last end in `&`. */
function writeString(prefix: string, keyword: string, value: string, comment: string): ReadonlyArray<string> {
  if (!ascii.test(value) || value.endsWith(" ")) {
    throw new RangeError(
      `value of ${keyword} is no ASCII text, or ends in a space, which FITS does not keep`,
    );
  }
  const cards: Array<string> = [];
  let start = prefix;
  let rest = value;
  for (;;) {
    const room = cardBytes - start.length - 2;
    if (quoted(rest).length - 2 <= room) {
      cards.push(
        withComment(start + (cards.length === 0 ? `'${escaped(rest).padEnd(8)}'` : quoted(rest)), comment),
      );
      return cards;
    }
    let taken = 0;
    for (let used = 0; taken < rest.length; taken++) {
      used += rest[taken] === "'" ? 2 : 1;
      if (used > room - 1) break;
    }
    cards.push(`${start}'${escaped(rest.slice(0, taken))}&'`.padEnd(cardBytes));
    rest = rest.slice(taken);
    start = "CONTINUE  ";
  }
}

function escaped(text: string): string {
  return text.replaceAll("'", "''");
}

function quoted(text: string): string {
  return `'${escaped(text)}'`;
}

function withComment(card: string, comment: string): string {
  const padded = card.padEnd(30);
  const whole = comment === "" ? card : `${padded} / ${comment}`;
  // A comment is cut where the card ends; a value never is.
  return whole.slice(0, Math.max(card.length, cardBytes)).padEnd(cardBytes);
}
