/**
 * What stays of a day whose records were purged: a mark of each file's name and content, so that a file which comes again is known.
 * Marks are kept in order, eight bytes each: a night of 220,000 files is 1.8 MB.
 */
import { createHash } from "node:crypto";
import { seenMarksPerKeyMax } from "../limits.ts";

const markBytes = 8;

/**
 * 64 bits of a record's name (the tail of its key) and of its content. A file shares one with any of a night of 220,000 by accident
 * with a chance of 10⁻¹⁴, and is then taken for a duplicate.
 */
export function seenMark(tail: string, etag: string): bigint {
  return createHash("sha256").update(`${tail}\n${etag}`).digest().readBigUInt64BE(0);
}

/** `<lane>.<day>.<revision>.<part>` in the bucket `seen`: what one purge, up to that revision of the ledger, took away. */
export const seenKey = (lane: string, day: string, revision: number, part: number): string =>
  `${lane}.${day}.${revision}.${part}`;
export const seenFilter = (lane: string, day: string): string => `${lane}.${day}.>`;

/** One value a key, each in order. */
export function encodeMarks(marks: Iterable<bigint>): ReadonlyArray<Uint8Array> {
  const sorted = [...new Set(marks)].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  const values: Array<Uint8Array> = [];
  for (let at = 0; at < sorted.length; at += seenMarksPerKeyMax) {
    const some = sorted.slice(at, at + seenMarksPerKeyMax);
    const value = Buffer.alloc(some.length * markBytes);
    some.forEach((mark, i) => value.writeBigUInt64BE(mark, i * markBytes));
    values.push(value);
  }
  return values;
}

/** The values of one day as they were stored, searched where they lie. */
export class Marks {
  readonly #values: Array<Buffer> = [];

  /** Bytes that are no whole number of marks are nobody's: left out. */
  add(value: Uint8Array): void {
    if (value.length % markBytes !== 0) return;
    this.#values.push(Buffer.from(value.buffer, value.byteOffset, value.length));
  }

  get count(): number {
    return this.#values.reduce((sum, value) => sum + value.length / markBytes, 0);
  }

  has(mark: bigint): boolean {
    return this.#values.some((value) => holds(value, mark));
  }
}

function holds(value: Buffer, mark: bigint): boolean {
  let from = 0;
  let to = value.length / markBytes - 1;
  while (from <= to) {
    const middle = (from + to) >> 1;
    const found = value.readBigUInt64BE(middle * markBytes);
    if (found === mark) return true;
    if (found < mark) from = middle + 1;
    else to = middle - 1;
  }
  return false;
}
