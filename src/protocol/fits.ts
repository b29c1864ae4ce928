/**
 * The header of a FITS unit (FITS standard 4.0, section 4), read from the first bytes of a file. Pure, and free of
 * imports so that a small program can use it without loading anything else.
 *
 * Files in the wild break the standard in small ways. What can still be understood is understood and named in
 * `problems`; only a header whose cards cannot be told apart is refused.
 */

/** Bytes of one card. */
export const cardBytes = 80;
/** Bytes of one block: headers and data are padded to whole blocks. */
export const blockBytes = 2880;

/**
 * A card's value. `null` is FITS's undefined value. A whole number beyond 2^53 and a number beyond a double's range
 * are kept as the text that stood there, because rounding them would be a silent change.
 */
export type FitsValue = string | number | boolean | null | FitsComplex;

export interface FitsComplex {
  readonly re: number;
  readonly im: number;
}

export interface FitsHeader {
  /**
   * Keyword to value. HIERARCH keywords stand without that word, parts separated by one space (`STUTTER ROWS`).
   * Of keywords that occur more than once the first counts, as for astropy.
   */
  readonly record: Readonly<Record<string, FitsValue>>;
  /** Texts of COMMENT cards, in order. */
  readonly comments: ReadonlyArray<string>;
  /** Texts of HISTORY cards, in order. */
  readonly history: ReadonlyArray<string>;
  /** Keywords that occurred again, in order of occurrence. */
  readonly duplicates: ReadonlyArray<string>;
  /** Departures from the standard that were read all the same, in words. */
  readonly problems: ReadonlyArray<string>;
  /** Bytes up to the data: the header padded to whole blocks. */
  readonly headerBytes: number;
}

/**
 * `Empty`: no bytes at all. `NotFits`: does not begin as FITS does. `BadCard`: a keyword that is no text.
 * `MissingEnd`: the file ends in whole blocks without an END card. `Truncated`: the file ends in mid-block before it.
 */
export type FitsRefusal = "Empty" | "NotFits" | "BadCard" | "MissingEnd" | "Truncated";

export type FitsParse =
  | { readonly _tag: "Complete"; readonly header: FitsHeader }
  /** No END in these bytes: ask again with at least `bytes` of the file, from its beginning. */
  | { readonly _tag: "NeedMore"; readonly bytes: number }
  | { readonly _tag: "Refused"; readonly reason: FitsRefusal; readonly detail: string };

/** True for the first bytes of a gzip stream. */
export function isGzip(bytes: Uint8Array): boolean {
  return bytes.length >= 2 && bytes[0] === 0x1f && bytes[1] === 0x8b;
}

/**
 * Reads a header from the first `bytes` of a file (or of an extension: then the first card is XTENSION).
 * `ended` says that the file has no more bytes than these, which turns "need more" into a refusal. Never throws.
 */
export function parseFitsHeader(bytes: Uint8Array, ended = false): FitsParse {
  if (bytes.length === 0) return ended ? refused("Empty", "the file has no bytes") : needMore(0);
  const beginning = checkBeginning(bytes);
  if (beginning !== null) return beginning;
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
  const reader = newReader();
  const cards = Math.floor(bytes.length / cardBytes);
  for (let i = 0; i < cards; i++) {
    const card = text.slice(i * cardBytes, (i + 1) * cardBytes);
    const keyword = card.slice(0, 8).trimEnd();
    if (keyword === "END" && card.trimEnd() === "END") return complete(reader, (i + 1) * cardBytes);
    if (!keywordText.test(keyword)) {
      return refused("BadCard", `card ${i + 1} has no readable keyword (${JSON.stringify(keyword)})`);
    }
    readCard(reader, keyword, card, i + 1);
  }
  if (!ended) return needMore(bytes.length);
  return bytes.length % blockBytes === 0
    ? refused("MissingEnd", `no END card in all ${bytes.length} bytes`)
    : refused("Truncated", `the file ends after ${bytes.length} bytes, inside its header`);
}

const keywordText = /^[\x20-\x7e]*$/;

function needMore(have: number): FitsParse {
  return { _tag: "NeedMore", bytes: (Math.floor(have / blockBytes) + 1) * blockBytes };
}

function refused(reason: FitsRefusal, detail: string): FitsParse {
  return { _tag: "Refused", reason, detail };
}

const beginnings = ["SIMPLE  =", "XTENSION="];

function checkBeginning(bytes: Uint8Array): FitsParse | null {
  let first = "";
  for (const byte of bytes.subarray(0, 9)) first += String.fromCharCode(byte);
  if (beginnings.some((beginning) => beginning.startsWith(first))) return null;
  return refused("NotFits", `begins with ${JSON.stringify(first)}, not with SIMPLE  =`);
}

interface Reader {
  readonly values: Map<string, FitsValue>;
  readonly comments: Array<string>;
  readonly history: Array<string>;
  readonly duplicates: Array<string>;
  readonly problems: Array<string>;
  /** Text of a string that ended in `&`: the next card may continue it. */
  open: string | null;
  /** Where a continued string belongs; null when its keyword is a duplicate, whose value does not count. */
  openKeyword: string | null;
}

function newReader(): Reader {
  return {
    values: new Map(),
    comments: [],
    history: [],
    duplicates: [],
    problems: [],
    open: null,
    openKeyword: null,
  };
}

function complete(reader: Reader, end: number): FitsParse {
  const { comments, history, duplicates, problems } = reader;
  // fromEntries defines its properties, so that a keyword `__proto__` is only a name.
  const record = Object.fromEntries(reader.values);
  const headerBytes = Math.ceil(end / blockBytes) * blockBytes;
  return { _tag: "Complete", header: { record, comments, history, duplicates, problems, headerBytes } };
}

function readCard(reader: Reader, keyword: string, raw: string, number: number): void {
  let card = raw;
  if (!keywordText.test(raw)) {
    reader.problems.push(`card ${number} (${keyword}) holds bytes that are no ASCII text`);
    // eslint-disable-next-line no-control-regex
    card = raw.replaceAll(/[\x00-\x1f\x7f-\x9f]/g, " ");
  }
  if (keyword === "CONTINUE" && card[8] !== "=") {
    continueString(reader, card.slice(8), number);
    return;
  }
  reader.open = null;
  if (keyword === "COMMENT") reader.comments.push(card.slice(8).trimEnd());
  else if (keyword === "HISTORY") reader.history.push(card.slice(8).trimEnd());
  else if (keyword === "HIERARCH") readHierarch(reader, card, number);
  else if (keyword !== "" && card[8] === "=") {
    if (card[9] !== " ") reader.problems.push(`card ${number} (${keyword}) has no space after =`);
    keep(reader, keyword, card.slice(9), number);
  }
  // Anything else is a commentary card under a keyword of the writer's own: it has no value to keep.
}

function readHierarch(reader: Reader, card: string, number: number): void {
  const equals = card.indexOf("=", 9);
  const keyword = equals < 0 ? "" : card.slice(8, equals).trim().replaceAll(/ +/g, " ");
  if (keyword === "") {
    reader.problems.push(`card ${number} (HIERARCH) names no keyword`);
    return;
  }
  keep(reader, keyword, card.slice(equals + 1), number);
}

function keep(reader: Reader, keyword: string, field: string, number: number): void {
  const parsed = parseValue(field);
  if (parsed.problem !== null) reader.problems.push(`card ${number} (${keyword}): ${parsed.problem}`);
  const duplicate = reader.values.has(keyword);
  if (duplicate) reader.duplicates.push(keyword);
  else reader.values.set(keyword, parsed.value);
  if (typeof parsed.value === "string" && parsed.quoted && parsed.value.endsWith("&")) {
    reader.open = parsed.value;
    reader.openKeyword = duplicate ? null : keyword;
  }
}

function continueString(reader: Reader, field: string, number: number): void {
  const parsed = parseValue(field);
  if (reader.open === null || !parsed.quoted || typeof parsed.value !== "string") {
    reader.problems.push(`card ${number} (CONTINUE) continues nothing`);
    reader.open = null;
    return;
  }
  const whole = reader.open.slice(0, -1) + parsed.value;
  if (reader.openKeyword !== null) reader.values.set(reader.openKeyword, whole);
  reader.open = whole.endsWith("&") ? whole : null;
}

interface ParsedValue {
  readonly value: FitsValue;
  readonly quoted: boolean;
  readonly problem: string | null;
}

const integer = /^[+-]?\d+$/;
const float = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[EeDd][+-]?\d+)?$/;

function parseValue(field: string): ParsedValue {
  const text = field.trimStart();
  if (text.startsWith("'")) return parseString(text);
  const slash = text.indexOf("/");
  const token = (slash < 0 ? text : text.slice(0, slash)).trimEnd();
  if (token === "") return plain(null);
  if (token === "T") return plain(true);
  if (token === "F") return plain(false);
  const number = parseNumber(token);
  if (number !== null) return plain(number);
  const complex = /^\(([^,]*),([^,]*)\)$/.exec(token);
  const re = parseNumber(complex?.[1]?.trim() ?? "");
  const im = parseNumber(complex?.[2]?.trim() ?? "");
  if (typeof re === "number" && typeof im === "number") return plain({ re, im });
  // A slash may belong to the text that should have been quoted; only " /" surely begins a comment.
  const comment = text.indexOf(" /");
  const value = (comment < 0 ? text : text.slice(0, comment)).trimEnd();
  return { value, quoted: false, problem: `value ${JSON.stringify(value)} is of no FITS type, kept as text` };
}

function plain(value: FitsValue): ParsedValue {
  return { value, quoted: false, problem: null };
}

function parseNumber(token: string): number | string | null {
  if (integer.test(token)) {
    const value = Number(token);
    return Number.isSafeInteger(value) ? value : token;
  }
  if (!float.test(token)) return null;
  const value = Number(token.replace(/[Dd]/, "E"));
  return Number.isFinite(value) ? value : token;
}

function parseString(text: string): ParsedValue {
  let out = "";
  for (let i = 1; i < text.length; i++) {
    const quote = text.indexOf("'", i);
    if (quote < 0) break;
    out += text.slice(i, quote);
    if (text[quote + 1] !== "'") return { value: out.trimEnd(), quoted: true, problem: null };
    out += "'";
    i = quote + 1;
  }
  // No closing quote: what follows the last quote seen is the rest of the string, for want of a better end.
  return {
    value: text.slice(1).replaceAll("''", "'").trimEnd(),
    quoted: true,
    problem: "string without a closing quote",
  };
}
